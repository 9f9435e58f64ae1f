//! `vehicle`: each 10 s while the ignition is on, when it is switched on and off, hourly while parked. Places and speeds are
//! the true ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};

use super::columns::{Text, points, times};
use super::device::{self, Clock, VEHICLE_PERIOD};
use super::sample::{Reading, Sample};
use super::spot::Spot;
use super::{Observer, Samples};
use crate::city::City;
use crate::city::fleet::FUELS;
use crate::city::motion::Way;
use crate::city::round::round;
use crate::city::trace::Window;
use crate::error::Result;
use crate::schema::Stream;

/// What a report says beside the vehicle's fixed attributes.
#[derive(Debug, Clone, Copy)]
pub struct VehicleReading {
    pub(super) road: u32,
    pub(super) spot: Spot,
    pub(super) speed: f64,
    odometer_km: f64,
}

/// A report before it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Who.
    pub vehicle: u32,
    /// Its event number.
    pub counter: u64,
    /// When, by the true clock.
    pub time: i64,
    /// When, by the vehicle's.
    pub stamp: i64,
    /// What.
    pub reading: VehicleReading,
}

/// Why a report is made; the kind is the last two bits of its counter, so that no two reports share one.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Period = 0,
    IgnitionOn = 1,
    IgnitionOff = 2,
    Heartbeat = 3,
}

/// Reports made in the window.
pub fn observe(observer: &Observer, window: &Window, samples: &mut Samples) {
    let (rng, faults) = (observer.city.rng, &observer.options.faults);
    steps(observer, window, |s| {
        samples.vehicle.push(rng, faults, (s.vehicle, s.counter), (s.time, s.stamp), s.reading);
    });
}

/// Calls `each` with every report made in the window, in no order.
pub fn steps(observer: &Observer, window: &Window, mut each: impl FnMut(Step)) {
    let city = &observer.city;
    let (start, rng) = (city.options.start, city.rng);
    let mut push = |vehicle: u32, clock: &Clock, time: i64, number: i64, cause: Cause, reading: VehicleReading| {
        let counter = (number as u64) << 2 | cause as u64;
        each(Step { vehicle, counter, time, stamp: clock.shows(time), reading });
    };
    let mut way = Way::default();
    for (i, crossing) in window.crossings.iter().enumerate() {
        let vehicle = crossing.vehicle;
        let latest_until = window.latest_until(i).min(window.to);
        if latest_until <= window.from || !observer.sees(vehicle) {
            continue;
        }
        let sets_off = crossing.first && crossing.t_in >= window.from;
        let phase = device::phase(rng, u64::from(vehicle), VEHICLE_PERIOD);
        let (mut time, mut number) = device::first_tick(crossing.t_in.max(window.from), start, VEHICLE_PERIOD, phase);
        if !sets_off && time >= latest_until {
            continue;
        }
        let clock = Clock::new(rng, u64::from(vehicle));
        let odometer_km = |driven: f64| round((crossing.odometer + driven) / 1_000.0, 1_000.0);
        if sets_off {
            let reading = VehicleReading {
                road: crossing.road,
                spot: Spot::on(city, crossing.road, 0.0),
                speed: 0.0,
                odometer_km: odometer_km(0.0),
            };
            push(vehicle, &clock, crossing.t_in, i64::from(crossing.trip), Cause::IgnitionOn, reading);
        }
        window.follow(i, &city.network.specs, (time, latest_until), &mut way);
        while time < latest_until {
            let state = way.at(time);
            let reading = VehicleReading {
                road: state.road,
                spot: Spot::on(city, state.road, state.offset),
                speed: round(state.speed, 10.0),
                odometer_km: odometer_km(state.driven),
            };
            push(vehicle, &clock, time, number, Cause::Period, reading);
            time += VEHICLE_PERIOD;
            number += 1;
        }
    }
    let standing = |road: u32, odometer: f64| VehicleReading {
        road,
        spot: Spot::on(city, road, city.network.roads[road as usize].length),
        speed: 0.0,
        odometer_km: round(odometer / 1_000.0, 1_000.0),
    };
    for stay in window.parked.iter().filter(|s| observer.sees(s.vehicle)) {
        let number = i64::from(stay.trip);
        let clock = Clock::new(rng, u64::from(stay.vehicle));
        push(stay.vehicle, &clock, stay.since, number, Cause::IgnitionOff, standing(stay.road, stay.odometer));
    }
    for (time, stay) in window.heartbeats.iter().filter(|(_, s)| observer.sees(s.vehicle)) {
        let number = (time - start).div_euclid(1_000);
        let clock = Clock::new(rng, u64::from(stay.vehicle));
        push(stay.vehicle, &clock, *time, number, Cause::Heartbeat, standing(stay.road, stay.odometer));
    }
}

impl Reading for VehicleReading {
    const STREAM: Stream = Stream::Vehicle;

    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch> {
        let n = samples.len();
        let (mut id, mut device_id) = (Text::with_capacity(n, 36), Text::with_capacity(n, 15));
        let (mut direction, mut make, mut model) =
            (Text::with_capacity(n, 8), Text::with_capacity(n, 8), Text::with_capacity(n, 8));
        let (mut fuel, mut road_id, mut kind) =
            (Text::with_capacity(n, 8), Text::with_capacity(n, 10), Text::with_capacity(n, 8));
        for sample in samples {
            let vehicle = &city.fleet.vehicles[sample.head.entity as usize];
            id.push_id(sample.id(city));
            device_id.push_numbered(device::VEHICLE.0, sample.head.entity, device::VEHICLE.1);
            direction.push(device::compass(sample.reading.spot.heading()));
            make.push(vehicle.model.make);
            model.push(vehicle.model.model);
            fuel.push(FUELS[usize::from(vehicle.fuel)]);
            road_id.push_numbered(device::ROAD.0, sample.reading.road, device::ROAD.1);
            kind.push(vehicle.kind.name());
        }
        let vehicle = |s: &Sample<Self>| &city.fleet.vehicles[s.head.entity as usize];
        let double = |values: Float64Array| Arc::new(values) as ArrayRef;
        let columns = vec![
            id.finish()?,
            device_id.finish()?,
            times(samples.iter().map(|s| s.head.stamp)),
            points(samples.iter().map(|s| s.reading.place(city, s.head.entity)))?,
            double(Float64Array::from_iter_values(samples.iter().map(|s| s.reading.speed))),
            direction.finish()?,
            make.finish()?,
            model.finish()?,
            Arc::new(Int32Array::from_iter_values(samples.iter().map(|s| i32::from(vehicle(s).year)))),
            fuel.finish()?,
            times(samples.iter().map(|s| s.head.sent)),
            double(samples.iter().map(|s| s.reading.spot.heading_at(s.reading.speed)).collect()),
            double(Float64Array::from_iter_values(samples.iter().map(|s| s.reading.odometer_km))),
            road_id.finish()?,
            kind.finish()?,
        ];
        Ok(RecordBatch::try_new(Self::STREAM.wire_schema(), columns)?)
    }

    fn place(&self, city: &City, _entity: u32) -> (f64, f64) {
        city.network.degrees(self.spot.place())
    }
}

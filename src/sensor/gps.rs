//! `gps`: fixes of a vehicle's receiver while it drives, each 1, 5, 30 or 60 s.
//!
//! A fix is the true place with the receiver's error; its speed is Doppler, never differenced places (city.md). Without a
//! fix nothing is sent.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};

use super::columns::{Text, points, times};
use super::device::{self, Clock};
use super::receiver::{Fix, Receiver, Surroundings};
use super::sample::{Reading, Sample};
use super::spot::Spot;
use super::{Observer, Samples};
use crate::city::City;
use crate::city::fleet::VehicleType;
use crate::city::motion::Way;
use crate::city::network::Place;
use crate::city::round::round;
use crate::city::trace::Window;
use crate::error::Result;
use crate::schema::Stream;

/// A fix.
#[derive(Debug, Clone, Copy)]
pub struct GpsReading {
    spot: Spot,
    kind: VehicleType,
    /// Error east and north, in metres.
    error: (f32, f32),
    speed: f32,
    accuracy: f32,
    flat: bool,
}

/// Fixes made in the window.
pub fn observe(observer: &Observer, window: &Window, samples: &mut Samples) {
    let city = &observer.city;
    let (start, rng) = (city.options.start, city.rng);
    let mut way = Way::default();
    for (i, crossing) in window.crossings.iter().enumerate() {
        let vehicle = crossing.vehicle;
        let latest_until = window.latest_until(i).min(window.to);
        if latest_until <= window.from || !observer.sees(vehicle) {
            continue;
        }
        let entity = u64::from(vehicle);
        let period = device::gps_period(rng, vehicle);
        let phase = device::phase(rng, entity << 1 | 1, period);
        let (mut time, mut number) = device::first_tick(crossing.t_in.max(window.from), start, period, phase);
        if time >= latest_until {
            continue;
        }
        let clock = Clock::new(rng, entity);
        let receiver = Receiver::new(rng, vehicle);
        let kind = city.fleet.kinds[vehicle as usize];
        let emerged = window.emerged_of(vehicle);
        window.follow(i, &city.network.specs, (time, latest_until), &mut way);
        while time < latest_until {
            let state = way.at(time);
            if let Some(fix) = fix(city, receiver, emerged, state.road, (number as u64, time)) {
                let reading = GpsReading::of(fix, Spot::on(city, state.road, state.offset), kind, state.speed);
                let (entity, stamp) = ((vehicle, number as u64), (time, clock.shows(time)));
                samples.gps.push(rng, &observer.options.faults, entity, stamp, reading);
            }
            time += period;
            number += 1;
        }
    }
}

/// A receiver's fix with this number, at `time`, on a road; none where it has none.
pub(super) fn fix(
    city: &City,
    receiver: Receiver,
    emerged: &[(u32, i64)],
    road: u32,
    (number, time): (u64, i64),
) -> Option<Fix> {
    let of_road = &city.network.roads[road as usize];
    let around = Surroundings {
        canyon: of_road.canyon.then_some(road),
        emerged: emerged.iter().map(|e| e.1).rfind(|e| *e <= time),
    };
    if of_road.tunnel { None } else { receiver.fix(number, time, around) }
}

impl GpsReading {
    /// What a fix tells of a vehicle that is truly there, at so many km/h.
    pub(super) fn of(fix: Fix, spot: Spot, kind: VehicleType, speed: f64) -> Self {
        Self {
            spot,
            kind,
            error: (fix.error.0 as f32, fix.error.1 as f32),
            speed: (speed + fix.speed_error).max(0.0) as f32,
            accuracy: fix.accuracy as f32,
            flat: fix.flat,
        }
    }
}

impl Reading for GpsReading {
    const STREAM: Stream = Stream::Gps;

    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch> {
        let n = samples.len();
        let (mut id, mut device_id) = (Text::with_capacity(n, 36), Text::with_capacity(n, 15));
        let (mut direction, mut kind, mut fix) =
            (Text::with_capacity(n, 8), Text::with_capacity(n, 8), Text::with_capacity(n, 2));
        for sample in samples {
            id.push_id(sample.id(city));
            device_id.push_numbered(device::VEHICLE.0, sample.head.entity, device::VEHICLE.1);
            direction.push(device::compass(sample.reading.spot.heading()));
            kind.push(sample.reading.kind.name());
            fix.push(if sample.reading.flat { "2D" } else { "3D" });
        }
        let speed = |s: &Sample<Self>| round(f64::from(s.reading.speed), 10.0);
        let measured = |s: &Sample<Self>| {
            let (place, error) = (s.reading.spot.place(), s.reading.error);
            city.network.degrees(Place { x: place.x + f64::from(error.0), y: place.y + f64::from(error.1) })
        };
        let columns = vec![
            id.finish()?,
            device_id.finish()?,
            times(samples.iter().map(|s| s.head.stamp)),
            Arc::new(Float64Array::from_iter_values(samples.iter().map(speed))),
            direction.finish()?,
            kind.finish()?,
            times(samples.iter().map(|s| s.head.sent)),
            points(samples.iter().map(measured))?,
            Arc::new(samples.iter().map(|s| s.reading.spot.heading_at(speed(s))).collect::<Float64Array>()),
            Arc::new(Float64Array::from_iter_values(
                samples.iter().map(|s| round(f64::from(s.reading.accuracy), 10.0)),
            )),
            fix.finish()?,
        ];
        Ok(RecordBatch::try_new(Self::STREAM.wire_schema(), columns)?)
    }

    fn place(&self, city: &City, _entity: u32) -> (f64, f64) {
        city.network.degrees(self.spot.place())
    }
}

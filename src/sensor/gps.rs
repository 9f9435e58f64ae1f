//! `gps`: fixes of a vehicle's receiver while it drives, each 1, 5, 30 or 60 s.
//!
//! A fix is the true place with an error that lasts (about a minute) and one that doesn't; its speed is Doppler, never
//! differenced places (city.md).

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch};

use super::columns::{Text, points, times};
use super::device::{self, Clock, round};
use super::sample::{Reading, Sample};
use super::vehicle::heading;
use super::{Observer, Samples};
use crate::city::City;
use crate::city::motion::Way;
use crate::city::network::Place;
use crate::city::rng::Purpose;
use crate::city::trace::Window;
use crate::error::Result;
use crate::schema::Stream;

/// Standard deviation of the lasting error per axis, in metres (city.md: 3 to 4 m).
const BIAS_SD: f64 = 3.4;
/// How long it lasts, in milliseconds (city.md).
const BIAS_PERIOD: i64 = 60_000;
/// Standard deviation of the rest per axis, in metres (city.md: 0.5 to 1 m).
const NOISE_SD: f64 = 0.7;
/// Standard deviation of the Doppler speed, in km/h (city.md: 0.1 to 0.2 m/s).
const SPEED_SD: f64 = 0.15 * 3.6;

/// A fix.
#[derive(Debug, Clone, Copy)]
pub struct GpsReading {
    road: u32,
    offset: f32,
    /// Error east and north, in metres.
    error: (f32, f32),
    speed: f32,
    accuracy: f32,
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
        window.follow(i, &city.network.specs, (time, latest_until), &mut way);
        while time < latest_until {
            let state = way.at(time);
            let bias = |axis| BIAS_SD * rng.smooth(Purpose::GpsBias, entity << 1 | axis, time, BIAS_PERIOD);
            let noise = |axis| rng.normal(Purpose::GpsNoise, entity << 2 | axis, number as u64);
            let error = (bias(0) + NOISE_SD * noise(0), bias(1) + NOISE_SD * noise(1));
            let reading = GpsReading {
                road: state.road,
                offset: state.offset as f32,
                error: (error.0 as f32, error.1 as f32),
                speed: (state.speed + SPEED_SD * noise(2)).max(0.0) as f32,
                accuracy: (4.5 + 1.5 * noise(3).abs()) as f32,
            };
            let (entity, stamp) = ((vehicle, number as u64), (time, clock.shows(time)));
            samples.gps.push(rng, &observer.options.faults, entity, stamp, reading);
            time += period;
            number += 1;
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
            direction.push(device::compass(city.network.roads[sample.reading.road as usize].heading));
            kind.push(city.fleet.vehicles[sample.head.entity as usize].kind.name());
            fix.push("3D");
        }
        let speed = |s: &Sample<Self>| round(f64::from(s.reading.speed), 10.0);
        let measured = |s: &Sample<Self>| {
            let place = city.network.place_on(s.reading.road, f64::from(s.reading.offset));
            let error = s.reading.error;
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
            Arc::new(samples.iter().map(|s| heading(city, s.reading.road, speed(s))).collect::<Float64Array>()),
            Arc::new(Float64Array::from_iter_values(
                samples.iter().map(|s| round(f64::from(s.reading.accuracy), 10.0)),
            )),
            fix.finish()?,
        ];
        Ok(RecordBatch::try_new(Self::STREAM.wire_schema(), columns)?)
    }

    fn place(&self, city: &City, _entity: u32) -> (f64, f64) {
        city.network.degrees(city.network.place_on(self.road, f64::from(self.offset)))
    }
}

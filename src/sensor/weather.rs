//! `weather`: each station reads its cell of the field every ten minutes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};

use super::columns::{Text, points, times};
use super::device::{self, Clock};
use super::sample::{Reading, Sample};
use super::{Observer, Samples};
use crate::city::City;
use crate::city::trace::Window;
use crate::city::weather::{CellRow, STEP};
use crate::error::Result;
use crate::schema::Stream;

/// A reading is the field itself.
#[derive(Debug, Clone, Copy)]
pub struct WeatherReading(pub(super) CellRow);

/// Readings made in the window: at the beginning of each step of the field.
pub fn observe(observer: &Observer, window: &Window, samples: &mut Samples) {
    let city = &observer.city;
    let due = |row: &&CellRow| row.time >= window.from && row.time < window.to && observer.sees(u32::from(row.cell));
    for row in window.cells.iter().filter(due) {
        let entity = u32::from(row.cell);
        let stamp = Clock::of_station(city.rng, entity).shows(row.time);
        let number = (row.time.div_euclid(STEP) - city.options.start.div_euclid(STEP)) as u64;
        let (rng, faults) = (city.rng, &observer.options.faults);
        samples.weather.push(rng, faults, (entity, number), (row.time, stamp), WeatherReading(*row));
    }
}

impl Reading for WeatherReading {
    const STREAM: Stream = Stream::Weather;

    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch> {
        let n = samples.len();
        let (mut id, mut device_id) = (Text::with_capacity(n, 36), Text::with_capacity(n, 11));
        let (mut condition, mut pollutant) = (Text::with_capacity(n, 6), Text::with_capacity(n, 4));
        for sample in samples {
            id.push_id(sample.id(city));
            device_id.push_numbered(device::STATION.0, sample.head.entity, device::STATION.1);
            condition.push(sample.reading.0.condition.name());
            pollutant.push(sample.reading.0.aqi().1);
        }
        let double = |value: fn(&CellRow) -> f64| {
            Arc::new(Float64Array::from_iter_values(samples.iter().map(|s| value(&s.reading.0)))) as ArrayRef
        };
        let int = |value: fn(&CellRow) -> i32| {
            Arc::new(Int32Array::from_iter_values(samples.iter().map(|s| value(&s.reading.0)))) as ArrayRef
        };
        let columns = vec![
            id.finish()?,
            device_id.finish()?,
            points(samples.iter().map(|s| s.reading.place(city, s.head.entity)))?,
            times(samples.iter().map(|s| s.head.stamp)),
            double(|r| r.temperature),
            condition.finish()?,
            double(|r| r.precipitation),
            double(|r| r.wind),
            int(|r| r.humidity),
            int(|r| r.aqi().0),
            times(samples.iter().map(|s| s.head.sent)),
            double(|r| r.wind_direction),
            double(|r| r.visibility),
            double(|r| r.pm25),
            double(|r| r.pm10),
            double(|r| r.no2),
            double(|r| r.o3),
            pollutant.finish()?,
        ];
        Ok(RecordBatch::try_new(Self::STREAM.wire_schema(), columns)?)
    }

    fn place(&self, city: &City, entity: u32) -> (f64, f64) {
        city.network.degrees(city.network.stations[entity as usize])
    }
}

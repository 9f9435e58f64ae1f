//! `gold.air_quality_hourly`.

use std::collections::{HashMap, HashSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};

use super::super::found::degree;
use super::super::settle::column;
use super::dims::Dims;
use super::table::{Columns, GoldTable, HOUR_US, Names, mean, ordered, window};
use crate::error::Result;

/// What is averaged: the field and the column.
const MEANS: [(&str, &str); 9] = [
    ("airQualityIndex", "aqi_mean"),
    ("pm25", "pm25_ugm3"),
    ("pm10", "pm10_ugm3"),
    ("no2", "no2_ppb"),
    ("o3", "o3_ppb"),
    ("temperature", "temperature_c"),
    ("humidity", "humidity_pct"),
    ("windSpeed", "wind_speed_kmh"),
    // A mean rate in mm/h, times an hour.
    ("precipitation", "precipitation_mm"),
];

#[derive(Debug)]
struct Sums {
    place: (f64, f64),
    readings: i64,
    totals: [f64; MEANS.len()],
    /// The worst index, when it was read, and that reading's id and pollutant.
    worst: (i32, i64, u128, String),
}

#[derive(Debug, Default)]
pub(super) struct Air {
    names: Names,
    cells: HashMap<(u32, i64), Sums>,
}

impl Air {
    pub(super) fn add(&mut self, rows: &RecordBatch, ids: &[u128]) -> Result<()> {
        let (devices, pollutants) =
            (column(rows, "deviceId")?.as_string::<i32>(), column(rows, "dominantPollutant")?.as_string::<i32>());
        let times = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let (lat, lon) = (degree(column(rows, "location")?, 0)?, degree(column(rows, "location")?, 1)?);
        let (lat, lon) = (lat.as_primitive::<Float64Type>(), lon.as_primitive::<Float64Type>());
        let indices = column(rows, "airQualityIndex")?.as_primitive::<Int32Type>();
        let values = MEANS.iter().map(|(field, _)| column(rows, field)).collect::<Result<Vec<_>>>()?;
        for (row, &id) in ids.iter().enumerate() {
            let cell = (self.names.number(devices.value(row)), window(times.value(row), HOUR_US));
            let (index, time) = (indices.value(row), times.value(row));
            let sums = self.cells.entry(cell).or_insert_with(|| Sums {
                place: (f64::NEG_INFINITY, f64::NEG_INFINITY),
                readings: 0,
                totals: [0.0; MEANS.len()],
                worst: (i32::MIN, 0, 0, String::new()),
            });
            sums.place = (sums.place.0.max(lat.value(row)), sums.place.1.max(lon.value(row)));
            sums.readings += 1;
            for (sum, values) in sums.totals.iter_mut().zip(&values) {
                let real = values.as_primitive_opt::<Float64Type>().map(|v| v.value(row));
                *sum += real.unwrap_or_else(|| f64::from(values.as_primitive::<Int32Type>().value(row)));
            }
            let worst = &sums.worst;
            if index > worst.0 || index == worst.0 && (time, id) < (worst.1, worst.2) {
                sums.worst = (index, time, id, pollutants.value(row).to_owned());
            }
        }
        Ok(())
    }

    pub(super) fn table(&self, dims: &Dims) -> Result<GoldTable> {
        let rows = ordered(&self.names, &self.cells);
        let station = |row: &(&str, i64, &Sums)| dims.stations.get(row.0);
        let mut columns = Columns::default()
            .text("station_id", rows.iter().map(|r| Some(r.0)))
            .windows(HOUR_US, rows.iter().map(|r| r.1))
            .text("district", rows.iter().map(|r| Some(station(r)?.0.as_str())))
            .real("lat", rows.iter().map(|r| Some(station(r).map_or(r.2.place.0, |s| s.1))))
            .real("lon", rows.iter().map(|r| Some(station(r).map_or(r.2.place.1, |s| s.2))))
            .long("readings", rows.iter().map(|r| Some(r.2.readings)))
            .long("aqi_max", rows.iter().map(|r| Some(i64::from(r.2.worst.0))))
            .text("aqi_category", rows.iter().map(|r| Some(category(r.2.worst.0))))
            .text("dominant_pollutant", rows.iter().map(|r| Some(r.2.worst.3.as_str())));
        for (which, (_, name)) in MEANS.iter().enumerate() {
            columns = columns.real(name, rows.iter().map(|r| mean(r.2.totals[which], r.2.readings)));
        }
        Ok(GoldTable {
            name: "air_quality_hourly",
            key: &["station_id", "window_start"],
            additive: &["readings"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }
}

/// US EPA's name for an index.
fn category(index: i32) -> &'static str {
    match index {
        ..=50 => "Good",
        51..=100 => "Moderate",
        101..=150 => "Unhealthy for sensitive groups",
        151..=200 => "Unhealthy",
        201..=300 => "Very unhealthy",
        _ => "Hazardous",
    }
}

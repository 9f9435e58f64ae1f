//! What gold must hold, by the formulas of docs/tables.md, one file a table: added up shard by shard, from the rows that silver
//! must hold.

mod air_quality_hourly;
mod camera_15min;
mod compare;
mod data_quality_hourly;
mod dims;
mod hotspot_h3_15min;
mod incident_response;
mod probes;
mod road_5min;
mod table;
mod vehicle_hourly;
mod weather_impact;

pub use compare::{GoldExample, TableGrade};
pub(super) use compare::{compare, conform};
pub(super) use data_quality_hourly::totals;
pub use table::GoldTable;

use arrow::array::RecordBatch;

use super::settle::Settled;
use crate::error::{Error, Result};
use crate::schema::Stream;
use dims::Dims;

/// Every gold table that can be graded, with the streams that it is made of.
pub const TABLES: [(&str, &[Stream]); 9] = [
    ("road_5min", &[Stream::Vehicle, Stream::Traffic]),
    ("camera_15min", &[Stream::Traffic]),
    ("air_quality_hourly", &[Stream::Weather]),
    ("incident_response", &[Stream::Emergency]),
    ("hotspot_h3_15min", &[Stream::Vehicle, Stream::Emergency]),
    ("weather_impact", &[Stream::Vehicle, Stream::Traffic, Stream::Weather, Stream::Emergency]),
    ("vehicle_hourly", &[Stream::Vehicle]),
    ("fleet_daily", &[Stream::Vehicle]),
    ("data_quality_hourly", &Stream::EVENTS),
];

/// The streams that a gold table is made of.
///
/// # Errors
/// `Config` that lists the tables there are.
pub fn streams_of(table: &str) -> Result<&'static [Stream]> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, streams)| *streams).ok_or_else(|| {
        let names: Vec<_> = TABLES.iter().map(|(name, _)| *name).collect();
        Error::config(format!("unknown gold table {table:?}")).help(format!("Choose from {}", names.join(", ")))
    })
}

/// Sums for every gold table. Memory: a few hundred bytes for each row of gold, and 24 for each distinct lateness.
#[derive(Debug)]
pub(super) struct Gold {
    dims: Dims,
    roads: road_5min::Roads,
    cameras: camera_15min::Cameras,
    air: air_quality_hourly::Air,
    incidents: incident_response::Incidents,
    hotspots: hotspot_h3_15min::Hotspots,
    weather: weather_impact::Impact,
    vehicles: vehicle_hourly::Vehicles,
    quality: data_quality_hourly::Quality,
}

impl Gold {
    /// With the reference rows of the city.
    pub(super) fn new(reference: &[RecordBatch]) -> Result<Self> {
        Ok(Self {
            dims: Dims::new(reference)?,
            roads: road_5min::Roads::default(),
            cameras: camera_15min::Cameras::default(),
            air: air_quality_hourly::Air::default(),
            incidents: incident_response::Incidents::default(),
            hotspots: hotspot_h3_15min::Hotspots::default(),
            weather: weather_impact::Impact::default(),
            vehicles: vehicle_hourly::Vehicles::default(),
            quality: data_quality_hourly::Quality::default(),
        })
    }

    /// Adds a shard, which has all events of a device or none.
    pub(super) fn add(&mut self, settled: &Settled) -> Result<()> {
        self.quality.add(settled)?;
        match settled.stream {
            Stream::Vehicle => {
                let reports = probes::reports(&settled.rows)?;
                self.roads.add_reports(&reports);
                self.hotspots.add_reports(&reports, &settled.rows, &self.dims)?;
                self.vehicles.add(&reports, &settled.rows)?;
            }
            Stream::Traffic => {
                self.roads.add_intervals(&settled.rows)?;
                self.cameras.add(&settled.rows)?;
            }
            Stream::Weather => {
                self.air.add(&settled.rows, &settled.ids)?;
                self.weather.add_readings(&settled.rows, &self.dims)?;
            }
            Stream::Emergency => {
                self.incidents.add(&settled.rows, &settled.ids)?;
                self.hotspots.add_steps(&settled.rows)?;
                self.weather.add_steps(&settled.rows, &self.dims)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What the table called `name` must hold.
    pub(super) fn table(&self, name: &str) -> Result<GoldTable> {
        match name {
            "road_5min" => self.roads.table(&self.dims),
            "camera_15min" => self.cameras.table(&self.dims),
            "air_quality_hourly" => self.air.table(&self.dims),
            "incident_response" => self.incidents.table(&self.dims),
            "hotspot_h3_15min" => self.hotspots.table(),
            "weather_impact" => self.weather.table(&self.roads, &self.dims),
            "vehicle_hourly" => self.vehicles.table(),
            "fleet_daily" => self.vehicles.fleet_daily(),
            "data_quality_hourly" => self.quality.table(),
            other => Err(streams_of(other).err().unwrap_or_else(|| Error::internal(format!("gold.{other}")))),
        }
    }
}

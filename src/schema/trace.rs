//! The tables of a saved trace: what really happened, before any sensor saw it. Vehicles and roads are the numbers in
//! `vehicle-0000042` and `road-00007` of the streams.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// One table of a saved trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceTable {
    /// A vehicle entered a road.
    Entries,
    /// A vehicle left a road: that of the entry with the same road, lane and number.
    Exits,
    /// A vehicle's stay at the end of a road began.
    Stays,
    /// A step of an incident.
    Incidents,
    /// Weather and air of a cell for ten minutes.
    Cells,
}

impl TraceTable {
    /// Every table.
    pub const ALL: [Self; 5] = [Self::Entries, Self::Exits, Self::Stays, Self::Incidents, Self::Cells];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Exits => "exits",
            Self::Stays => "stays",
            Self::Incidents => "incidents",
            Self::Cells => "cells",
        }
    }

    /// Its columns, with units in their names; times are UTC.
    pub fn schema(self) -> SchemaRef {
        let int = |name| Field::new(name, DataType::Int32, false);
        let long = |name| Field::new(name, DataType::Int64, false);
        let double = |name| Field::new(name, DataType::Float64, false);
        let text = |name| Field::new(name, DataType::Utf8, false);
        let flag = |name| Field::new(name, DataType::Boolean, false);
        let time = |name| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
        let fields = match self {
            Self::Entries => vec![
                int("vehicle"),
                int("road"),
                int("lane"),
                long("number"),
                flag("first"),
                long("trip"),
                time("t_in"),
                time("arrive"),
                double("odometer_m"),
            ],
            Self::Exits => vec![time("t_out"), int("road"), int("lane"), long("number")],
            Self::Stays => {
                vec![int("vehicle"), int("road"), long("trip"), time("since"), double("odometer_m"), flag("initial")]
            }
            Self::Incidents => vec![
                long("incident"),
                text("kind"),
                int("severity"),
                int("road"),
                time("time"),
                text("status"),
                int("lanes_blocked"),
                Field::new("responder", DataType::Int32, true),
            ],
            Self::Cells => vec![
                time("time"),
                int("cell"),
                text("condition"),
                double("temperature_c"),
                double("precipitation_mm_h"),
                double("wind_km_h"),
                double("wind_direction_deg"),
                int("humidity_pct"),
                double("visibility_m"),
                double("pm25_ug_m3"),
                double("pm10_ug_m3"),
                double("no2_ppb"),
                double("o3_ppb"),
            ],
        };
        Arc::new(Schema::new(fields))
    }
}

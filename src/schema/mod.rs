//! What travels: the columns of every stream, on the wire and in silver, and the three shapes that pass between steps.
//!
//! Nothing else in the crate defines a column of a stream. One file a stream; [`Field`] says for each column its wire
//! name, type, unit, whether the original workflow had it, when it may be null, and what silver calls it.
//!
//! Arrow rules (Spark needs them): declared order; every field nullable; no dictionary, view, large or unsigned types;
//! times are `Timestamp(µs, "UTC")`.

mod bronze;
mod emergency;
mod events;
mod field;
mod gps;
mod ids;
mod record;
mod reference;
mod silver;
mod trace;
mod traffic;
mod truth;
mod vehicle;
mod weather;

pub use bronze::{BRONZE_PARTITIONS, GAP_TABLE, LINEAGE, bronze_schema, gap_schema};
pub use events::{Events, Harm};
pub use field::{Field, Kind, Origin};
pub use ids::{CityId, EventId};
pub use record::{Decoded, Messages, Records, SourceId};
pub use silver::{SIDE_PARTITION, SILVER_PARTITION, Side, silver_schema};

pub use trace::TraceTable;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};

use crate::error::{Error, Result};

/// One stream of events, with its default topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stream {
    /// A vehicle's own report: every 10 s under way, at ignition on and off, hourly when parked.
    Vehicle = 0,
    /// A position fix of a vehicle's receiver.
    Gps = 1,
    /// A camera's counts over its interval.
    Traffic = 2,
    /// A weather station's reading.
    Weather = 3,
    /// A step in the life of an incident.
    Emergency = 4,
    /// Roads, cameras, stations, vehicles and the city itself.
    Reference = 5,
    /// Truth: one passage of a vehicle over a road.
    TruthCrossing = 6,
    /// Truth: when and where each event really happened.
    TruthEvent = 7,
    /// Truth: each injected fault with the clean payload.
    TruthFault = 8,
}

impl Stream {
    /// The five streams of the original workflow, in its order.
    pub const EVENTS: [Stream; 5] = [Stream::Vehicle, Stream::Gps, Stream::Traffic, Stream::Weather, Stream::Emergency];

    /// The truth streams, off by default.
    pub const TRUTH: [Stream; 3] = [Stream::TruthCrossing, Stream::TruthEvent, Stream::TruthFault];

    /// Every stream.
    pub const ALL: [Stream; 9] = [
        Stream::Vehicle,
        Stream::Gps,
        Stream::Traffic,
        Stream::Weather,
        Stream::Emergency,
        Stream::Reference,
        Stream::TruthCrossing,
        Stream::TruthEvent,
        Stream::TruthFault,
    ];

    /// The stream's name: `gps`, `truth_event`.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Vehicle => "vehicle",
            Stream::Gps => "gps",
            Stream::Traffic => "traffic",
            Stream::Weather => "weather",
            Stream::Emergency => "emergency",
            Stream::Reference => "reference",
            Stream::TruthCrossing => "truth_crossing",
            Stream::TruthEvent => "truth_event",
            Stream::TruthFault => "truth_fault",
        }
    }

    /// The topic that the original scripts use for it.
    pub fn default_topic(self) -> &'static str {
        match self {
            Stream::Vehicle => "vehicle_data",
            Stream::Gps => "gps_data",
            Stream::Traffic => "traffic_data",
            Stream::Weather => "weather_data",
            Stream::Emergency => "emergency_data",
            Stream::Reference => "reference_data",
            Stream::TruthCrossing => "truth_crossing",
            Stream::TruthEvent => "truth_event",
            Stream::TruthFault => "truth_fault",
        }
    }

    /// The stream called `name`.
    ///
    /// # Errors
    /// A `Config` error that lists the names there are.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|s| s.name()).collect();
            Error::config(format!("unknown stream {name:?}")).help(format!("Choose from {}", names.join(", ")))
        })
    }

    /// The stream's columns in wire order.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Stream::Vehicle => vehicle::FIELDS,
            Stream::Gps => gps::FIELDS,
            Stream::Traffic => traffic::FIELDS,
            Stream::Weather => weather::FIELDS,
            Stream::Emergency => emergency::FIELDS,
            Stream::Reference => reference::FIELDS,
            Stream::TruthCrossing => truth::CROSSING,
            Stream::TruthEvent => truth::EVENT,
            Stream::TruthFault => truth::FAULT,
        }
    }

    /// The Arrow schema on the wire: the column names are the JSON names.
    pub fn wire_schema(self) -> SchemaRef {
        static SCHEMAS: [OnceLock<SchemaRef>; 9] = [const { OnceLock::new() }; 9];
        let fields = || self.fields().iter().map(Field::to_arrow).collect::<Vec<_>>();
        Arc::clone(SCHEMAS[self as usize].get_or_init(|| Arc::new(Schema::new(fields()))))
    }

    /// The column whose text is the Kafka key.
    pub fn key_column(self) -> &'static str {
        match self {
            Stream::Reference | Stream::TruthEvent | Stream::TruthFault => "id",
            _ => "deviceId",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_its_key_and_unique_names() {
        for stream in Stream::ALL {
            let schema = stream.wire_schema();
            assert!(schema.column_with_name(stream.key_column()).is_some(), "{}", stream.name());
            let mut names: Vec<_> = schema.fields().iter().map(|f| f.name()).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), stream.fields().len());
            assert_eq!(Stream::parse(stream.name()).ok(), Some(stream));
        }
    }

    #[test]
    fn an_unknown_stream_lists_the_known_ones() {
        let message = Stream::parse("gsp").map_err(|e| e.to_string());
        assert!(message.is_err_and(|m| m.contains("\"gsp\"") && m.contains("gps, traffic")));
    }
}

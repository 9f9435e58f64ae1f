//! Silver: one row for each valid event, in snake_case with units in the names, and the three tables for the rows that did
//! not get there.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};

use super::bronze::{column, ingested_at, position_columns, time, undecodable_columns};
use super::{Kind, Stream};

/// The column that silver partitions by; it is not in the files.
pub const SILVER_PARTITION: &str = "event_date";

/// The column that dead_letter, quarantine and duplicate partition by; it is not in the files.
pub const SIDE_PARTITION: &str = "ingest_date";

/// The tables that hold the rows which are not in silver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Records that can't be decoded.
    DeadLetter,
    /// Rows that break a rule.
    Quarantine,
    /// Dropped copies, with the row that was kept.
    Duplicate,
}

impl Side {
    /// All three, in the order in which a refinement commits them.
    pub const ALL: [Side; 3] = [Side::DeadLetter, Side::Quarantine, Side::Duplicate];

    /// The table's name without its tier.
    pub fn name(self) -> &'static str {
        match self {
            Side::DeadLetter => "dead_letter",
            Side::Quarantine => "quarantine",
            Side::Duplicate => "duplicate",
        }
    }

    /// The schema, partition column last.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: [OnceLock<SchemaRef>; 3] = [const { OnceLock::new() }; 3];
        let build = || {
            let mut columns = vec![column("stream", DataType::Utf8, "the stream that the row belongs to")];
            match self {
                Side::DeadLetter => {
                    columns.extend(undecodable_columns());
                    columns.extend(position_columns("kafka_", "the record"));
                    columns.push(column("row_in_record", DataType::Int32, "row in the record, from 0"));
                    columns.push(column("kafka_timestamp", time(), "the record's timestamp"));
                }
                Side::Quarantine => {
                    columns.push(column("id", DataType::Utf8, "the event's id, where it has one"));
                    columns.push(column("rule", DataType::Utf8, "the rule that it breaks"));
                    columns.push(column("reason", DataType::Utf8, "what the rule asks for"));
                    columns.push(column("row", DataType::Utf8, "the row as JSON object text, with the wire's names"));
                    columns.extend(position_columns("kafka_", "the row"));
                    columns.push(column("row_in_record", DataType::Int32, "row in the record, from 0"));
                }
                Side::Duplicate => {
                    columns.push(column("id", DataType::Utf8, "the event's id"));
                    columns.push(column("event_date", DataType::Date32, "UTC date of the event's time"));
                    columns.extend(position_columns("kafka_", "the dropped copy"));
                    columns.push(column("row_in_record", DataType::Int32, "row in the dropped copy's record"));
                    columns.extend(position_columns("kept_", "the copy that was kept"));
                    columns.push(column("kept_row_in_record", DataType::Int32, "row in the kept copy's record"));
                }
            }
            columns.push(ingested_at());
            columns.push(column(SIDE_PARTITION, DataType::Date32, "UTC date of ingested_at"));
            Arc::new(Schema::new(columns))
        };
        Arc::clone(SCHEMAS[self as usize].get_or_init(build))
    }
}

/// The schema of `silver.<stream>`, partition column last.
///
/// The stream's fields under their silver names, a `Point` as `lat` and `lon`; then `road_id` where the stream has none
/// (null until it is matched to the map), `h3_cell`, `lateness_s`, where the row came from, and `event_date`.
pub fn silver_schema(stream: Stream) -> SchemaRef {
    static SCHEMAS: [OnceLock<SchemaRef>; 9] = [const { OnceLock::new() }; 9];
    let build = || {
        let mut columns: Vec<ArrowField> = Vec::new();
        for field in stream.fields().iter().filter(|f| !f.silver.is_empty()) {
            if field.kind == Kind::Point {
                columns.push(column("lat", DataType::Float64, &format!("{}: latitude [deg]", field.doc)));
                columns.push(column("lon", DataType::Float64, &format!("{}: longitude [deg]", field.doc)));
            } else {
                columns.push(column(field.silver, field.kind.to_arrow(), &field.comment()));
            }
        }
        if stream == Stream::Gps {
            columns.push(column("road_id", DataType::Utf8, "the road; null until the fix is matched to the map"));
        }
        columns.push(column("h3_cell", DataType::Utf8, "H3 cell of resolution 9; null where there is no place"));
        columns.push(column("lateness_s", DataType::Float64, "sent_at minus event_time [s]"));
        columns.extend(position_columns("kafka_", "the row"));
        columns.push(column("row_in_record", DataType::Int32, "row in the record, from 0"));
        columns.push(ingested_at());
        columns.push(column(SILVER_PARTITION, DataType::Date32, "UTC date of event_time"));
        Arc::new(Schema::new(columns))
    };
    Arc::clone(SCHEMAS[stream as usize].get_or_init(build))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silver_names_are_unique_snake_case() {
        for stream in Stream::EVENTS {
            let schema = silver_schema(stream);
            let mut names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            for name in &names {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
            }
            for needed in ["id", "device_id", "event_time", "sent_at", "lat", "lon", "h3_cell", "kafka_offset"] {
                assert!(names.contains(&needed), "{}: {needed}", stream.name());
            }
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), schema.fields().len());
        }
    }
}

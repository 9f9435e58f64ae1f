//! Bronze: the wire's typed columns and what Kafka, the decoder and the clock say about each row.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use super::Stream;

/// The columns that bronze partitions by; they are not in the files.
pub const BRONZE_PARTITIONS: [&str; 2] = ["ingest_date", "decoded"];

/// Columns of a row that say where it came from, in the order in which every tier that carries them has them.
pub const LINEAGE: [&str; 5] = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record", "ingested_at"];

pub(super) fn column(name: &str, kind: DataType, doc: &str) -> ArrowField {
    ArrowField::new(name, kind, true).with_metadata([("comment".to_owned(), doc.to_owned())].into())
}

pub(super) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Raw bytes and the reason of a record that can't be decoded.
pub(super) fn undecodable_columns() -> Vec<ArrowField> {
    use DataType::{Binary, Utf8};
    vec![
        column("key", Binary, "raw key of a record that can't be decoded"),
        column("value", Binary, "raw value of a record that can't be decoded"),
        column("headers", Utf8, "its headers, a JSON object text with base64 values"),
        column("error_stage", Utf8, "the stage of decoding that failed"),
        column("error_reason", Utf8, "why, as a stable code"),
        column("error_detail", Utf8, "why, for people"),
    ]
}

/// Where a row came from: [`LINEAGE`] without `ingested_at`.
pub(super) fn position_columns(prefix: &str, of: &str) -> Vec<ArrowField> {
    use DataType::{Int32, Int64, Utf8};
    vec![
        column(&format!("{prefix}topic"), Utf8, &format!("topic of {of}")),
        column(&format!("{prefix}partition"), Int32, &format!("partition of {of}")),
        column(&format!("{prefix}offset"), Int64, &format!("offset of {of}")),
    ]
}

pub(super) fn ingested_at() -> ArrowField {
    column("ingested_at", time(), "when it was taken in, by the clock of the machine that did")
}

/// The schema of `bronze.<stream>`, partition columns last.
pub fn bronze_schema(stream: Stream) -> SchemaRef {
    static SCHEMAS: [OnceLock<SchemaRef>; 9] = [const { OnceLock::new() }; 9];
    let build = || {
        let mut columns: Vec<_> = stream
            .fields()
            .iter()
            .map(|f| f.to_arrow().with_metadata([("comment".to_owned(), f.comment())].into()))
            .collect();
        columns.push(column(
            "rescued",
            DataType::Utf8,
            "JSON object text of unknown or mistyped fields; null where there are none",
        ));
        columns.extend(undecodable_columns());
        columns.extend(position_columns("kafka_", "the record"));
        columns.push(column("row_in_record", DataType::Int32, "row in the record, from 0"));
        columns.push(column("kafka_timestamp", time(), "the record's timestamp; null where the broker has none"));
        columns.push(ingested_at());
        columns.push(column("ingest_date", DataType::Date32, "UTC date of ingested_at"));
        columns.push(column("decoded", DataType::Boolean, "whether the record could be decoded"));
        Arc::new(Schema::new(columns))
    };
    Arc::clone(SCHEMAS[stream as usize].get_or_init(build))
}

/// The table of ranges of offsets that a topic had lost before they were read; it has no partitions.
pub const GAP_TABLE: &str = "ingest_gap";

/// The schema of `bronze.ingest_gap`.
pub fn gap_schema() -> SchemaRef {
    use DataType::{Int32, Int64, Utf8};
    static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
    let build = || {
        Arc::new(Schema::new(vec![
            column("stream", Utf8, "the stream whose records are lost"),
            column("kafka_topic", Utf8, "topic"),
            column("kafka_partition", Int32, "partition"),
            column("from_offset", Int64, "the first lost offset: where reading should have gone on"),
            column("to_offset", Int64, "the first offset that was left"),
            column("offsets", Int64, "lost offsets; at most so many records, how many can't be known"),
            column("cluster_id", Utf8, "id of the Kafka cluster"),
            column("topic_id", Utf8, "id of the topic"),
            column("pipeline", Utf8, "the pipeline that met the gap"),
            column("found_at", time(), "when the row was written: at once, or after a crash by the next run"),
        ]))
    };
    Arc::clone(SCHEMA.get_or_init(build))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bronze_is_the_wire_then_where_it_came_from() {
        for stream in Stream::ALL {
            let schema = bronze_schema(stream);
            for (field, wire) in schema.fields().iter().zip(stream.wire_schema().fields()) {
                assert_eq!((field.name(), field.data_type()), (wire.name(), wire.data_type()));
            }
            let mut names: Vec<_> = schema.fields().iter().map(|f| f.name().to_lowercase()).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), schema.fields().len(), "{}: Delta's names ignore case", stream.name());
            for name in LINEAGE.iter().chain(&BRONZE_PARTITIONS) {
                assert!(schema.column_with_name(name).is_some(), "{name}");
            }
        }
    }
}

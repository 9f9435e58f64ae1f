//! Rows of dead_letter, quarantine and duplicate.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, TimestampMicrosecondType};

use super::super::files::FileSet;
use super::super::partition::{day, file_schema, split};
use super::rules::{ID_CONFLICT, Verdicts};
use super::shape::{event_dates, to_wire};
use super::text::row_texts;
use crate::error::Result;
use crate::schema::{SIDE_PARTITION, Side, Stream};

/// Records that can't be decoded, from bronze's columns.
pub(super) fn dead_letters(stream: Stream, bronze: &RecordBatch) -> Result<RecordBatch> {
    assemble(Side::DeadLetter, stream, bronze, |_| None)
}

/// The rows of `bronze` that break a rule.
pub(super) fn quarantined(stream: Stream, bronze: &RecordBatch, verdicts: &Verdicts) -> Result<RecordBatch> {
    let rows: Vec<u32> = verdicts.broken_rows().map(|r| r as u32).collect();
    let broken: Vec<_> = verdicts.broken_rows().filter_map(|r| verdicts.rule(r)).collect();
    let taken = take_record_batch(bronze, &UInt32Array::from(rows))?;
    let mut wire: Vec<usize> = Vec::new();
    for name in stream.fields().iter().map(|f| f.name).chain(["rescued"]) {
        wire.extend(taken.schema_ref().index_of(name).ok());
    }
    let texts = row_texts(&taken.project(&wire)?);
    assemble(Side::Quarantine, stream, &taken, |name| {
        Some(match name {
            "rule" => Arc::new(StringArray::from_iter_values(broken.iter().map(|r| &r.name))),
            "reason" => Arc::new(StringArray::from_iter_values(broken.iter().map(|r| &r.reason))),
            "row" => Arc::new(StringArray::from_iter_values(&texts)),
            _ => return None,
        })
    })
}

/// Rows in silver's columns whose id another event has.
pub(super) fn conflicting(stream: Stream, silver: &RecordBatch) -> Result<RecordBatch> {
    let texts = row_texts(&to_wire(stream, silver)?);
    let rows = silver.num_rows();
    assemble(Side::Quarantine, stream, silver, |name| {
        Some(match name {
            "rule" => Arc::new(StringArray::new_repeated(ID_CONFLICT.0, rows)),
            "reason" => Arc::new(StringArray::new_repeated(ID_CONFLICT.1, rows)),
            "row" => Arc::new(StringArray::from_iter_values(&texts)),
            _ => return None,
        })
    })
}

/// Dropped copies, with the copy that was kept; both in silver's columns.
pub(super) fn duplicated(stream: Stream, lost: &RecordBatch, kept: &RecordBatch) -> Result<RecordBatch> {
    assemble(Side::Duplicate, stream, lost, |name| {
        Some(match name {
            "event_date" => Arc::new(Date32Array::from(event_dates(lost))),
            "kept_row_in_record" => Arc::clone(kept.column_by_name("row_in_record")?),
            _ => Arc::clone(kept.column_by_name(&format!("kafka_{}", name.strip_prefix("kept_")?))?),
        })
    })
}

/// A side table's columns: those that `own` gives, those that `rows` has under the same name, the rest null.
fn assemble(
    side: Side,
    stream: Stream,
    rows: &RecordBatch,
    own: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch> {
    let schema = side.schema();
    let count = rows.num_rows();
    let columns = schema.fields().iter().map(|field| {
        let name = field.name().as_str();
        match name {
            "stream" => Arc::new(StringArray::new_repeated(stream.name(), count)) as ArrayRef,
            SIDE_PARTITION => ingest_dates(rows),
            _ => own(name)
                .or_else(|| rows.column_by_name(name).cloned())
                .unwrap_or_else(|| new_null_array(field.data_type(), count)),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn ingest_dates(rows: &RecordBatch) -> ArrayRef {
    let times = rows.column_by_name("ingested_at").map(AsArray::as_primitive::<TimestampMicrosecondType>);
    match times {
        Some(times) => Arc::new(times.iter().map(|time| time.map(day)).collect::<Date32Array>()),
        None => new_null_array(&DataType::Date32, rows.num_rows()),
    }
}

/// Writes rows of a side table into its files by ingest date.
pub(super) fn write(files: &mut FileSet, rows: &RecordBatch) -> Result<()> {
    for (values, part) in split(rows, &[SIDE_PARTITION.to_owned()])? {
        files.write(&values, &part)?;
    }
    Ok(())
}

/// The columns of a side table's files.
pub(super) fn side_file_schema(side: Side) -> arrow::datatypes::Schema {
    file_schema(&side.schema(), &[SIDE_PARTITION.to_owned()])
}

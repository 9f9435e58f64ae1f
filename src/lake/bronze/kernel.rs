//! Bronze without a lake: rows of records that no table of ours takes in.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int32Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;

use super::rows;
use crate::error::{Error, Result};
use crate::lake::partition::day;
use crate::schema::{Decoded, Records, SourceId, bronze_schema};

/// What decoding made of records, as bronze's rows with its partition columns: the decoded rows, and those of the records
/// that could not be decoded, where there are any.
///
/// The records may be of several topics and partitions, in any order: `topics` and `partitions` have those of each, in place
/// of [`Records::partition`].
///
/// # Errors
/// `Internal` where records and verdicts do not fit each other.
pub fn bronze_rows(
    topics: &StringArray,
    partitions: &Int32Array,
    records: &Records,
    decoded: &Decoded,
    now_us: i64,
) -> Result<Vec<RecordBatch>> {
    let nowhere = SourceId { cluster_id: String::new(), topic: String::new(), topic_id: String::new() };
    let good = rows::decoded(decoded.stream, &nowhere, records, decoded, 0, now_us)?;
    let bad = rows::undecodable(decoded.stream, &nowhere, records, decoded, 0, now_us)?;
    let schema = bronze_schema(decoded.stream);
    let mut found = Vec::new();
    for (rows, of, sound) in [(good, &decoded.good, true), (bad, &decoded.bad, false)] {
        let count = rows.num_rows();
        if count == 0 {
            continue;
        }
        let of = UInt32Array::from(of.clone());
        let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
            Ok(match field.name().as_str() {
                "kafka_topic" => take(topics, &of, None)?,
                "kafka_partition" => take(partitions, &of, None)?,
                "ingest_date" => Arc::new(Date32Array::from_value(day(now_us), count)),
                "decoded" => Arc::new(BooleanArray::from(vec![sound; count])),
                name => match rows.column_by_name(name) {
                    Some(column) => Arc::clone(column),
                    None => return Err(Error::internal(format!("bronze's rows have no column {name}"))),
                },
            })
        });
        found.push(RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_>>()?)?);
    }
    Ok(found)
}

//! Bronze's columns for a batch of records.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, UInt32Array,
    new_null_array,
};
use arrow::compute::take;

use crate::error::{Error, Result};
use crate::lake::partition::file_schema;
use crate::schema::{BRONZE_PARTITIONS, Decoded, Records, SourceId, Stream, bronze_schema};

/// Checks that records and verdicts belong together.
pub(super) fn fit(stream: Stream, records: &Records, decoded: &Decoded) -> Result<()> {
    let rows = records.offsets.len();
    let columns = [records.timestamps.len(), records.keys.len(), records.values.len(), records.headers.len()];
    let wrong = if decoded.stream != stream {
        format!("records of {} were given to the writer of {}", decoded.stream.name(), stream.name())
    } else if columns.iter().any(|&len| len != rows) || records.offsets.null_count() > 0 {
        "the columns of the records have different lengths, or an offset is null".into()
    } else if !records.offsets.values().is_sorted_by(|a, b| a < b) {
        format!("the offsets of partition {} do not ascend", records.partition)
    } else if let Some(lost) = lost_column(stream, decoded) {
        format!("decoded rows of {} have no column {lost}", stream.name())
    } else if decoded.batch.num_rows() != decoded.good.len() {
        format!("{} decoded rows stand for {} records", decoded.batch.num_rows(), decoded.good.len())
    } else if !covers(decoded, rows) {
        format!("the verdicts are not for each of {rows} records once")
    } else {
        return Ok(());
    };
    Err(Error::internal(wrong))
}

fn lost_column(stream: Stream, decoded: &Decoded) -> Option<&'static str> {
    let mut names = stream.fields().iter().map(|f| f.name).chain(["rescued"]);
    names.find(|name| decoded.batch.column_by_name(name).is_none())
}

/// Whether each record is either decoded, into one row or more, or not.
fn covers(decoded: &Decoded, rows: usize) -> bool {
    let (mut good, mut bad) = (decoded.good.iter().peekable(), decoded.bad.iter().peekable());
    for row in 0..rows as u32 {
        let mut found = false;
        while good.next_if_eq(&&row).is_some() {
            found = true;
        }
        if bad.next_if_eq(&&row).is_some() {
            if found {
                return false;
            }
            found = true;
        }
        if !found {
            return false;
        }
    }
    let reasons = [decoded.error_stage.len(), decoded.error_reason.len(), decoded.error_detail.len()];
    good.next().is_none() && bad.next().is_none() && reasons == [decoded.bad.len(); 3]
}

/// The rows of the records from `skip` on that were decoded.
pub(super) fn decoded(
    stream: Stream,
    source: &SourceId,
    records: &Records,
    decoded: &Decoded,
    skip: usize,
    now_us: i64,
) -> Result<RecordBatch> {
    let first = decoded.good.partition_point(|&row| (row as usize) < skip);
    let good = &decoded.good[first..];
    let typed = decoded.batch.slice(first, good.len());
    let mut row_in_record = Vec::with_capacity(good.len());
    for (i, row) in good.iter().enumerate() {
        let next = if i > 0 && good[i - 1] == *row { row_in_record[i - 1] + 1 } else { 0_i32 };
        row_in_record.push(next);
    }
    let given = |name: &str| typed.column_by_name(name).cloned();
    assemble(stream, source, records, good, row_in_record, now_us, given)
}

/// The rows of the records from `skip` on that could not be decoded.
pub(super) fn undecodable(
    stream: Stream,
    source: &SourceId,
    records: &Records,
    decoded: &Decoded,
    skip: usize,
    now_us: i64,
) -> Result<RecordBatch> {
    let first = decoded.bad.partition_point(|&row| (row as usize) < skip);
    let bad = &decoded.bad[first..];
    let rows = UInt32Array::from(bad.to_vec());
    let keys = take(&records.keys, &rows, None)?;
    let values = take(&records.values, &rows, None)?;
    let headers = take(&records.headers, &rows, None)?;
    let given = |name: &str| -> Option<ArrayRef> {
        Some(match name {
            "key" => Arc::clone(&keys),
            "value" => Arc::clone(&values),
            "headers" => Arc::clone(&headers),
            "error_stage" => Arc::new(StringArray::from(decoded.error_stage[first..].to_vec())),
            "error_reason" => Arc::new(StringArray::from(decoded.error_reason[first..].to_vec())),
            "error_detail" => Arc::new(StringArray::from_iter_values(&decoded.error_detail[first..])),
            _ => return None,
        })
    };
    assemble(stream, source, records, bad, vec![0; bad.len()], now_us, given)
}

fn assemble(
    stream: Stream,
    source: &SourceId,
    records: &Records,
    rows: &[u32],
    row_in_record: Vec<i32>,
    now_us: i64,
    given: impl Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch> {
    let schema = Arc::new(file_schema(&bronze_schema(stream), &BRONZE_PARTITIONS.map(String::from)));
    let count = rows.len();
    let indices = UInt32Array::from(rows.to_vec());
    let row_in_record: ArrayRef = Arc::new(Int32Array::from(row_in_record));
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
        Ok(match field.name().as_str() {
            "kafka_topic" => Arc::new(StringArray::new_repeated(&source.topic, count)),
            "kafka_partition" => Arc::new(Int32Array::from_value(records.partition, count)),
            "kafka_offset" => take(&records.offsets, &indices, None)?,
            "row_in_record" => Arc::clone(&row_in_record),
            "kafka_timestamp" => {
                let taken = take(&records.timestamps, &indices, None)?;
                arrow::compute::cast(&taken, field.data_type())?
            }
            "ingested_at" => Arc::new(TimestampMicrosecondArray::from_value(now_us, count).with_timezone("UTC")),
            name => given(name).unwrap_or_else(|| new_null_array(field.data_type(), count)),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

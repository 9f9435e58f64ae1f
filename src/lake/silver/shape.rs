//! From the wire's columns to silver's and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, ListArray, RecordBatch, RecordBatchOptions, StringBuilder,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Float64Type, SchemaRef, TimestampMicrosecondType};

use super::super::partition::{day, file_schema};
use super::cell::CellFinder;
use crate::error::{Error, Result};
use crate::schema::{Kind, SILVER_PARTITION, Stream, silver_schema};

/// The columns of silver's files: without the partition column.
pub(super) fn silver_file_schema(stream: Stream) -> SchemaRef {
    Arc::new(file_schema(&silver_schema(stream), &[SILVER_PARTITION.to_owned()]))
}

/// The rows of `batch`, which has the wire's columns and where its rows came from, under silver's names and without
/// `event_date`. Row `i` stays row `i`. `finder` remembers cells from batch to batch; its results do not depend on it.
///
/// # Errors
/// `Config` where a column is missing.
pub fn to_silver(stream: Stream, batch: &RecordBatch, finder: &mut CellFinder) -> Result<RecordBatch> {
    let schema = silver_file_schema(stream);
    let given = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or_else(|| Error::config(format!("rows of {} have no column {name}", stream.name())))
    };
    let point = stream.fields().iter().find(|f| f.kind == Kind::Point);
    let place = point.map(|field| Ok::<_, Error>(split(given(field.name)?))).transpose()?;
    let columns = schema.fields().iter().map(|column| -> Result<ArrayRef> {
        let name = column.name().as_str();
        if let Some(field) = stream.fields().iter().find(|f| f.silver == name) {
            return Ok(Arc::clone(given(field.name)?));
        }
        Ok(match (name, &place) {
            ("lat", Some((lat, _))) => Arc::new(lat.clone()),
            ("lon", Some((_, lon))) => Arc::new(lon.clone()),
            ("h3_cell", Some((lat, lon))) => cells(lat, lon, finder),
            ("lateness_s", _) => lateness(given("timestamp")?, given("sentAt")?),
            ("road_id" | "h3_cell", _) => new_null_array(&DataType::Utf8, batch.num_rows()),
            _ => Arc::clone(given(name)?),
        })
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns.collect::<Result<_>>()?, &options)?)
}

/// The wire's columns of silver rows, for the rows' text in quarantine.
pub(super) fn to_wire(stream: Stream, batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = stream.wire_schema();
    let columns = stream.fields().iter().map(|field| -> Result<ArrayRef> {
        let named = |name: &str| batch.column_by_name(name);
        Ok(match (field.kind, named("lat"), named("lon")) {
            (Kind::Point, Some(lat), Some(lon)) => {
                join(lat.as_primitive(), lon.as_primitive(), &field.kind.to_arrow())?
            }
            _ => {
                named(field.silver).map_or_else(|| new_null_array(&field.kind.to_arrow(), batch.num_rows()), Arc::clone)
            }
        })
    });
    Ok(RecordBatch::try_new(schema, columns.collect::<Result<_>>()?)?)
}

/// Days since the epoch of each row's `event_time`; 0 where it is null.
pub(super) fn event_dates(silver: &RecordBatch) -> Vec<i32> {
    let times = silver.column_by_name("event_time").map(AsArray::as_primitive::<TimestampMicrosecondType>);
    times.map_or_else(Vec::new, |t| t.values().iter().map(|&us| day(us)).collect())
}

fn split(points: &ArrayRef) -> (Float64Array, Float64Array) {
    let points = points.as_list::<i32>();
    let degrees = points.values().as_primitive::<Float64Type>();
    let (mut lat, mut lon) = (Float64Builder::with_capacity(points.len()), Float64Builder::with_capacity(points.len()));
    for row in 0..points.len() {
        let from = points.value_offsets()[row] as usize;
        let two = points.value_offsets()[row + 1] as usize - from == 2;
        if points.is_valid(row) && two && degrees.is_valid(from) && degrees.is_valid(from + 1) {
            lat.append_value(degrees.value(from));
            lon.append_value(degrees.value(from + 1));
        } else {
            lat.append_null();
            lon.append_null();
        }
    }
    (lat.finish(), lon.finish())
}

fn join(lat: &Float64Array, lon: &Float64Array, kind: &DataType) -> Result<ArrayRef> {
    let degrees: Float64Array = lat.iter().zip(lon).flat_map(|(a, b)| [a, b]).collect();
    let DataType::List(item) = kind else { return Err(Error::internal("a point is a list")) };
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, lat.len()));
    let nulls = NullBuffer::union(lat.nulls(), lon.nulls());
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, Arc::new(degrees), nulls)?))
}

fn cells(lat: &Float64Array, lon: &Float64Array, finder: &mut CellFinder) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(lat.len(), lat.len() * 15);
    for (lat, lon) in lat.iter().zip(lon) {
        out.append_option(lat.zip(lon).and_then(|(lat, lon)| finder.find(lat, lon)));
    }
    Arc::new(out.finish())
}

fn lateness(time: &ArrayRef, sent: &ArrayRef) -> ArrayRef {
    let (time, sent) =
        (time.as_primitive::<TimestampMicrosecondType>(), sent.as_primitive::<TimestampMicrosecondType>());
    let seconds = time.iter().zip(sent).map(|(time, sent)| Some((sent? - time?) as f64 / 1e6));
    Arc::new(seconds.collect::<Float64Array>())
}

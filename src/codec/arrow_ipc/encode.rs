//! Events → messages of many rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, RecordBatch, StringArray, StructArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field as ArrowField, Fields, Float64Type, Schema, SchemaRef};
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use crate::codec::batch::{key_column, missing, mistyped};
use crate::codec::names::{Names, WireName};
use crate::error::{Error, Result};
use crate::schema::{Events, Field, Harm, Kind, Messages, Stream};

/// A message's value is not longer than this unless a single row is: below the 1,000,000 bytes that Kafka's clients take by
/// default, headers included.
pub const MAX_MESSAGE_BYTES: usize = 900_000;

/// Messages and what is in them.
#[derive(Debug, Clone)]
pub struct Batches {
    /// In the order of their last rows.
    pub messages: Messages,
    /// Rows of each.
    pub rows: Vec<u32>,
    /// The last row of each in the batch that was encoded.
    pub last: Vec<u32>,
}

/// Encodes batches of one stream.
#[derive(Debug)]
pub struct Encoder {
    stream: Stream,
    schema: SchemaRef,
    max_bytes: usize,
}

impl Encoder {
    /// An encoder for `stream`, whose fields have these names.
    pub fn new(stream: Stream, names: &Names) -> Self {
        let schema = Arc::new(Schema::new(renamed(stream.fields(), names.of(stream))));
        Self { stream, schema, max_bytes: MAX_MESSAGE_BYTES }
    }

    /// Sets the length above which a message is divided, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Messages of the rows whose keys `partition` puts together; rows without a key are a group of their own.
    ///
    /// # Errors
    /// `Config` where the events are of another stream, a column of the stream is missing or of another type, a point is
    /// not finite, or a row is to be harmed: a message of many rows can't be.
    pub fn encode(&self, events: &Events, partition: impl Fn(&[u8]) -> i32) -> Result<Batches> {
        let Events { stream, batch, harm } = events;
        if *stream != self.stream {
            let (ours, theirs) = (self.stream.name(), stream.name());
            return Err(Error::config(format!("events of {theirs} in an encoder for {ours}")));
        }
        if let Some(harm) = harm.iter().find(|harm| **harm != Harm::None) {
            let text = format!("{} messages in Arrow IPC can't be harmed by {}", stream.name(), harm.name());
            return Err(Error::config(text).help("Faults that harm bytes need format json"));
        }
        let keys = key_column(*stream, batch)?;
        let batch = self.conform(batch)?;
        let mut groups: BTreeMap<Option<i32>, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            let group = keys.is_valid(row).then(|| partition(keys.value(row).as_bytes()));
            groups.entry(group).or_default().push(row as u32);
        }
        let mut made = Vec::new();
        for rows in groups.values() {
            let size = batch.get_array_memory_size() * rows.len() / batch.num_rows().max(1);
            for part in rows.chunks(rows.len().div_ceil(size / self.max_bytes + 1).max(1)) {
                self.write(&batch, part, &mut made)?;
            }
        }
        made.sort_by_key(|(rows, _)| rows.last().copied());
        let key = |rows: &Vec<u32>| {
            let row = rows.first().map_or(0, |row| *row as usize);
            keys.is_valid(row).then(|| keys.value(row))
        };
        let messages = Messages {
            stream: *stream,
            keys: made.iter().map(|(rows, _)| key(rows)).collect::<StringArray>(),
            values: BinaryArray::from_iter_values(made.iter().map(|(_, bytes)| bytes)),
        };
        let rows = made.iter().map(|(rows, _)| rows.len() as u32).collect();
        let last = made.iter().map(|(rows, _)| rows.last().copied().unwrap_or(0)).collect();
        Ok(Batches { messages, rows, last })
    }

    /// A message of these rows, or several where it would be too long.
    fn write(&self, batch: &RecordBatch, rows: &[u32], made: &mut Vec<(Vec<u32>, Vec<u8>)>) -> Result<()> {
        let part = take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?;
        let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &self.schema, options)?;
        writer.write(&part)?;
        let bytes = writer.into_inner()?;
        if bytes.len() > self.max_bytes && rows.len() > 1 {
            let (first, second) = rows.split_at(rows.len() / 2);
            self.write(batch, first, made)?;
            return self.write(batch, second, made);
        }
        made.push((rows.to_vec(), bytes));
        Ok(())
    }

    /// The stream's columns alone, named as on the wire, without numbers that are none.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.stream.fields().iter().zip(self.schema.fields()).map(|(field, named)| {
            let array = batch.column_by_name(field.name).ok_or_else(|| missing(self.stream, field))?;
            if *array.data_type() != field.kind.to_arrow() {
                return Err(mistyped(self.stream, field, array));
            }
            finite(self.stream, field, array, named.data_type())
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?)?)
    }
}

fn renamed(fields: &[Field], names: &[WireName]) -> Fields {
    let rename = |(field, wire): (&Field, &WireName)| {
        let kind = match field.kind {
            Kind::Struct(inner) => DataType::Struct(renamed(inner, &wire.inner)),
            kind => kind.to_arrow(),
        };
        ArrowField::new(&wire.name, kind, true)
    };
    fields.iter().zip(names).map(rename).collect()
}

/// The column as `data_type`, with null for a number that is not finite, as JSON says it.
fn finite(stream: Stream, field: &Field, array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let all_finite = |numbers: &Float64Array| numbers.values().iter().all(|v| v.is_finite());
    match (field.kind, data_type) {
        (Kind::Double, _) => {
            let numbers = array.as_primitive::<Float64Type>();
            if all_finite(numbers) {
                return Ok(Arc::clone(array));
            }
            Ok(Arc::new(numbers.iter().map(|v| v.filter(|v| v.is_finite())).collect::<Float64Array>()))
        }
        (Kind::Point | Kind::Line, _) => {
            let lists = array.as_list::<i32>();
            let numbers = match field.kind {
                Kind::Line => lists.values().as_list::<i32>().values(),
                _ => lists.values(),
            };
            let pairs = |lists: &arrow::array::ListArray| {
                (0..lists.len()).all(|row| lists.is_null(row) || lists.value_length(row) == 2)
            };
            let pairs = if field.kind == Kind::Line { pairs(lists.values().as_list()) } else { pairs(lists) };
            if !pairs || numbers.null_count() > 0 || !all_finite(numbers.as_primitive::<Float64Type>()) {
                let text = format!("{}: {:?} has a point that is not two finite numbers", stream.name(), field.name);
                return Err(Error::config(text));
            }
            Ok(Arc::clone(array))
        }
        (Kind::Struct(inner), DataType::Struct(named)) => {
            let structs = array.as_struct();
            let columns = inner.iter().zip(structs.columns()).zip(named);
            let columns = columns.map(|((field, column), named)| finite(stream, field, column, named.data_type()));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let nulls = structs.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(named.clone(), columns, nulls, structs.len())?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

//! What the encoders have in common: the columns that they look for, and the messages that they end with.

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Events, Field, Harm, Messages, Stream};

pub(super) fn key_column(stream: Stream, batch: &RecordBatch) -> Result<StringArray> {
    let name = stream.key_column();
    let array = batch.column_by_name(name).and_then(|a| a.as_any().downcast_ref::<StringArray>());
    array.cloned().ok_or_else(|| Error::config(format!("{}: no text column {name:?} for the keys", stream.name())))
}

pub(super) fn missing(stream: Stream, field: &Field) -> Error {
    Error::new(ErrorKind::Config, format!("{}: column {:?} is missing", stream.name(), field.name))
}

pub(super) fn mistyped(stream: Stream, field: &Field, array: &dyn Array) -> Error {
    let (expected, found) = (field.kind.to_arrow(), array.data_type());
    Error::new(ErrorKind::Config, format!("{}: column {:?} is {found}, expected {expected}", stream.name(), field.name))
}

/// Where a message of `events` ends, as an offset into their values.
#[inline]
pub(super) fn message_end(events: &Events, end: usize) -> Result<i32> {
    i32::try_from(end).map_err(|_| {
        let (stream, rows) = (events.stream.name(), events.batch.num_rows());
        Error::config(format!("{stream}: {rows} rows make over 2 GiB of messages")).help("Use smaller batches")
    })
}

/// The messages whose values are `bytes` between `offsets`; a tombstone has none.
pub(super) fn messages(events: &Events, keys: StringArray, offsets: Vec<i32>, bytes: Vec<u8>) -> Result<Messages> {
    let harm = &events.harm;
    let nulls = harm.contains(&Harm::Tombstone).then(|| harm.iter().map(|h| *h != Harm::Tombstone).collect());
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let values = BinaryArray::try_new(offsets, Buffer::from_vec(bytes), nulls.map(NullBuffer::new))?;
    Ok(Messages { stream: events.stream, keys, values })
}

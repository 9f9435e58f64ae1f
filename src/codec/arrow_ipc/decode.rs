//! Messages of many rows → events.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::ipc;

use super::CONTINUATION;
use crate::codec::json::{MAX_RECORD_BYTES, decoded_schema};
use crate::codec::names::{Names, WireName};
use crate::codec::verdict::Verdict;
use crate::error::Result;
use crate::schema::{Decoded, Field, Kind, Stream};

/// Why a message can't be read: a stable code, and for people.
type Fault = (&'static str, String);
type Read<T> = std::result::Result<T, Fault>;

fn fault<T>(reason: &'static str, what: impl Into<String>) -> Read<T> {
    Err((reason, what.into()))
}

/// Decodes records of one stream.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    names: Names,
}

impl Decoder {
    /// A decoder for `stream`, whose fields have these names.
    pub fn new(stream: Stream, names: &Names) -> Self {
        Self { stream, names: names.clone() }
    }

    /// The verdict on each value: its rows, or the reason why it has none.
    ///
    /// # Errors
    /// `Internal` only: whatever stands in the values is a verdict, not an error.
    pub fn decode_values(&self, values: &BinaryArray) -> Result<Decoded> {
        let mut verdict = Verdict::with_capacity(values.len());
        let schema = decoded_schema(self.stream);
        let mut batches = Vec::new();
        for row in 0..values.len() {
            let Some(bytes) = verdict.bytes(values, row, MAX_RECORD_BYTES) else { continue };
            match self.message(bytes) {
                Ok((rows, mut columns)) => {
                    verdict.good.resize(verdict.good.len() + rows, row as u32);
                    columns.push(new_null_array(&DataType::Utf8, rows));
                    batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
                }
                Err((reason, what)) => verdict.bad(row, "arrow", reason, what),
            }
        }
        Ok(verdict.decoded(self.stream, concat_batches(&schema, &batches)?))
    }

    fn message(&self, bytes: &[u8]) -> Read<(usize, Vec<ArrayRef>)> {
        let mut stream = Parts { bytes, at: 0 };
        let (fields, names) = (self.stream.fields(), self.names.of(self.stream));
        let mut places = None;
        let mut rows = None;
        while let Some((head, body)) = stream.next()? {
            // A copy, since flatbuffers wants its numbers aligned.
            let head = Buffer::from_slice_ref(head);
            let Ok(message) = ipc::root_as_message(&head) else {
                return fault("malformed", "a part's description is damaged");
            };
            let length = usize::try_from(message.bodyLength()).unwrap_or(usize::MAX);
            let Some(body) = body.get(..length) else {
                return fault("truncated", format!("a part of {length} bytes goes over the end of the message"));
            };
            stream.at += length;
            if let Some(schema) = message.header_as_schema() {
                if places.is_some() || schema.endianness() != ipc::Endianness::Little {
                    return fault("malformed", "the schema stands there twice, or is not little-endian");
                }
                places = Some(places_of(schema.fields().into_iter().flatten().collect(), fields, names)?);
            } else if let Some(batch) = message.header_as_record_batch() {
                let Some(places) = &places else { return fault("malformed", "the batch comes before its schema") };
                if rows.is_some() {
                    return fault("not_one_batch", "the message has several record batches");
                }
                rows = Some(columns(batch, body, places, fields)?);
            } else {
                return fault("schema_mismatch", "the message has dictionaries or tensors");
            }
        }
        match rows {
            None => fault("not_one_batch", "the message has no record batch"),
            Some((0, _)) => fault("empty_batch", "the record batch has no rows"),
            Some(rows) => Ok(rows),
        }
    }
}

/// The parts of a stream: description, and all that follows it.
struct Parts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parts<'a> {
    fn next(&mut self) -> Read<Option<(&'a [u8], &'a [u8])>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let Some((&[a, b, c, d, e, f, g, h], rest)) = rest.split_first_chunk::<8>() else {
            return fault("truncated", format!("byte {}: the message ends within a part's length", self.at));
        };
        if [a, b, c, d] != CONTINUATION {
            return fault("malformed", format!("byte {}: no part of a stream", self.at));
        }
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        if length == 0 {
            return match rest {
                [] => Ok(None),
                _ => fault("malformed", format!("byte {}: something follows the end of the stream", self.at + 8)),
            };
        }
        let (Some(head), Some(body)) = (rest.get(..length), rest.get(length..)) else {
            return fault("truncated", format!("byte {}: a description of {length} bytes goes over the end", self.at));
        };
        self.at += 8 + length;
        Ok(Some((head, body)))
    }
}

/// Where each of our columns stands among the message's, in the message's order.
#[derive(Debug, Clone)]
struct Place {
    column: usize,
    /// Of a struct.
    inner: Vec<Place>,
}

fn places_of(found: Vec<ipc::Field>, fields: &[Field], names: &[WireName]) -> Read<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    for theirs in found {
        let name = theirs.name().unwrap_or_default();
        let Some(column) = names.iter().position(|wire| wire.name == name) else {
            return fault("schema_mismatch", format!("column {name:?} is unknown"));
        };
        if places.iter().any(|place| place.column == column) {
            return fault("schema_mismatch", format!("column {name:?} stands there twice"));
        }
        let mut inner = Vec::new();
        if let (Some(Kind::Struct(fields)), Some(wire)) = (fields.get(column).map(|f| f.kind), names.get(column))
            && theirs.type_type() == ipc::Type::Struct_
        {
            inner = places_of(theirs.children().into_iter().flatten().collect(), fields, &wire.inner)?;
        }
        let kind = fields.get(column).map_or(Kind::Text, |field| field.kind);
        if !is_of(theirs, kind) {
            let (expected, type_name) = (kind.to_arrow(), theirs.type_type().variant_name().unwrap_or("unknown"));
            return fault("schema_mismatch", format!("column {name:?} is {type_name}, expected {expected}"));
        }
        places.push(Place { column, inner });
    }
    match names.iter().enumerate().find(|(at, _)| !places.iter().any(|place| place.column == *at)) {
        Some((_, wire)) => fault("schema_mismatch", format!("column {:?} is missing", wire.name)),
        None => Ok(places),
    }
}

/// Whether a column has the type of `kind`. The fields of a struct are looked at one by one.
fn is_of(field: ipc::Field, kind: Kind) -> bool {
    if field.dictionary().is_some() {
        return false;
    }
    let int = |bits| field.type_as_int().is_some_and(|int| int.is_signed() && int.bitWidth() == bits);
    let list_of = |kind| {
        let children = field.children();
        let child = children.filter(|children| children.len() == 1).map(|children| children.get(0));
        field.type_type() == ipc::Type::List && child.is_some_and(|child| is_of(child, kind))
    };
    match kind {
        Kind::Text => field.type_type() == ipc::Type::Utf8,
        Kind::Int => int(32),
        Kind::Long => int(64),
        Kind::Double => field.type_as_floating_point().is_some_and(|float| float.precision() == ipc::Precision::DOUBLE),
        Kind::Time => field.type_as_timestamp().is_some_and(|time| {
            time.unit() == ipc::TimeUnit::MICROSECOND && matches!(time.timezone(), Some("UTC" | "+00:00"))
        }),
        Kind::Point => list_of(Kind::Double),
        Kind::Ints => list_of(Kind::Int),
        Kind::Line => list_of(Kind::Point),
        Kind::Struct(_) => field.type_type() == ipc::Type::Struct_,
    }
}

fn columns(batch: ipc::RecordBatch, body: &[u8], places: &[Place], fields: &[Field]) -> Read<(usize, Vec<ArrayRef>)> {
    if batch.compression().is_some() {
        return fault("compressed", "the buffers are compressed; Kafka's own compression is meant for that");
    }
    let Ok(rows) = usize::try_from(batch.length()) else { return fault("malformed", "a negative number of rows") };
    let mut body = Body { bytes: body, batch, node: 0, buffer: 0 };
    let columns = body.structs(rows, places, fields)?;
    Ok((rows, columns))
}

/// The buffers of a batch, one after the other.
struct Body<'a> {
    bytes: &'a [u8],
    batch: ipc::RecordBatch<'a>,
    node: usize,
    buffer: usize,
}

impl<'a> Body<'a> {
    fn buffer(&mut self) -> Read<&'a [u8]> {
        let all = self.batch.buffers();
        let Some(found) = all.filter(|all| self.buffer < all.len()).map(|all| all.get(self.buffer)) else {
            return fault("malformed", "a buffer is missing");
        };
        self.buffer += 1;
        let range = (usize::try_from(found.offset()).ok(), usize::try_from(found.length()).ok());
        let bytes = match range {
            (Some(start), Some(length)) => self.bytes.get(start..).and_then(|rest| rest.get(..length)),
            _ => None,
        };
        bytes.map_or_else(|| fault("truncated", "a buffer goes over the end of the message"), Ok)
    }

    /// The next column's length, and which of its values are null.
    fn node(&mut self, length: Option<usize>) -> Read<(usize, Option<NullBuffer>)> {
        let all = self.batch.nodes();
        let Some(found) = all.filter(|all| self.node < all.len()).map(|all| *all.get(self.node)) else {
            return fault("malformed", "a column is missing");
        };
        self.node += 1;
        let found_length = usize::try_from(found.length()).ok().filter(|found| length.is_none_or(|l| l == *found));
        let Some(length) = found_length else { return fault("malformed", "columns have different lengths") };
        let bits = self.buffer()?;
        if bits.is_empty() && found.null_count() == 0 {
            return Ok((length, None));
        }
        let Some(bits) = bits.get(..length.div_ceil(8)) else {
            return fault("malformed", "a column says which values are null for too few of them");
        };
        let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_slice_ref(bits), 0, length));
        Ok((length, Some(nulls).filter(|nulls| nulls.null_count() > 0)))
    }

    fn numbers<const N: usize, T>(&mut self, length: usize, number: impl Fn([u8; N]) -> T) -> Read<Vec<T>> {
        let bytes = self.buffer()?;
        let wanted = length.checked_mul(N).and_then(|wanted| bytes.get(..wanted));
        let Some(bytes) = wanted else { return fault("malformed", "a column has too few values") };
        Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect())
    }

    /// Offsets that ascend and end at most at what `end` then says.
    fn offsets(&mut self, length: usize) -> Read<OffsetBuffer<i32>> {
        if length == 0 {
            self.buffer()?;
            return Ok(OffsetBuffer::new_empty());
        }
        let offsets = self.numbers(length.saturating_add(1), i32::from_le_bytes)?;
        if !offsets.is_sorted() || offsets.first().is_none_or(|first| *first < 0) {
            return fault("malformed", "a column's offsets do not ascend");
        }
        Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
    }

    fn column(&mut self, length: Option<usize>, field: &Field, place: &Place) -> Read<ArrayRef> {
        Ok(match field.kind {
            Kind::Struct(fields) => {
                let (length, nulls) = self.node(length)?;
                let columns = self.structs(length, &place.inner, fields)?;
                let DataType::Struct(named) = field.kind.to_arrow() else { return fault("malformed", "no struct") };
                Arc::new(StructArray::try_new_with_length(named, columns, nulls, length).map_err(unsound)?)
            }
            kind => self.plain(length, kind, field.name)?,
        })
    }

    fn plain(&mut self, length: Option<usize>, kind: Kind, name: &str) -> Read<ArrayRef> {
        let (length, nulls) = self.node(length)?;
        Ok(match kind {
            Kind::Text => {
                let offsets = self.offsets(length)?;
                let text = self.buffer()?;
                let made = StringArray::try_new(offsets, Buffer::from_slice_ref(text), nulls);
                Arc::new(made.map_err(|cause| ("invalid_utf8", format!("column {name:?}: {cause}")))?)
            }
            Kind::Int => Arc::new(Int32Array::new(self.numbers(length, i32::from_le_bytes)?.into(), nulls)),
            Kind::Long => Arc::new(Int64Array::new(self.numbers(length, i64::from_le_bytes)?.into(), nulls)),
            Kind::Double => {
                let numbers = Float64Array::new(self.numbers(length, f64::from_le_bytes)?.into(), nulls);
                if numbers.iter().flatten().any(|value| !value.is_finite()) {
                    return fault("not_finite", format!("column {name:?} has a number that is not finite"));
                }
                Arc::new(numbers)
            }
            Kind::Time => {
                let values = self.numbers(length, i64::from_le_bytes)?;
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Kind::Point => self.list(length, nulls, kind, Kind::Double, name)?,
            Kind::Ints => self.list(length, nulls, kind, Kind::Int, name)?,
            Kind::Line => self.list(length, nulls, kind, Kind::Point, name)?,
            Kind::Struct(_) => return fault("malformed", "a struct where there is none"),
        })
    }

    fn list(&mut self, length: usize, nulls: Option<NullBuffer>, kind: Kind, item: Kind, name: &str) -> Read<ArrayRef> {
        let offsets = self.offsets(length)?;
        let items = self.plain(None, item, name)?;
        let DataType::List(item) = kind.to_arrow() else { return fault("malformed", "no list") };
        let lists = ListArray::try_new(item, offsets, items, nulls).map_err(unsound)?;
        // Points within lines, and their numbers, can't be absent.
        let whole = match kind {
            Kind::Point => {
                let pairs = (0..length).all(|row| lists.is_null(row) || lists.value_length(row) == 2);
                pairs && lists.values().null_count() == 0
            }
            Kind::Line => lists.values().null_count() == 0,
            _ => true,
        };
        if whole {
            Ok(Arc::new(lists))
        } else {
            fault("malformed", format!("column {name:?} has a point that is no pair"))
        }
    }

    /// Columns in our order, read in theirs.
    fn structs(&mut self, length: usize, places: &[Place], fields: &[Field]) -> Read<Vec<ArrayRef>> {
        let mut columns: Vec<Option<ArrayRef>> = vec![None; fields.len()];
        for place in places {
            let (Some(field), Some(column)) = (fields.get(place.column), columns.get_mut(place.column)) else {
                continue;
            };
            *column = Some(self.column(Some(length), field, place)?);
        }
        let columns: Option<Vec<_>> = columns.into_iter().collect();
        columns.map_or_else(|| fault("malformed", "a column is missing"), Ok)
    }
}

fn unsound(cause: arrow::error::ArrowError) -> Fault {
    ("malformed", cause.to_string())
}

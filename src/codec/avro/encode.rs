//! Events → messages: from Arrow arrays straight to bytes.

use arrow::array::{
    Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};

use super::MAGIC;
use crate::codec::batch::{key_column, message_end, messages, missing, mistyped};
use crate::codec::corrupt::{Damage, cut_at, damage, push_pill};
use crate::error::{Error, Result};
use crate::schema::{Events, Field, Harm, Kind, Messages, Stream};

/// Encodes batches of one stream by the schema of [`schema_text`](super::schema_text).
#[derive(Debug)]
pub struct Encoder {
    stream: Stream,
    id: u32,
    bytes_per_row: usize,
}

impl Encoder {
    /// An encoder for `stream`, whose schema a registry keeps under `id`.
    pub fn new(stream: Stream, id: u32) -> Self {
        Self { stream, id, bytes_per_row: 128 }
    }

    /// One message a row, in the rows' order. Harm is done to the bytes: a message is cut short, has no value, or is a pill.
    ///
    /// # Errors
    /// `Config` where the events are of another stream, a column of the stream is missing or of another type, a point is no
    /// pair of numbers, a harm needs another schema, or the messages don't fit in one array (2 GiB).
    pub fn encode(&mut self, events: &Events) -> Result<Messages> {
        let Events { stream, batch, harm } = events;
        if *stream != self.stream {
            let (ours, theirs) = (self.stream.name(), stream.name());
            return Err(Error::config(format!("events of {theirs} in an encoder for {ours}")));
        }
        let keys = key_column(*stream, batch)?;
        let columns = cells(*stream, batch)?;
        let [a, b, c, d] = self.id.to_be_bytes();
        let header = [MAGIC, a, b, c, d];
        let mut out: Vec<u8> = Vec::with_capacity(batch.num_rows() * self.bytes_per_row + 64);
        let mut offsets = Vec::with_capacity(batch.num_rows() + 1);
        offsets.push(0);
        let ids = batch.column_by_name("id").and_then(|a| a.as_any().downcast_ref::<StringArray>());
        for row in 0..batch.num_rows() {
            let start = out.len();
            let id = || ids.filter(|ids| ids.is_valid(row)).map_or("", |ids| ids.value(row)).as_bytes();
            let damage = match harm.get(row) {
                None | Some(Harm::None) => None,
                Some(&harm) => Some(damage(*stream, harm, id()).ok_or_else(|| unable(*stream, harm))?),
            };
            match damage {
                Some(Damage::Tombstone) => {}
                Some(Damage::Pill(pill)) => push_pill(pill, id(), &mut out),
                None | Some(Damage::Cut) => {
                    out.extend_from_slice(&header);
                    for cells in &columns {
                        cells.write(row, &mut out).map_err(|what| wrong(*stream, row, what))?;
                    }
                    if damage.is_some() {
                        out.truncate(start + cut_at(&out[start..], id()));
                    }
                }
                Some(_) => return Err(unable(*stream, harm.get(row).copied().unwrap_or(Harm::None))),
            }
            offsets.push(message_end(events, out.len())?);
        }
        self.bytes_per_row = out.len() / batch.num_rows().max(1) + 1;
        messages(events, keys, offsets, out)
    }
}

fn unable(stream: Stream, harm: Harm) -> Error {
    Error::config(format!("{} messages in Avro can't be harmed by {}", stream.name(), harm.name()))
        .help("Only bad_json, tombstone and poison_pill harm any bytes; the others need format json")
}

fn wrong(stream: Stream, row: usize, what: &str) -> Error {
    Error::config(format!("{}: row {row}: {what}", stream.name()))
}

fn cells(stream: Stream, batch: &RecordBatch) -> Result<Vec<Cells<'_>>> {
    let columns = stream.fields().iter().map(|field| {
        let array = batch.column_by_name(field.name).ok_or_else(|| missing(stream, field))?;
        Cells::new(field.kind, array).ok_or_else(|| mistyped(stream, field, array))
    });
    columns.collect()
}

/// One column with its type resolved.
enum Cells<'a> {
    Text(&'a StringArray),
    Int(&'a Int32Array),
    Long(&'a Int64Array),
    Double(&'a Float64Array),
    Time(&'a TimestampMicrosecondArray),
    Point(&'a ListArray, &'a Float64Array),
    Ints(&'a ListArray, &'a Int32Array),
    Line(&'a ListArray, &'a ListArray, &'a Float64Array),
    Struct(&'a StructArray, Vec<Cells<'a>>),
}

impl<'a> Cells<'a> {
    fn new(kind: Kind, array: &'a dyn Array) -> Option<Self> {
        let any = array.as_any();
        Some(match kind {
            Kind::Text => Cells::Text(any.downcast_ref()?),
            Kind::Int => Cells::Int(any.downcast_ref()?),
            Kind::Long => Cells::Long(any.downcast_ref()?),
            Kind::Double => Cells::Double(any.downcast_ref()?),
            Kind::Time => Cells::Time(any.downcast_ref()?),
            Kind::Point => {
                let lists: &ListArray = any.downcast_ref()?;
                Cells::Point(lists, lists.values().as_any().downcast_ref()?)
            }
            Kind::Ints => {
                let lists: &ListArray = any.downcast_ref()?;
                Cells::Ints(lists, lists.values().as_any().downcast_ref()?)
            }
            Kind::Line => {
                let lines: &ListArray = any.downcast_ref()?;
                let points: &ListArray = lines.values().as_any().downcast_ref()?;
                Cells::Line(lines, points, points.values().as_any().downcast_ref()?)
            }
            Kind::Struct(fields) => {
                let structs: &StructArray = any.downcast_ref()?;
                let inner = |f: &Field| Self::new(f.kind, structs.column_by_name(f.name)?);
                Cells::Struct(structs, fields.iter().map(inner).collect::<Option<_>>()?)
            }
        })
    }

    /// Appends the branch of null and the value.
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        match self {
            Cells::Text(texts) if texts.is_valid(row) => {
                out.push(VALUE);
                let text = texts.value(row);
                push_long(out, text.len() as i64);
                out.extend_from_slice(text.as_bytes());
            }
            Cells::Int(ints) if ints.is_valid(row) => {
                out.push(VALUE);
                push_long(out, ints.value(row).into());
            }
            Cells::Long(longs) if longs.is_valid(row) => {
                out.push(VALUE);
                push_long(out, longs.value(row));
            }
            Cells::Double(doubles) if doubles.is_valid(row) && doubles.value(row).is_finite() => {
                out.push(VALUE);
                out.extend_from_slice(&doubles.value(row).to_le_bytes());
            }
            Cells::Time(times) if times.is_valid(row) => {
                out.push(VALUE);
                push_long(out, times.value(row));
            }
            Cells::Point(lists, numbers) if lists.is_valid(row) => {
                out.push(VALUE);
                push_point(lists, numbers, row, out)?;
            }
            Cells::Ints(lists, ints) if lists.is_valid(row) => {
                out.push(VALUE);
                push_items(lists, row, out, |at, out| {
                    if ints.is_valid(at) {
                        out.push(VALUE);
                        push_long(out, ints.value(at).into());
                    } else {
                        out.push(NULL);
                    }
                    Ok(())
                })?;
            }
            Cells::Line(lines, points, numbers) if lines.is_valid(row) => {
                out.push(VALUE);
                push_items(lines, row, out, |at, out| {
                    if points.is_valid(at) { push_point(points, numbers, at, out) } else { Err(NO_POINT) }
                })?;
            }
            Cells::Struct(structs, inner) if structs.is_valid(row) => {
                out.push(VALUE);
                for cells in inner {
                    cells.write(row, out)?;
                }
            }
            _ => out.push(NULL),
        }
        Ok(())
    }
}

/// The branches of a union of null and another type, as they are written.
const NULL: u8 = 0;
const VALUE: u8 = 2;

const NO_POINT: &str = "a point is not two finite numbers";

fn push_point(
    lists: &ListArray,
    numbers: &Float64Array,
    row: usize,
    out: &mut Vec<u8>,
) -> std::result::Result<(), &'static str> {
    let first = lists.value_offsets()[row] as usize;
    if lists.value_length(row) != 2 {
        return Err(NO_POINT);
    }
    push_long(out, 2);
    for at in [first, first + 1] {
        if numbers.is_null(at) || !numbers.value(at).is_finite() {
            return Err(NO_POINT);
        }
        out.extend_from_slice(&numbers.value(at).to_le_bytes());
    }
    out.push(END);
    Ok(())
}

/// The end of an array.
const END: u8 = 0;

fn push_items(
    lists: &ListArray,
    row: usize,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> std::result::Result<(), &'static str>,
) -> std::result::Result<(), &'static str> {
    let offsets = lists.value_offsets();
    let (first, end) = (offsets[row] as usize, offsets[row + 1] as usize);
    if end > first {
        push_long(out, (end - first) as i64);
        for at in first..end {
            item(at, out)?;
        }
    }
    out.push(END);
    Ok(())
}

/// Zigzag, seven bits a byte, the lowest first.
#[inline]
fn push_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

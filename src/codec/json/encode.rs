//! Events → messages: from Arrow arrays straight to bytes.

use arrow::array::{
    Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};

use super::escape::{is_clean, push_escaped};
use super::number::{push_double, push_int};
use super::time::TimeWriter;
use crate::codec::batch::{key_column, message_end, messages, missing, mistyped};
use crate::codec::corrupt::{Damage, cut_at, damage, push_pill};
use crate::codec::names::{Names, WireName};
use crate::error::{Error, Result};
use crate::schema::{Events, Field, Harm, Kind, Messages, Stream};

/// Encodes `events`; see [`Encoder::encode`].
pub fn encode(events: &Events) -> Result<Messages> {
    Encoder::new(events.stream).encode(events)
}

/// The message of one row as it is without harm, as JSON text.
///
/// # Errors
/// As [`Encoder::encode`]; also `Config` where there is no such row.
pub fn encode_row_clean(events: &Events, row: usize) -> Result<String> {
    if row >= events.batch.num_rows() {
        let rows = events.batch.num_rows();
        return Err(Error::config(format!("{}: row {row} of a batch of {rows} rows", events.stream.name())));
    }
    let mut out = Vec::new();
    Encoder::new(events.stream).columns(&events.batch.slice(row, 1))?.write(0, None, &mut out);
    String::from_utf8(out).map_err(|e| Error::internal("the encoder wrote text that is not UTF-8").because(e))
}

/// Encodes batches of one stream.
#[derive(Debug)]
pub struct Encoder {
    stream: Stream,
    names: Names,
    prefixes: Vec<Prefix>,
    values: Vec<u8>,
    offsets: Vec<i32>,
    bytes_per_row: usize,
}

impl Encoder {
    /// An encoder for `stream`.
    pub fn new(stream: Stream) -> Self {
        Self::named(stream, Names::contract())
    }

    /// An encoder for `stream` whose fields have these names.
    pub fn named(stream: Stream, names: &Names) -> Self {
        Self {
            stream,
            names: names.clone(),
            prefixes: Prefix::of(names.of(stream)),
            values: Vec::new(),
            offsets: Vec::new(),
            bytes_per_row: 256,
        }
    }

    /// One message a row, in the rows' order; harmed rows are harmed as `events.harm` says, a tombstone's value is null. Keys share the key column's
    /// memory. Columns are found by name; others than the stream's are ignored.
    ///
    /// # Errors
    /// `Config` where the events are of another stream, a column of the stream is missing or of another type, or the
    /// messages don't fit in one array (2 GiB).
    pub fn encode(&mut self, events: &Events) -> Result<Messages> {
        let Events { stream, batch, harm } = events;
        if *stream != self.stream {
            let (ours, theirs) = (self.stream.name(), stream.name());
            return Err(Error::config(format!("events of {theirs} in an encoder for {ours}")));
        }
        if !harm.is_empty() && harm.len() != batch.num_rows() {
            let (marks, rows) = (harm.len(), batch.num_rows());
            return Err(Error::config(format!("{}: {marks} harm marks for {rows} rows", stream.name())));
        }
        let keys = key_column(*stream, batch)?;
        let (mut out, mut offsets) = (std::mem::take(&mut self.values), std::mem::take(&mut self.offsets));
        out.clear();
        out.reserve(batch.num_rows() * self.bytes_per_row + 64);
        offsets.clear();
        offsets.reserve(batch.num_rows() + 1);
        offsets.push(0);

        let ids = batch.column_by_name("id").and_then(|a| a.as_any().downcast_ref::<StringArray>());
        let mut columns = self.columns(batch)?;
        for row in 0..batch.num_rows() {
            match harm.get(row) {
                None | Some(Harm::None) => columns.write(row, None, &mut out),
                Some(&harm) => {
                    let id = ids.filter(|ids| ids.is_valid(row)).map_or("", |ids| ids.value(row)).as_bytes();
                    let start = out.len();
                    let damage = damage(*stream, harm, id).ok_or_else(|| {
                        Error::config(format!("{} messages can't be harmed by {}", stream.name(), harm.name()))
                    })?;
                    match damage {
                        Damage::Tombstone => {}
                        Damage::Pill(pill) => push_pill(pill, id, &mut out),
                        _ => columns.write(row, Some(damage), &mut out),
                    }
                    if damage == Damage::Cut {
                        out.truncate(start + cut_at(&out[start..], id));
                    }
                }
            }
            offsets.push(message_end(events, out.len())?);
        }

        self.bytes_per_row = out.len() / batch.num_rows().max(1) + 1;
        messages(events, keys, offsets, out)
    }

    /// Takes the memory of messages that are no longer needed for the next batch, if nobody shares it.
    pub fn recycle(&mut self, messages: Messages) {
        let (offsets, values, _) = messages.values.into_parts();
        if let Ok(values) = values.into_vec() {
            self.values = values;
        }
        if let Ok(offsets) = offsets.into_inner().into_inner().into_vec() {
            self.offsets = offsets;
        }
    }

    fn columns<'a>(&'a self, batch: &'a RecordBatch) -> Result<Object<'a>> {
        let columns = self.stream.fields().iter().map(|field| {
            let array = batch.column_by_name(field.name).ok_or_else(|| missing(self.stream, field))?;
            Cells::new(field, array).ok_or_else(|| mistyped(self.stream, field, array))
        });
        Ok(Object {
            stream: self.stream,
            names: &self.names,
            prefixes: &self.prefixes,
            cells: columns.collect::<Result<_>>()?,
        })
    }
}

/// Appends the first `len` of `bytes`. A copy of known size is a few moves; one of unknown size is a call.
#[inline]
pub(super) fn put<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

const PREFIX: usize = 32;

/// What stands before a field's value: `,"speed":` and, for a text, the opening quote.
#[derive(Debug)]
struct Prefix {
    bytes: [u8; PREFIX],
    /// Length without the quote.
    len: usize,
    /// All of it, with the quote, where it is longer than `bytes`; else empty.
    long: Vec<u8>,
    /// The fields of a struct.
    inner: Vec<Prefix>,
}

impl Prefix {
    fn of(names: &[WireName]) -> Vec<Prefix> {
        names.iter().map(Self::new).collect()
    }

    fn new(wire: &WireName) -> Self {
        let text = format!(",\"{}\":\"", wire.name).into_bytes();
        let mut bytes = [0; PREFIX];
        // A test holds the contract's names to this length; only a renamed field may be longer.
        let fits = text.get(..PREFIX.min(text.len())).unwrap_or_default();
        bytes[..fits.len()].copy_from_slice(fits);
        let (len, long) = (text.len() - 1, if text.len() > PREFIX { text } else { Vec::new() });
        Self { bytes, len, long, inner: Self::of(&wire.inner) }
    }

    #[inline]
    fn push(&self, out: &mut Vec<u8>) {
        self.push_bytes(self.len, out);
    }

    #[inline]
    fn push_with_quote(&self, out: &mut Vec<u8>) {
        self.push_bytes(self.len + 1, out);
    }

    #[inline]
    fn push_bytes(&self, len: usize, out: &mut Vec<u8>) {
        if self.long.is_empty() {
            put(out, &self.bytes, len);
        } else {
            self.push_long(len, out);
        }
    }

    #[cold]
    fn push_long(&self, len: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.long.get(..len).unwrap_or_default());
    }
}

/// The columns of an object, with their types resolved.
struct Object<'a> {
    stream: Stream,
    names: &'a Names,
    prefixes: &'a [Prefix],
    cells: Vec<Cells<'a>>,
}

impl Object<'_> {
    /// Appends the object of one row. A struct that is null is left out.
    #[inline]
    fn write(&mut self, row: usize, damage: Option<Damage>, out: &mut Vec<u8>) {
        let start = out.len();
        match damage {
            None | Some(Damage::Cut) => {
                for (prefix, cells) in self.prefixes.iter().zip(&mut self.cells) {
                    cells.write_member(row, prefix, out);
                }
            }
            Some(damage) => self.write_damaged(row, damage, out),
        }
        close(out, start, b'{', b'}');
    }

    #[cold]
    fn write_damaged(&mut self, row: usize, damage: Damage, out: &mut Vec<u8>) {
        for (at, (prefix, cells)) in self.prefixes.iter().zip(&mut self.cells).enumerate() {
            match damage {
                Damage::Omit(field) if field == at => {}
                Damage::Replace(field, json) if field == at => {
                    prefix.push(out);
                    out.extend_from_slice(json.as_bytes());
                }
                Damage::Rename(field, name) if field == at => {
                    for part in [",\"", &self.names.unknown(self.stream, name), "\":"] {
                        out.extend_from_slice(part.as_bytes());
                    }
                    cells.write(row, out);
                }
                Damage::Quote(field) if field == at => {
                    prefix.push_with_quote(out);
                    cells.write(row, out);
                    out.push(b'"');
                }
                _ => cells.write_member(row, prefix, out),
            }
        }
        if let Damage::Add(member) = damage
            && let Some((name, value)) = member.split_once(':')
        {
            let name = self.names.unknown(self.stream, name.trim_matches('"'));
            for part in [",\"", &name, "\":", value] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
}

/// One column with its type resolved.
enum Cells<'a> {
    /// With whether no value of the column needs an escape.
    Text(&'a StringArray, bool),
    Int(&'a Int32Array),
    Long(&'a Int64Array),
    Double(&'a Float64Array),
    Time(&'a TimestampMicrosecondArray, TimeWriter),
    List(&'a ListArray, Box<Cells<'a>>),
    Struct(&'a StructArray, Vec<Cells<'a>>),
}

impl<'a> Cells<'a> {
    /// `None` where the array has another type than the field says.
    fn new(field: &Field, array: &'a dyn Array) -> Option<Self> {
        Self::of_kind(field.kind, array)
    }

    fn of_kind(kind: Kind, array: &'a dyn Array) -> Option<Self> {
        let any = array.as_any();
        let list = |item: Kind| {
            let lists: &ListArray = any.downcast_ref()?;
            Some(Cells::List(lists, Box::new(Self::of_kind(item, lists.values())?)))
        };
        match kind {
            Kind::Text => any.downcast_ref().map(|texts| Cells::Text(texts, has_clean_values(texts))),
            Kind::Int => any.downcast_ref().map(Cells::Int),
            Kind::Long => any.downcast_ref().map(Cells::Long),
            Kind::Double => any.downcast_ref().map(Cells::Double),
            Kind::Time => any.downcast_ref().map(|times| Cells::Time(times, TimeWriter::new())),
            Kind::Point => list(Kind::Double),
            Kind::Ints => list(Kind::Int),
            Kind::Line => list(Kind::Point),
            Kind::Struct(fields) => {
                let structs: &StructArray = any.downcast_ref()?;
                let inner = |f: &Field| Self::new(f, structs.column_by_name(f.name)?);
                Some(Cells::Struct(structs, fields.iter().map(inner).collect::<Option<_>>()?))
            }
        }
    }

    /// Appends a comma, the name and the value of one row; nothing for a struct that is null.
    #[inline]
    fn write_member(&mut self, row: usize, prefix: &Prefix, out: &mut Vec<u8>) {
        match self {
            Cells::Text(texts, clean) if texts.is_valid(row) => {
                prefix.push_with_quote(out);
                push_text(out, texts.value(row).as_bytes(), *clean);
                out.push(b'"');
            }
            Cells::Struct(structs, inner) => {
                if structs.is_valid(row) {
                    prefix.push(out);
                    write_struct(inner, row, &prefix.inner, out);
                }
            }
            _ => {
                prefix.push(out);
                self.write(row, out);
            }
        }
    }

    /// Appends the value of one row.
    #[inline]
    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        match self {
            Cells::Double(values) if values.is_valid(row) => push_double(out, values.value(row)),
            Cells::Int(values) if values.is_valid(row) => push_int(out, values.value(row)),
            Cells::Long(values) if values.is_valid(row) => push_int(out, values.value(row)),
            Cells::Time(values, writer) if values.is_valid(row) => match writer.write(values.value(row)) {
                Some(text) => out.extend_from_slice(text),
                None => out.extend_from_slice(b"null"),
            },
            Cells::Text(texts, clean) if texts.is_valid(row) => {
                out.push(b'"');
                push_text(out, texts.value(row).as_bytes(), *clean);
                out.push(b'"');
            }
            Cells::List(lists, items) if lists.is_valid(row) => {
                let offsets = lists.value_offsets();
                let start = out.len();
                for item in offsets[row] as usize..offsets[row + 1] as usize {
                    out.push(b',');
                    items.write(item, out);
                }
                close(out, start, b'[', b']');
            }
            _ => out.extend_from_slice(b"null"),
        }
    }
}

fn write_struct(cells: &mut [Cells], row: usize, prefixes: &[Prefix], out: &mut Vec<u8>) {
    let start = out.len();
    for (prefix, cells) in prefixes.iter().zip(cells) {
        cells.write_member(row, prefix, out);
    }
    close(out, start, b'{', b'}');
}

/// Ends what began at `start`. Each item was written with a comma before it; the first one's is the opening bracket's
/// place.
#[inline]
fn close(out: &mut Vec<u8>, start: usize, opening: u8, closing: u8) {
    match out.get_mut(start) {
        Some(comma) => *comma = opening,
        None => out.push(opening),
    }
    out.push(closing);
}

#[inline]
fn push_text(out: &mut Vec<u8>, text: &[u8], clean: bool) {
    if clean {
        out.extend_from_slice(text);
    } else {
        push_escaped(out, text);
    }
}

fn has_clean_values(texts: &StringArray) -> bool {
    let offsets = texts.value_offsets();
    let first = offsets.first().map_or(0, |&o| o as usize);
    let last = offsets.last().map_or(0, |&o| o as usize);
    is_clean(&texts.value_data()[first..last])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(fields: &[Field]) -> usize {
        let inner = |f: &Field| if let Kind::Struct(fields) = f.kind { longest(fields) } else { 0 };
        fields.iter().map(|f| f.name.len().max(inner(f))).max().unwrap_or(0)
    }

    #[test]
    fn every_name_fits_in_its_prefix() {
        for stream in Stream::ALL {
            let longest = longest(stream.fields());
            assert!(longest > 4 && longest + 5 <= PREFIX, "{}: {longest}", stream.name());
        }
    }
}

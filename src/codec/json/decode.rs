//! Messages → events.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};

use super::object::Object;
use super::parse::{Fault, Parser, Stop};
use crate::codec::build::Texts;
use crate::codec::names::Names;
use crate::codec::verdict::Verdict;
use crate::error::Result;
use crate::schema::{Decoded, Records, Stream};

/// The largest record that is decoded unless [`Decoder::max_bytes`] says otherwise, in bytes: four times what Kafka
/// lets through by default. A larger one is bad, `too_large`.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// Decodes `records` as messages of `stream`; see [`Decoder::decode`].
pub fn decode(stream: Stream, records: &Records) -> Result<Decoded> {
    Decoder::new(stream).decode(records)
}

/// The schema of [`Decoded::batch`]: the stream's wire schema and `rescued`.
pub fn decoded_schema(stream: Stream) -> SchemaRef {
    static SCHEMAS: [OnceLock<SchemaRef>; Stream::ALL.len()] = [const { OnceLock::new() }; Stream::ALL.len()];
    let make = || {
        let wire = stream.wire_schema();
        let rescued = Arc::new(ArrowField::new("rescued", DataType::Utf8, true));
        Arc::new(Schema::new(wire.fields().iter().cloned().chain([rescued]).collect::<Vec<_>>()))
    };
    Arc::clone(SCHEMAS[stream as usize].get_or_init(make))
}

/// Decodes records of one stream. It remembers the order of fields in the last message, so that a producer with another
/// order is read as fast.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    root: Object,
    rescued: Texts,
    max_bytes: usize,
}

impl Decoder {
    /// A decoder for `stream`.
    pub fn new(stream: Stream) -> Self {
        Self::named(stream, Names::contract())
    }

    /// A decoder for `stream` whose fields have these names. A field with the contract's name is unknown then.
    pub fn named(stream: Stream, names: &Names) -> Self {
        let root = Object::new(stream.fields(), names.of(stream));
        Self { stream, root, rescued: Texts::new(), max_bytes: MAX_RECORD_BYTES }
    }

    /// Sets the size above which a record is bad, in bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The verdict on each record: a row, or the reason why it is none.
    ///
    /// # Errors
    /// `Internal` only: whatever stands in the records is a verdict, not an error.
    pub fn decode(&mut self, records: &Records) -> Result<Decoded> {
        self.decode_values(&records.values)
    }

    /// As [`Self::decode`], for the values alone.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_values(&mut self, values: &BinaryArray) -> Result<Decoded> {
        let mut verdict = Verdict::with_capacity(values.len());
        self.root.reserve(values.len());
        self.rescued.reserve(values.len());
        let all = AllText::new(values);
        for row in 0..values.len() {
            let Some(bytes) = verdict.bytes(values, row, self.max_bytes) else { continue };
            let text = match all.row(row) {
                Some(text) => text,
                None => match std::str::from_utf8(bytes) {
                    Ok(text) => text,
                    Err(e) => {
                        verdict.bad(row, "utf8", "invalid_utf8", format!("byte {}: not UTF-8", e.valid_up_to()));
                        continue;
                    }
                },
            };
            match self.record(text) {
                Ok(()) => verdict.good.push(row as u32),
                Err(Fault { reason, what, at }) => verdict.bad(row, "json", reason, format!("byte {at}: {what}")),
            }
        }

        let schema = decoded_schema(self.stream);
        let mut columns = self.root.finish(schema.fields())?;
        columns.push(Arc::new(self.rescued.finish()?));
        Ok(verdict.decoded(self.stream, RecordBatch::try_new(schema, columns)?))
    }

    /// Appends one row, or nothing.
    fn record(&mut self, text: &str) -> Result<(), Fault> {
        let rows = self.root.rows();
        let mut parser = Parser::new(text);
        let (rescued, open) = self.rescued.open_value();
        if let Err(Stop) = read_record(&mut parser, &mut self.root, rescued, open) {
            self.root.truncate(rows);
            self.rescued.truncate(rows);
            return Err(parser.fault());
        }
        if rescued.len() == open {
            self.rescued.null();
        } else {
            rescued.push('}');
            self.rescued.end_value();
        }
        Ok(())
    }
}

fn read_record(parser: &mut Parser, root: &mut Object, rescued: &mut String, open: usize) -> Result<(), Stop> {
    parser.skip_space();
    let start = parser.pos();
    match parser.peek() {
        Some(b'{') => root.read(parser, rescued, open)?,
        None => return Err(parser.unexpected("the record is empty")),
        Some(_) => parser.skip_value()?,
    }
    let object = parser.since(start).starts_with('{');
    parser.skip_space();
    if parser.peek().is_some() {
        return Err(parser.fail("syntax", "something follows the value"));
    }
    if object {
        return Ok(());
    }
    parser.rewind(start, 0);
    Err(parser.fail("not_an_object", "the record is another JSON value than an object"))
}

/// The values of a batch as text, checked at once where all of it is UTF-8, as nearly always.
struct AllText<'a> {
    text: &'a str,
    base: i32,
    offsets: &'a [i32],
}

impl<'a> AllText<'a> {
    fn new(values: &'a BinaryArray) -> Self {
        let offsets = values.value_offsets();
        let (base, end) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
        let bytes = values.value_data().get(base as usize..end as usize).unwrap_or(&[]);
        // An empty text has no rows, so that each is looked at by itself.
        Self { text: std::str::from_utf8(bytes).unwrap_or(""), base, offsets }
    }

    /// The row's text; `None` where the row has to be checked by itself, also where it begins or ends within a character.
    #[inline]
    fn row(&self, row: usize) -> Option<&'a str> {
        let (start, end) = (self.offsets.get(row)? - self.base, self.offsets.get(row + 1)? - self.base);
        self.text.get(start as usize..end as usize)
    }
}

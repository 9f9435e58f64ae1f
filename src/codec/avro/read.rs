//! Avro's binary encoding, read from bytes that nobody has checked.

use std::fmt::Write;

use super::writer::{Type, Writer};

/// Levels of values in values.
const MAX_DEPTH: u32 = 64;

/// Why a record can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// A stable code.
    pub reason: &'static str,
    /// For people.
    pub what: &'static str,
    /// The byte.
    pub at: usize,
}

pub(super) type Read<T> = Result<T, Fault>;

/// A place in a message. It counts its steps: a few bytes of a hostile schema could else stand for endless work.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub at: usize,
    steps: usize,
    depth: u32,
    /// Where the JSON text of what does not fit must end.
    text_end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from `at` on. [`Self::render`] appends to a text that has `text` bytes already.
    pub(super) fn new(bytes: &'a [u8], at: usize, text: usize) -> Self {
        // Names come from the schema, so that a short message can stand for a long text; all of a batch's are one array.
        let text_end = text + 16 * bytes.len() + 16 * 1024;
        Self { bytes, at, steps: 10_000 + 8 * bytes.len(), depth: 0, text_end }
    }

    #[cold]
    pub(super) fn fail(&self, reason: &'static str, what: &'static str) -> Fault {
        Fault { reason, what, at: self.at }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub(super) fn long(&mut self) -> Read<i64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.fail("truncated", "the message ends within a number"));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit.
                if shift == 63 && byte > 1 {
                    return Err(self.fail("malformed", "a number has more than 64 bits"));
                }
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
            if shift > 63 {
                return Err(self.fail("malformed", "a number has more than ten bytes"));
            }
        }
    }

    pub(super) fn int(&mut self) -> Read<i32> {
        let start = self.at;
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Fault { reason: "malformed", what: "an int has more than 32 bits", at: start })
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.get(..count));
        let Some(found) = found else { return Err(self.fail("truncated", "the message ends within a value")) };
        self.at += count;
        Ok(found)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let found = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let Some(found) = found else { return Err(self.fail("truncated", "the message ends within a value")) };
        self.at += N;
        Ok(*found)
    }

    #[inline]
    pub(super) fn double(&mut self) -> Read<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    pub(super) fn float(&mut self) -> Read<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    fn boolean(&mut self) -> Read<bool> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.fail("malformed", "a boolean is neither 0 nor 1")),
        }
    }

    pub(super) fn blob(&mut self) -> Read<&'a [u8]> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.fail("malformed", "a length is negative")),
        }
    }

    #[inline]
    pub(super) fn text(&mut self) -> Read<&'a str> {
        let bytes = self.blob()?;
        std::str::from_utf8(bytes).map_err(|_| self.fail("invalid_utf8", "a string is not UTF-8"))
    }

    /// The index of a union's branch or of an enum's symbol, of so many.
    #[inline]
    pub(super) fn index(&mut self, count: usize) -> Read<usize> {
        let index = usize::try_from(self.long()?).unwrap_or(usize::MAX);
        if index < count { Ok(index) } else { Err(self.fail("malformed", "the schema has no such branch or symbol")) }
    }

    /// Calls `item` for each item of an array or map.
    pub(super) fn items(&mut self, mut item: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        loop {
            let mut count = self.long()?;
            if count < 0 {
                // The block's size in bytes follows, for readers that skip.
                self.long()?;
                count = count.checked_neg().unwrap_or(i64::MAX);
            }
            if count == 0 {
                return Ok(());
            }
            if usize::try_from(count).is_ok_and(|count| count > self.left()) {
                return Err(self.fail("truncated", "an array has more items than the message has bytes"));
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }

    /// Goes a level down.
    #[inline]
    pub(super) fn enter(&mut self) -> Read<()> {
        self.depth += 1;
        self.steps = self.steps.saturating_sub(1);
        if self.depth > MAX_DEPTH || self.steps == 0 {
            return Err(self.fail("too_deep", "values stand in values without end"));
        }
        Ok(())
    }

    /// Comes up again.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn rewind(&mut self, at: usize, depth: u32) {
        (self.at, self.depth) = (at, depth);
    }

    /// Passes over a value and appends it as JSON text: bytes in base64, what is not finite as its name in quotes.
    pub(super) fn render(&mut self, kind: &Type, writer: &Writer, out: &mut String) -> Read<()> {
        self.enter()?;
        if out.len() > self.text_end {
            return Err(self.fail("too_large", "what does not fit is far longer as JSON than as Avro"));
        }
        match kind {
            Type::Null => out.push_str("null"),
            Type::Boolean => out.push_str(if self.boolean()? { "true" } else { "false" }),
            Type::Int => push(out, self.int()?),
            Type::Long | Type::Millis | Type::Micros => push(out, self.long()?),
            Type::Float => push_number(out, f64::from(self.float()?)),
            Type::Double => push_number(out, self.double()?),
            Type::Text => push_text(out, self.text()?),
            Type::Bytes => push_base64(out, self.blob()?),
            Type::Fixed(size) => push_base64(out, self.take(*size)?),
            Type::Enum(symbols) => {
                let at = self.index(symbols.len())?;
                push_text(out, symbols.get(at).map_or("", String::as_str));
            }
            Type::Array(item) => {
                out.push('[');
                let start = out.len();
                self.items(|reader| {
                    separate(out, start);
                    reader.render(item, writer, out)
                })?;
                out.push(']');
            }
            Type::Map(item) => {
                out.push('{');
                let start = out.len();
                self.items(|reader| {
                    separate(out, start);
                    push_text(out, reader.text()?);
                    out.push(':');
                    reader.render(item, writer, out)
                })?;
                out.push('}');
            }
            Type::Union(branches) => {
                let at = self.index(branches.len())?;
                self.render(branches.get(at).unwrap_or(&Type::Null), writer, out)?;
            }
            Type::Record(number) => {
                out.push('{');
                let start = out.len();
                for field in writer.fields(*number) {
                    separate(out, start);
                    push_text(out, &field.name);
                    out.push(':');
                    self.render(&field.kind, writer, out)?;
                }
                out.push('}');
            }
        }
        self.leave();
        Ok(())
    }
}

fn separate(out: &mut String, start: usize) {
    if out.len() > start {
        out.push(',');
    }
}

fn push(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn push_number(out: &mut String, value: f64) {
    if value.is_finite() {
        out.push_str(zmij::Buffer::new().format_finite(value));
    } else {
        // A String never refuses.
        let _ = write!(out, "\"{value}\"");
    }
}

fn push_base64(out: &mut String, bytes: &[u8]) {
    use base64::Engine as _;
    out.push('"');
    base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
    out.push('"');
}

/// A text in quotes.
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

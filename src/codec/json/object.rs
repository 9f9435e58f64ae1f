//! Objects: which field comes next, and what becomes of fields that don't fit.

use arrow::array::ArrayRef;
use arrow::datatypes::Fields;

use super::column::{Column, Structs};
use super::parse::{Parsed, Parser};
use crate::codec::names::WireName;
use crate::error::Result;
use crate::schema::Field;

/// The columns of a stream or struct, filled object by object.
#[derive(Debug)]
pub(super) struct Object {
    names: Vec<Name>,
    columns: Vec<Column>,
    /// The field that came after this one in the last object; the last entry stands for the start of the object.
    next: Vec<u8>,
    rows: usize,
}

impl Object {
    /// At most 64 fields, which a test of every stream holds.
    pub(super) fn new(fields: &'static [Field], names: &[WireName]) -> Self {
        let count = fields.len();
        Self {
            names: names.iter().map(|wire| Name::new(&wire.name)).collect(),
            columns: fields.iter().zip(names).map(|(f, wire)| Column::new(f.kind, &wire.inner)).collect(),
            next: (0..=count).map(|i| if i == count { 0 } else { (i + 1) as u8 }).collect(),
            rows: 0,
        }
    }

    /// Makes room for `rows` more.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|c| c.reserve(rows));
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a row from the object whose brace the parser stands at. Fields that don't fit are appended to `rescued` as
    /// members of an object whose text begins at `open`; the object is left unclosed, and empty where all fit.
    ///
    /// On `Err` the columns may hold parts of a row; [`Self::truncate`] removes them.
    #[inline]
    pub(super) fn read(&mut self, parser: &mut Parser, rescued: &mut String, open: usize) -> Parsed<()> {
        parser.open()?;
        let mut seen = 0_u64;
        if parser.peek() == Some(b'}') {
            parser.close();
        } else {
            let mut last = self.columns.len();
            loop {
                let name_start = parser.pos();
                let field = self.name(parser, last)?;
                let name = parser.since(name_start);
                parser.colon()?;
                match field.filter(|&f| seen >> f & 1 == 0) {
                    Some(field) => {
                        seen |= 1 << field;
                        last = field;
                        self.value(parser, field, name, rescued, open)?;
                    }
                    None => rescue(parser, name, rescued, open)?,
                }
                if !parser.more(b'}')? {
                    break;
                }
            }
        }
        self.fill(seen);
        Ok(())
    }

    /// Appends a value of `field`, or null where it doesn't fit.
    #[inline]
    fn value(
        &mut self,
        parser: &mut Parser,
        field: usize,
        name: &str,
        rescued: &mut String,
        open: usize,
    ) -> Parsed<()> {
        let Some(column) = self.columns.get_mut(field) else { return parser.skip_value() };
        let (start, depth) = (parser.pos(), parser.depth());
        let fits = match column {
            Column::Struct(structs) if parser.peek() == Some(b'{') => {
                return structs.read(parser, name, rescued, open);
            }
            _ => column.value(parser)?,
        };
        if !fits {
            column.null();
            parser.rewind(start, depth);
            rescue(parser, name, rescued, open)?;
        }
        Ok(())
    }

    /// Passes over a name. The field it names; `None` where it names none.
    #[inline]
    fn name(&mut self, parser: &mut Parser, last: usize) -> Parsed<Option<usize>> {
        let guess = self.next.get(last).map_or(0, |&n| usize::from(n));
        if let Some(name) = self.names.get(guess)
            && name.stands_in(parser.rest())
        {
            parser.advance(name.len);
            return Ok(Some(guess));
        }
        self.other_name(parser, last)
    }

    fn other_name(&mut self, parser: &mut Parser, last: usize) -> Parsed<Option<usize>> {
        if parser.peek() != Some(b'"') {
            return Err(parser.unexpected("a name in quotes was expected"));
        }
        let find = |name: &str| self.names.iter().position(|n| n.text == name);
        let field = if let Some(name) = parser.plain_string()? {
            find(name)
        } else {
            let mut name = String::new();
            parser.string(&mut name)?;
            find(&name)
        };
        if let (Some(field), Some(next)) = (field, self.next.get_mut(last)) {
            *next = field as u8;
        }
        Ok(field)
    }

    /// Ends a row: fields that were not seen are null.
    #[inline]
    fn fill(&mut self, seen: u64) {
        self.rows += 1;
        if seen.count_ones() as usize == self.columns.len() {
            return;
        }
        for (at, column) in self.columns.iter_mut().enumerate() {
            if seen >> at & 1 == 0 {
                column.null();
            }
        }
    }

    /// Appends a row of nulls.
    pub(super) fn null(&mut self) {
        self.fill(0);
    }

    /// Forgets all rows from `rows` on, and parts of a row.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|c| c.truncate(rows));
        self.rows = rows;
    }

    /// The columns; the builder is empty again.
    pub(super) fn finish(&mut self, fields: &Fields) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().zip(fields).map(|(column, field)| column.finish(field.data_type())).collect()
    }
}

impl Structs {
    #[inline]
    fn read(&mut self, parser: &mut Parser, name: &str, rescued: &mut String, open: usize) -> Parsed<()> {
        let before = rescued.len();
        push_name(rescued, open, name);
        let inner = rescued.len();
        self.object.read(parser, rescued, inner)?;
        self.nulls.append_non_null();
        if rescued.len() == inner {
            rescued.truncate(before);
        } else {
            rescued.push('}');
        }
        Ok(())
    }
}

/// Passes over the value at the parser and appends it to the object that begins at `open`.
#[cold]
fn rescue(parser: &mut Parser, name: &str, rescued: &mut String, open: usize) -> Parsed<()> {
    let start = parser.pos();
    parser.skip_value()?;
    push_name(rescued, open, name);
    rescued.push_str(parser.since(start));
    Ok(())
}

/// Name, as it stands in its quotes, and value of the first member of an object's text.
pub(super) fn first_member(object: &str) -> Option<(&str, &str)> {
    let mut parser = Parser::new(object);
    let member = |parser: &mut Parser<'_>| -> Parsed<(usize, usize, usize)> {
        parser.open()?;
        let name = parser.pos();
        parser.skip_value()?;
        let name_end = parser.pos();
        parser.colon()?;
        let value = parser.pos();
        parser.skip_value()?;
        Ok((name, name_end, value))
    };
    let (name, name_end, value) = member(&mut parser).ok()?;
    Some((object.get(name + 1..name_end - 1)?, parser.since(value)))
}

/// `name` stands in its quotes.
fn push_name(rescued: &mut String, open: usize, name: &str) {
    rescued.push(if rescued.len() == open { '{' } else { ',' });
    rescued.push_str(name);
    rescued.push(':');
}

/// A name in quotes, made to be compared in three words.
#[derive(Debug)]
struct Name {
    text: String,
    words: [u64; 3],
    masks: [u64; 3],
    len: usize,
}

impl Name {
    fn new(name: &str) -> Self {
        let text = format!("\"{name}\"");
        let (mut bytes, mut mask) = ([0_u8; 24], [0_u8; 24]);
        // A name that is too long never stands in a text, and is found by the slow way.
        let fits = text.len() <= bytes.len();
        if fits {
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            mask[..text.len()].fill(0xff);
        } else {
            (bytes, mask) = ([0xff; 24], [0xff; 24]);
        }
        Self { text: name.to_owned(), words: words(&bytes), masks: words(&mask), len: text.len() }
    }

    #[inline]
    fn stands_in(&self, text: &[u8]) -> bool {
        let Some(text) = text.first_chunk::<24>() else { return false };
        let [a, b, c] = words(text);
        let [wa, wb, wc] = self.words;
        let [ma, mb, mc] = self.masks;
        ((a ^ wa) & ma) | ((b ^ wb) & mb) | ((c ^ wc) & mc) == 0
    }
}

#[inline]
fn words(bytes: &[u8; 24]) -> [u64; 3] {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    [word(0), word(8), word(16)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Stream;

    #[test]
    fn every_name_is_known_at_sight_and_no_other() {
        for stream in Stream::ALL {
            let names: Vec<_> = stream.fields().iter().map(|f| f.name).collect();
            assert!((3..=64).contains(&names.len()));
            for name in &names {
                assert!(name.len() + 2 <= 24, "{name}");
                let text = format!("\"{name}\":\"                        ");
                let found: Vec<_> = names.iter().filter(|n| Name::new(n).stands_in(text.as_bytes())).collect();
                assert_eq!(found, [name], "{}", stream.name());
            }
        }
    }
}

//! Builders of the columns. Each can forget its last rows, so that a record that fails leaves nothing behind.
//!
//! `value` appends the value at the parser: `Ok(true)` where it has the column's type, else `Ok(false)` with nothing
//! appended and the parser anywhere within the value.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, NullBufferBuilder, StructArray};
use arrow::datatypes::{DataType, Fields, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};

use super::object::Object;
use super::parse::{Number, Parsed, Parser};
use super::time::TimeReader;
use crate::codec::build::{Items, Lists, Numbers, Points, Texts, times, wrong_type};
use crate::codec::names::WireName;
use crate::error::Result;
use crate::schema::Kind;

#[derive(Debug)]
pub(super) enum Column {
    Text(Texts),
    Int(Numbers<Int32Type>),
    Long(Numbers<Int64Type>),
    Double(Numbers<Float64Type>),
    Time(Times),
    Point(Points),
    Ints(Lists<Numbers<Int32Type>>),
    Line(Lists<Points>),
    Struct(Box<Structs>),
}

impl Column {
    /// `inner` names the fields of a struct.
    pub(super) fn new(kind: Kind, inner: &[WireName]) -> Self {
        match kind {
            Kind::Text => Column::Text(Texts::new()),
            Kind::Int => Column::Int(Numbers::new()),
            Kind::Long => Column::Long(Numbers::new()),
            Kind::Double => Column::Double(Numbers::new()),
            Kind::Time => Column::Time(Times { values: Numbers::new(), reader: TimeReader::new() }),
            Kind::Point => Column::Point(Points::new()),
            Kind::Ints => Column::Ints(Lists::new(Numbers::new())),
            Kind::Line => Column::Line(Lists::new(Points::new())),
            Kind::Struct(fields) => Column::Struct(Box::new(Structs {
                object: Object::new(fields, inner),
                nulls: NullBufferBuilder::new(0),
            })),
        }
    }

    /// Appends a value of any type but a struct; a struct's is read by [`Object`], which knows where rescued fields go.
    #[inline]
    pub(super) fn value(&mut self, parser: &mut Parser) -> Parsed<bool> {
        if parser.peek() == Some(b'n') {
            parser.literal("null")?;
            self.null();
            return Ok(true);
        }
        match self {
            Column::Text(texts) => texts.value(parser),
            Column::Int(ints) => ints.value(parser, |n| n.as_int()),
            Column::Long(longs) => longs.value(parser, |n| n.as_long()),
            Column::Double(doubles) => doubles.value(parser, |n| n.as_double()),
            Column::Time(times) => times.value(parser),
            Column::Point(points) => points.value(parser),
            Column::Ints(lists) => lists.value(parser, |ints, parser| {
                if parser.peek() == Some(b'n') {
                    parser.literal("null")?;
                    ints.null();
                    return Ok(true);
                }
                ints.value(parser, |n| n.as_int())
            }),
            Column::Line(lists) => lists.value(parser, Points::value),
            Column::Struct(_) => Ok(false),
        }
    }

    pub(super) fn null(&mut self) {
        match self {
            Column::Text(texts) => texts.null(),
            Column::Int(ints) => ints.null(),
            Column::Long(longs) => longs.null(),
            Column::Double(doubles) => doubles.null(),
            Column::Time(times) => times.values.null(),
            Column::Point(points) => points.null(),
            Column::Ints(lists) => lists.null(),
            Column::Line(lists) => lists.null(),
            Column::Struct(structs) => structs.null(),
        }
    }

    /// Makes room for `rows` more. Lists and structs grow by themselves: few streams have them, or few rows do.
    pub(super) fn reserve(&mut self, rows: usize) {
        match self {
            Column::Text(texts) => texts.reserve(rows),
            Column::Int(ints) => ints.reserve(rows),
            Column::Long(longs) => longs.reserve(rows),
            Column::Double(doubles) => doubles.reserve(rows),
            Column::Time(times) => times.values.reserve(rows),
            Column::Point(points) => points.reserve(rows),
            Column::Ints(_) | Column::Line(_) | Column::Struct(_) => {}
        }
    }

    /// Forgets all rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        match self {
            Column::Text(texts) => texts.truncate(rows),
            Column::Int(ints) => ints.truncate(rows),
            Column::Long(longs) => longs.truncate(rows),
            Column::Double(doubles) => doubles.truncate(rows),
            Column::Time(times) => times.values.truncate(rows),
            Column::Point(points) => points.truncate(rows),
            Column::Ints(lists) => lists.truncate(rows),
            Column::Line(lists) => lists.truncate(rows),
            Column::Struct(structs) => {
                structs.nulls.truncate(rows);
                structs.object.truncate(rows);
            }
        }
    }

    /// The rows as an array of `data_type`; the builder is empty again.
    pub(super) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        Ok(match self {
            Column::Text(texts) => Arc::new(texts.finish()?),
            Column::Int(ints) => Arc::new(ints.finish()?),
            Column::Long(longs) => Arc::new(longs.finish()?),
            Column::Double(doubles) => Arc::new(doubles.finish()?),
            Column::Time(column) => times(&mut column.values, data_type)?,
            Column::Point(points) => points.finish(data_type)?,
            Column::Ints(lists) => lists.finish(data_type, |ints, _| Ok(Arc::new(ints.finish()?)))?,
            Column::Line(lists) => lists.finish(data_type, Points::finish)?,
            Column::Struct(structs) => {
                let DataType::Struct(fields) = data_type else { return Err(wrong_type(data_type)) };
                structs.finish(fields)?
            }
        })
    }
}

impl Texts {
    #[inline]
    fn value(&mut self, parser: &mut Parser) -> Parsed<bool> {
        if parser.peek() != Some(b'"') {
            return Ok(false);
        }
        parser.string(&mut self.text)?;
        self.end_value();
        Ok(true)
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    #[inline]
    fn value(&mut self, parser: &mut Parser, convert: impl Fn(Number) -> Option<T::Native>) -> Parsed<bool> {
        if !matches!(parser.peek(), Some(b'-' | b'0'..=b'9')) {
            return Ok(false);
        }
        let Some(value) = convert(parser.number()?) else { return Ok(false) };
        self.push(value);
        Ok(true)
    }
}

#[derive(Debug)]
pub(super) struct Times {
    values: Numbers<TimestampMicrosecondType>,
    reader: TimeReader,
}

impl Times {
    #[inline]
    fn value(&mut self, parser: &mut Parser) -> Parsed<bool> {
        if parser.peek() != Some(b'"') {
            return Ok(false);
        }
        // A time with an escape in it is allowed by JSON, and written by nobody.
        let value = if let Some(text) = parser.plain_string()? {
            self.reader.read(text)
        } else {
            let mut text = String::new();
            parser.string(&mut text)?;
            self.reader.read(&text)
        };
        let Some(value) = value else { return Ok(false) };
        self.values.push(value);
        Ok(true)
    }
}

impl Points {
    #[inline]
    fn value(&mut self, parser: &mut Parser) -> Parsed<bool> {
        if parser.peek() != Some(b'[') {
            return Ok(false);
        }
        parser.open()?;
        let Some(lat) = coordinate(parser)? else { return Ok(false) };
        if !parser.more(b']')? {
            return Ok(false);
        }
        let Some(lon) = coordinate(parser)? else { return Ok(false) };
        if parser.more(b']')? {
            return Ok(false);
        }
        self.push(lat, lon);
        Ok(true)
    }
}

#[inline]
fn coordinate(parser: &mut Parser) -> Parsed<Option<f64>> {
    match parser.peek() {
        Some(b'-' | b'0'..=b'9') => Ok(parser.number()?.as_double()),
        _ => Ok(None),
    }
}

impl<I: Items> Lists<I> {
    fn value(&mut self, parser: &mut Parser, item: impl Fn(&mut I, &mut Parser) -> Parsed<bool>) -> Parsed<bool> {
        if parser.peek() != Some(b'[') {
            return Ok(false);
        }
        parser.open()?;
        if parser.peek() == Some(b']') {
            parser.close();
        } else {
            loop {
                if !item(&mut self.items, parser)? {
                    self.drop_open();
                    return Ok(false);
                }
                if !parser.more(b']')? {
                    break;
                }
            }
        }
        self.end_value();
        Ok(true)
    }
}

#[derive(Debug)]
pub(super) struct Structs {
    pub(super) object: Object,
    pub(super) nulls: NullBufferBuilder,
}

impl Structs {
    fn null(&mut self) {
        self.object.null();
        self.nulls.append_null();
    }

    fn finish(&mut self, fields: &Fields) -> Result<ArrayRef> {
        let rows = self.nulls.len();
        let columns = self.object.finish(fields)?;
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, self.nulls.finish(), rows)?))
    }
}

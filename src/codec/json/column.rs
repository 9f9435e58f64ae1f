//! Builders of the columns. Each can forget its last rows, so that a record that fails leaves nothing behind.
//!
//! `value` appends the value at the parser: `Ok(true)` where it has the column's type, else `Ok(false)` with nothing
//! appended and the parser anywhere within the value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, ListArray, NullBufferBuilder, PrimitiveArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field as ArrowField, Fields, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::object::Object;
use super::parse::{Number, Parsed, Parser};
use super::time::TimeReader;
use crate::error::{Error, Result};
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
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Column::Text(Texts::new()),
            Kind::Int => Column::Int(Numbers::new()),
            Kind::Long => Column::Long(Numbers::new()),
            Kind::Double => Column::Double(Numbers::new()),
            Kind::Time => Column::Time(Times { values: Numbers::new(), reader: TimeReader::new() }),
            Kind::Point => Column::Point(Points::new()),
            Kind::Ints => Column::Ints(Lists::new(Numbers::new())),
            Kind::Line => Column::Line(Lists::new(Points::new())),
            Kind::Struct(fields) => {
                Column::Struct(Box::new(Structs { object: Object::new(fields), nulls: NullBufferBuilder::new(0) }))
            }
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
            Column::Int(ints) => ints.values.reserve(rows),
            Column::Long(longs) => longs.values.reserve(rows),
            Column::Double(doubles) => doubles.values.reserve(rows),
            Column::Time(times) => times.values.values.reserve(rows),
            Column::Point(points) => {
                points.coordinates.reserve(2 * rows);
                points.offsets.reserve(rows);
            }
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
            Column::Time(times) => {
                let (_, values, nulls) = times.values.finish()?.into_parts();
                Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_data_type(data_type.clone()))
            }
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

fn wrong_type(data_type: &DataType) -> Error {
    Error::internal(format!("a decoded column can't be of type {data_type}"))
}

/// Texts in one string, so that they are UTF-8 by its type.
#[derive(Debug)]
pub(super) struct Texts {
    text: String,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    bytes_per_row: usize,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self { text: String::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0), bytes_per_row: 0 }
    }

    #[inline]
    fn value(&mut self, parser: &mut Parser) -> Parsed<bool> {
        if parser.peek() != Some(b'"') {
            return Ok(false);
        }
        parser.string(&mut self.text)?;
        self.end_value();
        Ok(true)
    }

    /// The text so far and the place where the open value began.
    pub(super) fn open_value(&mut self) -> (&mut String, usize) {
        let start = self.text.len();
        (&mut self.text, start)
    }

    /// What has been pushed since the last value is a value. A batch's texts are parts of one array of less than 2 GiB.
    #[inline]
    pub(super) fn end_value(&mut self) {
        self.offsets.push(self.text.len() as i32);
        self.nulls.append_non_null();
    }

    pub(super) fn null(&mut self) {
        self.offsets.push(self.text.len() as i32);
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.text.truncate(self.offsets.last().map_or(0, |&o| o as usize));
        self.nulls.truncate(rows);
    }

    pub(super) fn finish(&mut self) -> Result<StringArray> {
        let text = std::mem::take(&mut self.text).into_bytes();
        self.bytes_per_row = text.len().div_ceil(self.offsets.len());
        let offsets = take_offsets(&mut self.offsets);
        Ok(StringArray::try_new(offsets, Buffer::from_vec(text), self.nulls.finish())?)
    }

    /// Makes room for `rows` more, as long as the last batch's were.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.text.reserve(self.bytes_per_row * (rows + 1));
        self.offsets.reserve(rows);
    }
}

/// The offsets of a finished array; `offsets` is left as an empty array's.
fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])))
}

#[derive(Debug)]
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    #[inline]
    fn value(&mut self, parser: &mut Parser, convert: impl Fn(Number) -> Option<T::Native>) -> Parsed<bool> {
        if !matches!(parser.peek(), Some(b'-' | b'0'..=b'9')) {
            return Ok(false);
        }
        let Some(value) = convert(parser.number()?) else { return Ok(false) };
        self.push(value);
        Ok(true)
    }

    #[inline]
    fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    fn finish(&mut self) -> Result<PrimitiveArray<T>> {
        let values = std::mem::take(&mut self.values);
        Ok(PrimitiveArray::try_new(ScalarBuffer::from(values), self.nulls.finish())?)
    }
}

/// What a list may hold.
pub(super) trait Items {
    fn len(&self) -> usize;
    fn truncate(&mut self, len: usize);
    fn null(&mut self);
}

impl<T: ArrowPrimitiveType> Items for Numbers<T> {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    fn null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
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

/// `[lat, lon]` pairs: exactly two numbers or null.
#[derive(Debug)]
pub(super) struct Points {
    coordinates: Vec<f64>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Points {
    fn new() -> Self {
        Self { coordinates: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

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
        self.coordinates.extend_from_slice(&[lat, lon]);
        self.offsets.push(self.coordinates.len() as i32);
        self.nulls.append_non_null();
        Ok(true)
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        let coordinates = PrimitiveArray::<Float64Type>::from(std::mem::take(&mut self.coordinates));
        let offsets = take_offsets(&mut self.offsets);
        let item = item_field(data_type)?;
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(coordinates), self.nulls.finish())?))
    }
}

#[inline]
fn coordinate(parser: &mut Parser) -> Parsed<Option<f64>> {
    match parser.peek() {
        Some(b'-' | b'0'..=b'9') => Ok(parser.number()?.as_double()),
        _ => Ok(None),
    }
}

impl Items for Points {
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.coordinates.truncate(self.offsets.last().map_or(0, |&o| o as usize));
        self.nulls.truncate(len);
    }

    fn null(&mut self) {
        self.offsets.push(self.coordinates.len() as i32);
        self.nulls.append_null();
    }
}

fn item_field(data_type: &DataType) -> Result<Arc<ArrowField>> {
    let DataType::List(item) = data_type else { return Err(wrong_type(data_type)) };
    Ok(Arc::clone(item))
}

#[derive(Debug)]
pub(super) struct Lists<I> {
    items: I,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl<I: Items> Lists<I> {
    fn new(items: I) -> Self {
        Self { items, offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

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
                    self.items.truncate(self.offsets.last().map_or(0, |&o| o as usize));
                    return Ok(false);
                }
                if !parser.more(b']')? {
                    break;
                }
            }
        }
        self.offsets.push(self.items.len() as i32);
        self.nulls.append_non_null();
        Ok(true)
    }

    fn null(&mut self) {
        self.offsets.push(self.items.len() as i32);
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.items.truncate(self.offsets.last().map_or(0, |&o| o as usize));
        self.nulls.truncate(rows);
    }

    fn finish(
        &mut self,
        data_type: &DataType,
        items: impl Fn(&mut I, &DataType) -> Result<ArrayRef>,
    ) -> Result<ArrayRef> {
        let item = item_field(data_type)?;
        let items = items(&mut self.items, item.data_type())?;
        let offsets = take_offsets(&mut self.offsets);
        Ok(Arc::new(ListArray::try_new(item, offsets, items, self.nulls.finish())?))
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

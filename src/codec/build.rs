//! Builders of Arrow columns for decoders. Each can forget its last rows, so that a record that fails leaves nothing behind.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, ListArray, NullBufferBuilder, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field as ArrowField, Float64Type, TimestampMicrosecondType};

use crate::error::{Error, Result};

pub(super) fn wrong_type(data_type: &DataType) -> Error {
    Error::internal(format!("a decoded column can't be of type {data_type}"))
}

/// Texts in one string, so that they are UTF-8 by its type.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) text: String,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    bytes_per_row: usize,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self { text: String::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0), bytes_per_row: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.end_value();
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

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
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
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    #[inline]
    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    pub(super) fn finish(&mut self) -> Result<PrimitiveArray<T>> {
        let values = std::mem::take(&mut self.values);
        Ok(PrimitiveArray::try_new(ScalarBuffer::from(values), self.nulls.finish())?)
    }
}

/// The times as an array of `data_type`.
pub(super) fn times(values: &mut Numbers<TimestampMicrosecondType>, data_type: &DataType) -> Result<ArrayRef> {
    let (_, values, nulls) = values.finish()?.into_parts();
    Ok(Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_data_type(data_type.clone())))
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

/// `[lat, lon]` pairs: exactly two numbers or null.
#[derive(Debug)]
pub(super) struct Points {
    coordinates: Vec<f64>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Points {
    pub(super) fn new() -> Self {
        Self { coordinates: Vec::new(), offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.coordinates.reserve(2 * rows);
        self.offsets.reserve(rows);
    }

    #[inline]
    pub(super) fn push(&mut self, lat: f64, lon: f64) {
        self.coordinates.extend_from_slice(&[lat, lon]);
        self.offsets.push(self.coordinates.len() as i32);
        self.nulls.append_non_null();
    }

    pub(super) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        let coordinates = PrimitiveArray::<Float64Type>::from(std::mem::take(&mut self.coordinates));
        let offsets = take_offsets(&mut self.offsets);
        let item = item_field(data_type)?;
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(coordinates), self.nulls.finish())?))
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
    pub(super) items: I,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl<I: Items> Lists<I> {
    pub(super) fn new(items: I) -> Self {
        Self { items, offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The items that were pushed since the last list are a list.
    #[inline]
    pub(super) fn end_value(&mut self) {
        self.offsets.push(self.items.len() as i32);
        self.nulls.append_non_null();
    }

    /// Forgets the items that were pushed since the last list.
    pub(super) fn drop_open(&mut self) {
        self.items.truncate(self.offsets.last().map_or(0, |&o| o as usize));
    }

    pub(super) fn null(&mut self) {
        self.offsets.push(self.items.len() as i32);
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.items.truncate(self.offsets.last().map_or(0, |&o| o as usize));
        self.nulls.truncate(rows);
    }

    pub(super) fn finish(
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

//! Column builders for the shapes that events are made of.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, ListArray, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};

use crate::error::Result;
use crate::schema::EventId;

/// Text in one buffer; no allocation a row.
#[derive(Debug, Default)]
pub struct Text {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    any_null: bool,
}

impl Text {
    /// Room for `rows` texts of about `width` bytes.
    pub fn with_capacity(rows: usize, width: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { bytes: Vec::with_capacity(rows * width), offsets, valid: Vec::with_capacity(rows), any_null: false }
    }

    fn end(&mut self, valid: bool) {
        self.offsets.push(self.bytes.len() as i32);
        self.valid.push(valid);
        self.any_null |= !valid;
    }

    /// Adds a text.
    pub fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.end(true);
    }

    /// Adds a null.
    pub fn push_null(&mut self) {
        self.end(false);
    }

    /// Adds `prefix` and `number` with at least `digits` digits.
    pub fn push_numbered(&mut self, prefix: &str, number: u32, digits: usize) {
        self.bytes.extend_from_slice(prefix.as_bytes());
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number);
        for _ in text.len()..digits {
            self.bytes.push(b'0');
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.end(true);
    }

    /// Adds an event's id.
    pub fn push_id(&mut self, id: EventId) {
        let mut text = [0u8; 36];
        id.write(&mut text);
        self.bytes.extend_from_slice(&text);
        self.end(true);
    }

    /// The column.
    pub fn finish(self) -> Result<ArrayRef> {
        let nulls = self.any_null.then(|| NullBuffer::from(self.valid));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)?))
    }
}

/// Times in milliseconds to a column of microseconds.
pub fn times(milliseconds: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(milliseconds.map(|ms| ms * 1_000)).with_timezone("UTC"))
}

/// `[lat, lon]` pairs.
pub fn points(degrees: impl Iterator<Item = (f64, f64)>) -> Result<ArrayRef> {
    let values: Vec<f64> = degrees.flat_map(|(lat, lon)| [lat, lon]).collect();
    let rows = values.len() / 2;
    lists(Arc::new(Float64Array::from(values)), std::iter::repeat_n(2, rows))
}

/// Lists of the given lengths over `values`.
pub fn lists(values: ArrayRef, lengths: impl ExactSizeIterator<Item = usize>) -> Result<ArrayRef> {
    let item: DataType = values.data_type().clone();
    let field = Arc::new(Field::new("element", item, true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    #[test]
    fn text_keeps_order_nulls_and_padding() {
        let mut text = Text::with_capacity(3, 8);
        text.push_numbered("camera-", 7, 4);
        text.push_null();
        text.push("é");
        let column = text.finish().expect("valid");
        let column = column.as_string::<i32>();
        assert_eq!(column.iter().collect::<Vec<_>>(), [Some("camera-0007"), None, Some("é")]);
        assert_eq!(points([(1.0, 2.0), (3.0, 4.0)].into_iter()).expect("valid").len(), 2);
    }
}

//! A gold table as it must be, built column by column.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};

use crate::error::Result;

pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const MINUTE_US: i64 = 60 * SECOND_US;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;
pub(super) const DAY_US: i64 = 24 * HOUR_US;

/// The rows that a gold table must hold.
#[derive(Debug, Clone)]
pub struct GoldTable {
    /// Its name without the tier.
    pub name: &'static str,
    /// The columns that tell rows apart.
    pub key: &'static [&'static str],
    /// Columns that grow with each row counted.
    pub additive: &'static [&'static str],
    /// The rows, in the order of their key.
    pub rows: RecordBatch,
    /// Row and column of values that hang on a comparison which the order of adding up decides.
    pub(super) loose: HashSet<(usize, &'static str)>,
}

/// The begin of the window of `length` that holds `time`, all in µs.
pub(super) fn window(time: i64, length: i64) -> i64 {
    time.div_euclid(length) * length
}

/// The UTC date of a time in µs.
pub(super) fn date(time: i64) -> i32 {
    time.div_euclid(DAY_US) as i32
}

/// Mean of a sum over a count; `None` over nothing.
pub(super) fn mean(sum: f64, count: i64) -> Option<f64> {
    (count != 0).then(|| sum / count as f64)
}

/// Columns of a table on the way.
#[derive(Debug, Default)]
pub(super) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn with(mut self, name: &str, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
        self
    }

    pub(super) fn text<'a>(self, name: &str, values: impl Iterator<Item = Option<&'a str>>) -> Self {
        self.with(name, Arc::new(values.collect::<StringArray>()))
    }

    pub(super) fn long(self, name: &str, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.with(name, Arc::new(values.collect::<Int64Array>()))
    }

    pub(super) fn real(self, name: &str, values: impl Iterator<Item = Option<f64>>) -> Self {
        self.with(name, Arc::new(values.collect::<Float64Array>()))
    }

    pub(super) fn flag(self, name: &str, values: impl Iterator<Item = Option<bool>>) -> Self {
        self.with(name, Arc::new(values.collect::<BooleanArray>()))
    }

    pub(super) fn time(self, name: &str, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.with(name, Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
    }

    pub(super) fn date(self, name: &str, values: impl Iterator<Item = Option<i32>>) -> Self {
        self.with(name, Arc::new(values.collect::<Date32Array>()))
    }

    /// `window_start`, `window_end` and `window_date`.
    pub(super) fn windows(self, length: i64, starts: impl Iterator<Item = i64> + Clone) -> Self {
        self.time("window_start", starts.clone().map(Some))
            .time("window_end", starts.clone().map(|start| Some(start + length)))
            .date("window_date", starts.map(|start| Some(date(start))))
    }

    pub(super) fn finish(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)?)
    }
}

/// Numbers for texts that come again and again.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Names {
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    pub(super) fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}

/// Cells in the order of name and window.
pub(super) fn ordered<'a, T>(names: &'a Names, cells: &'a HashMap<(u32, i64), T>) -> Vec<(&'a str, i64, &'a T)> {
    let mut rows: Vec<_> = cells.iter().map(|(&(name, start), cell)| (names.text(name), start, cell)).collect();
    rows.sort_unstable_by_key(|row| (row.0, row.1));
    rows
}

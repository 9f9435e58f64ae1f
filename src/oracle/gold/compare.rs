//! A gold table that somebody made beside the one that it must be.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};

use super::super::found::{fitted, place, wanted};
use super::super::silver::QUARTER_US;
use super::super::value::{same, text};
use super::table::GoldTable;
use crate::error::{Error, Result};

/// Examples of each kind at most.
const EXAMPLES: usize = 5;
/// Rows that are tried with each difference of time zones.
const TRIED: usize = 1_000;
/// Zones differ by at most this many quarters of an hour: 14 hours.
const MOST_QUARTERS: i64 = 56;

/// One row of a gold table that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldExample {
    /// `missing`, `extra`, `doubled` or `differing`.
    pub what: &'static str,
    /// The key's columns and values.
    pub key: Vec<(String, String)>,
    /// Of a differing row the first column that differs.
    pub column: Option<String>,
    /// What it must hold.
    pub expected: Option<String>,
    /// What it holds.
    pub found: Option<String>,
}

/// The grade of one gold table. Correct, differing, doubled and missing are the keys that it must have, extra others.
#[derive(Debug, Clone, Default)]
pub struct TableGrade {
    /// Its name without the tier.
    pub name: String,
    /// The columns that were compared.
    pub columns: Vec<String>,
    /// Rows that were given.
    pub rows: u64,
    /// Keys whose row is right.
    pub correct: u64,
    /// Keys with a row that differs.
    pub differing: u64,
    /// Keys without a row.
    pub missing: u64,
    /// Keys with more than one row.
    pub doubled: u64,
    /// Keys that must not be there.
    pub extra: u64,
    /// How often each column of the differing rows differs.
    pub altered: BTreeMap<String, u64>,
    /// A few wrong rows of each kind.
    pub examples: Vec<GoldExample>,
    /// By how many µs all times are off, where they are and it is a zone's difference.
    pub(crate) shift: Option<i64>,
    pub(crate) excess: Excess,
}

/// How counts compare, by window.
#[derive(Debug, Clone, Default)]
pub(crate) struct Excess {
    /// For each window: rows, those with greater counts, those whose counts are exactly double, those with lower counts.
    pub(crate) windows: BTreeMap<i64, [u64; 4]>,
}

impl TableGrade {
    /// Keys that it must have.
    pub fn expected(&self) -> u64 {
        self.correct + self.differing + self.missing + self.doubled
    }

    fn example(&mut self, what: &'static str, key: impl FnOnce() -> Vec<(String, String)>) {
        if self.examples.iter().filter(|e| e.what == what).count() < EXAMPLES {
            self.examples.push(GoldExample { what, key: key(), column: None, expected: None, found: None });
        }
    }
}

/// Rows with our names and types: the columns of `table` that `given` has.
pub(in super::super) fn conform(
    table: &GoldTable,
    given: &[RecordBatch],
    schema: &Schema,
    renames: &[(String, String)],
) -> Result<RecordBatch> {
    let mut sources = Vec::new();
    let mut fields = Vec::new();
    for field in table.rows.schema().fields() {
        let name = field.name().as_str();
        let Some(at) = place(schema, renames, name) else {
            if table.key.contains(&name) {
                let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                let text = format!(
                    "the table given for gold.{} has no column {name}; it has {}",
                    table.name,
                    names.join(", ")
                );
                return Err(Error::config(text)
                    .help("Name it: columns={\"their_name\": \"our_name\"}, or --column their_name=our_name"));
            }
            continue;
        };
        let kind = wanted(name, schema.field(at).data_type(), field.data_type())?;
        // What tells rows apart has to be of one type.
        let kind = if table.key.contains(&name) { field.data_type().clone() } else { kind };
        sources.push(at);
        fields.push(Field::new(name, kind, true));
    }
    let schema = Arc::new(Schema::new(fields));
    let batches = given.iter().map(|batch| {
        let columns =
            sources.iter().zip(schema.fields()).map(|(at, field)| fitted(batch.column(*at), field.data_type()));
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<Vec<_>>>()?)?)
    });
    Ok(concat_batches(&schema, &batches.collect::<Result<Vec<_>>>()?)?)
}

/// Compares what was given, with our names and types, with what must be.
pub(in super::super) fn compare(table: &GoldTable, found: &RecordBatch) -> Result<TableGrade> {
    let key_of = |rows: &RecordBatch| -> Result<Vec<ArrayRef>> {
        let column = |name: &&str| rows.column_by_name(name).cloned();
        table.key.iter().map(column).collect::<Option<_>>().ok_or_else(|| Error::internal("a key's column is missing"))
    };
    let (our_keys, their_keys) = (key_of(&table.rows)?, key_of(found)?);
    let converter = RowConverter::new(our_keys.iter().map(|c| SortField::new(c.data_type().clone())).collect())?;
    let (ours, theirs) = (converter.convert_columns(&our_keys)?, converter.convert_columns(&their_keys)?);
    let mut grade = TableGrade { name: table.name.to_owned(), rows: found.num_rows() as u64, ..TableGrade::default() };
    let shown = |keys: &[ArrayRef], row: usize| -> Vec<(String, String)> {
        table.key.iter().zip(keys).map(|(name, column)| ((*name).to_owned(), text(column, row))).collect()
    };
    let mut places: HashMap<&[u8], (usize, u64)> = HashMap::with_capacity(found.num_rows());
    for row in 0..found.num_rows() {
        places.entry(theirs.row(row).data()).or_insert((row, 0)).1 += 1;
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for row in 0..table.rows.num_rows() {
        match places.remove(ours.row(row).data()) {
            None => {
                grade.missing += 1;
                grade.example("missing", || shown(&our_keys, row));
            }
            Some((place, 1)) => {
                left.push(row as u32);
                right.push(place as u32);
            }
            Some(_) => {
                grade.doubled += 1;
                grade.example("doubled", || shown(&our_keys, row));
            }
        }
    }
    let mut extra: Vec<usize> = places.into_values().map(|(place, _)| place).collect();
    extra.sort_unstable();
    grade.extra = extra.len() as u64;
    for &row in &extra {
        grade.example("extra", || shown(&their_keys, row));
    }
    let differing =
        values(table, found, &mut grade, &UInt32Array::from(left.clone()), &UInt32Array::from(right.clone()))?;
    let odd: Vec<usize> = differing.iter().map(|&n| right[n] as usize).chain(extra).collect();
    if !odd.is_empty() {
        grade.shift = grade.shift.or(shift(table, found, &ours, &converter, &odd)?);
    }
    Ok(grade)
}

/// Compares rows of equal keys; gives the places of those that differ.
fn values(
    table: &GoldTable,
    found: &RecordBatch,
    grade: &mut TableGrade,
    ours: &UInt32Array,
    theirs: &UInt32Array,
) -> Result<Vec<usize>> {
    let mut first: Vec<Option<(String, String, String)>> = vec![None; ours.len()];
    for (place, field) in found.schema().fields().iter().enumerate() {
        let name = field.name().as_str();
        grade.columns.push(name.to_owned());
        if table.key.contains(&name) {
            continue;
        }
        let Some(expected) = table.rows.column_by_name(name) else { continue };
        let (expected, values) = (take(expected, ours, None)?, take(found.column(place), theirs, None)?);
        let same = same(&expected, &values)?;
        if field.data_type().is_temporal() && !table.key.contains(&"window_start") {
            grade.shift = grade.shift.or(times_off(&expected, &values));
        }
        for row in (0..same.len()).filter(|&row| !same.value(row)) {
            let at = ours.value(row) as usize;
            if table.loose.iter().any(|(r, c)| *r == at && *c == name) {
                continue;
            }
            *grade.altered.entry(name.to_owned()).or_default() += 1;
            first[row].get_or_insert_with(|| (name.to_owned(), text(&expected, row), text(&values, row)));
        }
    }
    let mut differing = Vec::new();
    for (row, difference) in first.into_iter().enumerate() {
        let Some((column, expected, found)) = difference else {
            grade.correct += 1;
            continue;
        };
        grade.differing += 1;
        differing.push(row);
        if grade.examples.iter().filter(|e| e.what == "differing").count() < EXAMPLES {
            let at = ours.value(row) as usize;
            let key = table
                .key
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), text(table.rows.column_by_name(name)?, at))));
            let key = key.collect();
            let (column, expected, found) = (Some(column), Some(expected), Some(found));
            grade.examples.push(GoldExample { what: "differing", key, column, expected, found });
        }
    }
    grade.excess = excess(table, found, ours, theirs)?;
    Ok(differing)
}

fn counts(rows: &RecordBatch, name: &str) -> Option<Int64Array> {
    let column = cast(rows.column_by_name(name)?, &DataType::Int64).ok()?;
    Some(column.as_primitive::<Int64Type>().clone())
}

fn excess(table: &GoldTable, found: &RecordBatch, ours: &UInt32Array, theirs: &UInt32Array) -> Result<Excess> {
    let (left, right) = (take_record_batch(&table.rows, ours)?, take_record_batch(found, theirs)?);
    let pairs: Vec<_> =
        table.additive.iter().filter_map(|name| Some((counts(&left, name)?, counts(&right, name)?))).collect();
    let starts = left.column_by_name("window_start").map(AsArray::as_primitive::<TimestampMicrosecondType>);
    let mut excess = Excess::default();
    for row in 0..left.num_rows() {
        let of = |values: &Int64Array| if values.is_valid(row) { values.value(row) } else { 0 };
        let both = || pairs.iter().map(|(a, b)| (of(a), of(b)));
        let (over, under) = (both().any(|(a, b)| b > a), both().any(|(a, b)| b < a));
        let twice = over && both().all(|(a, b)| b == 2 * a);
        let sums = excess.windows.entry(starts.map_or(0, |s| s.value(row))).or_default();
        sums[0] += 1;
        sums[1] += u64::from(over && !under);
        sums[2] += u64::from(twice);
        sums[3] += u64::from(under);
    }
    Ok(excess)
}

/// By how many µs the windows of the odd rows are off, where most rows are odd and one difference explains nearly all of them: the
/// row of the other window has the same values.
fn shift(
    table: &GoldTable,
    found: &RecordBatch,
    ours: &Rows,
    converter: &RowConverter,
    odd: &[usize],
) -> Result<Option<i64>> {
    let Some(at) = table.key.iter().position(|name| *name == "window_start") else { return Ok(None) };
    if odd.len() * 2 < found.num_rows() {
        return Ok(None);
    }
    let places: HashMap<&[u8], usize> = (0..ours.num_rows()).map(|row| (ours.row(row).data(), row)).collect();
    // Spread over all odd rows, so that one end alone doesn't decide.
    let step = odd.len().div_ceil(TRIED);
    let tried = UInt32Array::from_iter_values(odd.iter().step_by(step).map(|&row| row as u32));
    let rows = take_record_batch(found, &tried)?;
    let mut keys = Vec::new();
    for name in table.key {
        keys.push(rows.column_by_name(name).cloned().ok_or_else(|| Error::internal("a key's column is missing"))?);
    }
    let starts = keys[at].as_primitive::<TimestampMicrosecondType>().clone();
    let mut best = (0, 0);
    for quarters in (1..=MOST_QUARTERS).flat_map(|n| [n, -n]) {
        let off = quarters * QUARTER_US;
        keys[at] = Arc::new(starts.unary::<_, TimestampMicrosecondType>(|start| start - off).with_timezone("UTC"));
        let moved = converter.convert_columns(&keys)?;
        let pairs =
            (0..rows.num_rows()).filter_map(|row| Some((*places.get(moved.row(row).data())? as u32, row as u32)));
        let (left, right): (Vec<u32>, Vec<u32>) = pairs.unzip();
        let explained = equal_rows(table, &rows, &UInt32Array::from(left), &UInt32Array::from(right))?;
        if explained > best.0 {
            best = (explained, off);
        }
    }
    Ok((best.0 * 5 >= rows.num_rows() * 4).then_some(best.1))
}

/// How many pairs of rows are equal but for their times.
fn equal_rows(table: &GoldTable, rows: &RecordBatch, ours: &UInt32Array, theirs: &UInt32Array) -> Result<usize> {
    let mut equal = vec![true; ours.len()];
    for (place, field) in rows.schema().fields().iter().enumerate() {
        if table.key.contains(&field.name().as_str()) || field.data_type().is_temporal() {
            continue;
        }
        let Some(expected) = table.rows.column_by_name(field.name()) else { continue };
        let same = same(&take(expected, ours, None)?, &take(rows.column(place), theirs, None)?)?;
        equal.iter_mut().enumerate().for_each(|(row, equal)| *equal &= same.value(row));
    }
    Ok(equal.into_iter().filter(|equal| *equal).count())
}

/// By how many µs the times of a column are off, where nearly all are by the same.
fn times_off(expected: &ArrayRef, found: &ArrayRef) -> Option<i64> {
    let times = |values: &ArrayRef| values.as_primitive_opt::<TimestampMicrosecondType>().cloned();
    let (expected, found) = (times(expected)?, times(found)?);
    let mut seen: HashMap<i64, usize> = HashMap::new();
    let mut all = 0;
    for (expected, found) in expected.iter().zip(&found) {
        let (Some(expected), Some(found)) = (expected, found) else { continue };
        all += 1;
        *seen.entry(found - expected).or_default() += 1;
    }
    let (off, rows) = seen.into_iter().max_by_key(|&(off, rows)| (rows, off))?;
    (off != 0 && off % QUARTER_US == 0 && rows * 10 >= all * 9).then_some(off)
}

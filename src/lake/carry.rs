//! Rows that a replacement leaves as they are: of a file's row groups, those that stay whole are copied without being decoded.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};

use super::files::FileSet;
use super::partition::{Values, date_text, day};
use super::replace::{Replace, WINDOW_DATE, has_windows, matches};
use super::snapshot::DataFile;
use super::table::{State, Table};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::{ParquetFile, project};

/// The column that tells which window a row is of.
const WINDOW_START: &str = "window_start";

/// Rows of a row group in tables with windows: what is decoded at least where a window in the middle of one is new. A million
/// rows of a day are thirty groups.
pub(super) const GROUP_ROWS: usize = 32 * 1024;

/// Groups of fewer rows are written anew together with what stands beside them, so that they do not become many.
const SHORT_GROUP: usize = GROUP_ROWS / 2;

/// What stays of the partitions that are replaced.
pub(super) struct Kept {
    files: Vec<DataFile>,
    schema: SchemaRef,
    within: Option<(i64, i64)>,
}

impl Kept {
    /// Of the table as it is at `state`; `schema` is that of its files.
    ///
    /// # Errors
    /// `Config` where `within` is given without what it needs.
    pub(super) fn of(table: &Table, state: &State, schema: &SchemaRef, replace: &Replace) -> Result<Self> {
        let mut files = Vec::new();
        if replace.within.is_some() {
            let named = replace.partitions.as_deref().unwrap_or_default();
            let has_times = schema.field_with_name(WINDOW_START).is_ok_and(|f| *f.data_type() == instant());
            if !has_windows(&state.partition_columns()) || !has_times || replace.based_on.is_none() {
                return Err(Error::config(format!("rows of {} can't be replaced within windows", table.name())).help(
                    "That takes a table with times window_start, partitioned by window_date alone, and based_on",
                ));
            }
            files = table.files(state)?;
            files.retain(|file| named.iter().any(|partition| matches(file, partition)));
            files.sort_by_cached_key(|file| (first_window(file), file.name.clone()));
        }
        Ok(Self { files, schema: Arc::clone(schema), within: replace.within })
    }

    /// Writes the rows of windows before those that are replaced; returns how many.
    pub(super) fn before(&self, files: &mut FileSet) -> Result<u64> {
        let Some((start, _)) = self.within else { return Ok(0) };
        self.carry(files, &(i64::MIN..start), |date, edge| date <= edge, start)
    }

    /// Writes the rows of windows after those that are replaced; returns how many.
    pub(super) fn after(&self, files: &mut FileSet) -> Result<u64> {
        let Some((_, end)) = self.within else { return Ok(0) };
        self.carry(files, &(end..i64::MAX), |date, edge| date >= edge, end)
    }

    /// A file is opened where its date may have windows that stay.
    fn carry(
        &self,
        files: &mut FileSet,
        stays: &Range<i64>,
        may: impl Fn(&str, &str) -> bool,
        edge: i64,
    ) -> Result<u64> {
        let edge = date_text(day(edge));
        let mut count = 0;
        for file in &self.files {
            let date = file.value(WINDOW_DATE);
            if date.is_some_and(|date| may(date, &edge)) {
                let values = vec![(WINDOW_DATE.to_owned(), date.map(str::to_owned))];
                count += carry(files, &values, file, &self.schema, stays)?;
            }
        }
        Ok(count)
    }
}

/// By the log, whose texts for times sort as the times do; files of which it does not tell come first.
fn first_window(file: &DataFile) -> Option<String> {
    Some(file.stats.as_ref()?.get("minValues")?.get(WINDOW_START)?.as_str()?.to_owned())
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Puts the rows of `from` whose windows start within `stays`, in µs since the epoch, into the file for `values`, in their
/// order. `schema` is that of the file. Returns how many.
fn carry(files: &mut FileSet, values: &Values, from: &DataFile, schema: &SchemaRef, stays: &Range<i64>) -> Result<u64> {
    let file = ParquetFile::open(&from.path)?;
    // The bounds of another writer's file may be in another unit, and its pages of another kind.
    let ours = file.has_columns(schema)?;
    let mut count = 0;
    for group in 0..file.metadata().num_row_groups() {
        let bounds = if ours { file.bounds(group, WINDOW_START) } else { None };
        if bounds.is_some_and(|(first, last)| last < stays.start || first >= stays.end) {
            continue;
        }
        let whole = bounds.is_some_and(|(first, last)| first >= stays.start && last < stays.end);
        if whole && file.group_rows(group) >= SHORT_GROUP {
            files.copy(values, &file, group)?;
            count += file.group_rows(group) as u64;
            continue;
        }
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        for batch in file.group(group, &names, GROUP_ROWS)? {
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", from.path))?;
            let batch = project(&batch, schema)?;
            let Some(column) = batch.column_by_name(WINDOW_START) else { continue };
            let column = arrow::compute::cast(column, &instant())?;
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let staying: BooleanArray = times.iter().map(|t| Some(t.is_some_and(|t| stays.contains(&t)))).collect();
            let batch = filter_record_batch(&batch, &staying)?;
            count += batch.num_rows() as u64;
            files.write(values, &batch)?;
        }
    }
    Ok(count)
}

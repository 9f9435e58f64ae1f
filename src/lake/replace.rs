//! Tables that others compute (dim and gold): their rows replaced, whole or by partition, in one commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchReader};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::Add;
use serde_json::json;

use super::Lake;
use super::carry::{GROUP_ROWS, Kept};
use super::crash::crash_point;
use super::files::FileSet;
use super::maintain::{KEPT_FROM, source_of};
use super::partition::{Values, date_text, file_schema, split};
use super::snapshot::DataFile;
use super::table::{Commit, Plan, State, Table, commit_id};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::Stream;

const FILE_BYTES: usize = 128 << 20;

/// The partition column of tables with windows.
pub(super) const WINDOW_DATE: &str = "window_date";
/// The key in commitInfo that holds the windows which a commit has replaced.
pub(super) const WINDOWS: &str = "citystream.windows";

/// What to replace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replace {
    /// The columns that the table is partitioned by, in order. A table that exists keeps its own.
    pub partition_columns: Vec<String>,
    /// The partitions whose rows are replaced, each by the values of all partition columns or some; `None` for all of the
    /// table. An empty list only adds.
    pub partitions: Option<Vec<BTreeMap<String, String>>>,
    /// Application transactions to set, such as how far each source has been read. None may go back.
    pub txns: BTreeMap<String, i64>,
    /// What each column means, by name.
    pub comments: BTreeMap<String, String>,
    /// What the table is.
    pub description: String,
    /// The version of the table that the rows were computed from, where they carry some of it over: then another commit in
    /// between that changed rows is a conflict.
    pub based_on: Option<i64>,
    /// The windows whose rows are new, each [start, end) in µs since the epoch, for those who compute from this table; the
    /// other rows of the partitions are carried over. `None` where all may be new.
    pub windows: Option<Vec<(i64, i64)>>,
    /// Of the partitions named, only the rows whose `window_start` lies in this [start, end), in µs since the epoch, are
    /// replaced; the others stay, and need not be given. For a table partitioned by `window_date` alone, with `based_on`.
    /// The rows come in the order of their dates, so that files stay in the order of their windows. `None` for all rows.
    pub within: Option<(i64, i64)>,
}

/// What a replacement has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// The table's version after it.
    pub version: i64,
    /// Rows written, those that stayed in partitions that were replaced among them.
    pub rows: u64,
    /// Files written.
    pub files: u64,
}

impl Lake {
    /// Puts `rows` into the table called `name` in place of the rows of the partitions named, in one commit; makes the table
    /// where it does not exist, also with no rows. With no rows, what is named becomes empty.
    ///
    /// Types that lakes and Spark do not share are turned into those that they do: other texts into `Utf8`, times of any unit
    /// or zone into µs UTC (one without a zone is taken as UTC), small and unsigned integers into `Int32` or `Int64`, decimals
    /// without a fraction into `Int64` and others into `Float64`.
    ///
    /// # Errors
    /// `Config` for a table of bronze or silver, a column that a table can't have, or a row outside of `partitions`. `Table`
    /// where the columns differ from the table's and not all of it is replaced. `Conflict` where a transaction would go back,
    /// or the table has changed since `based_on`. `Store` where files or log can't be written.
    pub fn replace(&self, name: &str, rows: &mut dyn RecordBatchReader, replace: &Replace) -> Result<Replaced> {
        if !name.starts_with("dim.") && !name.starts_with("gold.") {
            return Err(Error::config(format!("{name} can't be replaced"))
                .help("Only tables of dim and gold can; bronze and silver are made by ingest and refine"));
        }
        let table = self.table(name)?;
        let schema = table_schema(name, &rows.schema(), replace)?;
        let columns: Vec<&str> = replace.partition_columns.iter().map(String::as_str).collect();
        table.ensure(&schema, &columns, &replace.description)?;
        let state = table.state()?;
        fits(&table, &state, &schema, replace)?;

        let partitions = state.partition_columns();
        let stored = file_schema(&schema, &partitions);
        let mut files = FileSet::new(table.root().to_owned(), stored.clone(), commit_id(), FILE_BYTES);
        if has_windows(&partitions) {
            files = files.grouped(GROUP_ROWS);
        }
        let kept = Kept::of(&table, &state, &Arc::new(stored), replace)?;
        let mut count = kept.before(&mut files)?;
        for batch in rows {
            let batch = batch.context(ErrorKind::Config, || format!("the rows of {name} can't be read"))?;
            let batch = convert(&batch, &schema)?;
            count += batch.num_rows() as u64;
            for (values, part) in split(&batch, &partitions)? {
                named(name, &values, replace)?;
                files.write(&values, &part)?;
            }
        }
        count += kept.after(&mut files)?;
        let adds = files.finish()?.to_vec();
        crash_point("replace_after_files");
        let id = files.commit_id().to_owned();
        let version = table.commit(&id, |state| {
            fits(&table, state, &schema, replace)?;
            unchanged(&table, state, replace)?;
            let active = table.files(state)?;
            let settled = self.settled(&active, &state.schema()?, &schema, replace)?;
            let removes: Vec<String> = active
                .into_iter()
                .filter(|file| replace.partitions.as_ref().is_none_or(|all| all.iter().any(|p| matches(file, p))))
                .filter(|file| file.value(WINDOW_DATE).is_none_or(|date| !settled.contains(date)))
                .map(|file| file.name)
                .collect();
            let date = |add: &Add| add.partition_values.get(WINDOW_DATE).cloned().flatten();
            let adds: Vec<Add> =
                adds.iter().filter(|add| date(add).is_none_or(|date| !settled.contains(&date))).cloned().collect();
            let moved = replace.txns.iter().any(|(app, version)| state.txns.get(app) != Some(version));
            let described = same_columns(state.schema()?.as_ref(), &schema, true)
                && state.description().unwrap_or_default() == replace.description;
            if adds.is_empty() && removes.is_empty() && !moved && described {
                return Ok(Plan::Done);
            }
            Ok(Plan::Commit(Commit {
                adds,
                removes,
                txns: replace.txns.iter().map(|(app, version)| (app.clone(), *version)).collect(),
                schema: (!described).then(|| Arc::clone(&schema)),
                description: Some(replace.description.clone()),
                info: BTreeMap::from([
                    ("citystream.replaced", json!(replace.partitions)),
                    (WINDOWS, json!(replace.windows)),
                ]),
                ..Commit::default()
            }))
        })?;
        crash_point("replace_after_commit");
        let version = version.map_or_else(|| Ok(table.state()?.version), Ok::<_, Error>)?;
        Ok(Replaced { version, rows: count, files: adds.len() as u64 })
    }
}

impl Lake {
    /// The dates of the table whose windows can't be computed any more, since retention has dropped their rows from a source:
    /// they stay as they are. None where the columns have changed, so that what stays would not fit what comes.
    fn settled(
        &self,
        active: &[DataFile],
        old: &SchemaRef,
        schema: &SchemaRef,
        replace: &Replace,
    ) -> Result<HashSet<String>> {
        if !replace.partition_columns.iter().any(|c| c == WINDOW_DATE) || !grown(old, schema) {
            return Ok(HashSet::new());
        }
        // Silver's streams drop dates of events, all others dates of taking in: which of them the windows follow is not
        // known here, so what both have dropped counts.
        let (mut by_event, mut by_intake) = (None, None);
        let known = self.names()?;
        for source in replace.txns.keys().filter_map(|app| source_of(app)).filter(|s| known.iter().any(|n| n == s)) {
            let Some(&kept_from) = self.table(source)?.state()?.txns.get(KEPT_FROM) else { continue };
            let of_events = Stream::EVENTS.iter().any(|s| source == format!("silver.{}", s.name()));
            let kind = if of_events { &mut by_event } else { &mut by_intake };
            *kind = Some(kind.map_or(kept_from, |known: i64| known.max(kept_from)));
        }
        let Some(from) = by_event.into_iter().chain(by_intake).min() else { return Ok(HashSet::new()) };
        let from = date_text(from as i32);
        let dates = active.iter().filter_map(|file| file.value(WINDOW_DATE));
        Ok(dates.filter(|date| *date < from.as_str()).map(str::to_owned).collect())
    }
}

/// Whether a table partitioned so has windows, by which its rows stand in its files.
pub(super) fn has_windows(partition_columns: &[String]) -> bool {
    partition_columns == [WINDOW_DATE]
}

/// The columns as the table has them.
fn table_schema(name: &str, given: &Schema, replace: &Replace) -> Result<SchemaRef> {
    let mut seen = HashSet::new();
    for field in given.fields() {
        let column = field.name();
        if column.is_empty() || column.contains(|c: char| " ,;{}()\n\t=".contains(c)) {
            return Err(Error::config(format!("{name} can't have a column {column:?}"))
                .help("A name must not hold a blank, comma, semicolon, bracket or ="));
        }
        if !seen.insert(column.to_lowercase()) {
            return Err(Error::config(format!("{name} can't have two columns {column:?}; case does not count")));
        }
    }
    if let Some(missing) = replace.partition_columns.iter().find(|c| given.field_with_name(c).is_err()) {
        return Err(Error::config(format!("{name} can't be partitioned by {missing}: the rows have no such column")));
    }
    let fields = given.fields().iter().map(|field| {
        let comment = replace.comments.get(field.name()).map(|text| ("comment".to_owned(), text.clone()));
        let kind = shared(field.data_type()).ok_or_else(|| {
            Error::config(format!("{name} can't have the column {} of type {}", field.name(), field.data_type()))
                .help("Cast it to a text, number, time, list or struct")
        })?;
        Ok(Field::new(field.name(), kind, true).with_metadata(comment.into_iter().collect()))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// The type that every reader has for this one.
fn shared(kind: &DataType) -> Option<DataType> {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Dictionary, FixedSizeBinary,
        FixedSizeList, Float16, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeList, LargeUtf8, List,
        Struct, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    Some(match kind {
        Utf8 | LargeUtf8 | Utf8View => Utf8,
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Int8 | Int16 | Int32 | UInt8 | UInt16 => Int32,
        Int64 | UInt32 | UInt64 | Decimal32(_, 0) | Decimal64(_, 0) | Decimal128(_, 0) => Int64,
        Float16 | Float32 => Float32,
        Float64 | Decimal32(..) | Decimal64(..) | Decimal128(..) => Float64,
        Boolean => Boolean,
        Date32 | Date64 => Date32,
        Timestamp(..) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Dictionary(_, values) => shared(values)?,
        List(item) | LargeList(item) | FixedSizeList(item, _) => {
            List(Arc::new(Field::new("element", shared(item.data_type())?, true)))
        }
        Struct(fields) => Struct(
            fields
                .iter()
                .map(|f| Some(Field::new(f.name(), shared(f.data_type())?, true)))
                .collect::<Option<Vec<_>>>()?
                .into(),
        ),
        _ => return None,
    })
}

fn convert(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    // A number that does not fit is an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        cast_with_options(column, field.data_type(), &options).context(ErrorKind::Config, || {
            format!("the column {} can't be turned into {}", field.name(), field.data_type())
        })
    });
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<ArrayRef>>>()?)?)
}

/// Refuses columns that what stays in the table does not have.
fn fits(table: &Table, state: &State, schema: &SchemaRef, replace: &Replace) -> Result<()> {
    let refuse = |text: String, help: &str| Err(Error::new(ErrorKind::Table, text).help(help));
    let have = state.partition_columns();
    if have != replace.partition_columns {
        return refuse(
            format!("{} is partitioned by {have:?}, not by {:?}", table.name(), replace.partition_columns),
            "Delete the table's folder to make it anew",
        );
    }
    let old = state.schema()?;
    if replace.partitions.is_some() && !grown(&old, schema) {
        return refuse(
            format!("{} has other columns than the rows that are to replace some of it", table.name()),
            "Columns may be added at the end; for another change compute the whole table anew",
        );
    }
    Ok(())
}

/// Whether `schema` has the columns of `old`, and perhaps more after them.
fn grown(old: &Schema, schema: &Schema) -> bool {
    let count = old.fields().len();
    schema.fields().len() >= count && same_columns(old, &first(schema, count), false)
}

fn first(schema: &Schema, count: usize) -> Schema {
    Schema::new(schema.fields().iter().take(count).cloned().collect::<Vec<_>>())
}

/// Whether two schemas have the same columns, and the same comments where those count.
fn same_columns(a: &Schema, b: &Schema, comments: bool) -> bool {
    let same = |a: &Field, b: &Field| {
        a.name() == b.name()
            && a.data_type() == b.data_type()
            && (!comments || a.metadata().get("comment") == b.metadata().get("comment"))
    };
    a.fields().len() == b.fields().len() && a.fields().iter().zip(b.fields()).all(|(a, b)| same(a, b))
}

/// Refuses a row that does not lie in what is replaced: it would stand beside rows that stay.
fn named(name: &str, values: &Values, replace: &Replace) -> Result<()> {
    let Some(partitions) = replace.partitions.as_ref().filter(|p| !p.is_empty()) else { return Ok(()) };
    let value = |column: &str| values.iter().find(|(name, _)| name == column).and_then(|(_, v)| v.as_deref());
    if partitions.iter().any(|p| p.iter().all(|(column, wanted)| value(column) == Some(wanted))) {
        return Ok(());
    }
    Err(Error::config(format!("{name}: a row of the partition {values:?} is in none of the partitions to replace")))
}

pub(super) fn matches(file: &DataFile, partition: &BTreeMap<String, String>) -> bool {
    partition.iter().all(|(column, wanted)| file.value(column) == Some(wanted))
}

fn unchanged(table: &Table, state: &State, replace: &Replace) -> Result<()> {
    let conflict = |text: String| Err(Error::new(ErrorKind::Conflict, text).retryable());
    for (app, &version) in &replace.txns {
        if let Some(&stored) = state.txns.get(app).filter(|&&stored| stored > version) {
            return conflict(format!("{} has {app} at {stored} already, not below {version}", table.name()));
        }
    }
    let Some(base) = replace.based_on else { return Ok(()) };
    for version in base + 1..=state.version {
        let Some(entry) = table.entry(version)? else {
            return conflict(format!("{} has lost its commit {version} of after version {base}", table.name()));
        };
        if entry.adds.iter().any(|a| a.data_change) || entry.removes.iter().any(|r| r.data_change) {
            return conflict(format!("{} has changed since version {base}, in version {version}", table.name()));
        }
    }
    Ok(())
}

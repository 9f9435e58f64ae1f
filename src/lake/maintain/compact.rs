//! Small files put together into larger ones: the same rows in the same order.
//!
//! A commit takes files of one partition. It stands only on a state in which each file that it removes is still active;
//! where another writer was faster, what was written is left for `vacuum` and the partition is looked at anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Add;
use serde_json::json;

use super::super::carry::GROUP_ROWS;
use super::super::crash::crash_point;
use super::super::files::FileSet;
use super::super::partition::{Values, file_schema};
use super::super::replace::has_windows;
use super::super::snapshot::DataFile;
use super::super::table::{Commit, Kind, Plan, State, Table, commit_id};
use super::super::{Lake, Progress, Ticker, go_on};
use super::merge::{self, FAN_IN};
use super::order;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Stream;
use crate::storage::ParquetFile;

/// The tag of bronze's files that says which topic their rows are from.
pub(crate) const TOPIC_ID: &str = "citystream.topicId";

/// New files of one commit at most: what a conflict or a crash makes for nothing.
const COMMIT_FILES: usize = 8;

/// How often a table's partitions may be lost to other writers in one call.
const ATTEMPTS: u64 = 50;

/// What to compact, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactOptions {
    /// The size that files are put together to, encoded, in bytes. Files of three quarters of it and more are left alone.
    pub target_bytes: u64,
    /// The tables; empty means all.
    pub tables: Vec<String>,
    /// Only says what would be done.
    pub dry_run: bool,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self { target_bytes: 128 << 20, tables: Vec::new(), dry_run: false }
    }
}

/// What was done to one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableCompacted {
    /// `tier.name`.
    pub name: String,
    /// Files that were put together.
    pub removed: u64,
    /// Files that they became.
    pub added: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of the files before.
    pub bytes_before: u64,
    /// Bytes of the files after; 0 in a dry run.
    pub bytes_after: u64,
    /// Commits.
    pub commits: u64,
    /// Times that another writer was faster.
    pub conflicts: u64,
}

/// What a compaction has done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compacted {
    /// The tables in which there was something to do.
    pub tables: Vec<TableCompacted>,
    /// How long it took.
    pub seconds: f64,
}

/// Files that become one.
struct Bin {
    files: Vec<DataFile>,
}

impl Bin {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// How a table's rows lie in its files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Sorted by these columns.
    Sorted(&'static [&'static str]),
    /// Each Kafka partition's in the order of its offsets.
    Offsets,
    /// As they came.
    Any,
}

impl Layout {
    fn of(name: &str, schema: &SchemaRef) -> Self {
        if Stream::EVENTS.iter().any(|s| name == format!("silver.{}", s.name())) {
            return Self::Sorted(&["device_id", "event_time"]);
        }
        if name.starts_with("bronze.") && schema.column_with_name("kafka_offset").is_some() {
            return Self::Offsets;
        }
        Self::Any
    }
}

impl Lake {
    /// Puts the small files of each partition together. Rows, their order within a file (bronze by offset, silver by device and
    /// time) and transactions stay; no reader of changes sees a new row. May run beside every other writer.
    ///
    /// Memory is that of one open file and of at most 32 that are read.
    ///
    /// # Errors
    /// `Config` for an unknown table or a target of 0. `Store` where a file can't be read or written. `Conflict` where other
    /// writers were faster without end. `Interrupted` after `cancel`; what is committed stays.
    pub fn compact(
        &self,
        options: &CompactOptions,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Compacted> {
        let began = Instant::now();
        if options.target_bytes == 0 {
            return Err(Error::config("the target size of files is 0").help("Give bytes, such as 134217728"));
        }
        let tables = self.chosen(&options.tables)?;
        let mut ticker = Ticker::new("compact", "tables", tables.len() as u64, progress);
        let mut report = Compacted::default();
        for table in &tables {
            let done = compact_table(table, options, cancel)?;
            if done.removed > 0 || done.conflicts > 0 {
                report.tables.push(done);
            }
            ticker.add(1, table.name());
        }
        ticker.say();
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }
}

fn compact_table(table: &Table, options: &CompactOptions, cancel: &AtomicBool) -> Result<TableCompacted> {
    let mut report = TableCompacted { name: table.name().to_owned(), ..TableCompacted::default() };
    loop {
        go_on(cancel)?;
        let state = table.state()?;
        let partitions = plan(table, &state, options.target_bytes, cancel)?;
        if partitions.is_empty() {
            return Ok(report);
        }
        for bins in partitions.iter().flat_map(|bins| bins.chunks(COMMIT_FILES)) {
            let (files, bytes) =
                (bins.iter().map(|b| b.files.len()).sum::<usize>(), bins.iter().map(Bin::bytes).sum::<u64>());
            if !options.dry_run {
                match rewrite(table, &state, bins, options.target_bytes, cancel) {
                    Ok((rows, after)) => {
                        report.rows += rows;
                        report.bytes_after += after;
                        report.commits += 1;
                    }
                    Err(error) if error.kind() == ErrorKind::Conflict && report.conflicts < ATTEMPTS => {
                        report.conflicts += 1;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            report.removed += files as u64;
            report.added += bins.len() as u64;
            report.bytes_before += bytes;
        }
        if options.dry_run {
            return Ok(report);
        }
    }
}

/// The files to put together, by partition. Each round leaves fewer files, so the rounds come to an end.
fn plan(table: &Table, state: &State, target: u64, cancel: &AtomicBool) -> Result<Vec<Vec<Bin>>> {
    let layout = Layout::of(table.name(), &state.schema()?);
    let mut groups: BTreeMap<_, Vec<DataFile>> = BTreeMap::new();
    for file in table.files(state)? {
        if file.bytes < target - target / 4 {
            // Offsets start anew in a topic that was recreated, so its rows stay apart.
            groups.entry((file.partition.clone(), file.tags.get(TOPIC_ID).cloned())).or_default().push(file);
        }
    }
    let mut partitions: BTreeMap<_, Vec<Bin>> = BTreeMap::new();
    for ((partition, _), mut files) in groups {
        if files.len() < 2 {
            continue;
        }
        match layout {
            Layout::Offsets => order::by_offset(&mut files, cancel)?,
            Layout::Sorted(_) | Layout::Any => {
                files.sort_by(|a, b| (a.modified_ms, &a.name).cmp(&(b.modified_ms, &b.name)));
            }
        }
        let most = if matches!(layout, Layout::Sorted(_)) { FAN_IN } else { usize::MAX };
        let bins = pack(files, target, most);
        if !bins.is_empty() {
            partitions.entry(partition).or_default().extend(bins);
        }
    }
    Ok(partitions.into_values().collect())
}

/// Neighbours until the target is reached; a bin of one file is no work.
fn pack(files: Vec<DataFile>, target: u64, most: usize) -> Vec<Bin> {
    let mut bins: Vec<Bin> = Vec::new();
    let mut open = Bin { files: Vec::new() };
    for file in files {
        if !open.files.is_empty() && (open.bytes() + file.bytes > target || open.files.len() >= most) {
            bins.push(std::mem::replace(&mut open, Bin { files: Vec::new() }));
        }
        open.files.push(file);
    }
    bins.push(open);
    bins.retain(|bin| bin.files.len() > 1);
    bins
}

/// Writes each bin's file and commits them; returns rows and bytes.
fn rewrite(table: &Table, state: &State, bins: &[Bin], target: u64, cancel: &AtomicBool) -> Result<(u64, u64)> {
    crash_point("compact_before_file");
    let partitions = state.partition_columns();
    let schema: SchemaRef = Arc::new(file_schema(state.schema()?.as_ref(), &partitions));
    let layout = Layout::of(table.name(), &schema);
    // The bins bound the files' sizes.
    let mut files = FileSet::new(table.root().to_owned(), schema.as_ref().clone(), commit_id(), usize::MAX);
    if has_windows(&partitions) {
        files = files.grouped(GROUP_ROWS);
    }
    let mut adds: Vec<Add> = Vec::new();
    let mut count = 0;
    for bin in bins {
        let Some(first) = bin.files.first() else { continue };
        let values: Values = partitions.iter().map(|c| (c.clone(), first.value(c).map(str::to_owned))).collect();
        let mut written = 0;
        let mut write = |batch: &RecordBatch| {
            written += batch.num_rows() as u64;
            files.write(&values, batch)
        };
        match layout {
            Layout::Sorted(keys) => merge::sorted(&bin.files, &schema, keys, cancel, &mut write)?,
            Layout::Offsets | Layout::Any => merge::append(&bin.files, &schema, cancel, &mut write)?,
        }
        let mut held = 0;
        for file in &bin.files {
            held += ParquetFile::open(&file.path)?.rows();
        }
        if written != held {
            return Err(Error::internal(format!("{held} rows of {} became {written}", table.name())));
        }
        count += written;
        let done = files.finish()?.iter().skip(adds.len()).cloned();
        // A tag that holds for every row of the new file.
        let common = first.tags.iter().filter(|(k, v)| bin.files.iter().all(|f| f.tags.get(*k) == Some(*v)));
        let tags: HashMap<_, _> = common.map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
        let tags = (!tags.is_empty()).then_some(tags);
        adds.extend(done.map(|add| Add { data_change: false, tags: tags.clone(), ..add }).collect::<Vec<_>>());
    }
    crash_point("compact_after_file");
    let bytes = adds.iter().map(|a| a.size.unsigned_abs()).sum();
    let removes: Vec<String> = bins.iter().flat_map(|b| &b.files).map(|f| f.name.clone()).collect();
    let info = json!({"files": removes.len(), "into": adds.len(), "rows": count});
    crash_point("compact_before_commit");
    let id = files.commit_id().to_owned();
    table.commit(&id, |_| {
        Ok(Plan::Commit(Commit {
            adds: adds.clone(),
            removes: removes.clone(),
            kind: Kind::Compact(target),
            info: BTreeMap::from([("citystream.compacted", info.clone())]),
            ..Commit::default()
        }))
    })?;
    crash_point("compact_after_commit");
    Ok((count, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::Replace;
    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatchIterator};
    use arrow::datatypes::Int64Type;
    use serde_json::Value;

    fn file(name: &str, bytes: u64) -> DataFile {
        DataFile {
            path: std::path::PathBuf::from(name).into(),
            name: name.into(),
            rows: 1,
            bytes,
            partition: BTreeMap::new(),
            stats: None::<Value>,
            tags: BTreeMap::new(),
            modified_ms: 0,
        }
    }

    fn add(lake: &Lake, value: i64) {
        let column = Arc::new(Int64Array::from(vec![value])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("value", column)]).unwrap();
        let schema = batch.schema();
        let mut rows = RecordBatchIterator::new([Ok(batch)], schema);
        let more = Replace { partitions: Some(vec![]), ..Replace::default() };
        lake.replace("gold.x", &mut rows, &more).unwrap();
    }

    fn values(lake: &Lake) -> Vec<i64> {
        let mut values = Vec::new();
        for batch in lake.scan("gold.x", None).unwrap() {
            values.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values());
        }
        values
    }

    #[test]
    fn a_plan_that_another_writer_has_overtaken_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(&folder.path().join("lake").to_string_lossy(), true).unwrap();
        (1..=3).for_each(|value| add(&lake, value));
        let table = lake.table("gold.x").unwrap();
        let (stop, target) = (AtomicBool::new(false), 1 << 20);
        let stale = table.state().unwrap();
        let planned = plan(&table, &stale, target, &stop).unwrap();
        assert_eq!(planned[0][0].files.len(), 3);
        // Rows that came in meanwhile are no obstacle.
        add(&lake, 4);
        rewrite(&table, &stale, &planned[0], target, &stop).unwrap();
        assert_eq!(values(&lake).len(), 4);
        // The same plan again, as another process would have made it, and one whose rows were replaced.
        let error = rewrite(&table, &stale, &planned[0], target, &stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let stale = table.state().unwrap();
        let planned = plan(&table, &stale, target, &stop).unwrap();
        let column = Arc::new(Int64Array::from(vec![9])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("value", column)]).unwrap();
        let mut rows = RecordBatchIterator::new([Ok(batch.clone())], batch.schema());
        lake.replace("gold.x", &mut rows, &Replace::default()).unwrap();
        let error = rewrite(&table, &stale, &planned[0], target, &stop).unwrap_err();
        assert_eq!((error.kind(), values(&lake)), (ErrorKind::Conflict, vec![9]));
        // Version 0 made the table, 1 to 4 added rows.
        let compacted = table.entry(5).unwrap().unwrap();
        assert_eq!((compacted.adds.len(), compacted.removes.len()), (1, 3));
        assert!(compacted.adds.iter().all(|a| !a.data_change) && compacted.removes.iter().all(|r| !r.data_change));
    }

    #[test]
    fn neighbours_are_packed_up_to_the_target() {
        let files: Vec<_> =
            [40, 40, 40, 90, 10, 5, 95].iter().enumerate().map(|(n, &b)| file(&n.to_string(), b)).collect();
        let names = |bins: Vec<Bin>| -> Vec<Vec<String>> {
            bins.into_iter().map(|b| b.files.into_iter().map(|f| f.name).collect()).collect()
        };
        assert_eq!(names(pack(files.clone(), 100, 99)), [vec!["0", "1"], vec!["3", "4"], vec!["5", "6"]]);
        assert_eq!(names(pack(files, 1000, 3)), [vec!["0", "1", "2"], vec!["3", "4", "5"]]);
    }
}

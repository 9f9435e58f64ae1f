//! The lake: Delta tables in a folder or below a prefix of an S3 bucket, and each record in them exactly once.
//!
//! A table `tier.name` is the Delta table `LAKE/tier/name`. [`Lake::bronze_writer`] takes records in, with their offsets in
//! the same commit; [`Lake::refine_silver`] turns what is new in bronze into silver and its three side tables;
//! [`Lake::replace`] writes tables that others compute (dim and gold); [`Lake::check`] verifies all of it.
//!
//! Everything here is synchronous; waiting for the log happens inside.

mod bronze;
mod carry;
mod changed;
mod check;
mod crash;
mod files;
mod grow;
mod log;
mod maintain;
mod partition;
mod replace;
mod scan;
pub mod silver;
mod snapshot;
mod stats;
mod table;

pub use bronze::{BronzeOptions, BronzeWriter, Committed, bronze_rows};
pub use changed::Change;
pub use check::Checked;
pub use crash::{CRASH_POINTS, crash_point};
pub use maintain::{
    CompactOptions, Compacted, Retain, Retained, TableCompacted, TableRetained, TableTrimmed, TableVacuumed,
    TrimOptions, Trimmed, VacuumOptions, Vacuumed, Waiting,
};
pub use replace::{Replace, Replaced};
pub use scan::{Scan, ScanReader};
pub use silver::{SilverOptions, SilverReport};
pub use snapshot::{DataFile, Snapshot};

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::ObjectStore;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{
    BRONZE_PARTITIONS, GAP_TABLE, SIDE_PARTITION, SILVER_PARTITION, Side, Stream, bronze_schema, gap_schema,
    silver_schema,
};
use crate::storage::s3::{Protection, S3Options, S3Store};
use crate::storage::{Address, Place, create_folders};
use table::Table;

/// The file that marks a folder as a lake.
const MARK: &str = "citystream.json";
const MARK_TEXT: &str = "{\"format\":1}\n";
const FORMAT: u64 = 1;

/// The tiers, in the order of the flow.
const TIERS: [&str; 4] = ["bronze", "silver", "dim", "gold"];

/// How far a long call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, where that is known.
    pub total: Option<u64>,
    /// What is counted: `rows`, `files`.
    pub unit: &'static str,
    /// The table or stream.
    pub detail: String,
}

/// One table in a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// `tier.name`.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its active files.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Its version.
    pub version: i64,
    /// When that was committed, in ms since the epoch.
    pub last_commit_ms: Option<i64>,
}

/// A folder of tables, on disk or in a bucket. Cheap to clone; may be used from many threads.
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

struct Shared {
    root: Place,
    tables: Mutex<HashMap<String, Arc<Table>>>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("root", &self.shared.root).finish()
    }
}

impl Lake {
    /// Opens the lake in the folder `path`, or below `s3://bucket/prefix` by the environment's options, made first where
    /// `create` is set and there is none.
    ///
    /// # Errors
    /// As [`Lake::open_with`].
    pub fn open(path: &str, create: bool) -> Result<Self> {
        Self::open_with(path, &BTreeMap::new(), create)
    }

    /// As [`Lake::open`], with options of the object store; see [`S3Options`].
    ///
    /// # Errors
    /// `Config` for an address that is neither a local folder nor on S3, or for an option that is unknown, wrong, or given for
    /// a folder. `Table` where there is no lake, the folder holds something else, or a newer version of citystream wrote it.
    /// `Store` where it can't be read or made.
    pub fn open_with(path: &str, options: &BTreeMap<String, String>, create: bool) -> Result<Self> {
        let root = match Address::of(path)? {
            Address::Local(_) if !options.is_empty() => {
                let name = options.keys().next().map_or("", String::as_str);
                return Err(Error::config(format!("storage option {name:?} is given for a local folder"))
                    .help("Leave it out; storage options are for lakes on S3"));
            }
            Address::Local(local) => folder(path, &local, create)?,
            Address::S3 { bucket, prefix } => Place::on_s3(bucket, prefix, options)?,
        };
        Self::at(path, root, create)
    }

    /// As [`Lake::open`], in an object store of the caller's, such as one that fails on purpose. `path` is `s3://bucket/prefix`,
    /// of which the store's root is the bucket.
    ///
    /// # Errors
    /// As [`Lake::open_with`].
    pub fn open_on(store: Arc<dyn ObjectStore>, path: &str, create: bool) -> Result<Self> {
        let Address::S3 { bucket, prefix } = Address::of(path)? else {
            return Err(Error::config(format!("{path:?} is no address like s3://bucket/prefix")));
        };
        Self::at(path, Place::object(store, &format!("s3://{bucket}"), prefix, None)?, create)
    }

    fn at(path: &str, root: Place, create: bool) -> Result<Self> {
        let text = root.join(MARK).text().context(ErrorKind::Store, || format!("the lake {path} can't be opened"))?;
        match text {
            Some(text) => read_mark(path, &text)?,
            None => mark(path, &root, create)?,
        }
        Ok(Self { shared: Arc::new(Shared { root, tables: Mutex::default() }) })
    }

    /// Makes the bucket of the lake `path` safe before the lake is made in it, and tells what came of each measure; nothing for
    /// a local folder.
    ///
    /// # Errors
    /// `Config` as [`Lake::open_with`]. `Store` where the bucket is missing and can't be made, or can't be reached.
    pub fn protect(path: &str, options: &BTreeMap<String, String>) -> Result<Vec<Protection>> {
        match Address::of(path)? {
            Address::Local(_) => Ok(Vec::new()),
            Address::S3 { bucket, .. } => S3Store::open(bucket, S3Options::new(options)?)?.protect(),
        }
    }

    /// The lake's folder, or its prefix.
    pub fn path(&self) -> &Place {
        &self.shared.root
    }

    /// Makes the bronze and silver tables that do not exist yet, empty, each with its columns.
    ///
    /// # Errors
    /// `Store` or `Table` where one can't be made.
    pub fn ensure_tables(&self) -> Result<()> {
        for stream in Stream::EVENTS.into_iter().chain([Stream::Reference]) {
            self.bronze_table(stream)?;
        }
        self.gap_table()?;
        for stream in Stream::EVENTS {
            self.silver_table(stream)?;
        }
        for side in Side::ALL {
            self.side_table(side)?;
        }
        Ok(())
    }

    pub(crate) fn bronze_table(&self, stream: Stream) -> Result<Arc<Table>> {
        let table = self.table(&format!("bronze.{}", stream.name()))?;
        let text = format!("every record of the stream {}, as it came", stream.name());
        table.ensure(&bronze_schema(stream), &BRONZE_PARTITIONS, &text)?;
        table.grow(&bronze_schema(stream))?;
        Ok(table)
    }

    pub(crate) fn gap_table(&self) -> Result<Arc<Table>> {
        let table = self.table(&format!("bronze.{GAP_TABLE}"))?;
        table.ensure(&gap_schema(), &[], "offsets that a topic had lost before they were read")?;
        Ok(table)
    }

    pub(crate) fn silver_table(&self, stream: Stream) -> Result<Arc<Table>> {
        let table = self.table(&format!("silver.{}", stream.name()))?;
        let text = format!("the valid events of the stream {}, one row for each id", stream.name());
        table.ensure(&silver_schema(stream), &[SILVER_PARTITION], &text)?;
        table.grow(&silver_schema(stream))?;
        Ok(table)
    }

    pub(crate) fn side_table(&self, side: Side) -> Result<Arc<Table>> {
        let table = self.table(&format!("silver.{}", side.name()))?;
        let text = match side {
            Side::DeadLetter => "records that can't be decoded",
            Side::Quarantine => "rows that break a rule, with the rule",
            Side::Duplicate => "dropped copies, with the copy that was kept",
        };
        table.ensure(&side.schema(), &[SIDE_PARTITION], text)?;
        table.grow(&side.schema())?;
        Ok(table)
    }

    /// The table called `name`, which need not exist.
    pub(crate) fn table(&self, name: &str) -> Result<Arc<Table>> {
        let (tier, base) = name.split_once('.').unwrap_or_default();
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if !TIERS.contains(&tier) || !plain(base) {
            return Err(Error::config(format!("{name:?} is no name of a table")).help(format!(
                "A table is called tier.name: a tier of {}, and a name of small letters, digits and _",
                TIERS.join(", ")
            )));
        }
        let mut tables = self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(name) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(Table::at(name, self.shared.root.join(tier).join(base))?);
        tables.insert(name.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    /// The names of the tables that exist, `bronze.…` first.
    ///
    /// # Errors
    /// `Store` where a folder can't be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for tier in TIERS {
            let folder = self.shared.root.join(tier);
            let tables = folder.folders()?;
            // Another process makes a table's folders before its log. Of a bucket only what has objects in it is listed, and
            // nothing has any before its log.
            let found = tables.iter().filter(|name| !folder.join(name).join("_delta_log").is_missing_log());
            names.extend(found.map(|name| format!("{tier}.{name}")));
        }
        Ok(names)
    }

    /// The newest snapshot of the table called `name`.
    ///
    /// # Errors
    /// `Config` for a name that no table can have; `Table` where it does not exist or its log can't be understood.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        self.table(name)?.snapshot()
    }

    /// The active files that hold rows which came after version `since`, wherever compaction has put them; -1 means all.
    ///
    /// # Errors
    /// As [`Lake::snapshot`]; `Table` where the log no longer reaches back to `since`.
    pub fn changes(&self, name: &str, since: i64) -> Result<Vec<DataFile>> {
        self.changes_between(name, since, i64::MAX)
    }

    /// As [`Lake::changes`], up to version `until` where the table has come further.
    ///
    /// # Errors
    /// As [`Lake::changes`].
    pub fn changes_between(&self, name: &str, since: i64, until: i64) -> Result<Vec<DataFile>> {
        let table = self.table(name)?;
        let state = table.state()?;
        if state.version <= until {
            return table.fresh(since, &state);
        }
        let changes = table.changes(since, until)?;
        Ok(changes.into_iter().flat_map(|(_, files)| files).collect())
    }

    /// The rows of the newest snapshot: `columns` of it, or all.
    ///
    /// # Errors
    /// As [`Lake::snapshot`]; `Config` for a column that the table has not.
    pub fn scan(&self, name: &str, columns: Option<&[&str]>) -> Result<Scan> {
        self.snapshot(name)?.scan(columns)
    }

    /// The file of the lake with this address and these partition values, as [`DataFile::path`] and [`DataFile::partition`]
    /// had them.
    ///
    /// # Errors
    /// `Config` for an address outside of the lake.
    pub fn file(&self, path: &str, partition: BTreeMap<String, Option<String>>) -> Result<DataFile> {
        let root = self.path().to_string();
        let name = path.strip_prefix(&root).and_then(|rest| rest.strip_prefix('/'));
        let name = name.ok_or_else(|| Error::config(format!("{path} is no file of the lake {root}")))?;
        let name = name.to_owned();
        Ok(DataFile {
            path: self.path().join(&name),
            name,
            rows: 0,
            bytes: 0,
            partition,
            stats: None,
            tags: BTreeMap::new(),
            modified_ms: 0,
        })
    }

    /// Every table with its size.
    ///
    /// # Errors
    /// `Table` where a log can't be understood.
    pub fn tables(&self) -> Result<Vec<TableInfo>> {
        let info = |name: String| {
            let snapshot = self.snapshot(&name)?;
            Ok(TableInfo {
                name,
                rows: snapshot.files.iter().map(|f| f.rows).sum(),
                files: snapshot.files.len() as u64,
                bytes: snapshot.files.iter().map(|f| f.bytes).sum(),
                version: snapshot.version,
                last_commit_ms: snapshot.last_commit_ms,
            })
        };
        self.names()?.into_iter().map(info).collect()
    }
}

/// Passes on about ten reports of progress a second, and the last one.
struct Ticker<'a> {
    progress: &'a mut dyn FnMut(Progress),
    report: Progress,
    said: Option<Instant>,
}

impl<'a> Ticker<'a> {
    fn new(stage: &str, unit: &'static str, total: u64, progress: &'a mut dyn FnMut(Progress)) -> Self {
        let report = Progress { stage: stage.into(), done: 0, total: Some(total), unit, detail: String::new() };
        Self { progress, report, said: None }
    }

    fn add(&mut self, done: u64, detail: &str) {
        self.report.done += done;
        if self.said.is_none_or(|at| at.elapsed() >= Duration::from_millis(100)) {
            detail.clone_into(&mut self.report.detail);
            self.say();
        }
    }

    fn say(&mut self) {
        self.said = Some(Instant::now());
        (self.progress)(self.report.clone());
    }
}

/// `Interrupted` once the user has asked to stop.
pub(crate) fn go_on(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) {
        return Err(Error::new(ErrorKind::Interrupted, "stopped on request; what was committed stays"));
    }
    Ok(())
}

/// The folder of a local lake, made where that is wanted.
fn folder(path: &str, local: &Path, create: bool) -> Result<Place> {
    if !local.is_dir() {
        if local.exists() {
            return Err(Error::new(ErrorKind::Table, format!("{path} is a file, not a lake's folder")));
        }
        if !create {
            return Err(Error::new(ErrorKind::Table, format!("there is no lake at {path}"))
                .help(format!("`citystream lake init {path}` makes one")));
        }
        create_folders(&absolute(local)?)?;
    }
    let root = local.canonicalize().context(ErrorKind::Store, || format!("the lake {path} can't be opened"))?;
    Ok(Place::Local(root))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).context(ErrorKind::Store, || format!("{} can't be made absolute", path.display()))
}

fn read_mark(path: &str, text: &str) -> Result<()> {
    let format = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|m| m.get("format")?.as_u64());
    match format {
        Some(FORMAT) => Ok(()),
        Some(newer) => Err(Error::new(ErrorKind::Table, format!("the lake {path} has format {newer}, not {FORMAT}"))
            .help("Use the version of citystream that made it, or a newer one")),
        None => Err(Error::new(ErrorKind::Table, format!("{path}/{MARK} is damaged: {text:?}"))
            .help(format!("It should be {}", MARK_TEXT.trim()))),
    }
}

fn mark(path: &str, root: &Place, create: bool) -> Result<()> {
    // A crash while the mark was written leaves a hidden file.
    let other = root.any_entry(|name| name.starts_with(&format!(".{MARK}.")))?;
    let marked = || root.join(MARK).text().is_ok_and(|text| text.is_some());
    if let Some(name) = other {
        // Another process may have made the lake since we looked.
        if marked() {
            return Ok(());
        }
        return Err(Error::new(ErrorKind::Table, format!("{path} is no lake: it holds {name:?} and no {MARK}"))
            .help("Give an empty or new folder, or an existing lake"));
    }
    if !create {
        let text = match root {
            Place::Local(_) => format!("{path} is empty, not a lake"),
            Place::Object(_) => format!("there is no lake at {path}"),
        };
        return Err(Error::new(ErrorKind::Table, text).help(format!("`citystream lake init {path}` makes one")));
    }
    match root.join(MARK).write_new(MARK_TEXT.as_bytes()) {
        Err(error) if !marked() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        error.to_string()
    }

    #[test]
    fn a_lake_is_a_marked_folder_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        assert!(message(Lake::open(&at("none"), false), ErrorKind::Table).contains("lake init"));
        let lake = Lake::open(&at("new/deep"), true).unwrap();
        assert_eq!(lake.names().unwrap(), Vec::<String>::new());
        Lake::open(&at("new/deep"), false).unwrap();
        Lake::open(&format!("file://{}", at("new/deep")), false).unwrap();

        std::fs::create_dir(at("photos")).unwrap();
        std::fs::write(at("photos/cat.jpg"), b"x").unwrap();
        let text = message(Lake::open(&at("photos"), true), ErrorKind::Table);
        assert!(text.contains("cat.jpg") && text.contains("Give an empty or new folder"), "{text}");
        std::fs::write(at("new/deep/citystream.json"), "{\"format\":2}").unwrap();
        assert!(message(Lake::open(&at("new/deep"), true), ErrorKind::Table).contains("format 2"));
        assert!(message(Lake::open("s3:///lake", true), ErrorKind::Config).contains("names no bucket"));
        let text = message(Lake::open("s3://key:hunter2@bucket/lake", true), ErrorKind::Config);
        assert!(!text.contains("hunter2"), "{text}");
        let options = BTreeMap::from([("region".to_owned(), "x".to_owned())]);
        let text = message(Lake::open_with(&at("new/deep"), &options, true), ErrorKind::Config);
        assert!(text.contains("local folder"), "{text}");
        assert!(message(Lake::open("gs://bucket/lake", true), ErrorKind::Config).contains("\"gs\""));
    }

    #[test]
    fn a_missing_or_damaged_table_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(&folder.path().join("l").to_string_lossy(), true).unwrap();
        assert!(message(lake.snapshot("bronze.gps"), ErrorKind::Table).contains("bronze.gps"));
        assert!(message(lake.snapshot("../gps"), ErrorKind::Config).contains("tier.name"));
        lake.bronze_table(Stream::Gps).unwrap();
        lake.snapshot("bronze.gps").unwrap();
        let log = lake.path().join("bronze/gps/_delta_log/00000000000000000000.json");
        std::fs::write(log.local().unwrap(), "{\"metaData\":").unwrap();
        let fresh = Lake::open(&lake.path().to_string(), false).unwrap();
        let text = message(fresh.snapshot("bronze.gps"), ErrorKind::Table);
        assert!(text.contains("bronze.gps") && text.contains("restore _delta_log"), "{text}");
    }

    #[test]
    fn a_lake_in_a_bucket_is_a_marked_prefix() {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let open = |path: &str, create| Lake::open_on(Arc::clone(&store), path, create);
        assert!(message(open("s3://b/lakes/a", false), ErrorKind::Table).contains("lake init s3://b/lakes/a"));
        assert_eq!(open("s3a://b/lakes/a/", true).unwrap().path().to_string(), "s3://b/lakes/a");
        open("s3://b/lakes/a", false).unwrap();
        // Neither its parent, which holds it, nor a name that starts like it is the same lake.
        assert!(message(open("s3://b/lakes", true), ErrorKind::Table).contains("holds \"a\""));
        assert_eq!(open("s3://b/lakes/ab", true).unwrap().names().unwrap(), Vec::<String>::new());
        assert!(message(open("folder", true), ErrorKind::Config).contains("s3://bucket/prefix"));
        let lake = open("s3://b/lakes/a", false).unwrap();
        assert!(message(lake.snapshot("bronze.gps"), ErrorKind::Table).contains("does not exist"));
    }

    #[test]
    fn tables_exist_when_empty_and_have_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        // A folder with a space and letters outside ASCII.
        let local = Lake::open(&folder.path().join("my läke").to_string_lossy(), true).unwrap();
        let store = Arc::new(object_store::memory::InMemory::new());
        for lake in [local, Lake::open_on(store, "s3://b/my läke", true).unwrap()] {
            tables_have_their_columns(&lake);
        }
    }

    fn tables_have_their_columns(lake: &Lake) {
        lake.ensure_tables().unwrap();
        lake.ensure_tables().unwrap();
        assert_eq!(lake.names().unwrap().len(), 7 + 5 + 3);
        for stream in Stream::EVENTS {
            let bronze = lake.snapshot(&format!("bronze.{}", stream.name())).unwrap();
            assert_eq!(bronze.partition_columns, BRONZE_PARTITIONS);
            assert_eq!(bronze.version, 0);
            let kinds = |s: &arrow::datatypes::Schema| {
                s.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>()
            };
            assert_eq!(kinds(&bronze.schema), kinds(&bronze_schema(stream)));
            let silver = lake.snapshot(&format!("silver.{}", stream.name())).unwrap();
            assert_eq!(kinds(&silver.schema), kinds(&silver_schema(stream)));
            assert_eq!(lake.scan(&format!("silver.{}", stream.name()), None).unwrap().count(), 0);
        }
        assert!(lake.tables().unwrap().iter().all(|t| t.rows == 0 && t.last_commit_ms.is_some()));
    }
}

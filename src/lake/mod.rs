//! The lake: Delta tables in a folder, and each record in them exactly once.
//!
//! A table `tier.name` is the Delta table `LAKE/tier/name`. [`Lake::bronze_writer`] takes records in, with their offsets in
//! the same commit; [`Lake::refine_silver`] turns what is new in bronze into silver and its three side tables;
//! [`Lake::replace`] writes tables that others compute (dim and gold); [`Lake::check`] verifies all of it.
//!
//! Everything here is synchronous; waiting for the log happens inside.

mod bronze;
mod changed;
mod check;
mod crash;
mod files;
mod log;
mod partition;
mod replace;
mod scan;
pub mod silver;
mod snapshot;
mod stats;
mod table;

pub use bronze::{BronzeOptions, BronzeWriter, Committed};
pub use changed::Change;
pub use check::Checked;
pub use crash::{CRASH_POINTS, crash_point};
pub use replace::{Replace, Replaced};
pub use scan::{Scan, ScanReader};
pub use silver::{SilverOptions, SilverReport};
pub use snapshot::{DataFile, Snapshot};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{BRONZE_PARTITIONS, SIDE_PARTITION, SILVER_PARTITION, Side, Stream, bronze_schema, silver_schema};
use crate::storage::{create_folders, write_new};
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

/// A folder of tables. Cheap to clone; may be used from many threads.
#[derive(Clone)]
pub struct Lake {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    tables: Mutex<HashMap<String, Arc<Table>>>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("root", &self.shared.root).finish()
    }
}

impl Lake {
    /// Opens the lake in the folder `path`, made first where `create` is set and there is none.
    ///
    /// # Errors
    /// `Config` for an address that is no local folder. `Table` where there is no lake, the folder holds something else, or
    /// a newer version of citystream wrote it. `Store` where it can't be read or made.
    pub fn open(path: &str, create: bool) -> Result<Self> {
        let local = local_path(path)?;
        let context = || format!("the lake {path} can't be opened");
        if !local.is_dir() {
            if local.exists() {
                return Err(Error::new(ErrorKind::Table, format!("{path} is a file, not a lake's folder")));
            }
            if !create {
                return Err(Error::new(ErrorKind::Table, format!("there is no lake at {path}"))
                    .help(format!("`citystream lake init {path}` makes one")));
            }
            create_folders(&absolute(&local)?)?;
        }
        let root = local.canonicalize().context(ErrorKind::Store, context)?;
        match std::fs::read_to_string(root.join(MARK)) {
            Ok(text) => read_mark(path, &text)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => mark(path, &root, create)?,
            Err(e) => return Err(e).context(ErrorKind::Store, context),
        }
        Ok(Self { shared: Arc::new(Shared { root, tables: Mutex::default() }) })
    }

    /// The lake's folder.
    pub fn path(&self) -> &Path {
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
        Ok(table)
    }

    pub(crate) fn silver_table(&self, stream: Stream) -> Result<Arc<Table>> {
        let table = self.table(&format!("silver.{}", stream.name()))?;
        let text = format!("the valid events of the stream {}, one row for each id", stream.name());
        table.ensure(&silver_schema(stream), &[SILVER_PARTITION], &text)?;
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
        let table = Arc::new(Table::at(name, &self.shared.root.join(tier).join(base))?);
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
            if !folder.is_dir() {
                continue;
            }
            let context = || format!("the folder {} can't be read", folder.display());
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&folder).context(ErrorKind::Store, context)? {
                let entry = entry.context(ErrorKind::Store, context)?;
                if entry.path().join("_delta_log").is_dir() {
                    found.push(format!("{tier}.{}", entry.file_name().to_string_lossy()));
                }
            }
            found.sort();
            names.append(&mut found);
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

    /// The files that were added with new rows after version `since`; -1 means all.
    ///
    /// # Errors
    /// As [`Lake::snapshot`]; `Table` where the log no longer reaches back to `since`.
    pub fn changes(&self, name: &str, since: i64) -> Result<Vec<DataFile>> {
        let table = self.table(name)?;
        let state = table.state()?;
        if since < 0 {
            return table.files(&state);
        }
        Ok(table.changes(since, state.version)?.into_iter().flat_map(|(_, files)| files).collect())
    }

    /// The rows of the newest snapshot: `columns` of it, or all.
    ///
    /// # Errors
    /// As [`Lake::snapshot`]; `Config` for a column that the table has not.
    pub fn scan(&self, name: &str, columns: Option<&[&str]>) -> Result<Scan> {
        self.snapshot(name)?.scan(columns)
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

fn local_path(path: &str) -> Result<PathBuf> {
    match path.split_once("://") {
        None => Ok(PathBuf::from(path)),
        Some(("file", _)) => url::Url::parse(path)
            .ok()
            .and_then(|u| u.to_file_path().ok())
            .ok_or_else(|| Error::config(format!("{path:?} is no file:// address of a folder"))),
        Some(("s3" | "s3a", _)) => Err(Error::config(format!("the lake {path} is on S3, which comes later"))
            .help("This version keeps a lake in a local folder")),
        Some((scheme, _)) => {
            Err(Error::config(format!("the lake {path} has an unknown scheme {scheme:?}")).help("Give a local folder"))
        }
    }
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

fn mark(path: &str, root: &Path, create: bool) -> Result<()> {
    let context = || format!("the folder {path} can't be read");
    let other = std::fs::read_dir(root).context(ErrorKind::Store, context)?.find_map(|entry| {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        // A crash while the mark was written leaves a hidden file.
        (!name.starts_with(&format!(".{MARK}."))).then_some(name)
    });
    if let Some(name) = other {
        // Another process may have made the lake since we looked.
        if root.join(MARK).is_file() {
            return Ok(());
        }
        return Err(Error::new(ErrorKind::Table, format!("{path} is no lake: it holds {name:?} and no {MARK}"))
            .help("Give an empty or new folder, or an existing lake"));
    }
    if !create {
        return Err(Error::new(ErrorKind::Table, format!("{path} is empty, not a lake"))
            .help(format!("`citystream lake init {path}` makes one")));
    }
    match write_new(root.join(MARK), MARK_TEXT.as_bytes()) {
        Err(error) if !root.join(MARK).is_file() => Err(error),
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
        assert!(message(Lake::open("s3://bucket/lake", true), ErrorKind::Config).contains("S3, which comes later"));
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
        std::fs::write(log, "{\"metaData\":").unwrap();
        let fresh = Lake::open(&lake.path().to_string_lossy(), false).unwrap();
        let text = message(fresh.snapshot("bronze.gps"), ErrorKind::Table);
        assert!(text.contains("bronze.gps") && text.contains("restore _delta_log"), "{text}");
    }

    #[test]
    fn tables_exist_when_empty_and_have_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        // A folder with a space and letters outside ASCII.
        let lake = Lake::open(&folder.path().join("my läke").to_string_lossy(), true).unwrap();
        lake.ensure_tables().unwrap();
        lake.ensure_tables().unwrap();
        assert_eq!(lake.names().unwrap().len(), 6 + 5 + 3);
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

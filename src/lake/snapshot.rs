//! What a table is at a version: its files with their statistics, its columns, its transactions.

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::{Add, LogicalFileView, Remove};
use serde_json::Value;

use super::scan::Scan;
use super::table::{State, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Place;

/// One data file.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Where it is.
    pub path: Place,
    /// Its path in the log, relative to the table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The value of each partition column; `None` is null.
    pub partition: BTreeMap<String, Option<String>>,
    /// `numRecords`, `minValues`, `maxValues`, `nullCount`, as the log has them.
    pub stats: Option<Value>,
    /// The tags of its log entry.
    pub tags: BTreeMap<String, String>,
    /// When it was written, in ms since the epoch.
    pub modified_ms: i64,
}

/// A table at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The table's version.
    pub version: i64,
    /// The table's folder.
    pub path: Place,
    /// The active files.
    pub files: Vec<DataFile>,
    /// Columns whose values are in the log and not in the files.
    pub partition_columns: Vec<String>,
    /// Every column, partition columns included.
    pub schema: SchemaRef,
    /// The version of each application transaction.
    pub txns: BTreeMap<String, i64>,
    /// The table's own id: another one when it is made anew.
    pub id: String,
    /// When the version was committed, in ms since the epoch.
    pub last_commit_ms: Option<i64>,
}

impl Snapshot {
    /// The rows: `columns` of them, or all. Whatever is committed later, they are those of this version.
    ///
    /// # Errors
    /// `Config` for a column that the table has not.
    pub fn scan(&self, columns: Option<&[&str]>) -> Result<Scan> {
        Scan::new(self.clone(), columns)
    }
}

impl DataFile {
    pub(crate) fn from_view(root: &Place, view: &LogicalFileView) -> Self {
        #[expect(deprecated, reason = "the one way to a file's tags")]
        let add = view.add_action();
        let mut file = Self::from_add(root, &add);
        if let Some(rows) = view.num_records() {
            file.rows = rows as u64;
        }
        file
    }

    pub(crate) fn from_add(root: &Place, add: &Add) -> Self {
        let stats: Option<Value> = add.stats.as_deref().and_then(|s| serde_json::from_str(s).ok());
        Self {
            path: root.join(&add.path),
            name: add.path.clone(),
            rows: rows(stats.as_ref()),
            bytes: add.size.unsigned_abs(),
            partition: add.partition_values.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            stats,
            tags: add.tags.iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect(),
            modified_ms: add.modification_time,
        }
    }

    pub(crate) fn from_remove(root: &Place, remove: &Remove) -> Self {
        Self {
            path: root.join(&remove.path),
            name: remove.path.clone(),
            rows: 0,
            bytes: remove.size.unwrap_or(0).unsigned_abs(),
            partition: remove.partition_values.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            stats: None,
            tags: BTreeMap::new(),
            modified_ms: 0,
        }
    }

    /// The text of a partition column's value.
    pub fn value(&self, column: &str) -> Option<&str> {
        self.partition.get(column)?.as_deref()
    }
}

fn rows(stats: Option<&Value>) -> u64 {
    stats.and_then(|s| s.get("numRecords")?.as_u64()).unwrap_or(0)
}

impl Table {
    /// The active files of `state`.
    ///
    /// # Errors
    /// `Table` where another writer has used a feature that we don't read: deletion vectors or column mapping.
    pub(crate) fn files(&self, state: &State) -> Result<Vec<DataFile>> {
        let refused = |feature: &str| {
            let text = format!("{} ({}) uses {feature}, which is not supported", self.name(), self.root().display());
            Error::new(ErrorKind::Table, text).help("Rewrite the table without it, with the engine that turned it on")
        };
        if state.configuration().get("delta.columnMapping.mode").is_some_and(|m| m != "none") {
            return Err(refused("column mapping"));
        }
        let files = state.delta().log_data().into_iter().map(|view| {
            if view.deletion_vector_descriptor().is_some() {
                return Err(refused("deletion vectors"));
            }
            Ok(DataFile::from_view(self.root(), &view))
        });
        files.collect()
    }

    /// The newest snapshot.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        let state = self.state()?;
        Ok(Snapshot {
            version: state.version,
            path: self.root().to_owned(),
            files: self.files(&state)?,
            partition_columns: state.partition_columns(),
            schema: state.schema()?,
            txns: state.txns.clone(),
            id: state.delta().metadata().id().to_owned(),
            last_commit_ms: state.committed_at(self)?,
        })
    }

    /// The files that were added, with their rows, after version `since` and up to `until`, commit by commit. Compaction
    /// adds no rows and is left out. `-1` means from the start: then, where the log no longer has every commit, what is
    /// active at `until` counts as one commit.
    ///
    /// # Errors
    /// `Table` where the log no longer has one of the commits.
    pub(crate) fn changes(&self, since: i64, until: i64) -> Result<Vec<(i64, Vec<DataFile>)>> {
        let mut changes = Vec::new();
        for version in since + 1..=until {
            match self.entry(version)? {
                Some(entry) => {
                    let adds = entry.adds.iter().filter(|a| a.data_change);
                    changes.push((version, adds.map(|a| DataFile::from_add(self.root(), a)).collect()));
                }
                None if since < 0 => return Ok(vec![(until, self.files(&self.state_at(until)?)?)]),
                None => {
                    return Err(self.cleaned_up(version, since));
                }
            }
        }
        Ok(changes)
    }

    fn cleaned_up(&self, version: i64, since: i64) -> Error {
        let text = format!(
            "{} ({}) no longer has its commit {version}, so what came after version {since} is unknown",
            self.name(),
            self.root().display()
        );
        Error::new(ErrorKind::Table, text)
            .help("`citystream refine --rebuild` makes silver and gold anew from all of bronze")
    }

    /// The active files of `state` that hold rows which came after version `since`, and perhaps older rows beside them: where
    /// a file of new rows was compacted, the files of its partition that the compaction wrote.
    ///
    /// # Errors
    /// As [`Table::changes`].
    pub(crate) fn fresh(&self, since: i64, state: &State) -> Result<Vec<DataFile>> {
        let active = self.files(state)?;
        if since < 0 {
            return Ok(active);
        }
        let mut fresh: HashSet<String> = HashSet::new();
        for version in since + 1..=state.version {
            let Some(entry) = self.entry(version)? else { return Err(self.cleaned_up(version, since)) };
            let moved: Vec<_> = entry.removes.iter().filter(|r| fresh.contains(&r.path)).collect();
            // Another engine's entry need not say of which partition the file was.
            let holds = |add: &Add| {
                add.data_change
                    || moved.iter().any(|r| r.partition_values.as_ref().is_none_or(|p| *p == add.partition_values))
            };
            let adds: Vec<_> = entry.adds.iter().filter(|a| holds(a)).map(|a| a.path.clone()).collect();
            for remove in &entry.removes {
                fresh.remove(&remove.path);
            }
            fresh.extend(adds);
        }
        Ok(active.into_iter().filter(|file| fresh.contains(&file.name)).collect())
    }
}

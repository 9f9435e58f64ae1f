//! What has changed in a table since a version: for tables that are computed from others.

use std::collections::HashMap;

use serde_json::Value;

use super::Lake;
use super::maintain::RETAINED;
use super::replace::WINDOWS;
use super::snapshot::DataFile;
use super::table::Table;
use crate::error::Result;

/// One commit that added or took away rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The version that it made.
    pub version: i64,
    /// Files that it added.
    pub adds: Vec<DataFile>,
    /// Files that it removed; without statistics where nothing knows them any more.
    pub removes: Vec<DataFile>,
    /// The windows that it replaced, where it said so: each [start, end) in µs since the epoch.
    pub windows: Option<Vec<(i64, i64)>>,
}

impl Lake {
    /// The commits after version `since` of the table called `name` that changed rows, in order. Compaction changes none, and
    /// retention none that count.
    /// `None` where the log no longer has all of them.
    ///
    /// # Errors
    /// `Config` for a name that no table can have; `Table` where it does not exist or its log can't be understood.
    pub fn changed(&self, name: &str, since: i64) -> Result<Option<Vec<Change>>> {
        let table = self.table(name)?;
        let until = table.state()?.version;
        let mut changes = Vec::new();
        let mut known: HashMap<String, DataFile> = HashMap::new();
        let mut unknown = false;
        for version in since + 1..=until {
            let Some(entry) = table.entry(version)? else { return Ok(None) };
            // What retention drops stays in the tables that were computed from it.
            if entry.info.info.contains_key(RETAINED) {
                continue;
            }
            // Compacted files too: a later commit may remove them.
            known.extend(entry.adds.iter().map(|a| (a.path.clone(), DataFile::from_add(table.root(), a))));
            let adds: Vec<_> =
                entry.adds.iter().filter(|a| a.data_change).map(|a| DataFile::from_add(table.root(), a)).collect();
            let removes: Vec<_> = entry
                .removes
                .iter()
                .filter(|r| r.data_change)
                .map(|r| known.get(&r.path).cloned().unwrap_or_else(|| DataFile::from_remove(table.root(), r)))
                .collect();
            if adds.is_empty() && removes.is_empty() {
                continue;
            }
            unknown |= removes.iter().any(|f| f.stats.is_none());
            let windows = entry.info.info.get(WINDOWS).and_then(windows);
            changes.push(Change { version, adds, removes, windows });
        }
        // Rarely needed, and dear: what was there at the start.
        if unknown && changes.iter().any(|c| c.windows.is_none()) {
            complete(&table, since, &mut changes);
        }
        Ok(Some(changes))
    }
}

/// Gives the removed files of an older version their statistics, where the log still reaches back to it.
fn complete(table: &Table, since: i64, changes: &mut [Change]) {
    let Ok(files) = table.state_at(since).and_then(|state| table.files(&state)) else { return };
    let files: HashMap<String, DataFile> = files.into_iter().map(|f| (f.name.clone(), f)).collect();
    for file in changes.iter_mut().flat_map(|c| &mut c.removes).filter(|f| f.stats.is_none()) {
        if let Some(found) = files.get(&file.name) {
            file.clone_from(found);
        }
    }
}

fn windows(value: &Value) -> Option<Vec<(i64, i64)>> {
    let pair = |v: &Value| Some((v.get(0)?.as_i64()?, v.get(1)?.as_i64()?));
    value.as_array()?.iter().map(pair).collect()
}

//! Files that no version within the retention holds, deleted from the table's folder.
//!
//! The folder is listed before the log is read, so that a file which was committed in between is known. A file that no commit
//! mentions may belong to a commit in work: only its age tells, so leftovers have an age of their own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde_json::json;

use super::super::crash::crash_point;
use super::super::files::now_ms;
use super::super::table::{Commit, Kind, Plan, Table, commit_id};
use super::super::{Lake, Progress, Ticker, go_on};
use super::{Consumer, slowest};
use crate::error::{Context, ErrorKind, Result};
use crate::storage::block_on;

/// Files deleted between two looks at `cancel`.
const CHUNK: usize = 1000;

/// By how much clocks may differ: commits are read so much further back than the ages ask for.
const SKEW: Duration = Duration::from_hours(1);

/// What to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VacuumOptions {
    /// Files that left the table at least so long ago: readers of versions younger than this are not disturbed.
    pub retention: Duration,
    /// Files that no commit mentions and that are at least so old: what crashes left behind. Must be longer than any commit is
    /// in work.
    pub leftovers: Duration,
    /// The tables; empty means all.
    pub tables: Vec<String>,
    /// Only says what would be deleted.
    pub dry_run: bool,
}

impl Default for VacuumOptions {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { retention: 7 * day, leftovers: day, tables: Vec::new(), dry_run: false }
    }
}

/// What was deleted of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableVacuumed {
    /// `tier.name`.
    pub name: String,
    /// Files that had left the table.
    pub removed: u64,
    /// Files that no commit mentions.
    pub leftovers: u64,
    /// The bytes of both.
    pub bytes: u64,
    /// Files that have left the table and stay, because the next tier has not read their rows yet.
    pub unread: u64,
    /// Paths of what was deleted, below the table's folder.
    pub paths: Vec<String>,
}

/// What a vacuum has done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vacuumed {
    /// The tables in which there was something to delete or to keep for a reader.
    pub tables: Vec<TableVacuumed>,
    /// How long it took.
    pub seconds: f64,
}

impl Lake {
    /// Deletes the files that left a table longer ago than the retention, and what crashes left behind. Kept are all files of
    /// every version within the retention, those that silver has yet to read, and all that is neither Parquet nor ours.
    ///
    /// # Errors
    /// `Config` for an unknown table. `Store` where files can't be listed or deleted. `Interrupted` after `cancel`.
    pub fn vacuum(
        &self,
        options: &VacuumOptions,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vacuumed> {
        let began = Instant::now();
        let tables = self.chosen(&options.tables)?;
        let mut ticker = Ticker::new("vacuum", "tables", tables.len() as u64, progress);
        let mut report = Vacuumed::default();
        // Readers only get on, so that what they had read before is the careful answer.
        let consumers = self.consumers()?;
        for table in &tables {
            go_on(cancel)?;
            let listed = list(table)?;
            // Silver reads the very files that a commit brought; dim and gold read what is active.
            let silver = consumers
                .get(table.name())
                .and_then(|all| slowest(all.iter().filter(|c| c.name.starts_with("silver."))));
            let (done, paths) = find(table, listed, silver, options)?;
            if !options.dry_run && !paths.is_empty() {
                delete(table, &paths, &done, options, cancel)?;
            }
            if !paths.is_empty() || done.unread > 0 {
                report.tables.push(done);
            }
            ticker.add(1, table.name());
        }
        ticker.say();
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }
}

/// Everything in the table's folder, the log included.
pub(crate) fn list(table: &Table) -> Result<Vec<ObjectMeta>> {
    let store = table.store();
    block_on(async { store.list(None).try_collect().await })?
        .context(ErrorKind::Store, || format!("the files of {} can't be listed", table.name()))
}

/// What the log says of a file.
enum Known {
    Active,
    /// It left the table then, in ms since the epoch.
    Left(i64),
    /// A commit brought it, and which one took it away is no longer known.
    Gone,
}

/// The files of the log, under their names and under those names decoded: an engine may have encoded them once more.
struct Mentioned {
    files: HashMap<String, Known>,
    unread: HashSet<String>,
    /// Whether every commit since `since` was read.
    complete: bool,
}

impl Mentioned {
    /// What the commits that were written at `since` or later say, in ms since the epoch: what left the table before is
    /// deleted whatever else is known of it.
    fn read(table: &Table, listed: &[ObjectMeta], silver: Option<&Consumer>, since: i64) -> Result<Self> {
        let state = table.state()?;
        let oldest = table.commit_range()?.map_or(0, |(oldest, _)| oldest);
        let before = listed.iter().filter(|m| m.last_modified.timestamp_millis() < since);
        let newest_before = before.filter_map(|m| commit_version(&m.location)).max().unwrap_or(-1);
        let first = newest_before.min(silver.map_or(i64::MAX, |s| s.version)) + 1;
        let complete = oldest <= first;
        let (mut files, mut unread) = (HashMap::new(), HashSet::new());
        if !complete {
            // Loaded anew: a state that is older than the cleaning of the log looks for a checkpoint that is gone.
            let loaded = table.state_at(state.version)?;
            let tombstones =
                block_on(async { loaded.delta().all_tombstones(table.log().as_ref()).try_collect::<Vec<_>>().await })?;
            for tombstone in tombstones.map_err(|e| table.error("has no readable checkpoint", e))? {
                let at = tombstone.deletion_timestamp().unwrap_or(i64::MAX);
                files.insert(tombstone.path().into_owned(), Known::Left(at));
            }
        }
        for version in first.max(oldest)..=state.version {
            let Some(entry) = table.entry(version)? else { continue };
            for add in entry.adds {
                if add.data_change && silver.is_some_and(|s| version > s.version) {
                    unread.insert(add.path.clone());
                }
                files.insert(add.path, Known::Gone);
            }
            for remove in entry.removes {
                let at = remove.deletion_timestamp.or(entry.info.timestamp).unwrap_or(i64::MAX);
                files.insert(remove.path, Known::Left(at));
            }
        }
        for file in table.files(&state)? {
            files.insert(file.name, Known::Active);
        }
        let decoded: Vec<_> =
            files.keys().filter(|n| n.contains('%')).filter_map(|n| Some((n.clone(), decode(n)?))).collect();
        for (name, decoded) in decoded {
            if let Some(known) = files.remove(&name) {
                files.insert(decoded, known);
            }
        }
        Ok(Self { files, unread, complete })
    }

    fn get(&self, path: &str) -> Option<&Known> {
        self.files.get(path).or_else(|| self.files.get(&decode(path)?))
    }

    fn is_unread(&self, path: &str) -> bool {
        self.unread.contains(path) || decode(path).is_some_and(|path| self.unread.contains(&path))
    }
}

/// The version of a commit's file.
fn commit_version(path: &Path) -> Option<i64> {
    let (version, rest) = path.filename()?.split_once('.')?;
    (rest == "json" && version.len() == 20).then(|| version.parse().ok())?
}

/// A name with every percent sign decoded, so that two ways of writing it are the same.
fn decode(name: &str) -> Option<String> {
    let mut name = name.to_owned();
    while name.contains('%') {
        let next = Path::from_url_path(&name).ok()?.to_string();
        if next == name {
            break;
        }
        name = next;
    }
    Some(name)
}

/// Whether a file is of those that we may delete: data files, and our own unfinished files anywhere.
fn ours(path: &Path) -> bool {
    let name = path.filename().unwrap_or_default();
    if unfinished(name) {
        return true;
    }
    // Folders that start with an underscore belong to the log or to other engines, unless they are a partition's.
    let reserved = path.parts().any(|part| {
        let part = part.as_ref();
        (part.starts_with('_') || part.starts_with('.')) && !part.contains('=')
    });
    !reserved && name.ends_with(".parquet")
}

/// `.name.<32 hex digits>.tmp`, as files are called until they are whole.
fn unfinished(name: &str) -> bool {
    name.strip_prefix('.')
        .and_then(|n| n.strip_suffix(".tmp"))
        .and_then(|n| n.rsplit_once('.'))
        .is_some_and(|(_, unique)| unique.len() == 32 && unique.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn find(
    table: &Table,
    listed: Vec<ObjectMeta>,
    silver: Option<&Consumer>,
    options: &VacuumOptions,
) -> Result<(TableVacuumed, Vec<Path>)> {
    let now = now_ms();
    let reach = options.retention.max(options.leftovers) + SKEW;
    let since = now.saturating_sub(i64::try_from(reach.as_millis()).unwrap_or(i64::MAX));
    let mentioned = Mentioned::read(table, &listed, silver, since)?;
    let old = |since: i64, least: Duration| i128::from(now) - i128::from(since) >= least.as_millis() as i128;
    // Past the log's own reach, what has left the table looks like what was never in it.
    let unknown = if mentioned.complete { options.leftovers } else { options.leftovers.max(options.retention) };
    let mut report = TableVacuumed { name: table.name().to_owned(), ..TableVacuumed::default() };
    let mut paths = Vec::new();
    for meta in listed.into_iter().filter(|m| ours(&m.location)) {
        let (written, path) = (meta.last_modified.timestamp_millis(), meta.location.as_ref());
        let unread = mentioned.is_unread(path);
        let count = match mentioned.get(path) {
            Some(Known::Left(_) | Known::Gone) if unread => {
                report.unread += 1;
                continue;
            }
            Some(Known::Left(at)) if old(*at, options.retention) => &mut report.removed,
            Some(Known::Gone) if old(written, options.retention.max(options.leftovers)) => &mut report.removed,
            None if old(written, unknown) => &mut report.leftovers,
            // Active, or too young.
            _ => continue,
        };
        *count += 1;
        report.bytes += meta.size;
        report.paths.push(path.to_owned());
        paths.push(meta.location);
    }
    report.paths.sort();
    Ok((report, paths))
}

/// Files in the table's folder that no commit mentions, and their bytes.
pub(crate) fn unmentioned(table: &Table) -> Result<(u64, u64)> {
    let listed = list(table)?;
    let mentioned = Mentioned::read(table, &listed, None, i64::MIN)?;
    let unknown = listed.iter().filter(|m| ours(&m.location) && mentioned.get(m.location.as_ref()).is_none());
    Ok(unknown.fold((0, 0), |(files, bytes), m| (files + 1, bytes + m.size)))
}

fn delete(
    table: &Table,
    paths: &[Path],
    done: &TableVacuumed,
    options: &VacuumOptions,
    cancel: &AtomicBool,
) -> Result<()> {
    crash_point("vacuum_before_delete");
    let store = table.store();
    for chunk in paths.chunks(CHUNK) {
        go_on(cancel)?;
        let locations = futures::stream::iter(chunk.to_vec()).map(Ok).boxed();
        let deleted = block_on(async {
            let mut results = store.delete_stream(locations);
            while let Some(result) = results.next().await {
                match result {
                    // Another vacuum was faster.
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        deleted.context(ErrorKind::Store, || format!("files of {} can't be deleted", table.name()))?;
    }
    crash_point("vacuum_after_delete");
    let info = json!({
        "removed": done.removed, "leftovers": done.leftovers, "bytes": done.bytes,
        "retentionMs": options.retention.as_millis() as u64, "leftoversMs": options.leftovers.as_millis() as u64,
    });
    table.commit(&commit_id(), |_| {
        let info = [("citystream.vacuumed", info.clone())].into();
        Ok(Plan::Commit(Commit { kind: Kind::Vacuum, info, ..Commit::default() }))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_files_and_our_own_unfinished_ones_are_looked_at() {
        let hex = "0123456789abcdef0123456789abcdef";
        for yes in ["part-0.parquet", "_day=1/part-0.parquet", "a=1/b=2/x.parquet"] {
            assert!(ours(&Path::from(yes)), "{yes}");
        }
        assert!(ours(&Path::from(format!("a=1/.part-0.parquet.{hex}.tmp"))));
        assert!(ours(&Path::from(format!("_delta_log/.00000000000000000001.json.{hex}.tmp"))));
        for no in [
            "_delta_log/00000000000000000010.checkpoint.parquet",
            "_delta_log/00000000000000000001.json",
            "_symlink_format_manifest/manifest.parquet",
            ".hidden/x.parquet",
            "notes.txt",
            ".notes.tmp",
            ".part-0.parquet.short.tmp",
        ] {
            assert!(!ours(&Path::from(no)), "{no}");
        }
    }

    #[test]
    fn names_are_the_same_however_often_they_were_encoded() {
        for name in ["d=a:b/x.parquet", "d=a%3Ab/x.parquet", "d=a%253Ab/x.parquet"] {
            assert_eq!(decode(name).as_deref(), Some("d=a:b/x.parquet"), "{name}");
        }
    }
}

//! Checkpoints on request, and commits of the log that nobody needs any more deleted.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::super::crash::crash_point;
use super::super::files::now_ms;
use super::super::table::Table;
use super::super::{Lake, Progress, Ticker, go_on};
use super::{Consumer, slowest};
use crate::error::{Context, ErrorKind, Result};
use crate::storage::block_on;

/// What to checkpoint, and how much of the log to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrimOptions {
    /// Commits younger than this stay, and with them every version that they lead to.
    pub retention: Duration,
    /// The tables; empty means all.
    pub tables: Vec<String>,
    /// Only says what would be deleted; writes no checkpoint.
    pub dry_run: bool,
}

impl Default for TrimOptions {
    fn default() -> Self {
        Self { retention: Duration::from_hours(30 * 24), tables: Vec::new(), dry_run: false }
    }
}

/// What was done to one table's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableTrimmed {
    /// `tier.name`.
    pub name: String,
    /// The version of its newest checkpoint.
    pub checkpoint: i64,
    /// Whether this call wrote it.
    pub written: bool,
    /// Files of the log that were deleted.
    pub deleted: u64,
    /// The oldest version that can still be read.
    pub oldest: i64,
    /// The table because of which commits past the retention stay: it has not read them yet.
    pub held_by: Option<String>,
}

/// What was done to the logs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trimmed {
    /// Every table.
    pub tables: Vec<TableTrimmed>,
    /// How long it took.
    pub seconds: f64,
}

impl Lake {
    /// Writes a checkpoint of each table's newest version, from which readers start, and deletes what of the log is older than
    /// the retention. Commits stay that silver or gold have yet to read, and all from the newest checkpoint before those on.
    ///
    /// # Errors
    /// `Config` for an unknown table. `Store` where the log can't be written or deleted from. `Interrupted` after `cancel`.
    pub fn checkpoint(
        &self,
        options: &TrimOptions,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Trimmed> {
        let began = Instant::now();
        let tables = self.chosen(&options.tables)?;
        let mut ticker = Ticker::new("checkpoint", "tables", tables.len() as u64, progress);
        let mut report = Trimmed::default();
        // Readers only get on, so that what they had read before is the careful answer.
        let consumers = self.consumers()?;
        for table in &tables {
            go_on(cancel)?;
            report.tables.push(trim(table, consumers.get(table.name()).and_then(slowest), options)?);
            ticker.add(1, table.name());
        }
        ticker.say();
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }
}

fn trim(table: &Table, slowest: Option<&Consumer>, options: &TrimOptions) -> Result<TableTrimmed> {
    let mut report = TableTrimmed { name: table.name().to_owned(), ..TableTrimmed::default() };
    let state = table.state()?;
    let mut log = LogFiles::list(table)?;
    report.written = !log.checkpoints().any(|v| v == state.version);
    if report.written && !options.dry_run {
        table.checkpoint(&state)?;
        log = LogFiles::list(table)?;
    }
    report.checkpoint = log.checkpoints().max().unwrap_or(-1);

    let now = now_ms();
    let young = |meta: &ObjectMeta| {
        i128::from(now) - i128::from(meta.last_modified.timestamp_millis()) < options.retention.as_millis() as i128
    };
    let first_young = log.commits.iter().filter(|(_, m)| young(m)).map(|(&v, _)| v).min();
    let retained = first_young.unwrap_or(state.version);
    // A reader at version v needs the commits from v + 1 on.
    let needed = slowest.map_or(i64::MAX, |s| s.version + 1);
    report.held_by = slowest.filter(|s| s.version + 1 < retained).map(|s| s.name.clone());
    // The oldest version that must stay readable needs a checkpoint to start from.
    let base = log.checkpoints().filter(|&v| v <= retained.min(needed)).max();
    let doomed = base.map(|base| log.before(base, &young)).unwrap_or_default();
    let oldest_commit = log.commits.keys().next().copied().unwrap_or(0);
    report.oldest = base
        .filter(|_| !doomed.is_empty())
        .unwrap_or_else(|| if oldest_commit == 0 { 0 } else { log.checkpoints().min().unwrap_or(oldest_commit) });
    report.deleted = doomed.len() as u64;
    if !options.dry_run && !doomed.is_empty() {
        crash_point("trim_before_delete");
        delete(table, doomed)?;
        crash_point("trim_after_delete");
    }
    Ok(report)
}

/// The files of a table's log by version.
#[derive(Default)]
struct LogFiles {
    commits: BTreeMap<i64, ObjectMeta>,
    /// Main files of checkpoints, and files that belong to one.
    of_checkpoints: Vec<(i64, bool, ObjectMeta)>,
}

impl LogFiles {
    fn list(table: &Table) -> Result<Self> {
        let (store, log) = (table.store(), table.log());
        let listed: Vec<ObjectMeta> = block_on(async { store.list(Some(log.log_path())).try_collect().await })?
            .context(ErrorKind::Store, || format!("the log of {} can't be listed", table.name()))?;
        let mut files = Self::default();
        for meta in listed {
            let Some((version, rest)) = meta.location.filename().and_then(|n| n.split_once('.')) else { continue };
            let Some(version) = (version.len() == 20).then(|| version.parse::<i64>().ok()).flatten() else { continue };
            match rest {
                "json" => {
                    files.commits.insert(version, meta);
                }
                _ if rest.starts_with("checkpoint.") => {
                    files.of_checkpoints.push((version, rest.ends_with(".parquet"), meta));
                }
                // A version's checksum, and whatever else bears its number.
                _ => files.of_checkpoints.push((version, false, meta)),
            }
        }
        Ok(files)
    }

    fn checkpoints(&self) -> impl Iterator<Item = i64> + '_ {
        self.of_checkpoints.iter().filter(|(_, main, _)| *main).map(|(v, _, _)| *v)
    }

    /// What is older than the version `base`, oldest first: should the deletion stop halfway, no commit is missing between two.
    fn before(&self, base: i64, young: &dyn Fn(&ObjectMeta) -> bool) -> Vec<Path> {
        let commits = self.commits.iter().map(|(&v, m)| (v, m));
        let others = self.of_checkpoints.iter().map(|(v, _, m)| (*v, m));
        let mut old: Vec<_> = others.chain(commits).filter(|(v, m)| *v < base && !young(m)).collect();
        old.sort_by_key(|(v, _)| *v);
        old.into_iter().map(|(_, m)| m.location.clone()).collect()
    }
}

fn delete(table: &Table, paths: Vec<Path>) -> Result<()> {
    let store = table.store();
    block_on(async {
        // One after the other: a store may delete many at once, and in any order.
        for path in paths {
            let one = futures::stream::iter([Ok(path)]).boxed();
            match store.delete_stream(one).try_collect::<Vec<_>>().await {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })?
    .context(ErrorKind::Store, || format!("the log of {} can't be cleaned", table.name()))
}

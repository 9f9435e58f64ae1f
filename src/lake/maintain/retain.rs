//! Old dates dropped from a tier, whole partitions at a time.
//!
//! A commit takes the files out of the table and counts their rows in a transaction, so that bronze and silver still add up;
//! `vacuum` deletes them later. Offsets stay where they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arrow::array::AsArray;
use serde_json::json;

use super::super::crash::crash_point;
use super::super::partition::date_text;
use super::super::silver::silver_app_id;
use super::super::snapshot::DataFile;
use super::super::table::{Commit, Kind, Plan, State, Table, commit_id};
use super::super::{Lake, Progress, Ticker, go_on};
use super::marks::{KEPT_FROM, RETAINED, dropped, dropped_id};
use super::{Consumer, slowest};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{SIDE_PARTITION, SILVER_PARTITION, Side, Stream};
use crate::storage::ParquetFile;

/// The partition columns that hold a date.
const DATES: [&str; 3] = [SIDE_PARTITION, SILVER_PARTITION, "window_date"];

/// The first date that each tier keeps, in days since the epoch; `None` keeps all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retain {
    /// Of bronze, by the date of taking in. The reference stream's table keeps all: the dimensions are made of it.
    pub bronze: Option<i32>,
    /// Of silver by the date of the event; of its side tables by the date of taking in.
    pub silver: Option<i32>,
    /// Of gold, by the date of the window.
    pub gold: Option<i32>,
    /// Only says what would be dropped.
    pub dry_run: bool,
}

/// What was dropped of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRetained {
    /// `tier.name`.
    pub name: String,
    /// Dates that were dropped.
    pub dates: Vec<String>,
    /// Rows of them.
    pub rows: u64,
    /// Files of them.
    pub files: u64,
    /// Old dates that stay, because the next tier has not read all of their rows.
    pub kept: Vec<String>,
    /// Which table has not.
    pub held_by: Option<String>,
}

/// What retention has dropped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retained {
    /// The tables in which there was something old.
    pub tables: Vec<TableRetained>,
    /// How long it took.
    pub seconds: f64,
}

/// What a state's old files come to.
struct Old {
    files: Vec<DataFile>,
    report: TableRetained,
}

impl Lake {
    /// Drops the partitions of dates before the tiers' first ones. A date whose rows the next tier has not read in full stays.
    ///
    /// # Errors
    /// `Store` where a log can't be written. `Table` where a refinement is not finished. `Interrupted` after `cancel`.
    pub fn retain(&self, retain: &Retain, cancel: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Result<Retained> {
        let began = Instant::now();
        let tables = self.chosen(&[])?;
        let mut ticker = Ticker::new("retain", "tables", tables.len() as u64, progress);
        let mut report = Retained::default();
        // Readers only get on, so that what they had read before is the careful answer.
        let consumers = self.consumers()?;
        for table in &tables {
            go_on(cancel)?;
            let (tier, name) = table.name().split_once('.').unwrap_or_default();
            let from = match tier {
                "bronze" if name != Stream::Reference.name() => retain.bronze,
                "silver" => retain.silver,
                "gold" => retain.gold,
                _ => None,
            };
            if let Some(from) = from {
                let reader = consumers.get(table.name()).and_then(slowest);
                let done = self.retain_table(table, from, reader, retain.dry_run, cancel)?;
                if done.rows + done.files > 0 || !done.kept.is_empty() {
                    report.tables.push(done);
                }
            }
            ticker.add(1, table.name());
        }
        ticker.say();
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    fn retain_table(
        &self,
        table: &Table,
        from: i32,
        reader: Option<&Consumer>,
        dry_run: bool,
        cancel: &AtomicBool,
    ) -> Result<TableRetained> {
        let state = table.state()?;
        let Some(column) = DATES.into_iter().find(|c| state.partition_columns().iter().any(|p| p == c)) else {
            return Ok(TableRetained::default());
        };
        let side = Side::ALL.into_iter().find(|side| table.name() == format!("silver.{}", side.name()));
        let mut streams = Streams { side: side.is_some(), rows: HashMap::new() };
        let old = old_files(table, &state, column, from, reader)?;
        if dry_run || old.files.is_empty() {
            return Ok(old.report);
        }
        if table.name().starts_with("silver.") {
            self.none_begun()?;
        }
        for file in &old.files {
            go_on(cancel)?;
            streams.read(file)?;
        }
        crash_point("retain_before_commit");
        let mut report = TableRetained::default();
        table.commit(&commit_id(), |state| {
            let old = old_files(table, state, column, from, reader)?;
            report = old.report;
            if old.files.is_empty() {
                return Ok(Plan::Done);
            }
            let mut rows: BTreeMap<Option<String>, u64> = BTreeMap::new();
            for file in &old.files {
                for (stream, count) in streams.read(file)? {
                    *rows.entry(stream).or_default() += count;
                }
            }
            let counted = rows.iter().map(|(stream, count)| {
                (dropped_id(stream.as_deref()), (dropped(&state.txns, stream.as_deref()) + count) as i64)
            });
            let kept_from = state.txns.get(KEPT_FROM).copied().unwrap_or(i64::MIN).max(i64::from(from));
            Ok(Plan::Commit(Commit {
                removes: old.files.iter().map(|f| f.name.clone()).collect(),
                txns: counted.chain([(KEPT_FROM.to_owned(), kept_from)]).collect(),
                kind: Kind::Delete,
                info: [(RETAINED, json!({"from": date_text(from), "rows": rows.values().sum::<u64>()}))].into(),
                ..Commit::default()
            }))
        })?;
        crash_point("retain_after_commit");
        Ok(report)
    }

    /// Refuses while a step of silver is begun and not finished: it would be finished against other rows than it was begun with.
    fn none_begun(&self) -> Result<()> {
        for stream in Stream::EVENTS {
            let app = silver_app_id(stream);
            let at = |table: &Table| Ok::<_, Error>(table.state()?.txns.get(&app).copied().unwrap_or(-1));
            let silver = at(self.silver_table(stream)?.as_ref())?;
            for side in Side::ALL {
                if at(self.side_table(side)?.as_ref())? != silver {
                    let text =
                        format!("a refinement of silver.{} is not finished, so silver's old dates stay", stream.name());
                    return Err(Error::new(ErrorKind::Table, text).help("`citystream refine` finishes it").retryable());
                }
            }
        }
        Ok(())
    }
}

fn old_files(table: &Table, state: &State, column: &str, from: i32, reader: Option<&Consumer>) -> Result<Old> {
    let from = date_text(from);
    let mut report = TableRetained { name: table.name().to_owned(), ..TableRetained::default() };
    let mut files = Vec::new();
    let mut dates: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
    for file in table.files(state)? {
        // Dates as text sort as dates do. A row without one has no age.
        if let Some(date) = file.value(column).filter(|date| *date < from.as_str()) {
            dates.entry(date.to_owned()).or_default().push(file);
        }
    }
    if dates.is_empty() {
        return Ok(Old { files, report });
    }
    let mut unread = BTreeSet::new();
    if let Some(reader) = reader {
        let came: Vec<DataFile> =
            table.changes(reader.version, state.version)?.into_iter().flat_map(|(_, files)| files).collect();
        unread.extend(came.iter().filter_map(|f| f.value(column).map(str::to_owned)));
    }
    for (date, mut of_date) in dates {
        if unread.contains(&date) {
            report.held_by = reader.map(|r| r.name.clone());
            report.kept.push(date);
            continue;
        }
        report.rows += of_date.iter().map(|f| f.rows).sum::<u64>();
        report.files += of_date.len() as u64;
        report.dates.push(date);
        files.append(&mut of_date);
    }
    Ok(Old { files, report })
}

/// Rows of files by stream, each file read once; in a table of one stream under `None`.
struct Streams {
    side: bool,
    rows: HashMap<String, BTreeMap<Option<String>, u64>>,
}

impl Streams {
    fn read(&mut self, file: &DataFile) -> Result<BTreeMap<Option<String>, u64>> {
        if !self.side {
            return Ok([(None, file.rows)].into());
        }
        if let Some(known) = self.rows.get(&file.name) {
            return Ok(known.clone());
        }
        let mut rows = BTreeMap::new();
        for batch in ParquetFile::open(&file.path)?.batches(&["stream"], 65_536)? {
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
            let Some(streams) = batch.column_by_name("stream").and_then(|c| c.as_string_opt::<i32>()) else { break };
            for stream in streams.iter().flatten() {
                match rows.get_mut(&Some(stream.to_owned())) {
                    Some(count) => *count += 1,
                    None => {
                        rows.insert(Some(stream.to_owned()), 1);
                    }
                }
            }
        }
        self.rows.insert(file.name.clone(), rows.clone());
        Ok(rows)
    }
}

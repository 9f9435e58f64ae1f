//! What must hold in a lake, verified from its logs and its files.

mod balance;
mod bronze;
mod gap;
mod log;
mod seen;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray;

use super::log::Entry;
use super::maintain::unmentioned;
use super::partition::date_text;
use super::silver::{UuidSet, uuid};
use super::snapshot::{DataFile, Snapshot};
use super::table::Table;
use super::{Lake, Progress, Ticker, go_on};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{SILVER_PARTITION, Stream};
use crate::storage::ParquetFile;

/// Ids that are compared at a time; a date with more is read in parts. 32 to 64 bytes each.
const IDS: u64 = 4 << 20;

/// How many examples of one fault are named.
const EXAMPLES: usize = 3;

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// What is wrong, one sentence each; empty for a sound lake.
    pub problems: Vec<String>,
    /// Offsets inside the committed ranges that no row has: transaction markers, aborted and compacted records.
    pub offsets_without_rows: u64,
    /// Of the others, offsets that the topics had lost before they were read: those of `bronze.ingest_gap`.
    pub offsets_lost: u64,
    /// Tables looked at.
    pub tables: u64,
    /// Data files looked at.
    pub files: u64,
    /// Files in the tables' folders that no commit mentions: a crash left them, or a commit is in work. No fault; `vacuum`
    /// deletes them once they are old.
    pub leftovers: u64,
    /// Their size, in bytes.
    pub leftover_bytes: u64,
}

/// A table under check, with what was read of it once.
struct Subject {
    table: Arc<Table>,
    snapshot: Snapshot,
    /// The commits that the log still has, oldest first.
    entries: Vec<Entry>,
    /// Whether those are all since the table was made.
    complete: bool,
}

impl Subject {
    fn name(&self) -> &str {
        self.table.name()
    }

    fn rows(&self) -> u64 {
        self.snapshot.files.iter().map(|f| f.rows).sum()
    }
}

impl Lake {
    /// What is wrong with the lake, one sentence each; empty where it is sound.
    ///
    /// # Errors
    /// `Table` where the lake has no tables. `Interrupted` after `cancel`. A table or file that can't be read is not an
    /// error but a sentence.
    pub fn check(&self, cancel: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Result<Vec<String>> {
        Ok(self.check_all(cancel, progress)?.problems)
    }

    /// As [`Lake::check`], with what was counted.
    ///
    /// Verified are: each log with itself (no file removed twice, compaction keeps the rows, commits and snapshot agree) and with
    /// its files (there, of that size, with that many rows); in bronze, that each (topic, partition, offset, row in record)
    /// stands once, that the committed ranges join and end where the transactions say, that rows lie inside them and none in a
    /// gap, and that each gap has its row; in silver, that (event date, id) stands once; and that at the version of bronze which
    /// silver has refined, silver + dead_letter + quarantine + duplicate = bronze.
    ///
    /// # Errors
    /// As [`Lake::check`].
    pub fn check_all(&self, cancel: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Result<Checked> {
        let names = self.names()?;
        if names.is_empty() {
            return Err(Error::new(ErrorKind::Table, format!("the lake {} has no tables", self.path().display()))
                .help("`citystream lake init` makes them, `citystream ingest` fills them"));
        }
        let mut checked = Checked { tables: names.len() as u64, ..Checked::default() };
        let mut subjects = Vec::new();
        for name in &names {
            match self.subject(name) {
                Ok(subject) => subjects.push(subject),
                Err(error) => checked.problems.push(error.to_string()),
            }
        }
        let total = subjects.iter().map(|s| s.snapshot.files.len() as u64).sum();
        let mut ticker = Ticker::new("check", "files", total, progress);
        for subject in &subjects {
            log::check(subject, &mut checked);
            match unmentioned(&subject.table) {
                Ok((files, bytes)) => {
                    checked.leftovers += files;
                    checked.leftover_bytes += bytes;
                }
                Err(error) => checked.problems.push(error.to_string()),
            }
            let mut readable = true;
            for file in &subject.snapshot.files {
                go_on(cancel)?;
                if let Some(problem) = file_problem(file) {
                    checked.problems.push(format!("{}: {problem}", subject.name()));
                    readable = false;
                }
                checked.files += 1;
                ticker.add(1, subject.name());
            }
            // The rows of files that are not what the log says would only give more sentences about the same fault.
            if !readable {
                continue;
            }
            if subject.name().starts_with("bronze.") && !gap::is_table(subject) {
                bronze::check(subject, &mut checked, cancel)?;
            }
            if Stream::EVENTS.iter().any(|s| subject.name() == format!("silver.{}", s.name())) {
                unique(subject, &mut checked, cancel)?;
            }
        }
        gap::check(&subjects, &mut checked)?;
        balance::check(&subjects, &mut checked, cancel)?;
        ticker.say();
        Ok(checked)
    }

    fn subject(&self, name: &str) -> Result<Subject> {
        let table = self.table(name)?;
        let snapshot = table.snapshot()?;
        let range = table.commit_range()?;
        let mut entries = Vec::new();
        if let Some((oldest, _)) = range {
            for version in oldest..=snapshot.version {
                let entry = table.entry(version)?.ok_or_else(|| {
                    Error::new(ErrorKind::Table, format!("{name} lacks the commit {version} in its log"))
                })?;
                entries.push(entry);
            }
        }
        Ok(Subject { table, snapshot, entries, complete: range.is_some_and(|(oldest, _)| oldest == 0) })
    }
}

fn file_problem(file: &DataFile) -> Option<String> {
    let bytes = match file.path.size() {
        Ok(bytes) => bytes,
        Err(error) => return Some(error.to_string()),
    };
    if bytes != file.bytes {
        return Some(format!("the file {} has {bytes} bytes, and {} in the log", file.name, file.bytes));
    }
    match ParquetFile::open(&file.path) {
        Err(error) => Some(error.to_string()),
        Ok(parquet) if parquet.rows() != file.rows => {
            Some(format!("the file {} has {} rows, and {} in the log", file.name, parquet.rows(), file.rows))
        }
        Ok(_) => None,
    }
}

/// Names ids that stand more than once on a date, and rows that stand under another date than their own.
fn unique(subject: &Subject, checked: &mut Checked, cancel: &AtomicBool) -> Result<()> {
    let mut dates: std::collections::BTreeMap<Option<&str>, Vec<&DataFile>> = std::collections::BTreeMap::new();
    for file in &subject.snapshot.files {
        dates.entry(file.value(SILVER_PARTITION)).or_default().push(file);
    }
    for (date, files) in dates {
        let shown = date.unwrap_or("null");
        let passes = files.iter().map(|f| f.rows).sum::<u64>().div_ceil(IDS).max(1);
        let (mut doubled, mut examples, mut strays) = (0_u64, Vec::new(), 0_u64);
        for pass in 0..passes {
            let mut uuids = UuidSet::default();
            let mut others: HashSet<String> = HashSet::new();
            for file in &files {
                for batch in ParquetFile::open(&file.path)?.batches(&["id", "event_time"], 65_536)? {
                    go_on(cancel)?;
                    let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
                    let Some(ids) = batch.column_by_name("id").and_then(|c| c.as_string_opt::<i32>()) else { break };
                    for id in ids.iter().flatten() {
                        let new = match uuid(id) {
                            Some(value) if (value as u64) % passes != pass => continue,
                            Some(value) => uuids.insert(value),
                            None if pass > 0 => continue,
                            None => others.insert(id.to_owned()),
                        };
                        if !new {
                            doubled += 1;
                            if examples.len() < EXAMPLES {
                                examples.push(id.to_owned());
                            }
                        }
                    }
                    if pass == 0 {
                        strays += under_another_date(&batch, shown);
                    }
                }
            }
        }
        if doubled > 0 {
            let text =
                format!("{doubled} rows of {shown} have an id that stands there already: {}", examples.join(", "));
            checked.problems.push(format!("{}: {text}", subject.name()));
        }
        if strays > 0 {
            checked.problems.push(format!("{}: {strays} rows under {shown} are of another date", subject.name()));
        }
    }
    Ok(())
}

fn under_another_date(batch: &arrow::array::RecordBatch, date: &str) -> u64 {
    use arrow::datatypes::TimestampMicrosecondType;
    let times = batch.column_by_name("event_time").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let Some(times) = times else { return 0 };
    let mut last = (i32::MIN, true);
    let stray = |us: i64| {
        let day = super::partition::day(us);
        if day != last.0 {
            last = (day, date_text(day) == date);
        }
        !last.1
    };
    times.values().iter().copied().map(stray).filter(|s| *s).count() as u64
}

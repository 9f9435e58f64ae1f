//! Silver: valid events, one row for each id, and what became of every other row of bronze.
//!
//! For each stream at every finished refinement: silver + dead_letter + quarantine + duplicate = bronze, row for row.

mod cell;
mod hash;
mod held;
mod ids;
mod kernel;
mod rebuild;
mod rules;
mod shape;
mod side;
mod spill;
mod step;
mod text;
mod unique;

pub use cell::CellFinder;
pub(crate) use ids::{UuidSet, uuid};
pub use kernel::{Refined, refine_batch};
pub use rules::{AGE_US, AHEAD_US, ID_CONFLICT, Rule, Verdicts, apply_rules, rules};
pub use shape::to_silver;
pub(crate) use step::silver_app_id;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::snapshot::DataFile;
use super::table::State;
use super::{Lake, Progress, Ticker, go_on};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Side, Stream};

use step::{Step, Tables};

/// How often a step is planned anew because another process refines the same stream.
const ATTEMPTS: u32 = 50;

/// How a refinement uses memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilverOptions {
    /// Memory for new rows whose ids are compared, in bytes. Where those of a step take more, they are put aside in the
    /// temporary folder and come back one event date, or one shard of it by the hash of the id, at a time. All rows with one
    /// id are in one shard, whatever their number.
    ///
    /// On top come the rows of silver with the same ids, as much again where all are copies; what the files being read and
    /// written need, some 60 MiB; and 10 MiB of remembered H3 cells.
    pub memory_bytes: usize,
    /// A step takes as many commits of bronze as have so many rows together, and one at least. Each step reads the ids that
    /// silver has on its dates, so large ones save work.
    pub step_rows: usize,
}

impl SilverOptions {
    /// Rows of a batch that is read, turned or written at a time.
    fn batch_rows(&self) -> usize {
        // Of some 0.5 kB each, a batch takes a sixteenth of the memory at most.
        (self.memory_bytes / (16 * 512)).clamp(512, 32_768)
    }
}

impl Default for SilverOptions {
    fn default() -> Self {
        // Rows: a little more than one bronze commit of the default size, which ends with the batch that crosses its limit.
        // They fit into this memory, with 0.2 to 0.35 kB each.
        Self { memory_bytes: 192 << 20, step_rows: 600_000 }
    }
}

/// Rows that one step has put where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) silver: i64,
    pub(crate) dead_letter: u64,
    pub(crate) quarantine: u64,
    pub(crate) duplicate: u64,
    pub(crate) spilled: u64,
}

/// What a refinement has done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SilverReport {
    /// Rows by which each silver table has grown, by stream. Below zero where more rows were displaced than came in.
    pub silver: BTreeMap<String, i64>,
    /// Records newly in dead_letter.
    pub dead_letter: u64,
    /// Rows newly in quarantine.
    pub quarantine: u64,
    /// Copies newly in duplicate.
    pub duplicate: u64,
    /// Rows that were put aside in the temporary folder, in bytes.
    pub spilled_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// The version of bronze that silver has reached, by stream; -1 where it has not begun.
    pub bronze_versions: BTreeMap<String, i64>,
}

impl Lake {
    /// Refines what is new in bronze's event streams: each row goes into silver, dead_letter, quarantine or duplicate, once,
    /// whatever happens on the way. `cancel` ends it between two batches; what is committed stays.
    ///
    /// # Errors
    /// `Table` where bronze's log no longer reaches back to where silver stands. `Store` where a file can't be read or
    /// written. `Conflict` where other processes kept refining the same stream. `Interrupted` after `cancel`.
    pub fn refine_silver(&self, cancel: &AtomicBool, progress: &mut dyn FnMut(Progress)) -> Result<SilverReport> {
        self.refine_silver_with(&SilverOptions::default(), cancel, progress)
    }

    /// As [`Lake::refine_silver`], with other bounds.
    ///
    /// # Errors
    /// As [`Lake::refine_silver`].
    pub fn refine_silver_with(
        &self,
        options: &SilverOptions,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<SilverReport> {
        let began = Instant::now();
        let mut report = SilverReport::default();
        for stream in Stream::EVENTS {
            self.refine_stream(stream, options, cancel, progress, &mut report)?;
        }
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    fn refined_tables(&self, stream: Stream) -> Result<Tables> {
        Ok(Tables {
            bronze: self.bronze_table(stream)?,
            silver: self.silver_table(stream)?,
            sides: [
                self.side_table(Side::DeadLetter)?,
                self.side_table(Side::Quarantine)?,
                self.side_table(Side::Duplicate)?,
            ],
        })
    }

    fn refine_stream(
        &self,
        stream: Stream,
        options: &SilverOptions,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
        report: &mut SilverReport,
    ) -> Result<()> {
        let tables = self.refined_tables(stream)?;
        let until = tables.bronze.state()?.version;
        let grown = report.silver.entry(stream.name().into()).or_default();
        let total: u64 = waiting(&tables, stream, until)?.iter().map(|(_, files)| count(files)).sum();
        let mut ticker = Ticker::new("silver", "rows", total, progress);
        let mut lost = 0;
        loop {
            go_on(cancel)?;
            let at = Reached::read(&tables, stream)?;
            report.bronze_versions.insert(stream.name().into(), at.silver);
            let changes = tables.bronze.changes(at.silver, at.pending.unwrap_or(until).max(until))?;
            let Some((target, files)) = next_step(changes, at.pending, options.step_rows as u64) else { break };
            let done = at.sides.map(|side| side == target);
            let step = Step { stream, tables: &tables, from: at.silver, target, done, files, options, cancel };
            let before = ticker.report.done;
            match step.run(&mut |rows| ticker.add(rows, stream.name())) {
                Ok(counts) => {
                    *grown += counts.silver;
                    report.dead_letter += counts.dead_letter;
                    report.quarantine += counts.quarantine;
                    report.duplicate += counts.duplicate;
                    report.spilled_bytes += counts.spilled;
                }
                Err(error) if error.kind() == ErrorKind::Conflict && lost < ATTEMPTS => {
                    lost += 1;
                    ticker.report.done = before;
                }
                Err(error) => return Err(error),
            }
        }
        if total > 0 {
            ticker.say();
        }
        Ok(())
    }
}

/// How far the tables of a stream have come.
struct Reached {
    silver: i64,
    sides: [i64; 3],
    /// The target of a step that was begun: the side tables that have reached it say so.
    pending: Option<i64>,
}

impl Reached {
    fn read(tables: &Tables, stream: Stream) -> Result<Self> {
        let app = silver_app_id(stream);
        let at = |state: &State| state.txns.get(&app).copied().unwrap_or(-1);
        loop {
            let state = tables.silver.state()?;
            let (silver, mut sides) = (at(&state), [-1; 3]);
            for (side, table) in sides.iter_mut().zip(&tables.sides) {
                let of_side = table.state()?;
                rebuild::same_generation(tables.silver.name(), &state, &of_side)?;
                *side = at(&of_side);
            }
            // Another process may have finished a step between the reads, and begun the next.
            if at(tables.silver.state()?.as_ref()) != silver {
                continue;
            }
            let pending = sides.iter().copied().filter(|&side| side > silver).max();
            let target = pending.unwrap_or(silver);
            if sides.iter().any(|&side| side != silver && side != target) {
                let text = format!(
                    "silver.{} has refined bronze to version {silver}, but {} to {sides:?}, which no step leaves behind",
                    stream.name(),
                    Side::ALL.map(Side::name).join(", ")
                );
                let help = "Was one of these tables restored from a copy? Restore all of silver from the same moment";
                return Err(Error::new(ErrorKind::Table, text).help(help));
            }
            return Ok(Self { silver, sides, pending });
        }
    }
}

fn waiting(tables: &Tables, stream: Stream, until: i64) -> Result<Vec<(i64, Vec<DataFile>)>> {
    let silver = tables.silver.state()?.txns.get(&silver_app_id(stream)).copied().unwrap_or(-1);
    tables.bronze.changes(silver, until)
}

fn count(files: &[DataFile]) -> u64 {
    files.iter().map(|f| f.rows).sum()
}

/// The target of the next step and its files: a begun step's, or as many commits as fit into `rows`. `None` where there is
/// nothing to refine.
fn next_step(changes: Vec<(i64, Vec<DataFile>)>, pending: Option<i64>, rows: u64) -> Option<(i64, Vec<DataFile>)> {
    let (mut target, mut files, mut sum) = (None, Vec::new(), 0);
    for (version, mut added) in changes {
        let more = count(&added);
        let fits = match pending {
            Some(pending) => version <= pending,
            None => sum == 0 || sum + more <= rows,
        };
        if !fits {
            break;
        }
        sum += more;
        files.append(&mut added);
        target = Some(version);
    }
    target.filter(|_| pending.is_some() || !files.is_empty()).map(|target| (target, files))
}

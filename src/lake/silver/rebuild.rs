//! Silver made anew from all of bronze, in place of what was there.
//!
//! First the files of every stream are written, then each table is replaced by one commit: dead_letter, quarantine, duplicate,
//! and the silver tables. Each commit raises the table's generation; while the generations differ, nobody refines, and the
//! next rebuilding begins anew. A refinement that is under way meanwhile loses its commit, or the rebuilding does.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use deltalake_core::kernel::Add;
use serde_json::json;

use super::super::crash::crash_point;
use super::super::log::Txns;
use super::super::maintain::{FORGONE, GENERATION, KEPT_FROM, REBUILT, dropped, dropped_id};
use super::super::table::{Commit, Plan, State, Table, commit_id};
use super::super::{Lake, Progress, Ticker};
use super::step::{Step, Tables};
use super::{SilverOptions, SilverReport, silver_app_id};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Side, Stream};

/// How often it is begun anew because others refined meanwhile.
const ATTEMPTS: u32 = 5;

impl Lake {
    /// Makes silver and its side tables anew from all of bronze. What readers see is the old rows until a table's one commit,
    /// and the new ones from then on; killed in between, it is begun anew by the next call.
    ///
    /// `without_dropped` says that the rows of dates which retention has dropped from bronze may be lost.
    ///
    /// # Errors
    /// `Table` where retention has dropped rows of bronze and `without_dropped` is not set. `Conflict` where other processes
    /// kept refining. Else as [`Lake::refine_silver`].
    pub fn rebuild_silver(
        &self,
        options: &SilverOptions,
        without_dropped: bool,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<SilverReport> {
        let mut lost = 0;
        loop {
            match self.rebuild(options, without_dropped, cancel, progress) {
                Err(error) if error.kind() == ErrorKind::Conflict && lost < ATTEMPTS => lost += 1,
                done => return done,
            }
        }
    }

    fn rebuild(
        &self,
        options: &SilverOptions,
        without_dropped: bool,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<SilverReport> {
        let began = Instant::now();
        let mut streams = Vec::new();
        for stream in Stream::EVENTS {
            let tables = self.refined_tables(stream)?;
            let bronze = tables.bronze.state()?;
            let gone = dropped(&bronze.txns, None);
            if gone > 0 && !without_dropped {
                let text =
                    format!("retention has dropped {gone} rows of {}, which silver would lose", tables.bronze.name());
                return Err(Error::new(ErrorKind::Table, text)
                    .help("To rebuild silver from what bronze still has, allow it (--without-dropped)"));
            }
            streams.push(Source { stream, tables, bronze, gone });
        }
        let total = streams.iter().map(|s| Ok(s.files()?.iter().map(|f| f.rows).sum::<u64>())).sum::<Result<u64>>()?;
        let mut ticker = Ticker::new("rebuild", "rows", total, progress);
        let mut report = SilverReport::default();
        let mut sides: [Vec<Add>; 3] = Default::default();
        let mut silver = Vec::new();
        crash_point("rebuild_before_files");
        for source in &streams {
            let (stream, tables, target) = (source.stream, &source.tables, source.bronze.version);
            let files = source.files()?;
            let step = Step { stream, tables, from: -1, target, done: [false; 3], files, options, cancel };
            let (mut out, _) = step.fill(&[], &mut |rows| ticker.add(rows, stream.name()))?;
            for (all, set) in sides.iter_mut().zip(&mut out.sides) {
                if let Some(set) = set {
                    all.extend_from_slice(set.finish()?);
                }
            }
            silver.push(out.silver.finish()?.to_vec());
            report.silver.insert(stream.name().into(), out.kept as i64);
            report.dead_letter += out.counts.dead_letter;
            report.quarantine += out.counts.quarantine;
            report.duplicate += out.counts.duplicate;
            report.bronze_versions.insert(stream.name().into(), target);
        }
        crash_point("rebuild_after_files");

        let generation = 1 + self.generation(&streams)?;
        for (side, adds) in Side::ALL.into_iter().zip(sides) {
            replace_all(self.side_table(side)?.as_ref(), &adds, &streams, generation, true)?;
            crash_point(&format!("rebuild_after_{}", side.name()));
        }
        for (source, adds) in streams.iter().zip(silver) {
            replace_all(&source.tables.silver, &adds, std::slice::from_ref(source), generation, false)?;
            crash_point("rebuild_after_silver");
        }
        ticker.say();
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    fn generation(&self, streams: &[Source]) -> Result<i64> {
        let mut newest = 0;
        for side in Side::ALL {
            newest = generation(&self.side_table(side)?.state()?.txns).max(newest);
        }
        for source in streams {
            newest = generation(&source.tables.silver.state()?.txns).max(newest);
        }
        Ok(newest)
    }
}

struct Source {
    stream: Stream,
    tables: Tables,
    /// What of bronze is refined.
    bronze: std::sync::Arc<State>,
    /// Rows that retention has dropped from it.
    gone: u64,
}

impl Source {
    fn files(&self) -> Result<Vec<super::super::snapshot::DataFile>> {
        self.tables.bronze.files(&self.bronze)
    }
}

/// Puts `adds` in place of all that the table holds.
fn replace_all(table: &Table, adds: &[Add], streams: &[Source], generation: i64, side: bool) -> Result<()> {
    table.commit(&commit_id(), |state| {
        let mut txns = vec![(GENERATION.to_owned(), generation), (REBUILT.to_owned(), state.version + 1)];
        let mut kept_from = 0;
        for source in streams {
            let app = silver_app_id(source.stream);
            let at = state.txns.get(&app).copied().unwrap_or(-1);
            if at > source.bronze.version || self::generation(&state.txns) >= generation {
                let text = format!("another process has refined {} to version {at} meanwhile", table.name());
                return Err(Error::new(ErrorKind::Conflict, text).retryable());
            }
            txns.push((app, source.bronze.version));
            txns.push((dropped_id(side.then(|| source.stream.name())), 0));
            if !side {
                txns.push((FORGONE.to_owned(), source.gone as i64));
            }
            if source.gone > 0 {
                kept_from = source.bronze.txns.get(KEPT_FROM).copied().unwrap_or(0).max(kept_from);
            }
        }
        txns.push((KEPT_FROM.to_owned(), kept_from));
        Ok(Plan::Commit(Commit {
            adds: adds.to_vec(),
            removes: table.files(state)?.into_iter().map(|f| f.name).collect(),
            txns,
            info: BTreeMap::from([("citystream.rebuilt", json!({"generation": generation}))]),
            ..Commit::default()
        }))
    })?;
    Ok(())
}

fn generation(txns: &Txns) -> i64 {
    txns.get(GENERATION).copied().unwrap_or(0)
}

/// Refuses tables of which a rebuilding has replaced only some.
pub(super) fn same_generation(name: &str, silver: &State, side: &State) -> Result<()> {
    if generation(&silver.txns) == generation(&side.txns) {
        return Ok(());
    }
    let text = format!("silver is being rebuilt, or that was interrupted before {name} was replaced");
    Err(Error::new(ErrorKind::Table, text).help("`citystream refine --rebuild` makes it anew").retryable())
}

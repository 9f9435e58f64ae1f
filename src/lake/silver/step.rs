//! One step of a stream's refinement: bronze's versions `(from, target]` into silver and its three side tables.
//!
//! Order of commits: dead_letter, quarantine, duplicate, silver; each with the transaction `citystream/silver/bronze.<stream>`
//! at the bronze version it has reached. The first of them fixes the target: whoever comes later, after a crash or in another
//! process, finishes that very step, computes the same rows from the same inputs, and writes only the tables that lack them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake_core::kernel::Add;
use serde_json::json;

use super::super::crash::crash_point;
use super::super::files::FileSet;
use super::super::go_on;
use super::super::partition::{Values, date_text, file_schema};
use super::super::snapshot::DataFile;
use super::super::table::{Commit, Plan, Table, commit_id};
use super::cell::CellFinder;
use super::held::{At, Held};
use super::rules::apply_rules;
use super::shape::{silver_file_schema, to_silver};
use super::side;
use super::spill::{Collect, Collected};
use super::unique::{COMPARED_ROWS, Lost, resolve};
use super::{Counts, SilverOptions};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{BRONZE_PARTITIONS, SILVER_PARTITION, Side, Stream, bronze_schema};
use crate::storage::{ParquetFile, project};

const FILE_BYTES: usize = 128 << 20;

/// The tables of one stream.
pub(super) struct Tables {
    pub(super) bronze: Arc<Table>,
    pub(super) silver: Arc<Table>,
    pub(super) sides: [Arc<Table>; 3],
}

/// The transaction that says how far bronze has been refined.
pub(crate) fn silver_app_id(stream: Stream) -> String {
    format!("citystream/silver/bronze.{}", stream.name())
}

/// One step.
pub(super) struct Step<'a> {
    pub(super) stream: Stream,
    pub(super) tables: &'a Tables,
    /// Bronze's version that silver has reached.
    pub(super) from: i64,
    /// Bronze's version that this step reaches.
    pub(super) target: i64,
    /// Which of the side tables have reached it already.
    pub(super) done: [bool; 3],
    pub(super) files: Vec<DataFile>,
    pub(super) options: &'a SilverOptions,
    pub(super) cancel: &'a AtomicBool,
}

impl Step<'_> {
    /// Runs the step; `read` hears of rows of bronze as they are read.
    ///
    /// # Errors
    /// `Conflict` where another process has refined the same stream or rewritten its files meanwhile: plan anew.
    pub(super) fn run(&self, read: &mut dyn FnMut(u64)) -> Result<Counts> {
        crash_point("silver_before_files");
        let silver_state = self.tables.silver.state()?;
        let silver_files = self.tables.silver.files(&silver_state)?;
        let (out, removed) = self.fill(&silver_files, read)?;
        self.commit(out, removed)
    }

    /// Writes the step's files, against `silver_files`; what they hold, and the names of silver's files that they replace.
    pub(super) fn fill(&self, silver_files: &[DataFile], read: &mut dyn FnMut(u64)) -> Result<(Output, Vec<String>)> {
        let mut out = Output::new(self);
        self.dead_letters(&mut out, read)?;
        let mut removed = Vec::new();
        // One date after the other, so that one file is open at a time, and each date has one.
        match self.valid_rows(&mut out, read)? {
            Collected::Memory { batches, rows } => {
                let held = Held::new(silver_file_schema(self.stream), &batches)?;
                for (date, rows) in rows {
                    let displaced = self.settle((date, &rows), &held, silver_files, &mut out)?;
                    removed.extend(self.rewrite(date, silver_files, &displaced, &mut out)?);
                }
            }
            Collected::Disk(mut spilled) => {
                out.counts.spilled = spilled.bytes;
                for date in spilled.dates() {
                    let shards = spilled.shards(date);
                    let mut displaced: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
                    for shard in 0..shards {
                        let batches = spilled.read(date, shard, shards)?;
                        let held = Held::new(silver_file_schema(self.stream), &batches)?;
                        for (file, rows) in self.settle((date, &held.rows()), &held, silver_files, &mut out)? {
                            displaced.entry(file).or_default().extend(rows);
                        }
                    }
                    removed.extend(self.rewrite(date, silver_files, &displaced, &mut out)?);
                }
            }
        }
        Ok((out, removed))
    }

    /// Decides on rows of one date and writes each where it belongs; the rows of silver's files that have to leave.
    fn settle(
        &self,
        (date, rows): (i32, &[At]),
        held: &Held<'_>,
        files: &[DataFile],
        out: &mut Output,
    ) -> Result<BTreeMap<String, BTreeSet<u64>>> {
        go_on(self.cancel)?;
        let verdict = resolve(self.stream, (date, rows), held, files, self.cancel)?;
        for losers in verdict.losers.chunks(COMPARED_ROWS) {
            out.lost(&verdict.compare(self.stream, held, losers)?)?;
        }
        out.silver(date, held, &verdict.kept, self.options.batch_rows())?;
        Ok(verdict.displaced)
    }

    fn dead_letters(&self, out: &mut Output, read: &mut dyn FnMut(u64)) -> Result<()> {
        for file in self.files.iter().filter(|f| f.value("decoded") == Some("false")) {
            read(file.rows);
            let Some(files) = out.sides[Side::DeadLetter as usize].as_mut() else { continue };
            for batch in self.bronze_batches(file)? {
                go_on(self.cancel)?;
                let rows = side::dead_letters(self.stream, &batch?)?;
                out.counts.dead_letter += rows.num_rows() as u64;
                side::write(files, &rows)?;
            }
        }
        Ok(())
    }

    /// The valid rows; those that break a rule go to quarantine on the way.
    fn valid_rows(&self, out: &mut Output, read: &mut dyn FnMut(u64)) -> Result<Collected> {
        let decoded = || self.files.iter().filter(|f| f.value("decoded") != Some("false"));
        let expected = decoded().map(|f| f.rows).sum();
        let mut rows = Collect::new(silver_file_schema(self.stream), self.options.memory_bytes, expected);
        let mut finder = CellFinder::default();
        for file in decoded() {
            for batch in self.bronze_batches(file)? {
                go_on(self.cancel)?;
                let mut batch = batch?;
                read(batch.num_rows() as u64);
                let verdicts = apply_rules(self.stream, &batch)?;
                if !verdicts.all_sound() {
                    if let Some(files) = out.sides[Side::Quarantine as usize].as_mut() {
                        let broken = side::quarantined(self.stream, &batch, &verdicts)?;
                        out.counts.quarantine += broken.num_rows() as u64;
                        side::write(files, &broken)?;
                    }
                    batch = filter_record_batch(&batch, &verdicts.sound())?;
                }
                if batch.num_rows() > 0 {
                    rows.add(to_silver(self.stream, &batch, &mut finder)?)?;
                }
            }
        }
        rows.finish()
    }

    fn bronze_batches(&self, file: &DataFile) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let schema = read_schema(self.stream, file.value("decoded") != Some("false"));
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let path = file.path.clone();
        Ok(ParquetFile::open(&file.path)?.batches(&names, self.options.batch_rows())?.map(move |batch| {
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", path.display()))?;
            project(&batch, &schema)
        }))
    }

    /// Writes the files of a date that lose rows anew, without those rows; returns the names of the old ones. With it, the
    /// date is done.
    fn rewrite(
        &self,
        date: i32,
        files: &[DataFile],
        displaced: &BTreeMap<String, BTreeSet<u64>>,
        out: &mut Output,
    ) -> Result<Vec<String>> {
        let schema = silver_file_schema(self.stream);
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let values = of_date(date);
        for file in files {
            let Some(gone) = displaced.get(&file.name) else { continue };
            let mut at = 0;
            for batch in ParquetFile::open(&file.path)?.batches(&names, self.options.batch_rows())? {
                go_on(self.cancel)?;
                let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
                let stay: BooleanArray =
                    (at..at + batch.num_rows() as u64).map(|row| Some(!gone.contains(&row))).collect();
                at += batch.num_rows() as u64;
                out.silver.write(&values, &filter_record_batch(&project(&batch, &schema)?, &stay)?)?;
            }
            out.displaced += gone.len() as u64;
        }
        out.silver.roll()?;
        Ok(displaced.keys().cloned().collect())
    }

    fn commit(&self, mut out: Output, removed: Vec<String>) -> Result<Counts> {
        let mut sides = Vec::new();
        for (side, files) in Side::ALL.into_iter().zip(&mut out.sides) {
            if let Some(files) = files {
                sides.push((side, files.commit_id().to_owned(), files.finish()?.to_vec()));
            }
        }
        let silver = out.silver.finish()?.to_vec();
        crash_point("silver_after_files");
        for (side, id, adds) in sides {
            self.advance(&self.tables.sides[side as usize], &id, &adds, &[])?;
            crash_point(&format!("silver_after_{}", side.name()));
        }
        crash_point("silver_before_commit");
        self.advance(&self.tables.silver, out.silver.commit_id(), &silver, &removed)?;
        crash_point("silver_after_commit");
        out.counts.silver = out.kept as i64 - out.displaced as i64;
        Ok(out.counts)
    }

    /// Moves one table from the step's start to its target, unless another process has just done so.
    fn advance(&self, table: &Table, id: &str, adds: &[Add], removed: &[String]) -> Result<()> {
        let app = silver_app_id(self.stream);
        table.commit(id, |state| {
            let at = state.txns.get(&app).copied().unwrap_or(-1);
            if at == self.target {
                return Ok(Plan::Done);
            }
            if at != self.from {
                let text = format!(
                    "another process has refined {} to version {at} of bronze, while this one was going from {} to {}",
                    table.name(),
                    self.from,
                    self.target
                );
                return Err(Error::new(ErrorKind::Conflict, text).retryable());
            }
            Ok(Plan::Commit(Commit {
                adds: adds.to_vec(),
                removes: removed.to_vec(),
                txns: vec![(app.clone(), self.target)],
                info: BTreeMap::from([(
                    "citystream.refined",
                    json!({"table": self.tables.bronze.name(), "after": self.from, "to": self.target}),
                )]),
                ..Commit::default()
            }))
        })?;
        Ok(())
    }
}

/// The columns of bronze that a step reads.
fn read_schema(stream: Stream, decoded: bool) -> SchemaRef {
    let raw = ["key", "value", "headers", "error_stage", "error_reason", "error_detail", "kafka_timestamp"];
    let wire = |name: &str| name == "rescued" || stream.fields().iter().any(|f| f.name == name);
    let schema = file_schema(&bronze_schema(stream), &BRONZE_PARTITIONS.map(String::from));
    let wanted = |field: &&Arc<Field>| {
        let name = field.name().as_str();
        if decoded { !raw.contains(&name) } else { !wire(name) }
    };
    let plain = |field: &Arc<Field>| field.as_ref().clone().with_metadata(std::collections::HashMap::new());
    Arc::new(Schema::new(schema.fields().iter().filter(wanted).map(plain).collect::<Vec<_>>()))
}

/// The files of a step, and what they hold.
pub(super) struct Output {
    stream: Stream,
    pub(super) sides: [Option<FileSet>; 3],
    pub(super) silver: FileSet,
    pub(super) counts: Counts,
    pub(super) kept: u64,
    displaced: u64,
}

impl Output {
    fn new(step: &Step) -> Self {
        let set =
            |table: &Table, schema: Schema| FileSet::new(table.root().to_owned(), schema, commit_id(), FILE_BYTES);
        let tables = step.tables;
        let sides = Side::ALL.map(|side| {
            let tags = vec![("citystream.stream", step.stream.name().to_owned())];
            (!step.done[side as usize])
                .then(|| set(&tables.sides[side as usize], side::side_file_schema(side)).tagged(tags))
        });
        let silver = set(&tables.silver, silver_file_schema(step.stream).as_ref().clone());
        Self { stream: step.stream, sides, silver, counts: Counts::default(), kept: 0, displaced: 0 }
    }

    fn lost(&mut self, lost: &Lost) -> Result<()> {
        if let (Some(rows), Some(files)) = (&lost.conflicts, &mut self.sides[Side::Quarantine as usize]) {
            side::write(files, &side::conflicting(self.stream, rows)?)?;
            self.counts.quarantine += rows.num_rows() as u64;
        }
        if let (Some((lost, kept)), Some(files)) = (&lost.duplicates, &mut self.sides[Side::Duplicate as usize]) {
            side::write(files, &side::duplicated(self.stream, lost, kept)?)?;
            self.counts.duplicate += lost.num_rows() as u64;
        }
        Ok(())
    }

    /// Writes rows that stay, sorted by device and time.
    fn silver(&mut self, date: i32, held: &Held<'_>, kept: &[At], batch_rows: usize) -> Result<()> {
        let values = of_date(date);
        for chunk in held.sorted(kept).chunks(batch_rows) {
            self.silver.write(&values, &held.pick(chunk)?)?;
        }
        self.kept += kept.len() as u64;
        Ok(())
    }
}

fn of_date(date: i32) -> Values {
    vec![(SILVER_PARTITION.into(), Some(date_text(date)))]
}

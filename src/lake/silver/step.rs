//! One step of a stream's refinement: bronze's versions `(from, target]` into silver and its three side tables.
//!
//! Order of commits: dead_letter, quarantine, duplicate, silver; each with the transaction `citystream/silver/bronze.<stream>`
//! at the bronze version it has reached. The first of them fixes the target: whoever comes later, after a crash or in another
//! process, finishes that very step, computes the same rows from the same inputs, and writes only the tables that lack them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{filter_record_batch, interleave};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use deltalake_core::kernel::Add;
use serde_json::json;

use super::super::crash::crash_point;
use super::super::files::FileSet;
use super::super::go_on;
use super::super::partition::{Values, date_text, file_schema};
use super::super::snapshot::DataFile;
use super::super::table::{Commit, Plan, Table, commit_id};
use super::cell::CellFinder;
use super::hash::Seed;
use super::ids::At;
use super::rules::apply_rules;
use super::shape::{event_dates, silver_file_schema, to_silver};
use super::side;
use super::unique::{Rows, Verdict, resolve};
use super::{Counts, SilverOptions};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{BRONZE_PARTITIONS, SILVER_PARTITION, Side, Stream, bronze_schema};
use crate::storage::{ParquetFile, project};

/// Rows of a batch that is read, judged and turned at a time.
const READ_ROWS: usize = 32_768;

/// Rows of a batch that is sorted into silver's files at a time.
const WRITE_ROWS: usize = 32_768;

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
        let mut out = Output::new(self);
        self.dead_letters(&mut out, read)?;
        let decoded: Vec<_> = self.files.iter().filter(|f| f.value("decoded") != Some("false")).collect();
        let rows: u64 = decoded.iter().map(|f| f.rows).sum();
        let shards = rows.div_ceil(self.options.shard_rows.max(1) as u64).max(1);
        let mut displaced: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for shard in 0..shards {
            let rows = self.rows(&decoded, (shard, shards), &mut out, read)?;
            let verdict = resolve(self.stream, &rows, &silver_files, self.cancel)?;
            out.verdict(&verdict)?;
            out.silver(&rows, &verdict)?;
            for (file, gone) in verdict.displaced {
                displaced.entry(file).or_default().extend(gone);
            }
        }
        let removed = self.rewrite(&silver_files, &displaced, &mut out)?;
        self.commit(out, removed)
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

    /// The valid rows of one shard; those that break a rule go to quarantine on the way.
    fn rows(
        &self,
        files: &[&DataFile],
        (shard, shards): (u64, u64),
        out: &mut Output,
        read: &mut dyn FnMut(u64),
    ) -> Result<Rows> {
        let mut rows = Rows { batches: Vec::new(), dates: Vec::new() };
        let mut finder = CellFinder::default();
        for file in files {
            for batch in self.bronze_batches(file)? {
                go_on(self.cancel)?;
                let mut batch = batch?;
                if shard == 0 {
                    read(batch.num_rows() as u64);
                }
                if shards > 1 {
                    batch = filter_record_batch(&batch, &in_shard(&batch, shard, shards)?)?;
                }
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
                    let silver = to_silver(self.stream, &batch, &mut finder)?;
                    rows.dates.push(event_dates(&silver));
                    rows.batches.push(silver);
                }
            }
        }
        Ok(rows)
    }

    fn bronze_batches(&self, file: &DataFile) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
        let schema = read_schema(self.stream, file.value("decoded") != Some("false"));
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let path = file.path.clone();
        Ok(ParquetFile::open(&file.path)?.batches(&names, READ_ROWS)?.map(move |batch| {
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", path.display()))?;
            project(&batch, &schema)
        }))
    }

    /// Writes the files that lose rows anew, without those rows; returns the names of the old ones.
    fn rewrite(
        &self,
        files: &[DataFile],
        displaced: &BTreeMap<String, BTreeSet<u64>>,
        out: &mut Output,
    ) -> Result<Vec<String>> {
        let schema = silver_file_schema(self.stream);
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        for file in files {
            let Some(gone) = displaced.get(&file.name) else { continue };
            let values: Values = vec![(SILVER_PARTITION.into(), file.value(SILVER_PARTITION).map(str::to_owned))];
            let mut at = 0;
            for batch in ParquetFile::open(&file.path)?.batches(&names, READ_ROWS)? {
                go_on(self.cancel)?;
                let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
                let stay: BooleanArray =
                    (at..at + batch.num_rows() as u64).map(|row| Some(!gone.contains(&row))).collect();
                at += batch.num_rows() as u64;
                out.silver.write(&values, &filter_record_batch(&project(&batch, &schema)?, &stay)?)?;
            }
            out.displaced += gone.len() as u64;
        }
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

/// Which rows belong to a shard: by the hash of their id; those without one to the first.
fn in_shard(batch: &RecordBatch, shard: u64, shards: u64) -> Result<BooleanArray> {
    let ids = batch.column_by_name("id").ok_or_else(|| Error::internal("bronze lacks the column id"))?;
    let ids = ids.as_string::<i32>();
    let of = |id: Option<&str>| {
        let Some(id) = id else { return 0 };
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish() % shards
    };
    Ok(ids.iter().map(|id| Some(of(id) == shard)).collect())
}

/// The files of a step, and what they hold.
struct Output {
    stream: Stream,
    sides: [Option<FileSet>; 3],
    silver: FileSet,
    counts: Counts,
    kept: u64,
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

    fn verdict(&mut self, verdict: &Verdict) -> Result<()> {
        if let (Some(rows), Some(files)) = (&verdict.conflicts, &mut self.sides[Side::Quarantine as usize]) {
            side::write(files, &side::conflicting(self.stream, rows)?)?;
            self.counts.quarantine += rows.num_rows() as u64;
        }
        if let (Some((lost, kept)), Some(files)) = (&verdict.duplicates, &mut self.sides[Side::Duplicate as usize]) {
            side::write(files, &side::duplicated(self.stream, lost, kept)?)?;
            self.counts.duplicate += lost.num_rows() as u64;
        }
        Ok(())
    }

    /// Writes the rows that stay, each date's sorted by device and time.
    fn silver(&mut self, rows: &Rows, verdict: &Verdict) -> Result<()> {
        let Some(first) = rows.batches.first() else { return Ok(()) };
        let columns: Vec<_> = (0..first.num_columns()).map(|column| Column::new(&rows.batches, column)).collect();
        for (date, kept) in &verdict.kept {
            let values: Values = vec![(SILVER_PARTITION.into(), Some(date_text(*date)))];
            let sorted = sorted(&rows.batches, kept)?;
            for chunk in sorted.chunks(WRITE_ROWS) {
                let picked: Vec<_> = chunk.iter().map(|&(b, r)| (b as usize, r as usize)).collect();
                let columns = columns.iter().map(|column| column.pick(&picked)).collect::<Result<Vec<_>>>()?;
                self.silver.write(&values, &RecordBatch::try_new(first.schema(), columns)?)?;
            }
            self.kept += kept.len() as u64;
        }
        Ok(())
    }
}

/// One column of a shard's batches.
enum Column<'a> {
    /// Texts that are all the same, as the topic is: nothing to pick.
    Same(Option<&'a str>),
    Parts(Vec<&'a dyn Array>),
}

impl<'a> Column<'a> {
    fn new(batches: &'a [RecordBatch], column: usize) -> Self {
        let parts = || batches.iter().map(move |batch| batch.column(column));
        let texts = || parts().filter_map(|part| part.as_string_opt::<i32>()).flatten();
        match texts().next() {
            Some(first) if texts().all(|text| text == first) => Self::Same(first),
            _ => Self::Parts(parts().map(AsRef::as_ref).collect()),
        }
    }

    fn pick(&self, rows: &[(usize, usize)]) -> Result<ArrayRef> {
        Ok(match self {
            Self::Same(Some(text)) => Arc::new(StringArray::new_repeated(text, rows.len())),
            Self::Same(None) => new_null_array(&DataType::Utf8, rows.len()),
            Self::Parts(parts) => interleave(parts, rows)?,
        })
    }
}

fn sorted(batches: &[RecordBatch], rows: &[At]) -> Result<Vec<At>> {
    let column = |batch: &RecordBatch, name: &str, kind: DataType| {
        let column = batch.column_by_name(name).filter(|c| c.data_type() == &kind).cloned();
        column.ok_or_else(|| Error::internal(format!("silver lacks the column {name}")))
    };
    let time = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    let mut devices = Vec::new();
    let mut times = Vec::new();
    for batch in batches {
        devices.push(column(batch, "device_id", DataType::Utf8)?.as_string::<i32>().clone());
        times.push(column(batch, "event_time", time.clone())?.as_primitive::<TimestampMicrosecondType>().clone());
    }
    // Few devices send many rows: number them once, put each one's rows together, and order those by time, which they
    // nearly are.
    let mut numbers: HashMap<&str, u32, Seed> = HashMap::default();
    let mut groups: Vec<(&str, Vec<(i64, At)>)> = Vec::new();
    for &at in rows {
        let device = devices[at.0 as usize].value(at.1 as usize);
        let number = *numbers.entry(device).or_insert_with(|| {
            groups.push((device, Vec::new()));
            groups.len() as u32 - 1
        });
        groups[number as usize].1.push((times[at.0 as usize].value(at.1 as usize), at));
    }
    groups.sort_unstable_by_key(|(device, _)| *device);
    let mut sorted = Vec::with_capacity(rows.len());
    for (_, mut group) in groups {
        group.sort_unstable();
        sorted.extend(group.into_iter().map(|(_, at)| at));
    }
    Ok(sorted)
}

//! The grader: takes the truth and what was made of it, and gives the grade.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};

use super::found::{Mapping, Renames};
use super::gold::{Gold, GoldTable, TableGrade, compare, conform, streams_of, totals};
use super::id::{shard, uuid};
use super::settle::{event_rows, event_schema, label_schema, settle};
use super::silver::StreamGrade;
use super::spill::Spill;
use super::words::diagnose;
use crate::error::{Error, Result};
use crate::schema::{EventId, Events, Stream};

/// How a grade is made.
#[derive(Debug, Clone)]
pub struct GraderOptions {
    /// Into how many parts the rows are divided; one of each stream is in memory at a time.
    pub shards: u32,
    /// Whether the events went out by a typed sink, which leaves those with harmed bytes out.
    pub typed: bool,
    /// Begin and end of the run in µs.
    pub run: (i64, i64),
    /// Other people's names of columns and ours.
    pub renames: Renames,
}

/// Takes events and found rows, and grades.
#[derive(Debug)]
pub struct Grader {
    options: GraderOptions,
    events: BTreeMap<Stream, Spill>,
    labels: BTreeMap<Stream, Spill>,
    silver: BTreeMap<Stream, (SchemaRef, Spill)>,
    /// Rows of a table of several streams whose ids belong to none.
    strangers: Vec<String>,
    stranger_count: u64,
    gold: BTreeMap<&'static str, Vec<RecordBatch>>,
    gold_schemas: BTreeMap<&'static str, SchemaRef>,
}

/// Ids of no stream that are shown.
const STRANGERS: usize = 5;

/// What somebody's tables are worth.
#[derive(Debug, Clone)]
pub struct Grade {
    /// By stream.
    pub silver: Vec<StreamGrade>,
    /// By table.
    pub gold: Vec<TableGrade>,
    /// Rows whose ids belong to no stream, in a table of several streams.
    pub strangers: u64,
    /// A few of those ids.
    pub stranger_examples: Vec<String>,
    /// What is wrong, in words; none where all is right.
    pub diagnoses: Vec<String>,
}

impl Grade {
    /// Share of what is right, 0 to 1: the mean of silver's events and of the gold tables' rows; 1 where nothing was expected and
    /// nothing was there.
    pub fn score(&self) -> f64 {
        let share = |right: u64, all: u64| if all == 0 { 1.0 } else { right as f64 / all as f64 };
        let events: u64 = self.silver.iter().map(StreamGrade::events).sum::<u64>() + self.strangers;
        let silver = share(self.silver.iter().map(StreamGrade::right).sum(), events);
        let gold =
            self.gold.iter().map(|t| share(t.correct, t.expected() + t.extra)).sum::<f64>() / self.gold.len() as f64;
        match (self.silver.is_empty() && self.strangers == 0, self.gold.is_empty()) {
            (false, false) => f64::midpoint(silver, gold),
            (false, true) => silver,
            (true, false) => gold,
            (true, true) => 1.0,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.strangers == 0
            && self.silver.iter().all(|s| s.right() == s.events())
            && self.gold.iter().all(|t| t.correct == t.expected() && t.extra == 0)
    }
}

impl Grader {
    /// A grader of nothing yet.
    pub fn new(options: GraderOptions) -> Self {
        Self {
            options,
            events: BTreeMap::new(),
            labels: BTreeMap::new(),
            silver: BTreeMap::new(),
            strangers: Vec::new(),
            stranger_count: 0,
            gold: BTreeMap::new(),
            gold_schemas: BTreeMap::new(),
        }
    }

    /// Takes what the sensors sent, in their order, and the rows of `truth_fault`.
    ///
    /// # Errors
    /// `Store` where the temporary folder is full.
    pub fn take(&mut self, events: &Events) -> Result<()> {
        let shards = self.options.shards;
        match events.stream {
            Stream::TruthFault => {
                let named = |name: &str| {
                    let found = events.batch.column_by_name(name).cloned();
                    found.ok_or_else(|| Error::internal(format!("truth_fault lacks the column {name}")))
                };
                let rows = RecordBatch::try_new(label_schema(), vec![named("id")?, named("kind")?])?;
                let streams = named("stream")?;
                for stream in Stream::EVENTS {
                    let of = streams.as_string::<i32>().iter().enumerate();
                    let of = of.filter(|(_, name)| *name == Some(stream.name())).map(|(row, _)| row as u32);
                    let rows = take_record_batch(&rows, &UInt32Array::from_iter_values(of))?;
                    if rows.num_rows() > 0 {
                        let spill = self.labels.entry(stream).or_insert_with(|| Spill::new(label_schema(), shards));
                        let of = shards_of(rows.column(0).as_string(), shards);
                        spill.push(rows, &of)?;
                    }
                }
                Ok(())
            }
            stream if Stream::EVENTS.contains(&stream) => {
                let rows = event_rows(events)?;
                let of = shards_of(rows.column(0).as_string(), shards);
                let spill = self.events.entry(stream).or_insert_with(|| Spill::new(event_schema(stream), shards));
                spill.push(rows, &of)
            }
            _ => Ok(()),
        }
    }

    /// Says that a silver table of `stream` is to be graded, also if it has no row. Tables of one stream must have the same columns.
    ///
    /// # Errors
    /// `Config` where the table has no id, or other columns than an earlier one of the stream; `Decode` where a column can't be
    /// compared.
    pub fn expect_silver(&mut self, stream: Stream, schema: &Schema) -> Result<()> {
        let mapping = Mapping::new(stream, schema, &self.options.renames)?;
        let shards = self.options.shards;
        let (known, _) = self
            .silver
            .entry(stream)
            .or_insert_with(|| (mapping.schema.clone(), Spill::new(mapping.schema.clone(), shards)));
        if *known != mapping.schema {
            return Err(Error::config(format!("two tables of {} have different columns", stream.name()))
                .help("Give one table a stream, or the same columns in each"));
        }
        Ok(())
    }

    /// Takes rows of somebody's silver table: of one stream, or of all whose ids are in it.
    ///
    /// # Errors
    /// As [`Grader::expect_silver`]; `Store` where the temporary folder is full.
    pub fn take_silver(&mut self, stream: Option<Stream>, batch: &RecordBatch) -> Result<()> {
        if let Some(stream) = stream {
            self.expect_silver(stream, &batch.schema())?;
            let mapping = Mapping::new(stream, &batch.schema(), &self.options.renames)?;
            return self.keep(stream, mapping.apply(batch)?);
        }
        let ids = Mapping::new(Stream::Gps, &batch.schema(), &self.options.renames)?.apply(batch)?;
        let ids = ids.column(0).as_string::<i32>();
        let mut rows_of: BTreeMap<Stream, Vec<u32>> = BTreeMap::new();
        for row in 0..ids.len() {
            let id = if ids.is_valid(row) { ids.value(row) } else { "" };
            if let Some(stream) = EventId::parse(id).map(|id| id.stream).filter(|s| Stream::EVENTS.contains(s)) {
                rows_of.entry(stream).or_default().push(row as u32);
            } else {
                self.stranger_count += 1;
                if self.strangers.len() < STRANGERS {
                    self.strangers.push(id.to_owned());
                }
            }
        }
        for (stream, rows) in rows_of {
            self.take_silver(Some(stream), &take_record_batch(batch, &UInt32Array::from(rows))?)?;
        }
        Ok(())
    }

    /// Whether no stream is graded yet.
    pub fn has_no_stream(&self) -> bool {
        self.silver.is_empty()
    }

    fn keep(&mut self, stream: Stream, rows: RecordBatch) -> Result<()> {
        let of = shards_of(rows.column(0).as_string(), self.options.shards);
        let Some((_, spill)) = self.silver.get_mut(&stream) else {
            return Err(Error::internal(format!("silver.{} is not expected", stream.name())));
        };
        spill.push(rows, &of)
    }

    /// Says that a gold table is to be graded, also if it has no row.
    ///
    /// # Errors
    /// `Config` where there is no such table.
    pub fn expect_gold(&mut self, table: &str, schema: &SchemaRef) -> Result<()> {
        streams_of(table)?;
        let name = super::gold::TABLES.iter().find(|(name, _)| *name == table).map_or("", |(name, _)| name);
        self.gold.entry(name).or_default();
        self.gold_schemas.insert(name, schema.clone());
        Ok(())
    }

    /// Takes rows of somebody's gold table, which are held in memory.
    ///
    /// # Errors
    /// As [`Grader::expect_gold`].
    pub fn take_gold(&mut self, table: &str, batch: RecordBatch) -> Result<()> {
        self.expect_gold(table, &batch.schema())?;
        if let Some(batches) = self.gold.get_mut(table) {
            batches.push(batch);
        }
        Ok(())
    }

    /// Grades what was taken; `step` hears how many shards are done. `reference` are the city's reference rows.
    ///
    /// # Errors
    /// `Config` where a gold table lacks a column of its key; `Store` where temporary files can't be read; what `step` gives.
    pub fn grade(mut self, reference: &[RecordBatch], mut step: impl FnMut(u32) -> Result<()>) -> Result<Grade> {
        let mut gold = Gold::new(reference)?;
        let mut grades: BTreeMap<Stream, StreamGrade> = BTreeMap::new();
        for (stream, (schema, _)) in &self.silver {
            let columns = schema.fields().iter().skip(1).map(|f| f.name().clone()).collect();
            grades.insert(*stream, StreamGrade::new(*stream, columns, self.options.run));
        }
        let wanted_by_gold: Vec<Stream> =
            self.gold.keys().map(|name| streams_of(name)).collect::<Result<Vec<_>>>()?.concat();
        for shard in 0..self.options.shards {
            for stream in Stream::EVENTS {
                let by_gold = wanted_by_gold.contains(&stream);
                if !by_gold && !grades.contains_key(&stream) {
                    continue;
                }
                let settled = {
                    let events = read(self.events.get_mut(&stream), shard, event_schema(stream))?;
                    let labels = read(self.labels.get_mut(&stream), shard, label_schema())?;
                    settle(stream, &events, &labels, self.options.typed)?
                };
                if let (Some(grade), Some((_, spill))) = (grades.get_mut(&stream), self.silver.get_mut(&stream)) {
                    grade.compare(&settled, &spill.read(shard)?)?;
                }
                if by_gold {
                    gold.add(&settled)?;
                }
            }
            step(shard + 1)?;
        }
        let mut tables = Vec::new();
        for (name, batches) in &self.gold {
            let table = gold.table(name)?;
            tables.push(self.grade_table(&table, batches)?);
        }
        let mut grade = Grade {
            silver: grades.into_values().collect(),
            gold: tables,
            strangers: self.stranger_count,
            stranger_examples: self.strangers,
            diagnoses: Vec::new(),
        };
        grade.diagnoses = diagnose(&grade);
        Ok(grade)
    }

    fn grade_table(&self, table: &GoldTable, batches: &[RecordBatch]) -> Result<TableGrade> {
        let Some(schema) = self.gold_schemas.get(table.name) else {
            return Err(Error::internal(format!("gold.{} is not expected", table.name)));
        };
        let found = conform(table, batches, schema, &self.options.renames)?;
        // Its hours are those of the clock on the wall.
        let found = if table.name == "data_quality_hourly" { totals(&found)? } else { found };
        compare(table, &found)
    }
}

fn read(spill: Option<&mut Spill>, shard: u32, schema: SchemaRef) -> Result<RecordBatch> {
    spill.map_or_else(|| Ok(RecordBatch::new_empty(schema)), |spill| spill.read(shard))
}

fn shards_of(ids: &StringArray, shards: u32) -> Vec<u32> {
    ids.iter().map(|id| id.and_then(uuid).map_or(0, |id| shard(id, shards))).collect()
}

//! City → oracle, beside somebody's tables → grade.

use std::collections::BTreeSet;

use arrow::array::{RecordBatch, RecordBatchReader};

use super::observe::{Chunk, Source};
use super::progress::Run;
use crate::city::clock::SECOND;
use crate::error::{Context, ErrorKind, Result};
use crate::oracle::{Grade, Grader, GraderOptions, Renames, streams_of};
use crate::schema::Stream;
use crate::sensor::SensorOptions;

/// Rows of somebody's table, batch by batch.
pub type Rows = Box<dyn RecordBatchReader + Send>;

/// Events that one shard has at most, as far as can be foreseen. With both sides of a silver table this is about 100 MB.
const SHARD_EVENTS: f64 = 100_000.0;
const MOST_SHARDS: f64 = 512.0;
/// Events that a vehicle of the fleet makes in a second, parked ones included; twice what a busy hour has.
const VEHICLE_RATE: f64 = 0.05;

/// What is to be graded.
#[derive(Default)]
pub struct Graded {
    /// Silver tables, each of a stream, or of all whose ids are in it.
    pub silver: Vec<(Option<Stream>, Rows)>,
    /// Gold tables by name.
    pub gold: Vec<(String, Rows)>,
    /// Other names of columns, and ours.
    pub renames: Renames,
    /// Whether the events went out by a typed sink, which leaves those with harmed bytes out.
    pub typed: bool,
}

/// Grades tables against the city that their events are of. Memory: one of up to 512 shards, and the gold tables.
///
/// # Errors
/// `Config` where a table lacks its key or a gold table is not known; `Decode` where a column can't be compared; `Store` where a
/// table can't be read or the temporary folder is full; `Interrupted`.
pub fn grade(source: &Source, graded: Graded, run: &mut Run<'_>) -> Result<Grade> {
    let city = &source.city().options;
    let (start, end) = (city.start, city.start + city.duration);
    let events = f64::from(city.vehicles) * VEHICLE_RATE * (city.duration / SECOND) as f64;
    let mut grader = Grader::new(GraderOptions {
        shards: (events / SHARD_EVENTS).ceil().clamp(1.0, MOST_SHARDS) as u32,
        typed: graded.typed,
        run: (start * 1_000, end * 1_000),
        renames: graded.renames,
    });
    let mut wanted: BTreeSet<Stream> = BTreeSet::new();
    for (stream, _) in &graded.silver {
        match stream {
            Some(stream) => wanted.extend([*stream]),
            None => wanted.extend(Stream::EVENTS),
        }
    }
    for (table, _) in &graded.gold {
        wanted.extend(streams_of(table)?);
    }
    // What was given is read first: it is what may be wrong.
    let mut read = 0;
    let mut of_all = None;
    for (stream, rows) in graded.silver {
        if stream.is_none() {
            of_all = Some(rows.schema());
        }
        if let Some(stream) = stream {
            grader.expect_silver(stream, &rows.schema())?;
        }
        for batch in rows {
            let batch = batch.context(ErrorKind::Store, || "a silver table can't be read".to_owned())?;
            read += batch.num_rows() as u64;
            grader.take_silver(stream, &batch)?;
            run.step("read", read, None, "rows")?;
        }
    }
    // A table of all streams without one event lacks them all.
    if let Some(schema) = of_all.filter(|_| grader.has_no_stream()) {
        source
            .streams()
            .into_iter()
            .filter(|s| Stream::EVENTS.contains(s))
            .try_for_each(|s| grader.expect_silver(s, &schema))?;
    }
    for (table, rows) in graded.gold {
        grader.expect_gold(&table, &rows.schema())?;
        for batch in rows {
            let batch =
                batch.context(ErrorKind::Store, || format!("the table given for gold.{table} can't be read"))?;
            grader.take_gold(&table, batch)?;
            run.cancel.check()?;
        }
    }
    let made = source.streams();
    let mut streams: Vec<Stream> = wanted.into_iter().filter(|s| made.contains(s)).collect();
    streams.push(Stream::TruthFault);
    let truth = source.with_sensors(SensorOptions { streams, ..source.sensors().clone() })?.without_pictures();
    for chunk in truth.observe(Ok)? {
        let Chunk { until, events } = chunk?;
        events.iter().try_for_each(|events| grader.take(events))?;
        run.step("truth", (until - start) as u64, Some(city.duration as u64), "ms")?;
    }
    let reference: Vec<RecordBatch> = source.reference()?.into_iter().map(|events| events.batch).collect();
    grader.grade(&reference, |done| run.step("grade", u64::from(done), None, "shards"))
}

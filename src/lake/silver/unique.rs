//! Uniqueness: of all rows with one id on one event date, the one with the lowest (topic, partition, offset, row in record)
//! stays, whether it comes first or last.
//!
//! Rows of one date, or of one shard of it, are decided on at a time. Only the ids of new rows are held in a map. The ids that
//! silver has on that date are read past them, from the files whose statistics allow one of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::super::go_on;
use super::super::partition::date_text;
use super::super::snapshot::DataFile;
use super::held::{At, Held, Position, Positions, id_column};
use super::ids::{Ids, Winner};
use super::shape::silver_file_schema;
use crate::error::{Context, ErrorKind, Result};
use crate::schema::{SILVER_PARTITION, Stream};
use crate::storage::{ParquetFile, project};

/// Rows that lost whose copies are compared and written at a time.
pub(super) const COMPARED_ROWS: usize = 16_384;

/// What became of rows of one date.
pub(super) struct Verdict {
    /// The rows that go into silver.
    pub(super) kept: Vec<At>,
    /// Rows that lost, and the row that won: places among the held batches and, after those, `old`.
    pub(super) losers: Vec<(At, At)>,
    /// Rows of silver's files that have to leave, by the file's name in the log.
    pub(super) displaced: BTreeMap<String, BTreeSet<u64>>,
    /// Rows that silver has already and whose id a new row has too.
    old: Vec<RecordBatch>,
}

/// Decides on `rows`, all of one event date, against each other and against silver's `files`.
pub(super) fn resolve(
    stream: Stream,
    (date, rows): (i32, &[At]),
    held: &Held<'_>,
    files: &[DataFile],
    cancel: &AtomicBool,
) -> Result<Verdict> {
    let mut ids = Ids::default();
    let mut losers: Vec<At> = Vec::new();
    ids.claim(rows.iter().map(|&at| (held.id(at), at)), |holder, at| {
        let Winner::New(other) = holder.get() else { return };
        if held.position(at).cmp(&held.position(other)) == Ordering::Less {
            losers.push(other);
            holder.set(Winner::New(at));
        } else {
            losers.push(at);
        }
    });

    let old = Old::find(stream, (date, rows), held, &mut ids, files, cancel)?;
    let mut displaced: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut old_losers: Vec<u32> = Vec::new();
    let mut number = 0;
    for batch in &old.batches {
        let (positions, texts) = (Positions::of(batch)?, id_column(batch)?);
        for row in 0..batch.num_rows() {
            let n = number;
            number += 1;
            let Some(holder) = ids.holder(texts.value(row)) else { continue };
            let Winner::New(at) = holder.get() else { continue };
            if held.position(at).cmp(&Position(&positions, row)) == Ordering::Less {
                old_losers.push(n);
                let (file, row) = old.places[n as usize];
                displaced.entry(files[file].name.clone()).or_default().insert(row);
            } else {
                losers.push(at);
                holder.set(Winner::Old(n));
            }
        }
    }

    let mut pairs = Vec::with_capacity(losers.len() + old_losers.len());
    let place = |winner: Winner| match winner {
        Winner::New(at) => at,
        Winner::Old(n) => old.at(n, held),
    };
    for &at in &losers {
        pairs.extend(ids.holder(held.id(at)).map(|holder| (at, place(holder.get()))));
    }
    for n in old_losers {
        let at = old.at(n, held);
        let id = id_column(&old.batches[at.0 as usize - held.batches.len()])?.value(at.1 as usize);
        pairs.extend(ids.holder(id).map(|holder| (at, place(holder.get()))));
    }
    Ok(Verdict { kept: without(rows, losers), losers: pairs, displaced, old: old.batches })
}

/// The rows that are not among `lost`; both are of one list, and the first ascends.
fn without(rows: &[At], mut lost: Vec<At>) -> Vec<At> {
    lost.sort_unstable();
    let mut lost = lost.into_iter().peekable();
    rows.iter().copied().filter(|at| lost.next_if_eq(at).is_none()).collect()
}

/// Rows that silver has already and whose id a new row has too.
struct Old {
    batches: Vec<RecordBatch>,
    /// For each row of the batches: the file's number and the row in it.
    places: Vec<(usize, u64)>,
    /// For each batch: how many rows are before it.
    starts: Vec<u32>,
}

impl Old {
    fn find(
        stream: Stream,
        (date, rows): (i32, &[At]),
        held: &Held<'_>,
        ids: &mut Ids,
        files: &[DataFile],
        cancel: &AtomicBool,
    ) -> Result<Self> {
        let mut old = Self { batches: Vec::new(), places: Vec::new(), starts: Vec::new() };
        let Some((low, high)) = bounds(held, rows) else { return Ok(old) };
        let schema = silver_file_schema(stream);
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let text = date_text(date);
        let known = ids.known();
        for (number, file) in files.iter().enumerate() {
            if file.value(SILVER_PARTITION) != Some(&text) || !may_hold(file, low, high) {
                continue;
            }
            go_on(cancel)?;
            let context = || format!("{} can't be read", file.path.display());
            let parquet = ParquetFile::open(&file.path)?;
            let (mut hits, mut at) = (Vec::new(), 0_u64);
            for batch in parquet.batches(&["id"], 65_536)? {
                let batch = batch.context(ErrorKind::Store, context)?;
                let texts = id_column(&batch)?;
                hits.extend((0..texts.len()).filter(|&r| known.contains(texts.value(r))).map(|r| at + r as u64));
                at += texts.len() as u64;
            }
            if hits.is_empty() {
                continue;
            }
            for batch in parquet.selected(&names, selection(&hits))? {
                let batch = project(&batch.context(ErrorKind::Store, context)?, &schema)?;
                old.starts.push(old.starts.last().map_or(0, |start| start + old.last_rows()));
                old.batches.push(batch);
            }
            old.places.extend(hits.into_iter().map(|row| (number, row)));
        }
        Ok(old)
    }

    fn last_rows(&self) -> u32 {
        self.batches.last().map_or(0, |batch| batch.num_rows() as u32)
    }

    /// The place of the n-th row, counted on from the held batches.
    fn at(&self, n: u32, held: &Held<'_>) -> At {
        let batch = self.starts.partition_point(|&start| start <= n) - 1;
        ((held.batches.len() + batch) as u32, n - self.starts[batch])
    }
}

/// The lowest and the highest id.
fn bounds<'a>(held: &'a Held<'_>, rows: &[At]) -> Option<(&'a str, &'a str)> {
    let mut ids = rows.iter().map(|&at| held.id(at));
    let first = ids.next()?;
    Some(ids.fold((first, first), |(low, high), id| (low.min(id), high.max(id))))
}

/// Whether the file's statistics allow an id in `low..=high`.
fn may_hold(file: &DataFile, low: &str, high: &str) -> bool {
    let bound = |side: &str| file.stats.as_ref()?.get(side)?.get("id")?.as_str();
    match (bound("minValues"), bound("maxValues")) {
        (Some(min), Some(max)) => min <= high && low <= max,
        _ => true,
    }
}

fn selection(rows: &[u64]) -> RowSelection {
    let mut selectors = Vec::new();
    let mut at = 0;
    for &row in rows {
        if row > at {
            selectors.push(RowSelector::skip((row - at) as usize));
        }
        selectors.push(RowSelector::select(1));
        at = row + 1;
    }
    RowSelection::from(selectors)
}

/// Rows that lost.
pub(super) struct Lost {
    /// Copies, and row by row what they are copies of.
    pub(super) duplicates: Option<(RecordBatch, RecordBatch)>,
    /// Events of their own.
    pub(super) conflicts: Option<RecordBatch>,
}

impl Verdict {
    /// Parts some of the rows that lost into copies of the row that won and events of their own.
    pub(super) fn compare(&self, stream: Stream, held: &Held<'_>, losers: &[(At, At)]) -> Result<Lost> {
        let sources: Vec<&RecordBatch> = held.batches.iter().chain(&self.old).collect();
        let places = |side: fn(&(At, At)) -> At| -> Vec<(usize, usize)> {
            losers.iter().map(side).map(|(b, r)| (b as usize, r as usize)).collect()
        };
        let lost = interleave_record_batch(&sources, &places(|pair| pair.0))?;
        let won = interleave_record_batch(&sources, &places(|pair| pair.1))?;

        let payload: Vec<usize> = payload(stream, &lost);
        let fields = payload.iter().map(|&i| SortField::new(lost.column(i).data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let lost_rows = converter.convert_columns(lost.project(&payload)?.columns())?;
        let won_rows = converter.convert_columns(won.project(&payload)?.columns())?;
        let same: arrow::array::BooleanArray =
            (0..lost.num_rows()).map(|i| Some(lost_rows.row(i) == won_rows.row(i))).collect();
        let other = arrow::compute::not(&same)?;
        let some = |batch: RecordBatch| (batch.num_rows() > 0).then_some(batch);
        let filter = arrow::compute::filter_record_batch;
        let duplicates = some(filter(&lost, &same)?).map(|l| Ok::<_, crate::error::Error>((l, filter(&won, &same)?)));
        Ok(Lost { duplicates: duplicates.transpose()?, conflicts: some(filter(&lost, &other)?) })
    }
}

/// The columns that make up an event: what the device said, except when it sent it, since a repeated message may carry a
/// later time.
fn payload(stream: Stream, silver: &RecordBatch) -> Vec<usize> {
    let event = |name: &str| {
        name == "lat" || name == "lon" || stream.fields().iter().any(|f| f.silver == name && f.name != "sentAt")
    };
    let fields = silver.schema_ref().fields();
    fields.iter().enumerate().filter(|(_, f)| event(f.name())).map(|(i, _)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_picks_single_rows() {
        let picked = selection(&[0, 3, 4]);
        assert_eq!(picked.row_count(), 3);
        assert_eq!(picked.skipped_row_count(), 2);
    }

    #[test]
    fn what_is_lost_is_left_out() {
        let rows = [(0, 1), (0, 5), (2, 0), (2, 1)];
        assert_eq!(without(&rows, vec![(2, 1), (0, 5)]), [(0, 1), (2, 0)]);
        assert_eq!(without(&rows, vec![]), rows);
    }
}

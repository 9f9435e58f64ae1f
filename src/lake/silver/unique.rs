//! Uniqueness: of all rows with one id on one event date, the one with the lowest (topic, partition, offset, row in record)
//! stays, whether it comes first or last.
//!
//! Only the ids of new rows are held in memory. The ids that silver has on those dates are read past them, from the files
//! whose statistics allow one of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::super::go_on;
use super::super::partition::date_text;
use super::super::snapshot::DataFile;
use super::ids::{At, Ids, Winner};
use super::shape::silver_file_schema;
use crate::error::{Context, ErrorKind, Result};
use crate::schema::{SILVER_PARTITION, Stream};
use crate::storage::{ParquetFile, project};

/// Rows of one shard in silver's columns, with the event date of each.
pub(super) struct Rows {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) dates: Vec<Vec<i32>>,
}

/// What became of the rows of a shard.
pub(super) struct Verdict {
    /// The rows that go into silver, by event date.
    pub(super) kept: BTreeMap<i32, Vec<At>>,
    /// Dropped copies, and row by row the copy that was kept.
    pub(super) duplicates: Option<(RecordBatch, RecordBatch)>,
    /// Rows whose id another event has.
    pub(super) conflicts: Option<RecordBatch>,
    /// Rows of silver's files that have to leave, by the file's name in the log.
    pub(super) displaced: BTreeMap<String, BTreeSet<u64>>,
}

/// Where each row of a batch came from.
struct Positions<'a> {
    topic: &'a arrow::array::StringArray,
    partition: &'a [i32],
    offset: &'a [i64],
    row: &'a [i32],
}

impl<'a> Positions<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or(name.to_owned())
                .context(ErrorKind::Internal, || "silver lacks a column".into())
        };
        Ok(Self {
            topic: column("kafka_topic")?.as_string(),
            partition: column("kafka_partition")?.as_primitive::<Int32Type>().values(),
            offset: column("kafka_offset")?.as_primitive::<Int64Type>().values(),
            row: column("row_in_record")?.as_primitive::<Int32Type>().values(),
        })
    }

    fn cmp(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        (self.topic.value(row), self.partition[row], self.offset[row], self.row[row]).cmp(&(
            other.topic.value(other_row),
            other.partition[other_row],
            other.offset[other_row],
            other.row[other_row],
        ))
    }
}

/// Decides on the rows of one shard against each other and against silver's `files`.
pub(super) fn resolve(stream: Stream, rows: &Rows, files: &[DataFile], cancel: &AtomicBool) -> Result<Verdict> {
    let positions = rows.batches.iter().map(Positions::of).collect::<Result<Vec<_>>>()?;
    let texts = rows.batches.iter().map(id_column).collect::<Result<Vec<_>>>()?;
    let new = rows.dates.iter().enumerate().flat_map(|(b, dates)| {
        let texts = texts[b];
        dates.iter().enumerate().map(move |(r, &date)| (date, texts.value(r), (b as u32, r as u32)))
    });
    let mut ids = Ids::default();
    let mut losers: Vec<At> = Vec::new();
    ids.claim(new, |holder, at| {
        let Winner::New(other) = holder.get() else { return };
        let of = |at: At| (&positions[at.0 as usize], at.1 as usize);
        let ((ours, row), (theirs, other_row)) = (of(at), of(other));
        if ours.cmp(row, theirs, other_row) == Ordering::Less {
            losers.push(other);
            holder.set(Winner::New(at));
        } else {
            losers.push(at);
        }
    });

    let old = known(stream, rows, &mut ids, files, cancel)?;
    let mut displaced: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut old_losers: Vec<u32> = Vec::new();
    if let Some(old) = &old {
        let old_positions = Positions::of(&old.rows)?;
        let texts = id_column(&old.rows)?;
        for (n, (date, file, row)) in old.places.iter().enumerate() {
            let Some(holder) = ids.holder(*date, texts.value(n)) else { continue };
            let Winner::New((b, r)) = holder.get() else { continue };
            if positions[b as usize].cmp(r as usize, &old_positions, n) == Ordering::Less {
                old_losers.push(n as u32);
                displaced.entry(files[*file].name.clone()).or_default().insert(*row);
            } else {
                losers.push((b, r));
                holder.set(Winner::Old(n as u32));
            }
        }
    }

    let (duplicates, conflicts) = compare(stream, rows, old.as_ref(), &mut ids, &losers, &old_losers)?;
    let mut lost: Vec<Vec<bool>> = rows.batches.iter().map(|b| vec![false; b.num_rows()]).collect();
    for (b, r) in losers {
        lost[b as usize][r as usize] = true;
    }
    let mut kept: BTreeMap<i32, Vec<At>> = BTreeMap::new();
    for (b, dates) in rows.dates.iter().enumerate() {
        for (r, date) in dates.iter().enumerate().filter(|(r, _)| !lost[b][*r]) {
            kept.entry(*date).or_default().push((b as u32, r as u32));
        }
    }
    Ok(Verdict { kept, duplicates, conflicts, displaced })
}

fn id_column(batch: &RecordBatch) -> Result<&arrow::array::StringArray> {
    let column =
        batch.column_by_name("id").ok_or("id").context(ErrorKind::Internal, || "silver lacks a column".into())?;
    Ok(column.as_string())
}

/// Rows that silver has already and whose id a new row has too.
struct Old {
    rows: RecordBatch,
    /// For each: the event date, the file's number and the row in it.
    places: Vec<(i32, usize, u64)>,
}

fn known(stream: Stream, rows: &Rows, ids: &mut Ids, files: &[DataFile], cancel: &AtomicBool) -> Result<Option<Old>> {
    let bounds = bounds(rows)?;
    let schema = silver_file_schema(stream);
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let (mut places, mut found) = (Vec::new(), Vec::new());
    for (date, (low, high)) in bounds {
        let text = date_text(date);
        let known = ids.of(date);
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
                found.push(project(&batch.context(ErrorKind::Store, context)?, &schema)?);
            }
            places.extend(hits.into_iter().map(|row| (date, number, row)));
        }
    }
    if places.is_empty() {
        return Ok(None);
    }
    let rows = concat_batches(&schema, &found)?;
    Ok(Some(Old { rows, places }))
}

/// The lowest and the highest id of the new rows of each date.
fn bounds(rows: &Rows) -> Result<BTreeMap<i32, (&str, &str)>> {
    let mut bounds: BTreeMap<i32, (&str, &str)> = BTreeMap::new();
    for (batch, dates) in rows.batches.iter().zip(&rows.dates) {
        let texts = id_column(batch)?;
        for (row, date) in dates.iter().enumerate() {
            let id = texts.value(row);
            let (low, high) = bounds.entry(*date).or_insert((id, id));
            *low = (*low).min(id);
            *high = (*high).max(id);
        }
    }
    Ok(bounds)
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

type Split = (Option<(RecordBatch, RecordBatch)>, Option<RecordBatch>);

/// Parts the rows that lost into copies of the row that won and events of their own.
fn compare(
    stream: Stream,
    rows: &Rows,
    old: Option<&Old>,
    ids: &mut Ids,
    losers: &[At],
    old_losers: &[u32],
) -> Result<Split> {
    if losers.is_empty() && old_losers.is_empty() {
        return Ok((None, None));
    }
    let mut sources: Vec<&RecordBatch> = rows.batches.iter().collect();
    let old_source = sources.len();
    sources.extend(old.map(|o| &o.rows));
    let mut pairs: Vec<((usize, usize), (usize, usize))> = Vec::new();
    let mut pair = |loser: (usize, usize), date: i32| -> Result<()> {
        let id = id_column(sources[loser.0])?.value(loser.1);
        let winner = match ids.holder(date, id).map(|h| h.get()) {
            Some(Winner::New((b, r))) => (b as usize, r as usize),
            Some(Winner::Old(n)) => (old_source, n as usize),
            None => return Ok(()),
        };
        pairs.push((loser, winner));
        Ok(())
    };
    for &(b, r) in losers {
        pair((b as usize, r as usize), rows.dates[b as usize][r as usize])?;
    }
    for (&n, old) in old_losers.iter().zip(std::iter::repeat(old)) {
        if let Some(old) = old {
            pair((old_source, n as usize), old.places[n as usize].0)?;
        }
    }
    let (lost, won): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let lost = interleave_record_batch(&sources, &lost)?;
    let won = interleave_record_batch(&sources, &won)?;

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
    Ok((duplicates.transpose()?, some(filter(&lost, &other)?)))
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
}

//! Rows of a step that memory does not hold: on disk, to be read back by event date and range of the id's hash.
//!
//! What comes in is kept in memory up to a limit. Past it, the rows held so far are parted by event date and into buckets by the
//! hash of the id, and appended block by block to one Arrow IPC file, which has no name any more and so is gone with the
//! process. Within a block they stay as they came: to sort them by the hash would cost several times as much. A shard of a
//! date is a range of hashes, so some of the buckets; all rows with one id are in one shard.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{BufReader, BufWriter, Seek, SeekFrom};

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use super::hash::Seed;
use super::held::{At, Held, id_column};
use super::shape::event_dates;
use crate::error::{Context, Error, ErrorKind, Result};

/// What the comparison of ids needs beside a row's columns: its place in a map and in two sorted lists, in bytes.
const ROW_BYTES: usize = 64;

/// Rows of one date that are parted into buckets at a time: what the processor's cache holds.
const PARTED_ROWS: usize = 32_768;

/// Rows of a block at least, where there are so many: smaller ones cost more than reading what is not wanted.
const BLOCK_ROWS: usize = 64;

/// Buckets at most.
const BUCKETS: usize = 256;

/// Takes the rows of a step, in silver's columns.
pub(super) struct Collect {
    schema: SchemaRef,
    limit: usize,
    expected: u64,
    batches: Vec<RecordBatch>,
    rows: BTreeMap<i32, Vec<At>>,
    bytes: usize,
    spill: Option<Spill>,
}

/// The rows of a step by event date.
pub(super) enum Collected {
    Memory { batches: Vec<RecordBatch>, rows: BTreeMap<i32, Vec<At>> },
    Disk(Box<Spilled>),
}

impl Collect {
    /// Holds about `limit` bytes of `expected` rows, or fewer.
    pub(super) fn new(schema: SchemaRef, limit: usize, expected: u64) -> Self {
        Self { schema, limit, expected, batches: Vec::new(), rows: BTreeMap::new(), bytes: 0, spill: None }
    }

    pub(super) fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let number = self.batches.len() as u32;
        let dates = event_dates(&batch);
        let mut from = 0;
        // Rows of one date come in runs.
        for run in dates.chunk_by(|a, b| a == b) {
            let to = from + run.len() as u32;
            self.rows.entry(run[0]).or_default().extend((from..to).map(|row| (number, row)));
            from = to;
        }
        self.bytes += batch.get_array_memory_size() + batch.num_rows() * ROW_BYTES;
        self.batches.push(batch);
        if self.bytes >= self.limit {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => {
                let held: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
                let all = self.bytes as f64 / held.max(1) as f64 * self.expected as f64;
                let buckets = (2.0 * all / self.limit.max(1) as f64).min(BUCKETS as f64);
                none.insert(Spill::new(&self.schema, (buckets as usize).max(1).next_power_of_two())?)
            }
        };
        let held = Held::new(self.schema.clone(), &self.batches)?;
        for (date, rows) in std::mem::take(&mut self.rows) {
            spill.write(&held, date, &rows)?;
        }
        self.batches.clear();
        self.bytes = 0;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Collected> {
        if self.spill.is_none() {
            return Ok(Collected::Memory { batches: self.batches, rows: self.rows });
        }
        self.spill()?;
        let spill = self.spill.ok_or_else(|| Error::internal("a spill has gone"))?;
        Ok(Collected::Disk(Box::new(spill.finish(self.limit)?)))
    }
}

/// A block of the file: rows of one date with hashes from `low` to `high`.
struct Block {
    low: u64,
    high: u64,
    bytes: usize,
}

struct Spill {
    writer: FileWriter<BufWriter<File>>,
    /// Buckets of a date; a power of two.
    buckets: usize,
    /// By date: the block's number in the file, and what it holds.
    blocks: BTreeMap<i32, Vec<(usize, Block)>>,
    count: usize,
    bytes: u64,
}

fn failed() -> String {
    format!("rows can't be put aside in the temporary folder {} (TMPDIR)", std::env::temp_dir().display())
}

/// A file without a name.
fn nameless() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("citystream-{}.spill", uuid::Uuid::new_v4().simple()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The place of an id among the shards: the same in every process, so that files come out the same.
fn hash(id: &str) -> u64 {
    let mut hasher = Seed::fixed().build_hasher();
    hasher.write(id.as_bytes());
    hasher.finish()
}

impl Spill {
    fn new(schema: &SchemaRef, buckets: usize) -> Result<Self> {
        let file = nameless().context(ErrorKind::Store, failed)?;
        let writer = FileWriter::try_new(BufWriter::new(file), schema).context(ErrorKind::Store, failed)?;
        Ok(Self { writer, buckets, blocks: BTreeMap::new(), count: 0, bytes: 0 })
    }

    fn write(&mut self, held: &Held<'_>, date: i32, rows: &[At]) -> Result<()> {
        let blocks = self.blocks.entry(date).or_default();
        for rows in rows.chunks(PARTED_ROWS) {
            let most = (rows.len() / BLOCK_ROWS).max(1);
            // The largest power of two that is not above it.
            let buckets = self.buckets.min(1 << most.ilog2());
            let mut parts: Vec<(u64, u64, Vec<At>)> = vec![(u64::MAX, 0, Vec::new()); buckets];
            for &at in rows {
                let hash = hash(held.id(at));
                let (low, high, part) = &mut parts[((u128::from(hash) * buckets as u128) >> 64) as usize];
                *low = hash.min(*low);
                *high = hash.max(*high);
                part.push(at);
            }
            for (low, high, rows) in parts.into_iter().filter(|(_, _, rows)| !rows.is_empty()) {
                let batch = held.pick(&rows)?;
                self.writer.write(&batch).context(ErrorKind::Store, failed)?;
                let bytes = batch.get_array_memory_size();
                blocks.push((self.count, Block { low, high, bytes: bytes + rows.len() * ROW_BYTES }));
                self.count += 1;
                self.bytes += bytes as u64;
            }
        }
        Ok(())
    }

    fn finish(mut self, limit: usize) -> Result<Spilled> {
        self.writer.finish().context(ErrorKind::Store, failed)?;
        let writer = self.writer.into_inner().context(ErrorKind::Store, failed)?;
        let mut file =
            writer.into_inner().map_err(std::io::IntoInnerError::into_error).context(ErrorKind::Store, failed)?;
        file.seek(SeekFrom::Start(0)).context(ErrorKind::Store, failed)?;
        let reader = FileReader::try_new(BufReader::new(file), None).context(ErrorKind::Store, failed)?;
        Ok(Spilled { reader, blocks: self.blocks, limit, bytes: self.bytes })
    }
}

/// Rows on disk.
pub(super) struct Spilled {
    reader: FileReader<BufReader<File>>,
    blocks: BTreeMap<i32, Vec<(usize, Block)>>,
    limit: usize,
    /// Size of the rows, in bytes.
    pub(super) bytes: u64,
}

impl Spilled {
    pub(super) fn dates(&self) -> Vec<i32> {
        self.blocks.keys().copied().collect()
    }

    /// How many shards a date's rows have: a power of two, so that buckets lie in one shard each.
    pub(super) fn shards(&self, date: i32) -> u64 {
        let bytes: usize = self.blocks.get(&date).into_iter().flatten().map(|(_, block)| block.bytes).sum();
        bytes.div_ceil(self.limit.max(1)).max(1).next_power_of_two() as u64
    }

    /// The rows of one shard of a date.
    pub(super) fn read(&mut self, date: i32, shard: u64, shards: u64) -> Result<Vec<RecordBatch>> {
        let bound = |shard: u64| (u128::from(shard) << 64) / u128::from(shards);
        let range = bound(shard)..bound(shard + 1);
        let mut batches = Vec::new();
        for (number, block) in self.blocks.get(&date).into_iter().flatten() {
            let inside = |hash: u64| range.contains(&u128::from(hash));
            if u128::from(block.high) < range.start || u128::from(block.low) >= range.end {
                continue;
            }
            self.reader.set_index(*number).context(ErrorKind::Store, failed)?;
            let batch = self.reader.next().ok_or("it ends too early").context(ErrorKind::Store, failed)?;
            let batch = batch.context(ErrorKind::Store, failed)?;
            if inside(block.low) && inside(block.high) {
                batches.push(batch);
                continue;
            }
            let ids = id_column(&batch)?;
            let ours: BooleanArray = (0..ids.len()).map(|row| Some(inside(hash(ids.value(row))))).collect();
            let rows = filter_record_batch(&batch, &ours)?;
            if rows.num_rows() > 0 {
                batches.push(rows);
            }
        }
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::silver::shape::silver_file_schema;
    use crate::schema::Stream;
    use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
    use std::collections::BTreeSet;
    use std::sync::Arc;

    const DAY_US: i64 = 86_400_000_000;

    fn batch(schema: &SchemaRef, from: usize, rows: usize, days: i64) -> RecordBatch {
        let numbers = || from..from + rows;
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "id" => Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("event {}", n / 2)))),
                "device_id" => Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("device {}", n % 7)))),
                "kafka_topic" => Arc::new(StringArray::new_repeated("topic", rows)),
                "kafka_partition" | "row_in_record" => Arc::new(Int32Array::from_value(0, rows)),
                "kafka_offset" => Arc::new(Int64Array::from_iter_values(numbers().map(|n| n as i64))),
                "event_time" => {
                    let times = numbers().map(|n| (n / 2) as i64 % days * DAY_US);
                    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
                }
                _ => new_null_array(field.data_type(), rows),
            }
        });
        RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
    }

    #[test]
    fn what_was_put_aside_comes_back_once_a_shard_at_a_time() {
        let schema = silver_file_schema(Stream::Gps);
        let (rows, days, limit) = (40_000, 3, 400_000);
        let mut collect = Collect::new(Arc::clone(&schema), limit, rows as u64);
        for from in (0..rows).step_by(500) {
            collect.add(batch(&schema, from, 500, days)).unwrap();
        }
        let Collected::Disk(mut spilled) = collect.finish().unwrap() else { panic!("it fits into memory") };
        assert_eq!(spilled.dates(), [0, 1, 2]);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut count = 0;
        for date in spilled.dates() {
            let shards = spilled.shards(date);
            assert!(shards > 4, "{shards}");
            for shard in 0..shards {
                let batches = spilled.read(date, shard, shards).unwrap();
                let here: usize = batches.iter().map(RecordBatch::num_rows).sum();
                let bytes = here * (spilled.bytes as usize / rows + ROW_BYTES);
                assert!(bytes < limit * 3 / 2, "{bytes}");
                let mut ids: BTreeSet<String> = BTreeSet::new();
                for batch in &batches {
                    assert!(event_dates(batch).iter().all(|d| *d == date));
                    ids.extend(id_column(batch).unwrap().iter().flatten().map(str::to_owned));
                }
                // Both rows of an id are in one shard, and in no other.
                assert_eq!(here, 2 * ids.len());
                count += here;
                assert!(ids.into_iter().all(|id| seen.insert(id)));
            }
        }
        assert_eq!(count, rows);
    }

    #[test]
    fn what_fits_stays_in_memory() {
        let schema = silver_file_schema(Stream::Gps);
        let mut collect = Collect::new(Arc::clone(&schema), 1 << 20, 100);
        collect.add(batch(&schema, 0, 100, 2)).unwrap();
        let Collected::Memory { batches, rows } = collect.finish().unwrap() else { panic!("it was put aside") };
        assert_eq!((batches.len(), rows.len(), rows[&1].len()), (1, 2, 50));
    }
}

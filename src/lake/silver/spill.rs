//! Rows of a step that memory does not hold: on disk, to be read back by event date and range of the id's hash.
//!
//! What comes in is kept in memory up to a limit. Past it, the rows held so far become a run: sorted by (event date, hash of
//! the id), cut into blocks, and appended to one Arrow IPC file, which has no name any more and so is gone with the process.
//! A shard of a date is a range of hashes: in each run a few blocks that stand together. All rows with one id are in one shard.

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

/// A run's rows of one date are cut into so many blocks, unless those would be very small or very large.
const BLOCKS: usize = 128;
const BLOCK_ROWS: std::ops::RangeInclusive<usize> = 64..=4096;

/// Takes the rows of a step, in silver's columns.
pub(super) struct Collect {
    schema: SchemaRef,
    limit: usize,
    batches: Vec<RecordBatch>,
    rows: BTreeMap<i32, Vec<At>>,
    bytes: usize,
    spill: Option<Spill>,
}

/// The rows of a step by event date.
pub(super) enum Collected {
    Memory { batches: Vec<RecordBatch>, rows: BTreeMap<i32, Vec<At>> },
    Disk(Spilled),
}

impl Collect {
    /// Holds about `limit` bytes of rows.
    pub(super) fn new(schema: SchemaRef, limit: usize) -> Self {
        Self { schema, limit, batches: Vec::new(), rows: BTreeMap::new(), bytes: 0, spill: None }
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
            none => none.insert(Spill::new(&self.schema)?),
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
        Ok(Collected::Disk(spill.finish(self.limit)?))
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
    fn new(schema: &SchemaRef) -> Result<Self> {
        let file = nameless().context(ErrorKind::Store, failed)?;
        let writer = FileWriter::try_new(BufWriter::new(file), schema).context(ErrorKind::Store, failed)?;
        Ok(Self { writer, blocks: BTreeMap::new(), count: 0, bytes: 0 })
    }

    fn write(&mut self, held: &Held<'_>, date: i32, rows: &[At]) -> Result<()> {
        let mut hashed: Vec<(u64, At)> = rows.iter().map(|&at| (hash(held.id(at)), at)).collect();
        hashed.sort_unstable();
        let size = (rows.len() / BLOCKS).clamp(*BLOCK_ROWS.start(), *BLOCK_ROWS.end());
        let blocks = self.blocks.entry(date).or_default();
        for block in hashed.chunks(size) {
            let rows: Vec<At> = block.iter().map(|(_, at)| *at).collect();
            let batch = held.pick(&rows)?;
            self.writer.write(&batch).context(ErrorKind::Store, failed)?;
            let bytes = batch.get_array_memory_size();
            let block =
                Block { low: block[0].0, high: block[block.len() - 1].0, bytes: bytes + rows.len() * ROW_BYTES };
            blocks.push((self.count, block));
            self.count += 1;
            self.bytes += bytes as u64;
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

    /// How many shards a date's rows have.
    pub(super) fn shards(&self, date: i32) -> u64 {
        let bytes: usize = self.blocks.get(&date).into_iter().flatten().map(|(_, block)| block.bytes).sum();
        bytes.div_ceil(self.limit.max(1)).max(1) as u64
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

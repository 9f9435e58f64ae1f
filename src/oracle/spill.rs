//! Rows on disk by shard, so that a city of any length is graded in the memory of one shard.

use std::env::temp_dir;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use uuid::Uuid;

use crate::error::{Context, ErrorKind, Result};

/// Rows that are held before they are written: fewer would make blocks of a shard too small.
const HELD_ROWS: usize = 65_536;

/// Rows of one schema, written to a temporary file in blocks of one shard each.
#[derive(Debug)]
pub(super) struct Spill {
    schema: SchemaRef,
    shards: u32,
    file: Option<File>,
    /// Shard, place and length of each block.
    blocks: Vec<(u32, u64, usize)>,
    end: u64,
    held: Vec<RecordBatch>,
    held_shards: Vec<u32>,
}

impl Spill {
    pub(super) fn new(schema: SchemaRef, shards: u32) -> Self {
        Self { schema, shards, file: None, blocks: Vec::new(), end: 0, held: Vec::new(), held_shards: Vec::new() }
    }

    /// Adds rows; `shard_of` has a shard for each.
    pub(super) fn push(&mut self, batch: RecordBatch, shard_of: &[u32]) -> Result<()> {
        self.held_shards.extend_from_slice(shard_of);
        self.held.push(batch);
        if self.held_shards.len() >= HELD_ROWS.max(self.shards as usize * 256) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.held_shards.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(&self.schema, &self.held)?;
        self.held.clear();
        let mut of_shard: Vec<Vec<u32>> = vec![Vec::new(); self.shards as usize];
        for (row, shard) in self.held_shards.drain(..).enumerate() {
            of_shard[shard as usize].push(row as u32);
        }
        if self.file.is_none() {
            self.file = Some(unnamed()?);
        }
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        for (shard, places) in of_shard.into_iter().enumerate().filter(|(_, places)| !places.is_empty()) {
            let block = take_record_batch(&rows, &UInt32Array::from(places))?;
            let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
            writer.write(&block)?;
            let bytes = writer.into_inner()?;
            file.write_all(&bytes).context(ErrorKind::Store, || cant("written"))?;
            self.blocks.push((shard as u32, self.end, bytes.len()));
            self.end += bytes.len() as u64;
        }
        Ok(())
    }

    /// The rows of one shard, in the order in which they were added.
    pub(super) fn read(&mut self, shard: u32) -> Result<RecordBatch> {
        self.flush()?;
        let mut batches = Vec::new();
        for &(_, place, length) in self.blocks.iter().filter(|block| block.0 == shard) {
            let Some(file) = self.file.as_mut() else { break };
            let mut bytes = vec![0; length];
            file.seek(SeekFrom::Start(place)).context(ErrorKind::Store, || cant("read"))?;
            file.read_exact(&mut bytes).context(ErrorKind::Store, || cant("read"))?;
            for batch in StreamReader::try_new(Cursor::new(bytes), None)? {
                batches.push(batch?);
            }
        }
        Ok(concat_batches(&self.schema, &batches)?)
    }
}

fn cant(done: &str) -> String {
    format!("a temporary file in {} can't be {done}", temp_dir().display())
}

/// A file without a name, so that nothing is left behind, whatever ends the process.
fn unnamed() -> Result<File> {
    let path = temp_dir().join(format!("citystream-grade-{}", Uuid::new_v4()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.context(ErrorKind::Store, || cant("made"))?;
    // Where a system keeps open files' names, the file stays; it is then its own temporary folder's to clean.
    drop(remove_file(&path));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use std::sync::Arc;

    #[test]
    fn each_row_comes_back_in_its_shard_and_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
        let mut spill = Spill::new(Arc::clone(&schema), 7);
        for from in (0..200_000).step_by(10_000) {
            let numbers = Int32Array::from_iter_values(from..from + 10_000);
            let shards: Vec<u32> = (from..from + 10_000).map(|n| n as u32 % 5).collect();
            spill.push(RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers)]).unwrap(), &shards).unwrap();
        }
        assert!(spill.blocks.len() > 5 && !spill.held.is_empty());
        for shard in 0..7 {
            let rows = spill.read(shard).unwrap();
            let expected: Vec<i32> = (0..200_000).filter(|n| *n as u32 % 5 == shard).collect();
            assert_eq!(rows.column(0).as_primitive::<Int32Type>().values(), expected.as_slice());
        }
    }
}

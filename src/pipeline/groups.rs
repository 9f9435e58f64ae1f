//! Batches → one Parquet file, its row groups encoded on the workers and written in order.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::pool::{Pending, Pool};
use crate::error::Result;
use crate::storage::{GroupWriter, RowGroup, WriteOptions};

/// A row group ends with the batch that reaches so many rows: of our streams about 20 MB in memory and 5 MB in the file.
/// Not by bytes, so that groups are the same however they are encoded.
const GROUP_ROWS: usize = 128 * 1024;

/// See the module. Holds the rows of one row group, and those of the groups that the pool works on.
pub(super) struct ParquetSink {
    path: PathBuf,
    file: GroupWriter,
    pool: Arc<Pool>,
    batches: Vec<RecordBatch>,
    rows: usize,
    encoding: VecDeque<Pending<Result<RowGroup>>>,
}

impl ParquetSink {
    pub fn create(path: &Path, schema: &Schema, pool: Arc<Pool>) -> Result<Self> {
        let file = GroupWriter::create(path, schema, &WriteOptions::default())?;
        Ok(Self { path: path.to_owned(), file, pool, batches: Vec::new(), rows: 0, encoding: VecDeque::new() })
    }

    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.batches.push(batch);
        if self.rows >= GROUP_ROWS { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<()> {
        let (batches, encoder) = (std::mem::take(&mut self.batches), self.file.encoder());
        self.rows = 0;
        self.encoding.push_back(self.pool.submit(move || encoder.encode(&batches)));
        self.append(self.pool.ahead())
    }

    /// Writes encoded groups until at most `left` are under way.
    fn append(&mut self, left: usize) -> Result<()> {
        while self.encoding.len() > left {
            let Some(group) = self.encoding.pop_front() else { break };
            self.file.append(group.wait()??)?;
        }
        Ok(())
    }

    /// Completes the file and gives its name.
    pub fn finish(mut self) -> Result<PathBuf> {
        if self.rows > 0 {
            self.end_group()?;
        }
        self.append(0)?;
        self.file.finish()?;
        Ok(self.path)
    }
}

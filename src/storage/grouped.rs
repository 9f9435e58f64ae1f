//! A file whose row groups have a number of rows: full ones are encoded on a thread while the caller makes the next one's
//! rows, and groups of other files are copied in between.

use std::thread::{Builder, JoinHandle};

use arrow::array::RecordBatch;

use super::groups::{GroupWriter, RowGroup};
use super::{ParquetFile, WrittenFile};
use crate::error::{Context, Error, ErrorKind, Result};

pub(super) struct Grouped {
    file: GroupWriter,
    group_rows: usize,
    /// Rows of the group to come.
    batches: Vec<RecordBatch>,
    rows: usize,
    /// The group before.
    encoding: Option<JoinHandle<Result<RowGroup>>>,
}

impl Grouped {
    pub(super) fn new(file: GroupWriter, group_rows: usize) -> Self {
        Self { file, group_rows: group_rows.max(1), batches: Vec::new(), rows: 0, encoding: None }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let taken = (batch.num_rows() - from).min(self.group_rows - self.rows);
            self.batches.push(batch.slice(from, taken));
            self.rows += taken;
            from += taken;
            if self.rows == self.group_rows {
                self.encode()?;
            }
        }
        Ok(())
    }

    pub(super) fn copy(&mut self, from: &ParquetFile, group: usize) -> Result<()> {
        self.flush()?;
        self.file.copy(from, group)
    }

    /// Encoded bytes of the groups that are written.
    pub(super) fn bytes(&self) -> usize {
        self.file.bytes()
    }

    /// Bytes of memory that the next group's rows hold, and what waits to be uploaded. Slices count what they are slices of.
    pub(super) fn memory(&self) -> usize {
        self.batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() + self.file.buffered()
    }

    pub(super) fn finish(mut self) -> Result<WrittenFile> {
        self.flush()?;
        self.file.finish()
    }

    /// Begins to encode the rows at hand; the group before is written.
    fn encode(&mut self) -> Result<()> {
        self.settle()?;
        let batches = std::mem::take(&mut self.batches);
        self.rows = 0;
        let encoder = self.file.encoder();
        let work = move || encoder.encode(&batches);
        let thread = Builder::new().name("citystream-encode".into()).spawn(work);
        self.encoding =
            Some(thread.context(ErrorKind::Store, || "a thread that encodes Parquet can't be started".into())?);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let Some(thread) = self.encoding.take() else { return Ok(()) };
        let group = thread.join().map_err(|_| Error::internal("a thread that encodes Parquet has stopped"))??;
        self.file.append(group)
    }

    fn flush(&mut self) -> Result<()> {
        self.settle()?;
        if self.rows == 0 {
            return Ok(());
        }
        let group = self.file.encoder().encode(&std::mem::take(&mut self.batches))?;
        self.rows = 0;
        self.file.append(group)
    }
}

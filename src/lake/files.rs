//! The data files of one commit: one open file for each partition, rolled by size, all published before the commit.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use deltalake_core::kernel::Add;

use super::partition::{Values, folder};
use super::stats::delta_stats;
use crate::error::Result;
use crate::storage::{FileWriter, ParquetFile, Place, WriteOptions};

/// Files open at a time for one commit, where partitions come mixed; past it, the one that was used least recently is closed.
const OPEN_FILES: usize = 16;

/// Milliseconds since the epoch, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// Writes the rows of one commit into files by partition.
pub(crate) struct FileSet {
    root: Place,
    schema: Schema,
    options: WriteOptions,
    commit_id: String,
    file_bytes: usize,
    open_files: usize,
    tags: Vec<(&'static str, String)>,
    open: Vec<(Values, FileWriter)>,
    done: Vec<Add>,
    sequence: u32,
}

impl FileSet {
    /// Files below `root` with the columns of `schema` (without partition columns), named by `commit_id`.
    pub(crate) fn new(root: Place, schema: Schema, commit_id: String, file_bytes: usize) -> Self {
        let options = WriteOptions::default();
        Self {
            root,
            schema,
            options,
            commit_id,
            file_bytes,
            open_files: OPEN_FILES,
            tags: vec![],
            open: vec![],
            done: vec![],
            sequence: 0,
        }
    }

    /// Tags that each file's entry in the log carries.
    pub(crate) fn tagged(mut self, tags: Vec<(&'static str, String)>) -> Self {
        self.tags = tags;
        self
    }

    /// Makes row groups of so many rows, which may be copied from file to file: see [`FileSet::copy`]. The partitions come
    /// one after another, so that only the last one's file is open: until a row group is full, its rows are not encoded.
    pub(crate) fn grouped(mut self, rows: usize) -> Self {
        self.options.group_rows = Some(rows);
        self.open_files = 1;
        self
    }

    pub(crate) fn commit_id(&self) -> &str {
        &self.commit_id
    }

    pub(crate) fn write(&mut self, values: &Values, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.with_file(values, |file| file.write(batch))
    }

    /// Writes a row group of another file as it stands there; both have the same columns.
    pub(crate) fn copy(&mut self, values: &Values, from: &ParquetFile, group: usize) -> Result<()> {
        self.with_file(values, |file| file.copy(from, group))
    }

    fn with_file(&mut self, values: &Values, write: impl FnOnce(&mut FileWriter) -> Result<()>) -> Result<()> {
        // The most recently used stands last.
        let mut file = match self.open.iter().position(|(v, _)| v == values) {
            Some(at) => self.open.remove(at),
            None => (values.clone(), self.start(values)?),
        };
        write(&mut file.1)?;
        if file.1.bytes() >= self.file_bytes {
            self.close(file)?;
        } else {
            self.open.push(file);
            if self.open.len() > self.open_files {
                let oldest = self.open.remove(0);
                self.close(oldest)?;
            }
        }
        Ok(())
    }

    /// Encoded bytes, written and open.
    pub(crate) fn bytes(&self) -> usize {
        self.open.iter().map(|(_, f)| f.bytes()).sum::<usize>()
            + self.done.iter().map(|a| a.size as usize).sum::<usize>()
    }

    /// Memory of the open row groups, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.open.iter().map(|(_, f)| f.memory()).sum()
    }

    /// Publishes what is open and returns every file's entry for the log.
    pub(crate) fn finish(&mut self) -> Result<&[Add]> {
        self.roll()?;
        Ok(&self.done)
    }

    /// Closes what is open, since no more rows of those partitions come: only the files to come need memory then.
    pub(crate) fn roll(&mut self) -> Result<()> {
        while let Some(file) = self.open.pop() {
            self.close(file)?;
        }
        Ok(())
    }

    fn start(&mut self, values: &Values) -> Result<FileWriter> {
        let place =
            self.root.join(&folder(values)).join(&format!("part-{:05}-{}.parquet", self.sequence, self.commit_id));
        self.sequence += 1;
        FileWriter::create(place, &self.schema, &self.options)
    }

    fn close(&mut self, (values, writer): (Values, FileWriter)) -> Result<()> {
        let file = writer.finish()?;
        let name = file.path.file_name();
        let folder = folder(&values);
        let tags: HashMap<_, _> = self.tags.iter().map(|(k, v)| ((*k).to_owned(), Some(v.clone()))).collect();
        self.done.push(Add {
            path: if folder.is_empty() { name } else { format!("{folder}/{name}") },
            partition_values: values.into_iter().collect(),
            size: file.bytes as i64,
            modification_time: now_ms(),
            data_change: true,
            stats: Some(delta_stats(&self.schema, file.rows, &file.metadata)),
            tags: (!tags.is_empty()).then_some(tags),
            ..Add::default()
        });
        Ok(())
    }
}

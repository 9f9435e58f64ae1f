//! Reading a table's rows: file after file, batch after batch, partition columns filled in.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, RecordBatchReader};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::partition;
use super::snapshot::{DataFile, Snapshot};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::{ParquetFile, project};

/// Rows of a batch at most; in memory are one such batch and the pages of one row group.
pub(crate) const BATCH_ROWS: usize = 65_536;

/// The rows of a snapshot. An iterator of batches that all have [`Scan::schema`].
pub struct Scan {
    schema: SchemaRef,
    file_schema: SchemaRef,
    files: std::vec::IntoIter<DataFile>,
    current: Option<(DataFile, ParquetRecordBatchReader)>,
}

impl Scan {
    pub(crate) fn new(snapshot: Snapshot, columns: Option<&[&str]>) -> Result<Self> {
        let schema = match columns {
            None => snapshot.schema,
            Some(names) => {
                let fields = names.iter().map(|name| {
                    snapshot.schema.field_with_name(name).cloned().map_err(|_| {
                        let known: Vec<_> = snapshot.schema.fields().iter().map(|f| f.name().as_str()).collect();
                        Error::config(format!("{} has no column {name:?}", snapshot.path.display()))
                            .help(format!("Choose from {}", known.join(", ")))
                    })
                });
                Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?))
            }
        };
        Ok(Self::over(snapshot.files, schema, &snapshot.partition_columns))
    }

    /// The columns of `schema` of these files.
    pub(crate) fn over(files: Vec<DataFile>, schema: SchemaRef, partition_columns: &[String]) -> Self {
        let file_schema = Arc::new(partition::file_schema(&schema, partition_columns));
        Self { schema, file_schema, files: files.into_iter(), current: None }
    }

    /// The columns of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((file, reader)) = &mut self.current {
                if let Some(batch) = reader.next() {
                    let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
                    return fill(&batch, &self.schema, &self.file_schema, file).map(Some);
                }
                self.current = None;
            }
            let Some(file) = self.files.next() else { return Ok(None) };
            let columns: Vec<_> = self.file_schema.fields().iter().map(|f| f.name().as_str()).collect();
            let reader = ParquetFile::open(&file.path)?.batches(&columns, BATCH_ROWS)?;
            self.current = Some((file, reader));
        }
    }
}

fn fill(batch: &RecordBatch, schema: &SchemaRef, file_schema: &SchemaRef, file: &DataFile) -> Result<RecordBatch> {
    let stored = project(batch, file_schema)?;
    let rows = stored.num_rows();
    let columns = schema.fields().iter().map(|field| match stored.column_by_name(field.name()) {
        Some(column) => Ok(Arc::clone(column)),
        None => partition::column(file.value(field.name()), field.data_type(), rows),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &options)?)
}

impl Iterator for Scan {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            // After an error there is nothing more to read.
            self.files = Vec::new().into_iter();
            self.current = None;
        }
        next
    }
}

/// A [`Scan`] for consumers that want Arrow's own error type.
pub struct ScanReader(pub Scan);

impl Iterator for ScanReader {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(|e| ArrowError::ExternalError(Box::new(e))))
    }
}

impl RecordBatchReader for ScanReader {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
}

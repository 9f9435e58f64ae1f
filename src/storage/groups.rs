//! A Parquet file whose row groups are encoded anywhere, in any order, or copied from other files, and written one after
//! another.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::file::writer::SerializedFileWriter;

use super::write::{WriteOptions, WrittenFile, properties, with_field_ids};
use super::{NewObject, ParquetFile, Place};
use crate::error::{Error, Result};

/// Encodes row groups of one file; any number of threads may do so at once.
pub struct GroupEncoder {
    schema: SchemaRef,
    columns: ArrowRowGroupWriterFactory,
}

/// A row group, encoded.
pub struct RowGroup(Vec<ArrowColumnChunk>);

impl GroupEncoder {
    /// Encodes the rows of `batches`, which have the file's columns in its order, as one row group.
    ///
    /// # Errors
    /// `Internal` where a batch does not fit the file.
    pub fn encode(&self, batches: &[RecordBatch]) -> Result<RowGroup> {
        // The number of the row group matters for encryption alone.
        let mut columns = self.columns.create_column_writers(0)?;
        for batch in batches {
            let mut next = columns.iter_mut();
            for (field, values) in self.schema.fields().iter().zip(batch.columns()) {
                for leaf in compute_leaves(field, values)? {
                    let column =
                        next.next().ok_or_else(|| Error::internal("a batch has more columns than its file"))?;
                    column.write(&leaf)?;
                }
            }
        }
        let closed: Result<Vec<_>, _> = columns.into_iter().map(ArrowColumnWriter::close).collect();
        Ok(RowGroup(closed?))
    }
}

/// A file that is being written.
pub struct GroupWriter {
    file: SerializedFileWriter<NewObject>,
    encoder: Arc<GroupEncoder>,
    rows: u64,
}

impl GroupWriter {
    /// Starts the file `target` with the columns of `schema`. The size of row groups is whatever they are encoded with.
    ///
    /// # Errors
    /// `Store` where the file can't be made; `Internal` for a type that Parquet has not.
    pub fn create(target: impl Into<Place>, schema: &Schema, options: &WriteOptions) -> Result<Self> {
        let schema = with_field_ids(schema);
        let file = target.into().create()?;
        // Through the Arrow writer, which adds the Arrow schema to the footer.
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties(&schema, options)?))?;
        let (file, columns) = writer.into_serialized_writer()?;
        Ok(Self { file, encoder: Arc::new(GroupEncoder { schema, columns }), rows: 0 })
    }

    /// What encodes its row groups.
    pub fn encoder(&self) -> Arc<GroupEncoder> {
        Arc::clone(&self.encoder)
    }

    /// Writes the next row group.
    ///
    /// # Errors
    /// `Store` where it can't be written.
    pub fn append(&mut self, group: RowGroup) -> Result<()> {
        let mut open = self.file.next_row_group()?;
        for column in group.0 {
            column.append_to_row_group(&mut open)?;
        }
        self.rows += open.close()?.num_rows().unsigned_abs();
        Ok(())
    }

    /// Writes a row group of another file as it stands there, neither decoded nor encoded. The files have the same columns
    /// ([`ParquetFile::has_columns`]), and this one has no page index, which is not copied.
    ///
    /// # Errors
    /// `Store` where it can't be read or written.
    pub fn copy(&mut self, from: &ParquetFile, group: usize) -> Result<()> {
        let mut open = self.file.next_row_group()?;
        from.copy_group(group, &mut open)?;
        self.rows += open.close()?.num_rows().unsigned_abs();
        Ok(())
    }

    /// Bytes of the row groups so far.
    pub fn bytes(&self) -> usize {
        self.file.bytes_written()
    }

    /// Bytes that wait in memory to be uploaded.
    pub fn buffered(&self) -> usize {
        self.file.inner().buffered()
    }

    /// Completes the file, syncs it and gives it its name.
    ///
    /// # Errors
    /// `Store` where it can't be written, or its name is taken.
    pub fn finish(mut self) -> Result<WrittenFile> {
        let metadata = self.file.finish()?;
        let bytes = self.file.bytes_written() as u64;
        let file = self.file.inner_mut();
        file.publish()?;
        Ok(WrittenFile { path: file.target().clone(), rows: self.rows, bytes, metadata })
    }
}

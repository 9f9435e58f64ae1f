//! Reading a Parquet file back, one row group at a time.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::{ArrowSchemaConverter, ProjectionMask};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;

use super::remote::{RemoteChunks, RemoteFile, WHOLE_GROUP};
use super::{NewObject, Place, with_field_ids};
use crate::error::{Context, ErrorKind, Result};

/// An open file with its footer.
#[derive(Debug)]
pub struct ParquetFile {
    place: Place,
    source: Source,
    footer: ArrowReaderMetadata,
}

#[derive(Debug)]
enum Source {
    Local(File),
    Remote(Arc<RemoteFile>),
}

/// Which rows are read.
enum Rows {
    All,
    Group(usize),
    Selected(RowSelection),
}

impl ParquetFile {
    /// Opens the file and reads its footer.
    ///
    /// # Errors
    /// `Store` where it is missing or no Parquet file.
    pub fn open(place: impl Into<Place>) -> Result<Self> {
        let place = place.into();
        let context = || format!("{place} is no readable Parquet file");
        let options = ArrowReaderOptions::default();
        let (source, footer) = match &place {
            Place::Local(path) => {
                let file = File::open(path).context(ErrorKind::Store, || format!("{place} can't be opened"))?;
                let footer = ArrowReaderMetadata::load(&file, options).context(ErrorKind::Store, context)?;
                (Source::Local(file), footer)
            }
            Place::Object(object) => {
                let (file, metadata) =
                    RemoteFile::open(&object.bucket().store, object.key()).context(ErrorKind::Store, context)?;
                let footer = ArrowReaderMetadata::try_new(metadata, options).context(ErrorKind::Store, context)?;
                (Source::Remote(Arc::new(file)), footer)
            }
        };
        Ok(Self { place, source, footer })
    }

    /// The footer.
    pub fn metadata(&self) -> &ParquetMetaData {
        self.footer.metadata()
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        self.metadata().file_metadata().num_rows().unsigned_abs()
    }

    /// Whether its columns are those that a file of `schema` is written with: names, types and field ids, in that order.
    ///
    /// # Errors
    /// `Internal` for a type that Parquet has not.
    pub fn has_columns(&self, schema: &Schema) -> Result<bool> {
        let wanted = ArrowSchemaConverter::new().convert(&with_field_ids(schema))?;
        Ok(self.metadata().file_metadata().schema_descr().root_schema() == wanted.root_schema())
    }

    /// The least and the greatest value of a column of whole numbers or times in a row group, as they are stored; `None`
    /// where the footer does not tell, or some value is null.
    pub fn bounds(&self, group: usize, column: &str) -> Option<(i64, i64)> {
        let group = self.metadata().row_groups().get(group)?;
        let chunk = group.columns().iter().find(|c| c.column_path().parts() == [column])?;
        match chunk.statistics()? {
            Statistics::Int64(found) if found.null_count_opt() == Some(0) => {
                Some((*found.min_opt()?, *found.max_opt()?))
            }
            _ => None,
        }
    }

    /// Rows of a row group; 0 where there is none.
    pub fn group_rows(&self, group: usize) -> usize {
        self.metadata().row_groups().get(group).map_or(0, |g| g.num_rows().unsigned_abs() as usize)
    }

    /// As [`ParquetFile::batches`], only the rows of one row group.
    ///
    /// # Errors
    /// `Store` where the file can't be read.
    pub fn group(&self, group: usize, columns: &[&str], batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        self.reader(columns, batch_rows, &Rows::Group(group))
    }

    /// Writes the bytes of a row group's columns into that of another file.
    pub(super) fn copy_group(&self, group: usize, to: &mut SerializedRowGroupWriter<'_, NewObject>) -> Result<()> {
        match &self.source {
            Source::Local(file) => self.copy_columns(file, group, to),
            Source::Remote(file) => {
                let chunks = RemoteChunks::new(file, self.metadata(), &ProjectionMask::all(), WHOLE_GROUP);
                self.copy_columns(&chunks, group, to)
            }
        }
    }

    fn copy_columns<T: ChunkReader>(
        &self,
        input: &T,
        group: usize,
        to: &mut SerializedRowGroupWriter<'_, NewObject>,
    ) -> Result<()> {
        let group = self.metadata().row_group(group);
        for column in group.columns() {
            let chunk = ColumnCloseResult {
                bytes_written: column.compressed_size().unsigned_abs(),
                rows_written: group.num_rows().unsigned_abs(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            to.append_column(input, chunk)
                .context(ErrorKind::Store, || format!("{} can't be copied from", self.place))?;
        }
        Ok(())
    }

    /// Batches of at most `batch_rows` rows with those of `columns` that the file has, in the file's order; memory is what
    /// one row group's pages need.
    ///
    /// # Errors
    /// `Store` where the file can't be read.
    pub fn batches(&self, columns: &[&str], batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        self.reader(columns, batch_rows, &Rows::All)
    }

    /// As [`ParquetFile::batches`], only the rows of `selection`.
    ///
    /// # Errors
    /// `Store` where the file can't be read.
    pub fn selected(&self, columns: &[&str], selection: RowSelection) -> Result<ParquetRecordBatchReader> {
        self.reader(columns, 8192, &Rows::Selected(selection))
    }

    fn reader(&self, columns: &[&str], batch_rows: usize, rows: &Rows) -> Result<ParquetRecordBatchReader> {
        let schema = self.footer.schema();
        let roots: Vec<usize> = columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let mask = ProjectionMask::roots(self.footer.parquet_schema(), roots);
        match &self.source {
            Source::Local(file) => {
                let file = file.try_clone().context(ErrorKind::Store, || format!("{} can't be read", self.place))?;
                self.build(file, mask, batch_rows, rows)
            }
            Source::Remote(file) => {
                let chunks = RemoteChunks::new(file, self.metadata(), &mask, WHOLE_GROUP);
                self.build(chunks, mask, batch_rows, rows)
            }
        }
    }

    fn build<T: ChunkReader + 'static>(
        &self,
        input: T,
        mask: ProjectionMask,
        batch_rows: usize,
        rows: &Rows,
    ) -> Result<ParquetRecordBatchReader> {
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.footer.clone())
            .with_projection(mask)
            .with_batch_size(batch_rows);
        builder = match rows {
            Rows::All => builder,
            Rows::Group(group) => builder.with_row_groups(vec![*group]),
            Rows::Selected(selection) => builder.with_row_selection(selection.clone()),
        };
        builder.build().context(ErrorKind::Store, || format!("{} can't be read", self.place))
    }
}

/// `batch` with the columns of `schema` in its order: by name, null where the batch has none, cast where the type differs.
///
/// # Errors
/// `Internal` where a column can't be cast.
pub fn project(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        // Lists and structs differ by the field ids inside them.
        Some(column) => Ok(cast(column, field.data_type())?),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(schema.fields().clone())), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::{FileWriter, WriteOptions};
    use arrow::array::{Int32Array, ListArray, StringArray};
    use arrow::datatypes::{DataType, Field, Int32Type};

    #[test]
    fn what_was_written_reads_back_in_the_schema_asked_for() {
        let item = Arc::new(Field::new("element", DataType::Int32, true));
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("b", DataType::List(item), true),
        ]));
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        let lists = cast(&lists, schema.field(1).data_type()).unwrap();
        let texts = Arc::new(StringArray::from(vec![Some("x"), None]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![texts, lists]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let mut writer = FileWriter::create(&path, &schema, &WriteOptions::default()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();

        let file = ParquetFile::open(&path).unwrap();
        assert_eq!(file.rows(), 2);
        let read: Vec<_> = file.batches(&["b", "a"], 10).unwrap().map(Result::unwrap).collect();
        assert_eq!(project(&read[0], &schema).unwrap(), batch);

        let wider = Arc::new(Schema::new(vec![Field::new("c", DataType::Int32, true), schema.field(0).clone()]));
        let wider = project(&read[0], &wider).unwrap();
        assert_eq!(wider.column(0).as_ref(), &Int32Array::from(vec![None, None]) as &dyn arrow::array::Array);

        std::fs::write(&path, b"no parquet").unwrap();
        let error = ParquetFile::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.to_string().contains("x.parquet"), "{error}");
    }
}

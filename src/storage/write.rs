//! One Parquet file, written row group by row group and published whole.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::encoder::Encoder;
use super::grouped::Grouped;
use super::groups::GroupWriter;
use super::{ParquetFile, Place};
use crate::error::{Context, Error, ErrorKind, Result};

/// The largest row group, encoded, in bytes.
pub const ROW_GROUP_BYTES: usize = 32 << 20;

/// How a table's files are laid out.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Text columns whose values hardly repeat (ids, payloads): a dictionary would only cost time.
    pub distinct: Vec<String>,
    /// The largest row group, encoded, in bytes; also what an open file holds in memory at most, about.
    pub row_group_bytes: usize,
    /// Rows of each row group but the last, where row groups are to be copied into other files ([`FileWriter::copy`]);
    /// `row_group_bytes` does not count then. `None` where they are as large as they may be.
    pub group_rows: Option<usize>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        let distinct = ["id", "description", "rescued", "clean", "row", "error_detail", "geometry"];
        Self { distinct: distinct.map(String::from).to_vec(), row_group_bytes: ROW_GROUP_BYTES, group_rows: None }
    }
}

/// A file that is being written; rows leave memory with their row group. From the second batch on, or from the first full
/// row group where those are counted in rows, a thread of the file's own encodes them while the caller makes the next.
pub struct FileWriter {
    body: Body,
    rows: u64,
}

enum Body {
    Batches(Encoder),
    Groups(Box<Grouped>),
}

/// A published file.
#[derive(Debug)]
pub struct WrittenFile {
    /// Where it is.
    pub path: Place,
    /// Its rows.
    pub rows: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its footer.
    pub metadata: ParquetMetaData,
}

impl FileWriter {
    /// Starts the file `target` with the columns of `schema`.
    ///
    /// # Errors
    /// `Store` where the file can't be made; `Internal` for a type that Parquet has not.
    pub fn create(target: impl Into<Place>, schema: &Schema, options: &WriteOptions) -> Result<Self> {
        if let Some(group_rows) = options.group_rows {
            let grouped = Grouped::new(GroupWriter::create(target, schema, options)?, group_rows);
            return Ok(Self { body: Body::Groups(Box::new(grouped)), rows: 0 });
        }
        let schema = with_field_ids(schema);
        let file = target.into().create()?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties(&schema, options)?))?;
        Ok(Self { body: Body::Batches(Encoder::new(writer)), rows: 0 })
    }

    /// Adds rows; the batch has the schema's columns in its order.
    ///
    /// # Errors
    /// `Store` where a row group can't be written, perhaps that of an earlier batch. The file is lost then.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.body {
            Body::Batches(encoder) => encoder.write(batch)?,
            Body::Groups(groups) => groups.write(batch)?,
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Adds a row group of another file, which has the same columns ([`ParquetFile::has_columns`]), as it stands there.
    ///
    /// # Errors
    /// `Store` where it can't be read or written; the file is lost then. `Internal` for a file without `group_rows`.
    pub fn copy(&mut self, from: &ParquetFile, group: usize) -> Result<()> {
        let Body::Groups(groups) = &mut self.body else {
            return Err(Error::internal("row groups are copied into a file whose groups are not counted in rows"));
        };
        groups.copy(from, group)?;
        self.rows += from.group_rows(group) as u64;
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Encoded size in bytes, with an estimate for the open row group, before the batch that came last.
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Batches(encoder) => encoder.progress().bytes,
            Body::Groups(groups) => groups.bytes(),
        }
    }

    /// Memory that the open row group holds, and what waits to be uploaded, in bytes, before the batch that came last.
    pub fn memory(&self) -> usize {
        match &self.body {
            Body::Batches(encoder) => encoder.progress().memory,
            Body::Groups(groups) => groups.memory(),
        }
    }

    /// Completes the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// `Store` where it can't be written, or its name is taken.
    pub fn finish(self) -> Result<WrittenFile> {
        let encoder = match self.body {
            Body::Groups(groups) => return groups.finish(),
            Body::Batches(encoder) => encoder,
        };
        let mut writer = encoder.finish()?;
        let metadata = writer.finish()?;
        let bytes = writer.bytes_written() as u64;
        let file = writer.inner_mut();
        file.publish()?;
        let path = file.target().clone();
        Ok(WrittenFile { path, rows: self.rows, bytes, metadata })
    }
}

pub(super) fn properties(schema: &Schema, options: &WriteOptions) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).context(ErrorKind::Internal, || "zstd has no level 1".into())?;
    let mut properties = WriterProperties::builder()
        // Version 1 pages and the encodings set below are what every reader in docs/tables.md can read.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("citystream version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_bytes(Some(options.row_group_bytes))
        // A file has it for every row group or for none, and it does not come along with a copied one.
        .set_offset_index_disabled(options.group_rows.is_some());
    for field in schema.fields() {
        let path = ColumnPath::from(field.name().as_str());
        match field.data_type() {
            DataType::Timestamp(..) | DataType::Int64 => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            DataType::Float64 | DataType::Float32 | DataType::Binary => {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            DataType::Utf8 if options.distinct.iter().any(|name| name == field.name()) => {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            _ => {}
        }
    }
    Ok(properties.build())
}

/// `schema` with a `PARQUET:field_id` on every column: the column's place from 1, and for what lies inside it the place
/// times 1000 and a running number, so that a column added at the end changes no other's id.
pub fn with_field_ids(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .zip(1..)
        .map(|(field, place)| {
            let mut next = place * 1000;
            identified(field, place, &mut next)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn identified(field: &FieldRef, id: i32, next: &mut i32) -> FieldRef {
    let inner = |field: &FieldRef, next: &mut i32| {
        *next += 1;
        let id = *next;
        identified(field, id, next)
    };
    let kind = match field.data_type() {
        DataType::List(item) => DataType::List(inner(item, next)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| inner(f, next)).collect()),
        other => other.clone(),
    };
    let id = [(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())];
    Arc::new(Field::new(field.name(), kind, field.is_nullable()).with_metadata(id.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Stream, bronze_schema};
    use parquet::schema::types::Type;
    use std::collections::BTreeSet;

    fn ids(kind: &Type, out: &mut Vec<i32>) {
        if kind.get_basic_info().has_id() {
            out.push(kind.get_basic_info().id());
        }
        if kind.is_group() {
            kind.get_fields().iter().for_each(|f| ids(f, out));
        }
    }

    fn leaves(kind: &Type) -> usize {
        if kind.is_group() { kind.get_fields().iter().map(|f| leaves(f)).sum() } else { 1 }
    }

    #[test]
    fn every_column_has_its_own_field_id_also_inside_lists_and_structs() {
        let schema = bronze_schema(Stream::Reference);
        let folder = tempfile::tempdir().unwrap();
        let mut writer =
            FileWriter::create(folder.path().join("x.parquet"), &schema, &WriteOptions::default()).unwrap();
        writer.write(&RecordBatch::new_empty(Arc::clone(&schema))).unwrap();
        let file = writer.finish().unwrap();
        let root = file.metadata.file_metadata().schema_descr().root_schema().clone();
        let mut found = Vec::new();
        ids(&root, &mut found);
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
        assert!(found.len() > leaves(&root), "the structs themselves have ids too");
        assert_eq!(found[0], 1);
        assert!(file.metadata.file_metadata().created_by().unwrap().starts_with("citystream version"));
    }

    #[test]
    fn an_error_on_the_files_own_thread_is_told_and_leaves_nothing_behind() {
        use arrow::array::{ArrayRef, Int64Array, StringArray};
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
        let folder = tempfile::tempdir().unwrap();
        let start = || FileWriter::create(folder.path().join("x.parquet"), &schema, &WriteOptions::default()).unwrap();
        let batch = |column: ArrayRef| RecordBatch::try_from_iter([("x", column)]).unwrap();
        let (good, bad) = (batch(Arc::new(Int64Array::from(vec![1]))), batch(Arc::new(StringArray::from(vec!["a"]))));

        let mut writer = start();
        writer.write(&good).unwrap();
        writer.write(&bad).unwrap();
        assert!(writer.write(&good).unwrap_err().to_string().contains("Incompatible type"));
        assert!(writer.write(&good).unwrap_err().to_string().contains("after an error"));
        assert!(writer.finish().is_err());

        let mut writer = start();
        writer.write(&good).unwrap();
        writer.write(&bad).unwrap();
        assert!(writer.finish().is_err());

        let mut writer = start();
        (0..3).for_each(|_| writer.write(&good).unwrap());
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn row_groups_are_bounded() {
        use arrow::array::{ArrayRef, Int64Array};
        let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
        let folder = tempfile::tempdir().unwrap();
        let options = WriteOptions { row_group_bytes: 64 << 10, ..WriteOptions::default() };
        let mut writer = FileWriter::create(folder.path().join("x.parquet"), &schema, &options).unwrap();
        // Numbers without a pattern, so that they do not shrink.
        let mut state = 1_i64;
        for _ in 0..20 {
            let column = Int64Array::from_iter_values((0..10_000).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state
            }));
            writer.write(&RecordBatch::try_from_iter([("x", Arc::new(column) as ArrayRef)]).unwrap()).unwrap();
            assert!(writer.memory() < 1 << 20, "{}", writer.memory());
        }
        let file = writer.finish().unwrap();
        assert_eq!(file.rows, 200_000);
        assert_eq!(file.bytes, file.path.size().unwrap());
        assert!(file.metadata.num_row_groups() > 10, "{}", file.metadata.num_row_groups());
        for group in file.metadata.row_groups() {
            assert!(group.compressed_size() < 2 * (64 << 10) + 80_000, "{}", group.compressed_size());
        }
    }
}

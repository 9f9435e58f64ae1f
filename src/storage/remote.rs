//! A Parquet file in an object store, read column chunk by column chunk.
//!
//! The pages of a file are read in small pieces, which would each be a request. So with the first piece of a row group all of
//! its chunks that are wanted are fetched, neighbours together, and each is let go when its column has come to the next row
//! group. Of row groups that are too large for that, windows are fetched instead.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::runtime::block_on;

/// What is fetched of a file's end to find the footer; of most files that is all of it, and of small ones everything.
const TAIL: u64 = 64 << 10;
/// The largest row group, as stored and of the columns wanted, that is fetched whole. Ours have 32 MiB.
pub(super) const WHOLE_GROUP: u64 = 64 << 20;
/// What is fetched at a time of larger ones, for each column.
const WINDOW: u64 = 1 << 20;

/// A file whose footer is known.
#[derive(Debug)]
pub(super) struct RemoteFile {
    store: Arc<dyn ObjectStore>,
    key: Key,
    size: u64,
    /// The whole file, where it is small.
    whole: Option<Bytes>,
}

impl RemoteFile {
    /// Opens the file and reads its footer.
    pub fn open(store: &Arc<dyn ObjectStore>, key: &Key) -> Result<(Self, Arc<ParquetMetaData>)> {
        let (mut size, mut tail) = suffix(store.as_ref(), key, TAIL)?;
        let mut reader = ParquetMetaDataReader::new();
        loop {
            match reader.try_parse_sized(&tail, size) {
                Ok(()) => break,
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > tail.len() as u64 => {
                    (size, tail) = suffix(store.as_ref(), key, needed as u64)?;
                }
                Err(error) => return Err(error),
            }
        }
        let whole = (tail.len() as u64 == size).then_some(tail);
        let file = Self { store: Arc::clone(store), key: key.clone(), size, whole };
        Ok((file, Arc::new(reader.finish()?)))
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        if let Some(whole) = &self.whole {
            return Ok(whole.slice(range.start as usize..range.end.min(self.size) as usize));
        }
        let got = block_on(self.store.get_range(&self.key, range)).map_err(external)?;
        got.map_err(external)
    }

    fn fetch_all(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.whole.is_some() {
            return ranges.iter().map(|r| self.fetch(r.clone())).collect();
        }
        let got = block_on(self.store.get_ranges(&self.key, ranges)).map_err(external)?;
        got.map_err(external)
    }
}

fn suffix(store: &dyn ObjectStore, key: &Key, bytes: u64) -> Result<(u64, Bytes)> {
    let got = block_on(async {
        let options = GetOptions { range: Some(GetRange::Suffix(bytes)), ..GetOptions::default() };
        let got = store.get_opts(key, options).await?;
        let size = got.meta.size;
        Ok::<_, object_store::Error>((size, got.bytes().await?))
    });
    got.map_err(external)?.map_err(external)
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// One reading of some columns of a file, from the first row group to the last.
#[derive(Clone)]
pub(super) struct RemoteChunks(Arc<Chunks>);

struct Chunks {
    file: Arc<RemoteFile>,
    /// Every chunk that is wanted, by its place in the file.
    wanted: Vec<Chunk>,
    /// The stored bytes of each row group's chunks.
    groups: Vec<u64>,
    /// The largest row group that is fetched whole.
    whole_group: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Clone)]
struct Chunk {
    group: usize,
    leaf: usize,
    range: Range<u64>,
}

#[derive(Default)]
struct Held {
    /// Bytes at hand by (leaf, row group), with the place of the first.
    bytes: HashMap<(usize, usize), (u64, Bytes)>,
    /// Row groups that were fetched as a whole before.
    fetched: Vec<usize>,
}

impl RemoteChunks {
    /// A reading of the columns of `mask`; row groups of up to `whole_group` bytes are fetched whole.
    pub fn new(file: &Arc<RemoteFile>, metadata: &ParquetMetaData, mask: &ProjectionMask, whole_group: u64) -> Self {
        let mut chunks = Vec::new();
        let mut groups = vec![0; metadata.num_row_groups()];
        for (group, row_group) in metadata.row_groups().iter().enumerate() {
            for (leaf, column) in row_group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf)) {
                let (start, length) = column.byte_range();
                groups[group] += length;
                chunks.push(Chunk { group, leaf, range: start..start + length });
            }
        }
        chunks.sort_by_key(|chunk| chunk.range.start);
        Self(Arc::new(Chunks { file: Arc::clone(file), wanted: chunks, groups, whole_group, held: Mutex::default() }))
    }

    /// Bytes from `start` on, at least `wanted` of them where the file has so many; no more than its chunk has beyond those.
    fn at(&self, start: u64, wanted: u64) -> Result<Bytes> {
        let Chunks { file, wanted: chunks, groups, whole_group, held } = &*self.0;
        let end = (start + wanted).min(file.size);
        let after = chunks.partition_point(|chunk| chunk.range.start <= start);
        let Some(chunk) = after.checked_sub(1).map(|i| &chunks[i]).filter(|c| c.range.end >= end) else {
            return file.fetch(start..end);
        };
        let slice = |(at, bytes): &(u64, Bytes)| {
            let from = start.checked_sub(*at)? as usize;
            (end <= at + bytes.len() as u64).then(|| bytes.slice(from..))
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (chunk.leaf, chunk.group);
        // The column has left the row groups before, whoever fetched this one.
        held.bytes.retain(|(leaf, group), _| *leaf != chunk.leaf || *group >= chunk.group);
        if let Some(found) = held.bytes.get(&key).and_then(slice) {
            return Ok(found);
        }
        if groups[chunk.group] <= *whole_group && !held.fetched.contains(&chunk.group) {
            let wanted: Vec<&Chunk> = chunks.iter().filter(|c| c.group == chunk.group).collect();
            let ranges: Vec<_> = wanted.iter().map(|c| c.range.clone()).collect();
            for (chunk, bytes) in wanted.iter().zip(file.fetch_all(&ranges)?) {
                held.bytes.insert((chunk.leaf, chunk.group), (chunk.range.start, bytes));
            }
            held.fetched.push(chunk.group);
        } else {
            let until = (start + WINDOW).min(chunk.range.end).max(end);
            held.bytes.insert(key, (start, file.fetch(start..until)?));
        }
        held.bytes.get(&key).and_then(slice).ok_or_else(|| ParquetError::EOF(format!("no bytes at {start}")))
    }
}

impl Length for RemoteChunks {
    fn len(&self) -> u64 {
        self.0.file.size
    }
}

impl ChunkReader for RemoteChunks {
    type T = Ahead;

    fn get_read(&self, start: u64) -> Result<Ahead> {
        Ok(Ahead { chunks: self.clone(), at: start, bytes: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.at(start, length as u64)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("the file ends {} bytes early", length - bytes.len())));
        }
        Ok(bytes.slice(..length))
    }
}

/// Reads on from a place, page headers mostly.
pub(super) struct Ahead {
    chunks: RemoteChunks,
    at: u64,
    bytes: Bytes,
}

impl Read for Ahead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() && self.at < self.chunks.len() {
            self.bytes = self.chunks.at(self.at, 1).map_err(io::Error::other)?;
        }
        let taken = self.bytes.split_to(out.len().min(self.bytes.len()));
        out[..taken.len()].copy_from_slice(&taken);
        self.at += taken.len() as u64;
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FileWriter, ParquetFile, Place, WriteOptions};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow::compute::concat_batches;
    use object_store::memory::InMemory;
    use parquet::arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };

    /// Numbers without a pattern, so that they do not shrink.
    fn noise(rows: i64) -> RecordBatch {
        let mut state = 1_i64;
        let numbers: Vec<i64> = (0..rows)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state
            })
            .collect();
        let texts: StringArray = numbers.iter().map(|n| Some(format!("{n:x}"))).collect();
        let columns = [
            ("a", Arc::new(Int64Array::from(numbers)) as ArrayRef),
            ("b", Arc::new(texts) as ArrayRef),
            ("c", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn stored(batch: &RecordBatch) -> (Arc<dyn ObjectStore>, Place) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let place = Place::object(Arc::clone(&store), "s3://b", "x.parquet", None).unwrap();
        let options = WriteOptions { row_group_bytes: 100 << 10, ..WriteOptions::default() };
        let mut writer = FileWriter::create(&place, &batch.schema(), &options).unwrap();
        for start in (0..batch.num_rows()).step_by(3000) {
            writer.write(&batch.slice(start, 3000.min(batch.num_rows() - start))).unwrap();
        }
        assert!(writer.finish().unwrap().metadata.num_row_groups() > 5);
        (store, place)
    }

    #[test]
    fn columns_and_selected_rows_are_what_was_written() {
        let batch = noise(60_000);
        let (_, place) = stored(&batch);
        let file = ParquetFile::open(&place).unwrap();
        for columns in [&["a", "b", "c"][..], &["c"], &["a", "c"]] {
            let read: Vec<_> = file.batches(columns, 1000).unwrap().map(Result::unwrap).collect();
            let wanted =
                batch.project(&columns.iter().map(|c| batch.schema().index_of(c).unwrap()).collect::<Vec<_>>());
            let read = concat_batches(&read[0].schema(), &read).unwrap();
            assert_eq!(read.columns(), wanted.unwrap().columns());
        }
        let selection = vec![RowSelector::skip(31_000), RowSelector::select(10), RowSelector::skip(28_990)];
        let read: Vec<_> = file.selected(&["c"], RowSelection::from(selection)).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 1);
        assert_eq!(
            read[0].column(0).as_ref(),
            &Int64Array::from_iter_values(31_000..31_010) as &dyn arrow::array::Array
        );
    }

    #[test]
    fn row_groups_that_are_too_large_are_read_by_windows_and_memory_stays_bounded() {
        let batch = noise(60_000);
        let (store, place) = stored(&batch);
        let Some((_, key)) = place.as_object() else { panic!("no object") };
        let (file, metadata) = RemoteFile::open(&store, key).unwrap();
        let footer = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::default()).unwrap();
        let file = Arc::new(file);
        for whole_group in [0, u64::MAX] {
            let chunks = RemoteChunks::new(&file, &metadata, &ProjectionMask::all(), whole_group);
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks.clone(), footer.clone())
                .with_batch_size(700)
                .build()
                .unwrap();
            let mut rows = 0;
            for read in reader {
                let read = read.unwrap();
                assert_eq!(read.columns(), batch.slice(rows, read.num_rows()).columns());
                rows += read.num_rows();
                let held = chunks.0.held.lock().unwrap();
                assert!(held.bytes.len() <= 2 * 3, "{} chunks are held", held.bytes.len());
            }
            assert_eq!(rows, 60_000);
        }
    }
}

//! The rows of several files as those of one, in bounded memory.

use std::cmp::Ordering;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::super::go_on;
use super::super::snapshot::DataFile;
use crate::error::{Context, ErrorKind, Result};
use crate::storage::{ParquetFile, project};

/// Rows of a batch when file follows file.
const ROWS: usize = 16_384;

/// Rows of each file's batch when many are merged at a time, and of a batch that comes out.
const RUN_ROWS: usize = 4096;
const OUT_ROWS: usize = 16_384;

/// Files merged at a time: with the columns of silver, each holds about 2 MB of rows and the open pages of its columns.
pub(super) const FAN_IN: usize = 32;

type Write<'a> = dyn FnMut(&RecordBatch) -> Result<()> + 'a;

/// One file after the other.
pub(super) fn append(files: &[DataFile], schema: &SchemaRef, cancel: &AtomicBool, write: &mut Write) -> Result<()> {
    for file in files {
        let mut reader = Reader::open(file, schema, ROWS)?;
        while let Some(batch) = reader.next()? {
            go_on(cancel)?;
            write(&batch)?;
        }
    }
    Ok(())
}

/// Files that are sorted by the columns `keys`, merged by them; at most [`FAN_IN`].
pub(super) fn sorted(
    files: &[DataFile],
    schema: &SchemaRef,
    keys: &[&str],
    cancel: &AtomicBool,
    write: &mut Write,
) -> Result<()> {
    let columns = keys.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let fields = columns.iter().map(|&c| SortField::new(schema.field(c).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let mut runs = Vec::new();
    for file in files {
        let mut run = Run { reader: Reader::open(file, schema, RUN_ROWS)?, rows: None, keys: None, at: 0 };
        if run.advance(&converter, &columns)? {
            runs.push(run);
        }
    }
    let mut out = Out::default();
    while let Some(first) = lowest(&runs, None) {
        // All of this run's rows up to the next run's first, which is most often a device's.
        let bound = lowest(&runs, Some(first));
        let mut more = true;
        while more && bound.is_none_or(|other| precedes(&runs, first, other)) {
            out.pick(first, &runs);
            runs[first].at += 1;
            if runs[first].ended() {
                go_on(cancel)?;
                more = runs[first].advance(&converter, &columns)?;
                out.forget(first);
            }
            if out.picked.len() >= OUT_ROWS {
                out.flush(write)?;
            }
        }
        if !more {
            // Picks name the batches that `out` keeps, not the runs.
            runs.remove(first);
            out.removed(first);
        }
    }
    out.flush(write)
}

fn lowest(runs: &[Run], without: Option<usize>) -> Option<usize> {
    (0..runs.len()).filter(|&n| Some(n) != without).min_by(|&a, &b| compare(runs, a, b).then(a.cmp(&b)))
}

fn precedes(runs: &[Run], a: usize, b: usize) -> bool {
    compare(runs, a, b).then(a.cmp(&b)) == Ordering::Less
}

fn compare(runs: &[Run], a: usize, b: usize) -> Ordering {
    match (&runs[a].keys, &runs[b].keys) {
        (Some(x), Some(y)) => x.row(runs[a].at).cmp(&y.row(runs[b].at)),
        _ => Ordering::Equal,
    }
}

struct Reader {
    batches: ParquetRecordBatchReader,
    schema: SchemaRef,
    shown: String,
}

impl Reader {
    fn open(file: &DataFile, schema: &SchemaRef, rows: usize) -> Result<Self> {
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let batches = ParquetFile::open(&file.path)?.batches(&names, rows)?;
        Ok(Self { batches, schema: schema.clone(), shown: file.path.display().to_string() })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.batches.next() else { return Ok(None) };
        let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", self.shown))?;
        project(&batch, &self.schema).map(Some)
    }
}

/// A file that is being read, with the keys of its present batch.
struct Run {
    reader: Reader,
    rows: Option<RecordBatch>,
    keys: Option<Rows>,
    at: usize,
}

impl Run {
    fn ended(&self) -> bool {
        self.rows.as_ref().is_none_or(|rows| self.at >= rows.num_rows())
    }

    /// Goes to the next batch; false where there is none.
    fn advance(&mut self, converter: &RowConverter, columns: &[usize]) -> Result<bool> {
        self.at = 0;
        while let Some(rows) = self.reader.next()? {
            if rows.num_rows() > 0 {
                self.keys = Some(converter.convert_columns(rows.project(columns)?.columns())?);
                self.rows = Some(rows);
                return Ok(true);
            }
        }
        (self.rows, self.keys) = (None, None);
        Ok(false)
    }
}

/// Rows that were picked and not yet written, with the batches that they are in.
#[derive(Default)]
struct Out {
    batches: Vec<RecordBatch>,
    picked: Vec<(usize, usize)>,
    /// The place in `batches` of each run's present batch, where a row of it was picked.
    places: Vec<(usize, usize)>,
}

impl Out {
    fn pick(&mut self, run: usize, runs: &[Run]) {
        let place = if let Some(&(_, place)) = self.places.iter().find(|(r, _)| *r == run) {
            place
        } else {
            let Some(rows) = &runs[run].rows else { return };
            self.batches.push(rows.clone());
            self.places.push((run, self.batches.len() - 1));
            self.batches.len() - 1
        };
        self.picked.push((place, runs[run].at));
    }

    fn forget(&mut self, run: usize) {
        self.places.retain(|(r, _)| *r != run);
    }

    /// The runs after `run` move up by one.
    fn removed(&mut self, run: usize) {
        self.forget(run);
        for (r, _) in &mut self.places {
            *r -= usize::from(*r > run);
        }
    }

    fn flush(&mut self, write: &mut Write) -> Result<()> {
        if !self.picked.is_empty() {
            let batches: Vec<_> = self.batches.iter().collect();
            write(&interleave_record_batch(&batches, &self.picked)?)?;
        }
        *self = Self::default();
        Ok(())
    }
}

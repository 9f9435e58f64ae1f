//! Reading a saved trace.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use serde::de::DeserializeOwned;

use super::super::trace::{Crossing, IncidentStep, LOOK_AHEAD, Leaving, Stay, TraceRows, Windows};
use super::super::weather::CellRow;
use super::super::{City, CityOptions};
use super::rows::Row;
use super::{FORMAT, Hour, Identity, SEGMENT, hour_file, identity_file, state_file, table_file};
use crate::city::MODEL_VERSION;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::ParquetFile;

/// Rows read at a time.
const BATCH: usize = 8_192;

/// A trace in a folder.
#[derive(Debug, Clone)]
pub struct SavedTrace {
    folder: PathBuf,
    identity: Identity,
    options: CityOptions,
    hours: Vec<Hour>,
}

impl SavedTrace {
    /// Finds out what trace a folder holds.
    ///
    /// # Errors
    /// `Store` where it holds none that this version can read.
    pub fn open(folder: &Path) -> Result<Self> {
        let file = identity_file(folder);
        let identity: Identity = read_json(&file).map_err(|error| {
            error.help(format!("Give a folder to which a trace was saved; {} is none", folder.display()))
        })?;
        if (identity.format, identity.model) != (FORMAT, MODEL_VERSION) {
            let found = format!("format {} and model {}", identity.format, identity.model);
            return Err(Error::new(ErrorKind::Store, format!("the trace in {} is of {found}", folder.display()))
                .help(format!("This version reads format {FORMAT} and model {MODEL_VERSION}: save it again")));
        }
        let mut hours = Vec::new();
        while hour_file(folder, hours.len()).exists() {
            hours.push(read_json(&hour_file(folder, hours.len()))?);
        }
        let &Identity { seed, vehicles, start_ms: start, .. } = &identity;
        let to = hours.last().map_or(start, |hour: &Hour| hour.to_ms);
        let options = CityOptions { seed, vehicles, start, duration: to - start };
        Ok(Self { folder: folder.to_owned(), identity, options, hours })
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The city that it is of, with the time that it covers as its duration.
    pub fn options(&self) -> &CityOptions {
        &self.options
    }

    /// The city in words.
    pub fn describe(&self) -> String {
        let CityOptions { seed, vehicles, start, .. } = self.options;
        format!("seed {seed} with {vehicles} vehicles from {start} ms")
    }

    /// The end of what it covers, exclusive.
    pub fn covered_to(&self) -> i64 {
        self.options.start + self.options.duration
    }

    /// Hours after which it can be continued.
    pub(super) fn whole_hours(&self) -> usize {
        self.hours.iter().take_while(|hour| hour.to_ms - hour.from_ms == SEGMENT).count()
    }

    /// What a reader has to know that begins with `hour`.
    pub(super) fn windows(&self, city: &City, hour: usize) -> Result<Windows> {
        match hour {
            0 => Ok(Windows::new(city)),
            _ => Windows::resume(city, &read_state(&self.folder, "windows", hour)?),
        }
    }

    /// Reads from the last beginning of an hour that is not after `from`: [`TraceReader::from`] tells which.
    ///
    /// # Errors
    /// `Store` where a file can't be read.
    pub fn read(&self, city: &City, from: i64) -> Result<(TraceReader, Windows)> {
        let wanted = (from - self.options.start).max(0) / SEGMENT;
        let hour = (wanted as usize).min(self.whole_hours()).min(self.hours.len().saturating_sub(1));
        let reader = TraceReader {
            entries: Cursor::new(self, hour),
            exits: Cursor::new(self, hour),
            stays: Cursor::new(self, hour),
            incidents: Cursor::new(self, hour),
            cells: Cursor::new(self, hour),
            at: self.options.start + hour as i64 * SEGMENT,
        };
        Ok((reader, self.windows(city, hour)?))
    }
}

/// Reads a saved trace on, as [`Simulation::advance`](super::super::Simulation::advance) would make it. Holds a batch of
/// rows of each table.
pub struct TraceReader {
    entries: Cursor<Crossing>,
    exits: Cursor<Leaving>,
    stays: Cursor<Stay>,
    incidents: Cursor<IncidentStep>,
    cells: Cursor<CellRow>,
    at: i64,
}

impl TraceReader {
    /// Where the next rows begin.
    pub fn from(&self) -> i64 {
        self.at
    }

    /// The rows up to `to`.
    ///
    /// # Errors
    /// `Store` where a file can't be read.
    pub fn advance(&mut self, to: i64) -> Result<TraceRows> {
        let mut rows = TraceRows { from: self.at, to, ..TraceRows::default() };
        self.at = to;
        self.entries.take(to, to, &mut rows.entries)?;
        self.exits.take(to, to + LOOK_AHEAD, &mut rows.exits)?;
        self.stays.take(to, to, &mut rows.stays)?;
        self.incidents.take(to, to, &mut rows.incidents)?;
        self.cells.take(to, to, &mut rows.cells)?;
        Ok(rows)
    }
}

/// Where the reading of one table is.
struct Cursor<R> {
    folder: PathBuf,
    start: i64,
    /// The next file, and how many there are.
    hour: usize,
    hours: usize,
    open: Option<ParquetRecordBatchReader>,
    ready: VecDeque<R>,
}

impl<R: Row> Cursor<R> {
    fn new(trace: &SavedTrace, hour: usize) -> Self {
        let (folder, start) = (trace.folder.clone(), trace.options.start);
        Self { folder, start, hour, hours: trace.hours.len(), open: None, ready: VecDeque::new() }
    }

    /// Takes the rows before `limit` out of the hours that begin before `to`.
    fn take(&mut self, to: i64, limit: i64, rows: &mut Vec<R>) -> Result<()> {
        loop {
            while let Some(row) = self.ready.pop_front_if(|row| row.time() < limit) {
                rows.push(row);
            }
            if !self.ready.is_empty() {
                return Ok(());
            }
            if let Some(batch) = self.open.as_mut().and_then(Iterator::next) {
                let path = table_file(&self.folder, R::TABLE, self.hour - 1);
                let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", path.display()))?;
                R::read(&batch, &mut self.ready)?;
                continue;
            }
            self.open = None;
            if self.hour >= self.hours || self.start + self.hour as i64 * SEGMENT >= to {
                return Ok(());
            }
            self.open = Some(open::<R>(&table_file(&self.folder, R::TABLE, self.hour))?);
            self.hour += 1;
        }
    }
}

fn open<R: Row>(path: &Path) -> Result<ParquetRecordBatchReader> {
    let schema = R::TABLE.schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    ParquetFile::open(path)?.batches(&names, BATCH)
}

pub(super) fn read_state(folder: &Path, what: &str, hour: usize) -> Result<Vec<u8>> {
    let path = state_file(folder, what, hour);
    fs::read(&path).context(ErrorKind::Store, || format!("{} can't be read", path.display()))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).context(ErrorKind::Store, || format!("{} can't be read", path.display()))?;
    serde_json::from_slice(&text).context(ErrorKind::Store, || format!("{} is damaged", path.display()))
}

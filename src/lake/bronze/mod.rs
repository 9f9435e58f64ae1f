//! Bronze: every record of a stream, once, with its offset in the same commit as the row.
//!
//! The table's log holds, for each partition of each topic, the next offset as a Delta transaction. A writer starts from
//! it, skips what lies before it, and commits only while it is still what the writer started from. Which id a topic's
//! name stands for is a transaction too (see [`epoch`]), so that a recreated topic is noticed.

mod epoch;
mod gap;
mod kernel;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Lake;
use super::crash::crash_point;
use super::files::{FileSet, now_ms};
use super::log::Txns;
use super::partition::{Values, date_text, day, file_schema};
use super::table::{Commit, Plan, State, Table, commit_id};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{BRONZE_PARTITIONS, Decoded, Records, SourceId, Stream, bronze_schema};

use epoch::Epochs;
pub(crate) use epoch::all_gaps;
pub use kernel::bronze_rows;

/// When a bronze writer rolls files and asks for a commit. The defaults suit files for analysis; a reader that wants rows
/// sooner lowers `max_age`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BronzeOptions {
    /// Who ingests: part of the transactions' names. Two processes of one pipeline fence each other.
    pub pipeline: String,
    /// A file is closed, and a commit is due, at this size, in bytes.
    pub file_bytes: usize,
    /// A commit is due at this many rows. A refinement takes whole commits, so it also bounds what one step handles.
    pub file_rows: u64,
    /// A commit is due when its first row is this old.
    pub max_age: Duration,
    /// A commit is due when the open row groups hold this much memory, in bytes.
    pub memory_bytes: usize,
    /// Whether a topic that was deleted and made anew may follow the old one.
    pub new_epoch: bool,
}

impl Default for BronzeOptions {
    fn default() -> Self {
        Self {
            pipeline: "default".into(),
            file_bytes: 128 << 20,
            file_rows: 1 << 19,
            max_age: Duration::from_mins(1),
            memory_bytes: 64 << 20,
            new_epoch: false,
        }
    }
}

/// What a commit has made lasting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The table's version that holds it; the newest one where there was nothing to commit.
    pub version: i64,
    /// Rows, undecodable ones included.
    pub rows: u64,
    /// Rows that could not be decoded.
    pub undecodable: u64,
    /// Files.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// For each partition: the first offset and the one after the last.
    pub ranges: Vec<(i32, i64, i64)>,
    /// Of these, what the topic had lost before it was read: partition, first offset, the one after the last.
    pub gaps: Vec<(i32, i64, i64)>,
}

/// Offsets of one partition that are buffered: what the table said when we started, `[from, to)`, and the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    stored: Option<i64>,
    from: i64,
    to: i64,
    first: i64,
}

/// Takes the records of one topic into one table.
pub struct BronzeWriter {
    table: Arc<Table>,
    stream: Stream,
    source: SourceId,
    options: BronzeOptions,
    epochs: Epochs,
    /// Next offsets as the table has them, by partition.
    stored: BTreeMap<i32, i64>,
    read_version: i64,
    ranges: BTreeMap<i32, Range>,
    /// Lost offsets inside the ranges: partition, first, the one after the last.
    gaps: Vec<(i32, i64, i64)>,
    gap_table: Arc<Table>,
    /// Transactions of gaps that have their row.
    noted: BTreeSet<String>,
    /// The first record of each partition's buffer that was dropped and has not come again.
    dropped: BTreeMap<i32, i64>,
    files: FileSet,
    first_row: Option<Instant>,
    rows: u64,
    undecodable: u64,
    skipped: u64,
}

impl std::fmt::Debug for BronzeWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BronzeWriter")
            .field("table", &self.table.name())
            .field("source", &self.source)
            .field("ranges", &self.ranges)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Lake {
    /// A writer of the records of `source` into `bronze.<stream>`, which is made where it does not exist.
    ///
    /// # Errors
    /// `Config` for a pipeline's name that is not made of letters, digits, `.`, `_` and `-`. `Table` where the topic was
    /// recreated and `new_epoch` is not set, where an older topic of that name is meant, or where another pipeline already
    /// takes this topic into this table.
    pub fn bronze_writer(&self, stream: Stream, source: SourceId, options: BronzeOptions) -> Result<BronzeWriter> {
        let table = self.bronze_table(stream)?;
        let epochs = Epochs::new(&options.pipeline, &source, options.new_epoch)?;
        let files = new_files(&table, stream, &source);
        let mut writer = BronzeWriter {
            table,
            stream,
            source,
            options,
            epochs,
            stored: BTreeMap::new(),
            read_version: -1,
            ranges: BTreeMap::new(),
            gaps: Vec::new(),
            gap_table: self.gap_table()?,
            noted: BTreeSet::new(),
            dropped: BTreeMap::new(),
            files,
            first_row: None,
            rows: 0,
            undecodable: 0,
            skipped: 0,
        };
        writer.reload()?;
        Ok(writer)
    }
}

fn new_files(table: &Table, stream: Stream, source: &SourceId) -> FileSet {
    let schema = file_schema(&bronze_schema(stream), &BRONZE_PARTITIONS.map(String::from));
    // A commit's files are rolled by the writer's own options; the set must not close them earlier.
    FileSet::new(table.root().to_owned(), schema, commit_id(), usize::MAX)
        .tagged(vec![("citystream.topicId", source.topic_id.clone())])
}

impl BronzeWriter {
    /// The offset to read next in `partition`, as the table has it; `None` where it has none of that partition.
    ///
    /// # Errors
    /// None once the writer is made; the table's log is read then and after each commit.
    pub fn next_offset(&self, partition: i32) -> Result<Option<i64>> {
        Ok(self.ranges.get(&partition).map(|r| r.to).or_else(|| self.stored.get(&partition).copied()))
    }

    /// Buffers the records of one partition, in the order of their offsets, with what decoding made of them. Records
    /// before the next offset are in the table already: they are skipped and counted.
    ///
    /// Offsets may have holes, so only the caller knows whether it has left something out. After an error, of this call or
    /// of [`BronzeWriter::commit`], that dropped the buffer, the dropped records must come again before later ones.
    ///
    /// # Errors
    /// `Internal` where records and verdicts do not fit each other, or dropped records have not come again. `Store` where a
    /// file can't be written. The whole buffer is dropped; read on from [`BronzeWriter::next_offset`].
    pub fn append(&mut self, records: &Records, decoded: &Decoded) -> Result<()> {
        // Half of a batch in a file must not reach a commit, nor what follows a batch that is not in it.
        self.buffer(records, decoded).inspect_err(|_| {
            if let Some(&first) = records.offsets.values().first() {
                self.dropped.entry(records.partition).and_modify(|f| *f = first.min(*f)).or_insert(first);
            }
            self.drop_buffer(true);
        })
    }

    fn buffer(&mut self, records: &Records, decoded: &Decoded) -> Result<()> {
        rows::fit(self.stream, records, decoded)?;
        let next = self.next_offset(records.partition)?;
        let offsets = records.offsets.values();
        let skip = next.map_or(0, |next| offsets.partition_point(|&offset| offset < next));
        let (Some(&first), Some(&last)) = (offsets.get(skip), offsets.last()) else {
            self.skipped += skip as u64;
            return Ok(());
        };
        self.come_again(records.partition, first)?;
        self.skipped += skip as u64;

        let now_us = now_ms() * 1000;
        let date = date_text(day(now_us));
        let good = rows::decoded(self.stream, &self.source, records, decoded, skip, now_us)?;
        let bad = rows::undecodable(self.stream, &self.source, records, decoded, skip, now_us)?;
        self.files.write(&values(&date, true), &good)?;
        self.files.write(&values(&date, false), &bad)?;
        self.rows += (good.num_rows() + bad.num_rows()) as u64;
        self.undecodable += bad.num_rows() as u64;
        self.cover(records.partition, first, last + 1);
        Ok(())
    }

    /// Refuses records that leave out those of a dropped buffer, which a commit would else count as taken.
    fn come_again(&mut self, partition: i32, first: i64) -> Result<()> {
        let stored = self.stored.get(&partition).copied();
        // Where another writer has taken the dropped ones, its next offset may hold no record.
        let missing = self.dropped.get(&partition).copied().filter(|&d| stored.is_none_or(|next| next <= d));
        if let Some(dropped) = missing.filter(|&dropped| first > dropped) {
            let text = format!("offset {first} of {} [{partition}] came, but {dropped} was dropped", self.source.topic);
            return Err(Error::internal(text).help("Read on from the writer's next offset after an error"));
        }
        self.dropped.remove(&partition);
        Ok(())
    }

    /// Says that everything before `next` has been read, although the last offsets held no record: transaction markers and
    /// aborted records end a partition that way. Does nothing while records of a dropped buffer have not come again.
    pub fn advance(&mut self, partition: i32, next: i64) {
        if self.dropped.contains_key(&partition) {
            return;
        }
        let at = self.ranges.get(&partition).map(|r| r.to).or_else(|| self.stored.get(&partition).copied());
        if at.is_none_or(|at| at < next) {
            self.cover(partition, at.unwrap_or(next), next);
        }
    }

    /// Says that the topic no longer has the records of `partition` before `to` that were not read. The commit that moves the
    /// next offset over them says so, too, and after it they have a row in `bronze.ingest_gap`. Does nothing where the
    /// table has no offset of the partition: then nobody has waited for them.
    pub fn gap(&mut self, partition: i32, to: i64) {
        let at = self.ranges.get(&partition).map(|r| r.to).or_else(|| self.stored.get(&partition).copied());
        let Some(from) = at.filter(|&from| from < to) else { return };
        // Dropped records that are gone can't come again.
        if self.dropped.get(&partition).is_some_and(|&dropped| dropped < to) {
            self.dropped.remove(&partition);
        }
        self.gaps.push((partition, from, to));
        self.cover(partition, from, to);
    }

    fn cover(&mut self, partition: i32, first: i64, to: i64) {
        self.first_row.get_or_insert_with(Instant::now);
        let stored = self.stored.get(&partition).copied();
        // Offsets between the stored one and the first record hold none: control records, or compacted ones.
        let new = Range { stored, from: stored.unwrap_or(first), to, first };
        self.ranges.entry(partition).or_insert(new).to = to;
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Encoded size of what is buffered, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.files.bytes()
    }

    /// Memory that the open row groups hold, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.files.memory()
    }

    /// Records that were skipped because the table had them already, since the writer was made.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether a commit is due: by size, rows, age or memory.
    pub fn due(&self) -> bool {
        self.files.bytes() >= self.options.file_bytes
            || self.rows >= self.options.file_rows
            || self.files.memory() >= self.options.memory_bytes
            || self.first_row.is_some_and(|at| at.elapsed() >= self.options.max_age)
    }

    /// Commits what is buffered: files and next offsets in one step of the log.
    ///
    /// After any error, [`BronzeWriter::next_offset`] says where to read on: where the log could not be written, the buffer
    /// is still there and the same commit may be tried again; otherwise it is dropped.
    ///
    /// # Errors
    /// `Conflict` where another writer has moved the offsets. `Table` where the topic was recreated. `Store` where files or
    /// log can't be written.
    pub fn commit(&mut self) -> Result<Committed> {
        if self.ranges.is_empty() {
            return Ok(self.committed(self.read_version, vec![], 0, 0));
        }
        crash_point("bronze_before_file");
        let adds = match self.files.finish() {
            Ok(adds) => adds.to_vec(),
            Err(error) => {
                // A file is lost, and with it rows of the buffer.
                self.drop_buffer(true);
                return Err(error);
            }
        };
        crash_point("bronze_after_file");
        let (files, bytes) = (adds.len() as u64, adds.iter().map(|a| a.size.unsigned_abs()).sum());
        let ranges: Vec<_> = self.ranges.iter().map(|(&p, r)| (p, r.from, r.to)).collect();
        let id = self.files.commit_id().to_owned();

        crash_point("bronze_before_commit");
        let landed = self.table.commit(&id, |state| {
            self.epochs.check(&self.table, &state.txns)?;
            let stored = self.epochs.offsets(&state.txns);
            if self.ranges.iter().all(|(p, r)| stored.get(p).copied() == r.stored) {
                return Ok(Plan::Commit(self.plan(state, adds.clone())));
            }
            // An earlier try of this very commit may have succeeded without our hearing of it.
            match self.table.find_commit(&id, self.read_version)? {
                Some(_) => Ok(Plan::Done),
                None => Err(self.lost(&stored)),
            }
        });
        let landed = match landed {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.drop_buffer(true);
                self.reload()?;
                return Err(error);
            }
            landed => landed?,
        };
        crash_point("bronze_after_commit");
        let version = match landed {
            Some(version) => version,
            None => self.table.find_commit(&id, self.read_version)?.unwrap_or(self.read_version),
        };
        let committed = self.committed(version, ranges, files, bytes);
        self.drop_buffer(false);
        self.reload()?;
        Ok(committed)
    }

    fn plan(&self, state: &State, adds: Vec<deltalake_core::kernel::Add>) -> Commit {
        let mut txns: Vec<_> = self.ranges.iter().map(|(&p, r)| (self.epochs.app_id(p), r.to)).collect();
        txns.extend(self.gaps.iter().map(|&(p, from, to)| (self.epochs.gap_id(p, from), to)));
        txns.extend(self.epochs.claim(&state.txns));
        let ranges: Vec<Value> =
            self.ranges.iter().map(|(p, r)| json!({"partition": p, "from": r.from, "to": r.to})).collect();
        let info = BTreeMap::from([
            (
                "citystream.source",
                json!({"cluster": self.source.cluster_id, "topic": self.source.topic,
                "topicId": self.source.topic_id, "pipeline": self.options.pipeline}),
            ),
            ("citystream.ranges", Value::Array(ranges)),
            ("citystream.rows", json!(self.rows)),
        ]);
        Commit { adds, txns, info, ..Commit::default() }
    }

    fn lost(&self, stored: &BTreeMap<i32, i64>) -> Error {
        let moved = self.ranges.iter().find(|(p, r)| stored.get(p).copied() != r.stored);
        let text = moved.map_or_else(String::new, |(p, r)| {
            let now = stored.get(p).map_or("none".into(), ToString::to_string);
            let then = r.stored.map_or("none".into(), |o| o.to_string());
            format!(": the next offset of {} [{p}] was {then} and is {now}", self.source.topic)
        });
        Error::new(ErrorKind::Conflict, format!("another writer has committed to {}{text}", self.table.name()))
            .retryable()
    }

    fn committed(&self, version: i64, ranges: Vec<(i32, i64, i64)>, files: u64, bytes: u64) -> Committed {
        let gaps = self.gaps.clone();
        Committed { version, rows: self.rows, undecodable: self.undecodable, files, bytes, ranges, gaps }
    }

    /// Empties the buffer; where its rows are `lost`, they must come again.
    fn drop_buffer(&mut self, lost: bool) {
        for (partition, range) in std::mem::take(&mut self.ranges) {
            if lost {
                let first = self.dropped.entry(partition).or_insert(range.first);
                *first = range.first.min(*first);
            }
        }
        self.gaps.clear();
        self.files = new_files(&self.table, self.stream, &self.source);
        self.first_row = None;
        self.rows = 0;
        self.undecodable = 0;
    }

    fn reload(&mut self) -> Result<()> {
        let state = self.table.state()?;
        self.epochs.check(&self.table, &state.txns)?;
        self.stored = self.epochs.offsets(&state.txns);
        self.read_version = state.version;
        for gap in self.epochs.gaps(&state.txns) {
            if !self.noted.contains(&gap.app) {
                gap::note(&self.gap_table, self.stream, &self.source, &self.options.pipeline, &gap)?;
                self.noted.insert(gap.app);
            }
        }
        Ok(())
    }
}

fn values(date: &str, decoded: bool) -> Values {
    vec![("ingest_date".into(), Some(date.into())), ("decoded".into(), Some(decoded.to_string()))]
}

/// The next offset of each (cluster id, topic id, partition) that a bronze table's transactions hold.
pub(crate) fn next_offsets(txns: &Txns) -> BTreeMap<(String, String, i32), i64> {
    epoch::all_offsets(txns)
}

/// The topic ids that each topic's name has stood for.
pub(crate) fn topic_ids(txns: &Txns) -> BTreeMap<String, BTreeSet<String>> {
    epoch::all_topics(txns)
}

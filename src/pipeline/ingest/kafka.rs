//! Kafka → codec → bronze.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arrow::array::Array;

use super::{Ingested, PartitionProgress, Writing};
use crate::codec;
use crate::codec::avro::{Stored, is_framed};
use crate::codec::names::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{ConsumeOptions, Consumer, Fetched, Gap, RegistryOptions, Security, Topics as Admin};
use crate::lake::{BronzeOptions, Lake};
use crate::pipeline::metrics::{Metrics, lag};
use crate::pipeline::pool::{Pending, Pool};
use crate::pipeline::progress::{Cancel, Run};
use crate::pipeline::topics::Topics;
use crate::pipeline::wire::stored;
use crate::schema::{Decoded, Records, SourceId, Stream};

/// What to do where the topic no longer has the next offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Stop with a `Gap` error that names the range.
    #[default]
    Error,
    /// Go on behind it, with the range as a row of `bronze.ingest_gap`.
    Record,
}

/// How Kafka's topics fill bronze.
#[derive(Debug, Clone)]
pub struct KafkaIngest {
    /// `host:port`, several with commas.
    pub servers: String,
    /// Login and encryption.
    pub security: Security,
    /// Each stream's topic.
    pub topics: Topics,
    /// What fields are called on the wire.
    pub names: Names,
    /// Where the schemas of Avro messages are.
    pub registry: Option<RegistryOptions>,
    /// Whether to go on after the end that the topics had at the beginning.
    pub follow: bool,
    /// Ends a run that follows, as if it had come to the end.
    pub stop: Cancel,
    /// What to do about a gap.
    pub on_gap: OnGap,
    /// Bytes of records fetched ahead, over all topics.
    pub prefetch_bytes: usize,
    /// When files roll and commits are due; its memory mark holds for all tables together.
    pub bronze: BronzeOptions,
    /// How long the first contact, and each request, may take.
    pub timeout: Duration,
    /// Counts along, where somebody watches.
    pub metrics: Option<Arc<Metrics>>,
}

/// Bytes of records fetched ahead where nothing else is said.
pub const PREFETCH_BYTES: usize = 8 << 20;

/// Records of one poll; at most this many rows and bytes are decoded at a time.
const POLL_ROWS: usize = 8_192;
const POLL_BYTES: usize = 2 << 20;
const POLL_TIME: Duration = Duration::from_millis(200);
/// How often a run that follows looks whether topics were made anew or got more partitions.
const LOOK: Duration = Duration::from_secs(10);
/// How long that, and the same question before a commit, may take.
const ANSWER: Duration = Duration::from_secs(3);

/// Reads each topic from where its table ends, up to the end that it has now, or on and on.
///
/// # Errors
/// `Kafka` where none of the topics exists; `Connection`; `Gap`; `Table` where a topic was recreated; `Store`;
/// `Interrupted`, after what is complete was committed.
pub fn ingest_kafka(lake: &Lake, options: &KafkaIngest, threads: usize, run: &mut Run<'_>) -> Result<Ingested> {
    lake.ensure_tables()?;
    let mut ingest = Ingest::open(lake, options, threads, run)?;
    loop {
        let interrupted = match ingest.read(run) {
            Ok(()) => None,
            Err(error) if error.kind() == ErrorKind::Interrupted => Some(error),
            // After a failure nothing more is taken in: records behind those that failed must not reach a commit without
            // them. The next run reads them again.
            Err(error) => return Err(error),
        };
        let ended = ingest.drain().and_then(|()| ingest.commit_all());
        if let Some(error) = interrupted {
            return Err(error);
        }
        // What another writer made us drop is read again.
        if !ended? {
            return Ok(ingest.report());
        }
        ingest.not_alone()?;
    }
}

/// A run gives up after losing this many commits to other writers.
const MOST_CONFLICTS: u64 = 100;

struct Topic {
    name: String,
    id: String,
    writing: Writing,
    /// For each partition: where this run began, and the end that the topic had then.
    partitions: BTreeMap<i32, (i64, i64)>,
}

/// Key and value bytes of records.
fn size(records: &Records) -> u64 {
    let ends = |offsets: &[i32]| {
        i64::from(offsets.last().copied().unwrap_or(0)) - i64::from(offsets.first().copied().unwrap_or(0))
    };
    (ends(records.keys.value_offsets()) + ends(records.values.value_offsets())) as u64
}

fn same_topic(topic: &Topic, id: &str) -> Result<()> {
    if topic.id == id {
        return Ok(());
    }
    let Topic { name, id: before, .. } = topic;
    let context = format!("topic {name:?} was recreated while it was read: its id was {before} and is {id}");
    Err(Error::new(ErrorKind::Table, context)
        .help("What was not yet committed of the old one is gone with it. Ingest again with --new-epoch to go on"))
}

/// Records being decoded on a worker.
type Decoding = Pending<Result<(Records, Decoded)>>;

struct Ingest {
    pool: Arc<Pool>,
    admin: Admin,
    consumer: Consumer,
    topics: Vec<Topic>,
    /// The topic, the rows, and the work.
    pending: VecDeque<(usize, u64, Decoding)>,
    names: Names,
    stored: Arc<Stored>,
    follow: bool,
    stop: Cancel,
    on_gap: OnGap,
    /// Memory of all writers together at which the largest commits, in bytes.
    memory_bytes: usize,
    looked: Instant,
    ingested: Ingested,
    read: u64,
    total: u64,
    metrics: Option<Arc<Metrics>>,
}

impl Ingest {
    fn open(lake: &Lake, options: &KafkaIngest, threads: usize, run: &mut Run<'_>) -> Result<Self> {
        let flag = run.cancel.flag();
        let admin = Admin::connect(&options.servers, &options.security, options.timeout, flag)?;
        let existing = admin.names()?;
        let mut ingested = Ingested::default();
        let mut found: Vec<(Stream, &str)> = Vec::new();
        for stream in Stream::EVENTS.into_iter().chain([Stream::Reference]) {
            let topic = options.topics.of(stream);
            if existing.iter().any(|name| name == topic) {
                found.push((stream, topic));
                ingested.records.insert(stream, 0);
            } else {
                ingested.warnings.push(format!("topic {topic:?} of stream {} does not exist", stream.name()));
            }
        }
        if found.is_empty() {
            let wanted: Vec<&str> = Stream::EVENTS.iter().map(|s| options.topics.of(*s)).collect();
            return Err(Error::new(
                ErrorKind::Kafka,
                format!("{} has none of the topics {}", options.servers, wanted.join(", ")),
            )
            .help("Publish a city first, or name the topics: `--topic gps=NAME`"));
        }
        let names: Vec<&str> = found.iter().map(|(_, topic)| *topic).collect();
        let described = admin.describe(&names, flag)?;
        let consume = ConsumeOptions {
            security: options.security.clone(),
            timeout: options.timeout,
            fetch_buffer_kib: u32::try_from(options.prefetch_bytes >> 10).unwrap_or(u32::MAX).clamp(1, 2_097_151),
            ..ConsumeOptions::new(options.servers.clone())
        };
        let consumer = Consumer::open(consume, flag)?;
        let (mut topics, mut all_starts) = (Vec::new(), Vec::new());
        let mut total = 0;
        for (stream, name) in found {
            let Some(topic) = described.iter().find(|t| t.name == name) else {
                return Err(Error::internal(format!("topic {name:?} was described as another")));
            };
            let source = SourceId {
                cluster_id: admin.cluster_id().to_owned(),
                topic: name.to_owned(),
                topic_id: topic.id.clone(),
            };
            let writer = lake.bronze_writer(stream, source, options.bronze.clone())?;
            let mut partitions = BTreeMap::new();
            let mut starts = Vec::new();
            for partition in &topic.partitions {
                let from = writer.next_offset(partition.id)?.unwrap_or(partition.low);
                partitions.insert(partition.id, (from, partition.high));
                starts.push((partition.id, from));
                total += (partition.high - from).max(0) as u64;
            }
            let (name, id) = (name.to_owned(), topic.id.clone());
            topics.push(Topic { name, id, writing: Writing { stream, writer }, partitions });
            all_starts.push(starts);
        }
        let metrics = options.metrics.clone();
        if let Some(metrics) = &metrics {
            metrics.ingest_begins();
        }
        let mut ingest = Self {
            pool: Pool::new(threads)?,
            admin,
            consumer,
            topics,
            pending: VecDeque::new(),
            names: options.names.clone(),
            stored: stored(options.registry.as_ref(), &run.cancel)?,
            follow: options.follow,
            stop: options.stop.clone(),
            on_gap: options.on_gap,
            memory_bytes: options.bronze.memory_bytes,
            looked: Instant::now(),
            ingested,
            read: 0,
            total,
            metrics,
        };
        for (index, starts) in all_starts.into_iter().enumerate() {
            ingest.assign(index, starts)?;
        }
        ingest.tell_positions();
        Ok(ingest)
    }

    /// Reads a topic from these (partition, offset) on, where it has lost some of them from what is left.
    fn assign(&mut self, index: usize, mut starts: Vec<(i32, i64)>) -> Result<()> {
        loop {
            match self.consumer.assign(&self.topics[index].name, &starts) {
                Err(error) if error.kind() == ErrorKind::Gap => {
                    let (_, partition, next) = self.pass(error)?;
                    starts.iter_mut().filter(|(p, _)| *p == partition).for_each(|start| start.1 = next);
                }
                done => return done,
            }
        }
    }

    /// Takes note of a gap in the table, where that is wanted; otherwise it is the error. The topic's place among ours, the
    /// partition, and the offset to go on from.
    fn pass(&mut self, error: Error) -> Result<(usize, i32, i64)> {
        let gap = Gap::of(&error).filter(|_| self.on_gap == OnGap::Record).cloned();
        let index = gap.as_ref().and_then(|gap| self.topics.iter().position(|t| t.name == gap.topic));
        let (Some(gap), Some(index)) = (gap, index) else { return Err(error) };
        // What was read before the gap stands before it in the table.
        self.drain()?;
        let writer = &mut self.topics[index].writing.writer;
        writer.advance(gap.partition, gap.stored);
        writer.gap(gap.partition, gap.log_start);
        self.commit(index)?;
        // Another writer may have won, over and over again.
        self.not_alone()?;
        let next = self.topics[index].writing.writer.next_offset(gap.partition)?;
        Ok((index, gap.partition, next.unwrap_or(gap.log_start)))
    }

    fn not_alone(&self) -> Result<()> {
        if self.ingested.conflicts < MOST_CONFLICTS {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, format!("other writers won {MOST_CONFLICTS} commits"))
            .help("Let one process a pipeline ingest a topic")
            .retryable())
    }

    fn read(&mut self, run: &mut Run<'_>) -> Result<()> {
        while !self.stop.is_asked() && (self.follow || !self.at_end()) {
            let fetched = match self.consumer.poll_batch(POLL_ROWS, POLL_BYTES, POLL_TIME, run.cancel.flag()) {
                Err(error) if error.kind() == ErrorKind::Gap => {
                    let (index, partition, next) = self.pass(error)?;
                    self.consumer.seek(&self.topics[index].name, partition, next)?;
                    continue;
                }
                fetched => fetched?,
            };
            let idle = fetched.is_empty();
            for Fetched { topic, records } in fetched {
                self.read += records.values.len() as u64;
                self.decode(&topic, records)?;
            }
            while self.pending.len() > self.pool.ahead() || (idle && !self.pending.is_empty()) {
                self.append_next()?;
            }
            self.commit_due()?;
            self.tell_positions();
            if self.follow && self.looked.elapsed() >= LOOK {
                self.look(run)?;
            }
            let total = (!self.follow).then_some(self.total.max(self.read));
            run.step("ingest", self.read, total, "records")?;
        }
        Ok(())
    }

    /// Whether each partition was read to the end that it had when the run began.
    fn at_end(&self) -> bool {
        self.consumer.positions().iter().all(|position| {
            let topic = self.topics.iter().find(|t| *t.name == *position.topic);
            let end = topic.and_then(|t| t.partitions.get(&position.partition)).map_or(0, |(_, end)| *end);
            position.next >= end || position.at_end()
        })
    }

    fn decode(&mut self, topic: &str, records: Records) -> Result<()> {
        let Some(index) = self.topics.iter().position(|t| t.name == topic) else {
            return Err(Error::internal(format!("records of topic {topic:?}, which is not read")));
        };
        let stream = self.topics[index].writing.stream;
        self.check_format(topic, index, &records)?;
        let (rows, bytes) = (records.values.len() as u64, size(&records));
        self.ingested.bytes += bytes;
        if let Some(metrics) = &self.metrics {
            metrics.read(stream, topic, rows, bytes);
        }
        let (names, stored) = (self.names.clone(), Arc::clone(&self.stored));
        let work = move || codec::decode(stream, &names, &stored, &records).map(|decoded| (records, decoded));
        self.pending.push_back((index, rows, self.pool.submit(work)));
        Ok(())
    }

    /// Refuses a topic of which nothing is in the table and whose first records are all Avro where no registry is given:
    /// each of them would be taken in as undecodable.
    fn check_format(&self, topic: &str, index: usize, records: &Records) -> Result<()> {
        if !self.stored.is_empty() || records.values.len() < 2 {
            return Ok(());
        }
        let stored = self.topics[index].writing.writer.next_offset(records.partition)?;
        if stored.is_some() || !records.values.iter().all(|value| value.is_some_and(is_framed)) {
            return Ok(());
        }
        Err(Error::config(format!("topic {topic:?} holds Avro messages, and no schema registry is given"))
            .help("Give schema_registry=, or --schema-registry http://localhost:8081"))
    }

    fn append_next(&mut self) -> Result<()> {
        let Some((index, _, pending)) = self.pending.pop_front() else { return Ok(()) };
        let (records, decoded) = pending.wait()??;
        self.topics[index].writing.writer.append(&records, &decoded)
    }

    fn drain(&mut self) -> Result<()> {
        while !self.pending.is_empty() {
            self.append_next()?;
        }
        Ok(())
    }

    /// Looks for topics that were made anew, which ends the run, and for new partitions, which are read from their start.
    fn look(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.looked = Instant::now();
        for index in 0..self.topics.len() {
            let topic = &self.topics[index];
            let found = match self.admin.identify(&[&topic.name], ANSWER, run.cancel.flag()) {
                Ok(found) => found.into_iter().next(),
                // The reading itself says so when they stay away, or when the topic is gone.
                Err(error) if matches!(error.kind(), ErrorKind::Connection | ErrorKind::Kafka) => None,
                Err(error) => return Err(error),
            };
            let Some(found) = found else { continue };
            same_topic(topic, &found.id)?;
            let new: Vec<i32> =
                found.partitions.iter().map(|p| p.id).filter(|id| !topic.partitions.contains_key(id)).collect();
            if new.is_empty() {
                continue;
            }
            let positions = self.consumer.positions();
            let here = positions.iter().filter(|p| *p.topic == *topic.name);
            let mut starts: Vec<(i32, i64)> = here.map(|p| (p.partition, p.next)).collect();
            let topic = &mut self.topics[index];
            self.consumer.refresh(&topic.name)?;
            for partition in new {
                let (low, high) = match self.consumer.watermarks(&topic.name, partition) {
                    Ok(found) => found,
                    // It has no leader yet; the next look finds it.
                    Err(error) if error.kind() == ErrorKind::Kafka => continue,
                    Err(error) => return Err(error),
                };
                let from = topic.writing.writer.next_offset(partition)?.unwrap_or(low);
                starts.push((partition, from));
                topic.partitions.insert(partition, (from, high));
            }
            self.assign(index, starts)?;
        }
        Ok(())
    }

    fn commit_due(&mut self) -> Result<()> {
        for index in 0..self.topics.len() {
            if self.topics[index].writing.writer.due() {
                self.commit_soon(index)?;
            }
        }
        // The mark holds for all of them together.
        let memory = |topic: &Topic| topic.writing.writer.memory_bytes();
        if self.topics.iter().map(memory).sum::<usize>() >= self.memory_bytes {
            let largest = (0..self.topics.len()).max_by_key(|&index| memory(&self.topics[index]));
            return largest.map_or(Ok(()), |index| self.commit_soon(index));
        }
        Ok(())
    }

    /// Commits, or leaves it due while no broker answers: nothing more comes in then, and the reading gives up in time.
    fn commit_soon(&mut self, index: usize) -> Result<()> {
        match self.commit(index) {
            Err(error) if error.kind() == ErrorKind::Connection => Ok(()),
            done => done,
        }
    }

    /// Refuses to commit records under a topic's id when they may be another's: one of the same name that was made in the
    /// meantime. What was fetched before this question is the old one's where that is still there.
    fn still_the_same(&self, index: usize) -> Result<()> {
        let topic = &self.topics[index];
        let calm = AtomicBool::new(false);
        match self.admin.identify(&[&topic.name], ANSWER, &calm) {
            Ok(found) => found.first().map_or(Ok(()), |found| same_topic(topic, &found.id)),
            // It is gone, and no other stands in its place.
            Err(error) if error.kind() == ErrorKind::Kafka => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Commits every table; whether another writer won one of them.
    fn commit_all(&mut self) -> Result<bool> {
        let before = self.ingested.conflicts;
        // Offsets behind the last record that hold none are read, too.
        for position in self.consumer.positions() {
            if let Some(topic) = self.topics.iter_mut().find(|t| *t.name == *position.topic) {
                topic.writing.writer.advance(position.partition, position.next);
            }
        }
        (0..self.topics.len()).try_for_each(|index| self.commit(index))?;
        Ok(self.ingested.conflicts > before)
    }

    /// Commits one table. Where another writer won, what was read of its topic is dropped and read again from there.
    fn commit(&mut self, index: usize) -> Result<()> {
        if self.topics[index].writing.writer.is_empty() {
            return Ok(());
        }
        self.still_the_same(index)?;
        match self.topics[index].writing.writer.commit() {
            Ok(committed) => {
                let topic = &self.topics[index];
                self.ingested.count(topic.writing.stream, &topic.name, &committed);
                if let Some(metrics) = &self.metrics {
                    metrics.committed(topic.writing.stream, &topic.name, &committed);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.ingested.conflicts += 1;
                if let Some(metrics) = &self.metrics {
                    metrics.conflict();
                }
                self.pending.retain(|(topic, ..)| *topic != index);
                let topic = &self.topics[index];
                let positions = self.consumer.positions();
                for (partition, (from, _)) in &topic.partitions {
                    // While a topic is being assigned, there is nothing yet to go back in.
                    if !positions.iter().any(|p| *p.topic == *topic.name && p.partition == *partition) {
                        continue;
                    }
                    let next = topic.writing.writer.next_offset(*partition)?.unwrap_or(*from);
                    self.consumer.seek(&topic.name, *partition, next)?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// For each partition of each topic: where this run began, where it is, and the end as far as it is known.
    fn places(&self) -> Vec<(&Topic, i32, i64, i64, i64)> {
        let positions = self.consumer.positions();
        let mut places = Vec::new();
        for topic in &self.topics {
            for (&partition, &(from, end)) in &topic.partitions {
                let place = positions.iter().find(|p| *p.topic == *topic.name && p.partition == partition);
                let next = place.map_or(from, |p| p.next);
                let told = self.consumer.high_watermark(&topic.name, partition);
                let end = end.max(place.and_then(|p| p.end).unwrap_or(0)).max(told.unwrap_or(0));
                places.push((topic, partition, from, next, end));
            }
        }
        places
    }

    fn tell_positions(&self) {
        let Some(metrics) = &self.metrics else { return };
        for (topic, partition, _, next, end) in self.places() {
            metrics.position(&topic.name, partition, next, end);
        }
        metrics.queued(self.pending.iter().map(|(_, rows, _)| rows).sum());
    }

    fn report(self) -> Ingested {
        self.tell_positions();
        let progress = |(topic, partition, from, to, end): (&Topic, i32, i64, i64, i64)| PartitionProgress {
            topic: topic.name.clone(),
            partition,
            from,
            to,
            lag: lag(to, end),
        };
        let partitions = self.places().into_iter().map(progress).collect();
        let skipped = self.topics.iter().map(|topic| topic.writing.writer.skipped()).sum();
        Ingested { skipped, partitions, ..self.ingested }
    }
}

//! Reading records by offsets that the caller keeps.
//!
//! # Offsets belong to the table
//! [`Consumer::assign`] starts each partition at an offset that the caller read from the table; no consumer group is
//! joined and nothing is committed to Kafka. The same thread then calls [`Consumer::poll_batch`] again and again, and
//! stores, in one commit with the rows, the [`Position::next`] of each partition.
//!
//! `next` is where reading goes on, not the last record plus one: a partition also holds offsets that are no records
//! (transaction markers, aborted transactions, what compaction removed), and reading past them moves `next` too. So "up
//! to now" is `next ≥ end` ([`Position::at_end`]), never a count of records.
//!
//! # What comes back
//! Only committed records (`read_committed`), in offset order, as Arrow columns: [`Records`] of one partition each. A
//! record without a value (a tombstone) is a null; headers are a JSON object text of base64 values, null where there are
//! none; timestamps are microseconds UTC, null where the broker has none.
//!
//! # Gaps
//! A stored offset that retention has overtaken is a [`Gap`], found by [`Consumer::gaps`], by `assign`, or later by
//! `poll_batch` when retention strikes in between; [`Gap::of`] takes it out of the error. A stored offset *beyond* the end
//! is an error too: the topic was recreated, or its log truncated.
//!
//! # Memory
//! | bound | option | default |
//! | --- | --- | --- |
//! | fetched ahead, over all partitions | [`ConsumeOptions::fetch_buffer_kib`] (librdkafka's queued.max.messages.kbytes) | 8 MiB |
//! | one answer of the broker, as it is compressed | [`ConsumeOptions::fetch_max_bytes`] | 1 MiB |
//! | one batch | `max_rows` and `max_bytes` of `poll_batch` | – |
//!
//! The first counts bytes of records; librdkafka needs some 350 more for each, and an answer that is under way comes on top.
//!
//! [`Consumer::pause`] stops fetching from some partitions; what was fetched of them before may still come.
//!
//! # When the broker goes away
//! librdkafka connects again by itself. Only when all brokers have been away for
//! [`ConsumeOptions::unreachable_after`] does `poll_batch` give a `Connection` error; the consumer stays usable.
//!
//! # When nothing comes
//! After [`ConsumeOptions::stalled_after`] without a record or an end, the consumer asks the broker for the partitions'
//! ends. Where records stand before one, it assigns its partitions again from where they stand; where that does not help in
//! the same time, `poll_batch` gives a `Connection` error that names the partition.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::auth::Security;
use super::client::{self, Journal, TICK};
use super::native;
use super::native::feed::Feed;
use super::native::kept::Kept;
use super::slot::Slot;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Records;

/// How a [`Consumer`] connects, and its bounds.
#[derive(Debug, Clone)]
pub struct ConsumeOptions {
    /// `host:port`, several with commas.
    pub servers: String,
    /// Login and encryption.
    pub security: Security,
    /// Group id, named to the broker but never joined; an ACL may ask for it.
    pub group: String,
    /// KiB fetched ahead of `poll_batch`, over all partitions.
    pub fetch_buffer_kib: u32,
    /// Bytes of one answer of the broker, compressed as they come: several times more stand in memory. A single larger
    /// record still comes.
    pub fetch_max_bytes: u32,
    /// How long a request, and the first contact, may take.
    pub timeout: Duration,
    /// How long all brokers may be away before `poll_batch` gives up.
    pub unreachable_after: Duration,
    /// Also reads what is in open and aborted transactions (`read_uncommitted`); the end is then the log's.
    pub uncommitted: bool,
    /// How long `poll_batch` waits in vain before it asks whether there would have been something.
    pub stalled_after: Duration,
}

impl ConsumeOptions {
    /// The defaults, for `servers`.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            security: Security::default(),
            group: "citystream".to_owned(),
            fetch_buffer_kib: 8 * 1024,
            fetch_max_bytes: 1024 * 1024,
            timeout: Duration::from_secs(30),
            unreachable_after: Duration::from_mins(1),
            uncommitted: false,
            stalled_after: Duration::from_mins(1),
        }
    }
}

/// Records of one partition, as they came out of one [`Consumer::poll_batch`].
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The topic.
    pub topic: Arc<str>,
    /// Its records, at least one.
    pub records: Records,
}

/// Where an assigned partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset to store: everything before it was returned, or is no record.
    pub next: i64,
    /// The end of what is committed, when it was last reached; `None` until then.
    pub end: Option<i64>,
}

impl Position {
    /// Whether the end was reached and no record has come since.
    pub fn at_end(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

/// Offsets that the topic no longer has: from `stored` up to, not including, `log_start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where reading should have gone on.
    pub stored: i64,
    /// The first offset that is left.
    pub log_start: i64,
}

impl Gap {
    /// The gap that an error of kind `Gap` is about.
    pub fn of(error: &Error) -> Option<&Gap> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, stored, log_start } = self;
        write!(f, "topic {topic:?} partition {partition}: the stored offset is {stored}, but the log now starts at ")?;
        write!(f, "{log_start}; {} offsets are gone", log_start - stored)
    }
}

impl std::error::Error for Gap {}

impl From<Gap> for Error {
    fn from(gap: Gap) -> Self {
        Error::new(ErrorKind::Gap, gap.to_string())
            .help("Ingest with --on-gap record to go on from there and keep the range in bronze.ingest_gap")
            .because(gap)
    }
}

/// Reads assigned partitions; the [module](self) is the manual.
pub struct Consumer {
    options: ConsumeOptions,
    cluster_id: String,
    feed: Kept<Feed>,
    slots: Vec<Slot>,
    /// The slot of the last message; the next one is mostly of the same.
    recent: usize,
    /// The assignment has changed and librdkafka does not know yet.
    stale: bool,
    /// An error that came after records, for the next call.
    deferred: Option<Error>,
    /// Time in which nothing came, and whether the assignment was made anew since the last record.
    waited: Duration,
    restarted: bool,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("options", &self.options)
            .field("positions", &self.positions())
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// Connects; nothing is read yet.
    ///
    /// # Errors
    /// `Connection` when no broker answers within `options.timeout`; `Config` for a refused setting; `Kafka` for a refused
    /// login; `Interrupted`.
    pub fn open(options: ConsumeOptions, cancel: &AtomicBool) -> Result<Self> {
        let mut config = client::config(&options.servers, &options.security)?;
        config
            .set("group.id", &options.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A commit of the caller's may take long; nobody else waits for these partitions.
            .set("max.poll.interval.ms", "86400000")
            .set("auto.offset.reset", "error")
            .set("isolation.level", if options.uncommitted { "read_uncommitted" } else { "read_committed" })
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("check.crcs", "true")
            .set("queued.max.messages.kbytes", options.fetch_buffer_kib.to_string())
            // The bound is bytes; a count beside it would starve small messages.
            .set("queued.min.messages", "10000000")
            .set("fetch.max.bytes", options.fetch_max_bytes.to_string())
            .set("fetch.message.max.bytes", options.fetch_max_bytes.min(4 * 1024 * 1024).to_string())
            // `assign` has seen the topic, so an answer without it means that it is gone.
            .set("topic.metadata.propagation.max.ms", "5000")
            // The end of a partition is seen by an empty answer, which the broker holds back for so long.
            .set("fetch.wait.max.ms", "100")
            // After the queue was full; the default of 1 s would leave it empty for most of that.
            .set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer<Journal> =
            config.create_with_context(Journal::default()).map_err(client::refused)?;
        native::journal_logs(consumer.client());
        let (connection, journal) = (consumer.client(), consumer.client().context());
        let serve = || native::serve(connection);
        let place = (options.servers.as_str(), &options.security);
        let (renewal, cluster_id) = client::first_contact(connection, journal, place, options.timeout, cancel, serve)?;
        let feed = Feed::new(Arc::new(consumer)).ok_or_else(|| Error::internal("a consumer without a queue"))?;
        Ok(Self {
            options,
            cluster_id,
            feed: Kept::new("the consumer", feed).renewed_by(renewal),
            slots: Vec::new(),
            recent: 0,
            stale: false,
            deferred: None,
            waited: Duration::ZERO,
            restarted: false,
        })
    }

    /// The cluster's id; empty where the cluster has none.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Asks the broker anew for the partitions of a topic: what it said before is kept for minutes.
    ///
    /// # Errors
    /// `Connection` when the broker does not answer; `Kafka` where it refuses.
    pub fn refresh(&self, topic: &str) -> Result<()> {
        self.feed.check()?;
        let connection = self.feed.consumer().client();
        let asked = connection.fetch_metadata(Some(topic), self.options.timeout);
        asked.map(drop).map_err(|cause| {
            let code = cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            let what = format!("asking for the partitions of topic {topic:?}");
            client::request_error(&what, topic, &self.options.servers, code, connection.context())
        })
    }

    /// First offset and end of the committed records of a partition (the last stable offset, while a transaction is open).
    ///
    /// # Errors
    /// `Kafka` for an unknown topic or partition; `Connection` when the broker does not answer.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        self.feed.check()?;
        self.query(topic, partition)
    }

    fn query(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let connection = self.feed.consumer().client();
        let place = (topic, partition);
        client::watermarks(connection, connection.context(), &self.options.servers, place, self.options.timeout)
    }

    /// The gaps between stored offsets (partition, next offset) and the log as it is now.
    ///
    /// # Errors
    /// As [`watermarks`](Self::watermarks); `Kafka` for a stored offset beyond the end.
    pub fn gaps(&self, topic: &str, stored: &[(i32, i64)]) -> Result<Vec<Gap>> {
        self.feed.check()?;
        let mut gaps = Vec::new();
        for &(partition, stored) in stored {
            gaps.extend(self.compare(topic, partition, stored)?);
        }
        Ok(gaps)
    }

    fn compare(&self, topic: &str, partition: i32, stored: i64) -> Result<Option<Gap>> {
        let (log_start, end) = self.query(topic, partition)?;
        if stored > end {
            let context = format!(
                "topic {topic:?} partition {partition}: the stored offset is {stored}, but the log ends at {end}"
            );
            return Err(Error::new(ErrorKind::Kafka, context)
                .help("The topic was recreated or its log truncated; --new-epoch starts it from the beginning"));
        }
        Ok((stored < log_start).then(|| Gap { topic: topic.to_owned(), partition, stored, log_start }))
    }

    /// Reads `topic` from these (partition, offset) on, in place of what was assigned of it before; other topics stay.
    ///
    /// # Errors
    /// `Gap` for the first stored offset that the log no longer has; otherwise as [`gaps`](Self::gaps). Nothing has
    /// changed then.
    pub fn assign(&mut self, topic: &str, starts: &[(i32, i64)]) -> Result<()> {
        if let Some(gap) = self.gaps(topic, starts)?.into_iter().next() {
            return Err(gap.into());
        }
        self.slots.retain(|slot| &*slot.topic != topic);
        let name: Arc<str> = topic.into();
        self.slots.extend(starts.iter().map(|&(partition, next)| Slot::new(Arc::clone(&name), partition, next)));
        self.stale = true;
        Ok(())
    }

    /// Goes to `offset` in an assigned partition: the next record from it has that offset or, where that is no record, a
    /// later one.
    ///
    /// # Errors
    /// `Config` where the partition is not assigned.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        self.slot(topic, partition)?.reset(offset);
        self.stale = true;
        Ok(())
    }

    /// Stops fetching from a partition. What was fetched before may still come.
    ///
    /// # Errors
    /// `Config` where the partition is not assigned.
    pub fn pause(&mut self, topic: &str, partition: i32) -> Result<()> {
        self.set_paused(topic, partition, true)
    }

    /// Fetches from a paused partition again.
    ///
    /// # Errors
    /// `Config` where the partition is not assigned.
    pub fn resume(&mut self, topic: &str, partition: i32) -> Result<()> {
        self.set_paused(topic, partition, false)
    }

    fn set_paused(&mut self, topic: &str, partition: i32, paused: bool) -> Result<()> {
        self.feed.check()?;
        self.slot(topic, partition)?.paused = paused;
        // An assignment still to be made takes it along.
        if self.stale {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let consumer = self.feed.consumer();
        let done = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        done.map_err(|cause| {
            Error::new(ErrorKind::Kafka, format!("topic {topic:?} partition {partition}")).because(cause)
        })
    }

    fn slot(&mut self, topic: &str, partition: i32) -> Result<&mut Slot> {
        let found = self.slots.iter_mut().find(|slot| slot.partition == partition && &*slot.topic == topic);
        found.ok_or_else(|| Error::config(format!("topic {topic:?} partition {partition} is not assigned")))
    }

    /// Where each assigned partition stands, after all that `poll_batch` has returned.
    pub fn positions(&self) -> Vec<Position> {
        let position = |slot: &Slot| Position {
            topic: Arc::clone(&slot.topic),
            partition: slot.partition,
            next: slot.next,
            end: slot.end,
        };
        self.slots.iter().map(position).collect()
    }

    /// The end of a partition (the high watermark) as the broker last told it with an answer; none before the first. Asks
    /// nothing, so it may be called often.
    pub fn high_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        self.feed.check().ok()?;
        native::high_watermark(self.feed.consumer().client(), topic, partition)
    }

    /// Whether every assigned partition that is not paused has been read to its end.
    pub fn at_end(&self) -> bool {
        self.slots.iter().all(|slot| slot.paused || slot.at_end())
    }

    /// Takes records until there are `max_rows` of them, or `max_bytes` (at most 1 GiB) are reached, or `timeout` is over,
    /// or all partitions have just been read to their end, or `cancel` is set; in each case it returns what it has, by
    /// partition, perhaps nothing.
    ///
    /// # Errors
    /// `Gap` when retention has overtaken a partition; `Kafka` when the broker refuses one; `Connection` when all brokers
    /// have been away for `unreachable_after`. Records that came before the error are returned first, and the error by the
    /// next call.
    pub fn poll_batch(
        &mut self,
        max_rows: usize,
        max_bytes: usize,
        timeout: Duration,
        cancel: &AtomicBool,
    ) -> Result<Vec<Fetched>> {
        self.feed.check()?;
        if let Some(error) = self.deferred.take() {
            return Err(error);
        }
        self.apply()?;
        let failure = self.gather(max_rows, max_bytes.min(1 << 30), timeout, cancel).err();
        let mut fetched = Vec::new();
        for slot in &mut self.slots {
            fetched.extend(slot.take().map(|records| Fetched { topic: Arc::clone(&slot.topic), records }));
        }
        match failure {
            Some(error) if fetched.is_empty() => Err(error),
            failure => {
                self.deferred = failure;
                Ok(fetched)
            }
        }
    }

    fn gather(&mut self, max_rows: usize, max_bytes: usize, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let (mut rows, mut bytes, mut events) = (0, 0, 0_usize);
        while rows < max_rows && bytes < max_bytes {
            // The clock and the flag are looked at when nothing waits, and now and then while much does.
            events += 1;
            if events.is_multiple_of(4096) && (cancel.load(Ordering::Relaxed) || Instant::now() >= deadline) {
                return Ok(());
            }
            let (wait, asked) = (|| TICK.min(deadline.saturating_duration_since(Instant::now())), Instant::now());
            let Some(message) = self.feed.next(wait) else {
                self.waited += asked.elapsed();
                if cancel.load(Ordering::Relaxed) || Instant::now() >= deadline {
                    return Ok(());
                }
                self.check_topics()?;
                self.check_brokers()?;
                if self.waited >= self.options.stalled_after && self.stalled()? {
                    return Ok(());
                }
                continue;
            };
            self.waited = Duration::ZERO;
            let Some(index) = find(&self.slots, self.recent, &message) else { continue };
            self.recent = index;
            let slot = &mut self.slots[index];
            slot.handle = message.handle();
            match message.error() {
                None => {
                    self.restarted = false;
                    let size = slot.push(&message);
                    rows += usize::from(size > 0);
                    bytes += size;
                }
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    slot.next = slot.next.max(message.offset());
                    slot.end = Some(slot.next);
                    self.feed.consumer().client().context().answered();
                    if self.at_end() {
                        return Ok(());
                    }
                }
                Some(code) => {
                    let (topic, partition) = (Arc::clone(&slot.topic), slot.partition);
                    self.refusal(&topic, partition, code)?;
                }
            }
        }
        Ok(())
    }

    /// What an error of a partition means; `Ok` for one that librdkafka gets over by itself.
    fn refusal(&self, topic: &str, partition: i32, code: RDKafkaErrorCode) -> Result<()> {
        use RDKafkaErrorCode as Code;
        let journal = self.feed.consumer().client().context();
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                let stored = self.slots.iter().find(|s| s.partition == partition && &*s.topic == topic);
                match self.compare(topic, partition, stored.map_or(0, |slot| slot.next))? {
                    Some(gap) => Err(gap.into()),
                    None => Err(Error::new(
                        ErrorKind::Kafka,
                        format!("topic {topic:?} partition {partition}: the broker refused the offset: {code}"),
                    )
                    .retryable()),
                }
            }
            Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::Resolve => {
                journal.note(&code.to_string());
                Ok(())
            }
            _ => {
                let what = format!("reading topic {topic:?} partition {partition}");
                Err(client::request_error(&what, topic, &self.options.servers, code, journal))
            }
        }
    }

    /// The error of a topic or partition that has gone: librdkafka says so in its log only, and goes on asking.
    fn check_topics(&self) -> Result<()> {
        let consumer = self.feed.consumer();
        if !consumer.client().context().take_missing() {
            return Ok(());
        }
        for (index, slot) in self.slots.iter().enumerate() {
            if self.slots[..index].iter().any(|earlier| earlier.topic == slot.topic) {
                continue;
            }
            let Ok(metadata) = consumer.fetch_metadata(Some(&slot.topic), TICK * 5) else { continue };
            let found = metadata.topics().first();
            let here = |partition| found.is_some_and(|t| t.partitions().iter().any(|p| p.id() == partition));
            let code = match found.and_then(rdkafka::metadata::MetadataTopic::error) {
                Some(code) => code.into(),
                None if self.slots.iter().any(|s| s.topic == slot.topic && !here(s.partition)) => {
                    RDKafkaErrorCode::UnknownPartition
                }
                None => continue,
            };
            if let Some(error) = client::topic_error(&slot.topic, &self.options.servers, code) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A `Connection` error when all brokers have been away for too long.
    fn check_brokers(&self) -> Result<()> {
        let consumer = self.feed.consumer();
        let journal = consumer.client().context();
        let limit = self.options.unreachable_after;
        if journal.down_since().is_none_or(|since| since.elapsed() < limit) {
            return Ok(());
        }
        // They may be back, with nothing to read; ask before complaining.
        let topic = self.slots.first().map(|slot| &*slot.topic);
        if topic.is_some_and(|topic| consumer.fetch_metadata(Some(topic), TICK * 5).is_err()) {
            let (servers, security) = (&self.options.servers, &self.options.security);
            let refused = client::refused_login(servers, security, journal);
            return Err(refused.unwrap_or_else(|| client::unreachable(servers, limit, journal)));
        }
        journal.answered();
        Ok(())
    }

    /// Whether records stand where none came: the assignment is then made anew.
    fn stalled(&mut self) -> Result<bool> {
        self.waited = Duration::ZERO;
        for slot in self.slots.iter().filter(|slot| !slot.paused) {
            let (_, end) = self.query(&slot.topic, slot.partition)?;
            if end <= slot.next {
                continue;
            }
            if self.restarted {
                let context = format!(
                    "topic {:?} partition {}: nothing has come from offset {} on for {:.0} s, although the log ends at {end}",
                    slot.topic,
                    slot.partition,
                    slot.next,
                    2.0 * self.options.stalled_after.as_secs_f64()
                );
                let help = "Look into the broker's log, and whether the network lets large answers through";
                return Err(Error::new(ErrorKind::Connection, context).help(help).retryable());
            }
            self.restarted = true;
            self.stale = true;
            return Ok(true);
        }
        Ok(false)
    }

    /// Tells librdkafka the assignment, each partition from where it stands.
    fn apply(&mut self) -> Result<()> {
        if !self.stale {
            return Ok(());
        }
        let (mut all, mut paused) = (TopicPartitionList::new(), TopicPartitionList::new());
        for slot in &self.slots {
            all.add_partition_offset(&slot.topic, slot.partition, Offset::Offset(slot.next)).map_err(|cause| {
                let context = format!("topic {:?} partition {}: offset {}", slot.topic, slot.partition, slot.next);
                Error::config(context).because(cause)
            })?;
            if slot.paused {
                paused.add_partition(&slot.topic, slot.partition);
            }
        }
        // Messages already taken are of the old assignment.
        self.feed.clear();
        let consumer = self.feed.consumer();
        let assigned = consumer.assign(&all).and_then(|()| consumer.pause(&paused));
        assigned.map_err(|cause| Error::new(ErrorKind::Kafka, "partitions could not be assigned").because(cause))?;
        self.stale = false;
        Ok(())
    }
}

/// The slot of a message: by its topic's handle, and by name when that is new.
fn find(slots: &[Slot], recent: usize, message: &native::feed::Fetched<'_>) -> Option<usize> {
    let (handle, partition) = (message.handle(), message.partition());
    // An event of the consumer group, which does not concern a reader that never joins it.
    if handle == 0 {
        return None;
    }
    let same = |slot: &Slot| slot.handle == handle && slot.partition == partition;
    if slots.get(recent).is_some_and(same) {
        return Some(recent);
    }
    slots.iter().position(same).or_else(|| {
        let topic = message.topic();
        slots.iter().position(|slot| slot.partition == partition && &*slot.topic == topic)
    })
}

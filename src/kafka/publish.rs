//! Sending encoded events, with an account of every message.
//!
//! # Guarantees
//! The producer is idempotent and waits for all in-sync replicas (`acks=all`): what is reported delivered stands in the log
//! once, and each key's messages stand in the order in which they were sent. Keys go to partitions as Java clients send them
//! (`murmur2_random`), so that other producers' messages of one device share its partition.
//!
//! # Account
//! [`Publisher::send`] only hands messages to librdkafka; the broker's answers come later. Each message ends as one of
//! three, and [`Report`] counts them by topic: **delivered** (acknowledged), **failed** (refused, with the first reasons), or
//! **queued** (not acknowledged yet or, in the report of [`Publisher::close`], given up: those already on the way may have
//! been written all the same).
//!
//! Call `close`: it waits for the answers. Dropping a publisher discards what it still holds; a [`Watch`] taken before shows
//! how much that was.
//!
//! # Bounds
//! | bound | option | default |
//! | --- | --- | --- |
//! | messages held | [`PublishOptions::queue_messages`] | 500 000 |
//! | bytes held | [`PublishOptions::queue_kib`] | 64 MiB |
//! | from `send` to acknowledged, with all retries | [`PublishOptions::delivery_timeout`] | 2 min |
//! | messages, and bytes, of one transaction, kept beside the queue | [`PublishOptions::transaction_messages`], [`PublishOptions::transaction_kib`] | 50 000, 16 MiB |
//! | topics of one publisher | [`MAX_TOPICS`] | 64 |
//!
//! When the queue is full, `send` waits for the broker: that is the backpressure.
//!
//! # Transactions
//! With a [`PublishOptions::transactional_id`] messages are sent in transactions, and `read_committed` consumers see each once:
//! `send` commits when [`PublishOptions::transaction_messages`], [`PublishOptions::transaction_kib`] or
//! [`PublishOptions::transaction_interval`] is reached, [`Publisher::poll`] when the interval is, [`Publisher::commit`] and
//! `close` at once. Only what is committed counts as delivered. Where the broker refuses a commit, the transaction is aborted
//! and its messages are sent again in the next, three times at most; a message that was refused by itself counts as failed
//! and is left out. The messages of the open transaction are kept in memory until then.
//!
//! Another producer that opens the same id fences this one off: its open transaction is aborted, and every call is an error
//! that says so.
//!
//! ```no_run
//! # fn send(messages: &_core::schema::Messages) -> Result<(), _core::error::Error> {
//! use std::sync::atomic::AtomicBool;
//! use std::time::Duration;
//! use _core::kafka::{PublishOptions, Publisher};
//!
//! let cancel = AtomicBool::new(false);
//! let mut publisher = Publisher::open(PublishOptions::new("localhost:9092"), &cancel)?;
//! publisher.send("gps_data", messages, &cancel)?;
//! let report = publisher.close(Duration::from_secs(60), &cancel)?;
//! println!("{} delivered, {} failed", report.delivered(), report.failed());
//! # Ok(()) }
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::Array as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};

use super::auth::Security;
use super::client::{self, TICK};
use super::ledger::{Label, Ledger, Tag, Tally};
pub use super::ledger::{MAX_TOPICS, Report, TopicReport, Watch};
use super::native::kept::Kept;
use super::transaction::Open;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Messages;

/// How long answers are served before the queue or the flag is looked at again.
const SERVE: Duration = Duration::from_millis(5);

/// How batches are compressed on the way and in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4: the default.
    #[default]
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Every one, as [`name`](Self::name) and [`parse`](Self::parse) know them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The compression called `name`.
    ///
    /// # Errors
    /// `Config`, with the names there are.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|c| c.name()).collect();
            Error::config(format!("unknown compression {name:?}")).help(format!("Choose from {}", names.join(", ")))
        })
    }
}

/// How a [`Publisher`] connects, and its bounds.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// `host:port`, several with commas.
    pub servers: String,
    /// Login and encryption.
    pub security: Security,
    /// Compression of batches.
    pub compression: Compression,
    /// How long a message waits for others to share its batch.
    pub linger: Duration,
    /// Messages held until they are acknowledged.
    pub queue_messages: u32,
    /// KiB held until they are acknowledged.
    pub queue_kib: u32,
    /// From `send` until a message counts as failed, retries included.
    pub delivery_timeout: Duration,
    /// How long the first contact, and each topic's, may take.
    pub timeout: Duration,
    /// Makes the run a transaction of this id; another producer that opens the same id fences this one off.
    pub transactional_id: Option<String>,
    /// Age at which the broker aborts an open transaction; it allows 15 minutes at most unless it is told otherwise.
    pub transaction_timeout: Duration,
    /// Messages of one transaction.
    pub transaction_messages: u32,
    /// KiB of keys and values in one transaction; a single larger message makes one of its own.
    pub transaction_kib: u32,
    /// Age at which a transaction is committed.
    pub transaction_interval: Duration,
}

impl PublishOptions {
    /// The defaults, for `servers`.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            security: Security::default(),
            compression: Compression::default(),
            linger: Duration::from_millis(20),
            queue_messages: 500_000,
            queue_kib: 64 * 1024,
            delivery_timeout: Duration::from_mins(2),
            timeout: Duration::from_secs(30),
            transactional_id: None,
            transaction_timeout: Duration::from_mins(15),
            transaction_messages: 50_000,
            transaction_kib: 16 * 1024,
            transaction_interval: Duration::from_secs(1),
        }
    }
}

/// Sends messages; the [module](self) is the manual.
pub struct Publisher {
    pub(super) options: PublishOptions,
    cluster_id: String,
    pub(super) producer: Kept<BaseProducer<Ledger>>,
    topics: Vec<String>,
    pub(super) open: Open,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("options", &self.options)
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// Messages on their way to one topic.
#[derive(Debug, Clone, Copy)]
pub struct Lot<'a> {
    /// The messages.
    pub messages: &'a Messages,
    /// Events in each, which is what the account counts; empty where each is one.
    pub events: &'a [u32],
    /// The records' timestamps in milliseconds; the wall clock's without.
    pub times: Option<&'a [i64]>,
}

impl<'a> Lot<'a> {
    /// Messages of one event each, with the wall clock's times.
    pub fn of(messages: &'a Messages) -> Self {
        Self { messages, events: &[], times: None }
    }

    pub(super) fn events_of(&self, row: usize) -> u32 {
        self.events.get(row).copied().unwrap_or(1)
    }
}

impl Publisher {
    /// Connects and, with a transactional id, begins the first transaction.
    ///
    /// # Errors
    /// `Connection` when no broker answers within `options.timeout`; `Config` for a refused setting; `Kafka` for a refused
    /// login or transactional id; `Interrupted`.
    pub fn open(options: PublishOptions, cancel: &AtomicBool) -> Result<Self> {
        let millis = |time: Duration| time.as_millis().max(1).to_string();
        let mut config = client::config(&options.servers, &options.security)?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", options.compression.name())
            .set("linger.ms", options.linger.as_millis().to_string())
            .set("queue.buffering.max.messages", options.queue_messages.to_string())
            .set("queue.buffering.max.kbytes", options.queue_kib.to_string());
        match &options.transactional_id {
            None => {
                config.set("message.timeout.ms", millis(options.delivery_timeout));
            }
            Some(id) => {
                // librdkafka wants no message to outlive its transaction.
                let delivery = options.delivery_timeout.min(options.transaction_timeout);
                config
                    .set("transactional.id", id)
                    .set("transaction.timeout.ms", millis(options.transaction_timeout))
                    .set("message.timeout.ms", millis(delivery));
            }
        }
        let ledger = Ledger::new(options.transactional_id.is_some());
        let producer: BaseProducer<Ledger> = config.create_with_context(ledger).map_err(client::refused)?;
        let (connection, journal) = (producer.client(), &producer.context().journal);
        let serve = || producer.poll(Duration::ZERO);
        let place = (options.servers.as_str(), &options.security);
        let (renewal, cluster_id) = client::first_contact(connection, journal, place, options.timeout, cancel, serve)?;
        let producer = Kept::new("the publisher", producer).renewed_by(renewal);
        let mut publisher = Self { options, cluster_id, producer, topics: Vec::new(), open: Open::default() };
        if publisher.options.transactional_id.is_some() {
            publisher.transact("opening it", publisher.options.timeout, cancel, Producer::init_transactions)?;
            publisher.begin()?;
        }
        Ok(publisher)
    }

    /// The cluster's id; empty where the cluster has none.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// What it was opened with.
    pub fn options(&self) -> &PublishOptions {
        &self.options
    }

    /// Hands a batch over, waiting where the queue is full. A message that librdkafka itself refuses (larger than it may be)
    /// counts as failed, and the others go on.
    ///
    /// # Errors
    /// `Kafka` for a topic that does not exist and that the broker does not create by itself, and for a
    /// producer that can't go on (fenced off, its transaction expired); `Connection` when no broker knows the topic in time;
    /// `Config` for a 65th topic; `Interrupted`; `Forked`. The messages before the error are in the account.
    pub fn send(&mut self, topic: &str, messages: &Messages, cancel: &AtomicBool) -> Result<()> {
        self.send_lot(topic, Lot::of(messages), cancel)
    }

    /// As [`send`](Self::send), for messages that hold many events or have times of their own.
    ///
    /// # Errors
    /// As `send`; `Config` where there are not as many times, or numbers of events, as messages.
    pub fn send_lot(&mut self, topic: &str, lot: Lot<'_>, cancel: &AtomicBool) -> Result<()> {
        self.producer.check()?;
        let rows = lot.messages.values.len();
        let counts = [lot.times.map(<[i64]>::len), Some(lot.events.len()).filter(|n| *n > 0)];
        if let Some(count) = counts.into_iter().flatten().find(|count| *count != rows) {
            return Err(Error::config(format!("{count} times or numbers of events for {rows} messages")));
        }
        let number = self.number(topic, cancel)?;
        if self.options.transactional_id.is_some() {
            return self.send_in_transactions(number, lot, cancel);
        }
        self.hand_over((number, 0), lot, &mut 0, cancel)
    }

    /// Gives messages to librdkafka and counts them as sent; `place` is the topic's number and the first message's in its
    /// transaction. `done` counts those that it has taken or refused.
    pub(super) fn hand_over(
        &self,
        (topic, first): (usize, usize),
        lot: Lot<'_>,
        done: &mut usize,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let outcome = self.hand_over_again((topic, first), lot, done, cancel);
        if let Some(tally) = self.producer.context().tallies.get(topic).and_then(OnceLock::get) {
            tally.sent.fetch_add((0..*done).map(|row| u64::from(lot.events_of(row))).sum(), Relaxed);
        }
        outcome
    }

    /// As `hand_over`, for messages that are counted already.
    pub(super) fn hand_over_again(
        &self,
        (topic, first): (usize, usize),
        lot: Lot<'_>,
        done: &mut usize,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let producer = &*self.producer;
        let Some(name) = self.topics.get(topic) else {
            return Err(Error::internal(format!("a topic without a name: {topic}")));
        };
        let in_transaction = usize::from(self.options.transactional_id.is_some());
        let (keys, values) = (&lot.messages.keys, &lot.messages.values);
        for row in 0..values.len() {
            let events = u64::from(lot.events_of(row));
            let label = Label { topic, events, index: (first + row) * in_transaction };
            let mut record = BaseRecord::<str, [u8], Tag>::with_opaque_to(name, label.tag());
            record.key = keys.is_valid(row).then(|| keys.value(row));
            record.payload = values.is_valid(row).then(|| values.value(row));
            record.timestamp = lot.times.map(|times| times[row]);
            while let Err((error, back)) = producer.send(record) {
                record = back;
                match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::QueueFull) => {
                        if cancel.load(Relaxed) {
                            return Err(client::interrupted("publishing"));
                        }
                        producer.poll(SERVE);
                    }
                    Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::State | RDKafkaErrorCode::Fenced) => {
                        return Err(self.broken(&error));
                    }
                    code => {
                        let reason = code.map_or_else(|| error.to_string(), |code| code.to_string());
                        producer.context().refuse(label, &reason);
                        break;
                    }
                }
            }
            *done += 1;
            if row % 1024 == 1023 {
                producer.poll(Duration::ZERO);
                if cancel.load(Relaxed) {
                    return Err(client::interrupted("publishing"));
                }
            }
        }
        producer.poll(Duration::ZERO);
        Ok(())
    }

    /// The topic's number; at the first time, when the broker has said that it knows the topic.
    fn number(&mut self, topic: &str, cancel: &AtomicBool) -> Result<usize> {
        if let Some(number) = self.topics.iter().position(|known| known == topic) {
            return Ok(number);
        }
        self.find_topic(topic, cancel)?;
        let number = self.topics.len();
        let Some(free) = self.producer.context().tallies.get(number) else {
            return Err(Error::config(format!("topic {topic:?} is one more than the {MAX_TOPICS} of a publisher"))
                .help("Open another publisher for it"));
        };
        free.get_or_init(|| Tally::new(topic));
        self.topics.push(topic.to_owned());
        Ok(number)
    }

    fn find_topic(&self, topic: &str, cancel: &AtomicBool) -> Result<()> {
        let (start, servers) = (Instant::now(), &self.options.servers);
        let mut unknown = None;
        loop {
            if cancel.load(Relaxed) {
                return Err(client::interrupted("publishing"));
            }
            let journal = &self.producer.context().journal;
            match self.producer.client().fetch_metadata(Some(topic), TICK * 5) {
                Ok(metadata) => match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
                    None => return Ok(()),
                    // A broker that creates topics by itself says so once or twice before it has.
                    Some(code) => unknown = client::topic_error(topic, servers, code.into()),
                },
                Err(cause) => journal.note(&cause.to_string()),
            }
            self.producer.poll(Duration::ZERO);
            // Waiting longer helps a broker that is away, not a topic that nobody creates.
            let limit =
                if unknown.is_some() { Duration::from_secs(3).min(self.options.timeout) } else { self.options.timeout };
            if start.elapsed() >= limit {
                return Err(unknown.unwrap_or_else(|| client::unreachable(servers, limit, journal)));
            }
            std::thread::sleep(TICK / 2);
        }
    }

    /// The partitions that a topic has now.
    ///
    /// # Errors
    /// As [`send`](Self::send) for the topic.
    pub fn partitions(&mut self, topic: &str, cancel: &AtomicBool) -> Result<i32> {
        self.producer.check()?;
        self.number(topic, cancel)?;
        let found = self.producer.client().fetch_metadata(Some(topic), self.options.timeout);
        let count =
            |metadata: rdkafka::metadata::Metadata| metadata.topics().first().map(|t| t.partitions().len() as i32);
        match found.map(count) {
            Ok(Some(partitions)) => Ok(partitions),
            _ => {
                Err(client::unreachable(&self.options.servers, self.options.timeout, &self.producer.context().journal))
            }
        }
    }

    /// Serves answers that have come, without waiting: for a run that sends rarely.
    ///
    /// # Errors
    /// `Forked`; `Kafka` for a producer that can't go on; as [`commit`](Self::commit) for a transaction that is due.
    pub fn poll(&mut self, cancel: &AtomicBool) -> Result<()> {
        self.producer.check()?;
        self.producer.poll(Duration::ZERO);
        match self.producer.client().fatal_error() {
            None if self.is_due() => self.commit(self.commit_limit(), cancel),
            None => Ok(()),
            Some((code, _)) => Err(self.broken(&KafkaError::Global(code))),
        }
    }

    /// Waits until every message is delivered or failed.
    ///
    /// # Errors
    /// `Connection` with what is left after `timeout`; `Interrupted`; `Forked`. The messages stay queued then.
    pub fn flush(&mut self, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        self.producer.check()?;
        if self.settle(timeout, cancel) {
            return Ok(());
        }
        if cancel.load(Relaxed) {
            return Err(client::interrupted("flushing"));
        }
        let (queued, journal) = (self.report().queued(), &self.producer.context().journal);
        let mut context = format!(
            "{queued} messages to {} are not acknowledged after {:.1} s",
            self.options.servers,
            timeout.as_secs_f64()
        );
        if let Some(last) = journal.last() {
            context = format!("{context}; last heard: {last}");
        }
        Err(Error::new(ErrorKind::Connection, context).retryable())
    }

    /// Whether nothing is queued any more, waiting up to `timeout` for it.
    fn settle(&self, timeout: Duration, cancel: &AtomicBool) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            // Short, since rdkafka serves for the whole time even when all has been answered.
            if self.producer.flush(SERVE).is_ok() {
                return true;
            }
            if cancel.load(Relaxed) || Instant::now() >= deadline {
                return false;
            }
        }
    }

    /// Commits the open transaction and begins the next. Without a transactional id it is a [`flush`](Self::flush).
    ///
    /// # Errors
    /// As `flush`; `Kafka` when the broker refused again and again: the messages count as failed then, and the next
    /// transaction is begun.
    pub fn commit(&mut self, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        self.flush(timeout, cancel)?;
        if self.options.transactional_id.is_none() {
            return Ok(());
        }
        let ended = self.end_transaction(timeout, cancel);
        let begun = self.begin();
        ended.and(begun)
    }

    /// The error of a producer that can't go on.
    pub(super) fn broken(&self, cause: &KafkaError) -> Error {
        let reason = match (cause, self.producer.client().fatal_error()) {
            (_, Some((_, reason))) => reason,
            (KafkaError::Transaction(error), None) => error.string(),
            _ => cause.to_string(),
        };
        let error =
            Error::new(ErrorKind::Kafka, format!("publishing to {} can't go on: {reason}", self.options.servers));
        match &self.options.transactional_id {
            Some(id) => {
                error.help(format!("Does another producer use the transactional id {id:?}? Open a new publisher"))
            }
            None => error.help("Open a new publisher"),
        }
    }

    /// The account as it stands.
    pub fn report(&self) -> Report {
        self.producer.context().report()
    }

    /// Notes how far the run is behind its pace, for the account.
    pub fn set_behind(&self, behind: Duration) {
        self.producer.context().set_behind(behind);
    }

    /// The account, for another thread or for after the publisher is gone.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(self.producer.context()))
    }

    /// Waits up to `timeout` for the broker's answers, gives up what is left, commits the transaction if there is one (aborts it
    /// where something was given up), and returns the account. When `cancel` is set it does not wait.
    ///
    /// # Errors
    /// `Forked`; `Kafka` for a transaction that could not be committed.
    pub fn close(mut self, timeout: Duration, cancel: &AtomicBool) -> Result<Report> {
        self.producer.check()?;
        self.settle(timeout, cancel);
        let given_up = self.producer.in_flight_count() > 0;
        if given_up {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            // Purging makes the answers; a second is plenty to count them.
            self.settle(Duration::from_secs(1), &AtomicBool::new(false));
        }
        if self.options.transactional_id.is_some() {
            if given_up {
                self.abort_transaction();
            } else {
                self.end_transaction(timeout, cancel)?;
            }
        }
        Ok(self.report())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_have_names() {
        for compression in Compression::ALL {
            assert_eq!(Compression::parse(compression.name()).unwrap(), compression);
        }
        assert!(Compression::parse("brotli").unwrap_err().to_string().contains("zstd"));
    }
}

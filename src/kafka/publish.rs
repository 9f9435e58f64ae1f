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
//! | topics of one publisher | [`MAX_TOPICS`] | 64 |
//!
//! When the queue is full, `send` waits for the broker: that is the backpressure.
//!
//! # Transactions
//! With a [`PublishOptions::transactional_id`] one transaction is open from `open` to `close`; `read_committed` consumers
//! see its messages when it is committed. The broker ends one that is older than
//! [`PublishOptions::transaction_timeout`], so call [`Publisher::commit`] now and then in a long run: it commits and begins
//! the next. `close` commits when every message was delivered, else aborts and says so.
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
use super::ledger::{Ledger, Tally};
pub use super::ledger::{MAX_TOPICS, Report, TopicReport, Watch};
use super::native::kept::Kept;
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
        }
    }
}

/// Sends messages; the [module](self) is the manual.
pub struct Publisher {
    options: PublishOptions,
    cluster_id: String,
    producer: Kept<BaseProducer<Ledger>>,
    topics: Vec<String>,
    /// Messages that had failed when the open transaction began.
    failed_before: u64,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("options", &self.options)
            .field("report", &self.report())
            .finish_non_exhaustive()
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
        let producer: BaseProducer<Ledger> = config.create_with_context(Ledger::default()).map_err(client::refused)?;
        let (connection, journal) = (producer.client(), &producer.context().journal);
        let serve = || producer.poll(Duration::ZERO);
        let place = (options.servers.as_str(), &options.security);
        let (renewal, cluster_id) = client::first_contact(connection, journal, place, options.timeout, cancel, serve)?;
        let producer = Kept::new("the publisher", producer).renewed_by(renewal);
        let mut publisher = Self { options, cluster_id, producer, topics: Vec::new(), failed_before: 0 };
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

    /// Hands a batch over, waiting where the queue is full. A message that librdkafka itself refuses (too large for the
    /// topic's limit) counts as failed, and the others go on.
    ///
    /// # Errors
    /// `Kafka` for a topic that does not exist and that the broker does not create by itself, and for a
    /// producer that can't go on (fenced off, its transaction expired); `Connection` when no broker knows the topic in time;
    /// `Config` for a 65th topic; `Interrupted`; `Forked`. The messages before the error are in the account.
    pub fn send(&mut self, topic: &str, messages: &Messages, cancel: &AtomicBool) -> Result<()> {
        self.producer.check()?;
        let number = self.number(topic, cancel)?;
        let producer = &*self.producer;
        let Some(tally) = producer.context().tallies.get(number).and_then(OnceLock::get) else {
            return Err(Error::internal(format!("topic {topic:?} without a tally")));
        };
        let (keys, values) = (&messages.keys, &messages.values);
        for row in 0..values.len() {
            let mut record = BaseRecord::<str, [u8], usize>::with_opaque_to(topic, number);
            record.key = keys.is_valid(row).then(|| keys.value(row));
            record.payload = values.is_valid(row).then(|| values.value(row));
            tally.sent.fetch_add(1, Relaxed);
            while let Err((error, back)) = producer.send(record) {
                record = back;
                match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::QueueFull) => {
                        if cancel.load(Relaxed) {
                            tally.sent.fetch_sub(1, Relaxed);
                            return Err(client::interrupted("publishing"));
                        }
                        producer.poll(SERVE);
                    }
                    Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::State | RDKafkaErrorCode::Fenced) => {
                        tally.sent.fetch_sub(1, Relaxed);
                        return Err(self.broken(&error));
                    }
                    code => {
                        tally.refuse(&code.map_or_else(|| error.to_string(), |code| code.to_string()));
                        break;
                    }
                }
            }
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

    /// Serves answers that have come, without waiting: for a run that sends rarely.
    ///
    /// # Errors
    /// `Forked`; `Kafka` for a producer that can't go on.
    pub fn poll(&mut self) -> Result<()> {
        self.producer.check()?;
        self.producer.poll(Duration::ZERO);
        match self.producer.client().fatal_error() {
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
    /// As `flush`; `Kafka` when a message failed or the broker refused: the transaction is aborted then, and the next begun.
    pub fn commit(&mut self, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        self.flush(timeout, cancel)?;
        if self.options.transactional_id.is_none() {
            return Ok(());
        }
        let ended = self.end_transaction(timeout, cancel);
        self.begin()?;
        ended
    }

    fn begin(&mut self) -> Result<()> {
        self.failed_before = self.report().failed();
        self.producer.begin_transaction().map_err(|cause| self.broken(&cause))
    }

    /// Commits when all was delivered, else aborts.
    fn end_transaction(&self, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        let report = self.report();
        let failed = report.failed() - self.failed_before;
        let committed = if failed + report.queued() == 0 {
            self.transact("committing it", timeout, cancel, Producer::commit_transaction)
        } else {
            let context = format!("{failed} messages failed and {} were given up", report.queued());
            Err(Error::new(ErrorKind::Kafka, context))
        };
        committed.map_err(|cause| {
            let id = self.options.transactional_id.as_deref().unwrap_or_default();
            // Even after Ctrl-C, so that readers need not wait for the broker's time-out.
            let calm = AtomicBool::new(false);
            let limit = timeout.min(Duration::from_secs(10));
            let aborted = self.transact("aborting it", limit, &calm, Producer::abort_transaction);
            let state = if aborted.is_ok() { "was aborted" } else { "is left to the broker to abort" };
            Error::new(cause.kind(), format!("the transaction of {id:?} {state}")).because(cause)
        })
    }

    /// Runs one step of a transaction, again and again while librdkafka says that it can be.
    fn transact(
        &self,
        what: &str,
        timeout: Duration,
        cancel: &AtomicBool,
        step: impl Fn(&BaseProducer<Ledger>, Duration) -> Result<(), KafkaError>,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let again = match step(&self.producer, TICK * 5) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() => KafkaError::Transaction(error),
                Err(KafkaError::Flush(code)) => KafkaError::Flush(code),
                Err(error) => return Err(self.broken(&error)),
            };
            self.producer.poll(Duration::ZERO);
            if cancel.load(Relaxed) {
                return Err(client::interrupted(&format!("a transaction ({what})")));
            }
            if Instant::now() >= deadline {
                return Err(self.broken(&again));
            }
        }
    }

    /// The error of a producer that can't go on.
    fn broken(&self, cause: &KafkaError) -> Error {
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

    /// The account, for another thread or for after the publisher is gone.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(self.producer.context()))
    }

    /// Waits up to `timeout` for the broker's answers, gives up what is left, commits the transaction if there is one, and
    /// returns the account. When `cancel` is set it does not wait.
    ///
    /// # Errors
    /// `Forked`; `Kafka` for a transaction that could not be committed.
    pub fn close(self, timeout: Duration, cancel: &AtomicBool) -> Result<Report> {
        self.producer.check()?;
        self.settle(timeout, cancel);
        if self.producer.in_flight_count() > 0 {
            self.producer.purge(PurgeConfig::default().queue().inflight());
            // Purging makes the answers; a second is plenty to count them.
            self.settle(Duration::from_secs(1), &AtomicBool::new(false));
        }
        if self.options.transactional_id.is_some() {
            self.end_transaction(timeout, cancel)?;
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

//! The account of a publisher: what became of each message, by topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;

use super::client::Journal;

/// Topics that one publisher can send to.
pub const MAX_TOPICS: usize = 64;

/// Different reasons kept for each topic.
const MAX_REASONS: usize = 5;

/// What became of the messages of one topic; one that holds many events counts for so many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicReport {
    /// Handed over by `send`: the sum of the next three.
    pub sent: u64,
    /// Acknowledged by the broker and, in a transaction, committed.
    pub delivered: u64,
    /// Refused, or not acknowledged within the delivery timeout.
    pub failed: u64,
    /// Neither yet; after `close`: given up.
    pub queued: u64,
    /// Key and value bytes of the delivered ones, before compression.
    pub bytes: u64,
    /// The first five different reasons of the failed ones.
    pub reasons: Vec<String>,
}

/// What became of the messages, by topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Each topic that was sent to.
    pub topics: BTreeMap<String, TopicReport>,
    /// How far the run is behind its pace, as whoever paces it has said last; to the millisecond.
    pub behind: Duration,
}

impl Report {
    fn sum(&self, of: impl Fn(&TopicReport) -> u64) -> u64 {
        self.topics.values().map(of).sum()
    }

    /// Messages handed over.
    pub fn sent(&self) -> u64 {
        self.sum(|t| t.sent)
    }

    /// Messages acknowledged.
    pub fn delivered(&self) -> u64 {
        self.sum(|t| t.delivered)
    }

    /// Messages refused.
    pub fn failed(&self) -> u64 {
        self.sum(|t| t.failed)
    }

    /// Messages that are neither.
    pub fn queued(&self) -> u64 {
        self.sum(|t| t.queued)
    }

    /// Key and value bytes of the delivered ones.
    pub fn bytes(&self) -> u64 {
        self.sum(|t| t.bytes)
    }
}

/// The account of a [`Publisher`](super::Publisher), for another thread or for after it is gone.
#[derive(Clone)]
pub struct Watch(pub(super) Arc<Ledger>);

impl Watch {
    /// The account as it stands.
    pub fn report(&self) -> Report {
        self.0.report()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.report()).finish()
    }
}

/// Counts of one topic. Written by the publisher's thread only; read by any.
pub(super) struct Tally {
    pub(super) topic: String,
    pub(super) sent: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    /// Acknowledged in the open transaction, and their bytes.
    open: AtomicU64,
    open_bytes: AtomicU64,
    reasons: Mutex<Vec<String>>,
}

impl Tally {
    pub(super) fn new(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            open: AtomicU64::new(0),
            open_bytes: AtomicU64::new(0),
            reasons: Mutex::new(Vec::new()),
        }
    }

    /// Counts `count` events as failed.
    pub(super) fn fail(&self, count: u64, reason: &str) {
        self.failed.fetch_add(count, Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < MAX_REASONS && !reasons.iter().any(|known| known == reason) {
            reasons.push(reason.to_owned());
        }
    }

    fn deliver(&self, events: u64, bytes: usize, in_transaction: bool) {
        let (count, sum) = if in_transaction { (&self.open, &self.open_bytes) } else { (&self.delivered, &self.bytes) };
        sum.fetch_add(bytes as u64, Relaxed);
        count.fetch_add(events, Relaxed);
    }

    fn report(&self) -> TopicReport {
        // `sent` last: what is delivered or failed was sent before.
        let (delivered, failed) = (self.delivered.load(Relaxed), self.failed.load(Relaxed));
        let sent = self.sent.load(Relaxed).max(delivered + failed);
        TopicReport {
            sent,
            delivered,
            failed,
            queued: sent - delivered - failed,
            bytes: self.bytes.load(Relaxed),
            reasons: self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// What travels with each message.
pub(super) type Tag = usize;

/// [`Tag`] as a number: six bits for the topic, twenty for the events, the rest for the message's number in the open
/// transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    /// The topic's number.
    pub topic: usize,
    /// Events in the message.
    pub events: u64,
    /// Its number in the open transaction; 0 where there is none.
    pub index: usize,
}

/// No message holds so many events: an event is more than a byte, and a message at most a megabyte or so.
const MAX_EVENTS: usize = 1 << 20;

impl Label {
    pub fn tag(self) -> Tag {
        (self.index * MAX_EVENTS + (self.events as usize).min(MAX_EVENTS - 1)) * MAX_TOPICS + self.topic
    }

    fn of(tag: Tag) -> Self {
        let (rest, topic) = (tag / MAX_TOPICS, tag % MAX_TOPICS);
        Self { topic, events: (rest % MAX_EVENTS) as u64, index: rest / MAX_EVENTS }
    }
}

/// rdkafka's context: the journal, and a tally for each topic.
pub(super) struct Ledger {
    pub(super) journal: Journal,
    pub(super) tallies: [OnceLock<Tally>; MAX_TOPICS],
    /// Whether messages are delivered only by a commit.
    transactional: bool,
    /// Messages of the open transaction, by their number in it, that will never be taken; they are counted.
    refused: Mutex<BTreeSet<usize>>,
    /// Milliseconds; see [`Report::behind`].
    behind: AtomicU64,
}

impl Ledger {
    pub(super) fn new(transactional: bool) -> Self {
        Self {
            journal: Journal::default(),
            tallies: [const { OnceLock::new() }; MAX_TOPICS],
            transactional,
            refused: Mutex::default(),
            behind: AtomicU64::new(0),
        }
    }

    pub(super) fn set_behind(&self, behind: Duration) {
        self.behind.store(behind.as_millis() as u64, Relaxed);
    }

    pub(super) fn report(&self) -> Report {
        let known = self.tallies.iter().filter_map(OnceLock::get);
        Report {
            topics: known.map(|tally| (tally.topic.clone(), tally.report())).collect(),
            behind: Duration::from_millis(self.behind.load(Relaxed)),
        }
    }

    /// The open transaction has been committed: what was acknowledged in it is delivered.
    pub(super) fn commit(&self) {
        for tally in self.tallies.iter().filter_map(OnceLock::get) {
            tally.bytes.fetch_add(tally.open_bytes.swap(0, Relaxed), Relaxed);
            tally.delivered.fetch_add(tally.open.swap(0, Relaxed), Relaxed);
        }
        self.refused_in_transaction().clear();
    }

    /// It was aborted: nothing in it is delivered.
    pub(super) fn abort(&self) {
        for tally in self.tallies.iter().filter_map(OnceLock::get) {
            tally.open_bytes.store(0, Relaxed);
            tally.open.store(0, Relaxed);
        }
    }

    /// Messages of the open transaction that will never be taken.
    pub(super) fn refused_in_transaction(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message that will never be taken.
    pub(super) fn refuse(&self, label: Label, reason: &str) {
        let Some(tally) = self.tallies.get(label.topic).and_then(OnceLock::get) else { return };
        tally.fail(label.events, reason);
        if self.transactional {
            self.refused_in_transaction().insert(label.index);
        }
    }
}

impl ClientContext for Ledger {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.journal.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.journal.error(error, reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ProducerContext for Ledger {
    type DeliveryOpaque = Tag;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: Tag) {
        let label = Label::of(tag);
        let Some(tally) = self.tallies.get(label.topic).and_then(OnceLock::get) else { return };
        match result {
            Ok(message) => {
                let bytes = message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len);
                tally.deliver(label.events, bytes, self.transactional);
            }
            Err((error, _)) => match error.rdkafka_error_code() {
                // Given up by `close` or by the drop: it stays counted as queued.
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {}
                // The transaction that it was in is aborted; it may be sent in the next.
                Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced)
                    if self.transactional => {}
                Some(code) => self.refuse(label, &code.to_string()),
                None => self.refuse(label, &error.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_back_as_it_was_sent() {
        for label in [
            Label { topic: 0, events: 1, index: 0 },
            Label { topic: MAX_TOPICS - 1, events: 9_000, index: 0 },
            Label { topic: 5, events: MAX_EVENTS as u64 - 1, index: 123_456_789 },
        ] {
            assert_eq!(Label::of(label.tag()), label);
        }
    }

    #[test]
    fn reasons_are_few_and_different() {
        let tally = Tally::new("t");
        for reason in ["a", "a", "b", "c", "d", "e", "f"] {
            tally.fail(1, reason);
        }
        let report = tally.report();
        assert_eq!((report.failed, report.reasons.join("")), (7, "abcde".to_owned()));
    }
}

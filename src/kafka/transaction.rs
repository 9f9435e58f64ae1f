//! A publisher's transactions: bounded, sent again when one is aborted, and counted when they are committed.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arrow::array::Array as _;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};

use super::client::{self, TICK};
use super::ledger::Ledger;
use super::publish::{Lot, Publisher};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::Messages;

/// How often the messages of an aborted transaction are sent again.
const RETRIES: u32 = 3;
/// How long the broker gets to abort one.
const ABORT: Duration = Duration::from_secs(10);

/// The open transaction, with what it takes to send it again.
#[derive(Default)]
pub(super) struct Open {
    /// When its first message was handed over.
    began: Option<Instant>,
    held: Vec<Held>,
    messages: usize,
    bytes: usize,
}

/// Messages as they were handed over.
struct Held {
    /// The topic's number.
    topic: usize,
    /// The number of the first in its transaction.
    first: usize,
    messages: Messages,
    events: Vec<u32>,
    times: Option<Vec<i64>>,
}

impl Held {
    fn lot(&self) -> Lot<'_> {
        Lot { messages: &self.messages, events: &self.events, times: self.times.as_deref() }
    }
}

impl Publisher {
    /// Hands messages over, committing whenever the transaction is as large or as old as it may be.
    pub(super) fn send_in_transactions(&mut self, topic: usize, lot: Lot<'_>, cancel: &AtomicBool) -> Result<()> {
        let messages = lot.messages;
        let most = self.options.transaction_messages.max(1) as usize;
        let most_bytes = self.options.transaction_kib.max(1) as usize * 1024;
        let (mut from, mut stuck) = (0, false);
        while from < messages.values.len() {
            if self.open.messages >= most || self.open.bytes >= most_bytes || self.is_due() {
                self.commit(self.commit_limit(), cancel)?;
            }
            let room = messages.values.len().min(from + most - self.open.messages);
            let room_bytes = most_bytes - self.open.bytes;
            let start = bytes_before(messages, from);
            let fits = (from + 1..room).take_while(|to| bytes_before(messages, to + 1) - start <= room_bytes).count();
            let (first, mut done) = (self.open.messages, 0);
            let mut held = Held {
                topic,
                first,
                messages: messages.slice(from, fits + 1),
                events: lot.events.get(from..=from + fits).unwrap_or_default().to_vec(),
                times: lot.times.map(|times| times[from..=from + fits].to_vec()),
            };
            self.open.began.get_or_insert_with(Instant::now);
            let outcome = self.hand_over((topic, first), held.lot(), &mut done, cancel);
            self.open.messages += done;
            self.open.bytes += bytes_before(&held.messages, done);
            held.messages = held.messages.slice(0, done);
            self.open.held.push(held);
            from += done;
            if let Err(error) = outcome {
                if error.kind() == ErrorKind::Interrupted || self.is_broken() || (stuck && done == 0) {
                    return Err(error);
                }
                // A message was refused: librdkafka takes no more in this transaction. It is sent again without that one.
                self.commit(self.commit_limit(), cancel)?;
                stuck = done == 0;
            }
        }
        Ok(())
    }

    /// Whether the producer can't go on at all.
    fn is_broken(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    /// Whether the open transaction is as old as it may become.
    pub(super) fn is_due(&self) -> bool {
        self.open.began.is_some_and(|began| began.elapsed() >= self.options.transaction_interval)
    }

    /// How long a commit between two messages may take.
    pub(super) fn commit_limit(&self) -> Duration {
        self.options.delivery_timeout + self.options.timeout
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        self.open = Open::default();
        self.producer.context().abort();
        self.producer.context().refused_in_transaction().clear();
        self.producer.begin_transaction().map_err(|cause| self.broken(&cause))
    }

    /// Commits. Where the broker refuses it, the transaction is aborted and its messages are sent again in the next one, but
    /// for those that were refused by themselves.
    pub(super) fn end_transaction(&mut self, timeout: Duration, cancel: &AtomicBool) -> Result<()> {
        let (mut left, mut unsent) = (RETRIES, None);
        loop {
            let done = match unsent.take() {
                Some(cause) => Err(cause),
                None => self.transact("committing it", timeout, cancel, Producer::commit_transaction),
            };
            let Err(cause) = done else {
                self.producer.context().commit();
                return Ok(());
            };
            let aborted = self.abort_transaction();
            let again = aborted && left > 0 && cause.kind() != ErrorKind::Interrupted;
            if !again {
                return Err(self.given_up(aborted, cause));
            }
            left -= 1;
            self.producer.begin_transaction().map_err(|cause| self.broken(&cause))?;
            // What was refused only now ends this one, too.
            unsent = self.send_again(cancel).and_then(|()| self.flush(timeout, cancel)).err();
        }
    }

    /// Aborts, also after Ctrl-C, so that readers need not wait for the broker's time-out; whether it was done.
    pub(super) fn abort_transaction(&self) -> bool {
        let calm = AtomicBool::new(false);
        let aborted = self.transact("aborting it", ABORT, &calm, Producer::abort_transaction).is_ok();
        self.producer.context().abort();
        aborted
    }

    /// What could not be sent: failed where it was aborted, else nobody knows and it stays queued.
    fn given_up(&mut self, aborted: bool, cause: Error) -> Error {
        let ledger = self.producer.context();
        if aborted && cause.kind() != ErrorKind::Interrupted {
            let refused = ledger.refused_in_transaction();
            for held in &self.open.held {
                let left = (0..held.messages.values.len()).filter(|row| !refused.contains(&(held.first + row)));
                let events = left.map(|row| u64::from(held.lot().events_of(row))).sum();
                if let Some(tally) = ledger.tallies.get(held.topic).and_then(OnceLock::get) {
                    tally.fail(events, &format!("its transaction was aborted: {cause}"));
                }
            }
        }
        let id = self.options.transactional_id.as_deref().unwrap_or_default();
        let state = if aborted { "was aborted" } else { "is left to the broker to abort" };
        Error::new(cause.kind(), format!("the transaction of {id:?} {state}")).because(cause)
    }

    fn send_again(&mut self, cancel: &AtomicBool) -> Result<()> {
        let refused = self.producer.context().refused_in_transaction().clone();
        let held = std::mem::take(&mut self.open.held);
        let outcome = held.iter().try_for_each(|held| {
            let mut from = 0;
            let rows = held.messages.values.len();
            // Between two refused ones, all.
            for to in refused.range(held.first..held.first + rows).map(|n| n - held.first).chain([rows]) {
                let messages = held.messages.slice(from, to - from);
                let events = held.events.get(from..to).unwrap_or_default();
                let times = held.times.as_ref().map(|times| &times[from..to]);
                let (place, mut done) = ((held.topic, held.first + from), 0);
                self.hand_over_again(place, Lot { messages: &messages, events, times }, &mut done, cancel)?;
                from = to + 1;
            }
            Ok(())
        });
        self.open.held = held;
        outcome
    }

    /// Runs one step of a transaction, again and again while librdkafka says that it can be.
    pub(super) fn transact(
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
            if cancel.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(client::interrupted(&format!("a transaction ({what})")));
            }
            if Instant::now() >= deadline {
                return Err(self.broken(&again));
            }
        }
    }
}

/// Key and value bytes of the rows before `row`.
fn bytes_before(messages: &Messages, row: usize) -> usize {
    let of = |offsets: &[i32]| (offsets[row] - offsets[0]) as usize;
    of(messages.keys.value_offsets()) + of(messages.values.value_offsets())
}

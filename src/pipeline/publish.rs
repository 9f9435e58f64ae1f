//! City → codec → Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatchReader};
use arrow::datatypes::TimestampMicrosecondType;

use super::conform::conform;
use super::observe::{Chunk, Source};
use super::pace::{Pace, Pacer};
use super::progress::Run;
use super::topics::Topics;
use super::wire::{Wire, Written};
use crate::error::{Context, ErrorKind, Result};
use crate::kafka::{Publisher, Report};
use crate::schema::{Events, Stream};

/// What became of a run's messages.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Acknowledged by the broker, by stream; reference rows are not among them.
    pub delivered: BTreeMap<Stream, u64>,
    /// Refused or not acknowledged in time, by stream.
    pub failed: BTreeMap<Stream, u64>,
    /// Reference rows that were acknowledged.
    pub reference: u64,
    /// Still queued when the run ended.
    pub queued: u64,
    /// Key and value bytes of what was delivered.
    pub bytes: u64,
    /// Different reasons of failures.
    pub errors: Vec<String>,
}

/// Every message is delivered or failed after this time: librdkafka's own delivery timeout is shorter.
const SETTLE: Duration = Duration::from_secs(150);

/// Events of one stream on their way, with the instants at which they are sent, in milliseconds.
struct Outgoing {
    written: Written,
    sent: Vec<i64>,
}

impl Outgoing {
    /// The instant at which a message leaves: that of its last event.
    fn leaves(&self, message: usize) -> i64 {
        let row = self.written.last.get(message).map_or(message, |row| *row as usize);
        self.sent.get(row).copied().unwrap_or(i64::MAX)
    }

    /// Messages from `at` on that leave before `time`, and the first of them not to.
    fn until(&self, at: usize, time: i64) -> usize {
        let count = self.written.messages.values.len();
        (at..count).find(|message| self.leaves(*message) >= time).unwrap_or(count)
    }
}

/// Observes the whole run and sends it, the reference rows first. Returns when each message is delivered or failed.
///
/// # Errors
/// `Kafka` or `Connection` where the broker refuses or is away; `Interrupted`, after what is queued was given a chance.
pub fn publish(
    publisher: &mut Publisher,
    source: &Source,
    topics: &Topics,
    wire: &Wire,
    pace: Pace,
    run: &mut Run<'_>,
) -> Result<Published> {
    let before = after_earlier(publisher, run)?;
    let outcome = send_all(publisher, source, topics, wire, pace, run);
    settle(publisher, topics, &before, outcome, run)
}

fn send_all(
    publisher: &mut Publisher,
    source: &Source,
    topics: &Topics,
    wire: &Wire,
    pace: Pace,
    run: &mut Run<'_>,
) -> Result<()> {
    wire.check_faults(&source.sensors().faults)?;
    let streams = source.streams().into_iter().chain([Stream::Reference]);
    wire.prepare(streams, topics, publisher, run.cancel.flag())?;
    for events in source.reference()? {
        send(publisher, topics, &wire.encode(&events)?, run)?;
    }
    let (paced, wire) = (pace != Pace::Max, wire.clone());
    let encode = move |chunk: Chunk| {
        let out = chunk.events.iter().map(|events| {
            let sent = if paced { sent_times(events) } else { Vec::new() };
            Ok(Outgoing { written: wire.encode(events)?, sent })
        });
        Ok((chunk.until, out.collect::<Result<Vec<_>>>()?))
    };
    let (start, duration) = (source.city().options.start, source.city().options.duration);
    let mut pacer = Pacer::new(pace, start);
    for step in source.observe(encode)? {
        let (until, outgoing) = step?;
        if paced {
            send_paced(publisher, topics, &mut pacer, &outgoing, run)?;
        } else {
            for out in &outgoing {
                send(publisher, topics, &out.written, run)?;
            }
        }
        run.step("publish", (until - start) as u64, Some(duration as u64), "ms")?;
    }
    Ok(())
}

fn send(publisher: &mut Publisher, topics: &Topics, written: &Written, run: &Run<'_>) -> Result<()> {
    let topic = topics.of(written.messages.stream);
    publisher.send_events(topic, &written.messages, &written.events, run.cancel.flag())
}

/// Sends the streams' events merged by the instant at which they are sent.
fn send_paced(
    publisher: &mut Publisher,
    topics: &Topics,
    pacer: &mut Pacer,
    outgoing: &[Outgoing],
    run: &mut Run<'_>,
) -> Result<()> {
    let mut times: Vec<i64> = outgoing.iter().flat_map(|o| o.sent.iter().copied()).collect();
    times.sort_unstable();
    let mut at = vec![0; outgoing.len()];
    let cancel = run.cancel.clone();
    let publisher = std::cell::RefCell::new(publisher);
    let leave = |_, to: usize| {
        // All events before the slice's last instant leave, and of that instant those that the slice has room for. A
        // message of many events leaves with its last one.
        let last = times[to - 1];
        let mut room = to.saturating_sub(at.iter().sum());
        for pass in [last, last + 1] {
            for (out, at) in outgoing.iter().zip(&mut at) {
                let many = !out.written.events.is_empty();
                let until = if many { out.until(*at, last + 1) } else { out.until(*at, pass).min(*at + room) };
                if until > *at {
                    let slice = out.written.messages.slice(*at, until - *at);
                    let events = out.written.events.get(*at..until).unwrap_or_default();
                    publisher.borrow_mut().send_events(topics.of(slice.stream), &slice, events, cancel.flag())?;
                    room = room.saturating_sub(until - *at);
                    *at = until;
                }
            }
        }
        Ok(())
    };
    pacer.run(&times, &cancel, leave, || publisher.borrow_mut().poll())
}

fn sent_times(events: &Events) -> Vec<i64> {
    let column = ["sentAt", "tIn"].iter().find_map(|name| events.batch.column_by_name(name));
    let micros =
        |c| AsArray::as_primitive::<TimestampMicrosecondType>(c).values().iter().map(|us| us / 1_000).collect();
    column.map_or_else(|| vec![0; events.batch.num_rows()], micros)
}

/// Sends any Arrow data that has the stream's columns, in any order and of any type that casts without loss.
///
/// # Errors
/// `Decode` where a column is missing or a value does not fit, with its row; the batches before were sent. Else as [`publish`].
pub fn publish_arrow(
    publisher: &mut Publisher,
    stream: Stream,
    topics: &Topics,
    wire: &Wire,
    batches: Box<dyn RecordBatchReader + Send>,
    run: &mut Run<'_>,
) -> Result<Published> {
    let before = after_earlier(publisher, run)?;
    let outcome = send_batches(publisher, stream, topics, wire, batches, run);
    settle(publisher, topics, &before, outcome, run)
}

fn send_batches(
    publisher: &mut Publisher,
    stream: Stream,
    topics: &Topics,
    wire: &Wire,
    batches: Box<dyn RecordBatchReader + Send>,
    run: &mut Run<'_>,
) -> Result<()> {
    wire.prepare([stream], topics, publisher, run.cancel.flag())?;
    let mut sent = 0;
    for batch in batches {
        let batch = batch.context(ErrorKind::Decode, || "the Arrow data can't be read".to_owned())?;
        let batch = conform(stream, &batch, sent)?;
        let events = Events { stream, batch, harm: Vec::new() };
        send(publisher, topics, &wire.encode(&events)?, run)?;
        sent += events.batch.num_rows() as u64;
        run.step("publish", sent, None, "events")?;
    }
    Ok(())
}

/// The account when what was queued before the run has been answered, so that the run's report is of the run alone.
fn after_earlier(publisher: &mut Publisher, run: &Run<'_>) -> Result<Report> {
    publisher.flush(SETTLE, run.cancel.flag())?;
    Ok(publisher.report())
}

/// Waits for the broker's answers, also after an error or an interruption, and accounts for the run.
fn settle(
    publisher: &mut Publisher,
    topics: &Topics,
    before: &Report,
    outcome: Result<()>,
    run: &mut Run<'_>,
) -> Result<Published> {
    outcome?;
    publisher.commit(SETTLE, run.cancel.flag())?;
    Ok(account(&publisher.report(), before, topics))
}

/// What happened between two reports.
pub fn account(after: &Report, before: &Report, topics: &Topics) -> Published {
    let mut published = Published::default();
    for stream in Stream::ALL {
        let Some(now) = after.topics.get(topics.of(stream)) else { continue };
        let then = before.topics.get(topics.of(stream)).cloned().unwrap_or_default();
        let delivered = now.delivered - then.delivered;
        if stream == Stream::Reference {
            published.reference = delivered;
        } else {
            published.delivered.insert(stream, delivered);
        }
        let failed = now.failed - then.failed;
        if failed > 0 {
            published.failed.insert(stream, failed);
            published.errors.extend(now.reasons.iter().cloned());
        }
        published.queued += now.queued;
        published.bytes += now.bytes - then.bytes;
    }
    published
}

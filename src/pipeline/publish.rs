//! City → codec → Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatchReader};
use arrow::datatypes::TimestampMicrosecondType;

use super::conform::conform;
use super::observe::{Chunk, Source};
use super::pace::{Pace, Pacer};
use super::progress::Run;
use super::topics::Topics;
use crate::codec::json as codec;
use crate::error::{Context, ErrorKind, Result};
use crate::kafka::{Publisher, Report};
use crate::schema::{Events, Messages, Stream};

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
    messages: Messages,
    sent: Vec<i64>,
}

/// Observes the whole run and sends it, the reference rows first. Returns when each message is delivered or failed.
///
/// # Errors
/// `Kafka` or `Connection` where the broker refuses or is away; `Interrupted`, after what is queued was given a chance.
pub fn publish(
    publisher: &mut Publisher,
    source: &Source,
    topics: &Topics,
    pace: Pace,
    run: &mut Run<'_>,
) -> Result<Published> {
    let before = after_earlier(publisher, run)?;
    let outcome = send_all(publisher, source, topics, pace, run);
    settle(publisher, topics, &before, outcome, run)
}

fn send_all(publisher: &mut Publisher, source: &Source, topics: &Topics, pace: Pace, run: &mut Run<'_>) -> Result<()> {
    for events in source.reference()? {
        publisher.send(topics.of(Stream::Reference), &codec::encode(&events)?, run.cancel.flag())?;
    }
    let paced = pace != Pace::Max;
    let encode = move |chunk: Chunk| {
        let out = chunk.events.iter().map(|events| {
            let sent = if paced { sent_times(events) } else { Vec::new() };
            Ok(Outgoing { messages: codec::encode(events)?, sent })
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
                publisher.send(topics.of(out.messages.stream), &out.messages, run.cancel.flag())?;
            }
        }
        run.step("publish", (until - start) as u64, Some(duration as u64), "ms")?;
    }
    Ok(())
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
        // All events before the slice's last instant leave, and of that instant those that the slice has room for.
        let last = times[to - 1];
        let mut room = to - at.iter().sum::<usize>();
        for pass in [last, last + 1] {
            for (out, at) in outgoing.iter().zip(&mut at) {
                let until = out.sent.partition_point(|t| *t < pass).min(*at + room);
                if until > *at {
                    let slice = out.messages.slice(*at, until - *at);
                    publisher.borrow_mut().send(topics.of(slice.stream), &slice, cancel.flag())?;
                    room -= until - *at;
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
    batches: Box<dyn RecordBatchReader + Send>,
    run: &mut Run<'_>,
) -> Result<Published> {
    let before = after_earlier(publisher, run)?;
    let outcome = send_batches(publisher, stream, topics, batches, run);
    settle(publisher, topics, &before, outcome, run)
}

fn send_batches(
    publisher: &mut Publisher,
    stream: Stream,
    topics: &Topics,
    batches: Box<dyn RecordBatchReader + Send>,
    run: &mut Run<'_>,
) -> Result<()> {
    let mut sent = 0;
    for batch in batches {
        let batch = batch.context(ErrorKind::Decode, || "the Arrow data can't be read".to_owned())?;
        let batch = conform(stream, &batch, sent)?;
        let events = Events { stream, batch, harm: Vec::new() };
        publisher.send(topics.of(stream), &codec::encode(&events)?, run.cancel.flag())?;
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

//! City → codec → Kafka.
//!
//! A stream's messages leave in one order whatever the pace: the one in which chunks hold them. [`Sending::resume`] relies on
//! it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arrow::array::{Array, BooleanArray, RecordBatchReader};

use super::conform::conform;
use super::observe::{Chunk, Source};
use super::pace::{Pace, Pacer};
use super::progress::Run;
use super::record_time::EventTimes;
use super::resume::{Resume, sent_column};
use super::topics::Topics;
use super::wire::{Wire, Written};
use crate::error::{Context, ErrorKind, Result};
use crate::kafka::{Lot, Publisher, Report};
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
    /// Stood in the topics already when the run began, and were not sent again.
    pub resumed: u64,
    /// Key and value bytes of what was delivered.
    pub bytes: u64,
    /// Different reasons of failures.
    pub errors: Vec<String>,
    /// How far a paced run ended behind its pace.
    pub behind: Duration,
}

/// Every message is delivered or failed after this time: librdkafka's own delivery timeout is shorter.
const SETTLE: Duration = Duration::from_secs(150);

/// How a city is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    /// How events are written.
    pub wire: &'a Wire,
    /// How fast.
    pub pace: Pace,
    /// Goes on behind what a stopped run of the same city and part has left in the topics; the reference rows are sent
    /// again all the same.
    pub resume: bool,
    /// Gives records the instants at which they are sent as times, instead of the wall clock's.
    pub event_times: Option<&'a EventTimes>,
}

/// Events of one stream on their way, with the instants at which they are sent, in milliseconds.
struct Outgoing {
    written: Written,
    /// By event, where the run is paced.
    sent: Vec<i64>,
    /// By message, where records get them as times.
    times: Option<Vec<i64>>,
}

/// Observes the whole run and sends it, the reference rows first. Returns when each message is delivered or failed.
///
/// # Errors
/// `Kafka` or `Connection` where the broker refuses or is away; `Config`, `Gap` or `Conflict` where it can't be resumed;
/// `Interrupted`, after what is queued was given a chance.
pub fn publish(
    publisher: &mut Publisher,
    source: &Source,
    topics: &Topics,
    sending: Sending<'_>,
    run: &mut Run<'_>,
) -> Result<Published> {
    if let Some(times) = sending.event_times {
        for stream in source.streams() {
            times.check(stream, topics, (source.city().options.start, source.city().end()))?;
        }
    }
    let before = after_earlier(publisher, run)?;
    publisher.set_behind(Duration::ZERO);
    let mut resume = None;
    if sending.resume {
        resume = Some(Resume::find(publisher.options(), source, topics, sending.wire, run)?);
    }
    let outcome = send_all(publisher, source, topics, sending, resume.as_mut(), run);
    let published = settle(publisher, topics, &before, outcome, run)?;
    Ok(Published { resumed: resume.map_or(0, |resume| resume.found()), ..published })
}

fn send_all(
    publisher: &mut Publisher,
    source: &Source,
    topics: &Topics,
    sending: Sending<'_>,
    mut resume: Option<&mut Resume>,
    run: &mut Run<'_>,
) -> Result<()> {
    sending.wire.check_faults(&source.sensors().faults)?;
    let streams = source.streams().into_iter().chain([Stream::Reference]);
    sending.wire.prepare(streams, topics, publisher, run.cancel.flag())?;
    for events in source.reference()? {
        let written = sending.wire.encode(&events)?;
        publisher.send_lot(topics.of(Stream::Reference), written.lot(), run.cancel.flag())?;
    }
    let (pace, wire) = (sending.pace, sending.wire.clone());
    let (paced, timed) = (pace != Pace::Max, sending.event_times.is_some());
    let encode = move |chunk: Chunk| {
        let out = chunk.events.iter().map(|events| {
            let sent = if paced { sent_times(events) } else { Vec::new() };
            let written = wire.encode(events)?;
            let times = timed.then(|| written.of_messages(&sent_times(events)));
            Ok(Outgoing { written, sent, times })
        });
        let mut out = out.collect::<Result<Vec<_>>>()?;
        keep_order(&mut out);
        Ok((chunk.until, out))
    };
    let (start, duration) = (source.city().options.start, source.city().options.duration);
    let position = resume.as_ref().map_or(start, |resume| resume.position());
    let mut pacer = None;
    for step in source.observe_from(position, encode)? {
        let (until, mut outgoing) = step?;
        if let Some(resume) = &mut resume {
            for out in &mut outgoing {
                if let Some(keep) = resume.keep(&out.written.messages) {
                    out.filter(&keep)?;
                }
            }
            resume.check(until)?;
        }
        if paced {
            // What is there already takes no time.
            let first = outgoing.iter().filter_map(|out| out.sent.first()).min();
            if let Some(first) = first {
                let from = if resume.is_some() { *first } else { start };
                let pacer = pacer.get_or_insert_with(|| Pacer::new(pace, from));
                send_paced(publisher, topics, pacer, &outgoing, run)?;
                publisher.set_behind(pacer.behind());
            }
        } else {
            for out in &outgoing {
                let lot = Lot { times: out.times.as_deref(), ..out.written.lot() };
                publisher.send_lot(topics.of(out.written.messages.stream), lot, run.cancel.flag())?;
            }
        }
        run.step("publish", (until - start) as u64, Some(duration as u64), "ms")?;
    }
    Ok(())
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

    /// Leaves out what is not to be kept, of messages of one event each.
    fn filter(&mut self, keep: &BooleanArray) -> Result<()> {
        self.written.messages = self.written.messages.filter(keep)?;
        for times in [Some(&mut self.sent), self.times.as_mut()].into_iter().flatten() {
            let mut rows = keep.values().iter();
            times.retain(|_| rows.next().unwrap_or(true));
        }
        Ok(())
    }
}

/// Makes the instants of each stream ascend over its batches: truth has one for each stream that it speaks of, and the later
/// ones wait for the earlier.
fn keep_order(outgoing: &mut [Outgoing]) {
    let mut latest = BTreeMap::new();
    for Outgoing { written, sent, .. } in outgoing {
        let latest = latest.entry(written.messages.stream).or_insert(i64::MIN);
        for at in sent {
            *latest = (*latest).max(*at);
            *at = *latest;
        }
    }
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
                    let messages = out.written.messages.slice(*at, until - *at);
                    let events = out.written.events.get(*at..until).unwrap_or_default();
                    let times = out.times.as_ref().map(|times| &times[*at..until]);
                    let lot = Lot { messages: &messages, events, times };
                    publisher.borrow_mut().send_lot(topics.of(messages.stream), lot, cancel.flag())?;
                    room = room.saturating_sub(until - *at);
                    *at = until;
                }
            }
        }
        Ok(())
    };
    pacer.run(&times, &cancel, leave, || publisher.borrow_mut().poll(cancel.flag()))
}

fn sent_times(events: &Events) -> Vec<i64> {
    let column = sent_column(&events.batch);
    column.map_or_else(|| vec![0; events.batch.num_rows()], |c| c.values().iter().map(|us| us / 1_000).collect())
}

/// Sends any Arrow data that has the stream's columns, in any order and of any type that casts without loss.
///
/// # Errors
/// `Decode` where a column is missing or a value does not fit, with its row; the batches before were sent. Else as [`publish`].
pub fn publish_arrow(
    publisher: &mut Publisher,
    stream: Stream,
    topics: &Topics,
    (wire, event_times): (&Wire, Option<&EventTimes>),
    batches: Box<dyn RecordBatchReader + Send>,
    run: &mut Run<'_>,
) -> Result<Published> {
    let before = after_earlier(publisher, run)?;
    let outcome = send_batches(publisher, stream, topics, (wire, event_times), batches, run);
    settle(publisher, topics, &before, outcome, run)
}

fn send_batches(
    publisher: &mut Publisher,
    stream: Stream,
    topics: &Topics,
    (wire, event_times): (&Wire, Option<&EventTimes>),
    batches: Box<dyn RecordBatchReader + Send>,
    run: &mut Run<'_>,
) -> Result<()> {
    let mut sent = 0;
    for batch in batches {
        let batch = batch.context(ErrorKind::Decode, || "the Arrow data can't be read".to_owned())?;
        let batch = conform(stream, &batch, sent)?;
        let events = Events { stream, batch, harm: Vec::new() };
        send_events(publisher, topics, (wire, event_times), &events, run.cancel.flag())?;
        sent += events.batch.num_rows() as u64;
        run.step("publish", sent, None, "events")?;
    }
    Ok(())
}

/// Sends events as they are; with `event_times` their own instants are the records' times.
///
/// # Errors
/// As [`Publisher::send`]; `Config` where the topic would lose the times.
pub fn send_events(
    publisher: &mut Publisher,
    topics: &Topics,
    (wire, event_times): (&Wire, Option<&EventTimes>),
    events: &Events,
    cancel: &AtomicBool,
) -> Result<()> {
    wire.prepare([events.stream], topics, publisher, cancel)?;
    let times = event_times.filter(|_| events.stream != Stream::Reference).map(|limits| (limits, sent_times(events)));
    if let Some((limits, times)) = &times
        && let (Some(from), Some(to)) = (times.iter().min(), times.iter().max())
    {
        limits.check(events.stream, topics, (*from, *to))?;
    }
    let written = wire.encode(events)?;
    let times = times.map(|(_, times)| written.of_messages(&times));
    publisher.send_lot(topics.of(events.stream), Lot { times: times.as_deref(), ..written.lot() }, cancel)
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
    let mut published = Published { behind: after.behind, ..Published::default() };
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

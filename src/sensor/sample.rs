//! A reading on its way to becoming an event: small and fixed in size, so that ordering events moves no text.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::device;
use super::fate::{Subject, decide};
use super::faults::{Faults, RETRIES, RETRY_EACH};
use crate::city::City;
use crate::city::clock::{HOUR, SECOND};
use crate::city::rng::{Purpose, Rng, to_exponential_fast};
use crate::error::Result;
use crate::schema::{EventId, Harm, Stream};

/// What a sensor reads, one type a stream.
pub trait Reading: Copy + Send + 'static {
    /// The stream that it belongs to.
    const STREAM: Stream;

    /// Events in the stream's wire schema.
    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch>;

    /// Where it really was, in degrees.
    fn place(&self, city: &City, entity: u32) -> (f64, f64);

    /// The number of the device that sends it, among its kind.
    fn device(&self, entity: u32) -> u32 {
        entity
    }
}

/// When and by whom a reading was made and sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// When it is sent.
    pub sent: i64,
    /// The entity's event number.
    pub counter: u64,
    /// When it was made, by the true clock.
    pub time: i64,
    /// When it was made, by the device's clock.
    pub stamp: i64,
    /// When it would have been sent without faults.
    pub clean_sent: i64,
    /// The entity's number in its stream.
    pub entity: u32,
    /// 0, or the number of a further copy.
    pub copy: u8,
    /// How its bytes are harmed.
    pub harm: Harm,
    /// Hours that `stamp` is ahead because the clock has jumped.
    pub jump: i8,
    /// What befell its sending: [`LATE`] and so on.
    pub faults: u8,
}

/// Sent late.
pub const LATE: u8 = 1;
/// Overtaken by the device's next event.
pub const OUT_OF_ORDER: u8 = 2;
/// Kept by a silent device.
pub const OUTAGE: u8 = 4;
/// Never sent.
pub const DROPPED: u8 = 8;

impl Head {
    /// Whether a label stands in `truth_fault` for it.
    pub fn is_faulty(&self) -> bool {
        self.faults != 0 || self.copy > 0 || self.jump != 0 || self.harm != Harm::None
    }

    /// Whether it is never sent.
    pub fn is_dropped(&self) -> bool {
        self.faults & DROPPED != 0
    }
}

/// A reading with its head.
#[derive(Debug, Clone, Copy)]
pub struct Sample<R> {
    /// When and by whom.
    pub head: Head,
    /// What.
    pub reading: R,
}

impl<R: Reading> Sample<R> {
    /// The event's id.
    pub fn id(&self, city: &City) -> EventId {
        EventId { city: city.id, stream: R::STREAM, entity: self.head.entity, counter: self.head.counter }
    }

    /// The order in which events are sent.
    pub fn order(&self) -> (i64, u32, u64, u8) {
        (self.head.sent, self.head.entity, self.head.counter, self.head.copy)
    }

    /// The same reading as it would have been sent without faults.
    #[must_use]
    pub fn clean(mut self) -> Self {
        let head = &mut self.head;
        head.sent = head.clean_sent;
        head.stamp -= i64::from(head.jump) * HOUR;
        (head.copy, head.harm, head.jump, head.faults) = (0, Harm::None, 0, 0);
        self
    }
}

/// Readings of one stream as the sensors make them.
#[derive(Debug)]
pub struct Readings<R> {
    /// In the order in which they are made; sorted by [`Readings::sort`].
    pub samples: Vec<Sample<R>>,
}

impl<R> Default for Readings<R> {
    fn default() -> Self {
        Self { samples: Vec::new() }
    }
}

/// Sending takes at least this long, and [`MEAN_DELAY`] more on average, up to [`MOST_DELAY`] `[assumed]`.
const LEAST_DELAY: i64 = 40;
const MEAN_DELAY: f64 = 120.0;
pub(super) const MOST_DELAY: i64 = 5_000;

/// When a reading made at `time` is sent.
fn sending(rng: Rng, key: u64, counter: u64, time: i64) -> i64 {
    let delay = MEAN_DELAY * to_exponential_fast(rng.unit(Purpose::Delay, key, counter));
    time + (LEAST_DELAY + delay as i64).min(MOST_DELAY)
}

impl<R: Reading> Readings<R> {
    /// Adds a reading made at `time` by a device whose clock shows `stamp`; sends it, with the faults that befall it.
    pub fn push(
        &mut self,
        rng: Rng,
        faults: &Faults,
        (entity, counter): (u32, u64),
        (time, stamp): (i64, i64),
        reading: R,
    ) {
        let key = u64::from(entity) << 4 | R::STREAM as u64;
        let clean_sent = sending(rng, key, counter, time);
        let head = Head {
            sent: clean_sent,
            counter,
            time,
            stamp,
            clean_sent,
            entity,
            copy: 0,
            harm: Harm::None,
            jump: 0,
            faults: 0,
        };
        if faults.any() {
            self.push_faulty(rng, faults, key, Sample { head, reading });
        } else {
            self.samples.push(Sample { head, reading });
        }
    }

    #[inline(never)]
    fn push_faulty(&mut self, rng: Rng, faults: &Faults, key: u64, sample: Sample<R>) {
        let Sample { mut head, reading } = sample;
        // A vehicle and its receiver are one device, which in the drop-in's mode sends every stream.
        let by_vehicle = R::STREAM == Stream::Gps || head.counter & device::BY_STEP != 0;
        let kind = if by_vehicle { Stream::Vehicle } else { R::STREAM };
        let next = device::next_report(rng, R::STREAM, head.entity, head.counter).map(|(period, step)| {
            let counter = head.counter + step;
            (counter, sending(rng, key, counter, head.time + period))
        });
        let fate = decide(
            faults,
            rng,
            Subject {
                key,
                device: u64::from(reading.device(head.entity)) << 4 | kind as u64,
                counter: head.counter,
                time: head.time,
                sent: head.clean_sent,
                next,
            },
        );
        let flag = |flag, on| if on { flag } else { 0 };
        head.sent = fate.sent;
        head.harm = fate.harm;
        head.jump = fate.jump;
        head.stamp += i64::from(fate.jump) * HOUR;
        head.faults = flag(LATE, fate.late)
            | flag(OUT_OF_ORDER, fate.out_of_order)
            | flag(OUTAGE, fate.outage)
            | flag(DROPPED, fate.drop);
        self.samples.push(Sample { head, reading });
        if fate.drop {
            return;
        }
        let mut copy = |after, copy| {
            self.samples.push(Sample { head: Head { sent: head.sent + after, copy, ..head }, reading });
        };
        if let Some(after) = fate.duplicate {
            copy(after, 1);
        }
        if fate.retry_loop {
            (1..=RETRIES).for_each(|n| copy(i64::from(n) * RETRY_EACH, n + 1));
        }
    }

    /// Drops sorted readings that are sent before `position`.
    pub fn drop_before(&mut self, position: i64) {
        let before = self.samples.partition_point(|s| s.head.sent < position);
        self.samples.drain(..before);
    }

    /// Puts readings in the order in which they are sent.
    pub fn sort(&mut self) {
        sort(&mut self.samples);
    }
}

/// Bits of a key that say which sample it is; the others, when it is sent.
const PLACE_BITS: u32 = 24;

/// Puts samples into [`Sample::order`]. A sample is some 100 bytes, so keys are sorted and each sample is moved once.
fn sort<R: Reading>(samples: &mut Vec<Sample<R>>) {
    let sent = |s: &Sample<R>| s.head.sent;
    let (Some(first), Some(last)) = (samples.iter().map(sent).min(), samples.iter().map(sent).max()) else { return };
    if samples.len() >= 1 << PLACE_BITS || last - first >= 1 << (63 - PLACE_BITS) {
        samples.sort_unstable_by_key(Sample::order);
        return;
    }
    let key = |(s, place): (&Sample<R>, u64)| ((s.head.sent - first) as u64) << PLACE_BITS | place;
    let mut keys: Vec<u64> = samples.iter().zip(0u64..).map(key).collect();
    keys.sort_unstable();
    *samples = keys.iter().map(|key| samples[(key & ((1 << PLACE_BITS) - 1)) as usize]).collect();
    for same in samples.chunk_by_mut(|a, b| a.head.sent == b.head.sent).filter(|same| same.len() > 1) {
        same.sort_unstable_by_key(Sample::order);
    }
}

/// Holds readings until their time to be sent has come.
///
/// Memory: 48 bytes and the reading for each event that is made and not yet sent, so at most for the events of the time
/// that sending takes and [`Faults::longest_delay`]: the late bound, the longest outage, and how long an overtaken event
/// and a copy wait. Only events that a fault delays are held for that long.
#[derive(Debug)]
pub struct Held<R> {
    /// By the slot of time in which they are sent; in no order within it.
    later: BTreeMap<i64, Vec<Sample<R>>>,
}

impl<R> Default for Held<R> {
    fn default() -> Self {
        Self { later: BTreeMap::new() }
    }
}

/// Length of a slot of held readings, in milliseconds: what is touched more than once is at most this much.
const SLOT: i64 = 10 * SECOND;

impl<R: Reading> Held<R> {
    /// Takes sorted readings in and gives out those sent before `until`, sorted.
    pub fn release(&mut self, mut new: Vec<Sample<R>>, until: i64) -> Vec<Sample<R>> {
        let mut due: Vec<Sample<R>> = Vec::new();
        while let Some(slot) = self.later.first_entry().filter(|slot| slot.key() * SLOT < until) {
            due.append(&mut slot.remove());
        }
        // Some of the last slot's may have to wait on.
        let mut wait = |sample: Sample<R>| {
            self.later.entry(sample.head.sent.div_euclid(SLOT)).or_default().push(sample);
        };
        due.retain(|sample| {
            let ready = sample.head.sent < until;
            if !ready {
                wait(*sample);
            }
            ready
        });
        let ready = new.partition_point(|s| s.head.sent < until);
        new.drain(ready..).for_each(wait);
        if due.is_empty() {
            return new;
        }
        sort(&mut due);
        merge(&due, &new)
    }

    /// Readings that wait.
    pub fn len(&self) -> usize {
        self.later.values().map(Vec::len).sum()
    }
}

fn merge<R: Reading>(a: &[Sample<R>], b: &[Sample<R>]) -> Vec<Sample<R>> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].order() <= b[j].order() {
            out.push(a[i]);
            i += 1;
        } else {
            out.push(b[j]);
            j += 1;
        }
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}

//! A reading on its way to becoming an event: small and fixed in size, so that ordering events moves no text.

use arrow::array::RecordBatch;

use super::faults::Faults;
use crate::city::City;
use crate::city::rng::{Purpose, Rng, to_exponential};
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
}

/// When and by whom a reading was made and sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// When it is sent.
    pub sent: i64,
    /// The entity's number in its stream.
    pub entity: u32,
    /// The entity's event number.
    pub counter: u64,
    /// 0, or 1 for the second copy of a doubled event.
    pub copy: u8,
    /// When it was made, by the true clock.
    pub time: i64,
    /// When it was made, by the device's clock.
    pub stamp: i64,
    /// When it would have been sent without faults.
    pub clean_sent: i64,
    /// How its bytes are harmed.
    pub harm: Harm,
    /// Whether it is never sent.
    pub dropped: bool,
}

impl Head {
    /// Whether a label stands in `truth_fault` for it.
    pub fn is_faulty(&self) -> bool {
        self.dropped || self.copy > 0 || self.harm != Harm::None || self.sent != self.clean_sent
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
        self.head.sent = self.head.clean_sent;
        self.head.harm = Harm::None;
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
const MOST_DELAY: i64 = 5_000;

impl<R: Reading> Readings<R> {
    /// Adds a reading made at `time`, with the clock that shows `stamp`; sends it, with the faults that befall it.
    pub fn push(
        &mut self,
        rng: Rng,
        faults: &Faults,
        (entity, counter): (u32, u64),
        (time, stamp): (i64, i64),
        reading: R,
    ) {
        let key = u64::from(entity) << 4 | R::STREAM as u64;
        let delay = MEAN_DELAY * to_exponential(rng.unit(Purpose::Delay, key, counter));
        let clean_sent = time + (LEAST_DELAY + delay as i64).min(MOST_DELAY);
        let mut head = Head {
            sent: clean_sent,
            entity,
            counter,
            copy: 0,
            time,
            stamp,
            clean_sent,
            harm: Harm::None,
            dropped: false,
        };
        if faults.any() {
            let decision = faults.decide(rng, key, counter);
            head.sent += decision.late.unwrap_or(0);
            head.harm = decision.harm;
            head.dropped = decision.drop;
            if let (Some(after), false) = (decision.duplicate, decision.drop) {
                let copy = Head { sent: head.sent + after, copy: 1, ..head };
                self.samples.push(Sample { head: copy, reading });
            }
        }
        self.samples.push(Sample { head, reading });
    }

    /// Puts readings in the order in which they are sent.
    pub fn sort(&mut self) {
        self.samples.sort_unstable_by_key(Sample::order);
    }
}

/// Holds readings until their time to be sent has come. At most as many as are made within the longest delay.
#[derive(Debug)]
pub struct Held<R> {
    samples: Vec<Sample<R>>,
}

impl<R> Default for Held<R> {
    fn default() -> Self {
        Self { samples: Vec::new() }
    }
}

impl<R: Reading> Held<R> {
    /// Takes sorted readings in and gives out those sent before `until`, sorted.
    pub fn release(&mut self, new: Vec<Sample<R>>, until: i64) -> Vec<Sample<R>> {
        let ready_new = new.partition_point(|s| s.head.sent < until);
        let ready_held = self.samples.partition_point(|s| s.head.sent < until);
        let rest = merge(&self.samples[ready_held..], &new[ready_new..]);
        let out = if ready_held == 0 {
            let mut out = new;
            out.truncate(ready_new);
            out
        } else {
            merge(&self.samples[..ready_held], &new[..ready_new])
        };
        self.samples = rest;
        out
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

//! Where a vehicle is: Newell's form of the kinematic wave, smoothed so that no vehicle jerks.
//!
//! **The flow's place.** A vehicle is where it would be if it drove evenly to arrive when it could, or at the back of the
//! queue before it, whichever is less far: `x(t) = min(free(t), queue(t))`. The m-th vehicle before it leaves at `e`; that
//! its place is free travels back at w and reaches the vehicle m·τ later, and not before does the vehicle pass `L − m·s`
//! (`s` metres and τ for each vehicle between). From there it moves up by one place, evenly until the next gap arrives, but
//! in [`LONGEST_HOP`] at most. So `x(t)` is known once the exits up to `t +` [`LONGEST_HOP`] are, whatever the future
//! holds; it is 0 at the entry and the road's length at the exit, never goes back, and never passes the vehicle ahead
//! ([`Motion`]).
//!
//! **The true place.** That is piecewise linear: it would change its speed in no time where a driver meets a queue, from hop
//! to hop, and at junctions. Let `X(t)` be the odometer along the vehicle's whole way by the flow. The vehicle really is at
//! the causal mean `(1/T)∫X` over the last T = [`SMOOTHING`], and so drives at `(X(t) − X(t − T))/T` ([`Way`]):
//! - it accelerates and brakes by v/T at most, 3 m/s² for 45 m/s, which no desired speed exceeds;
//! - it sets off from standstill when the flow does and stands where the flow lets it stand, T later;
//! - it is behind the flow, by T/2 on average and T at most, so it never passes a red light early and never needs to know
//!   more than the flow;
//! - its odometer is the integral of its speed, exactly;
//! - vehicles that follow each other from road to road keep their order, since the mean of the smaller function is smaller.
//!   Those that meet at a junction or part there need not: the one that waited at the line is slow when the other comes.

use super::clock::SECOND;
use super::flow::Spec;

/// Moving up by one place takes at most so long, in milliseconds `[assumed]`. It bounds how far positions look ahead
/// (city.md: 10 s).
pub const LONGEST_HOP: i64 = 6_000;

/// T: a vehicle's place is the mean of the flow's over so long. 45 m/s in 15 s is the 3 m/s² of city.md.
pub const SMOOTHING: i64 = 15 * SECOND;

/// No vehicle wants to drive faster, in metres per second.
pub const FASTEST: f64 = 45.0;

/// Nearer than this to a point, in metres, a vehicle is at it, and one that waits at the end of its road is on that road:
/// rounding must not decide it.
pub const TOUCH: f64 = 1e-6;

/// Metres a millisecond to km/h.
const KMH: f64 = 3_600.0;

/// How the flow lets a vehicle pass one road.
#[derive(Debug, Clone, Copy)]
pub struct Motion<'a> {
    /// When it enters.
    pub t_in: i64,
    /// When it could be at the end if only the vehicles before it drove as they like.
    pub arrive: i64,
    /// The road's length in metres.
    pub length: f64,
    /// Metres a millisecond of its even drive to arrive then.
    cruise: f64,
    /// Metres for each vehicle of a queue.
    pub spacing: f64,
    /// τ: milliseconds that a gap takes from one vehicle of a queue to the next.
    pub lag: f64,
    /// Exits from the road in order, as far as they are known and still felt.
    pub exits: &'a [i64],
    /// The place of this vehicle's own exit in `exits`; at or beyond their end while it is unknown.
    pub index: usize,
}

/// The queue's limit from a moment on: a line up to `until`.
#[derive(Debug, Clone, Copy)]
struct Limit {
    /// Metres from the road's start.
    place: f64,
    /// Metres a millisecond.
    rate: f64,
    /// Milliseconds from the entry.
    until: f64,
}

/// The last gap that has arrived, and the next one; milliseconds from the entry.
#[derive(Debug, Clone, Copy)]
struct Gaps {
    /// The number of the exit that makes the next one.
    held_by: usize,
    last: f64,
    next: f64,
}

/// What a vehicle does in a stretch of time.
#[derive(Debug, Clone, Copy)]
struct Swept {
    /// Metres from the road's start at the beginning and at the end.
    from: f64,
    to: f64,
    /// The integral of the place between them, in metres times milliseconds.
    area: f64,
}

impl<'a> Motion<'a> {
    /// The way of a vehicle that enters the road at `t_in`.
    pub fn new(road: &Spec, (t_in, arrive): (i64, i64), exits: &'a [i64], index: usize) -> Self {
        let (length, cruise) = (road.length, road.length / (arrive - t_in) as f64);
        Self { t_in, arrive, length, cruise, spacing: road.spacing(), lag: road.lag(), exits, index }
    }

    /// When the gap that exit `k` makes has reached this vehicle, counted from its entry.
    fn gap(&self, k: usize) -> f64 {
        (self.exits[k] - self.t_in) as f64 + (self.index - k) as f64 * self.lag
    }

    /// How long the hop takes that the gap of exit `k` allows.
    fn hop(&self, k: usize) -> f64 {
        let next = if k + 1 < self.exits.len() { self.gap(k + 1) - self.gap(k) } else { f64::INFINITY };
        next.min(LONGEST_HOP as f64)
    }

    /// Vehicles ahead that might matter: of those whose exit is unknown no gap has arrived.
    fn known(&self) -> usize {
        self.exits.len().min(self.index)
    }

    /// The gaps around a moment after its entry.
    fn gaps(&self, since: f64) -> Gaps {
        let held_by = partition(self.known(), |k| self.gap(k) <= since);
        let last = if held_by > 0 { self.gap(held_by - 1) } else { f64::NEG_INFINITY };
        Gaps { held_by, last, next: self.next_gap(held_by) }
    }

    /// When the gap of exit `k` arrives; its own exit comes after the last of them.
    fn next_gap(&self, k: usize) -> f64 {
        if k < self.exits.len() { self.gap(k) } else { f64::INFINITY }
    }

    /// The queue's limit `since` its entry.
    #[inline]
    fn limit(&self, since: f64, gaps: &Gaps) -> Limit {
        let stop = self.length - (self.index - gaps.held_by) as f64 * self.spacing;
        let hop = (gaps.next - gaps.last).min(LONGEST_HOP as f64);
        if since < gaps.last + hop && stop > 0.0 {
            // A ring of full roads that is released lets vehicles in beyond what fits; those stand at the start.
            let step = self.spacing.min(stop);
            let rate = step / hop;
            return Limit { place: stop - step + rate * (since - gaps.last), rate, until: gaps.last + hop };
        }
        let until = if gaps.held_by < self.index { gaps.next } else { f64::INFINITY };
        Limit { place: stop.max(0.0), rate: 0.0, until }
    }

    /// Metres from the road's start by the flow at `time`, which must lie between entry and exit.
    pub fn at(&self, time: i64) -> f64 {
        let since = (time - self.t_in) as f64;
        // The free line goes on beyond the end, the queue's limit does not.
        (self.cruise * since).min(self.limit(since, &self.gaps(since)).place)
    }

    /// The first millisecond at which the flow has it at `offset` or beyond; `None` where the exits known so far don't
    /// tell. An answer is final where it is not after the time up to which all exits are known, less [`LONGEST_HOP`].
    pub fn reaches(&self, offset: f64) -> Option<i64> {
        let free = (self.arrive - self.t_in) as f64 * (offset / self.length);
        let ahead = ((self.length - offset) / self.spacing) as usize + 1;
        let mut queue = f64::NEG_INFINITY;
        // Where fewer are ahead, the queue does not reach back so far.
        if let Some(k) = self.index.checked_sub(ahead) {
            if k >= self.exits.len() {
                return None;
            }
            let stop = self.length - (ahead - 1) as f64 * self.spacing;
            let step = self.spacing.min(stop);
            queue = self.gap(k) + self.hop(k) * ((offset - (stop - step)) / step);
        }
        Some(self.t_in + free.max(queue).ceil() as i64)
    }

    /// Whether the queue already `since` its entry allows it to drive up to `place`. False doesn't mean that it is hindered.
    fn is_clear(&self, place: f64, since: f64) -> bool {
        if place > self.length {
            return false;
        }
        // So many could stand between that place and the road's end; what the one before them leaves has to be taken.
        let ahead = ((self.length - place) / self.spacing) as u32 as usize + 1;
        self.index.checked_sub(ahead).is_none_or(|k| k < self.exits.len() && self.gap(k) + self.hop(k) <= since)
    }

    /// What it does from `from` to `to`, both between entry and exit.
    fn sweep(&self, from: i64, to: i64) -> Swept {
        let (mut now, end) = ((from - self.t_in) as f64, (to - self.t_in) as f64);
        let mut free = self.cruise * now;
        let free_end = self.cruise * end;
        if self.is_clear(free_end, now) {
            return Swept { from: free, to: free_end, area: (end - now) * f64::midpoint(free, free_end) };
        }
        let mut gaps = self.gaps(now);
        let mut limit = self.limit(now, &gaps);
        let begin = free.min(limit.place);
        let mut area = 0.0;
        loop {
            // The queue never goes back, so what it allows now it allows later.
            if free_end <= limit.place {
                area += (end - now) * f64::midpoint(free, free_end);
                return Swept { from: begin, to: free_end, area };
            }
            let until = limit.until.min(end);
            let (free_then, queue_then) = (self.cruise * until, limit.place + limit.rate * (until - now));
            area += (until - now) * lower((free, free_then), (limit.place, queue_then));
            if until >= end {
                return Swept { from: begin, to: free_end.min(queue_then), area };
            }
            (now, free) = (until, free_then);
            while gaps.next <= now && gaps.held_by < self.index {
                let held_by = gaps.held_by + 1;
                gaps = Gaps { held_by, last: gaps.next, next: self.next_gap(held_by) };
            }
            limit = self.limit(now, &gaps);
        }
    }
}

/// The mean of the lower of two lines, each given at the beginning and at the end.
fn lower(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (first, last) = (a.0 - b.0, a.1 - b.1);
    let ends = (a.0.min(b.0), a.1.min(b.1));
    if (first <= 0.0) == (last <= 0.0) {
        return f64::midpoint(ends.0, ends.1);
    }
    let share = first / (first - last);
    let meet = a.0 + (a.1 - a.0) * share;
    share * f64::midpoint(ends.0, meet) + (1.0 - share) * f64::midpoint(meet, ends.1)
}

/// The first of `0..n` for which `before` is false; it must be true up to some number and false from there.
fn partition(n: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, n);
    while from < to {
        let middle = usize::midpoint(from, to);
        if before(middle) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

/// One road of a [`Way`].
#[derive(Debug, Clone, Copy)]
pub struct Leg<'a> {
    /// The road.
    pub road: u32,
    /// How the flow lets the vehicle pass it.
    pub motion: Motion<'a>,
    /// When the flow lets it out; far away while it is unknown.
    pub t_out: i64,
    /// Metres from the way's origin to the road's start.
    pub start: f64,
}

/// Where a vehicle really is, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// The road.
    pub road: u32,
    /// Metres from that road's start.
    pub offset: f64,
    /// Metres from the way's origin; negative before it.
    pub driven: f64,
    /// km/h.
    pub speed: f64,
}

/// Roads that a vehicle takes one after the other: what has to be known of its trip to say where it really is in some
/// stretch of time. Before the first of them it stands at its start, after the last at its end.
#[derive(Debug, Clone, Default)]
pub struct Way<'a> {
    /// In the order in which they are driven.
    pub legs: Vec<Leg<'a>>,
}

impl Way<'_> {
    /// Where it really is at `time`. The way has to hold every road of its trip between `time −` [`SMOOTHING`] and `time`.
    pub fn at(&self, time: i64) -> State {
        let (Some(first), Some(last)) = (self.legs.first(), self.legs.last()) else {
            return State { road: 0, offset: 0.0, driven: 0.0, speed: 0.0 };
        };
        let from = time - SMOOTHING;
        let end = last.start + last.motion.length;
        let (mut then, mut now) = (first.start, first.start);
        let mut sum = first.start * (first.motion.t_in.min(time) - from).max(0) as f64;
        for leg in &self.legs {
            let (begin, until) = (from.max(leg.motion.t_in), time.min(leg.t_out));
            if begin >= until {
                continue;
            }
            let swept = leg.motion.sweep(begin, until);
            sum += leg.start * (until - begin) as f64 + swept.area;
            now = leg.start + swept.to;
            if begin == from {
                then = leg.start + swept.from;
            }
        }
        if time > last.t_out {
            sum += end * (time - from.max(last.t_out)) as f64;
            now = end;
            if from >= last.t_out {
                then = end;
            }
        }
        let driven = (sum / SMOOTHING as f64).clamp(first.start, end);
        let leg = self.legs.iter().rev().find(|leg| leg.start + TOUCH < driven).unwrap_or(first);
        let offset = (driven - leg.start).min(leg.motion.length);
        State { road: leg.road, offset, driven, speed: ((now - then) / SMOOTHING as f64).max(0.0) * KMH }
    }

    /// Whether at `time` it is `driven` metres from the origin, or farther.
    fn is_at(&self, driven: f64, time: i64) -> bool {
        self.at(time).driven >= driven - TOUCH
    }

    /// The first millisecond in `from..until` at which it is `offset` metres along leg `leg` or beyond; `None` where it
    /// was there before or is not there yet. The way has to hold the roads of its trip from `from −` [`SMOOTHING`] to
    /// `until`.
    pub fn passes(&self, leg: usize, offset: f64, (from, until): (i64, i64)) -> Option<i64> {
        let leg = self.legs.get(leg)?;
        let driven = leg.start + offset;
        // The mean over the last T reaches a point after the flow does, and T later at most.
        let flow = leg.motion.reaches((offset - TOUCH).max(0.0))?;
        let (mut before, mut there) = ((flow - 1).max(from - 1), (flow + SMOOTHING + 1).min(until - 1));
        if before >= there || self.is_at(driven, before) || !self.is_at(driven, there) {
            return None;
        }
        while there - before > 1 {
            let middle = i64::midpoint(before, there);
            if self.is_at(driven, middle) {
                there = middle;
            } else {
                before = middle;
            }
        }
        Some(there)
    }
}

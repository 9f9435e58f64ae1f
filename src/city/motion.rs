//! Where a vehicle is on its road: Newell's form of the kinematic wave, from its own entry and the exits before it.
//!
//! A vehicle is where it would be if it drove evenly to arrive when it could, or at the back of the queue before it,
//! whichever is less far: `x(t) = min(free(t), queue(t))`. The m-th vehicle before it leaves at `e`; that its place is free
//! travels back at w and reaches the vehicle m·τ later, and not before does the vehicle pass `L − m·s` (`s` metres and τ
//! for each vehicle between). From there it moves up by one place, evenly until the next gap arrives, but in
//! [`LONGEST_HOP`] at most.
//!
//! So the place at `t` is known once the exits up to `t +` [`LONGEST_HOP`] are, whatever the future holds; it is 0 at the
//! entry and the road's length at the exit, never goes back, and never passes the vehicle ahead.

use super::flow::Spec;

/// Moving up by one place takes at most so long, in milliseconds `[assumed]`. It bounds how far positions look ahead
/// (city.md: 10 s).
pub const LONGEST_HOP: i64 = 6_000;

/// Place and speed at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct State {
    /// Metres from the road's start.
    pub offset: f64,
    /// km/h: the slope of the offset from this moment on.
    pub speed: f64,
}

/// A passage of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// The first millisecond at which the vehicle is there or beyond.
    pub time: i64,
    /// km/h, when it passes.
    pub speed: f64,
}

/// A vehicle's way over one road.
#[derive(Debug, Clone, Copy)]
pub struct Motion<'a> {
    /// When it enters.
    pub t_in: i64,
    /// When it could be at the end if only the vehicles before it drove as they like.
    pub arrive: i64,
    /// The road's length in metres.
    pub length: f64,
    /// Metres for each vehicle of a queue.
    pub spacing: f64,
    /// τ: milliseconds that a gap takes from one vehicle of a queue to the next.
    pub lag: f64,
    /// Exits from the road in order, as far as they are known and still felt.
    pub exits: &'a [i64],
    /// The place of this vehicle's own exit in `exits`; at or beyond their end while it is unknown.
    pub index: usize,
}

/// Metres a millisecond to km/h.
const KMH: f64 = 3_600.0;

impl<'a> Motion<'a> {
    /// The way of a vehicle that enters the road at `t_in`.
    pub fn new(road: &Spec, (t_in, arrive): (i64, i64), exits: &'a [i64], index: usize) -> Self {
        Self { t_in, arrive, length: road.length, spacing: road.spacing(), lag: road.lag(), exits, index }
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

    fn cruise(&self) -> f64 {
        self.length / (self.arrive - self.t_in) as f64
    }

    /// Place and speed at `time`, which must lie between entry and exit.
    pub fn at(&self, time: i64) -> State {
        let since = (time - self.t_in) as f64;
        let free = if time >= self.arrive { self.length } else { self.cruise() * since };
        let known = self.exits.len().min(self.index);
        // The first vehicle ahead whose gap has not arrived; of those whose exit is unknown none has.
        let held_by = partition(known, |k| self.gap(k) <= since);
        let stop = self.length - (self.index - held_by) as f64 * self.spacing;
        let (mut queue, mut speed) = (stop, 0.0);
        if held_by > 0 {
            let (moved, hop) = (since - self.gap(held_by - 1), self.hop(held_by - 1));
            if moved < hop {
                queue = stop - self.spacing * (1.0 - moved / hop);
                speed = self.spacing / hop;
            }
        }
        if free < queue {
            State { offset: free, speed: self.cruise() * KMH }
        } else {
            State { offset: queue, speed: speed * KMH }
        }
    }

    /// When it passes `offset`; `None` where the exits known so far don't tell. An answer is final where it is not after
    /// the time up to which all exits are known, less [`LONGEST_HOP`].
    pub fn passes(&self, offset: f64) -> Option<Pass> {
        let free = (self.arrive - self.t_in) as f64 * (offset / self.length);
        let ahead = ((self.length - offset) / self.spacing) as usize + 1;
        let mut queue = f64::NEG_INFINITY;
        let mut speed = 0.0;
        // Where fewer are ahead, the queue does not reach back so far.
        if let Some(k) = self.index.checked_sub(ahead) {
            if k >= self.exits.len() {
                return None;
            }
            let hop = self.hop(k);
            let share = (offset - (self.length - ahead as f64 * self.spacing)) / self.spacing;
            queue = self.gap(k) + hop * share;
            speed = self.spacing / hop;
        }
        let speed = if free >= queue { self.cruise() } else { speed };
        Some(Pass { time: self.t_in + free.max(queue).ceil() as i64, speed: speed * KMH })
    }
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

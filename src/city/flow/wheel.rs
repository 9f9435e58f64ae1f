//! A timetable of road events: buckets of 32 ms on a wheel of four minutes, opened one after another.
//!
//! Almost every event lies a road's length ahead, so pushing and taking cost the same whatever the number of vehicles,
//! which a heap's don't. Events come out by (time, number).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

/// log2 of a bucket's width in milliseconds.
const WIDTH_BITS: u32 = 5;
/// Width of a bucket in milliseconds.
const WIDTH: i64 = 1 << WIDTH_BITS;
/// Buckets of the wheel; a power of two. 262 s: longer than a road or a red light takes.
const BUCKETS: usize = 8_192;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wheel {
    /// Start of the open bucket.
    open_from: i64,
    /// Rest of the open bucket, the next event last. A key is the time since `open_from` and the number.
    open: Vec<u64>,
    buckets: Vec<Vec<u64>>,
    /// Events in `buckets`.
    closed: usize,
    /// What lies beyond the wheel.
    far: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Wheel {
    /// An empty wheel; nothing may be pushed before `from`.
    pub fn new(from: i64) -> Self {
        let open_from = from & !(WIDTH - 1);
        Self { open_from, open: Vec::new(), buckets: vec![Vec::new(); BUCKETS], closed: 0, far: BinaryHeap::new() }
    }

    /// Adds an event. Its time must not be before that of the last one taken, nor before the last limit given.
    #[inline]
    pub fn push(&mut self, time: i64, number: u32) {
        let ahead = time - self.open_from;
        let key = ((ahead & (WIDTH - 1)) as u64) << 32 | u64::from(number);
        if ahead < WIDTH {
            let at = self.open.partition_point(|k| *k > key);
            self.open.insert(at, key);
        } else if ahead < WIDTH * BUCKETS as i64 {
            self.buckets[bucket(time)].push(key);
            self.closed += 1;
        } else {
            self.far.push(Reverse((time, number)));
        }
    }

    /// Takes the next event before `limit`; `opened` is given the numbers of each bucket that is opened.
    #[inline]
    pub fn pop(&mut self, limit: i64, opened: impl FnOnce(&mut dyn Iterator<Item = u32>)) -> Option<(i64, u32)> {
        if self.open.is_empty() {
            while self.open.is_empty() {
                if !self.turn(limit) {
                    return None;
                }
            }
            opened(&mut self.open.iter().map(|key| *key as u32));
        }
        let key = *self.open.last()?;
        let time = self.open_from + (key >> 32) as i64;
        if time >= limit {
            return None;
        }
        self.open.pop();
        Some((time, key as u32))
    }

    /// Opens the next bucket, unless it begins at or after `limit`.
    fn turn(&mut self, limit: i64) -> bool {
        if self.closed == 0 {
            // Nothing on the wheel: go straight to the first far event, or to where the limit lies.
            let next = self.far.peek().map_or(i64::MAX, |Reverse((time, _))| *time);
            let last = (limit - 1) & !(WIDTH - 1);
            self.open_from = self.open_from.max((next & !(WIDTH - 1)).min(last) - WIDTH);
        }
        if self.open_from + WIDTH >= limit {
            return false;
        }
        self.open_from += WIDTH;
        while let Some(&Reverse((time, number))) = self.far.peek() {
            if time - self.open_from >= WIDTH * BUCKETS as i64 {
                break;
            }
            self.far.pop();
            self.buckets[bucket(time)].push(((time & (WIDTH - 1)) as u64) << 32 | u64::from(number));
            self.closed += 1;
        }
        std::mem::swap(&mut self.open, &mut self.buckets[bucket(self.open_from)]);
        self.closed -= self.open.len();
        self.open.sort_unstable_by(|a, b| b.cmp(a));
        true
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let of = |v: &Vec<u64>| v.capacity() * 8 + size_of::<Vec<u64>>();
        of(&self.open) + self.buckets.iter().map(of).sum::<usize>() + self.far.capacity() * 16
    }
}

#[inline]
fn bucket(time: i64) -> usize {
    (time >> WIDTH_BITS) as usize & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::super::super::rng::{Purpose, Rng};
    use super::*;

    #[test]
    fn events_come_out_in_order_of_time_and_number_whatever_the_limits() {
        let rng = Rng::new(5);
        let from = 1_780_272_000_123;
        let mut wheel = Wheel::new(from);
        let mut expected = Vec::new();
        let mut push = |wheel: &mut Wheel, now: i64, k: u64| {
            let reach = [40, 3_000, 200_000, 2_000_000][rng.below(Purpose::Demand, 1, k, 4) as usize];
            let time = now + rng.below(Purpose::Demand, 2, k, reach) as i64;
            let number = rng.below(Purpose::Demand, 3, k, 50) as u32;
            wheel.push(time, number);
            expected.push((time, number));
        };
        let mut taken = Vec::new();
        let mut limit = from;
        for k in 0..4_000 {
            push(&mut wheel, limit, k);
            // Limits of every kind: none, within a bucket, far on.
            limit += [0, 7, 100, 1_500][rng.below(Purpose::Demand, 4, k, 4) as usize];
            while let Some(event) = wheel.pop(limit, |_| ()) {
                assert!(event.0 < limit);
                taken.push(event);
            }
        }
        while let Some(event) = wheel.pop(i64::MAX / 2, |_| ()) {
            taken.push(event);
        }
        expected.sort_unstable();
        assert_eq!(taken, expected);
    }
}

//! The lanes of all roads, numbered road by road from the kerb: each is a queue of its own in the [flow](super::flow).
//!
//! **Who drives where.** The slower a driver likes to drive, the nearer to the kerb: each lane is liked by an equal share of
//! them. Where somebody on that lane would hold it up, a driver takes the lane that lets it through first, which is how fast
//! drivers overtake; where that lane has a queue, the one with the fewest vehicles. It chooses when it is at the road's start,
//! and keeps to its lane up to the end.

use std::ops::Range;

use super::flow::Spec;

/// A lane has a queue where those on it would have less than so many metres each `[assumed]`; at capacity they have 28 at
/// 50 km/h and 47 on a motorway.
const QUEUED: f64 = 20.0;
/// Drivers bear to be held up for so long on a road, in milliseconds `[assumed]`.
const PATIENCE: i64 = 3_000;

/// Which lanes a road has. Lanes have numbers in the city, and on their road, there from 0 at the kerb.
#[derive(Debug, Clone, Default)]
pub struct Lanes {
    /// For each road, its first lane; then how many there are.
    first: Vec<u32>,
    /// For each lane, its road.
    roads: Vec<u32>,
    limits: Vec<Limits>,
}

/// What drivers on one of a road's lanes look at.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Least time between two, in milliseconds.
    headway: u32,
    /// So many are a queue.
    queued: u32,
}

impl Lanes {
    /// The lanes of roads that have so many each, of such measures.
    pub fn new<'a>(roads: impl IntoIterator<Item = (u8, &'a Spec)>) -> Self {
        let mut lanes = Self { first: vec![0], roads: Vec::new(), limits: Vec::new() };
        for (road, (count, spec)) in (0u32..).zip(roads) {
            lanes.roads.extend((0..count).map(|_| road));
            lanes.first.push(lanes.roads.len() as u32);
            lanes.limits.push(Limits { headway: spec.headway(), queued: (spec.length / QUEUED) as u32 + 2 });
        }
        lanes
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.roads.len()
    }

    /// The lanes of a road.
    #[inline]
    pub fn of(&self, road: u32) -> Range<u32> {
        self.first[road as usize]..self.first[road as usize + 1]
    }

    /// The number in the city of a road's lane.
    #[inline]
    pub fn number(&self, road: u32, lane: u8) -> usize {
        self.first[road as usize] as usize + usize::from(lane)
    }

    /// The road of a lane, and its number there.
    #[inline]
    pub fn road(&self, lane: u32) -> (u32, u8) {
        let road = self.roads[lane as usize];
        (road, (lane - self.first[road as usize]) as u8)
    }

    /// What is so of each road, for each lane.
    pub fn spread<T: Copy>(&self, of_roads: &[T]) -> Vec<T> {
        self.roads.iter().map(|road| of_roads[*road as usize]).collect()
    }

    /// The lane that a driver likes on a road; `rank` of 256 drivers like to drive more slowly.
    #[inline]
    pub fn liked(&self, road: u32, rank: u8) -> u32 {
        let Range { start, end } = self.of(road);
        start + ((u32::from(rank) * (end - start)) >> 8)
    }

    /// The lane that it takes instead of the liked one, being at the road's start: it could be at the end at `arrive` if
    /// nobody were in its way. Of a lane, `last` tells when the last that came could be at the end, and `vehicles` how many
    /// there are.
    #[inline]
    pub fn choose(&self, liked: u32, arrive: i64, last: impl Fn(u32) -> i64, vehicles: impl Fn(u32) -> u32) -> u32 {
        let road = self.roads[liked as usize];
        let lanes = self.of(road);
        let Limits { headway, queued } = self.limits[road as usize];
        if vehicles(liked) >= queued {
            return lanes.min_by_key(|l| (vehicles(*l), *l != liked)).unwrap_or(liked);
        }
        if last(liked) + i64::from(headway) <= arrive + PATIENCE {
            return liked;
        }
        // Those that hold nobody up are alike.
        lanes.min_by_key(|l| (last(*l).max(arrive - i64::from(headway)), l.abs_diff(liked))).unwrap_or(liked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signals::Signal;
    use super::*;

    /// Of 100 m.
    fn lanes(counts: &[u8]) -> Lanes {
        let spec = Spec { length: 100.0, lanes: 1, limit_kmh: 50.4, signal: Signal::NONE };
        Lanes::new(counts.iter().map(|count| (*count, &spec)))
    }

    #[test]
    fn lanes_are_numbered_road_by_road() {
        let lanes = lanes(&[2, 1, 3]);
        assert_eq!((lanes.count(), lanes.of(0), lanes.of(2)), (6, 0..2, 3..6));
        assert_eq!(lanes.spread(&['a', 'b', 'c']), ['a', 'a', 'b', 'c', 'c', 'c']);
        for lane in 0..6 {
            let (road, place) = lanes.road(lane);
            assert!(lanes.of(road).contains(&lane));
            assert_eq!(lanes.number(road, place), lane as usize);
        }
    }

    #[test]
    fn the_slower_like_it_nearer_to_the_kerb() {
        let lanes = lanes(&[1, 3]);
        assert_eq!([0, 85, 86, 170, 171, 255].map(|rank| lanes.liked(1, rank)), [1, 1, 2, 2, 3, 3]);
        assert_eq!([0, 255].map(|rank| lanes.liked(0, rank)), [0, 0]);
    }

    #[test]
    fn drivers_leave_the_lane_they_like_where_they_are_held_up_or_would_queue() {
        let lanes = lanes(&[3]);
        // The one ahead of a driver who could be there at 10 s arrives then; a headway is 2,036 ms.
        let chosen = |liked, last: [i64; 3], vehicles: [u32; 3]| {
            lanes.choose(liked, 10_000, |lane| last[lane as usize], |lane| vehicles[lane as usize])
        };
        assert_eq!(chosen(1, [0, 10_900, 0], [1, 1, 1]), 1, "hardly held up");
        assert_eq!(chosen(1, [11_000, 11_000, 9_500], [1, 1, 1]), 2, "the freest lane");
        assert_eq!(chosen(2, [0, 0, 11_000], [1, 1, 1]), 1, "of free lanes the nearest");
        assert_eq!(chosen(1, [14_000, 13_000, 15_000], [1, 1, 1]), 1, "all are worse");
        // Seven are a queue on 100 m.
        assert_eq!(chosen(0, [0, 0, 0], [7, 5, 6]), 1);
        assert_eq!(chosen(0, [0, 0, 0], [6, 0, 0]), 0);
        assert_eq!(chosen(2, [0, 0, 0], [7, 7, 7]), 2);
    }
}

//! Traffic lights with fixed cycles: opposite roads have green together, splits by lanes, offsets that make a green wave.

use serde::{Deserialize, Serialize};

use super::network::{Network, RoadClass};

/// Cycle in milliseconds `[assumed]`; usual ones are 60 to 120 s.
const CYCLE: u32 = 90_000;
/// Nobody has green for so long after each phase, in milliseconds `[assumed]`.
const ALL_RED: u32 = 4_000;
/// Each phase has green at least so long, in milliseconds `[assumed]`.
const LEAST_GREEN: u32 = 20_000;
/// Two roads have green together where they meet at an angle that is straight but for so many degrees `[assumed]`.
const MOST_BEND: f64 = 60.0;
/// Where more roads meet, each has a phase of its own.
const MOST_PAIRED: usize = 8;
/// Speed of the green wave, north- and eastbound, in metres per second `[assumed]`: what drivers keep on an arterial.
const GREEN_WAVE: f64 = 15.0;

/// When the light at the end of a road is green: from `start` on for `green`, each `cycle`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Cycle; 0 where there is no light.
    pub cycle: u32,
    /// Start of green within the cycle, counted from the epoch.
    pub start: u32,
    /// Length of green.
    pub green: u32,
}

impl Signal {
    /// No light.
    pub const NONE: Self = Self { cycle: 0, start: 0, green: 0 };

    /// The first moment from `time` on that is green.
    #[inline]
    pub fn next_green(self, time: i64) -> i64 {
        if self.cycle == 0 {
            return time;
        }
        // Times are after the epoch; unsigned division is the faster one.
        let since = (time as u64 + u64::from(self.cycle - self.start)) % u64::from(self.cycle);
        if since < u64::from(self.green) { time } else { time + (u64::from(self.cycle) - since) as i64 }
    }

    /// Mean wait of who comes at any time, in milliseconds.
    pub fn mean_wait(self) -> u32 {
        if self.cycle == 0 {
            return 0;
        }
        let red = u64::from(self.cycle - self.green);
        (red * red / (2 * u64::from(self.cycle))) as u32
    }
}

/// For each road the light at its end. Lights stand wherever roads cross; at motorways vehicles merge by lanes.
pub fn plan(network: &Network) -> Vec<Signal> {
    let mut signals = vec![Signal::NONE; network.roads.len()];
    for (j, roads) in network.arriving().iter().enumerate() {
        let roads: Vec<usize> = roads.iter().map(|&r| r as usize).collect();
        let headings: Vec<f64> = roads.iter().map(|&r| network.roads[r].heading).collect();
        let phases = phases(&headings);
        let motorway = roads.iter().any(|&r| network.roads[r].class == RoadClass::Motorway);
        if motorway || roads.len() < 3 || phases.len() < 2 {
            continue;
        }
        let place = network.junctions[j];
        let offset = ((place.x + place.y) / GREEN_WAVE * 1_000.0).rem_euclid(f64::from(CYCLE)) as u32;
        let lanes =
            |phase: &Vec<usize>| phase.iter().map(|&n| u32::from(network.roads[roads[n]].lanes)).max().unwrap_or(1);
        let mut start = offset;
        for (phase, green) in phases.iter().zip(greens(&phases.iter().map(lanes).collect::<Vec<_>>())) {
            for &n in phase {
                signals[roads[n]] = Signal { cycle: CYCLE, start: start % CYCLE, green };
            }
            start += green + ALL_RED;
        }
    }
    signals
}

/// How far two arriving roads are from going straight into each other, in degrees.
fn bend(a: f64, b: f64) -> f64 {
    ((a - b).rem_euclid(360.0) - 180.0).abs()
}

/// Puts the arriving roads into phases: pairs that are as straight as can be, as few phases as possible. The roads are
/// given by their headings, the phases by their places.
fn phases(headings: &[f64]) -> Vec<Vec<usize>> {
    let all: Vec<usize> = (0..headings.len()).collect();
    if all.len() > MOST_PAIRED { all.into_iter().map(|n| vec![n]).collect() } else { pair(headings, &all).1 }
}

/// The best phases of `left`, and their worst bend.
fn pair(headings: &[f64], left: &[usize]) -> (f64, Vec<Vec<usize>>) {
    let Some((&first, rest)) = left.split_first() else { return (0.0, Vec::new()) };
    let (worst, mut phases) = pair(headings, rest);
    phases.insert(0, vec![first]);
    let mut best = (worst, phases);
    for &other in rest {
        let bend = bend(headings[first], headings[other]);
        if bend > MOST_BEND {
            continue;
        }
        let others: Vec<usize> = rest.iter().copied().filter(|n| *n != other).collect();
        let (worst, mut phases) = pair(headings, &others);
        phases.insert(0, vec![first, other]);
        let found = (worst.max(bend), phases);
        if (found.1.len(), found.0) < (best.1.len(), best.0) {
            best = found;
        }
    }
    best
}

/// Greens of phases with so many lanes: shares of the cycle by lanes, none too short.
fn greens(lanes: &[u32]) -> Vec<u32> {
    let phases = lanes.len() as u32;
    let total = CYCLE.saturating_sub(phases * ALL_RED);
    let least = LEAST_GREEN.min(total / phases.max(1));
    // What is beyond the least is shared, so that the greens fill the cycle.
    let (spare, all) = (total - least * phases, lanes.iter().sum::<u32>().max(1));
    let even = |lanes: &u32| (total * lanes / all).saturating_sub(least);
    let beyond: Vec<u32> = lanes.iter().map(even).collect();
    let sum = beyond.iter().sum::<u32>().max(1);
    beyond.iter().map(|b| least + (u64::from(spare) * u64::from(*b) / u64::from(sum)) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    #[test]
    fn green_comes_each_cycle_for_its_length() {
        let signal = Signal { cycle: 90, start: 80, green: 30 };
        let green: Vec<i64> = (900..990).filter(|&t| signal.next_green(t) == t).map(|t| t - 900).collect();
        assert_eq!(green, (0..20).chain(80..90).collect::<Vec<_>>());
        assert_eq!(signal.next_green(920), 980);
        assert_eq!(Signal::NONE.next_green(5), 5);
    }

    #[test]
    fn opposite_roads_share_a_phase_and_few_phases_are_made() {
        assert_eq!(phases(&[0.0, 90.0, 180.0, 270.0]), [[0, 2], [1, 3]]);
        // A ring that two radials leave: the straight ring would leave the radials a phase each.
        assert_eq!(phases(&[90.0, 270.0, 218.0, 142.0]), [[0, 2], [1, 3]]);
        assert_eq!(phases(&[0.0, 175.0, 90.0]), [vec![0, 1], vec![2]]);
        assert_eq!(phases(&[0.0, 60.0, 120.0, 180.0, 240.0, 300.0]).len(), 3);
        assert_eq!(phases(&(0..20).map(f64::from).collect::<Vec<_>>()).len(), 20);
        for lanes in [&[1, 1][..], &[3, 1], &[2, 1, 1], &[1; 5]] {
            let greens = greens(lanes);
            let sum = greens.iter().sum::<u32>() + lanes.len() as u32 * ALL_RED;
            assert!(sum <= CYCLE && sum > CYCLE - 10, "{greens:?}");
            assert!(greens.iter().all(|g| *g >= LEAST_GREEN.min(CYCLE / 8)), "{greens:?}");
        }
    }

    #[test]
    fn roads_that_cross_are_never_green_together() {
        let network = Network::procedural(Rng::new(7), 2_000);
        let signals = plan(&network);
        let lit = signals.iter().filter(|s| **s != Signal::NONE).count();
        assert!(lit > network.roads.len() / 4, "{lit} of {}", network.roads.len());
        let mut together = 0;
        for (a, first) in network.roads.iter().enumerate().filter(|(a, _)| signals[*a] != Signal::NONE) {
            for (b, second) in network.roads.iter().enumerate().skip(a + 1).filter(|(_, s)| s.to == first.to) {
                let green = |r: usize, t| signals[r].next_green(t) == t;
                let both = (0..90_000).step_by(500).any(|t| green(a, t) && green(b, t));
                together += usize::from(both);
                assert!(!both || bend(first.heading, second.heading) <= MOST_BEND, "{a} and {b}");
            }
        }
        assert!(together > lit / 3, "{together} pairs are green together");
    }
}

//! Traffic lights with fixed cycles: two phases by heading, splits by lanes, offsets that make a green wave.

use serde::{Deserialize, Serialize};

use super::network::{Network, RoadClass};

/// Cycle in milliseconds `[assumed]`; usual ones are 60 to 120 s.
const CYCLE: u32 = 90_000;
/// Nobody has green for so long after each phase, in milliseconds `[assumed]`.
const ALL_RED: u32 = 4_000;
/// Each phase has green at least so long, in milliseconds `[assumed]`.
const LEAST_GREEN: u32 = 20_000;
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

/// For each road the light at its end. Lights stand wherever main roads cross; at motorways vehicles merge by lanes.
pub fn plan(network: &Network) -> Vec<Signal> {
    let mut arriving = vec![Vec::new(); network.junctions.len()];
    for (r, road) in network.roads.iter().enumerate() {
        arriving[road.to as usize].push(r);
    }
    let mut signals = vec![Signal::NONE; network.roads.len()];
    for (j, roads) in arriving.iter().enumerate() {
        let class = |class| roads.iter().any(|&r| network.roads[r].class == class);
        // 0 northbound or southbound, 1 eastbound or westbound.
        let axis = |r: usize| (network.roads[r].heading / 90.0).round() as usize % 2;
        let lanes = |a| roads.iter().filter(|&&r| axis(r) == a).map(|&r| u32::from(network.roads[r].lanes)).max();
        let (Some(first), Some(second)) = (lanes(0), lanes(1)) else { continue };
        if class(RoadClass::Motorway) {
            continue;
        }
        let place = network.junctions[j];
        let offset = ((place.x + place.y) / GREEN_WAVE * 1_000.0).rem_euclid(f64::from(CYCLE)) as u32;
        let total = CYCLE - 2 * ALL_RED;
        let green = (total * first / (first + second)).clamp(LEAST_GREEN, total - LEAST_GREEN);
        for &r in roads {
            let (start, green) = if axis(r) == 0 { (0, green) } else { (green + ALL_RED, total - green) };
            signals[r] = Signal { cycle: CYCLE, start: (offset + start) % CYCLE, green };
        }
    }
    signals
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
    fn roads_that_cross_are_never_green_together() {
        let network = Network::procedural(Rng::new(7), 2_000);
        let signals = plan(&network);
        let lit = signals.iter().filter(|s| **s != Signal::NONE).count();
        assert!(lit > network.roads.len() / 4, "{lit} of {}", network.roads.len());
        for (a, first) in network.roads.iter().enumerate() {
            for (b, second) in network.roads.iter().enumerate().skip(a) {
                let across = (first.heading - second.heading).rem_euclid(180.0);
                if first.to != second.to || !(70.0..110.0).contains(&across) || signals[a] == Signal::NONE {
                    continue;
                }
                for t in (0..90_000).step_by(500) {
                    let green = |r: usize| signals[r].next_green(t) == t;
                    assert!(!(green(a) && green(b)), "{a} and {b} at {t}");
                }
            }
        }
    }
}

//! Shortest ways by free-flow time: for each destination a table that says, at every junction, which road to take next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::network::Network;

/// Next-road tables, made when a destination is first asked for. At most one byte for each pair of junctions.
#[derive(Debug)]
pub struct Routes {
    tables: Vec<Option<Box<[u8]>>>,
    /// For each junction, the roads that end there.
    arriving: Vec<Vec<u32>>,
    cost_ms: Vec<u32>,
}

const NO_WAY: u8 = u8::MAX;

impl Routes {
    /// Empty tables for a network.
    pub fn new(network: &Network) -> Self {
        let mut arriving = vec![Vec::new(); network.junctions.len()];
        let mut cost_ms = Vec::with_capacity(network.roads.len());
        for (r, road) in network.roads.iter().enumerate() {
            arriving[road.to as usize].push(r as u32);
            cost_ms.push((road.length / road.class.limit_kmh() * 3_600.0).round() as u32);
        }
        Self { tables: vec![None; network.junctions.len()], arriving, cost_ms }
    }

    /// The road to take at `at` towards `to`; `None` at the destination.
    pub fn next(&mut self, network: &Network, at: u32, to: u32) -> Option<u32> {
        let Self { tables, arriving, cost_ms } = self;
        let table = tables[to as usize].get_or_insert_with(|| table(network, arriving, cost_ms, to));
        match table[at as usize] {
            NO_WAY => None,
            slot => network.leaving(at).get(usize::from(slot)).copied(),
        }
    }
}

/// Dijkstra from the destination backwards. Ties go to the road with the lower number.
fn table(network: &Network, arriving: &[Vec<u32>], cost_ms: &[u32], to: u32) -> Box<[u8]> {
    let mut best = vec![u64::MAX; network.junctions.len()];
    let mut next = vec![NO_WAY; network.junctions.len()];
    let mut queue = BinaryHeap::from([Reverse((0u64, to))]);
    best[to as usize] = 0;
    while let Some(Reverse((cost, junction))) = queue.pop() {
        if cost > best[junction as usize] {
            continue;
        }
        for &r in &arriving[junction as usize] {
            let from = network.roads[r as usize].from;
            let candidate = cost + u64::from(cost_ms[r as usize]);
            if candidate < best[from as usize] {
                best[from as usize] = candidate;
                let slot = network.leaving(from).iter().position(|&out| out == r);
                next[from as usize] = slot.and_then(|s| u8::try_from(s).ok()).unwrap_or(NO_WAY);
                queue.push(Reverse((candidate, from)));
            }
        }
    }
    next.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    #[test]
    fn the_way_is_as_short_as_the_shortest() {
        let network = Network::procedural(Rng::new(3), 2_000);
        let mut routes = Routes::new(&network);
        let n = network.junctions.len();
        // A second path: relax all roads until nothing changes.
        let to = 17u32;
        let mut best = vec![u64::MAX / 2; n];
        best[to as usize] = 0;
        for _ in 0..n {
            for (r, road) in network.roads.iter().enumerate() {
                let through = best[road.to as usize] + u64::from(routes.cost_ms[r]);
                best[road.from as usize] = best[road.from as usize].min(through);
            }
        }
        for from in 0..n as u32 {
            let (mut at, mut cost) = (from, 0u64);
            while let Some(road) = routes.next(&network, at, to) {
                cost += u64::from(routes.cost_ms[road as usize]);
                at = network.roads[road as usize].to;
            }
            assert_eq!((at, cost), (to, best[from as usize]), "from {from}");
        }
    }
}

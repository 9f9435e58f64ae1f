//! Ways to a destination by next-road tables: one byte for each zone and junction, made anew from measured times.
//!
//! Junctions are cut into zones in which every junction reaches every other without leaving the zone. A driver follows the
//! quickest way to the destination's zone, then the quickest way within it, so it never turns back. Drivers are in four
//! groups, each with tables of its own; each refresh makes those of one group, so a quarter of the drivers changes its mind
//! at a time (city.md).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::network::Network;

/// Groups of drivers; one in so many is rerouted at a refresh: 25 % `[assumed]`.
pub const GROUPS: usize = 4;
/// Most zones along one side of the city: bounds the tables to 256 bytes a junction, more only where zones fall apart.
const MOST_ZONES: usize = 16;
/// Junctions along one side of a zone, where the number of zones allows.
const ZONE_SIDE: usize = 4;
/// Drivers don't react to a road that takes less than this share longer than usual `[assumed]`.
const NOTICED: f64 = 0.5;

const NO_WAY: u8 = u8::MAX;

/// Next-road tables. At most 4 × 256 bytes a junction while zones are in one piece.
#[derive(Debug)]
pub struct Routes {
    /// For each junction its zone, and its place in it.
    zone: Vec<u16>,
    place: Vec<u16>,
    zones: Vec<Vec<u32>>,
    /// `local[local_start[to] + place[at]]`: the road to take within the zone.
    local: Vec<u8>,
    local_start: Vec<u32>,
    /// For each junction, the roads that end there.
    arriving: Vec<Vec<u32>>,
    /// What each road takes when it is free, its light included.
    usual_ms: Vec<u32>,
    wait_ms: Vec<u32>,
    groups: Vec<Group>,
    turn: usize,
}

#[derive(Debug, Clone)]
struct Group {
    cost_ms: Arc<Vec<u32>>,
    /// `next[zone * junctions + at]`.
    next: Arc<Vec<u8>>,
}

/// What the tables are made of, beside the network: the costs by which each group of drivers goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    /// Different ones; each for every road.
    costs: Vec<Vec<u32>>,
    /// For each group its place in `costs`.
    of_group: [u8; GROUPS],
    turn: u8,
}

impl Routes {
    /// What [`Routes::restore`] makes the same tables of.
    pub fn known(&self) -> Known {
        let mut costs: Vec<Vec<u32>> = Vec::new();
        let of_group = std::array::from_fn(|g| {
            let cost = &*self.groups[g].cost_ms;
            let place = costs.iter().position(|c| c == cost).unwrap_or_else(|| {
                costs.push(cost.clone());
                costs.len() - 1
            });
            place as u8
        });
        Known { costs, of_group, turn: self.turn as u8 }
    }

    /// Makes every group's tables anew. `None` where the costs are not of this network.
    pub fn restore(&mut self, network: &Network, known: Known) -> Option<()> {
        let roads = network.roads.len();
        if known.costs.iter().any(|c| c.len() != roads) || usize::from(known.turn) >= GROUPS {
            return None;
        }
        let make = |cost: Vec<u32>| {
            let next = Arc::new(self.tables(network, &cost));
            Group { cost_ms: Arc::new(cost), next }
        };
        let made: Vec<Group> = known.costs.into_iter().map(make).collect();
        let groups: Option<Vec<Group>> = known.of_group.iter().map(|g| made.get(usize::from(*g)).cloned()).collect();
        self.groups = groups?;
        self.turn = usize::from(known.turn);
        Some(())
    }

    /// Tables for a network by free-flow times; `waits` is the mean wait in milliseconds at the end of each road.
    pub fn new(network: &Network, waits: &[u32]) -> Self {
        let arriving = network.arriving();
        let mut usual_ms = Vec::with_capacity(network.roads.len());
        for (r, road) in network.roads.iter().enumerate() {
            usual_ms.push((road.length / road.class.limit_kmh() * 3_600.0).round() as u32 + waits[r]);
        }
        let (zone, zones) = cut(network, &arriving);
        let mut place = vec![0u16; zone.len()];
        for members in &zones {
            for (n, &j) in members.iter().enumerate() {
                place[j as usize] = n as u16;
            }
        }
        let mut routes = Self {
            zone,
            place,
            zones,
            local: Vec::new(),
            local_start: Vec::new(),
            arriving,
            usual_ms,
            wait_ms: waits.to_vec(),
            groups: Vec::new(),
            turn: 0,
        };
        let mut search = Search::new(network.junctions.len());
        for to in 0..network.junctions.len() as u32 {
            let z = routes.zone[to as usize];
            routes.local_start.push(routes.local.len() as u32);
            search.run(network, &routes.arriving, &routes.usual_ms, &[to], |j| routes.zone[j as usize] == z);
            routes.local.extend(routes.zones[usize::from(z)].iter().map(|&j| search.next[j as usize]));
        }
        let cost_ms = Arc::new(routes.usual_ms.clone());
        let next = Arc::new(routes.tables(network, &cost_ms));
        routes.groups = vec![Group { cost_ms, next }; GROUPS];
        routes
    }

    /// The road to take at `at` towards `to` by the tables of `group`; `None` at the destination.
    #[inline]
    pub fn next(&self, network: &Network, group: usize, at: u32, to: u32) -> Option<u32> {
        if at == to {
            return None;
        }
        let zone = self.zone[to as usize];
        let slot = if self.zone[at as usize] == zone {
            self.local[self.local_start[to as usize] as usize + usize::from(self.place[at as usize])]
        } else {
            self.groups[group].next[usize::from(zone) * self.zone.len() + at as usize]
        };
        network.leaving(at).get(usize::from(slot)).copied()
    }

    /// Makes the next group's tables from the mean delay in milliseconds on each road, the wait at its light included.
    pub fn refresh(&mut self, network: &Network, delay_ms: &[u32]) {
        let noticed = |r: usize| {
            let (usual, now) = (self.usual_ms[r], self.usual_ms[r] - self.wait_ms[r] + delay_ms[r]);
            if f64::from(now) >= f64::from(usual) * (1.0 + NOTICED) { now } else { usual }
        };
        let cost: Vec<u32> = (0..delay_ms.len()).map(noticed).collect();
        self.turn = (self.turn + 1) % GROUPS;
        if *self.groups[self.turn].cost_ms == cost {
            return;
        }
        let same = self.groups.iter().find(|g| *g.cost_ms == cost).cloned();
        self.groups[self.turn] = same.unwrap_or_else(|| {
            let next = Arc::new(self.tables(network, &cost));
            Group { cost_ms: Arc::new(cost), next }
        });
    }

    fn tables(&self, network: &Network, cost_ms: &[u32]) -> Vec<u8> {
        let mut search = Search::new(network.junctions.len());
        let mut tables = Vec::with_capacity(self.zones.len() * network.junctions.len());
        for members in &self.zones {
            search.run(network, &self.arriving, cost_ms, members, |_| true);
            tables.extend_from_slice(&search.next);
        }
        tables
    }
}

/// Cuts the junctions into zones: blocks of the plane, each split into parts in one piece.
fn cut(network: &Network, arriving: &[Vec<u32>]) -> (Vec<u16>, Vec<Vec<u32>>) {
    let n = network.junctions.len();
    let side = (n as f64).sqrt();
    let blocks = ((side / ZONE_SIDE as f64).round() as usize).clamp(1, MOST_ZONES);
    let ends = |of: fn(&super::network::Place) -> f64| {
        network.junctions.iter().map(of).fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)))
    };
    let (x, y) = (ends(|p| p.x), ends(|p| p.y));
    let block_of = |v: f64, (least, most): (f64, f64)| {
        ((((v - least) / (most - least).max(1.0)) * blocks as f64) as usize).min(blocks - 1)
    };
    let block: Vec<usize> = network.junctions.iter().map(|p| block_of(p.y, y) * blocks + block_of(p.x, x)).collect();
    let mut zone = vec![u16::MAX; n];
    let mut zones: Vec<Vec<u32>> = Vec::new();
    for seed in 0..n as u32 {
        if zone[seed as usize] != u16::MAX {
            continue;
        }
        let free = |j: u32| zone[j as usize] == u16::MAX && block[j as usize] == block[seed as usize];
        let ahead = reach(seed, free, |j| network.leaving(j).iter().map(|&r| network.roads[r as usize].to).collect());
        let back =
            reach(seed, free, |j| arriving[j as usize].iter().map(|&r| network.roads[r as usize].from).collect());
        let members: Vec<u32> = ahead.into_iter().filter(|j| back.binary_search(j).is_ok()).collect();
        for &j in &members {
            zone[j as usize] = zones.len() as u16;
        }
        zones.push(members);
    }
    (zone, zones)
}

/// What can be reached from `seed` over junctions that are `free`, sorted.
fn reach(seed: u32, free: impl Fn(u32) -> bool, next: impl Fn(u32) -> Vec<u32>) -> Vec<u32> {
    let mut found = std::collections::BTreeSet::from([seed]);
    let mut todo = vec![seed];
    while let Some(j) = todo.pop() {
        for k in next(j) {
            if free(k) && found.insert(k) {
                todo.push(k);
            }
        }
    }
    found.into_iter().collect()
}

/// Dijkstra backwards from destinations. Ties go to the junction with the lower number.
struct Search {
    best: Vec<u64>,
    next: Vec<u8>,
    queue: BinaryHeap<Reverse<u64>>,
    /// Junctions that the last run reached.
    reached: Vec<u32>,
}

impl Search {
    fn new(junctions: usize) -> Self {
        Self {
            best: vec![u64::MAX; junctions],
            next: vec![NO_WAY; junctions],
            queue: BinaryHeap::new(),
            reached: Vec::new(),
        }
    }

    fn run(
        &mut self,
        network: &Network,
        arriving: &[Vec<u32>],
        cost_ms: &[u32],
        to: &[u32],
        within: impl Fn(u32) -> bool,
    ) {
        for j in self.reached.drain(..) {
            self.best[j as usize] = u64::MAX;
            self.next[j as usize] = NO_WAY;
        }
        for &j in to {
            self.best[j as usize] = 0;
            self.reached.push(j);
            self.queue.push(Reverse(u64::from(j)));
        }
        while let Some(Reverse(key)) = self.queue.pop() {
            // Cost and junction in one number: a way takes less than 49 days.
            let (cost, junction) = (key >> 32, key as u32);
            if cost > self.best[junction as usize] {
                continue;
            }
            for &r in &arriving[junction as usize] {
                let from = network.roads[r as usize].from;
                let candidate = cost + u64::from(cost_ms[r as usize]);
                if candidate < self.best[from as usize] && within(from) {
                    if self.best[from as usize] == u64::MAX {
                        self.reached.push(from);
                    }
                    self.best[from as usize] = candidate;
                    let slot = network.leaving(from).iter().position(|&out| out == r);
                    self.next[from as usize] = slot.and_then(|s| u8::try_from(s).ok()).unwrap_or(NO_WAY);
                    self.queue.push(Reverse(candidate << 32 | u64::from(from)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    fn routes(vehicles: u32) -> (Network, Routes) {
        let network = Network::procedural(Rng::new(3), vehicles);
        let routes = Routes::new(&network, &vec![0; network.roads.len()]);
        (network, routes)
    }

    fn cost(network: &Network, routes: &Routes, from: u32, to: u32) -> u64 {
        let (mut at, mut cost, mut steps) = (from, 0u64, 0);
        while let Some(road) = routes.next(network, 0, at, to) {
            cost += u64::from(routes.usual_ms[road as usize]);
            at = network.roads[road as usize].to;
            steps += 1;
            assert!(steps <= network.junctions.len(), "from {from} to {to} goes in circles");
        }
        assert_eq!(at, to, "from {from}");
        cost
    }

    #[test]
    fn every_way_arrives_and_is_hardly_longer_than_the_shortest() {
        for vehicles in [1, 2_000, 100_000] {
            let (network, routes) = routes(vehicles);
            let n = network.junctions.len() as u32;
            let mut search = Search::new(n as usize);
            let (mut sum, mut least) = (0u64, 0u64);
            for to in (0..n).step_by(17) {
                search.run(&network, &routes.arriving, &routes.usual_ms, &[to], |_| true);
                for from in 0..n {
                    let driven = cost(&network, &routes, from, to);
                    assert!(driven >= search.best[from as usize]);
                    sum += driven;
                    least += search.best[from as usize];
                }
            }
            let detour = sum as f64 / least as f64;
            assert!(detour < 1.05, "{detour} times the shortest");
        }
    }

    #[test]
    fn a_quarter_of_the_drivers_leaves_a_jammed_road_at_each_refresh() {
        let (network, mut routes) = routes(2_000);
        let n = network.junctions.len() as u32;
        let used = |routes: &Routes, group| {
            let mut count = vec![0u32; network.roads.len()];
            for (from, to) in (0..n).flat_map(|a| [(a, (a * 7 + 3) % n), (a, (a * 13 + 40) % n)]) {
                let mut at = from;
                while let Some(road) = routes.next(&network, group, at, to) {
                    count[road as usize] += 1;
                    at = network.roads[road as usize].to;
                }
            }
            count
        };
        let before = used(&routes, 0);
        let busiest = (0..before.len()).max_by_key(|&r| before[r]).unwrap();
        let mut delay = vec![0; network.roads.len()];
        delay[busiest] = 1_800_000;
        for refreshed in 1..=GROUPS {
            routes.refresh(&network, &delay);
            let left = (0..GROUPS).filter(|&g| used(&routes, g)[busiest] < before[busiest] / 2).count();
            assert_eq!(left, refreshed);
        }
    }
}

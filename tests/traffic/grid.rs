//! A crowded grid with lights: conservation, order, storage and headways, whatever happens.

use std::collections::HashMap;

use _core::city::flow::{Course, Drivers, Entry, Exit, Flow, NOWHERE, Spec};
use _core::city::network::Network;
use _core::city::rng::{Purpose, Rng};

use super::roads::T0;

/// Drivers who turn at random, each for so many roads.
struct Wanderers<'a> {
    network: &'a Network,
    rng: Rng,
    left: Vec<u32>,
    entries: Vec<Entry>,
    exits: Vec<Exit>,
    until: i64,
}

impl Drivers for Wanderers<'_> {
    fn enters(&mut self, entry: Entry) -> Course {
        self.entries.push(entry);
        let left = &mut self.left[entry.vehicle as usize];
        *left -= 1;
        let road = &self.network.roads[entry.road as usize];
        let ways = self.network.leaving(road.to);
        let draw = self.rng.below(Purpose::Demand, u64::from(entry.vehicle), u64::from(*left), ways.len() as u64);
        let pace = 0.8 + 0.4 * self.rng.unit(Purpose::Fleet, u64::from(entry.vehicle), 0);
        let free = (road.length / road.class.limit_kmh() / pace * 3_600.0) as u32;
        Course { free, next: if *left == 0 { NOWHERE } else { ways[draw as usize] } }
    }

    fn expects(&mut self, _arrive: i64) {}

    fn exits(&mut self, exit: Exit) {
        self.exits.push(exit);
    }

    fn until(&self) -> i64 {
        self.until
    }
}

#[test]
fn vehicles_are_conserved_in_order_and_within_the_roads_storage_and_capacity() {
    let network = Network::grid(Rng::new(7), 6, 200.0);
    let rng = Rng::new(9);
    let vehicles = 3_000u32;
    // Roads with several lanes in one queue, which the city does not have.
    let specs: Vec<Spec> =
        network.specs.iter().zip(&network.roads).map(|(spec, road)| Spec { lanes: road.lanes, ..*spec }).collect();
    let mut flow = Flow::new(&specs, T0);
    let left = (0..vehicles).map(|v| 5 + rng.below(Purpose::Demand, 1 << 40, u64::from(v), 40) as u32).collect();
    let (entries, exits) = (Vec::new(), Vec::new());
    let mut drivers = Wanderers { network: &network, rng, left, entries, exits, until: T0 };
    for v in 0..vehicles {
        drivers.until = T0 + i64::from(v) * 1_000;
        flow.run(&mut drivers);
        let road = rng.below(Purpose::Demand, 1 << 41, u64::from(v), network.roads.len() as u64) as u32;
        flow.depart(drivers.until, v, road, &mut drivers);
    }
    drivers.until = T0 + 4_500_000;
    flow.run(&mut drivers);

    let roads = network.roads.len();
    let on: u32 = (0..roads as u32).map(|r| flow.occupancy(r)).sum();
    let kerb: usize = (0..roads as u32).map(|r| flow.waiting_to_depart(r)).sum();
    let arrived = drivers.exits.iter().filter(|e| e.last).count();
    assert_eq!(on as usize + kerb + arrived, vehicles as usize);
    assert!(on > 100 && arrived > 500, "{on} on roads, {arrived} arrived");

    // By road: entries and exits, in order.
    let mut t_in: HashMap<(u32, u32), (i64, u32)> = HashMap::new();
    let mut next_entry = vec![0u32; roads];
    let mut next_exit = vec![0u32; roads];
    let mut last_exit = vec![i64::MIN / 2; roads];
    let mut last_entry = vec![i64::MIN / 2; roads];
    let mut left_at: HashMap<(u32, u32), i64> = HashMap::new();
    // Exits come before the entries they make room for.
    let mut events: Vec<(i64, u8, usize)> = drivers.exits.iter().enumerate().map(|(i, e)| (e.time, 0, i)).collect();
    events.extend(drivers.entries.iter().enumerate().map(|(i, e)| (e.time, 1, i)));
    events.sort_unstable();
    let (mut released, mut full) = (0u64, 0);
    for (time, kind, i) in events {
        if kind == 0 {
            let exit = drivers.exits[i];
            let r = exit.road as usize;
            assert_eq!(exit.number, next_exit[r], "first in, first out");
            let (entered, vehicle) = t_in.remove(&(exit.road, exit.number)).expect("it entered");
            assert_eq!(vehicle, exit.vehicle);
            assert!(time >= exit.arrive && exit.arrive > entered);
            assert!(time - last_exit[r] >= i64::from(specs[r].headway()), "two exits too close");
            (next_exit[r], last_exit[r]) = (exit.number + 1, time);
            left_at.insert((exit.road, exit.number), time);
        } else {
            let entry = drivers.entries[i];
            let (r, spec) = (entry.road as usize, &specs[entry.road as usize]);
            assert_eq!(entry.number, next_entry[r]);
            next_entry[r] += 1;
            t_in.insert((entry.road, entry.number), (time, entry.vehicle));
            let occupancy = next_entry[r] - next_exit[r];
            assert!(occupancy <= spec.storage(), "{occupancy} vehicles where {} fit", spec.storage());
            full += usize::from(occupancy == spec.storage());
            let before = entry.number.checked_sub(spec.storage()).map(|n| left_at[&(entry.road, n)]);
            if before.is_some_and(|left| left == time) {
                // Only a ring that is released moves without waiting for room to travel back.
                released += 1;
                continue;
            }
            assert!(before.is_none_or(|left| time >= left + i64::from(spec.wave())), "room does not jump");
            assert!(time - last_entry[r] >= i64::from(spec.headway()) || released > 0, "two entries too close");
            last_entry[r] = time;
        }
    }
    assert!(full > 20, "the grid never filled: {full}");
    assert!(released >= 2 * flow.releases(), "{released} moves in {} releases", flow.releases());
}

//! Movement alone: link crossings and vehicle-seconds per CPU-second, bytes per vehicle, at a steady number of vehicles
//! under way. `cargo bench --bench traffic [-- small|large]`.
//!
//! Vehicles drive to random junctions a dozen roads away by the city's own next-road tables and set off again where they
//! arrive; entries and exits are written as the trace would be. Lights are on.

#![allow(missing_docs, clippy::print_stdout, clippy::expect_used)]

use std::fs;

use _core::city::flow::{Course, Drivers, Entry, Exit, Flow, NOWHERE};
use _core::city::network::Network;
use _core::city::rng::{Purpose, Rng};
use _core::city::routes::{GROUPS, Routes};

const T0: i64 = 1_780_272_000_000;

struct Case {
    name: &'static str,
    side: usize,
    spacing: f64,
    vehicles: u32,
    /// Simulated seconds to settle and to measure.
    settle: i64,
    measure: i64,
}

struct World<'a> {
    network: &'a Network,
    routes: &'a Routes,
    side: i64,
    rng: Rng,
    free: Vec<f32>,
    drivers: Vec<Driver>,
    arrived: Vec<(u32, u32)>,
    entries: Vec<Entry>,
    exits: Vec<(i64, u32, u32)>,
    on_roads: i64,
    crossings: u64,
    until: i64,
}

#[derive(Clone, Copy)]
struct Driver {
    to: u32,
    trips: u32,
    slowness: f32,
}

impl World<'_> {
    /// A junction up to eight lines away each way.
    fn destination(&mut self, v: u32, at: u32) -> u32 {
        let driver = &mut self.drivers[v as usize];
        driver.trips += 1;
        let draw = self.rng.bits(Purpose::Demand, u64::from(v), u64::from(driver.trips));
        let step = |bits: u64, line: i64| (line + (bits % 17) as i64 - 8).clamp(0, self.side - 1);
        let (i, j) = (step(draw, i64::from(at) / self.side), step(draw >> 20, i64::from(at) % self.side));
        (i * self.side + j) as u32
    }
}

impl Drivers for World<'_> {
    fn enters(&mut self, entry: Entry) -> Course {
        self.entries.push(entry);
        self.on_roads += 1;
        let driver = self.drivers[entry.vehicle as usize];
        let road = &self.network.roads[entry.road as usize];
        let free = (self.free[entry.road as usize] * driver.slowness) as u32;
        let next = self.routes.next(self.network, entry.vehicle as usize % GROUPS, road.to, driver.to);
        Course { free, next: next.unwrap_or(NOWHERE) }
    }

    fn expects(&mut self, _arrive: i64) {}

    fn exits(&mut self, exit: Exit) {
        self.exits.push((exit.time, exit.road, exit.number));
        self.on_roads -= 1;
        self.crossings += 1;
        if exit.last {
            self.arrived.push((exit.vehicle, exit.road));
        }
    }

    fn glance(&self, vehicle: u32) -> u32 {
        self.drivers[vehicle as usize].to
    }

    fn until(&self) -> i64 {
        self.until
    }
}

/// CPU-seconds of this thread.
fn cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

fn run(case: &Case) {
    let network = Network::grid(Rng::new(7), case.side, case.spacing);
    let waits: Vec<u32> = network.specs.iter().map(|s| s.signal.mean_wait()).collect();
    let routes = Routes::new(&network, &waits);
    let rng = Rng::new(11);
    let slowness = |v: u32| (1.0 / (1.0 + 0.2 * rng.normal(Purpose::Fleet, u64::from(v), 0)).clamp(0.55, 1.6)) as f32;
    let mut world = World {
        network: &network,
        routes: &routes,
        side: case.side as i64,
        rng,
        free: network.roads.iter().map(|r| (r.length / r.class.limit_kmh() * 3_600.0) as f32).collect(),
        drivers: (0..case.vehicles).map(|v| Driver { to: 0, trips: 0, slowness: slowness(v) }).collect(),
        arrived: Vec::new(),
        entries: Vec::new(),
        exits: Vec::new(),
        on_roads: 0,
        crossings: 0,
        until: T0,
    };
    let mut flow = Flow::new(&network.specs, T0);
    let roads = network.roads.len() as u64;
    for v in 0..case.vehicles {
        world.arrived.push((v, rng.below(Purpose::Fleet, u64::from(v), 1, roads) as u32));
    }
    let (mut second, mut vehicle_seconds) = (0i64, 0f64);
    let mut begun = (0.0, 0u64);
    let mut buffered = 0;
    while second < case.settle + case.measure {
        if second == case.settle {
            begun = (cpu(), world.crossings);
            vehicle_seconds = 0.0;
        }
        for (v, road) in std::mem::take(&mut world.arrived) {
            let at = network.roads[road as usize].to;
            let mut to = world.destination(v, at);
            if to == at {
                to = network.roads[network.leaving(at)[0] as usize].to;
            }
            world.drivers[v as usize].to = to;
            if let Some(first) = routes.next(&network, v as usize % GROUPS, at, to) {
                flow.depart(world.until, v, first, &mut world);
            }
        }
        second += 1;
        world.until = T0 + second * 1_000;
        flow.run(&mut world);
        vehicle_seconds += world.on_roads as f64;
        if second % 30 == 0 {
            buffered = buffered.max(world.entries.capacity() * size_of::<Entry>() + world.exits.capacity() * 16);
            world.entries.clear();
            world.exits.clear();
        }
    }
    let seconds = cpu() - begun.0;
    let crossings = (world.crossings - begun.1) as f64;
    let full = (0..network.roads.len()).filter(|&r| flow.occupancy(r as u32) >= network.specs[r].storage()).count();
    let bytes = flow.bytes() + world.drivers.capacity() * size_of::<Driver>();
    println!(
        "{}: {} roads, {:.0} under way, {:.1} % of roads full: {:.2} M crossings/s, {:.0} M vehicle-seconds/s, \
         {:.0} bytes/vehicle ({:.0} with 30 s of trace); {:.1} s a crossing; {} ring releases; {seconds:.2} CPU-s",
        case.name,
        roads,
        vehicle_seconds / case.measure as f64,
        full as f64 / roads as f64 * 100.0,
        crossings / seconds / 1e6,
        vehicle_seconds / seconds / 1e6,
        bytes as f64 / f64::from(case.vehicles),
        (bytes + buffered) as f64 / f64::from(case.vehicles),
        vehicle_seconds / crossings,
        flow.releases(),
    );
}

fn main() {
    let cases = [
        Case { name: "small", side: 73, spacing: 400.0, vehicles: 100_000, settle: 1_200, measure: 1_200 },
        Case { name: "cached", side: 24, spacing: 400.0, vehicles: 10_000, settle: 1_200, measure: 6_000 },
        Case { name: "large", side: 163, spacing: 300.0, vehicles: 1_000_000, settle: 1_200, measure: 600 },
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    for case in cases.iter().filter(|c| wanted.is_empty() || wanted.iter().any(|w| w == c.name)) {
        run(case);
    }
}

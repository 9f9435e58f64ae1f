//! Movement alone: link crossings and vehicle-seconds per CPU-second, bytes per vehicle, at a steady number of vehicles
//! under way. `cargo bench --bench traffic [-- small|cached|large]`, a JSON line for each.
//!
//! For others: `-- export FOLDER --side 24 --spacing 400 --vehicles 10000 --seconds 600` writes a network and trips as
//! nodes.csv, links.csv and trips.csv; `-- replay FOLDER` with the same numbers drives those trips and prints a JSON line.
//!
//! Vehicles drive to random junctions a dozen roads away by the city's own next-road tables and set off again where they
//! arrive; entries and exits are written as the trace would be. Lights are on.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::expect_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use _core::city::fleet::pace_rank;
use _core::city::flow::{Ahead, Course, Drivers, Entry, Exit, Flow, NOWHERE};
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
    rank: u8,
}

impl<'a> World<'a> {
    fn new(network: &'a Network, routes: &'a Routes, side: usize, vehicles: u32) -> Self {
        let rng = Rng::new(11);
        let driver = |v: u32| {
            let pace = (1.0 + 0.2 * rng.normal(Purpose::Fleet, u64::from(v), 0)).clamp(0.55, 1.6);
            Driver { to: 0, trips: 0, slowness: (1.0 / pace) as f32, rank: pace_rank(pace) }
        };
        Self {
            network,
            routes,
            side: side as i64,
            rng,
            free: network.roads.iter().map(|r| (r.length / r.class.limit_kmh() * 3_600.0) as f32).collect(),
            drivers: (0..vehicles).map(driver).collect(),
            arrived: Vec::new(),
            entries: Vec::new(),
            exits: Vec::new(),
            on_roads: 0,
            crossings: 0,
            until: T0,
        }
    }

    /// A road for a vehicle to begin at.
    fn somewhere(&self, v: u32) -> u32 {
        self.rng.below(Purpose::Fleet, u64::from(v), 1, self.network.roads.len() as u64) as u32
    }

    /// A junction up to eight lines away each way, but for `at`.
    fn destination(&mut self, v: u32, at: u32) -> u32 {
        let driver = &mut self.drivers[v as usize];
        driver.trips += 1;
        let draw = self.rng.bits(Purpose::Demand, u64::from(v), u64::from(driver.trips));
        let step = |bits: u64, line: i64| (line + (bits % 17) as i64 - 8).clamp(0, self.side - 1);
        let (i, j) = (step(draw, i64::from(at) / self.side), step(draw >> 20, i64::from(at) % self.side));
        let to = (i * self.side + j) as u32;
        if to == at { self.network.roads[self.network.leaving(at)[0] as usize].to } else { to }
    }

    /// Sends a vehicle from a junction to another.
    fn set_off(&mut self, flow: &mut Flow, v: u32, (from, to): (u32, u32)) {
        let driver = &mut self.drivers[v as usize];
        driver.to = to;
        if let Some(first) = self.routes.next(self.network, v as usize % GROUPS, from, to) {
            let lane = self.network.lanes.liked(first, driver.rank);
            flow.depart(self.until, v, lane, self);
        }
    }
}

impl Drivers for World<'_> {
    fn enters(&mut self, entry: Entry) -> Course {
        self.entries.push(entry);
        self.on_roads += 1;
        let driver = self.drivers[entry.vehicle as usize];
        let (r, _) = self.network.lanes.road(entry.road);
        let road = &self.network.roads[r as usize];
        let free = (self.free[r as usize] * driver.slowness) as u32;
        let next = self.routes.next(self.network, entry.vehicle as usize % GROUPS, road.to, driver.to);
        Course { free, next: next.map_or(NOWHERE, |road| self.network.lanes.liked(road, driver.rank)) }
    }

    fn steers(&self, vehicle: u32, lane: u32, time: i64, ahead: Ahead<'_>) -> u32 {
        let (road, _) = self.network.lanes.road(lane);
        let free = (self.free[road as usize] * self.drivers[vehicle as usize].slowness) as i64;
        self.network.lanes.choose(lane, time + free, |lane| ahead.last_arrive(lane), |lane| ahead.vehicles(lane))
    }

    fn expects(&mut self, _arrive: i64) {}

    fn exits(&mut self, exit: Exit) {
        self.exits.push((exit.time, exit.road, exit.number));
        self.on_roads -= 1;
        self.crossings += 1;
        if exit.last {
            self.arrived.push((exit.vehicle, self.network.lanes.road(exit.road).0));
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
    let mut world = World::new(&network, &routes, case.side, case.vehicles);
    let roads = network.roads.len();
    let mut flow = Flow::new(&network.lanes.spread(&network.specs), T0);
    for v in 0..case.vehicles {
        let road = world.somewhere(v);
        world.arrived.push((v, road));
    }
    let (mut second, mut vehicle_seconds) = (0i64, 0f64);
    let mut begun = (0.0, 0u64);
    let mut clock = Instant::now();
    let mut buffered = 0;
    while second < case.settle + case.measure {
        if second == case.settle {
            begun = (cpu(), world.crossings);
            clock = Instant::now();
            vehicle_seconds = 0.0;
        }
        for (v, road) in std::mem::take(&mut world.arrived) {
            let at = network.roads[road as usize].to;
            let to = world.destination(v, at);
            world.set_off(&mut flow, v, (at, to));
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
    let (seconds, wall) = (cpu() - begun.0, clock.elapsed().as_secs_f64());
    let crossings = (world.crossings - begun.1) as f64;
    let is_full = |lane: &u32| flow.occupancy(*lane) >= network.specs[network.lanes.road(*lane).0 as usize].storage();
    let lanes = network.lanes.count();
    let full = (0..lanes as u32).filter(is_full).count();
    let bytes = flow.bytes() + world.drivers.capacity() * size_of::<Driver>();
    eprintln!(
        "{}: {:.1} % of lanes full, {:.0} bytes/vehicle with 30 s of trace, {:.1} s a crossing, {} ring releases",
        case.name,
        full as f64 / lanes as f64 * 100.0,
        (bytes + buffered) as f64 / f64::from(case.vehicles),
        vehicle_seconds / crossings,
        flow.releases(),
    );
    println!(
        "{{\"name\": \"{}\", \"roads\": {roads}, \"under_way\": {:.0}, \"crossings\": {crossings}, \
         \"vehicle_seconds\": {vehicle_seconds}, \"cpu\": {seconds}, \"wall\": {wall}, \"bytes_per_vehicle\": {:.0}}}",
        case.name,
        vehicle_seconds / case.measure as f64,
        bytes as f64 / f64::from(case.vehicles),
    );
}

/// A trip as it is exported: its second, its first and its last junction.
#[derive(Clone, Copy)]
struct Trip {
    depart: i64,
    from: u32,
    to: u32,
}

/// Vehicles of an exported demand set off one by one in so many seconds, so that nobody's kerb is jammed from the start.
const FILL: u64 = 120;

/// What is exported: `side`, `spacing`, `vehicles` and `seconds`.
struct Asked {
    side: usize,
    spacing: f64,
    vehicles: u32,
    seconds: i64,
}

impl Asked {
    fn parse(arguments: &[String]) -> Self {
        let number = |flag: &str| {
            let at = arguments.iter().position(|a| a == flag).expect("--side, --spacing, --vehicles and --seconds");
            arguments.get(at + 1).and_then(|n| n.parse::<f64>().ok()).expect("a number")
        };
        Self {
            side: number("--side") as usize,
            spacing: number("--spacing"),
            vehicles: number("--vehicles") as u32,
            seconds: number("--seconds") as i64,
        }
    }
}

/// Writes the network, and the trips that so many vehicles make when each sets off again where it arrives.
fn export(folder: &Path, asked: &Asked) {
    let network = Network::grid(Rng::new(7), asked.side, asked.spacing);
    let mut nodes = String::from("node,x_m,y_m\n");
    for (n, place) in network.junctions.iter().enumerate() {
        writeln!(nodes, "{n},{:.1},{:.1}", place.x, place.y).expect("memory");
    }
    // Green begins `start` after the run's begin and then each `cycle`; the phases of a junction are numbered by it.
    let start = |r: usize| {
        let s = network.specs[r].signal;
        if s.cycle == 0 { 0 } else { (i64::from(s.start) - T0).rem_euclid(i64::from(s.cycle)) }
    };
    let mut starts = vec![Vec::new(); network.junctions.len()];
    for (r, road) in network.roads.iter().enumerate() {
        starts[road.to as usize].push(start(r));
    }
    for each in &mut starts {
        each.sort_unstable();
        each.dedup();
    }
    let mut links = String::from("link,from,to,length_m,lanes,limit_kmh,cycle_s,start_s,green_s,phase\n");
    for (r, road) in network.roads.iter().enumerate() {
        let s = network.specs[r].signal;
        let (cycle, begin, green) = (f64::from(s.cycle), start(r), f64::from(s.green));
        let phase = starts[road.to as usize].iter().position(|t| *t == begin).expect("it is among them");
        let (cycle, begin_s, green) = (cycle / 1e3, begin as f64 / 1e3, green / 1e3);
        let (length, lanes, limit) = (road.length, road.lanes, road.class.limit_kmh());
        writeln!(links, "{r},{},{},{length},{lanes},{limit},{cycle},{begin_s},{green},{phase}", road.from, road.to)
            .expect("memory");
    }
    let mut trips = String::from("vehicle,depart_s,from,to\n");
    for (v, trip) in drive(&network, asked, None).0.iter().enumerate() {
        writeln!(trips, "{v},{},{},{}", trip.depart, trip.from, trip.to).expect("memory");
    }
    fs::create_dir_all(folder).expect("a folder to write to");
    for (name, text) in [("nodes.csv", nodes), ("links.csv", links), ("trips.csv", trips)] {
        fs::write(folder.join(name), text).expect("a folder to write to");
    }
}

/// Drives the exported trips.
fn replay(folder: &Path, asked: &Asked) {
    let text = fs::read_to_string(folder.join("trips.csv")).expect("an exported folder");
    let trips: Vec<Trip> = text
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<i64> = line.split(',').map(|c| c.parse().expect("a number")).collect();
            Trip { depart: cells[1], from: cells[2] as u32, to: cells[3] as u32 }
        })
        .collect();
    let network = Network::grid(Rng::new(7), asked.side, asked.spacing);
    // The loop takes milliseconds, and a thread's account of its CPU is no finer: drive until it is seconds.
    let mut sum = drive(&network, asked, Some(&trips)).1;
    while sum.wall < REPLAYED {
        sum.add(&drive(&network, asked, Some(&trips)).1);
    }
    println!("{}", sum.json());
}

/// Seconds.
const REPLAYED: f64 = 2.0;

/// What driving took and did.
struct Cost {
    cpu: f64,
    wall: f64,
    crossings: u64,
    vehicle_seconds: i64,
}

impl Cost {
    fn add(&mut self, more: &Self) {
        self.cpu += more.cpu;
        self.wall += more.wall;
        self.crossings += more.crossings;
        self.vehicle_seconds += more.vehicle_seconds;
    }

    fn json(&self) -> String {
        let Self { cpu, wall, crossings, vehicle_seconds } = self;
        format!(
            "{{\"cpu\": {cpu}, \"wall\": {wall}, \"crossings\": {crossings}, \"vehicle_seconds\": {vehicle_seconds}}}"
        )
    }
}

/// Drives given trips, each by a vehicle of its own, or makes them; gives them, and the cost as JSON.
fn drive(network: &Network, asked: &Asked, given: Option<&[Trip]>) -> (Vec<Trip>, Cost) {
    let (began, cpu_before) = (Instant::now(), cpu());
    let waits: Vec<u32> = network.specs.iter().map(|s| s.signal.mean_wait()).collect();
    let routes = Routes::new(network, &waits);
    let vehicles = given.map_or(asked.vehicles, |trips| trips.len() as u32);
    let mut world = World::new(network, &routes, asked.side, vehicles);
    let mut flow = Flow::new(&network.lanes.spread(&network.specs), T0);
    let mut made = Vec::new();
    let (mut next, mut vehicle_seconds) = (0u32, 0i64);
    for second in 0..asked.seconds {
        let mut off: Vec<(u32, Trip)> = Vec::new();
        if let Some(trips) = given {
            world.arrived.clear();
            while let Some(trip) = trips.get(next as usize).filter(|t| t.depart <= second) {
                off.push((next, *trip));
                next += 1;
            }
        } else {
            let due = (u64::from(vehicles) * (second as u64 + 1) / FILL).min(u64::from(vehicles)) as u32;
            for v in next..due {
                let road = world.somewhere(v);
                world.arrived.push((v, road));
            }
            next = due;
            for (v, road) in std::mem::take(&mut world.arrived) {
                let from = network.roads[road as usize].to;
                let to = world.destination(v, from);
                off.push((v, Trip { depart: second, from, to }));
            }
            made.extend(off.iter().map(|(_, trip)| *trip));
        }
        for (v, trip) in off {
            world.set_off(&mut flow, v, (trip.from, trip.to));
        }
        world.until = T0 + (second + 1) * 1_000;
        flow.run(&mut world);
        vehicle_seconds += world.on_roads;
        if second % 30 == 0 {
            world.entries.clear();
            world.exits.clear();
        }
    }
    let (cpu, wall, crossings) = (cpu() - cpu_before, began.elapsed().as_secs_f64(), world.crossings);
    (made, Cost { cpu, wall, crossings, vehicle_seconds })
}

fn main() {
    let cases = [
        Case { name: "small", side: 73, spacing: 400.0, vehicles: 100_000, settle: 1_200, measure: 1_200 },
        Case { name: "cached", side: 24, spacing: 400.0, vehicles: 10_000, settle: 1_200, measure: 6_000 },
        Case { name: "large", side: 163, spacing: 300.0, vehicles: 1_000_000, settle: 1_200, measure: 600 },
    ];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, folder, numbers @ ..] = arguments.as_slice() {
        match mode.as_str() {
            "export" => return export(Path::new(folder), &Asked::parse(numbers)),
            "replay" => return replay(Path::new(folder), &Asked::parse(numbers)),
            _ => {}
        }
    }
    let wanted: Vec<String> = arguments.into_iter().filter(|a| !a.starts_with('-')).collect();
    for case in cases.iter().filter(|c| wanted.is_empty() || wanted.iter().any(|w| w == c.name)) {
        run(case);
    }
}

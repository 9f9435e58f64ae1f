//! The simulation: people drive their trips over the roads of [`flow`](super::flow), in the weather, among incidents.
//!
//! What happens rarely (departures, weather, incidents, new routes) waits in a heap, what happens on roads in the flow; at
//! the same moment the rare comes first. Events are processed in order of (time, kind, road or incident, vehicle), which
//! makes the run a pure function of the city.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::City;
use super::clock::{self, HOUR, MINUTE};
use super::demand;
use super::fleet::{pace_on, pace_rank};
use super::flow::{Ahead, CLOSED, Course, Drivers, Entry, Exit, Flow, NOWHERE};
use super::incidents::{self, Incident};
use super::motion::SMOOTHING;
use super::routes::{GROUPS, Routes};
use super::trace::{Crossing, IncidentKind, LOOK_AHEAD, Leaving, OPEN, Stay, TraceRows};
use super::weather::{self, CellRow, Weather};

/// The run begins this long before the city's start, so that the start finds vehicles under way.
const WARM_UP: i64 = HOUR;
/// A vehicle stays at least this long between two trips.
pub(super) const SHORTEST_STAY: i64 = MINUTE;
const _: () = assert!(SHORTEST_STAY > SMOOTHING, "a vehicle stands before it sets off again");
/// Time between two refreshes of the routes (city.md).
const REROUTE: i64 = 5 * MINUTE;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Event {
    /// Weather and air rows are due.
    Weather,
    /// Routes are made anew.
    Routes,
    /// The calls of an hour are drawn.
    Calls,
    /// An incident is reported at the end of a road; the number is the kind's.
    Report { road: u32, kind: u8 },
    /// The responder of an incident has come to a stand.
    Arrival { number: u32 },
    /// The next step of an incident.
    Incident { number: u32 },
    /// A vehicle sets off.
    Depart { vehicle: u32 },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct State {
    /// The road at whose end it stands, or that it drives on.
    pub road: u32,
    /// Where the trip ends.
    pub to: u32,
    pub trip: u32,
    /// Crossings since the simulation's start.
    pub crossings: u32,
    /// At the end of its road, in metres.
    pub odometer: f64,
    /// Desired speed as a share of the limit.
    pub pace: f32,
    /// Of 256 drivers, how many like to drive more slowly.
    pub rank: u8,
    /// Day and place in the day's plan of the next trip.
    pub next_day: i32,
    pub next_trip: u8,
    /// The incident that it is sent to.
    pub incident: u32,
    /// Whether it is on a road, rather than parked or at the kerb.
    pub driving: bool,
    /// When it has come to a stand after its last trip.
    pub stands: i64,
    /// Whether it waits to set off.
    pub at_kerb: bool,
    pub emergency: bool,
}

pub(super) const NO_INCIDENT: u32 = u32::MAX;

/// A running simulation. [`Simulation::advance`] makes the trace.
#[derive(Debug)]
pub struct Simulation {
    pub(super) flow: Flow,
    pub(super) world: World,
}

/// Everything but the vehicles' places on the roads.
#[derive(Debug)]
pub(super) struct World {
    pub city: Arc<City>,
    pub routes: Routes,
    pub weather: Weather,
    /// The vehicles that dispatch sends.
    pub responders: Vec<u32>,
    /// Events before this are due in the present run.
    end: i64,
    /// Whether rows are wanted: not in the warm-up.
    pub recording: bool,
    pub live: Live,
}

/// What changes from event to event, and a checkpoint keeps.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Live {
    queue: BinaryHeap<Reverse<(i64, Event)>>,
    pub vehicles: Vec<State>,
    /// For each road, lanes blocked by incidents.
    pub blocked: Vec<u8>,
    /// For each road, whether nobody is let out.
    closed: Vec<bool>,
    /// For each road, the milliseconds that it takes at the limit in the present weather.
    drive_ms: Vec<f32>,
    /// For each road, delays since the last refresh of the routes: milliseconds and vehicles.
    delays: Vec<(u64, u32)>,
    cells: Vec<CellRow>,
    /// Vehicle-kilometres of each cell since its last row.
    driven: Vec<f64>,
    pub incidents: Vec<Incident>,
    pub now: i64,
    pub rows: TraceRows,
}

impl Simulation {
    /// A simulation at the city's start.
    pub fn new(city: Arc<City>) -> Self {
        let begin = city.options.start - WARM_UP;
        let flow = Flow::new(&city.network.lanes.spread(&city.network.specs), begin);
        let mut simulation = Self { flow, world: World::new(Arc::clone(&city), begin) };
        simulation.world.park_fleet(begin);
        let first_step = begin.div_euclid(weather::STEP) * weather::STEP;
        simulation.world.push(first_step, Event::Weather);
        simulation.world.push((begin + HOUR - 1).div_euclid(HOUR) * HOUR, Event::Calls);
        simulation.world.push((begin / REROUTE + 1) * REROUTE, Event::Routes);
        // Where a vehicle is at the start depends on where the flow had it shortly before.
        let start = city.options.start;
        simulation.run_to(start - SMOOTHING);
        simulation.begin_trace(start);
        simulation.run_to(start);
        let world = &mut simulation.world;
        world.live.rows.incidents.clear();
        world.live.rows.cells.clone_from(&world.live.cells);
        simulation
    }

    /// States what is so now: who is under way and what they feel, and who is parked.
    fn begin_trace(&mut self, start: i64) {
        let Self { flow, world } = self;
        let mut rows = TraceRows { from: start, ..TraceRows::default() };
        for (v, state) in world.live.vehicles.iter().enumerate() {
            if !state.driving {
                rows.stays.push(Stay { initial: true, ..state.stay(v as u32, world.live.now) });
            }
        }
        for queue in 0..world.city.network.lanes.count() as u32 {
            let (road, lane) = world.city.network.lanes.road(queue);
            let length = world.city.network.roads[road as usize].length;
            rows.exits.extend(flow.last_exits(queue).map(|(number, time)| Leaving { time, road, lane, number }));
            for (number, vehicle, t_in, arrive) in flow.on_road(queue) {
                let state = &world.live.vehicles[vehicle as usize];
                rows.entries.push(Crossing {
                    vehicle,
                    road,
                    lane,
                    number,
                    first: false,
                    trip: state.trip,
                    t_in,
                    arrive,
                    t_out: OPEN,
                    odometer: state.odometer - length,
                });
            }
        }
        rows.entries.sort_unstable_by_key(|c| (c.t_in, c.road, c.lane, c.number));
        rows.exits.sort_unstable_by_key(|e| (e.time, e.road, e.lane, e.number));
        world.live.rows = rows;
        world.recording = true;
    }

    /// The trace rows up to `to`, final. The simulation runs [`LOOK_AHEAD`] further.
    pub fn advance(&mut self, to: i64) -> TraceRows {
        self.run_to(to + LOOK_AHEAD);
        let rows = &mut self.world.live.rows;
        let entries = rows.entries.partition_point(|c| c.t_in < to);
        let stays = rows.stays.partition_point(|s| s.since < to);
        let incidents = rows.incidents.partition_point(|i| i.time < to);
        let cells = rows.cells.partition_point(|c| c.time < to);
        let rest = TraceRows {
            from: to,
            to,
            entries: rows.entries.split_off(entries),
            exits: Vec::new(),
            stays: rows.stays.split_off(stays),
            incidents: rows.incidents.split_off(incidents),
            cells: rows.cells.split_off(cells),
        };
        TraceRows { to, ..std::mem::replace(rows, rest) }
    }

    /// From now on (the last `advance`'s `to +` [`LOOK_AHEAD`]) lets nobody out of a road, or lets them out again. Not part of
    /// the city's options: for studies and tests.
    pub fn set_closed(&mut self, road: u32, closed: bool) {
        let Self { flow, world } = self;
        world.live.closed[road as usize] = closed;
        world.limit(flow, road);
    }

    /// How often a ring of full roads had to be released ([`Flow::releases`]).
    pub fn gridlock_releases(&self) -> u64 {
        self.flow.releases()
    }

    /// The flow, for looking at; its roads are the city's lanes.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    fn run_to(&mut self, to: i64) {
        self.world.end = to;
        loop {
            self.flow.run(&mut self.world);
            match self.world.live.queue.peek() {
                Some(&Reverse((time, event))) if time < to => {
                    self.world.live.queue.pop();
                    self.world.live.now = time;
                    self.process(event);
                }
                _ => break,
            }
        }
        self.world.live.now = to;
    }

    fn process(&mut self, event: Event) {
        match event {
            Event::Weather => self.weather_step(),
            Event::Routes => self.refresh_routes(),
            Event::Calls => self.world.draw_calls(),
            Event::Report { road, kind } => self.report(road, KINDS[usize::from(kind)]),
            Event::Arrival { number } => self.world.on_scene(number),
            Event::Incident { number } => self.incident_step(number),
            Event::Depart { vehicle } => {
                let to = self.world.live.vehicles[vehicle as usize].to;
                self.set_off(vehicle, to);
            }
        }
    }

    fn weather_step(&mut self) {
        let Self { flow, world } = self;
        let time = world.live.now.div_euclid(weather::STEP) * weather::STEP;
        let before = std::mem::take(&mut world.live.cells);
        world.live.cells = world.weather.step(time, &world.live.driven);
        world.live.driven.fill(0.0);
        if world.recording {
            world.live.rows.cells.extend_from_slice(&world.live.cells);
        }
        let factors =
            |cells: &[CellRow], c: u16| cells.get(usize::from(c)).map(|c| (c.speed_factor(), c.capacity_factor()));
        for r in 0..world.city.network.roads.len() {
            let cell = world.city.network.roads[r].cell;
            if factors(&before, cell) != factors(&world.live.cells, cell) {
                let road = &world.city.network.roads[r];
                let speed = road.class.limit_kmh() * world.live.cells[usize::from(cell)].speed_factor();
                world.live.drive_ms[r] = (road.length / speed * 3_600.0) as f32;
                world.limit(flow, r as u32);
            }
        }
        world.push(time + weather::STEP, Event::Weather);
    }

    /// New routes for a quarter of the drivers, from the delays measured since the last time; a head that waits counts
    /// with the time it has waited.
    fn refresh_routes(&mut self) {
        let Self { flow, world } = self;
        let now = world.live.now;
        let delay = |(r, (sum, n)): (usize, (u64, u32))| {
            let mean = sum.checked_div(u64::from(n)).unwrap_or(0);
            let heads = world.city.network.lanes.of(r as u32).filter_map(|lane| flow.head(lane));
            let waits = heads.map(|(_, arrive)| (now - arrive).max(0) as u64).max().unwrap_or(0);
            let usual = u64::from(world.city.network.specs[r].signal.mean_wait());
            mean.max(waits).max(usual).min(u64::from(u32::MAX / 4)) as u32
        };
        let delays: Vec<u32> = world.live.delays.iter().copied().enumerate().map(delay).collect();
        world.live.delays.fill((0, 0));
        world.routes.refresh(&world.city.network, &delays);
        world.push(now + REROUTE, Event::Routes);
    }

    /// Begins a trip, or ends it at once where the vehicle is already there.
    pub(super) fn set_off(&mut self, v: u32, to: u32) {
        let Self { flow, world } = self;
        let state = &mut world.live.vehicles[v as usize];
        state.to = to;
        let at = world.city.network.roads[state.road as usize].to;
        match world.routes.next(&world.city.network, v as usize % GROUPS, at, to) {
            Some(road) => {
                state.trip += 1;
                state.at_kerb = true;
                let rank = state.rank;
                let lane = world.city.network.lanes.liked(road, rank);
                flow.depart(world.live.now, v, lane, world);
            }
            None if state.incident != NO_INCIDENT => {
                let number = state.incident;
                world.on_scene(number);
            }
            None => world.plan_departure(v, world.live.now + SHORTEST_STAY),
        }
    }
}

impl State {
    /// The stay that begins at `since` at the end of its road.
    fn stay(&self, vehicle: u32, since: i64) -> Stay {
        Stay { vehicle, road: self.road, trip: self.trip, since, odometer: self.odometer, initial: false }
    }
}

impl World {
    /// An empty city.
    pub fn new(city: Arc<City>, begin: i64) -> Self {
        let network = &city.network;
        let waits: Vec<u32> = network.specs.iter().map(|spec| spec.signal.mean_wait()).collect();
        let roads = network.roads.len();
        let live = Live {
            queue: BinaryHeap::new(),
            vehicles: Vec::with_capacity(city.fleet.vehicles.len()),
            blocked: vec![0; roads],
            closed: vec![false; roads],
            drive_ms: vec![0.0; roads],
            delays: vec![(0, 0); roads],
            cells: Vec::new(),
            driven: vec![0.0; network.cell_count()],
            incidents: Vec::new(),
            now: begin,
            rows: TraceRows::default(),
        };
        Self {
            routes: Routes::new(network, &waits),
            weather: Weather::new(city.rng, network, begin),
            responders: responders(&city),
            end: begin,
            recording: false,
            live,
            city,
        }
    }

    /// Puts each vehicle where its last trip before `begin` ended.
    fn park_fleet(&mut self, begin: i64) {
        let city = Arc::clone(&self.city);
        let mut arriving = vec![0u32; city.network.junctions.len()];
        for (r, road) in city.network.roads.iter().enumerate() {
            arriving[road.to as usize] = r as u32;
        }
        let today = clock::day(begin);
        for (v, vehicle) in city.fleet.vehicles.iter().enumerate() {
            let plan = demand::plan(city.rng, &city.network, v as u32, vehicle, today);
            let past = plan.trips().iter().take_while(|t| t.departs < begin).count();
            let at = past.checked_sub(1).map_or(vehicle.home, |p| plan.trips()[p].to);
            let emergency = vehicle.kind.is_emergency();
            self.live.vehicles.push(State {
                road: arriving[at as usize],
                to: at,
                trip: 0,
                crossings: 0,
                odometer: vehicle.odometer_km * 1_000.0,
                pace: vehicle.pace as f32,
                rank: pace_rank(vehicle.pace),
                next_day: today as i32,
                next_trip: past as u8,
                incident: NO_INCIDENT,
                driving: false,
                stands: begin,
                at_kerb: false,
                emergency,
            });
            self.plan_departure(v as u32, begin);
        }
    }

    pub fn push(&mut self, time: i64, event: Event) {
        self.live.queue.push(Reverse((time, event)));
    }

    fn draw_calls(&mut self) {
        let city = Arc::clone(&self.city);
        for (time, kind, draw) in incidents::calls(city.rng, city.fleet.len(), self.live.now) {
            // By population: at the home of one of the vehicles, on one of the roads that leave it.
            let one = |n: usize, bits: u64| ((u128::from(bits) * n as u128) >> 64) as usize;
            let home = city.fleet.vehicles[one(city.fleet.vehicles.len(), draw)].home;
            let out = city.network.leaving(home);
            let road = out[one(out.len(), draw.rotate_left(32))];
            self.push(time, Event::Report { road, kind: kind as u8 });
        }
        self.push(self.live.now + HOUR, Event::Calls);
    }

    /// Lets vehicles out of a road as its capacity allows now: what its blocked lanes take, all its lanes lose alike.
    pub fn limit(&self, flow: &mut Flow, road: u32) {
        let headway = self.headway(road);
        for lane in self.city.network.lanes.of(road) {
            flow.set_headway(self.live.now, lane, headway);
        }
    }

    /// Least time between two vehicles that leave a lane of a road, with its blocked lanes and in its weather.
    fn headway(&self, r: u32) -> u32 {
        if self.live.closed[r as usize] {
            return CLOSED;
        }
        let road = &self.city.network.roads[r as usize];
        let open = incidents::capacity_left(road.lanes, self.live.blocked[r as usize].min(road.lanes));
        let capacity = open * self.live.cells[usize::from(road.cell)].capacity_factor();
        (f64::from(self.city.network.specs[r as usize].headway()) / capacity).round() as u32
    }

    /// Schedules the vehicle's next planned trip, not before `earliest`.
    pub fn plan_departure(&mut self, v: u32, earliest: i64) {
        let state = &mut self.live.vehicles[v as usize];
        if state.emergency {
            return;
        }
        let vehicle = &self.city.fleet.vehicles[v as usize];
        // A vehicle without a trip for a fortnight has none at all.
        for _ in 0..14 {
            let day = i64::from(state.next_day);
            let plan = demand::plan(self.city.rng, &self.city.network, v, vehicle, day);
            if let Some(trip) = plan.trips().get(usize::from(state.next_trip)) {
                state.next_trip += 1;
                state.to = trip.to;
                let departs = trip.departs.max(earliest);
                self.live.queue.push(Reverse((departs, Event::Depart { vehicle: v })));
                return;
            }
            state.next_day += 1;
            state.next_trip = 0;
        }
    }
}

impl Drivers for World {
    fn enters(&mut self, entry: Entry) -> Course {
        let Entry { time, road: queue, vehicle: v, number, first } = entry;
        let city = &*self.city;
        let (r, lane) = city.network.lanes.road(queue);
        let road = &city.network.roads[r as usize];
        let driver = &mut self.live.vehicles[v as usize];
        if self.recording {
            self.live.rows.entries.push(Crossing {
                vehicle: v,
                road: r,
                lane,
                number,
                first,
                trip: driver.trip,
                t_in: time,
                arrive: time,
                t_out: OPEN,
                odometer: driver.odometer,
            });
        }
        driver.odometer += road.length;
        driver.crossings = driver.crossings.wrapping_add(1);
        driver.road = r;
        driver.driving = true;
        driver.at_kerb = false;
        let pace = pace_on(f64::from(driver.pace), road.class);
        let free = (f64::from(self.live.drive_ms[r as usize]) / pace).round() as u32;
        let next = self.routes.next(&city.network, v as usize % GROUPS, road.to, driver.to);
        Course { free, next: next.map_or(NOWHERE, |road| city.network.lanes.liked(road, driver.rank)) }
    }

    fn steers(&self, vehicle: u32, lane: u32, time: i64, ahead: Ahead<'_>) -> u32 {
        let lanes = &self.city.network.lanes;
        let (road, _) = lanes.road(lane);
        let pace =
            pace_on(f64::from(self.live.vehicles[vehicle as usize].pace), self.city.network.roads[road as usize].class);
        let free = (f64::from(self.live.drive_ms[road as usize]) / pace) as i64;
        lanes.choose(lane, time + free, |lane| ahead.last_arrive(lane), |lane| ahead.vehicles(lane))
    }

    fn expects(&mut self, arrive: i64) {
        if let Some(entry) = self.live.rows.entries.last_mut().filter(|_| self.recording) {
            entry.arrive = arrive;
        }
    }

    fn exits(&mut self, exit: Exit) {
        let Exit { time, road: queue, vehicle: v, number, arrive, last } = exit;
        let (r, lane) = self.city.network.lanes.road(queue);
        if self.recording {
            self.live.rows.exits.push(Leaving { time, road: r, lane, number });
        }
        let road = &self.city.network.roads[r as usize];
        let cell = usize::from(road.cell);
        self.live.driven[cell] += road.length / 1_000.0;
        let delay = &mut self.live.delays[r as usize];
        *delay = (delay.0 + (time - arrive) as u64, delay.1 + 1);
        let driver = &mut self.live.vehicles[v as usize];
        if !driver.emergency {
            let (condition, km) = (self.live.cells[cell].condition, road.length / 1_000.0);
            if let Some(kind) = incidents::on_crossing(self.city.rng, v, u64::from(driver.crossings), km, condition) {
                self.live.queue.push(Reverse((time, Event::Report { road: r, kind: kind as u8 })));
            }
        }
        if !last {
            return;
        }
        driver.driving = false;
        driver.stands = time + SMOOTHING;
        let incident = driver.incident;
        if self.recording {
            let stay = driver.stay(v, driver.stands);
            self.live.rows.stays.push(stay);
        }
        self.live.now = time;
        if incident == NO_INCIDENT {
            self.plan_departure(v, time + SHORTEST_STAY);
        } else {
            self.push(time + SMOOTHING, Event::Arrival { number: incident });
        }
    }

    #[inline]
    fn glance(&self, vehicle: u32) -> u32 {
        self.live.vehicles[vehicle as usize].to
    }

    #[inline]
    fn until(&self) -> i64 {
        self.live.queue.peek().map_or(self.end, |Reverse((time, _))| self.end.min(*time))
    }
}

fn responders(city: &City) -> Vec<u32> {
    let fleet = city.fleet.vehicles.iter().zip(0..);
    fleet.filter(|(vehicle, _)| vehicle.kind.is_emergency()).map(|(_, v)| v).collect()
}

const KINDS: [IncidentKind; 5] =
    [IncidentKind::Accident, IncidentKind::Fire, IncidentKind::Medical, IncidentKind::Police, IncidentKind::Breakdown];

#[cfg(test)]
mod tests {
    use super::super::CityOptions;
    use super::super::clock::DAY;
    use super::super::network::Network;
    use super::super::trace::{Status, Windows};
    use super::*;

    fn simulation(vehicles: u32) -> Simulation {
        let options =
            CityOptions { vehicles, start: 20_605 * DAY + 6 * HOUR, duration: 6 * HOUR, ..CityOptions::default() };
        Simulation::new(Arc::new(City::new(options).expect("valid options")))
    }

    #[test]
    fn the_trace_does_not_depend_on_the_steps_in_which_it_is_made() {
        let start = 20_605 * DAY + 6 * HOUR;
        let whole = simulation(500).advance(start + 2 * HOUR);
        let mut steps = simulation(500);
        let (mut entries, mut exits, mut stays) = (Vec::new(), Vec::new(), Vec::new());
        for k in 1..=720 {
            let rows = steps.advance(start + k * 10_000);
            assert!(rows.entries.iter().all(|c| c.t_in < rows.to), "an entry of the future");
            assert!(rows.exits.iter().all(|e| e.time < rows.to + LOOK_AHEAD), "an exit of the future");
            entries.extend(rows.entries);
            exits.extend(rows.exits);
            stays.extend(rows.stays);
        }
        assert!(whole.entries.len() > 500);
        assert_eq!((whole.entries, whole.exits, whole.stays), (entries, exits, stays));
    }

    #[test]
    fn lanes_are_first_in_first_out_and_ways_join() {
        let start = 20_605 * DAY + 6 * HOUR;
        let mut simulation = simulation(2_000);
        let city = Arc::clone(&simulation.world.city);
        let network = &city.network;
        let mut windows = Windows::new(&city);
        let mut crossings = Vec::new();
        let mut under_way = Vec::new();
        for k in 1..=60 {
            let (from, to) = (start + (k - 1) * 5 * MINUTE, start + k * 5 * MINUTE);
            let window = windows.next(simulation.advance(to));
            under_way.push(window.crossings.iter().filter(|c| c.t_in <= from && from < c.t_out).count());
            crossings.extend(window.crossings.into_iter().filter(|c| (from..to).contains(&c.t_out)));
        }
        crossings.sort_by_key(|c| (c.t_out, c.road, c.lane, c.number));
        let mut last_exit = vec![i64::MIN; network.lanes.count()];
        let mut numbers = vec![None::<u32>; network.lanes.count()];
        let mut last = vec![None::<Crossing>; 2_000];
        for c in &crossings {
            assert!(c.t_out >= c.arrive && c.arrive > c.t_in);
            let lane = network.lanes.number(c.road, c.lane);
            assert!(last_exit[lane] < c.t_out, "overtaking on a lane");
            last_exit[lane] = c.t_out;
            assert!(numbers[lane].replace(c.number).is_none_or(|n| n + 1 == c.number), "one is missing");
            if let Some(before) = last[c.vehicle as usize].replace(*c) {
                let joins = network.roads[before.road as usize].to == network.roads[c.road as usize].from;
                assert!(joins, "vehicle {} jumps", c.vehicle);
                assert!(if c.first { before.t_out <= c.t_in } else { before.t_out == c.t_in });
                let driven = network.roads[before.road as usize].length;
                assert!((c.odometer - before.odometer - driven).abs() < 1e-6);
            }
        }
        let (rush, night) = (under_way[26], under_way[0]);
        assert!(rush > 120 && rush > 3 * night, "{rush} at ten past eight, {night} at six");
    }

    #[test]
    fn incidents_live_in_order_and_the_responder_is_there() {
        let options = CityOptions { vehicles: 5_000, duration: 2 * DAY, ..CityOptions::default() };
        let start = options.start;
        let mut simulation = Simulation::new(Arc::new(City::new(options).expect("valid options")));
        let rows = simulation.advance(start + 2 * DAY);
        assert!(rows.incidents.len() > 20);
        let mut status = rustc_hash::FxHashMap::default();
        for step in &rows.incidents {
            let before = status.insert(step.incident, step.status);
            assert!(before.is_none_or(|b| b < step.status), "{step:?} after {before:?}");
            if step.status == Status::OnScene {
                let v = step.responder.expect("somebody was sent");
                let end = |r: u32| simulation.world.city.network.roads[r as usize].to;
                let there =
                    rows.stays.iter().any(|s| s.vehicle == v && s.since <= step.time && end(s.road) == end(step.road));
                assert!(there, "{step:?}");
            }
        }
        assert!(status.values().filter(|s| **s == Status::Resolved).count() > 10);
        assert!(simulation.world.live.blocked.iter().all(|b| *b <= 3));
    }
    #[test]
    fn nothing_changes_capacity_but_blocked_lanes_and_weather() {
        // A day with rain in it.
        let network = Network::procedural(super::super::rng::Rng::new(7), 30_000);
        let none = vec![0.0; network.cell_count()];
        let wet = |start: i64| {
            let mut weather = Weather::new(super::super::rng::Rng::new(7), &network, start);
            (0..12).any(|h| weather.step(start + h * HOUR, &none).iter().any(|row| row.capacity_factor() < 1.0))
        };
        let start = (20_605..21_005).map(|day| day * DAY + 6 * HOUR).find(|start| wet(*start)).unwrap();
        let options = CityOptions { seed: 7, vehicles: 30_000, start, duration: DAY };
        let city = Arc::new(City::new(options).expect("valid options"));
        let mut simulation = Simulation::new(Arc::clone(&city));
        let mut blocked: Vec<i32> = simulation.world.live.blocked.iter().map(|b| i32::from(*b)).collect();
        let mut by_incident = rustc_hash::FxHashMap::default();
        for incident in simulation.world.live.incidents.iter().filter(|i| i.lanes_blocked() > 0) {
            by_incident.insert(incident.number, incident.lanes_blocked());
        }
        let mut cells = simulation.world.live.cells.clone();
        let (mut checked, mut rainy) = (0, 0);
        for minute in 1..=12 * 60 {
            // The flow is as far as the simulation, so the rows are taken up to there.
            let to = start + minute * MINUTE;
            simulation.run_to(to);
            let rows = std::mem::take(&mut simulation.world.live.rows);
            for step in rows.incidents {
                let before = by_incident.insert(step.incident, step.lanes_blocked).unwrap_or(0);
                blocked[step.road as usize] += i32::from(step.lanes_blocked) - i32::from(before);
            }
            for row in rows.cells {
                cells[usize::from(row.cell)] = row;
            }
            for (r, road) in city.network.roads.iter().enumerate() {
                let open = incidents::capacity_left(road.lanes, (blocked[r] as u8).min(road.lanes));
                let expected = open * cells[usize::from(road.cell)].capacity_factor();
                let base = f64::from(city.network.specs[r].headway());
                let lanes = city.network.lanes.of(r as u32);
                let now = f64::from(lanes.map(|lane| simulation.flow.headway(lane)).max().unwrap());
                assert!((base / now / expected - 1.0).abs() < 0.001, "road {r}: {} of {expected}", base / now);
                checked += i32::from(blocked[r] > 0);
                rainy += i32::from(cells[usize::from(road.cell)].capacity_factor() < 1.0);
            }
        }
        assert!(checked > 50 && rainy > 500, "{checked} minutes of blocked lanes, {rainy} of rain");
    }
}

//! The engine: vehicles drive their trips, roads let them out one after another, incidents block them.
//!
//! A vehicle leaves a road at the later of its free-flow time and the end of the queue before it. The exit is known when
//! the road is entered, so the trace is final up to the present. Events are processed in order of (time, kind, road or
//! incident, vehicle), which makes the run a pure function of the city.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::City;
use super::clock::{self, HOUR, MINUTE};
use super::demand;
use super::fleet::VehicleType;
use super::incidents::{self, Incident};
use super::routes::Routes;
use super::trace::{Crossing, IncidentKind, IncidentStep, Status, Stay, TraceRows};
use super::weather::{self, CellRow, Condition, Weather};

/// Time between two vehicles of one lane at the stop line of a 50 km/h road: 1,765 vehicles an hour (city.md).
const HEADWAY_MS: f64 = 2_040.0;
/// The run begins this long before the city's start, so that the start finds vehicles under way.
const WARM_UP: i64 = HOUR;
/// A vehicle stays at least this long between two trips.
const SHORTEST_STAY: i64 = MINUTE;
/// Dispatch looks again after this time where no responder is free.
const DISPATCH_RETRY: i64 = MINUTE;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Weather and air rows are due.
    Weather,
    /// The calls of an hour are drawn.
    Calls,
    /// An incident is reported at the end of a road; the number is the kind's.
    Report { road: u32, kind: u8 },
    /// The next step of an incident.
    Incident { number: u32 },
    /// A vehicle enters a road.
    Enter { road: u32, vehicle: u32 },
    /// A vehicle ends its trip at the end of a road.
    Arrive { road: u32, vehicle: u32 },
    /// A vehicle sets off.
    Depart { vehicle: u32 },
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// The road at whose end it stands, or that it drives on.
    road: u32,
    /// Where the trip ends.
    to: u32,
    trip: u32,
    /// Crossings since the simulation's start.
    crossings: u64,
    odometer: f64,
    /// Day and place in the day's plan of the next trip.
    next_day: i64,
    next_trip: u8,
    /// The incident that it is sent to.
    incident: u32,
    driving: bool,
}

const NO_INCIDENT: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct RoadState {
    last_exit: i64,
    entered: u32,
    blocked: u8,
}

/// A running simulation. [`Simulation::advance`] makes the trace.
#[derive(Debug)]
pub struct Simulation {
    city: Arc<City>,
    routes: Routes,
    weather: Weather,
    queue: BinaryHeap<Reverse<(i64, Event)>>,
    vehicles: Vec<State>,
    roads: Vec<RoadState>,
    cells: Vec<CellRow>,
    /// Vehicle-kilometres of each cell since its last row.
    driven: Vec<f64>,
    incidents: Vec<Incident>,
    now: i64,
    rows: TraceRows,
}

impl Simulation {
    /// A simulation at the city's start.
    pub fn new(city: Arc<City>) -> Self {
        let begin = city.options.start - WARM_UP;
        let network = &city.network;
        let mut arriving = vec![0u32; network.junctions.len()];
        for (r, road) in network.roads.iter().enumerate() {
            arriving[road.to as usize] = r as u32;
        }
        let mut simulation = Self {
            routes: Routes::new(network),
            weather: Weather::new(city.rng, begin),
            queue: BinaryHeap::new(),
            vehicles: Vec::with_capacity(city.fleet.vehicles.len()),
            roads: vec![RoadState { last_exit: i64::MIN, entered: 0, blocked: 0 }; network.roads.len()],
            cells: Vec::new(),
            driven: vec![0.0; network.cell_count()],
            incidents: Vec::new(),
            now: begin,
            rows: TraceRows::default(),
            city,
        };
        simulation.park_fleet(begin, &arriving);
        let first_step = begin.div_euclid(weather::STEP) * weather::STEP;
        simulation.push(first_step, Event::Weather);
        simulation.push((begin + HOUR - 1).div_euclid(HOUR) * HOUR, Event::Calls);
        let start = simulation.city.options.start;
        simulation.run_to(start);
        simulation.begin_trace();
        simulation
    }

    /// Puts each vehicle where its last trip before `begin` ended.
    fn park_fleet(&mut self, begin: i64, arriving: &[u32]) {
        let city = Arc::clone(&self.city);
        let today = clock::day(begin);
        for (v, vehicle) in city.fleet.vehicles.iter().enumerate() {
            let plan = demand::plan(city.rng, &city.network, v as u32, vehicle, today);
            let past = plan.trips().iter().take_while(|t| t.departs < begin).count();
            let at = past.checked_sub(1).map_or(vehicle.home, |p| plan.trips()[p].to);
            self.vehicles.push(State {
                road: arriving[at as usize],
                to: at,
                trip: 0,
                crossings: 0,
                odometer: vehicle.odometer_km * 1_000.0,
                next_day: today,
                next_trip: past as u8,
                incident: NO_INCIDENT,
                driving: false,
            });
            self.plan_departure(v as u32, begin);
        }
    }

    /// Drops the warm-up's rows and states what is so at the start: who is under way, who is parked, the weather.
    fn begin_trace(&mut self) {
        let start = self.now;
        let warm_up = std::mem::take(&mut self.rows);
        self.rows.from = start;
        self.rows.crossings = warm_up.crossings.into_iter().filter(|c| c.t_out > start).collect();
        for (v, state) in self.vehicles.iter().enumerate() {
            if !state.driving {
                self.rows.stays.push(Stay {
                    vehicle: v as u32,
                    road: state.road,
                    trip: state.trip,
                    since: start,
                    odometer: state.odometer,
                    initial: true,
                });
            }
        }
        self.rows.cells = self.cells.clone();
    }

    /// The trace rows of `now..to`, final.
    pub fn advance(&mut self, to: i64) -> TraceRows {
        self.run_to(to);
        let mut rows = std::mem::take(&mut self.rows);
        rows.to = to;
        self.rows.from = to;
        rows
    }

    fn push(&mut self, time: i64, event: Event) {
        self.queue.push(Reverse((time, event)));
    }

    fn run_to(&mut self, to: i64) {
        while let Some(&Reverse((time, event))) = self.queue.peek() {
            if time >= to {
                break;
            }
            self.queue.pop();
            self.now = time;
            match event {
                Event::Weather => self.weather_step(),
                Event::Calls => self.draw_calls(),
                Event::Report { road, kind } => self.report(road, KINDS[usize::from(kind)]),
                Event::Incident { number } => self.incident_step(number),
                Event::Enter { road, vehicle } => self.enter(road, vehicle, false),
                Event::Arrive { road, vehicle } => self.arrive(road, vehicle),
                Event::Depart { vehicle } => self.depart(vehicle),
            }
        }
        self.now = to;
    }

    fn weather_step(&mut self) {
        let time = self.now.div_euclid(weather::STEP) * weather::STEP;
        self.cells.clear();
        for cell in 0..self.driven.len() {
            let driven = std::mem::take(&mut self.driven[cell]);
            self.cells.push(self.weather.row(time, cell as u16, driven));
        }
        self.rows.cells.extend_from_slice(&self.cells);
        self.push(time + weather::STEP, Event::Weather);
    }

    fn draw_calls(&mut self) {
        let roads = self.city.network.roads.len() as u64;
        for (time, kind, draw) in incidents::calls(self.city.rng, self.city.fleet.len(), self.now) {
            let road = ((u128::from(draw) * u128::from(roads)) >> 64) as u32;
            self.push(time, Event::Report { road, kind: kind as u8 });
        }
        self.push(self.now + HOUR, Event::Calls);
    }

    fn report(&mut self, road: u32, kind: IncidentKind) {
        let number = self.incidents.len() as u32;
        let lanes = self.city.network.roads[road as usize].lanes;
        let incident = Incident::new(self.city.rng, number, kind, road, lanes);
        self.roads[road as usize].blocked += incident.blocks;
        self.incidents.push(incident);
        self.note(number);
        self.push(self.now + incident.call_handling(self.city.rng), Event::Incident { number });
    }

    /// Writes an incident's present state to the trace.
    fn note(&mut self, number: u32) {
        let incident = &self.incidents[number as usize];
        self.rows.incidents.push(IncidentStep {
            incident: number,
            kind: incident.kind,
            severity: incident.severity,
            road: incident.road,
            time: self.now,
            status: incident.status,
            lanes_blocked: incident.lanes_blocked(),
            responder: incident.responder,
        });
    }

    fn incident_step(&mut self, number: u32) {
        let rng = self.city.rng;
        let incident = self.incidents[number as usize];
        match incident.status {
            Status::Reported => self.dispatch(number),
            Status::OnScene => {
                self.incidents[number as usize].status = Status::LanesCleared;
                self.roads[incident.road as usize].blocked -= incident.blocks;
                self.note(number);
                self.push(self.now + incident.wrap_up(rng), Event::Incident { number });
            }
            Status::LanesCleared => {
                self.incidents[number as usize].status = Status::Resolved;
                self.note(number);
                if let Some(v) = incident.responder {
                    self.vehicles[v as usize].incident = NO_INCIDENT;
                    self.set_off(v, self.city.fleet.vehicles[v as usize].home);
                }
            }
            // The responder's arrival makes the step after the dispatch; nothing follows the end.
            Status::Dispatched | Status::Resolved => {}
        }
    }

    /// Sends the nearest free vehicle of the right type, else of any emergency type.
    fn dispatch(&mut self, number: u32) {
        let incident = self.incidents[number as usize];
        let wanted = incident.responder_type();
        let network = &self.city.network;
        let site = network.junctions[network.roads[incident.road as usize].to as usize];
        let distance = |state: &State| {
            let p = network.junctions[network.roads[state.road as usize].to as usize];
            (((p.x - site.x).powi(2) + (p.y - site.y).powi(2)).sqrt() * 1_000.0) as i64
        };
        let free = |(v, state): (usize, &State), kind: Option<VehicleType>| {
            let is = self.city.fleet.vehicles[v].kind;
            let fits = kind.map_or(is.is_emergency(), |k| k == is);
            (fits && !state.driving && state.incident == NO_INCIDENT).then(|| (distance(state), v as u32))
        };
        let nearest = |kind| self.vehicles.iter().enumerate().filter_map(|entry| free(entry, kind)).min();
        let Some((_, v)) = nearest(Some(wanted)).or_else(|| nearest(None)) else {
            self.push(self.now + DISPATCH_RETRY, Event::Incident { number });
            return;
        };
        let junction = network.roads[incident.road as usize].to;
        let incident = &mut self.incidents[number as usize];
        incident.status = Status::Dispatched;
        incident.responder = Some(v);
        self.vehicles[v as usize].incident = number;
        self.note(number);
        self.set_off(v, junction);
    }

    fn on_scene(&mut self, number: u32) {
        self.incidents[number as usize].status = Status::OnScene;
        self.note(number);
        let clearance = self.incidents[number as usize].clearance(self.city.rng);
        self.push(self.now + clearance, Event::Incident { number });
    }

    /// Schedules the vehicle's next planned trip, not before `earliest`.
    fn plan_departure(&mut self, v: u32, earliest: i64) {
        let vehicle = &self.city.fleet.vehicles[v as usize];
        if vehicle.kind.is_emergency() {
            return;
        }
        let state = &mut self.vehicles[v as usize];
        // A vehicle without a trip for a fortnight has none at all.
        for _ in 0..14 {
            let plan = demand::plan(self.city.rng, &self.city.network, v, vehicle, state.next_day);
            if let Some(trip) = plan.trips().get(usize::from(state.next_trip)) {
                state.next_trip += 1;
                state.to = trip.to;
                let departs = trip.departs.max(earliest);
                self.queue.push(Reverse((departs, Event::Depart { vehicle: v })));
                return;
            }
            state.next_day += 1;
            state.next_trip = 0;
        }
    }

    fn depart(&mut self, v: u32) {
        let to = self.vehicles[v as usize].to;
        self.set_off(v, to);
    }

    /// Begins a trip, or ends it at once where the vehicle is already there.
    fn set_off(&mut self, v: u32, to: u32) {
        let city = Arc::clone(&self.city);
        let state = &mut self.vehicles[v as usize];
        state.to = to;
        let at = city.network.roads[state.road as usize].to;
        match self.routes.next(&city.network, at, to) {
            Some(road) => {
                state.trip += 1;
                state.driving = true;
                self.enter(road, v, true);
            }
            None if state.incident != NO_INCIDENT => {
                let number = state.incident;
                self.on_scene(number);
            }
            None => self.plan_departure(v, self.now + SHORTEST_STAY),
        }
    }

    fn enter(&mut self, r: u32, v: u32, first: bool) {
        let city = Arc::clone(&self.city);
        let road = &city.network.roads[r as usize];
        let cell = &self.cells[usize::from(road.cell)];
        let vehicle = &city.fleet.vehicles[v as usize];
        let speed = road.class.limit_kmh() * vehicle.pace * cell.speed_factor();
        let free = self.now + (road.length / speed * 3_600.0).round() as i64;
        let state = &mut self.roads[r as usize];
        let capacity = incidents::capacity_left(road.lanes, state.blocked.min(road.lanes)) * cell.capacity_factor();
        let headway = (HEADWAY_MS / (f64::from(road.lanes) * capacity)).round() as i64;
        let t_out = free.max(state.last_exit.saturating_add(headway));
        let lane = (state.entered % u32::from(road.lanes)) as u8;
        state.entered = state.entered.wrapping_add(1);
        state.last_exit = t_out;

        let driver = &mut self.vehicles[v as usize];
        self.rows.crossings.push(Crossing {
            vehicle: v,
            road: r,
            lane,
            first,
            trip: driver.trip,
            t_in: self.now,
            t_out,
            odometer: driver.odometer,
        });
        driver.odometer += road.length;
        driver.crossings += 1;
        driver.road = r;
        let (crossings, to) = (driver.crossings, driver.to);
        self.driven[usize::from(road.cell)] += road.length / 1_000.0;
        if !vehicle.kind.is_emergency() {
            let condition: Condition = cell.condition;
            if let Some(kind) = incidents::on_crossing(city.rng, v, crossings, road.length / 1_000.0, condition) {
                self.push(t_out, Event::Report { road: r, kind: kind as u8 });
            }
        }
        match self.routes.next(&city.network, road.to, to) {
            Some(next) => self.push(t_out, Event::Enter { road: next, vehicle: v }),
            None => self.push(t_out, Event::Arrive { road: r, vehicle: v }),
        }
    }

    fn arrive(&mut self, road: u32, v: u32) {
        let state = &mut self.vehicles[v as usize];
        state.driving = false;
        let (trip, odometer, incident) = (state.trip, state.odometer, state.incident);
        self.rows.stays.push(Stay { vehicle: v, road, trip, since: self.now, odometer, initial: false });
        if incident == NO_INCIDENT {
            self.plan_departure(v, self.now + SHORTEST_STAY);
        } else {
            self.on_scene(incident);
        }
    }
}

const KINDS: [IncidentKind; 5] =
    [IncidentKind::Accident, IncidentKind::Fire, IncidentKind::Medical, IncidentKind::Police, IncidentKind::Breakdown];

#[cfg(test)]
mod tests {
    use super::super::CityOptions;
    use super::super::clock::DAY;
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
        let mut crossings = Vec::new();
        for k in 1..=120 {
            crossings.extend(steps.advance(start + k * MINUTE).crossings);
        }
        assert!(whole.crossings.len() > 500);
        assert_eq!(whole.crossings, crossings);
    }

    #[test]
    fn vehicles_are_conserved_roads_are_first_in_first_out_and_ways_join() {
        let mut simulation = simulation(2_000);
        let rows = simulation.advance(20_605 * DAY + 12 * HOUR);
        let network = &simulation.city.network;
        let mut last_exit = vec![i64::MIN; network.roads.len()];
        let mut last = vec![None::<Crossing>; 2_000];
        for c in &rows.crossings {
            assert!(c.t_out > c.t_in);
            assert!(last_exit[c.road as usize] < c.t_out, "overtaking on a road");
            last_exit[c.road as usize] = c.t_out;
            if let Some(before) = last[c.vehicle as usize].replace(*c) {
                let joins = network.roads[before.road as usize].to == network.roads[c.road as usize].from;
                assert!(joins, "vehicle {} jumps", c.vehicle);
                assert!(if c.first { before.t_out <= c.t_in } else { before.t_out == c.t_in });
                let driven = network.roads[before.road as usize].length;
                assert!((c.odometer - before.odometer - driven).abs() < 1e-6);
            }
        }
        let under_way = |t: i64| rows.crossings.iter().filter(|c| c.t_in <= t && t < c.t_out).count();
        let (rush, night) = (under_way(20_605 * DAY + 8 * HOUR + 10 * MINUTE), under_way(20_605 * DAY + 6 * HOUR));
        assert!(rush > 40 && rush > night, "{rush} at eight, {night} at six");
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
                let end = |r: u32| simulation.city.network.roads[r as usize].to;
                let there =
                    rows.stays.iter().any(|s| s.vehicle == v && s.since <= step.time && end(s.road) == end(step.road));
                assert!(there, "{step:?}");
            }
        }
        assert!(status.values().filter(|s| **s == Status::Resolved).count() > 10);
        assert!(simulation.roads.iter().all(|r| r.blocked <= 3));
    }
}

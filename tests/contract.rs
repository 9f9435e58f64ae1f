//! What the streams promise of each other and of the truth (city.md's contract): positions, odometers, responders. Cameras
//! against trajectories stand in `events.rs`, the flow's own laws in `traffic`.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::HashMap;
use std::sync::Arc;

use _core::city::motion::{State, Way};
use _core::city::network::Place;
use _core::city::trace::{Crossing, Status, Window, Windows};
use _core::city::{City, CityOptions, Simulation, clock};
use _core::pipeline::Source;
use _core::schema::{EventId, Events, Stream};
use _core::sensor::SensorOptions;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

const START: i64 = 1_780_272_000_000 + 7 * clock::HOUR;
const LENGTH: i64 = 40 * clock::MINUTE;

/// What was sent, and the truth in one window that reaches beyond.
struct World {
    city: Arc<City>,
    events: HashMap<Stream, RecordBatch>,
    window: Window,
    /// For each vehicle, its crossings in order.
    crossings: HashMap<u32, Vec<usize>>,
}

impl World {
    fn new(vehicles: u32) -> Self {
        let options = CityOptions { seed: 21, vehicles, start: START, duration: LENGTH };
        let streams = vec![Stream::Vehicle, Stream::Gps, Stream::TruthEvent];
        let source = Source::new(options, SensorOptions { streams, ..SensorOptions::default() }, 2).expect("valid");
        let mut batches: HashMap<Stream, Vec<RecordBatch>> = HashMap::new();
        for chunk in source.observe(Ok).expect("a run") {
            for Events { stream, batch, .. } in chunk.expect("a chunk").events {
                batches.entry(stream).or_default().push(batch);
            }
        }
        let joined = |(s, list): (Stream, Vec<RecordBatch>)| (s, concat_batches(&s.wire_schema(), &list).expect("one"));
        let city = Arc::clone(source.city());
        let mut simulation = Simulation::new(Arc::clone(&city));
        let window = Windows::new(&city).next(simulation.advance(START + LENGTH + clock::MINUTE));
        let mut crossings: HashMap<u32, Vec<usize>> = HashMap::new();
        for (i, crossing) in window.crossings.iter().enumerate() {
            crossings.entry(crossing.vehicle).or_default().push(i);
        }
        for list in crossings.values_mut() {
            list.sort_by_key(|&i| window.crossings[i].t_in);
        }
        Self { city, events: batches.into_iter().map(joined).collect(), window, crossings }
    }

    /// Where a vehicle under way really is, with its odometer in `driven`.
    fn state(&self, vehicle: u32, time: i64) -> Option<State> {
        let list = self.crossings.get(&vehicle)?;
        let i = list[list.partition_point(|&i| self.window.crossings[i].t_in <= time).checked_sub(1)?];
        if time >= self.window.latest_until(i) {
            return None;
        }
        let mut way = Way::default();
        self.window.follow(i, &self.city.network.specs, (time, time + 1), &mut way);
        let state = way.at(time);
        Some(State { driven: state.driven + self.window.crossings[i].odometer, ..state })
    }

    /// By event, when it was made and where.
    fn truth(&self) -> HashMap<String, (i64, (f64, f64))> {
        let batch = &self.events[&Stream::TruthEvent];
        let places = places(batch, "trueLocation");
        ids(batch).into_iter().zip(times(batch, "trueTime").into_iter().zip(places)).collect()
    }
}

fn ids(batch: &RecordBatch) -> Vec<String> {
    batch["id"].as_string::<i32>().iter().map(|v| v.expect("an id").to_owned()).collect()
}

/// Milliseconds.
fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch[column].as_primitive::<TimestampMicrosecondType>().values().iter().map(|t| t / 1_000).collect()
}

fn doubles(batch: &RecordBatch, column: &str) -> Vec<f64> {
    batch[column].as_primitive::<Float64Type>().values().to_vec()
}

fn places(batch: &RecordBatch, column: &str) -> Vec<(f64, f64)> {
    let list = batch[column].as_list::<i32>();
    let values = list.values().as_primitive::<Float64Type>().values();
    values.chunks(2).map(|p| (p[0], p[1])).collect()
}

/// Metres east and north from `a` to `b`, both in degrees.
fn metres(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    ((b.1 - a.1) * 111_320.0 * 0.608_961, (b.0 - a.0) * 111_320.0)
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn gps_minus_truth_is_as_large_and_lasts_as_long_as_it_should_and_tunnels_have_none() {
    let world = World::new(4_000);
    let (network, truth) = (&world.city.network, world.truth());
    let gps = &world.events[&Stream::Gps];
    let (mut open, mut canyon, mut speeds) = (Vec::new(), Vec::new(), Vec::new());
    let mut at: HashMap<(u32, i64), f64> = HashMap::new();
    let speed = doubles(gps, "speed");
    for ((id, measured), speed) in ids(gps).iter().zip(places(gps, "location")).zip(speed) {
        let vehicle = EventId::parse(id).expect("one of ours").entity;
        let (time, place) = truth[id];
        let state = world.state(vehicle, time).expect("it is under way");
        let road = &network.roads[state.road as usize];
        assert!(!road.tunnel, "a fix in a tunnel");
        let off = metres(network.degrees(network.place_on(state.road, state.offset)), place);
        assert!(off.0.abs() < 0.2 && off.1.abs() < 0.2, "the truth of an event is not the vehicle's");
        let emerged = world.window.emerged_of(vehicle).iter().map(|e| time - e.1).filter(|ago| *ago >= 0).min();
        assert!(emerged.is_none_or(|ago| ago >= 1_000), "a fix {emerged:?} ms after a tunnel");
        let error = metres(place, measured);
        if road.canyon {
            canyon.extend([error.0, error.1]);
        } else if emerged.is_none_or(|ago| ago > 20_000) {
            open.push((error.0.powi(2) + error.1.powi(2)).sqrt());
            at.insert((vehicle, time), error.0);
        }
        if state.speed > 5.0 {
            speeds.push(speed - state.speed);
        }
    }
    open.sort_by(f64::total_cmp);
    let (sd, p95) = (root_mean_square(&open) / 2f64.sqrt(), open[open.len() * 95 / 100]);
    assert!((3.2..3.8).contains(&sd) && p95 <= 9.0, "{sd} m per axis, 95 % within {p95} m");
    let ratio = root_mean_square(&canyon) / sd;
    assert!(canyon.len() > 2_000 && (2.5..5.5).contains(&ratio), "{ratio} times that between high buildings");
    let doppler = root_mean_square(&speeds) / 3.6;
    assert!((0.1..0.2).contains(&doppler), "{doppler} m/s");

    let correlation = |lag: i64| {
        let pairs: Vec<_> = at.iter().filter_map(|((v, t), a)| Some((a, at.get(&(*v, t + lag))?))).collect();
        assert!(pairs.len() > 3_000, "{} pairs {lag} ms apart", pairs.len());
        let product: f64 = pairs.iter().map(|(a, b)| *a * *b).sum();
        product / pairs.iter().map(|(a, b)| f64::midpoint(*a * *a, *b * *b)).sum::<f64>()
    };
    let [second, minute, three] = [1_000, 60_000, 180_000].map(correlation);
    assert!(second > 0.9 && (minute - 0.37).abs() < 0.1 && three < 0.15, "{second}, {minute}, {three}");

    // There are vehicles in tunnels, and some come out of them.
    let inside = world.window.crossings.iter().filter(|c| network.roads[c.road as usize].tunnel).count();
    assert!(inside > 20, "{inside} crossings of tunnels");
}

#[test]
fn a_vehicle_and_its_receiver_share_one_truth_and_the_odometer_is_the_integral_of_the_speed() {
    let world = World::new(600);
    let (network, truth) = (&world.city.network, world.truth());
    let batch = &world.events[&Stream::Vehicle];
    let (speed, odometer) = (doubles(batch, "speed"), doubles(batch, "odometerKm"));
    let mut reports: HashMap<u32, Vec<(i64, f64)>> = HashMap::new();
    let mut checked = 0;
    for (i, (id, place)) in ids(batch).iter().zip(places(batch, "location")).enumerate() {
        let vehicle = EventId::parse(id).expect("one of ours").entity;
        let (time, true_place) = truth[id];
        assert_eq!(place, true_place, "a vehicle reports where it is");
        let Some(state) = world.state(vehicle, time) else {
            assert_eq!(speed[i], 0.0, "it is parked");
            continue;
        };
        assert!((speed[i] - state.speed).abs() <= 0.051, "{} and {} km/h", speed[i], state.speed);
        assert!((odometer[i] * 1_000.0 - state.driven).abs() <= 0.51, "{} and {} m", odometer[i], state.driven);
        let exact = network.degrees(network.place_on(state.road, state.offset));
        let off = (place.0 - exact.0).abs().max((place.1 - exact.1).abs());
        assert!(off < 1.1e-6, "{place:?} is not {exact:?}, to the last digit");
        reports.entry(vehicle).or_default().push((time, odometer[i] * 1_000.0));
        checked += 1;
    }
    assert!(checked > 5_000, "{checked} reports under way");
    let mut trips = 0;
    for (vehicle, mut list) in reports {
        list.sort_by_key(|r| r.0);
        for trip in list.chunk_by(|a, b| b.0 - a.0 <= 10_000) {
            let ((from, before), (to, after)) = (trip[0], trip[trip.len() - 1]);
            if after - before < 2_000.0 {
                continue;
            }
            let step = 200;
            let speeds: Vec<f64> =
                (from..=to).step_by(step).map(|t| world.state(vehicle, t).map_or(0.0, |s| s.speed / 3.6)).collect();
            let integral: f64 = speeds.windows(2).map(|w| f64::midpoint(w[0], w[1]) * step as f64 / 1_000.0).sum();
            // Each reading is rounded to a metre, and the last step may be cut.
            let difference = (after - before - integral).abs();
            assert!(difference <= (after - before) * 0.001 + 1.0 + 45.0 * 0.2, "{difference} m in {}", after - before);
            trips += 1;
        }
    }
    assert!(trips > 30, "{trips} trips");
}

#[test]
fn a_responder_stands_within_50_m_of_the_incident_when_it_is_on_scene() {
    let options = CityOptions { seed: 5, vehicles: 20_000, start: START, duration: clock::DAY };
    let city = Arc::new(City::new(options).expect("valid options"));
    let network = &city.network;
    let (mut simulation, mut windows) = (Simulation::new(Arc::clone(&city)), Windows::new(&city));
    let (mut there, mut farther) = (0, 0);
    for step in 1..=288 {
        let window = windows.next(simulation.advance(START + step * 5 * clock::MINUTE));
        let mut way = Way::default();
        for incident in window.incidents.iter().filter(|i| i.status == Status::OnScene) {
            let responder = incident.responder.expect("somebody was sent");
            let site = network.junctions[network.roads[incident.road as usize].to as usize];
            let distance = |place: Place| (place.x - site.x).hypot(place.y - site.y);
            // One that stood there already has no crossing.
            let own = |(_, c): &(usize, &Crossing)| c.vehicle == responder && c.t_in <= incident.time;
            let Some((i, _)) = window.crossings.iter().enumerate().filter(own).max_by_key(|(_, c)| c.t_in) else {
                continue;
            };
            window.follow(i, &network.specs, (incident.time - 10_000, incident.time + 1), &mut way);
            let state = way.at(incident.time);
            let off = distance(network.place_on(state.road, state.offset));
            assert!(off <= 50.0 && state.speed < 1.0, "{off} m away at {} km/h", state.speed);
            let before = way.at(incident.time - 10_000);
            farther += usize::from(distance(network.place_on(before.road, before.offset)) > 50.0);
            there += 1;
        }
    }
    assert!(there > 15 && farther > there / 2, "{there} arrivals, {farther} of them from farther than 50 m in 10 s");
}

//! Where vehicles really are: no jerks, no jumps, no overtaking, behind the flow by a bounded time.

use std::collections::HashMap;
use std::sync::Arc;

use _core::city::clock::{HOUR, MINUTE};
use _core::city::flow::Spec;
use _core::city::motion::{SMOOTHING, State, TOUCH, Way};
use _core::city::signals::Signal;
use _core::city::trace::Windows;
use _core::city::{City, CityOptions, Simulation};

use super::roads::{Run, road};

/// A vehicle changes its speed by no more, in m/s² (city.md).
const MOST: f64 = 3.0;
const STEP: i64 = 100;

/// A corridor with a light and a bottleneck behind it, as fast as anybody drives; all have arrived at the end.
fn corridor() -> (Run, u32) {
    let fast = |length, lanes| Spec { limit_kmh: 160.0, ..road(length, lanes) };
    let signal = Signal { cycle: 60_000, start: 0, green: 30_000 };
    let lit = Spec { signal, ..fast(700.0, 2) };
    let mut run = Run::new(vec![fast(900.0, 2), lit, fast(60.0, 2), fast(400.0, 1)], vec![vec![0, 1, 2, 3]]);
    run.feed(0, 900.0, (0.0, 600.0));
    run.set_headway(3, 9_000);
    run.feed(0, 900.0, (600.0, 1_200.0));
    run.set_headway(3, run.specs[3].headway());
    run.run(3_600.0);
    (run, 300)
}

/// States each [`STEP`] of a trip from before its beginning until it stands.
fn trip(way: &Way<'_>) -> Vec<(i64, State)> {
    let (first, last) = (way.legs[0].motion.t_in, way.legs[way.legs.len() - 1].t_out);
    (first - 1_000..=last + SMOOTHING + 1_000).step_by(STEP as usize).map(|t| (t, way.at(t))).collect()
}

/// Checks a vehicle's states, one each [`STEP`]; gives the greatest change of speed in m/s².
fn smooth(states: &[(i64, State)]) -> f64 {
    let mut most = 0.0f64;
    for pair in states.windows(2) {
        let [(t, a), (_, b)] = pair else { unreachable!() };
        let seconds = STEP as f64 / 1_000.0;
        let acceleration = (b.speed - a.speed) / 3.6 / seconds;
        assert!(acceleration.abs() <= MOST + 1e-6, "{acceleration} m/s² at {t}");
        most = most.max(acceleration.abs());
        let (driven, mean) = (b.driven - a.driven, (a.speed + b.speed) / 7.2);
        assert!(driven >= -1e-6, "goes back at {t}");
        // A speed that changes by 3 m/s² at most differs from its chord's mean by so much at most.
        assert!((driven - mean * seconds).abs() <= MOST * seconds * seconds / 4.0 + 1e-6, "jumps at {t}: {a:?} {b:?}");
    }
    most
}

#[test]
fn no_vehicle_jerks_or_jumps_over_its_whole_trip() {
    let (run, vehicles) = corridor();
    let histories = run.histories();
    let mut most = 0.0f64;
    for v in 0..vehicles {
        let way = run.way(&histories, v);
        assert_eq!(way.legs.len(), 4);
        let states = trip(&way);
        most = most.max(smooth(&states));
        let (first, last) = (states[0].1, states[states.len() - 1].1);
        assert_eq!((first.road, first.offset, first.speed), (0, 0.0, 0.0));
        assert!((last.offset - 400.0).abs() < 1e-6 && last.speed < 1e-6 && last.road == 3, "{last:?}");
        let integral: f64 =
            states.windows(2).map(|w| (w[0].1.speed + w[1].1.speed) / 7.2 * STEP as f64 / 1_000.0).sum();
        assert!((integral / last.driven - 1.0).abs() < 0.001, "{integral} of {} m", last.driven);
    }
    assert!(most > 2.5, "45 m/s to standstill and back: {most} m/s²");
}

#[test]
fn vehicles_are_behind_the_flow_and_keep_their_order() {
    let (run, vehicles) = corridor();
    let histories = run.histories();
    let ways: Vec<Way<'_>> = (0..vehicles).map(|v| run.way(&histories, v)).collect();
    for (v, way) in ways.iter().enumerate() {
        for (l, leg) in way.legs.iter().enumerate().skip(1) {
            let t_in = leg.motion.t_in;
            let enters = way.passes(l, 2.0 * TOUCH, (t_in, t_in + SMOOTHING + 1_000));
            assert!(enters.is_some(), "vehicle {v} is not on road {l} soon after {t_in}");
            assert!(way.at(t_in).road < leg.road, "vehicle {v} runs a red light");
        }
        let Some(ahead) = v.checked_sub(1).map(|a| &ways[a]) else { continue };
        for (t, state) in trip(way).into_iter().step_by(3) {
            assert!(state.driven <= ahead.at(t).driven + TOUCH, "vehicle {v} passes the one ahead at {t}");
        }
    }
}

#[test]
fn a_passage_is_the_first_millisecond_at_or_beyond_the_point() {
    let (run, vehicles) = corridor();
    let histories = run.histories();
    let (mut found, mut slow) = (0, 0);
    for v in (0..vehicles).step_by(13) {
        let way = run.way(&histories, v);
        for (l, offset) in [(0, 1.0), (0, 450.0), (1, 350.0), (1, 685.0), (2, 30.0), (3, 0.0), (3, 399.0)] {
            let (leg, whole) = (&way.legs[l], (way.legs[0].motion.t_in, way.legs[3].t_out + SMOOTHING));
            let there = |t: i64| way.at(t).driven >= leg.start + offset - TOUCH;
            let time = way.passes(l, offset, whole).expect("it passes");
            let first = (time - 400..time + 400).find(|&t| there(t));
            assert_eq!(Some(time), first, "vehicle {v} at {offset} m of road {l}");
            // Whoever asks for a stretch of time is told only in that which holds the passage.
            assert_eq!(way.passes(l, offset, (time, time + 1)), Some(time));
            assert_eq!(way.passes(l, offset, (time - 9_000, time)), None);
            assert_eq!(way.passes(l, offset, (time + 1, time + 9_000)), None);
            found += 1;
            slow += usize::from(way.at(time).speed < 20.0);
        }
    }
    assert!(found > 150 && slow > 20, "{found} passages, {slow} of them slow");
}

#[test]
fn a_city_drives_smoothly_across_roads_trips_and_windows() {
    let start = 1_780_272_000_000 + 7 * HOUR;
    let options = CityOptions { seed: 5, vehicles: 4_000, start, duration: HOUR };
    let city = Arc::new(City::new(options).expect("valid options"));
    let (mut simulation, mut windows) = (Simulation::new(Arc::clone(&city)), Windows::new(&city));
    let mut states: HashMap<u32, Vec<(i64, State)>> = HashMap::new();
    for minute in 1..=20 {
        let window = windows.next(simulation.advance(start + minute * MINUTE));
        let mut way = Way::default();
        for (i, crossing) in window.crossings.iter().enumerate().filter(|(_, c)| c.vehicle % 3 == 0) {
            let (from, until) = (crossing.t_in.max(window.from), window.latest_until(i).min(window.to));
            window.follow(i, &city.network.specs, (from, until), &mut way);
            for t in (from..until).filter(|t| t % STEP == 0) {
                let mut state = way.at(t);
                state.driven += crossing.odometer;
                states.entry(crossing.vehicle).or_default().push((t, state));
            }
        }
    }
    let (mut trips, mut roads) = (0, 0);
    for states in states.values_mut() {
        states.sort_by_key(|(t, _)| *t);
        for trip in states.chunk_by(|a, b| b.0 - a.0 <= STEP) {
            assert!(trip.windows(2).all(|w| w[0].0 < w[1].0), "two crossings have the same moment");
            smooth(trip);
            // Trips under way at the start or the end are cut.
            if trip[0].0 > start {
                assert!(trip[0].1.speed < 2.0, "sets off at {} km/h", trip[0].1.speed);
            }
            if trip[trip.len() - 1].0 < start + 20 * MINUTE - STEP {
                assert!(trip[trip.len() - 1].1.speed < 2.0, "stops at {} km/h", trip[trip.len() - 1].1.speed);
            }
            trips += 1;
            roads += trip.windows(2).filter(|w| w[0].1.road != w[1].1.road).count();
        }
    }
    assert!(trips > 50 && roads > 500, "{trips} trips over {roads} junctions");
}

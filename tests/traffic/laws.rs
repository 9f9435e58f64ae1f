//! The laws of the kinematic wave, and the queues that follow from them.

use _core::city::flow::{CLOSED, VEHICLE_ROOM, WAVE_SPEED};
use _core::city::incidents::capacity_left;
use _core::city::signals::Signal;

use super::roads::{Run, T0, motion, road};

/// Vehicles an hour between two times.
fn flow(exits: &[f64], (from, to): (f64, f64)) -> f64 {
    exits.iter().filter(|t| (from..to).contains(*t)).count() as f64 / (to - from) * 3_600.0
}

#[test]
fn capacity_is_that_of_the_fundamental_diagram() {
    let u = 50.4 / 3.6;
    let per_lane = u * WAVE_SPEED / (u + WAVE_SPEED) / VEHICLE_ROOM * 3_600.0;
    assert!((per_lane - 1_765.0).abs() < 5.0, "{per_lane} vehicles an hour and lane");
    for lanes in 1..=3 {
        let mut run = Run::new(vec![road(400.0, lanes), road(400.0, lanes)], vec![vec![0, 1]]);
        run.feed(0, 9_000.0, (0.0, 3_600.0));
        let capacity = flow(&run.exits(1), (600.0, 3_600.0));
        assert!((capacity / (per_lane * f64::from(lanes)) - 1.0).abs() < 0.005, "{lanes} lanes: {capacity}");
    }
}

#[test]
fn each_green_lets_out_what_saturation_allows() {
    let signal = Signal { cycle: 90_000, start: 20_000, green: 40_000 };
    let lit = _core::city::flow::Spec { signal, ..road(500.0, 2) };
    let headway = f64::from(lit.headway()) / 1_000.0;
    let mut run = Run::new(vec![lit, road(500.0, 2)], vec![vec![0, 1]]);
    run.feed(0, 6_000.0, (0.0, 1_800.0));
    let exits = run.exits(0);
    let phase = |t: f64| ((T0 as f64 / 1_000.0 + t) - 20.0).rem_euclid(90.0);
    assert!(exits.iter().all(|&t| phase(t) < 40.0), "somebody went on red");
    let mut greens = std::collections::BTreeMap::<i64, usize>::new();
    for t in exits.iter().filter(|t| **t > 300.0 && **t < 1_700.0) {
        *greens.entry(((T0 as f64 / 1_000.0 + t - 20.0) / 90.0).floor() as i64).or_default() += 1;
    }
    let expected = 40.0 / headway;
    let full = greens.values().skip(1).take(greens.len() - 2);
    assert!(full.clone().count() > 10);
    for n in full {
        assert!((*n as f64 - expected).abs() <= 1.0, "{n} vehicles in a green of {expected}");
    }
}

#[test]
fn a_blocked_lane_takes_its_share_of_capacity_and_only_while_it_is_blocked() {
    for lanes in 2..=4u8 {
        let mut run = Run::new(vec![road(600.0, lanes), road(600.0, lanes)], vec![vec![0, 1]]);
        run.feed(0, 9_000.0, (0.0, 1_200.0));
        let base = run.specs[1].headway();
        run.set_headway(1, (f64::from(base) / capacity_left(lanes, 1)).round() as u32);
        run.feed(0, 9_000.0, (1_200.0, 3_000.0));
        run.set_headway(1, base);
        run.feed(0, 9_000.0, (3_000.0, 4_200.0));
        let exits = run.exits(1);
        let [before, during, after] =
            [(300.0, 1_200.0), (1_210.0, 3_000.0), (3_010.0, 4_200.0)].map(|w| flow(&exits, w));
        let share = [0.35, 0.49, 0.58][usize::from(lanes) - 2];
        assert!((during / before / share - 1.0).abs() < 0.03, "{lanes} lanes: {during} of {before}");
        assert!((after / before - 1.0).abs() < 0.03, "{lanes} lanes: {after} after {before}");
    }
}

/// A corridor of `n` roads of 250 m and two lanes.
fn corridor(n: u32) -> Run {
    Run::new((0..n).map(|_| road(250.0, 2)).collect(), vec![(0..n).collect()])
}

/// The slope of `y` over `x` by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>()
}

#[test]
fn the_shock_of_an_incident_and_the_wave_of_its_clearance_travel_as_theory_says() {
    let roads = 25u32;
    let mut run = corridor(roads);
    let (q1, base) = (2_400.0, run.specs[0].headway());
    run.feed(0, q1, (0.0, 900.0));
    let blocked = (f64::from(base) / 0.35).round();
    run.set_headway(roads - 1, blocked as u32);
    run.feed(0, q1, (900.0, 2_100.0));
    run.set_headway(roads - 1, base);
    run.feed(0, q1, (2_100.0, 3_600.0));

    let q2 = 3_600_000.0 / blocked;
    let (jam, w) = (2.0 / VEHICLE_ROOM * 1_000.0, WAVE_SPEED * 3.6);
    let (k1, k2) = (q1 / 50.4, jam - q2 / w);
    let expected = (q1 - q2) / (k1 - k2);
    // Where and when the queue's tail and the clearance pass the ends of roads.
    let (mut tail, mut clearance) = (Vec::new(), Vec::new());
    for r in 0..roads - 1 {
        let end = f64::from(r + 1) * 0.25;
        let of = |e: &&_core::city::flow::Exit| e.road == r;
        let late = run.log.exits.iter().filter(of).find(|e| e.time > e.arrive + 300);
        let Some(late) = late else { continue };
        tail.push(((late.time - T0) as f64 / 3.6e6, end));
        // From the clearance on, vehicles follow each other at capacity.
        let exits = run.exits(r);
        let fast = |w: &[f64]| w[0] > 2_100.0 && w[2] - w[0] < f64::from(base) / 1_000.0 * 2.5;
        clearance.extend(exits.windows(3).find(|w| fast(w)).map(|w| (w[0] / 3_600.0, end)));
    }
    assert!(tail.len() > 8, "the queue spilled back over {} roads", tail.len());
    let shock = slope(&tail);
    assert!((shock / expected - 1.0).abs() < 0.05, "shock {shock} km/h, theory {expected}");
    let queued: Vec<_> = clearance.into_iter().filter(|c| c.1 > tail[tail.len() / 2].1).collect();
    let wave = slope(&queued);
    assert!((-19.0..-17.0).contains(&wave), "clearance wave {wave} km/h over {} roads", queued.len());
}

#[test]
fn a_full_road_blocks_those_before_it_until_room_has_travelled_back() {
    let mut run = Run::new(vec![road(300.0, 1); 4], vec![vec![0, 1, 2, 3]]);
    run.set_headway(2, CLOSED);
    run.feed(0, 1_700.0, (0.0, 1_200.0));
    for r in 0..3 {
        assert_eq!(run.flow.occupancy(r), run.specs[r as usize].storage(), "road {r} is full");
    }
    assert!(run.flow.waiting_to_depart(0) > 50, "the queue reaches the kerb");
    assert_eq!(run.exits(2).len(), 0);
    let before = [0, 1].map(|r| run.exits(r).len());
    run.set_headway(2, run.specs[2].headway());
    run.run(1_800.0);
    let first = |r: u32, n: usize| run.exits(r)[n];
    assert_eq!(first(2, 0), 1_200.0);
    for (r, n) in [(1, before[1]), (0, before[0])] {
        let back = f64::from(2 - r) * 60.0;
        assert!((first(r, n) - 1_200.0 - back).abs() < 1.0, "road {r} moves after {} s", first(r, n) - 1_200.0);
    }
    assert_eq!(run.flow.releases(), 0, "a closed road is no ring");
}

#[test]
fn roads_merge_by_their_lanes() {
    let specs = vec![road(300.0, 2), road(300.0, 1), road(300.0, 1)];
    let mut run = Run::new(specs, vec![vec![0, 2], vec![1, 2]]);
    for s in 0..3_600 {
        run.run(f64::from(s));
        run.depart(0);
        run.depart(1);
    }
    let (two, one) = (flow(&run.exits(0), (600.0, 3_600.0)), flow(&run.exits(1), (600.0, 3_600.0)));
    assert!((two / one - 2.0).abs() < 0.05, "{two} and {one} vehicles an hour");
    assert!((two + one - 1_768.0).abs() < 10.0, "{} vehicles an hour", two + one);
}

#[test]
fn a_ring_of_full_roads_does_not_stand_for_ever() {
    let laps: Vec<Vec<u32>> = (0..4).map(|k| (0..400).map(|n| (k + n) % 4).collect()).collect();
    let mut run = Run::new(vec![road(75.0, 1); 4], laps);
    for way in 0..4 {
        for _ in 0..20 {
            run.depart(way);
        }
    }
    run.run(3_600.0);
    assert!((0..4).all(|r| run.flow.occupancy(r) == 10), "the ring is full");
    assert!(run.flow.releases() > 20, "{} releases", run.flow.releases());
    let late = run.log.exits.iter().filter(|e| e.time > T0 + 3_000_000).count();
    assert!(late > 150, "{late} exits in the last ten minutes");
}

#[test]
fn in_the_flow_a_vehicle_starts_at_0_ends_at_the_length_and_never_passes_the_one_ahead() {
    let signal = Signal { cycle: 60_000, start: 0, green: 20_000 };
    let lit = _core::city::flow::Spec { signal, ..road(500.0, 2) };
    let mut run = Run::new(vec![lit, road(400.0, 1)], vec![vec![0, 1]]);
    run.feed(0, 1_500.0, (0.0, 1_200.0));
    run.set_headway(1, 9_000);
    run.feed(0, 1_500.0, (1_200.0, 2_400.0));
    for r in 0..2u32 {
        let (spec, history) = (run.specs[r as usize], run.history(r));
        assert!(history.2.len() > 200);
        for n in 1..history.2.len() {
            let (own, ahead) = (motion(&spec, &history, n), motion(&spec, &history, n - 1));
            let (t_in, t_out) = (history.0[n], history.2[n]);
            assert!(own.at(t_in).abs() < 1e-6 && (own.at(t_out) - spec.length).abs() < 1e-6);
            let mut before = 0.0;
            for t in (t_in..t_out).step_by(20) {
                let offset = own.at(t);
                assert!(offset >= before - 1e-6, "vehicle {n} goes back at {t}");
                let speed = (offset - before) / 0.02 * 3.6;
                assert!(speed <= spec.limit_kmh * 1.01, "{speed} km/h");
                if t < history.2[n - 1] {
                    assert!(offset <= ahead.at(t) + 1e-6, "{n} passes the vehicle ahead");
                }
                before = offset;
            }
        }
    }
}

#[test]
fn the_flow_reaches_a_place_at_the_first_moment_at_or_beyond_it() {
    let signal = Signal { cycle: 60_000, start: 0, green: 20_000 };
    let lit = _core::city::flow::Spec { signal, ..road(500.0, 2) };
    let mut run = Run::new(vec![lit, road(300.0, 1)], vec![vec![0, 1]]);
    run.feed(0, 1_600.0, (0.0, 1_800.0));
    let mut passages = 0;
    for r in 0..2u32 {
        let (spec, history) = (run.specs[r as usize], run.history(r));
        for n in 0..history.2.len() {
            let own = motion(&spec, &history, n);
            for offset in [0.5, 93.0, 251.0, 290.0, spec.length] {
                let time = own.reaches(offset).expect("it has left");
                assert!(own.at(time) >= offset - 1e-6);
                assert!(time == history.0[n] || own.at(time - 1) < offset);
                passages += 1;
            }
        }
    }
    assert!(passages > 1_000, "{passages} passages");
}

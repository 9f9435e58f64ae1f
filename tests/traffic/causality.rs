//! A road is closed for two hours: positions are known 10 s later whatever comes, and memory stays flat.

use std::collections::HashMap;
use std::sync::Arc;

use _core::city::clock::{HOUR, MINUTE, SECOND};
use _core::city::motion::Way;
use _core::city::trace::{LOOK_AHEAD, OPEN, Windows};
use _core::city::{City, CityOptions, Simulation};

const START: i64 = 1_780_272_000_000 + 7 * HOUR;

fn city() -> Arc<City> {
    let options = CityOptions { seed: 5, vehicles: 20_000, start: START, duration: 4 * HOUR };
    Arc::new(City::new(options).expect("valid options"))
}

/// The road with the most entries in ten minutes.
fn busiest(city: &Arc<City>) -> u32 {
    let rows = Simulation::new(Arc::clone(city)).advance(START + 10 * MINUTE);
    let mut count = vec![0u32; city.network.roads.len()];
    for entry in &rows.entries {
        count[entry.road as usize] += 1;
    }
    (0..count.len()).max_by_key(|&r| count[r]).expect("roads") as u32
}

/// Millimetres from the road's start of the vehicles that the flow has on `road`, each 10 s, by (time, vehicle), in windows of `step`.
fn positions(city: &Arc<City>, road: u32, step: i64, until: i64, opens: i64) -> HashMap<(i64, u32), i64> {
    let mut simulation = Simulation::new(Arc::clone(city));
    let mut windows = Windows::new(city);
    let mut found = HashMap::new();
    let mut to = START;
    while to < until {
        if to == START {
            simulation.set_closed(road, true);
        } else if to == opens {
            simulation.set_closed(road, false);
        }
        to += step;
        let window = windows.next(simulation.advance(to));
        let mut way = Way::default();
        for (i, crossing) in window.crossings.iter().enumerate().filter(|(_, c)| c.road == road) {
            let (from, until) = (window.from.max(crossing.t_in), window.to.min(crossing.t_out));
            window.follow(i, &city.network.specs, (from, until), &mut way);
            let mut time = (from + 9_999) / 10_000 * 10_000;
            while time < until {
                found.insert((time, crossing.vehicle), (way.at(time).driven * 1_000.0).round() as i64);
                time += 10 * SECOND;
            }
        }
    }
    found
}

#[test]
fn positions_do_not_depend_on_the_future_or_on_the_windows() {
    let city = city();
    let road = busiest(&city);
    let until = START + 30 * MINUTE;
    let never = positions(&city, road, 5 * MINUTE, until, i64::MAX);
    assert!(never.len() > 5_000, "{} positions", never.len());
    assert_eq!(never, positions(&city, road, 20 * SECOND, until, i64::MAX), "the windows' length");
    // Opened 15 minutes after the start (and the simulation is 10 s ahead of the trace then): the same until then.
    let opened = positions(&city, road, 5 * MINUTE, until, START + 15 * MINUTE);
    let early = |p: &HashMap<(i64, u32), i64>| {
        p.iter().filter(|((t, _), _)| *t <= START + 15 * MINUTE).map(|(k, v)| (*k, *v)).collect::<HashMap<_, _>>()
    };
    assert_eq!(early(&never), early(&opened));
    assert_ne!(never, opened);
}

#[test]
fn a_road_closed_for_two_hours_leaves_lag_and_memory_as_they_are() {
    let city = city();
    let road = busiest(&city);
    let length = city.network.specs[road as usize].length;
    let mut simulation = Simulation::new(Arc::clone(&city));
    let mut windows = Windows::new(&city);
    simulation.set_closed(road, true);
    let (mut bytes, mut standing) = (Vec::new(), Vec::new());
    for minute in 1..=150 {
        if minute == 121 {
            simulation.set_closed(road, false);
        }
        let to = START + minute * MINUTE;
        let rows = simulation.advance(to);
        assert_eq!(rows.to, to);
        assert!(rows.exits.iter().all(|e| e.time < to + LOOK_AHEAD), "the simulation ran too far ahead");
        let window = windows.next(rows);
        let mut way = Way::default();
        let mut vehicles = 0;
        for (i, crossing) in window.crossings.iter().enumerate().filter(|(_, c)| c.road == road) {
            if crossing.t_in < to && crossing.t_out >= to {
                // Every vehicle has a place up to the window's end, also those that left nobody knows when.
                window.follow(i, &city.network.specs, (to - 1, to), &mut way);
                let driven = way.at(to - 1).driven;
                assert!(way.legs[0].start <= driven && driven <= length);
                vehicles += 1;
            }
            assert!(!(10..=120).contains(&minute) || crossing.t_out == OPEN, "somebody left a closed road");
        }
        standing.push(vehicles);
        bytes.push(windows.bytes() + simulation.flow().bytes());
    }
    // Drivers learn to avoid it, so it need not fill up.
    assert!(standing[..120].windows(2).all(|w| w[0] <= w[1]) && standing[119] > 40, "{standing:?}");
    assert!(standing[149] < 10, "it empties again: {standing:?}");
    let (early, late) = (bytes[30], *bytes[30..].iter().max().expect("some"));
    assert!(late as f64 <= early as f64 * 1.1, "{early} bytes grew to {late}");
}

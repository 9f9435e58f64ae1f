//! Whole cities over a morning or some days: what nobody put in, but what must come out.

use std::collections::HashMap;
use std::sync::Arc;

use _core::city::clock::{self, DAY, HOUR, MINUTE};
use _core::city::trace::Status;
use _core::city::{City, CityOptions, Simulation};

/// A Monday.
const START: i64 = 20_605 * DAY;

fn simulation(vehicles: u32, start: i64, duration: i64) -> (Arc<City>, Simulation) {
    let options = CityOptions { vehicles, start, duration, ..CityOptions::default() };
    let city = Arc::new(City::new(options).expect("valid options"));
    (Arc::clone(&city), Simulation::new(city))
}

#[test]
fn the_morning_peak_flows_and_is_over_by_ten() {
    for vehicles in [2_000, 100_000] {
        let start = START + 6 * HOUR;
        let (city, mut simulation) = simulation(vehicles, start, 4 * HOUR);
        let lanes = city.network.lanes.count() as u32;
        let mut share = |k: i64| {
            simulation.advance(start + k * 15 * MINUTE);
            let on: u32 = (0..lanes).map(|lane| simulation.flow().occupancy(lane)).sum();
            f64::from(on) / f64::from(vehicles)
        };
        let under_way: Vec<f64> = (1..=16).map(&mut share).collect();
        let peak = under_way.iter().copied().fold(0.0, f64::max);
        assert!((0.07..0.12).contains(&peak), "{vehicles} vehicles: {under_way:.3?} under way");
        assert!(under_way[15] < 0.7 * peak, "{vehicles} vehicles: {under_way:.3?} under way");
        let releases = simulation.gridlock_releases();
        assert!(releases < 20, "{vehicles} vehicles: {releases} rings released");
    }
}

#[test]
fn somebody_is_there_seven_minutes_after_the_call() {
    for (vehicles, days) in [(2_000, 20), (30_000, 2)] {
        let (_, mut simulation) = simulation(vehicles, START, days * DAY);
        let mut reported = HashMap::new();
        let mut waits = Vec::new();
        for step in simulation.advance(START + days * DAY).incidents {
            match step.status {
                Status::Reported => drop(reported.insert(step.incident, step.time)),
                Status::OnScene => waits.extend(reported.get(&step.incident).map(|t| step.time - t)),
                _ => {}
            }
        }
        assert!(waits.len() > 50);
        let mean = waits.iter().sum::<i64>() as f64 / waits.len() as f64 / MINUTE as f64;
        assert!((6.0..8.5).contains(&mean), "{vehicles} vehicles: {mean} minutes over {} calls", waits.len());
    }
}

#[test]
fn nitrogen_dioxide_has_the_two_peaks_of_a_weekdays_traffic() {
    let (_, mut simulation) = simulation(10_000, START, 5 * DAY);
    let mut hours = [(0.0, 0.0); 24];
    for row in simulation.advance(START + 5 * DAY).cells {
        let hour = &mut hours[(clock::time_of_day(row.time) / HOUR) as usize];
        *hour = (hour.0 + row.no2, hour.1 + 1.0);
    }
    let no2 = hours.map(|(sum, n)| sum / n);
    let most = |from: usize, to: usize| no2[from..to].iter().copied().fold(0.0, f64::max);
    let (morning, evening, noon, night) = (most(7, 10), most(16, 20), most(11, 14), most(2, 5));
    assert!(morning > 1.1 * noon && evening > 1.1 * noon && noon > night, "{no2:.1?}");
}

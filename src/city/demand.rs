//! Trips: when each vehicle sets off, and where to. A day's plan is a pure function of (seed, vehicle, day).

use super::clock::{self, DAY, HOUR, MINUTE};
use super::fleet::Vehicle;
use super::network::{Network, Place};
use super::rng::{Purpose, Rng, to_normal, to_unit};

/// A planned trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// When it is meant to begin.
    pub departs: i64,
    /// Junction where it ends.
    pub to: u32,
}

/// Most trips that a vehicle plans for one day.
pub const MAX_TRIPS: usize = 6;

/// The trips of one day in order of departure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    trips: [Trip; MAX_TRIPS],
    len: usize,
}

impl Plan {
    /// The trips.
    pub fn trips(&self) -> &[Trip] {
        &self.trips[..self.len]
    }

    fn push(&mut self, departs: i64, to: u32) {
        if self.len < MAX_TRIPS {
            self.trips[self.len] = Trip { departs, to };
            self.len += 1;
        }
    }
}

// A weekday: way to work and home, hour and sd (city.md).
const TO_WORK: (f64, f64) = (8.0, 1.0);
const TO_HOME: (f64, f64) = (17.25, 1.4);
/// Share of commuters that go out in the evening, and when `[assumed]`.
const EVENING: f64 = 0.5;
const EVENING_HOUR: (f64, f64) = (19.75, 1.0);
/// Shares of the others with no, one and two tours on a day; the rest has three `[assumed]`. With the commuters' trips they
/// make three a vehicle (city.md).
const TOURS: [f64; 3] = [0.08, 0.42, 0.38];
/// On a weekday tours begin evenly between these hours `[assumed]`: the base under the peaks.
const BASE_HOURS: (f64, f64) = (7.5, 20.0);
/// One tour in so many begins at any hour `[assumed]`.
const ANY_HOUR: f64 = 0.04;
/// At the weekend tours begin before and after this hour, so far apart and with this sd, so that the hump of all trips is at
/// 13:00 (city.md).
const WEEKEND_HOUR: f64 = 12.4;
const WEEKEND_APART: f64 = 2.5;
const WEEKEND_SD: f64 = 3.0;
/// A stay, in milliseconds, is even between these `[assumed]`.
const STAY: (i64, i64) = (20 * MINUTE, 120 * MINUTE);
/// Length that a way to work is wanted to have, in metres: median, and the spread of its logarithm `[assumed]`: longer than
/// other trips.
pub const COMMUTE_METRES: f64 = 14_500.0;
/// See [`COMMUTE_METRES`].
pub const COMMUTE_SIGMA: f64 = 0.7;
/// The same of other trips; over both, the median is near 5 miles (city.md).
const OTHER_METRES: f64 = 4_800.0;
const OTHER_SIGMA: f64 = 1.0;

/// The plan of vehicle `v` for `day`; about three trips on a weekday, fewer at the weekend.
///
/// Commuters drive to work in the morning and home in the evening; every other trip is there and back. Emergency vehicles
/// have no plan.
pub fn plan(rng: Rng, network: &Network, v: u32, vehicle: &Vehicle, day: i64) -> Plan {
    let mut plan = Plan { trips: [Trip { departs: 0, to: 0 }; MAX_TRIPS], len: 0 };
    if vehicle.kind.is_emergency() {
        return plan;
    }
    let bits = |k: u64| rng.bits(Purpose::Demand, u64::from(v), (day as u64) << 8 | k);
    let hours = |hour: f64| day * DAY + (hour * HOUR as f64) as i64;
    let around = |(mean, sd): (f64, f64), k: u64| hours(mean + sd * to_normal(bits(k)));
    let errand = |plan: &mut Plan, leaves: i64, k: u64| {
        let wanted = OTHER_METRES * libm::exp(OTHER_SIGMA * to_normal(bits(k)));
        let place = destination(network, vehicle.home, wanted, |n| bits(k + 1 + n));
        let stay = STAY.0 + (to_unit(bits(k + 5)) * (STAY.1 - STAY.0) as f64) as i64;
        plan.push(leaves, place);
        plan.push(leaves + stay, vehicle.home);
    };
    let weekend = clock::is_weekend(day);
    if vehicle.work != vehicle.home && !weekend {
        plan.push(around(TO_WORK, 0), vehicle.work);
        plan.push(around(TO_HOME, 1), vehicle.home);
        if to_unit(bits(2)) < EVENING {
            errand(&mut plan, around(EVENING_HOUR, 3), 16);
        }
    } else {
        let draw = to_unit(bits(4));
        let tours = TOURS.iter().scan(0.0, |sum, share| {
            *sum += share;
            Some(*sum)
        });
        let tours = tours.take_while(|sum| *sum <= draw).count() as u64;
        for k in 0..tours {
            let begin = 32 + 16 * k;
            let unit = to_unit(bits(begin + 6));
            let leaves = if to_unit(bits(begin + 7)) < ANY_HOUR {
                hours(24.0 * unit)
            } else if weekend {
                let middle = WEEKEND_HOUR + WEEKEND_APART * (k as f64 - (tours - 1) as f64 / 2.0);
                around((middle, WEEKEND_SD), begin + 6)
            } else {
                hours(BASE_HOURS.0 + (BASE_HOURS.1 - BASE_HOURS.0) * (k as f64 + unit) / tours as f64)
            };
            errand(&mut plan, leaves, begin);
        }
    }
    plan.trips[..plan.len].sort_by_key(|t| t.departs);
    plan
}

/// How much longer a way is than the straight line, on average over this kind of network.
pub const DETOUR: f64 = 1.25;

/// A junction about `wanted` metres of road away from `home`, in a random direction; the best of four. Never `home`, where
/// there is another.
pub fn destination(network: &Network, home: u32, wanted: f64, bits: impl Fn(u64) -> u64) -> u32 {
    let from = network.junctions[home as usize];
    let mut best = (f64::INFINITY, home);
    for n in 0..4 {
        let angle = to_unit(bits(n)) * std::f64::consts::TAU;
        let x = from.x + wanted / DETOUR * libm::sin(angle);
        let y = from.y + wanted / DETOUR * libm::cos(angle);
        // The city is round: what lies beyond is brought to its edge.
        let inside = (network.half_width() / (x * x + y * y).sqrt()).min(1.0);
        let j = network.junction_near(Place { x: x * inside, y: y * inside });
        let miss = (way(network, home, j) - wanted).abs();
        if j != home && miss < best.0 {
            best = (miss, j);
        }
    }
    if best.1 == home { network.roads[network.leaving(home)[0] as usize].to } else { best.1 }
}

/// Metres of road between two junctions, roughly.
pub fn way(network: &Network, from: u32, to: u32) -> f64 {
    let (p, q) = (network.junctions[from as usize], network.junctions[to as usize]);
    ((p.x - q.x).powi(2) + (p.y - q.y).powi(2)).sqrt() * DETOUR
}

#[cfg(test)]
mod tests {
    use super::super::fleet::Fleet;
    use super::*;

    const MONDAY: i64 = 20_605;

    fn city(vehicles: u32) -> (Network, Fleet) {
        let network = Network::procedural(Rng::new(7), vehicles);
        let fleet = Fleet::new(Rng::new(7), &network, vehicles, MONDAY * DAY);
        (network, fleet)
    }

    /// All trips of a day: from where, to where, and at what hour of the day.
    fn trips(network: &Network, fleet: &Fleet, day: i64) -> Vec<(u32, u32, f64)> {
        let mut found = Vec::new();
        for (v, vehicle) in fleet.vehicles.iter().enumerate() {
            let plan = plan(Rng::new(7), network, v as u32, vehicle, day);
            assert!(plan.trips().windows(2).all(|w| w[0].departs <= w[1].departs));
            let mut from = vehicle.home;
            for t in plan.trips() {
                found.push((from, t.to, (t.departs - day * DAY) as f64 / HOUR as f64));
                from = t.to;
            }
        }
        found
    }

    /// Share of the trips that begin between two hours.
    fn between(trips: &[(u32, u32, f64)], from: f64, to: f64) -> f64 {
        trips.iter().filter(|t| (from..to).contains(&t.2)).count() as f64 / trips.len() as f64
    }

    #[test]
    fn a_weekday_has_three_trips_a_vehicle_two_peaks_and_a_quiet_night() {
        let (network, fleet) = city(20_000);
        let trips = trips(&network, &fleet, MONDAY);
        let mean = trips.len() as f64 / 20_000.0;
        assert!((2.85..3.15).contains(&mean), "{mean} trips a vehicle");
        let hours: Vec<f64> = (0..24).map(|h| between(&trips, f64::from(h), f64::from(h + 1))).collect();
        let peak = hours.iter().copied().fold(0.0, f64::max);
        assert!((0.08..0.12).contains(&peak), "peak hour {peak}");
        let of = |h: usize| hours[h - 1].max(hours[h]);
        assert!(of(8) > 1.4 * hours[12] && of(17) > 1.3 * hours[12], "{hours:.3?}");
        assert!((2..5).all(|h| hours[h] > 0.0 && hours[h] < 0.01), "{hours:.3?}");
    }

    #[test]
    fn a_weekend_has_one_hump_at_one() {
        let (network, fleet) = city(20_000);
        let trips = trips(&network, &fleet, MONDAY + 5);
        let hours: Vec<f64> = (0..24).map(|h| between(&trips, f64::from(h), f64::from(h + 1))).collect();
        let peak = (0..24).max_by(|a, b| hours[*a].total_cmp(&hours[*b])).unwrap();
        assert!((12..=13).contains(&peak) && (0.08..0.12).contains(&hours[peak]), "{hours:.3?}");
        let smooth: Vec<f64> = hours.windows(3).map(|w| w.iter().sum()).collect();
        let rises = smooth.windows(2).filter(|w| w[1] > w[0] + 0.005).count();
        let falls = smooth.windows(2).rposition(|w| w[1] > w[0] + 0.005).unwrap();
        assert!(rises >= 4 && falls < 13, "it rises after its hump: {hours:.3?}");
    }

    #[test]
    fn trips_are_as_long_as_in_the_country() {
        let (network, fleet) = city(20_000);
        let trips = trips(&network, &fleet, MONDAY);
        let mut miles: Vec<f64> = trips.iter().map(|t| way(&network, t.0, t.1) / 1_609.34).collect();
        miles.sort_by(f64::total_cmp);
        let median = miles[miles.len() / 2];
        let short = miles.iter().filter(|m| (1.0..10.0).contains(*m)).count() as f64 / miles.len() as f64;
        assert!((4.5..5.5).contains(&median) && short > 0.5, "median {median} miles, {short} of 1 to 10 miles");
    }

    #[test]
    fn the_morning_goes_to_work_and_the_evening_back() {
        let (network, fleet) = city(20_000);
        let trips = trips(&network, &fleet, MONDAY);
        let busy = |j: u32| network.land.work(network.junctions[j as usize]) > 0.3;
        let towards = |from: f64, to: f64| {
            let (mut inward, mut outward) = (0.0, 0.0);
            for t in trips.iter().filter(|t| (from..to).contains(&t.2)) {
                inward += f64::from(u8::from(!busy(t.0) && busy(t.1)));
                outward += f64::from(u8::from(busy(t.0) && !busy(t.1)));
            }
            inward / outward
        };
        let (morning, evening) = (towards(7.0, 9.0), towards(16.0, 19.0));
        assert!(morning > 2.0 && evening < 0.6, "inward over outward: {morning} and {evening}");
    }
}

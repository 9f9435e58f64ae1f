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

/// The plan of vehicle `v` for `day`; about three trips on a weekday, two at the weekend `[assumed]`.
///
/// Commuters drive to work around 08:00 (sd 1 h) and home around 17:15 (sd 1.4 h); every other trip is there and back.
/// Emergency vehicles have no plan.
pub fn plan(rng: Rng, network: &Network, v: u32, vehicle: &Vehicle, day: i64) -> Plan {
    let mut plan = Plan { trips: [Trip { departs: 0, to: 0 }; MAX_TRIPS], len: 0 };
    if vehicle.kind.is_emergency() {
        return plan;
    }
    let bits = |k: u64| rng.bits(Purpose::Demand, u64::from(v), (day as u64) << 8 | k);
    let midnight = day * DAY;
    let at = |mean: f64, sd: f64, k: u64| midnight + ((mean + sd * to_normal(bits(k))) * HOUR as f64) as i64;
    let commutes = vehicle.work != vehicle.home;
    let weekend = clock::is_weekend(day);
    if commutes && !weekend {
        plan.push(at(8.0, 1.0, 0), vehicle.work);
        plan.push(at(17.25, 1.4, 1), vehicle.home);
        if to_unit(bits(2)) < 0.6 {
            errand(&mut plan, rng, network, v, vehicle, at(19.75, 1.0, 3), day, 16);
        }
    } else {
        // Tours away from home: none to three, spread over the day; at the weekend around 13:00.
        let tours = match to_unit(bits(4)) {
            u if u < 0.08 => 0,
            u if u < 0.50 => 1,
            u if u < 0.88 => 2,
            _ => 3,
        };
        for k in 0..tours {
            let leaves = if weekend {
                at(10.5 + 2.5 * f64::from(k), 1.8, 5 + k as u64)
            } else {
                midnight + ((8.0 + 4.0 * f64::from(k) + 4.0 * to_unit(bits(5 + k as u64))) * HOUR as f64) as i64
            };
            errand(&mut plan, rng, network, v, vehicle, leaves, day, 32 + 16 * k as u64);
        }
    }
    plan.trips[..plan.len].sort_by_key(|t| t.departs);
    plan
}

/// A trip to a place at a likely distance, and back after a stay.
#[expect(clippy::too_many_arguments, reason = "the identity of a draw has this many parts")]
fn errand(plan: &mut Plan, rng: Rng, network: &Network, v: u32, vehicle: &Vehicle, leaves: i64, day: i64, k: u64) {
    let bits = |n: u64| rng.bits(Purpose::Demand, u64::from(v), (day as u64) << 8 | (k + n));
    let wanted = OTHER_METRES * libm::exp(OTHER_SIGMA * to_normal(bits(0)));
    let place = destination(network, vehicle.home, wanted, |n| bits(1 + n));
    let stay = 20 * MINUTE + (to_unit(bits(5)) * 100.0 * MINUTE as f64) as i64;
    plan.push(leaves, place);
    plan.push(leaves + stay, vehicle.home);
}

/// Median length of a way to work in metres, and the spread of its logarithm `[assumed]`: longer than other trips.
pub const COMMUTE_METRES: f64 = 14_500.0;
/// See [`COMMUTE_METRES`].
pub const COMMUTE_SIGMA: f64 = 0.7;
/// The same of other trips; over both, the median is near 5 miles (city.md).
const OTHER_METRES: f64 = 6_200.0;
const OTHER_SIGMA: f64 = 1.0;

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

    #[test]
    fn a_weekday_has_three_trips_a_vehicle_and_its_peak_hour_8_to_12_percent() {
        let rng = Rng::new(7);
        let network = Network::procedural(rng, 20_000);
        let monday = 20_605;
        let fleet = Fleet::new(rng, &network, 20_000, monday * DAY);
        let mut hours = [0u32; 48];
        let mut trips = 0u32;
        let mut miles = Vec::new();
        for (v, vehicle) in fleet.vehicles.iter().enumerate() {
            let plan = plan(rng, &network, v as u32, vehicle, monday);
            assert!(plan.trips().windows(2).all(|w| w[0].departs <= w[1].departs));
            trips += plan.trips().len() as u32;
            let mut from = vehicle.home;
            for t in plan.trips() {
                miles.push(way(&network, from, t.to) / 1_609.34);
                from = t.to;
                hours[((t.departs - monday * DAY + 12 * HOUR) / HOUR) as usize] += 1;
            }
        }
        let mean = f64::from(trips) / 20_000.0;
        assert!((2.7..3.3).contains(&mean), "{mean} trips a vehicle");
        let peak = f64::from(*hours.iter().max().unwrap()) / f64::from(trips);
        assert!((0.08..0.12).contains(&peak), "peak hour {peak}");
        miles.sort_by(f64::total_cmp);
        let median = miles[miles.len() / 2];
        let short = miles.iter().filter(|m| (1.0..10.0).contains(*m)).count() as f64 / miles.len() as f64;
        assert!((4.0..6.5).contains(&median) && short > 0.5, "median {median} miles, {short} of 1 to 10 miles");
    }
}

//! Incidents: where and when they begin, how long each step takes, and who is sent.
//!
//! Crashes and breakdowns follow the vehicle-kilometres driven; fires, medical and police calls follow population and
//! hour. The traffic engine calls in; the road is blocked from the report to the clearance.

use serde::{Deserialize, Serialize};

use super::clock::{self, HOUR, MINUTE, SECOND};
use super::fleet::VehicleType;
use super::rng::{Purpose, Rng, to_exponential, to_normal};
use super::trace::{IncidentKind, Status};
use super::weather::Condition;

/// Reported crashes per vehicle-kilometre (city.md).
const CRASHES_PER_KM: f64 = 1.15e-6;
/// Breakdowns per crash (city.md).
const BREAKDOWNS_PER_CRASH: f64 = 3.5;
/// Crash risk on snow over dry (city.md).
const SNOW_RISK: f64 = 1.84;
/// Inhabitants per vehicle `[assumed]`.
const PEOPLE_PER_VEHICLE: f64 = 1.8;
/// Calls a year per 1,000 inhabitants `[assumed]`; medical ones between the 110 that the United States' ambulances have
/// (realism.md, section 5) and British rates.
const CALLS: [(IncidentKind, f64); 3] =
    [(IncidentKind::Medical, 150.0), (IncidentKind::Police, 180.0), (IncidentKind::Fire, 10.0)];

/// Shares of slight and of middling incidents `[assumed]`; the rest is severe. A breakdown never is.
const SEVERITIES: [f64; 2] = [0.70, 0.25];
const BREAKDOWN_SEVERITIES: [f64; 2] = [0.85, 0.15];
/// Time at the scene until the lanes are cleared: lognormal with these medians in minutes by severity, and this spread, so
/// that with the way there and the wrap-up nine in ten middling ones are over in two hours, and four in five severe ones in
/// four (MUTCD classes, targets of WisDOT; realism.md, section 5).
const CLEARANCE_MINUTES: [f64; 3] = [18.0, 50.0, 135.0];
const CLEARANCE_SPREAD: f64 = 0.5;
/// Call handling and turn-out in milliseconds, even between these: NFPA 1710 wants 64 s and 60 to 80 s for most.
const CALL_HANDLING: (i64, i64) = (60 * SECOND, 150 * SECOND);
/// From the clearance to the end, in milliseconds, even between these `[assumed]`.
const WRAP_UP: (i64, i64) = (5 * MINUTE, 15 * MINUTE);

/// An incident that is not over.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub number: u32,
    /// Kind.
    pub kind: IncidentKind,
    /// 1 slight to 3 severe.
    pub severity: u8,
    /// The road at whose end it happened.
    pub road: u32,
    /// Lanes that it blocks until they are cleared.
    pub blocks: u8,
    /// The last step.
    pub status: Status,
    /// The vehicle that was sent.
    pub responder: Option<u32>,
}

/// Whether the crossing of `road_km` kilometres ends in a crash or breakdown.
pub fn on_crossing(rng: Rng, vehicle: u32, crossing: u64, road_km: f64, weather: Condition) -> Option<IncidentKind> {
    let risk = if weather == Condition::Snow { SNOW_RISK } else { 1.0 };
    let crash = CRASHES_PER_KM * road_km * risk;
    let draw = rng.unit(Purpose::Crash, u64::from(vehicle), crossing);
    if draw < crash {
        Some(IncidentKind::Accident)
    } else if draw < crash + CRASHES_PER_KM * BREAKDOWNS_PER_CRASH * road_km {
        Some(IncidentKind::Breakdown)
    } else {
        None
    }
}

/// Calls in the hour that begins at `hour_start`, in order of time: when, what, and a draw that picks the road.
pub fn calls(rng: Rng, vehicles: u32, hour_start: i64) -> Vec<(i64, IncidentKind, u64)> {
    let hour = clock::time_of_day(hour_start) / HOUR;
    // Calls are rarest at 04:00 and most frequent at 16:00; the mean over the day is 1.
    let rhythm = 1.0 - 0.45 * libm::cos((hour as f64 - 4.0) / 24.0 * std::f64::consts::TAU);
    let mut found = Vec::new();
    for (k, (kind, per_year)) in CALLS.into_iter().enumerate() {
        let mean = per_year / 1_000.0 * PEOPLE_PER_VEHICLE * f64::from(vehicles) / (365.2425 * 24.0) * rhythm;
        let key = (hour_start.div_euclid(HOUR) as u64) << 16;
        // Poisson by exponential gaps, so that the number of draws is the number of calls plus one.
        let (mut at, mut n) = (0.0, 0u64);
        loop {
            at += to_exponential(rng.unit(Purpose::Call, k as u64, key | (2 * n))) / mean;
            if at >= 1.0 {
                break;
            }
            let time = hour_start + (at * HOUR as f64) as i64;
            found.push((time, kind, rng.bits(Purpose::Call, k as u64, key | (2 * n + 1))));
            n += 1;
        }
    }
    found.sort_by_key(|(time, kind, _)| (*time, *kind as u8));
    found
}

impl Incident {
    /// A new incident; what it is like depends on its number alone.
    pub fn new(rng: Rng, number: u32, kind: IncidentKind, road: u32, lanes: u8) -> Self {
        let draw = |c| rng.unit(Purpose::Incident, u64::from(number), c);
        let [slight, middling] = if kind == IncidentKind::Breakdown { BREAKDOWN_SEVERITIES } else { SEVERITIES };
        let severity = match draw(0) {
            u if u < slight => 1,
            u if u < slight + middling => 2,
            _ => 3,
        };
        let blocks = match kind {
            IncidentKind::Accident => 1 + u8::from(severity == 3 && lanes > 2),
            IncidentKind::Breakdown => u8::from(draw(1) < 0.5),
            IncidentKind::Fire => u8::from(draw(1) < 0.3),
            IncidentKind::Medical | IncidentKind::Police => 0,
        };
        Self { number, kind, severity, road, blocks: blocks.min(lanes), status: Status::Reported, responder: None }
    }

    /// Time from the report to the first attempt to send somebody.
    pub fn call_handling(&self, rng: Rng) -> i64 {
        self.between(rng, 2, CALL_HANDLING)
    }

    /// Time at the scene until the lanes are cleared.
    pub fn clearance(&self, rng: Rng) -> i64 {
        let median = CLEARANCE_MINUTES[usize::from(self.severity.clamp(1, 3)) - 1];
        let z = to_normal(rng.bits(Purpose::Incident, u64::from(self.number), 3));
        (median * libm::exp(CLEARANCE_SPREAD * z) * MINUTE as f64) as i64
    }

    /// Time from the clearance to the end.
    pub fn wrap_up(&self, rng: Rng) -> i64 {
        self.between(rng, 4, WRAP_UP)
    }

    /// Whole seconds between two bounds.
    fn between(&self, rng: Rng, counter: u64, (least, most): (i64, i64)) -> i64 {
        let unit = rng.unit(Purpose::Incident, u64::from(self.number), counter);
        least + (unit * ((most - least) / SECOND) as f64) as i64 * SECOND
    }

    /// Who is sent.
    pub fn responder_type(&self) -> VehicleType {
        match self.kind {
            IncidentKind::Medical => VehicleType::Ambulance,
            IncidentKind::Fire => VehicleType::FireEngine,
            IncidentKind::Accident if self.severity >= 2 => VehicleType::Ambulance,
            _ => VehicleType::PoliceCar,
        }
    }

    /// Lanes blocked in its present state.
    pub fn lanes_blocked(&self) -> u8 {
        if self.status >= Status::LanesCleared { 0 } else { self.blocks }
    }
}

/// Share of a road's capacity that is left with `blocked` of its lanes blocked (HCM for one of two, three and four; the
/// rest in proportion `[assumed]`).
pub fn capacity_left(lanes: u8, blocked: u8) -> f64 {
    match (lanes, blocked) {
        (_, 0) => 1.0,
        (2, 1) => 0.35,
        (3, 1) => 0.49,
        (4, 1) => 0.58,
        (3, 2) => 0.17,
        // A single lane: drivers pass one at a time where they can.
        _ => 0.10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_at_their_rate() {
        let rng = Rng::new(7);
        let (days, vehicles) = (400, 2_000);
        let n: usize = (0..days * 24).map(|h| calls(rng, vehicles, h * HOUR).len()).sum();
        let expected = 0.340 * PEOPLE_PER_VEHICLE * f64::from(vehicles) / 365.2425 * days as f64;
        assert!((n as f64 / expected - 1.0).abs() < 0.1, "{n} of {expected}");
    }

    #[test]
    fn a_life_goes_forward_and_clears_its_lanes() {
        let rng = Rng::new(7);
        for number in 0..1_000 {
            let mut incident = Incident::new(rng, number, IncidentKind::Accident, 0, 2);
            assert!(incident.lanes_blocked() >= 1 && incident.lanes_blocked() <= 2);
            assert!(incident.call_handling(rng) > 0 && incident.clearance(rng) > 0 && incident.wrap_up(rng) > 0);
            incident.status = Status::LanesCleared;
            assert_eq!(incident.lanes_blocked(), 0);
        }
    }

    /// Crashes and breakdowns of `n` crossings, by window of `window` crossings.
    fn counts(weather: Condition, n: u64, window: u64, entity: u32) -> Vec<[f64; 2]> {
        let rng = Rng::new(7);
        let mut counts = vec![[0.0; 2]; (n / window) as usize];
        for c in 0..n {
            // A thousand kilometres a crossing: rates are small, and so is the time that a test has.
            match on_crossing(rng, entity, c, 1_000.0, weather) {
                Some(IncidentKind::Accident) => counts[(c / window) as usize][0] += 1.0,
                Some(IncidentKind::Breakdown) => counts[(c / window) as usize][1] += 1.0,
                _ => {}
            }
        }
        counts
    }

    #[test]
    fn crashes_are_poisson_given_the_kilometres_driven_and_more_on_snow() {
        let (n, window) = (4_000_000, 2_000);
        let dry = counts(Condition::Clear, n, window, 0);
        let windows = dry.len() as f64;
        let total = |counts: &[[f64; 2]], kind: usize| counts.iter().map(|c| c[kind]).sum::<f64>();
        let (crashes, breakdowns) = (total(&dry, 0), total(&dry, 1));
        assert!((crashes / (n as f64 / 1_000.0 * 1.15) - 1.0).abs() < 0.05, "{crashes} crashes");
        assert!((breakdowns / crashes / 3.5 - 1.0).abs() < 0.07, "{breakdowns} breakdowns, {crashes} crashes");
        for kind in 0..2 {
            let mean = total(&dry, kind) / windows;
            let variance = dry.iter().map(|c| (c[kind] - mean).powi(2)).sum::<f64>() / (windows - 1.0);
            assert!((0.9..1.1).contains(&(variance / mean)), "dispersion {}", variance / mean);
        }
        let snow = total(&counts(Condition::Snow, n, window, 1), 0) / crashes;
        assert!((1.68..1.99).contains(&snow), "{snow} times as many on snow");
    }

    #[test]
    fn nine_in_ten_middling_incidents_are_over_in_two_hours_and_four_in_five_severe_ones_in_four() {
        let rng = Rng::new(7);
        // A way of five minutes.
        let lasts = |i: &Incident| i.call_handling(rng) + 5 * MINUTE + i.clearance(rng) + i.wrap_up(rng);
        let mut lengths: [Vec<i64>; 3] = Default::default();
        for number in 0..20_000 {
            let incident = Incident::new(rng, number, IncidentKind::Accident, 0, 2);
            lengths[usize::from(incident.severity) - 1].push(lasts(&incident));
        }
        let within = |severity: usize, most: i64| {
            let all = &lengths[severity - 1];
            all.iter().filter(|l| **l < most).count() as f64 / all.len() as f64
        };
        let (two, four) = (within(2, 2 * HOUR), within(3, 4 * HOUR));
        assert!((0.88..0.93).contains(&two), "{two} of the middling ones");
        assert!((0.78..0.88).contains(&four), "{four} of the severe ones");
        let breakdown = |number| Incident::new(rng, number, IncidentKind::Breakdown, 0, 2);
        assert!((0..5_000).all(|n| breakdown(n).severity < 3));
    }

    #[test]
    fn calls_follow_the_hour() {
        let rng = Rng::new(7);
        let at = |hour: i64| (0..400).map(|day| calls(rng, 2_000, (day * 24 + hour) * HOUR).len()).sum::<usize>();
        assert!(at(16) as f64 > 1.8 * at(4) as f64, "{} at 16, {} at 4", at(16), at(4));
    }
}

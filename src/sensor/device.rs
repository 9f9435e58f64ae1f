//! What devices have in common: names, clocks, rhythms, compass.

use crate::city::clock::{DAY, SECOND};
use crate::city::rng::{Purpose, Rng, to_normal, to_unit};
use crate::city::trace::CAMERA_INTERVAL;
use crate::city::weather::STEP;
use crate::schema::Stream;

/// Share of devices whose clock is disciplined by satellites or the network `[assumed]`; the rest are cheap.
const GOOD_CLOCKS: f64 = 0.9;
/// Standard deviation of a good clock's error, in milliseconds (city.md).
const GOOD_SD: f64 = 50.0;
/// Standard deviation of a cheap clock's error when it was last set, in milliseconds (city.md).
const CHEAP_SD: f64 = 2_000.0;
/// Least and greatest rate at which a cheap clock runs off, in parts per million. Tuning-fork crystals: ±20 ppm at 25 °C,
/// and −0.034 ppm/°C² away from it, so −42 ppm at −10 °C (makers' data sheets); NTP allows for 15 ppm (RFC 5905, PHI).
const DRIFT_PPM: (f64, f64) = (10.0, 50.0);
/// A cheap clock is set once a day `[assumed]`, so that its drift stays below 4.4 s.
const SET_EACH: i64 = DAY;

/// A device's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// How far it is off when it has just been set, in milliseconds.
    offset: i64,
    /// How fast it runs off, as a share of the time since.
    drift: f64,
    /// When in the day it is set, in milliseconds.
    set: i64,
}

impl Clock {
    /// The clock of a vehicle's device, by its number; those of other kinds have names of their own.
    pub fn new(rng: Rng, device: u64) -> Self {
        let good = to_unit(rng.bits(Purpose::Device, device, 0)) < GOOD_CLOCKS;
        let error = to_normal(rng.bits(Purpose::Device, device, 1));
        if good {
            return Self { offset: (GOOD_SD * error).round() as i64, drift: 0.0, set: 0 };
        }
        let rate = to_unit(rng.bits(Purpose::Device, device, 4)) * 2.0 - 1.0;
        let ppm = (DRIFT_PPM.0 + (DRIFT_PPM.1 - DRIFT_PPM.0) * rate.abs()).copysign(rate);
        let set = rng.below(Purpose::Device, device, 5, SET_EACH as u64) as i64;
        Self { offset: (CHEAP_SD * error).round() as i64, drift: ppm * 1e-6, set }
    }

    /// The clock of a camera.
    pub fn of_camera(rng: Rng, camera: u32) -> Self {
        Self::new(rng, u64::from(camera) << 8 | 0xff)
    }

    /// The clock of a weather station.
    pub fn of_station(rng: Rng, station: u32) -> Self {
        Self::new(rng, u64::from(station) << 8 | 0xfe)
    }

    /// What it shows at `time`, in milliseconds.
    pub fn shows(&self, time: i64) -> i64 {
        if self.drift == 0.0 {
            return time + self.offset;
        }
        time + self.offset + (self.drift * (time - self.set).rem_euclid(SET_EACH) as f64).round() as i64
    }
}

/// Set in the counter of a reading that is made at a vehicle's step, in the drop-in's mode: no counter of a sensor's own
/// rhythm reaches it, so the two modes never give one id to two events.
pub const BY_STEP: u64 = 1 << 39;

/// Time to the next report of a stream's entity by its rhythm, and how much that one's counter is ahead; none for a report
/// out of the rhythm. Whether the next one is made is another question: the vehicle may park before.
pub fn next_report(rng: Rng, stream: Stream, entity: u32, counter: u64) -> Option<(i64, u64)> {
    let stream = if counter & BY_STEP == 0 { stream } else { Stream::Vehicle };
    match stream {
        Stream::Vehicle => counter.is_multiple_of(4).then_some((VEHICLE_PERIOD, 4)),
        Stream::Gps => Some((gps_period(rng, entity), 1)),
        Stream::Traffic => Some((CAMERA_INTERVAL, 1)),
        Stream::Weather => Some((STEP, 1)),
        _ => None,
    }
}

/// Time between two reports of a vehicle under way, in milliseconds `[assumed]`.
pub const VEHICLE_PERIOD: i64 = 10 * SECOND;

/// Sampling period of a receiver in milliseconds: 20 % of devices 1 s, 30 % 5 s, 30 % 30 s, 20 % 60 s `[assumed]`.
pub fn gps_period(rng: Rng, vehicle: u32) -> i64 {
    match to_unit(rng.bits(Purpose::Device, u64::from(vehicle), 3)) {
        u if u < 0.2 => SECOND,
        u if u < 0.5 => 5 * SECOND,
        u if u < 0.8 => 30 * SECOND,
        _ => 60 * SECOND,
    }
}

/// Where in its period a device's rhythm begins, in milliseconds.
pub fn phase(rng: Rng, device: u64, period: i64) -> i64 {
    rng.below(Purpose::Device, device, 2, period as u64) as i64
}

/// First multiple of `period`, shifted by `phase`, that is not before `from`, with its number.
pub fn first_tick(from: i64, start: i64, period: i64, phase: i64) -> (i64, i64) {
    let since = from - start - phase;
    let number = since.div_euclid(period) + i64::from(since.rem_euclid(period) > 0);
    (start + phase + number * period, number)
}

const COMPASS: [&str; 8] = ["North", "North-East", "East", "South-East", "South", "South-West", "West", "North-West"];

/// The compass name of a heading in degrees.
pub fn compass(heading: f64) -> &'static str {
    COMPASS[((heading / 45.0).round() as usize) % 8]
}

/// A vehicle that moves slower has no heading (1.5 m/s), in km/h.
pub const HEADING_FROM_KMH: f64 = 5.4;

/// Prefix and digits of each kind of name.
pub const VEHICLE: (&str, usize) = ("vehicle-", 7);
/// See [`VEHICLE`].
pub const CAMERA: (&str, usize) = ("camera-", 4);
/// See [`VEHICLE`].
pub const STATION: (&str, usize) = ("station-", 3);
/// See [`VEHICLE`].
pub const DESK: (&str, usize) = ("dispatch-", 1);
/// See [`VEHICLE`].
pub const ROAD: (&str, usize) = ("road-", 5);
/// See [`VEHICLE`].
pub const INCIDENT: (&str, usize) = ("incident-", 6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compass_and_ticks() {
        assert_eq!([0.0, 44.9, 180.0, 350.0].map(compass), ["North", "North-East", "South", "North"]);
        assert_eq!(first_tick(1_000, 0, 300, 50), (1_250, 4));
        assert_eq!(first_tick(1_250, 0, 300, 50), (1_250, 4));
        assert_eq!(first_tick(-100, 0, 300, 50), (50, 0));
    }

    #[test]
    fn good_clocks_stay_and_cheap_ones_run_off_within_their_rates() {
        let rng = Rng::new(3);
        let noon = 1_780_272_000_000 + DAY / 2;
        let (mut cheap, mut fast) = (0, 0);
        for device in 0..4_000 {
            let clock = Clock::new(rng, device);
            let off = |time| clock.shows(time) - time - clock.offset;
            let hour: Vec<i64> = (0..=24).map(|h| off(noon + h * DAY / 24)).collect();
            if hour.iter().all(|&d| d == 0) {
                assert!(clock.offset.abs() < 200);
                continue;
            }
            cheap += 1;
            assert!(hour.iter().all(|d| d.abs() <= 4_320), "{hour:?}");
            assert_eq!(hour[0], hour[24], "the clock is set each day at the same time");
            // One of the steps is the setting; the others are 10 to 50 ppm of an hour: 36 to 180 ms.
            let steps: Vec<i64> = hour.windows(2).map(|w| w[1] - w[0]).collect();
            let steady = steps.iter().filter(|s| (35..=181).contains(&s.abs())).count();
            assert!(steady >= 23, "{steps:?}");
            fast += i32::from(steps.iter().filter(|s| **s > 0).count() >= 23);
        }
        assert!((340..460).contains(&cheap), "{cheap} of 4000 cheap");
        assert!((cheap * 4 / 10..cheap * 6 / 10).contains(&fast), "{fast} of {cheap} fast");
    }
}

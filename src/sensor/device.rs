//! What devices have in common: names, clocks, rhythms, compass.

use crate::city::rng::{Purpose, Rng, to_normal, to_unit};

/// How far a device's clock is off, in milliseconds: nine in ten are good (sd 50 ms), the rest cheap (sd 2 s) (city.md).
pub fn clock_offset(rng: Rng, device: u64) -> i64 {
    let sd = if to_unit(rng.bits(Purpose::Device, device, 0)) < 0.9 { 50.0 } else { 2_000.0 };
    (sd * to_normal(rng.bits(Purpose::Device, device, 1))).round() as i64
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

/// Rounds to one in `per_unit`.
pub fn round(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

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
}

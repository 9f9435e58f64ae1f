//! The truth: a city whose vehicles, weather and incidents are simulated once. Its product is the [`trace`].

pub mod air;
pub mod clock;
pub mod corridor;
pub mod demand;
mod checkpoint;
mod dispatch;
pub mod exposure;
pub mod field;
pub mod fleet;
pub mod flow;
pub mod incidents;
pub mod landuse;
pub mod lanes;
mod layout;
pub mod models;
pub mod motion;
pub mod network;
mod pack;
pub mod rng;
pub mod round;
pub mod routes;
pub mod signals;
pub mod saved;
mod simulation;
mod streets;
pub mod trace;
pub mod weather;

pub use simulation::Simulation;

use crate::error::{Error, Result};
use crate::schema::CityId;

use fleet::Fleet;
use network::Network;
use rng::Rng;

/// The model's version: part of the city's id, so that ids of two versions never meet. Raise it when the same options
/// give another trace.
pub const MODEL_VERSION: u64 = 4;

/// What makes a city: the same options give the same trace.
#[derive(Debug, Clone, PartialEq)]
pub struct CityOptions {
    /// Seed of all randomness.
    pub seed: u64,
    /// Size of the fleet, parked vehicles included: 1 to 10,000,000.
    pub vehicles: u32,
    /// First simulated instant, milliseconds since the epoch.
    pub start: i64,
    /// Simulated time in milliseconds.
    pub duration: i64,
}

impl Default for CityOptions {
    /// 2,000 vehicles for a day from Monday, 2026-06-01.
    fn default() -> Self {
        Self { seed: 7, vehicles: 2_000, start: 1_780_272_000_000, duration: clock::DAY }
    }
}

/// A city before its first simulated instant.
#[derive(Debug)]
pub struct City {
    /// What it was made of.
    pub options: CityOptions,
    /// Its id.
    pub id: CityId,
    /// Its randomness.
    pub rng: Rng,
    /// Its roads, cameras and stations.
    pub network: Network,
    /// Its vehicles.
    pub fleet: Fleet,
}

impl City {
    /// Builds the network and the fleet.
    ///
    /// # Errors
    /// `Config` where an option is out of range.
    pub fn new(options: CityOptions) -> Result<Self> {
        let range = |name: &str, value: i64, least: i64, most: i64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::config(format!("{name} is {value}")).help(format!("Give a value from {least} to {most}")))
        };
        range("vehicles", i64::from(options.vehicles), 1, 10_000_000)?;
        range("duration in milliseconds", options.duration, 1, 3_660 * clock::DAY)?;
        // 1970 to 2200: what four-digit years and 64-bit microseconds hold with room to spare.
        range("start in milliseconds since 1970", options.start, 2 * clock::DAY, 84_000 * clock::DAY)?;
        let rng = Rng::new(options.seed);
        let network = Network::procedural(rng, options.vehicles);
        let fleet = Fleet::new(rng, &network, options.vehicles, options.start);
        let id = city_id(&options);
        Ok(Self { options, id, rng, network, fleet })
    }

    /// End of the simulated time, exclusive.
    pub fn end(&self) -> i64 {
        self.options.start + self.options.duration
    }
}

/// Not of duration: a longer run continues the shorter one.
fn city_id(options: &CityOptions) -> CityId {
    let rng = Rng::new(options.seed ^ MODEL_VERSION.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    CityId(rng.bits(rng::Purpose::Network, u64::from(options.vehicles), options.start as u64) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_depends_on_what_makes_the_city_but_not_on_how_long_it_runs() {
        let base = CityOptions::default();
        let id = city_id(&base);
        assert_eq!(id, city_id(&CityOptions { duration: 5, ..base.clone() }));
        assert_ne!(id, city_id(&CityOptions { seed: 8, ..base.clone() }));
        assert_ne!(id, city_id(&CityOptions { vehicles: 2_001, ..base.clone() }));
        assert_ne!(id, city_id(&CityOptions { start: base.start + clock::DAY, ..base }));
    }

    #[test]
    fn options_out_of_range_are_named() {
        let error = City::new(CityOptions { vehicles: 0, ..CityOptions::default() }).map_err(|e| e.to_string());
        assert!(error.is_err_and(|m| m.contains("vehicles is 0") && m.contains("10000000")));
    }
}

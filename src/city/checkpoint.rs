//! The engine's state as bytes: a run goes on from it exactly where it stopped, without what lies before.

use std::sync::Arc;

use super::City;
use super::flow::Flow;
use super::pack::{pack, unpack};
use super::routes::Known;
use super::simulation::{Live, Simulation, World};
use super::weather::{self, Weather};
use crate::error::{Error, ErrorKind, Result};

impl Simulation {
    /// The state after the last [`Simulation::advance`].
    ///
    /// # Errors
    /// `Internal` where it can't be encoded.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        let World { city, routes, weather, live, .. } = &self.world;
        pack("engine", city, &(&self.flow, routes.known(), weather.state(), live))
    }

    /// The simulation of `city` whose state `bytes` are.
    ///
    /// # Errors
    /// `Store` where they are another city's, another version's, or damaged.
    pub fn resume(city: Arc<City>, bytes: &[u8]) -> Result<Self> {
        let (flow, known, weather, live): (Flow, Known, weather::State, Live) = unpack("engine", &city, bytes)?;
        let mut world = World::new(Arc::clone(&city), live.now);
        world
            .routes
            .restore(&city.network, known)
            .ok_or_else(|| Error::new(ErrorKind::Store, "the state of the engine is of other roads than the city's"))?;
        world.weather = Weather::resume(city.rng, &city.network, weather)?;
        (world.live, world.recording) = (live, true);
        Ok(Self { flow, world })
    }
}

#[cfg(test)]
mod tests {
    use super::super::CityOptions;
    use super::super::clock::{DAY, HOUR, MINUTE};
    use super::*;

    const START: i64 = 20_605 * DAY + 7 * HOUR;

    fn city(vehicles: u32) -> Arc<City> {
        let options = CityOptions { vehicles, start: START, duration: 6 * HOUR, ..CityOptions::default() };
        Arc::new(City::new(options).unwrap())
    }

    #[test]
    fn a_resumed_run_goes_on_exactly_where_it_stopped() {
        let city = city(4_000);
        let mut whole = Simulation::new(Arc::clone(&city));
        // A road closed by hand is part of the state too.
        whole.advance(START + 20 * MINUTE);
        whole.set_closed(9, true);
        whole.advance(START + HOUR + 7);
        let mut resumed = Simulation::resume(Arc::clone(&city), &whole.checkpoint().unwrap()).unwrap();
        assert_eq!(resumed.checkpoint().unwrap(), whole.checkpoint().unwrap());
        for minutes in [90, 150, 240] {
            let (a, b) = (whole.advance(START + minutes * MINUTE), resumed.advance(START + minutes * MINUTE));
            assert!(a.entries.len() > 10 && a.exits.len() > 10 && !a.cells.is_empty());
            assert_eq!(a, b, "{minutes} minutes");
        }
        assert_eq!(whole.gridlock_releases(), resumed.gridlock_releases());
    }

    #[test]
    fn another_citys_state_and_a_damaged_one_are_refused_by_name() {
        let (city, other) = (city(100), city(101));
        let mut bytes = Simulation::new(Arc::clone(&city)).checkpoint().unwrap();
        let error = Simulation::resume(other, &bytes).unwrap_err();
        assert!(error.to_string().contains(&city.id.to_text()), "{error}");
        for cut in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(Simulation::resume(Arc::clone(&city), &bytes[..cut]).unwrap_err().kind(), ErrorKind::Store);
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        assert_eq!(Simulation::resume(city, &bytes).unwrap_err().kind(), ErrorKind::Store);
    }
}

//! Where a vehicle is: taken while its road is at hand, since events are built in the order in which they are sent, all over
//! the city.

use super::device::HEADING_FROM_KMH;
use crate::city::City;
use crate::city::network::Place;
use crate::city::round::nearest;

/// A place on a road, to a centimetre.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    x: f32,
    y: f32,
    /// The road's, in tenths of a degree.
    heading: u16,
}

impl Spot {
    /// The place `offset` metres along a road.
    pub fn on(city: &City, road: u32, offset: f64) -> Self {
        let Place { x, y } = city.network.place_on(road, offset);
        let heading = nearest(city.network.roads[road as usize].heading * 10.0) as u16;
        Self { x: x as f32, y: y as f32, heading }
    }

    /// Where it is.
    pub fn place(self) -> Place {
        Place { x: f64::from(self.x), y: f64::from(self.y) }
    }

    /// The road's direction of travel, degrees from north.
    pub fn heading(self) -> f64 {
        f64::from(self.heading) / 10.0
    }

    /// The heading of a vehicle that drives at `speed` km/h; none when it hardly moves.
    pub fn heading_at(self, speed: f64) -> Option<f64> {
        (speed >= HEADING_FROM_KMH).then(|| self.heading())
    }
}

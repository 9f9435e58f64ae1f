//! Where people live and where they work: work stands close in the centre and in a few business parks.

use super::network::Place;
use super::rng::{Purpose, Rng};

/// One business park for so many square kilometres `[assumed]`, but so many at least.
const PARK_AREA: f64 = 128.0;
const FEWEST_PARKS: u64 = 4;
/// They stand in the ring that has these shares of the city's area within it `[assumed]`.
const PARK_RING: (f64, f64) = (0.15, 0.65);
/// Work in the middle of a park, over that in the centre; and anywhere else `[assumed]`.
const PARK_WORK: f64 = 0.5;
const ANYWHERE: f64 = 0.08;
/// Work falls off over these distances in metres `[assumed]`: in the centre that of a city of this half width, which grows
/// as the root of the width, and in a park.
const CENTRE_SIZE: f64 = 3_200.0;
const CENTRE_HALF: f64 = 12_750.0;
const PARK_SIZE: f64 = 1_300.0;
/// In the middle of the centre there are so many fewer homes than elsewhere `[assumed]`.
const FEWER_HOMES: f64 = 0.7;

/// The golden angle as a share of a turn: places at its multiples never come close to each other.
pub const GOLDEN: f64 = 0.381_966_011_250_105;

/// The use of a city's land.
#[derive(Debug, Clone)]
pub struct LandUse {
    half: f64,
    parks: Vec<Place>,
}

impl LandUse {
    /// Of a city of half this width in metres.
    pub fn new(rng: Rng, half: f64) -> Self {
        let area = std::f64::consts::PI * half * half / 1e6;
        let parks = ((area / PARK_AREA).round() as u64).max(FEWEST_PARKS);
        let park = |k: u64| {
            let unit = |counter| rng.unit(Purpose::Network, k, counter);
            // Around the centre by golden angles: apart from each other, however many there are.
            let angle = (k as f64 * GOLDEN + 0.1 * unit(7)) * std::f64::consts::TAU;
            let within = PARK_RING.0 + (PARK_RING.1 - PARK_RING.0) * (k as f64 + unit(8)) / parks as f64;
            Place { x: within.sqrt() * half * libm::sin(angle), y: within.sqrt() * half * libm::cos(angle) }
        };
        Self { half, parks: (0..parks).map(park).collect() }
    }

    /// Work places at a place, relative to the middle of the centre.
    pub fn work(&self, place: Place) -> f64 {
        let around = |p: Place, size: f64| {
            let (x, y) = ((place.x - p.x) / size, (place.y - p.y) / size);
            libm::exp(-(x * x + y * y))
        };
        let centre = around(Place { x: 0.0, y: 0.0 }, CENTRE_SIZE * (self.half / CENTRE_HALF).sqrt());
        let parks: f64 = self.parks.iter().map(|p| around(*p, PARK_SIZE)).sum();
        (centre + PARK_WORK * parks).clamp(ANYWHERE, 1.0)
    }

    /// Homes at a place, relative to where nobody works.
    pub fn homes(&self, place: Place) -> f64 {
        1.0 - FEWER_HOMES * self.work(place)
    }
}

/// Places that are picked by weight.
#[derive(Debug)]
pub struct Weighted {
    /// Sums of the weights up to each place, itself included.
    sums: Vec<f64>,
}

impl Weighted {
    /// The places with these weights, of which one at least is not 0.
    pub fn new(weights: impl Iterator<Item = f64>) -> Self {
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect() }
    }

    /// The place that belongs to a number in [0, 1).
    pub fn pick(&self, unit: f64) -> u32 {
        let wanted = unit * self.sums.last().copied().unwrap_or(0.0);
        let found = self.sums.partition_point(|sum| *sum <= wanted);
        found.min(self.sums.len().saturating_sub(1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_stands_close_and_homes_do_not() {
        let land = LandUse::new(Rng::new(7), 10_000.0);
        let centre = Place { x: 0.0, y: 0.0 };
        let edge = Place { x: 9_900.0, y: 0.0 };
        assert_eq!(land.parks.len(), 4);
        assert!(LandUse::new(Rng::new(7), 30_000.0).parks.len() > 15);
        assert!(land.work(centre) > 0.9 && land.work(edge) < 0.2);
        assert!(land.homes(centre) < 0.4 && land.homes(edge) > 0.8);
        for park in &land.parks {
            assert!(land.work(*park) >= 0.5 && (park.x * park.x + park.y * park.y).sqrt() < 8_100.0);
        }
    }

    #[test]
    fn places_are_picked_by_weight() {
        let weighted = Weighted::new([1.0, 0.0, 3.0].into_iter());
        let picked: Vec<u32> = (0..8).map(|n| weighted.pick(f64::from(n) / 8.0)).collect();
        assert_eq!(picked, [0, 0, 2, 2, 2, 2, 2, 2]);
    }
}

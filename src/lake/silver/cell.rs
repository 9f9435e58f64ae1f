//! The H3 cell of a place.
//!
//! H3's own computation costs more than everything else that makes a silver row. Most places lie well inside a cell that
//! was met before: nearer to its centre than its nearest edge, with a margin. Those need only a distance.

use std::collections::HashMap;

use h3o::{CellIndex, LatLng, Resolution};

use super::hash::Seed;

/// Squares of the grid in which cells are looked up, in degrees: about 50 m, so that one rarely spans three cells.
const LAT_SQUARE: f64 = 1.0 / 2000.0;
const LON_SQUARE: f64 = 1.0 / 1200.0;

/// Squares remembered at most: about 10 MB. Past it, all are forgotten.
const SQUARES: usize = 1 << 18;

/// How much of the distance to the nearest edge counts as inside. Within a cell, a plane errs by less than 0.1 %.
const MARGIN: f64 = 0.97;

/// Beyond this latitude the plane is not good enough.
const POLAR: f64 = 80.0;

/// Finds cells of resolution 9; remembers those it has met.
#[derive(Default)]
pub struct CellFinder {
    squares: HashMap<u64, u32, Seed>,
    numbers: HashMap<u64, u32, Seed>,
    cells: Vec<Met>,
}

/// A cell that was met, and the circle around its centre that certainly lies inside.
struct Met {
    lat: f64,
    lon: f64,
    /// Length of a degree of longitude there, in degrees of latitude.
    shrink: f64,
    /// The circle's radius in degrees of latitude, squared; 0 where there is none.
    inside: f64,
    text: [u8; 15],
}

impl CellFinder {
    /// The cell's index as 15 hexadecimal digits; `None` where the numbers are no place. Degrees.
    pub fn find(&mut self, lat: f64, lon: f64) -> Option<&str> {
        let square = (lat / LAT_SQUARE).floor() as i32 as u32;
        let square = u64::from(square) << 32 | u64::from((lon / LON_SQUARE).floor() as i32 as u32);
        let met = self.squares.get(&square).copied().filter(|&n| self.cells[n as usize].holds(lat, lon));
        let number = match met {
            Some(number) => number,
            None => self.compute(square, lat, lon)?,
        };
        std::str::from_utf8(&self.cells[number as usize].text).ok()
    }

    fn compute(&mut self, square: u64, lat: f64, lon: f64) -> Option<u32> {
        let cell = LatLng::new(lat, lon).ok()?.to_cell(Resolution::Nine);
        if self.squares.len() >= SQUARES {
            self.squares.clear();
            self.numbers.clear();
            self.cells.clear();
        }
        let next = self.cells.len() as u32;
        let number = *self.numbers.entry(cell.into()).or_insert(next);
        if number == next {
            self.cells.push(Met::new(cell));
        }
        self.squares.insert(square, number);
        Some(number)
    }
}

impl Met {
    fn new(cell: CellIndex) -> Self {
        let centre = LatLng::from(cell);
        let (lat, lon) = (centre.lat(), centre.lng());
        let shrink = lat.to_radians().cos();
        let corners: Vec<_> = cell.boundary().iter().map(|p| ((p.lng() - lon) * shrink, p.lat() - lat)).collect();
        let edges = corners.iter().zip(corners.iter().cycle().skip(1));
        let nearest = edges.map(|(&a, &b)| to_segment(a, b)).fold(f64::INFINITY, f64::min);
        let plane = lat.abs() < POLAR && nearest < 1.0;
        Self { lat, lon, shrink, inside: if plane { (nearest * MARGIN).powi(2) } else { 0.0 }, text: text(cell.into()) }
    }

    fn holds(&self, lat: f64, lon: f64) -> bool {
        let (x, y) = ((lon - self.lon) * self.shrink, lat - self.lat);
        x * x + y * y < self.inside
    }
}

/// The distance from the origin to the segment from `a` to `b`.
fn to_segment(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { (-(a.0 * dx + a.1 * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (a.0 + along * dx).hypot(a.1 + along * dy)
}

fn text(cell: u64) -> [u8; 15] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| HEX[(cell >> (4 * (14 - i))) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_cell_of_h3s_documentation() {
        let mut finder = CellFinder::default();
        assert_eq!(finder.find(37.769_377, -122.388_903), Some("89283082e73ffff"));
        assert_eq!(finder.find(f64::INFINITY, 0.0), None);
        assert_eq!(finder.find(f64::NAN, 0.0), None);
    }

    #[test]
    fn the_short_way_gives_what_h3_computes() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        // Towns everywhere: at the poles, the date line, a pentagon and the edges between H3's faces among them.
        let mut towns =
            vec![(89.99, 10.0), (-79.99, 0.0), (0.0, 179.999), (10.0, -179.999), (64.7, 10.536), (51.5, -0.12)];
        towns.extend((0..200).map(|_| (random() * 180.0 - 90.0, random() * 360.0 - 180.0)));
        let mut finder = CellFinder::default();
        for (lat, lon) in towns {
            for _ in 0..500 {
                let place = ((lat + (random() - 0.5) / 50.0).clamp(-90.0, 90.0), lon + (random() - 0.5) / 50.0);
                let expected = LatLng::new(place.0, place.1).unwrap().to_cell(Resolution::Nine).to_string();
                assert_eq!(finder.find(place.0, place.1), Some(expected.as_str()), "{place:?}");
            }
        }
        let computed = finder.cells.len();
        assert!(computed > 1000);
        // And it is short: a second pass over one cell's middle meets nothing new.
        let before = finder.squares.len();
        finder.find(51.5, -0.12).unwrap();
        assert!(finder.squares.len() <= before + 1);
    }
}

//! Where junctions and roads are meant to be: a square grid whose square rings are drawn as circles.
//!
//! So a line of the grid is part of a ring road between the diagonals and a radial road beyond them, and the lines at the
//! same distance from the edge close to one ring. The inverse is as simple, which finds the junction near a place.

use std::f64::consts::FRAC_PI_4;

use super::network::{Place, RoadClass};

/// Radii are so much longer than the grid's, so that roads are as long as its lines are apart, on average.
const STRETCH: f64 = 1.065;
/// Every so many-th ring, counted from the motorway, and the radial roads that its lines become, are arterials.
const ARTERIAL: usize = 3;

/// A grid of lines and the rings that they are drawn as.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Lines each way.
    pub side: usize,
    /// Metres between two lines.
    spacing: f64,
}

/// What part a stretch of a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Radial, west or south of the ring part.
    Before,
    /// Ring.
    Ring,
    /// Radial, east or north of the ring part.
    After,
}

impl Layout {
    /// `side` lines each way, `spacing` metres apart.
    pub fn new(side: usize, spacing: f64) -> Self {
        Self { side, spacing }
    }

    /// Of two opposite lines, the one in the middle is at 0.
    fn offset(self, line: usize) -> f64 {
        line as f64 - (self.side - 1) as f64 / 2.0
    }

    /// Half the width of the city with a margin, in metres.
    pub fn half_width(self) -> f64 {
        (self.side - 1) as f64 / 2.0 * self.spacing * STRETCH + self.spacing / 2.0
    }

    /// Where line `row`, counted from the south, crosses line `column`, counted from the west.
    pub fn place(self, row: usize, column: usize) -> Place {
        let (x, y) = (self.offset(column), self.offset(row));
        let scale = self.spacing * STRETCH;
        // The ring's radius, and how far along its quarter.
        let wide = x.abs() >= y.abs();
        let (radius, other) = if wide { (x, y) } else { (y, x) };
        if radius == 0.0 {
            return Place { x: 0.0, y: 0.0 };
        }
        let angle = FRAC_PI_4 * other / radius;
        let (main, side) = (radius * scale * libm::cos(angle), radius * scale * libm::sin(angle));
        if wide { Place { x: main, y: side } } else { Place { x: side, y: main } }
    }

    /// Row and column of the crossing next to a place.
    pub fn nearest(self, place: Place) -> (usize, usize) {
        let radius = (place.x * place.x + place.y * place.y).sqrt() / (self.spacing * STRETCH);
        let wide = place.x.abs() >= place.y.abs();
        let (main, side) = if wide { (place.x, place.y) } else { (place.y, place.x) };
        let (mut ring, mut along) = (0.0, 0.0);
        if main != 0.0 {
            ring = radius.copysign(main);
            along = ring * libm::atan(side / main) / FRAC_PI_4;
        }
        let (x, y) = if wide { (ring, along) } else { (along, ring) };
        let last = (self.side - 1) as f64;
        let line = |v: f64| (v + last / 2.0).round().clamp(0.0, last) as usize;
        (line(y), line(x))
    }

    /// Kind of the roads on a line.
    pub fn class(self, line: usize) -> RoadClass {
        let from_edge = line.min(self.side - 1 - line);
        if from_edge == 0 {
            RoadClass::Motorway
        } else if from_edge.is_multiple_of(ARTERIAL) || line == self.main_line() {
            RoadClass::Arterial
        } else {
            RoadClass::Street
        }
    }

    /// The line of the main roads through the centre, one each way.
    pub fn main_line(self) -> usize {
        self.side / 2
    }

    /// What part the road of `line` from its crossing with `at` to the next is.
    pub fn part(self, line: usize, at: usize) -> Part {
        let (ring, along) = (self.offset(line).abs(), self.offset(at) + 0.5);
        if along <= -ring {
            Part::Before
        } else if along < ring {
            Part::Ring
        } else {
            Part::After
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_circles_and_places_lead_back_to_their_crossing() {
        for side in [4, 24, 25] {
            let layout = Layout::new(side, 1_000.0);
            for row in 0..side {
                for column in 0..side {
                    let p = layout.place(row, column);
                    assert_eq!(layout.nearest(p), (row, column));
                    let ring = layout.offset(row).abs().max(layout.offset(column).abs());
                    let radius = (p.x * p.x + p.y * p.y).sqrt();
                    assert!((radius - ring * 1_000.0 * STRETCH).abs() < 1e-6 && radius < layout.half_width());
                }
            }
        }
    }

    #[test]
    fn a_ring_road_closes_and_radials_lead_to_the_centre() {
        let layout = Layout::new(24, 1_000.0);
        for ring in [0, 3, 6, 9] {
            assert_eq!(layout.class(ring), layout.class(23 - ring));
            assert_ne!(layout.class(ring), RoadClass::Street);
            // From corner to corner of its square.
            let parts = |from: usize, to: usize| (from..to).map(|at| layout.part(ring, at)).collect::<Vec<_>>();
            assert!(parts(ring, 23 - ring).iter().all(|p| *p == Part::Ring));
            assert!(parts(0, ring).iter().all(|p| *p == Part::Before));
            assert!(parts(23 - ring, 23).iter().all(|p| *p == Part::After));
        }
        let main = layout.main_line();
        let radial = (0..23).filter(|at| layout.part(main, *at) != Part::Ring).count();
        assert!(radial >= 22 && layout.class(main) == RoadClass::Arterial);
    }
}

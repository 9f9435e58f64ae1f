//! Noise over the city and time: what is near agrees.

use serde::{Deserialize, Serialize};

use super::network::Place;

/// Over this distance in metres the weather's agreement falls to 1/e: covariance exp(−d/20 km) (city.md).
const REACH: f64 = 20_000.0;

/// Turns independent draws into values over places that agree by exp(−d/20 km): the Cholesky factor of that covariance.
#[derive(Debug, Clone)]
pub struct Spread {
    places: usize,
    /// Rows of the lower triangle, one after the other.
    factor: Vec<f64>,
}

impl Spread {
    /// For these places, no two of which are the same.
    pub fn new(places: &[Place]) -> Self {
        let row = |i: usize| i * (i + 1) / 2;
        let mut factor: Vec<f64> = Vec::with_capacity(row(places.len()));
        for (i, p) in places.iter().enumerate() {
            for (j, q) in places[..=i].iter().enumerate() {
                let distance = ((p.x - q.x).powi(2) + (p.y - q.y).powi(2)).sqrt();
                let done: f64 = (0..j).map(|k| factor[row(i) + k] * factor[row(j) + k]).sum();
                let rest = libm::exp(-distance / REACH) - done;
                factor.push(if i == j { rest.max(0.0).sqrt() } else { rest / factor[row(j) + j] });
            }
        }
        Self { places: places.len(), factor }
    }

    /// A value for each place: mean 0, sd 1. `normal` gives the n-th independent draw.
    pub fn draw(&self, normal: impl Fn(usize) -> f64) -> Vec<f64> {
        let draws: Vec<f64> = (0..self.places).map(normal).collect();
        let mut rest = self.factor.as_slice();
        (1..=self.places)
            .map(|n| {
                let (row, below) = rest.split_at(n);
                rest = below;
                row.iter().zip(&draws).map(|(f, d)| f * d).sum()
            })
            .collect()
    }
}

/// Ornstein–Uhlenbeck noise at each place, hour by hour: at the beginning and at the end of the present hour, in
/// millionths of its sd. Whole numbers, so that it can be saved in any format without loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wander {
    begin: Vec<i32>,
    end: Vec<i32>,
}

const MILLION: f64 = 1e6;

fn whole(values: Vec<f64>) -> Vec<i32> {
    values.into_iter().map(|v| (v * MILLION).round() as i32).collect()
}

impl Wander {
    /// Begins anywhere: `begin` and `next` are two independent draws of a [`Spread`], `tau` is the time in hours over which
    /// it forgets.
    pub fn new(begin: Vec<f64>, next: &[f64], tau: f64) -> Self {
        let mut wander = Self { begin: Vec::new(), end: whole(begin) };
        wander.advance(next, tau);
        wander
    }

    /// Goes on by an hour; `draw` is a draw of a [`Spread`].
    pub fn advance(&mut self, draw: &[f64], tau: f64) {
        let keeps = libm::exp(-1.0 / tau);
        let gains = (1.0 - keeps * keeps).sqrt();
        let next = self.end.iter().zip(draw).map(|(v, d)| keeps * f64::from(*v) / MILLION + gains * d).collect();
        self.begin = std::mem::replace(&mut self.end, whole(next));
    }

    /// Whether it has values for so many places.
    pub fn covers(&self, places: usize) -> bool {
        self.begin.len() == places && self.end.len() == places
    }

    /// The value at a place when `share` of the hour has passed.
    pub fn at(&self, place: usize, share: f64) -> f64 {
        let (begin, end) = (f64::from(self.begin[place]), f64::from(self.end[place]));
        (begin + (end - begin) * share) / MILLION
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::{Purpose, Rng};
    use super::*;

    #[test]
    fn two_places_agree_by_their_distance() {
        let at = |x: f64| Place { x, y: 0.0 };
        let places = [at(0.0), at(2_000.0), at(20_000.0)];
        let (spread, rng) = (Spread::new(&places), Rng::new(7));
        let n = 100_000;
        let mut sums = [0.0; 5];
        for h in 0..n {
            let v = spread.draw(|k| rng.normal(Purpose::WeatherCell, k as u64, h));
            for (sum, product) in sums.iter_mut().zip([v[0] * v[0], v[2] * v[2], v[0] * v[1], v[0] * v[2], v[0]]) {
                *sum += product / n as f64;
            }
        }
        let expected = [1.0, 1.0, libm::exp(-0.1), libm::exp(-1.0), 0.0];
        for (sum, expected) in sums.iter().zip(expected) {
            assert!((sum - expected).abs() < 0.015, "{sums:?}");
        }
    }

    #[test]
    fn noise_keeps_its_spread_and_forgets_in_its_time() {
        let rng = Rng::new(7);
        let draw = |h: u64| vec![rng.normal(Purpose::WeatherCell, 0, h)];
        let mut wander = Wander::new(draw(0), &draw(1), 36.0);
        let n = 200_000;
        let (mut square, mut next) = (0.0, 0.0);
        for h in 2..n {
            wander.advance(&draw(h), 36.0);
            square += wander.at(0, 0.0).powi(2) / n as f64;
            next += wander.at(0, 0.0) * wander.at(0, 1.0) / n as f64;
        }
        assert!((square - 1.0).abs() < 0.05, "variance {square}");
        assert!((next / square - libm::exp(-1.0 / 36.0)).abs() < 0.002, "lag-1 {}", next / square);
    }
}

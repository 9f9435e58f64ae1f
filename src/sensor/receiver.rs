//! A satellite receiver: how wrong it is, and when it has no fix.
//!
//! Its error per axis lasts for about a minute (city.md: autocorrelation exp(−lag/60 s)) but for a part that doesn't. Between
//! high buildings it is several times greater, with a heavy tail, and now and then the fix is lost; in a tunnel there is
//! none. A fix that has come back is worse at first. All of it is a pure function of (seed, device, time).

use crate::city::clock::SECOND;
use crate::city::rng::{Purpose, Rng, to_normals, to_unit};
use crate::city::trace::EMERGED;

/// Standard deviation of the lasting error per axis, in metres (city.md: 3 to 4 m).
const BIAS_SD: f64 = 3.4;
/// Standard deviation of the rest per axis, in metres (city.md: 0.5 to 1 m).
const NOISE_SD: f64 = 0.7;
/// Standard deviation of the Doppler speed, in km/h (city.md: 0.1 to 0.2 m/s).
const SPEED_SD: f64 = 0.15 * 3.6;

/// The lasting error is a sum of lattice noises, each joined by lines: period in milliseconds and amplitude. The squares of
/// the amplitudes add up to 1; by least squares the autocorrelation is within 0.053 of exp(−lag/60 s).
const OCTAVES: [(i64, f64); 2] = [(20 * SECOND, 0.638), (110 * SECOND, 0.77)];

/// Least and greatest factor of the error between high buildings (city.md: 3 to 5), one for each road.
const CANYON: (f64, f64) = (3.0, 5.0);
/// The heavy tail between them: Student's t with 4 degrees of freedom (realism.md 3.1), whose variance is 2; its scale
/// changes in so many milliseconds `[assumed]` and is at most so many times its root mean square `[assumed]`.
const TAIL_PERIOD: i64 = 30 * SECOND;
const TAIL_MOST: f64 = 4.0;
/// Between high buildings a fix is lost so often: 0.1 % a second (city.md), drawn for ten seconds at a time.
const LOSS: f64 = 0.001 * (LOSS_DRAWN / SECOND) as f64;
const LOSS_DRAWN: i64 = 10 * SECOND;
/// It takes from 1 to 10 s until it is there again (city.md).
const REACQUIRED: (i64, i64) = (SECOND, 10 * SECOND);
/// The error is doubled then (city.md) and as usual after so many milliseconds `[assumed]`.
const SETTLES: i64 = 10 * SECOND;
const _: () = assert!(REACQUIRED.1 + SETTLES <= EMERGED, "a window remembers who came out of a tunnel");

/// The receiver's own estimate of its error under an open sky: at least so many metres and so many more times the absolute
/// value of a standard normal number `[assumed]`; 4.9 m is usual for phones (realism.md 3.1).
const ACCURACY: (f64, f64) = (4.5, 1.5);
/// Where the error is so many times that under an open sky, too few satellites are seen for the height `[assumed]`.
const FLAT_FROM: f64 = 5.0;

/// What is around a receiver.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings {
    /// The road, where it is one between high buildings.
    pub canyon: Option<u32>,
    /// When it came out of a tunnel, where that is not long ago.
    pub emerged: Option<i64>,
}

/// A fix.
#[derive(Debug, Clone, Copy)]
pub struct Fix {
    /// Error east and north, in metres.
    pub error: (f64, f64),
    /// Error of the speed, in km/h.
    pub speed_error: f64,
    /// The receiver's own estimate of its error, in metres.
    pub accuracy: f64,
    /// Whether it says nothing of the height.
    pub flat: bool,
}

/// A vehicle's receiver.
#[derive(Debug, Clone, Copy)]
pub struct Receiver {
    rng: Rng,
    vehicle: u64,
}

impl Receiver {
    /// The receiver of a vehicle.
    pub fn new(rng: Rng, vehicle: u32) -> Self {
        Self { rng, vehicle: u64::from(vehicle) }
    }

    /// The fix with this number, at `time`, outside a tunnel; none while it has none.
    pub fn fix(&self, number: u64, time: i64, around: Surroundings) -> Option<Fix> {
        let mut known = 1.0;
        if let Some(emerged) = around.emerged {
            known *= self.after_loss(emerged, time)?;
        }
        let mut tail = 1.0;
        if let Some(road) = around.canyon {
            if let Some(lost) = self.lost(time) {
                known *= self.after_loss(lost, time)?;
            }
            let share = self.rng.unit(Purpose::GpsCanyon, 1 << 40 | u64::from(road), 0);
            known *= CANYON.0 + (CANYON.1 - CANYON.0) * share;
            tail = self.tail(time);
        }
        let scale = known * tail;
        let bias = self.bias(time);
        let noise = to_normals(self.rng.bits(Purpose::GpsNoise, self.vehicle << 1, number));
        let of_rest = to_normals(self.rng.bits(Purpose::GpsNoise, self.vehicle << 1 | 1, number));
        let axis = |bias, noise| scale * (BIAS_SD * bias + NOISE_SD * noise);
        Some(Fix {
            error: (axis(bias.0, noise.0), axis(bias.1, noise.1)),
            speed_error: SPEED_SD * of_rest.0,
            accuracy: known * (ACCURACY.0 + ACCURACY.1 * of_rest.1.abs()),
            flat: scale > FLAT_FROM,
        })
    }

    /// Two independent noises of standard deviation 1 that last for about `period`.
    fn lattice(&self, purpose: Purpose, entity: u64, time: i64, period: i64) -> (f64, f64) {
        let slot = time.div_euclid(period);
        let share = time.rem_euclid(period) as f64 / period as f64;
        let a = to_normals(self.rng.bits(purpose, entity, slot as u64));
        let b = to_normals(self.rng.bits(purpose, entity, (slot + 1) as u64));
        // A mean of two varies less than either.
        let scale = 1.0 / ((1.0 - share) * (1.0 - share) + share * share).sqrt();
        let (first, second) = (scale * (1.0 - share), scale * share);
        (a.0 * first + b.0 * second, a.1 * first + b.1 * second)
    }

    /// The lasting error on both axes, of standard deviation 1.
    fn bias(&self, time: i64) -> (f64, f64) {
        let mut sum = (0.0, 0.0);
        for (octave, (period, amplitude)) in OCTAVES.into_iter().enumerate() {
            let noise = self.lattice(Purpose::GpsBias, self.vehicle << 1 | octave as u64, time, period);
            sum = (sum.0 + amplitude * noise.0, sum.1 + amplitude * noise.1);
        }
        sum
    }

    /// What makes a normal number one of Student's t with 4 degrees of freedom, scaled to its standard deviation.
    fn tail(&self, time: i64) -> f64 {
        let square = |part| {
            let noise = self.lattice(Purpose::GpsCanyon, self.vehicle << 1 | part, time, TAIL_PERIOD);
            noise.0 * noise.0 + noise.1 * noise.1
        };
        let mean = (square(0) + square(1)) / 4.0;
        // The standard deviation of that t is √2.
        (1.0 / (2.0 * mean).sqrt()).min(TAIL_MOST)
    }

    /// When it last lost its fix between high buildings, where that may still matter at `time`.
    fn lost(&self, time: i64) -> Option<i64> {
        let drawn = time.div_euclid(LOSS_DRAWN);
        (0..=(REACQUIRED.1 + SETTLES) / LOSS_DRAWN).find_map(|back| {
            let slot = drawn - back;
            let bits = self.rng.bits(Purpose::GpsLoss, self.vehicle << 1, slot as u64);
            let begin = slot * LOSS_DRAWN + (bits & 0xffff) as i64 * LOSS_DRAWN / 0x1_0000;
            (to_unit(bits) < LOSS && begin <= time).then_some(begin)
        })
    }

    /// The factor of the error at `time` after the fix was lost, or could have been there again, at `since`; none while it
    /// has none.
    fn after_loss(&self, since: i64, time: i64) -> Option<f64> {
        let range = (REACQUIRED.1 - REACQUIRED.0) as u64;
        let takes = REACQUIRED.0 + self.rng.below(Purpose::GpsLoss, self.vehicle << 1 | 1, since as u64, range) as i64;
        let there = time - since - takes;
        (there >= 0).then(|| 1.0 + (1.0 - there as f64 / SETTLES as f64).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    const OPEN: Surroundings = Surroundings { canyon: None, emerged: None };
    const START: i64 = 1_780_272_000_000;

    /// East errors of receivers each second for `seconds`, by device, where there is a fix.
    fn errors(devices: Range<u32>, seconds: i64, around: Surroundings) -> Vec<Vec<Option<f64>>> {
        let of = |vehicle| {
            let receiver = Receiver::new(Rng::new(4), vehicle);
            let fix = |s: i64| receiver.fix(s as u64, START + s * SECOND, around).map(|f| f.error.0);
            (0..seconds).map(fix).collect()
        };
        devices.map(of).collect()
    }

    fn autocorrelation(errors: &[Vec<Option<f64>>], lag: usize) -> f64 {
        let (mut product, mut square, mut n) = (0.0, 0.0, 0.0);
        for device in errors {
            for (a, b) in device.iter().zip(&device[lag..]) {
                if let (Some(a), Some(b)) = (a, b) {
                    product += a * b;
                    square += f64::midpoint(a * a, b * b);
                    n += 1.0;
                }
            }
        }
        assert!(n > 10_000.0);
        product / square
    }

    fn moments(errors: &[Vec<Option<f64>>]) -> (f64, f64) {
        let all: Vec<f64> = errors.iter().flatten().flatten().copied().collect();
        let n = all.len() as f64;
        let square = all.iter().map(|e| e * e).sum::<f64>() / n;
        (square.sqrt(), all.iter().map(|e| e.powi(4)).sum::<f64>() / n / (square * square))
    }

    #[test]
    fn the_error_lasts_for_a_minute_and_has_its_size() {
        let errors = errors(0..400, 1_800, OPEN);
        assert!(errors.iter().flatten().all(Option::is_some), "an open sky always gives a fix");
        let at = |lag| autocorrelation(&errors, lag);
        assert!(at(1) > 0.9, "{}", at(1));
        for (lag, near) in [(30, 0.607), (60, 0.368), (120, 0.135)] {
            assert!((at(lag) - near).abs() < 0.1, "lag {lag} s: {}", at(lag));
        }
        assert!(at(180) < 0.15, "{}", at(180));
        let (sd, kurtosis) = moments(&errors);
        assert!((3.3..3.65).contains(&sd), "{sd} m");
        assert!((2.6..3.3).contains(&kurtosis), "kurtosis {kurtosis}");
    }

    #[test]
    fn between_high_buildings_errors_are_greater_and_some_much_greater() {
        let on = |road| errors(road * 20..(road + 1) * 20, 1_800, Surroundings { canyon: Some(road), emerged: None });
        let canyons: Vec<_> = (0..20).flat_map(on).collect();
        let (sd, kurtosis) = moments(&canyons);
        let open = moments(&errors(0..100, 1_800, OPEN)).0;
        assert!((3.0..5.0).contains(&(sd / open)), "{sd} m, {open} m under an open sky");
        assert!(kurtosis > 4.0, "kurtosis {kurtosis}");
        assert!(autocorrelation(&canyons, 1) > 0.9, "the tail lasts too");
        let (fixes, all) = (canyons.iter().flatten().flatten().count(), canyons.len() * 1_800);
        // 0.1 % a second for 5.5 s on average.
        let missing = 1.0 - fixes as f64 / all as f64;
        assert!((0.004..0.007).contains(&missing), "{missing} of the fixes are missing");
    }

    #[test]
    fn a_fix_comes_back_in_1_to_10_s_and_is_worse_at_first() {
        let mut waits = Vec::new();
        let (mut early, mut late) = (0.0f64, 0.0f64);
        for vehicle in 0..2_000 {
            let receiver = Receiver::new(Rng::new(4), vehicle);
            let fix =
                |after: i64| receiver.fix(after as u64, START + after, Surroundings { emerged: Some(START), ..OPEN });
            let back = (0..60_000).find(|&after| fix(after).is_some()).expect("it comes back");
            waits.push(back);
            let error = |after| fix(after).map_or(f64::NAN, |f| f.error.0.powi(2));
            early += error(back);
            late += error(back + SETTLES);
        }
        assert!(waits.iter().all(|w| (1_000..10_000).contains(w)));
        assert!(waits.iter().any(|w| *w < 2_000) && waits.iter().any(|w| *w > 9_000));
        let ratio = (early / late).sqrt();
        assert!((1.85..2.15).contains(&ratio), "{ratio}");
    }
}

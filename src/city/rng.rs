//! Randomness as a pure function of (seed, stream, entity, counter): no state, so any thread, part or resumed run draws
//! the same numbers.

use std::sync::OnceLock;

/// What a draw is for. Two purposes never share numbers, so that one model's change leaves the others' draws alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The road network.
    Network = 1,
    /// A vehicle's fixed attributes.
    Fleet,
    /// Trips.
    Demand,
    /// Weather of the whole city.
    Weather,
    /// Weather's variation over the city.
    WeatherCell,
    /// Background air.
    Air,
    /// Crashes and breakdowns.
    Crash,
    /// Fires, medical and police calls.
    Call,
    /// An incident's course.
    Incident,
    /// GPS errors that last.
    GpsBias,
    /// GPS errors that don't.
    GpsNoise,
    /// A device's clock and rhythm.
    Device,
    /// The time between measuring and sending.
    Delay,
    /// Which events are late, and by how much. Faults have purposes of their own: turning one on changes no other draw.
    FaultLate,
    /// Which events are sent twice, and when.
    FaultDuplicate,
    /// Which events are never sent.
    FaultDrop,
    /// Which events are harmed, and how.
    FaultCorrupt,
    /// GPS errors between high buildings.
    GpsCanyon,
    /// When a GPS fix is lost, and for how long.
    GpsLoss,
}

/// Multiplies two 64-bit numbers and folds the 128-bit product; both halves depend on all bits of both factors.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Randomness of one city.
#[derive(Debug, Clone, Copy)]
pub struct Rng {
    seed: u64,
}

impl Rng {
    /// The city's randomness.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring numbers.
        Self { seed: fold(seed ^ 0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93) }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(self, purpose: Purpose, entity: u64, counter: u64) -> u64 {
        let a = fold(self.seed ^ (purpose as u64).wrapping_mul(0xa076_1d64_78bd_642f), entity ^ 0xe703_7ed1_a0b4_28db);
        let b = fold(a ^ 0x8ebc_6af0_9c88_c6e3, counter ^ 0x5896_5cc7_5374_cc8f);
        fold(b ^ a, 0x1d8e_4e27_c47d_124f)
    }

    /// Uniform in [0, 1).
    #[inline]
    pub fn unit(self, purpose: Purpose, entity: u64, counter: u64) -> f64 {
        to_unit(self.bits(purpose, entity, counter))
    }

    /// Uniform in 0..n; the bias is below n/2⁶⁴.
    #[inline]
    pub fn below(self, purpose: Purpose, entity: u64, counter: u64, n: u64) -> u64 {
        ((u128::from(self.bits(purpose, entity, counter)) * u128::from(n)) >> 64) as u64
    }

    /// Nearly normal, mean 0, sd 1.
    #[inline]
    pub fn normal(self, purpose: Purpose, entity: u64, counter: u64) -> f64 {
        to_normal(self.bits(purpose, entity, counter))
    }

    /// Smooth noise over time: normal values on a lattice of `period`, joined by a curve; mean 0, sd 1 at the lattice.
    pub fn smooth(self, purpose: Purpose, entity: u64, time: i64, period: i64) -> f64 {
        let slot = time.div_euclid(period);
        let share = time.rem_euclid(period) as f64 / period as f64;
        let a = self.normal(purpose, entity, slot as u64);
        let b = self.normal(purpose, entity, (slot + 1) as u64);
        let w = share * share * (3.0 - 2.0 * share);
        a + (b - a) * w
    }
}

/// Bits to a number in [0, 1).
#[inline]
pub fn to_unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Bits to a nearly normal number: the sum of four uniform 16-bit numbers, scaled; it ends at ±3.46 and needs neither a
/// logarithm nor a second draw.
#[inline]
pub fn to_normal(bits: u64) -> f64 {
    let sum = (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
    // Mean 4·65535/2; variance 4·(65536² − 1)/12.
    (sum as f64 - 131_070.0) * (1.0 / 37_837.227_443_463)
}

/// Bits to two independent numbers, less nearly normal: each the sum of two uniform 16-bit numbers; they end at ±2.45.
#[inline]
pub fn to_normals(bits: u64) -> (f64, f64) {
    let sum = |bits: u64| ((bits & 0xffff) + ((bits >> 16) & 0xffff)) as f64;
    // Mean 2·65535/2; variance 2·(65536² − 1)/12.
    let scaled = |sum: f64| (sum - 65_535.0) * (1.0 / 26_754.959_960_725);
    (scaled(sum(bits)), scaled(sum(bits >> 32)))
}

/// A uniform number to an exponential one with mean 1.
pub fn to_exponential(unit: f64) -> f64 {
    -libm::log(1.0 - unit)
}

/// The same by a table of 1,024 stretches and lines between, within 0.05 % of the mean; the last stretch has no end, so there
/// it is exact.
#[inline]
pub fn to_exponential_fast(unit: f64) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| (0..1_024).map(|k| to_exponential(f64::from(k) / 1_024.0)).collect());
    let place = unit * 1_024.0;
    let below = place as usize;
    match table.get(below..below + 2) {
        Some(ends) => ends[0] + (ends[1] - ends[0]) * (place - below as f64),
        None => to_exponential(unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_pure_and_differ_by_every_argument() {
        let rng = Rng::new(7);
        let base = rng.bits(Purpose::Fleet, 1, 2);
        assert_eq!(base, Rng::new(7).bits(Purpose::Fleet, 1, 2));
        for other in [
            Rng::new(8).bits(Purpose::Fleet, 1, 2),
            rng.bits(Purpose::Demand, 1, 2),
            rng.bits(Purpose::Fleet, 2, 2),
            rng.bits(Purpose::Fleet, 1, 3),
        ] {
            assert!((base ^ other).count_ones() > 10);
        }
    }

    #[test]
    fn the_table_is_near_the_logarithm() {
        for k in 0..100_000 {
            let unit = f64::from(k) / 100_000.0;
            assert!(
                (to_exponential_fast(unit) - to_exponential(unit)).abs() < 5e-4 * (1.0 + unit / (1.0 - unit)),
                "{unit}"
            );
        }
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let rng = Rng::new(1);
        let n = 200_000;
        let (mut mean, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for i in 0..n {
            mean += rng.unit(Purpose::GpsNoise, 3, i) / n as f64;
            let z = rng.normal(Purpose::GpsNoise, 4, i);
            sum += z;
            squares += z * z;
        }
        assert!((mean - 0.5).abs() < 0.003, "{mean}");
        assert!((sum / n as f64).abs() < 0.01);
        assert!((squares / n as f64 - 1.0).abs() < 0.01);
        let (mut squares, mut product) = (0.0, 0.0);
        for i in 0..n {
            let (a, b) = to_normals(rng.bits(Purpose::GpsNoise, 5, i));
            squares += a * a + b * b;
            product += a * b;
        }
        assert!((squares / (2 * n) as f64 - 1.0).abs() < 0.01);
        assert!((product / n as f64).abs() < 0.01);
    }
}

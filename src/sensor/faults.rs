//! Faults: which events come late, twice, never, or harmed. Each is a rate with draws of its own, so that turning one on
//! changes nothing else; each is labelled in `truth_fault`.

use crate::city::rng::{Purpose, Rng, to_normal, to_unit};
use crate::error::{Error, Result};
use crate::schema::Harm;

/// Shares of events, 0 to 1; zero by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Sent late: lognormal with a median of one minute, at most `late_bound`.
    pub late: f64,
    /// Greatest lateness in milliseconds.
    pub late_bound: i64,
    /// Sent a second time, with the same id, up to half a minute later.
    pub duplicate: f64,
    /// Measured and never sent.
    pub drop: f64,
    /// Sent with harmed bytes.
    pub corrupt: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { late: 0.0, late_bound: 600_000, duplicate: 0.0, drop: 0.0, corrupt: 0.0 }
    }
}

impl Faults {
    /// # Errors
    /// `Config` where a rate is no share, or the bound is not positive or above a day.
    pub fn check(&self) -> Result<()> {
        for (name, rate) in
            [("late", self.late), ("duplicate", self.duplicate), ("drop", self.drop), ("corrupt", self.corrupt)]
        {
            if !(0.0..=1.0).contains(&rate) {
                return Err(Error::config(format!("fault rate {name} is {rate}")).help("Give a share from 0 to 1"));
            }
        }
        if !(1..=86_400_000).contains(&self.late_bound) {
            return Err(Error::config(format!("late_bound is {} ms", self.late_bound)).help("Give 1 ms to one day"));
        }
        Ok(())
    }

    /// Whether any fault can happen.
    pub fn any(&self) -> bool {
        self.late > 0.0 || self.duplicate > 0.0 || self.drop > 0.0 || self.corrupt > 0.0
    }

    /// What happens to an event.
    pub fn decide(&self, rng: Rng, entity: u64, counter: u64) -> Decision {
        let hit = |purpose, rate| rate > 0.0 && rng.unit(purpose, entity, counter << 2) < rate;
        let more = |purpose| rng.bits(purpose, entity, counter << 2 | 1);
        let late = hit(Purpose::FaultLate, self.late).then(|| {
            let delay = 60_000.0 * libm::exp(to_normal(more(Purpose::FaultLate)));
            (delay as i64).clamp(1.min(self.late_bound), self.late_bound)
        });
        let duplicate = hit(Purpose::FaultDuplicate, self.duplicate)
            .then(|| 1 + (to_unit(more(Purpose::FaultDuplicate)) * 30_000.0) as i64);
        let harm = if hit(Purpose::FaultCorrupt, self.corrupt) {
            match more(Purpose::FaultCorrupt) % 4 {
                0 => Harm::BadJson,
                1 => Harm::WrongType,
                2 => Harm::MissingField,
                _ => Harm::OutOfRange,
            }
        } else {
            Harm::None
        };
        Decision { late, duplicate, drop: hit(Purpose::FaultDrop, self.drop), harm }
    }
}

/// What happens to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Sent this much later, in milliseconds.
    pub late: Option<i64>,
    /// Sent again this much later, in milliseconds.
    pub duplicate: Option<i64>,
    /// Never sent.
    pub drop: bool,
    /// How its bytes are harmed.
    pub harm: Harm,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_hold_and_faults_are_independent() {
        let rng = Rng::new(7);
        let faults = Faults { late: 0.05, duplicate: 0.02, drop: 0.01, corrupt: 0.03, late_bound: 120_000 };
        let only_late = Faults { late: 0.05, late_bound: 120_000, ..Faults::default() };
        let n = 200_000;
        let (mut late, mut twice, mut never, mut harmed) = (0, 0, 0, 0);
        for i in 0..n {
            let d = faults.decide(rng, i % 97, i);
            assert_eq!(d.late, only_late.decide(rng, i % 97, i).late);
            assert!(d.late.is_none_or(|l| (1..=120_000).contains(&l)));
            late += u32::from(d.late.is_some());
            twice += u32::from(d.duplicate.is_some());
            never += u32::from(d.drop);
            harmed += u32::from(d.harm != Harm::None);
        }
        for (count, rate) in [(late, 0.05), (twice, 0.02), (never, 0.01), (harmed, 0.03)] {
            assert!((f64::from(count) / n as f64 / rate - 1.0).abs() < 0.1, "{count} for {rate}");
        }
    }

    #[test]
    fn a_rate_above_one_is_named() {
        let message = Faults { drop: 1.5, ..Faults::default() }.check().map_err(|e| e.to_string());
        assert!(message.is_err_and(|m| m.contains("drop is 1.5")));
    }
}

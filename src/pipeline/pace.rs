//! How fast events leave: as fast as they go, at a multiple of simulated time, or so many a second. The same events
//! whatever the pace.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

use super::progress::Cancel;

/// A pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as they go.
    Max,
    /// So many simulated seconds a second; 1 is real time.
    Speed(f64),
    /// So many events a second.
    Rate(f64),
}

impl Pace {
    /// A pace from the two options that a user has; at most one is given.
    ///
    /// # Errors
    /// `Config` where both are given, or one is not positive.
    pub fn new(speed: Option<f64>, rate: Option<f64>) -> Result<Self> {
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                return Ok(value);
            }
            Err(Error::config(format!("{name} is {value}")).help("Give a number above 0"))
        };
        match (speed, rate) {
            (None, None) => Ok(Pace::Max),
            (Some(speed), None) => Ok(Pace::Speed(positive("speed", speed)?)),
            (None, Some(rate)) => Ok(Pace::Rate(positive("rate", rate)?)),
            (Some(_), Some(_)) => {
                Err(Error::config("speed and rate are both given").help("Give one: each sets the pace by itself"))
            }
        }
    }
}

/// Events leave in slices of this length.
const SLICE: Duration = Duration::from_millis(10);

/// Keeps a pace over a run.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    began: Instant,
    /// First simulated instant.
    start: i64,
    /// Events that have left.
    left: u64,
}

impl Pacer {
    /// A pacer whose time begins now.
    pub fn new(pace: Pace, start: i64) -> Self {
        Self { pace, began: Instant::now(), start, left: 0 }
    }

    /// Lets events leave in order. `times` are the instants at which they are sent, ascending; `leave(from, to)` is called
    /// with ranges of them when their time has come, and `idle` while waiting.
    ///
    /// # Errors
    /// What `leave` and `idle` give; `Interrupted`.
    pub fn run(
        &mut self,
        times: &[i64],
        cancel: &Cancel,
        mut leave: impl FnMut(usize, usize) -> Result<()>,
        mut idle: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut from = 0;
        while from < times.len() {
            cancel.check()?;
            let to = match self.pace {
                Pace::Max => times.len(),
                Pace::Speed(speed) => {
                    let now = self.start + (self.began.elapsed().as_secs_f64() * speed * 1_000.0) as i64;
                    from + times[from..].partition_point(|t| *t <= now)
                }
                Pace::Rate(rate) => {
                    let due = (self.began.elapsed().as_secs_f64() * rate) as u64;
                    (from + due.saturating_sub(self.left) as usize).min(times.len())
                }
            };
            if to > from {
                leave(from, to)?;
                self.left += (to - from) as u64;
                from = to;
            }
            if from < times.len() {
                idle()?;
                thread::sleep(SLICE);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave_all(pace: Pace, times: &[i64]) -> (Vec<(usize, usize)>, Duration) {
        let mut slices = Vec::new();
        let began = Instant::now();
        let leave = |a, b| {
            slices.push((a, b));
            Ok(())
        };
        Pacer::new(pace, times[0]).run(times, &Cancel::default(), leave, || Ok(())).expect("a run");
        (slices, began.elapsed())
    }

    #[test]
    fn each_event_leaves_once_and_not_before_its_time() {
        let times: Vec<i64> = (0..200).collect();
        for (pace, least) in [(Pace::Max, 0), (Pace::Speed(1.0), 190), (Pace::Rate(1_000.0), 190)] {
            let (slices, took) = leave_all(pace, &times);
            assert!(took >= Duration::from_millis(least), "{pace:?} took {took:?}");
            assert_eq!(slices.first().map(|s| s.0), Some(0));
            assert_eq!(slices.last().map(|s| s.1), Some(200));
            assert!(slices.windows(2).all(|w| w[0].1 == w[1].0));
        }
    }

    #[test]
    fn a_pace_of_nothing_is_named() {
        let message = |speed, rate| Pace::new(speed, rate).map_err(|e| e.to_string());
        assert!(message(Some(0.0), None).is_err_and(|m| m.contains("speed is 0")));
        assert!(message(Some(1.0), Some(1.0)).is_err_and(|m| m.contains("both")));
    }
}

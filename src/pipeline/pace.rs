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

/// Events leave in slices of about this length: what is due is looked at each time it has passed.
const SLICE: Duration = Duration::from_millis(5);
/// Seconds of the schedule that may leave in one slice, however long it took.
const MOST_AT_ONCE: f64 = 0.1;
/// Seconds by which the schedule may be behind and still be caught up with.
const MOST_DEBT: f64 = 1.0;
/// How much faster than the pace events leave while it is being caught up with.
const CATCH_UP: f64 = 2.0;

/// What a pacer knows of time.
trait Clock {
    /// Seconds since some moment.
    fn now(&self) -> f64;
    /// Waits.
    fn sleep(&self, time: Duration);
}

#[derive(Debug)]
struct Wall(Instant);

impl Clock for Wall {
    fn now(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// How far the run should be, in seconds at its pace.
///
/// It keeps up with the clock: a slice that comes late lets out more, so that the pace holds on average. After a stall
/// (the broker, the machine or the simulation took long) there is no burst: the run goes on at twice its pace until it has
/// caught up. Only the last second of a stall is made up for; a longer one moves the rest of the run, so that a sink that
/// can't follow is not pressed ever harder.
#[derive(Debug, Default)]
struct Schedule {
    /// How far it is.
    at: f64,
    /// Behind by so much.
    debt: f64,
    /// When it was last looked at; nothing before the first look.
    looked: Option<f64>,
    /// Seconds by which the clock is ahead of it: the debt, and what was given up of it.
    behind: f64,
}

impl Schedule {
    fn advance(&mut self, now: f64) -> f64 {
        let passed = now - self.looked.replace(now).unwrap_or(now);
        self.debt = (self.debt + passed).min(MOST_DEBT);
        let step = self.debt.min(passed * CATCH_UP).min(MOST_AT_ONCE);
        self.debt -= step;
        self.at += step;
        self.behind += passed - step;
        self.at
    }
}

/// Keeps a pace over a run. Its time begins when the first events are there.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    clock: Wall,
    schedule: Schedule,
    /// First simulated instant.
    start: i64,
    /// Events that have left.
    left: u64,
}

impl Pacer {
    /// A pacer for a run that starts at the simulated instant `start`.
    pub fn new(pace: Pace, start: i64) -> Self {
        Self { pace, clock: Wall(Instant::now()), schedule: Schedule::default(), start, left: 0 }
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
        leave: impl FnMut(usize, usize) -> Result<()>,
        idle: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let Self { pace, clock, schedule, start, left } = self;
        run(clock, schedule, (*pace, *start), left, times, cancel, leave, idle)
    }

    /// How far the run is behind its pace: what a sink, a machine or a simulation that can't keep up has cost so far, also
    /// where it is no longer made up for.
    pub fn behind(&self) -> Duration {
        Duration::from_secs_f64(self.schedule.behind.max(0.0))
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a pacer, with any clock")]
fn run(
    clock: &impl Clock,
    schedule: &mut Schedule,
    (pace, start): (Pace, i64),
    left: &mut u64,
    times: &[i64],
    cancel: &Cancel,
    mut leave: impl FnMut(usize, usize) -> Result<()>,
    mut idle: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut from = 0;
    while from < times.len() {
        cancel.check()?;
        let to = match pace {
            Pace::Max => times.len(),
            Pace::Speed(speed) => {
                let now = start + (schedule.advance(clock.now()) * speed * 1_000.0) as i64;
                from + times[from..].partition_point(|t| *t <= now)
            }
            Pace::Rate(rate) => {
                let due = (schedule.advance(clock.now()) * rate) as u64;
                (from + due.saturating_sub(*left) as usize).min(times.len())
            }
        };
        if to > from {
            leave(from, to)?;
            *left += (to - from) as u64;
            from = to;
        }
        if from < times.len() {
            idle()?;
            clock.sleep(SLICE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A machine whose sleeps take up to 4 ms longer than asked for, and which stalls at given moments.
    struct Machine {
        now: Cell<f64>,
        sleeps: Cell<u32>,
        stalls: Vec<(f64, f64)>,
    }

    impl Machine {
        fn new(stalls: &[(f64, f64)]) -> Self {
            Self { now: Cell::new(100.0), sleeps: Cell::new(0), stalls: stalls.to_vec() }
        }
    }

    impl Clock for Machine {
        fn now(&self) -> f64 {
            self.now.get()
        }

        fn sleep(&self, time: Duration) {
            let n = self.sleeps.get();
            self.sleeps.set(n + 1);
            let before = self.now.get();
            let mut after = before + time.as_secs_f64() + f64::from(n * 7 % 5) * 1e-3;
            for (at, length) in &self.stalls {
                if (before - 100.0..after - 100.0).contains(at) {
                    after += length;
                }
            }
            self.now.set(after);
        }
    }

    /// When each slice left, in seconds, and how many events were in it.
    fn slices(pace: Pace, times: &[i64], stalls: &[(f64, f64)]) -> Vec<(f64, usize)> {
        slices_and_behind(pace, times, stalls).0
    }

    fn slices_and_behind(pace: Pace, times: &[i64], stalls: &[(f64, f64)]) -> (Vec<(f64, usize)>, f64) {
        let machine = Machine::new(stalls);
        let mut slices = Vec::new();
        let mut left = 0;
        let mut next = 0;
        // Chunk by chunk, as the simulation gives them.
        let mut schedule = Schedule::default();
        for chunk in times.chunks(10_007) {
            let leave = |from: usize, to: usize| {
                assert_eq!(from, next);
                next = to;
                slices.push((machine.now() - 100.0, to - from));
                Ok(())
            };
            let cancel = Cancel::default();
            run(&machine, &mut schedule, (pace, times[0]), &mut left, chunk, &cancel, leave, || Ok(())).expect("a run");
            assert_eq!(std::mem::take(&mut next), chunk.len(), "each event leaves once");
        }
        (slices, schedule.behind)
    }

    fn sent_by(slices: &[(f64, usize)], second: f64) -> usize {
        slices.iter().filter(|(at, _)| *at <= second).map(|(_, n)| n).sum()
    }

    #[test]
    fn a_rate_holds_over_a_minute_in_slices_of_a_few_milliseconds() {
        for rate in [300.0, 5_000.0, 200_000.0] {
            let times: Vec<i64> = (0..(rate * 61.0) as i64).collect();
            let slices = slices(Pace::Rate(rate), &times, &[]);
            let minute = sent_by(&slices, 60.0) as f64 / (60.0 * rate);
            assert!((minute - 1.0).abs() < 0.01, "{rate}: {minute}");
            let most = slices.iter().map(|(_, n)| *n).max().unwrap_or(0) as f64;
            assert!(most <= (rate * 0.010).ceil(), "{rate}: a slice of {most}");
            let apart = slices.windows(2).map(|w| w[1].0 - w[0].0).fold(0.0, f64::max);
            assert!(apart <= 0.0101, "{rate}: {apart} s between slices");
        }
    }

    #[test]
    fn a_short_stall_is_made_up_for_without_a_burst() {
        let rate = 10_000.0;
        let times: Vec<i64> = (0..610_000).collect();
        let (slices, behind) = slices_and_behind(Pace::Rate(rate), &times, &[(20.0, 0.8)]);
        assert!((0.0..0.02).contains(&behind), "{behind} s behind when all is made up for");
        let minute = sent_by(&slices, 60.0) as f64 / (60.0 * rate);
        assert!((minute - 1.0).abs() < 0.01, "{minute}");
        let most = slices.iter().map(|(_, n)| *n).max().unwrap_or(0);
        assert!(most <= 1_000, "a slice of {most}: more than {MOST_AT_ONCE} s");
        let after = sent_by(&slices, 21.5) - sent_by(&slices, 21.0);
        assert!((9_000..=10_500).contains(&after), "{after} in half a second of catching up");
        let later = sent_by(&slices, 25.0) - sent_by(&slices, 24.0);
        assert!((9_800..=10_200).contains(&later), "{later} a second when it has caught up");
    }

    #[test]
    fn a_long_stall_moves_the_rest_of_the_run() {
        for pace in [Pace::Rate(1_000.0), Pace::Speed(1.0)] {
            let times: Vec<i64> = (0..40_000).collect();
            let (slices, behind) = slices_and_behind(pace, &times, &[(10.0, 20.0)]);
            assert!((18.9..19.2).contains(&behind), "{pace:?}: {behind} s behind");
            let end = slices.last().map_or(0.0, |s| s.0);
            assert!((58.9..59.2).contains(&end), "{pace:?}: 40 s and a stall of 20 s, 1 s made up for: {end}");
            let most = slices.iter().map(|(_, n)| *n).max().unwrap_or(0);
            assert!(most <= 101, "{pace:?}: a slice of {most}");
        }
    }

    #[test]
    fn a_multiple_of_simulated_time_holds_and_nothing_leaves_early() {
        // Ten simulated minutes at sixty times: ten seconds. Uneven on purpose.
        let times: Vec<i64> = (0..20_000_i64).map(|n| n * n / 667).collect();
        let slices = slices(Pace::Speed(60.0), &times, &[]);
        let mut sent = 0;
        for (at, n) in &slices {
            sent += n;
            let due = times.partition_point(|t| *t as f64 <= at * 60_000.0);
            let behind = times.partition_point(|t| (*t as f64) < (at - 0.011) * 60_000.0);
            assert!(sent <= due && sent >= behind, "{sent} after {at} s, due {due}");
        }
        assert_eq!(sent, times.len());
    }

    #[test]
    fn as_fast_as_it_goes_is_one_slice_a_chunk() {
        let times: Vec<i64> = (0..20_000).collect();
        assert_eq!(slices(Pace::Max, &times, &[]), [(0.0, 10_007), (0.0, 9_993)]);
    }

    #[test]
    fn a_pacer_waits_by_the_wall_clock() {
        let times: Vec<i64> = (0..100).collect();
        let began = Instant::now();
        let mut left = 0;
        let leave = |from, to| {
            left += to - from;
            Ok(())
        };
        Pacer::new(Pace::Speed(1.0), 0).run(&times, &Cancel::default(), leave, || Ok(())).expect("a run");
        assert!(left == 100 && began.elapsed() >= Duration::from_millis(95), "{left} in {:?}", began.elapsed());
    }

    #[test]
    fn a_pace_of_nothing_is_named() {
        let message = |speed, rate| Pace::new(speed, rate).map_err(|e| e.to_string());
        assert!(message(Some(0.0), None).is_err_and(|m| m.contains("speed is 0")));
        assert!(message(Some(1.0), Some(1.0)).is_err_and(|m| m.contains("both")));
    }
}

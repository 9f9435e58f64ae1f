//! How many events of which fate were sent when, to find the stretch in which something went wrong.

/// Stretches of time that are told apart at most.
const MOST: i64 = 2_048;
const MINUTE_US: i64 = 60_000_000;

/// Events by the time at which they were sent.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    start: i64,
    step: i64,
    /// All events, those of interest.
    steps: Vec<[u64; 2]>,
}

impl Timeline {
    /// Over `[start, end)` in µs.
    pub(super) fn new(start: i64, end: i64) -> Self {
        let step = ((end - start).max(0) / MOST / MINUTE_US + 1) * MINUTE_US;
        Self { start, step, steps: Vec::new() }
    }

    pub(super) fn count(&mut self, time: i64, of_interest: bool) {
        let place = ((time - self.start).max(0) / self.step).min(4 * MOST) as usize;
        if place >= self.steps.len() {
            self.steps.resize(place + 1, [0; 2]);
        }
        self.steps[place][0] += 1;
        self.steps[place][1] += u64::from(of_interest);
    }

    /// The one stretch, begin and end in µs, that holds nearly all events of interest, where most events in it are; and
    /// whether that is the whole time. Events before or after a step's begin may belong to it or not.
    pub(super) fn stretch(&self) -> Option<(i64, i64, bool)> {
        let all: u64 = self.steps.iter().map(|s| s[1]).sum();
        let hit = |s: &[u64; 2]| s[1] > 0;
        let (first, last) = (self.steps.iter().position(hit)?, self.steps.iter().rposition(hit)?);
        let inside = &self.steps[first..=last];
        let events: u64 = inside.iter().map(|s| s[0]).sum();
        let dense = all * 2 >= events && all >= 5;
        let whole = self.steps[..first].iter().chain(&self.steps[last + 1..]).all(|s| s[0] == 0);
        let at = |place: usize| self.start + place as i64 * self.step;
        dense.then(|| (at(first), at(last + 1), whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stretch_is_found_and_a_sprinkling_is_none() {
        let at = |minute: i64| minute * MINUTE_US + 1;
        let fill = |hit: &dyn Fn(i64) -> bool| {
            let mut line = Timeline::new(0, 60 * MINUTE_US);
            (0..600).for_each(|n| line.count(at(n / 10), hit(n)));
            line.stretch()
        };
        assert_eq!(fill(&|n| (205..307).contains(&n)), Some((20 * MINUTE_US, 31 * MINUTE_US, false)));
        assert_eq!(fill(&|n| n % 20 == 0), None);
        assert_eq!(fill(&|_| false), None);
        assert_eq!(fill(&|_| true), Some((0, 60 * MINUTE_US, true)));
    }
}

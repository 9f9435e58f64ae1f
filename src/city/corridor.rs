//! A study of the flow by itself: a straight corridor, fed evenly, whose last road loses lanes for a while.
//!
//! Everybody drives at the limit and no light stands, so what a queue does follows from the flow model alone. The realism
//! checks compare it with theory.

use super::flow::{CLOSED, Course, Drivers, Entry, Exit, Flow, NOWHERE, Spec};
use super::incidents::capacity_left;
use crate::error::{Error, Result};

/// Most passages of a study; 24 bytes each.
const MOST_PASSAGES: f64 = 20e6;

/// A corridor and what happens on it.
#[derive(Debug, Clone, Copy)]
pub struct Corridor {
    /// Roads in a row, all alike.
    pub roads: u32,
    /// What each is like.
    pub road: Spec,
    /// Vehicles an hour that want to enter the first road, at even times from 0 on.
    pub flow: f64,
    /// Length of the study in milliseconds.
    pub duration: i64,
    /// Lanes of the last road that are blocked; all of them: nobody leaves it.
    pub blocked: u8,
    /// From when on, in milliseconds.
    pub from: i64,
    /// Until when.
    pub until: i64,
}

/// A vehicle's passage over a road, in milliseconds since the study's begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// The vehicle, by order of departure.
    pub vehicle: u32,
    /// The road, from 0 upstream.
    pub road: u32,
    /// When it entered.
    pub t_in: i64,
    /// When it left.
    pub t_out: i64,
}

struct Travellers {
    free: u32,
    roads: u32,
    until: i64,
    /// For each vehicle when it entered the road that it is on.
    entered: Vec<i64>,
    passages: Vec<Passage>,
}

impl Drivers for Travellers {
    fn enters(&mut self, Entry { time, road, vehicle, .. }: Entry) -> Course {
        self.entered[vehicle as usize] = time;
        Course { free: self.free, next: if road + 1 < self.roads { road + 1 } else { NOWHERE } }
    }

    fn expects(&mut self, _arrive: i64) {}

    fn exits(&mut self, Exit { time, road, vehicle, .. }: Exit) {
        self.passages.push(Passage { vehicle, road, t_in: self.entered[vehicle as usize], t_out: time });
    }

    fn until(&self) -> i64 {
        self.until
    }
}

impl Corridor {
    /// The passages that end within the study, in order of their ends.
    ///
    /// # Errors
    /// `Config` where a measure is out of range.
    pub fn run(&self) -> Result<Vec<Passage>> {
        self.check()?;
        let specs = vec![self.road; self.roads as usize];
        let mut flow = Flow::new(&specs, 0);
        let gap = 3_600_000.0 / self.flow;
        let departures = (0u32..).map(|n| (n, (f64::from(n) * gap).round() as i64));
        let mut travellers = Travellers {
            free: (self.road.length / self.road.limit_kmh * 3_600.0).round() as u32,
            roads: self.roads,
            until: 0,
            entered: Vec::new(),
            passages: Vec::new(),
        };
        let (open, last) = (self.road.headway(), self.roads - 1);
        let blocked = if self.blocked == self.road.lanes {
            CLOSED
        } else {
            (f64::from(open) / capacity_left(self.road.lanes, self.blocked)).round() as u32
        };
        let mut changes = [(self.from, blocked), (self.until, open)].into_iter().peekable();
        for (vehicle, time) in departures.take_while(|(_, time)| *time < self.duration) {
            while let Some((at, headway)) = changes.next_if(|(at, _)| *at <= time) {
                travellers.until = at;
                flow.run(&mut travellers);
                flow.set_headway(at, last, headway);
            }
            travellers.until = time;
            flow.run(&mut travellers);
            travellers.entered.push(time);
            flow.depart(time, vehicle, 0, &mut travellers);
        }
        for (at, headway) in changes {
            travellers.until = at;
            flow.run(&mut travellers);
            flow.set_headway(at, last, headway);
        }
        travellers.until = self.duration;
        flow.run(&mut travellers);
        Ok(travellers.passages)
    }

    fn check(&self) -> Result<()> {
        let Spec { length, lanes, limit_kmh, .. } = self.road;
        let range = |name: &str, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::config(format!("{name} is {value}")).help(format!("Give a value from {least} to {most}")))
        };
        range("the number of roads", f64::from(self.roads), 1.0, 10_000.0)?;
        range("the length in metres", length, 1.0, 100_000.0)?;
        range("the number of lanes", f64::from(lanes), 1.0, 8.0)?;
        range("the limit in km/h", limit_kmh, 1.0, 300.0)?;
        range("the flow in vehicles an hour", self.flow, 1.0, 36_000.0)?;
        range("the duration in milliseconds", self.duration as f64, 1.0, 864e5)?;
        range("the number of lanes blocked", f64::from(self.blocked), 0.0, f64::from(lanes))?;
        range("the block's begin in milliseconds", self.from as f64, 0.0, self.duration as f64)?;
        range("the block's end in milliseconds", self.until as f64, self.from as f64, self.duration as f64)?;
        let passages = self.flow * self.duration as f64 / 3_600_000.0 * f64::from(self.roads);
        range("the number of passages", passages.floor(), 0.0, MOST_PASSAGES)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::MINUTE;
    use super::super::signals::Signal;
    use super::*;

    fn corridor() -> Corridor {
        let road = Spec { length: 250.0, lanes: 2, limit_kmh: 50.4, signal: Signal::NONE };
        let (duration, from, until) = (60 * MINUTE, 15 * MINUTE, 30 * MINUTE);
        Corridor { roads: 12, road, flow: 1_200.0, duration, blocked: 0, from, until }
    }

    fn exits(passages: &[Passage], (from, until): (i64, i64)) -> usize {
        passages.iter().filter(|p| p.road == 11 && (from..until).contains(&p.t_out)).count()
    }

    #[test]
    fn an_open_corridor_passes_on_what_enters_at_the_limit() {
        let passages = corridor().run().unwrap();
        assert_eq!(exits(&passages, (15 * MINUTE, 45 * MINUTE)), 600);
        assert!(passages.iter().all(|p| p.t_out - p.t_in == 17_857));
    }

    #[test]
    fn discharge_falls_by_the_hcm_factor_only_while_lanes_are_blocked() {
        let corridor = Corridor { blocked: 1, flow: 3_000.0, ..corridor() };
        let open = 3_600_000.0 / f64::from(corridor.road.headway());
        let passages = corridor.run().unwrap();
        let per_hour =
            |window: (i64, i64)| exits(&passages, window) as f64 / ((window.1 - window.0) as f64 / 3_600_000.0);
        assert!((per_hour((5 * MINUTE, 15 * MINUTE)) / 3_000.0 - 1.0).abs() < 0.01);
        assert!((per_hour((16 * MINUTE, 30 * MINUTE)) / open / 0.35 - 1.0).abs() < 0.01);
        assert!((per_hour((31 * MINUTE, 40 * MINUTE)) / open - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_closed_road_lets_nobody_out_and_then_everybody() {
        let passages = Corridor { blocked: 2, ..corridor() }.run().unwrap();
        assert_eq!(exits(&passages, (15 * MINUTE, 30 * MINUTE)), 0);
        assert!(exits(&passages, (30 * MINUTE, 45 * MINUTE)) >= 590);
    }

    #[test]
    fn a_measure_out_of_range_is_named() {
        let of = |corridor: Corridor| corridor.run().unwrap_err().to_string();
        assert!(of(Corridor { roads: 0, ..corridor() }).contains("number of roads is 0"));
        assert!(of(Corridor { blocked: 3, ..corridor() }).contains("lanes blocked is 3"));
        assert!(of(Corridor { flow: f64::NAN, ..corridor() }).contains("flow in vehicles an hour is NaN"));
        assert!(of(Corridor { roads: 10_000, duration: 24 * 60 * MINUTE, ..corridor() }).contains("passages"));
    }
}

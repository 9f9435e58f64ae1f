//! Roads whose vehicles follow given ways, and what happened on them.

use _core::city::flow::{Course, Drivers, Entry, Exit, Flow, NOWHERE, Spec};
use _core::city::motion::{Leg, Motion, Way};
use _core::city::signals::Signal;

/// Time zero of every test.
pub const T0: i64 = 1_780_272_000_000;

pub fn road(length: f64, lanes: u8) -> Spec {
    Spec { length, lanes, limit_kmh: 50.4, signal: Signal::NONE }
}

/// Vehicles that drive at the limit, each along one of the ways.
pub struct Run {
    pub specs: Vec<Spec>,
    pub flow: Flow,
    pub log: Log,
}

pub struct Log {
    free: Vec<u32>,
    ways: Vec<Vec<u32>>,
    /// For each vehicle its way, and how far along it is.
    at: Vec<(usize, usize)>,
    pub until: i64,
    pub entries: Vec<Entry>,
    pub arrive: Vec<i64>,
    pub exits: Vec<Exit>,
}

impl Drivers for Log {
    fn enters(&mut self, entry: Entry) -> Course {
        self.entries.push(entry);
        let (way, step) = &mut self.at[entry.vehicle as usize];
        assert_eq!(self.ways[*way][*step], entry.road, "off its way");
        *step += 1;
        let next = self.ways[*way].get(*step).copied().unwrap_or(NOWHERE);
        Course { free: self.free[entry.road as usize], next }
    }

    fn expects(&mut self, arrive: i64) {
        self.arrive.push(arrive);
    }

    fn exits(&mut self, exit: Exit) {
        self.exits.push(exit);
    }

    fn until(&self) -> i64 {
        self.until
    }
}

impl Run {
    pub fn new(specs: Vec<Spec>, ways: Vec<Vec<u32>>) -> Self {
        let free = specs.iter().map(|s| (s.length / s.limit_kmh * 3_600.0).round() as u32).collect();
        let (at, entries, arrive, exits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let log = Log { free, ways, at, until: T0, entries, arrive, exits };
        Self { flow: Flow::new(&specs, T0), specs, log }
    }

    /// Processes what happens before `T0 + seconds`.
    pub fn run(&mut self, seconds: f64) {
        self.log.until = T0 + (seconds * 1_000.0) as i64;
        self.flow.run(&mut self.log);
    }

    /// A new vehicle sets off on a way, now.
    pub fn depart(&mut self, way: usize) -> u32 {
        let vehicle = self.log.at.len() as u32;
        self.log.at.push((way, 0));
        let road = self.log.ways[way][0];
        self.flow.depart(self.log.until, vehicle, road, &mut self.log);
        vehicle
    }

    /// `per_hour` vehicles an hour set off on a way from `from` to `to`, in seconds; then what happens before `to` has.
    pub fn feed(&mut self, way: usize, per_hour: f64, (from, to): (f64, f64)) {
        let mut at = from;
        while at < to {
            self.run(at);
            self.depart(way);
            at += 3_600.0 / per_hour;
        }
        self.run(to);
    }

    pub fn set_headway(&mut self, road: u32, headway: u32) {
        self.flow.set_headway(self.log.until, road, headway);
    }

    /// Times of the exits from a road, in seconds.
    pub fn exits(&self, road: u32) -> Vec<f64> {
        self.log.exits.iter().filter(|e| e.road == road).map(|e| (e.time - T0) as f64 / 1_000.0).collect()
    }

    /// Everything that happened on a road, by number: entries, arrivals and exits in milliseconds.
    pub fn history(&self, road: u32) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
        let on = |e: &&(&Entry, &i64)| e.0.road == road;
        let entered: Vec<_> = self.log.entries.iter().zip(&self.log.arrive).collect();
        let t_in = entered.iter().filter(on).map(|e| e.0.time).collect();
        let arrive = entered.iter().filter(on).map(|e| *e.1).collect();
        (t_in, arrive, self.log.exits.iter().filter(|e| e.road == road).map(|e| e.time).collect())
    }
}

/// How the flow lets vehicle `n` of a road's history pass it.
pub fn motion<'a>(spec: &Spec, history: &'a (Vec<i64>, Vec<i64>, Vec<i64>), n: usize) -> Motion<'a> {
    Motion::new(spec, (history.0[n], history.1[n]), &history.2, n)
}

/// Entries, arrivals and exits of a road.
pub type History = (Vec<i64>, Vec<i64>, Vec<i64>);

impl Run {
    pub fn histories(&self) -> Vec<History> {
        (0..self.specs.len() as u32).map(|road| self.history(road)).collect()
    }

    /// The whole way of a vehicle that has arrived, from where it set off.
    pub fn way<'a>(&self, histories: &'a [History], vehicle: u32) -> Way<'a> {
        let mut way = Way::default();
        let mut start = 0.0;
        for entry in self.log.entries.iter().filter(|e| e.vehicle == vehicle) {
            let (spec, history) = (&self.specs[entry.road as usize], &histories[entry.road as usize]);
            let motion = motion(spec, history, entry.number as usize);
            way.legs.push(Leg { road: entry.road, motion, t_out: history.2[entry.number as usize], start });
            start += spec.length;
        }
        way
    }
}

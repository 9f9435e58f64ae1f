//! The trace: what really happened, in rows that each stand once, and the windows in which sensors read it.

use std::collections::VecDeque;

use super::City;
use super::clock::{HOUR, MINUTE, SECOND};
use super::flow::Spec;
use super::motion::{LONGEST_HOP, Motion};
use super::weather::CellRow;

/// A vehicle's passage over a road. It is final when the vehicle has left; before, `t_out` is [`OPEN`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// The vehicle.
    pub vehicle: u32,
    /// The road.
    pub road: u32,
    /// Its number among those that entered the road. They leave in the same order.
    pub number: u32,
    /// Its lane, 0 at the kerb.
    pub lane: u8,
    /// Whether the trip begins with it: the ignition is switched on at `t_in`.
    pub first: bool,
    /// The vehicle's trip number since the simulation's start.
    pub trip: u32,
    /// When it enters the road.
    pub t_in: i64,
    /// When it could be at the road's end if only the vehicles before it drove as they like.
    pub arrive: i64,
    /// When it leaves the road, or [`OPEN`].
    pub t_out: i64,
    /// The odometer at `t_in` in metres.
    pub odometer: f64,
}

/// `t_out` of a vehicle that has not left yet, as far as is known.
pub const OPEN: i64 = i64::MAX;

/// A vehicle's exit from a road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// When.
    pub time: i64,
    /// The road.
    pub road: u32,
    /// The number of its [`Crossing`].
    pub number: u32,
}

/// The beginning of a vehicle's stay at the end of a road; it lasts until the vehicle's next crossing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stay {
    /// The vehicle.
    pub vehicle: u32,
    /// The road at whose end it stands.
    pub road: u32,
    /// The trip that ended here; 0 where it has not driven yet.
    pub trip: u32,
    /// When the ignition is switched off.
    pub since: i64,
    /// The odometer in metres.
    pub odometer: f64,
    /// Whether the stay began before the trace did.
    pub initial: bool,
}

/// A kind of incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentKind {
    /// A crash.
    Accident,
    /// A fire.
    Fire,
    /// A medical call.
    Medical,
    /// A police call.
    Police,
    /// A vehicle that broke down.
    Breakdown,
}

impl IncidentKind {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            IncidentKind::Accident => "Accident",
            IncidentKind::Fire => "Fire",
            IncidentKind::Medical => "Medical",
            IncidentKind::Police => "Police",
            IncidentKind::Breakdown => "Breakdown",
        }
    }
}

/// A step in an incident's life, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Somebody called.
    Reported,
    /// A responder is on its way.
    Dispatched,
    /// The responder is there.
    OnScene,
    /// The lanes are open again.
    LanesCleared,
    /// It is over.
    Resolved,
}

impl Status {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Status::Reported => "Reported",
            Status::Dispatched => "Dispatched",
            Status::OnScene => "OnScene",
            Status::LanesCleared => "LanesCleared",
            Status::Resolved => "Resolved",
        }
    }
}

/// One step of one incident, which happens at the end of a road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IncidentStep {
    /// The incident's number.
    pub incident: u32,
    /// Kind.
    pub kind: IncidentKind,
    /// 1 slight to 3 severe.
    pub severity: u8,
    /// The road at whose end it happened.
    pub road: u32,
    /// When the step happened.
    pub time: i64,
    /// Which step.
    pub status: Status,
    /// Lanes blocked from now on.
    pub lanes_blocked: u8,
    /// The vehicle that was sent.
    pub responder: Option<u32>,
}

/// How far the exits in [`TraceRows`] reach beyond the rest: what positions need to know ahead. The trace lags so far
/// behind the simulation, whatever the congestion.
pub const LOOK_AHEAD: i64 = 10 * SECOND;

/// What happened in `from..to`, each row final; a later advance never changes them.
#[derive(Debug, Clone, Default)]
pub struct TraceRows {
    /// Start of the time covered.
    pub from: i64,
    /// End of the time covered, exclusive.
    pub to: i64,
    /// Entries, by `t_in`; `t_out` is [`OPEN`]. Those of the first rows may lie before `from`: who is on the roads then.
    pub entries: Vec<Crossing>,
    /// Exits up to `to +` [`LOOK_AHEAD`], by time. Those of the first rows begin with what is still felt on the roads.
    pub exits: Vec<Leaving>,
    /// By `since`.
    pub stays: Vec<Stay>,
    /// By time.
    pub incidents: Vec<IncidentStep>,
    /// By (time, cell).
    pub cells: Vec<CellRow>,
}

/// A stretch of the trace in which sensors can observe every device: the rows that touch `from..to`.
#[derive(Debug, Clone)]
pub struct Window {
    /// Start.
    pub from: i64,
    /// End, exclusive.
    pub to: i64,
    /// Crossings that touch the window, and those of watched roads that ended up to a minute before it; by road and
    /// number. `t_out` is known up to `to +` [`LOOK_AHEAD`].
    pub crossings: Vec<Crossing>,
    /// For each crossing, the exits that tell where it is.
    ahead: Vec<Ahead>,
    exits: Vec<i64>,
    /// Stays that begin in it and were not there before the trace began.
    pub parked: Vec<Stay>,
    /// For each vehicle whose heartbeat is due in the window, when, and the stay that it is in.
    pub heartbeats: Vec<(i64, Stay)>,
    /// Steps in it.
    pub incidents: Vec<IncidentStep>,
    /// Rows of every cell in force at some time of the window, by (time, cell).
    pub cells: Vec<CellRow>,
}

/// A road's exits are `exits[from..to]`, those before it and its own among them if known; its own is `exits[from + index]`.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    from: u32,
    to: u32,
    index: u32,
}

/// Parked vehicles report once an hour.
pub const HEARTBEAT: i64 = HOUR;

/// Second of the hour in which a vehicle's heartbeat is due.
fn heartbeat_second(vehicle: u32) -> usize {
    // Any fixed spread over the hour will do; neighbours in number are far apart in time.
    (u64::from(vehicle).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % 3_600
}

/// Cuts a trace into consecutive windows. Holds what is open at the cut: for each road the vehicles on it and the exits that
/// they may still feel, at most twice what the road can hold, and one stay a vehicle.
#[derive(Debug)]
pub struct Windows {
    roads: Vec<Held>,
    stays: Vec<Option<Stay>>,
    /// Vehicles by [`heartbeat_second`].
    due: Vec<Vec<u32>>,
    cells: Vec<CellRow>,
}

/// What is held of a road.
#[derive(Debug, Default)]
struct Held {
    /// Crossings in order of their numbers, without a gap.
    crossings: VecDeque<Crossing>,
    /// Exits in order of their numbers, without a gap.
    exits: VecDeque<i64>,
    /// The number of the first exit held, or of the next one where none is.
    first_exit: u32,
    /// For how long after it an exit is kept, in milliseconds.
    felt: i64,
    /// For how long after its exit a crossing is kept.
    watched: i64,
}

impl Held {
    fn exit_of(&self, number: u32) -> i64 {
        let index = i64::from(number) - i64::from(self.first_exit);
        usize::try_from(index).ok().and_then(|i| self.exits.get(i)).copied().unwrap_or(OPEN)
    }

    /// Drops what no window from `to` on needs.
    fn forget(&mut self, to: i64) {
        while let Some(front) = self.crossings.front() {
            // An exit at `to` belongs to the window that begins then.
            if self.exit_of(front.number) >= to - self.watched {
                break;
            }
            self.crossings.pop_front();
        }
        let needed = self.crossings.front().map_or(u32::MAX, |c| c.number);
        while let Some(&time) = self.exits.front() {
            if self.first_exit >= needed || time + self.felt >= to {
                break;
            }
            self.exits.pop_front();
            self.first_exit += 1;
        }
    }
}

/// How far back of a window its cameras look.
pub const CAMERA_INTERVAL: i64 = MINUTE;

impl Windows {
    /// Windows over the city's trace, from its first row.
    pub fn new(city: &City) -> Self {
        let mut watched = vec![0; city.network.roads.len()];
        for camera in &city.network.cameras {
            watched[camera.road as usize] = CAMERA_INTERVAL;
        }
        let felt = city.network.specs.iter().map(|spec| i64::from(spec.wave()) + LONGEST_HOP);
        Self::over(city.fleet.len(), felt.zip(watched))
    }

    fn over(vehicles: u32, roads: impl Iterator<Item = (i64, i64)>) -> Self {
        let mut due = vec![Vec::new(); 3_600];
        for v in 0..vehicles {
            due[heartbeat_second(v)].push(v);
        }
        let roads = roads.map(|(felt, watched)| Held { felt: felt + watched, watched, ..Held::default() }).collect();
        Self { roads, stays: vec![None; vehicles as usize], due, cells: Vec::new() }
    }

    /// The next window, made of the rows of its time. Rows must follow without a gap.
    pub fn next(&mut self, rows: TraceRows) -> Window {
        let TraceRows { from, to, entries, exits, stays, incidents, cells } = rows;
        let ended = self.turn(&entries, &stays);
        let heartbeats = self.heartbeats(from, to, &ended);

        for crossing in entries {
            self.roads[crossing.road as usize].crossings.push_back(crossing);
        }
        for exit in exits {
            let road = &mut self.roads[exit.road as usize];
            if road.exits.is_empty() {
                road.first_exit = exit.number;
            }
            road.exits.push_back(exit.time);
        }
        let mut in_force = std::mem::take(&mut self.cells);
        in_force.extend(cells);
        if let Some(last) = in_force.iter().map(|c| c.time).filter(|t| *t <= to).max() {
            self.cells.extend(in_force.iter().filter(|c| c.time >= last));
        }
        let parked = stays.into_iter().filter(|s| !s.initial).collect();
        let (crossings, ahead, exits) = (Vec::new(), Vec::new(), Vec::new());
        let mut window = Window { from, to, crossings, ahead, exits, parked, heartbeats, incidents, cells: in_force };
        for road in self.roads.iter_mut().filter(|r| !r.crossings.is_empty() || !r.exits.is_empty()) {
            window.take(road);
            road.forget(to);
        }
        window
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let road = |r: &Held| {
            size_of::<Held>() + r.crossings.capacity() * size_of::<Crossing>() + r.exits.capacity() * size_of::<i64>()
        };
        self.roads.iter().map(road).sum::<usize>() + self.stays.capacity() * size_of::<Option<Stay>>()
    }

    /// Takes up the stays that began and gives back those that ended, with their ends.
    fn turn(&mut self, started: &[Crossing], begun: &[Stay]) -> Vec<(Stay, i64)> {
        let mut ended = Vec::new();
        let mut begun = begun.iter().peekable();
        for crossing in started.iter().filter(|c| c.first) {
            while let Some(stay) = begun.next_if(|s| s.since <= crossing.t_in) {
                self.stays[stay.vehicle as usize] = Some(*stay);
            }
            if let Some(stay) = self.stays[crossing.vehicle as usize].take() {
                ended.push((stay, crossing.t_in));
            }
        }
        for stay in begun {
            self.stays[stay.vehicle as usize] = Some(*stay);
        }
        ended
    }

    fn heartbeats(&self, from: i64, to: i64, ended: &[(Stay, i64)]) -> Vec<(i64, Stay)> {
        let mut found = Vec::new();
        let first = from.div_euclid(1_000) + i64::from(from.rem_euclid(1_000) > 0);
        let mut second = first;
        while second * 1_000 < to {
            let time = second * 1_000;
            for &v in &self.due[second.rem_euclid(3_600) as usize] {
                let now = self.stays[v as usize].filter(|s| s.since <= time);
                let then = || ended.iter().find(|(s, end)| s.vehicle == v && s.since <= time && time < *end);
                if let Some(stay) = now.or_else(|| then().map(|(s, _)| *s)) {
                    found.push((time, stay));
                }
            }
            second += 1;
        }
        found
    }
}

impl Window {
    /// Adds a road's crossings.
    fn take(&mut self, road: &Held) {
        if road.crossings.is_empty() {
            return;
        }
        let from = self.exits.len() as u32;
        self.exits.extend(&road.exits);
        let to = self.exits.len() as u32;
        for crossing in &road.crossings {
            let t_out = road.exit_of(crossing.number);
            self.crossings.push(Crossing { t_out, ..*crossing });
            self.ahead.push(Ahead { from, to, index: crossing.number - road.first_exit });
        }
    }

    /// How crossing `i` drives along its road, whose measures are `road`.
    pub fn motion(&self, i: usize, road: &Spec) -> Motion<'_> {
        let (crossing, ahead) = (&self.crossings[i], &self.ahead[i]);
        let exits = &self.exits[ahead.from as usize..ahead.to as usize];
        Motion::new(road, (crossing.t_in, crossing.arrive), exits, ahead.index as usize)
    }

    /// The row of `cell` in force at `time`.
    pub fn cell(&self, cell: u16, time: i64) -> Option<&CellRow> {
        self.cells.iter().rev().find(|row| row.cell == cell && row.time <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(vehicle: u32, first: bool, t_in: i64) -> Crossing {
        let (number, lane, trip, odometer) = (vehicle, 0, 1, 0.0);
        Crossing { vehicle, road: 0, number, lane, first, trip, t_in, arrive: t_in + 5, t_out: OPEN, odometer }
    }

    fn stay(vehicle: u32, since: i64, initial: bool) -> Stay {
        Stay { vehicle, road: 0, trip: 0, since, odometer: 0.0, initial }
    }

    #[test]
    fn a_crossing_is_in_every_window_it_touches_and_ends_in_one() {
        let mut windows = Windows::over(1, std::iter::once((0, 0)));
        let mut next = |from, to, entries: &[Crossing], exits: &[i64]| {
            let exits = exits.iter().map(|&time| Leaving { time, road: 0, number: 0 }).collect();
            windows.next(TraceRows { from, to, entries: entries.to_vec(), exits, ..TraceRows::default() })
        };
        let windows = [
            next(0, 10, &[crossing(0, false, 4)], &[]),
            next(10, 20, &[], &[]),
            next(20, 30, &[], &[30]),
            next(30, 40, &[], &[]),
            next(40, 50, &[], &[]),
        ];
        let t_out = windows.map(|w| w.crossings.iter().map(|c| c.t_out).collect::<Vec<_>>());
        assert_eq!(t_out, [vec![OPEN], vec![OPEN], vec![30], vec![30], vec![]]);
    }

    #[test]
    fn heartbeats_are_sent_only_while_parked() {
        let v = 0u32;
        let due = heartbeat_second(v) as i64 * 1_000;
        let rows = |stays, entries| TraceRows { from: 0, to: HOUR, stays, entries, ..TraceRows::default() };
        let count = |rows| Windows::over(1, std::iter::once((0, 0))).next(rows).heartbeats.len();
        assert_eq!(count(rows(vec![stay(v, -5, true)], vec![])), 1);
        assert_eq!(count(rows(vec![stay(v, -5, true)], vec![crossing(v, true, due - 1)])), 0);
        assert_eq!(count(rows(vec![stay(v, -5, true)], vec![crossing(v, true, due + 1)])), 1);
        assert_eq!(count(rows(vec![stay(v, due + 1, false)], vec![])), 0);
    }

    #[test]
    fn the_cells_in_force_are_carried_over() {
        use crate::city::rng::Rng;
        use crate::city::weather::Weather;
        let network = crate::city::network::Network::procedural(Rng::new(1), 1);
        let row = |time| Weather::new(Rng::new(1), &network, 0).step(time, &[0.0; 36])[0];
        let mut windows = Windows::over(0, std::iter::empty());
        windows.next(TraceRows { from: 0, to: 5, cells: vec![row(0)], ..TraceRows::default() });
        let next = windows.next(TraceRows { from: 5, to: 9, ..TraceRows::default() });
        assert_eq!(next.cell(0, 7).map(|r| r.time), Some(0));
    }
}

//! The trace: what really happened, in rows that each stand once, and the windows in which sensors read it.

use super::City;
use super::clock::{HOUR, MINUTE};
use super::weather::CellRow;

/// A vehicle's passage over a road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// The vehicle.
    pub vehicle: u32,
    /// The road.
    pub road: u32,
    /// Its lane, 0 at the kerb.
    pub lane: u8,
    /// Whether the trip begins with it: the ignition is switched on at `t_in`.
    pub first: bool,
    /// The vehicle's trip number since the simulation's start.
    pub trip: u32,
    /// When it enters the road.
    pub t_in: i64,
    /// When it leaves the road.
    pub t_out: i64,
    /// The odometer at `t_in` in metres.
    pub odometer: f64,
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

/// Rows that begin in `from..to`, each final; a later advance never changes them.
#[derive(Debug, Clone, Default)]
pub struct TraceRows {
    /// Start of the time covered.
    pub from: i64,
    /// End of the time covered, exclusive.
    pub to: i64,
    /// By (`t_in`, road, vehicle).
    pub crossings: Vec<Crossing>,
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
    /// Crossings that touch the window, and those of watched roads that ended up to a minute before it.
    pub crossings: Vec<Crossing>,
    /// Stays that begin in it and were not there before the trace began.
    pub parked: Vec<Stay>,
    /// For each vehicle whose heartbeat is due in the window, when, and the stay that it is in.
    pub heartbeats: Vec<(i64, Stay)>,
    /// Steps in it.
    pub incidents: Vec<IncidentStep>,
    /// Rows of every cell in force at some time of the window, by (time, cell).
    pub cells: Vec<CellRow>,
}

/// Parked vehicles report once an hour.
pub const HEARTBEAT: i64 = HOUR;

/// Second of the hour in which a vehicle's heartbeat is due.
fn heartbeat_second(vehicle: u32) -> usize {
    // Any fixed spread over the hour will do; neighbours in number are far apart in time.
    (u64::from(vehicle).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % 3_600
}

/// Cuts a trace into consecutive windows. Holds what is open at the cut: vehicles under way, and one stay a vehicle.
#[derive(Debug)]
pub struct Windows {
    open: Vec<Crossing>,
    stays: Vec<Option<Stay>>,
    /// Vehicles by [`heartbeat_second`].
    due: Vec<Vec<u32>>,
    cells: Vec<CellRow>,
    /// For each road, whether a camera watches it.
    watched: Vec<bool>,
}

/// How far back of a window its cameras look.
pub const CAMERA_INTERVAL: i64 = MINUTE;

impl Windows {
    /// Windows over the city's trace, from its first row.
    pub fn new(city: &City) -> Self {
        let mut watched = vec![false; city.network.roads.len()];
        for camera in &city.network.cameras {
            watched[camera.road as usize] = true;
        }
        Self::over(city.fleet.len(), watched)
    }

    fn over(vehicles: u32, watched: Vec<bool>) -> Self {
        let mut due = vec![Vec::new(); 3_600];
        for v in 0..vehicles {
            due[heartbeat_second(v)].push(v);
        }
        Self { open: Vec::new(), stays: vec![None; vehicles as usize], due, cells: Vec::new(), watched }
    }

    /// The next window, made of the rows of its time. Rows must follow without a gap.
    pub fn next(&mut self, rows: TraceRows) -> Window {
        let TraceRows { from, to, crossings: started, stays, incidents, cells } = rows;
        let ended = self.turn(&started, &stays);
        let heartbeats = self.heartbeats(from, to, &ended);

        let mut crossings = std::mem::take(&mut self.open);
        crossings.extend(started);
        let kept = |c: &&Crossing| c.t_out > to || (self.watched[c.road as usize] && c.t_out > to - CAMERA_INTERVAL);
        let open = crossings.iter().filter(kept).copied().collect();
        self.open = open;

        let mut in_force = std::mem::take(&mut self.cells);
        in_force.extend(cells);
        if let Some(last) = in_force.iter().map(|c| c.time).filter(|t| *t <= to).max() {
            self.cells.extend(in_force.iter().filter(|c| c.time >= last));
        }
        let parked = stays.into_iter().filter(|s| !s.initial).collect();
        Window { from, to, crossings, parked, heartbeats, incidents, cells: in_force }
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
    /// The row of `cell` in force at `time`.
    pub fn cell(&self, cell: u16, time: i64) -> Option<&CellRow> {
        self.cells.iter().rev().find(|row| row.cell == cell && row.time <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(vehicle: u32, first: bool, t_in: i64, t_out: i64) -> Crossing {
        Crossing { vehicle, road: 0, lane: 0, first, trip: 1, t_in, t_out, odometer: 0.0 }
    }

    fn stay(vehicle: u32, since: i64, initial: bool) -> Stay {
        Stay { vehicle, road: 0, trip: 0, since, odometer: 0.0, initial }
    }

    #[test]
    fn a_crossing_is_in_every_window_it_touches() {
        let mut windows = Windows::over(1, vec![false]);
        let rows = |from, to, crossings| TraceRows { from, to, crossings, ..TraceRows::default() };
        let a = windows.next(rows(0, 10, vec![crossing(0, false, 4, 25)]));
        let b = windows.next(rows(10, 20, vec![]));
        let c = windows.next(rows(20, 30, vec![]));
        let d = windows.next(rows(30, 40, vec![]));
        assert_eq!([a, b, c, d].map(|w| w.crossings.len()), [1, 1, 1, 0]);
    }

    #[test]
    fn heartbeats_are_sent_only_while_parked() {
        let v = 0u32;
        let due = heartbeat_second(v) as i64 * 1_000;
        let rows = |stays, crossings| TraceRows { from: 0, to: HOUR, stays, crossings, ..TraceRows::default() };
        let count = |rows| Windows::over(1, vec![false]).next(rows).heartbeats.len();
        assert_eq!(count(rows(vec![stay(v, -5, true)], vec![])), 1);
        assert_eq!(count(rows(vec![stay(v, -5, true)], vec![crossing(v, true, due - 1, HOUR)])), 0);
        assert_eq!(count(rows(vec![stay(v, -5, true)], vec![crossing(v, true, due + 1, HOUR)])), 1);
        assert_eq!(count(rows(vec![stay(v, due + 1, false)], vec![])), 0);
    }

    #[test]
    fn the_cells_in_force_are_carried_over() {
        use crate::city::rng::Rng;
        use crate::city::weather::Weather;
        let row = |time| Weather::new(Rng::new(1), 0).row(time, 0, 0.0);
        let mut windows = Windows::over(0, vec![]);
        windows.next(TraceRows { from: 0, to: 5, cells: vec![row(0)], ..TraceRows::default() });
        let next = windows.next(TraceRows { from: 5, to: 9, ..TraceRows::default() });
        assert_eq!(next.cell(0, 7).map(|r| r.time), Some(0));
    }
}

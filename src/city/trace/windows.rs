//! The windows in which sensors read the trace: what is on the roads in a stretch of time, and what was just before.

use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::City;
use super::super::clock::{HOUR, MINUTE, SECOND};
use super::super::flow::{NOWHERE, Spec};
use super::super::lanes::Lanes;
use super::super::motion::{FASTEST, LONGEST_HOP, Leg, Motion, SMOOTHING, TOUCH, Way};
use super::super::network::Network;
use super::super::pack;
use super::super::weather::CellRow;
use super::{Crossing, IncidentStep, OPEN, Status, Stay, TraceRows};
use crate::error::Result;

/// A stretch of the trace in which sensors can observe every device: the rows that touch `from..to`.
#[derive(Debug, Clone)]
pub struct Window {
    /// Start.
    pub from: i64,
    /// End, exclusive.
    pub to: i64,
    /// Crossings that touch the window or ended up to [`SMOOTHING`] before it, and where a cameras' interval ends in it,
    /// [`CAMERA_INTERVAL`] more; by road, lane and number. `t_out` is known up to `to +` [`LOOK_AHEAD`](super::LOOK_AHEAD).
    pub crossings: Vec<Crossing>,
    /// For each crossing, what comes before and after it.
    links: Vec<Link>,
    exits: Vec<i64>,
    /// For each lane, its crossings.
    stretches: Vec<Stretch>,
    /// Vehicles that came out of a tunnel in the window or up to [`EMERGED`] before it, and when; in order.
    pub emerged: Vec<(u32, i64)>,
    /// Stays that begin in it and were not there before the trace began.
    pub parked: Vec<Stay>,
    /// For each vehicle whose heartbeat is due in the window, when, and the stay that it is in.
    pub heartbeats: Vec<(i64, Stay)>,
    /// Steps in it.
    pub incidents: Vec<IncidentStep>,
    /// The latest step before it of each incident that is not yet resolved then.
    pub open: Vec<IncidentStep>,
    /// Rows of every cell in force at some time of the window, by (time, cell).
    pub cells: Vec<CellRow>,
}

/// Names a crossing: the lane, and the number there; the lane is [`NOWHERE`] where there is none.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Key {
    lane: u32,
    number: u32,
}

const NONE: Key = Key { lane: NOWHERE, number: 0 };

/// What comes before and after a crossing.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// The vehicle's crossings before and after it, of the same trip.
    before: Key,
    after: Key,
    /// The exits that tell where it is: the lane's are `exits[from..to]`, its own if known is `exits[from + index]`.
    from: u32,
    to: u32,
    index: u32,
}

/// A lane's crossings are `crossings[from..to]`, the first of which has this number.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: u32,
    to: u32,
    number: u32,
}

/// Some of the devices: those whose number leaves `index` when it is divided by `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: u32,
    /// How many parts there are.
    pub of: u32,
}

impl Part {
    /// All devices.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether a device belongs to it.
    #[inline]
    pub fn has(self, device: u32) -> bool {
        self.of == 1 || device % self.of == self.index
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// Parked vehicles report once an hour.
pub const HEARTBEAT: i64 = HOUR;

/// Second of the hour in which a vehicle's heartbeat is due.
fn heartbeat_second(vehicle: u32) -> usize {
    // Any fixed spread over the hour will do; neighbours in number are far apart in time.
    (u64::from(vehicle).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % 3_600
}

/// Cuts a trace into consecutive windows. Holds what is open at the cut: for each lane the vehicles on it, those that left
/// not long ago and the exits that they may still feel, a bounded number, and one stay a vehicle.
#[derive(Debug, Serialize, Deserialize)]
pub struct Windows {
    /// When the cameras' first interval begins.
    start: i64,
    #[serde(skip)]
    specs: Vec<Spec>,
    #[serde(skip)]
    lanes: Lanes,
    #[serde(skip)]
    tunnels: Vec<bool>,
    /// Whose crossings are held: those of the part's vehicles, and all on roads that its cameras have to know.
    #[serde(skip)]
    part: Part,
    #[serde(skip)]
    watched: Vec<bool>,
    held: Vec<Held>,
    /// For each lane, whether a crossing is held: most lanes of a small part have none, and are not looked at.
    occupied: Vec<bool>,
    /// For each vehicle, its latest crossing.
    latest: Vec<Key>,
    /// Crossings that follow on a tunnel's, whose vehicles have not yet come out of it.
    inside: Vec<(u32, Key)>,
    /// As in [`Window`].
    emerged: Vec<(u32, i64)>,
    stays: Vec<Option<Stay>>,
    /// Vehicles by [`heartbeat_second`].
    #[serde(skip)]
    due: Vec<Vec<u32>>,
    /// As in [`Window`].
    open: Vec<IncidentStep>,
    cells: Vec<CellRow>,
}

/// What is held of a lane.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Held {
    /// Crossings in order of their numbers; without a gap where the windows are of all devices.
    crossings: VecDeque<Kept>,
    /// Exits in order of their numbers, without a gap.
    exits: VecDeque<i64>,
    /// The number of the first exit held, or of the next one where none is.
    first_exit: u32,
    /// For how long after it an exit is felt, in milliseconds.
    felt: i64,
    /// How many of the crossings and exits only the cameras want to see.
    past: (usize, usize),
}

/// A crossing with the vehicle's ones before and after it, of the same trip.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Kept {
    crossing: Crossing,
    before: Key,
    after: Key,
}

/// For how long after its exit a crossing is kept, so that cameras see the end of an interval as they saw its beginning.
const KEPT: i64 = CAMERA_INTERVAL + SMOOTHING;

impl Held {
    fn exit_of(&self, number: u32) -> i64 {
        let index = i64::from(number) - i64::from(self.first_exit);
        usize::try_from(index).ok().and_then(|i| self.exits.get(i)).copied().unwrap_or(OPEN)
    }

    fn find(&mut self, number: u32) -> Option<&mut Kept> {
        let first = self.crossings.front()?.crossing.number;
        let mut place = number.checked_sub(first)? as usize;
        if self.crossings.get(place).is_none_or(|kept| kept.crossing.number != number) {
            place = self.crossings.binary_search_by_key(&number, |kept| kept.crossing.number).ok()?;
        }
        self.crossings.get_mut(place)
    }

    /// Finds what is past for those who see [`SMOOTHING`] back of `from`.
    fn pass(&mut self, from: i64) {
        let back = from - SMOOTHING;
        let (mut crossings, mut exits) = self.past;
        while self.crossings.get(crossings).is_some_and(|c| self.exit_of(c.crossing.number) < back) {
            crossings += 1;
        }
        // A crossing's exits begin with the first of the lane that is felt, or with its own.
        let first = self.crossings.get(crossings).map_or(u32::MAX, |c| c.crossing.number);
        while self.exits.get(exits).is_some_and(|&time| time + self.felt < back)
            && self.first_exit + (exits as u32) < first
        {
            exits += 1;
        }
        self.past = (crossings, exits);
    }

    /// Drops what no window from `to` on needs.
    fn forget(&mut self, to: i64) {
        while let Some(front) = self.crossings.front() {
            // An exit at `to` belongs to the window that begins then.
            if self.exit_of(front.crossing.number) >= to - KEPT {
                break;
            }
            self.crossings.pop_front();
            self.past.0 = self.past.0.saturating_sub(1);
        }
        let needed = self.crossings.front().map_or(u32::MAX, |c| c.crossing.number);
        while let Some(&time) = self.exits.front() {
            if self.first_exit >= needed || time + self.felt + KEPT >= to {
                break;
            }
            self.exits.pop_front();
            self.past.1 = self.past.1.saturating_sub(1);
            self.first_exit += 1;
        }
    }
}

/// Roads that a vehicle may have been on in the time that its place is the mean of, when a camera of the part sees it.
fn watched(network: &Network, part: Part) -> Vec<bool> {
    let arriving = network.arriving();
    let reach = FASTEST * SMOOTHING as f64 / 1_000.0;
    let mut watched = vec![false; network.roads.len()];
    for (camera, _) in network.cameras.iter().zip(0u32..).filter(|(_, c)| part.has(*c)) {
        watched[camera.road as usize] = true;
        for ahead in [false, true] {
            let next = |road: u32| {
                let road = &network.roads[road as usize];
                if ahead { network.leaving(road.to) } else { arriving[road.from as usize].as_slice() }
            };
            let mut todo: Vec<(u32, f64)> = next(camera.road).iter().map(|r| (*r, 0.0)).collect();
            while let Some((road, before)) = todo.pop() {
                watched[road as usize] = true;
                let after = before + network.roads[road as usize].length;
                if after < reach {
                    todo.extend(next(road).iter().map(|r| (*r, after)));
                }
            }
        }
    }
    watched
}

/// How far back of a window its cameras look.
pub const CAMERA_INTERVAL: i64 = MINUTE;

/// For so long a window remembers who came out of a tunnel.
pub const EMERGED: i64 = 20 * SECOND;

impl Windows {
    /// Windows over the city's trace, from its first row.
    pub fn new(city: &City) -> Self {
        let tunnels = city.network.roads.iter().map(|road| road.tunnel).collect();
        let lanes = city.network.lanes.clone();
        Self::over(city.fleet.len(), city.options.start, (city.network.specs.clone(), lanes), tunnels)
    }

    /// The same, for the vehicles of a part and the cameras of one: what only others need is left out.
    #[must_use]
    pub fn of_part(mut self, city: &City, part: Part, cameras: Part) -> Self {
        if part == Part::WHOLE {
            return self;
        }
        self.part = part;
        self.watched = watched(&city.network, cameras);
        for (held, occupied) in self.held.iter_mut().zip(&mut self.occupied) {
            let watched = |road: u32| self.watched[road as usize];
            held.crossings.retain(|kept| part.has(kept.crossing.vehicle) || watched(kept.crossing.road));
            held.past.0 = 0;
            *occupied = !held.crossings.is_empty();
        }
        for vehicles in &mut self.due {
            vehicles.retain(|v| part.has(*v));
        }
        self
    }

    fn wants(&self, crossing: &Crossing) -> bool {
        self.part.has(crossing.vehicle) || self.watched[crossing.road as usize]
    }

    fn over(vehicles: u32, start: i64, (specs, lanes): (Vec<Spec>, Lanes), tunnels: Vec<bool>) -> Self {
        let mut due = vec![Vec::new(); 3_600];
        for v in 0..vehicles {
            due[heartbeat_second(v)].push(v);
        }
        let felt: Vec<i64> = specs.iter().map(|s| i64::from(s.wave()) + LONGEST_HOP).collect();
        let held: Vec<Held> = lanes.spread(&felt).into_iter().map(|felt| Held { felt, ..Held::default() }).collect();
        Self {
            start,
            specs,
            lanes,
            tunnels,
            part: Part::WHOLE,
            watched: Vec::new(),
            occupied: vec![false; held.len()],
            held,
            latest: vec![NONE; vehicles as usize],
            inside: Vec::new(),
            emerged: Vec::new(),
            stays: vec![None; vehicles as usize],
            due,
            open: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// The next window, made of the rows of its time. Rows must follow without a gap.
    pub fn next(&mut self, rows: TraceRows) -> Window {
        let TraceRows { from, to, entries, exits, stays, incidents, cells } = rows;
        let ended = self.turn(&entries, &stays);
        let heartbeats = self.heartbeats(from, to, &ended);

        for crossing in entries {
            if self.wants(&crossing) {
                self.enter(crossing);
            }
        }
        for exit in exits {
            let lane = self.lanes.number(exit.road, exit.lane);
            let held = &mut self.held[lane];
            if held.exits.is_empty() {
                held.first_exit = exit.number;
            }
            held.exits.push_back(exit.time);
            if !self.occupied[lane] {
                held.forget(from);
            }
        }
        let mut in_force = std::mem::take(&mut self.cells);
        in_force.extend(cells);
        if let Some(last) = in_force.iter().map(|c| c.time).filter(|t| *t <= to).max() {
            self.cells.extend(in_force.iter().filter(|c| c.time >= last));
        }
        let parked = stays.into_iter().filter(|s| !s.initial && self.part.has(s.vehicle)).collect();
        let mut window = Window {
            from,
            to,
            crossings: Vec::new(),
            links: Vec::new(),
            exits: Vec::new(),
            stretches: vec![Stretch { from: 0, to: 0, number: 0 }; self.held.len()],
            emerged: Vec::new(),
            parked,
            heartbeats,
            incidents,
            open: self.open.clone(),
            cells: in_force,
        };
        self.advance_incidents(&window.incidents);
        // Intervals end after the start of a window, up to and with its end.
        let interval_ends =
            (to - self.start).div_euclid(CAMERA_INTERVAL) > (from - self.start).div_euclid(CAMERA_INTERVAL);
        let occupied = self.held.iter_mut().zip(&mut self.occupied).enumerate().filter(|(_, (_, occupied))| **occupied);
        for (lane, (held, occupied)) in occupied {
            held.pass(from);
            window.take(lane, held, if interval_ends { (0, 0) } else { held.past });
            held.forget(to);
            *occupied = !held.crossings.is_empty();
        }
        self.emerge(&mut window);
        window
    }

    /// What is held, for [`Windows::resume`].
    ///
    /// # Errors
    /// `Internal` where it can't be encoded.
    pub fn checkpoint(&self, city: &City) -> Result<Vec<u8>> {
        pack::pack("windows", city, self)
    }

    /// The windows that held what `bytes` say.
    ///
    /// # Errors
    /// `Store` where they are another city's, another version's, or damaged.
    pub fn resume(city: &City, bytes: &[u8]) -> Result<Self> {
        let empty = Self::new(city);
        let held = pack::unpack::<Self>("windows", city, bytes)?;
        Ok(Self { specs: empty.specs, lanes: empty.lanes, tunnels: empty.tunnels, due: empty.due, ..held })
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let lane = |h: &Held| {
            size_of::<Held>() + h.crossings.capacity() * size_of::<Kept>() + h.exits.capacity() * size_of::<i64>()
        };
        self.held.iter().map(lane).sum::<usize>()
            + self.specs.capacity() * size_of::<Spec>()
            + self.latest.capacity() * size_of::<Key>()
            + self.stays.capacity() * size_of::<Option<Stay>>()
    }

    /// Takes a crossing in and joins it to the vehicle's one before.
    fn enter(&mut self, crossing: Crossing) {
        let lane = self.lanes.number(crossing.road, crossing.lane);
        let key = Key { lane: lane as u32, number: crossing.number };
        let before = std::mem::replace(&mut self.latest[crossing.vehicle as usize], key);
        let before = if crossing.first { NONE } else { before };
        if let Some(held) = self.held.get_mut(before.lane as usize) {
            if let Some(kept) = held.find(before.number) {
                kept.after = key;
            }
            let (road, _) = self.lanes.road(before.lane);
            if self.tunnels[road as usize] && !self.tunnels[crossing.road as usize] {
                self.inside.push((crossing.vehicle, key));
            }
        }
        self.occupied[lane] = true;
        self.held[lane].crossings.push_back(Kept { crossing, before, after: NONE });
    }

    /// Notes who comes out of a tunnel in the window.
    fn emerge(&mut self, window: &mut Window) {
        let (from, to) = (window.from, window.to);
        let mut way = Way::default();
        self.emerged.retain(|&(_, time)| time >= from - EMERGED);
        self.inside.retain(|&(vehicle, key)| {
            let Some(i) = window.find(key) else { return false };
            let leg = window.follow(i, &self.specs, (from, to), &mut way);
            let passes = way.passes(leg, 2.0 * TOUCH, (from, to));
            self.emerged.extend(passes.map(|time| (vehicle, time)));
            passes.is_none()
        });
        self.emerged.sort_unstable();
        window.emerged.clone_from(&self.emerged);
    }

    /// Takes up the stays that began and gives back those that ended, with their ends.
    fn turn(&mut self, started: &[Crossing], begun: &[Stay]) -> Vec<(Stay, i64)> {
        let mut ended = Vec::new();
        let mut begun = begun.iter().peekable();
        for crossing in started.iter().filter(|c| c.first && self.part.has(c.vehicle)) {
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

    fn advance_incidents(&mut self, steps: &[IncidentStep]) {
        for step in steps {
            self.open.retain(|open| open.incident != step.incident);
            if step.status != Status::Resolved {
                self.open.push(*step);
            }
        }
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
    /// Adds a lane's crossings and exits but the first so many.
    fn take(&mut self, lane: usize, held: &Held, (gone, unfelt): (usize, usize)) {
        let from = self.crossings.len() as u32;
        let Some(number) = held.crossings.get(gone).map(|c| c.crossing.number) else { return };
        let exits = self.exits.len() as u32;
        self.exits.extend(held.exits.range(unfelt..));
        let (to, first_exit) = (self.exits.len() as u32, held.first_exit + unfelt as u32);
        for Kept { crossing, before, after } in held.crossings.range(gone..).copied() {
            let t_out = held.exit_of(crossing.number);
            self.crossings.push(Crossing { t_out, ..crossing });
            self.links.push(Link { before, after, from: exits, to, index: crossing.number - first_exit });
        }
        self.stretches[lane] = Stretch { from, to: self.crossings.len() as u32, number };
    }

    fn find(&self, key: Key) -> Option<usize> {
        let stretch = self.stretches.get(key.lane as usize)?;
        let crossings = self.crossings.get(stretch.from as usize..stretch.to as usize)?;
        let mut place = key.number.checked_sub(stretch.number)? as usize;
        if crossings.get(place).is_none_or(|c| c.number != key.number) {
            place = crossings.binary_search_by_key(&key.number, |c| c.number).ok()?;
        }
        Some(stretch.from as usize + place)
    }

    /// The crossings on lanes.
    pub fn on(&self, lanes: Range<u32>) -> Range<usize> {
        let stretches = self.stretches.get(lanes.start as usize..lanes.end as usize).unwrap_or_default();
        let used = || stretches.iter().filter(|s| s.from < s.to);
        // Those of lanes beside each other are beside each other.
        let from = used().next().map_or(0, |s| s.from);
        let to = used().next_back().map_or(0, |s| s.to);
        from as usize..to as usize
    }

    /// How the flow lets crossing `i` pass its road, whose measures are `road`.
    fn motion(&self, i: usize, road: &Spec) -> Motion<'_> {
        let (crossing, link) = (&self.crossings[i], &self.links[i]);
        let exits = &self.exits[link.from as usize..link.to as usize];
        Motion::new(road, (crossing.t_in, crossing.arrive), exits, link.index as usize)
    }

    /// The end of the time in which crossing `i` is the vehicle's latest: when the flow lets it out, or when it has come
    /// to a stand where its trip ends with it. Devices report in the time of one crossing after the other, so that each
    /// report is made once.
    pub fn latest_until(&self, i: usize) -> i64 {
        let t_out = self.crossings[i].t_out;
        // Whoever leaves one road enters the next at the same moment, and all entries before `to` are known.
        if t_out < self.to && self.links[i].after.lane == NOWHERE { t_out + SMOOTHING } else { t_out }
    }

    /// Makes `way` the vehicle's way with crossing `i`'s start as its origin, as far as is needed to say where it is in
    /// `from..until`; `specs` are the roads' measures. Gives the number of the crossing's leg.
    pub fn follow<'a>(&'a self, i: usize, specs: &[Spec], (from, until): (i64, i64), way: &mut Way<'a>) -> usize {
        let leg = |i: usize, start: f64| {
            let crossing = &self.crossings[i];
            let motion = self.motion(i, &specs[crossing.road as usize]);
            Leg { road: crossing.road, motion, t_out: crossing.t_out, start }
        };
        way.legs.clear();
        way.legs.push(leg(i, 0.0));
        let (mut first, mut start) = (i, 0.0);
        while self.crossings[first].t_in > from - SMOOTHING {
            let Some(before) = self.find(self.links[first].before) else { break };
            start -= specs[self.crossings[before].road as usize].length;
            way.legs.push(leg(before, start));
            first = before;
        }
        way.legs.reverse();
        let own = way.legs.len() - 1;
        let (mut last, mut start) = (i, 0.0);
        while self.crossings[last].t_out < until {
            let Some(after) = self.find(self.links[last].after) else { break };
            start += specs[self.crossings[last].road as usize].length;
            way.legs.push(leg(after, start));
            last = after;
        }
        own
    }

    /// When a vehicle came out of tunnels: its rows of [`Window::emerged`].
    pub fn emerged_of(&self, vehicle: u32) -> &[(u32, i64)] {
        let from = self.emerged.partition_point(|e| e.0 < vehicle);
        let rest = &self.emerged[from..];
        &rest[..rest.partition_point(|e| e.0 == vehicle)]
    }

    /// The row of `cell` in force at `time`.
    pub fn cell(&self, cell: u16, time: i64) -> Option<&CellRow> {
        self.cells.iter().rev().find(|row| row.cell == cell && row.time <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::signals::Signal;
    use super::super::Leaving;
    use super::*;

    fn crossing(vehicle: u32, first: bool, t_in: i64) -> Crossing {
        let (lane, number, trip, odometer) = (0, vehicle, 1, 0.0);
        Crossing { vehicle, road: 0, lane, number, first, trip, t_in, arrive: t_in + 5, t_out: OPEN, odometer }
    }

    fn windows(vehicles: u32) -> Windows {
        let road = Spec { length: 100.0, lanes: 1, limit_kmh: 50.0, signal: Signal::NONE };
        Windows::over(vehicles, 0, (vec![road], Lanes::new([(1, &road)])), vec![false])
    }

    fn stay(vehicle: u32, since: i64, initial: bool) -> Stay {
        Stay { vehicle, road: 0, trip: 0, since, odometer: 0.0, initial }
    }

    #[test]
    fn a_crossing_is_in_every_window_it_touches_and_ends_in_one() {
        let mut windows = windows(1);
        let mut next = |from, to, entries: &[Crossing], exits: &[i64]| {
            let exits = exits.iter().map(|&time| Leaving { time, road: 0, lane: 0, number: 0 }).collect();
            windows.next(TraceRows { from, to, entries: entries.to_vec(), exits, ..TraceRows::default() })
        };
        let windows = [
            next(0, 10_000, &[crossing(0, true, 4)], &[]),
            next(10_000, 20_000, &[], &[]),
            next(20_000, 30_000, &[], &[30_000]),
            next(30_000, 40_000, &[], &[]),
            next(40_000, 50_000, &[], &[]),
            next(50_000, 59_999, &[], &[]),
            next(59_999, 60_000, &[], &[]),
        ];
        let t_out = windows.each_ref().map(|w| w.crossings.iter().map(|c| c.t_out).collect::<Vec<_>>());
        // Of the last windows only that in which an interval of the cameras ends looks back beyond the stand.
        assert_eq!(t_out, [vec![OPEN], vec![OPEN], vec![30_000], vec![30_000], vec![30_000], vec![], vec![30_000]]);
        let latest = windows[2..5].iter().map(|w| w.latest_until(0)).collect::<Vec<_>>();
        // Whether the trip ends at the window's end is not yet known, and does not matter there.
        assert_eq!(latest, [30_000, 45_000, 45_000]);
    }

    #[test]
    fn heartbeats_are_sent_only_while_parked() {
        let v = 0u32;
        let due = heartbeat_second(v) as i64 * 1_000;
        let rows = |stays, entries| TraceRows { from: 0, to: HOUR, stays, entries, ..TraceRows::default() };
        let count = |rows| windows(1).next(rows).heartbeats.len();
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
        let mut windows = windows(0);
        windows.next(TraceRows { from: 0, to: 5, cells: vec![row(0)], ..TraceRows::default() });
        let next = windows.next(TraceRows { from: 5, to: 9, ..TraceRows::default() });
        assert_eq!(next.cell(0, 7).map(|r| r.time), Some(0));
    }
}

//! Traffic flow: an event-driven kinematic-wave queue model (Newell, link transmission).
//!
//! A vehicle leaves its road as soon as all of this is so:
//! ```text
//! it has driven along at the speed it likes, behind those before it     t_in + L/u
//! the one before it has left a headway ago, and the light is green      previous exit + headway(t)
//! the next road has room, which travels back through it at w            exit of the K-th before it from there + L/w
//! the next road's start has been free for a headway
//! ```
//! Roads are first in, first out; the city makes each lane one, and lets drivers choose ([`Drivers::steers`]). A road whose
//! head can't leave for want of room is on the next road's list of waiters and costs nothing until there is some; waiters are
//! let in by their lanes. Each road has at most one event on the `wheel`, its head's; a road with waiters has another. Events
//! are processed by (time, number), so the flow is a pure function of what is put in.
//!
//! **Gridlock.** A ring of full roads, each with its head waiting for the next, would stand for ever. A head that has
//! waited for [`GRIDLOCK_WAIT`] follows the chain of those that it waits for; where the chain closes, all heads of the ring
//! move on one road at the same moment, so that storage holds, and again each [`GRIDLOCK_PACE`] until the ring breaks up.
//! [`Flow::releases`] counts that.

mod road;
mod wheel;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use road::{Approach, Road, Slot};
pub use road::{Spec, VEHICLE_ROOM, WAVE_SPEED};
use wheel::Wheel;

use super::clock::{MINUTE, SECOND};

/// No road: the trip ends.
pub const NOWHERE: u32 = u32::MAX;
/// A headway that lets nobody out.
pub const CLOSED: u32 = u32::MAX;
/// Drivers let each other through after this time `[assumed]`.
pub const GRIDLOCK_WAIT: i64 = MINUTE;
/// Then they go on doing so this often, while the ring lasts `[assumed]`.
pub const GRIDLOCK_PACE: i64 = 10 * SECOND;

const NEVER: i64 = i64::MAX;

/// What a driver does on the road just entered.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Milliseconds that the road takes it when nobody is in the way.
    pub free: u32,
    /// The road after it, or [`NOWHERE`].
    pub next: u32,
}

/// A vehicle's entry into a road.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// When.
    pub time: i64,
    /// The road.
    pub road: u32,
    /// The vehicle.
    pub vehicle: u32,
    /// Its number among those that entered the road, from 0.
    pub number: u32,
    /// Whether its trip begins here.
    pub first: bool,
}

/// A vehicle's exit from a road.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// When.
    pub time: i64,
    /// The road.
    pub road: u32,
    /// The vehicle.
    pub vehicle: u32,
    /// The number of its entry.
    pub number: u32,
    /// When it could have left, had nothing but the vehicles' own speeds held it up.
    pub arrive: i64,
    /// Whether its trip ends here.
    pub last: bool,
}

/// The roads as a driver sees them who is about to enter one.
#[derive(Debug, Clone, Copy)]
pub struct Ahead<'a> {
    roads: &'a [Road],
    kerbs: &'a [VecDeque<u32>],
}

impl Ahead<'_> {
    /// Vehicles on `road`, and those that want to set off on it.
    #[inline]
    pub fn vehicles(&self, road: u32) -> u32 {
        self.roads[road as usize].occupancy() + self.kerbs[road as usize].len() as u32
    }

    /// When the last that entered `road` could be at its end ([`Exit::arrive`]); long ago where none has.
    #[inline]
    pub fn last_arrive(&self, road: u32) -> i64 {
        self.roads[road as usize].last_arrive
    }
}

/// Who drives: answers to what happens on the roads.
pub trait Drivers {
    /// A vehicle enters a road.
    fn enters(&mut self, entry: Entry) -> Course;
    /// When it could be at the end of the road ([`Exit::arrive`]), right after [`Drivers::enters`].
    fn expects(&mut self, arrive: i64);
    /// A vehicle is at the start of `road`, which it wants into, for the first time: the road that it takes, which may be
    /// another one that begins there.
    fn steers(&self, _vehicle: u32, road: u32, _time: i64, _ahead: Ahead<'_>) -> u32 {
        road
    }
    /// A vehicle leaves a road.
    fn exits(&mut self, exit: Exit);
    /// A vehicle will be asked about soon: reads its data, so that they are near, and gives any number made of them.
    fn glance(&self, _vehicle: u32) -> u32 {
        0
    }
    /// Events before this moment may be processed now; asked before each.
    fn until(&self) -> i64;
}

/// Vehicles on roads. See the module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flow {
    roads: Vec<Road>,
    slots: Vec<Slot>,
    /// The roads' own queues, then the kerbs'.
    approaches: Vec<Approach>,
    /// For each road, vehicles that want to set off on it.
    kerbs: Vec<VecDeque<u32>>,
    wheel: Wheel,
    releases: u64,
}

impl Flow {
    /// Empty roads; nothing happens before `from`.
    pub fn new(specs: &[Spec], from: i64) -> Self {
        let mut slots = 0u32;
        let mut roads = Vec::with_capacity(specs.len());
        let mut approaches = Vec::with_capacity(specs.len() * 2);
        for spec in specs {
            roads.push(Road::new(spec, slots));
            approaches.push(Approach::new(spec.lanes));
            slots += spec.storage() + 1;
        }
        approaches.resize(specs.len() * 2, Approach::new(1));
        Self {
            roads,
            slots: vec![Slot { time: 0, arrive: 0, vehicle: 0, next: NOWHERE }; slots as usize],
            approaches,
            kerbs: vec![VecDeque::new(); specs.len()],
            wheel: Wheel::new(from),
            releases: 0,
        }
    }

    /// Processes events in order until [`Drivers::until`].
    pub fn run(&mut self, drivers: &mut impl Drivers) {
        let roads = self.roads.len() as u32;
        loop {
            let Self { wheel, roads: states, slots, approaches, .. } = self;
            let event = wheel.pop(drivers.until(), |numbers| {
                // Events of a bucket lie all over memory. Reading ahead what they need lets the misses overlap, a third
                // of the time where the roads do not fit the cache.
                let mut seen = 0u32;
                for number in numbers.filter(|n| *n < roads) {
                    let r = &states[number as usize];
                    let slot = &slots[(r.first_slot + r.head) as usize];
                    seen ^= drivers.glance(slot.vehicle) ^ approaches[number as usize].turn;
                    if let Some(next) = states.get(slot.next as usize) {
                        seen ^= slots[(next.first_slot + next.tail) as usize].vehicle ^ next.waiters;
                    }
                }
                std::hint::black_box(seen);
            });
            let Some((time, number)) = event else { return };
            if number < roads {
                self.look(number, time, drivers);
            } else if number < 2 * roads {
                let road = number - roads;
                if self.roads[road as usize].grant_at == time {
                    self.roads[road as usize].grant_at = NEVER;
                    self.grant(road, time, drivers);
                }
            } else {
                self.check(number - 2 * roads, time, drivers);
            }
        }
    }

    /// A vehicle wants to set off at the start of `road`. It enters when there is room.
    pub fn depart(&mut self, time: i64, vehicle: u32, road: u32, drivers: &mut impl Drivers) {
        let road = drivers.steers(vehicle, road, time, Ahead { roads: &self.roads, kerbs: &self.kerbs });
        let kerb = self.roads.len() as u32 + road;
        self.kerbs[road as usize].push_back(vehicle);
        if self.approaches[kerb as usize].target == NOWHERE {
            self.ask(kerb, road, time, drivers);
        }
    }

    /// From now on, two vehicles leave `road` at least `headway` milliseconds apart; [`CLOSED`] lets none out.
    pub fn set_headway(&mut self, time: i64, road: u32, headway: u32) {
        if std::mem::replace(&mut self.roads[road as usize].headway, headway) == headway {
            return;
        }
        let Approach { target, due, .. } = self.approaches[road as usize];
        if target != NOWHERE {
            self.schedule_grant(target, time);
        } else if self.roads[road as usize].occupancy() > 0 {
            // Later than due shows when it is due.
            let ready = self.ready(road, time);
            if ready < due {
                self.schedule(road, ready);
            }
        }
    }

    /// Vehicles on `road`.
    pub fn occupancy(&self, road: u32) -> u32 {
        self.roads[road as usize].occupancy()
    }

    /// Least time between two vehicles that leave `road`, now, in milliseconds.
    pub fn headway(&self, road: u32) -> u32 {
        self.roads[road as usize].headway
    }

    /// The head of `road`, if any: its vehicle and when it could have left.
    pub fn head(&self, road: u32) -> Option<(u32, i64)> {
        let r = &self.roads[road as usize];
        let slot = &self.slots[(r.first_slot + r.head) as usize];
        (r.occupancy() > 0).then_some((slot.vehicle, slot.arrive))
    }

    /// Vehicles that want to set off on `road` and can't yet.
    pub fn waiting_to_depart(&self, road: u32) -> usize {
        self.kerbs[road as usize].len()
    }

    /// How often a ring of full roads was released.
    pub fn releases(&self) -> u64 {
        self.releases
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.roads.capacity() * size_of::<Road>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.approaches.capacity() * size_of::<Approach>()
            + self.kerbs.iter().map(|k| k.capacity() * 4 + size_of::<VecDeque<u32>>()).sum::<usize>()
            + self.wheel.bytes()
    }

    /// The vehicles on `road`, in order: number, vehicle, when each entered and could be at the end.
    pub fn on_road(&self, road: u32) -> impl Iterator<Item = (u32, u32, i64, i64)> + '_ {
        let r = self.roads[road as usize];
        let mut place = r.head;
        (r.exited..r.entered).map(move |number| {
            let slot = &self.slots[(r.first_slot + place) as usize];
            place = r.after(place);
            (number, slot.vehicle, slot.time, slot.arrive)
        })
    }

    /// The last exits from `road` that the vehicles on it may still feel, in order: number and time.
    pub fn last_exits(&self, road: u32) -> impl Iterator<Item = (u32, i64)> + '_ {
        let r = self.roads[road as usize];
        // Of the ring's storage + 1 places, those not taken by vehicles hold exits.
        let kept = (r.storage + 1 - r.occupancy()).min(r.exited);
        let mut place = (r.head + r.storage + 1 - kept) % (r.storage + 1);
        (r.exited - kept..r.exited).map(move |number| {
            let time = self.slots[(r.first_slot + place) as usize].time;
            place = r.after(place);
            (number, time)
        })
    }

    /// When the next vehicle may enter `road`; `None` where a vehicle must leave it first.
    #[inline]
    fn room(&self, road: u32) -> Option<i64> {
        let r = &self.roads[road as usize];
        let spaced = r.last_entry + i64::from(r.entry_headway);
        if r.entered < r.storage {
            return Some(spaced);
        }
        if r.occupancy() >= r.storage {
            return None;
        }
        // The ring has one place more than the storage, so the one `storage` before is right after the next.
        let before = &self.slots[(r.first_slot + r.after(r.tail)) as usize];
        Some(spaced.max(before.time + i64::from(r.wave)))
    }

    /// When the head of an approach may leave, not before `time`, as far as its own road goes.
    #[inline]
    fn ready(&self, approach: u32, time: i64) -> i64 {
        let Some(r) = self.roads.get(approach as usize) else { return time };
        if r.headway == CLOSED {
            return NEVER;
        }
        let slot = &self.slots[(r.first_slot + r.head) as usize];
        let ready = time.max(slot.arrive).max(r.last_exit + i64::from(r.headway));
        if slot.next == NOWHERE { ready } else { r.signal.next_green(ready) }
    }

    #[inline]
    fn schedule(&mut self, approach: u32, time: i64) {
        self.approaches[approach as usize].due = time;
        if time != NEVER {
            self.wheel.push(time, approach);
        }
    }

    fn schedule_grant(&mut self, road: u32, time: i64) {
        let number = self.roads.len() as u32 + road;
        let r = &mut self.roads[road as usize];
        if time < r.grant_at {
            r.grant_at = time;
            self.wheel.push(time, number);
        }
    }

    /// A road's head is due.
    fn look(&mut self, road: u32, time: i64, drivers: &mut impl Drivers) {
        if self.approaches[road as usize].due != time {
            return;
        }
        // What it waited for may have been put off meanwhile.
        let ready = self.ready(road, time);
        if ready > time {
            return self.schedule(road, ready);
        }
        let r = &self.roads[road as usize];
        let slot = &mut self.slots[(r.first_slot + r.head) as usize];
        if slot.next != NOWHERE {
            let ahead = Ahead { roads: &self.roads, kerbs: &self.kerbs };
            slot.next = drivers.steers(slot.vehicle, slot.next, time, ahead);
        }
        let next = slot.next;
        self.approaches[road as usize].due = NEVER;
        if next == NOWHERE {
            self.take_head(road, time, drivers);
            self.after_exit(road, time);
        } else {
            self.ask(road, next, time, drivers);
        }
    }

    /// An approach's head wants into `road`.
    fn ask(&mut self, approach: u32, road: u32, time: i64, drivers: &mut impl Drivers) {
        let room = self.room(road);
        let r = &self.roads[road as usize];
        if r.waiters == NOWHERE && room.is_some_and(|t| t <= time) {
            return self.cross(approach, road, time, drivers);
        }
        let (waiters, turn) = (r.waiters, r.turn);
        let a = &mut self.approaches[approach as usize];
        if a.turn_of != road || (a.turn.wrapping_sub(turn) as i32) < 0 {
            a.turn = turn;
        }
        a.turn_of = road;
        a.target = road;
        a.since = if a.released { time - GRIDLOCK_WAIT + GRIDLOCK_PACE } else { time };
        let watch_at = a.since + GRIDLOCK_WAIT;
        a.next_waiter = waiters;
        self.roads[road as usize].waiters = approach;
        match room {
            Some(at) if at <= time => self.grant(road, time, drivers),
            Some(at) => self.schedule_grant(road, at),
            None => self.watch(approach, watch_at),
        }
    }

    /// Lets one waiter into `road` where there is room and one may go, and sees to the rest.
    fn grant(&mut self, road: u32, time: i64, drivers: &mut impl Drivers) {
        match self.room(road) {
            // An exit brings the next look.
            None => return,
            Some(at) if at > time => return self.schedule_grant(road, at),
            Some(_) => {}
        }
        let (mut best, mut next_look) = (None::<(u32, u32)>, NEVER);
        let turn = self.roads[road as usize].turn;
        let mut waiter = self.roads[road as usize].waiters;
        while waiter != NOWHERE {
            let a = &self.approaches[waiter as usize];
            let ready = self.ready(waiter, time);
            if ready <= time {
                // Turns wrap; waiters' are near the road's.
                let key = (a.turn.wrapping_sub(turn), waiter);
                best = Some(best.map_or(key, |b| b.min(key)));
            } else {
                next_look = next_look.min(ready);
            }
            waiter = a.next_waiter;
        }
        let Some((_, chosen)) = best else {
            if next_look != NEVER {
                self.schedule_grant(road, next_look);
            }
            return;
        };
        self.unlist(chosen);
        let a = &mut self.approaches[chosen as usize];
        self.roads[road as usize].turn = a.turn;
        a.turn = a.turn.wrapping_add(a.stride);
        self.cross(chosen, road, time, drivers);
        self.look_after_waiters(road, time);
    }

    /// Schedules what brings the waiters of `road` on.
    fn look_after_waiters(&mut self, road: u32, time: i64) {
        let mut waiter = self.roads[road as usize].waiters;
        if waiter == NOWHERE {
            return;
        }
        if let Some(at) = self.room(road) {
            return self.schedule_grant(road, at.max(time));
        }
        while waiter != NOWHERE {
            self.watch(waiter, time + GRIDLOCK_WAIT);
            waiter = self.approaches[waiter as usize].next_waiter;
        }
    }

    /// Takes a waiter from the list that it is on.
    fn unlist(&mut self, approach: u32) {
        let Approach { target, next_waiter, .. } = self.approaches[approach as usize];
        let first = &mut self.roads[target as usize].waiters;
        if *first == approach {
            *first = next_waiter;
        } else {
            let mut at = *first;
            while self.approaches[at as usize].next_waiter != approach {
                at = self.approaches[at as usize].next_waiter;
            }
            self.approaches[at as usize].next_waiter = next_waiter;
        }
        self.approaches[approach as usize].target = NOWHERE;
    }

    /// The head of an approach enters `road`.
    fn cross(&mut self, approach: u32, road: u32, time: i64, drivers: &mut impl Drivers) {
        let roads = self.roads.len() as u32;
        if approach < roads {
            self.approaches[approach as usize].released = false;
            let vehicle = self.take_head(approach, time, drivers);
            self.enter(road, vehicle, false, time, drivers);
            self.after_exit(approach, time);
        } else {
            let Some(vehicle) = self.kerbs[(approach - roads) as usize].pop_front() else { return };
            self.enter(road, vehicle, true, time, drivers);
            if !self.kerbs[(approach - roads) as usize].is_empty() {
                self.ask(approach, road, time, drivers);
            }
        }
    }

    /// Takes the head off a road.
    fn take_head(&mut self, road: u32, time: i64, drivers: &mut impl Drivers) -> u32 {
        let r = &mut self.roads[road as usize];
        let slot = &mut self.slots[(r.first_slot + r.head) as usize];
        let (vehicle, number, arrive) = (slot.vehicle, r.exited, slot.arrive);
        let last = slot.next == NOWHERE;
        slot.time = time;
        r.head = r.after(r.head);
        r.exited = r.exited.wrapping_add(1);
        r.last_exit = time;
        drivers.exits(Exit { time, road, vehicle, number, arrive, last });
        vehicle
    }

    /// A place on `road` has become free: its new head is due, and its waiters may come on.
    fn after_exit(&mut self, road: u32, time: i64) {
        if self.roads[road as usize].occupancy() > 0 {
            let ready = self.ready(road, time);
            self.schedule(road, ready);
        }
        if self.roads[road as usize].waiters != NOWHERE
            && let Some(at) = self.room(road)
        {
            self.schedule_grant(road, at.max(time));
        }
    }

    fn enter(&mut self, road: u32, vehicle: u32, first: bool, time: i64, drivers: &mut impl Drivers) {
        let number = self.roads[road as usize].entered;
        let course = drivers.enters(Entry { time, road, vehicle, number, first });
        let r = &mut self.roads[road as usize];
        let arrive = (time + i64::from(course.free.max(1))).max(r.last_arrive + i64::from(r.entry_headway));
        self.slots[(r.first_slot + r.tail) as usize] = Slot { time, arrive, vehicle, next: course.next };
        r.tail = r.after(r.tail);
        r.entered = r.entered.wrapping_add(1);
        r.last_entry = time;
        r.last_arrive = arrive;
        let alone = r.occupancy() == 1;
        drivers.expects(arrive);
        if alone {
            let ready = self.ready(road, time);
            self.schedule(road, ready);
        }
    }

    /// Has an approach that waits for a place looked at for gridlock.
    fn watch(&mut self, approach: u32, time: i64) {
        let roads = self.roads.len() as u32;
        // A kerb holds nobody up.
        if approach < roads && !std::mem::replace(&mut self.approaches[approach as usize].checked, true) {
            self.wheel.push(time, 2 * roads + approach);
        }
    }

    /// Releases the ring that holds an approach up, if there is one.
    fn check(&mut self, approach: u32, time: i64, drivers: &mut impl Drivers) {
        self.approaches[approach as usize].checked = false;
        let Approach { target, since, .. } = self.approaches[approach as usize];
        if target == NOWHERE || self.room(target).is_some() {
            return;
        }
        if time < since + GRIDLOCK_WAIT {
            return self.watch(approach, since + GRIDLOCK_WAIT);
        }
        // Brent's search for a ring along the chain of full roads.
        let (mut slow, mut fast, mut steps, mut limit) = (approach, approach, 0u32, 1u32);
        while let Some(next) = self.held_up_by(fast) {
            fast = next;
            if fast == slow {
                self.release(fast, time, drivers);
                break;
            }
            steps += 1;
            if steps == limit {
                (slow, steps, limit) = (fast, 0, limit * 2);
            }
        }
        if self.approaches[approach as usize].target != NOWHERE {
            self.watch(approach, time + GRIDLOCK_PACE);
        }
    }

    /// The road whose head must leave before the head of `road` can, if that head waits itself.
    fn held_up_by(&self, road: u32) -> Option<u32> {
        let target = self.approaches[road as usize].target;
        let waits = target != NOWHERE && self.roads[road as usize].headway != CLOSED;
        (waits && self.room(target).is_none()).then_some(target)
    }

    /// Moves each head of a ring of full roads on to the next road, all at once.
    fn release(&mut self, start: u32, time: i64, drivers: &mut impl Drivers) {
        self.releases += 1;
        let mut moved = Vec::new();
        let mut road = start;
        loop {
            let target = self.approaches[road as usize].target;
            self.unlist(road);
            self.approaches[road as usize].released = true;
            moved.push((road, target, self.take_head(road, time, drivers)));
            road = target;
            if road == start {
                break;
            }
        }
        for &(_, target, vehicle) in &moved {
            self.enter(target, vehicle, false, time, drivers);
        }
        for &(from, ..) in &moved {
            let ready = self.ready(from, time);
            self.schedule(from, ready);
            self.look_after_waiters(from, time);
        }
    }
}

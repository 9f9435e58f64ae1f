//! A road of the queue model: its fixed measures, its ring of vehicles, and its share of a crossing.

use serde::{Deserialize, Serialize};

use super::super::signals::Signal;

/// Room of a standing vehicle in metres: κ = 1/7.5 m per lane (city.md; MATSim's default).
pub const VEHICLE_ROOM: f64 = 7.5;
/// Speed at which room travels back through a queue, in metres per second: w = 18 km/h (city.md; published 18 ± 1 km/h).
pub const WAVE_SPEED: f64 = 5.0;

/// What the flow has to know of a road.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Length in metres.
    pub length: f64,
    /// Lanes.
    pub lanes: u8,
    /// Speed at which a queue dissolves, in km/h: the limit.
    pub limit_kmh: f64,
    /// Its light.
    pub signal: Signal,
}

impl Spec {
    /// Vehicles that it holds: `K`.
    pub fn storage(&self) -> u32 {
        // A road shorter than a vehicle still holds one.
        ((self.length * f64::from(self.lanes) / VEHICLE_ROOM) as u32).max(1)
    }

    /// Metres of road that a vehicle in a queue takes.
    pub fn spacing(&self) -> f64 {
        VEHICLE_ROOM / f64::from(self.lanes)
    }

    /// Milliseconds that a gap takes from one vehicle in a queue to the next.
    pub fn lag(&self) -> f64 {
        self.spacing() / WAVE_SPEED * 1_000.0
    }

    /// Least time between two vehicles at a point of the road, in milliseconds: 1/q*, q* = κ·u·w/(u + w) a lane.
    pub fn headway(&self) -> u32 {
        ((self.lag() + self.spacing() / self.limit_kmh * 3_600.0).round() as u32).max(1)
    }

    /// Time in which room travels back past all vehicles of a full road, in milliseconds, rounded up: L/w, less what the
    /// length is beyond a whole number of vehicles.
    pub fn wave(&self) -> u32 {
        (f64::from(self.storage()) * self.lag()).ceil() as u32
    }
}

/// A vehicle on the road, or one that has left it: then `time` is when, until its place is taken again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Slot {
    /// When it came in; after it left, when.
    pub time: i64,
    /// When it could be at the end if only the vehicles before it drove as they like.
    pub arrive: i64,
    pub vehicle: u32,
    /// The road that it takes next, or [`super::NOWHERE`].
    pub next: u32,
}

/// State of a road. A place in its ring is taken again at the earliest when the vehicle `storage` places before has left.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Road {
    /// Its ring is `slots[first_slot..=first_slot + storage]`.
    pub first_slot: u32,
    pub storage: u32,
    /// Places of the next vehicle to leave and the next to come in.
    pub head: u32,
    pub tail: u32,
    pub entered: u32,
    pub exited: u32,
    pub last_exit: i64,
    pub last_entry: i64,
    pub last_arrive: i64,
    /// Least time between two that leave, now; [`super::CLOSED`] lets none out.
    pub headway: u32,
    /// Least time between two that come in.
    pub entry_headway: u32,
    pub wave: u32,
    pub signal: Signal,
    /// First of the approaches that wait to enter, or [`super::NOWHERE`].
    pub waiters: u32,
    /// The turn of the waiter last let in.
    pub turn: u32,
    /// When waiters are looked at next.
    pub grant_at: i64,
}

impl Road {
    pub fn new(spec: &Spec, first_slot: u32) -> Self {
        Self {
            first_slot,
            storage: spec.storage(),
            head: 0,
            tail: 0,
            entered: 0,
            exited: 0,
            last_exit: i64::MIN / 2,
            last_entry: i64::MIN / 2,
            last_arrive: i64::MIN / 2,
            headway: spec.headway(),
            entry_headway: spec.headway(),
            wave: spec.wave(),
            signal: spec.signal,
            waiters: super::NOWHERE,
            turn: 0,
            grant_at: super::NEVER,
        }
    }

    /// Vehicles on it.
    pub fn occupancy(&self) -> u32 {
        self.entered - self.exited
    }

    /// The place after `place` in the ring.
    pub fn after(&self, place: u32) -> u32 {
        if place == self.storage { 0 } else { place + 1 }
    }
}

/// A queue that wants into another road: a road's own, or the kerb's, where trips begin.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Approach {
    /// When its head is looked at; [`super::NEVER`] while it waits or there is none.
    pub due: i64,
    /// The road that it waits for, or [`super::NOWHERE`].
    pub target: u32,
    /// The next waiter of the same road.
    pub next_waiter: u32,
    /// Its turn at `turn_of`.
    pub turn: u32,
    pub turn_of: u32,
    /// What its turn grows by when it is let in: the less, the more lanes it has.
    pub stride: u32,
    /// Since when it waits.
    pub since: i64,
    /// Whether a look for gridlock is on the wheel.
    pub checked: bool,
    /// Whether its last head left in a released ring.
    pub released: bool,
}

impl Approach {
    pub fn new(lanes: u8) -> Self {
        Self {
            due: super::NEVER,
            target: super::NOWHERE,
            next_waiter: super::NOWHERE,
            turn: 0,
            turn_of: super::NOWHERE,
            // 840 is a multiple of 1 to 8.
            stride: 840 / u32::from(lanes.max(1)),
            since: 0,
            checked: false,
            released: false,
        }
    }
}

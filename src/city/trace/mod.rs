//! The trace: what really happened, in rows that each stand once, and the windows in which sensors read it.

mod windows;

pub use windows::{CAMERA_INTERVAL, EMERGED, HEARTBEAT, Part, Window, Windows};

use serde::{Deserialize, Serialize};

use super::clock::SECOND;
use super::weather::CellRow;

/// A vehicle's passage over a road, by the flow; the vehicle itself follows within [`SMOOTHING`]. It is final when the vehicle
/// has left; before, `t_out` is [`OPEN`].
///
/// [`SMOOTHING`]: super::motion::SMOOTHING
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// The vehicle.
    pub vehicle: u32,
    /// The road.
    pub road: u32,
    /// Its lane, 0 at the kerb.
    pub lane: u8,
    /// Its number among those that entered the lane. They leave in the same order.
    pub number: u32,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// When.
    pub time: i64,
    /// The road.
    pub road: u32,
    /// The lane.
    pub lane: u8,
    /// The number of its [`Crossing`].
    pub number: u32,
}

/// The beginning of a vehicle's stay at the end of a road, where it has come to a stand [`SMOOTHING`] after its trip's last
/// exit; it lasts until the vehicle's next crossing.
///
/// [`SMOOTHING`]: super::motion::SMOOTHING
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Accident, Self::Fire, Self::Medical, Self::Police, Self::Breakdown];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// A step in an incident's life, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

    /// The step of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Reported, Self::Dispatched, Self::OnScene, Self::LanesCleared, Self::Resolved];
        all.into_iter().find(|status| status.name() == name)
    }
}

/// One step of one incident, which happens at the end of a road.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceRows {
    /// Start of the time covered.
    pub from: i64,
    /// End of the time covered, exclusive.
    pub to: i64,
    /// Entries, by `t_in`; `t_out` is [`OPEN`]. Those of the first rows may lie before `from`: who is on the roads then.
    pub entries: Vec<Crossing>,
    /// Exits up to `to +` [`LOOK_AHEAD`], by time. Those of the first rows begin with what is still felt on the roads.
    pub exits: Vec<Leaving>,
    /// By `since`. Those of the first rows begin [`SMOOTHING`] before `from`.
    ///
    /// [`SMOOTHING`]: super::motion::SMOOTHING
    pub stays: Vec<Stay>,
    /// By time.
    pub incidents: Vec<IncidentStep>,
    /// By (time, cell).
    pub cells: Vec<CellRow>,
}

impl TraceRows {
    /// Puts `next`, which follows without a gap, behind these.
    pub fn append(&mut self, mut next: Self) {
        self.to = next.to;
        self.entries.append(&mut next.entries);
        self.exits.append(&mut next.exits);
        self.stays.append(&mut next.stays);
        self.incidents.append(&mut next.incidents);
        self.cells.append(&mut next.cells);
    }
}

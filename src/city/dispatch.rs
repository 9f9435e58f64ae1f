//! Incidents as they happen, and who is sent.

use super::clock::MINUTE;
use super::fleet::VehicleType;
use super::incidents::Incident;
use super::simulation::{Event, NO_INCIDENT, Simulation, World};
use super::trace::{IncidentKind, IncidentStep, Status};

/// Dispatch looks again after this time where no responder is free.
const DISPATCH_RETRY: i64 = MINUTE;

impl Simulation {
    pub(super) fn report(&mut self, road: u32, kind: IncidentKind) {
        let Self { flow, world } = self;
        let number = world.live.incidents.len() as u32;
        let lanes = world.city.network.roads[road as usize].lanes;
        let incident = Incident::new(world.city.rng, number, kind, road, lanes);
        world.live.blocked[road as usize] += incident.blocks;
        world.limit(flow, road);
        world.live.incidents.push(incident);
        world.note(number);
        world.push(world.live.now + incident.call_handling(world.city.rng), Event::Incident { number });
    }

    pub(super) fn incident_step(&mut self, number: u32) {
        let Self { flow, world } = self;
        let rng = world.city.rng;
        let incident = world.live.incidents[number as usize];
        match incident.status {
            Status::Reported => self.dispatch(number),
            Status::OnScene => {
                world.live.incidents[number as usize].status = Status::LanesCleared;
                world.live.blocked[incident.road as usize] -= incident.blocks;
                world.limit(flow, incident.road);
                world.note(number);
                world.push(world.live.now + incident.wrap_up(rng), Event::Incident { number });
            }
            Status::LanesCleared => {
                world.live.incidents[number as usize].status = Status::Resolved;
                world.note(number);
                if let Some(v) = incident.responder {
                    world.live.vehicles[v as usize].incident = NO_INCIDENT;
                    let home = world.city.fleet.vehicles[v as usize].home;
                    self.set_off(v, home);
                }
            }
            // The responder's arrival makes the step after the dispatch; nothing follows the end.
            Status::Dispatched | Status::Resolved => {}
        }
    }

    /// Sends the nearest free vehicle of the right type, else of any emergency type.
    fn dispatch(&mut self, number: u32) {
        let world = &mut self.world;
        let incident = world.live.incidents[number as usize];
        let wanted = incident.responder_type();
        let network = &world.city.network;
        let site = network.junctions[network.roads[incident.road as usize].to as usize];
        let free = |v: u32, kind: Option<VehicleType>| {
            let state = &world.live.vehicles[v as usize];
            let fits = kind.is_none_or(|k| k == world.city.fleet.vehicles[v as usize].kind);
            let p = network.junctions[network.roads[state.road as usize].to as usize];
            let distance = (((p.x - site.x).powi(2) + (p.y - site.y).powi(2)).sqrt() * 1_000.0) as i64;
            let parked = !state.driving && !state.at_kerb && state.stands <= world.live.now;
            (fits && parked && state.incident == NO_INCIDENT).then_some((distance, v))
        };
        let nearest = |kind| world.responders.iter().filter_map(|&v| free(v, kind)).min();
        let Some((_, v)) = nearest(Some(wanted)).or_else(|| nearest(None)) else {
            world.push(world.live.now + DISPATCH_RETRY, Event::Incident { number });
            return;
        };
        let junction = network.roads[incident.road as usize].to;
        let incident = &mut world.live.incidents[number as usize];
        incident.status = Status::Dispatched;
        incident.responder = Some(v);
        world.live.vehicles[v as usize].incident = number;
        world.note(number);
        self.set_off(v, junction);
    }
}

impl World {
    /// Writes an incident's present state to the trace.
    fn note(&mut self, number: u32) {
        if !self.recording {
            return;
        }
        let incident = &self.live.incidents[number as usize];
        self.live.rows.incidents.push(IncidentStep {
            incident: number,
            kind: incident.kind,
            severity: incident.severity,
            road: incident.road,
            time: self.live.now,
            status: incident.status,
            lanes_blocked: incident.lanes_blocked(),
            responder: incident.responder,
        });
    }

    /// The responder of an incident is there.
    pub(super) fn on_scene(&mut self, number: u32) {
        self.live.incidents[number as usize].status = Status::OnScene;
        self.note(number);
        let clearance = self.live.incidents[number as usize].clearance(self.city.rng);
        self.push(self.live.now + clearance, Event::Incident { number });
    }
}

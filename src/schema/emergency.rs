//! `emergency_data`: one step in the life of an incident.

use super::field::{Field, Kind::*};

pub(super) const FIELDS: &[Field] = &[
    Field::original("id", Text, "id", "UUIDv8 of the event"),
    Field::original("deviceId", Text, "device_id", "the district's dispatch desk"),
    Field::original("incidentId", Text, "incident_id", "the incident; all its steps share it"),
    Field::original("type", Text, "incident_type", "Accident, Fire, Medical, Police or Breakdown"),
    Field::original("timestamp", Time, "event_time", "when the step happened"),
    Field::original("location", Point, "location", "the incident's place").unit("deg"),
    Field::original("status", Text, "status", "Reported, Dispatched, OnScene, LanesCleared or Resolved"),
    Field::original("description", Text, "description", "one sentence for people"),
    Field::added("sentAt", Time, "sent_at", "when the desk sent it"),
    Field::added("severity", Int, "severity", "1 slight to 3 severe"),
    Field::added("roadId", Text, "road_id", "the road that it is on"),
    Field::added("lanesBlocked", Int, "lanes_blocked", "lanes blocked from now on"),
    Field::added("responderId", Text, "responder_id", "the vehicle that was sent").null_when("none is dispatched yet"),
];

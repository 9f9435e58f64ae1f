//! `truth_*` (off by default): what really happened, and the label of every injected fault.

use super::field::{Field, Kind::*};

pub(super) const CROSSING: &[Field] = &[
    Field::added("deviceId", Text, "device_id", "the vehicle's device"),
    Field::added("roadId", Text, "road_id", "the road"),
    Field::added("lane", Int, "lane", "the lane, 0 at the kerb; vehicles leave it in the order in which they came"),
    Field::added("trip", Long, "trip", "the vehicle's trip number since the city's start"),
    Field::added("tIn", Time, "t_in", "when the traffic let it into the road; the vehicle itself follows within 15 s"),
    Field::added("tOut", Time, "t_out", "when the traffic let it out; the vehicle itself follows within 15 s"),
];

pub(super) const EVENT: &[Field] = &[
    Field::added("id", Text, "id", "the event"),
    Field::added("stream", Text, "stream", "the stream that it belongs to"),
    Field::added("trueTime", Time, "true_time", "when it was measured, by the true clock"),
    Field::added("sentAt", Time, "sent_at", "when the device sent it"),
    Field::added("trueLocation", Point, "location", "where it really was").unit("deg"),
];

pub(super) const FAULT: &[Field] = &[
    Field::added("id", Text, "id", "the event"),
    Field::added("stream", Text, "stream", "the stream that it belongs to"),
    Field::added(
        "kind",
        Text,
        "kind",
        "what is wrong with it: late, duplicate, drop, bad_json and so on, as docs/faults.md lists them",
    ),
    Field::added("sentAt", Time, "sent_at", "when the faulty event was sent, or would have been"),
    Field::added("clean", Text, "clean", "the payload as it would have been without the fault, as JSON text"),
];

//! `gps_data`: a position fix of a vehicle's receiver.

use super::field::{Field, Kind::*};

pub(super) const FIELDS: &[Field] = &[
    Field::original("id", Text, "id", "UUIDv8 of the event"),
    Field::original("deviceId", Text, "device_id", "the vehicle's device"),
    Field::original("timestamp", Time, "event_time", "when it was measured, by the device's clock"),
    Field::original("speed", Double, "speed_kmh", "Doppler speed").unit("km/h"),
    Field::original("direction", Text, "direction", "compass name of the last moving heading"),
    Field::original("vehicleType", Text, "vehicle_type", "Car, Van, Goods or Emergency"),
    Field::added("sentAt", Time, "sent_at", "when the device sent it"),
    Field::added("location", Point, "location", "measured place").unit("deg"),
    Field::added("heading", Double, "heading_deg", "0 = north, clockwise")
        .unit("deg")
        .null_when("speed is below 1.5 m/s"),
    Field::added("accuracyM", Double, "accuracy_m", "the receiver's own estimate of its error").unit("m"),
    Field::added(
        "fix",
        Text,
        "fix",
        "3D, or 2D where buildings hide satellites; without a fix, as in a tunnel, nothing is sent",
    ),
];

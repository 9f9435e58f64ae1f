//! `vehicle_data`: a vehicle's own report.

use super::field::{Field, Kind::*};

pub(super) const FIELDS: &[Field] = &[
    Field::original("id", Text, "id", "UUIDv8 of the event"),
    Field::original("deviceId", Text, "device_id", "the vehicle's device"),
    Field::original("timestamp", Time, "event_time", "when it was measured, by the device's clock"),
    Field::original("location", Point, "location", "true place").unit("deg"),
    Field::original("speed", Double, "speed_kmh", "speed over ground").unit("km/h"),
    Field::original("direction", Text, "direction", "compass name of the last moving heading"),
    Field::original("make", Text, "make", "manufacturer"),
    Field::original("model", Text, "model", "model of that manufacturer"),
    Field::original("year", Int, "model_year", "model year"),
    Field::original("fuelType", Text, "fuel_type", "Petrol, Diesel, Hybrid or Electric"),
    Field::added("sentAt", Time, "sent_at", "when the device sent it"),
    Field::added("heading", Double, "heading_deg", "0 = north, clockwise")
        .unit("deg")
        .null_when("speed is below 1.5 m/s"),
    Field::added("odometerKm", Double, "odometer_km", "distance driven in its life").unit("km"),
    Field::added("roadId", Text, "road_id", "the road that it is on"),
    Field::added("vehicleType", Text, "vehicle_type", "Car, Van, Goods or Emergency"),
];

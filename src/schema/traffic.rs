//! `traffic_data`: a camera's counts over its interval, which ends at `timestamp`.

use super::field::{Field, Kind::*};

const NO_VEHICLE: &str = "no vehicle passed";

pub(super) const FIELDS: &[Field] = &[
    Field::original("id", Text, "id", "UUIDv8 of the event"),
    Field::original("deviceId", Text, "device_id", "the camera's device"),
    Field::original("cameraId", Text, "camera_id", "the camera"),
    Field::original("location", Point, "location", "where the camera looks").unit("deg"),
    Field::original("timestamp", Time, "event_time", "end of the interval, by the camera's clock"),
    Field::original("snapshot", Text, "snapshot", "URI of a rendered picture").null_when("no picture was rendered"),
    Field::added("sentAt", Time, "sent_at", "when the device sent it"),
    Field::added("roadId", Text, "road_id", "the road that it watches"),
    Field::added("intervalS", Int, "interval_s", "length of the interval").unit("s"),
    Field::added("count", Int, "vehicle_count", "vehicles that passed"),
    Field::added("countCar", Int, "car_count", "cars that passed"),
    Field::added("countVan", Int, "van_count", "vans that passed"),
    Field::added("countGoods", Int, "goods_count", "goods vehicles that passed"),
    Field::added("countEmergency", Int, "emergency_count", "emergency vehicles that passed"),
    Field::added("meanSpeed", Double, "mean_speed_kmh", "arithmetic mean of the speeds at the camera")
        .unit("km/h")
        .null_when(NO_VEHICLE),
    Field::added("p85Speed", Double, "p85_speed_kmh", "85th percentile of those speeds")
        .unit("km/h")
        .null_when(NO_VEHICLE),
    Field::added("speedHistogram", Ints, "speed_histogram", "vehicles per 5 km/h bin from 0; the last bin is open"),
    Field::added("occupancy", Double, "occupancy", "share of the interval in which the spot was covered, per lane"),
    Field::added("headwayS", Double, "headway_s", "mean time between two vehicles")
        .unit("s")
        .null_when("fewer than two vehicles passed"),
    Field::added("queueM", Double, "queue_m", "longest queue seen on the road").unit("m"),
    Field::added("snapshotSha256", Text, "snapshot_sha256", "SHA-256 of the picture, hexadecimal")
        .null_when("no picture was rendered"),
];

//! `reference_data` (compacted): what the events refer to. Exactly one of the structs is set, by `kind`.

use super::field::{Field, Kind::*};

const OTHER_KIND: &str = "the row is of another kind";

pub(super) const FIELDS: &[Field] = &[
    Field::added("id", Text, "id", "the Kafka key: road:…, camera:…, station:…, vehicle:…, city:…"),
    Field::added("kind", Text, "kind", "road, camera, station, vehicle or city"),
    Field::added("road", Struct(ROAD), "road", "a directed road between two junctions").null_when(OTHER_KIND),
    Field::added("camera", Struct(CAMERA), "camera", "a traffic camera").null_when(OTHER_KIND),
    Field::added("station", Struct(STATION), "station", "a weather station").null_when(OTHER_KIND),
    Field::added("vehicle", Struct(VEHICLE), "vehicle", "a vehicle of the fleet").null_when(OTHER_KIND),
    Field::added("city", Struct(CITY), "city", "the city's options").null_when(OTHER_KIND),
];

pub(crate) const ROAD: &[Field] = &[
    Field::added("roadId", Text, "road_id", "the road"),
    Field::added("name", Text, "road_name", "street name"),
    Field::added("roadClass", Text, "road_class", "motorway, arterial or street"),
    Field::added("district", Text, "district", "the district of its start"),
    Field::added("lengthM", Double, "length_m", "length").unit("m"),
    Field::added("lanes", Int, "lanes", "lanes in its direction"),
    Field::added("freeFlowKmh", Double, "free_flow_kmh", "speed limit, the free-flow speed").unit("km/h"),
    Field::added("geometry", Line, "geometry", "its course").unit("deg"),
];

pub(crate) const CAMERA: &[Field] = &[
    Field::added("cameraId", Text, "camera_id", "the camera"),
    Field::added("roadId", Text, "road_id", "the road that it watches"),
    Field::added("offsetM", Double, "offset_m", "distance from the road's start").unit("m"),
    Field::added("location", Point, "location", "where it looks").unit("deg"),
];

pub(crate) const STATION: &[Field] = &[
    Field::added("stationId", Text, "station_id", "the station"),
    Field::added("district", Text, "district", "the district that it stands in"),
    Field::added("location", Point, "location", "its place").unit("deg"),
];

pub(crate) const VEHICLE: &[Field] = &[
    Field::added("deviceId", Text, "device_id", "its device"),
    Field::added("vehicleType", Text, "vehicle_type", "Car, Van, Goods or Emergency"),
    Field::added("make", Text, "make", "manufacturer"),
    Field::added("model", Text, "model", "model of that manufacturer"),
    Field::added("year", Int, "model_year", "model year"),
    Field::added("fuelType", Text, "fuel_type", "Petrol, Diesel, Hybrid or Electric"),
];

pub(crate) const CITY: &[Field] = &[
    Field::added("cityId", Text, "city_id", "48 bits, hexadecimal: seed, model, network, vehicles, start"),
    Field::added("start", Time, "start", "first simulated instant"),
    Field::added("durationMs", Long, "duration_ms", "simulated time").unit("ms"),
    Field::added("vehicles", Int, "vehicles", "size of the fleet"),
    Field::added("options", Text, "options", "every option and fault rate as JSON text, so that a lake can be graded"),
];

//! Mapped wire names, both ways: what a reader with other names sees, and what we read of a writer with other names.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in what they share

use _core::city::CityOptions;
use _core::city::clock::MINUTE;
use _core::codec::json::{Decoder, Encoder};
use _core::codec::names::{Case, Names};
use _core::pipeline::Source;
use _core::schema::{Decoded, Events, Harm, Stream};
use _core::sensor::SensorOptions;
use arrow::array::{Array, AsArray, BinaryArray};
use serde::Deserialize;
use serde_json::Value;

fn names(case: Case, renames: &[(&str, &str)]) -> Names {
    let renames: Vec<_> = renames.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Names::new(case, &renames).unwrap()
}

/// Events of every stream of a small city, the reference rows among them.
fn city() -> Vec<Events> {
    let city = CityOptions { vehicles: 200, duration: 30 * MINUTE, ..CityOptions::default() };
    let source = Source::new(city, SensorOptions::default(), 1).unwrap();
    let mut events = source.reference().unwrap();
    for chunk in source.observe(Ok).unwrap() {
        events.extend(chunk.unwrap().events);
    }
    events
}

fn decode(stream: Stream, names: &Names, values: &[&[u8]]) -> Decoded {
    Decoder::named(stream, names).decode_values(&BinaryArray::from_iter_values(values)).unwrap()
}

/// What a snake_case copy of the workflow declares; `deny_unknown_fields` would find a name that is not mapped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only that each field is there counts")]
struct SnakeVehicle {
    id: String,
    device_id: String,
    timestamp: String,
    location: [f64; 2],
    speed: f64,
    direction: Option<String>,
    brand: String,
    model: String,
    year: i32,
    fuel_type: String,
    sent_at: String,
    heading: Option<f64>,
    odometer_km: f64,
    road_id: Option<String>,
    vehicle_type: String,
}

#[test]
fn a_snake_case_reader_reads_every_vehicle_event() {
    let snake = names(Case::Snake, &[("make", "brand")]);
    let mut read = 0;
    for events in city().iter().filter(|e| e.stream == Stream::Vehicle) {
        let ids = events.batch.column_by_name("deviceId").unwrap().as_string::<i32>();
        for (row, value) in Encoder::named(Stream::Vehicle, &snake).encode(events).unwrap().values.iter().enumerate() {
            let vehicle: SnakeVehicle = serde_json::from_slice(value.unwrap()).unwrap();
            assert_eq!(vehicle.device_id, ids.value(row));
            read += 1;
        }
    }
    assert!(read > 100, "{read}");
}

#[test]
fn every_stream_comes_back_through_mapped_names() {
    // A name that is longer than what stands in a prefix takes another way.
    let long = "the_name_of_the_road_is_longer_than_a_prefix";
    let given = [("make", "brand"), ("roadId", long), ("reference.road.lanes", "lane_count")];
    let mapped = names(Case::Snake, &given);
    let mut rows = 0;
    for events in city() {
        let messages = Encoder::named(events.stream, &mapped).encode(&events).unwrap();
        let decoded = Decoder::named(events.stream, &mapped).decode_values(&messages.values).unwrap();
        assert!(decoded.bad.is_empty());
        let last = decoded.batch.num_columns() - 1;
        assert_eq!(decoded.batch.column(last).null_count(), events.batch.num_rows(), "nothing is rescued");
        let wire = decoded.batch.project(&(0..last).collect::<Vec<_>>()).unwrap();
        assert_eq!(wire, events.batch, "{}", events.stream.name());
        rows += wire.num_rows();
    }
    assert!(rows > 2_000, "{rows}");
}

#[test]
fn only_names_differ() {
    let (plain, mapped) = (Names::contract(), names(Case::Snake, &[("gps.speed", "kmh")]));
    let events = city().into_iter().find(|e| e.stream == Stream::Gps).unwrap();
    let encode = |names: &Names| Encoder::named(Stream::Gps, names).encode(&events).unwrap().values;
    let members = |bytes: Option<&[u8]>| -> Vec<(String, Value)> {
        // An array of pairs keeps the order, which a map of serde_json would not.
        let text = std::str::from_utf8(bytes.unwrap()).unwrap();
        let object: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
        let mut members: Vec<_> = object.into_iter().collect();
        members.sort_by_key(|(name, _)| text.find(&format!("\"{name}\":")).unwrap());
        members
    };
    let (before, after) = (encode(plain), encode(&mapped));
    for (before, after) in before.iter().zip(after.iter()) {
        let (before, after) = (members(before), members(after));
        let values = |members: &[(String, Value)]| members.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>();
        assert_eq!(values(&before), values(&after));
        assert_eq!((before[3].0.as_str(), after[3].0.as_str()), ("speed", "kmh"));
    }
}

#[test]
fn a_name_that_is_not_the_mapped_one_is_unknown() {
    let snake = names(Case::Snake, &[]);
    let decoded = decode(Stream::Gps, &snake, &[br#"{"device_id":"a","deviceId":"b"}"#]);
    assert_eq!(decoded.batch.column_by_name("deviceId").unwrap().as_string::<i32>().value(0), "a");
    assert_eq!(decoded.batch.column_by_name("rescued").unwrap().as_string::<i32>().value(0), r#"{"deviceId":"b"}"#);
}

#[test]
fn a_drifted_field_is_unknown_also_where_its_name_was_taken() {
    let taken = names(Case::Camel, &[("gps.speed", "speedKmh"), ("gps.fix", "firmware")]);
    let events = city().into_iter().find(|e| e.stream == Stream::Gps).unwrap();
    let batch = events.batch.slice(0, 1);
    for (harm, unknown) in [(Harm::FieldRenamed, "speedKmh_"), (Harm::FieldAdded, "firmware_")] {
        let harmed = Events { stream: Stream::Gps, batch: batch.clone(), harm: vec![harm] };
        let messages = Encoder::named(Stream::Gps, &taken).encode(&harmed).unwrap();
        let decoded = Decoder::named(Stream::Gps, &taken).decode_values(&messages.values).unwrap();
        let rescued = decoded.batch.column_by_name("rescued").unwrap().as_string::<i32>();
        assert!(rescued.value(0).starts_with(&format!("{{\"{unknown}\":")), "{}", rescued.value(0));
    }
}

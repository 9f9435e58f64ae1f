//! Avro codec: round trips of every stream, other writers' schemas, harm, and bad input.

// Clippy allows these in test functions only, not in what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod codec_fixture;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use _core::codec::avro::{Decoder, Encoder, Schemas, Stored, Writer, schema_text};
use _core::codec::names::{Case, Names};
use _core::codec::{self, json};
use _core::error::{Error, ErrorKind, Result};
use _core::schema::{Decoded, Events, Harm, Kind, Records, Stream};
use arrow::array::{
    Array, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use codec_fixture::{any_stream_events, plain_events};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A registry in memory, which counts what it is asked.
#[derive(Clone, Default)]
struct Kept {
    texts: HashMap<u32, String>,
    asked: Arc<AtomicU32>,
    away: bool,
}

impl Schemas for Kept {
    fn schema(&self, id: u32) -> Result<Option<String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away {
            return Err(Error::new(ErrorKind::Connection, "away"));
        }
        Ok(self.texts.get(&id).cloned())
    }
}

fn stored(texts: impl IntoIterator<Item = (u32, String)>) -> Arc<Stored> {
    Arc::new(Stored::new(Some(Box::new(Kept { texts: texts.into_iter().collect(), ..Kept::default() }))))
}

fn ours(stream: Stream) -> Arc<Stored> {
    stored([(7, schema_text(stream, Names::contract()).unwrap())])
}

fn encode(events: &Events) -> BinaryArray {
    Encoder::new(events.stream, 7).encode(events).unwrap().values
}

fn decode(stream: Stream, stored: &Arc<Stored>, values: &BinaryArray) -> Decoded {
    let decoded = Decoder::new(stream, Names::contract(), Arc::clone(stored)).decode_values(values).unwrap();
    assert_eq!(decoded.good.len(), decoded.batch.num_rows());
    assert_eq!(decoded.good.len() + decoded.bad.len(), values.len());
    decoded
}

fn wire(decoded: &Decoded) -> RecordBatch {
    decoded.batch.project(&(0..decoded.stream.fields().len()).collect::<Vec<_>>()).unwrap()
}

fn rescued(decoded: &Decoded, row: usize) -> Option<String> {
    let column = decoded.batch.column_by_name("rescued").unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

/// A record of one field, framed under 1, with the schema `{"name": name, "type": kind}`.
fn read(stream: Stream, name: &str, kind: Value, body: &[u8]) -> Decoded {
    let schema = json!({"type": "record", "name": "X", "fields": [{"name": name, "type": kind}]}).to_string();
    let message = [&[0, 0, 0, 0, 1], body].concat();
    decode(stream, &stored([(1, schema)]), &BinaryArray::from_iter_values([message]))
}

fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut out = Vec::new();
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn text(value: &str) -> Vec<u8> {
    [long(value.len() as i64), value.as_bytes().to_vec()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(events in any_stream_events(12)) {
        let decoded = decode(events.stream, &ours(events.stream), &encode(&events));
        prop_assert!(decoded.bad.is_empty());
        prop_assert_eq!(wire(&decoded), events.batch.clone());
        prop_assert!((0..events.batch.num_rows()).all(|row| rescued(&decoded, row).is_none()));
    }

    #[test]
    fn both_formats_give_the_same_rows(events in any_stream_events(12)) {
        let avro = decode(events.stream, &ours(events.stream), &encode(&events));
        let json = json::Decoder::new(events.stream).decode_values(&json::encode(&events).unwrap().values).unwrap();
        prop_assert_eq!(avro.batch, json.batch);
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in vec(any::<u8>(), 0..300), stream in 0..9_usize) {
        let stream = Stream::ALL[stream];
        let framed = [&[0, 0, 0, 0, 7][..], &bytes].concat();
        decode(stream, &ours(stream), &BinaryArray::from_iter_values([bytes, framed]));
    }

    #[test]
    fn a_changed_byte_leaves_its_neighbours_whole(events in any_stream_events(3), at: prop::sample::Index, to: u8) {
        let values = encode(&events);
        let mut messages: Vec<Vec<u8>> = values.iter().map(|v| v.unwrap().to_vec()).collect();
        let place = at.index(messages[0].len());
        messages[0][place] = to;
        let decoded = decode(events.stream, &ours(events.stream), &BinaryArray::from_iter_values(messages));
        let rest = events.batch.slice(1, events.batch.num_rows() - 1);
        let found = wire(&decoded);
        prop_assert_eq!(found.slice(found.num_rows() - rest.num_rows(), rest.num_rows()), rest);
    }

    #[test]
    fn no_text_breaks_the_reader_of_schemas(text in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
        let _ = Writer::parse(&text);
    }
}

#[test]
fn a_gps_message_is_what_the_standard_says() {
    let events = plain_events(Stream::Gps);
    let value = encode(&events).value(0).to_vec();
    let id = events.batch.column(0).as_string::<i32>().value(0);
    assert_eq!(value[..5], [0, 0, 0, 0, 7]);
    let start = [vec![2], text(id)].concat();
    assert_eq!(value[5..5 + start.len()], start);
}

#[test]
fn a_message_cut_anywhere_is_truncated_and_its_neighbours_are_whole() {
    let events = plain_events(Stream::Vehicle);
    let values = encode(&events);
    let whole = values.value(0);
    for length in 1..whole.len() {
        let cut = BinaryArray::from_iter_values([values.value(1), &whole[..length], values.value(2)]);
        let decoded = decode(Stream::Vehicle, &ours(Stream::Vehicle), &cut);
        assert_eq!(
            (decoded.bad.as_slice(), decoded.error_reason.as_slice()),
            (&[1][..], &["truncated"][..]),
            "{length}"
        );
        assert_eq!(wire(&decoded), events.batch.slice(1, 2));
    }
}

#[test]
fn each_kind_of_bad_record_has_its_reason() {
    let good = encode(&plain_events(Stream::Gps)).value(0).to_vec();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let bad: Vec<(Option<Vec<u8>>, &str, &str)> = vec![
        (None, "value", "tombstone"),
        (Some(b"{}".to_vec()), "avro", "not_framed"),
        (Some(vec![0, 0, 0]), "avro", "truncated"),
        (Some(with(&|b| b[4] = 9)), "schema", "unknown_schema"),
        (Some(with(&|b| b[4] = 8)), "schema", "unusable_schema"),
        (Some(with(&|b| b.push(0))), "avro", "trailing"),
        (Some(with(&|b| b[5] = 4)), "avro", "malformed"),
        (Some(with(&|b| b[6] = 1)), "avro", "malformed"),
        (Some(with(&|b| b[7] = 0xff)), "avro", "invalid_utf8"),
        (Some([&good[..6], &[0xff; 12]].concat()), "avro", "malformed"),
        (Some(vec![0; json::MAX_RECORD_BYTES + 1]), "value", "too_large"),
    ];
    let ours = schema_text(Stream::Gps, Names::contract()).unwrap();
    let stored = stored([(7, ours), (8, "\"string\"".to_owned())]);
    let values: BinaryArray = bad.iter().map(|(value, _, _)| value.as_deref()).collect();
    let decoded = decode(Stream::Gps, &stored, &values);
    assert!(decoded.good.is_empty());
    for (at, (_, stage, reason)) in bad.iter().enumerate() {
        assert_eq!(
            (decoded.error_stage[at], decoded.error_reason[at]),
            (*stage, *reason),
            "{}",
            decoded.error_detail[at]
        );
    }
    assert!(decoded.error_detail[3].contains("schema 9") && decoded.error_detail[4].contains("not a record"));
}

#[test]
fn without_a_registry_a_message_is_bad_and_with_one_away_nothing_is_judged() {
    let values = encode(&plain_events(Stream::Gps));
    let none = Arc::new(Stored::new(None));
    let decoded = decode(Stream::Gps, &none, &values);
    assert!(
        decoded.error_reason.iter().all(|reason| *reason == "no_schema_registry") && decoded.bad.len() == values.len()
    );

    let kept = Kept { away: true, ..Kept::default() };
    let (asked, away) = (Arc::clone(&kept.asked), Arc::new(Stored::new(Some(Box::new(kept)))));
    for _ in 0..3 {
        let error = Decoder::new(Stream::Gps, Names::contract(), Arc::clone(&away)).decode_values(&values).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Connection, "away".to_owned()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "who has lost the registry does not wait for it again and again");
}

#[test]
fn a_schema_is_looked_up_once() {
    let kept = Kept { texts: [(7, schema_text(Stream::Gps, Names::contract()).unwrap())].into(), ..Kept::default() };
    let asked = Arc::clone(&kept.asked);
    let stored = Arc::new(Stored::new(Some(Box::new(kept))));
    let values = encode(&plain_events(Stream::Gps));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(decode(Stream::Gps, &stored, &values).good.len(), values.len()));
        }
    });
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn other_writers_types_are_read_where_they_fit() {
    let double = |decoded: &Decoded, name: &str| {
        decoded.batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0)
    };
    assert_eq!(double(&read(Stream::Gps, "speed", json!("int"), &long(-3)), "speed"), -3.0);
    assert_eq!(double(&read(Stream::Gps, "speed", json!("float"), &1.5_f32.to_le_bytes()), "speed"), 1.5);
    let year = read(Stream::Vehicle, "year", json!("long"), &long(2020));
    assert_eq!(year.batch.column_by_name("year").unwrap().as_primitive::<Int32Type>().value(0), 2020);

    let time = |kind: Value, body: &[u8]| {
        let decoded = read(Stream::Gps, "sentAt", kind, body);
        decoded.batch.column_by_name("sentAt").unwrap().as_primitive::<TimestampMicrosecondType>().value(0)
    };
    assert_eq!(time(json!({"type": "long", "logicalType": "timestamp-millis"}), &long(1_500)), 1_500_000);
    assert_eq!(time(json!("string"), &text("1970-01-01T00:00:01.500Z")), 1_500_000);

    let kinds = json!({"type": "enum", "name": "K", "symbols": ["Car", "Van"]});
    let kind = read(Stream::Gps, "vehicleType", json!(["null", kinds]), &[long(1), long(1)].concat());
    assert_eq!(kind.batch.column_by_name("vehicleType").unwrap().as_string::<i32>().value(0), "Van");

    let place = read(Stream::Gps, "location", json!({"type": "array", "items": "int"}), &[4, 2, 4, 0]);
    let lists = place.batch.column_by_name("location").unwrap().as_list::<i32>();
    assert_eq!(lists.value(0).as_primitive::<Float64Type>().values(), &[1.0, 2.0]);
    // A block with its size in bytes before it.
    let place = read(Stream::Gps, "location", json!({"type": "array", "items": "int"}), &[3, 4, 2, 4, 0]);
    assert_eq!(place.batch.column_by_name("location").unwrap().null_count(), 0);
}

#[test]
fn what_does_not_fit_is_rescued_as_json() {
    let lists = json!({"type": "array", "items": "double"});
    let nan = [&[2][..], &f64::NAN.to_le_bytes(), &[0]].concat();
    let record = json!({"type": "record", "name": "R", "fields": [{"name": "a", "type": "boolean"},
        {"name": "b", "type": {"type": "map", "values": "int"}}]});
    let fixed = json!({"type": "fixed", "name": "F", "size": 2});
    for (name, kind, body, expected) in [
        ("speed", json!("string"), text("fast\""), r#"{"speed":"fast\""}"#),
        ("speed", json!("double"), f64::NAN.to_le_bytes().to_vec(), r#"{"speed":"NaN"}"#),
        ("speed", lists.clone(), nan, r#"{"speed":["NaN"]}"#),
        ("location", lists, vec![0], r#"{"location":[]}"#),
        ("location", json!({"type": "array", "items": "int"}), vec![6, 2, 4, 6, 0], r#"{"location":[1,2,3]}"#),
        ("sentAt", json!("long"), long(5), r#"{"sentAt":5}"#),
        ("id", json!(["null", "long"]), [long(1), long(-7)].concat(), r#"{"id":-7}"#),
        ("firmware", json!("string"), text("2.4"), r#"{"firmware":"2.4"}"#),
        ("raw", json!("bytes"), vec![4, 0xff, 0], r#"{"raw":"/wA="}"#),
        ("raw", fixed, vec![0xff, 0], r#"{"raw":"/wA="}"#),
        ("r", record, [vec![1, 2], text("k"), long(4), vec![0]].concat(), r#"{"r":{"a":true,"b":{"k":4}}}"#),
    ] {
        let decoded = read(Stream::Gps, name, kind.clone(), &body);
        assert_eq!(rescued(&decoded, 0).as_deref(), Some(expected), "{kind}");
        assert!(wire(&decoded).columns().iter().all(|column| column.null_count() == 1), "{kind}");
    }
    let year = read(Stream::Vehicle, "year", json!("long"), &long(i64::MAX));
    assert_eq!(rescued(&year, 0).as_deref(), Some(r#"{"year":9223372036854775807}"#));
}

#[test]
fn what_is_rescued_within_a_struct_stands_under_its_name() {
    let road = json!(["null", {"type": "record", "name": "Road", "fields": [
        {"name": "roadId", "type": "string"}, {"name": "lanes", "type": "string"}, {"name": "toll", "type": "int"}]}]);
    let body = [long(1), text("r1"), text("two"), long(3)].concat();
    let decoded = read(Stream::Reference, "road", road, &body);
    assert_eq!(rescued(&decoded, 0).as_deref(), Some(r#"{"road":{"lanes":"two","toll":3}}"#));
    let road = decoded.batch.column_by_name("road").unwrap().as_struct();
    assert_eq!(road.column_by_name("roadId").unwrap().as_string::<i32>().value(0), "r1");
    // One of two records can't be told to be the road.
    let two = json!([{"type": "record", "name": "A", "fields": [{"name": "roadId", "type": "string"}]},
        {"type": "record", "name": "B", "fields": []}]);
    let decoded = read(Stream::Reference, "road", two, &[long(0), text("r1")].concat());
    assert_eq!(rescued(&decoded, 0).as_deref(), Some(r#"{"road":{"roadId":"r1"}}"#));
}

#[test]
fn hostile_schemas_end() {
    // A record that holds itself, and records that double at each of forty levels without a byte of a message.
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let mut doubling = json!({"type": "record", "name": "R0", "fields": []});
    for level in 1..40 {
        doubling = json!({"type": "record", "name": format!("R{level}"), "fields": [
            {"name": "a", "type": doubling}, {"name": "b", "type": format!("R{}", level - 1)}]});
    }
    let stored = stored([(1, list.to_owned()), (2, doubling.to_string())]);
    let deep = [&[0, 0, 0, 0, 1][..], &[2; 1000]].concat();
    let values = BinaryArray::from_iter_values([deep, vec![0, 0, 0, 0, 2]]);
    let decoded = decode(Stream::Gps, &stored, &values);
    assert_eq!(decoded.error_reason, ["too_deep", "too_large"]);
    // Long names for short values.
    let nulls: Vec<_> = (0..100).map(|i| json!({"name": format!("{}{i}", "x".repeat(900)), "type": "null"})).collect();
    let record = json!({"type": "record", "name": "N", "fields": nulls});
    let wide = json!({"type": "array", "items": {"type": "record", "name": "W", "fields": [
        {"name": "n", "type": record}, {"name": "i", "type": "int"}]}});
    let wide = read(Stream::Gps, "x", wide, &[long(1_000), vec![0; 1_001]].concat());
    assert_eq!(wide.error_reason, ["too_large"]);
    // Billions of nothing.
    let many = read(Stream::Gps, "x", json!({"type": "array", "items": "null"}), &long(i64::MAX));
    assert_eq!(many.error_reason, ["truncated"]);
}

#[test]
fn harm_that_bytes_can_show_is_done_and_other_is_refused() {
    let events = plain_events(Stream::Gps);
    let harmed = |harm| Events { harm: vec![harm; events.batch.num_rows()], ..events.clone() };
    for (harm, reasons) in
        [(Harm::BadJson, &["truncated"][..]), (Harm::Tombstone, &["tombstone"]), (Harm::PoisonPill, &["not_framed"])]
    {
        let values = encode(&harmed(harm));
        let decoded = decode(Stream::Gps, &ours(Stream::Gps), &values);
        assert_eq!(decoded.bad.len(), events.batch.num_rows());
        assert!(decoded.error_reason.iter().all(|reason| reasons.contains(reason)), "{:?}", decoded.error_reason);
    }
    let refused = [Harm::WrongType, Harm::MissingField, Harm::OutOfRange];
    for harm in refused.into_iter().chain([Harm::FieldRenamed, Harm::FieldAdded, Harm::FieldRetyped]) {
        let error = Encoder::new(Stream::Gps, 7).encode(&harmed(harm)).unwrap_err().to_string();
        assert!(error.contains(harm.name()) && error.contains("json"), "{error}");
    }
}

#[test]
fn what_avro_can_not_say_is_null_or_refused() {
    let mut events = plain_events(Stream::Gps);
    let replace = |events: &mut Events, name: &str, array: arrow::array::ArrayRef| {
        let at = events.batch.schema().index_of(name).unwrap();
        let mut columns = events.batch.columns().to_vec();
        columns[at] = array;
        events.batch = RecordBatch::try_new(events.stream.wire_schema(), columns).unwrap();
    };
    let rows = events.batch.num_rows();
    replace(&mut events, "speed", Arc::new(Float64Array::from(vec![f64::INFINITY; rows])));
    let decoded = decode(Stream::Gps, &ours(Stream::Gps), &encode(&events));
    assert_eq!(decoded.batch.column_by_name("speed").unwrap().null_count(), rows);
    let place = codec_fixture::points(&vec![Some((f64::NAN, 1.0)); rows]);
    replace(&mut events, "location", place);
    assert!(Encoder::new(Stream::Gps, 7).encode(&events).unwrap_err().to_string().contains("point"));
}

#[test]
fn schemas_follow_from_the_streams_and_their_names() {
    for stream in Stream::ALL {
        let schema: Value = serde_json::from_str(&schema_text(stream, Names::contract()).unwrap()).unwrap();
        let fields = schema["fields"].as_array().unwrap();
        let names: Vec<_> = fields.iter().map(|f| f["name"].as_str().unwrap()).collect();
        assert_eq!(names, stream.fields().iter().map(|f| f.name).collect::<Vec<_>>());
        assert!(fields.iter().all(|f| f["default"].is_null() && f["type"][0] == "null" && !f["doc"].is_null()));
        Writer::parse(&schema.to_string()).unwrap();
    }
    let snake = Names::new(Case::Snake, &[]).unwrap();
    assert!(schema_text(Stream::Gps, &snake).unwrap().contains("\"vehicle_type\""));
    let spaced = Names::new(Case::Camel, &[("make".to_owned(), "the make".to_owned())]).unwrap();
    let error = schema_text(Stream::Vehicle, &spaced).unwrap_err().to_string();
    assert!(error.contains("\"the make\""), "{error}");
    let kinds = Stream::ALL.iter().flat_map(|s| s.fields()).filter(|f| matches!(f.kind, Kind::Struct(_))).count();
    assert_eq!(kinds, 5);
}

#[test]
fn records_of_all_formats_in_one_batch_keep_their_order() {
    let events = plain_events(Stream::Gps);
    let avro = encode(&events);
    let json = json::encode(&events).unwrap().values;
    let arrow = codec::arrow_ipc::Encoder::new(Stream::Gps, Names::contract()).encode(&events, |_| 0).unwrap();
    let values: BinaryArray = [
        Some(json.value(0)),
        Some(avro.value(1)),
        Some(&b"{"[..]),
        Some(arrow.messages.values.value(0)),
        None,
        Some(avro.value(2)),
        Some(&[0_u8, 0][..]),
        Some(json.value(3)),
    ]
    .into_iter()
    .collect();
    let rows = values.len();
    let records = Records {
        partition: 0,
        offsets: Int64Array::from_iter_values(0..rows as i64),
        timestamps: TimestampMicrosecondArray::new_null(rows),
        keys: BinaryArray::new_null(rows),
        values,
        headers: StringArray::new_null(rows),
    };
    let decoded = codec::decode(Stream::Gps, Names::contract(), &ours(Stream::Gps), &records).unwrap();
    assert_eq!(decoded.good, [0, 1, 3, 3, 3, 3, 3, 5, 7]);
    assert_eq!((decoded.bad, decoded.error_reason), (vec![2, 4, 6], vec!["truncated", "tombstone", "truncated"]));
    let ids = |batch: &RecordBatch| -> Vec<String> {
        batch.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect()
    };
    let all = ids(&events.batch);
    let expected: Vec<_> = [0, 1, 0, 1, 2, 3, 4, 2, 3].map(|at: usize| all[at].clone()).into();
    assert_eq!(ids(&decoded.batch), expected);
}

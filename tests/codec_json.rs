//! JSON codec: round trips of every stream, a second path by `serde_json`, harm, and bad input.

// Clippy allows these in test functions only, not in what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod codec_fixture;

use std::collections::BTreeSet;
use std::sync::Arc;

use _core::codec::corrupt::out_of_range;
use _core::codec::json::{self, Decoder, Encoder};
use _core::error::ErrorKind;
use _core::schema::{Decoded, Events, Field, Harm, Kind, Records, Stream};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};

use codec_fixture::{any_stream_events, events, plain_events};

const CASES: u32 = 256;

fn messages(events: &Events) -> Vec<Vec<u8>> {
    json::encode(events).unwrap().values.iter().map(|v| v.unwrap().to_vec()).collect()
}

fn records(values: BinaryArray) -> Records {
    let rows = values.len();
    Records {
        partition: 0,
        offsets: Int64Array::from_iter_values(0..rows as i64),
        timestamps: TimestampMicrosecondArray::new_null(rows),
        keys: BinaryArray::new_null(rows),
        values,
        headers: StringArray::new_null(rows),
    }
}

fn decode(stream: Stream, values: &[impl AsRef<[u8]>]) -> Decoded {
    let decoded = json::decode(stream, &records(BinaryArray::from_iter_values(values))).unwrap();
    check_verdicts(&decoded, values.len());
    decoded
}

/// Good and bad are all records, in order, and each has what belongs to it.
fn check_verdicts(decoded: &Decoded, records: usize) {
    assert_eq!(decoded.good.len(), decoded.batch.num_rows());
    assert_eq!(decoded.good.len() + decoded.bad.len(), records);
    assert!(decoded.good.is_sorted() && decoded.bad.is_sorted());
    let all: BTreeSet<_> = decoded.good.iter().chain(&decoded.bad).copied().collect();
    assert_eq!(all, (0..records as u32).collect());
    for texts in [decoded.error_stage.len(), decoded.error_reason.len(), decoded.error_detail.len()] {
        assert_eq!(texts, decoded.bad.len());
    }
    for (stage, reason) in decoded.error_stage.iter().zip(&decoded.error_reason) {
        let expected = match *reason {
            "tombstone" | "too_large" => "value",
            "invalid_utf8" => "utf8",
            "truncated" | "syntax" | "not_an_object" | "too_deep" => "json",
            other => panic!("undocumented reason {other}"),
        };
        assert_eq!(*stage, expected);
    }
}

fn wire_part(decoded: &Decoded) -> RecordBatch {
    let wire: Vec<_> = (0..decoded.stream.fields().len()).collect();
    decoded.batch.project(&wire).unwrap()
}

fn rescued(decoded: &Decoded, row: usize) -> Option<String> {
    let column = decoded.batch.column_by_name("rescued").unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}

// The second path.

/// What a cell is in JSON.
fn cell(kind: Kind, column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let items = |kind: Kind| {
        let items = column.as_list::<i32>().value(row);
        (0..items.len()).map(|i| cell(kind, &items, i)).collect()
    };
    match kind {
        Kind::Text => column.as_string::<i32>().value(row).into(),
        Kind::Int => column.as_primitive::<Int32Type>().value(row).into(),
        Kind::Long => column.as_primitive::<Int64Type>().value(row).into(),
        Kind::Double => column.as_primitive::<Float64Type>().value(row).into(),
        Kind::Time => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let millis = TimestampMicrosecondArray::from_iter_values([micros]);
            let millis = cast(&millis, &DataType::Timestamp(TimeUnit::Millisecond, None)).unwrap();
            let text = cast(&millis, &DataType::Utf8).unwrap();
            let text = text.as_string::<i32>().value(0);
            // Arrow leaves out a fraction of zero.
            let fraction = if text.contains('.') { "" } else { ".000" };
            format!("{text}{fraction}Z").into()
        }
        Kind::Point => items(Kind::Double),
        Kind::Ints => items(Kind::Int),
        Kind::Line => items(Kind::Point),
        Kind::Struct(fields) => {
            let columns = column.as_struct();
            let member = |(f, c): (&Field, &ArrayRef)| (f.name.to_owned(), cell(f.kind, c, row));
            Value::Object(fields.iter().zip(columns.columns()).map(member).collect())
        }
    }
}

/// Equality, but for the last bits of a double, which `serde_json` doesn't always read right, and for 1 and 1.0.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-14
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (a, b) => a == b,
    }
}

/// Whether `serde_json` reads a JSON object; `None` where it stops at a number too big for a double, which is grammar all
/// the same.
fn is_object(bytes: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => Some(value.is_object()),
        Err(e) if e.to_string().contains("number out of range") => None,
        Err(_) => Some(false),
    }
}

const TIME: &str = "2026-06-01T08:00:00.000Z";

/// Values of every JSON type, each of which fits some columns and not others.
const VALUES: [&str; 22] = [
    "null",
    "true",
    "\"text\"",
    "\"\"",
    "\"2026-06-01T08:00:00.000Z\"",
    "\"2026-06-31T08:00:00.000Z\"",
    "0",
    "-7",
    "12.5",
    "2147483648",
    "9223372036854775808",
    "1e2",
    "[]",
    "[1.5,2]",
    "[1,2]",
    "[1,2,3]",
    "[1,\"2\"]",
    "[1,null]",
    "[[1,2]]",
    "{}",
    "{\"a\":[1,{\"b\":\"\\u0041\"}]}",
    "[ 1 , 2 ]",
];

/// Whether one of [`VALUES`] fits a kind.
fn fits(kind: Kind, value: &Value) -> bool {
    let items = |fit: fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(fit));
    let is_int = |value: &Value| value.as_i64().is_some_and(|v| i32::try_from(v).is_ok());
    match kind {
        _ if value.is_null() => true,
        Kind::Text => value.is_string(),
        Kind::Int => is_int(value),
        Kind::Long => value.is_i64(),
        Kind::Double => value.is_number(),
        Kind::Time => value == TIME,
        Kind::Point => items(Value::is_number) && value.as_array().is_some_and(|items| items.len() == 2),
        Kind::Ints => items(|v| v.is_null() || v.is_i64()),
        Kind::Line | Kind::Struct(_) => panic!("none of the tested streams has it"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_valid_batch_reads_back_exactly(events in any_stream_events(12)) {
        let encoded = json::encode(&events).unwrap();
        prop_assert_eq!(encoded.keys.len(), events.batch.num_rows());
        let decoded = json::decode(events.stream, &records(encoded.values)).unwrap();
        check_verdicts(&decoded, events.batch.num_rows());
        prop_assert_eq!(decoded.bad.len(), 0);
        prop_assert_eq!(wire_part(&decoded), events.batch);
        prop_assert_eq!(decoded.batch.column_by_name("rescued").unwrap().null_count(), decoded.batch.num_rows());
    }

    #[test]
    fn serde_json_reads_what_we_write(events in any_stream_events(6)) {
        for (row, message) in messages(&events).iter().enumerate() {
            let theirs: Map<String, Value> = serde_json::from_slice(message).unwrap();
            let mut found = 0;
            for (field, column) in events.stream.fields().iter().zip(events.batch.columns()) {
                let ours = cell(field.kind, column, row);
                if ours.is_null() && matches!(field.kind, Kind::Struct(_)) {
                    prop_assert!(!theirs.contains_key(field.name));
                    continue;
                }
                prop_assert!(same(&ours, &theirs[field.name]), "{}: {ours} and {}", field.name, theirs[field.name]);
                found += 1;
            }
            prop_assert_eq!(theirs.len(), found);
        }
    }

    #[test]
    fn a_slice_of_a_batch_is_encoded_like_its_rows(events in any_stream_events(8), at in any::<prop::sample::Index>()) {
        let at = at.index(events.batch.num_rows());
        let slice = Events { batch: events.batch.slice(at, events.batch.num_rows() - at), ..events.clone() };
        let all = messages(&events);
        prop_assert_eq!(messages(&slice), &all[at..]);
        let clean = json::encode_row_clean(&events, at).unwrap();
        prop_assert_eq!(clean.as_bytes(), all[at].as_slice());
    }

    #[test]
    fn arbitrary_bytes_are_a_verdict(values in vec(vec(any::<u8>(), 0..40), 1..20)) {
        let decoded = decode(Stream::Gps, &values);
        for &row in &decoded.good {
            prop_assert_ne!(is_object(&values[row as usize]), Some(false));
        }
    }

    #[test]
    fn we_and_serde_json_agree_on_what_is_json(
        events in any_stream_events(1),
        edits in vec(
            (any::<prop::sample::Index>(), 0..9, prop::sample::select(b"{}[]\":,\\u0e1-+. ntd8\x00\xff".to_vec())),
            1..4,
        ),
    ) {
        let mut message = messages(&events).remove(0);
        for (place, edit, byte) in edits {
            let at = place.index(message.len().max(1)).min(message.len());
            match edit {
                0..3 if at < message.len() => message[at] = byte,
                3..6 => message.insert(at, byte),
                6..8 if at < message.len() => drop(message.remove(at)),
                _ => message.truncate(at),
            }
        }
        let decoded = decode(events.stream, &[&message]);
        let text = String::from_utf8_lossy(&message);
        if let Some(expected) = is_object(&message) {
            prop_assert_eq!(decoded.good.len() == 1, expected, "{} {:?}", text, decoded.error_detail);
        }
    }

    #[test]
    fn each_field_lands_in_its_column_or_in_rescued(
        stream in prop::sample::select(vec![Stream::Gps, Stream::Traffic, Stream::Weather, Stream::TruthCrossing]),
        members in vec(
            (any::<prop::sample::Index>(), prop::sample::select(VALUES.to_vec()), prop::sample::select(vec!["", " ", "\t\r\n"])),
            0..30,
        ),
        escape in any::<bool>(),
    ) {
        let names: Vec<_> = stream.fields().iter().map(|f| f.name).chain(["extra", "", "Speed", "ü"]).collect();
        let (mut texts, mut given, mut rejected) = (Vec::new(), Map::new(), Vec::new());
        for (name, value, space) in &members {
            let name = *name.get(&names);
            let written = if escape && name == "deviceId" { "device\\u0049d" } else { name };
            texts.push(format!("{space}\"{written}\"{space}:{space}{value}{space}"));
            let parsed: Value = serde_json::from_str(value).unwrap();
            let field = stream.fields().iter().find(|f| f.name == name);
            let fitting = field.is_some_and(|f| fits(f.kind, &parsed));
            let first = field.is_some() && !given.contains_key(name);
            if first {
                given.insert(name.to_owned(), if fitting { parsed } else { Value::Null });
            }
            if !first || !fitting {
                rejected.push(format!("\"{written}\":{value}"));
            }
        }
        let decoded = decode(stream, &[format!("{{{}}}", texts.join(","))]);
        prop_assert_eq!(&decoded.error_detail, &Vec::<String>::new());
        let expected = (!rejected.is_empty()).then(|| format!("{{{}}}", rejected.join(",")));
        prop_assert_eq!(rescued(&decoded, 0), expected);
        for (field, column) in stream.fields().iter().zip(decoded.batch.columns()) {
            let found = cell(field.kind, column, 0);
            let expected = given.get(field.name).unwrap_or(&Value::Null);
            prop_assert!(same(&found, expected), "{}: {} and {}", field.name, found, expected);
        }
    }
}

// Harm.

fn harmed(stream: Stream, harm: Harm) -> (Events, Vec<Vec<u8>>, Decoded) {
    let mut events = plain_events(stream);
    // The third row stays clean between harmed ones.
    events.harm = vec![harm, harm, Harm::None, harm, harm];
    let values = messages(&events);
    let decoded = decode(stream, &values);
    (events, values, decoded)
}

#[test]
fn bad_json_is_cut_and_its_neighbours_are_whole() {
    for stream in Stream::ALL {
        let (events, values, decoded) = harmed(stream, Harm::BadJson);
        assert_eq!(decoded.bad, [0, 1, 3, 4], "{}", stream.name());
        assert!(decoded.error_reason.iter().all(|&r| r == "truncated"), "{:?}", decoded.error_detail);
        assert_eq!(wire_part(&decoded), events.batch.slice(2, 1));
        for (row, value) in values.iter().enumerate() {
            let clean = json::encode_row_clean(&events, row).unwrap();
            assert!(clean.as_bytes().starts_with(value), "{clean}");
            assert_eq!(clean.len() == value.len(), row == 2);
        }
    }
}

#[test]
fn harm_in_one_field_hits_a_required_one_and_leaves_the_others() {
    for stream in Stream::EVENTS {
        for harm in [Harm::WrongType, Harm::MissingField, Harm::OutOfRange] {
            let (events, _, decoded) = harmed(stream, harm);
            assert_eq!(decoded.good, [0, 1, 2, 3, 4]);
            for row in 0..5 {
                let differs = |c: &usize| {
                    let (found, clean) = (decoded.batch.column(*c), events.batch.column(*c));
                    found.slice(row, 1) != clean.slice(row, 1)
                };
                let differing: Vec<_> = (0..stream.fields().len()).filter(differs).collect();
                if row == 2 {
                    assert!(differing.is_empty());
                    continue;
                }
                let [column] = differing[..] else { panic!("{harm:?} of {}: {differing:?}", stream.name()) };
                let field = &stream.fields()[column];
                assert!(field.required() && field.name != "id", "{harm:?} of {}: {}", stream.name(), field.name);
                let found = cell(field.kind, decoded.batch.column(column), row);
                match harm {
                    Harm::WrongType => {
                        assert_eq!(rescued(&decoded, row), Some(format!("{{\"{}\":\"n/a\"}}", field.name)));
                        assert!(found.is_null() && field.kind != Kind::Text);
                    }
                    Harm::MissingField => assert!(found.is_null() && rescued(&decoded, row).is_none()),
                    _ => {
                        let (_, value) = out_of_range(stream).iter().find(|(name, _)| *name == field.name).unwrap();
                        assert_eq!(found, serde_json::from_str::<Value>(value).unwrap());
                        assert!(rescued(&decoded, row).is_none());
                    }
                }
            }
        }
    }
}

#[test]
fn harm_follows_from_the_id_and_not_from_the_place() {
    let mut events = plain_events(Stream::Weather);
    events.harm = vec![Harm::OutOfRange; 5];
    let all = messages(&events);
    events.batch = events.batch.slice(3, 2);
    events.harm.truncate(2);
    assert_eq!(messages(&events), &all[3..]);
}

#[test]
fn a_stream_without_a_field_for_a_harm_says_so() {
    let mut events = plain_events(Stream::Reference);
    events.harm = vec![Harm::OutOfRange; 5];
    let error = json::encode(&events).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("reference") && error.to_string().contains("out_of_range"), "{error}");
}

// Bytes of the contract.

#[test]
fn a_gps_message_is_the_contracts_text() {
    let events = plain_events(Stream::Gps);
    let encoded = json::encode(&events).unwrap();
    assert_eq!(
        std::str::from_utf8(encoded.values.value(1)).unwrap(),
        "{\"id\":\"text-1\",\"deviceId\":\"text-1\",\"timestamp\":\"2026-06-01T00:00:00.001Z\",\"speed\":1.25,\
         \"direction\":\"text-1\",\"vehicleType\":\"text-1\",\"sentAt\":\"2026-06-01T00:00:00.001Z\",\
         \"location\":[41.7,-73.9],\"heading\":1.25,\"accuracyM\":1.25,\"fix\":\"text-1\"}"
    );
    let device_ids = events.batch.column_by_name("deviceId").unwrap().as_string::<i32>();
    assert_eq!(encoded.keys.value_data().as_ptr(), device_ids.value_data().as_ptr(), "keys were copied");
}

#[test]
fn values_that_json_cannot_say_are_null() {
    let mut columns = plain_events(Stream::Gps).batch.columns().to_vec();
    let index = |name| Stream::Gps.wire_schema().index_of(name).unwrap();
    columns[index("speed")] = Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0]));
    let times = TimestampMicrosecondArray::from(vec![i64::MAX, i64::MIN, 0, 0, 0]).with_timezone("UTC");
    columns[index("timestamp")] = Arc::new(times);
    let decoded = decode(Stream::Gps, &messages(&events(Stream::Gps, columns)));
    let nulls = |name| (0..5).map(|row| decoded.batch.column(index(name)).is_null(row)).collect::<Vec<_>>();
    assert_eq!(nulls("speed"), [true, true, true, false, false]);
    assert_eq!(nulls("timestamp"), [true, true, false, false, false]);
    assert_eq!(decoded.batch.column_by_name("rescued").unwrap().null_count(), 5);
}

#[test]
fn null_structs_are_left_out_of_reference_and_other_nulls_are_written() {
    let schema = Stream::Reference.wire_schema();
    let mut columns: Vec<ArrayRef> = schema.fields().iter().map(|f| new_null_array(f.data_type(), 1)).collect();
    columns[0] = Arc::new(StringArray::from(vec!["road:1"]));
    let DataType::Struct(road) = schema.field(2).data_type() else { panic!("road is no struct") };
    let nulls = road.iter().map(|f| new_null_array(f.data_type(), 1)).collect();
    columns[2] = Arc::new(StructArray::new(road.clone(), nulls, None));
    assert_eq!(
        json::encode_row_clean(&events(Stream::Reference, columns), 0).unwrap(),
        "{\"id\":\"road:1\",\"kind\":null,\"road\":{\"roadId\":null,\"name\":null,\"roadClass\":null,\
         \"district\":null,\"lengthM\":null,\"lanes\":null,\"freeFlowKmh\":null,\"geometry\":null}}"
    );
}

#[test]
fn an_encoder_reuses_memory_and_writes_the_same() {
    let events = plain_events(Stream::Traffic);
    let mut encoder = Encoder::new(Stream::Traffic);
    let first = encoder.encode(&events).unwrap();
    let expected = messages(&events);
    let second = encoder.encode(&events).unwrap();
    let memory = second.values.value_data().as_ptr();
    encoder.recycle(second);
    let third = encoder.encode(&events).unwrap();
    assert_eq!(third.values.value_data().as_ptr(), memory);
    for messages in [first, third] {
        assert_eq!(messages.values.iter().map(|v| v.unwrap().to_vec()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_batch_that_is_not_the_streams_is_refused_by_name() {
    let events = plain_events(Stream::Gps);
    let speed = events.batch.schema().index_of("speed").unwrap();
    let mut without = events.clone();
    without.batch.remove_column(speed);
    let mut columns: Vec<_> =
        Stream::Gps.fields().iter().map(|f| f.name).zip(events.batch.columns().iter().cloned()).collect();
    columns[speed].1 = Arc::new(NullArray::new(5));
    let retyped = Events { batch: RecordBatch::try_from_iter(columns).unwrap(), ..events.clone() };
    for (events, expected) in [(without, "\"speed\" is missing"), (retyped, "\"speed\" is Null, expected Float64")] {
        let error = json::encode(&events).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(Encoder::new(Stream::Vehicle).encode(&events).is_err());
    assert!(json::encode_row_clean(&events, 5).is_err());
}

// Bad input.

#[test]
fn a_message_cut_anywhere_is_bad_and_leaves_its_neighbours_whole() {
    for stream in Stream::ALL {
        let events = plain_events(stream);
        let whole = messages(&events);
        let values: Vec<_> = (0..whole[1].len()).flat_map(|cut| [whole[0].as_slice(), &whole[1][..cut]]).collect();
        let decoded = decode(stream, &values);
        assert_eq!(decoded.bad.len(), whole[1].len());
        assert!(decoded.error_reason.iter().all(|&r| r == "truncated"), "{}", stream.name());
        let rows = wire_part(&decoded);
        assert!((0..rows.num_rows()).all(|row| rows.slice(row, 1) == events.batch.slice(0, 1)), "{}", stream.name());
    }
}

#[test]
fn each_kind_of_bad_record_has_its_reason_and_place() {
    let nested = |depth| format!("{{\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let (fits, deep) = (nested(63), nested(64));
    let cases: [(&[u8], &str, &str); 16] = [
        (b"", "truncated", "byte 0: the record is empty"),
        (b"  ", "truncated", "byte 2: "),
        (b"{\"id\":\"\xff\"}", "invalid_utf8", "byte 7: not UTF-8"),
        (b"{\"id\":\"a\"", "truncated", "byte 9: "),
        (b"{\"id\":\"a", "truncated", "byte 8: a string has no end"),
        (b"{\"id\":\"a\"}x", "syntax", "byte 10: something follows the value"),
        (b"{\"id\":\"a\"}{}", "syntax", "byte 10: "),
        (b"{\"id\":\"a\",}", "syntax", "byte 10: a name in quotes was expected"),
        (b"{\"speed\":01}", "syntax", "byte 9: a number begins with zero"),
        (b"{\"speed\":+1}", "syntax", "byte 9: a value was expected"),
        (b"{\"speed\":NaN}", "syntax", "byte 9: "),
        (b"{\"unknown\":\"\\ud800\"}", "syntax", "byte 18: half of a surrogate pair"),
        (b"[1]", "not_an_object", "byte 0: "),
        (b" \"text\" ", "not_an_object", "byte 1: "),
        (b"12 13", "syntax", "byte 3: "),
        (deep.as_bytes(), "too_deep", "byte 68: "),
    ];
    let values: Vec<&[u8]> = cases.iter().map(|c| c.0).chain([fits.as_bytes()]).collect();
    let decoded = decode(Stream::Gps, &values);
    assert_eq!(decoded.good, [16]);
    assert_eq!(decoded.bad.len(), 16);
    for (i, (bytes, reason, detail)) in cases.iter().enumerate() {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(decoded.error_reason[i], *reason, "{text}: {}", decoded.error_detail[i]);
        assert!(decoded.error_detail[i].starts_with(detail), "{text}: {}", decoded.error_detail[i]);
    }
}

#[test]
fn tombstones_and_large_records_are_bad_before_they_are_read() {
    let values = BinaryArray::from(vec![None, Some(b"{}".as_slice()), Some(b"{\"id\":\"a\"}".as_slice())]);
    let decoded = Decoder::new(Stream::Reference).max_bytes(9).decode(&records(values)).unwrap();
    check_verdicts(&decoded, 3);
    assert_eq!(decoded.good, [1]);
    assert_eq!(decoded.error_reason, ["tombstone", "too_large"]);
    assert_eq!(decoded.error_detail[1], "10 bytes, over the limit of 9");
}

#[test]
fn a_character_shared_by_two_records_is_whole_in_neither() {
    let decoded = decode(Stream::Gps, &[b"{\"id\":\"\xc3".as_slice(), b"\xa9\"}", "{\"id\":\"é\"}".as_bytes()]);
    assert_eq!(decoded.good, [2]);
    assert_eq!(decoded.error_reason, ["invalid_utf8"; 2]);
    assert_eq!(decoded.batch.column(0).as_string::<i32>().value(0), "é");
}

#[test]
fn fields_that_do_not_fit_are_rescued_as_they_stand() {
    let long = format!("{{\"heading\":{}}}", "9".repeat(400));
    let cases = [
        ("{\"speed\":\"fast\"}", Some("{\"speed\":\"fast\"}")),
        ("{ \"speed\" : { \"x\" : [ 1 ] } }", Some("{\"speed\":{ \"x\" : [ 1 ] }}")),
        ("{\"speed\":12}", None),
        ("{\"speed\":null}", None),
        ("{\"location\":[1,2,3]}", Some("{\"location\":[1,2,3]}")),
        ("{\"location\":[1,null]}", Some("{\"location\":[1,null]}")),
        ("{\"location\":[[1,2]]}", Some("{\"location\":[[1,2]]}")),
        ("{\"location\":{}}", Some("{\"location\":{}}")),
        ("{\"timestamp\":1780300800}", Some("{\"timestamp\":1780300800}")),
        ("{\"timestamp\":\"2026-02-30T00:00:00Z\"}", Some("{\"timestamp\":\"2026-02-30T00:00:00Z\"}")),
        ("{\"timestamp\":\"2026-06-01T08:00:00\\u005a\"}", None),
        ("{\"speed\":1e400}", Some("{\"speed\":1e400}")),
        ("{\"speed\":1,\"speed\":2,\"new\":true}", Some("{\"speed\":2,\"new\":true}")),
        ("{\"sp\\u0065ed\":true}", Some("{\"sp\\u0065ed\":true}")),
        (&long, Some(&long)),
    ];
    let texts: Vec<_> = cases.iter().map(|c| c.0).collect();
    let decoded = decode(Stream::Gps, &texts);
    assert_eq!(decoded.bad.len(), 0);
    for (row, (text, expected)) in cases.iter().enumerate() {
        assert_eq!(rescued(&decoded, row).as_deref(), *expected, "{text}");
    }
    let speed = decoded.batch.column_by_name("speed").unwrap().as_primitive::<Float64Type>();
    assert_eq!((speed.value(2), speed.value(12), speed.null_count()), (12.0, 1.0, 13));
    let time = decoded.batch.column_by_name("timestamp").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(time.iter().flatten().collect::<Vec<_>>(), [1_780_300_800_000_000]);
}

#[test]
fn integers_must_be_whole_and_fit() {
    let texts = ["{\"year\":2020.0}", "{\"year\":2e3}", "{\"year\":2147483648}", "{\"year\":2020}", "{\"year\":-1}"];
    let decoded = decode(Stream::Vehicle, &texts);
    let years = decoded.batch.column_by_name("year").unwrap().as_primitive::<Int32Type>();
    assert_eq!(years.iter().collect::<Vec<_>>(), [None, None, None, Some(2020), Some(-1)]);
    assert_eq!(rescued(&decoded, 2).as_deref(), Some("{\"year\":2147483648}"));
    assert_eq!(decoded.batch.column_by_name("rescued").unwrap().null_count(), 2);
}

#[test]
fn what_is_rescued_within_a_struct_stands_under_its_name() {
    let texts = [
        "{\"id\":\"road:1\",\"extra\":1,\"road\":{\"lanes\":\"two\",\"name\":\"Elm\",\"toll\":[]},\"city\":[]}",
        "{\"id\":\"road:2\",\"road\":{\"lanes\":2,\"geometry\":[[1,2],[3]]},\"road\":{}}",
        "{\"id\":\"road:3\",\"road\":{\"lanes\":3,\"geometry\":[[1,2],[3,4]]}}",
        "{\"id\":\"road:4\",\"road\":null}",
    ];
    let decoded = decode(Stream::Reference, &texts);
    assert_eq!(rescued(&decoded, 0).unwrap(), "{\"extra\":1,\"road\":{\"lanes\":\"two\",\"toll\":[]},\"city\":[]}");
    assert_eq!(rescued(&decoded, 1).unwrap(), "{\"road\":{\"geometry\":[[1,2],[3]]},\"road\":{}}");
    assert_eq!((rescued(&decoded, 2), rescued(&decoded, 3)), (None, None));
    let road = decoded.batch.column_by_name("road").unwrap().as_struct();
    assert_eq!((0..4).map(|i| road.is_valid(i)).collect::<Vec<_>>(), [true, true, true, false]);
    let lanes = road.column_by_name("lanes").unwrap().as_primitive::<Int32Type>();
    assert_eq!(lanes.iter().collect::<Vec<_>>(), [None, Some(2), Some(3), None]);
    let geometry = road.column_by_name("geometry").unwrap();
    assert_eq!(cell(Kind::Line, geometry, 2), serde_json::json!([[1.0, 2.0], [3.0, 4.0]]));
    assert!(geometry.is_null(1));
}

#[test]
fn a_decoder_starts_each_batch_empty() {
    let events = plain_events(Stream::Gps);
    let good = BinaryArray::from_iter_values(messages(&events));
    let mut decoder = Decoder::new(Stream::Gps);
    // A producer with another order and a failed record must not show in what follows.
    let odd = [b"{\"fix\":\"3D\",\"id\":\"a\"}".as_slice(), b"{\"fix\":\"3D\",\"id\":\"b\",\"extra\":1,"];
    let first = decoder.decode_values(&BinaryArray::from_iter_values(odd)).unwrap();
    assert_eq!((first.good.len(), first.bad.len()), (1, 1));
    for _ in 0..2 {
        let decoded = decoder.decode_values(&good).unwrap();
        assert_eq!(wire_part(&decoded), events.batch);
        assert_eq!(decoded.batch.column_by_name("rescued").unwrap().null_count(), 5);
    }
    assert_eq!(wire_part(&decoder.decode_values(&good.slice(3, 2)).unwrap()), events.batch.slice(3, 2));
    assert_eq!(decoder.decode_values(&good.slice(3, 0)).unwrap().batch.num_rows(), 0);
}

// One strict row.

#[test]
fn a_strict_row_is_the_row_or_an_error_that_names_the_field() {
    let events = plain_events(Stream::Gps);
    let clean = json::encode_row_clean(&events, 0).unwrap();
    assert_eq!(json::row_from_json(Stream::Gps, clean.as_bytes()).unwrap(), events.batch.slice(0, 1));

    let change = |from: &str, to: &str| {
        assert!(clean.contains(from), "{clean}");
        let error = json::row_from_json(Stream::Gps, clean.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        error.to_string()
    };
    let speed = "\"speed\":0.25";
    assert_eq!(change(speed, "\"speed\":\"fast\""), "gps: field \"speed\" is \"fast\", expected a number (km/h)");
    assert_eq!(change("\"speed\":0.25,", ""), "gps: field \"speed\" is missing or null, expected a number (km/h)");
    assert_eq!(change(speed, "\"speed\":0.25,\"speed\":1"), "gps: field \"speed\" is there more than once");
    let unknown = change(speed, "\"speed\":0.25,\"sped\":1");
    assert!(unknown.starts_with("gps: unknown field \"sped\"; there are id, deviceId, "), "{unknown}");
    let time = change("2026-06-01T00:00:00.000Z", "yesterday");
    assert!(time.contains("\"timestamp\" is \"yesterday\", expected a time such as"), "{time}");
    assert!(change("}", "").contains("truncated"));
    let long = change(speed, &format!("\"speed\":\"{}\"", "é".repeat(500)));
    assert!(long.chars().count() < 200 && long.contains("é…, expected"), "{long}");

    // A field that may be null may also be absent.
    let without = clean.replace("\"heading\":0.25,", "");
    let row = json::row_from_json(Stream::Gps, without.as_bytes()).unwrap();
    assert!(row.column_by_name("heading").unwrap().is_null(0));
}

#[test]
fn a_strict_row_checks_the_fields_of_its_struct() {
    let station = |inner: &str| {
        let text = format!("{{\"id\":\"station:1\",\"kind\":\"station\",\"station\":{inner}}}");
        json::row_from_json(Stream::Reference, text.as_bytes()).map_err(|e| e.to_string())
    };
    assert!(station("{\"stationId\":\"1\",\"district\":\"a\",\"location\":[1,2]}").is_ok());
    assert_eq!(
        station("{\"stationId\":\"1\",\"district\":\"a\"}").unwrap_err(),
        "reference: field \"station.location\" is missing or null, expected [latitude, longitude] (deg)"
    );
    assert_eq!(
        station("{\"stationId\":\"1\",\"district\":7,\"location\":[1,2]}").unwrap_err(),
        "reference: field \"station.district\" is 7, expected a text"
    );
}

#[test]
fn both_halves_can_move_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Encoder>();
    is_send::<Decoder>();
}

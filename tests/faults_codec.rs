//! What each harm does to the bytes of a message, and how a reader takes it.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper of a test may fail it")]

use _core::city::{CityOptions, clock};
use _core::codec::corrupt::drift;
use _core::codec::json;
use _core::pipeline::Source;
use _core::schema::{Decoded, Events, Harm, Messages, Stream};
use _core::sensor::SensorOptions;
use arrow::array::{Array, AsArray};
use serde_json::{Map, Value};

/// Some events of each stream, clean.
fn events() -> Vec<Events> {
    let city =
        CityOptions { seed: 11, vehicles: 3_000, start: 1_780_272_000_000 + 7 * clock::HOUR, duration: 3 * clock::DAY };
    let mut all: Vec<Events> = Vec::new();
    for chunk in Source::new(city, SensorOptions::default(), 2).expect("valid options").observe(Ok).expect("a run") {
        for mut events in chunk.expect("a chunk").events {
            if !all.iter().any(|e| e.stream == events.stream) {
                events.batch = events.batch.slice(0, events.batch.num_rows().min(60));
                all.push(events);
            }
        }
        if all.len() == Stream::EVENTS.len() {
            return all;
        }
    }
    panic!("some stream has no event: {:?}", all.iter().map(|e| e.stream).collect::<Vec<_>>());
}

fn harmed(events: &Events, harm: Harm) -> (Messages, Decoded) {
    let events = Events { harm: vec![harm; events.batch.num_rows()], ..events.clone() };
    let messages = json::encode(&events).expect("messages");
    let decoded = json::Decoder::new(events.stream).decode_values(&messages.values).expect("a verdict");
    (messages, decoded)
}

fn object(text: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(text).expect("a JSON object")
}

#[test]
fn a_tombstone_is_a_key_without_a_value() {
    for events in events() {
        let (messages, decoded) = harmed(&events, Harm::Tombstone);
        let rows = events.batch.num_rows();
        assert_eq!(messages.values.null_count(), rows);
        assert_eq!(messages.keys, *events.batch["deviceId"].as_string::<i32>());
        assert_eq!(decoded.bad.len(), rows);
        assert!(decoded.error_reason.iter().all(|r| *r == "tombstone"), "{:?}", decoded.error_reason);
        // Beside a clean one it alone is null.
        let mixed = Events { batch: events.batch.slice(0, 1), harm: vec![Harm::None], ..events.clone() };
        assert_eq!(json::encode(&mixed).expect("a message").values.null_count(), 0);
    }
}

#[test]
fn each_poison_pill_is_refused_for_its_own_reason() {
    let mut reasons: Vec<&str> = Vec::new();
    for events in events() {
        let (messages, decoded) = harmed(&events, Harm::PoisonPill);
        assert_eq!(decoded.bad.len(), events.batch.num_rows(), "{}", events.stream.name());
        for value in messages.values.iter().flatten() {
            assert!(!value.contains(&b'\n') && value.len() < 1_000_000, "{} bytes", value.len());
        }
        reasons.extend(decoded.error_reason);
    }
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons, ["invalid_utf8", "too_deep", "truncated"]);
}

#[test]
fn drift_renames_adds_and_retypes_one_field() {
    for events in events() {
        let stream = events.stream;
        let drift = drift(stream).expect("a drift");
        for harm in [Harm::FieldRenamed, Harm::FieldAdded, Harm::FieldRetyped] {
            let (messages, decoded) = harmed(&events, harm);
            assert_eq!(decoded.good.len(), events.batch.num_rows(), "{harm:?}");
            for (row, value) in messages.values.iter().flatten().enumerate() {
                let mut found = object(value);
                let clean = object(json::encode_row_clean(&events, row).expect("a payload").as_bytes());
                let rescued = decoded.batch["rescued"].as_string::<i32>().value(row);
                let rescued = object(rescued.as_bytes());
                assert_eq!(rescued.len(), 1, "{rescued:?}");
                match harm {
                    Harm::FieldRenamed => {
                        let value = found.remove(drift.renamed.1).expect("the new name");
                        assert_eq!(rescued[drift.renamed.1], value);
                        found.insert(drift.renamed.0.to_owned(), value);
                        assert!(decoded.batch[drift.renamed.0].is_null(row));
                    }
                    Harm::FieldAdded => {
                        let added = found.remove("firmware").expect("the new field");
                        assert_eq!((&added, &rescued["firmware"]), (&Value::from("2.4.1"), &added));
                    }
                    _ => {
                        let text = found[drift.retyped].as_str().expect("a text").to_owned();
                        assert_eq!(rescued[drift.retyped], text);
                        found.insert(drift.retyped.to_owned(), serde_json::from_str(&text).expect("a number"));
                        assert!(decoded.batch[drift.retyped].is_null(row));
                    }
                }
                assert_eq!(found, clean, "{} {harm:?}", stream.name());
            }
        }
    }
}

#[test]
fn streams_that_have_no_drift_refuse_it() {
    let source = Source::new(CityOptions::default(), SensorOptions::default(), 1).expect("valid options");
    let mut events = source.reference().expect("batches").swap_remove(0);
    events.harm = vec![Harm::FieldRenamed; events.batch.num_rows()];
    let error = json::encode(&events).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("reference") && error.contains("field_renamed"), "{error}");
}

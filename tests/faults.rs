//! Faults are labelled, and nothing else changes: the consistency contract's point 10, for any rates, parts and threads.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::sync::Arc;

use _core::city::trace::Windows;
use _core::city::{City, CityOptions, Simulation, clock};
use _core::codec::json;
use _core::pipeline::{Cancel, Run, Source, Target, Topics, Wire, write};
use _core::schema::{Events, Harm, Stream};
use _core::sensor::{DriftKind, Faults, Hold, Observer, RETRIES, SCENARIOS, Samples, SensorOptions};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;

const START: i64 = 1_780_272_000_000 + 7 * clock::HOUR;

fn city(vehicles: u32, duration: i64) -> CityOptions {
    CityOptions { seed: 11, vehicles, start: START, duration }
}

fn sensors(faults: Faults) -> SensorOptions {
    let streams = Stream::EVENTS.into_iter().chain([Stream::TruthEvent, Stream::TruthFault]).collect();
    SensorOptions { streams, faults, ..SensorOptions::default() }
}

/// Every fault at once.
fn everything() -> Faults {
    Faults {
        late: 0.05,
        late_bound: 5 * clock::MINUTE,
        duplicate: 0.03,
        retry_loop: 0.01,
        drop: 0.02,
        out_of_order: 0.05,
        out_of_order_bound: 15 * clock::MINUTE,
        corrupt: 0.02,
        bad_json: 0.01,
        wrong_type: 0.01,
        missing_field: 0.01,
        out_of_range: 0.01,
        schema_drift: 0.2,
        schema_drift_from: START + 10 * clock::MINUTE,
        schema_drift_kind: DriftKind::Any,
        clock_jump: 0.1,
        outage: 0.1,
        outage_bound: 5 * clock::MINUTE,
        tombstone: 0.02,
        poison_pill: 0.02,
    }
}

/// A message as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    sent: i64,
    id: String,
    key: String,
    value: Option<Vec<u8>>,
    harm: &'static str,
}

/// A row of `truth_fault`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    stream: String,
    id: String,
    kind: String,
    sent: i64,
    clean: String,
}

#[derive(Debug, Default, PartialEq)]
struct Observed {
    messages: BTreeMap<Stream, Vec<Message>>,
    labels: Vec<Label>,
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    batch[column].as_string::<i32>().iter().map(|v| v.unwrap_or("").to_owned()).collect()
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch[column].as_primitive::<TimestampMicrosecondType>().values().iter().map(|us| us / 1_000).collect()
}

fn observe(source: &Source) -> Observed {
    let mut observed = Observed::default();
    for chunk in source.observe(Ok).expect("a run") {
        for events in chunk.expect("a chunk").events {
            let Events { stream, batch, harm } = &events;
            if *stream == Stream::TruthFault {
                let columns = ["stream", "id", "kind", "clean"].map(|name| texts(batch, name));
                for (row, sent) in times(batch, "sentAt").into_iter().enumerate() {
                    let [stream, id, kind, clean] = [0, 1, 2, 3].map(|c: usize| columns[c][row].clone());
                    observed.labels.push(Label { stream, id, kind, sent, clean });
                }
            }
            if !Stream::EVENTS.contains(stream) {
                continue;
            }
            let coded = json::encode(&events).expect("messages");
            let (ids, sent) = (texts(batch, "id"), times(batch, "sentAt"));
            let messages = observed.messages.entry(*stream).or_default();
            for (row, (id, sent)) in ids.into_iter().zip(sent).enumerate() {
                let key = coded.keys.value(row).to_owned();
                let value = coded.values.is_valid(row).then(|| coded.values.value(row).to_vec());
                messages.push(Message { sent, id, key, value, harm: harm.get(row).map_or("none", |h| h.name()) });
            }
        }
    }
    observed
}

fn run(vehicles: u32, duration: i64, sensors: SensorOptions) -> Observed {
    observe(&Source::new(city(vehicles, duration), sensors, 2).expect("valid options"))
}

/// When a clean payload is sent. The text of a time has a fixed width, so texts stand in their times' order.
fn sent_at(payload: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(payload).expect("a clean payload is JSON");
    value["sentAt"].as_str().expect("a time").to_owned()
}

/// Point 10: replaces each labelled event by its clean payload, removes copies, inserts what was dropped.
fn restore(faulty: &Observed, stream: Stream, until: &str) -> Vec<(String, Vec<u8>)> {
    let mut clean: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for label in faulty.labels.iter().filter(|l| l.stream == stream.name()) {
        let known = clean.insert(&label.id, label.clean.as_bytes());
        assert!(known.is_none_or(|k| k == label.clean.as_bytes()), "two labels disagree on {}", label.id);
    }
    let mut restored: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for message in faulty.messages.get(&stream).into_iter().flatten() {
        let payload = match clean.get(message.id.as_str()) {
            Some(clean) => clean,
            None => message.value.as_deref().expect("a message without a label has a value"),
        };
        restored.insert(&message.id, payload);
    }
    let dropped = |l: &&Label| l.stream == stream.name() && l.kind == "drop";
    restored.extend(faulty.labels.iter().filter(dropped).map(|l| (l.id.as_str(), l.clean.as_bytes())));
    ordered(restored.into_iter().map(|(id, payload)| (id.to_owned(), payload.to_vec())), until)
}

fn clean_payloads(clean: &Observed, stream: Stream, until: &str) -> Vec<(String, Vec<u8>)> {
    let messages = clean.messages.get(&stream).into_iter().flatten();
    ordered(messages.map(|m| (m.id.clone(), m.value.clone().expect("a clean value"))), until)
}

/// What is sent until then, in the order of sending and id.
fn ordered(events: impl Iterator<Item = (String, Vec<u8>)>, until: &str) -> Vec<(String, Vec<u8>)> {
    let mut events: Vec<_> =
        events.map(|(id, payload)| (sent_at(&payload), id, payload)).filter(|e| e.0.as_str() < until).collect();
    events.sort();
    events.into_iter().map(|(_, id, payload)| (id, payload)).collect()
}

fn is_restored(vehicles: u32, faults: &Faults) {
    is_restored_in(vehicles, &Stream::EVENTS, 30 * clock::MINUTE, "2026-06-01T07:30:00.000Z", faults);
}

/// Compares what is sent in the first `length`. The runs are longer by the longest delay, so that all of it has been sent.
fn is_restored_in(vehicles: u32, streams: &[Stream], length: i64, until: &str, faults: &Faults) {
    faults.check().expect("valid faults");
    let duration = length + faults.longest_delay() + 1;
    let sensors = |faults| {
        let streams = streams.iter().copied().chain([Stream::TruthFault]).collect();
        SensorOptions { streams, faults, ..SensorOptions::default() }
    };
    let clean = run(vehicles, duration, sensors(Faults::NONE));
    assert!(clean.labels.is_empty());
    let faulty = run(vehicles, duration, sensors(faults.clone()));
    assert_eq!(faulty.labels.is_empty(), !faults.any());
    let mut compared = 0;
    for &stream in streams {
        let (expected, found) = (clean_payloads(&clean, stream, until), restore(&faulty, stream, until));
        assert_eq!(expected.len(), found.len(), "{} {faults:?}", stream.name());
        for (e, f) in expected.iter().zip(&found) {
            assert!(e == f, "{} {faults:?}: {e:?} became {f:?}", stream.name());
        }
        compared += expected.len();
    }
    assert!(compared > if streams.len() > 1 { 300 } else { 20 }, "{compared} events");
}

#[test]
fn the_clean_stream_is_restored_byte_for_byte_from_every_fault_at_once() {
    is_restored(900, &everything());
}

#[test]
fn the_rare_stream_of_incidents_is_restored_too() {
    is_restored_in(4_000, &[Stream::Emergency], 2 * clock::DAY, "2026-06-03T07:00:00.000Z", &everything());
}

#[test]
fn the_clean_stream_is_restored_byte_for_byte_from_each_fault_alone() {
    let rates = everything().values().into_iter().filter(|(_, v)| v.is_f64());
    let mut tried = 0;
    for (name, _) in rates {
        let mut faults = Faults { late_bound: 60_000, outage_bound: 120_000, ..Faults::NONE };
        faults.set(name, &serde_json::Value::from(0.1)).expect("a rate");
        is_restored(60, &faults);
        tried += 1;
    }
    assert_eq!(tried, 15);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_clean_stream_is_restored_byte_for_byte_from_any_faults(
        rates in prop::collection::vec(prop_oneof![2 => Just(0.0), 1 => 0.0..0.5_f64], 15),
        bounds in (1..600_000_i64, 1..1_200_000_i64, 1..600_000_i64),
        drift_from in 0..3_600_000_i64,
        kind in 0..4_usize,
    ) {
        let names: Vec<_> = Faults::NONE.values().into_iter().filter(|(_, v)| v.is_f64()).map(|(n, _)| n).collect();
        let kinds = [DriftKind::Any, DriftKind::Renamed, DriftKind::Added, DriftKind::Retyped];
        let mut faults = Faults {
            late_bound: bounds.0,
            out_of_order_bound: bounds.1,
            outage_bound: bounds.2,
            schema_drift_from: START + drift_from,
            schema_drift_kind: kinds[kind],
            ..Faults::NONE
        };
        for (name, rate) in names.iter().zip(rates) {
            // A tenth of the rate for those that make messages large or many.
            let rate = if matches!(*name, "poison_pill" | "retry_loop") { rate / 10.0 } else { rate };
            faults.set(name, &serde_json::Value::from(rate)).expect("a rate");
        }
        is_restored(60, &faults);
    }
}

#[test]
fn neither_threads_nor_parts_change_what_befalls_an_event() {
    let whole = run(400, 30 * clock::MINUTE, sensors(everything()));
    let one_thread = Source::new(city(400, 30 * clock::MINUTE), sensors(everything()), 1).expect("valid options");
    assert!(observe(&one_thread) == whole, "one thread gives other messages than two");
    let mut union = Observed::default();
    for part in 0..3 {
        let found = run(400, 30 * clock::MINUTE, SensorOptions { part, parts: 3, ..sensors(everything()) });
        for (stream, messages) in found.messages {
            union.messages.entry(stream).or_default().extend(messages);
        }
        union.labels.extend(found.labels);
    }
    let mut whole = whole;
    for observed in [&mut whole, &mut union] {
        observed.messages.values_mut().for_each(|m| m.sort());
        observed.labels.sort();
    }
    assert!(whole.labels.len() > 1_000 && whole == union, "the parts are not the whole");
}

#[test]
fn a_run_is_the_beginning_of_every_longer_run() {
    let short = run(300, 25 * clock::MINUTE, sensors(everything()));
    let long = run(300, 55 * clock::MINUTE, sensors(everything()));
    for (stream, messages) in &short.messages {
        assert!(*messages == long.messages[stream][..messages.len()], "{}", stream.name());
    }
    // Labels come with their events, each stream's in its order.
    for stream in Stream::EVENTS {
        let of = |o: &Observed| o.labels.iter().filter(|l| l.stream == stream.name()).cloned().collect::<Vec<_>>();
        let (short, long) = (of(&short), of(&long));
        assert!(short == long[..short.len()], "{}", stream.name());
    }
    assert!(short.labels.len() > 500 && long.labels.len() > short.labels.len());
}

#[test]
fn what_is_not_labelled_is_clean_and_what_is_labelled_is_not() {
    let faulty = run(600, 40 * clock::MINUTE, sensors(everything()));
    let mut kinds: HashMap<(&str, &str), HashSet<&str>> = HashMap::new();
    for label in &faulty.labels {
        kinds.entry((&label.stream, &label.id)).or_default().insert(&label.kind);
    }
    let clean = run(600, 40 * clock::MINUTE, sensors(Faults::NONE));
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for stream in Stream::EVENTS {
        let expected: HashMap<&str, &Message> =
            clean.messages.get(&stream).into_iter().flatten().map(|m| (m.id.as_str(), m)).collect();
        for message in faulty.messages.get(&stream).into_iter().flatten() {
            let Some(clean) = expected.get(message.id.as_str()) else { continue };
            let labels = kinds.get(&(stream.name(), message.id.as_str()));
            match labels {
                None => assert_eq!(message, *clean),
                Some(kinds) => {
                    // A copy is labelled by the id of the first, which may be sound.
                    let copied_only = kinds.len() == 1 && kinds.contains("duplicate");
                    assert!(copied_only || message.value != clean.value, "{kinds:?} {}", message.id);
                    assert!(message.harm == "none" || kinds.contains(message.harm), "{} in {kinds:?}", message.harm);
                    assert_eq!(message.key, clean.key, "the key is never harmed");
                    seen.extend(kinds);
                }
            }
        }
    }
    seen.extend(faulty.labels.iter().map(|l| l.kind.as_str()));
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [
            "bad_json",
            "clock_jump",
            "drop",
            "duplicate",
            "field_added",
            "field_renamed",
            "field_retyped",
            "late",
            "missing_field",
            "out_of_order",
            "out_of_range",
            "outage",
            "poison_pill",
            "tombstone",
            "wrong_type",
        ]
    );
}

#[test]
fn an_overtaken_event_comes_after_its_devices_next_one() {
    let faults = Faults { out_of_order: 0.05, out_of_order_bound: 15 * clock::MINUTE, ..Faults::NONE };
    let faulty = run(600, 60 * clock::MINUTE, sensors(faults));
    let mut held = 0;
    for stream in [Stream::Vehicle, Stream::Gps, Stream::Traffic, Stream::Weather] {
        let place: HashMap<&str, usize> =
            faulty.messages[&stream].iter().enumerate().map(|(n, m)| (m.id.as_str(), n)).collect();
        let mut devices: HashMap<&str, Vec<(String, &str)>> = HashMap::new();
        for message in &faulty.messages[&stream] {
            let value: serde_json::Value =
                serde_json::from_slice(message.value.as_deref().expect("a value")).expect("JSON");
            let time = value["timestamp"].as_str().expect("a time").to_owned();
            devices.entry(&message.key).or_default().push((time, &message.id));
        }
        let mut next: HashMap<&str, &str> = HashMap::new();
        for events in devices.values_mut() {
            events.sort();
            next.extend(events.windows(2).map(|w| (w[0].1, w[1].1)));
        }
        let labels: Vec<_> = faulty.labels.iter().filter(|l| l.stream == stream.name()).collect();
        let overtaken =
            labels.iter().filter(|l| next.get(l.id.as_str()).is_some_and(|n| place[n] < place[l.id.as_str()]));
        let (overtaken, all) = (overtaken.count(), labels.len());
        // The rest are the last of their trips: the next one of the rhythm was not made. This fails where the rhythms that
        // sensor::device knows are not those of the sensors.
        assert!(all > 0 && overtaken * 100 >= all * 90, "{}: {overtaken} of {all}", stream.name());
        held += all;
    }
    assert!(held > 500, "{held}");
}

#[test]
fn a_device_in_a_retry_loop_makes_its_key_hot() {
    let faulty = run(600, 20 * clock::MINUTE, sensors(Faults { retry_loop: 0.01, ..Faults::NONE }));
    let mut keys: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
    for message in &faulty.messages[&Stream::Gps] {
        *keys.entry(&message.key).or_default().entry(&message.id).or_default() += 1;
    }
    let hot: Vec<_> = keys.values().filter(|ids| ids.values().any(|n| *n > 1)).collect();
    assert!((1..=10).contains(&hot.len()), "{} hot keys of {}", hot.len(), keys.len());
    for ids in &hot {
        let full = ids.values().filter(|n| **n == 1 + usize::from(RETRIES)).count();
        assert!(full * 10 >= ids.len() * 9, "all but the last events have all their copies");
    }
}

#[test]
fn what_is_held_is_bounded_by_the_longest_delay() {
    let faults = Faults { late: 0.3, late_bound: 120_000, outage: 0.2, outage_bound: 180_000, ..Faults::NONE };
    let longest = faults.longest_delay();
    assert_eq!(longest, 300_000);
    let city = Arc::new(City::new(city(600, 40 * clock::MINUTE)).expect("a city"));
    let observer = Observer::new(Arc::clone(&city), sensors(faults)).expect("an observer");
    let (mut simulation, mut windows) = (Simulation::new(Arc::clone(&city)), Windows::new(&city));
    let mut hold = Hold::default();
    let mut made: Vec<(i64, usize)> = Vec::new();
    let mut most = 0;
    for second in (10..=2_400).step_by(10) {
        let until = START + second * 1_000;
        let window = windows.next(simulation.advance(until));
        let samples = observer.observe(&window);
        made.push((until, samples.len()));
        drop(hold.release(samples, until));
        let recent: usize = made.iter().filter(|(to, _)| *to > until - longest - 5_000).map(|(_, n)| n).sum();
        assert!(hold.len() <= recent, "{} held of {recent} made within the longest delay", hold.len());
        most = most.max(hold.len());
    }
    assert!(most > 50, "{most}");
    let all: usize = made.iter().map(|(_, n)| n).sum();
    assert!(most * 5 < all, "{most} held of {all}");
    drop(hold.release(Samples::default(), START + 2_400_000 + longest + 5_001));
    assert!(hold.is_empty(), "{} are later than the longest delay", hold.len());
}

#[test]
fn a_file_of_lines_has_a_line_a_message_and_typed_files_leave_harmed_events_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Source::new(city(300, 30 * clock::MINUTE), sensors(everything()), 2).expect("valid options");
    let messages = observe(&source).messages;
    let mut run = Run { cancel: Cancel::default(), progress: &mut |_| {} };
    let lines = Target::Ndjson(folder.path().join("lines"));
    write(&source, &lines, &Topics::default(), &Wire::default(), false, &mut run).expect("files");
    let typed = write(&source, &Target::Null, &Topics::default(), &Wire::default(), false, &mut run).expect("batches");
    let mut nulls = 0;
    for (stream, messages) in messages {
        let path = folder.path().join("lines").join(format!("{}.ndjson", stream.default_topic()));
        let bytes = fs::read(path).expect("a file");
        let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        assert_eq!(lines.len(), messages.len() + 1, "{}", stream.name());
        for (line, message) in lines.iter().zip(&messages) {
            assert_eq!(*line, message.value.as_deref().unwrap_or(b"null"));
            nulls += usize::from(message.value.is_none());
        }
        let sound = messages.iter().filter(|m| m.harm == Harm::None.name()).count();
        assert_eq!(typed.events[&stream], sound as u64, "{}", stream.name());
    }
    assert!(nulls > 20, "{nulls}");
}

#[test]
fn each_scenario_gives_its_faults_and_no_other() {
    let expected: HashMap<&str, &[&str]> = HashMap::from([
        ("calm", &[][..]),
        ("rush_hour", &[]),
        ("late_storm", &["duplicate", "late", "out_of_order"]),
        ("hot_key", &["duplicate"]),
        ("schema_drift", &["field_added", "field_renamed", "field_retyped"]),
        ("poison_pill", &["poison_pill"]),
        ("tombstones", &["tombstone"]),
        ("clock_jump", &["clock_jump"]),
        ("outage_burst", &["outage"]),
    ]);
    for scenario in SCENARIOS {
        let faults = scenario.faults(START);
        let found = run(600, 40 * clock::MINUTE, sensors(faults));
        let kinds: BTreeSet<&str> = found.labels.iter().map(|l| l.kind.as_str()).collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected[scenario.name], "{}", scenario.name);
        if scenario.name == "schema_drift" {
            let first = found.labels.iter().map(|l| l.sent).min().expect("labels");
            assert!(first >= START + scenario.drift_after, "{first}");
        }
    }
}

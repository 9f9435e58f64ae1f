//! What the sensors see of one city, for any thread count and part count.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use _core::city::motion::{TOUCH, Way};
use _core::city::network::Camera;
use _core::city::trace::Windows;
use _core::city::{City, CityOptions, Simulation, clock};
use _core::pipeline::Source;
use _core::schema::{EventId, Events, Stream};
use _core::sensor::{Faults, Observer, SensorOptions};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

const START: i64 = 1_780_272_000_000 + 7 * clock::HOUR;

fn options(vehicles: u32) -> CityOptions {
    CityOptions { seed: 11, vehicles, start: START, duration: 40 * clock::MINUTE }
}

fn all_streams() -> SensorOptions {
    let streams = Stream::EVENTS.into_iter().chain(Stream::TRUTH).collect();
    SensorOptions { streams, ..SensorOptions::default() }
}

fn faulty() -> SensorOptions {
    let faults = Faults { late: 0.05, late_bound: 300_000, duplicate: 0.03, drop: 0.02, corrupt: 0.03, ..Faults::NONE };
    SensorOptions { faults, ..all_streams() }
}

/// The whole run, one batch a stream.
fn run(source: &Source) -> BTreeMap<Stream, RecordBatch> {
    let mut batches: BTreeMap<Stream, Vec<RecordBatch>> = BTreeMap::new();
    for chunk in source.observe(Ok).expect("a run") {
        for Events { stream, batch, .. } in chunk.expect("a chunk").events {
            batches.entry(stream).or_default().push(batch);
        }
    }
    let joined = |(stream, list): (Stream, Vec<RecordBatch>)| {
        (stream, concat_batches(&stream.wire_schema(), &list).expect("one schema"))
    };
    for stream in &source.sensors().streams {
        batches.entry(*stream).or_default();
    }
    batches.into_iter().map(joined).collect()
}

fn source(vehicles: u32, sensors: SensorOptions, threads: usize) -> Source {
    Source::new(options(vehicles), sensors, threads).expect("valid options")
}

fn text(batch: &RecordBatch, column: &str) -> Vec<String> {
    batch[column].as_string::<i32>().iter().map(|v| v.unwrap_or("").to_owned()).collect()
}

fn times(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch[column].as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

#[test]
fn every_stream_has_events_in_the_order_in_which_they_are_sent() {
    let options = CityOptions { duration: 12 * clock::HOUR, ..options(3_000) };
    let events = run(&Source::new(options, all_streams(), 2).expect("valid options"));
    for stream in Stream::EVENTS {
        let batch = &events[&stream];
        assert!(
            batch.num_rows() > if stream == Stream::Emergency { 0 } else { 20 },
            "{}: {}",
            stream.name(),
            batch.num_rows()
        );
        let sent = times(batch, "sentAt");
        assert!(sent.windows(2).all(|w| w[0] <= w[1]), "{} out of order", stream.name());
        let ids: HashSet<String> = text(batch, "id").into_iter().collect();
        assert_eq!(ids.len(), batch.num_rows(), "{} ids collide", stream.name());
        for (field, column) in stream.fields().iter().zip(batch.columns()) {
            assert!(!field.required() || column.null_count() == 0, "{}.{} is null", stream.name(), field.name);
        }
    }
}

#[test]
fn the_events_do_not_depend_on_the_number_of_threads() {
    let one = run(&source(800, faulty(), 1));
    assert_eq!(one.len(), 8);
    for threads in [2, 5] {
        assert_eq!(one, run(&source(800, faulty(), threads)), "{threads} threads");
    }
}

#[test]
fn the_parts_are_the_whole() {
    let whole = run(&source(800, faulty(), 2));
    let mut parts: HashMap<Stream, Vec<String>> = HashMap::new();
    for part in 0..3 {
        let sensors = SensorOptions { part, parts: 3, ..faulty() };
        for (stream, batch) in run(&source(800, sensors, 2)) {
            let rows = parts.entry(stream).or_default();
            rows.extend(rows_as_text(&batch));
        }
    }
    for (stream, batch) in whole {
        let mut rows = rows_as_text(&batch);
        let mut union = parts.remove(&stream).unwrap_or_default();
        rows.sort();
        union.sort();
        assert_eq!(rows, union, "{}", stream.name());
    }
}

fn rows_as_text(batch: &RecordBatch) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).expect("a printable column"))
        .collect();
    (0..batch.num_rows()).map(|i| columns.iter().map(|c| c.value(i).to_string() + "|").collect()).collect()
}

#[test]
fn a_run_is_the_beginning_of_every_longer_run() {
    let short = run(&source(400, faulty(), 2));
    let longer = CityOptions { duration: 60 * clock::MINUTE, ..options(400) };
    let long = run(&Source::new(longer, faulty(), 2).expect("valid options"));
    for (stream, batch) in short {
        assert_eq!(batch, long[&stream].slice(0, batch.num_rows()), "{}", stream.name());
    }
}

#[test]
fn faults_are_labelled_and_change_nothing_else() {
    let clean = run(&source(800, all_streams(), 2));
    let faulty = run(&source(800, faulty(), 2));
    let labels = &faulty[&Stream::TruthFault];
    let mut by_kind: HashMap<String, usize> = HashMap::new();
    let mut labelled: HashMap<String, HashSet<String>> = HashMap::new();
    for (id, kind) in text(labels, "id").into_iter().zip(text(labels, "kind")) {
        *by_kind.entry(kind.clone()).or_default() += 1;
        labelled.entry(id).or_default().insert(kind);
    }
    for kind in ["late", "duplicate", "drop", "bad_json", "wrong_type", "missing_field", "out_of_range"] {
        assert!(by_kind.get(kind).copied().unwrap_or(0) > 10, "{kind}: {by_kind:?}");
    }
    for stream in Stream::EVENTS {
        let rows = |events: &BTreeMap<Stream, RecordBatch>| {
            let batch = events[&stream].clone();
            text(&batch, "id").into_iter().zip(rows_as_text(&batch)).collect::<Vec<_>>()
        };
        let expected: HashMap<String, String> = rows(&clean).into_iter().collect();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (id, row) in rows(&faulty) {
            let faults = labelled.get(&id);
            let moved = faults.is_some_and(|f| f.contains("late") || f.contains("duplicate"));
            assert!(moved || expected[&id] == row, "{} {id} differs without a label", stream.name());
            *seen.entry(id).or_default() += 1;
        }
        // A faulty event that would be sent after the end is not sent at all.
        let settled = START + 40 * clock::MINUTE - 340_000;
        let early: Vec<String> = {
            let sent = times(&clean[&stream], "sentAt");
            let ids = text(&clean[&stream], "id").into_iter().zip(sent);
            ids.filter(|(_, sent)| sent / 1_000 < settled).map(|(id, _)| id).collect()
        };
        for id in &early {
            let has = |kind: &str| labelled.get(id).is_some_and(|f| f.contains(kind));
            let times = seen.get(id).copied().unwrap_or(0);
            assert_eq!(times, if has("drop") { 0 } else { 1 + usize::from(has("duplicate")) }, "{id}");
        }
    }
}

#[test]
fn a_camera_counts_the_vehicles_that_really_pass() {
    let source = source(3_000, all_streams(), 2);
    let events = run(&source);
    let city = source.city();
    // The trajectories, each whole: windows of one hour reach from start to end.
    let mut simulation = Simulation::new(Arc::clone(city));
    let window = Windows::new(city).next(simulation.advance(START + clock::HOUR));
    let passages = |camera: &Camera, from: i64, to: i64| {
        let mut way = Way::default();
        let passes = |i: &usize| {
            // A vehicle passes where it is before the camera at the interval's start and not at its end.
            window.follow(*i, &city.network.specs, (from - 1, to), &mut way);
            let before = |t: i64| way.at(t).driven < camera.offset - TOUCH;
            before(from - 1) && !before(to - 1)
        };
        window.on(city.network.lanes.of(camera.road)).filter(passes).count() as i32
    };
    let traffic = &events[&Stream::Traffic];
    let counts = traffic["count"].as_primitive::<Int32Type>();
    let histogram = traffic["speedHistogram"].as_list::<i32>();
    let mut counted = 0;
    for (i, id) in text(traffic, "id").iter().enumerate() {
        let id = EventId::parse(id).expect("one of ours");
        let camera = &city.network.cameras[id.entity as usize];
        let end = START + id.counter as i64 * clock::MINUTE;
        let truth = passages(camera, end - clock::MINUTE, end);
        assert_eq!(counts.value(i), truth, "road {} until {end}", camera.road);
        assert_eq!(histogram.value(i).as_primitive::<Int32Type>().values().iter().sum::<i32>(), truth);
        counted += truth;
    }
    assert!(counted > 100, "{counted} passages");
}

#[test]
fn each_report_is_made_once_whatever_the_windows_length() {
    let options = CityOptions { duration: 20 * clock::MINUTE, ..options(1_500) };
    let city = Arc::new(City::new(options).expect("valid options"));
    let observer = Observer::new(Arc::clone(&city), all_streams()).expect("valid options");
    let seen = |length: i64| {
        let (mut simulation, mut windows) = (Simulation::new(Arc::clone(&city)), Windows::new(&city));
        let mut rows: Vec<String> = Vec::new();
        let mut to = START;
        while to < city.end() {
            to = (to + length).min(city.end());
            let samples = observer.observe(&windows.next(simulation.advance(to)));
            for Events { stream, batch, .. } in observer.build(&samples).expect("events").events {
                rows.extend(rows_as_text(&batch).into_iter().map(|row| format!("{} {row}", stream.name())));
            }
        }
        rows.sort();
        rows
    };
    let long = seen(300_000);
    for stream in [Stream::Vehicle, Stream::Gps, Stream::Traffic, Stream::TruthCrossing] {
        let of = |row: &&String| row.starts_with(stream.name());
        assert!(long.iter().filter(of).count() > 100, "{}", stream.name());
    }
    for length in [1_000, 7_000, 61_000] {
        let short = seen(length);
        let differs = long.iter().zip(&short).find(|(a, b)| a != b);
        assert_eq!(differs, None, "windows of {length} ms");
        assert_eq!(long.len(), short.len(), "windows of {length} ms");
    }
}

#[test]
fn only_part_0_carries_the_reference() {
    let source0 = source(800, all_streams(), 1);
    let rows: usize = source0.reference().expect("batches").iter().map(|e| e.batch.num_rows()).sum();
    let city = source0.city();
    let expected = 1
        + city.network.roads.len()
        + city.network.cameras.len()
        + city.network.stations.len()
        + city.fleet.vehicles.len();
    assert_eq!(rows, expected);
    let second = source(800, SensorOptions { part: 1, parts: 2, ..all_streams() }, 1);
    assert!(second.reference().expect("batches").is_empty());
}

//! A saved trace: observed, resumed after a stop, continued, and refused where it is not what it should be.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use _core::city::saved::{SavedTrace, save};
use _core::city::{City, CityOptions, clock};
use _core::error::{Error, ErrorKind};
use _core::pipeline::Source;
use _core::schema::{Events, Stream};
use _core::sensor::{Faults, SensorOptions};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;

const START: i64 = 1_780_272_000_000 + 7 * clock::HOUR;

fn options(duration: i64) -> CityOptions {
    CityOptions { seed: 11, vehicles: 3_000, start: START, duration }
}

fn sensors() -> SensorOptions {
    let streams = Stream::EVENTS.into_iter().chain(Stream::TRUTH).collect();
    let faults = Faults { late: 0.05, late_bound: 300_000, duplicate: 0.03, drop: 0.02, ..Faults::NONE };
    SensorOptions { streams, faults, ..SensorOptions::default() }
}

fn city(duration: i64) -> Arc<City> {
    Arc::new(City::new(options(duration)).expect("valid options"))
}

fn saved(folder: &Path, duration: i64) {
    save(&city(duration), folder, |_| Ok(())).expect("a saved trace");
}

fn observed(folder: &Path, duration: i64, sensors: SensorOptions, threads: usize) -> Source {
    let source = Source::new(options(duration), sensors, threads).expect("valid options");
    source.with_trace(folder).expect("a trace")
}

/// One batch a stream.
fn joined(chunks: impl Iterator<Item = _core::error::Result<_core::pipeline::Chunk>>) -> BTreeMap<Stream, RecordBatch> {
    let mut batches: BTreeMap<Stream, Vec<RecordBatch>> = BTreeMap::new();
    for chunk in chunks {
        for Events { stream, batch, .. } in chunk.expect("a chunk").events {
            batches.entry(stream).or_default().push(batch);
        }
    }
    let join = |(stream, list): (Stream, Vec<RecordBatch>)| {
        (stream, concat_batches(&stream.wire_schema(), &list).expect("one schema"))
    };
    batches.into_iter().map(join).collect()
}

fn run(source: &Source) -> BTreeMap<Stream, RecordBatch> {
    joined(source.observe(Ok).expect("a run"))
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("inside").display().to_string();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn a_saved_trace_gives_the_very_events_of_the_simulation_to_any_part_and_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let duration = 150 * clock::MINUTE;
    saved(folder.path(), duration);
    let simulated = run(&Source::new(options(duration), sensors(), 2).expect("valid options"));
    assert!(simulated.len() >= 7, "{:?}", simulated.keys());
    for threads in [1, 3] {
        let seen = run(&observed(folder.path(), duration, sensors(), threads));
        assert_eq!(simulated, seen, "{threads} threads");
    }
    let part = SensorOptions { part: 1, parts: 3, ..sensors() };
    let simulated = Source::new(options(duration), part.clone(), 2).expect("valid options");
    assert_eq!(run(&simulated), run(&observed(folder.path(), duration, part, 2)));
    // A shorter run ends within an hour of the trace.
    let shorter = 40 * clock::MINUTE;
    let simulated = Source::new(options(shorter), sensors(), 2).expect("valid options");
    assert_eq!(run(&simulated), run(&observed(folder.path(), shorter, sensors(), 2)));
}

#[test]
fn a_run_taken_up_at_a_position_is_the_end_of_the_whole_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let duration = 200 * clock::MINUTE;
    saved(folder.path(), duration);
    let simulated = Source::new(options(duration), sensors(), 2).expect("valid options");
    let observed = observed(folder.path(), duration, sensors(), 2);
    let whole = run(&simulated);
    for minutes in [1, 61, 123, 180] {
        let position = START + minutes * clock::MINUTE + 321;
        let column = |stream| match stream {
            Stream::TruthCrossing => "tOut",
            _ => "sentAt",
        };
        let rest: BTreeMap<Stream, RecordBatch> = whole
            .iter()
            .map(|(stream, batch)| {
                let sent = batch[column(*stream)].as_primitive::<TimestampMicrosecondType>();
                let keep = sent.values().iter().map(|t| Some(*t >= position * 1_000)).collect();
                (*stream, arrow::compute::filter_record_batch(batch, &keep).expect("as long"))
            })
            .filter(|(_, batch)| batch.num_rows() > 0)
            .collect();
        assert!(rest[&Stream::Gps].num_rows() > 100);
        for source in [&simulated, &observed] {
            assert_eq!(rest, joined(source.observe_from(position, Ok).expect("a run")), "from minute {minutes}");
        }
    }
}

#[test]
fn a_save_that_was_stopped_goes_on_and_a_longer_run_continues_it_to_the_same_bytes() {
    let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    saved(whole.path(), 4 * clock::HOUR);
    // Half an hour, then two and a half that are stopped twice, then all four.
    saved(parts.path(), 30 * clock::MINUTE);
    for stop in [START + 50 * clock::MINUTE, START + 130 * clock::MINUTE] {
        let city = city(150 * clock::MINUTE);
        let stopped = save(&city, parts.path(), |at| {
            if at > stop { Err(Error::new(ErrorKind::Interrupted, "stopped")) } else { Ok(()) }
        });
        assert_eq!(stopped.map(|_| ()).expect_err("a stop").kind(), ErrorKind::Interrupted);
    }
    assert_eq!(SavedTrace::open(parts.path()).expect("a trace").covered_to(), START + 2 * clock::HOUR);
    // A file that the stopped save left behind is in nobody's way.
    fs::write(parts.path().join("entries/00002.parquet"), b"half").expect("a file");
    saved(parts.path(), 4 * clock::HOUR);
    let (expected, found) = (files(whole.path()), files(parts.path()));
    assert!(expected.len() > 30, "{} files", expected.len());
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, bytes) in expected {
        assert!(bytes == found[&name], "{name} differs");
    }
}

#[test]
fn what_is_no_trace_of_this_city_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trace");
    let source = |duration| Source::new(options(duration), sensors(), 1).expect("valid options");
    let error = source(clock::HOUR).with_trace(&path).expect_err("nothing there");
    assert!(error.to_string().contains("trace.json"), "{error}");

    saved(&path, 10 * clock::MINUTE);
    let other = Arc::new(City::new(CityOptions { seed: 12, ..options(clock::HOUR) }).expect("valid options"));
    let error = save(&other, &path, |_| Ok(())).expect_err("another city's");
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("seed 11"), "{error}");
    let stranger = Source::new(other.options.clone(), sensors(), 1).expect("valid options");
    let error = stranger.with_trace(&path).expect_err("another city's");
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("seed 11"), "{error}");
    let error = source(clock::HOUR).with_trace(&path).expect_err("too short");
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("600000"), "{error}");

    let occupied = folder.path().join("photos");
    fs::create_dir(&occupied).expect("a folder");
    fs::write(occupied.join("cat.png"), b"x").expect("a file");
    let error = save(&other, &occupied, |_| Ok(())).expect_err("not empty");
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("photos"), "{error}");

    // Damage is found when it is read, not passed over.
    fs::write(path.join("exits/00000.parquet"), b"PAR1").expect("a file");
    let mut chunks = observed(&path, 10 * clock::MINUTE, sensors(), 1).observe(Ok).expect("a run");
    let error = chunks.find_map(Result::err).expect("an error");
    assert!(error.kind() == ErrorKind::Store && error.to_string().contains("exits"), "{error}");
    fs::write(path.join("trace.json"), "{}").expect("a file");
    assert_eq!(SavedTrace::open(&path).expect_err("damaged").kind(), ErrorKind::Store);
}

#[test]
fn small_parts_are_the_whole_and_hold_only_what_they_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let duration = 70 * clock::MINUTE;
    saved(folder.path(), duration);
    fn rows(batch: &RecordBatch) -> Vec<String> {
        let sent = batch.column(0).as_string::<i32>();
        sent.iter().map(|id| id.unwrap_or("").to_owned()).collect()
    }
    let whole = run(&Source::new(options(duration), sensors(), 2).expect("valid options"));
    let mut parts: BTreeMap<Stream, Vec<String>> = BTreeMap::new();
    for part in 0..16 {
        let sensors = SensorOptions { part, parts: 16, ..sensors() };
        for (stream, batch) in run(&observed(folder.path(), duration, sensors, 1)) {
            parts.entry(stream).or_default().extend(rows(&batch));
        }
    }
    for stream in Stream::EVENTS {
        let mut expected = whole.get(&stream).map(rows).unwrap_or_default();
        let mut found = parts.remove(&stream).unwrap_or_default();
        expected.sort();
        found.sort();
        assert_eq!(expected, found, "{}", stream.name());
    }
}

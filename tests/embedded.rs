//! The embedded road: city → codec → bronze, exactly once whatever interrupts or repeats it.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::BTreeSet;

use _core::city::{CityOptions, clock};
use _core::error::ErrorKind;
use _core::lake::{BronzeOptions, Lake};
use _core::pipeline::{Cancel, Ingested, Run, Source, ingest_city};
use _core::schema::Stream;
use _core::sensor::{Faults, SensorOptions};
use arrow::array::{Array, AsArray};

fn source(minutes: i64, sensors: SensorOptions) -> Source {
    let start = 1_780_272_000_000 + 7 * clock::HOUR;
    let city = CityOptions { seed: 5, vehicles: 400, start, duration: minutes * clock::MINUTE };
    Source::new(city, sensors, 2).expect("valid options")
}

fn faulty() -> SensorOptions {
    let faults = Faults { late: 0.1, late_bound: 600_000, duplicate: 0.02, drop: 0.01, corrupt: 0.02, ..Faults::NONE };
    SensorOptions { faults, ..SensorOptions::default() }
}

fn ingest(lake: &Lake, source: &Source) -> _core::error::Result<Ingested> {
    let mut run = Run { cancel: Cancel::default(), progress: &mut |_| {} };
    ingest_city(lake, source, &BronzeOptions::default(), &mut run)
}

fn open(folder: &tempfile::TempDir) -> Lake {
    Lake::open(&folder.path().display().to_string(), true).expect("a lake")
}

/// (partition, offset, id) of every row of the stream's bronze table; undecodable rows have no id.
fn rows(lake: &Lake, stream: Stream) -> Vec<(i32, i64, String)> {
    let name = format!("bronze.{}", stream.name());
    let scan = lake.scan(&name, Some(&["kafka_partition", "kafka_offset", "id"])).expect("a table");
    let mut found = Vec::new();
    for batch in scan {
        let batch = batch.expect("a batch");
        let partition = batch.column(0).as_primitive::<arrow::datatypes::Int32Type>();
        let offset = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>();
        let id = batch.column(2).as_string::<i32>();
        for i in 0..batch.num_rows() {
            let id = if id.is_valid(i) { id.value(i) } else { "" };
            found.push((partition.value(i), offset.value(i), id.to_owned()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_second_run_of_the_same_city_adds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = open(&folder);
    let first = ingest(&lake, &source(20, faulty())).expect("a run");
    let before: Vec<_> = Stream::EVENTS.iter().map(|s| rows(&lake, *s)).collect();
    assert!(first.records[&Stream::Gps] > 500 && first.undecodable[&Stream::Gps] > 0);
    let second = ingest(&lake, &source(20, faulty())).expect("a run");
    assert_eq!(second.records.values().sum::<u64>(), 0);
    assert_eq!(second.skipped, first.records.values().sum::<u64>());
    assert_eq!(before, Stream::EVENTS.iter().map(|s| rows(&lake, *s)).collect::<Vec<_>>());
}

#[test]
fn a_longer_run_goes_on_where_the_shorter_one_ended() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (lake, whole) = (open(&folder), open(&other));
    ingest(&lake, &source(15, faulty())).expect("a run");
    ingest(&lake, &source(30, faulty())).expect("a run");
    ingest(&whole, &source(30, faulty())).expect("a run");
    for stream in Stream::EVENTS {
        assert_eq!(rows(&lake, stream), rows(&whole, stream), "{}", stream.name());
    }
}

#[test]
fn an_interrupted_run_is_completed_by_the_next() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (lake, whole) = (open(&folder), open(&other));
    let cancel = Cancel::default();
    let asked = cancel.clone();
    let mut steps = 0;
    let mut progress = |_| {
        steps += 1;
        if steps == 2 {
            asked.cancel();
        }
    };
    let run = &mut Run { cancel, progress: &mut progress };
    let outcome = ingest_city(&lake, &source(30, faulty()), &BronzeOptions::default(), run);
    assert_eq!(outcome.err().map(|e| e.kind()), Some(ErrorKind::Interrupted));
    let part = rows(&lake, Stream::Gps);
    ingest(&lake, &source(30, faulty())).expect("a run");
    ingest(&whole, &source(30, faulty())).expect("a run");
    let all = rows(&whole, Stream::Gps);
    assert!(!part.is_empty() && part.len() < all.len());
    assert_eq!(rows(&lake, Stream::Gps), all);
}

#[test]
fn the_parts_of_a_city_fill_the_same_tables() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (lake, whole) = (open(&folder), open(&other));
    for part in 0..2 {
        ingest(&lake, &source(15, SensorOptions { part, parts: 2, ..SensorOptions::default() })).expect("a run");
    }
    ingest(&whole, &source(15, SensorOptions::default())).expect("a run");
    let ids = |lake: &Lake| rows(lake, Stream::Gps).into_iter().map(|r| r.2).collect::<BTreeSet<_>>();
    assert!(ids(&whole).len() > 400);
    assert_eq!(ids(&lake), ids(&whole));
}

#[test]
fn the_same_city_with_other_faults_or_in_another_mode_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = open(&folder);
    ingest(&lake, &source(10, faulty())).expect("a run");
    for other in [SensorOptions::default(), SensorOptions { compat: true, ..faulty() }] {
        let error = ingest(&lake, &source(10, other)).expect_err("other events at the same places");
        assert_eq!(error.kind(), ErrorKind::Table);
        assert!(error.to_string().contains("embedded:"), "{error}");
    }
}

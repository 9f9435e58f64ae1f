//! The grade: our own pipeline has all of it, and what is taken from, added to or changed in a table is told, each row once.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use _core::city::{CityOptions, clock};
use _core::lake::{BronzeOptions, Lake};
use _core::oracle::{Grade, NO_LABEL, StreamGrade, UNKNOWN, Verdict};
use _core::pipeline::{Cancel, Graded, Run, Source, grade, ingest_city};
use _core::schema::{EventId, Stream};
use _core::sensor::{Faults, SensorOptions};
use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, RecordBatchIterator, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Float64Type, SchemaRef};
use arrow::error::ArrowError;
use proptest::prelude::*;

const START: i64 = 1_780_272_000_000 + 7 * clock::HOUR;

fn source(vehicles: u32, minutes: i64, faults: Faults) -> Source {
    let city = CityOptions { seed: 5, vehicles, start: START, duration: minutes * clock::MINUTE };
    Source::new(city, SensorOptions { faults, ..SensorOptions::default() }, 2).expect("valid options")
}

/// Every fault at a twentieth, those of devices and times too.
fn everything() -> Faults {
    let mut faults = Faults { late_bound: 10 * clock::MINUTE, ..Faults::NONE };
    for (name, value) in Faults::NONE.values() {
        if value.is_f64() {
            faults.set(name, &serde_json::Value::from(0.05)).expect("a rate");
        }
    }
    Faults { retry_loop: 0.01, ..faults }
}

type Batches = Box<dyn arrow::array::RecordBatchReader + Send>;

fn reader(schema: SchemaRef, batches: Vec<RecordBatch>) -> Batches {
    Box::new(RecordBatchIterator::new(batches.into_iter().map(Ok::<_, ArrowError>), schema))
}

fn run<R>(work: impl FnOnce(&mut Run<'_>) -> R) -> R {
    work(&mut Run { cancel: Cancel::default(), progress: &mut |_| {} })
}

/// The silver tables that our own pipeline makes of a city.
fn silver(source: &Source) -> BTreeMap<Stream, RecordBatch> {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::open(&folder.path().display().to_string(), true).expect("a lake");
    run(|run| ingest_city(&lake, source, &BronzeOptions::default(), run)).expect("a run");
    lake.refine_silver(&AtomicBool::new(false), &mut |_| {}).expect("silver");
    let table = |stream: Stream| {
        let scan = lake.scan(&format!("silver.{}", stream.name()), None).expect("a table");
        let schema = scan.schema();
        let batches: Vec<_> = scan.map(|batch| batch.expect("a batch")).collect();
        (stream, concat_batches(&schema, &batches).expect("one schema"))
    };
    Stream::EVENTS.into_iter().map(table).collect()
}

fn graded(source: &Source, tables: Vec<(Option<Stream>, RecordBatch)>) -> Grade {
    let silver = tables.into_iter().map(|(stream, rows)| (stream, reader(rows.schema(), vec![rows]))).collect();
    run(|run| grade(source, Graded { silver, ..Graded::default() }, run)).expect("a grade")
}

/// What every grade of a stream must satisfy.
fn adds_up(grade: &StreamGrade) {
    assert_eq!(grade.rows_of.iter().sum::<u64>(), grade.rows, "{grade:?}");
    for verdict in Verdict::ALL {
        let at = verdict as usize;
        let labelled: u64 = grade.by_label[..NO_LABEL].iter().map(|t| t[at]).sum();
        let single = grade.by_label[NO_LABEL][at] + grade.by_label[UNKNOWN][at];
        // An event with two labels counts for both.
        assert!(single <= grade.verdicts[at] && labelled + single >= grade.verdicts[at], "{verdict:?} {grade:?}");
        let examples = grade.examples.iter().filter(|e| e.verdict == verdict).count() as u64;
        let wanted = if verdict.is_right() { 0 } else { grade.verdicts[at].min(5) };
        assert_eq!(examples, wanted, "{verdict:?}");
    }
    let absent = [Verdict::Refused, Verdict::Missing, Verdict::WronglyDropped];
    assert!(absent.iter().all(|v| grade.rows_of[*v as usize] == 0));
    assert!([Verdict::Correct, Verdict::Altered].iter().all(|v| grade.rows_of[*v as usize] == grade.count(*v)));
    assert!(grade.rows_of[Verdict::Doubled as usize] >= 2 * grade.count(Verdict::Doubled));
}

#[test]
fn our_own_silver_is_right_with_every_fault_at_once() {
    let source = source(700, 90, everything());
    let tables = silver(&source);
    let found = graded(&source, tables.into_iter().map(|(stream, rows)| (Some(stream), rows)).collect());
    assert_eq!(found.diagnoses, Vec::<String>::new());
    assert!(found.is_right() && found.score() == 1.0, "{found:?}");
    found.silver.iter().for_each(adds_up);
    let sum = |verdict| found.silver.iter().map(|s| s.count(verdict)).sum::<u64>();
    assert!(sum(Verdict::Correct) > 5_000 && sum(Verdict::Refused) > 500, "{found:?}");
    // Every label is there, and every column was looked at.
    let labels = (0..NO_LABEL).filter(|&l| found.silver.iter().any(|s| s.by_label[l].iter().any(|n| *n > 0)));
    let labels: Vec<_> = labels.map(|l| _core::oracle::LABELS[l]).collect();
    // What was dropped is nobody's to judge.
    let wanted: Vec<_> = _core::oracle::LABELS.into_iter().filter(|l| *l != "drop").collect();
    assert_eq!(labels, wanted);
    let gps = found.silver.iter().find(|s| s.stream == Stream::Gps).expect("gps");
    assert_eq!(
        gps.columns,
        [
            "device_id",
            "event_time",
            "speed_kmh",
            "direction",
            "vehicle_type",
            "sent_at",
            "lat",
            "lon",
            "heading_deg",
            "accuracy_m",
            "fix",
            "h3_cell",
            "lateness_s",
            "event_date"
        ]
    );
}

#[test]
fn one_table_of_all_streams_is_told_apart_by_its_ids() {
    let source = source(300, 60, Faults { drop: 0.05, ..Faults::NONE });
    let tables = silver(&source);
    let ids: Vec<String> = [Stream::Gps, Stream::Weather]
        .iter()
        .flat_map(|s| tables[s]["id"].as_string::<i32>().iter().flatten().map(str::to_owned))
        .chain(["no id at all".to_owned()])
        .collect();
    let column: ArrayRef = Arc::new(StringArray::from(ids));
    let rows = RecordBatch::try_from_iter([("id", column)]).expect("a batch");
    let found = graded(&source, vec![(None, rows)]);
    let streams: Vec<_> = found.silver.iter().map(|s| s.stream).collect();
    assert_eq!((streams, found.strangers), (vec![Stream::Gps, Stream::Weather], 1));
    assert!(found.silver.iter().all(|s| s.right() == s.events()), "{found:?}");
    assert!(!found.is_right() && found.score() < 1.0);
    assert_eq!(found.diagnoses.len(), 1, "{:?}", found.diagnoses);
    assert!(found.diagnoses[0].starts_with("unexpected: 1 id"), "{:?}", found.diagnoses);
}

#[test]
fn typed_feeds_lack_harmed_events_and_are_not_blamed_for_it() {
    let source = source(300, 60, Faults { corrupt: 0.1, schema_drift: 0.2, duplicate: 0.05, ..Faults::NONE });
    let mut batches = Vec::new();
    for chunk in source.observe(Ok).expect("a run") {
        for events in chunk.expect("a chunk").events.iter().filter(|e| e.stream == Stream::Gps) {
            batches.push(_core::sensor::without_harmed(events).expect("a filter"));
        }
    }
    let schema = batches[0].schema();
    let rows = concat_batches(&schema, &batches).expect("one schema");
    // Deduplicated the other way round: the last copy of an event is as good as the first.
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for (row, id) in (0..).zip(rows["id"].as_string::<i32>()) {
        last.insert(id.expect("an id").to_owned(), row);
    }
    let rows = take_record_batch(&rows, &UInt32Array::from_iter_values(last.into_values())).expect("rows");
    let run_grade = |typed| {
        let silver = vec![(Some(Stream::Gps), reader(rows.schema(), vec![rows.clone()]))];
        run(|run| grade(&source, Graded { silver, typed, ..Graded::default() }, run)).expect("a grade")
    };
    let typed = run_grade(true);
    assert!(typed.is_right(), "{:?}", typed.diagnoses);
    let untyped = run_grade(false);
    assert!(
        !untyped.is_right() && untyped.diagnoses.iter().all(|d| d.contains("field_added")),
        "{:?}",
        untyped.diagnoses
    );
}

#[test]
fn an_empty_table_lacks_everything() {
    let source = source(100, 60, Faults::NONE);
    let rows = silver(&source).remove(&Stream::Gps).expect("gps");
    let all = rows.num_rows() as u64;
    let found = graded(&source, vec![(Some(Stream::Gps), rows.slice(0, 0))]);
    assert_eq!((found.silver[0].count(Verdict::Missing), found.score()), (all, 0.0));
    assert!(found.diagnoses[0].contains("the table is empty"), "{:?}", found.diagnoses);
    let found = graded(&source, vec![(None, rows.slice(0, 0))]);
    assert_eq!((found.silver.len(), found.score()), (5, 0.0));
}

/// One row of a table, changed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Keep,
    Remove,
    Double,
    Alter,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_of_a_table_is_counted_once(
        changes in prop::collection::vec(
            prop_oneof![6 => Just(Change::Keep), 1 => Just(Change::Remove), 1 => Just(Change::Double), 1 => Just(Change::Alter)],
            50..200,
        ),
        strangers in 0..20_u64,
        harmed in 0..20_usize,
    ) {
        static CITY: std::sync::OnceLock<(Source, RecordBatch, Vec<String>)> = std::sync::OnceLock::new();
        let (source, table, refused) = CITY.get_or_init(|| {
            let faults = Faults { late: 0.2, corrupt: 0.1, ..Faults::NONE };
            let source = source(150, 40, faults.clone());
            let table = silver(&source).remove(&Stream::Gps).expect("gps");
            let mut refused = Vec::new();
            for chunk in source.observe(Ok).expect("a run") {
                for events in chunk.expect("a chunk").events.iter().filter(|e| e.stream == Stream::Gps) {
                    let ids = events.batch["id"].as_string::<i32>();
                    let harmed = events.harm.iter().enumerate().filter(|(_, h)| **h != _core::schema::Harm::None);
                    refused.extend(harmed.map(|(row, _)| ids.value(row).to_owned()));
                }
            }
            (source, table, refused)
        });
        prop_assume!(refused.len() >= 20 && table.num_rows() > 200);
        let of = |row: usize| changes[row % changes.len()];
        let mut rows: Vec<u32> = (0..table.num_rows()).filter(|&r| of(r) != Change::Remove).map(|r| r as u32).collect();
        rows.extend((0..table.num_rows()).filter(|&r| of(r) == Change::Double).map(|r| r as u32));
        let before = rows.len();
        // Rows of others, with values of somebody.
        rows.extend(std::iter::repeat_n(0, strangers as usize + harmed));
        let kept = take_record_batch(table, &UInt32Array::from(rows.clone())).expect("rows");
        let mut ids: Vec<String> = kept["id"].as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        for (n, id) in ids[before..].iter_mut().enumerate() {
            *id = if n < harmed {
                refused[n].clone()
            } else {
                EventId { city: source.city().id, stream: Stream::Gps, entity: 0x3fff_ffff, counter: n as u64 }.to_text()
            };
        }
        let speeds = kept["speed_kmh"].as_primitive::<Float64Type>();
        let altered = |(place, speed): (usize, Option<f64>)| {
            let alter = place < before && of(rows[place] as usize) == Change::Alter;
            speed.map(|s| if alter { s + 1e-6 } else { s })
        };
        let speeds: Float64Array = speeds.iter().enumerate().map(altered).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(StringArray::from(ids))),
            ("speed_kmh", Arc::new(speeds)),
            ("event_time", Arc::clone(&kept["event_time"])),
        ];
        let given = RecordBatch::try_from_iter(columns).expect("a batch");
        let found = graded(source, vec![(Some(Stream::Gps), given)]);
        let gps = &found.silver[0];
        adds_up(gps);
        let count = |change| (0..table.num_rows()).filter(|&r| of(r) == change).count() as u64;
        prop_assert_eq!(gps.count(Verdict::Correct), count(Change::Keep));
        prop_assert_eq!(gps.count(Verdict::Altered), count(Change::Alter));
        prop_assert_eq!(gps.count(Verdict::Doubled), count(Change::Double));
        prop_assert_eq!(gps.count(Verdict::Missing) + gps.count(Verdict::WronglyDropped), count(Change::Remove));
        prop_assert_eq!(gps.count(Verdict::KeptHarmed), harmed as u64);
        prop_assert_eq!(gps.count(Verdict::Refused), refused.len() as u64 - harmed as u64);
        prop_assert_eq!(gps.count(Verdict::Unexpected), strangers);
        let altered = gps.altered.get("speed_kmh").copied().unwrap_or(0);
        prop_assert_eq!(altered, count(Change::Alter));
        prop_assert_eq!(found.is_right(), found.diagnoses.is_empty());
    }
}

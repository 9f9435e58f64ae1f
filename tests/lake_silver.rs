//! Silver holds each valid event once, and every other row of bronze stands in exactly one side table.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use _core::error::ErrorKind;
use _core::lake::silver::{apply_rules, rules};
use _core::lake::{CRASH_POINTS, Lake, SilverOptions, SilverReport};
use _core::schema::Stream;
use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use lake_fixture::*;
use serde_json::{Value, json};

const GPS: Stream = Stream::Gps;
const DAY_MS: i64 = 86_400_000;

fn gps(device: u32, counter: u64) -> Value {
    event(GPS, device, counter, counter as i64 * 1000)
}

fn some(rows: Vec<Value>) -> Vec<Option<Value>> {
    rows.into_iter().map(Some).collect()
}

/// silver, dead_letter, quarantine, duplicate.
fn counts(lake: &Lake) -> [u64; 4] {
    ["silver.gps", "silver.dead_letter", "silver.quarantine", "silver.duplicate"].map(|t| count(lake, t))
}

/// The rows of the four tables without what depends on when the test ran, sorted.
fn content(lake: &Lake) -> BTreeMap<&'static str, Vec<BTreeMap<String, String>>> {
    let tables = ["silver.gps", "silver.dead_letter", "silver.quarantine", "silver.duplicate"];
    let strip = |mut row: BTreeMap<String, String>| {
        row.remove("ingested_at");
        row.remove("ingest_date");
        row
    };
    let sorted = |table: &str| {
        let mut rows: Vec<_> = rows(lake, table).into_iter().map(strip).collect();
        rows.sort();
        rows
    };
    tables.into_iter().map(|t| (t, sorted(t))).collect()
}

#[test]
fn a_valid_row_has_silvers_names_and_units() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, GPS, 3, 70, &[Some(gps(1, 2)), None]);
    let report = refine(&lake).unwrap();
    assert_eq!((report.silver["gps"], report.dead_letter, report.quarantine, report.duplicate), (1, 1, 0, 0));
    assert_eq!((report.bronze_versions["gps"], report.bronze_versions["weather"]), (1, -1));
    let row = &rows(&lake, "silver.gps")[0];
    for (name, value) in [
        ("id", id(GPS, 1, 2).as_str()),
        ("device_id", "device-0001"),
        ("event_time", "2026-06-01T00:00:02Z"),
        ("event_date", "2026-06-01"),
        ("sent_at", "2026-06-01T00:00:02.250Z"),
        ("lateness_s", "0.25"),
        ("speed_kmh", "42.5"),
        ("heading_deg", "45.0"),
        ("lat", "51.5"),
        ("lon", "-0.12"),
        ("kafka_topic", "gps_data"),
        ("kafka_partition", "3"),
        ("kafka_offset", "70"),
        ("row_in_record", "0"),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    assert_eq!(row["h3_cell"].len(), 15);
    assert!(!row.contains_key("road_id"), "a fix is not matched to a road here");
    let dead = &rows(&lake, "silver.dead_letter")[0];
    assert_eq!((dead["stream"].as_str(), dead["kafka_offset"].as_str()), ("gps", "71"));
    assert_eq!((dead["error_reason"].as_str(), dead["value"].as_str()), ("truncated", "7b226964223a"));
    assert_eq!(dead["ingest_date"], dead["ingested_at"][..10]);
    let snapshot = lake.snapshot("silver.gps").unwrap();
    assert_eq!(snapshot.txns["citystream/silver/bronze.gps"], 1);
    assert!(snapshot.files[0].path.to_string().contains("event_date=2026-06-01"));

    // A second refinement has nothing to do and commits nothing.
    let version = snapshot.version;
    assert_eq!(refine(&lake).unwrap().silver["gps"], 0);
    assert_eq!(lake.snapshot("silver.gps").unwrap().version, version);
}

#[test]
fn every_stream_is_refined() {
    let folder = Folder::new();
    let lake = folder.lake();
    for stream in Stream::EVENTS {
        ingest(&lake, stream, 0, 0, &some(vec![event(stream, 1, 1, 0), event(stream, 1, 2, 1000)]));
    }
    let report = refine(&lake).unwrap();
    for stream in Stream::EVENTS {
        assert_eq!(report.silver[stream.name()], 2, "{}: {:?}", stream.name(), rows(&lake, "silver.quarantine"));
    }
    let traffic = &rows(&lake, "silver.traffic")[0];
    assert_eq!((traffic["vehicle_count"].as_str(), traffic["speed_histogram"].as_str()), ("3", "[0, 1, 2]"));
    assert!(!traffic.contains_key("headway_s"));
}

#[test]
fn each_broken_rule_is_named() {
    let cases: Vec<(Stream, Value, &str)> = vec![
        (GPS, json!({"id": null}), "id_missing"),
        (GPS, json!({"timestamp": null}), "event_time_missing"),
        (GPS, json!({"speed": 300.5}), "speed_kmh_range"),
        (GPS, json!({"speed": -0.5}), "speed_kmh_range"),
        (GPS, json!({"location": [91.0, 0.0]}), "location_range"),
        (GPS, json!({"location": [0.0, -180.5]}), "location_range"),
        (GPS, json!({"location": [51.5]}), "location_range"),
        (GPS, json!({"location": [51.5, null]}), "location_range"),
        (GPS, json!({"location": null}), "location_missing"),
        (GPS, json!({"heading": 361.0}), "heading_deg_range"),
        (GPS, json!({"direction": "Up"}), "direction_unknown"),
        (GPS, json!({"fix": "4D"}), "fix_unknown"),
        (GPS, json!({"timestamp": iso(START_MS + 300_001), "sentAt": iso(START_MS)}), "event_time_future"),
        (GPS, json!({"sentAt": iso(START_MS + 31 * DAY_MS)}), "event_time_old"),
        (Stream::Vehicle, json!({"year": 1949}), "model_year_range"),
        (Stream::Vehicle, json!({"odometerKm": -1.0}), "odometer_km_range"),
        (Stream::Vehicle, json!({"fuelType": "Coal"}), "fuel_type_unknown"),
        (Stream::Traffic, json!({"count": -1}), "vehicle_count_range"),
        (Stream::Traffic, json!({"speedHistogram": [1, -1]}), "speed_histogram_range"),
        (Stream::Traffic, json!({"occupancy": 1.5}), "occupancy_range"),
        (Stream::Weather, json!({"humidity": 101}), "humidity_pct_range"),
        (Stream::Weather, json!({"airQualityIndex": 1001}), "aqi_range"),
        (Stream::Weather, json!({"temperature": -60.5}), "temperature_c_range"),
        (Stream::Weather, json!({"weatherCondition": "Lava"}), "weather_condition_unknown"),
        (Stream::Emergency, json!({"type": "None"}), "incident_type_unknown"),
        (Stream::Emergency, json!({"status": "Open"}), "status_unknown"),
        (Stream::Emergency, json!({"roadId": null}), "road_id_missing"),
    ];
    for (stream, change, expected) in &cases {
        let sound = event(*stream, 1, 1, 0);
        let broken = with(sound.clone(), change.clone());
        let verdicts = apply_rules(*stream, &batch(*stream, &[sound, broken])).unwrap();
        assert_eq!(verdicts.rule(0), None, "{stream:?}");
        assert_eq!(verdicts.rule(1).map(|r| r.name.as_str()), Some(*expected), "{stream:?} {change}");
        assert_eq!(verdicts.broken_rows().collect::<Vec<_>>(), [1]);
    }
    // At the limits a row is sound; what may be null may be.
    let edges = [
        (GPS, json!({"speed": 300.0, "heading": null, "location": [-90.0, 180.0]})),
        (GPS, json!({"timestamp": iso(START_MS + 300_000), "sentAt": iso(START_MS)})),
        (GPS, json!({"sentAt": iso(START_MS + 30 * DAY_MS)})),
        (Stream::Traffic, json!({"meanSpeed": null, "p85Speed": null, "headwayS": null, "count": 0})),
        (Stream::Emergency, json!({"responderId": null})),
    ];
    for (stream, change) in edges {
        let verdicts = apply_rules(stream, &batch(stream, &[with(event(stream, 1, 1, 0), change.clone())])).unwrap();
        assert_eq!(verdicts.rule(0), None, "{change}");
    }
    let fields = GPS.fields().iter().filter(|f| f.required()).count();
    assert!(rules(GPS).iter().filter(|r| r.name.ends_with("_missing")).count() == fields);

    let lacking = batch(GPS, &[gps(1, 1)]).project(&[0, 1]).unwrap();
    assert_eq!(apply_rules(GPS, &lacking).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn quarantine_keeps_the_row_and_says_why() {
    let folder = Folder::new();
    let lake = folder.lake();
    let fast = with(gps(1, 5), json!({"speed": 999.0, "rescued": "{\"extra\":1}"}));
    ingest(&lake, GPS, 0, 10, &some(vec![gps(1, 4), fast]));
    refine(&lake).unwrap();
    assert_eq!(counts(&lake), [1, 0, 1, 0]);
    let row = &rows(&lake, "silver.quarantine")[0];
    assert_eq!((row["rule"].as_str(), row["stream"].as_str()), ("speed_kmh_range", "gps"));
    assert_eq!(row["reason"], "speed is in 0..300");
    assert_eq!((row["id"].as_str(), row["kafka_offset"].as_str()), (id(GPS, 1, 5).as_str(), "11"));
    let kept: Value = serde_json::from_str(&row["row"]).unwrap();
    assert_eq!(kept["speed"], 999.0);
    assert_eq!(kept["location"], json!([51.5, -0.12]));
    assert_eq!(kept["timestamp"], "2026-06-01T00:00:05.000000Z");
    assert_eq!(kept["rescued"], "{\"extra\":1}");
}

#[test]
fn copies_are_dropped_within_a_run_and_across_runs() {
    let folder = Folder::new();
    let lake = folder.lake();
    // A repeated message may carry a later time of sending.
    let again = with(gps(1, 1), json!({"sentAt": iso(START_MS + 9000)}));
    ingest(&lake, GPS, 1, 0, &some(vec![gps(1, 1), gps(1, 2), again]));
    refine(&lake).unwrap();
    assert_eq!(counts(&lake), [2, 0, 0, 1]);
    let row = &rows(&lake, "silver.duplicate")[0];
    assert_eq!((row["kafka_offset"].as_str(), row["kept_offset"].as_str()), ("2", "0"));
    assert_eq!((row["kept_topic"].as_str(), row["kept_partition"].as_str()), ("gps_data", "1"));
    assert_eq!((row["event_date"].as_str(), row["kept_row_in_record"].as_str()), ("2026-06-01", "0"));

    ingest(&lake, GPS, 1, 3, &some(vec![gps(1, 2), gps(1, 3), gps(1, 3)]));
    let report = refine(&lake).unwrap();
    assert_eq!((report.silver["gps"], report.duplicate), (1, 2));
    assert_eq!(positions(&lake, "silver.gps"), [(1, 0), (1, 1), (1, 4)]);
}

#[test]
fn the_lowest_position_wins_also_when_it_comes_later() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, GPS, 5, 0, &some(vec![gps(1, 1), gps(1, 2), gps(2, 1)]));
    refine(&lake).unwrap();
    let before = lake.snapshot("silver.gps").unwrap();
    // The same events again, in a partition with a lower number.
    ingest(&lake, GPS, 2, 40, &some(vec![gps(1, 2), gps(3, 9)]));
    let report = refine(&lake).unwrap();
    assert_eq!((report.silver["gps"], report.duplicate), (1, 1));
    assert_eq!(positions(&lake, "silver.gps"), [(2, 40), (2, 41), (5, 0), (5, 2)]);
    let row = &rows(&lake, "silver.duplicate")[0];
    assert_eq!((row["kafka_partition"].as_str(), row["kafka_offset"].as_str()), ("5", "1"));
    assert_eq!((row["kept_partition"].as_str(), row["kept_offset"].as_str()), ("2", "40"));
    let after = lake.snapshot("silver.gps").unwrap();
    assert!(after.files.iter().all(|f| f.name != before.files[0].name), "the file with the loser is gone");
    assert_eq!(count(&lake, "silver.gps"), 4);
}

#[test]
fn one_id_with_two_contents_goes_to_quarantine() {
    let folder = Folder::new();
    let lake = folder.lake();
    let other = with(gps(1, 1), json!({"speed": 7.0}));
    ingest(&lake, GPS, 1, 0, &some(vec![gps(1, 1), other.clone(), gps(1, 1)]));
    refine(&lake).unwrap();
    assert_eq!(counts(&lake), [1, 0, 1, 1]);
    let row = &rows(&lake, "silver.quarantine")[0];
    assert_eq!((row["rule"].as_str(), row["kafka_offset"].as_str()), ("id_conflict", "1"));
    let kept: Value = serde_json::from_str(&row["row"]).unwrap();
    assert_eq!((&kept["speed"], &kept["deviceId"]), (&json!(7.0), &json!("device-0001")));
    // A lower position with other content takes the place of what is in silver.
    ingest(&lake, GPS, 0, 0, &some(vec![other]));
    refine(&lake).unwrap();
    assert_eq!(counts(&lake), [1, 0, 2, 1]);
    assert_eq!(positions(&lake, "silver.gps"), [(0, 0)]);
    assert_eq!(rows(&lake, "silver.gps")[0]["speed_kmh"], "7.0");
}

#[test]
fn the_same_id_on_another_date_is_another_event() {
    let folder = Folder::new();
    let lake = folder.lake();
    let later = with(gps(1, 1), json!({"timestamp": iso(START_MS + DAY_MS), "sentAt": iso(START_MS + DAY_MS)}));
    ingest(&lake, GPS, 0, 0, &some(vec![gps(1, 1), later]));
    refine(&lake).unwrap();
    assert_eq!(counts(&lake), [2, 0, 0, 0]);
    let dates: Vec<_> =
        lake.snapshot("silver.gps").unwrap().files.iter().map(|f| f.value("event_date").unwrap().to_owned()).collect();
    assert_eq!(dates.len(), 2);
}

#[test]
fn ids_that_are_no_uuids_are_unique_too() {
    let folder = Folder::new();
    let lake = folder.lake();
    let named = |id: &str, n: u64| with(gps(1, n), json!({"id": id, "timestamp": iso(START_MS)}));
    ingest(&lake, GPS, 0, 0, &some(vec![named("a", 1), named("b", 1), named("a", 1)]));
    refine(&lake).unwrap();
    ingest(&lake, GPS, 0, 3, &some(vec![named("b", 1), named("c", 1)]));
    refine(&lake).unwrap();
    assert_eq!(counts(&lake), [3, 0, 0, 2]);
}

/// Events with everything that can be wrong with them, in `commits` commits.
fn mixed(lake: &Lake, commits: i64, rows: i64) {
    let mut number = 0_u64;
    for commit in 0..commits {
        for partition in [1, 0] {
            let events: Vec<_> = (0..rows)
                .map(|row| {
                    number += 1;
                    let earlier = |back: u64| gps(((number - back) % 5) as u32, number - back);
                    let event = earlier(0);
                    match number % 11 {
                        3 => None,
                        5 => Some(with(event, json!({"speed": -1.0}))),
                        // A copy of an event of this commit, another event with such a one's id, and a copy from an
                        // earlier commit.
                        7 => Some(earlier(3)),
                        8 => Some(with(earlier(6), json!({"speed": 1.0}))),
                        10 if number > 39 => Some(earlier(39)),
                        9 => Some(with(
                            event,
                            json!({"timestamp": iso(START_MS - DAY_MS + row), "sentAt": iso(START_MS)}),
                        )),
                        _ => Some(event),
                    }
                })
                .collect();
            ingest(lake, GPS, partition, commit * rows, &events);
        }
    }
}

#[test]
fn small_steps_give_the_same_silver() {
    let folder = Folder::new();
    let lake = folder.lake();
    mixed(&lake, 3, 40);
    let copy = Folder::new();
    let status = std::process::Command::new("cp").arg("-r").arg(folder.path()).arg(copy.path()).status().unwrap();
    assert!(status.success());
    refine(&lake).unwrap();
    let other = copy.lake();
    let options = SilverOptions { step_rows: 7, ..SilverOptions::default() };
    other.refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let [silver, dead, quarantine, duplicate] = counts(&lake);
    assert_eq!(silver + dead + quarantine + duplicate, 240);
    assert!(dead > 0 && quarantine > 0 && duplicate > 0);
    // How rows are cut into steps decides which copy is compared with which; what is in silver is the same.
    assert_eq!(content(&lake)["silver.gps"], content(&other)["silver.gps"]);
    assert_eq!(counts(&other).iter().sum::<u64>(), 240);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 4, failure_persistence: None, ..Default::default() })]

    /// Whatever came first, and wherever a refinement cut in: the lowest position of each id is in silver.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        plan in proptest::collection::vec((0..3_i32, 1..20_usize, proptest::bool::weighted(0.4)), 3..9),
        memory_bytes in proptest::sample::select(vec![10_000, 60_000, 256 << 20]),
    ) {
        // Copies in other partitions, other events with their ids, three dates, and rows that silver turns away.
        let event = |partition: i32, n: i64| {
            let number = (n * 7 + i64::from(partition) * 5) % 23;
            let day = number % 3 * DAY_MS + number * 1000;
            let event = event(GPS, (number % 4) as u32, number as u64, day);
            match (n + i64::from(partition)) % 9 {
                4 => None,
                5 => Some(with(event, json!({"speed": 3.0}))),
                6 => Some(with(event, json!({"speed": -3.0}))),
                _ => Some(event),
            }
        };
        const EACH: i64 = 24;
        let rest = |lake: &Lake, taken: &[i64]| {
            for (partition, &from) in (0..).zip(taken) {
                let rows: Vec<_> = (from..EACH).map(|n| event(partition, n)).collect();
                ingest(lake, GPS, partition, from, &rows);
            }
        };
        let whole = Folder::new();
        rest(&whole.lake(), &[0, 0, 0]);
        refine(&whole.lake()).unwrap();

        let folder = Folder::new();
        let lake = folder.lake();
        let options = SilverOptions { memory_bytes, ..SilverOptions::default() };
        let refine = || lake.refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap();
        let mut taken = [0; 3];
        for (partition, count, refined) in plan {
            let from = taken[partition as usize];
            let to = EACH.min(from + count as i64);
            ingest(&lake, GPS, partition, from, &(from..to).map(|n| event(partition, n)).collect::<Vec<_>>());
            taken[partition as usize] = to;
            if refined {
                refine();
            }
        }
        rest(&lake, &taken);
        refine();
        proptest::prop_assert_eq!(&content(&lake)["silver.gps"], &content(&whole.lake())["silver.gps"]);
        proptest::prop_assert_eq!(counts(&lake).iter().sum::<u64>(), 3 * EACH as u64);
        proptest::prop_assert_eq!(check(&lake), Vec::<String>::new());
    }
}

/// What silver holds: id, partition, offset and speed of each row.
fn silver(lake: &Lake) -> Vec<(String, i32, i64, u64)> {
    let columns = ["id", "kafka_partition", "kafka_offset", "speed_kmh"];
    let mut rows = Vec::new();
    for batch in lake.scan("silver.gps", Some(&columns)).unwrap() {
        let batch = batch.unwrap();
        let (ids, partitions) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int32Type>());
        let (offsets, speeds) =
            (batch.column(2).as_primitive::<Int64Type>(), batch.column(3).as_primitive::<Float64Type>());
        rows.extend(
            (0..batch.num_rows())
                .map(|r| (ids.value(r).to_owned(), partitions.value(r), offsets.value(r), speeds.value(r).to_bits())),
        );
    }
    rows.sort();
    rows
}

/// Takes the events in, in one commit of bronze.
fn ingest_many(lake: &Lake, parts: &[(i32, Vec<Gps>)]) {
    let mut writer = writer(lake, GPS).unwrap();
    for (partition, events) in parts {
        let from = writer.next_offset(*partition).unwrap().unwrap_or(0);
        let (records, decoded) = gps_records(*partition, from, events);
        writer.append(&records, &decoded).unwrap();
    }
    writer.commit().unwrap();
}

fn refine_within(lake: &Lake, memory_bytes: usize) -> SilverReport {
    let options = SilverOptions { memory_bytes, ..SilverOptions::default() };
    lake.refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap()
}

/// The dates of the files that the newest commit of silver has added.
fn dates_written(lake: &Lake) -> Vec<String> {
    let version = lake.snapshot("silver.gps").unwrap().version;
    let added = lake.changes("silver.gps", version - 1).unwrap();
    let mut dates: Vec<_> = added.iter().map(|f| f.value("event_date").unwrap().to_owned()).collect();
    dates.sort();
    dates
}

#[test]
fn a_mebibyte_of_memory_gives_the_same_tables() {
    let gps = |number, day| Gps { number, day, other: false };
    // In silver first, from a partition whose rows lose against the others'.
    let old: Vec<_> = (0..50_000).map(|n| gps(n, 0)).collect();
    // New ones, one in three a copy of an old one, one in seven of one of its own kind, and some with another content.
    let new: Vec<_> = (0..100_000)
        .map(|n| match n {
            n if n % 3 == 0 => gps(n / 2, 0),
            n if n % 7 == 0 => gps(50_000 + n / 7 * 7 / 2, i64::from(n % 2 == 0)),
            n if n % 101 == 0 => Gps { other: true, ..gps(50_000 + n - 1, 0) },
            n => gps(50_000 + n, 0),
        })
        .collect();
    let later: Vec<_> = (0..50_000).map(|n| gps(90_000 + n * 2, i64::from(n % 5 == 0))).collect();
    let lakes = [1 << 20, 1 << 30].map(|memory_bytes| {
        let folder = Folder::new();
        let lake = folder.lake();
        ingest_many(&lake, &[(5, old.clone())]);
        refine_within(&lake, 1 << 30);
        ingest_many(&lake, &[(1, new.clone()), (9, later.clone())]);
        let report = refine_within(&lake, memory_bytes);
        assert_eq!(report.spilled_bytes > 0, memory_bytes == 1 << 20, "{report:?}");
        // Two dates, one file each, although rows of the first had to leave.
        assert_eq!(dates_written(&lake), ["2026-06-01", "2026-06-02"]);
        (lake, folder, report)
    });
    let [(small, _small, few), (large, _large, much)] = &lakes;
    assert_eq!(silver(small), silver(large));
    assert_eq!(counts(small), counts(large));
    assert_eq!(positions(small, "silver.duplicate"), positions(large, "silver.duplicate"));
    assert_eq!(positions(small, "silver.quarantine"), positions(large, "silver.quarantine"));
    assert_eq!((&few.silver, few.quarantine, few.duplicate), (&much.silver, much.quarantine, much.duplicate));
    let [silver, _, quarantine, duplicate] = counts(small);
    assert_eq!(silver + quarantine + duplicate, 200_000);
    assert!(quarantine > 100 && duplicate > 40_000, "{quarantine} {duplicate}");
    assert_eq!(check(small), Vec::<String>::new());
}

#[test]
fn four_hundred_dates_at_once_are_four_hundred_files() {
    // Neighbouring rows are of different dates, as after a long outage of many devices.
    let events: Vec<_> = (0..40_000).map(|number| Gps { number, day: number as i64 % 400, other: false }).collect();
    for memory_bytes in [1 << 20, 256 << 20] {
        let folder = Folder::new();
        let lake = folder.lake();
        ingest_many(&lake, &[(0, events.clone())]);
        let report = refine_within(&lake, memory_bytes);
        assert_eq!((report.silver["gps"], report.spilled_bytes > 0), (40_000, memory_bytes == 1 << 20));
        let dates = dates_written(&lake);
        assert_eq!((dates.len(), lake.snapshot("silver.gps").unwrap().version), (400, 1));
        assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "a date has two files");
        assert_eq!(check(&lake), Vec::<String>::new());
    }
}

#[test]
fn files_are_sorted_by_device_and_time() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, GPS, 0, 0, &some((0..50).rev().map(|i| gps(i as u32 % 3, i)).collect()));
    refine(&lake).unwrap();
    let keys: Vec<_> =
        rows(&lake, "silver.gps").into_iter().map(|r| (r["device_id"].clone(), r["event_time"].clone())).collect();
    assert!(keys.is_sorted() && keys.len() == 50);
}

#[test]
fn a_cancelled_refinement_goes_on_later() {
    let folder = Folder::new();
    let lake = folder.lake();
    mixed(&lake, 1, 30);
    let error = lake.refine_silver(&AtomicBool::new(true), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    refine(&lake).unwrap();
    assert_eq!(counts(&lake).iter().sum::<u64>(), 60);
}

#[test]
fn two_refinements_at_once_do_each_step_once() {
    let folder = Folder::new();
    mixed(&folder.lake(), 6, 20);
    let path = folder.path();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let lake = Lake::open(&path, false).unwrap();
                let options = SilverOptions { step_rows: 25, ..SilverOptions::default() };
                lake.refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap()
            })
        })
        .collect();
    let grown: i64 = threads.into_iter().map(|t| t.join().unwrap().silver["gps"]).sum();
    let lake = folder.lake();
    let counts = counts(&lake);
    assert_eq!(counts.iter().sum::<u64>(), 240);
    assert!(grown >= counts[0] as i64);
    let alone = Folder::new();
    mixed(&alone.lake(), 6, 20);
    refine(&alone.lake()).unwrap();
    assert_eq!(content(&lake)["silver.gps"], content(&alone.lake())["silver.gps"]);
}

#[test]
fn a_log_that_was_cleaned_up_says_how_to_go_on() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, GPS, 0, 0, &some(vec![gps(1, 1)]));
    refine(&lake).unwrap();
    for n in 1..=40 {
        ingest(&lake, GPS, 0, n, &some(vec![gps(1, 1 + n as u64)]));
    }
    for version in 0..=38 {
        std::fs::remove_file(lake.path().local().unwrap().join(format!("bronze/gps/_delta_log/{version:020}.json")))
            .unwrap();
    }
    let fresh = folder.lake();
    let error = refine(&fresh).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Table);
    assert!(error.to_string().contains("refine --rebuild"), "{error}");
    // Where silver has not begun, the snapshot has all.
    std::fs::remove_dir_all(fresh.path().local().unwrap().join("silver")).unwrap();
    refine(&folder.lake()).unwrap();
    assert_eq!(count(&folder.lake(), "silver.gps"), 41);
}

/// Not a test of its own: what [`killed_anywhere_each_row_stands_in_one_table`] runs in a child.
#[test]
#[ignore = "runs in a child process"]
fn child_refines() {
    let Ok(path) = std::env::var("LAKE_PATH") else { return };
    let options = SilverOptions { step_rows: 45, memory_bytes: 20_000 };
    Lake::open(&path, false).unwrap().refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap();
}

#[test]
fn killed_anywhere_each_row_stands_in_one_table() {
    let expected = Folder::new();
    mixed(&expected.lake(), 4, 20);
    let options = SilverOptions { step_rows: 45, memory_bytes: 20_000 };
    expected.lake().refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let expected = content(&expected.lake());
    let points: Vec<_> = CRASH_POINTS.iter().filter(|p| p.starts_with("silver_")).collect();
    assert_eq!(points.len(), 7);
    for point in points {
        for nth in [1, 2] {
            let folder = Folder::new();
            mixed(&folder.lake(), 4, 20);
            let path = folder.path();
            let status = child("child_refines", Some(&format!("{point}:{nth}")), &[("LAKE_PATH", &path)]);
            assert!(was_killed(status), "{point}:{nth} was not reached");
            // More comes in before the next run: the begun step must be finished first.
            ingest(&folder.lake(), GPS, 0, 80, &some(vec![gps(9, 9000)]));
            child("child_refines", None, &[("LAKE_PATH", &path)]);
            let lake = folder.lake();
            assert_eq!(counts(&lake).iter().sum::<u64>(), 161, "{point}:{nth}");
            let mut found = content(&lake);
            found.get_mut("silver.gps").unwrap().retain(|r| r["device_id"] != "device-0009");
            assert_eq!(found, expected, "{point}:{nth}");
        }
    }
}

//! `check` finds a sound lake sound, and names each way in which one is broken.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use _core::error::ErrorKind;
use _core::lake::Lake;
use _core::schema::Stream;
use lake_fixture::*;
use serde_json::{Value, json};

const GPS: Stream = Stream::Gps;

fn events(from: u64, count: u64) -> Vec<Option<Value>> {
    (from..from + count)
        .map(|n| match n % 10 {
            3 => None,
            4 => Some(with(event(GPS, 1, n, n as i64), json!({"speed": -1.0}))),
            5 => Some(event(GPS, 1, n - 5, n as i64 - 5)),
            _ => Some(event(GPS, 1, n, n as i64)),
        })
        .collect()
}

/// A lake with something in every table of the gps stream.
fn lake(folder: &Folder) -> Lake {
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    ingest(&lake, GPS, 0, 0, &events(0, 20));
    ingest(&lake, GPS, 0, 20, &events(20, 20));
    refine(&lake).unwrap();
    lake
}

fn log(lake: &Lake, table: &str, version: u64) -> PathBuf {
    lake.path().local().unwrap().join(table.replace('.', "/")).join(format!("_delta_log/{version:020}.json"))
}

fn edit(path: &PathBuf, change: impl Fn(&mut Value)) {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            change(&mut action);
            action.to_string()
        })
        .collect();
    fs::write(path, lines.join("\n")).unwrap();
}

/// The problems of the lake as another process finds them; each must hold one of `expected`, and each of those occur.
fn found(lake: &Lake, expected: &[&str]) {
    let problems = check(&Lake::open(&lake.path().to_string(), false).unwrap());
    for text in expected {
        assert!(problems.iter().any(|p| p.contains(text)), "{text:?} is not in {problems:#?}");
    }
    for problem in &problems {
        assert!(expected.iter().any(|text| problem.contains(text)), "unexpected: {problem}");
    }
}

/// Takes the add actions of `version` into the next commit of the table, under the transactions given.
fn commit_again(lake: &Lake, table: &str, version: u64, at: u64, change: impl Fn(&mut Value)) {
    let text = fs::read_to_string(log(lake, table, version)).unwrap();
    let mut lines = vec![json!({"commitInfo": {"timestamp": 1, "operation": "WRITE"}}).to_string()];
    for line in text.lines() {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(path) = action["add"]["path"].as_str().map(str::to_owned) {
            let copy = path.replace(".parquet", "-copy.parquet");
            let folder = lake.path().local().unwrap().join(table.replace('.', "/"));
            fs::copy(folder.join(&path), folder.join(&copy)).unwrap();
            action["add"]["path"] = copy.into();
            change(&mut action);
            lines.push(action.to_string());
        }
    }
    fs::write(log(lake, table, at), lines.join("\n")).unwrap();
}

#[test]
fn a_sound_lake_has_no_problems() {
    let folder = Folder::new();
    let lake = lake(&folder);
    let mut writer = writer(&lake, GPS).unwrap();
    let (records, decoded) = records_at(GPS, 0, &[42, 45], &events(46, 2));
    writer.append(&records, &decoded).unwrap();
    writer.commit().unwrap();
    let mut seen = 0;
    let checked = lake.check_all(&AtomicBool::new(false), &mut |p| seen = p.done).unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
    // 40, 41, 43 and 44 hold no record.
    assert_eq!(checked.offsets_without_rows, 4);
    assert_eq!((checked.tables, checked.files), (15, seen));
    assert!(seen > 5);
}

#[test]
fn a_lake_without_tables_is_an_error() {
    let folder = Folder::new();
    let error = folder.lake().check(&AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Table);
    assert!(error.to_string().contains("has no tables"), "{error}");
}

#[test]
fn a_cancelled_check_stops() {
    let folder = Folder::new();
    let error = lake(&folder).check(&AtomicBool::new(true), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn files_that_are_gone_cut_or_not_what_the_log_says_are_named() {
    let folder = Folder::new();
    let lake = lake(&folder);
    let file = |n: usize| lake.snapshot("bronze.gps").unwrap().files[n].clone();
    let (gone, cut) = (file(0), file(1));
    fs::remove_file(gone.path.local().unwrap()).unwrap();
    let bytes = fs::read(cut.path.local().unwrap()).unwrap();
    fs::write(cut.path.local().unwrap(), &bytes[..bytes.len() - 10]).unwrap();
    found(&lake, &[&format!("{} can't be read", gone.name), &format!("{} has {} bytes", cut.name, bytes.len() - 10)]);
    // The right size with other bytes is no Parquet file.
    let folder = Folder::new();
    let lake = self::lake(&folder);
    let file = lake.snapshot("silver.gps").unwrap().files[0].clone();
    fs::write(file.path.local().unwrap(), vec![0; file.bytes as usize]).unwrap();
    found(&lake, &["is no readable Parquet file"]);
    // Another number of rows in the log.
    let folder = Folder::new();
    let lake = self::lake(&folder);
    edit(&log(&lake, "bronze.gps", 1), |action| {
        if let Some(stats) = action["add"]["stats"].as_str() {
            let stats = stats.replace("\"numRecords\":18", "\"numRecords\":17");
            action["add"]["stats"] = stats.into();
        }
    });
    found(&lake, &["has 18 rows, and 17 in the log", "of bronze.gps has 39 rows"]);
}

#[test]
fn a_damaged_log_is_named() {
    let folder = Folder::new();
    let lake = lake(&folder);
    fs::write(log(&lake, "bronze.gps", 2), "{\"add\":").unwrap();
    found(&lake, &["bronze.gps"]);
    let folder = Folder::new();
    let lake = self::lake(&folder);
    fs::remove_file(log(&lake, "silver.quarantine", 1)).unwrap();
    found(&lake, &["silver.quarantine", "a refinement is not finished"]);
}

#[test]
fn a_row_that_stands_twice_in_bronze_is_named() {
    let folder = Folder::new();
    let lake = lake(&folder);
    commit_again(&lake, "bronze.gps", 1, 3, |_| {});
    found(&lake, &["20 rows stand there more than once: gps_data [0] ", "brought 40 rows, but it has 60"]);
}

#[test]
fn ranges_that_overlap_or_leave_holes_are_named() {
    for (from, word) in [(15, "overlap"), (25, "leave a hole")] {
        let folder = Folder::new();
        let lake = lake(&folder);
        edit(&log(&lake, "bronze.gps", 2), |action| {
            if let Some(range) = action.pointer_mut("/commitInfo/citystream.ranges/0/from") {
                *range = from.into();
            }
        });
        found(&lake, &[&format!("gps_data [0] {word}: commit 2 covers {from}..40")]);
    }
    let folder = Folder::new();
    let lake = lake(&folder);
    edit(&log(&lake, "bronze.gps", 2), |action| {
        if let Some(version) = action.pointer_mut("/txn/version") {
            *version = 50.into();
        }
    });
    found(&lake, &["end at 40, but the next offset is 50"]);
    // Rows that lie beyond what the commit says.
    let folder = Folder::new();
    let lake = self::lake(&folder);
    edit(&log(&lake, "bronze.gps", 2), |action| {
        for path in ["/commitInfo/citystream.ranges/0/to", "/txn/version"] {
            if let Some(to) = action.pointer_mut(path) {
                *to = 35.into();
            }
        }
    });
    found(&lake, &["5 offsets of gps_data [0] lie outside of the committed range 0..35"]);
}

#[test]
fn rows_that_are_missing_from_bronze_are_named() {
    let folder = Folder::new();
    let lake = lake(&folder);
    let file = lake.snapshot("bronze.gps").unwrap().files[0].clone();
    let remove = json!({"remove": {"path": file.name, "dataChange": true, "deletionTimestamp": 1}});
    fs::write(log(&lake, "bronze.gps", 3), remove.to_string()).unwrap();
    let left = 40 - file.rows;
    found(&lake, &[&format!("brought 40 rows, but it has {left}"), "version 2 of bronze.gps has"]);
}

#[test]
fn an_id_that_stands_twice_in_silver_is_named() {
    let folder = Folder::new();
    let lake = lake(&folder);
    let version = lake.snapshot("silver.gps").unwrap().version as u64;
    commit_again(&lake, "silver.gps", version, version + 1, |_| {});
    found(&lake, &["rows of 2026-06-01 have an id that stands there already", "of bronze.gps has 40 rows"]);
    // Under another date the copies do not clash, but they are not of that date.
    let folder = Folder::new();
    let lake = self::lake(&folder);
    commit_again(&lake, "silver.gps", version, version + 1, |action| {
        action["add"]["partitionValues"]["event_date"] = "2026-06-02".into();
    });
    found(&lake, &["rows under 2026-06-02 are of another date", "of bronze.gps has 40 rows"]);
}

#[test]
fn rows_missing_from_silver_or_its_side_tables_are_named() {
    for table in ["silver.gps", "silver.dead_letter", "silver.quarantine", "silver.duplicate"] {
        let folder = Folder::new();
        let lake = lake(&folder);
        let snapshot = lake.snapshot(table).unwrap();
        let remove = json!({"remove": {"path": snapshot.files[0].name, "dataChange": true, "deletionTimestamp": 1}});
        fs::write(log(&lake, table, snapshot.version as u64 + 1), remove.to_string()).unwrap();
        found(&lake, &["silver.gps: silver.gps "]);
    }
}

#[test]
fn a_refinement_that_was_cut_off_is_named_until_it_is_finished() {
    let folder = Folder::new();
    let lake = lake(&folder);
    ingest(&lake, GPS, 0, 40, &events(40, 5));
    let status = child("child_refines", Some("silver_after_quarantine"), &[("LAKE_PATH", &folder.path())]);
    assert!(was_killed(status));
    found(
        &lake,
        &["a refinement is not finished, it has reached version 2 of bronze and silver.dead_letter version 3"],
    );
    refine(&folder.lake()).unwrap();
    found(&lake, &[]);
}

/// Not a test of its own: runs in a child.
#[test]
#[ignore = "runs in a child process"]
fn child_refines() {
    let Ok(path) = std::env::var("LAKE_PATH") else { return };
    refine(&Lake::open(&path, false).unwrap()).unwrap();
}

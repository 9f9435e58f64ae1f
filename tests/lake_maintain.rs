//! Maintenance loses no row, doubles none, and takes nothing away that somebody has yet to read.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use _core::error::{ErrorKind, Result};
use _core::lake::{
    BronzeOptions, CRASH_POINTS, CompactOptions, Compacted, Lake, Replace, Retain, Retained, SilverOptions,
    SilverReport, TrimOptions, Trimmed, VacuumOptions, Vacuumed,
};
use _core::schema::{SourceId, Stream};
use _core::storage::{FileWriter, ParquetFile, WriteOptions};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchIterator, RecordBatchReader, StringArray};
use arrow::datatypes::Int64Type;
use lake_fixture::*;
use serde_json::{Value, json};

const GPS: Stream = Stream::Gps;
const DAY_MS: i64 = 86_400_000;
const TABLES: [&str; 4] = ["silver.gps", "silver.dead_letter", "silver.quarantine", "silver.duplicate"];
static NEVER: AtomicBool = AtomicBool::new(false);

fn gps(device: u32, counter: u64) -> Value {
    event(GPS, device, counter, counter as i64 * 1000)
}

fn compact(lake: &Lake) -> Compacted {
    lake.compact(&CompactOptions::default(), &NEVER, &mut |_| {}).unwrap()
}

fn vacuum(lake: &Lake, retention: Duration, leftovers: Duration) -> Vacuumed {
    let options = VacuumOptions { retention, leftovers, ..VacuumOptions::default() };
    lake.vacuum(&options, &NEVER, &mut |_| {}).unwrap()
}

fn trim(lake: &Lake, retention: Duration) -> Trimmed {
    lake.checkpoint(&TrimOptions { retention, ..TrimOptions::default() }, &NEVER, &mut |_| {}).unwrap()
}

fn retain(lake: &Lake, retain: &Retain) -> Retained {
    lake.retain(retain, &NEVER, &mut |_| {}).unwrap()
}

fn rebuild(lake: &Lake) -> Result<SilverReport> {
    lake.rebuild_silver(&SilverOptions::default(), false, &NEVER, &mut |_| {})
}

/// Days since the epoch, `days` after today.
fn in_days(days: i64) -> i32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    ((now + days * DAY_MS) / DAY_MS) as i32
}

/// Rows with everything that can be wrong with them.
fn mixed(from: u64, count: u64) -> Vec<Option<Value>> {
    (from..from + count)
        .map(|n| match n % 10 {
            3 => None,
            4 => Some(with(gps(n as u32 % 5, n), json!({"speed": -1.0}))),
            5 => Some(gps((n - 5) as u32 % 5, n - 5)),
            6 => {
                Some(with(gps(0, n), json!({"timestamp": iso(START_MS - DAY_MS + n as i64), "sentAt": iso(START_MS)})))
            }
            _ => Some(gps(n as u32 % 5, n)),
        })
        .collect()
}

/// `commits` commits of 20 rows in each of two partitions.
fn fill(lake: &Lake, from: i64, commits: i64) {
    for n in from..from + commits {
        for partition in [1, 0] {
            ingest(lake, GPS, partition, n * 20, &mixed((n * 40 + i64::from(partition) * 20) as u64, 20));
        }
    }
}

/// The rows of silver and its side tables without what depends on when the test ran, sorted.
type Content = BTreeMap<&'static str, Vec<BTreeMap<String, String>>>;

fn content(lake: &Lake) -> Content {
    let sorted = |table: &str| {
        let mut found = rows(lake, table);
        for row in &mut found {
            row.remove("ingested_at");
            row.remove("ingest_date");
        }
        found.sort();
        found
    };
    TABLES.into_iter().map(|t| (t, sorted(t))).collect()
}

fn sound(lake: &Lake) {
    assert_eq!(check(&Lake::open(&lake.path().to_string(), false).unwrap()), Vec::<String>::new());
}

fn log(lake: &Lake, table: &str, version: i64) -> PathBuf {
    lake.path().local().unwrap().join(table.replace('.', "/")).join(format!("_delta_log/{version:020}.json"))
}

fn files(lake: &Lake, table: &str) -> usize {
    lake.snapshot(table).unwrap().files.len()
}

/// A table of gold with one file of `rows` rows more under each of its dates.
fn add_to_gold(lake: &Lake, dates: &[&str], value: i64, rows: usize) {
    gold(lake, dates, value, rows, Some(vec![])).unwrap();
}

fn gold(
    lake: &Lake,
    dates: &[&str],
    value: i64,
    rows: usize,
    partitions: Option<Vec<BTreeMap<String, String>>>,
) -> Result<_core::lake::Replaced> {
    let all: Vec<_> = dates.iter().flat_map(|d| vec![*d; rows]).collect();
    let values = Int64Array::from(vec![value; all.len()]);
    let batch = RecordBatch::try_from_iter([
        ("value", Arc::new(values) as ArrayRef),
        ("window_date", Arc::new(StringArray::from(all)) as ArrayRef),
    ])
    .unwrap();
    let schema = batch.schema();
    let mut reader: Box<dyn RecordBatchReader> = Box::new(RecordBatchIterator::new([Ok(batch)], schema));
    let replace = Replace { partition_columns: vec!["window_date".into()], partitions, ..Replace::default() };
    lake.replace("gold.x", &mut *reader, &replace)
}

fn values(lake: &Lake) -> Vec<i64> {
    let mut all = Vec::new();
    for batch in lake.scan("gold.x", Some(&["value"])).unwrap() {
        all.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values());
    }
    all.sort_unstable();
    all
}

#[test]
fn small_files_become_one_and_nobody_sees_a_new_row() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 4);
    refine(&lake).unwrap();
    fill(&lake, 4, 3);
    let (before, bronze) = (content(&lake), rows(&lake, "bronze.gps").len());
    let silver_version = lake.snapshot("silver.gps").unwrap().version;

    let dry = CompactOptions { dry_run: true, ..CompactOptions::default() };
    let planned = lake.compact(&dry, &NEVER, &mut |_| {}).unwrap();
    assert_eq!(files(&lake, "bronze.gps"), 28);
    let done = compact(&lake);
    let of = |report: &Compacted, name: &str| report.tables.iter().find(|t| t.name == name).unwrap().clone();
    let (plan, table) = (of(&planned, "bronze.gps"), of(&done, "bronze.gps"));
    assert_eq!((plan.removed, plan.added), (28, 2));
    assert_eq!((table.removed, table.added, table.rows, table.conflicts), (28, 2, bronze as u64, 0));
    // One for decoded rows and one for the others; silver has two event dates.
    assert_eq!((files(&lake, "bronze.gps"), files(&lake, "silver.gps")), (2, 2));
    assert_eq!(content(&lake), before);
    let snapshot = lake.snapshot("bronze.gps").unwrap();
    for file in &snapshot.files {
        assert_eq!(file.tags["citystream.topicId"], "id-of-gps_data");
    }
    sound(&lake);

    // Each partition's offsets are in order, although its files were not.
    let good = snapshot.files.iter().find(|f| f.value("decoded") == Some("true")).unwrap();
    let mut last = BTreeMap::new();
    for batch in ParquetFile::open(&good.path).unwrap().batches(&["kafka_partition", "kafka_offset"], 1000).unwrap() {
        let batch = batch.unwrap();
        let partitions = batch.column(0).as_primitive::<arrow::datatypes::Int32Type>().values();
        for (partition, offset) in partitions.iter().zip(batch.column(1).as_primitive::<Int64Type>().values()) {
            assert!(last.insert(*partition, *offset).is_none_or(|before| before < *offset));
        }
    }
    // Silver stays sorted by device and time.
    for file in lake.snapshot("silver.gps").unwrap().files {
        let mut keys = Vec::new();
        for batch in ParquetFile::open(&file.path).unwrap().batches(&["device_id", "event_time"], 1000).unwrap() {
            let batch = batch.unwrap();
            let devices = batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned);
            let times = batch.column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values();
            keys.extend(devices.zip(times.iter().copied()));
        }
        assert!(keys.is_sorted() && keys.len() as u64 == file.rows);
    }
    // No version has a row that its reader does not know: nothing is new in silver, and three commits' rows in bronze.
    assert_eq!(lake.waiting("silver.gps", silver_version).unwrap().rows, 0);
    assert!(lake.changes("silver.gps", silver_version).unwrap().is_empty());
    let report = refine(&lake).unwrap();
    assert_eq!(report.dead_letter, 12);
    let other = Folder::new();
    fill(&other.lake(), 0, 4);
    refine(&other.lake()).unwrap();
    fill(&other.lake(), 4, 3);
    refine(&other.lake()).unwrap();
    assert_eq!(content(&lake), content(&other.lake()));
    sound(&lake);
    assert!(compact(&lake).tables.iter().all(|t| t.name != "bronze.gps"));
}

#[test]
fn a_reader_of_changes_finds_new_rows_where_compaction_has_put_them() {
    let folder = Folder::new();
    let lake = folder.lake();
    add_to_gold(&lake, &["2026-06-01", "2026-06-02"], 1, 3);
    let seen = lake.snapshot("gold.x").unwrap().version;
    add_to_gold(&lake, &["2026-06-02"], 2, 3);
    compact(&lake);
    assert_eq!(files(&lake, "gold.x"), 2);
    let fresh = lake.changes("gold.x", seen).unwrap();
    assert_eq!(fresh.iter().map(|f| f.value("window_date").unwrap()).collect::<Vec<_>>(), ["2026-06-02"]);
    assert!(fresh[0].path.local().unwrap().is_file() && fresh[0].rows == 6);
    assert_eq!(lake.waiting("gold.x", seen).unwrap().rows, 3);
}

#[test]
fn many_files_and_small_targets_come_to_an_end() {
    let folder = Folder::new();
    let lake = folder.lake();
    for n in 0..40 {
        add_to_gold(&lake, &["2026-06-01"], n, 50);
    }
    let size = lake.snapshot("gold.x").unwrap().files[0].bytes;
    let options = CompactOptions { target_bytes: size * 5, ..CompactOptions::default() };
    lake.compact(&options, &NEVER, &mut |_| {}).unwrap();
    let left = files(&lake, "gold.x");
    assert!((1..20).contains(&left), "{left}");
    assert_eq!(values(&lake).len(), 2000);
    assert!(lake.compact(&options, &NEVER, &mut |_| {}).unwrap().tables.is_empty());
    let none = CompactOptions { target_bytes: 0, ..CompactOptions::default() };
    assert_eq!(lake.compact(&none, &NEVER, &mut |_| {}).unwrap_err().kind(), ErrorKind::Config);
    let unknown = CompactOptions { tables: vec!["gold.y".into()], ..CompactOptions::default() };
    assert!(lake.compact(&unknown, &NEVER, &mut |_| {}).unwrap_err().to_string().contains("gold.x"));
}

#[test]
fn silver_of_many_files_is_merged_in_rounds() {
    let folder = Folder::new();
    let lake = folder.lake();
    for n in 0..40 {
        ingest(&lake, GPS, 0, n * 3, &(0..3).map(|i| Some(gps(i, n as u64 * 3 + u64::from(i)))).collect::<Vec<_>>());
        refine(&lake).unwrap();
    }
    assert_eq!(files(&lake, "silver.gps"), 40);
    compact(&lake);
    assert_eq!(files(&lake, "silver.gps"), 1);
    let keys: Vec<_> =
        rows(&lake, "silver.gps").into_iter().map(|r| (r["device_id"].clone(), r["event_time"].clone())).collect();
    assert!(keys.is_sorted() && keys.len() == 120);
    sound(&lake);
}

#[test]
fn rows_of_two_topics_of_one_name_stay_apart() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    for (topic_id, new_epoch) in [("old", false), ("old", false), ("new", true), ("new", true)] {
        let source = SourceId { topic_id: topic_id.into(), ..source(GPS) };
        let mut writer =
            lake.bronze_writer(GPS, source, BronzeOptions { new_epoch, ..BronzeOptions::default() }).unwrap();
        let offset = writer.next_offset(0).unwrap().unwrap_or(0);
        let (records, decoded) = records(GPS, 0, offset, &[Some(gps(1, offset as u64)), Some(gps(2, offset as u64))]);
        writer.append(&records, &decoded).unwrap();
        writer.commit().unwrap();
    }
    compact(&lake);
    let mut tags: Vec<_> =
        lake.snapshot("bronze.gps").unwrap().files.iter().map(|f| f.tags["citystream.topicId"].clone()).collect();
    tags.sort();
    assert_eq!(tags, ["new", "old"]);
    sound(&lake);
    // Also where the log no longer says which file came from where.
    trim(&lake, Duration::ZERO);
    sound(&lake);
}

#[test]
fn everybody_at_once_loses_nothing() {
    let folder = Folder::new();
    folder.lake().ensure_tables().unwrap();
    let (path, done) = (folder.path(), Arc::new(AtomicBool::new(false)));
    add_to_gold(&folder.lake(), &["2026-06-01"], 0, 2);
    let spawn = |work: Box<dyn Fn(&Lake) + Send>, until_done: bool| {
        let (path, done) = (path.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let lake = Lake::open(&path, false).unwrap();
            work(&lake);
            while until_done && !done.load(Ordering::Relaxed) {
                work(&lake);
            }
        })
    };
    let background = [
        spawn(Box::new(|lake| drop(compact(lake))), true),
        spawn(Box::new(|lake| drop(compact(lake))), true),
        spawn(Box::new(|lake| drop(refine(lake).unwrap())), true),
        spawn(Box::new(|lake| drop(vacuum(lake, Duration::from_mins(1), Duration::from_mins(1)))), true),
    ];
    let writers = [
        spawn(Box::new(|lake| (0..12).for_each(|n| ingest(lake, GPS, 0, n * 20, &mixed(n as u64 * 20, 20)))), false),
        spawn(
            Box::new(|lake| {
                for n in 0..12 {
                    let event = |n: i64| Some(event(Stream::Weather, 1, n as u64, n));
                    ingest(lake, Stream::Weather, 0, n * 2, &[event(n * 2), event(n * 2 + 1)]);
                }
            }),
            false,
        ),
        // What a replacement removes, compaction may have put together with what was there.
        spawn(
            Box::new(|lake| {
                for n in 1..=15 {
                    gold(lake, &["2026-06-01"], n, 2, None).unwrap();
                    add_to_gold(lake, &["2026-06-01"], n, 3);
                }
            }),
            false,
        ),
    ];
    for thread in writers {
        thread.join().unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for thread in background {
        thread.join().unwrap();
    }
    let lake = folder.lake();
    refine(&lake).unwrap();
    compact(&lake);
    assert_eq!(
        (count(&lake, "bronze.gps"), count(&lake, "bronze.weather"), count(&lake, "silver.weather")),
        (240, 24, 24)
    );
    assert_eq!(TABLES.iter().map(|t| count(&lake, t)).sum::<u64>(), 240);
    assert_eq!(values(&lake), [15; 5]);
    sound(&lake);
}

#[test]
fn vacuum_takes_what_left_long_ago_and_what_crashes_left() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 3);
    let old = lake.snapshot("bronze.gps").unwrap();
    compact(&lake);
    let (none, long) = (Duration::ZERO, Duration::from_hours(1));
    // Silver has not read the files that were put together, so they stay whatever the retention is.
    let kept = vacuum(&lake, none, none);
    assert_eq!(kept.tables.iter().map(|t| (t.unread, t.removed)).collect::<Vec<_>>(), [(12, 0)]);
    refine(&lake).unwrap();
    sound(&lake);

    let table = lake.path().local().unwrap().join("bronze/gps");
    let date = format!("ingest_date={}/decoded=true", today());
    let hex = "0".repeat(32);
    let left = [
        format!("{date}/part-00000-dead.parquet"),
        format!("{date}/.part-00000-x.parquet.{hex}.tmp"),
        format!("_delta_log/.00000000000000000009.json.{hex}.tmp"),
    ];
    let others = ["README.md", "_manifest/x.parquet", "notes.tmp"];
    fs::create_dir(table.join("_manifest")).unwrap();
    for name in left.iter().map(String::as_str).chain(others) {
        fs::write(table.join(name), b"x").unwrap();
    }
    assert_eq!(lake.check_all(&NEVER, &mut |_| {}).unwrap().leftovers, 3);
    // Young ones may belong to a commit in work, and readers may be at versions from before the compaction.
    assert!(vacuum(&lake, long, long).tables.is_empty());
    assert_eq!(old.scan(None).unwrap().map(|b| b.unwrap().num_rows()).sum::<usize>(), 120);
    let version = lake.snapshot("bronze.gps").unwrap().version;
    let options = VacuumOptions { retention: long, leftovers: none, dry_run: true, ..VacuumOptions::default() };
    let dry = lake.vacuum(&options, &NEVER, &mut |_| {}).unwrap();
    assert_eq!((dry.tables[0].leftovers, dry.tables[0].removed, dry.tables[0].bytes), (3, 0, 3));
    assert!(left.iter().all(|n| table.join(n).exists()));
    assert_eq!(lake.snapshot("bronze.gps").unwrap().version, version);

    let done = vacuum(&lake, none, none);
    let gps = done.tables.iter().find(|t| t.name == "bronze.gps").unwrap();
    assert_eq!((gps.leftovers, gps.removed, gps.unread, gps.paths.len()), (3, 12, 0, 15));
    assert!(left.iter().all(|n| !table.join(n).exists()));
    assert!(others.iter().all(|n| table.join(n).exists()));
    assert!(old.files.iter().all(|f| !f.path.local().unwrap().exists()));
    sound(&lake);
    assert_eq!(count(&lake, "bronze.gps"), 120);
    let note = fs::read_to_string(log(&lake, "bronze.gps", lake.snapshot("bronze.gps").unwrap().version)).unwrap();
    assert!(note.contains("VACUUM END") && note.contains("citystream.vacuumed"), "{note}");
    // The note is no row to refine.
    assert_eq!(lake.waiting("bronze.gps", version).unwrap().commits, 0);
    assert!(vacuum(&lake, none, none).tables.is_empty());
}

#[test]
fn the_log_is_cleaned_only_behind_its_readers() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 3);
    refine(&lake).unwrap();
    let reached = lake.snapshot("bronze.gps").unwrap().version;
    let stale = Lake::open(&folder.path(), false).unwrap();
    assert_eq!(stale.snapshot("bronze.gps").unwrap().version, reached);
    fill(&lake, 3, 3);
    let keep = trim(&lake, Duration::from_hours(1));
    assert!(keep.tables.iter().all(|t| t.deleted == 0 && t.oldest == 0));
    let of_gps = |report: &Trimmed| report.tables.iter().find(|t| t.name == "bronze.gps").unwrap().clone();
    assert_eq!((of_gps(&keep).written, of_gps(&keep).checkpoint), (true, reached + 6));

    let held = trim(&lake, Duration::ZERO);
    assert_eq!(of_gps(&held).held_by.as_deref(), Some("silver.gps"));
    assert!(log(&lake, "bronze.gps", reached + 1).exists());
    assert_eq!(refine(&Lake::open(&folder.path(), false).unwrap()).unwrap().dead_letter, 12);
    let done = trim(&lake, Duration::ZERO);
    assert_eq!((of_gps(&done).held_by, of_gps(&done).oldest), (None, reached + 6));
    assert!(!log(&lake, "bronze.gps", reached + 1).exists());
    let fresh = Lake::open(&folder.path(), false).unwrap();
    assert_eq!(count(&fresh, "bronze.gps"), 240);
    sound(&fresh);
    fill(&fresh, 6, 1);
    refine(&fresh).unwrap();
    sound(&fresh);
    // A process that opened the lake before the log was cleaned goes on.
    assert_eq!(lake.snapshot("bronze.gps").unwrap().txns, fresh.snapshot("bronze.gps").unwrap().txns);
    ingest(&lake, GPS, 0, 140, &[Some(gps(1, 500))]);
    ingest(&stale, GPS, 0, 141, &[Some(gps(1, 501))]);
    assert_eq!(refine(&stale).unwrap().silver["gps"], 2);
    // What left the table is known from the checkpoint now.
    compact(&fresh);
    trim(&fresh, Duration::ZERO);
    assert!(vacuum(&fresh, Duration::from_hours(1), Duration::ZERO).tables.is_empty());
    vacuum(&fresh, Duration::ZERO, Duration::ZERO);
    sound(&fresh);
    assert_eq!(files(&fresh, "bronze.gps"), 2);
}

#[test]
fn old_dates_go_and_everything_still_adds_up() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 2);
    let all = Retain { bronze: Some(in_days(1)), silver: Some(in_days(1)), ..Retain::default() };
    // Nobody has refined them yet.
    let kept = retain(&lake, &all);
    let bronze = &kept.tables[0];
    assert_eq!((bronze.name.as_str(), bronze.rows, bronze.kept.len()), ("bronze.gps", 0, 1));
    assert_eq!(bronze.held_by.as_deref(), Some("silver.gps"));
    refine(&lake).unwrap();
    let before = content(&lake);

    let dry = retain(&lake, &Retain { bronze: Some(in_days(1)), dry_run: true, ..Retain::default() });
    assert_eq!((dry.tables[0].rows, count(&lake, "bronze.gps")), (80, 80));
    // Bronze alone: silver keeps what it has, and offsets go on where they were.
    let done = retain(&lake, &Retain { bronze: Some(in_days(1)), ..Retain::default() });
    assert_eq!((done.tables.len(), done.tables[0].rows, done.tables[0].dates.clone()), (1, 80, vec![today()]));
    assert_eq!((count(&lake, "bronze.gps"), content(&lake)), (0, before));
    sound(&lake);
    assert_eq!(refine(&lake).unwrap().silver["gps"], 0);
    assert_eq!(writer(&lake, GPS).unwrap().next_offset(0).unwrap(), Some(40));
    fill(&lake, 2, 1);
    refine(&lake).unwrap();
    sound(&lake);

    // Silver by the event's date: one of two dates goes. Its side tables by the date of taking in: nothing is so old.
    let silver = Retain { silver: Some((START_MS / DAY_MS) as i32), ..Retain::default() };
    let done = retain(&lake, &silver);
    assert_eq!((done.tables.len(), done.tables[0].dates.clone()), (1, vec!["2026-05-31".to_owned()]));
    sound(&lake);
    let done = retain(&lake, &all);
    assert_eq!(
        done.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["bronze.gps", "silver.dead_letter", "silver.duplicate", "silver.gps", "silver.quarantine"]
    );
    assert!(TABLES.iter().all(|t| count(&lake, t) == 0));
    sound(&lake);
    fill(&lake, 3, 1);
    refine(&lake).unwrap();
    sound(&lake);
    // A rebuilding would lose what bronze no longer has.
    let error = rebuild(&lake).unwrap_err();
    assert!(error.to_string().contains("retention has dropped 120 rows of bronze.gps"), "{error}");
    lake.rebuild_silver(&SilverOptions::default(), true, &NEVER, &mut |_| {}).unwrap();
    assert_eq!(TABLES.iter().map(|t| count(&lake, t)).sum::<u64>(), 40);
    sound(&lake);
    // The files are vacuum's.
    vacuum(&lake, Duration::ZERO, Duration::ZERO);
    sound(&lake);
}

#[test]
fn gold_is_dropped_by_its_windows() {
    let folder = Folder::new();
    let lake = folder.lake();
    add_to_gold(&lake, &["2026-05-31", "2026-06-01"], 1, 2);
    let done = retain(&lake, &Retain { gold: Some((START_MS / DAY_MS) as i32), ..Retain::default() });
    assert_eq!((done.tables[0].rows, values(&lake)), (2, vec![1, 1]));
    // The table's own columns are as they were.
    add_to_gold(&lake, &["2026-06-01"], 2, 1);
    assert_eq!(values(&lake), [1, 1, 2]);
}

#[test]
fn a_cleaned_log_is_refined_anew_from_all_of_bronze() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 3);
    refine(&lake).unwrap();
    fill(&lake, 3, 10);
    // Another engine has cleaned the log.
    for version in 0..=19 {
        fs::remove_file(log(&lake, "bronze.gps", version)).unwrap();
    }
    let lake = Lake::open(&folder.path(), false).unwrap();
    let error = refine(&lake).unwrap_err();
    assert!(error.to_string().contains("refine --rebuild"), "{error}");
    let report = rebuild(&lake).unwrap();
    assert_eq!((report.dead_letter, report.bronze_versions["gps"]), (52, 26));
    let expected = Folder::new();
    fill(&expected.lake(), 0, 13);
    refine(&expected.lake()).unwrap();
    assert_eq!(content(&lake)["silver.gps"], content(&expected.lake())["silver.gps"]);
    assert_eq!(TABLES.iter().map(|t| count(&lake, t)).sum::<u64>(), 520);
    sound(&lake);
    assert_eq!(refine(&lake).unwrap().silver["gps"], 0);
    fill(&lake, 13, 1);
    refine(&lake).unwrap();
    sound(&lake);
}

#[test]
fn a_rebuilding_beside_refinements_gives_the_same_rows() {
    let folder = Folder::new();
    folder.lake().ensure_tables().unwrap();
    fill(&folder.lake(), 0, 4);
    let path = folder.path();
    let refiner = std::thread::spawn({
        let path = path.clone();
        move || {
            for n in 4..10 {
                let lake = Lake::open(&path, false).unwrap();
                fill(&lake, n, 1);
                // While silver is being rebuilt, a refinement says so.
                if let Err(error) = refine(&lake) {
                    assert!(error.is_retryable(), "{error}");
                }
            }
        }
    });
    let rebuilder = std::thread::spawn(move || {
        let lake = Lake::open(&path, false).unwrap();
        (0..3).filter(|_| rebuild(&lake).map_err(|e| assert_eq!(e.kind(), ErrorKind::Conflict, "{e}")).is_ok()).count()
    });
    refiner.join().unwrap();
    rebuilder.join().unwrap();
    let lake = folder.lake();
    rebuild(&lake).unwrap();
    refine(&lake).unwrap();
    assert_eq!(TABLES.iter().map(|t| count(&lake, t)).sum::<u64>(), 400);
    sound(&lake);
}

/// Not tests of their own: what [`killed_anywhere_it_is_done_again`] runs in a child.
#[test]
#[ignore = "runs in a child process"]
fn child_maintains() {
    let (Ok(path), Ok(work)) = (std::env::var("LAKE_PATH"), std::env::var("WORK")) else { return };
    let lake = Lake::open(&path, false).unwrap();
    match work.as_str() {
        "compact" => drop(compact(&lake)),
        "vacuum" => drop(vacuum(&lake, Duration::ZERO, Duration::ZERO)),
        "trim" => drop(trim(&lake, Duration::ZERO)),
        "retain" => drop(retain(&lake, &Retain { bronze: Some(in_days(1)), ..Retain::default() })),
        "rebuild" => drop(rebuild(&lake).unwrap()),
        other => panic!("{other}"),
    }
}

#[test]
fn killed_anywhere_it_is_done_again() {
    let expected = Folder::new();
    fill(&expected.lake(), 0, 4);
    refine(&expected.lake()).unwrap();
    let expected = content(&expected.lake());
    let works = ["compact", "vacuum", "trim", "retain", "rebuild"];
    let cases: Vec<(&str, &str)> =
        CRASH_POINTS.iter().filter_map(|p| works.iter().find(|w| p.starts_with(*w)).map(|w| (*p, *w))).collect();
    assert_eq!(cases.len(), 16);
    // By far the longest test of this file: alone on one thread it would leave the other idle.
    std::thread::scope(|scope| {
        for half in cases.chunks(8) {
            let expected = &expected;
            scope.spawn(move || half.iter().for_each(|(point, work)| killed_at(point, work, expected)));
        }
    });
}

fn killed_at(point: &str, work: &str, expected: &Content) {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 4);
    refine(&lake).unwrap();
    if work == "vacuum" {
        compact(&lake);
    }
    let path = folder.path();
    let variables = [("LAKE_PATH", path.as_str()), ("WORK", work)];
    assert!(was_killed(child("child_maintains", Some(point), &variables)), "{point} was not reached");
    let lake = folder.lake();
    if point.starts_with("rebuild_after_") && !point.ends_with("_files") && point != "rebuild_after_silver" {
        let text = refine(&lake).unwrap_err().to_string();
        assert!(text.contains("refine --rebuild"), "{point}: {text}");
        assert!(check(&lake).iter().any(|p| p.contains("rebuilding is not finished")), "{point}");
    } else if point != "rebuild_after_silver" {
        sound(&lake);
    }
    child("child_maintains", None, &variables);
    sound(&lake);
    if work == "rebuild" {
        assert_eq!(content(&lake)["silver.gps"], expected["silver.gps"], "{point}");
        assert_eq!(TABLES.iter().map(|t| count(&lake, t)).sum::<u64>(), 160, "{point}");
    } else {
        assert_eq!(&content(&lake), expected, "{point}");
    }
    fill(&lake, 4, 1);
    refine(&lake).unwrap();
    sound(&lake);
}

/// Makes a table what a version of citystream would have left that had not this column.
fn without_column(lake: &Lake, table: &str, column: &str) {
    let root = lake.path().local().unwrap().join(table.replace('.', "/"));
    let newest = lake.snapshot(table).unwrap().version;
    for version in 0..=newest {
        let path = log(lake, table, version);
        let lines: Vec<String> = fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| {
                let mut action: Value = serde_json::from_str(line).unwrap();
                if let Some(text) = action["metaData"]["schemaString"].as_str() {
                    let mut schema: Value = serde_json::from_str(text).unwrap();
                    schema["fields"].as_array_mut().unwrap().retain(|f| f["name"] != column);
                    action["metaData"]["schemaString"] = schema.to_string().into();
                }
                if let Some(name) = action["add"]["path"].as_str() {
                    let path = root.join(name);
                    cut(&path, column);
                    action["add"]["size"] = fs::metadata(&path).unwrap().len().into();
                }
                action.to_string()
            })
            .collect();
        fs::write(&path, lines.join("\n")).unwrap();
    }
}

fn cut(path: &Path, column: &str) {
    let file = ParquetFile::open(path).unwrap();
    let schema = parquet::arrow::parquet_to_arrow_schema(
        file.metadata().file_metadata().schema_descr(),
        file.metadata().file_metadata().key_value_metadata(),
    )
    .unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).filter(|n| *n != column).collect();
    assert!(names.len() < schema.fields().len(), "{column}");
    let batches: Vec<_> = file.batches(&names, 1000).unwrap().map(|b| b.unwrap()).collect();
    let _ = fs::remove_file(path);
    let mut writer = FileWriter::create(path, &batches[0].schema(), &WriteOptions::default()).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_new_column_appears_in_old_tables_without_rewriting() {
    let folder = Folder::new();
    let lake = folder.lake();
    lake.ensure_tables().unwrap();
    fill(&lake, 0, 1);
    refine(&lake).unwrap();
    let cuts = [("bronze.gps", "fix"), ("silver.gps", "fix"), ("silver.quarantine", "reason")];
    for (table, column) in cuts {
        without_column(&lake, table, column);
    }
    let old = Lake::open(&folder.path(), false).unwrap();
    assert!(old.snapshot("silver.gps").unwrap().schema.field_with_name("fix").is_err());
    let before = old.snapshot("silver.gps").unwrap();

    let lake = Lake::open(&folder.path(), false).unwrap();
    fill(&lake, 1, 1);
    refine(&lake).unwrap();
    for (table, column) in cuts {
        let all = rows(&lake, table);
        let with = all.iter().filter(|row| row.contains_key(column)).count();
        assert!(with > 0 && with < all.len(), "{table}: {with} of {}", all.len());
    }
    let after = lake.snapshot("silver.gps").unwrap();
    assert!(before.files.iter().all(|f| after.files.contains(f)), "an old file was rewritten");
    let field = after.schema.field_with_name("fix").unwrap().clone();
    assert!(field.is_nullable() && field.metadata().contains_key("comment"));
    sound(&lake);
    // Once is enough, and compaction gives every file the column.
    let version = after.version;
    refine(&Lake::open(&folder.path(), false).unwrap()).unwrap();
    assert_eq!(lake.snapshot("silver.gps").unwrap().version, version);
    let all = content(&lake);
    compact(&lake);
    assert_eq!(content(&lake), all);
    sound(&lake);
}

#[test]
fn a_column_that_is_gone_or_has_another_type_is_named() {
    for (change, expected) in [
        (
            json!({"name": "extra", "type": "string", "nullable": true, "metadata": {}}),
            "bronze.gps has the column extra",
        ),
        (
            json!({"name": "fix", "type": "integer", "nullable": true, "metadata": {}}),
            "bronze.gps has the column fix of type Int32",
        ),
    ] {
        let folder = Folder::new();
        folder.lake().ensure_tables().unwrap();
        let path = log(&folder.lake(), "bronze.gps", 0);
        let lines: Vec<String> = fs::read_to_string(&path)
            .unwrap()
            .lines()
            .map(|line| {
                let mut action: Value = serde_json::from_str(line).unwrap();
                if let Some(text) = action["metaData"]["schemaString"].as_str() {
                    let mut schema: Value = serde_json::from_str(text).unwrap();
                    let fields = schema["fields"].as_array_mut().unwrap();
                    fields.retain(|f| f["name"] != change["name"]);
                    fields.push(change.clone());
                    action["metaData"]["schemaString"] = schema.to_string().into();
                }
                action.to_string()
            })
            .collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let lake = Lake::open(&folder.path(), false).unwrap();
        let error = writer(&lake, GPS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Table);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn check_names_a_compaction_that_doubled_rows() {
    let folder = Folder::new();
    let lake = folder.lake();
    add_to_gold(&lake, &["2026-06-01"], 1, 2);
    add_to_gold(&lake, &["2026-06-01"], 2, 2);
    compact(&lake);
    let version = lake.snapshot("gold.x").unwrap().version;
    // A second engine that planned the same compaction and did not notice.
    let text = fs::read_to_string(log(&lake, "gold.x", version)).unwrap();
    let name = lake.snapshot("gold.x").unwrap().files[0].name.clone();
    let copy = name.replace(".parquet", "-b.parquet");
    let root = lake.path().local().unwrap().join("gold/x");
    fs::copy(root.join(&name), root.join(&copy)).unwrap();
    let again: Vec<&str> = text.lines().filter(|l| !l.contains("metaData")).collect();
    fs::write(log(&lake, "gold.x", version + 1), again.join("\n").replace(&name, &copy)).unwrap();
    let problems = check(&Lake::open(&folder.path(), false).unwrap());
    assert!(problems.iter().any(|p| p.contains("removes 2 files that had left the table before")), "{problems:?}");
}

//! Of the dates of a table with windows only those windows are replaced that are new; the rest stays, copied without being
//! decoded where it can be.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use _core::error::{ErrorKind, Result};
use _core::lake::{DataFile, Lake, Replace, Replaced};
use _core::storage::ParquetFile;
use arrow::array::*;
use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
use lake_fixture::{Folder, START_MS};
use object_store::memory::InMemory;

const TABLE: &str = "gold.road_5min";
const WINDOW: i64 = 300_000_000;
const DAY: i64 = 86_400_000_000;
/// Windows of a day.
const WINDOWS: i64 = DAY / WINDOW;
/// Rows of a window: a day has 144,000, four row groups and a half.
const ROADS: i64 = 500;

/// (window, road, flow); the first window starts at midnight.
type Row = (i64, i64, i64);

fn at(window: i64) -> i64 {
    START_MS * 1000 + window * WINDOW
}

fn made(windows: Range<i64>, roads: i64, flow: i64) -> Vec<Row> {
    windows.flat_map(|window| (0..roads).map(move |road| (window, road, flow))).collect()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let starts: Vec<i64> = rows.iter().map(|r| at(r.0)).collect();
    let dates = Date32Array::from_iter_values(starts.iter().map(|us| us.div_euclid(DAY) as i32));
    RecordBatch::try_from_iter([
        ("window_date", Arc::new(dates) as ArrayRef),
        ("window_start", Arc::new(TimestampMicrosecondArray::from(starts).with_timezone("UTC"))),
        ("road", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| format!("road-{}", r.1))))),
        ("flow", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2)))),
    ])
    .unwrap()
}

fn put(lake: &Lake, batch: RecordBatch, replace: &Replace) -> Result<Replaced> {
    let schema = batch.schema();
    // As a query gives them: in pieces that know nothing of dates and row groups.
    let pieces = (0..batch.num_rows()).step_by(10_000).map(|n| batch.slice(n, (batch.num_rows() - n).min(10_000)));
    lake.replace(TABLE, &mut RecordBatchIterator::new(pieces.map(Ok).collect::<Vec<_>>(), schema), replace)
}

fn whole() -> Replace {
    Replace { partition_columns: vec!["window_date".into()], ..Replace::default() }
}

/// To replace the windows within `windows`, of which it names every date.
fn within(lake: &Lake, windows: Range<i64>) -> Replace {
    let dates = windows.start / WINDOWS..=(windows.end - 1) / WINDOWS;
    let name = |day| BTreeMap::from([("window_date".to_owned(), format!("2026-06-{:02}", 1 + day))]);
    Replace {
        partitions: Some(dates.map(name).collect()),
        based_on: Some(lake.snapshot(TABLE).unwrap().version),
        within: Some((at(windows.start), at(windows.end))),
        ..whole()
    }
}

/// The rows of each date, in the order of its file, which must be one.
fn held(lake: &Lake) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in lake.scan(TABLE, Some(&["window_date", "window_start", "road", "flow"])).unwrap() {
        let batch = batch.unwrap();
        let dates = batch.column(0).as_primitive::<Date32Type>();
        let starts = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let (roads, flows) = (batch.column(2).as_string::<i32>(), batch.column(3).as_primitive::<Int64Type>());
        for n in 0..batch.num_rows() {
            assert_eq!(starts.value(n).div_euclid(DAY) as i32, dates.value(n));
            let road = roads.value(n).strip_prefix("road-").unwrap().parse().unwrap();
            rows.push(((starts.value(n) - at(0)) / WINDOW, road, flows.value(n)));
        }
    }
    rows.sort_by_key(|r| r.0 / WINDOWS);
    let files = lake.snapshot(TABLE).unwrap().files;
    let dates: std::collections::BTreeSet<_> = files.iter().map(|f| f.value("window_date").unwrap()).collect();
    assert_eq!(dates.len(), files.len(), "one file a date");
    rows
}

fn file_of(lake: &Lake, date: &str) -> DataFile {
    lake.snapshot(TABLE).unwrap().files.into_iter().find(|f| f.value("window_date") == Some(date)).unwrap()
}

fn group_rows(file: &DataFile) -> Vec<usize> {
    let file = ParquetFile::open(&file.path).unwrap();
    (0..file.metadata().num_row_groups()).map(|n| file.group_rows(n)).collect()
}

fn expected(old: &[Row], windows: Range<i64>, new: &[Row]) -> Vec<Row> {
    let outside = old.iter().filter(|r| !windows.contains(&r.0));
    let mut rows: Vec<Row> = outside.chain(new).copied().collect();
    rows.sort_by_key(|r| r.0);
    rows
}

fn on_disk_and_in_a_store(test: impl Fn(&Lake)) {
    let folder = Folder::new();
    test(&folder.lake());
    test(&Lake::open_on(Arc::new(InMemory::new()), "s3://bucket/lake", true).unwrap());
}

#[test]
fn windows_outside_stay_in_the_order_of_their_files() {
    on_disk_and_in_a_store(|lake| {
        let mut rows = made(0..2 * WINDOWS, ROADS, 1);
        put(lake, batch(&rows), &whole()).unwrap();
        // From the evening into the night, at the very ends, in the middle of a date, and all of a date.
        for (n, windows) in [250..300, 0..1, 575..576, 100..101, 288..576, 10..14].into_iter().enumerate() {
            let new = made(windows.clone(), 3, 100 + n as i64);
            let stay = rows.iter().filter(|r| {
                let dates = windows.start / WINDOWS..=(windows.end - 1) / WINDOWS;
                dates.contains(&(r.0 / WINDOWS)) && !windows.contains(&r.0)
            });
            let stay = stay.count();
            let done = put(lake, batch(&new), &within(lake, windows.clone())).unwrap();
            assert_eq!(done.rows, (new.len() + stay) as u64, "{windows:?}");
            rows = expected(&rows, windows.clone(), &new);
            assert_eq!(held(lake), rows, "{windows:?}");
        }
        // Nothing in place of them, and then a date of which nothing else is left.
        put(lake, batch(&[]), &within(lake, 288..500)).unwrap();
        rows = expected(&rows, 288..500, &[]);
        assert_eq!(held(lake), rows);
        put(lake, batch(&[]), &within(lake, 288..576)).unwrap();
        assert_eq!(held(lake), expected(&rows, 288..576, &[]));
    });
}

#[test]
fn row_groups_that_stay_whole_are_not_decoded() {
    let folder = Folder::new();
    let lake = folder.lake();
    put(&lake, batch(&made(0..WINDOWS, ROADS, 1)), &whole()).unwrap();
    let before = file_of(&lake, "2026-06-01");
    assert_eq!(group_rows(&before), [32_768, 32_768, 32_768, 32_768, 12_928]);
    // Pages that nobody can decode any more, in the first group.
    let path = before.path.local().unwrap();
    let range = ParquetFile::open(&before.path).unwrap().metadata().row_group(0).column(2).byte_range();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xAB; range.1 as usize], range.0).unwrap();
    assert!(lake.scan(TABLE, None).unwrap().any(|batch| batch.is_err()), "they were to be unreadable");

    put(&lake, batch(&made(287..288, ROADS, 2)), &within(&lake, 287..288)).unwrap();
    let after = file_of(&lake, "2026-06-01");
    assert_ne!(before.path, after.path);
    assert_eq!(group_rows(&after), [32_768, 32_768, 32_768, 32_768, 12_928]);
    let copied = ParquetFile::open(&after.path).unwrap().metadata().row_group(0).column(2).byte_range();
    let mut bytes = vec![0; copied.1 as usize];
    std::fs::File::open(after.path.local().unwrap()).unwrap().read_exact_at(&mut bytes, copied.0).unwrap();
    assert!(bytes.iter().all(|&b| b == 0xAB));
    // What the log says of a copied group is what the group said.
    let stats = after.stats.as_ref().unwrap();
    assert_eq!(
        (&stats["numRecords"], &stats["minValues"]["flow"], &stats["maxValues"]["flow"]),
        (&144_000.into(), &1.into(), &2.into())
    );
    assert_eq!(stats["minValues"]["window_start"], "2026-06-01T00:00:00.000000Z");
}

#[test]
fn row_groups_do_not_become_many() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut rows = made(0..WINDOWS, ROADS, 1);
    put(&lake, batch(&rows), &whole()).unwrap();
    for n in 0..60 {
        // Now at the end, as a lake that follows its topics does, now somewhere.
        let start = if n % 2 == 0 { WINDOWS - 3 } else { (n * 89) % (WINDOWS - 3) };
        let new = made(start..start + 3, ROADS - n % 7, n);
        put(&lake, batch(&new), &within(&lake, start..start + 3)).unwrap();
        rows = expected(&rows, start..start + 3, &new);
    }
    assert_eq!(held(&lake), rows);
    let groups = group_rows(&file_of(&lake, "2026-06-01"));
    assert!(groups.windows(2).all(|pair| pair[0] + pair[1] > 16_384), "short ones are put together: {groups:?}");
    assert!(groups.len() <= 15, "{groups:?}");
}

#[test]
fn rows_stay_where_their_file_has_fewer_columns() {
    on_disk_and_in_a_store(|lake| {
        let old = batch(&made(0..WINDOWS, 2, 1));
        put(lake, old.project(&[0, 1, 3]).unwrap(), &whole()).unwrap();
        let reorder = |rows: &[Row]| batch(rows).project(&[0, 1, 3, 2]).unwrap();
        put(lake, reorder(&made(20..40, 2, 2)), &within(lake, 20..40)).unwrap();
        let mut flows: Vec<(i64, bool)> = Vec::new();
        for batch in lake.scan(TABLE, Some(&["flow", "road"])).unwrap() {
            let batch = batch.unwrap();
            let flow = batch.column(0).as_primitive::<Int64Type>();
            flows.extend((0..batch.num_rows()).map(|n| (flow.value(n), batch.column(1).is_valid(n))));
        }
        assert_eq!(flows.iter().filter(|f| **f == (1, false)).count(), 2 * 268);
        assert_eq!(flows.iter().filter(|f| **f == (2, true)).count(), 2 * 20);
        assert_eq!(flows.len(), 2 * 288);
    });
}

#[test]
fn what_it_needs_is_asked_for() {
    let folder = Folder::new();
    let lake = folder.lake();
    put(&lake, batch(&made(0..10, 2, 1)), &whole()).unwrap();
    let good = within(&lake, 3..5);
    let new = || batch(&made(3..5, 2, 2));
    let blind = Replace { based_on: None, ..good.clone() };
    let error = put(&lake, new(), &blind).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("based_on"), "{error}");

    let flat = Replace { partition_columns: vec![], partitions: Some(vec![]), based_on: Some(0), ..good.clone() };
    let rows = new();
    let error = lake.replace("gold.flat", &mut RecordBatchIterator::new([Ok(rows.clone())], rows.schema()), &flat);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);

    // Somebody else's commit in between, and then the same once more.
    put(&lake, batch(&made(7..8, 2, 3)), &within(&lake, 7..8)).unwrap();
    assert_eq!(put(&lake, new(), &good).unwrap_err().kind(), ErrorKind::Conflict);
    put(&lake, new(), &within(&lake, 3..5)).unwrap();
    let flows: Vec<i64> = held(&lake).iter().map(|r| r.2).collect();
    assert_eq!(flows, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1]);
}

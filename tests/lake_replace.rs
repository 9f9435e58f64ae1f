//! Tables that others compute are replaced whole or by partition, in one commit.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use std::collections::BTreeMap;
use std::sync::Arc;

use _core::error::{ErrorKind, Result};
use _core::lake::{CRASH_POINTS, Change, DataFile, Lake, Replace, Replaced};
use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use lake_fixture::{Folder, child, count, rows, was_killed};

const TABLE: &str = "gold.road_5min";

fn batch(dates: &[&str], values: &[i64]) -> RecordBatch {
    let dates: ArrayRef = Arc::new(StringArray::from(dates.to_vec()));
    RecordBatch::try_from_iter([
        ("window_date", cast(&dates, &DataType::Date32).unwrap()),
        ("flow", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef),
    ])
    .unwrap()
}

fn options(partitions: Option<&[&str]>) -> Replace {
    let partition = |date: &&str| BTreeMap::from([("window_date".to_owned(), (*date).to_owned())]);
    Replace {
        partition_columns: vec!["window_date".into()],
        partitions: partitions.map(|p| p.iter().map(partition).collect()),
        ..Replace::default()
    }
}

fn replace(lake: &Lake, batch: RecordBatch, options: &Replace) -> Result<Replaced> {
    let schema = batch.schema();
    lake.replace(TABLE, &mut RecordBatchIterator::new([Ok(batch)], schema), options)
}

fn flows(lake: &Lake) -> Vec<(String, String)> {
    let mut flows: Vec<_> =
        rows(lake, TABLE).into_iter().map(|r| (r["window_date"].clone(), r["flow"].clone())).collect();
    flows.sort();
    flows
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn only_the_named_partitions_change() {
    let folder = Folder::new();
    let lake = folder.lake();
    let made = replace(&lake, batch(&["2026-06-01", "2026-06-02", "2026-06-02"], &[1, 2, 3]), &options(None)).unwrap();
    assert_eq!(made, Replaced { version: 1, rows: 3, files: 2 });
    replace(&lake, batch(&["2026-06-02"], &[9]), &options(Some(&["2026-06-02"]))).unwrap();
    assert_eq!(flows(&lake), pairs(&[("2026-06-01", "1"), ("2026-06-02", "9")]));
    // A new partition, and one that becomes empty.
    replace(&lake, batch(&["2026-06-03"], &[4]), &options(Some(&["2026-06-01", "2026-06-03"]))).unwrap();
    assert_eq!(flows(&lake), pairs(&[("2026-06-02", "9"), ("2026-06-03", "4")]));
    let empty = replace(&lake, batch(&[], &[]), &options(Some(&["2026-06-03"]))).unwrap();
    assert_eq!((empty.rows, empty.files), (0, 0));
    assert_eq!(flows(&lake), pairs(&[("2026-06-02", "9")]));
    replace(&lake, batch(&[], &[]), &options(None)).unwrap();
    assert_eq!(count(&lake, TABLE), 0);
    assert_eq!(lake.snapshot(TABLE).unwrap().schema.fields().len(), 2);
    // Nothing to change is no commit.
    let version = lake.snapshot(TABLE).unwrap().version;
    assert_eq!(replace(&lake, batch(&[], &[]), &options(None)).unwrap().version, version);
}

#[test]
fn a_table_is_made_also_without_rows_and_carries_its_comments() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut options = options(None);
    options.comments.insert("flow".into(), "vehicles an hour".into());
    options.description = "flow by road".into();
    replace(&lake, batch(&[], &[]), &options).unwrap();
    assert_eq!(lake.names().unwrap(), [TABLE]);
    let snapshot = lake.snapshot(TABLE).unwrap();
    assert_eq!((snapshot.files.len(), snapshot.partition_columns.as_slice()), (0, &["window_date".to_owned()][..]));
    assert_eq!(snapshot.schema.field(1).metadata()["comment"], "vehicles an hour");
    assert_eq!(snapshot.schema.field(0).data_type(), &DataType::Date32);
    options.comments.insert("flow".into(), "vehicles per hour".into());
    replace(&lake, batch(&["2026-06-01"], &[1]), &options).unwrap();
    assert_eq!(lake.snapshot(TABLE).unwrap().schema.field(1).metadata()["comment"], "vehicles per hour");
    assert_eq!(lake.scan(TABLE, Some(&["flow"])).unwrap().schema().fields().len(), 1);
    let unknown = lake.scan(TABLE, Some(&["fow"])).err().unwrap();
    assert_eq!(unknown.kind(), ErrorKind::Config);
    assert!(unknown.to_string().contains("window_date, flow"), "{unknown}");
}

#[test]
fn a_stray_row_or_a_wrong_table_is_refused() {
    let folder = Folder::new();
    let lake = folder.lake();
    replace(&lake, batch(&["2026-06-01"], &[1]), &options(None)).unwrap();
    let error = replace(&lake, batch(&["2026-06-05"], &[1]), &options(Some(&["2026-06-01"]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("2026-06-05"), "{error}");
    let data = batch(&[], &[]);
    let mut reader = RecordBatchIterator::new([], data.schema());
    assert_eq!(lake.replace("silver.gps", &mut reader, &options(None)).unwrap_err().kind(), ErrorKind::Config);

    let unpartitioned = Replace { partition_columns: vec![], ..options(None) };
    assert!(replace(&lake, batch(&[], &[]), &unpartitioned).unwrap_err().to_string().contains("is partitioned by"));
    let odd = RecordBatch::try_from_iter([("a b", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    assert!(replace(&lake, odd, &unpartitioned).unwrap_err().to_string().contains("\"a b\""));
    assert_eq!(flows(&lake), pairs(&[("2026-06-01", "1")]));
}

#[test]
fn columns_may_be_added_and_all_may_change_when_all_rows_do() {
    let folder = Folder::new();
    let lake = folder.lake();
    replace(&lake, batch(&["2026-06-01", "2026-06-02"], &[1, 2]), &options(None)).unwrap();
    let wider = |date: &str| {
        let old = batch(&[date], &[7]);
        let mut columns: Vec<(String, ArrayRef)> =
            old.schema().fields().iter().map(|f| f.name().clone()).zip(old.columns().iter().cloned()).collect();
        columns.push(("speed".into(), Arc::new(Float64Array::from(vec![1.5]))));
        RecordBatch::try_from_iter(columns).unwrap()
    };
    replace(&lake, wider("2026-06-02"), &options(Some(&["2026-06-02"]))).unwrap();
    let mut found = rows(&lake, TABLE);
    found.sort();
    assert!(!found[0].contains_key("speed"), "{found:?}");
    assert_eq!(found[1]["speed"], "1.5");
    // Without the added column, only the whole table can be replaced.
    let error = replace(&lake, batch(&["2026-06-01"], &[1]), &options(Some(&["2026-06-01"]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Table);
    replace(&lake, batch(&["2026-06-01"], &[1]), &options(None)).unwrap();
    assert_eq!(lake.snapshot(TABLE).unwrap().schema.fields().len(), 2);
}

#[test]
fn transactions_do_not_go_back_and_a_stale_base_is_a_conflict() {
    let folder = Folder::new();
    let lake = folder.lake();
    let with_txn =
        |version: i64| Replace { txns: BTreeMap::from([("gold/silver.gps".into(), version)]), ..options(None) };
    replace(&lake, batch(&["2026-06-01"], &[1]), &with_txn(5)).unwrap();
    assert_eq!(lake.snapshot(TABLE).unwrap().txns["gold/silver.gps"], 5);
    let error = replace(&lake, batch(&["2026-06-01"], &[2]), &with_txn(4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    replace(&lake, batch(&["2026-06-01"], &[3]), &with_txn(6)).unwrap();

    let base = lake.snapshot(TABLE).unwrap().version;
    replace(&lake, batch(&["2026-06-01"], &[4]), &options(None)).unwrap();
    let stale = Replace { based_on: Some(base), ..options(None) };
    assert_eq!(replace(&lake, batch(&["2026-06-01"], &[5]), &stale).unwrap_err().kind(), ErrorKind::Conflict);
    let fresh = Replace { based_on: Some(base + 1), ..options(None) };
    replace(&lake, batch(&["2026-06-01"], &[6]), &fresh).unwrap();
    assert_eq!(flows(&lake), pairs(&[("2026-06-01", "6")]));
}

#[test]
fn what_has_changed_since_a_version_is_told_with_its_windows() {
    let folder = Folder::new();
    let lake = folder.lake();
    replace(&lake, batch(&["2026-06-01", "2026-06-02"], &[1, 2]), &options(None)).unwrap();
    let windows = Some(vec![(5, 7), (9, 12)]);
    let some = Replace { windows: windows.clone(), ..options(Some(&["2026-06-02"])) };
    replace(&lake, batch(&["2026-06-02"], &[3]), &some).unwrap();
    let only_txn = Replace { txns: BTreeMap::from([("a".into(), 1)]), ..options(Some(&[])) };
    replace(&lake, batch(&[], &[]), &only_txn).unwrap();
    replace(&lake, batch(&["2026-06-02"], &[4]), &options(Some(&["2026-06-02"]))).unwrap();

    let found = lake.changed(TABLE, 1).unwrap().unwrap();
    assert_eq!(
        found.iter().map(|c| c.version).collect::<Vec<_>>(),
        [2, 4],
        "the commit of a transaction changes no row"
    );
    let flow = |files: &[DataFile]| -> Vec<_> {
        files.iter().map(|f| f.stats.as_ref().unwrap()["minValues"]["flow"].as_i64().unwrap()).collect()
    };
    assert_eq!((flow(&found[0].adds), flow(&found[0].removes)), (vec![3], vec![2]));
    assert_eq!((flow(&found[1].adds), flow(&found[1].removes)), (vec![4], vec![3]));
    assert_eq!((&found[0].windows, &found[1].windows), (&windows, &None));
    assert_eq!(found[0].removes[0].value("window_date"), Some("2026-06-02"));
    assert_eq!(lake.changed(TABLE, 4).unwrap().unwrap(), []);
}

#[test]
fn what_has_changed_is_unknown_once_the_log_is_cut() {
    let folder = Folder::new();
    let lake = folder.lake();
    for n in 0..25 {
        replace(&lake, batch(&["2026-06-01"], &[n]), &options(None)).unwrap();
    }
    let log = lake.path().local().unwrap().join("gold/road_5min/_delta_log");
    for version in 0..5 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let fresh = folder.lake();
    assert_eq!(fresh.changed(TABLE, 3).unwrap(), None);
    let found = fresh.changed(TABLE, 4).unwrap().unwrap();
    assert_eq!(found.len(), 25 - 4);
    // The file of version 4 is known to nobody any more; the others are.
    let known = |c: &Change| c.removes.iter().all(|f| f.stats.is_some());
    assert_eq!(found.iter().map(known).collect::<Vec<_>>(), [vec![false], vec![true; 20]].concat());
}

#[test]
fn types_become_those_that_every_reader_has() {
    let folder = Folder::new();
    let lake = folder.lake();
    let naive = TimestampMillisecondArray::from(vec![1_780_272_000_123]);
    let decimal = Decimal128Array::from(vec![42]).with_precision_and_scale(38, 0).unwrap();
    let fraction = Decimal128Array::from(vec![125]).with_precision_and_scale(10, 2).unwrap();
    let words: DictionaryArray<arrow::datatypes::Int8Type> = ["x"].into_iter().collect();
    let data = RecordBatch::try_from_iter([
        ("naive", Arc::new(naive) as ArrayRef),
        ("huge", Arc::new(decimal) as ArrayRef),
        ("fraction", Arc::new(fraction) as ArrayRef),
        ("word", Arc::new(words) as ArrayRef),
        ("view", Arc::new(StringViewArray::from(vec!["v"])) as ArrayRef),
        ("large", Arc::new(LargeStringArray::from(vec!["l"])) as ArrayRef),
        ("small", Arc::new(UInt8Array::from(vec![255])) as ArrayRef),
        ("unsigned", Arc::new(UInt64Array::from(vec![7])) as ArrayRef),
    ])
    .unwrap();
    replace(&lake, data.clone(), &Replace::default()).unwrap();
    let kinds: Vec<_> = lake.snapshot(TABLE).unwrap().schema.fields().iter().map(|f| f.data_type().clone()).collect();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    use DataType::{Float64, Int32, Int64, Utf8};
    assert_eq!(kinds, [time, Int64, Float64, Utf8, Utf8, Utf8, Int32, Int64]);
    let row = &rows(&lake, TABLE)[0];
    let shown: Vec<_> =
        ["naive", "huge", "fraction", "word", "view", "large", "small", "unsigned"].map(|c| row[c].as_str()).into();
    assert_eq!(shown, ["2026-06-01T00:00:00.123Z", "42", "1.25", "x", "v", "l", "255", "7"]);

    let too_big = RecordBatch::try_from_iter([("n", Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef)]).unwrap();
    let schema = too_big.schema();
    let error = lake.replace("gold.n", &mut RecordBatchIterator::new([Ok(too_big)], schema), &Replace::default());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
    let interval =
        Arc::new(Schema::new(vec![Field::new("i", DataType::Interval(arrow::datatypes::IntervalUnit::DayTime), true)]));
    let error = lake.replace("gold.i", &mut RecordBatchIterator::new([], interval), &Replace::default()).unwrap_err();
    assert!(error.to_string().contains("the column i of type"), "{error}");
}

#[test]
fn partition_values_with_odd_characters_and_nulls_read_back() {
    let folder = Folder::new();
    let lake = folder.lake();
    let names = [Some("a/b c=1%é:\"x\""), None, Some("plain")];
    let data = RecordBatch::try_from_iter([
        ("name", Arc::new(StringArray::from(names.to_vec())) as ArrayRef),
        ("x", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef),
    ])
    .unwrap();
    let by_name = Replace { partition_columns: vec!["name".into()], ..Replace::default() };
    replace(&lake, data, &by_name).unwrap();
    let mut found = rows(&lake, TABLE);
    found.sort_by_key(|r| r["x"].clone());
    assert_eq!(found.iter().map(|r| r.get("name").map(String::as_str)).collect::<Vec<_>>(), names);
    for file in lake.snapshot(TABLE).unwrap().files {
        assert!(file.path.size().is_ok(), "{}", file.path.display());
    }
    let one =
        Replace { partitions: Some(vec![BTreeMap::from([("name".into(), names[0].unwrap().into())])]), ..by_name };
    let empty = RecordBatch::new_empty(lake.scan(TABLE, None).unwrap().schema());
    replace(&lake, empty, &one).unwrap();
    assert_eq!(count(&lake, TABLE), 2);
}

#[test]
fn concurrent_replacements_of_one_partition_leave_one_of_them() {
    let folder = Folder::new();
    replace(&folder.lake(), batch(&["2026-06-01"], &[0]), &options(None)).unwrap();
    let path = folder.path();
    let threads: Vec<_> = (1..=4)
        .map(|n| {
            let path = path.clone();
            std::thread::spawn(move || {
                let lake = Lake::open(&path, false).unwrap();
                for _ in 0..5 {
                    replace(&lake, batch(&["2026-06-01", "2026-06-01"], &[n, n]), &options(Some(&["2026-06-01"])))
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let flows = flows(&folder.lake());
    assert_eq!(flows.len(), 2, "{flows:?}");
    assert_eq!(flows[0], flows[1]);
}

/// Not a test of its own: what [`killed_in_the_middle_the_old_rows_or_the_new_ones_stand`] runs in a child.
#[test]
#[ignore = "runs in a child process"]
fn child_replaces() {
    let Ok(path) = std::env::var("LAKE_PATH") else { return };
    replace(&Lake::open(&path, false).unwrap(), batch(&["2026-06-01"], &[2]), &options(None)).unwrap();
}

#[test]
fn killed_in_the_middle_the_old_rows_or_the_new_ones_stand() {
    let cases = [("replace_after_files", "1"), ("replace_after_commit", "2")];
    assert_eq!(CRASH_POINTS.iter().filter(|p| p.starts_with("replace_")).count(), cases.len());
    for (point, expected) in cases {
        let folder = Folder::new();
        replace(&folder.lake(), batch(&["2026-06-01"], &[1]), &options(None)).unwrap();
        assert!(was_killed(child("child_replaces", Some(point), &[("LAKE_PATH", &folder.path())])));
        assert_eq!(flows(&folder.lake()), pairs(&[("2026-06-01", expected)]), "{point}");
        child("child_replaces", None, &[("LAKE_PATH", &folder.path())]);
        assert_eq!(flows(&folder.lake()), pairs(&[("2026-06-01", "2")]));
    }
}

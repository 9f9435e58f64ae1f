//! Bronze holds every record once, whatever happens to the writer.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use _core::error::ErrorKind;
use _core::lake::{BronzeOptions, BronzeWriter, CRASH_POINTS, Lake};
use _core::schema::{Decoded, Records, Stream};
use lake_fixture::*;

const GPS: Stream = Stream::Gps;

fn events(from: u64, count: u64) -> Vec<Option<serde_json::Value>> {
    (from..from + count).map(|i| Some(event(GPS, (i % 7) as u32, i, i as i64 * 1000))).collect()
}

#[test]
fn every_record_is_a_row_also_those_that_cannot_be_decoded() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut rows = events(0, 3);
    rows.insert(1, None);
    let mut writer = writer(&lake, GPS).unwrap();
    assert_eq!(writer.next_offset(2).unwrap(), None);
    let (records, decoded) = records(GPS, 2, 100, &rows);
    writer.append(&records, &decoded).unwrap();
    assert_eq!(writer.next_offset(2).unwrap(), Some(104));
    assert!(writer.buffered_bytes() > 0 && !writer.due());
    let committed = writer.commit().unwrap();
    assert_eq!((committed.rows, committed.undecodable, committed.files), (4, 1, 2));
    assert_eq!(committed.ranges, [(2, 100, 104)]);
    assert_eq!(committed.version, 1);
    let nothing = writer.commit().unwrap();
    assert_eq!((nothing.version, nothing.rows, nothing.ranges.len()), (1, 0, 0));

    let found = self::rows(&lake, "bronze.gps");
    let bad: Vec<_> = found.iter().filter(|r| r["decoded"] == "false").collect();
    assert_eq!((found.len(), bad.len()), (4, 1));
    assert_eq!(bad[0]["kafka_offset"], "101");
    assert_eq!(bad[0]["value"], "7b226964223a");
    assert_eq!(bad[0]["error_reason"], "truncated");
    assert_eq!(bad[0]["headers"], "{\"h\":\"eA==\"}");
    assert!(!bad[0].contains_key("id"));
    let good = found.iter().find(|r| r["kafka_offset"] == "102").unwrap();
    assert_eq!(good["deviceId"], "device-0001");
    assert_eq!(good["timestamp"], "2026-06-01T00:00:01Z");
    assert_eq!(good["location"], "[51.5, -0.12]");
    assert_eq!(good["kafka_topic"], "gps_data");
    assert!(!good.contains_key("key") && !good.contains_key("value") && !good.contains_key("error_stage"));
    assert_eq!(good["ingest_date"], good["ingested_at"][..10]);

    let snapshot = lake.snapshot("bronze.gps").unwrap();
    assert_eq!(snapshot.txns["citystream/default/cluster-1/id-of-gps_data/2"], 104);
    for file in &snapshot.files {
        assert!(file.path.to_string().contains(&format!("decoded={}", file.value("decoded").unwrap())));
        assert_eq!(file.stats.as_ref().unwrap()["minValues"]["kafka_partition"], 2);
    }
    assert!(lake.changes("bronze.gps", 1).unwrap().is_empty());
    assert_eq!(lake.changes("bronze.gps", 0).unwrap().len(), 2);
}

#[test]
fn a_second_run_over_the_same_records_adds_nothing() {
    let folder = Folder::new();
    for run in 0..3 {
        // A fresh handle each time, as another process has.
        let lake = folder.lake();
        let mut writer = writer(&lake, GPS).unwrap();
        for (partition, offset) in [(0, 0), (1, 50), (0, 10)] {
            let (records, decoded) = records(GPS, partition, offset, &events(offset as u64, 10));
            writer.append(&records, &decoded).unwrap();
        }
        let committed = writer.commit().unwrap();
        assert_eq!((committed.rows, writer.skipped()), if run == 0 { (30, 0) } else { (0, 30) });
        assert_eq!(committed.version, 1, "run {run}");
    }
    // One that overlaps what is there adds only the rest.
    ingest(&folder.lake(), GPS, 0, 15, &events(15, 10));
    let expected: Vec<_> = (0..25).map(|o| (0, o)).chain((50..60).map(|o| (1, o))).collect();
    assert_eq!(positions(&folder.lake(), "bronze.gps"), expected);
}

#[test]
fn ranges_join_and_offsets_may_have_holes() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    let (records, decoded) = records_at(GPS, 0, &[5, 7, 8], &events(0, 3));
    writer.append(&records, &decoded).unwrap();
    assert_eq!(writer.commit().unwrap().ranges, [(0, 5, 9)]);
    // Control records end the partition at 12.
    writer.advance(0, 12);
    let committed = writer.commit().unwrap();
    assert_eq!((committed.rows, committed.ranges), (0, vec![(0, 9, 12)]));
    let (records, decoded) = records_at(GPS, 0, &[11, 14], &events(3, 2));
    writer.append(&records, &decoded).unwrap();
    assert_eq!(writer.commit().unwrap().ranges, [(0, 12, 15)]);
    assert_eq!(writer.skipped(), 1);
    assert_eq!(positions(&lake, "bronze.gps"), [(0, 5), (0, 7), (0, 8), (0, 14)]);
}

#[test]
fn of_two_writers_on_one_partition_one_wins_and_the_other_reads_on() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut first = writer(&lake, GPS).unwrap();
    let mut second = writer(&Lake::open(&folder.path(), false).unwrap(), GPS).unwrap();
    for (writer, rows) in [(&mut first, 10), (&mut second, 6)] {
        let (records, decoded) = records(GPS, 0, 0, &events(0, rows));
        writer.append(&records, &decoded).unwrap();
    }
    let (records, decoded) = self::records(GPS, 1, 0, &events(100, 4));
    second.append(&records, &decoded).unwrap();
    first.commit().unwrap();
    let error = second.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("was none and is 10"), "{error}");
    assert_eq!((second.next_offset(0).unwrap(), second.next_offset(1).unwrap()), (Some(10), None));
    assert_eq!(second.commit().unwrap().rows, 0, "the buffer is gone");
    let (more, decoded_more) = self::records(GPS, 0, 8, &events(8, 6));
    second.append(&more, &decoded_more).unwrap();
    second.append(&records, &decoded).unwrap();
    assert_eq!(second.commit().unwrap().rows, 8);
    let expected: Vec<_> = (0..14).map(|o| (0, o)).chain((0..4).map(|o| (1, o))).collect();
    assert_eq!(positions(&lake, "bronze.gps"), expected);
}

#[test]
fn writers_of_different_partitions_do_not_disturb_each_other() {
    let folder = Folder::new();
    folder.lake().ensure_tables().unwrap();
    let path = folder.path();
    let threads: Vec<_> = (0..4)
        .map(|partition| {
            let path = path.clone();
            std::thread::spawn(move || {
                let lake = Lake::open(&path, false).unwrap();
                let mut writer = writer(&lake, GPS).unwrap();
                for step in 0..8 {
                    let (records, decoded) = records(GPS, partition, step * 5, &events(step as u64 * 5, 5));
                    writer.append(&records, &decoded).unwrap();
                    writer.commit().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let lake = folder.lake();
    let expected: Vec<_> = (0..4).flat_map(|p| (0..40).map(move |o| (p, o))).collect();
    assert_eq!(positions(&lake, "bronze.gps"), expected);
    let snapshot = lake.snapshot("bronze.gps").unwrap();
    assert_eq!(snapshot.version, 32);
    // The checkpoint at version 19 keeps every writer's offsets.
    assert!(snapshot.path.join("_delta_log/00000000000000000019.checkpoint.parquet").size().is_ok());
    assert_eq!(snapshot.txns.len(), 5, "{:?}", snapshot.txns);
}

#[test]
fn two_writers_racing_on_one_partition_lose_and_double_nothing() {
    let folder = Folder::new();
    folder.lake().ensure_tables().unwrap();
    let path = folder.path();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let lake = Lake::open(&path, false).unwrap();
                let mut writer = writer(&lake, GPS).unwrap();
                let mut conflicts = 0;
                while writer.next_offset(0).unwrap().unwrap_or(0) < 100 {
                    let from = writer.next_offset(0).unwrap().unwrap_or(0);
                    let (records, decoded) = records(GPS, 0, from, &events(from as u64, (100 - from as u64).min(5)));
                    writer.append(&records, &decoded).unwrap();
                    match writer.commit() {
                        Ok(_) => {}
                        Err(e) if e.kind() == ErrorKind::Conflict => conflicts += 1,
                        Err(e) => panic!("{e}"),
                    }
                }
                conflicts
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let expected: Vec<_> = (0..100).map(|o| (0, o)).collect();
    assert_eq!(positions(&folder.lake(), "bronze.gps"), expected);
}

#[test]
fn transactions_survive_checkpoints() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    for step in 0..45_i64 {
        let (records, decoded) = records(GPS, (step % 3) as i32, step, &events(step as u64, 1));
        writer.append(&records, &decoded).unwrap();
        writer.commit().unwrap();
    }
    let log = lake.path().local().unwrap().join("bronze/gps/_delta_log");
    assert!(log.join("00000000000000000039.checkpoint.parquet").is_file());
    // What a clean-up of the log leaves.
    for version in 0..=38 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let fresh = folder.lake();
    let mut again = self::writer(&fresh, GPS).unwrap();
    assert_eq!((0..3).map(|p| again.next_offset(p).unwrap()).collect::<Vec<_>>(), [Some(43), Some(44), Some(45)]);
    let (records, decoded) = records(GPS, 0, 42, &events(42, 4));
    again.append(&records, &decoded).unwrap();
    assert_eq!(again.commit().unwrap().rows, 3);
    assert_eq!(count(&fresh, "bronze.gps"), 48);
}

#[test]
fn a_recreated_topic_is_an_error_unless_a_new_epoch_is_allowed() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, GPS, 0, 0, &events(0, 5));
    let mut recreated = source(GPS);
    recreated.topic_id = "another".into();
    let error = lake.bronze_writer(GPS, recreated.clone(), BronzeOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Table);
    assert!(error.to_string().contains("was recreated") && error.to_string().contains("--new-epoch"), "{error}");

    let allowed = BronzeOptions { new_epoch: true, ..BronzeOptions::default() };
    let mut writer = lake.bronze_writer(GPS, recreated.clone(), allowed).unwrap();
    assert_eq!(writer.next_offset(0).unwrap(), None);
    let (records, decoded) = records(GPS, 0, 0, &events(50, 2));
    writer.append(&records, &decoded).unwrap();
    assert_eq!(writer.commit().unwrap().rows, 2);
    assert_eq!(count(&lake, "bronze.gps"), 7);
    lake.bronze_writer(GPS, recreated, BronzeOptions::default()).unwrap();
    let error = lake.bronze_writer(GPS, source(GPS), BronzeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("which was its 1."), "{error}");
    let other = BronzeOptions { pipeline: "other".into(), ..BronzeOptions::default() };
    assert!(lake.bronze_writer(GPS, source(GPS), other).is_err());
}

#[test]
fn processes_that_make_the_tables_at_once_make_each_once() {
    let folder = Folder::new();
    let path = folder.path();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Lake::open(&path, true).unwrap().ensure_tables().unwrap())
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for table in folder.lake().tables().unwrap() {
        assert_eq!((table.version, table.rows), (0, 0), "{}", table.name);
    }
}

#[test]
fn a_commit_is_due_by_rows_age_or_size() {
    let folder = Folder::new();
    let lake = folder.lake();
    let (records, decoded) = records(GPS, 0, 0, &events(0, 10));
    let due = |options: BronzeOptions| {
        let mut writer = lake.bronze_writer(GPS, source(GPS), options).unwrap();
        assert!(!writer.due(), "nothing is buffered");
        writer.append(&records, &decoded).unwrap();
        writer.due()
    };
    assert!(!due(BronzeOptions::default()));
    assert!(due(BronzeOptions { file_rows: 10, ..BronzeOptions::default() }));
    assert!(due(BronzeOptions { max_age: std::time::Duration::ZERO, ..BronzeOptions::default() }));
    assert!(due(BronzeOptions { file_bytes: 100, ..BronzeOptions::default() }));
    assert!(due(BronzeOptions { memory_bytes: 100, ..BronzeOptions::default() }));
    assert_eq!(count(&lake, "bronze.gps"), 0, "an uncommitted buffer is not in the table");
}

#[test]
fn after_a_file_that_cannot_be_written_nothing_of_it_is_committed() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    let table = lake.path().local().unwrap().join("bronze/gps");
    // A file where a folder has to be.
    let blocked = table.join(format!("ingest_date={}/decoded=false", today()));
    std::fs::create_dir_all(blocked.parent().unwrap()).unwrap();
    std::fs::write(&blocked, "").unwrap();
    let mut rows = events(0, 4);
    rows[2] = None;
    let (records, decoded) = records(GPS, 0, 0, &rows);
    let error = writer.append(&records, &decoded).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!((writer.next_offset(0).unwrap(), writer.commit().unwrap().rows), (None, 0));
    std::fs::remove_file(&blocked).unwrap();
    // A caller that goes on as if nothing had happened can't bring about a commit that leaves them out.
    let (later, decoded_later) = self::records(GPS, 0, 4, &events(4, 2));
    assert!(
        writer.append(&later, &decoded_later).unwrap_err().to_string().contains("offset 4 of gps_data [0] came, but 0")
    );
    writer.advance(0, 6);
    assert_eq!(writer.commit().unwrap().ranges, []);
    writer.append(&records, &decoded).unwrap();
    assert_eq!(writer.commit().unwrap().rows, 4);
    writer.append(&later, &decoded_later).unwrap();
    assert_eq!(writer.commit().unwrap().ranges, [(0, 4, 6)]);
    assert_eq!(positions(&lake, "bronze.gps"), (0..6).map(|o| (0, o)).collect::<Vec<_>>());
}

#[test]
fn rows_that_do_not_fit_their_records_are_refused() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    let (records, decoded) = records(GPS, 0, 0, &events(0, 3));
    let refused = |writer: &mut BronzeWriter, records: &Records, decoded: &Decoded| {
        let error = writer.append(records, decoded).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        error.to_string()
    };
    let mut other = decoded.clone();
    other.good.pop();
    assert!(refused(&mut writer, &records, &other).contains("3 decoded rows stand for 2 records"));
    other.batch = other.batch.slice(0, 2);
    assert!(refused(&mut writer, &records, &other).contains("each of 3 records once"));
    let mut other = decoded.clone();
    other.batch = other.batch.project(&[0, 1]).unwrap();
    assert!(refused(&mut writer, &records, &other).contains("no column timestamp"));
    let mut back = records.clone();
    back.offsets = vec![1, 0, 2].into();
    assert!(refused(&mut writer, &back, &decoded).contains("do not ascend"));
    let mut other = decoded.clone();
    other.stream = Stream::Weather;
    assert!(refused(&mut writer, &records, &other).contains("records of weather"));
}

#[test]
fn a_record_may_hold_several_rows() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    let (records, _) = records(GPS, 0, 10, &events(0, 2));
    let (_, mut decoded) = self::records(GPS, 0, 0, &events(0, 5));
    decoded.good = vec![0, 0, 0, 1, 1];
    writer.append(&records, &decoded).unwrap();
    assert_eq!(writer.commit().unwrap().rows, 5);
    let mut keys: Vec<_> = rows(&lake, "bronze.gps")
        .into_iter()
        .map(|r| (r["kafka_offset"].clone(), r["row_in_record"].clone()))
        .collect();
    keys.sort();
    assert_eq!(
        keys,
        [("10", "0"), ("10", "1"), ("10", "2"), ("11", "0"), ("11", "1")].map(|(o, r)| (o.into(), r.into()))
    );
    assert_eq!(check(&lake), Vec::<String>::new());
}

#[test]
fn every_stream_goes_in_and_comes_out() {
    let folder = Folder::new();
    let lake = folder.lake();
    for stream in Stream::EVENTS {
        ingest(&lake, stream, 0, 0, &[Some(event(stream, 1, 1, 0)), None]);
        assert_eq!(count(&lake, &format!("bronze.{}", stream.name())), 2);
    }
    let road = serde_json::json!({"id": "road:r1", "kind": "road", "road": {"roadId": "r1", "lanes": 2,
        "geometry": [[51.5, -0.1], [51.6, -0.2]]}});
    ingest(&lake, Stream::Reference, 0, 0, &[Some(road)]);
    let rows = rows(&lake, "bronze.reference");
    assert!(rows[0]["road"].contains("[[51.5, -0.1], [51.6, -0.2]]"), "{}", rows[0]["road"]);
    assert!(!rows[0].contains_key("camera"));
    let crossing = serde_json::json!({"deviceId": "d", "roadId": "r", "trip": 3, "tIn": iso(0), "tOut": iso(5)});
    ingest(&lake, Stream::TruthCrossing, 0, 0, &[Some(crossing)]);
    assert_eq!(count(&lake, "bronze.truth_crossing"), 1);
}

/// The rows of `bronze.ingest_gap`: stream, partition, first and last offset.
fn gaps(lake: &Lake) -> Vec<(String, String, String, String)> {
    let row = |r: std::collections::BTreeMap<String, String>| {
        assert_eq!(r["kafka_topic"], "gps_data");
        assert_eq!(
            r["offsets"].parse::<i64>().unwrap(),
            r["to_offset"].parse::<i64>().unwrap() - r["from_offset"].parse::<i64>().unwrap()
        );
        (r["stream"].clone(), r["kafka_partition"].clone(), r["from_offset"].clone(), r["to_offset"].clone())
    };
    let mut found: Vec<_> = rows(lake, "bronze.ingest_gap").into_iter().map(row).collect();
    found.sort();
    found
}

fn gap(partition: i32, from: i64, to: i64) -> (String, String, String, String) {
    ("gps".into(), partition.to_string(), from.to_string(), to.to_string())
}

#[test]
fn a_gap_is_a_row_and_the_offset_moves_over_it() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    // Of a partition that was never read nothing is missed.
    writer.gap(1, 50);
    assert!(writer.is_empty());
    let (records, decoded) = records(GPS, 0, 0, &events(0, 10));
    writer.append(&records, &decoded).unwrap();
    // Behind records that are not committed yet; and one that is no gap, since the records were read.
    writer.gap(0, 25);
    writer.gap(0, 20);
    let (records, decoded) = self::records(GPS, 0, 25, &events(25, 5));
    writer.append(&records, &decoded).unwrap();
    let committed = writer.commit().unwrap();
    assert_eq!((committed.ranges, committed.gaps), (vec![(0, 0, 30)], vec![(0, 10, 25)]));
    assert_eq!(gaps(&lake), [gap(0, 10, 25)]);
    // A later one, alone; and a second writer of the same topic adds nothing.
    writer.gap(0, 40);
    let committed = writer.commit().unwrap();
    assert_eq!((committed.rows, committed.gaps), (0, vec![(0, 30, 40)]));
    assert_eq!(writer.commit().unwrap().gaps, []);
    self::writer(&folder.lake(), GPS).unwrap();
    assert_eq!(gaps(&lake), [gap(0, 10, 25), gap(0, 30, 40)]);
    assert_eq!(self::writer(&lake, GPS).unwrap().next_offset(0).unwrap(), Some(40));
    lake.ensure_tables().unwrap();
    let checked = lake.check_all(&std::sync::atomic::AtomicBool::new(false), &mut |_| {}).unwrap();
    assert_eq!((checked.problems, checked.offsets_lost, checked.offsets_without_rows), (vec![], 25, 0));
}

#[test]
fn a_gap_that_another_writer_has_closed_is_none() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, GPS, 0, 0, &events(0, 5));
    let mut late = writer(&lake, GPS).unwrap();
    late.gap(0, 9);
    // It had read them before retention took them.
    ingest(&folder.lake(), GPS, 0, 5, &events(5, 7));
    assert_eq!(late.commit().unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(late.next_offset(0).unwrap(), Some(12));
    late.gap(0, 9);
    assert!(late.is_empty());
    assert_eq!((gaps(&lake), late.commit().unwrap().gaps), (vec![], vec![]));
    // Records of a dropped buffer that are gone since need not come again.
    let (records, decoded) = records(GPS, 0, 12, &events(12, 3));
    late.append(&records, &decoded).unwrap();
    let mut rival = writer(&folder.lake(), GPS).unwrap();
    let (other, decoded_other) = self::records(GPS, 1, 0, &events(50, 1));
    late.append(&other, &decoded_other).unwrap();
    rival.append(&other, &decoded_other).unwrap();
    rival.commit().unwrap();
    assert_eq!(late.commit().unwrap_err().kind(), ErrorKind::Conflict);
    late.gap(0, 20);
    let (records, decoded) = self::records(GPS, 0, 20, &events(20, 3));
    late.append(&records, &decoded).unwrap();
    assert_eq!(late.commit().unwrap().gaps, [(0, 12, 20)]);
    assert_eq!(gaps(&lake), [gap(0, 12, 20)]);
}

/// Not a test of its own: what [`a_gap_has_one_row_wherever_a_run_is_killed`] runs in a child.
#[test]
#[ignore = "runs in a child process"]
fn child_meets_a_gap() {
    let Ok(path) = std::env::var("LAKE_PATH") else { return };
    let mut writer = writer(&Lake::open(&path, true).unwrap(), GPS).unwrap();
    // The log starts at 10 by now, and at 20 after a restart.
    let start = if writer.next_offset(0).unwrap().unwrap_or(0) < 10 { 10 } else { 20 };
    writer.gap(0, start);
    let (records, decoded) = records(GPS, 0, start, &events(start as u64, 5));
    writer.append(&records, &decoded).unwrap();
    writer.commit().unwrap();
}

#[test]
fn a_gap_has_one_row_wherever_a_run_is_killed() {
    let points: Vec<_> = CRASH_POINTS.iter().filter(|p| p.starts_with("bronze_") || p.starts_with("gap_")).collect();
    assert_eq!(points.len(), 6);
    for point in points {
        let folder = Folder::new();
        let path = folder.path();
        ingest(&folder.lake(), GPS, 0, 0, &events(0, 5));
        let status = child("child_meets_a_gap", Some(point), &[("LAKE_PATH", &path)]);
        assert!(was_killed(status), "{point} was not reached");
        let lake = folder.lake();
        lake.ensure_tables().unwrap();
        let unwritten = ["bronze_after_commit", "gap_before_row"].contains(point);
        let problems = check(&lake);
        assert_eq!(problems.len(), usize::from(unwritten), "{point}: {problems:?}");
        assert!(problems.iter().all(|p| p.contains("5..10 of gps [0]") && p.contains("has no row")), "{problems:?}");
        child("child_meets_a_gap", None, &[("LAKE_PATH", &path)]);
        // Where the first run's commit stands, the second met another gap behind it.
        let landed = point.starts_with("gap_") || *point == "bronze_after_commit";
        let expected = if landed { vec![gap(0, 15, 20), gap(0, 5, 10)] } else { vec![gap(0, 5, 10)] };
        assert_eq!(gaps(&folder.lake()), expected, "{point}");
        assert_eq!(check(&folder.lake()), Vec::<String>::new(), "{point}");
    }
}

/// Not a test of its own: what [`killed_anywhere_nothing_is_lost_or_doubled`] runs in a child.
#[test]
#[ignore = "runs in a child process"]
fn child_ingests() {
    let Ok(path) = std::env::var("LAKE_PATH") else { return };
    let lake = Lake::open(&path, true).unwrap();
    let mut writer = writer(&lake, GPS).unwrap();
    for step in 0..30_i64 {
        let rows: Vec<_> =
            (0..4).map(|i| (i != 2).then(|| event(GPS, 1, (step * 4 + i) as u64, step * 1000))).collect();
        let (records, decoded) = records(GPS, (step % 2) as i32, step / 2 * 4, &rows);
        writer.append(&records, &decoded).unwrap();
        writer.commit().unwrap();
    }
}

#[test]
fn killed_anywhere_nothing_is_lost_or_doubled() {
    let points: Vec<_> =
        CRASH_POINTS.iter().filter(|p| p.starts_with("bronze_") || p.starts_with("checkpoint_")).collect();
    assert_eq!(points.len(), 6);
    for point in points {
        let folder = Folder::new();
        let path = folder.path();
        let mut kills = 0;
        // Each child gets a little further before it dies; one of them reaches the end.
        for nth in [1, 2, 3, 100] {
            let nth = if point.starts_with("checkpoint") { nth.min(2) } else { nth };
            let at = format!("{point}:{nth}");
            let status = child("child_ingests", Some(&at), &[("LAKE_PATH", &path)]);
            kills += usize::from(was_killed(status));
        }
        assert!(kills >= 1, "{point} was never reached");
        child("child_ingests", None, &[("LAKE_PATH", &path)]);
        let expected: Vec<_> = (0..2).flat_map(|p| (0..60).map(move |o| (p, o))).collect();
        assert_eq!(positions(&folder.lake(), "bronze.gps"), expected, "{point}");
    }
}

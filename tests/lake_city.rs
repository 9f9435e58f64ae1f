//! A city with faults, through the codec, into bronze and silver: each harmed event is where it belongs, and no sound one
//! is turned away.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod lake_fixture;

use std::collections::{BTreeMap, BTreeSet};

use _core::city::{CityOptions, clock};
use _core::lake::{BronzeOptions, Lake};
use _core::pipeline::{Cancel, Run, Source, ingest_city};
use _core::schema::Stream;
use _core::sensor::{Faults, SensorOptions};
use lake_fixture::{Folder, check, count, refine, rows};

fn ingest(lake: &Lake, faults: Faults) {
    let start = 1_780_272_000_000 + 7 * clock::HOUR;
    let city = CityOptions { seed: 5, vehicles: 600, start, duration: 40 * clock::MINUTE };
    let streams = Stream::EVENTS.into_iter().chain([Stream::TruthEvent, Stream::TruthFault]).collect();
    let source = Source::new(city, SensorOptions { faults, streams, ..SensorOptions::default() }, 2).unwrap();
    let mut run = Run { cancel: Cancel::default(), progress: &mut |_| {} };
    ingest_city(lake, &source, &BronzeOptions::default(), &mut run).unwrap();
}

fn column(lake: &Lake, table: &str, name: &str) -> Vec<String> {
    rows(lake, table).into_iter().filter_map(|mut r| r.remove(name)).collect()
}

#[test]
fn a_clean_city_goes_into_silver_whole() {
    let folder = Folder::new();
    let lake = folder.lake();
    ingest(&lake, Faults::NONE);
    refine(&lake).unwrap();
    let mut broken: BTreeMap<(String, String), String> = BTreeMap::new();
    for mut row in rows(&lake, "silver.quarantine") {
        broken.insert((row.remove("stream").unwrap(), row.remove("rule").unwrap()), row.remove("row").unwrap());
    }
    assert!(broken.is_empty(), "{broken:#?}");
    for stream in Stream::EVENTS {
        let (bronze, silver) = (format!("bronze.{}", stream.name()), format!("silver.{}", stream.name()));
        assert_eq!(count(&lake, &bronze), count(&lake, &silver), "{bronze}");
    }
    assert!(count(&lake, "silver.gps") > 1000);
    assert_eq!(check(&lake), Vec::<String>::new());
}

#[test]
fn harmed_events_are_where_they_belong() {
    let folder = Folder::new();
    let lake = folder.lake();
    let faults = Faults { late: 0.05, late_bound: 600_000, duplicate: 0.02, corrupt: 0.03, ..Faults::NONE };
    ingest(&lake, faults);
    refine(&lake).unwrap();
    assert_eq!(check(&lake), Vec::<String>::new());
    let labels: BTreeSet<(String, String)> = rows(&lake, "bronze.truth_fault")
        .into_iter()
        .map(|mut row| (row.remove("id").unwrap(), row.remove("kind").unwrap()))
        .collect();
    let labelled = |kinds: &[&str]| -> BTreeSet<&str> {
        labels.iter().filter(|(_, kind)| kinds.contains(&kind.as_str())).map(|(id, _)| id.as_str()).collect()
    };
    let silver: BTreeSet<String> =
        Stream::EVENTS.iter().flat_map(|s| column(&lake, &format!("silver.{}", s.name()), "id")).collect();
    let harmful = labelled(&["bad_json", "wrong_type", "missing_field", "out_of_range"]);
    assert!(harmful.len() > 100, "{}", harmful.len());
    // Every harmed event is kept out, unless a sound copy of it came too; every other one is in.
    let copied = labelled(&["duplicate"]);
    assert!(copied.len() > 100);
    for id in harmful.difference(&copied) {
        assert!(!silver.contains(*id), "{id} was harmed and is in silver");
    }
    let truth: BTreeSet<String> = column(&lake, "bronze.truth_event", "id").into_iter().collect();
    for id in &truth {
        assert!(silver.contains(id) || harmful.contains(id.as_str()), "{id} was sound and is not in silver");
    }
    let bad_json = labelled(&["bad_json"]).len() as u64;
    assert!(count(&lake, "silver.dead_letter") >= bad_json && bad_json > 10);
    assert!(count(&lake, "silver.duplicate") > 100);
}

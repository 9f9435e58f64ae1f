//! The oracle's row rules and silver's, written apart from the same page, give every row the same verdict.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use _core::lake::silver::{apply_rules, rules};
use _core::oracle::judge;
use _core::schema::{Field, Kind, Stream};
use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int32Array, Int32Builder, ListBuilder, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field as ArrowField};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

const ROWS: usize = 400;
const START_US: i64 = 1_780_272_000_000_000;

/// Words of every field, and one that is none's.
const WORDS: [&str; 14] = [
    "North", "Car", "Petrol", "3D", "Rain", "pm25", "Accident", "Fire", "Reported", "OnScene", "Snow", "o3", "Van", "?",
];

/// Numbers in and around every bound.
const NUMBERS: [f64; 18] = [
    -61.0, -60.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.5, 3.0, 4.0, 100.0, 100.5, 300.0, 360.0, 361.0, 1950.0, 2101.0, 86_401.0,
];

fn column(field: &Field, rng: &mut TestRng) -> ArrayRef {
    // Most values are sound, so that later rules are reached too.
    let null = |rng: &mut TestRng| rng.random_ratio(1, 60);
    let number = |rng: &mut TestRng| {
        let sound = match field.name {
            "year" => 2_000.0,
            "occupancy" => 0.5,
            _ => 2.0,
        };
        if rng.random_ratio(1, 25) { NUMBERS[rng.random_range(0..NUMBERS.len())] } else { sound }
    };
    match field.kind {
        Kind::Text => {
            let known = match field.name {
                "direction" => "North",
                "vehicleType" => "Car",
                "fuelType" => "Petrol",
                "fix" => "3D",
                "weatherCondition" => "Rain",
                "dominantPollutant" => "pm25",
                "type" => "Accident",
                "status" => "Reported",
                _ => "x",
            };
            let word = |rng: &mut TestRng| {
                if rng.random_ratio(1, 25) { WORDS[rng.random_range(0..WORDS.len())] } else { known }
            };
            let values = (0..ROWS).map(|_| if null(rng) { None } else { Some(word(rng)) });
            Arc::new(values.collect::<StringArray>())
        }
        Kind::Int => {
            let values = (0..ROWS).map(|_| if null(rng) { None } else { Some(number(rng) as i32) });
            Arc::new(values.collect::<Int32Array>())
        }
        Kind::Double => {
            let nan = |rng: &mut TestRng, value| if rng.random_ratio(1, 200) { f64::NAN } else { value };
            let values = (0..ROWS).map(|_| {
                let value = number(rng);
                if null(rng) { None } else { Some(nan(rng, value)) }
            });
            Arc::new(values.collect::<Float64Array>())
        }
        Kind::Time => {
            let offsets =
                [0, 300_000_000, 300_000_001, -2_592_000_000_000, -2_592_000_000_001, i64::MAX / 2, i64::MIN / 2];
            let values = (0..ROWS).map(|_| {
                let off = if rng.random_ratio(1, 10) { offsets[rng.random_range(0..offsets.len())] } else { 0 };
                if null(rng) { None } else { Some(if field.name == "timestamp" { START_US + off } else { START_US }) }
            });
            Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Kind::Point => {
            let item = Arc::new(ArrowField::new("element", DataType::Float64, true));
            let mut lists = ListBuilder::new(Float64Builder::new()).with_field(item);
            for _ in 0..ROWS {
                let degrees = [90.0, -90.0, 91.0, 180.0, 181.0, 0.0];
                let length = if rng.random_ratio(1, 40) { rng.random_range(0..4) } else { 2 };
                for _ in 0..length {
                    let odd = rng.random_ratio(1, 30);
                    let value = if odd { degrees[rng.random_range(0..degrees.len())] } else { 51.5 };
                    if rng.random_ratio(1, 80) {
                        lists.values().append_null();
                    } else {
                        lists.values().append_value(value);
                    }
                }
                lists.append(!null(rng));
            }
            Arc::new(lists.finish())
        }
        Kind::Ints => {
            let item = Arc::new(ArrowField::new("element", DataType::Int32, true));
            let mut lists = ListBuilder::new(Int32Builder::new()).with_field(item);
            for _ in 0..ROWS {
                for _ in 0..3 {
                    let value = if rng.random_ratio(1, 60) { -1 } else { 3 };
                    if rng.random_ratio(1, 80) {
                        lists.values().append_null();
                    } else {
                        lists.values().append_value(value);
                    }
                }
                lists.append(!null(rng));
            }
            Arc::new(lists.finish())
        }
        other => unreachable!("no event has a {other:?}"),
    }
}

#[test]
fn every_row_gets_the_same_verdict_and_every_rule_is_broken() {
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for stream in Stream::EVENTS {
        let mut broken: BTreeMap<String, usize> = BTreeMap::new();
        let mut sound = 0;
        for _ in 0..60 {
            let columns = stream.fields().iter().map(|field| column(field, &mut rng)).collect();
            let batch = RecordBatch::try_new(stream.wire_schema(), columns).expect("a batch");
            let theirs = apply_rules(stream, &batch).expect("verdicts");
            for (row, ours) in judge(stream, &batch).expect("verdicts").into_iter().enumerate() {
                let ours = ours.map(_core::oracle::Breach::name);
                assert_eq!(
                    ours.as_ref(),
                    theirs.rule(row).map(|r| &r.name),
                    "{} {:?}",
                    stream.name(),
                    batch.slice(row, 1)
                );
                match ours {
                    None => sound += 1,
                    Some(name) => *broken.entry(name).or_default() += 1,
                }
            }
        }
        let names: Vec<_> = rules(stream).iter().map(|r| r.name.clone()).collect();
        let unbroken: Vec<_> = names.iter().filter(|n| !broken.contains_key(*n)).collect();
        assert!(unbroken.is_empty() && sound > 1_000, "{}: {sound} sound, never broken: {unbroken:?}", stream.name());
    }
}

#[test]
fn the_page_has_every_rule() {
    let page = include_str!("../docs/grade.md");
    let section = page.split("| field | is |").nth(1).expect("a table").split("\n\n").next().expect("its rows");
    let mut rules_of: BTreeMap<&str, &str> = BTreeMap::new();
    for row in section.lines().skip(2) {
        let mut cells = row.trim_matches('|').splitn(2, " | ");
        let (fields, rule) = (cells.next().expect("fields").trim(), cells.next().expect("a rule").trim());
        fields.split(", ").for_each(|field| assert!(rules_of.insert(field, rule).is_none(), "{field} twice"));
    }
    let reasons: BTreeSet<String> =
        Stream::EVENTS.iter().flat_map(|stream| rules(*stream)).map(|rule| rule.reason.clone()).collect();
    // What the page says of places, times, histograms and missing fields in sentences.
    let sentences = ["is required", "is [lat, lon]", "sentAt", "each number of speedHistogram"];
    let told = reasons.iter().filter(|reason| !sentences.iter().any(|s| reason.contains(s)));
    let told: BTreeSet<&String> = told.collect();
    let page: BTreeSet<String> = rules_of.iter().map(|(field, rule)| format!("{field} is {rule}")).collect();
    assert!(page.len() > 30);
    assert_eq!(page.iter().collect::<BTreeSet<_>>(), told);
}

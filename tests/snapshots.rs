//! Cameras' pictures: their files, their sums, and what they show beside the truth.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use _core::city::fleet::VehicleType;
use _core::city::motion::Way;
use _core::city::network::Place;
use _core::city::trace::{Window, Windows};
use _core::city::{City, CityOptions, Simulation, clock};
use _core::pipeline::Source;
use _core::schema::{EventId, Stream};
use _core::sensor::picture::{HEIGHT, LAMP, LANE, METRES, VEHICLE, WIDTH};
use _core::sensor::{Faults, SensorOptions};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use sha2::{Digest, Sha256};

const START: i64 = 1_780_272_000_000 + 8 * clock::HOUR;

fn options(vehicles: u32) -> CityOptions {
    CityOptions { seed: 5, vehicles, start: START, duration: 20 * clock::MINUTE }
}

fn cameras(snapshots: Option<i64>) -> SensorOptions {
    SensorOptions { streams: vec![Stream::Traffic], snapshots, ..SensorOptions::default() }
}

fn source(sensors: SensorOptions, threads: usize, folder: &Path) -> Source {
    let source = Source::new(options(10_000), sensors, threads).expect("valid options");
    source.with_pictures(folder)
}

fn traffic(source: &Source) -> RecordBatch {
    let mut batches = Vec::new();
    for chunk in source.observe(Ok).expect("a run") {
        batches.extend(chunk.expect("a chunk").events.into_iter().map(|e| e.batch));
    }
    concat_batches(&Stream::Traffic.wire_schema(), &batches).expect("one schema")
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    batch[column].as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

/// Every file below a folder by its path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for camera in fs::read_dir(folder).expect("a folder") {
        for file in fs::read_dir(camera.expect("an entry").path()).expect("a camera's folder") {
            let path = file.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("below it").display().to_string();
            found.insert(name, fs::read(path).expect("a file"));
        }
    }
    found
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text");
        text
    })
}

/// The pixels of a picture, read as the PNG specification says.
fn pixels(file: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes"));
    assert_eq!(&file[..8], b"\x89PNG\r\n\x1a\n");
    let (mut at, mut stream) = (8, Vec::new());
    while at < file.len() {
        let (length, kind) = (word(at) as usize, &file[at + 4..at + 8]);
        let data = &file[at + 8..at + 8 + length];
        match kind {
            b"IHDR" => assert_eq!((word(at + 8), word(at + 12), &data[8..]), (WIDTH, HEIGHT, &[4, 3, 0, 0, 0][..])),
            b"IDAT" => stream.extend_from_slice(data),
            _ => {}
        }
        at += 12 + length;
    }
    let raw = miniz_oxide::inflate::decompress_to_vec_zlib(&stream).expect("a zlib stream");
    let rows = raw.chunks(1 + WIDTH as usize / 2);
    rows.flat_map(|row| row[1..].iter().flat_map(|pair| [pair >> 4, pair & 15])).collect()
}

#[test]
fn no_picture_is_taken_unless_asked_for() {
    let without = traffic(&Source::new(options(2_000), cameras(None), 2).expect("valid options"));
    assert!(without.num_rows() > 50);
    for column in ["snapshot", "snapshotSha256"] {
        assert_eq!(without[column].null_count(), without.num_rows(), "{column}");
    }
    for every in [0, -clock::MINUTE, clock::MINUTE + 1] {
        let refused = Source::new(options(2_000), cameras(Some(every)), 1).map(|_| ()).map_err(|e| e.to_string());
        assert!(refused.is_err_and(|m| m.contains("whole number of minutes")), "{every}");
    }
}

#[test]
fn each_event_names_a_file_and_its_sum_whatever_the_threads_and_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let whole = traffic(&source(cameras(Some(clock::MINUTE)), 1, &at("one/deep")));
    let written = files(&at("one/deep"));
    let named = texts(&whole, "snapshot").into_iter().zip(texts(&whole, "snapshotSha256"));
    let mut names = BTreeSet::new();
    for ((name, sum), camera) in named.zip(texts(&whole, "cameraId")) {
        let (name, sum) = (name.expect("a picture"), sum.expect("a sum"));
        assert_eq!(hexadecimal(&Sha256::digest(&written[&name])), sum);
        assert!(name.starts_with(&format!("{}/", camera.expect("a camera"))), "{name}");
        names.insert(name);
    }
    // A picture of the last interval is taken though its event would be sent after the end.
    let unsent = written.keys().filter(|name| !names.contains(*name)).count();
    assert!(names.len() > 100 && unsent < names.len() / 10, "{} names, {unsent} more files", names.len());
    let largest = written.values().map(Vec::len).max().unwrap_or(0);
    assert!(largest < 3_000, "a picture of {largest} bytes");

    assert_eq!(whole, traffic(&source(cameras(Some(clock::MINUTE)), 3, &at("three"))));
    assert!(written == files(&at("three")), "three threads");
    let mut rows = 0;
    for part in 0..3 {
        let sensors = SensorOptions { part, parts: 3, ..cameras(Some(clock::MINUTE)) };
        rows += traffic(&source(sensors, 2, &at("parts"))).num_rows();
    }
    assert_eq!(rows, whole.num_rows());
    assert!(written == files(&at("parts")), "three parts");
}

#[test]
fn pictures_change_nothing_else_and_may_be_rarer() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults { late: 0.1, duplicate: 0.1, drop: 0.1, ..Faults::NONE };
    let sensors = |snapshots| SensorOptions { faults: faults.clone(), ..cameras(snapshots) };
    let without = traffic(&Source::new(options(10_000), sensors(None), 2).expect("valid options"));
    let with = traffic(&source(sensors(Some(5 * clock::MINUTE)), 2, folder.path()));
    let schema = without.schema();
    let others = schema.fields().iter().filter(|f| !f.name().starts_with("snapshot"));
    assert!(others.clone().count() > 15);
    for field in others {
        let name = field.name().as_str();
        let [before, after] = [&without, &with].map(|batch| batch.column_by_name(name).expect("a column").to_data());
        assert!(before == after, "{name}");
    }
    let mut pictured = 0;
    for (id, name) in texts(&with, "id").into_iter().zip(texts(&with, "snapshot")) {
        let id = EventId::parse(&id.expect("an id")).expect("one of ours");
        assert_eq!(name.is_some(), id.counter.is_multiple_of(5), "interval {}", id.counter);
        pictured += usize::from(name.is_some());
    }
    assert!(pictured > 20, "{pictured}");
}

/// A vehicle that is on a road: metres from its start, its lane, what it is.
type Standing = (f64, u8, VehicleType);

/// Who really is on which road, by each vehicle's own way, as its devices would report it.
fn standing(city: &City, window: &Window, time: i64) -> BTreeMap<u32, Vec<Standing>> {
    let mut found: BTreeMap<u32, Vec<Standing>> = BTreeMap::new();
    let mut way = Way::default();
    for (i, crossing) in window.crossings.iter().enumerate() {
        if crossing.t_in > time || time >= window.latest_until(i) {
            continue;
        }
        window.follow(i, &city.network.specs, (time, time + 1), &mut way);
        let state = way.at(time);
        // The flow is ahead of the vehicle: it may still be on a road before.
        let there = window.on(city.network.lanes.of(state.road)).map(|k| &window.crossings[k]);
        let passage = there.filter(|c| c.vehicle == crossing.vehicle && c.t_in <= time).max_by_key(|c| c.t_in);
        let kind = city.fleet.vehicles[crossing.vehicle as usize].kind;
        let standing = (state.offset, passage.expect("its crossing").lane, kind);
        found.entry(state.road).or_default().push(standing);
    }
    found
}

#[test]
fn a_picture_shows_the_vehicles_that_are_really_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = source(cameras(Some(clock::MINUTE)), 2, folder.path());
    let events = traffic(&source);
    let city = source.city();
    let mut simulation = Simulation::new(Arc::clone(city));
    let window = Windows::new(city).next(simulation.advance(START + clock::HOUR));
    let mut truth = BTreeMap::new();
    let (mut drawn, mut alone) = (0, 0);
    for (id, name) in texts(&events, "id").into_iter().zip(texts(&events, "snapshot")) {
        let id = EventId::parse(&id.expect("an id")).expect("one of ours");
        let time = START + id.counter as i64 * clock::MINUTE;
        let on_roads = truth.entry(time).or_insert_with(|| standing(city, &window, time));
        let camera = city.network.cameras[id.entity as usize];
        let road = &city.network.roads[camera.road as usize];
        let centre = city.network.place_on(camera.road, camera.offset);
        let (begin, end) = (city.network.place_on(camera.road, 0.0), city.network.place_on(camera.road, road.length));
        let far = (end.x - begin.x).hypot(end.y - begin.y);
        let (east, north) = ((end.x - begin.x) / far, (end.y - begin.y) / far);
        // Of a place so far behind a vehicle's front.
        let pixel = |offset: f64, lane: u8, behind: f64| {
            let left = (f64::from(road.lanes - lane) - 0.5) * LANE;
            let Place { x, y } = city.network.place_on(camera.road, offset);
            let x = x - centre.x - behind * east - left * north;
            let y = y - centre.y - behind * north + left * east;
            let column = (x / METRES).floor() as i64 + i64::from(WIDTH / 2);
            let row = (-y / METRES).floor() as i64 + i64::from(HEIGHT / 2);
            let inside = (0..i64::from(WIDTH)).contains(&column) && (0..i64::from(HEIGHT)).contains(&row);
            inside.then_some((row * i64::from(WIDTH) + column) as usize)
        };
        let there = on_roads.get(&camera.road).map_or(&[][..], Vec::as_slice);
        let lamps: BTreeSet<usize> = there.iter().filter_map(|(offset, lane, _)| pixel(*offset, *lane, 0.0)).collect();
        let picture = pixels(&fs::read(folder.path().join(name.expect("a picture"))).expect("a file"));
        let lit: BTreeSet<usize> = (0..picture.len()).filter(|p| picture[*p] == LAMP).collect();
        assert_eq!(lit, lamps, "road {} at {time}", camera.road);
        drawn += lit.len();

        for (offset, lane, kind) in there {
            let near = there.iter().filter(|(other, ..)| (other - offset).abs() < 12.0).count();
            if let (1, Some(behind)) = (near, pixel(*offset, *lane, 1.5)) {
                let class = match kind {
                    VehicleType::Car => 0,
                    VehicleType::Van => 1,
                    VehicleType::Goods => 2,
                    _ => 3,
                };
                assert_eq!(picture[behind], VEHICLE + class, "road {} at {time}", camera.road);
                alone += 1;
            }
        }
        // Nothing else is painted: no vehicle covers more than a lorry's place.
        let bodies = picture.iter().filter(|p| (VEHICLE..=LAMP).contains(p)).count();
        let near = there.iter().filter(|(offset, ..)| (offset - camera.offset).abs() < 60.0).count();
        assert!(bodies <= near * 140, "{bodies} pixels of {near} vehicles, road {} at {time}", camera.road);
    }
    assert!(drawn > 50 && alone > 20, "{drawn} vehicles drawn, {alone} with room around them");
}

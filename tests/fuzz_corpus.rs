//! The fuzz targets over the committed corpus, and over its files with a few bytes changed. A find of `make fuzz` becomes a
//! file there. `FUZZ_ROUNDS=100000` tries more.
//! `FUZZ=write cargo test --profile quick --test fuzz_corpus` renews the seeds that follow from the streams.

#![allow(clippy::unwrap_used, clippy::panic)] // Clippy allows these in test functions only, not in what they share.

mod codec_fixture;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::PathBuf;

use _core::codec::avro;
use _core::codec::names::Names;
use _core::codec::{arrow_ipc, json};
use _core::schema::Stream;
use codec_fixture::plain_events;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("json", targets::json),
    ("avro", targets::avro),
    ("avro_schema", targets::avro_schema),
    ("arrow", targets::arrow),
];

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// A whole message of each stream for each target.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for stream in Stream::ALL {
        let mut events = plain_events(stream);
        events.batch = events.batch.slice(0, 2);
        let mut add = |target, value: &[u8]| seeds.push((target, stream.name(), [&[stream as u8], value].concat()));
        add("json", json::encode(&events).unwrap().values.value(0));
        let record = avro::Encoder::new(stream, 1).encode(&events).unwrap().values.value(0)[avro::HEADER..].to_vec();
        add("avro", &record);
        let schema = avro::schema_text(stream, Names::contract()).unwrap();
        add("avro_schema", &[schema.as_bytes(), &[0], &record].concat());
        let sent = arrow_ipc::Encoder::new(stream, Names::contract()).encode(&events, |_| 0).unwrap();
        add("arrow", sent.messages.values.value(0));
    }
    seeds
}

#[test]
fn no_file_of_the_corpus_breaks_a_decoder() {
    if std::env::var("FUZZ").is_ok_and(|v| v == "write") {
        for (target, name, bytes) in seeds() {
            fs::create_dir_all(corpus(target)).unwrap();
            fs::write(corpus(target).join(name), bytes).unwrap();
        }
    }
    // More of them find more: a stand-in where nightly is not at hand.
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(200, |rounds| rounds.parse::<u32>().unwrap());
    for (target, run) in TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(corpus(target)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            run(&bytes);
            // A fixed sequence, so that what fails once fails again.
            let mut state = 1_u64;
            let mut random = |below: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below.max(1)
            };
            for _ in 0..rounds {
                let mut changed = bytes.clone();
                for _ in 0..=random(4) {
                    let at = random(changed.len());
                    if let Some(byte) = changed.get_mut(at) {
                        *byte = [random(256) as u8, byte.wrapping_add(1), byte.wrapping_sub(1), 0, 0xff][random(5)];
                    }
                }
                changed.truncate(changed.len() - if random(3) == 0 { random(changed.len()) } else { 0 });
                run(&changed);
            }
            files += 1;
        }
        assert!(files >= Stream::ALL.len(), "{target}: {files} files");
    }
}

#[test]
fn every_target_of_the_corpus_is_one_of_cargo_fuzz() {
    let manifest = fs::read_to_string(corpus("../Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    assert_eq!(fs::read_dir(corpus("..").join("corpus")).unwrap().count(), TARGETS.len());
}

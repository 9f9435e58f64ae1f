//! Golden bytes: what one small city writes, by SHA-256, for any thread count.
//!
//! Renew with `GOLDEN=write cargo test --profile quick --test golden` after a change that is meant to change the events,
//! and raise `city::MODEL_VERSION` then.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]
#![allow(clippy::format_collect, reason = "a few short texts")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use _core::city::{CityOptions, clock};
use _core::pipeline::{Cancel, Run, Source, Target, Topics, Wire, write};
use _core::schema::Stream;
use _core::sensor::{Faults, SensorOptions};
use sha2::{Digest, Sha256};

fn sums_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/SHA256SUMS")
}

fn source(threads: usize) -> Source {
    let city = CityOptions {
        seed: 42,
        vehicles: 600,
        start: 1_780_272_000_000 + 7 * clock::HOUR,
        duration: 45 * clock::MINUTE,
    };
    let streams = Stream::EVENTS.into_iter().chain(Stream::TRUTH).collect();
    let faults = Faults { late: 0.02, late_bound: 300_000, duplicate: 0.02, drop: 0.02, corrupt: 0.02, ..Faults::NONE };
    let sensors = SensorOptions { streams, faults, ..SensorOptions::default() };
    Source::new(city, sensors, threads).expect("valid options")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string");
    }
    text
}

/// SHA-256 of each file, by `kind/name`.
fn sums(threads: usize) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut found = BTreeMap::new();
    type Kind = (&'static str, fn(PathBuf) -> Target);
    let kinds: [Kind; 3] = [("ndjson", Target::Ndjson), ("parquet", Target::Parquet), ("arrow", Target::Arrow)];
    for (kind, target) in kinds {
        let out = folder.path().join(kind);
        let mut run = Run { cancel: Cancel::default(), progress: &mut |_| {} };
        let written =
            write(&source(threads), &target(out), &Topics::default(), &Wire::default(), true, &mut run).expect("files");
        assert_eq!(written.files.len(), 9, "every stream has its file, also an empty one");
        for file in written.files {
            let name = file.strip_prefix(folder.path()).expect("a file of ours").display().to_string();
            let bytes = fs::read(&file).expect("a file");
            found.insert(name, hex(&Sha256::digest(&bytes)));
        }
    }
    found
}

#[test]
fn the_bytes_are_the_golden_ones_for_any_thread_count() {
    let found = sums(1);
    let mut text = String::new();
    for (name, sum) in &found {
        writeln!(text, "{sum}  {name}").expect("a string");
    }
    if std::env::var("GOLDEN").is_ok_and(|v| v == "write") {
        fs::write(sums_file(), &text).expect("the sums");
    }
    let golden = fs::read_to_string(sums_file()).expect("tests/golden/SHA256SUMS");
    assert_eq!(golden, text, "the events have changed; see the head of this file");
    for threads in [2, 3] {
        assert_eq!(found, sums(threads), "{threads} threads");
    }
}

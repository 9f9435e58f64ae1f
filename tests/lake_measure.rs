//! Rows per second of bronze and silver: `cargo test --profile quick --test lake_measure -- --ignored --nocapture`.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

mod lake_fixture;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use _core::lake::{Lake, SilverOptions, TrimOptions};
use _core::schema::{Decoded, Records, Stream};
use lake_fixture::{Folder, Gps, check, count, gps_records, writer};
use serde_json::{Value, json};

const GPS: Stream = Stream::Gps;
const BATCH: usize = 65_536;

fn gps(from: usize, duplicate_every: usize) -> (Records, Decoded) {
    let copied = |n: usize| if n % duplicate_every == 1 { n - 1 } else { n };
    let rows: Vec<_> = (from..from + BATCH).map(|n| Gps { number: copied(n) as u64, ..Gps::default() }).collect();
    gps_records((from / BATCH % 4) as i32, (from / BATCH / 4 * BATCH) as i64, &rows)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
#[ignore = "measures"]
fn measure() {
    let folder = Folder::new();
    let lake = folder.lake();
    let batches = 64;
    let rows = batches * BATCH;
    let mut writer = writer(&lake, GPS).unwrap();
    let (mut wall, mut cpu, mut commits) = (0.0, 0.0, 0);
    for n in 0..batches {
        let (records, decoded) = gps(n * BATCH, 100);
        let (began, used) = (Instant::now(), cpu_seconds());
        writer.append(&records, &decoded).unwrap();
        if writer.due() || n + 1 == batches {
            writer.commit().unwrap();
            commits += 1;
        }
        wall += began.elapsed().as_secs_f64();
        cpu += cpu_seconds() - used;
    }
    let bytes: u64 = lake.snapshot("bronze.gps").unwrap().files.iter().map(|f| f.bytes).sum();
    let show = |what: &str, wall: f64, cpu: f64| {
        println!(
            "{what}: {rows} rows, {:.2} M rows/s wall, {:.2} M rows/CPU-s, peak {} MB",
            rows as f64 / wall / 1e6,
            rows as f64 / cpu / 1e6,
            peak_mb()
        );
    };
    show("bronze", wall, cpu);
    println!("  {commits} commits, {:.1} B/row", bytes as f64 / rows as f64);
    let (began, used) = (Instant::now(), cpu_seconds());
    // LAKE_MEMORY in bytes shows what putting rows aside costs.
    let memory_bytes = std::env::var("LAKE_MEMORY").ok().and_then(|text| text.parse().ok());
    let mut options = SilverOptions::default();
    options.memory_bytes = memory_bytes.unwrap_or(options.memory_bytes);
    let report = lake.refine_silver_with(&options, &AtomicBool::new(false), &mut |_| {}).unwrap();
    show("silver", began.elapsed().as_secs_f64(), cpu_seconds() - used);
    println!("  {report:?}");
    let silver: u64 = lake.snapshot("silver.gps").unwrap().files.iter().map(|f| f.bytes).sum();
    println!("  {:.1} B/row", silver as f64 / count(&lake, "silver.gps") as f64);
    let (began, used) = (Instant::now(), cpu_seconds());
    assert_eq!(check(&lake), Vec::<String>::new());
    show("check", began.elapsed().as_secs_f64(), cpu_seconds() - used);
    if let Ok(keep) = std::env::var("LAKE_KEEP") {
        std::process::Command::new("cp").args(["-r", &folder.path(), &keep]).status().unwrap();
    }
}

/// What a checkpoint of FILES files takes; of 20,000 where that is not set.
#[test]
#[ignore = "measures"]
fn memory_of_a_checkpoint() {
    let folder = Folder::new();
    let lake = folder.lake();
    let mut writer = writer(&lake, GPS).unwrap();
    let (records, decoded) = gps(0, 100);
    writer.append(&records, &decoded).unwrap();
    let version = writer.commit().unwrap().version;
    let log = |version: i64| format!("{}/bronze/gps/_delta_log/{version:020}.json", folder.path());
    let text = std::fs::read_to_string(log(version)).unwrap();
    let actions = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let add = actions.into_iter().find(|action| action["add"]["path"].is_string()).unwrap();
    let path = add["add"]["path"].as_str().unwrap().to_owned();
    let commits = std::env::var("FILES").map_or(20, |n| n.parse::<i64>().unwrap() / 1000);
    for next in version + 1..=version + commits {
        let mut lines = vec![json!({"commitInfo": {"timestamp": 1, "operation": "WRITE"}}).to_string()];
        for n in 0..1000 {
            let mut add = add.clone();
            add["add"]["path"] = path.replace("part-", &format!("part-{next}-{n}-")).into();
            lines.push(add.to_string());
        }
        std::fs::write(log(next), lines.join("\n")).unwrap();
    }
    let lake = Lake::open(&folder.path(), false).unwrap();
    let files = lake.snapshot("bronze.gps").unwrap().files.len();
    let (before, began) = (peak_mb(), Instant::now());
    let options = TrimOptions { tables: vec!["bronze.gps".into()], ..TrimOptions::default() };
    lake.checkpoint(&options, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    println!("{files} files: peak before the checkpoint {before} MiB, with it {} MiB; {seconds:.2} s", peak_mb());
}

//! Rows per second of bronze and silver: `cargo test --profile quick --test lake_measure -- --ignored --nocapture`.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

mod lake_fixture;

use std::sync::Arc;
use std::time::Instant;

use _core::schema::{CityId, Decoded, EventId, Records, Stream};
use arrow::array::*;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use lake_fixture::{Folder, START_MS, check, count, refine, writer};

const GPS: Stream = Stream::Gps;
const BATCH: usize = 65_536;
const DEVICES: usize = 2_000;

fn gps(from: usize, duplicate_every: usize) -> (Records, Decoded) {
    let rows: Vec<usize> = (from..from + BATCH).map(|n| if n % duplicate_every == 1 { n - 1 } else { n }).collect();
    let id = |n: &usize| {
        EventId { city: CityId(7), stream: GPS, entity: (n % DEVICES) as u32, counter: (n / DEVICES) as u64 }.to_text()
    };
    let time = |late: i64| {
        let us = rows.iter().map(|n| (START_MS + (n / DEVICES) as i64 * 1000 + late) * 1000);
        TimestampMicrosecondArray::from_iter_values(us).with_timezone("UTC")
    };
    // A copy has the same content, so values depend on the event alone.
    let value: Vec<f64> =
        rows.iter().map(|n| (n.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f64 / 65_536.0).collect();
    let degrees = ListArray::from_iter_primitive::<Float64Type, _, _>(
        value.iter().map(|v| Some([Some(51.4 + v / 5.0), Some(-0.3 + v / 4.0)])),
    );
    let mut fields: Vec<_> = GPS.wire_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("rescued", DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(fields));
    let directions = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(id))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|n| format!("veh-{:06}", n % DEVICES)))),
        Arc::new(time(0)),
        Arc::new(Float64Array::from_iter_values(value.iter().map(|v| v * 120.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|n| directions[n % 8]))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|n| ["Car", "Car", "Van", "Goods"][n % 4]))),
        Arc::new(time(250)),
        arrow::compute::cast(&degrees, schema.field(7).data_type()).unwrap(),
        Arc::new(Float64Array::from_iter_values(value.iter().map(|v| v * 360.0))),
        Arc::new(Float64Array::from_iter_values(value.iter().map(|v| 2.0 + v))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|n| ["3D", "2D"][usize::from(n % 50 == 0)]))),
        Arc::new(StringArray::new_null(BATCH)),
    ];
    let records = Records {
        partition: (from / BATCH % 4) as i32,
        offsets: (0..BATCH).map(|i| (from / BATCH / 4 * BATCH + i) as i64).collect::<Vec<_>>().into(),
        timestamps: TimestampMicrosecondArray::from_value(START_MS * 1000, BATCH).with_timezone("UTC"),
        keys: BinaryArray::new_null(BATCH),
        values: BinaryArray::new_null(BATCH),
        headers: StringArray::new_null(BATCH),
    };
    let decoded = Decoded {
        stream: GPS,
        good: (0..BATCH as u32).collect(),
        batch: RecordBatch::try_new(schema, columns).unwrap(),
        bad: vec![],
        error_stage: vec![],
        error_reason: vec![],
        error_detail: vec![],
    };
    (records, decoded)
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
    let report = refine(&lake).unwrap();
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

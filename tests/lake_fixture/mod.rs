//! Records and verdicts made by hand, as the codec would give them, and ways to look into a lake.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic, clippy::from_iter_instead_of_collect)]

use std::collections::BTreeMap;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use _core::error::Result;
use _core::lake::{BronzeOptions, BronzeWriter, Lake, SilverReport};
use _core::schema::{CityId, Decoded, EventId, Records, SourceId, Stream};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema};
use serde_json::{Value, json};

/// 2026-06-01T00:00:00Z [ms].
pub const START_MS: i64 = 1_780_272_000_000;

pub fn iso(ms: i64) -> String {
    let array = TimestampMicrosecondArray::from(vec![ms * 1000]);
    let text = cast(&array, &DataType::Utf8).unwrap();
    format!("{}Z", text.as_string::<i32>().value(0))
}

/// The current UTC date.
pub fn today() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    iso(now.as_millis() as i64)[..10].to_owned()
}

pub fn id(stream: Stream, device: u32, counter: u64) -> String {
    EventId { city: CityId(7), stream, entity: device, counter }.to_text()
}

/// A valid event of `stream`: the `counter`-th of `device`, at `ms` after [`START_MS`].
pub fn event(stream: Stream, device: u32, counter: u64, ms: i64) -> Value {
    let mut row = json!({
        "id": id(stream, device, counter), "deviceId": format!("device-{device:04}"),
        "timestamp": iso(START_MS + ms), "sentAt": iso(START_MS + ms + 250), "location": [51.5, -0.12],
    });
    let own = match stream {
        Stream::Vehicle => {
            json!({"speed": 42.5, "direction": "North-East", "make": "Ford", "model": "Focus", "year": 2019,
            "fuelType": "Petrol", "heading": 45.0, "odometerKm": 1.5, "roadId": "r1", "vehicleType": "Car"})
        }
        Stream::Gps => {
            json!({"speed": 42.5, "direction": "North-East", "vehicleType": "Car", "heading": 45.0, "accuracyM": 3.5,
            "fix": "3D"})
        }
        Stream::Traffic => json!({"cameraId": "c1", "roadId": "r1", "intervalS": 60, "count": 3, "countCar": 2,
            "countVan": 1, "countGoods": 0, "countEmergency": 0, "meanSpeed": 40.0, "p85Speed": 45.5,
            "speedHistogram": [0, 1, 2], "occupancy": 0.1, "queueM": 0.0}),
        Stream::Weather => json!({"temperature": 12.5, "weatherCondition": "Rain", "precipitation": 0.4,
            "windSpeed": 11.0, "humidity": 80, "airQualityIndex": 42, "windDirection": 200.0, "visibilityM": 9000.0,
            "pm25": 7.0, "pm10": 12.0, "no2": 11.0, "o3": 20.0, "dominantPollutant": "pm25"}),
        Stream::Emergency => json!({"incidentId": "i1", "type": "Accident", "status": "Reported",
            "description": "A crash on r1", "severity": 2, "roadId": "r1", "lanesBlocked": 1}),
        _ => json!({}),
    };
    merge(&mut row, own);
    row
}

/// `row` with the fields of `change`; a null takes the field away.
pub fn with(mut row: Value, change: Value) -> Value {
    merge(&mut row, change);
    row
}

fn merge(row: &mut Value, change: Value) {
    let (Value::Object(row), Value::Object(change)) = (row, change) else { panic!("objects") };
    row.extend(change);
}

/// Rows in the stream's wire schema with `rescued`.
pub fn batch(stream: Stream, rows: &[Value]) -> RecordBatch {
    let mut fields: Vec<_> = stream.wire_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("rescued", DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(fields));
    let mut decoder =
        arrow_json::ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(rows.len().max(1)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema))
}

/// Records of one partition from `offset` on, one a row; `None` can't be decoded.
pub fn records(stream: Stream, partition: i32, offset: i64, rows: &[Option<Value>]) -> (Records, Decoded) {
    let offsets: Vec<i64> = (0..rows.len() as i64).map(|i| offset + i).collect();
    records_at(stream, partition, &offsets, rows)
}

pub fn records_at(stream: Stream, partition: i32, offsets: &[i64], rows: &[Option<Value>]) -> (Records, Decoded) {
    let texts: Vec<String> = rows.iter().map(|r| r.as_ref().map_or("{\"id\":".into(), Value::to_string)).collect();
    let records = Records {
        partition,
        offsets: Int64Array::from(offsets.to_vec()),
        timestamps: TimestampMicrosecondArray::from_iter(offsets.iter().map(|o| (o % 5 != 4).then_some(o * 1000)))
            .with_timezone("UTC"),
        keys: BinaryArray::from_iter(rows.iter().map(|r| r.as_ref().map(|_| b"key"))),
        values: BinaryArray::from_iter_values(texts.iter().map(String::as_bytes)),
        headers: StringArray::from_iter(rows.iter().map(|r| r.is_none().then_some("{\"h\":\"eA==\"}"))),
    };
    let (mut good, mut bad, mut values) = (vec![], vec![], vec![]);
    for (row, value) in (0..).zip(rows) {
        match value {
            Some(value) => {
                good.push(row);
                values.push(value.clone());
            }
            None => bad.push(row),
        }
    }
    let decoded = Decoded {
        stream,
        good,
        batch: batch(stream, &values),
        error_stage: vec!["json"; bad.len()],
        error_reason: vec!["truncated"; bad.len()],
        error_detail: vec!["the text ends at byte 6".into(); bad.len()],
        bad,
    };
    (records, decoded)
}

/// An event of the gps stream that is made without JSON, where there are many.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gps {
    /// Its place among all; devices take turns.
    pub number: u64,
    /// Days after the first.
    pub day: i64,
    /// Another content under the same id.
    pub other: bool,
}

/// Devices of [`gps_records`].
pub const DEVICES: u64 = 2_000;

/// Records of one partition from `offset` on with these events; equal ones are copies of each other.
pub fn gps_records(partition: i32, offset: i64, events: &[Gps]) -> (Records, Decoded) {
    let stream = Stream::Gps;
    let rows = events.len();
    let id = |e: &Gps| {
        let (entity, counter) = ((e.number % DEVICES) as u32, e.number / DEVICES);
        EventId { city: CityId(7), stream, entity, counter }.to_text()
    };
    let time = |late: i64| {
        let ms = |e: &Gps| START_MS + e.day * 86_400_000 + (e.number / DEVICES) as i64 * 1000 + late;
        TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| ms(e) * 1000)).with_timezone("UTC")
    };
    // A copy has the same content, so values depend on the event alone.
    let value = |e: &Gps| (e.number.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f64 / 65_536.0;
    let reals = |of: &dyn Fn(&Gps) -> f64| Arc::new(Float64Array::from_iter_values(events.iter().map(of))) as ArrayRef;
    let texts =
        |of: &dyn Fn(&Gps) -> String| Arc::new(StringArray::from_iter_values(events.iter().map(of))) as ArrayRef;
    let degrees = ListArray::from_iter_primitive::<Float64Type, _, _>(
        events.iter().map(|e| Some([Some(51.4 + value(e) / 5.0), Some(-0.3 + value(e) / 4.0)])),
    );
    let mut fields: Vec<_> = stream.wire_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("rescued", DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(fields));
    let directions = ["North", "North-East", "East", "South-East", "South", "South-West", "West", "North-West"];
    let columns: Vec<ArrayRef> = vec![
        texts(&id),
        texts(&|e| format!("veh-{:06}", e.number % DEVICES)),
        Arc::new(time(0)),
        reals(&|e| value(e) * 120.0 + f64::from(u8::from(e.other))),
        texts(&|e| directions[(e.number % 8) as usize].into()),
        texts(&|e| ["Car", "Car", "Van", "Goods"][(e.number % 4) as usize].into()),
        Arc::new(time(250)),
        cast(&degrees, schema.field(7).data_type()).unwrap(),
        reals(&|e| value(e) * 360.0),
        reals(&|e| 2.0 + value(e)),
        texts(&|e| ["3D", "2D"][usize::from(e.number.is_multiple_of(50))].into()),
        Arc::new(StringArray::new_null(rows)),
    ];
    let records = Records {
        partition,
        offsets: (offset..offset + rows as i64).collect::<Vec<_>>().into(),
        timestamps: TimestampMicrosecondArray::from_value(START_MS * 1000, rows).with_timezone("UTC"),
        keys: BinaryArray::new_null(rows),
        values: BinaryArray::new_null(rows),
        headers: StringArray::new_null(rows),
    };
    let decoded = Decoded {
        stream,
        good: (0..rows as u32).collect(),
        batch: RecordBatch::try_new(schema, columns).unwrap(),
        bad: vec![],
        error_stage: vec![],
        error_reason: vec![],
        error_detail: vec![],
    };
    (records, decoded)
}

pub fn source(stream: Stream) -> SourceId {
    SourceId {
        cluster_id: "cluster-1".into(),
        topic: stream.default_topic().into(),
        topic_id: format!("id-of-{}", stream.default_topic()),
    }
}

pub fn writer(lake: &Lake, stream: Stream) -> Result<BronzeWriter> {
    lake.bronze_writer(stream, source(stream), BronzeOptions::default())
}

/// Takes rows in, in one commit.
pub fn ingest(lake: &Lake, stream: Stream, partition: i32, offset: i64, rows: &[Option<Value>]) {
    let mut writer = writer(lake, stream).unwrap();
    let (records, decoded) = records(stream, partition, offset, rows);
    writer.append(&records, &decoded).unwrap();
    writer.commit().unwrap();
}

pub fn refine(lake: &Lake) -> Result<SilverReport> {
    lake.refine_silver(&AtomicBool::new(false), &mut |_| {})
}

pub fn check(lake: &Lake) -> Vec<String> {
    lake.check(&AtomicBool::new(false), &mut |_| {}).unwrap()
}

pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> String {
        self.0.path().join("lake").to_string_lossy().into_owned()
    }

    pub fn lake(&self) -> Lake {
        Lake::open(&self.path(), true).unwrap()
    }
}

/// The rows of a table as JSON objects of texts, by Arrow's own formatting; null stays away.
pub fn rows(lake: &Lake, table: &str) -> Vec<BTreeMap<String, String>> {
    let scan = lake.scan(table, None).unwrap();
    let mut out = Vec::new();
    for batch in scan {
        let batch = batch.unwrap();
        let format = arrow::util::display::FormatOptions::default();
        for row in 0..batch.num_rows() {
            let mut map = BTreeMap::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if column.is_valid(row) {
                    let text = arrow::util::display::ArrayFormatter::try_new(column, &format).unwrap();
                    map.insert(field.name().clone(), text.value(row).to_string());
                }
            }
            out.push(map);
        }
    }
    out
}

pub fn count(lake: &Lake, table: &str) -> u64 {
    let snapshot = lake.snapshot(table).unwrap();
    let scanned: usize = lake.scan(table, None).unwrap().map(|b| b.unwrap().num_rows()).sum();
    assert_eq!(snapshot.files.iter().map(|f| f.rows).sum::<u64>(), scanned as u64, "{table}: log and files differ");
    scanned as u64
}

/// (partition, offset) of every row of a table, sorted.
pub fn positions(lake: &Lake, table: &str) -> Vec<(i32, i64)> {
    let mut out = Vec::new();
    for batch in lake.scan(table, Some(&["kafka_partition", "kafka_offset"])).unwrap() {
        let batch = batch.unwrap();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        out.extend(
            batch.column(0).as_primitive::<Int32Type>().values().iter().copied().zip(offsets.values().iter().copied()),
        );
    }
    out.sort_unstable();
    out
}

/// Runs one `#[ignore]`d test of this very binary in a child process, which may be killed at `crash_at`.
pub fn child(test: &str, crash_at: Option<&str>, variables: &[(&str, &str)]) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env_remove("CITYSTREAM_CRASH_AT").envs(variables.iter().copied());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    if let Some(at) = crash_at {
        command.env("CITYSTREAM_CRASH_AT", at);
    }
    let output = command.output().unwrap();
    let failed = crash_at.is_none() && !output.status.success();
    assert!(!failed, "{test} failed: {}", String::from_utf8_lossy(&output.stderr));
    output.status
}

/// Whether the child died by SIGKILL.
pub fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

//! JSON of `gps` rows, a batch at a time, beside arrow-json on the same rows and bytes.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)] // A bench that fails may stop; criterion's macro makes an item.

use std::hint::black_box;
use std::sync::Arc;

use _core::codec::json::{Decoder, Encoder};
use _core::schema::{CityId, EventId, Events, Stream};
use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use arrow_json::ReaderBuilder;
use arrow_json::writer::{LineDelimited, WriterBuilder};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: usize = 8192;

/// Rows such as the sensors make: a fleet of 1,000 devices, values rounded as the devices round them.
fn gps_events() -> Events {
    let mut state = 1_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let round = |value: f64, decimals: i32| (value * 10_f64.powi(decimals)).round() / 10_f64.powi(decimals);
    let rows = 0..ROWS as u64;
    let text = |f: &dyn Fn(u64) -> String| Arc::new(StringArray::from_iter_values(rows.clone().map(f))) as ArrayRef;
    let one_of = |names: &'static [&str]| text(&|i| names[(i * 7 % names.len() as u64) as usize].to_owned());
    let times = |offset: i64| {
        let start = 1_780_300_800_000_000;
        let times = rows.clone().map(|i| start + i as i64 * 1_237_000 + offset);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")) as ArrayRef
    };
    let id = |i| {
        let city = CityId(0x5eed_0000_1234);
        EventId { city, stream: Stream::Gps, entity: i as u32 % 1000, counter: i / 1000 }.to_text()
    };
    let speeds: Vec<_> = rows.clone().map(|_| round(uniform() * 60.0, 1)).collect();
    let headings = speeds.iter().map(|&v| (v > 5.4).then(|| round(uniform() * 360.0, 1))).collect::<Vec<_>>();
    let places = Float64Array::from_iter_values(
        rows.clone().flat_map(|_| [40.7 + uniform() * 0.1, -74.0 + uniform() * 0.1]).map(|v| round(v, 6)),
    );
    let item = Arc::new(Field::new("element", DataType::Float64, true));
    let places = ListArray::new(item, OffsetBuffer::from_repeated_length(2, ROWS), Arc::new(places), None);
    let columns: Vec<ArrayRef> = vec![
        text(&id),
        text(&|i| format!("veh-{:05}", i % 1000)),
        times(0),
        Arc::new(Float64Array::from(speeds)),
        one_of(&["North", "NorthEast", "East", "SouthEast", "South", "SouthWest", "West", "NorthWest"]),
        one_of(&["Car", "Car", "Van", "Goods", "Car"]),
        times(184_000),
        Arc::new(places),
        Arc::new(Float64Array::from(headings)),
        Arc::new(Float64Array::from_iter_values(rows.clone().map(|_| round(2.0 + uniform() * 9.0, 1)))),
        one_of(&["3D", "3D", "3D", "2D"]),
    ];
    let batch = RecordBatch::try_new(Stream::Gps.wire_schema(), columns).unwrap();
    Events { stream: Stream::Gps, batch, harm: Vec::new() }
}

fn codec(c: &mut Criterion) {
    let events = gps_events();
    let values: BinaryArray = Encoder::new(Stream::Gps).encode(&events).unwrap().values;
    eprintln!("{} bytes a message", values.value_data().len() / ROWS);

    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("citystream", |b| {
        let mut encoder = Encoder::new(Stream::Gps);
        b.iter(|| {
            let messages = encoder.encode(black_box(&events)).unwrap();
            black_box(&messages);
            encoder.recycle(messages);
        });
    });
    group.bench_function("arrow-json", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut out);
            writer.write(black_box(&events.batch)).unwrap();
            writer.finish().unwrap();
            black_box(out.len())
        });
    });
    group.finish();

    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("citystream", |b| {
        let mut decoder = Decoder::new(Stream::Gps);
        b.iter(|| {
            let decoded = decoder.decode_values(black_box(&values)).unwrap();
            assert_eq!(decoded.good.len(), ROWS);
            decoded
        });
    });
    group.bench_function("arrow-json", |b| {
        let mut decoder = ReaderBuilder::new(Stream::Gps.wire_schema()).with_batch_size(ROWS).build_decoder().unwrap();
        b.iter(|| {
            // The messages stand one after the other, so they are one text to it.
            let used = decoder.decode(black_box(values.value_data())).unwrap();
            let batch = decoder.flush().unwrap().unwrap();
            assert_eq!((used, batch.num_rows()), (values.value_data().len(), ROWS));
            batch
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);

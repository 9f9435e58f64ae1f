//! Any valid batch of any stream, for the codecs' tests.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // Clippy allows these in test functions only; each test uses a part.

use std::sync::Arc;

use _core::schema::{Events, Kind, Stream};
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

pub fn any_double() -> BoxedStrategy<f64> {
    let finite = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |v| v.is_finite());
    let decimal = (-1_000_000_000_000_i64..1_000_000_000_000, 0..7).prop_map(|(n, d)| n as f64 / 10_f64.powi(d));
    let extreme = prop::sample::select(vec![
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        1e22,
        1e23,
        9_007_199_254_740_993.0,
        1e-7,
        999_999_999.999_999_9,
    ]);
    prop_oneof![finite, decimal, extreme].boxed()
}

pub fn any_text() -> BoxedStrategy<String> {
    let characters = vec(any::<char>(), 0..12).prop_map(String::from_iter);
    let plain = vec(prop::sample::select(b"abcxyz0189-:".to_vec()), 0..40)
        .prop_map(|bytes| bytes.into_iter().map(char::from).collect::<String>());
    let awkward = prop::sample::select(vec!["\"", "\\", "\u{0}", "\u{1f}\u{7f}", "a\\u0041", "😀\"", "\u{2028}", "{}"]);
    prop_oneof![characters, plain, awkward.prop_map(str::to_owned)].boxed()
}

pub fn any_time() -> BoxedStrategy<i64> {
    // Milliseconds of the years 0 to 9999.
    (-62_167_219_200_000_i64..=253_402_300_799_999).prop_map(|ms| ms * 1000).boxed()
}

pub fn lists<T>(kind: Kind, rows: &[Option<Vec<T>>], items: ArrayRef) -> ArrayRef {
    let DataType::List(item) = kind.to_arrow() else { panic!("{kind:?} is no list") };
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|r| r.as_ref().map_or(0, Vec::len)));
    let nulls = NullBuffer::from(rows.iter().map(Option::is_some).collect::<Vec<_>>());
    Arc::new(ListArray::new(item, offsets, items, Some(nulls)))
}

pub fn points(rows: &[Option<(f64, f64)>]) -> ArrayRef {
    let rows: Vec<_> = rows.iter().map(|r| r.map(|(lat, lon)| vec![lat, lon])).collect();
    lists(Kind::Point, &rows, Arc::new(Float64Array::from_iter_values(rows.iter().flatten().flatten().copied())))
}

pub fn structs(kind: Kind, columns: Vec<ArrayRef>, nulls: Option<NullBuffer>) -> ArrayRef {
    let DataType::Struct(fields) = kind.to_arrow() else { panic!("{kind:?} is no struct") };
    Arc::new(StructArray::new(fields, columns, nulls))
}

pub fn any_column(kind: Kind, rows: usize) -> BoxedStrategy<ArrayRef> {
    fn cells<T: std::fmt::Debug>(one: impl Strategy<Value = T>, rows: usize) -> impl Strategy<Value = Vec<Option<T>>> {
        vec(weighted(0.9, one), rows)
    }
    match kind {
        Kind::Text => cells(any_text(), rows).prop_map(|v| Arc::new(StringArray::from(v)) as ArrayRef).boxed(),
        Kind::Int => cells(any::<i32>(), rows).prop_map(|v| Arc::new(Int32Array::from(v)) as ArrayRef).boxed(),
        Kind::Long => cells(any::<i64>(), rows).prop_map(|v| Arc::new(Int64Array::from(v)) as ArrayRef).boxed(),
        Kind::Double => cells(any_double(), rows).prop_map(|v| Arc::new(Float64Array::from(v)) as ArrayRef).boxed(),
        Kind::Time => cells(any_time(), rows)
            .prop_map(|v| Arc::new(TimestampMicrosecondArray::from(v).with_timezone("UTC")) as ArrayRef)
            .boxed(),
        Kind::Point => cells((any_double(), any_double()), rows).prop_map(|v| points(&v)).boxed(),
        Kind::Ints => cells(vec(weighted(0.9, any::<i32>()), 0..5), rows)
            .prop_map(|v| {
                let items: Int32Array = v.iter().flatten().flatten().copied().collect();
                lists(Kind::Ints, &v, Arc::new(items))
            })
            .boxed(),
        Kind::Line => cells(vec((any_double(), any_double()), 0..4), rows)
            .prop_map(|v| {
                let items: Vec<_> = v.iter().flatten().flatten().map(|p| Some(*p)).collect();
                lists(Kind::Line, &v, points(&items))
            })
            .boxed(),
        Kind::Struct(fields) => {
            let columns: Vec<_> = fields.iter().map(|f| any_column(f.kind, rows)).collect();
            (vec(any::<bool>(), rows), columns)
                .prop_map(move |(valid, columns)| structs(kind, columns, Some(NullBuffer::from(valid))))
                .boxed()
        }
    }
}

pub fn any_events(stream: Stream, max_rows: usize) -> impl Strategy<Value = Events> {
    (1..=max_rows).prop_flat_map(move |rows| {
        let columns: Vec<_> = stream.fields().iter().map(|f| any_column(f.kind, rows)).collect();
        columns.prop_map(move |columns| events(stream, columns))
    })
}

pub fn any_stream_events(max_rows: usize) -> impl Strategy<Value = Events> {
    prop::sample::select(Stream::ALL.to_vec()).prop_flat_map(move |stream| any_events(stream, max_rows))
}

pub fn events(stream: Stream, columns: Vec<ArrayRef>) -> Events {
    Events { stream, batch: RecordBatch::try_new(stream.wire_schema(), columns).unwrap(), harm: Vec::new() }
}

/// Five plain rows of a stream, without nulls.
pub fn plain_events(stream: Stream) -> Events {
    const ROWS: usize = 5;
    fn column(kind: Kind) -> ArrayRef {
        let rows = 0..ROWS as i32;
        match kind {
            Kind::Text => Arc::new(StringArray::from_iter_values(rows.map(|i| format!("text-{i}")))),
            Kind::Int => Arc::new(Int32Array::from_iter_values(rows.map(|i| 10 + i))),
            Kind::Long => Arc::new(Int64Array::from_iter_values(rows.map(|i| 1000 + i64::from(i)))),
            Kind::Double => Arc::new(Float64Array::from_iter_values(rows.map(|i| f64::from(i) + 0.25))),
            Kind::Time => {
                let times = rows.map(|i| 1_780_272_000_000_000 + i64::from(i) * 1000);
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            Kind::Point => points(&rows.map(|i| Some((40.7 + f64::from(i), -73.9))).collect::<Vec<_>>()),
            Kind::Ints => lists(kind, &vec![Some(vec![1, 2]); ROWS], Arc::new(Int32Array::from([1, 2].repeat(ROWS)))),
            Kind::Line => lists(kind, &vec![Some(vec![()]); ROWS], points(&[Some((1.5, 2.5)); ROWS])),
            Kind::Struct(fields) => structs(kind, fields.iter().map(|f| column(f.kind)).collect(), None),
        }
    }
    events(stream, stream.fields().iter().map(|f| column(f.kind)).collect())
}

//! Arrow IPC codec: round trips of every stream, other writers' schemas, and bad input.

// Clippy allows these in test functions only, not in what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod codec_fixture;

use std::sync::Arc;

use _core::codec::arrow_ipc::{Batches, Decoder, Encoder, MAX_MESSAGE_BYTES};
use _core::codec::names::{Case, Names};
use _core::kafka::partition_of;
use _core::schema::{Decoded, Events, Harm, Stream};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use codec_fixture::{any_stream_events, plain_events};
use proptest::collection::vec;
use proptest::prelude::*;

fn encode(events: &Events, partitions: i32) -> Batches {
    let encoder = Encoder::new(events.stream, Names::contract());
    encoder.encode(events, |key| partition_of(key, partitions)).unwrap()
}

fn decode(stream: Stream, values: &BinaryArray) -> Decoded {
    let decoded = Decoder::new(stream, Names::contract()).decode_values(values).unwrap();
    assert_eq!(decoded.good.len(), decoded.batch.num_rows());
    assert!(decoded.good.is_sorted());
    decoded
}

fn wire(decoded: &Decoded) -> RecordBatch {
    decoded.batch.project(&(0..decoded.stream.fields().len()).collect::<Vec<_>>()).unwrap()
}

/// A stream of these batches, as another program would write it.
fn stream_of(schema: &Arc<Schema>, batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn reason(stream: Stream, value: &[u8]) -> (String, String) {
    let decoded = decode(stream, &BinaryArray::from_iter_values([value]));
    assert_eq!(decoded.bad, [0]);
    (decoded.error_reason[0].to_owned(), decoded.error_detail[0].clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(events in any_stream_events(30), partitions in 1..5_i32) {
        let sent = encode(&events, partitions);
        let decoded = decode(events.stream, &sent.messages.values);
        prop_assert!(decoded.bad.is_empty());
        // Which rows stand in which message follows from their keys.
        let keys = events.batch.column_by_name(events.stream.key_column()).unwrap().as_string::<i32>();
        let place = |row: u32| keys.is_valid(row as usize).then(|| partition_of(keys.value(row as usize).as_bytes(), partitions));
        let mut order: Vec<u32> = Vec::new();
        for &last in &sent.last {
            order.extend((0..events.batch.num_rows() as u32).filter(|row| place(*row) == place(last)));
        }
        let expected = take_record_batch(&events.batch, &UInt32Array::from(order)).unwrap();
        prop_assert_eq!(wire(&decoded), expected);
        prop_assert!(sent.last.is_sorted());
        prop_assert_eq!(sent.rows.iter().sum::<u32>() as usize, events.batch.num_rows());
        for (message, last) in sent.last.iter().enumerate() {
            let key = sent.messages.keys.is_valid(message).then(|| sent.messages.keys.value(message));
            prop_assert_eq!(key.map(|key| partition_of(key.as_bytes(), partitions)), place(*last));
        }
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in vec(any::<u8>(), 0..200), stream in 0..9_usize) {
        let begun = [&[0xff; 4][..], &bytes].concat();
        decode(Stream::ALL[stream], &BinaryArray::from_iter_values([bytes, begun]));
    }

    #[test]
    fn changed_bytes_break_nothing(
        events in any_stream_events(4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&events, 1).messages.values.value(0).to_vec();
        for (at, to) in changes {
            let place = at.index(bytes.len());
            bytes[place] = to;
        }
        decode(events.stream, &BinaryArray::from_iter_values([bytes]));
    }
}

#[test]
fn arrows_own_reader_reads_a_message_with_its_names() {
    let events = plain_events(Stream::Gps);
    let snake = Names::new(Case::Snake, &[]).unwrap();
    let sent = Encoder::new(Stream::Gps, &snake).encode(&events, |_| 0).unwrap();
    let batches: Vec<_> =
        StreamReader::try_new(sent.messages.values.value(0), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].columns(), events.batch.columns());
    assert!(batches[0].column_by_name("vehicle_type").is_some() && batches[0].column_by_name("vehicleType").is_none());
    let back = Decoder::new(Stream::Gps, &snake).decode_values(&sent.messages.values).unwrap();
    assert_eq!(wire(&back), events.batch);
    assert_eq!(reason(Stream::Gps, sent.messages.values.value(0)).0, "schema_mismatch");
}

#[test]
fn messages_stay_below_the_bound() {
    let one = plain_events(Stream::Vehicle);
    let batch = concat_batches(&one.batch.schema(), &vec![one.batch; 2_000]).unwrap();
    let events = Events { stream: Stream::Vehicle, batch, harm: Vec::new() };
    let sent = encode(&events, 3);
    let sizes: Vec<_> = sent.messages.values.iter().map(|value| value.unwrap().len()).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= MAX_MESSAGE_BYTES), "{sizes:?}");
    assert_eq!(decode(Stream::Vehicle, &sent.messages.values).good.len(), 10_000);
    // A row that is longer by itself is a message by itself, for the broker to refuse.
    let narrow = Encoder::new(Stream::Vehicle, Names::contract()).max_bytes(100);
    let few = Events { batch: events.batch.slice(0, 7), ..events };
    assert_eq!(narrow.encode(&few, |_| 0).unwrap().rows, [1; 7]);
}

#[test]
fn another_schema_is_named() {
    let batch = plain_events(Stream::Gps).batch;
    let schema = batch.schema();
    let changed = |name: &str, array: ArrayRef| {
        let at = schema.index_of(name).unwrap();
        let mut fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        let mut columns = batch.columns().to_vec();
        fields[at] = Field::new(name, array.data_type().clone(), true);
        columns[at] = array;
        let schema = Arc::new(Schema::new(fields));
        stream_of(&schema, &[RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()])
    };
    let rows = batch.num_rows();
    let words = StringArray::from(vec!["a"; rows]);
    let dictionary = arrow::compute::cast(&words, &DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()));
    for (name, array) in [
        ("speed", Arc::new(Int32Array::from(vec![1; rows])) as ArrayRef),
        ("speed", Arc::new(arrow::array::Float32Array::from(vec![1.0; rows]))),
        ("id", Arc::new(arrow::array::LargeStringArray::from(vec!["a"; rows]))),
        ("id", Arc::new(arrow::array::StringViewArray::from(vec!["a"; rows]))),
        ("fix", dictionary.unwrap()),
        ("sentAt", Arc::new(TimestampNanosecondArray::from(vec![1; rows]).with_timezone("UTC"))),
        ("sentAt", Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![1; rows]))),
        ("location", Arc::new(Float64Array::from(vec![1.0; rows]))),
        (
            "location",
            codec_fixture::lists(
                _core::schema::Kind::Ints,
                &vec![Some(vec![1]); rows],
                Arc::new(Int32Array::from(vec![1; rows])),
            ),
        ),
    ] {
        let (code, detail) = reason(Stream::Gps, &changed(name, array));
        assert_eq!(code, "schema_mismatch", "{detail}");
        assert!(detail.contains(&format!("{name:?}")), "{detail}");
    }
    let less = batch.project(&(1..batch.num_columns()).collect::<Vec<_>>()).unwrap();
    assert!(reason(Stream::Gps, &stream_of(&less.schema(), &[less])).1.contains("\"id\" is missing"));
    assert!(reason(Stream::Weather, &stream_of(&schema, &[batch])).1.contains("unknown"));
}

#[test]
fn columns_in_another_order_are_taken_by_name() {
    let batch = plain_events(Stream::Reference).batch;
    let turned = batch.project(&(0..batch.num_columns()).rev().collect::<Vec<_>>()).unwrap();
    let decoded = decode(Stream::Reference, &BinaryArray::from_iter_values([stream_of(&turned.schema(), &[turned])]));
    assert_eq!(wire(&decoded), batch);
}

#[test]
fn each_kind_of_bad_record_has_its_reason_and_its_neighbours_are_whole() {
    let events = plain_events(Stream::Gps);
    let (batch, schema) = (&events.batch, events.batch.schema());
    let good = stream_of(&schema, std::slice::from_ref(batch));
    assert_eq!(reason(Stream::Gps, &stream_of(&schema, &[])).0, "not_one_batch");
    assert_eq!(reason(Stream::Gps, &stream_of(&schema, &[batch.clone(), batch.clone()])).0, "not_one_batch");
    assert_eq!(reason(Stream::Gps, &stream_of(&schema, &[batch.slice(0, 0)])).0, "empty_batch");
    assert_eq!(reason(Stream::Gps, b"{}").0, "truncated");
    assert_eq!(reason(Stream::Gps, b"{\"id\":\"a\"}").0, "malformed");
    assert_eq!(reason(Stream::Gps, &[&good[..], b"more"].concat()).0, "malformed");
    let mut columns = batch.columns().to_vec();
    columns[3] = Arc::new(Float64Array::from(vec![f64::NAN; batch.num_rows()]));
    let odd = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    assert_eq!(reason(Stream::Gps, &stream_of(&schema, &[odd])).0, "not_finite");

    // Without its last eight bytes, which only say that nothing follows, it is whole.
    for length in 4..good.len() - 8 {
        let values = BinaryArray::from_iter_values([&good[..], &good[..length], &good[..]]);
        let decoded = decode(Stream::Gps, &values);
        assert_eq!(decoded.bad, [1], "{length} of {}", good.len());
        assert_eq!(decoded.good.len(), 2 * batch.num_rows());
    }
    let decoded = decode(Stream::Gps, &BinaryArray::from_iter_values([&good[..good.len() - 8]]));
    assert_eq!(wire(&decoded), *batch);
}

#[test]
fn numbers_that_are_none_are_null_and_points_are_refused() {
    let mut events = plain_events(Stream::Gps);
    let mut columns = events.batch.columns().to_vec();
    columns[3] = Arc::new(Float64Array::from_iter_values((0..5).map(|i| if i == 2 { f64::NAN } else { f64::from(i) })));
    events.batch = RecordBatch::try_new(events.batch.schema(), columns.clone()).unwrap();
    let decoded = decode(Stream::Gps, &encode(&events, 1).messages.values);
    assert_eq!(decoded.batch.column(3).null_count(), 1);
    columns[7] = codec_fixture::points(&[Some((1.0, f64::INFINITY)); 5]);
    events.batch = RecordBatch::try_new(events.batch.schema(), columns).unwrap();
    let error = Encoder::new(Stream::Gps, Names::contract()).encode(&events, |_| 0).unwrap_err();
    assert!(error.to_string().contains("\"location\""), "{error}");
}

#[test]
fn harm_is_refused() {
    let mut events = plain_events(Stream::Gps);
    events.harm = vec![Harm::None, Harm::None, Harm::Tombstone, Harm::None, Harm::None];
    let error = Encoder::new(Stream::Gps, Names::contract()).encode(&events, |_| 0).unwrap_err().to_string();
    assert!(error.contains("tombstone") && error.contains("json"), "{error}");
}

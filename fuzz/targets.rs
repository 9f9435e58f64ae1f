//! What each fuzz target does with its bytes. `tests/fuzz_corpus.rs` does the same with the files of `corpus`, on stable.
//!
//! The first byte chooses the stream. Beside not panicking, a decoder must say one thing about each record, and a row that it
//! has read can be written and read again.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // A target that fails panics; each binary has one of them.

use std::sync::Arc;

use _core::codec::avro::{self, Schemas, Stored, schema_text};
use _core::codec::names::Names;
use _core::codec::{arrow_ipc, json as text};
use _core::error::Result;
use _core::schema::{Decoded, Events, Stream};
use arrow::array::{BinaryArray, RecordBatch};

/// One schema under every id.
struct One(String);

impl Schemas for One {
    fn schema(&self, _: u32) -> Result<Option<String>> {
        Ok(Some(self.0.clone()))
    }
}

fn stored(schema: String) -> Arc<Stored> {
    Arc::new(Stored::new(Some(Box::new(One(schema)))))
}

fn stream(data: &[u8]) -> Option<(Stream, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((Stream::ALL[usize::from(*first) % Stream::ALL.len()], rest))
}

fn one(value: &[u8]) -> BinaryArray {
    BinaryArray::from_iter_values([value])
}

/// The wire columns of what was read, where it is any.
fn events(decoded: &Decoded) -> Option<Events> {
    assert_eq!(decoded.good.len(), decoded.batch.num_rows());
    assert_eq!(decoded.good.is_empty(), decoded.bad == [0], "a record is good or bad");
    assert_eq!([decoded.error_stage.len(), decoded.error_reason.len()], [decoded.bad.len(); 2]);
    (!decoded.good.is_empty()).then(|| Events { stream: decoded.stream, batch: wire(decoded), harm: Vec::new() })
}

fn wire(decoded: &Decoded) -> RecordBatch {
    decoded.batch.project(&(0..decoded.stream.fields().len()).collect::<Vec<_>>()).unwrap()
}

/// A JSON message.
pub fn json(data: &[u8]) {
    let Some((stream, value)) = stream(data) else { return };
    let decoded = text::Decoder::new(stream).decode_values(&one(value)).unwrap();
    let Some(events) = events(&decoded) else { return };
    let again = text::Decoder::new(stream).decode_values(&text::encode(&events).unwrap().values).unwrap();
    assert!(again.bad.is_empty());
}

/// An Avro record by our own schema, without its header.
pub fn avro(data: &[u8]) {
    let Some((stream, record)) = stream(data) else { return };
    let stored = stored(schema_text(stream, Names::contract()).unwrap());
    let read = |values: &BinaryArray| {
        avro::Decoder::new(stream, Names::contract(), Arc::clone(&stored)).decode_values(values).unwrap()
    };
    let decoded = read(&one(&[&[avro::MAGIC, 0, 0, 0, 1], record].concat()));
    let Some(events) = events(&decoded) else { return };
    let again = read(&avro::Encoder::new(stream, 1).encode(&events).unwrap().values);
    assert_eq!(wire(&again), events.batch);
}

/// The text of a writer's schema, a zero, and a record of it.
pub fn avro_schema(data: &[u8]) {
    let Some((stream, data)) = stream(data) else { return };
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (schema, record) = (String::from_utf8_lossy(&data[..end]), data.get(end + 1..).unwrap_or_default());
    let value = one(&[&[avro::MAGIC, 0, 0, 0, 1], record].concat());
    let mut decoder = avro::Decoder::new(stream, Names::contract(), stored(schema.into_owned()));
    events(&decoder.decode_values(&value).unwrap());
}

/// An Arrow IPC message.
pub fn arrow(data: &[u8]) {
    let Some((stream, value)) = stream(data) else { return };
    let decoder = arrow_ipc::Decoder::new(stream, Names::contract());
    let Some(events) = events(&decoder.decode_values(&one(value)).unwrap()) else { return };
    let sent = arrow_ipc::Encoder::new(stream, Names::contract()).encode(&events, |_| 0).unwrap();
    let again = decoder.decode_values(&sent.messages.values).unwrap();
    // Rows without a key are a message of their own.
    assert_eq!((again.bad.len(), again.good.len()), (0, events.batch.num_rows()));
}

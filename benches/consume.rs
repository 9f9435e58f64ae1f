//! Consuming alone: reads a topic from its start to its end and throws the records away, as bytes or decoded to Arrow.
//! `cargo bench --bench consume -- SERVERS TOPIC STREAM bytes|decode` prints {"records", "bytes", "seconds"}.
//!
//! The batches are those of `citystream ingest`; what comes after them there, the lake, is left out. One thread polls and
//! decodes; librdkafka's own fetch and decompress.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use _core::codec::json::Decoder;
use _core::error::{Error, Result};
use _core::kafka::{ConsumeOptions, Consumer, Security, Topics};
use _core::schema::Stream;
use arrow::array::Array;

/// As in `pipeline::ingest`.
const ROWS: usize = 32_768;
const BYTES: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Read {
    records: usize,
    bytes: usize,
    decoded: usize,
}

fn consume(servers: &str, topic: &str, stream: Stream, decode: bool) -> Result<(Read, f64)> {
    let go = AtomicBool::new(false);
    let topics = Topics::connect(servers, &Security::default(), PATIENCE, &go)?;
    let found = topics.describe(&[topic], &go)?;
    let starts: Vec<_> = found.iter().flat_map(|t| &t.partitions).map(|p| (p.id, p.low)).collect();
    let mut decoder = Decoder::new(stream);
    let mut read = Read::default();
    let mut consumer = Consumer::open(ConsumeOptions::new(servers), &go)?;
    let began = Instant::now();
    consumer.assign(topic, &starts)?;
    while !consumer.at_end() {
        for fetched in consumer.poll_batch(ROWS, BYTES, PATIENCE, &go)? {
            let records = fetched.records;
            read.records += records.values.len();
            read.bytes += records.values.value_data().len() + records.keys.value_data().len();
            if decode {
                read.decoded += decoder.decode(&records)?.good.len();
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if decode && read.decoded != read.records {
        return Err(Error::internal(format!("{} of {} records could be decoded", read.decoded, read.records)));
    }
    Ok((read, seconds))
}

fn main() -> ExitCode {
    // Cargo adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [servers, topic, stream, mode @ ("bytes" | "decode")] = arguments[..] else {
        eprintln!("usage: consume SERVERS TOPIC STREAM bytes|decode");
        return ExitCode::from(2);
    };
    match Stream::parse(stream).and_then(|stream| consume(servers, topic, stream, mode == "decode")) {
        Ok((Read { records, bytes, .. }, seconds)) => {
            println!(r#"{{"records": {records}, "bytes": {bytes}, "seconds": {seconds}}}"#);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! City → files: ndjson, Parquet and Arrow, or standard output. The same options give the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::ipc::writer::FileWriter as IpcWriter;

use super::groups::ParquetSink;
use super::observe::{Chunk, Source};
use super::pool::Pool;
use super::progress::Run;
use super::topics::Topics;
use super::wire::Wire;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{Events, Messages, Stream};
use crate::sensor::without_harmed;
use crate::storage::NewFile;

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A folder with a file a topic; harmed events are in it as they would be sent, a message without a value as `null`.
    Ndjson(PathBuf),
    /// A folder with a folder a stream; harmed events are left out.
    Parquet(PathBuf),
    /// A folder with an Arrow IPC file a stream; harmed events are left out.
    Arrow(PathBuf),
    /// Standard output: one JSON object a line with `topic`, `key` and `value`.
    Stdout,
    /// Nowhere: what generating costs.
    Null,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Events of each stream.
    pub events: BTreeMap<Stream, u64>,
    /// Reference rows.
    pub reference: u64,
    /// Bytes of all files, or of standard output.
    pub bytes: u64,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// A chunk made ready for its file on a worker.
enum Ready {
    Text(Stream, u64, Vec<u8>),
    Batch(Stream, RecordBatch),
}

/// Observes the whole run and writes it. `with_reference` also writes the reference rows.
///
/// # Errors
/// `Store` where a file is already there or can't be written; `Interrupted`.
pub fn write(
    source: &Source,
    target: &Target,
    topics: &Topics,
    wire: &Wire,
    with_reference: bool,
    run: &mut Run<'_>,
) -> Result<Written> {
    let mut streams = source.streams();
    if with_reference {
        streams.push(Stream::Reference);
    }
    let pool = Pool::new(source.threads())?;
    let mut sink = Sink::open(source, target, topics, &streams, &pool)?;
    let mut written = Written::default();
    if with_reference {
        for events in source.reference()? {
            written.reference += events.batch.num_rows() as u64;
            sink.write(ready(target, topics, wire, &events)?)?;
        }
    }
    let (start, duration) = (source.city().options.start, source.city().options.duration);
    let (for_work, names, wire) = (target.clone(), topics.clone(), wire.clone());
    let work = move |chunk: Chunk| {
        let ready: Result<Vec<Ready>> =
            chunk.events.iter().map(|events| ready(&for_work, &names, &wire, events)).collect();
        Ok((chunk.until, ready?))
    };
    for stream in source.streams() {
        written.events.insert(stream, 0);
    }
    for step in source.observe_on(&pool, start, work)? {
        let (until, ready) = step?;
        for part in ready {
            let (stream, rows) = match &part {
                Ready::Text(stream, rows, _) => (*stream, *rows),
                Ready::Batch(stream, batch) => (*stream, batch.num_rows() as u64),
            };
            *written.events.entry(stream).or_default() += rows;
            sink.write(part)?;
        }
        run.step("simulate", (until - start) as u64, Some(duration as u64), "ms")?;
    }
    (written.files, written.bytes) = sink.finish()?;
    Ok(written)
}

fn ready(target: &Target, topics: &Topics, wire: &Wire, events: &Events) -> Result<Ready> {
    Ok(match target {
        Target::Ndjson(_) => {
            let messages = wire.encode(events)?.messages;
            Ready::Text(events.stream, messages.values.len() as u64, lines(&messages))
        }
        Target::Stdout => {
            let messages = wire.encode(events)?.messages;
            let text = envelopes(&messages, topics.of(events.stream));
            Ready::Text(events.stream, messages.values.len() as u64, text)
        }
        Target::Parquet(_) | Target::Arrow(_) | Target::Null => Ready::Batch(events.stream, without_harmed(events)?),
    })
}

fn lines(messages: &Messages) -> Vec<u8> {
    let mut text = Vec::with_capacity(messages.values.value_data().len() + messages.values.len());
    for value in &messages.values {
        text.extend_from_slice(value.unwrap_or(b"null"));
        text.push(b'\n');
    }
    text
}

/// A harmed value is no JSON, so every value stands as a string where it does not parse as one object.
fn envelopes(messages: &Messages, topic: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(messages.values.value_data().len() * 3 / 2);
    for (key, value) in messages.keys.iter().zip(messages.values.iter()) {
        text.extend_from_slice(b"{\"topic\":\"");
        text.extend_from_slice(topic.as_bytes());
        text.extend_from_slice(b"\",\"key\":\"");
        text.extend_from_slice(key.unwrap_or("").as_bytes());
        text.extend_from_slice(b"\",\"value\":");
        let value = value.unwrap_or(b"null");
        if serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok() {
            text.extend_from_slice(value);
        } else {
            text.extend_from_slice(serde_json::Value::from(String::from_utf8_lossy(value)).to_string().as_bytes());
        }
        text.extend_from_slice(b"}\n");
    }
    text
}

enum Writer {
    Text(BufWriter<NewFile>),
    Parquet(Box<ParquetSink>),
    Arrow(Box<IpcWriter<BufWriter<NewFile>>>),
}

enum Sink {
    Files(BTreeMap<Stream, Writer>),
    Stdout(BufWriter<io::Stdout>, u64),
    Null,
}

impl Sink {
    fn open(source: &Source, target: &Target, topics: &Topics, streams: &[Stream], pool: &Arc<Pool>) -> Result<Self> {
        let (part, parts) = (source.sensors().part, source.sensors().parts);
        let suffix = if parts == 1 { String::new() } else { format!("-{part}-of-{parts}") };
        let mut writers = BTreeMap::new();
        for &stream in streams {
            let writer = match target {
                Target::Stdout => return Ok(Sink::Stdout(BufWriter::with_capacity(1 << 20, io::stdout()), 0)),
                Target::Null => return Ok(Sink::Null),
                Target::Ndjson(folder) => {
                    let path = folder.join(format!("{}{suffix}.ndjson", topics.of(stream)));
                    Writer::Text(create(&path)?)
                }
                Target::Arrow(folder) => {
                    let path = folder.join(format!("{}{suffix}.arrow", stream.name()));
                    Writer::Arrow(Box::new(IpcWriter::try_new(create(&path)?, &stream.wire_schema())?))
                }
                Target::Parquet(folder) => {
                    let path = folder.join(stream.name()).join(format!("part-{part:05}.parquet"));
                    refuse_existing(&path)?;
                    Writer::Parquet(Box::new(ParquetSink::create(&path, &stream.wire_schema(), Arc::clone(pool))?))
                }
            };
            writers.insert(stream, writer);
        }
        Ok(Sink::Files(writers))
    }

    fn write(&mut self, ready: Ready) -> Result<()> {
        match (self, ready) {
            (Sink::Null, _) => Ok(()),
            (Sink::Stdout(out, bytes), Ready::Text(_, _, text)) => {
                *bytes += text.len() as u64;
                out.write_all(&text).context(ErrorKind::Store, || "standard output can't be written".to_owned())
            }
            (Sink::Files(writers), Ready::Text(stream, _, text)) => match writers.get_mut(&stream) {
                Some(Writer::Text(out)) => {
                    out.write_all(&text).context(ErrorKind::Store, || cannot_write(out.get_ref().target()))
                }
                _ => Err(Error::internal(format!("no text file is open for stream {}", stream.name()))),
            },
            (Sink::Files(writers), Ready::Batch(stream, batch)) => match writers.get_mut(&stream) {
                Some(Writer::Parquet(writer)) => writer.write(batch),
                Some(Writer::Arrow(writer)) => {
                    let written = writer.write(&batch);
                    written.context(ErrorKind::Store, || cannot_write(writer.get_ref().get_ref().target()))
                }
                _ => Err(Error::internal(format!("no typed file is open for stream {}", stream.name()))),
            },
            (Sink::Stdout(..), Ready::Batch(..)) => Err(Error::internal("standard output takes text")),
        }
    }

    fn finish(self) -> Result<(Vec<PathBuf>, u64)> {
        let mut files = Vec::new();
        let mut bytes = 0;
        match self {
            Sink::Null => {}
            Sink::Stdout(mut out, written) => {
                out.flush().context(ErrorKind::Store, || "standard output can't be written".to_owned())?;
                bytes = written;
            }
            Sink::Files(writers) => {
                for writer in writers.into_values() {
                    let path = match writer {
                        Writer::Text(out) => publish(out)?,
                        Writer::Arrow(mut writer) => {
                            writer.finish()?;
                            publish(writer.into_inner()?)?
                        }
                        Writer::Parquet(writer) => writer.finish()?,
                    };
                    bytes += fs::metadata(&path).context(ErrorKind::Store, || cannot_write(&path))?.len();
                    files.push(path);
                }
            }
        }
        Ok((files, bytes))
    }
}

fn create(path: &Path) -> Result<BufWriter<NewFile>> {
    refuse_existing(path)?;
    Ok(BufWriter::with_capacity(1 << 20, NewFile::create(path)?))
}

fn publish(out: BufWriter<NewFile>) -> Result<PathBuf> {
    let path = out.get_ref().target().to_owned();
    let file = out.into_inner().map_err(io::IntoInnerError::into_error);
    file.context(ErrorKind::Store, || cannot_write(&path))?.publish()?;
    Ok(path)
}

fn refuse_existing(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(Error::new(ErrorKind::Store, format!("{} is already there", path.display()))
            .help("Choose another folder, or remove it"));
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("{} can't be written", path.display())
}

//! How events are written on the wire, and where readers look up how they were.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::progress::Cancel;
use super::topics::Topics;
use crate::codec::avro::{self, Schemas, Stored};
use crate::codec::names::Names;
use crate::codec::{Format, arrow_ipc, json};
use crate::error::{Error, Result};
use crate::kafka::{Lot, Publisher, Registry, RegistryOptions, partition_of};
use crate::schema::{Events, Messages, Stream};
use crate::sensor::Faults;

/// How events are written on the wire; the default is the contract. Clones share what was found out.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    format: Format,
    names: Names,
    registry: Option<Arc<Registry>>,
    known: Arc<[Known; Stream::ALL.len()]>,
}

/// What has to be known of a stream's topic before its events can be written.
#[derive(Debug, Default)]
struct Known {
    schema: OnceLock<u32>,
    partitions: OnceLock<i32>,
}

/// Messages, and what is in them where that is more than one event.
#[derive(Debug)]
pub struct Written {
    /// The messages.
    pub messages: Messages,
    /// Events of each; empty where each is one.
    pub events: Vec<u32>,
    /// The row of each one's last event in the batch; empty where each is one.
    pub last: Vec<u32>,
}

impl Written {
    /// What a publisher sends.
    pub fn lot(&self) -> Lot<'_> {
        Lot { events: &self.events, ..Lot::of(&self.messages) }
    }

    /// What is so of each event, for each message: that of its last one.
    pub fn of_messages<T: Copy>(&self, of_events: &[T]) -> Vec<T> {
        if self.events.is_empty() {
            return of_events.to_vec();
        }
        self.last.iter().map(|row| of_events[*row as usize]).collect()
    }
}

impl Wire {
    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The names of fields.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// # Errors
    /// `Config` where Avro has no registry, or another format has one; or its certificates can't be read.
    pub fn new(format: Format, names: Names, registry: Option<RegistryOptions>) -> Result<Self> {
        match (format, &registry) {
            (Format::Avro, None) => {
                return Err(Error::config("format is avro, and no schema registry is given")
                    .help("Give schema_registry=, or --schema-registry http://localhost:8081"));
            }
            (Format::Json | Format::Arrow, Some(_)) => {
                return Err(Error::config(format!("a schema registry is given for format {}", format.name()))
                    .help("Only avro has schemas in a registry; leave it out, or give format avro"));
            }
            _ => {}
        }
        if format == Format::Avro {
            // A name that Avro does not take is a mistake before anything is sent.
            Stream::ALL.into_iter().try_for_each(|stream| avro::schema_text(stream, &names).map(drop))?;
        }
        let registry = registry.map(Registry::new).transpose()?.map(Arc::new);
        Ok(Self { format, names, registry, known: Arc::default() })
    }

    /// JSON with these names.
    pub fn json(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Refuses faults that this format can't do to a message.
    ///
    /// # Errors
    /// `Config` that names the fault.
    pub fn check_faults(&self, faults: &Faults) -> Result<()> {
        let (typed, bytes) = (
            [
                ("corrupt", faults.corrupt),
                ("wrong_type", faults.wrong_type),
                ("missing_field", faults.missing_field),
                ("out_of_range", faults.out_of_range),
                ("schema_drift", faults.schema_drift),
            ],
            [("bad_json", faults.bad_json), ("tombstone", faults.tombstone), ("poison_pill", faults.poison_pill)],
        );
        let refused: &[&[(&str, f64)]] = match self.format {
            Format::Json => &[],
            Format::Avro => &[&typed],
            Format::Arrow => &[&typed, &bytes],
        };
        match refused.iter().copied().flatten().find(|(_, rate)| *rate > 0.0) {
            None => Ok(()),
            Some((name, rate)) => {
                let text = format!("the fault {name} is {rate}, and format {} can't show it", self.format.name());
                Err(Error::config(text).help("Leave the fault out, or use format json"))
            }
        }
    }

    /// Finds out what has to be known before events of these streams are encoded: ids of schemas, numbers of partitions.
    ///
    /// # Errors
    /// As [`Registry::register`] and [`Publisher::partitions`].
    pub fn prepare(
        &self,
        streams: impl IntoIterator<Item = Stream>,
        topics: &Topics,
        publisher: &mut Publisher,
        cancel: &AtomicBool,
    ) -> Result<()> {
        for stream in streams {
            let (known, topic) = (&self.known[stream as usize], topics.of(stream));
            match (self.format, &self.registry) {
                (Format::Avro, Some(registry)) if known.schema.get().is_none() => {
                    let schema = avro::schema_text(stream, &self.names)?;
                    // TopicNameStrategy, which readers and registries take for granted.
                    let id = registry.register(&format!("{topic}-value"), &schema, cancel)?;
                    known.schema.get_or_init(|| id);
                }
                (Format::Arrow, _) if known.partitions.get().is_none() => {
                    let partitions = publisher.partitions(topic, cancel)?;
                    known.partitions.get_or_init(|| partitions);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The messages of a batch.
    ///
    /// # Errors
    /// As the format's encoder; `Internal` for a stream that was not [prepared](Self::prepare).
    pub fn encode(&self, events: &Events) -> Result<Written> {
        let known = &self.known[events.stream as usize];
        let unready = || Error::internal(format!("stream {} was not prepared", events.stream.name()));
        let each = |messages| Written { messages, events: Vec::new(), last: Vec::new() };
        match self.format {
            Format::Json => json::Encoder::named(events.stream, &self.names).encode(events).map(each),
            Format::Avro => {
                let id = *known.schema.get().ok_or_else(unready)?;
                avro::Encoder::new(events.stream, id).encode(events).map(each)
            }
            Format::Arrow => {
                let partitions = *known.partitions.get().ok_or_else(unready)?;
                let encoder = arrow_ipc::Encoder::new(events.stream, &self.names);
                let arrow_ipc::Batches { messages, rows, last } =
                    encoder.encode(events, |key| partition_of(key, partitions))?;
                Ok(Written { messages, events: rows, last })
            }
        }
    }
}

/// Looks schemas up in a registry until the run is asked to stop.
struct Lookup {
    registry: Registry,
    cancel: Cancel,
}

impl Schemas for Lookup {
    fn schema(&self, id: u32) -> Result<Option<String>> {
        self.registry.schema(id, self.cancel.flag())
    }
}

/// Writers' schemas, from a registry where one is given.
pub(super) fn stored(registry: Option<&RegistryOptions>, cancel: &Cancel) -> Result<Arc<Stored>> {
    let lookup = registry.map(|options| -> Result<Box<dyn Schemas>> {
        Ok(Box::new(Lookup { registry: Registry::new(options.clone())?, cancel: cancel.clone() }))
    });
    Ok(Arc::new(Stored::new(lookup.transpose()?)))
}

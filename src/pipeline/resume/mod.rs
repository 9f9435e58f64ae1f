//! Going on behind what a stopped run has delivered, with no state but the topics.
//!
//! An idempotent producer that waits for all replicas leaves in each partition a beginning of that partition's sequence of
//! messages. So what is missing begins in each partition behind the last message that is there, and the sequence itself can
//! be made again. [`Resume::find`] reads each partition backwards up to the last record that is surely this city's and part's
//! (its id and its instant can be read) and keeps fingerprints of what stands behind it and may be ours: harmed records, and
//! copies of the same bytes. The city is then observed from the earliest of these records on, and [`Resume::keep`] leaves out
//! what is there already.
//!
//! Memory: eight bytes for each record that is kept, at most [`MOST_HELD`] a partition, and one poll of records.

mod own;
mod tail;

use std::time::{Duration, Instant};

use arrow::array::{Array, BooleanArray};

pub(in crate::pipeline) use self::own::sent_column;
use self::own::{Own, Whose};
use self::tail::{Place, Tail, fingerprint};
use super::observe::Source;
use super::progress::Run;
use super::topics::Topics;
use super::wire::Wire;
use crate::codec::Format;
use crate::codec::names::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{ConsumeOptions, Consumer, Fetched, PublishOptions, Topics as Admin, partition_of};
use crate::schema::{Messages, Stream};

/// Records of one partition that may be ours behind the last that surely is.
const MOST_HELD: usize = 1 << 20;
/// Records that the first look at a partition's end takes in; each further look, so many times more.
const FIRST_LOOK: i64 = 1_024;
const MORE: i64 = 8;
/// Requests of the stopped run may still be on their way: the end stands when nothing of ours has come for so long.
const QUIET: Duration = Duration::from_secs(1);
/// For so long something of ours may still come; after that another process is publishing it.
const RESTLESS: Duration = Duration::from_secs(15);
const POLL_ROWS: usize = 32_768;
const POLL_BYTES: usize = 16 << 20;
const POLL_TIME: Duration = Duration::from_millis(200);

/// Where a stopped run goes on.
#[derive(Debug)]
pub(super) struct Resume {
    position: i64,
    topics: Vec<Ends>,
    found: u64,
}

/// The ends of one topic's partitions.
#[derive(Debug)]
struct Ends {
    stream: Stream,
    name: String,
    /// By partition.
    places: Vec<Place>,
}

impl Resume {
    /// Reads the ends of the topics of `source`'s streams; those that don't exist have none.
    ///
    /// # Errors
    /// `Config` for a format other than JSON; `Connection`; `Kafka` where a topic can't be read; `Gap` where retention took what may have been ours; `Conflict`
    /// where another process publishes the same city, or a transaction stays open; `Interrupted`.
    pub(super) fn find(
        options: &PublishOptions,
        source: &Source,
        topics: &Topics,
        wire: &Wire,
        run: &mut Run<'_>,
    ) -> Result<Self> {
        if wire.format() != Format::Json {
            return Err(Error::config(format!("a run in format {} can't be resumed", wire.format().name()))
                .help("Leave resume out, or publish in format json"));
        }
        let mut reader = Reader::open(options, source, topics, wire.names(), run)?;
        for index in 0..reader.read.len() {
            reader.look_back(index, run)?;
        }
        reader.settle(options, run)?;
        reader.ends(source)
    }

    /// Where to observe from, in milliseconds.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Messages that were found, so far.
    pub(super) fn found(&self) -> u64 {
        self.found
    }

    /// Which of the messages are to be sent; `None` for all. Each is asked about once, in order.
    pub(super) fn keep(&mut self, messages: &Messages) -> Option<BooleanArray> {
        let ends = self.topics.iter_mut().find(|ends| ends.stream == messages.stream)?;
        if ends.places.iter().all(Place::is_behind_all) {
            return None;
        }
        let (keys, values, count) = (&messages.keys, &messages.values, ends.places.len() as i32);
        let keep: BooleanArray = (0..values.len())
            .map(|row| {
                let key = keys.is_valid(row).then(|| keys.value(row).as_bytes())?;
                let place = ends.places.get_mut(partition_of(key, count) as usize)?;
                let value = values.is_valid(row).then(|| values.value(row));
                Some(place.is_behind_all() || place.is_new(fingerprint(Some(key), value)))
            })
            // A message that goes to no known partition stands in none.
            .map(|new| Some(new.unwrap_or(true)))
            .collect();
        self.found += keep.false_count() as u64;
        Some(keep)
    }

    /// Whether what was looked for before `until` has been made.
    ///
    /// # Errors
    /// `Config` where it was not: the topics hold a run with other options.
    pub(super) fn check(&self, until: i64) -> Result<()> {
        for ends in &self.topics {
            for (partition, place) in ends.places.iter().enumerate() {
                if place.looks_for().is_some_and(|sent| sent < until) {
                    let name = &ends.name;
                    let last = format!("the last record of this city in topic {name:?} partition {partition}");
                    return Err(Error::config(format!("{last} is none that these options make")).help(
                        "Resume with the faults, names, format and number of partitions of the run that was stopped",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// One partition while it is read.
#[derive(Debug)]
struct Part {
    id: i32,
    low: i64,
    /// What is before it was read.
    end: i64,
    /// From here on.
    from: i64,
    tail: Tail,
}

struct Read {
    own: Own,
    name: String,
    parts: Vec<Part>,
}

struct Reader {
    consumer: Consumer,
    read: Vec<Read>,
}

impl Reader {
    fn open(
        options: &PublishOptions,
        source: &Source,
        topics: &Topics,
        names: &Names,
        run: &mut Run<'_>,
    ) -> Result<Self> {
        let flag = run.cancel.flag();
        let admin = Admin::connect(&options.servers, &options.security, options.timeout, flag)?;
        let existing = admin.names()?;
        let streams = source.streams().into_iter().map(|stream| (stream, topics.of(stream)));
        let found: Vec<_> = streams.filter(|(_, topic)| existing.iter().any(|name| name == topic)).collect();
        let described = admin.describe(&found.iter().map(|(_, topic)| *topic).collect::<Vec<_>>(), flag)?;
        let consumer = Consumer::open(consume_options(options), flag)?;
        let read = found.into_iter().zip(described).map(|((stream, name), topic)| {
            let part = |p: &crate::kafka::Partition| Part {
                id: p.id,
                low: p.low,
                end: p.high,
                from: p.high,
                tail: Tail::default(),
            };
            let own = Own { stream, names: names.clone(), city: source.city().id, part: source.sensors().devices() };
            Read { own, name: name.to_owned(), parts: topic.partitions.iter().map(part).collect() }
        });
        Ok(Self { consumer, read: read.collect() })
    }

    /// Reads the ends of a topic's partitions, from further and further back until it is enough.
    fn look_back(&mut self, index: usize, run: &mut Run<'_>) -> Result<()> {
        let mut look = FIRST_LOOK;
        loop {
            let read = &mut self.read[index];
            let mut starts = Vec::new();
            for part in read.parts.iter_mut().filter(|p| p.from > p.low && !p.tail.is_enough()) {
                part.from = part.low.max(part.end - look);
                part.tail = Tail::default();
                starts.push((part.id, part.from));
            }
            if starts.is_empty() {
                return Ok(());
            }
            self.read_from(index, &starts, run)?;
            look = look.saturating_mul(MORE);
        }
    }

    /// Reads partitions from the given offsets to their ends; whether anything of ours was there.
    fn read_from(&mut self, index: usize, starts: &[(i32, i64)], run: &mut Run<'_>) -> Result<bool> {
        let Read { own, name, parts } = &mut self.read[index];
        let mut ours = false;
        self.consumer.assign(name, starts)?;
        loop {
            let open = self.consumer.positions().iter().any(|position| {
                let part = parts.iter().find(|p| p.id == position.partition);
                position.topic.as_ref() == name.as_str() && part.is_some_and(|p| position.next < p.end)
            });
            if !open {
                // Nothing more of this topic is fetched.
                self.consumer.assign(name, &[])?;
                return Ok(ours);
            }
            for Fetched { records, .. } in
                self.consumer.poll_batch(POLL_ROWS, POLL_BYTES, POLL_TIME, run.cancel.flag())?
            {
                let Some(part) = parts.iter_mut().find(|p| p.id == records.partition) else { continue };
                let verdicts = own.judge(&records)?;
                for (row, whose) in verdicts.into_iter().enumerate() {
                    if records.offsets.value(row) < part.end {
                        let key = records.keys.is_valid(row).then(|| records.keys.value(row));
                        let value = records.values.is_valid(row).then(|| records.values.value(row));
                        part.tail.push(whose, key, value);
                        ours |= matches!(whose, Whose::Ours(_));
                    }
                }
                if part.tail.held() > MOST_HELD {
                    let place = format!("topic {name:?} partition {}", part.id);
                    let context = format!("{place}: over {MOST_HELD} records that may be this city's behind its last");
                    return Err(Error::new(ErrorKind::Kafka, context)
                        .help("Give what other producers write a topic of its own: --topic STREAM=NAME"));
                }
            }
            run.cancel.check()?;
        }
    }

    /// Waits until what the stopped run had on its way has come, and reads it.
    fn settle(&mut self, options: &PublishOptions, run: &mut Run<'_>) -> Result<()> {
        let whole =
            Consumer::open(ConsumeOptions { uncommitted: true, ..consume_options(options) }, run.cancel.flag())?;
        let began = Instant::now();
        // A transaction's id has fenced the stopped run off.
        let mut quiet = options.transactional_id.is_some();
        loop {
            if !quiet {
                pause(QUIET, run)?;
            }
            let (mut ours, mut open) = (false, None);
            for index in 0..self.read.len() {
                let Read { name, parts, .. } = &mut self.read[index];
                let mut starts = Vec::new();
                for part in parts {
                    // In this order: others write meanwhile.
                    let whole = whole.watermarks(name, part.id)?.1;
                    let end = self.consumer.watermarks(name, part.id)?.1;
                    if whole > end {
                        open = Some(format!("topic {name:?} partition {}", part.id));
                    }
                    if end > part.end {
                        starts.push((part.id, part.end));
                        part.end = end;
                    }
                }
                if !starts.is_empty() {
                    ours |= self.read_from(index, &starts, run)?;
                }
            }
            let late = began.elapsed() > RESTLESS;
            match (ours, open) {
                (false, None) => return Ok(()),
                (_, Some(place)) if late => {
                    return Err(Error::new(ErrorKind::Conflict, format!("{place}: a transaction is open"))
                        .help("Resume with the transactional id of the run that was stopped, or when it has timed out")
                        .retryable());
                }
                (true, None) if late => {
                    return Err(Error::new(ErrorKind::Conflict, "records of this city and part keep coming")
                        .help("Another process publishes it: stop that one first"));
                }
                _ => quiet = false,
            }
        }
    }

    fn ends(self, source: &Source) -> Result<Resume> {
        let parts = || self.read.iter().flat_map(|read| read.parts.iter().map(move |part| (read, part)));
        let begun = parts().any(|(_, part)| part.tail.anchor().is_some());
        if let Some((read, part)) = parts().find(|(_, part)| begun && part.low > 0 && part.tail.anchor().is_none()) {
            let place = format!("topic {:?} partition {}", read.name, part.id);
            let context = format!("{place} has nothing of this city, but its first {} offsets are gone", part.low);
            return Err(Error::new(ErrorKind::Gap, context).help(
                "What was there can't be told. Publish to new topics, and keep records longer than a run takes",
            ));
        }
        let anchor = |part: &Part| part.tail.anchor().map_or(i64::MIN, |anchor| anchor.sent);
        let streams = source.streams().len();
        // A topic that does not exist yet gets everything.
        let missing = (self.read.len() < streams).then_some(i64::MIN);
        let earliest = parts().map(|(_, part)| anchor(part)).chain(missing).min().unwrap_or(i64::MIN);
        let position = source.chunk_start(earliest.max(source.city().options.start));
        let topics = self.read.into_iter().map(|read| Ends {
            stream: read.own.stream,
            name: read.name,
            places: read.parts.into_iter().map(|part| Place::new(part.tail)).collect(),
        });
        Ok(Resume { position, topics: topics.collect(), found: 0 })
    }
}

fn consume_options(options: &PublishOptions) -> ConsumeOptions {
    ConsumeOptions {
        security: options.security.clone(),
        timeout: options.timeout,
        fetch_buffer_kib: 16 * 1024,
        ..ConsumeOptions::new(options.servers.clone())
    }
}

fn pause(time: Duration, run: &Run<'_>) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        run.cancel.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

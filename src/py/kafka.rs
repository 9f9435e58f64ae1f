//! `Producer`, and questions about topics.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyList, PyTuple};

use super::arrow::reader;
use super::blocking;
use super::city::{City, by_stream, names_of, registry_of, topic_names};
use super::error::to_py;
use super::metrics::Metrics;
use crate::codec::{Format, json as codec};
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{self, Compression, Creation, NewTopic, PublishOptions, Publisher, Security, Token};
use crate::pipeline::{
    EventTimes, Pace, Published, Sending, Topics, Wire, account, publish, publish_arrow, send_events,
};
use crate::schema::{Events, Stream};

/// A Kafka producer. `close` must be called: dropping it discards what it still holds.
#[pyclass(module = "citystream", frozen)]
pub struct Producer {
    publisher: Mutex<Option<Publisher>>,
    topics: Topics,
    wire: Wire,
    opened: Instant,
    event_times: Option<EventTimes>,
}

#[pymethods]
impl Producer {
    #[new]
    #[pyo3(signature = (
        servers, *, compression, security, transactional_id, topics, create_topics, timeout_ms, names, rename, format,
        schema_registry, linger_ms, queue_messages, queue_kib, delivery_timeout_ms, event_times, metrics = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
    fn new(
        py: Python<'_>,
        servers: String,
        compression: &str,
        security: Option<Bound<'_, PyDict>>,
        transactional_id: Option<String>,
        topics: BTreeMap<String, String>,
        create_topics: Option<i32>,
        timeout_ms: u64,
        names: &str,
        rename: Vec<(String, String)>,
        format: &str,
        schema_registry: Option<BTreeMap<String, String>>,
        linger_ms: u64,
        queue_messages: u32,
        queue_kib: u32,
        delivery_timeout_ms: u64,
        event_times: bool,
        metrics: Option<PyRef<'_, Metrics>>,
    ) -> PyResult<Self> {
        let prepared = || -> Result<_> {
            let options = PublishOptions {
                security: security_of(security.as_ref())?,
                compression: Compression::parse(compression)?,
                timeout: Duration::from_millis(timeout_ms),
                linger: Duration::from_millis(linger_ms),
                queue_messages,
                queue_kib,
                delivery_timeout: Duration::from_millis(delivery_timeout_ms),
                transactional_id,
                ..PublishOptions::new(servers)
            };
            let names = names_of(names, Some(rename))?;
            let wire = Wire::new(Format::parse(format)?, names, registry_of(schema_registry)?)?;
            Ok((options, topic_names(Some(topics))?, wire))
        };
        let (options, topics, wire) = prepared().map_err(|e| to_py(py, &e))?;
        let (publisher, event_times) = blocking::run(py, None, |run| {
            let cancel = run.cancel.flag();
            if let Some(partitions) = create_topics {
                let admin = kafka::Topics::connect(&options.servers, &options.security, options.timeout, cancel)?;
                admin.create(&new_topics(&topics, partitions, event_times), cancel)?;
            }
            let event_times = if event_times { Some(EventTimes::of(&options, &topics, cancel)?) } else { None };
            Ok((Publisher::open(options, cancel)?, event_times))
        })?;
        if let Some(metrics) = metrics {
            metrics.figures.publisher(publisher.watch(), topics.clone());
        }
        Ok(Self { publisher: Mutex::new(Some(publisher)), topics, wire, event_times, opened: Instant::now() })
    }

    #[pyo3(signature = (city, *, speed, rate, resume, progress))]
    fn publish_city<'py>(
        &self,
        py: Python<'py>,
        city: PyRef<'py, City>,
        speed: Option<f64>,
        rate: Option<f64>,
        resume: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let began = Instant::now();
        let pace = Pace::new(speed, rate).map_err(|e| to_py(py, &e))?;
        let sending = Sending { wire: &self.wire, pace, resume, event_times: self.event_times.as_ref() };
        let source = city.source.clone();
        drop(city);
        let done = blocking::run(py, progress, |run| {
            self.with(|publisher| publish(publisher, &source, &self.topics, sending, run))
        })?;
        report(py, &done, began)
    }

    #[pyo3(signature = (stream, data, *, progress))]
    fn publish_arrow<'py>(
        &self,
        py: Python<'py>,
        stream: &str,
        data: &Bound<'py, PyAny>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let began = Instant::now();
        let stream = Stream::parse(stream).map_err(|e| to_py(py, &e))?;
        let batches = reader(data)?;
        let done = blocking::run(py, progress, |run| {
            let wire = (&self.wire, self.event_times.as_ref());
            self.with(|publisher| publish_arrow(publisher, stream, &self.topics, wire, batches, run))
        })?;
        report(py, &done, began)
    }

    fn send(&self, py: Python<'_>, stream: &str, row: &Bound<'_, PyDict>) -> PyResult<()> {
        let stream = Stream::parse(stream).map_err(|e| to_py(py, &e))?;
        let text = dump(py, row)?;
        let read = || codec::row_from_json(stream, text.as_bytes());
        let batch = py.detach(read).map_err(|e| to_py(py, &e))?;
        let events = Events { stream, batch, harm: Vec::new() };
        let send = |flag: &AtomicBool| {
            let wire = (&self.wire, self.event_times.as_ref());
            self.with(|publisher| send_events(publisher, &self.topics, wire, &events, flag))
        };
        // Asked to stop where it would have to wait; whoever waits has to answer Ctrl-C.
        match py.detach(|| send(&AtomicBool::new(true))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                blocking::run(py, None, |run| send(run.cancel.flag()))
            }
            sent => sent.map_err(|e| to_py(py, &e)),
        }
    }

    fn flush(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<()> {
        let timeout = Duration::from_millis(timeout_ms);
        blocking::run(py, None, |run| self.with(|publisher| publisher.commit(timeout, run.cancel.flag())))
    }

    fn close<'py>(&self, py: Python<'py>, timeout_ms: u64) -> PyResult<Bound<'py, PyDict>> {
        let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(publisher) = publisher else { return report(py, &Published::default(), self.opened) };
        let done =
            blocking::run(py, None, |run| publisher.close(Duration::from_millis(timeout_ms), run.cancel.flag()))?;
        report(py, &account(&done, &kafka::Report::default(), &self.topics), self.opened)
    }
}

impl Producer {
    fn with<T>(&self, work: impl FnOnce(&mut Publisher) -> Result<T>) -> Result<T> {
        let mut publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        match publisher.as_mut() {
            Some(publisher) => work(publisher),
            None => Err(Error::new(ErrorKind::Config, "the publisher is closed").help("Open a new one")),
        }
    }
}

fn new_topics(topics: &Topics, partitions: i32, event_times: bool) -> Vec<NewTopic> {
    let events = Stream::EVENTS.iter().map(|s| {
        let topic = NewTopic::new(topics.of(*s), partitions);
        if event_times { topic.any_times() } else { topic }
    });
    events.chain([NewTopic::new(topics.of(Stream::Reference), partitions).compacted()]).collect()
}

fn report<'py>(py: Python<'py>, done: &Published, began: Instant) -> PyResult<Bound<'py, PyDict>> {
    let report = PyDict::new(py);
    report.set_item("delivered", by_stream(py, &done.delivered)?)?;
    report.set_item("failed", by_stream(py, &done.failed)?)?;
    report.set_item("reference", done.reference)?;
    report.set_item("queued", done.queued)?;
    report.set_item("resumed", done.resumed)?;
    report.set_item("bytes", done.bytes)?;
    report.set_item("seconds", began.elapsed().as_secs_f64())?;
    report.set_item("behind", done.behind.as_secs_f64())?;
    report.set_item("errors", done.errors.clone())?;
    Ok(report)
}

/// A row as JSON text; whatever has an `isoformat` is a time.
fn dump(py: Python<'_>, row: &Bound<'_, PyDict>) -> PyResult<String> {
    let default =
        PyCFunction::new_closure(py, None, None, |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let text = args.get_item(0)?.call_method0("isoformat")?;
            text.extract::<String>()
        })?;
    let options = PyDict::new(py);
    options.set_item("default", default)?;
    options.set_item("allow_nan", false)?;
    match py.import("json")?.call_method("dumps", (row,), Some(&options)) {
        Ok(text) => text.extract(),
        Err(cause) => {
            let error = Error::new(ErrorKind::Decode, "the row can't be written as JSON").because(cause.to_string());
            Err(to_py(py, &error))
        }
    }
}

/// Login and encryption from a Python dict of texts; under `token`, a function that gives a token and the milliseconds
/// since the epoch at which it ends.
pub fn security_of(given: Option<&Bound<'_, PyDict>>) -> Result<Security> {
    let (mut pairs, mut source) = (Vec::new(), None);
    for (name, value) in given.into_iter().flatten() {
        let name = name.to_string();
        if name == "token" && value.is_callable() {
            source = Some(value.unbind());
        } else if let Ok(text) = value.extract::<String>() {
            pairs.push((name, text));
        } else {
            // Not its value, which may be a secret.
            return Err(Error::config(format!("security option {name:?} is no text")).help("Write it as a text"));
        }
    }
    let security = Security::from_pairs(pairs)?;
    Ok(match source {
        None => security,
        Some(source) => security.tokens(move || Python::attach(|py| token(py, &source))),
    })
}

fn token(py: Python<'_>, source: &Py<PyAny>) -> Result<Token> {
    let given = source.call0(py).and_then(|given| given.extract::<(String, i64)>(py));
    let (value, expires_ms) = given.map_err(|raised| {
        let why = raised.value(py).to_string();
        Error::new(ErrorKind::Kafka, format!("no token was given: {}", why.trim()))
    })?;
    Ok(Token { value, expires_ms })
}

/// Topics with their partitions and offsets; `None` is every topic of the cluster.
#[pyfunction]
#[pyo3(signature = (servers, topics, security, timeout_ms))]
pub fn describe_topics<'py>(
    py: Python<'py>,
    servers: &str,
    topics: Option<Vec<String>>,
    security: Option<Bound<'py, PyDict>>,
    timeout_ms: u64,
) -> PyResult<Bound<'py, PyList>> {
    let security = security_of(security.as_ref()).map_err(|e| to_py(py, &e))?;
    let found = blocking::run(py, None, |run| {
        let cancel = run.cancel.flag();
        let admin = kafka::Topics::connect(servers, &security, Duration::from_millis(timeout_ms), cancel)?;
        let names = topics.map_or_else(|| admin.names(), Ok)?;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let topics = admin.describe(&names, cancel)?;
        // A user who may describe topics need not be allowed to see their settings.
        let settings = match admin.settings(&names, cancel) {
            Err(error) if error.kind() == ErrorKind::Kafka => vec![BTreeMap::new(); topics.len()],
            settings => settings?,
        };
        Ok(topics.into_iter().zip(settings).collect::<Vec<_>>())
    })?;
    let list = PyList::empty(py);
    for (topic, settings) in found {
        let entry = PyDict::new(py);
        entry.set_item("topic", topic.name)?;
        entry.set_item("id", topic.id)?;
        let partitions = PyList::empty(py);
        for partition in topic.partitions {
            let place = PyDict::new(py);
            place.set_item("partition", partition.id)?;
            place.set_item("low", partition.low)?;
            place.set_item("high", partition.high)?;
            partitions.append(place)?;
        }
        entry.set_item("partitions", partitions)?;
        let shown: BTreeMap<_, _> =
            settings.into_iter().filter(|(name, _)| kafka::SETTINGS.contains(&name.as_str())).collect();
        entry.set_item("settings", shown)?;
        list.append(entry)?;
    }
    Ok(list)
}

/// Creates the topics that don't exist; those of `compacted` are kept by key.
#[pyfunction]
#[pyo3(signature = (servers, topics, partitions, replication, security, timeout_ms, compacted, retention_ms))]
#[expect(clippy::too_many_arguments, reason = "arguments of the Python face")]
pub fn create_topics<'py>(
    py: Python<'py>,
    servers: &str,
    topics: Vec<String>,
    partitions: i32,
    replication: i32,
    security: Option<Bound<'py, PyDict>>,
    timeout_ms: u64,
    compacted: Vec<String>,
    retention_ms: Option<i64>,
) -> PyResult<Bound<'py, PyList>> {
    let security = security_of(security.as_ref()).map_err(|e| to_py(py, &e))?;
    let wanted: Vec<NewTopic> = topics
        .iter()
        .map(|name| {
            let topic = NewTopic { replication, ..NewTopic::new(name, partitions) };
            let topic = if compacted.contains(name) { topic.compacted() } else { topic };
            retention_ms.map_or(topic.clone(), |ms| topic.kept_for(ms))
        })
        .collect();
    let made = blocking::run(py, None, |run| {
        let cancel = run.cancel.flag();
        let admin = kafka::Topics::connect(servers, &security, Duration::from_millis(timeout_ms), cancel)?;
        admin.create(&wanted, cancel)
    })?;
    let list = PyList::empty(py);
    for (name, creation) in topics.iter().zip(made) {
        let entry = PyDict::new(py);
        entry.set_item("topic", name)?;
        entry.set_item("partitions", partitions)?;
        entry.set_item("created", creation == Creation::Created)?;
        list.append(entry)?;
    }
    Ok(list)
}

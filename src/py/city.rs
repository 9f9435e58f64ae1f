//! `City`: options, and the passes over its events.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;

use arrow::array::{Array, RecordBatch, StructArray};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use serde_json::Value;

use super::arrow::{ArrowBatch, ArrowStream, Batches as BatchPass, next_of, same_process};
use super::blocking;
use super::error::to_py;
use crate::city::CityOptions;
use crate::city::saved::SavedTrace;
use crate::city::trace::CAMERA_INTERVAL;
use crate::codec::names::{Case, Names};
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::RegistryOptions;
use crate::pipeline::{Chunk, Source, Target, Topics, Wire, save_trace, write};
use crate::schema::Stream;
use crate::sensor::{Faults, SCENARIOS, Scenario, SensorOptions, reference, without_harmed};

/// A city's options; nothing runs until its events are asked for.
#[pyclass(module = "citystream", frozen)]
#[derive(Debug)]
pub struct City {
    pub source: Source,
}

#[pymethods]
impl City {
    #[new]
    #[pyo3(signature = (*, seed, vehicles, start_ms, duration_ms, part = 0, parts = 1, threads = 0, streams = None,
        faults = None, scenario = None, trace = None, compat = false, snapshots = None,
        snapshot_every_ms = 60_000))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
    fn new(
        py: Python<'_>,
        seed: u64,
        vehicles: u32,
        start_ms: i64,
        duration_ms: i64,
        part: u32,
        parts: u32,
        threads: usize,
        streams: Option<Vec<String>>,
        faults: Option<&Bound<'_, PyDict>>,
        scenario: Option<&str>,
        trace: Option<PathBuf>,
        compat: bool,
        snapshots: Option<PathBuf>,
        snapshot_every_ms: i64,
    ) -> PyResult<Self> {
        let given = faults.map(fault_values).transpose()?.unwrap_or_default();
        let make = || {
            let streams = match streams {
                None => Stream::EVENTS.to_vec(),
                Some(names) => names.iter().map(|n| wanted(n)).collect::<Result<_>>()?,
            };
            let mut faults = match scenario {
                None => Faults::default(),
                Some(name) => Scenario::named(name)?.faults(start_ms),
            };
            given.iter().try_for_each(|(name, value)| faults.set(name, value))?;
            let city = CityOptions { seed, vehicles, start: start_ms, duration: duration_ms };
            let every = snapshots.is_some().then_some(snapshot_every_ms);
            let sensors = SensorOptions { streams, part, parts, faults, compat, snapshots: every };
            let mut source = Source::new(city, sensors, threads)?;
            if let Some(folder) = &trace {
                source = source.with_trace(folder)?;
            }
            if let Some(folder) = &snapshots {
                source = source.with_pictures(folder);
            }
            Ok(Self { source })
        };
        py.detach(make).map_err(|e: Error| to_py(py, &e))
    }

    #[getter]
    fn city_id(&self) -> String {
        self.source.city().id.to_text()
    }

    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (city, sensors) = (&self.source.city().options, self.source.sensors());
        let options = PyDict::new(py);
        options.set_item("seed", city.seed)?;
        options.set_item("vehicles", city.vehicles)?;
        options.set_item("start_ms", city.start)?;
        options.set_item("duration_ms", city.duration)?;
        options.set_item("part", sensors.part)?;
        options.set_item("parts", sensors.parts)?;
        options.set_item("compat", sensors.compat)?;
        options.set_item("threads", self.source.threads())?;
        options.set_item("streams", sensors.streams.iter().map(|s| s.name()).collect::<Vec<_>>())?;
        options.set_item("faults", values_dict(py, &sensors.faults)?)?;
        options.set_item("snapshots", self.source.pictures().map(|folder| folder.display().to_string()))?;
        options.set_item("snapshot_every_ms", sensors.snapshots.unwrap_or(CAMERA_INTERVAL))?;
        Ok(options)
    }

    #[getter]
    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        values_dict(py, &self.source.sensors().faults)
    }

    fn part(&self, py: Python<'_>, index: u32, of: u32) -> PyResult<Self> {
        let sensors = SensorOptions { part: index, parts: of, ..self.source.sensors().clone() };
        let source = self.source.with_sensors(sensors).map_err(|e| to_py(py, &e))?;
        Ok(Self { source })
    }

    #[pyo3(signature = (stream, *, batch_rows = 65_536, from_ms = None))]
    fn events(&self, py: Python<'_>, stream: &str, batch_rows: usize, from_ms: Option<i64>) -> PyResult<ArrowStream> {
        let stream = Stream::parse(stream).map_err(|e| to_py(py, &e))?;
        if batch_rows == 0 {
            let error = Error::config("batch_rows is 0").help("Give at least 1");
            return Err(to_py(py, &error));
        }
        let source = self.source.clone();
        let start = move || events_of(&source, stream, batch_rows, from_ms);
        Ok(ArrowStream::new(format!("events of {}", stream.name()), stream.wire_schema(), start))
    }

    fn batches(&self, py: Python<'_>) -> PyResult<Batches> {
        let chunks = py.detach(|| self.source.observe(Ok)).map_err(|e| to_py(py, &e))?;
        let mut ready: VecDeque<(Stream, RecordBatch)> = VecDeque::new();
        let mut chunks = chunks.fuse();
        let flat = std::iter::from_fn(move || {
            loop {
                if let Some(batch) = ready.pop_front() {
                    return Some(Ok(batch));
                }
                match chunks.next()? {
                    Err(error) => return Some(Err(error)),
                    Ok(Chunk { events, .. }) => {
                        for events in events {
                            match without_harmed(&events) {
                                Err(error) => return Some(Err(error)),
                                Ok(batch) => ready.push_back((events.stream, batch)),
                            }
                        }
                    }
                }
            }
        });
        let pass: Box<dyn Iterator<Item = _> + Send> = Box::new(flat);
        Ok(Batches { pass: Mutex::new(Some(pass)), process: std::process::id() })
    }

    fn roads(&self, py: Python<'_>) -> PyResult<ArrowStream> {
        self.table(py, "roads", reference::road_table)
    }

    fn cameras(&self, py: Python<'_>) -> PyResult<ArrowStream> {
        self.table(py, "cameras", reference::cameras)
    }

    fn stations(&self, py: Python<'_>) -> PyResult<ArrowStream> {
        self.table(py, "stations", reference::stations)
    }

    #[pyo3(signature = (folder, *, progress = None))]
    fn save_trace(&self, py: Python<'_>, folder: PathBuf, progress: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
        blocking::run(py, progress, |run| save_trace(&self.source, &folder, run))
    }

    #[pyo3(signature = (*, to, out = None, reference = false, topics = None, names = "camel", rename = None, progress = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
    fn write<'py>(
        &self,
        py: Python<'py>,
        to: &str,
        out: Option<String>,
        reference: bool,
        topics: Option<std::collections::BTreeMap<String, String>>,
        names: &str,
        rename: Option<Vec<(String, String)>>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let began = std::time::Instant::now();
        let target = target(to, out).map_err(|e| to_py(py, &e))?;
        let topics = topic_names(topics).map_err(|e| to_py(py, &e))?;
        let names = names_of(names, rename).map_err(|e| to_py(py, &e))?;
        if names != *Names::contract() && !matches!(target, Target::Ndjson(_) | Target::Stdout) {
            let error = Error::config(format!("names or rename are given for {to}, whose columns have the contract's"))
                .help("Leave them out, or write ndjson");
            return Err(to_py(py, &error));
        }
        let wire = Wire::json(names);
        let written = blocking::run(py, progress, |run| write(&self.source, &target, &topics, &wire, reference, run))?;
        let report = PyDict::new(py);
        report.set_item("events", by_stream(py, &written.events)?)?;
        report.set_item("reference", written.reference)?;
        report.set_item("bytes", written.bytes)?;
        report.set_item("seconds", began.elapsed().as_secs_f64())?;
        report.set_item("files", written.files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>())?;
        Ok(report)
    }
}

/// The city of a saved trace, and how much it covers.
#[pyfunction]
pub fn trace_options(py: Python<'_>, folder: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let open = || {
        let trace = SavedTrace::open(&folder)?;
        if trace.options().duration == 0 {
            let none = format!("the trace in {} has no whole hour yet", folder.display());
            return Err(Error::new(ErrorKind::Store, none).help("Save it again: it goes on where it stopped"));
        }
        Ok(trace)
    };
    let trace = py.detach(open).map_err(|e| to_py(py, &e))?;
    let &CityOptions { seed, vehicles, start, duration } = trace.options();
    let options = PyDict::new(py);
    options.set_item("seed", seed)?;
    options.set_item("vehicles", vehicles)?;
    options.set_item("start_ms", start)?;
    options.set_item("duration_ms", duration)?;
    Ok(options)
}

impl City {
    fn table(
        &self,
        py: Python<'_>,
        name: &str,
        rows: fn(&crate::city::City) -> Result<StructArray>,
    ) -> PyResult<ArrowStream> {
        let table = rows(self.source.city()).map_err(|e| to_py(py, &e))?;
        debug_assert_eq!(table.null_count(), 0);
        let batch = RecordBatch::from(table);
        let schema = batch.schema();
        Ok(ArrowStream::new(name, schema, move || Ok(Box::new(std::iter::once(Ok(batch.clone()))))))
    }
}

/// A dict of fault names as Python gives it.
fn fault_values(faults: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Value)>> {
    let value = |value: &Bound<'_, PyAny>| -> PyResult<Value> {
        if let Ok(text) = value.extract::<String>() {
            return Ok(Value::from(text));
        }
        if let Ok(whole) = value.extract::<i64>() {
            return Ok(Value::from(whole));
        }
        let number: f64 = value.extract()?;
        // JSON has no name for the others, and an error should.
        Ok(if number.is_finite() { Value::from(number) } else { Value::from(number.to_string()) })
    };
    faults.iter().map(|(name, given)| Ok((name.extract()?, value(&given)?))).collect()
}

fn values_dict<'py>(py: Python<'py>, faults: &Faults) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in faults.values() {
        match (value.as_i64(), value.as_f64()) {
            (Some(whole), _) => dict.set_item(name, whole)?,
            (None, Some(number)) => dict.set_item(name, number)?,
            (None, None) => dict.set_item(name, value.as_str())?,
        }
    }
    Ok(dict)
}

/// The faults of a city of which nothing is said.
#[pyfunction]
pub fn fault_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    values_dict(py, &Faults::NONE)
}

/// The named scenarios.
#[pyfunction]
pub fn scenarios(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for scenario in SCENARIOS {
        let entry = PyDict::new(py);
        entry.set_item("name", scenario.name)?;
        entry.set_item("doc", scenario.doc)?;
        entry.set_item("faults", values_dict(py, &scenario.faults)?)?;
        entry.set_item("drift_after_ms", scenario.drift_after)?;
        entry.set_item("starts_at_ms", scenario.starts_at)?;
        entry.set_item("duration_ms", scenario.duration)?;
        list.append(entry)?;
    }
    Ok(list)
}

fn wanted(name: &str) -> Result<Stream> {
    match Stream::parse(name)? {
        Stream::Reference => Err(Error::config("stream \"reference\" is no stream of events")
            .help("Ask for it by events(\"reference\") or --reference")),
        stream => Ok(stream),
    }
}

/// Counts by stream name, in the streams' order.
pub fn by_stream<'py>(
    py: Python<'py>,
    counts: &std::collections::BTreeMap<Stream, u64>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (stream, count) in counts {
        dict.set_item(stream.name(), count)?;
    }
    Ok(dict)
}

/// Topics from a Python dict of stream names.
pub fn topic_names(names: Option<std::collections::BTreeMap<String, String>>) -> Result<Topics> {
    let named: Result<Vec<_>> =
        names.unwrap_or_default().into_iter().map(|(stream, topic)| Ok((Stream::parse(&stream)?, topic))).collect();
    Topics::with(named?)
}

/// Where a schema registry is, from a Python dict.
pub fn registry_of(pairs: Option<std::collections::BTreeMap<String, String>>) -> Result<Option<RegistryOptions>> {
    pairs.map(RegistryOptions::from_pairs).transpose()
}

/// Wire names from a spelling and pairs of the contract's name and another.
pub fn names_of(names: &str, rename: Option<Vec<(String, String)>>) -> Result<Names> {
    Names::new(Case::parse(names)?, &rename.unwrap_or_default())
}

fn target(to: &str, out: Option<String>) -> Result<Target> {
    let folder = |kind: &str| {
        let message = format!("writing {kind} needs a folder");
        out.clone().map(Into::into).ok_or_else(|| Error::config(message).help("Give out=, or --out"))
    };
    match to {
        "ndjson" => Ok(Target::Ndjson(folder(to)?)),
        "parquet" => Ok(Target::Parquet(folder(to)?)),
        "arrow" => Ok(Target::Arrow(folder(to)?)),
        "stdout" => Ok(Target::Stdout),
        "null" => Ok(Target::Null),
        other => Err(Error::config(format!("unknown target {other:?}"))
            .help("Choose from ndjson, parquet, arrow, stdout and null")),
    }
}

/// One pass over a stream's events in batches of `batch_rows`, of those sent from `from` on where it is given; the last may
/// be smaller.
fn events_of(source: &Source, stream: Stream, batch_rows: usize, from: Option<i64>) -> Result<BatchPass> {
    if stream == Stream::Reference {
        let events = source.reference()?;
        return Ok(Box::new(events.into_iter().map(|e| Ok(e.batch))));
    }
    // Truth speaks of the streams that the city was asked for.
    let mut streams: Vec<Stream> = match stream {
        Stream::TruthEvent | Stream::TruthFault => {
            source.sensors().streams.iter().copied().filter(|s| Stream::EVENTS.contains(s)).collect()
        }
        _ => Vec::new(),
    };
    streams.push(stream);
    let source = source.with_sensors(SensorOptions { streams, ..source.sensors().clone() })?;
    let pick = move |chunk: Chunk| {
        let of_stream = chunk.events.iter().filter(|e| e.stream == stream);
        of_stream.map(without_harmed).collect::<Result<Vec<_>>>()
    };
    let chunks = source.observe_from(from.unwrap_or(source.city().options.start), pick)?;
    Ok(Box::new(regroup(chunks, stream, batch_rows)))
}

/// Joins and cuts batches to `batch_rows` rows.
fn regroup(
    mut chunks: impl Iterator<Item = Result<Vec<RecordBatch>>>,
    stream: Stream,
    batch_rows: usize,
) -> impl Iterator<Item = Result<RecordBatch>> {
    let schema = stream.wire_schema();
    let mut held: Vec<RecordBatch> = Vec::new();
    let mut rows = 0;
    let mut ended = false;
    std::iter::from_fn(move || {
        while rows < batch_rows && !ended {
            match chunks.next() {
                Some(Ok(batches)) => {
                    rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
                    held.extend(batches);
                }
                Some(Err(error)) => {
                    ended = true;
                    return Some(Err(error));
                }
                None => ended = true,
            }
        }
        if rows == 0 {
            return None;
        }
        let joined = match arrow::compute::concat_batches(&schema, &held) {
            Ok(joined) => joined,
            Err(error) => return Some(Err(error.into())),
        };
        let take = batch_rows.min(joined.num_rows());
        held = vec![joined.slice(take, joined.num_rows() - take)];
        rows -= take;
        Some(Ok(joined.slice(0, take)))
    })
}

type StreamPass = Box<dyn Iterator<Item = Result<(Stream, RecordBatch)>> + Send>;

/// One pass over all streams.
#[pyclass(module = "citystream", frozen)]
pub struct Batches {
    pass: Mutex<Option<StreamPass>>,
    process: u32,
}

#[pymethods]
impl Batches {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        same_process(self.process).map_err(|e| to_py(py, &e))?;
        let next = py.detach(|| next_of(&self.pass));
        py.check_signals()?;
        let Some((stream, batch)) = next.map_err(|e| to_py(py, &e))? else { return Ok(None) };
        let batch = Py::new(py, ArrowBatch(batch))?;
        Ok(Some((stream.name(), batch).into_pyobject(py)?))
    }
}

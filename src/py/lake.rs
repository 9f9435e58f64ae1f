//! `Lake`: ingest, refine, and the tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::arrow::{ArrowSchema, ArrowStream, reader};
use super::blocking;
use super::city::{City, by_stream, names_of, registry_of, topic_names};
use super::error::to_py;
use super::kafka::security_of;
use super::metrics::Metrics;
use crate::error::{Error, Result};
use crate::lake::{
    self, BronzeOptions, CompactOptions, DataFile, Replace, Retain, SilverOptions, SilverReport, TrimOptions,
    VacuumOptions,
};
use crate::pipeline::{Cancel, Ingested, KafkaIngest, OnGap, PREFETCH_BYTES, ingest_city, ingest_kafka};

/// Ends a run that follows.
#[pyclass(module = "citystream", frozen)]
#[derive(Debug)]
pub struct Stop(Cancel);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self(Cancel::default())
    }

    fn set(&self) {
        self.0.cancel();
    }
}

/// The value of each partition column; `None` is null.
type PartitionValues = BTreeMap<String, Option<String>>;

/// A folder of Delta tables.
#[pyclass(module = "citystream", frozen)]
#[derive(Debug)]
pub struct Lake {
    lake: lake::Lake,
}

#[pymethods]
impl Lake {
    #[new]
    #[pyo3(signature = (path, *, storage_options = None, create = true))]
    fn new(
        py: Python<'_>,
        path: &str,
        storage_options: Option<BTreeMap<String, String>>,
        create: bool,
    ) -> PyResult<Self> {
        let open = || Ok(Self { lake: lake::Lake::open_with(path, &storage_options.unwrap_or_default(), create)? });
        py.detach(open).map_err(|e| to_py(py, &e))
    }

    #[staticmethod]
    #[pyo3(signature = (path, *, storage_options = None))]
    fn protect(
        py: Python<'_>,
        path: &str,
        storage_options: Option<BTreeMap<String, String>>,
    ) -> PyResult<Vec<(&'static str, &'static str, String)>> {
        let taken = py.detach(|| lake::Lake::protect(path, &storage_options.unwrap_or_default()));
        let taken = taken.map_err(|e| to_py(py, &e))?;
        Ok(taken.into_iter().map(|p| (p.measure, p.outcome.text(), p.detail)).collect())
    }

    #[getter]
    fn path(&self) -> String {
        self.lake.path().display().to_string()
    }

    fn ensure_tables(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.lake.ensure_tables()).map_err(|e| to_py(py, &e))
    }

    #[pyo3(signature = (city, *, progress))]
    fn ingest_city<'py>(
        &self,
        py: Python<'py>,
        city: PyRef<'py, City>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let began = Instant::now();
        let source = city.source.clone();
        drop(city);
        let options = BronzeOptions::default();
        let done = blocking::run(py, progress, |run| ingest_city(&self.lake, &source, &options, run))?;
        report(py, &done, began)
    }

    #[pyo3(signature = (servers, *, topics, security, follow, on_gap, new_epoch, pipeline, options, timeout_ms,
        names, rename, schema_registry, metrics, stop, progress))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
    fn ingest_kafka<'py>(
        &self,
        py: Python<'py>,
        servers: String,
        topics: BTreeMap<String, String>,
        security: Option<Bound<'py, PyDict>>,
        follow: bool,
        on_gap: &str,
        new_epoch: bool,
        pipeline: String,
        mut options: BTreeMap<String, u64>,
        timeout_ms: u64,
        names: &str,
        rename: Vec<(String, String)>,
        schema_registry: Option<BTreeMap<String, String>>,
        metrics: Option<PyRef<'py, Metrics>>,
        stop: Option<PyRef<'py, Stop>>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let began = Instant::now();
        let metrics = metrics.map(|m| Arc::clone(&m.figures));
        let stop = stop.map(|s| s.0.clone()).unwrap_or_default();
        let prepare = || {
            Ok(KafkaIngest {
                servers,
                security: security_of(security.as_ref())?,
                topics: topic_names(Some(topics))?,
                names: names_of(names, Some(rename))?,
                registry: registry_of(schema_registry)?,
                follow,
                stop,
                on_gap: gap_rule(on_gap)?,
                prefetch_bytes: options.remove("prefetch_bytes").map_or(PREFETCH_BYTES, |bytes| bytes as usize),
                bronze: bronze_options(pipeline, new_epoch, &options)?,
                timeout: Duration::from_millis(timeout_ms),
                metrics,
            })
        };
        let options = prepare().map_err(|e: Error| to_py(py, &e))?;
        let done = blocking::run(py, progress, |run| ingest_kafka(&self.lake, &options, 0, run))?;
        report(py, &done, began)
    }

    #[pyo3(signature = (*, memory_bytes = None, progress))]
    fn refine_silver<'py>(
        &self,
        py: Python<'py>,
        memory_bytes: Option<usize>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = silver_options(memory_bytes);
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.refine_silver_with(&options, cancel.flag(), run.progress)
        })?;
        refined(py, done)
    }

    fn names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        py.detach(|| self.lake.names()).map_err(|e| to_py(py, &e))
    }

    fn snapshot<'py>(&self, py: Python<'py>, table: &str) -> PyResult<Bound<'py, PyDict>> {
        let found = py.detach(|| self.lake.snapshot(table)).map_err(|e| to_py(py, &e))?;
        let snapshot = PyDict::new(py);
        let data = stream(table, found.clone(), None).map_err(|e| to_py(py, &e))?;
        snapshot.set_item("data", Py::new(py, data)?)?;
        snapshot.set_item("version", found.version)?;
        snapshot.set_item("path", found.path.display().to_string())?;
        snapshot.set_item("files", files(py, &found.files)?)?;
        snapshot.set_item("partition_columns", found.partition_columns)?;
        snapshot.set_item("schema", Py::new(py, ArrowSchema(found.schema))?)?;
        snapshot.set_item("txns", found.txns)?;
        snapshot.set_item("id", found.id)?;
        snapshot.set_item("last_commit_ms", found.last_commit_ms)?;
        Ok(snapshot)
    }

    #[pyo3(signature = (table, since_version, until_version = None))]
    fn changes<'py>(
        &self,
        py: Python<'py>,
        table: &str,
        since_version: i64,
        until_version: Option<i64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let until = until_version.unwrap_or(i64::MAX);
        let found = py.detach(|| self.lake.changes_between(table, since_version, until)).map_err(|e| to_py(py, &e))?;
        files(py, &found)
    }

    fn changed<'py>(&self, py: Python<'py>, table: &str, since_version: i64) -> PyResult<Option<Bound<'py, PyList>>> {
        let found = py.detach(|| self.lake.changed(table, since_version)).map_err(|e| to_py(py, &e))?;
        let Some(found) = found else { return Ok(None) };
        let list = PyList::empty(py);
        for change in found {
            let entry = PyDict::new(py);
            entry.set_item("version", change.version)?;
            entry.set_item("adds", files(py, &change.adds)?)?;
            entry.set_item("removes", files(py, &change.removes)?)?;
            entry.set_item("windows", change.windows)?;
            list.append(entry)?;
        }
        Ok(Some(list))
    }

    #[pyo3(signature = (table, *, columns = None, files = None))]
    fn scan(
        &self,
        py: Python<'_>,
        table: &str,
        columns: Option<Vec<String>>,
        files: Option<Vec<(String, PartitionValues)>>,
    ) -> PyResult<ArrowStream> {
        let scan = || {
            let mut snapshot = self.lake.snapshot(table)?;
            if let Some(files) = files {
                let files = files.into_iter().map(|(path, partition)| self.lake.file(&path, partition));
                snapshot.files = files.collect::<Result<_>>()?;
            }
            stream(table, snapshot, columns)
        };
        py.detach(scan).map_err(|e| to_py(py, &e))
    }

    #[pyo3(signature = (table, data, *, partition_columns, partitions, txns, comments, description, based_on = None,
        windows = None, within = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
    fn replace<'py>(
        &self,
        py: Python<'py>,
        table: &str,
        data: &Bound<'py, PyAny>,
        partition_columns: Vec<String>,
        partitions: Option<Vec<BTreeMap<String, String>>>,
        txns: BTreeMap<String, i64>,
        comments: BTreeMap<String, String>,
        description: String,
        based_on: Option<i64>,
        windows: Option<Vec<(i64, i64)>>,
        within: Option<(i64, i64)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut batches = reader(data)?;
        let replace = Replace { partition_columns, partitions, txns, comments, description, based_on, windows, within };
        let done = py.detach(|| self.lake.replace(table, &mut *batches, &replace)).map_err(|e| to_py(py, &e))?;
        let report = PyDict::new(py);
        report.set_item("version", done.version)?;
        report.set_item("rows", done.rows)?;
        report.set_item("files", done.files)?;
        Ok(report)
    }

    fn tables<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found = py.detach(|| self.lake.tables()).map_err(|e| to_py(py, &e))?;
        let list = PyList::empty(py);
        for table in found {
            let entry = PyDict::new(py);
            entry.set_item("name", table.name)?;
            entry.set_item("rows", table.rows)?;
            entry.set_item("files", table.files)?;
            entry.set_item("bytes", table.bytes)?;
            entry.set_item("version", table.version)?;
            entry.set_item("last_commit_ms", table.last_commit_ms)?;
            list.append(entry)?;
        }
        Ok(list)
    }

    #[pyo3(signature = (*, progress))]
    fn check<'py>(&self, py: Python<'py>, progress: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.check_all(cancel.flag(), run.progress)
        })?;
        let report = PyDict::new(py);
        report.set_item("problems", done.problems)?;
        report.set_item("offsets_without_rows", done.offsets_without_rows)?;
        report.set_item("tables", done.tables)?;
        report.set_item("files", done.files)?;
        report.set_item("leftovers", done.leftovers)?;
        report.set_item("leftover_bytes", done.leftover_bytes)?;
        Ok(report)
    }

    #[pyo3(signature = (*, without_dropped, progress, memory_bytes = None))]
    fn rebuild_silver<'py>(
        &self,
        py: Python<'py>,
        without_dropped: bool,
        progress: Option<&Bound<'py, PyAny>>,
        memory_bytes: Option<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = silver_options(memory_bytes);
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.rebuild_silver(&options, without_dropped, cancel.flag(), run.progress)
        })?;
        refined(py, done)
    }

    fn waiting(&self, py: Python<'_>, table: &str, since_version: i64) -> PyResult<(u64, u64)> {
        let found = py.detach(|| self.lake.waiting(table, since_version)).map_err(|e| to_py(py, &e))?;
        Ok((found.commits, found.rows))
    }

    #[pyo3(signature = (*, target_bytes, tables, dry_run, progress))]
    fn compact<'py>(
        &self,
        py: Python<'py>,
        target_bytes: u64,
        tables: Vec<String>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = CompactOptions { target_bytes, tables, dry_run };
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.compact(&options, cancel.flag(), run.progress)
        })?;
        maintained(py, done.seconds, done.tables, |entry, table| {
            entry.set_item("name", table.name)?;
            entry.set_item("removed", table.removed)?;
            entry.set_item("added", table.added)?;
            entry.set_item("rows", table.rows)?;
            entry.set_item("bytes_before", table.bytes_before)?;
            entry.set_item("bytes_after", table.bytes_after)?;
            entry.set_item("commits", table.commits)?;
            entry.set_item("conflicts", table.conflicts)
        })
    }

    #[pyo3(signature = (*, retention_ms, leftovers_ms, tables, dry_run, progress))]
    fn vacuum<'py>(
        &self,
        py: Python<'py>,
        retention_ms: u64,
        leftovers_ms: u64,
        tables: Vec<String>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (retention, leftovers) = (Duration::from_millis(retention_ms), Duration::from_millis(leftovers_ms));
        let options = VacuumOptions { retention, leftovers, tables, dry_run };
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.vacuum(&options, cancel.flag(), run.progress)
        })?;
        maintained(py, done.seconds, done.tables, |entry, table| {
            entry.set_item("name", table.name)?;
            entry.set_item("removed", table.removed)?;
            entry.set_item("leftovers", table.leftovers)?;
            entry.set_item("bytes", table.bytes)?;
            entry.set_item("unread", table.unread)?;
            entry.set_item("paths", table.paths)
        })
    }

    #[pyo3(signature = (*, log_retention_ms, tables, dry_run, progress))]
    fn checkpoint<'py>(
        &self,
        py: Python<'py>,
        log_retention_ms: u64,
        tables: Vec<String>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = TrimOptions { retention: Duration::from_millis(log_retention_ms), tables, dry_run };
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.checkpoint(&options, cancel.flag(), run.progress)
        })?;
        maintained(py, done.seconds, done.tables, |entry, table| {
            entry.set_item("name", table.name)?;
            entry.set_item("checkpoint", table.checkpoint)?;
            entry.set_item("written", table.written)?;
            entry.set_item("deleted", table.deleted)?;
            entry.set_item("oldest", table.oldest)?;
            entry.set_item("held_by", table.held_by)
        })
    }

    #[pyo3(signature = (*, bronze, silver, gold, dry_run, progress))]
    fn retain<'py>(
        &self,
        py: Python<'py>,
        bronze: Option<i32>,
        silver: Option<i32>,
        gold: Option<i32>,
        dry_run: bool,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = Retain { bronze, silver, gold, dry_run };
        let done = blocking::run(py, progress, |run| {
            let cancel = run.cancel.clone();
            self.lake.retain(&options, cancel.flag(), run.progress)
        })?;
        maintained(py, done.seconds, done.tables, |entry, table| {
            entry.set_item("name", table.name)?;
            entry.set_item("dates", table.dates)?;
            entry.set_item("rows", table.rows)?;
            entry.set_item("files", table.files)?;
            entry.set_item("kept", table.kept)?;
            entry.set_item("held_by", table.held_by)
        })
    }
}

/// A report of maintenance: `seconds`, and `tables` with what `fill` says of each.
fn maintained<'py, T>(
    py: Python<'py>,
    seconds: f64,
    tables: Vec<T>,
    fill: impl Fn(&Bound<'py, PyDict>, T) -> PyResult<()>,
) -> PyResult<Bound<'py, PyDict>> {
    let list = PyList::empty(py);
    for table in tables {
        let entry = PyDict::new(py);
        fill(&entry, table)?;
        list.append(entry)?;
    }
    let report = PyDict::new(py);
    report.set_item("seconds", seconds)?;
    report.set_item("tables", list)?;
    Ok(report)
}

fn silver_options(memory_bytes: Option<usize>) -> SilverOptions {
    let mut options = SilverOptions::default();
    options.memory_bytes = memory_bytes.unwrap_or(options.memory_bytes);
    options
}

fn refined(py: Python<'_>, done: SilverReport) -> PyResult<Bound<'_, PyDict>> {
    let report = PyDict::new(py);
    report.set_item("silver", done.silver)?;
    report.set_item("dead_letter", done.dead_letter)?;
    report.set_item("quarantine", done.quarantine)?;
    report.set_item("duplicate", done.duplicate)?;
    report.set_item("spilled_bytes", done.spilled_bytes)?;
    report.set_item("seconds", done.seconds)?;
    report.set_item("bronze_versions", done.bronze_versions)?;
    Ok(report)
}

/// The rows of one version, from the start for each consumer.
fn stream(table: &str, snapshot: lake::Snapshot, columns: Option<Vec<String>>) -> Result<ArrowStream> {
    let begin = move || {
        let names: Option<Vec<&str>> = columns.as_ref().map(|c| c.iter().map(String::as_str).collect());
        snapshot.scan(names.as_deref())
    };
    let schema = begin()?.schema();
    Ok(ArrowStream::new(table, schema, move || Ok(Box::new(begin()?))))
}

fn gap_rule(name: &str) -> Result<OnGap> {
    match name {
        "error" => Ok(OnGap::Error),
        "record" => Ok(OnGap::Record),
        other => Err(Error::config(format!("on_gap is {other:?}")).help("Choose from \"error\" and \"record\"")),
    }
}

fn bronze_options(pipeline: String, new_epoch: bool, options: &BTreeMap<String, u64>) -> Result<BronzeOptions> {
    let mut bronze = BronzeOptions { pipeline, new_epoch, ..BronzeOptions::default() };
    for (name, value) in options {
        match name.as_str() {
            "file_bytes" => bronze.file_bytes = *value as usize,
            "file_rows" => bronze.file_rows = *value,
            "max_age_ms" => bronze.max_age = Duration::from_millis(*value),
            "memory_bytes" => bronze.memory_bytes = *value as usize,
            other => {
                return Err(Error::config(format!("unknown ingest option {other:?}"))
                    .help("Choose from file_bytes, file_rows, max_age_ms, memory_bytes, prefetch_bytes"));
            }
        }
    }
    Ok(bronze)
}

fn report<'py>(py: Python<'py>, done: &Ingested, began: Instant) -> PyResult<Bound<'py, PyDict>> {
    let report = PyDict::new(py);
    report.set_item("records", by_stream(py, &done.records)?)?;
    report.set_item("undecodable", by_stream(py, &done.undecodable)?)?;
    report.set_item("bytes", done.bytes)?;
    report.set_item("skipped", done.skipped)?;
    report.set_item("commits", done.commits)?;
    report.set_item("conflicts", done.conflicts)?;
    report.set_item("seconds", began.elapsed().as_secs_f64())?;
    let partitions = PyList::empty(py);
    for partition in &done.partitions {
        let entry = PyDict::new(py);
        entry.set_item("topic", &partition.topic)?;
        entry.set_item("partition", partition.partition)?;
        entry.set_item("from", partition.from)?;
        entry.set_item("to", partition.to)?;
        entry.set_item("lag", partition.lag)?;
        partitions.append(entry)?;
    }
    report.set_item("partitions", partitions)?;
    let gaps = PyList::empty(py);
    for gap in &done.gaps {
        let entry = PyDict::new(py);
        entry.set_item("topic", &gap.topic)?;
        entry.set_item("partition", gap.partition)?;
        entry.set_item("from", gap.from)?;
        entry.set_item("to", gap.to)?;
        gaps.append(entry)?;
    }
    report.set_item("gaps", gaps)?;
    report.set_item("warnings", done.warnings.clone())?;
    Ok(report)
}

fn files<'py>(py: Python<'py>, files: &[DataFile]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for file in files {
        let entry = PyDict::new(py);
        entry.set_item("path", file.path.display().to_string())?;
        entry.set_item("rows", file.rows)?;
        entry.set_item("bytes", file.bytes)?;
        let partition = PyDict::new(py);
        for (column, value) in &file.partition {
            partition.set_item(column, value)?;
        }
        entry.set_item("partition", partition)?;
        entry.set_item("stats", file.stats.as_ref().map(ToString::to_string))?;
        list.append(entry)?;
    }
    Ok(list)
}

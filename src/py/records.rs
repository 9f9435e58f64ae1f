//! Kafka records for other engines: `Decoder`, and the ranges that `read_topic` reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arrow::{ArrowBatch, ArrowSchema, reader, same_process};
use super::blocking;
use super::city::{names_of, registry_of};
use super::error::to_py;
use super::kafka::security_of;
use crate::error::{Context, ErrorKind, Result};
use crate::pipeline::{RangeReader, RecordDecoder, TopicRange};
use crate::schema::Stream;

/// Turns Kafka records into the rows of a stream's bronze.
#[pyclass(module = "citystream", frozen)]
pub struct Decoder {
    decoder: Arc<RecordDecoder>,
}

#[pymethods]
impl Decoder {
    #[new]
    #[pyo3(signature = (stream, *, names = "camel", rename = None, schema_registry = None))]
    fn new(
        py: Python<'_>,
        stream: &str,
        names: &str,
        rename: Option<Vec<(String, String)>>,
        schema_registry: Option<BTreeMap<String, String>>,
    ) -> PyResult<Self> {
        let make = || {
            let registry = registry_of(schema_registry)?;
            RecordDecoder::new(Stream::parse(stream)?, names_of(names, rename)?, registry.as_ref())
        };
        Ok(Self { decoder: Arc::new(make().map_err(|e| to_py(py, &e))?) })
    }

    #[getter]
    fn schema(&self) -> ArrowSchema {
        ArrowSchema(self.decoder.schema())
    }

    fn decode(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Vec<ArrowBatch>> {
        let batches = reader(data)?;
        let work = || -> Result<Vec<RecordBatch>> {
            let mut rows = Vec::new();
            for batch in batches {
                rows.extend(
                    self.decoder.decode(&batch.context(ErrorKind::Config, || "the records can't be read".into())?)?,
                );
            }
            Ok(rows)
        };
        let rows = py.detach(work).map_err(|e| to_py(py, &e))?;
        Ok(rows.into_iter().map(ArrowBatch).collect())
    }
}

/// One pass over the offsets of a partition.
#[pyclass(module = "citystream", frozen)]
pub struct TopicReader {
    reader: Mutex<RangeReader>,
    process: u32,
}

#[pymethods]
impl TopicReader {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<ArrowBatch>> {
        same_process(self.process).map_err(|e| to_py(py, &e))?;
        let next = blocking::run(py, None, |run| {
            self.reader.lock().unwrap_or_else(PoisonError::into_inner).next_batch(&run.cancel)
        })?;
        Ok(next.map(ArrowBatch))
    }
}

/// The offsets `[start, end)` of a partition as bronze's rows.
#[pyfunction]
#[pyo3(signature = (servers, topic, *, partition, start, end, decoder, security, batch_rows, timeout_ms))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
pub fn read_topic(
    py: Python<'_>,
    servers: String,
    topic: String,
    partition: i32,
    start: i64,
    end: i64,
    decoder: PyRef<'_, Decoder>,
    security: Option<Bound<'_, PyDict>>,
    batch_rows: usize,
    timeout_ms: u64,
) -> PyResult<TopicReader> {
    let range = TopicRange {
        servers,
        security: security_of(security.as_ref()).map_err(|e| to_py(py, &e))?,
        topic,
        partition,
        start,
        end,
        batch_rows: batch_rows.max(1),
        timeout: Duration::from_millis(timeout_ms),
    };
    let reader = Mutex::new(RangeReader::new(range, Arc::clone(&decoder.decoder)));
    Ok(TopicReader { reader, process: std::process::id() })
}

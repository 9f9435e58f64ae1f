//! The Python module `citystream._core`: convert, let go of the GIL, call, convert. No logic.

mod arrow;
mod blocking;
mod city;
mod error;
mod kafka;
mod lake;
mod metrics;
mod oracle;
mod records;
mod silver;
mod storage;
mod study;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::schema::{Origin, Stream};

/// Version, build profile and the versions of the libraries inside.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", env!("CITYSTREAM_PROFILE"))?;
    info.set_item("debug_assertions", cfg!(debug_assertions))?;
    info.set_item("arrow", ::arrow::ARROW_VERSION)?;
    info.set_item("librdkafka", rdkafka::util::get_rdkafka_version().1)?;
    Ok(info)
}

/// The columns of a stream.
#[pyfunction]
fn stream_fields<'py>(py: Python<'py>, stream: &str) -> PyResult<Bound<'py, PyList>> {
    let stream = Stream::parse(stream).map_err(|e| error::to_py(py, &e))?;
    let list = PyList::empty(py);
    for field in stream.fields() {
        let entry = PyDict::new(py);
        entry.set_item("name", field.name)?;
        entry.set_item("kind", format!("{:?}", field.kind).split('(').next().unwrap_or_default().to_lowercase())?;
        entry.set_item("origin", if field.origin == Origin::Original { "original" } else { "added" })?;
        entry.set_item("null_when", field.null_when)?;
        entry.set_item("unit", field.unit)?;
        entry.set_item("silver", field.silver)?;
        entry.set_item("doc", field.doc)?;
        list.append(entry)?;
    }
    Ok(list)
}

/// The Arrow schema of a stream on the wire.
#[pyfunction]
fn wire_schema(py: Python<'_>, stream: &str) -> PyResult<arrow::ArrowSchema> {
    let stream = Stream::parse(stream).map_err(|e| error::to_py(py, &e))?;
    Ok(arrow::ArrowSchema(stream.wire_schema()))
}

// The GIL is needed: librdkafka's callbacks and our progress are tested with it only.
#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    error::register(module)?;
    module.add_class::<arrow::ArrowSchema>()?;
    module.add_class::<arrow::ArrowBatch>()?;
    module.add_class::<arrow::ArrowStream>()?;
    module.add_class::<city::City>()?;
    module.add_class::<city::Batches>()?;
    module.add_class::<kafka::Producer>()?;
    module.add_class::<lake::Lake>()?;
    module.add_function(wrap_pyfunction!(storage::fetch, module)?)?;
    module.add_class::<lake::Stop>()?;
    module.add_class::<metrics::Metrics>()?;
    module.add_class::<records::Decoder>()?;
    module.add_class::<records::TopicReader>()?;
    module.add_function(wrap_pyfunction!(build_info, module)?)?;
    module.add_function(wrap_pyfunction!(stream_fields, module)?)?;
    module.add_function(wrap_pyfunction!(wire_schema, module)?)?;
    module.add_function(wrap_pyfunction!(silver::silver, module)?)?;
    module.add_function(wrap_pyfunction!(city::fault_defaults, module)?)?;
    module.add_function(wrap_pyfunction!(city::scenarios, module)?)?;
    module.add_function(wrap_pyfunction!(city::trace_options, module)?)?;
    module.add_function(wrap_pyfunction!(oracle::grade, module)?)?;
    module.add_function(wrap_pyfunction!(oracle::graded_tables, module)?)?;
    module.add_function(wrap_pyfunction!(oracle::verdicts, module)?)?;
    module.add_function(wrap_pyfunction!(study::corridor, module)?)?;
    module.add_function(wrap_pyfunction!(study::exposure, module)?)?;
    module.add_function(wrap_pyfunction!(kafka::describe_topics, module)?)?;
    module.add_function(wrap_pyfunction!(kafka::create_topics, module)?)?;
    module.add_function(wrap_pyfunction!(records::read_topic, module)?)?;
    Ok(())
}

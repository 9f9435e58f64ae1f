//! Arrow to and from Python by the PyCapsule interface: any consumer takes it without a copy, and none is needed.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, RecordBatch, RecordBatchReader, StructArray};
use arrow::datatypes::{Field, SchemaRef};
use arrow::error::ArrowError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};
use pyo3_arrow::ffi::{ArrayIterator, to_array_pycapsules, to_schema_pycapsule, to_stream_pycapsule};

use super::error::to_py;
use crate::error::{Error, ErrorKind, Result};

/// Batches of one schema, pulled one at a time.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// An Arrow schema.
#[pyclass(module = "citystream", frozen)]
#[derive(Debug)]
pub struct ArrowSchema(pub SchemaRef);

#[pymethods]
impl ArrowSchema {
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, self.0.as_ref())?)
    }

    /// The names of the columns.
    #[getter]
    fn names(&self) -> Vec<String> {
        self.0.fields().iter().map(|f| f.name().clone()).collect()
    }

    fn __repr__(&self) -> String {
        let fields: Vec<String> = self.0.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
        fields.join("\n")
    }
}

/// One Arrow record batch.
#[pyclass(module = "citystream", frozen)]
#[derive(Debug)]
pub struct ArrowBatch(pub RecordBatch);

#[pymethods]
impl ArrowBatch {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let array = StructArray::from(self.0.clone());
        let field = Arc::new(struct_field(&self.0.schema()));
        Ok(to_array_pycapsules(py, field, &array, requested_schema)?)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, self.0.schema().as_ref())?)
    }

    /// The schema.
    #[getter]
    fn schema(&self) -> ArrowSchema {
        ArrowSchema(self.0.schema())
    }

    /// Rows.
    #[getter]
    fn num_rows(&self) -> usize {
        self.0.num_rows()
    }

    fn __len__(&self) -> usize {
        self.0.num_rows()
    }

    fn __repr__(&self) -> String {
        format!("ArrowBatch({} rows × {} columns)", self.0.num_rows(), self.0.num_columns())
    }
}

type Start = Box<dyn Fn() -> Result<Batches> + Send + Sync>;

/// Arrow record batches, made when they are asked for. Each consumer starts anew.
#[pyclass(module = "citystream", frozen)]
pub struct ArrowStream {
    schema: SchemaRef,
    name: String,
    start: Start,
}

impl ArrowStream {
    /// A stream called `name` in its repr; `start` begins one pass.
    pub fn new(
        name: impl Into<String>,
        schema: SchemaRef,
        start: impl Fn() -> Result<Batches> + Send + Sync + 'static,
    ) -> Self {
        Self { schema, name: name.into(), start: Box::new(start) }
    }
}

#[pymethods]
impl ArrowStream {
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let batches = (self.start)().map_err(|e| to_py(py, &e))?;
        let field = Arc::new(struct_field(&self.schema));
        let arrays = batches.map(|batch| match batch {
            Ok(batch) => Ok(Arc::new(StructArray::from(batch)) as Arc<dyn Array>),
            Err(error) => Err(ArrowError::ExternalError(Box::new(error))),
        });
        let reader = Box::new(ArrayIterator::new(arrays, field));
        Ok(to_stream_pycapsule(py, reader, requested_schema)?)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, self.schema.as_ref())?)
    }

    /// The schema.
    #[getter]
    fn schema(&self) -> ArrowSchema {
        ArrowSchema(Arc::clone(&self.schema))
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<BatchIterator> {
        let batches = (self.start)().map_err(|e| to_py(py, &e))?;
        Ok(BatchIterator { batches: Mutex::new(Some(batches)), process: std::process::id() })
    }

    fn __repr__(&self) -> String {
        format!("ArrowStream({}: {} columns)", self.name, self.schema.fields().len())
    }
}

/// One pass over an [`ArrowStream`].
#[pyclass(module = "citystream", frozen)]
pub struct BatchIterator {
    batches: Mutex<Option<Batches>>,
    process: u32,
}

#[pymethods]
impl BatchIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<ArrowBatch>> {
        same_process(self.process).map_err(|e| to_py(py, &e))?;
        let next = py.detach(|| next_of(&self.batches));
        py.check_signals()?;
        next.map(|batch| batch.map(ArrowBatch)).map_err(|e| to_py(py, &e))
    }
}

/// The next item of a shared pass; a pass that has ended or failed stays ended.
pub fn next_of<T>(pass: &Mutex<Option<Box<dyn Iterator<Item = Result<T>> + Send>>>) -> Result<Option<T>> {
    let mut pass = pass.lock().unwrap_or_else(PoisonError::into_inner);
    let next = pass.as_mut().and_then(Iterator::next).transpose();
    if !matches!(next, Ok(Some(_))) {
        *pass = None;
    }
    next
}

/// Work in progress has threads, which a fork leaves behind.
pub fn same_process(process: u32) -> Result<()> {
    let now = std::process::id();
    if process == now {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Forked, format!("process {now} was forked from {process} in the middle of a run"))
        .help("Begin the run in the worker, or start workers by spawn or forkserver"))
}

fn struct_field(schema: &SchemaRef) -> Field {
    Field::new_struct("", schema.fields().clone(), false).with_metadata(schema.metadata().clone())
}

/// Batches of any object with `__arrow_c_stream__` or `__arrow_c_array__`.
pub fn reader(data: &Bound<'_, PyAny>) -> PyResult<Box<dyn RecordBatchReader + Send>> {
    let input: pyo3_arrow::input::AnyRecordBatch = data.extract()?;
    input.into_reader()
}

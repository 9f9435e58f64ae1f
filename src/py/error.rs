//! Exceptions by meaning: one class for each kind of error, under `CitystreamError`, and under the builtin that scripts
//! already catch.

use pyo3::exceptions::{PyConnectionError, PyException, PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::error::{Error, ErrorKind};

struct Classes {
    base: Py<PyType>,
    config: Py<PyType>,
    kafka: Py<PyType>,
    connection: Py<PyType>,
    gap: Py<PyType>,
    store: Py<PyType>,
    table: Py<PyType>,
    conflict: Py<PyType>,
    decode: Py<PyType>,
    forked: Py<PyType>,
}

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, name: &str, doc: &str, bases: &[&Bound<'py, PyType>]) -> PyResult<Bound<'py, PyType>> {
    let namespace = PyDict::new(py);
    namespace.set_item("__doc__", doc)?;
    namespace.set_item("__module__", "citystream")?;
    let made = py.get_type::<PyType>().call1((name, PyTuple::new(py, bases)?, namespace))?;
    Ok(made.cast_into::<PyType>()?)
}

fn make(py: Python<'_>) -> PyResult<Classes> {
    let exception = py.get_type::<PyException>();
    let base = class(py, "CitystreamError", "Base of every error that citystream raises.", &[&exception])?;
    let value_error = py.get_type::<PyValueError>();
    let config = class(py, "ConfigError", "An option or argument is wrong.", &[&base, &value_error])?;
    let kafka = class(py, "KafkaError", "The broker, a topic or the client library refused.", &[&base])?;
    let refused = py.get_type::<PyConnectionError>();
    let connection = class(py, "KafkaConnectionError", "The broker can't be reached.", &[&kafka, &refused])?;
    let gap = class(py, "GapError", "The topic no longer has the next offsets.", &[&kafka])?;
    let os_error = py.get_type::<PyOSError>();
    let store = class(py, "StoreError", "A file could not be read or written.", &[&base, &os_error])?;
    let table = class(py, "TableError", "A table is missing, broken or not what was asked for.", &[&base])?;
    let conflict = class(py, "ConflictError", "Another writer won.", &[&table])?;
    let decode = class(py, "DecodeError", "Bytes or a row do not follow the stream's schema.", &[&base])?;
    let forked = class(py, "ForkedError", "The process was forked after citystream had started threads.", &[&base])?;
    Ok(Classes {
        base: base.unbind(),
        config: config.unbind(),
        kafka: kafka.unbind(),
        connection: connection.unbind(),
        gap: gap.unbind(),
        store: store.unbind(),
        table: table.unbind(),
        conflict: conflict.unbind(),
        decode: decode.unbind(),
        forked: forked.unbind(),
    })
}

impl Classes {
    fn of(&self, kind: ErrorKind) -> &Py<PyType> {
        match kind {
            ErrorKind::Config => &self.config,
            ErrorKind::Kafka => &self.kafka,
            ErrorKind::Connection => &self.connection,
            ErrorKind::Gap => &self.gap,
            ErrorKind::Store => &self.store,
            ErrorKind::Table => &self.table,
            ErrorKind::Conflict => &self.conflict,
            ErrorKind::Decode => &self.decode,
            ErrorKind::Forked => &self.forked,
            ErrorKind::Interrupted | ErrorKind::Internal => &self.base,
        }
    }
}

/// The exception for an error.
pub fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    if error.kind() == ErrorKind::Interrupted {
        return PyKeyboardInterrupt::new_err(());
    }
    match CLASSES.get_or_try_init(py, || make(py)) {
        Ok(classes) => PyErr::from_type(classes.of(error.kind()).bind(py).clone(), error.to_string()),
        Err(failed) => failed,
    }
}

/// Adds the exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let c = CLASSES.get_or_try_init(py, || make(py))?;
    for class in
        [&c.base, &c.config, &c.kafka, &c.connection, &c.gap, &c.store, &c.table, &c.conflict, &c.decode, &c.forked]
    {
        let class = class.bind(py);
        module.add(class.name()?, class)?;
    }
    Ok(())
}

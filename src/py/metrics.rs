//! `Metrics`: an endpoint for Prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::error::to_py;
use crate::pipeline::{self, Server};

/// Serves the figures of a producer and of a lake's ingests until it is closed.
#[pyclass(module = "citystream", frozen)]
#[derive(Debug)]
pub struct Metrics {
    pub figures: Arc<pipeline::Metrics>,
    server: Mutex<Option<Server>>,
    url: String,
}

#[pymethods]
impl Metrics {
    #[new]
    fn new(py: Python<'_>, host: &str, port: u16) -> PyResult<Self> {
        let figures = Arc::new(pipeline::Metrics::default());
        let shown = Arc::clone(&figures);
        let server = py.detach(|| Server::open(host, port, move || shown.render())).map_err(|e| to_py(py, &e))?;
        let url = format!("http://{}/metrics", server.address());
        Ok(Self { figures, server: Mutex::new(Some(server)), url })
    }

    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    fn refined(&self, seconds: f64, failed: bool) {
        self.figures.refined(seconds, failed);
    }

    fn gold_lag(&self, table: &str, last: f64, median: f64, max: f64) {
        self.figures.gold_lag(table, pipeline::GoldLag { last, median, max });
    }

    fn render(&self) -> String {
        self.figures.render()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.server.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }
}

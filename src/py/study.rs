//! Studies of one model by itself, as Arrow.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use pyo3::prelude::*;

use super::arrow::ArrowStream;
use super::error::to_py;
use crate::city::corridor::{Corridor, Passage};
use crate::city::exposure as model;
use crate::city::flow::Spec;
use crate::city::signals::Signal;
use crate::error::{Error, Result};

/// Passages over a corridor whose last road loses lanes for a while.
#[pyfunction]
#[pyo3(signature = (*, roads, length_m, lanes, limit_kmh, flow_vehh, duration_ms, blocked = 0, from_ms = 0, until_ms = 0))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python face")]
pub fn corridor(
    py: Python<'_>,
    roads: u32,
    length_m: f64,
    lanes: u8,
    limit_kmh: f64,
    flow_vehh: f64,
    duration_ms: i64,
    blocked: u8,
    from_ms: i64,
    until_ms: i64,
) -> PyResult<ArrowStream> {
    let road = Spec { length: length_m, lanes, limit_kmh, signal: Signal::NONE };
    let study =
        Corridor { roads, road, flow: flow_vehh, duration: duration_ms, blocked, from: from_ms, until: until_ms };
    table(py, "corridor", move || {
        let passages = study.run()?;
        let long =
            |value: fn(&Passage) -> i64| Arc::new(Int64Array::from_iter_values(passages.iter().map(value))) as ArrayRef;
        let number = |value: fn(&Passage) -> u32| {
            Arc::new(UInt32Array::from_iter_values(passages.iter().map(value))) as ArrayRef
        };
        Ok(RecordBatch::try_from_iter([
            ("vehicle", number(|p| p.vehicle)),
            ("road", number(|p| p.road)),
            ("tInMs", long(|p| p.t_in)),
            ("tOutMs", long(|p| p.t_out)),
        ])?)
    })
}

/// Crashes and breakdowns over equal distances, dry and in snow.
#[pyfunction]
#[pyo3(signature = (*, seed, blocks, crossings, road_km))]
pub fn exposure(py: Python<'_>, seed: u64, blocks: u32, crossings: u32, road_km: f64) -> PyResult<ArrowStream> {
    table(py, "exposure", move || {
        let found = model::exposure(seed, blocks, crossings, road_km)?;
        let number = |value: fn(&model::Block) -> u32| {
            Arc::new(UInt32Array::from_iter_values(found.iter().map(value))) as ArrayRef
        };
        let condition: StringArray = found.iter().map(|b| Some(b.condition.name())).collect();
        Ok(RecordBatch::try_from_iter([
            ("condition", Arc::new(condition) as ArrayRef),
            ("block", number(|b| b.number)),
            ("vehicleKm", Arc::new(Float64Array::from_iter_values(found.iter().map(|b| b.vehicle_km)))),
            ("crashes", number(|b| b.crashes)),
            ("breakdowns", number(|b| b.breakdowns)),
        ])?)
    })
}

/// Runs a study now and gives its rows as often as they are asked for.
fn table(py: Python<'_>, name: &str, run: impl FnOnce() -> Result<RecordBatch> + Send) -> PyResult<ArrowStream> {
    let batch = py.detach(run).map_err(|e: Error| to_py(py, &e))?;
    Ok(ArrowStream::new(name, batch.schema(), move || Ok(Box::new(std::iter::once(Ok(batch.clone()))))))
}

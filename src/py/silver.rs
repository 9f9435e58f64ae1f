//! Silver's row-local part, for other engines.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pyo3::prelude::*;

use super::arrow::{ArrowStream, reader};
use super::error::to_py;
use crate::error::{Context, ErrorKind, Result};
use crate::lake::silver::refine_batch;
use crate::schema::{Side, Stream, silver_schema};

/// Judges rows and turns sound ones into silver's: silver, quarantine, `dead_letter`.
#[pyfunction]
pub fn silver(
    py: Python<'_>,
    stream: &str,
    data: &Bound<'_, PyAny>,
) -> PyResult<(ArrowStream, ArrowStream, ArrowStream)> {
    let stream = Stream::parse(stream).map_err(|e| to_py(py, &e))?;
    let batches = reader(data)?;
    let work = || -> Result<_> {
        let mut tables: [Vec<RecordBatch>; 3] = Default::default();
        for batch in batches {
            let batch = batch.context(ErrorKind::Config, || format!("the rows of {} can't be read", stream.name()))?;
            let refined = refine_batch(stream, &batch)?;
            for (table, rows) in tables.iter_mut().zip([refined.silver, refined.quarantine, refined.dead_letter]) {
                if rows.num_rows() > 0 {
                    table.push(rows);
                }
            }
        }
        let [silver, quarantine, dead_letter] = tables;
        Ok((
            held(&format!("silver.{}", stream.name()), silver_schema(stream), silver),
            held("silver.quarantine", Side::Quarantine.schema(), quarantine),
            held("silver.dead_letter", Side::DeadLetter.schema(), dead_letter),
        ))
    };
    py.detach(work).map_err(|e| to_py(py, &e))
}

/// Batches that are there already.
fn held(name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> ArrowStream {
    let batches: Arc<[RecordBatch]> = batches.into();
    ArrowStream::new(name, schema, move || {
        let batches = Arc::clone(&batches);
        Ok(Box::new((0..batches.len()).map(move |n| Ok(batches[n].clone()))))
    })
}

//! `grade`: somebody's tables beside the truth.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::arrow::reader;
use super::blocking;
use super::city::City;
use super::error::to_py;
use crate::oracle::{self, GoldExample, LABELS, NO_LABEL, StreamGrade, TABLES, TableGrade, Tally, Verdict};
use crate::pipeline::{Graded, grade as run_grade};
use crate::schema::Stream;

/// The gold tables that can be graded.
#[pyfunction]
pub fn graded_tables() -> Vec<&'static str> {
    TABLES.iter().map(|(name, _)| *name).collect()
}

/// The verdicts on silver's events, the right ones first.
#[pyfunction]
pub fn verdicts() -> Vec<&'static str> {
    Verdict::ALL.into_iter().map(Verdict::name).collect()
}

/// Grades tables against a city.
#[pyfunction]
#[pyo3(signature = (city, *, silver, gold, columns, typed, progress))]
pub fn grade<'py>(
    py: Python<'py>,
    city: PyRef<'py, City>,
    silver: Vec<(Option<String>, Bound<'py, PyAny>)>,
    gold: Vec<(String, Bound<'py, PyAny>)>,
    columns: Vec<(String, String)>,
    typed: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let source = city.source.clone();
    drop(city);
    let mut graded = Graded { renames: columns, typed, ..Graded::default() };
    for (stream, data) in silver {
        let stream = stream.map(|name| Stream::parse(&name)).transpose().map_err(|e| to_py(py, &e))?;
        graded.silver.push((stream, reader(&data)?));
    }
    for (table, data) in gold {
        graded.gold.push((table, reader(&data)?));
    }
    let found = blocking::run(py, progress, |run| run_grade(&source, graded, run))?;
    report(py, &found)
}

fn report<'py>(py: Python<'py>, found: &oracle::Grade) -> PyResult<Bound<'py, PyDict>> {
    let report = PyDict::new(py);
    report.set_item("score", found.score())?;
    report.set_item("right", found.is_right())?;
    report.set_item("diagnoses", &found.diagnoses)?;
    report.set_item("strangers", found.strangers)?;
    report.set_item("stranger_examples", &found.stranger_examples)?;
    let silver = PyList::empty(py);
    for stream in &found.silver {
        silver.append(stream_dict(py, stream)?)?;
    }
    report.set_item("silver", silver)?;
    let gold = PyList::empty(py);
    for table in &found.gold {
        gold.append(table_dict(py, table)?)?;
    }
    report.set_item("gold", gold)?;
    Ok(report)
}

fn tally_dict(tally: &Tally) -> BTreeMap<&'static str, u64> {
    Verdict::ALL.into_iter().map(|verdict| (verdict.name(), tally[verdict as usize])).collect()
}

fn stream_dict<'py>(py: Python<'py>, grade: &StreamGrade) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("stream", grade.stream.name())?;
    dict.set_item("columns", &grade.columns)?;
    dict.set_item("rows", grade.rows)?;
    dict.set_item("verdicts", tally_dict(&grade.verdicts))?;
    dict.set_item("rows_of", tally_dict(&grade.rows_of))?;
    let labels = PyDict::new(py);
    for (place, tally) in grade.by_label.iter().enumerate().filter(|(_, tally)| tally.iter().any(|n| *n > 0)) {
        let name = LABELS.get(place).copied().unwrap_or(if place == NO_LABEL { "none" } else { "unknown" });
        labels.set_item(name, tally_dict(tally))?;
    }
    dict.set_item("by_fault", labels)?;
    dict.set_item("altered", &grade.altered)?;
    let examples = PyList::empty(py);
    for example in &grade.examples {
        let entry = PyDict::new(py);
        entry.set_item("verdict", example.verdict.name())?;
        entry.set_item("id", &example.id)?;
        entry.set_item("faults", &example.labels)?;
        entry.set_item("column", &example.column)?;
        entry.set_item("expected", &example.expected)?;
        entry.set_item("found", &example.found)?;
        examples.append(entry)?;
    }
    dict.set_item("examples", examples)?;
    Ok(dict)
}

fn table_dict<'py>(py: Python<'py>, grade: &TableGrade) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("table", &grade.name)?;
    dict.set_item("columns", &grade.columns)?;
    dict.set_item("rows", grade.rows)?;
    dict.set_item("expected", grade.expected())?;
    dict.set_item("correct", grade.correct)?;
    dict.set_item("differing", grade.differing)?;
    dict.set_item("missing", grade.missing)?;
    dict.set_item("doubled", grade.doubled)?;
    dict.set_item("extra", grade.extra)?;
    dict.set_item("altered", &grade.altered)?;
    let examples = PyList::empty(py);
    for GoldExample { what, key, column, expected, found } in &grade.examples {
        let entry = PyDict::new(py);
        entry.set_item("what", what)?;
        let keys = PyDict::new(py);
        for (name, value) in key {
            keys.set_item(name, value)?;
        }
        entry.set_item("key", keys)?;
        entry.set_item("column", column)?;
        entry.set_item("expected", expected)?;
        entry.set_item("found", found)?;
        examples.append(entry)?;
    }
    dict.set_item("examples", examples)?;
    Ok(dict)
}

//! `fetch`: somebody's files on S3, copied to this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;

use super::error::to_py;
use crate::error::Error;
use crate::storage::{Address, Place};

/// Copies what is at or below an address on S3 into a folder.
#[pyfunction]
#[pyo3(signature = (address, folder, *, storage_options = None))]
pub fn fetch(
    py: Python<'_>,
    address: &str,
    folder: PathBuf,
    storage_options: Option<BTreeMap<String, String>>,
) -> PyResult<usize> {
    let work = || match Address::of(address)? {
        Address::S3 { bucket, prefix } => {
            Place::on_s3(bucket, prefix, &storage_options.unwrap_or_default())?.fetch(&folder)
        }
        Address::Local(_) => Err(Error::internal(format!("{address} is on this machine"))),
    };
    py.detach(work).map_err(|e| to_py(py, &e))
}

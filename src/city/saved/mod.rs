//! A trace in a folder: simulate once, observe anywhere.
//!
//! ```text
//! trace.json                which city it is
//! entries/00007.parquet     what happened in hour 7 since the start; so exits, stays, incidents, cells
//! windows/00007             what a reader has to know that begins with hour 7
//! engine/00007              the engine's state at the beginning of hour 7
//! hours/00007.json          written last: hour 7 is whole, and so is the beginning of hour 8
//! ```
//! A file is there whole or not at all, and an hour counts when its file in `hours` is there. So a save that was stopped
//! goes on with the hour that it was in, and a longer run continues a shorter one; both give the same bytes as one save.
//! One process at a time may save to a folder; any number may read.

mod read;
mod rows;
mod write;

pub use read::{SavedTrace, TraceReader};
pub use write::save;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clock::HOUR;
use super::{CityOptions, MODEL_VERSION};
use crate::schema::TraceTable;

/// Raised when files change their meaning.
const FORMAT: u32 = 2;

/// Time in one file of each table.
const SEGMENT: i64 = HOUR;

/// `trace.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    format: u32,
    model: u64,
    city: String,
    seed: u64,
    vehicles: u32,
    start_ms: i64,
}

impl Identity {
    fn of(options: &CityOptions, city: &str) -> Self {
        let &CityOptions { seed, vehicles, start, .. } = options;
        Self { format: FORMAT, model: MODEL_VERSION, city: city.to_owned(), seed, vehicles, start_ms: start }
    }
}

/// `hours/00007.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Hour {
    from_ms: i64,
    to_ms: i64,
    entries: usize,
    exits: usize,
}

fn identity_file(folder: &Path) -> PathBuf {
    folder.join("trace.json")
}

fn hour_file(folder: &Path, hour: usize) -> PathBuf {
    folder.join("hours").join(format!("{hour:05}.json"))
}

/// The state of `what` at the beginning of an hour.
fn state_file(folder: &Path, what: &str, hour: usize) -> PathBuf {
    folder.join(what).join(format!("{hour:05}"))
}

fn table_file(folder: &Path, table: TraceTable, hour: usize) -> PathBuf {
    folder.join(table.name()).join(format!("{hour:05}.parquet"))
}

//! Saving a trace.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::super::clock::MINUTE;
use super::super::trace::{TraceRows, Windows};
use super::super::{City, Simulation};
use super::read::{SavedTrace, read_state};
use super::rows::{Row, batch};
use super::{Hour, Identity, SEGMENT, hour_file, identity_file, state_file, table_file};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::TraceTable;
use crate::storage::{FileWriter, WriteOptions, write_new};

/// The simulation is asked for so much at a time.
const STEP: i64 = 5 * MINUTE;

/// Simulates the city into `folder`, or what is still missing there. `progress` is told up to which moment the simulation
/// is; its error stops the save, which may go on later.
///
/// # Errors
/// `Config` where the folder holds something else; `Store` where it can't be written; what `progress` gives.
pub fn save(city: &Arc<City>, folder: &Path, mut progress: impl FnMut(i64) -> Result<()>) -> Result<SavedTrace> {
    let (start, end) = (city.options.start, city.end());
    let there = claim(city, folder)?;
    let hours = there.whole_hours();
    if there.covered_to() >= end {
        return Ok(there);
    }
    let (mut simulation, mut windows) = match hours {
        0 => (Simulation::new(Arc::clone(city)), Windows::new(city)),
        hour => {
            let engine = read_state(folder, "engine", hour)?;
            (Simulation::resume(Arc::clone(city), &engine)?, there.windows(city, hour)?)
        }
    };
    let mut from = start + hours as i64 * SEGMENT;
    for hour in hours.. {
        if from >= end {
            break;
        }
        let to = (from + SEGMENT).min(end);
        discard(folder, hour)?;
        let mut rows = TraceRows { from, to: from, ..TraceRows::default() };
        let mut at = from;
        while at < to {
            at = (at + STEP).min(to);
            let step = simulation.advance(at);
            windows.next(step.clone());
            rows.append(step);
            progress(at)?;
        }
        write_hour(folder, hour, &rows)?;
        if to == from + SEGMENT {
            write_new(state_file(folder, "windows", hour + 1), &windows.checkpoint(city)?)?;
            write_new(state_file(folder, "engine", hour + 1), &simulation.checkpoint()?)?;
        }
        let marker = Hour { from_ms: from, to_ms: to, entries: rows.entries.len(), exits: rows.exits.len() };
        write_json(&hour_file(folder, hour), &marker)?;
        from = to;
    }
    SavedTrace::open(folder)
}

/// Makes the folder this city's, or finds that it is.
fn claim(city: &City, folder: &Path) -> Result<SavedTrace> {
    let identity = Identity::of(&city.options, &city.id.to_text());
    let file = identity_file(folder);
    if !file.exists() {
        let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(Error::config(format!("{} is not empty, and no saved trace", folder.display()))
                .help("Give an empty or a new folder"));
        }
        write_json(&file, &identity)?;
    }
    let there = SavedTrace::open(folder)?;
    if there.identity() != &identity {
        return Err(Error::config(format!("{} holds another city's trace, of {}", folder.display(), there.describe()))
            .help("Give another folder, or that city"));
    }
    Ok(there)
}

/// Removes what a save that was stopped left of an hour, and of the beginning of the next.
fn discard(folder: &Path, hour: usize) -> Result<()> {
    // The marker first, so that a half-removed hour never counts.
    let mut files = vec![hour_file(folder, hour)];
    files.extend(["windows", "engine"].map(|what| state_file(folder, what, hour + 1)));
    files.extend(TraceTable::ALL.map(|table| table_file(folder, table, hour)));
    for file in files {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != IoErrorKind::NotFound => {
                return Err(error).context(ErrorKind::Store, || format!("{} can't be removed", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_hour(folder: &Path, hour: usize, rows: &TraceRows) -> Result<()> {
    let path = |table| table_file(folder, table, hour);
    write_table(&path(TraceTable::Entries), &rows.entries)?;
    write_table(&path(TraceTable::Exits), &rows.exits)?;
    write_table(&path(TraceTable::Stays), &rows.stays)?;
    write_table(&path(TraceTable::Incidents), &rows.incidents)?;
    write_table(&path(TraceTable::Cells), &rows.cells)
}

fn write_table<R: Row>(path: &Path, rows: &[R]) -> Result<()> {
    let mut file = FileWriter::create(path, &R::TABLE.schema(), &WriteOptions::default())?;
    for rows in rows.chunks(1 << 16) {
        file.write(&batch(rows)?)?;
    }
    file.finish().map(drop)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value)
        .context(ErrorKind::Internal, || format!("{} can't be made JSON", path.display()))?;
    write_new(path, format!("{text}\n").as_bytes())
}

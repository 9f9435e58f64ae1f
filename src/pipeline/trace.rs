//! City → trace → folder.

use std::path::Path;

use super::observe::Source;
use super::progress::Run;
use crate::city::saved;
use crate::error::Result;

/// What was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedRun {
    /// Simulated milliseconds that the folder now covers from the city's start on.
    pub covered: i64,
}

/// Saves the city's simulation to a folder, or what is still missing there.
///
/// # Errors
/// `Config` where the folder holds something else; `Store` where it can't be written; `Interrupted`.
pub fn save_trace(source: &Source, folder: &Path, run: &mut Run<'_>) -> Result<SavedRun> {
    let (start, duration) = (source.city().options.start, source.city().options.duration);
    let saved = saved::save(source.city(), folder, |until| {
        run.step("simulate", (until - start) as u64, Some(duration as u64), "ms")
    })?;
    Ok(SavedRun { covered: saved.covered_to() - start })
}

//! City → trace → folder.

use std::path::Path;

use super::observe::Source;
use super::progress::Run;
use crate::city::saved;
use crate::error::Result;

/// Saves the city's simulation to a folder, or what is still missing there; gives the simulated milliseconds that the folder
/// now covers from the city's start on.
///
/// # Errors
/// `Config` where the folder holds something else; `Store` where it can't be written; `Interrupted`.
pub fn save_trace(source: &Source, folder: &Path, run: &mut Run<'_>) -> Result<i64> {
    let (start, duration) = (source.city().options.start, source.city().options.duration);
    let saved = saved::save(source.city(), folder, |until| {
        run.step("simulate", (until - start) as u64, Some(duration as u64), "ms")
    })?;
    Ok(saved.covered_to() - start)
}

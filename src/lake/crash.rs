//! Named places at which a test can kill the process for real.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Dies here by SIGKILL if the environment variable `CITYSTREAM_CRASH_AT` is `name`, or `name:n` for the n-th time.
pub fn crash_point(name: &str) {
    static REACHED: AtomicUsize = AtomicUsize::new(0);
    let Ok(wanted) = std::env::var("CITYSTREAM_CRASH_AT") else { return };
    let (at, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if at == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == times.parse().unwrap_or(1) {
        // SIGKILL without unsafe code; where there is no `kill` program, abort ends as hard.
        let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}

/// Every point's name, in the order in which a record passes them.
pub const CRASH_POINTS: &[&str] = &[
    "bronze_before_file",
    "bronze_after_file",
    "bronze_before_commit",
    "bronze_after_commit",
    "gap_before_row",
    "gap_after_row",
    "checkpoint_before",
    "checkpoint_after",
    "silver_before_files",
    "silver_after_files",
    "silver_after_dead_letter",
    "silver_after_quarantine",
    "silver_after_duplicate",
    "silver_before_commit",
    "silver_after_commit",
    "replace_after_files",
    "replace_after_commit",
    "compact_before_file",
    "compact_after_file",
    "compact_before_commit",
    "compact_after_commit",
    "retain_before_commit",
    "retain_after_commit",
    "rebuild_before_files",
    "rebuild_after_files",
    "rebuild_after_dead_letter",
    "rebuild_after_quarantine",
    "rebuild_after_duplicate",
    "rebuild_after_silver",
    "vacuum_before_delete",
    "vacuum_after_delete",
    "trim_before_delete",
    "trim_after_delete",
];

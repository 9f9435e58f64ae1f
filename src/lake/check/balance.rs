//! silver + dead_letter + quarantine + duplicate = bronze, at the version of bronze that silver has refined.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray;

use super::{Checked, Subject};
use crate::error::{Context, ErrorKind, Result};
use crate::lake::go_on;
use crate::lake::maintain::{FORGONE, GENERATION, dropped};
use crate::lake::silver::silver_app_id;
use crate::schema::{Side, Stream};
use crate::storage::ParquetFile;

pub(super) fn check(subjects: &[Subject], checked: &mut Checked, cancel: &AtomicBool) -> Result<()> {
    let find = |name: &str| subjects.iter().find(|s| s.name() == name);
    let mut sides = Vec::new();
    for side in Side::ALL {
        let Some(subject) = find(&format!("silver.{}", side.name())) else { continue };
        match by_stream(subject, cancel) {
            Ok(rows) => sides.push((side, subject, rows)),
            // Its files have been named already.
            Err(error) if error.kind() == ErrorKind::Store => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    for stream in Stream::EVENTS {
        let app = silver_app_id(stream);
        let (Some(bronze), Some(silver)) =
            (find(&format!("bronze.{}", stream.name())), find(&format!("silver.{}", stream.name())))
        else {
            continue;
        };
        let generation = |subject: &Subject| subject.snapshot.txns.get(GENERATION).copied().unwrap_or(0);
        if let Some((side, ..)) = sides.iter().find(|(_, subject, _)| generation(subject) != generation(silver)) {
            checked.problems.push(format!(
                "silver.{}: a rebuilding is not finished, silver.{} is of another generation; `citystream refine --rebuild` \
                 makes them anew",
                stream.name(),
                side.name()
            ));
            continue;
        }
        let reached = |subject: &Subject| subject.snapshot.txns.get(&app).copied().unwrap_or(-1);
        let at = reached(silver);
        if let Some((side, subject, _)) = sides.iter().find(|(_, subject, _)| reached(subject) != at) {
            checked.problems.push(format!(
                "silver.{}: a refinement is not finished, it has reached version {at} of bronze and silver.{} version {}; \
                 `citystream refine` finishes it",
                stream.name(),
                side.name(),
                reached(subject)
            ));
            continue;
        }
        if sides.len() < Side::ALL.len() || at > bronze.snapshot.version {
            let text = format!(
                "silver.{}: refined up to version {at} of bronze, which has {} versions and {} of 3 side tables",
                stream.name(),
                bronze.snapshot.version,
                sides.len()
            );
            checked.problems.push(text);
            continue;
        }
        let refined = match bronze.table.changes(at, bronze.snapshot.version) {
            // From the start: nothing of bronze has been refined.
            Ok(_) if at < 0 => 0,
            Ok(later) => {
                let later: u64 = later.iter().flat_map(|(_, files)| files).map(|f| f.rows).sum();
                // What retention has dropped counts, unless silver was rebuilt after that.
                let forgone = silver.snapshot.txns.get(FORGONE).map_or(0, |rows| rows.unsigned_abs());
                let gone = dropped(&bronze.snapshot.txns, None).saturating_sub(forgone);
                (bronze.rows() + gone).saturating_sub(later)
            }
            Err(error) => {
                checked.problems.push(error.to_string());
                continue;
            }
        };
        let counts: Vec<(&str, u64)> =
            std::iter::once((stream.name(), silver.rows() + dropped(&silver.snapshot.txns, None)))
                .chain(sides.iter().map(|(side, subject, rows)| {
                    let gone = dropped(&subject.snapshot.txns, Some(stream.name()));
                    (side.name(), rows.get(stream.name()).copied().unwrap_or(0) + gone)
                }))
                .collect();
        let sum: u64 = counts.iter().map(|(_, n)| n).sum();
        if sum != refined {
            let parts: Vec<_> = counts.iter().map(|(name, n)| format!("silver.{name} {n}")).collect();
            checked.problems.push(format!(
                "silver.{}: {} is {sum}, but version {at} of bronze.{} has {refined} rows",
                stream.name(),
                parts.join(" + "),
                stream.name()
            ));
        }
    }
    Ok(())
}

/// The rows of a side table by stream.
fn by_stream(subject: &Subject, cancel: &AtomicBool) -> Result<BTreeMap<String, u64>> {
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for file in &subject.snapshot.files {
        for batch in ParquetFile::open(&file.path)?.batches(&["stream"], 65_536)? {
            go_on(cancel)?;
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
            let Some(streams) = batch.column_by_name("stream").and_then(|c| c.as_string_opt::<i32>()) else { break };
            for stream in streams.iter().flatten() {
                match rows.get_mut(stream) {
                    Some(count) => *count += 1,
                    None => {
                        rows.insert(stream.to_owned(), 1);
                    }
                }
            }
        }
    }
    Ok(rows)
}

//! The log against itself: what its commits add and remove, step by step, is what the newest snapshot holds.

use std::collections::HashMap;

use super::{Checked, EXAMPLES, Subject};
use crate::lake::snapshot::DataFile;

/// Names commits that remove what is not there, compactions that change the number of rows, and files in which the commits
/// and the snapshot (so also its checkpoint) differ. Only where the log has every commit.
pub(super) fn check(subject: &Subject, checked: &mut Checked) {
    if !subject.complete {
        return;
    }
    let name = subject.name();
    let mut active: HashMap<String, Option<u64>> = HashMap::new();
    for entry in &subject.entries {
        let (mut gone, mut left) = (Vec::new(), Some(0));
        for remove in &entry.removes {
            match active.remove(&remove.path) {
                Some(rows) => left = left.zip(rows).map(|(a, b)| a + b),
                None => gone.push(remove.path.as_str()),
            }
        }
        if !gone.is_empty() {
            checked.problems.push(format!(
                "{name}: commit {} removes {} files that had left the table before, so rows may stand twice: {}",
                entry.version,
                gone.len(),
                gone.into_iter().take(EXAMPLES).collect::<Vec<_>>().join(", ")
            ));
            left = None;
        }
        let mut came = Some(0);
        for add in &entry.adds {
            let file = DataFile::from_add(subject.table.root(), add);
            let rows = file.stats.as_ref().and_then(|s| s.get("numRecords")?.as_u64());
            came = came.zip(rows).map(|(a, b)| a + b);
            active.insert(file.name, rows);
        }
        let moves = !entry.adds.is_empty() && entry.adds.iter().all(|a| !a.data_change);
        if let Some((left, came)) = left.zip(came).filter(|(left, came)| moves && left != came) {
            let text = format!("commit {} put {left} rows into other files, which have {came}", entry.version);
            checked.problems.push(format!("{name}: {text}"));
        }
    }
    let only_in_snapshot = subject.snapshot.files.iter().filter(|f| active.remove(&f.name).is_none()).count();
    if only_in_snapshot + active.len() > 0 {
        checked.problems.push(format!(
            "{name}: {only_in_snapshot} files of the snapshot are not those of its commits, and {} of those are not in it",
            active.len()
        ));
    }
}

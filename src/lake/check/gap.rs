//! Gaps: what the streams' tables say of them is what stands in `bronze.ingest_gap`.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};

use super::{Checked, Subject};
use crate::error::{Context, ErrorKind, Result};
use crate::lake::bronze::all_gaps;
use crate::schema::GAP_TABLE;
use crate::storage::ParquetFile;

/// Stream, topic id, partition, first lost offset, first offset left.
type Gap = (String, String, i32, i64, i64);

pub(super) fn is_table(subject: &Subject) -> bool {
    subject.name().strip_prefix("bronze.") == Some(GAP_TABLE)
}

pub(super) fn check(subjects: &[Subject], checked: &mut Checked) -> Result<()> {
    let mut met: BTreeMap<Gap, u64> = BTreeMap::new();
    for subject in subjects.iter().filter(|s| !is_table(s)) {
        let Some(stream) = subject.name().strip_prefix("bronze.") else { continue };
        for gap in all_gaps(&subject.snapshot.txns) {
            met.insert((stream.to_owned(), gap.topic_id, gap.partition, gap.from, gap.to), 0);
        }
    }
    if let Some(table) = subjects.iter().find(|s| is_table(s)) {
        match rows(table) {
            Ok(rows) => rows.into_iter().for_each(|gap| match met.get_mut(&gap) {
                Some(count) => *count += 1,
                None => {
                    checked.problems.push(format!("{}: no commit of bronze has the gap {}", table.name(), shown(&gap)));
                }
            }),
            // Its files have been named already.
            Err(error) if error.kind() == ErrorKind::Store => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    for (gap, count) in met.iter().filter(|(_, count)| **count != 1) {
        let problem = match count {
            0 => "has no row; the next ingest of the topic adds it".to_owned(),
            more => format!("has {more} rows"),
        };
        checked.problems.push(format!("bronze.{GAP_TABLE}: the gap {} {problem}", shown(gap)));
    }
    Ok(())
}

fn shown((stream, topic_id, partition, from, to): &Gap) -> String {
    format!("{from}..{to} of {stream} [{partition}], topic id {topic_id},")
}

fn rows(table: &Subject) -> Result<Vec<Gap>> {
    let mut rows = Vec::new();
    for file in &table.snapshot.files {
        let columns = ["stream", "topic_id", "kafka_partition", "from_offset", "to_offset"];
        for batch in ParquetFile::open(&file.path)?.batches(&columns, 8192)? {
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
            let column = |name: &str| {
                let lacks = || format!("{} lacks the column {name}", file.path.display());
                batch.column_by_name(name).ok_or("no such column").context(ErrorKind::Table, lacks)
            };
            let (stream, topic_id) = (column("stream")?.as_string::<i32>(), column("topic_id")?.as_string::<i32>());
            let partition = column("kafka_partition")?.as_primitive::<Int32Type>();
            let from = column("from_offset")?.as_primitive::<Int64Type>();
            let to = column("to_offset")?.as_primitive::<Int64Type>();
            rows.extend((0..batch.num_rows()).map(|row| {
                let text = |column: &arrow::array::StringArray| column.value(row).to_owned();
                (text(stream), text(topic_id), partition.value(row), from.value(row), to.value(row))
            }));
        }
    }
    Ok(rows)
}

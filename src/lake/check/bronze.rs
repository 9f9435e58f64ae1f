//! Bronze: every row key once, rows of a record without holes, ranges that join, rows inside the ranges.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use serde_json::Value;

use super::seen::Seen;
use super::{Checked, EXAMPLES, Subject};
use crate::error::{Context, ErrorKind, Result};
use crate::lake::bronze::{all_gaps, next_offsets, topic_ids};
use crate::lake::go_on;
use crate::lake::maintain::{TOPIC_ID, dropped};
use crate::storage::ParquetFile;

/// A partition of a topic, by the topic's id.
type Partition = (String, i32);

#[derive(Default)]
struct Committed {
    topic: String,
    from: i64,
    to: i64,
}

pub(super) fn check(subject: &Subject, checked: &mut Checked, cancel: &AtomicBool) -> Result<()> {
    let gone = dropped(&subject.snapshot.txns, None);
    let ranges = ranges(subject, checked);
    rows_brought(subject, checked);
    let seen = keys(subject, checked, cancel)?;
    let name = subject.name();
    for ((topic_id, partition), seen) in &seen {
        let Some(range) = ranges.get(&(topic_id.clone(), *partition)) else {
            if subject.complete {
                checked.problems.push(format!("{name}: no commit says where the rows of partition {partition} of the topic with the id {topic_id} come from"));
            }
            continue;
        };
        let holes = seen.with_holes();
        if let Some(offset) = holes.first() {
            checked.problems.push(format!(
                "{name}: the rows of {} records of {} [{partition}] are not numbered without holes, the first at offset {offset}",
                holes.len(),
                range.topic
            ));
        }
        let outside = seen.offsets().filter(|o| *o >= range.to || (subject.complete && *o < range.from)).count();
        if outside > 0 {
            checked.problems.push(format!(
                "{name}: {outside} offsets of {} [{partition}] lie outside of the committed range {}..{}",
                range.topic, range.from, range.to
            ));
        }
    }
    let gaps = all_gaps(&subject.snapshot.txns);
    for ((topic_id, partition), range) in &ranges {
        let seen = seen.get(&(topic_id.clone(), *partition));
        // Where retention has dropped rows, what lies before the first that is left is not looked for.
        let first = seen.filter(|_| gone > 0).and_then(|s| s.offsets().next()).unwrap_or(range.from).max(range.from);
        let held = seen.map_or(0, |s| s.within(first, range.to));
        let mut lost = 0;
        for gap in gaps.iter().filter(|g| g.topic_id == *topic_id && g.partition == *partition) {
            let (from, to) = (gap.from.max(first), gap.to.min(range.to));
            lost += (to - from).max(0).unsigned_abs();
            let inside = seen.map_or(0, |s| s.within(gap.from, gap.to));
            if inside > 0 {
                checked.problems.push(format!(
                    "{name}: {inside} offsets of {} [{partition}] have rows, although {}..{} was lost before it was read",
                    range.topic, gap.from, gap.to
                ));
            }
        }
        checked.offsets_lost += lost;
        checked.offsets_without_rows += (range.to - first).max(0).unsigned_abs().saturating_sub(held + lost);
    }
    Ok(())
}

/// The range that the commits cover, by partition; names where they do not join.
fn ranges(subject: &Subject, checked: &mut Checked) -> BTreeMap<Partition, Committed> {
    let name = subject.name();
    let mut ranges: BTreeMap<Partition, Committed> = BTreeMap::new();
    for entry in &subject.entries {
        let Some(source) = entry.info.info.get("citystream.source") else { continue };
        let text = |key: &str| source.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let parts = entry.info.info.get("citystream.ranges").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            let number = |key: &str| part.get(key).and_then(Value::as_i64);
            let (Some(partition), Some(from), Some(to)) = (number("partition"), number("from"), number("to")) else {
                checked.problems.push(format!("{name}: the ranges of commit {} can't be read", entry.version));
                continue;
            };
            let key = (text("topicId"), partition as i32);
            let known = ranges.entry(key).or_insert_with(|| Committed { topic: text("topic"), from, to: from });
            if from != known.to {
                let fault = if from < known.to { "overlap" } else { "leave a hole" };
                checked.problems.push(format!(
                    "{name}: the committed ranges of {} [{partition}] {fault}: commit {} covers {from}..{to}, those before it \
                     end at {}",
                    known.topic, entry.version, known.to
                ));
            }
            known.to = known.to.max(to);
        }
    }
    for ((_, topic_id, partition), next) in next_offsets(&subject.snapshot.txns) {
        match ranges.get(&(topic_id.clone(), partition)) {
            Some(range) if range.to != next => checked.problems.push(format!(
                "{name}: the committed ranges of {} [{partition}] end at {}, but the next offset is {next}",
                range.topic, range.to
            )),
            None if subject.complete => checked.problems.push(format!(
                "{name}: the next offset of partition {partition} of the topic with the id {topic_id} is {next}, but no commit \
                 covers it"
            )),
            _ => {}
        }
    }
    ranges
}

/// Whether the rows that the commits brought are those that there are.
fn rows_brought(subject: &Subject, checked: &mut Checked) {
    if !subject.complete {
        return;
    }
    let brought: u64 =
        subject.entries.iter().filter_map(|e| e.info.info.get("citystream.rows").and_then(Value::as_u64)).sum();
    let gone = dropped(&subject.snapshot.txns, None);
    if brought != subject.rows() + gone {
        let dropped = if gone > 0 { format!(" and retention dropped {gone}") } else { String::new() };
        let text = format!("its commits brought {brought} rows, but it has {}{dropped}", subject.rows());
        checked.problems.push(format!("{}: {text}", subject.name()));
    }
}

/// Every row key; names those that stand more than once.
fn keys(subject: &Subject, checked: &mut Checked, cancel: &AtomicBool) -> Result<BTreeMap<Partition, Seen>> {
    // Offsets start anew when a topic is recreated, so the topic's id belongs to the key. The files' tags have it, unless
    // another engine has compacted them.
    let ids = topic_ids(&subject.snapshot.txns);
    let mut seen: BTreeMap<Partition, Seen> = BTreeMap::new();
    let (mut doubled, mut examples) = (0_u64, Vec::new());
    for file in &subject.snapshot.files {
        let tag = file.tags.get(TOPIC_ID).map(String::as_str);
        let columns = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"];
        for batch in ParquetFile::open(&file.path)?.batches(&columns, 65_536)? {
            go_on(cancel)?;
            let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
            let column = |name: &str| {
                let lacks = || format!("{} lacks the column {name}", file.path.display());
                batch.column_by_name(name).ok_or("no such column").context(ErrorKind::Table, lacks)
            };
            let topics = column("kafka_topic")?.as_string::<i32>();
            let partitions = column("kafka_partition")?.as_primitive::<Int32Type>();
            let offsets = column("kafka_offset")?.as_primitive::<Int64Type>();
            let rows = column("row_in_record")?.as_primitive::<Int32Type>();
            let mut at = 0;
            while at < batch.num_rows() {
                // Rows of one partition come in runs.
                let (topic, partition) = (topics.value(at), partitions.value(at));
                let of_name =
                    ids.get(topic).filter(|ids| ids.len() == 1).and_then(|ids| ids.first().map(String::as_str));
                let same = |at: usize| partitions.value(at) == partition && topics.value(at) == topic;
                let Some(topic_id) = tag.or(of_name) else {
                    // Which of several topics of this name a row is from can't be told.
                    while at < batch.num_rows() && same(at) {
                        at += 1;
                    }
                    continue;
                };
                let run = seen.entry((topic_id.to_owned(), partition)).or_default();
                while at < batch.num_rows() && same(at) {
                    if !run.insert(offsets.value(at), rows.value(at)) {
                        doubled += 1;
                        if examples.len() < EXAMPLES {
                            examples.push(format!(
                                "{topic} [{partition}] {} row {}",
                                offsets.value(at),
                                rows.value(at)
                            ));
                        }
                    }
                    at += 1;
                }
            }
        }
    }
    if doubled > 0 {
        let text = format!("{doubled} rows stand there more than once: {}", examples.join(", "));
        checked.problems.push(format!("{}: {text}", subject.name()));
    }
    Ok(seen)
}

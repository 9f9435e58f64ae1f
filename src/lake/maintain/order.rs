//! In which order bronze's files are put together, so that each Kafka partition's offsets stay in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};

use super::super::go_on;
use super::super::snapshot::DataFile;
use crate::error::{Context, ErrorKind, Result};
use crate::storage::ParquetFile;

/// The first offset that a file has of each (topic, partition).
type Firsts = HashMap<(String, i32), i64>;

/// Puts each file after those that hold lower offsets of the same partition; files that share none, by age. Where another
/// engine has mixed offsets so that no order fits, the oldest goes first.
pub(super) fn by_offset(files: &mut Vec<DataFile>, cancel: &AtomicBool) -> Result<()> {
    let firsts = files.iter().map(|file| firsts(file, cancel)).collect::<Result<Vec<_>>>()?;
    let mut holders: BTreeMap<&(String, i32), Vec<(i64, usize)>> = BTreeMap::new();
    for (n, firsts) in firsts.iter().enumerate() {
        for (partition, &offset) in firsts {
            holders.entry(partition).or_default().push((offset, n));
        }
    }
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); files.len()];
    let mut waits = vec![0_usize; files.len()];
    for holders in holders.values_mut() {
        holders.sort_unstable();
        for pair in holders.windows(2) {
            after[pair[0].1].push(pair[1].1);
            waits[pair[1].1] += 1;
        }
    }
    let age = |n: usize| Reverse((files[n].modified_ms, files[n].name.as_str(), n));
    let mut ready: BinaryHeap<_> = (0..files.len()).filter(|&n| waits[n] == 0).map(age).collect();
    let mut left: Vec<usize> = (0..files.len()).filter(|&n| waits[n] > 0).collect();
    left.sort_by_key(|&n| Reverse(age(n)));
    let mut placed = vec![false; files.len()];
    let mut order = Vec::with_capacity(files.len());
    while order.len() < files.len() {
        let next = match ready.pop() {
            Some(Reverse((_, _, n))) => n,
            // Every file that is left waits for another one.
            None => match left.iter().find(|&&n| !placed[n]) {
                Some(&n) => n,
                None => break,
            },
        };
        if std::mem::replace(&mut placed[next], true) {
            continue;
        }
        order.push(next);
        for &later in &after[next] {
            waits[later] = waits[later].saturating_sub(1);
            if waits[later] == 0 {
                ready.push(age(later));
            }
        }
    }
    let mut all: Vec<Option<DataFile>> = std::mem::take(files).into_iter().map(Some).collect();
    files.extend(order.into_iter().filter_map(|n| all[n].take()));
    Ok(())
}

fn firsts(file: &DataFile, cancel: &AtomicBool) -> Result<Firsts> {
    let mut firsts = Firsts::new();
    for batch in ParquetFile::open(&file.path)?.batches(&["kafka_topic", "kafka_partition", "kafka_offset"], 65_536)? {
        go_on(cancel)?;
        let batch = batch.context(ErrorKind::Store, || format!("{} can't be read", file.path.display()))?;
        let column = |name: &str| {
            let lacks = || format!("{} lacks the column {name}", file.path.display());
            batch.column_by_name(name).ok_or("no such column").context(ErrorKind::Table, lacks)
        };
        let topics = column("kafka_topic")?.as_string::<i32>();
        let partitions = column("kafka_partition")?.as_primitive::<Int32Type>().values();
        let offsets = column("kafka_offset")?.as_primitive::<Int64Type>().values();
        let mut last: Option<(&str, i32)> = None;
        for row in 0..batch.num_rows() {
            let at = (topics.value(row), partitions[row]);
            // Rows of one partition come in runs, of which the first has the lowest offset.
            if last != Some(at) {
                let first = firsts.entry((at.0.to_owned(), at.1)).or_insert(offsets[row]);
                *first = offsets[row].min(*first);
                last = Some(at);
            }
        }
    }
    Ok(firsts)
}

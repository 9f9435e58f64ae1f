//! Into bronze: Kafka → codec → bronze, and the embedded road city → codec → bronze, which has no broker in between.

mod embedded;
mod kafka;

pub use embedded::ingest_city;
pub use kafka::{KafkaIngest, OnGap, PREFETCH_BYTES, ingest_kafka};

use std::collections::BTreeMap;

use crate::lake::{BronzeWriter, Committed};
use crate::schema::{GAP_TABLE, Stream};

/// What was ingested.
#[derive(Debug, Clone, Default)]
pub struct Ingested {
    /// Rows committed, by stream, undecodable ones included.
    pub records: BTreeMap<Stream, u64>,
    /// Rows committed that could not be decoded, by stream.
    pub undecodable: BTreeMap<Stream, u64>,
    /// Key and value bytes of what was read.
    pub bytes: u64,
    /// Records that the tables had already.
    pub skipped: u64,
    /// Commits.
    pub commits: u64,
    /// Commits that another writer won; their records were read again.
    pub conflicts: u64,
    /// Offsets that the topics had lost before they were read.
    pub gaps: Vec<LostOffsets>,
    /// Each topic partition that was read.
    pub partitions: Vec<PartitionProgress>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Offsets that a topic had lost before they were read: a row of `bronze.ingest_gap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOffsets {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first of them.
    pub from: i64,
    /// The first offset that was left.
    pub to: i64,
}

/// How far a topic partition was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset read.
    pub from: i64,
    /// The offset at which the next run begins.
    pub to: i64,
    /// Offsets left when the run ended.
    pub lag: i64,
}

impl Ingested {
    fn count(&mut self, stream: Stream, topic: &str, committed: &Committed) {
        *self.records.entry(stream).or_default() += committed.rows;
        if committed.undecodable > 0 {
            *self.undecodable.entry(stream).or_default() += committed.undecodable;
        }
        self.commits += u64::from(committed.files > 0);
        for &(partition, from, to) in &committed.gaps {
            self.warnings.push(format!(
                "topic {topic:?} partition {partition}: the offsets {from} to {} were gone before they were read; see \
                 bronze.{GAP_TABLE}",
                to - 1
            ));
            self.gaps.push(LostOffsets { topic: topic.to_owned(), partition, from, to });
        }
    }
}

/// One bronze table being filled.
struct Writing {
    stream: Stream,
    writer: BronzeWriter,
}

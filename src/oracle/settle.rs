//! What silver must hold of one shard of a stream: for each id the first copy that breaks no rule.

use std::collections::{HashMap, HashSet};

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt8Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType, UInt8Type};
use std::sync::Arc;

use super::id::uuid;
use super::label::{Belongs, Labels, belongs, harm};
use super::rules::judge;
use crate::error::{Error, Result};
use crate::schema::{Events, Harm, Stream};

/// The column that says how an event's bytes are harmed.
const HARM: &str = "\u{1}harm";

/// Messages of a stream by where they belong: received is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sent.
    pub received: u64,
    /// In silver.
    pub accepted: u64,
    /// Can't be decoded.
    pub dead_letter: u64,
    /// Break a rule.
    pub quarantine: u64,
    /// Further valid copies.
    pub duplicate: u64,
}

/// One shard of a stream.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) stream: Stream,
    /// The rows that silver must hold, with the wire's columns.
    pub(super) rows: RecordBatch,
    /// The id of each row.
    pub(super) ids: Vec<u128>,
    /// Events that were sent, none of whose copies may be in silver.
    pub(super) refused: HashSet<u128>,
    /// The labels of faulty events.
    pub(super) labels: HashMap<u128, Labels>,
    /// When further valid copies of an event were sent, in µs.
    pub(super) copies: HashMap<u128, Vec<i64>>,
    pub(super) counts: Counts,
}

/// The wire's columns and [`HARM`].
pub(super) fn event_schema(stream: Stream) -> SchemaRef {
    let mut fields: Vec<_> = stream.wire_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(HARM, DataType::UInt8, false)));
    Arc::new(Schema::new(fields))
}

/// Events as rows of [`event_schema`].
pub(super) fn event_rows(events: &Events) -> Result<RecordBatch> {
    let rows = events.batch.num_rows();
    let harm: UInt8Array =
        (0..rows).map(|row| Some(events.harm.get(row).copied().unwrap_or(Harm::None) as u8)).collect();
    let mut columns: Vec<ArrayRef> = events.batch.columns().to_vec();
    columns.push(Arc::new(harm));
    Ok(RecordBatch::try_new(event_schema(events.stream), columns)?)
}

/// The columns of `truth_fault` that are needed.
pub(super) fn label_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![text("id"), text("kind")]))
}

/// Settles a shard: `events` in the order in which they were sent, with their labels. Where `typed`, events with harmed bytes
/// were never delivered.
pub(super) fn settle(stream: Stream, events: &RecordBatch, labels: &RecordBatch, typed: bool) -> Result<Settled> {
    let breaches = judge(stream, events)?;
    let harms = column(events, HARM)?.as_primitive::<UInt8Type>();
    let texts = column(events, "id")?.as_string::<i32>();
    let sent = column(events, "sentAt")?.as_primitive::<TimestampMicrosecondType>();
    let mut counts = Counts::default();
    let mut accepted: HashSet<u128> = HashSet::with_capacity(events.num_rows());
    let (mut kept, mut ids) = (Vec::new(), Vec::new());
    let mut refused = HashSet::new();
    let mut copies: HashMap<u128, Vec<i64>> = HashMap::new();
    for (row, breach) in breaches.into_iter().enumerate() {
        let harm = harm(harms.value(row));
        if typed && harm != Harm::None {
            continue;
        }
        let id = uuid(texts.value(row)).ok_or_else(|| Error::internal("an event of the city has no id"))?;
        counts.received += 1;
        match (belongs(harm), breach) {
            (Belongs::DeadLetter, _) => counts.dead_letter += 1,
            (Belongs::Quarantine, _) | (_, Some(_)) => counts.quarantine += 1,
            (Belongs::Rules, None) => {
                if accepted.insert(id) {
                    kept.push(row as u32);
                    ids.push(id);
                    counts.accepted += 1;
                } else {
                    counts.duplicate += 1;
                    copies.entry(id).or_default().push(sent.value(row));
                }
                continue;
            }
        }
        refused.insert(id);
    }
    refused.retain(|id| !accepted.contains(id));

    let mut found: HashMap<u128, Labels> = HashMap::new();
    let (label_ids, kinds) = (column(labels, "id")?.as_string::<i32>(), column(labels, "kind")?.as_string::<i32>());
    for row in 0..labels.num_rows() {
        let Some(id) = uuid(label_ids.value(row)) else { continue };
        found.entry(id).or_default().add(Labels::named(kinds.value(row)));
    }
    let rows = take_record_batch(events, &UInt32Array::from(kept))?;
    Ok(Settled { stream, rows, ids, refused, labels: found, copies, counts })
}

pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("rows lack the column {name}")))
}

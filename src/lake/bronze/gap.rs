//! Ranges of offsets that a topic had lost before they were read, as rows of `bronze.ingest_gap`.
//!
//! What a gap is, the stream's own table decides: the commit that moves a partition's next offset over it carries a transaction
//! for it. The rows are made of those transactions. A row's commit carries the same transaction, so that it is written once; a
//! crash in between leaves a gap without its row, which the next writer of the topic adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use serde_json::json;

use super::epoch::GapTxn;
use crate::error::Result;
use crate::lake::crash::crash_point;
use crate::lake::files::{FileSet, now_ms};
use crate::lake::table::{Commit, Plan, Table, commit_id};
use crate::schema::{SourceId, Stream, gap_schema};

/// Adds the row of a gap unless it is there already.
pub(super) fn note(table: &Table, stream: Stream, source: &SourceId, pipeline: &str, gap: &GapTxn) -> Result<()> {
    // The same offsets of the same topic may be missing in the tables of two streams.
    let app = format!("{}/{}", stream.name(), gap.app);
    if table.state()?.txns.contains_key(&app) {
        return Ok(());
    }
    let text = |value: &str| Arc::new(StringArray::from(vec![value]));
    let number = |value: i64| Arc::new(Int64Array::from(vec![value]));
    let row = RecordBatch::try_new(
        gap_schema(),
        vec![
            text(stream.name()),
            text(&source.topic),
            Arc::new(Int32Array::from(vec![gap.partition])),
            number(gap.from),
            number(gap.to),
            number(gap.to - gap.from),
            text(&source.cluster_id),
            text(&source.topic_id),
            text(pipeline),
            Arc::new(TimestampMicrosecondArray::from(vec![now_ms() * 1000]).with_timezone("UTC")),
        ],
    )?;
    crash_point("gap_before_row");
    let mut files = FileSet::new(table.root().to_owned(), gap_schema().as_ref().clone(), commit_id(), usize::MAX);
    files.write(&vec![], &row)?;
    let adds = files.finish()?.to_vec();
    table.commit(files.commit_id(), |state| {
        if state.txns.contains_key(&app) {
            return Ok(Plan::Done);
        }
        Ok(Plan::Commit(Commit {
            adds: adds.clone(),
            txns: vec![(app.clone(), gap.to)],
            info: BTreeMap::from([("citystream.gap", json!({"stream": stream.name(), "topicId": source.topic_id}))]),
            ..Commit::default()
        }))
    })?;
    crash_point("gap_after_row");
    Ok(())
}

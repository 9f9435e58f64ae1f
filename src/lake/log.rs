//! Reading a table's log: single commits, and the application transactions that a version stands at.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use deltalake_core::kernel::{Action, Add, CommitInfo, Remove};
use deltalake_core::logstore::{LogStore, get_actions};
use deltalake_core::{DeltaTableError, ObjectStoreError};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The highest version of each application transaction.
pub(crate) type Txns = BTreeMap<String, i64>;

/// One commit of the log.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) version: i64,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
    pub(crate) txns: Vec<(String, i64)>,
    pub(crate) info: CommitInfo,
}

impl Entry {
    /// A text that we put into the commit's description.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.info.info.get(key).and_then(|v| v.as_str())
    }
}

/// Reads the commit of `version`; `None` where the log has no such file.
pub(crate) async fn entry(log: &dyn LogStore, version: i64) -> Result<Option<Entry>, DeltaTableError> {
    let Some(bytes) = log.read_commit_entry(version as u64).await? else { return Ok(None) };
    let mut entry = Entry { version, ..Entry::default() };
    for action in get_actions(version as u64, &bytes)? {
        match action {
            Action::Add(add) => entry.adds.push(add),
            Action::Remove(remove) => entry.removes.push(remove),
            Action::Txn(txn) => entry.txns.push((txn.app_id, txn.version)),
            Action::CommitInfo(info) => entry.info = info,
            _ => {}
        }
    }
    Ok(Some(entry))
}

/// The transactions at `version`: `known` (of an earlier version) brought forward, or all read anew.
pub(crate) async fn txns(
    log: &dyn LogStore,
    version: i64,
    known: Option<(i64, Txns)>,
) -> Result<Txns, DeltaTableError> {
    if let Some((at, txns)) = known.filter(|(at, _)| *at <= version) {
        // Where the log was cleaned up meanwhile, a checkpoint has what is missing.
        if let Some(txns) = forward(log, at, txns, version).await? {
            return Ok(txns);
        }
    }
    let (at, txns) = from_checkpoint(log, version).await?;
    forward(log, at, txns, version).await?.ok_or(DeltaTableError::InvalidVersion((at + 1) as u64))
}

/// The transactions `txns` of version `from` brought to version `to`; `None` where a commit in between is gone.
async fn forward(log: &dyn LogStore, from: i64, mut txns: Txns, to: i64) -> Result<Option<Txns>, DeltaTableError> {
    for version in from + 1..=to {
        let Some(entry) = entry(log, version).await? else { return Ok(None) };
        txns.extend(entry.txns);
    }
    Ok(Some(txns))
}

/// The transactions of the newest checkpoint not after `version`, with its version; -1 where there is none.
async fn from_checkpoint(log: &dyn LogStore, version: i64) -> Result<(i64, Txns), DeltaTableError> {
    let store = log.object_store(None);
    let files: Vec<_> = store.list(Some(log.log_path())).map_ok(|m| m.location).try_collect().await?;
    let at = files.iter().filter_map(checkpoint_version).filter(|&v| v <= version).max();
    let Some(at) = at else { return Ok((-1, Txns::new())) };
    let mut txns = Txns::new();
    for path in files.iter().filter(|p| checkpoint_version(p) == Some(at)) {
        let bytes = store.get(path).await?.bytes().await?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let leaves = ["txn.appId", "txn.version"];
        let mask = ProjectionMask::columns(builder.parquet_schema(), leaves);
        for batch in builder.with_projection(mask).build()? {
            let batch = batch?;
            let Some(txn) = batch.column_by_name("txn").and_then(|c| c.as_struct_opt()) else { continue };
            let (Some(ids), Some(versions)) = (txn.column_by_name("appId"), txn.column_by_name("version")) else {
                continue;
            };
            let versions = versions.as_primitive::<Int64Type>();
            let ids = arrow::compute::cast(ids, &arrow::datatypes::DataType::Utf8)?;
            // Rows of other actions have a null struct; what its children hold there means nothing.
            for (row, (id, version)) in ids.as_string::<i32>().iter().zip(versions).enumerate() {
                if let (true, Some(id), Some(version)) = (txn.is_valid(row), id, version) {
                    txns.insert(id.to_owned(), version);
                }
            }
        }
    }
    Ok((at, txns))
}

/// The version of a checkpoint's main file: `…/00000000000000000020.checkpoint*.parquet`.
fn checkpoint_version(path: &Path) -> Option<i64> {
    let (version, rest) = path.filename()?.split_once(".checkpoint")?;
    (rest.strip_suffix(".parquet").is_some() && version.len() == 20).then(|| version.parse().ok())?
}

/// The oldest commit file that the log still has, and the newest; `None` for an empty log.
pub(crate) async fn commit_range(log: &dyn LogStore) -> Result<Option<(i64, i64)>, ObjectStoreError> {
    let files: Vec<_> = log.object_store(None).list(Some(log.log_path())).map_ok(|m| m.location).try_collect().await?;
    let versions = files.iter().filter_map(|p| {
        let (version, rest) = p.filename()?.split_once('.')?;
        (rest == "json" && version.len() == 20).then(|| version.parse::<i64>().ok())?
    });
    Ok(versions.fold(None, |range, v| Some(range.map_or((v, v), |(a, b): (i64, i64)| (a.min(v), b.max(v))))))
}

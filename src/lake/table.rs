//! One Delta table: its state, and the one loop through which every commit goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, MetadataExt, Remove, StructType, Transaction};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode, checkpoints};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use serde_json::Value;

use super::crash::crash_point;
use super::files::now_ms;
use super::log::{self, Entry, Txns};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::{DurableStore, Place, block_on};

/// A checkpoint is written every so many commits.
const CHECKPOINT_EVERY: u64 = 20;

/// How often a commit may lose against other writers, who each get on by it.
const LOST_COMMITS: u32 = 200;

/// How often a commit whose outcome was unclear, and that turned out not to be there, is tried again.
const UNCLEAR_COMMITS: u32 = 5;

/// The key in commitInfo under which each commit has its id.
pub(crate) const COMMIT_ID: &str = "citystream.commitId";

/// A table of the lake.
pub(crate) struct Table {
    name: String,
    root: Place,
    log: LogStoreRef,
    newest: Mutex<Option<Arc<State>>>,
}

/// What a table is at one version.
pub(crate) struct State {
    pub(crate) version: i64,
    pub(crate) txns: Txns,
    delta: DeltaTableState,
}

/// What a commit does.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) adds: Vec<Add>,
    /// Paths of active files, as the log has them.
    pub(crate) removes: Vec<String>,
    pub(crate) txns: Vec<(String, i64)>,
    /// Another schema or other comments.
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) description: Option<String>,
    pub(crate) info: BTreeMap<&'static str, Value>,
    pub(crate) kind: Kind,
}

/// What a commit is for, as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// Rows come in, or take the place of others.
    #[default]
    Write,
    /// The same rows in other files, of this size in bytes: no reader of changes has to look.
    Compact(u64),
    /// Rows leave.
    Delete,
    /// Columns come in.
    Columns,
    /// Only a note: files that the table no longer has were deleted.
    Vacuum,
}

/// What the planner of a commit says about the state that the commit would stand on.
pub(crate) enum Plan {
    Commit(Commit),
    /// What was wanted is in the table already.
    Done,
}

fn shown(name: &str, root: &Place) -> String {
    format!("{name} ({})", root.display())
}

impl Table {
    /// The table `name` in the folder `root`; its log need not exist yet.
    pub(crate) fn at(name: &str, root: impl Into<Place>) -> Result<Self> {
        let root = root.into();
        let store = match root.as_object() {
            Some((store, _)) => Arc::clone(store),
            None => Arc::new(DurableStore::new(LocalFileSystem::new())) as Arc<dyn ObjectStore>,
        };
        Self::on(name, root, store)
    }

    /// As [`Table::at`], with its log in `store`, whose root is the file system's or the bucket's.
    pub(crate) fn on(name: &str, root: impl Into<Place>, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let root = root.into();
        let url = root.folder_url()?;
        let prefix = object_store::path::Path::from_url_path(url.path())
            .context(ErrorKind::Config, || format!("{} can't be the path of a table", root.display()))?;
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&store), prefix));
        let log = default_logstore(prefixed, store, &url, &StorageConfig::default());
        Ok(Self { name: name.to_owned(), root, log, newest: Mutex::default() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn root(&self) -> &Place {
        &self.root
    }

    /// Makes the table, empty, unless it exists.
    pub(crate) fn ensure(&self, schema: &Schema, partitions: &[&str], description: &str) -> Result<()> {
        if !self.root.join("_delta_log").is_missing_log()
            && block_on(log::commit_range(self.log.as_ref()))?.is_ok_and(|r| r.is_some())
        {
            return Ok(());
        }
        self.root.create_folders()?;
        let columns: StructType = schema
            .try_into_kernel()
            .context(ErrorKind::Config, || format!("{} can't have these columns", self.name))?;
        let create = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log))
            .with_table_name(&self.name)
            .with_comment(description)
            .with_columns(columns.fields().cloned())
            .with_partition_columns(partitions.iter().copied())
            .with_configuration([("delta.checkpointInterval", Some(CHECKPOINT_EVERY.to_string()))])
            // Without this, a creator that lost the race would write its metadata as version 1.
            .with_commit_properties(CommitProperties::default().with_max_retries(0));
        let made = block_on(async { create.await.map(|_| ()) })?;
        match made {
            Ok(()) => Ok(()),
            // Somebody else made it in the meantime: then it can be loaded.
            Err(error) => self.state().map(|_| ()).map_err(|_| self.error("can't be created", error)),
        }
    }

    pub(crate) fn error(&self, what: &str, cause: DeltaTableError) -> Error {
        let kind = match &cause {
            DeltaTableError::ObjectStore { .. } | DeltaTableError::Io { .. } => ErrorKind::Store,
            _ => ErrorKind::Table,
        };
        Error::new(kind, format!("{} {what}", shown(&self.name, &self.root))).because(cause)
    }

    /// The newest state.
    ///
    /// # Errors
    /// `Table` where there is no table, or its log can't be understood.
    pub(crate) fn state(&self) -> Result<Arc<State>> {
        if self.root.join("_delta_log").is_missing_log() {
            return Err(self.missing());
        }
        let known = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = block_on(self.load(known))?.map_err(|e| {
            let remote = self.root.local().is_none();
            if remote && is_store(&e) {
                return self.error("can't be read", e);
            }
            // A bucket has no folder whose absence would have told.
            if remote && self.commit_range().is_ok_and(|range| range.is_none()) {
                return self.missing();
            }
            let help = "The log is damaged or not Delta's: restore _delta_log from a copy, or make the table anew";
            Error::new(ErrorKind::Table, format!("{} has no readable log", shown(&self.name, &self.root)))
                .because(e)
                .help(help)
        })?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&state));
        Ok(state)
    }

    fn missing(&self) -> Error {
        Error::new(ErrorKind::Table, format!("{} does not exist", shown(&self.name, &self.root)))
            .help("`citystream tables` lists the tables that there are")
    }

    async fn load(&self, known: Option<Arc<State>>) -> Result<Arc<State>, DeltaTableError> {
        let log = self.log.as_ref();
        let Some(known) = known else {
            let delta = DeltaTableState::try_new(log, None).await?;
            return self.with_txns(delta, None).await;
        };
        let mut delta = known.delta.clone();
        if delta.update(log, None).await.is_err() {
            // The log may have been cleaned up past what is known; if it is broken, this says so too.
            let delta = DeltaTableState::try_new(log, None).await?;
            return self.with_txns(delta, None).await;
        }
        if delta.version() as i64 == known.version {
            return Ok(known);
        }
        self.with_txns(delta, Some((known.version, known.txns.clone()))).await
    }

    async fn with_txns(
        &self,
        delta: DeltaTableState,
        known: Option<(i64, Txns)>,
    ) -> Result<Arc<State>, DeltaTableError> {
        let version = delta.version() as i64;
        let txns = log::txns(self.log.as_ref(), version, known).await?;
        Ok(Arc::new(State { version, txns, delta }))
    }

    /// The state at an older version.
    pub(crate) fn state_at(&self, version: i64) -> Result<State> {
        let state = block_on(async {
            let log = self.log.as_ref();
            let delta = DeltaTableState::try_new(log, Some(version as u64)).await?;
            let txns = log::txns(log, version, None).await?;
            Ok(State { version, txns, delta })
        })?;
        state.map_err(|e| self.error(&format!("can't be read at version {version}"), e))
    }

    /// The commit of `version`, where the log still has it.
    pub(crate) fn entry(&self, version: i64) -> Result<Option<Entry>> {
        block_on(log::entry(self.log.as_ref(), version))?
            .map_err(|e| self.error(&format!("has no readable commit {version}"), e))
    }

    /// The oldest and the newest version whose commit the log still has.
    pub(crate) fn commit_range(&self) -> Result<Option<(i64, i64)>> {
        block_on(log::commit_range(self.log.as_ref()))?.map_err(|e| self.error("can't be listed", e.into()))
    }

    /// Commits what `plan` makes of the newest state.
    ///
    /// Each attempt stands on exactly the state that `plan` saw (deltalake's own retries would check a winner's transactions
    /// but not the files we remove), so `plan` is where offsets and inputs are compared; that the files to be removed are
    /// active is checked here. A commit whose outcome is unclear is looked up by its id, never written twice.
    ///
    /// # Errors
    /// What `plan` returns; `Conflict` where a file to be removed is gone; `Store` or `Table` where the log can't be written.
    pub(crate) fn commit(&self, id: &str, mut plan: impl FnMut(&State) -> Result<Plan>) -> Result<Option<i64>> {
        let (mut lost, mut unclear) = (0, 0);
        loop {
            let state = self.state()?;
            let Plan::Commit(commit) = plan(&state)? else { return Ok(None) };
            let error = match block_on(self.attempt(id, &state, commit)?)? {
                Ok(delta) => {
                    let version = delta.version();
                    self.after(delta)?;
                    return Ok(Some(version as i64));
                }
                Err(error) => error,
            };
            // The write may have succeeded all the same, also where a repetition of it was refused; if so, it has the very next
            // version.
            let next = state.version + 1;
            if self.entry(next)?.is_some_and(|e| e.text(COMMIT_ID) == Some(id)) {
                return Ok(Some(next));
            }
            if is_lost(&error) {
                lost += 1;
                if lost > LOST_COMMITS {
                    return Err(self.error("is being written to without pause", error).retryable());
                }
                std::thread::sleep(Duration::from_millis(u64::from(lost.min(20))));
                continue;
            }
            unclear += 1;
            if unclear >= UNCLEAR_COMMITS {
                return Err(self.error("can't be committed to", error).retryable());
            }
            std::thread::sleep(Duration::from_millis(50 << unclear));
        }
    }

    /// Looks for the commit `id` among the versions after `since`.
    pub(crate) fn find_commit(&self, id: &str, since: i64) -> Result<Option<i64>> {
        for version in since + 1..=self.state()?.version {
            if self.entry(version)?.is_some_and(|e| e.text(COMMIT_ID) == Some(id)) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    fn attempt<'a>(
        &'a self,
        id: &str,
        state: &'a State,
        commit: Commit,
    ) -> Result<impl Future<Output = Result<DeltaTableState, DeltaTableError>> + 'a> {
        let mut actions: Vec<Action> = Vec::new();
        if let Some(schema) = &commit.schema {
            let columns: StructType = schema
                .as_ref()
                .try_into_kernel()
                .context(ErrorKind::Config, || format!("{} can't have these columns", self.name))?;
            let mut metadata = state
                .delta
                .metadata()
                .clone()
                .with_schema(&columns)
                .map_err(|e| self.error("can't change", e.into()))?;
            if let Some(text) = commit.description {
                metadata = metadata.with_description(text).map_err(|e| self.error("can't change", e.into()))?;
            }
            actions.push(Action::Metadata(metadata));
        }
        let compacts = matches!(commit.kind, Kind::Compact(_));
        if compacts {
            // delta-rs lets a compaction through after another one that removed the same files, since neither changes data,
            // and the rows would stand twice. That the metadata was written, though unchanged, is a conflict to it.
            actions.push(Action::Metadata(state.delta.metadata().clone()));
        }
        actions.extend(self.removes(state, &commit.removes, !compacts)?.into_iter().map(Action::Remove));
        actions.extend(commit.adds.into_iter().map(Action::Add));
        let mut info: HashMap<String, Value> = commit.info.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        info.insert(COMMIT_ID.into(), id.into());
        let txns = commit.txns.into_iter().map(|(app, version)| Transaction::new(app, version)).collect();
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(txns)
            .with_metadata(info);
        let operation = operation(&commit.kind, commit.removes.is_empty(), state);
        let builder = CommitBuilder::from(properties).with_actions(actions);
        let log = Arc::clone(&self.log);
        Ok(async move { Ok(builder.build(Some(&state.delta), log, operation).await?.snapshot()) })
    }

    fn removes(&self, state: &State, paths: &[String], data_change: bool) -> Result<Vec<Remove>> {
        let wanted: HashSet<&str> = paths.iter().map(String::as_str).collect();
        let removes: Vec<_> = state
            .delta
            .log_data()
            .iter()
            .filter(|f| wanted.contains(f.path().as_ref()))
            .map(|f| f.remove_action(data_change))
            .collect();
        if removes.len() < wanted.len() {
            let gone = format!("{} of the files to replace in {} are gone", wanted.len() - removes.len(), self.name);
            return Err(Error::new(ErrorKind::Conflict, gone).retryable());
        }
        Ok(removes)
    }

    /// Writes a checkpoint of `state`, from which readers start instead of from the first commit.
    ///
    /// # Errors
    /// `Store` or `Table` where it can't be written.
    pub(crate) fn checkpoint(&self, state: &State) -> Result<()> {
        crash_point("checkpoint_before");
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        table.state = Some(state.delta.clone());
        let written = block_on(checkpoints::create_checkpoint(&table, None))?;
        crash_point("checkpoint_after");
        written.map_err(|e| self.error("can't be checkpointed", e))
    }

    /// The store of the table's folder: its files and its log.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.log.object_store(None)
    }

    pub(crate) fn log(&self) -> &LogStoreRef {
        &self.log
    }

    /// After a commit: keeps its state, and writes a checkpoint when one is due.
    fn after(&self, delta: DeltaTableState) -> Result<()> {
        let known = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = known.map(|s| (s.version, s.txns.clone()));
        let due = (delta.version() + 1).is_multiple_of(CHECKPOINT_EVERY);
        // What fails here can't undo the commit: the next call reads the log anew, and the next checkpoint comes in time.
        let Ok(state) = block_on(self.with_txns(delta, known))? else { return Ok(()) };
        if due {
            let _ = self.checkpoint(&state);
        }
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
        Ok(())
    }
}

/// What the log calls a commit.
fn operation(kind: &Kind, adds_only: bool, state: &State) -> DeltaOperation {
    let mode = if adds_only { SaveMode::Append } else { SaveMode::Overwrite };
    let partitions = state.partition_columns();
    match kind {
        Kind::Write => DeltaOperation::Write {
            mode,
            partition_by: (!partitions.is_empty()).then_some(partitions),
            predicate: None,
        },
        Kind::Compact(target) => DeltaOperation::Optimize { predicate: None, target_size: *target as i64 },
        Kind::Delete => DeltaOperation::Delete { predicate: None },
        Kind::Columns => DeltaOperation::UpdateFieldMetadata { fields: Vec::new() },
        Kind::Vacuum => DeltaOperation::VacuumEnd { status: "COMPLETED".into() },
    }
}

/// Whether the store, not what is in it, is at fault.
fn is_store(error: &DeltaTableError) -> bool {
    use object_store::Error::{Generic, PermissionDenied, Unauthenticated};
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Generic { .. } | PermissionDenied { .. } | Unauthenticated { .. }) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the commit is certainly not in the log, because another one has its version.
fn is_lost(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
            }
    )
}

impl State {
    /// The columns, partition columns included, in declared order.
    pub(crate) fn schema(&self) -> Result<SchemaRef> {
        let schema: Schema = self
            .delta
            .schema()
            .as_ref()
            .try_into_arrow()
            .context(ErrorKind::Table, || "a table's columns have no Arrow types".into())?;
        Ok(Arc::new(schema))
    }

    pub(crate) fn partition_columns(&self) -> Vec<String> {
        self.delta.metadata().partition_columns().to_vec()
    }

    pub(crate) fn configuration(&self) -> &HashMap<String, String> {
        self.delta.metadata().configuration()
    }

    pub(crate) fn description(&self) -> Option<&str> {
        self.delta.metadata().description()
    }

    pub(crate) fn delta(&self) -> &DeltaTableState {
        &self.delta
    }

    /// When the version was committed, in ms since the epoch.
    pub(crate) fn committed_at(&self, table: &Table) -> Result<Option<i64>> {
        if let Some(at) = self.delta.version_timestamp(self.version as u64) {
            return Ok(Some(at));
        }
        Ok(table.entry(self.version)?.and_then(|e| e.info.timestamp))
    }
}

/// A new commit's id.
pub(crate) fn commit_id() -> String {
    format!("{:011x}-{}", now_ms(), &uuid::Uuid::new_v4().simple().to_string()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field};
    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use object_store::path::Path as StorePath;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
        PutPayload, PutResult,
    };
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A store that answers some writes of the log with an error, after or instead of doing them.
    #[derive(Debug)]
    struct Unsure {
        inner: DurableStore,
        /// Writes left that succeed and say otherwise.
        after: AtomicUsize,
        /// Writes left that fail.
        instead: AtomicUsize,
    }

    impl std::fmt::Display for Unsure {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "Unsure")
        }
    }

    fn take(left: &AtomicUsize) -> bool {
        left.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
    }

    fn time_out() -> object_store::Error {
        object_store::Error::Generic { store: "test", source: "the answer did not come in time".into() }
    }

    #[async_trait]
    impl ObjectStore for Unsure {
        async fn put_opts(
            &self,
            at: &StorePath,
            payload: PutPayload,
            options: PutOptions,
        ) -> object_store::Result<PutResult> {
            if take(&self.instead) {
                return Err(time_out());
            }
            let done = self.inner.put_opts(at, payload, options).await;
            if take(&self.after) { Err(time_out()) } else { done }
        }
        async fn put_multipart_opts(
            &self,
            at: &StorePath,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(at, options).await
        }
        async fn get_opts(&self, at: &StorePath, options: GetOptions) -> object_store::Result<GetResult> {
            self.inner.get_opts(at, options).await
        }
        fn delete_stream(
            &self,
            at: BoxStream<'static, object_store::Result<StorePath>>,
        ) -> BoxStream<'static, object_store::Result<StorePath>> {
            self.inner.delete_stream(at)
        }
        fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.inner.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> object_store::Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> object_store::Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }

    fn table(folder: &std::path::Path, after: usize, instead: usize) -> Table {
        let inner = DurableStore::new(LocalFileSystem::new());
        let (after, instead) = (AtomicUsize::new(after), AtomicUsize::new(instead));
        let store = Arc::new(Unsure { inner, after, instead });
        Table::on("gold.x", folder, store).unwrap()
    }

    fn set(app: &str, version: i64) -> Commit {
        Commit { txns: vec![(app.into(), version)], ..Commit::default() }
    }

    #[test]
    fn a_commit_that_landed_without_our_hearing_is_found_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("x");
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true)]);
        Table::at("gold.x", &root).unwrap().ensure(&schema, &[], "").unwrap();
        let table = table(&root, 1, 0);
        let mut plans = 0;
        let landed = table.commit("mine", |_| {
            plans += 1;
            Ok(Plan::Commit(set("app", 7)))
        });
        assert_eq!((landed.unwrap(), plans), (Some(1), 1));
        let state = table.state().unwrap();
        assert_eq!((state.version, state.txns["app"]), (1, 7));
    }

    #[test]
    fn a_commit_that_did_not_land_is_tried_again_and_then_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("x");
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true)]);
        Table::at("gold.x", &root).unwrap().ensure(&schema, &[], "").unwrap();
        let table = self::table(&root, 0, 2);
        assert_eq!(table.commit("mine", |_| Ok(Plan::Commit(set("app", 7)))).unwrap(), Some(1));
        let table = self::table(&root, 0, 100);
        let error = table.commit("other", |_| Ok(Plan::Commit(set("app", 8)))).unwrap_err();
        assert!(error.is_retryable() && error.to_string().contains("did not come in time"), "{error}");
        assert_eq!(table.state().unwrap().version, 1);
    }

    #[test]
    fn a_commit_stands_on_the_state_that_its_plan_saw() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("x");
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true)]);
        let (table, rival) = (Table::at("gold.x", &root).unwrap(), Table::at("gold.x", &root).unwrap());
        table.ensure(&schema, &[], "").unwrap();
        let mut seen = Vec::new();
        let landed = table.commit("mine", |state| {
            seen.push(state.version);
            if state.version == 0 {
                rival.commit("rival", |_| Ok(Plan::Commit(set("rival", 1))))?;
            }
            Ok(Plan::Commit(set("mine", 1)))
        });
        assert_eq!((landed.unwrap(), seen), (Some(2), vec![0, 1]));
        let removes = Commit { removes: vec!["gone.parquet".into()], ..Commit::default() };
        let mut once = Some(removes);
        let error = table.commit("third", |_| Ok(Plan::Commit(once.take().unwrap_or_default()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
}

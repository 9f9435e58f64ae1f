//! The object store under the table log on local disk: what it has acknowledged is on the disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use super::local::NewFile;
use crate::error::Error;

/// [`LocalFileSystem`], except that each object is synced, with its folder, before a write returns.
///
/// A table's log entry that loses its bytes in a power cut would break the table; object_store does not sync.
#[derive(Debug, Clone)]
pub struct DurableStore {
    inner: Arc<LocalFileSystem>,
}

impl DurableStore {
    /// The store of everything below `inner`'s prefix.
    pub fn new(inner: LocalFileSystem) -> Self {
        Self { inner: Arc::new(inner) }
    }

    async fn write(&self, location: &Path, payload: PutPayload, mode: PutMode) -> Result<PutResult> {
        let path = self.inner.path_to_filesystem(location)?;
        let create = match mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(not_implemented("an update with a condition")),
        };
        let written = tokio::task::spawn_blocking(move || write(path, &payload, create));
        written.await.map_err(|e| generic(e.into()))??;
        Ok(PutResult { e_tag: None, version: None })
    }
}

fn write(path: PathBuf, payload: &PutPayload, create: bool) -> Result<()> {
    use std::io::Write;

    let shown = path.display().to_string();
    let publish = || {
        let mut file = NewFile::create(path)?;
        for part in payload {
            file.write_all(part).map_err(|e| Error::new(crate::error::ErrorKind::Store, &shown).because(e))?;
        }
        if create { file.publish() } else { file.publish_over() }
    };
    publish().map_err(|error| {
        let taken = std::error::Error::source(&error)
            .and_then(|cause| cause.downcast_ref::<std::io::Error>())
            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::AlreadyExists);
        if create && taken {
            object_store::Error::AlreadyExists { path: shown.clone(), source: error.into() }
        } else {
            generic(error.into())
        }
    })
}

fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
    object_store::Error::Generic { store: "local disk", source }
}

fn not_implemented(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.into(), implementer: "DurableStore".into() }
}

impl std::fmt::Display for DurableStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Durable{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.write(location, payload, opts.mode).await
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload { store: self.clone(), location: location.clone(), parts: Mutex::default() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Parts of one object, kept until they are complete: what goes through here is checkpoints, a few MB.
#[derive(Debug)]
struct Upload {
    store: DurableStore,
    location: Path,
    parts: Mutex<Vec<PutPayload>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(data);
        Box::pin(async { Ok(()) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        let whole: PutPayload = parts.iter().flatten().cloned().collect();
        self.store.write(&self.location, whole, PutMode::Overwrite).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::block_on;
    use object_store::ObjectStoreExt;

    #[test]
    fn create_refuses_a_second_time_and_overwrite_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableStore::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        let path = Path::from("log/0.json");
        block_on(async {
            let create = PutOptions::from(PutMode::Create);
            store.put_opts(&path, "one".into(), create.clone()).await.unwrap();
            let again = store.put_opts(&path, "two".into(), create).await;
            assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
            store.put(&path, "three".into()).await.unwrap();
            let mut upload = store.put_multipart(&Path::from("log/big")).await.unwrap();
            upload.put_part("ab".into()).await.unwrap();
            upload.put_part("c".into()).await.unwrap();
            upload.complete().await.unwrap();
        })
        .unwrap();
        assert_eq!(std::fs::read(folder.path().join("log/0.json")).unwrap(), b"three");
        assert_eq!(std::fs::read(folder.path().join("log/big")).unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(folder.path().join("log")).unwrap().count(), 2);
    }
}

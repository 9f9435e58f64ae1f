//! Copies what somebody else has put into a bucket to a folder of this machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Place, block_on};
use crate::error::{Context, Error, ErrorKind, Result};

/// Files that are under way at once.
const AT_ONCE: usize = 8;

impl Place {
    /// Copies the object, or what is below the prefix with the names that it has there, into the folder `into`. Returns how
    /// many files that were.
    ///
    /// # Errors
    /// `Store` where there is nothing, or it can't be read or written. `Internal` for a place on this machine.
    pub fn fetch(&self, into: &Path) -> Result<usize> {
        let Some((store, key)) = self.as_object() else {
            return Err(Error::internal(format!("{self} is on this machine")));
        };
        let found = block_on(files(store, key))?.context(ErrorKind::Store, || format!("{self} can't be listed"))?;
        if found.is_empty() {
            return Err(Error::new(ErrorKind::Store, format!("there is nothing at {self}"))
                .help("Give the address of a Parquet file, of a folder of them, or of a Delta table"));
        }
        let copies = found.iter().map(|(from, name)| async move { copy(store, from, &into.join(name)).await });
        let all = stream::iter(copies).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>();
        block_on(all)?.context(ErrorKind::Store, || format!("{self} can't be copied to {}", into.display()))?;
        Ok(found.len())
    }
}

/// Each object, with its name below the key; the key itself may be one.
async fn files(store: &dyn ObjectStore, key: &Key) -> object_store::Result<Vec<(Key, String)>> {
    let prefix = (!key.as_ref().is_empty()).then_some(key);
    // Some tools put an empty object where a folder begins.
    if let Some(name) = key.filename() {
        match store.head(key).await {
            Ok(found) if found.size > 0 => return Ok(vec![(key.clone(), name.to_owned())]),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let all: Vec<_> = store.list(prefix).try_collect().await?;
    let named = all.into_iter().filter(|meta| meta.size > 0).filter_map(|meta| {
        let parts: Vec<_> = meta.location.prefix_match(key)?.map(|part| part.as_ref().to_owned()).collect();
        Some((meta.location, parts.join("/")))
    });
    Ok(named.collect())
}

/// Writes on the thread that reads: a disk does not keep a network waiting.
async fn copy(store: &dyn ObjectStore, from: &Key, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut chunks = store.get(from).await?.into_stream();
    let mut file = File::create(to)?;
    while let Some(chunk) = chunks.try_next().await? {
        file.write_all(&chunk)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn a_file_and_what_is_below_a_prefix_are_copied() {
        let root = Place::object(Arc::new(InMemory::new()), "s3://b", "", None).unwrap();
        for (name, text) in [("t/_delta_log/0.json", "log"), ("t/d=1/a.parquet", "a"), ("tt/b.parquet", "b")] {
            root.join(name).write_new(text.as_bytes()).unwrap();
        }
        root.join("t").write_new(b"").unwrap();
        let (folder, read) = (tempfile::tempdir().unwrap(), |path: std::path::PathBuf| std::fs::read_to_string(path));
        assert_eq!(root.join("t").fetch(folder.path()).unwrap(), 2);
        assert_eq!(read(folder.path().join("_delta_log/0.json")).unwrap(), "log");
        assert_eq!(read(folder.path().join("d=1/a.parquet")).unwrap(), "a");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(root.join("tt/b.parquet").fetch(folder.path()).unwrap(), 1);
        assert_eq!(read(folder.path().join("b.parquet")).unwrap(), "b");
        assert_eq!(root.fetch(folder.path()).unwrap(), 3);
        let error = root.join("nothing").fetch(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.to_string().contains("there is nothing at s3://b/nothing"), "{error}");
    }
}

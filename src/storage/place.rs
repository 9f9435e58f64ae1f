//! Where a lake, a table or a file is: a path of this machine, or a key in an object store.
//!
//! The two differ in how they are written (see [`NewObject`]) and read (see [`super::ParquetFile`]); whoever walks from a
//! lake to a file need not know which it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::{Path as Key, PathPart};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::sync::Semaphore;

use super::local::{create_folders, write_new};
use super::s3::{PART_BYTES, PART_UPLOADS, S3Options, S3Store};
use super::{NewObject, block_on};
use crate::error::{Context, Error, ErrorKind, Result};

/// A file or folder. Cheap to clone.
#[derive(Clone)]
pub enum Place {
    /// A path of this machine.
    Local(PathBuf),
    /// An object, or what has its key as a prefix.
    Object(Object),
}

/// A key in an object store.
#[derive(Clone)]
pub struct Object {
    bucket: Arc<Bucket>,
    key: Key,
}

/// An object store, with its name and how it is written to.
pub(super) struct Bucket {
    pub store: Arc<dyn ObjectStore>,
    /// Such as `s3://bucket`.
    address: String,
    pub part_bytes: usize,
    /// One for each part that may be under way, over all files.
    pub permits: Arc<Semaphore>,
}

impl Place {
    /// `key` in `store`, which is called `address` (`s3://bucket`) in messages. Files are written in parts of `parts.0` bytes,
    /// of which `parts.1` are under way at once; `None` is [`PART_BYTES`] and [`PART_UPLOADS`].
    ///
    /// # Errors
    /// `Config` for a key that no object can have.
    pub fn object(
        store: Arc<dyn ObjectStore>,
        address: &str,
        key: &str,
        parts: Option<(usize, usize)>,
    ) -> Result<Self> {
        let key =
            Key::parse(key).context(ErrorKind::Config, || format!("{address}/{key} can't be the address of a lake"))?;
        let (part_bytes, part_uploads) = parts.unwrap_or((PART_BYTES, PART_UPLOADS));
        let permits = Arc::new(Semaphore::new(part_uploads));
        let bucket = Bucket { store, address: address.to_owned(), part_bytes, permits };
        Ok(Self::Object(Object { bucket: Arc::new(bucket), key }))
    }

    /// `prefix` of the bucket `bucket`, by options of the store; see [`S3Options`].
    ///
    /// # Errors
    /// `Config` for an option that is unknown or wrong, without a region, or for a key that no object can have.
    pub fn on_s3(bucket: &str, prefix: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        let options = S3Options::new(options)?;
        let parts = options.parts();
        let store = S3Store::open(bucket, options)?;
        Self::object(Arc::new(store), &format!("s3://{bucket}"), prefix, Some(parts))
    }

    /// What is called `name` below it; `name` may hold slashes.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.join(name)),
            Self::Object(Object { bucket, key }) => {
                // A name of the log is an object's key as it stands; one that can't be a key gets escaped.
                let parts = name.split('/').filter(|part| !part.is_empty());
                let parts = parts.map(|part| PathPart::parse(part).unwrap_or_else(|_| PathPart::from(part)));
                let key = key.parts().chain(parts).collect();
                Self::Object(Object { bucket: Arc::clone(bucket), key })
            }
        }
    }

    /// Its name, for messages: a path, or `s3://bucket/key`.
    pub fn display(&self) -> &Self {
        self
    }

    /// Its path, where it is on this machine.
    pub fn local(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Object(_) => None,
        }
    }

    /// Its last name.
    pub fn file_name(&self) -> String {
        match self {
            Self::Local(path) => path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            Self::Object(object) => object.key.filename().unwrap_or_default().to_owned(),
        }
    }

    /// The size of the file, in bytes.
    ///
    /// # Errors
    /// `Store` where it is missing or can't be looked at.
    pub fn size(&self) -> Result<u64> {
        let context = || format!("{self} can't be read");
        match self {
            Self::Local(path) => Ok(std::fs::metadata(path).context(ErrorKind::Store, context)?.len()),
            Self::Object(Object { bucket, key }) => {
                Ok(block_on(bucket.store.head(key))?.context(ErrorKind::Store, context)?.size)
            }
        }
    }

    /// A small file as text; `None` where there is none.
    ///
    /// # Errors
    /// `Store` where it can't be read.
    pub fn text(&self) -> Result<Option<String>> {
        let context = || format!("{self} can't be read");
        match self {
            Self::Local(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e).context(ErrorKind::Store, context),
            },
            Self::Object(Object { bucket, key }) => {
                let got = block_on(async { bucket.store.get(key).await?.bytes().await })?;
                match got {
                    Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(e) => Err(e).context(ErrorKind::Store, context),
                }
            }
        }
    }

    /// Writes a small file that must not exist yet.
    ///
    /// # Errors
    /// `Store` where it can't be written, or is there already.
    pub fn write_new(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Local(path) => write_new(path, bytes),
            Self::Object(Object { bucket, key }) => {
                let options = PutOptions::from(PutMode::Create);
                block_on(bucket.store.put_opts(key, bytes.to_vec().into(), options))?
                    .context(ErrorKind::Store, || format!("{self} can't be written"))?;
                Ok(())
            }
        }
    }

    /// Makes the folder, durably, with those above it; object stores have none.
    ///
    /// # Errors
    /// `Store` where it can't be made.
    pub fn create_folders(&self) -> Result<()> {
        self.local().map_or(Ok(()), create_folders)
    }

    /// Whether it surely is no table's log: a folder of this machine that does not exist, or in which no version is yet
    /// (only the file that is about to become one, which has a longer name).
    pub fn is_missing_log(&self) -> bool {
        let version = |entry: std::fs::DirEntry| {
            let (name, ends) = (entry.file_name(), [".json", ".parquet"]);
            name.to_str()
                .is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()) && ends.iter().any(|end| n.ends_with(end)))
        };
        self.local().is_some_and(|path| !std::fs::read_dir(path).is_ok_and(|mut log| log.any(|e| e.is_ok_and(version))))
    }

    /// The names of the folders in it, in order; none where it does not exist.
    ///
    /// # Errors
    /// `Store` where it can't be listed.
    pub fn folders(&self) -> Result<Vec<String>> {
        let context = || format!("the folder {self} can't be read");
        let mut names = Vec::new();
        match self {
            Self::Local(path) if !path.is_dir() => {}
            Self::Local(path) => {
                for entry in std::fs::read_dir(path).context(ErrorKind::Store, context)? {
                    let entry = entry.context(ErrorKind::Store, context)?;
                    if entry.path().is_dir() {
                        names.push(entry.file_name().to_string_lossy().into_owned());
                    }
                }
            }
            Self::Object(Object { bucket, key }) => {
                let found =
                    block_on(bucket.store.list_with_delimiter(Some(key)))?.context(ErrorKind::Store, context)?;
                names.extend(found.common_prefixes.iter().filter_map(|p| p.filename()).map(str::to_owned));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Anything that is in it, but for files that `passes` lets pass; `None` where there is nothing.
    ///
    /// # Errors
    /// `Store` where it can't be listed.
    pub fn any_entry(&self, passes: impl Fn(&str) -> bool) -> Result<Option<String>> {
        let context = || format!("the folder {self} can't be read");
        match self {
            Self::Local(path) => {
                let mut names = std::fs::read_dir(path)
                    .context(ErrorKind::Store, context)?
                    .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
                Ok(names.find(|name| !passes(name)))
            }
            Self::Object(Object { bucket, key }) => {
                let prefix = (!key.as_ref().is_empty()).then_some(key);
                let mut all = bucket.store.list(prefix).map_ok(|meta| meta.location);
                let found = block_on(async {
                    while let Some(location) = all.next().await.transpose()? {
                        let inside = location.as_ref().strip_prefix(key.as_ref()).unwrap_or(location.as_ref());
                        let name = inside.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
                        if !passes(&name) {
                            return Ok(Some(name));
                        }
                    }
                    Ok::<_, object_store::Error>(None)
                })?;
                found.context(ErrorKind::Store, context)
            }
        }
    }

    /// Starts a file that must not exist; it is there with its publication, whole.
    ///
    /// # Errors
    /// `Store` where it can't be started.
    pub fn create(&self) -> Result<NewObject> {
        NewObject::create(self.clone())
    }

    /// The store and the key of an object.
    pub fn as_object(&self) -> Option<(&Arc<dyn ObjectStore>, &Key)> {
        match self {
            Self::Local(_) => None,
            Self::Object(object) => Some((&object.bucket.store, &object.key)),
        }
    }

    /// Its address: `file:///…/` or `s3://bucket/…/`, as of a folder.
    ///
    /// # Errors
    /// `Internal` for a relative path.
    pub fn folder_url(&self) -> Result<url::Url> {
        match self {
            Self::Local(path) => url::Url::from_directory_path(path)
                .map_err(|()| Error::internal(format!("{} is no absolute path", path.display()))),
            Self::Object(Object { bucket, key }) => {
                let mut url = url::Url::parse(&bucket.address)
                    .context(ErrorKind::Config, || format!("{} is no address", bucket.address))?;
                url.set_path(&format!("/{key}/"));
                Ok(url)
            }
        }
    }
}

impl Object {
    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Object(Object { bucket, key }) if key.as_ref().is_empty() => f.write_str(&bucket.address),
            Self::Object(Object { bucket, key }) => write!(f, "{}/{key}", bucket.address),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Two places are the same where they have the same name.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(a), Self::Local(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a.bucket.address == b.bucket.address && a.key == b.key,
            _ => false,
        }
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        Self::Local(path)
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Self {
        Self::Local(path.clone())
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::Local(path.to_owned())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[test]
    fn a_place_is_walked_the_same_way_on_disk_and_in_a_bucket() {
        let folder = tempfile::tempdir().unwrap();
        let local = Place::from(folder.path());
        let bucket = Place::object(Arc::new(InMemory::new()), "s3://b", "lake", None).unwrap();
        for root in [local, bucket] {
            let file = root.join("bronze/gps/date=2026-06-01").join("part-%3A.txt");
            assert!(file.to_string().ends_with("/bronze/gps/date=2026-06-01/part-%3A.txt"), "{file}");
            assert_eq!((file.file_name().as_str(), file.text().unwrap()), ("part-%3A.txt", None));
            file.write_new(b"one").unwrap();
            assert_eq!(file.write_new(b"two").unwrap_err().kind(), ErrorKind::Store);
            assert_eq!((file.text().unwrap().as_deref(), file.size().unwrap()), (Some("one"), 3));
            assert_eq!(root.join("bronze").folders().unwrap(), ["gps"]);
            assert_eq!(root.join("gold").folders().unwrap(), Vec::<String>::new());
            assert_eq!(root.any_entry(|_| false).unwrap().as_deref(), Some("bronze"));
            assert_eq!(root.any_entry(|name| name == "bronze").unwrap(), None);
            assert_eq!(root.join("nothing").size().unwrap_err().kind(), ErrorKind::Store);
            assert!(root.folder_url().unwrap().as_str().ends_with('/'));
        }
    }
}

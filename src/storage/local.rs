//! Files that are there whole or not at all, survive a power cut once published, and never replace another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, ErrorKind, Result};

/// A file on its way to its final name. Dropped before [`NewFile::publish`], it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Starts a file that will be called `target`; makes its folders.
    ///
    /// # Errors
    /// `Store` where the folder or the file can't be made.
    pub fn create(target: impl Into<PathBuf>) -> Result<Self> {
        let target = target.into();
        let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Error::internal(format!("{} is no file name", target.display())));
        };
        create_folders(folder)?;
        let unique = uuid::Uuid::new_v4().simple();
        let temporary = folder.join(format!(".{}.{unique}.tmp", name.to_string_lossy()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .context(ErrorKind::Store, || format!("{} can't be created", temporary.display()))?;
        Ok(Self { file, temporary, target })
    }

    /// The final name.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs the bytes and gives the file its final name; fails where the name is taken.
    ///
    /// # Errors
    /// `Store`; its cause is an [`io::Error`] of kind `AlreadyExists` where the name is taken.
    pub fn publish(&self) -> Result<()> {
        self.sync()?;
        // A hard link fails where the name exists, on every file system that has them; rename would replace.
        fs::hard_link(&self.temporary, &self.target).context(ErrorKind::Store, || {
            format!("{} can't be given its name {}", self.temporary.display(), self.target.display())
        })?;
        let _ = fs::remove_file(&self.temporary);
        self.sync_folder()
    }

    /// Syncs the bytes and gives the file its final name, in place of what has it now.
    ///
    /// # Errors
    /// `Store`.
    pub fn publish_over(&self) -> Result<()> {
        self.sync()?;
        fs::rename(&self.temporary, &self.target)
            .context(ErrorKind::Store, || format!("{} can't be replaced", self.target.display()))?;
        self.sync_folder()
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().context(ErrorKind::Store, || format!("{} can't be synced", self.temporary.display()))
    }

    fn sync_folder(&self) -> Result<()> {
        self.target.parent().map_or(Ok(()), sync_folder)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already where the file was published.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a small file that must not exist yet.
///
/// # Errors
/// `Store`, as [`NewFile::publish`].
pub fn write_new(target: impl Into<PathBuf>, bytes: &[u8]) -> Result<()> {
    let mut file = NewFile::create(target)?;
    file.write_all(bytes).context(ErrorKind::Store, || format!("{} can't be written", file.target().display()))?;
    file.publish()
}

/// Writes a small file whose name says what is in it, unless it is there already. It is there whole or not at all, but not
/// synced: whoever made the bytes can make them again, and one that a power cut left short is replaced then.
///
/// # Errors
/// `Store` where it can't be written.
pub fn write_content(target: &Path, bytes: &[u8]) -> Result<()> {
    if fs::metadata(target).is_ok_and(|found| found.len() == bytes.len() as u64) {
        return Ok(());
    }
    let mut file = NewFile::create(target)?;
    file.write_all(bytes)
        .and_then(|()| fs::rename(&file.temporary, target))
        .context(ErrorKind::Store, || format!("{} can't be written", target.display()))
}

/// Makes a folder and those above it, each synced into its parent.
///
/// # Errors
/// `Store` where one can't be made.
pub fn create_folders(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent();
    if let Some(parent) = parent {
        create_folders(parent)?;
    }
    match fs::create_dir(folder) {
        // Another thread was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => {
            made.context(ErrorKind::Store, || format!("the folder {} can't be made", folder.display()))?;
            parent.filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_folder)
        }
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .context(ErrorKind::Store, || format!("the folder {} can't be synced", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a/b/data");
        let mut first = NewFile::create(&target).unwrap();
        first.write_all(b"one").unwrap();
        assert!(!target.exists());
        first.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");

        let error = write_new(&target, b"two").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.to_string().contains("data"), "{error}");
        assert_eq!(fs::read(&target).unwrap(), b"one");

        drop(NewFile::create(folder.path().join("a/b/never")).unwrap());
        assert_eq!(names(&folder.path().join("a/b")), ["data"]);
    }

    #[test]
    fn content_is_written_once_and_again_where_it_was_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a/content");
        write_content(&target, b"one").unwrap();
        let written = fs::metadata(&target).unwrap().modified().unwrap();
        write_content(&target, b"one").unwrap();
        assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), written);
        fs::write(&target, b"o").unwrap();
        write_content(&target, b"one").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert_eq!(names(&folder.path().join("a")), ["content"]);

        fs::write(folder.path().join("file"), b"").unwrap();
        let error = write_content(&folder.path().join("file/content"), b"one").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
    }
}

//! A new file on its way to its place: on disk as [`NewFile`], in an object store as an upload that the publication completes.
//! Neither replaces another.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions};
use tokio::task::JoinHandle;

use super::local::NewFile;
use super::place::{Bucket, Object, Place};
use super::runtime::{block_on, spawn};
use super::s3::CreateOnly;
use crate::error::{Context, ErrorKind, Result};

/// How often an upload is started again because another write to the same name was under way.
const RESTARTS: u32 = 5;

/// A file that is being written. Dropped before [`NewObject::publish`], it leaves nothing behind.
pub struct NewObject {
    place: Place,
    body: Body,
}

enum Body {
    Local(NewFile),
    Remote(Box<Upload>),
}

impl NewObject {
    pub(super) fn create(place: Place) -> Result<Self> {
        let body = match &place {
            Place::Local(path) => Body::Local(NewFile::create(path)?),
            Place::Object(object) => Body::Remote(Box::new(Upload::new(object.clone()))),
        };
        Ok(Self { place, body })
    }

    /// Where it will be.
    pub fn target(&self) -> &Place {
        &self.place
    }

    /// Bytes that wait in memory to be uploaded.
    pub fn buffered(&self) -> usize {
        match &self.body {
            Body::Local(_) => 0,
            Body::Remote(upload) => upload.buffer.len(),
        }
    }

    /// Makes it durable and gives it its name; fails where the name is taken.
    ///
    /// # Errors
    /// `Store` where that can't be done, or the name is taken.
    pub fn publish(&mut self) -> Result<()> {
        match &mut self.body {
            Body::Local(file) => file.publish(),
            Body::Remote(upload) => {
                let place = &self.place;
                upload.publish().context(ErrorKind::Store, || format!("{place} can't be written"))
            }
        }
    }
}

impl Write for NewObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Local(file) => file.write(bytes),
            Body::Remote(upload) => upload.write(bytes).map_err(io::Error::other),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.body {
            Body::Local(file) => file.flush(),
            // What is less than a part waits for the publication.
            Body::Remote(_) => Ok(()),
        }
    }
}

/// An object that is being written. What fits into one part is one request; of more, memory holds one part, and those that
/// are under way, whose number the bucket bounds over all its files.
struct Upload {
    object: Object,
    buffer: Vec<u8>,
    parts: Option<Parts>,
}

/// An upload in parts.
struct Parts {
    upload: Box<dyn MultipartUpload>,
    under_way: Vec<JoinHandle<object_store::Result<()>>>,
    /// What was handed over so far, should it have to be sent again; a file without a name, gone with its handle.
    copy: File,
}

impl Upload {
    fn new(object: Object) -> Self {
        Self { object, buffer: Vec::new(), parts: None }
    }

    fn bucket(&self) -> &Bucket {
        self.object.bucket()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let room = self.bucket().part_bytes - self.buffer.len();
        if room == 0 {
            self.end_part()?;
            return self.write(bytes);
        }
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Hands the buffer over as the next part.
    fn end_part(&mut self) -> Result<()> {
        let next = Vec::with_capacity(self.bucket().part_bytes);
        let part = Bytes::from(std::mem::replace(&mut self.buffer, next));
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => Parts { upload: self.start()?, under_way: Vec::new(), copy: nameless()? },
        };
        let sent = parts.copy.write_all(&part).context(ErrorKind::Store, copy_failed);
        let sent = sent.and_then(|()| parts.send(self.bucket(), part));
        // Kept also where it failed, so that it is given up with this file.
        self.parts = Some(parts);
        sent
    }

    fn start(&self) -> Result<Box<dyn MultipartUpload>> {
        let mut options = PutMultipartOptions::default();
        options.extensions.insert(CreateOnly);
        let store = Arc::clone(&self.bucket().store);
        block_on(store.put_multipart_opts(self.object.key(), options))?
            .context(ErrorKind::Store, || "the upload can't be started".into())
    }

    fn publish(&mut self) -> Result<()> {
        if self.parts.is_none() {
            let body = Bytes::from(std::mem::take(&mut self.buffer));
            let store = Arc::clone(&self.bucket().store);
            let options = PutOptions::from(PutMode::Create);
            block_on(store.put_opts(self.object.key(), body.into(), options))?
                .context(ErrorKind::Store, || "it can't be put there".into())?;
            return Ok(());
        }
        if !self.buffer.is_empty() {
            self.end_part()?;
        }
        for restarts in 0.. {
            let Some(parts) = &mut self.parts else { break };
            parts.wait()?;
            match block_on(parts.upload.complete())? {
                Ok(_) => break,
                Err(object_store::Error::Precondition { .. }) if restarts < RESTARTS => self.send_again()?,
                Err(error) => return Err(error).context(ErrorKind::Store, || "the upload can't be completed".into()),
            }
        }
        self.parts = None;
        Ok(())
    }

    /// Sends every part anew, in a new upload.
    fn send_again(&mut self) -> Result<()> {
        let upload = self.start()?;
        let Some(parts) = &mut self.parts else { return Ok(()) };
        parts.upload = upload;
        parts.copy.rewind().context(ErrorKind::Store, copy_failed)?;
        loop {
            let mut part = Vec::new();
            let bucket = self.object.bucket();
            (&mut parts.copy)
                .take(bucket.part_bytes as u64)
                .read_to_end(&mut part)
                .context(ErrorKind::Store, copy_failed)?;
            if part.is_empty() {
                return Ok(());
            }
            parts.send(bucket, part.into())?;
        }
    }
}

impl Parts {
    fn send(&mut self, bucket: &Bucket, part: Bytes) -> Result<()> {
        let (done, under_way) = self.under_way.drain(..).partition(JoinHandle::is_finished);
        self.under_way = under_way;
        joined(done)?;
        let permits = Arc::clone(&bucket.permits);
        let permit = block_on(permits.acquire_owned())?
            .context(ErrorKind::Internal, || "the uploads of a lake were closed".into())?;
        let sending = self.upload.put_part(part.into());
        self.under_way.push(spawn(async move {
            let sent = sending.await;
            drop(permit);
            sent
        })?);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        joined(std::mem::take(&mut self.under_way))
    }
}

fn joined(tasks: Vec<JoinHandle<object_store::Result<()>>>) -> Result<()> {
    for task in tasks {
        let sent = block_on(task)?.context(ErrorKind::Internal, || "an upload was stopped".into())?;
        sent.context(ErrorKind::Store, || "a part can't be written".into())?;
    }
    Ok(())
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Not completed: frees its parts, in the background, since whoever gives up should not have to wait for a server that
        // may be away. Where that comes to nothing, the bucket's own rule frees them.
        if let Some(mut parts) = self.parts.take() {
            parts.under_way.iter().for_each(JoinHandle::abort);
            let _ = spawn(async move { parts.upload.abort().await });
        }
    }
}

fn copy_failed() -> String {
    "the copy of an upload can't be kept in the folder of temporary files".into()
}

/// A new file without a name among the temporary ones.
fn nameless() -> Result<File> {
    let path = std::env::temp_dir().join(format!(".citystream-{}", uuid::Uuid::new_v4().simple()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.context(ErrorKind::Store, || format!("{} can't be created", path.display()))?;
    std::fs::remove_file(&path).context(ErrorKind::Store, || format!("{} can't be removed", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    fn place(store: &Arc<InMemory>) -> Place {
        let store: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(store);
        Place::object(store, "s3://b", "x/y", Some((1000, 2))).unwrap()
    }

    fn stored(store: &InMemory) -> Option<Vec<u8>> {
        let key = object_store::path::Path::from("x/y");
        block_on(async { Some(store.get(&key).await.ok()?.bytes().await.unwrap().to_vec()) }).unwrap()
    }

    #[test]
    fn small_and_large_files_are_there_whole_and_only_once_published() {
        for size in [0, 1, 1000, 1001, 7_654] {
            let store = Arc::new(InMemory::new());
            let bytes: Vec<u8> = (0..size).map(|i: u32| i as u8).collect();
            let mut file = place(&store).create().unwrap();
            for piece in bytes.chunks(333) {
                file.write_all(piece).unwrap();
                assert!(file.buffered() <= 1000);
            }
            assert_eq!(stored(&store), None);
            file.publish().unwrap();
            drop(file);
            assert_eq!(stored(&store).as_deref(), Some(&bytes[..]), "{size} bytes");
        }
    }

    #[test]
    fn a_name_that_is_taken_stays_with_whoever_has_it() {
        let store = Arc::new(InMemory::new());
        place(&store).write_new(b"first").unwrap();
        let mut second = place(&store).create().unwrap();
        second.write_all(b"second").unwrap();
        let error = second.publish().unwrap_err();
        assert!(error.to_string().contains("s3://b/x/y"), "{error}");
        assert_eq!(stored(&store).as_deref(), Some(&b"first"[..]));
    }
}

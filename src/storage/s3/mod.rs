//! S3 as an object store: what the table log, the data files and the mark of a lake on S3 go through.
//!
//! Writes that must not replace carry `If-None-Match: *`. The client repeats a request whose answer got lost, and such a
//! repetition of a create-only write is refused because of its own first try; so each of them carries an id in the object's
//! metadata, by which a refused writer finds out that the object is its own.

mod bucket;
mod client;
mod copy;
mod delete;
mod error;
mod get;
mod list;
mod options;
mod put;
mod upload;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::DateTime;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};

pub use bucket::{Outcome, Protection};
pub use options::{PART_BYTES, PART_UPLOADS, S3Options};
pub use upload::CreateOnly;

use super::block_on;
use crate::error::Result;
use error::Failed;

/// The objects of one bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3Store {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    bucket: String,
    options: S3Options,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("bucket", &self.inner.bucket).field("options", &self.inner.options).finish()
    }
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.inner.bucket)
    }
}

impl S3Store {
    /// The store of the bucket `bucket`. Asks for credentials only with the first request.
    ///
    /// # Errors
    /// `Config` where no region is known.
    pub fn open(bucket: &str, options: S3Options) -> Result<Self> {
        let client = block_on(client::client(&options))??;
        Ok(Self { inner: Arc::new(Inner { client, bucket: bucket.to_owned(), options }) })
    }

    fn client(&self) -> &Client {
        &self.inner.client
    }

    fn bucket(&self) -> &str {
        &self.inner.bucket
    }

    fn options(&self) -> &S3Options {
        &self.inner.options
    }

    /// `s3://bucket/key`, for messages.
    fn shown(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.inner.bucket)
    }

    /// What went wrong when `what` was done to `key`.
    fn failed<E>(&self, what: &str, key: &str, error: &SdkError<E>) -> Failed
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        Failed::new(what, &self.shown(key), error)
    }

    /// As [`S3Store::failed`], mapped.
    fn error<E>(&self, what: &str, key: &str, error: &SdkError<E>) -> object_store::Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.failed(what, key, error).into_error(&self.shown(key))
    }
}

fn system_time(at: Option<&DateTime>) -> SystemTime {
    let seconds = at.map_or(0, |at| at.secs().unsigned_abs());
    SystemTime::UNIX_EPOCH + Duration::new(seconds, at.map_or(0, DateTime::subsec_nanos))
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.put_object(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.start_upload(location, options).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        if options.head { self.head_object(location, options).await } else { self.get_object(location, options).await }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.delete_objects(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.list_objects(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.list_objects(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.list_folder(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.copy_object(from, to, options).await
    }
}

//! An object written in parts. It is there with its completion, which may be create-only.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, StorageClass};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, Error, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart};

use super::S3Store;
use super::put::{WRITE_ID, algorithm, metadata, unknown, write_id};

/// Put into the extensions of [`PutMultipartOptions`], makes the completion create-only: `AlreadyExists` where the name is
/// taken by then, and [`Error::Precondition`] where another write under way kept S3 from deciding (409): then the parts are
/// gone, and the upload must be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateOnly;

#[derive(Debug)]
pub(super) struct Upload {
    upload: Arc<Started>,
    next: i32,
}

#[derive(Debug)]
struct Started {
    store: S3Store,
    key: Path,
    upload: String,
    /// The id of the write, in the object's metadata.
    id: String,
    create: bool,
    parts: Mutex<Vec<CompletedPart>>,
}

impl S3Store {
    pub(super) async fn start_upload(&self, location: &Path, options: PutMultipartOptions) -> Result<Upload> {
        let key = location.as_ref();
        let id = write_id();
        let own = self.options();
        let mut ask = self
            .client()
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .metadata(WRITE_ID, &id)
            .set_server_side_encryption(own.encryption())
            .set_ssekms_key_id(own.kms_key.clone())
            .set_bucket_key_enabled(own.bucket_key)
            .set_storage_class(own.storage_class.clone())
            .set_checksum_algorithm(algorithm(own));
        let tags = options.tags.encoded();
        if !tags.is_empty() {
            ask = ask.tagging(tags);
        }
        for (name, value) in metadata(&options.attributes) {
            ask = ask.metadata(name, value);
        }
        for (name, value) in &options.attributes {
            ask = match name {
                Attribute::CacheControl => ask.cache_control(value.as_ref()),
                Attribute::ContentDisposition => ask.content_disposition(value.as_ref()),
                Attribute::ContentEncoding => ask.content_encoding(value.as_ref()),
                Attribute::ContentLanguage => ask.content_language(value.as_ref()),
                Attribute::ContentType => ask.content_type(value.as_ref()),
                Attribute::StorageClass => ask.storage_class(StorageClass::from(value.as_ref())),
                Attribute::Metadata(_) => ask,
                other => return Err(unknown(other)),
            };
        }
        let started = ask.send().await.map_err(|e| self.error("starting to write", key, &e))?;
        let upload = started.upload_id().unwrap_or_default().to_owned();
        let create = options.extensions.get::<CreateOnly>().is_some();
        let parts = Mutex::default();
        let started = Started { store: self.clone(), key: location.clone(), upload, id, create, parts };
        Ok(Upload { upload: Arc::new(started), next: 1 })
    }
}

impl Started {
    async fn put(&self, number: i32, body: Bytes) -> Result<()> {
        let (store, key) = (&self.store, self.key.as_ref());
        let ask = store
            .client()
            .upload_part()
            .bucket(store.bucket())
            .key(key)
            .upload_id(&self.upload)
            .part_number(number)
            .set_checksum_algorithm(algorithm(store.options()))
            .body(ByteStream::from(body));
        let done = ask.send().await.map_err(|e| store.error("writing a part of", key, &e))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(done.e_tag)
            .set_checksum_crc32(done.checksum_crc32)
            .set_checksum_crc32_c(done.checksum_crc32_c)
            .set_checksum_crc64_nvme(done.checksum_crc64_nvme)
            .set_checksum_sha1(done.checksum_sha1)
            .set_checksum_sha256(done.checksum_sha256)
            .build();
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        Ok(())
    }

    async fn complete(&self) -> Result<PutResult> {
        let (store, key) = (&self.store, self.key.as_ref());
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        parts.sort_by_key(CompletedPart::part_number);
        let mut ask = store
            .client()
            .complete_multipart_upload()
            .bucket(store.bucket())
            .key(key)
            .upload_id(&self.upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        if self.create {
            ask = ask.if_none_match("*");
        }
        let failed = match ask.send().await {
            Ok(done) => {
                let version = done.version_id().map(str::to_owned);
                return Ok(PutResult { e_tag: done.e_tag().map(str::to_owned), version });
            }
            Err(error) => store.failed("completing", key, &error),
        };
        match failed.status {
            Some(412) if self.create => {
                let outcome = store.own_or_taken(key, &self.id, failed).await;
                if outcome.is_err() {
                    // Nothing but this would free the parts before the bucket's own rule does.
                    let _ = self.abort().await;
                }
                outcome
            }
            // A repeated completion no longer finds the upload that the first one has completed.
            Some(404) if failed.is("NoSuchUpload") => match store.own(key, &self.id).await? {
                Some(own) => Ok(own),
                None => Err(failed.into_error(&store.shown(key))),
            },
            Some(409) => {
                let _ = self.abort().await;
                Err(failed.into_error(&store.shown(key)))
            }
            _ => Err(failed.into_error(&store.shown(key))),
        }
    }

    async fn abort(&self) -> Result<()> {
        let (store, key) = (&self.store, self.key.as_ref());
        let ask =
            store.client().abort_multipart_upload().bucket(store.bucket()).key(key).upload_id(&self.upload).send();
        match ask.await.map_err(|e| store.error("giving up writing", key, &e)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (upload, number) = (Arc::clone(&self.upload), self.next);
        self.next += 1;
        Box::pin(async move { upload.put(number, Bytes::from(data)).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.next == 1 {
            // S3 knows no upload without a part.
            self.put_part(PutPayload::default()).await?;
        }
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

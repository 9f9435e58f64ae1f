//! Writing an object in one request: over what is there, only where nothing is, or only over what was read.

use std::time::Duration;

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, StorageClass};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, PutMode, PutOptions, PutPayload, PutResult, Result};

use super::S3Store;
use super::error::{Failed, STORE};
use super::options::{Checksum, S3Options};

/// The metadata by which a writer knows its own object.
pub(super) const WRITE_ID: &str = "citystream-write";

/// How often a write is repeated that another one under way has kept from being decided (409).
const CONFLICTS: u32 = 10;

impl S3Store {
    pub(super) async fn put_object(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let key = location.as_ref();
        let body = Bytes::from(payload);
        let create = options.mode == PutMode::Create;
        let id = write_id();
        let tags = options.tags.encoded();
        let mut conflicts = 0;
        loop {
            let mut ask = self.client().put_object().bucket(self.bucket()).key(key);
            ask = encrypted(ask, self.options()).body(ByteStream::from(body.clone()));
            if !tags.is_empty() {
                ask = ask.tagging(tags);
            }
            for (name, value) in &options.attributes {
                ask = match name {
                    Attribute::CacheControl => ask.cache_control(value.as_ref()),
                    Attribute::ContentDisposition => ask.content_disposition(value.as_ref()),
                    Attribute::ContentEncoding => ask.content_encoding(value.as_ref()),
                    Attribute::ContentLanguage => ask.content_language(value.as_ref()),
                    Attribute::ContentType => ask.content_type(value.as_ref()),
                    Attribute::StorageClass => ask.storage_class(StorageClass::from(value.as_ref())),
                    Attribute::Metadata(name) => ask.metadata(name.as_ref(), value.as_ref()),
                    other => return Err(unknown(other)),
                };
            }
            match &options.mode {
                PutMode::Overwrite => {}
                PutMode::Create => ask = ask.if_none_match("*").metadata(WRITE_ID, &id),
                PutMode::Update(version) => {
                    let Some(tag) = &version.e_tag else {
                        let text = format!("writing {}: the version to replace has no ETag", self.shown(key));
                        return Err(Error::Generic { store: STORE, source: Failed::saying(text).into() });
                    };
                    ask = ask.if_match(tag);
                }
            }
            let failed = match ask.send().await {
                Ok(done) => {
                    let version = done.version_id().map(str::to_owned);
                    return Ok(PutResult { e_tag: done.e_tag().map(str::to_owned), version });
                }
                Err(error) => self.failed("writing", key, &error),
            };
            match failed.status {
                Some(409) if conflicts < CONFLICTS => {
                    conflicts += 1;
                    pause(conflicts).await;
                }
                Some(412) if create => return self.own_or_taken(key, &id, failed).await,
                // An update of what is gone.
                Some(404) if options.mode != PutMode::Overwrite && !failed.is("NoSuchBucket") => {
                    return Err(Error::Precondition { path: self.shown(key), source: failed.into() });
                }
                _ => return Err(failed.into_error(&self.shown(key))),
            }
        }
    }

    /// What a refused create-only write means: its own first try was not refused, or somebody else was faster.
    pub(super) async fn own_or_taken(&self, key: &str, id: &str, refused: Failed) -> Result<PutResult> {
        if let Some(own) = self.own(key, id).await? {
            return Ok(own);
        }
        Err(Error::AlreadyExists { path: self.shown(key), source: refused.into() })
    }

    /// The object at `key` where it is the one that was written under `id`.
    pub(super) async fn own(&self, key: &str, id: &str) -> Result<Option<PutResult>> {
        let found = match self.client().head_object().bucket(self.bucket()).key(key).send().await {
            Ok(found) => found,
            Err(error) => {
                let failed = self.failed("looking for", key, &error);
                return if failed.status == Some(404) { Ok(None) } else { Err(failed.into_error(&self.shown(key))) };
            }
        };
        let written = found.metadata().and_then(|m| m.get(WRITE_ID)).map(String::as_str);
        Ok((written == Some(id)).then(|| PutResult {
            e_tag: found.e_tag().map(str::to_owned),
            version: found.version_id().map(str::to_owned),
        }))
    }
}

/// A new id for one write.
pub(super) fn write_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Waits before a write that met a conflict is repeated: 20 ms, then twice as long each time, 2 s at most.
pub(super) async fn pause(conflicts: u32) {
    tokio::time::sleep(Duration::from_millis((10_u64 << conflicts.min(16)).min(2_000))).await;
}

pub(super) fn unknown(attribute: &Attribute) -> Error {
    Error::NotImplemented { operation: format!("the attribute {attribute:?}"), implementer: "S3Store".into() }
}

fn encrypted(ask: PutObjectFluentBuilder, options: &S3Options) -> PutObjectFluentBuilder {
    ask.set_server_side_encryption(options.encryption())
        .set_ssekms_key_id(options.kms_key.clone())
        .set_bucket_key_enabled(options.bucket_key)
        .set_storage_class(options.storage_class.clone())
        .set_checksum_algorithm(algorithm(options))
}

pub(super) fn algorithm(options: &S3Options) -> Option<ChecksumAlgorithm> {
    match &options.checksum {
        Checksum::This(algorithm) => Some(algorithm.clone()),
        Checksum::Default | Checksum::Never => None,
    }
}

/// The attributes as pairs of metadata, and those that have a header of their own.
pub(super) fn metadata(attributes: &Attributes) -> impl Iterator<Item = (&str, &str)> {
    attributes.iter().filter_map(|(name, value)| match name {
        Attribute::Metadata(name) => Some((name.as_ref(), value.as_ref())),
        _ => None,
    })
}

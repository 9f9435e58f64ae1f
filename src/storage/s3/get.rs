//! Reading objects, whole or in part. A body that breaks off is asked for again from where it broke off.

use std::collections::HashMap;
use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result,
};

use super::error::{Failed, STORE};
use super::put::WRITE_ID;
use super::{S3Store, system_time};

/// How often a body may break off.
const RESUMED: u32 = 5;

/// An object's body from `at` to `end`.
struct Body {
    store: S3Store,
    key: Path,
    tag: Option<String>,
    version: Option<String>,
    at: u64,
    end: u64,
    stream: ByteStream,
    resumed: u32,
}

impl S3Store {
    pub(super) async fn get_object(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = location.as_ref();
        let range = options.range.as_ref().map(|range| self.header(key, range)).transpose()?;
        let ask = self
            .client()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .set_range(range.clone())
            .set_if_match(options.if_match)
            .set_if_none_match(options.if_none_match)
            .set_if_modified_since(options.if_modified_since.map(|t| DateTime::from(std::time::SystemTime::from(t))))
            .set_if_unmodified_since(
                options.if_unmodified_since.map(|t| DateTime::from(std::time::SystemTime::from(t))),
            )
            .set_version_id(options.version.clone());
        let got = ask.send().await.map_err(|e| self.error("reading", key, &e))?;
        let length = got.content_length().unwrap_or(0).unsigned_abs();
        let (part, size) = match (&range, got.content_range().and_then(parse_content_range)) {
            (Some(_), Some(found)) => found,
            (None, _) => (0..length, length),
            (Some(range), None) => {
                let text = format!("reading {} of {} gave the whole object", range, self.shown(key));
                return Err(Error::NotSupported { source: Failed::saying(text).into() });
            }
        };
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: system_time(got.last_modified()).into(),
            size,
            e_tag: got.e_tag().map(str::to_owned),
            version: got.version_id().map(str::to_owned),
        };
        let attributes = attributes(&Headers::of_get(&got));
        let body = Body {
            store: self.clone(),
            key: location.clone(),
            tag: meta.e_tag.clone(),
            version: options.version,
            at: part.start,
            end: part.end,
            stream: got.body,
            resumed: 0,
        };
        let payload = GetResultPayload::Stream(stream::try_unfold(body, Body::next).boxed());
        Ok(GetResult { payload, meta, range: part, attributes })
    }

    pub(super) async fn head_object(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = location.as_ref();
        let ask = self
            .client()
            .head_object()
            .bucket(self.bucket())
            .key(key)
            .set_if_match(options.if_match)
            .set_if_none_match(options.if_none_match)
            .set_if_modified_since(options.if_modified_since.map(|t| DateTime::from(std::time::SystemTime::from(t))))
            .set_if_unmodified_since(
                options.if_unmodified_since.map(|t| DateTime::from(std::time::SystemTime::from(t))),
            )
            .set_version_id(options.version);
        let got = ask.send().await.map_err(|e| self.error("looking for", key, &e))?;
        let size = got.content_length().unwrap_or(0).unsigned_abs();
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: system_time(got.last_modified()).into(),
            size,
            e_tag: got.e_tag().map(str::to_owned),
            version: got.version_id().map(str::to_owned),
        };
        let attributes = attributes(&Headers::of_head(&got));
        let payload = GetResultPayload::Stream(stream::empty().boxed());
        Ok(GetResult { payload, meta, range: 0..size, attributes })
    }

    fn header(&self, key: &str, range: &GetRange) -> Result<String> {
        match range {
            GetRange::Bounded(r) if r.start >= r.end => {
                let text = format!("reading {} from {} to {}: nothing lies there", self.shown(key), r.start, r.end);
                Err(Error::Generic { store: STORE, source: Failed::saying(text).into() })
            }
            other => Ok(other.to_string()),
        }
    }
}

impl Body {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let broken = match self.stream.next().await {
                Some(Ok(bytes)) => {
                    self.at += bytes.len() as u64;
                    return Ok(Some((bytes, self)));
                }
                None if self.at >= self.end => return Ok(None),
                None => "the answer ended early".to_owned(),
                Some(Err(error)) => error.to_string(),
            };
            // At its end only the body's checksum can be wrong, which is no break.
            if self.at >= self.end || self.resumed == RESUMED {
                let text =
                    format!("reading {} broke off at byte {}: {broken}", self.store.shown(self.key.as_ref()), self.at);
                return Err(Error::Generic { store: STORE, source: Failed::saying(text).into() });
            }
            self.resumed += 1;
            let key = self.key.as_ref();
            let ask = self
                .store
                .client()
                .get_object()
                .bucket(self.store.bucket())
                .key(key)
                .range(format!("bytes={}-{}", self.at, self.end - 1))
                .set_if_match(self.tag.clone())
                .set_version_id(self.version.clone());
            self.stream = ask.send().await.map_err(|e| self.store.error("reading", key, &e))?.body;
        }
    }
}

/// `bytes 0-13/14` as the range and the object's size.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?..last.parse::<u64>().ok()? + 1, size.parse().ok()?))
}

struct Headers<'a> {
    named: [(Attribute, Option<&'a str>); 5],
    metadata: Option<&'a HashMap<String, String>>,
}

impl<'a> Headers<'a> {
    fn of_get(got: &'a GetObjectOutput) -> Self {
        let named = [
            (Attribute::CacheControl, got.cache_control()),
            (Attribute::ContentDisposition, got.content_disposition()),
            (Attribute::ContentEncoding, got.content_encoding()),
            (Attribute::ContentLanguage, got.content_language()),
            (Attribute::ContentType, got.content_type()),
        ];
        Self { named, metadata: got.metadata() }
    }

    fn of_head(got: &'a HeadObjectOutput) -> Self {
        let named = [
            (Attribute::CacheControl, got.cache_control()),
            (Attribute::ContentDisposition, got.content_disposition()),
            (Attribute::ContentEncoding, got.content_encoding()),
            (Attribute::ContentLanguage, got.content_language()),
            (Attribute::ContentType, got.content_type()),
        ];
        Self { named, metadata: got.metadata() }
    }
}

fn attributes(headers: &Headers<'_>) -> Attributes {
    let named = headers.named.iter().filter_map(|(name, value)| Some((name.clone(), (*value)?.to_owned())));
    let own = headers.metadata.into_iter().flatten().filter(|(name, _)| *name != WRITE_ID);
    named.chain(own.map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_tells_the_part_and_the_whole() {
        assert_eq!(parse_content_range("bytes 2-4/14"), Some((2..5, 14)));
        assert_eq!(parse_content_range("bytes */14"), None);
    }
}

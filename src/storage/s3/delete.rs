//! Deleting, a thousand objects with one request.

use std::collections::HashMap;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, Result};

use super::S3Store;
use super::error::{Failed, STORE};

/// What S3 takes at most.
const AT_ONCE: usize = 1000;
/// Requests under way.
const REQUESTS: usize = 4;

impl S3Store {
    pub(super) fn delete_objects(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .try_chunks(AT_ONCE)
            .map(move |paths| {
                let store = store.clone();
                async move { Ok::<_, Error>(stream::iter(store.delete_batch(paths.map_err(|e| e.1)?).await?)) }
            })
            .buffered(REQUESTS)
            .try_flatten()
            .boxed()
    }

    async fn delete_batch(&self, paths: Vec<Path>) -> Result<Vec<Result<Path>>> {
        let shown = paths.first().map(|p| p.as_ref().to_owned()).unwrap_or_default();
        let internal = |e: aws_sdk_s3::error::BuildError| Error::Generic { store: STORE, source: Box::new(e) };
        let ids = paths.iter().map(|path| ObjectIdentifier::builder().key(path.as_ref()).build().map_err(internal));
        let delete =
            Delete::builder().set_objects(Some(ids.collect::<Result<_>>()?)).quiet(true).build().map_err(internal)?;
        let ask = self.client().delete_objects().bucket(self.bucket()).delete(delete);
        let done = ask.send().await.map_err(|e| self.error("deleting", &shown, &e))?;
        let refused: HashMap<&str, &aws_sdk_s3::types::Error> =
            done.errors().iter().filter_map(|e| Some((e.key()?, e))).collect();
        let outcome = |path: Path| match refused.get(path.as_ref()) {
            Some(error) if error.code() == Some("NoSuchKey") => Ok(path),
            Some(error) => {
                let target = self.shown(path.as_ref());
                let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
                let failed = Failed::saying(format!("deleting {target} failed: {code}: {message}"));
                Err(if code == "AccessDenied" {
                    Error::PermissionDenied { path: target, source: failed.into() }
                } else {
                    Error::Generic { store: STORE, source: failed.into() }
                })
            }
            None => Ok(path),
        };
        Ok(paths.into_iter().map(outcome).collect())
    }
}

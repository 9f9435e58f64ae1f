//! Listing, page by page. The order is the server's: that of the keys on AWS, folder by folder on servers that have folders.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ListResult, ObjectMeta, Result};

use super::{S3Store, system_time};

/// Where a listing goes on.
enum Next {
    From(Option<String>),
    End,
}

impl S3Store {
    pub(super) fn list_objects(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), below(prefix));
        let start = offset.and_then(|offset| safe_start(prefix.as_deref().unwrap_or(""), offset.as_ref()));
        let offset = offset.cloned();
        let pages = stream::try_unfold(Next::From(None), move |next| {
            let (store, prefix, start) = (store.clone(), prefix.clone(), start.clone());
            async move {
                let Next::From(token) = next else { return Ok::<_, Error>(None) };
                let page = store.page(prefix, None, start, token).await?;
                let objects: Vec<_> = page.contents().iter().filter_map(meta).collect();
                Ok(Some((stream::iter(objects), following(&page))))
            }
        });
        let after =
            move |meta: &ObjectMeta| future::ready(offset.as_ref().is_none_or(|offset| meta.location > *offset));
        pages.try_flatten().try_filter(after).boxed()
    }

    pub(super) async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (mut objects, mut common_prefixes) = (Vec::new(), Vec::new());
        let mut next = Next::From(None);
        while let Next::From(token) = next {
            let page = self.page(below(prefix), Some("/"), None, token).await?;
            for object in page.contents().iter().filter_map(meta) {
                objects.push(object?);
            }
            for folder in page.common_prefixes().iter().filter_map(|p| p.prefix()) {
                common_prefixes.push(Path::parse(folder)?);
            }
            next = following(&page);
        }
        Ok(ListResult { objects, common_prefixes })
    }

    async fn page(
        &self,
        prefix: Option<String>,
        delimiter: Option<&str>,
        start_after: Option<String>,
        token: Option<String>,
    ) -> Result<ListObjectsV2Output> {
        let shown = prefix.clone().unwrap_or_default();
        let ask = self
            .client()
            .list_objects_v2()
            .bucket(self.bucket())
            .set_prefix(prefix)
            .set_delimiter(delimiter.map(str::to_owned))
            // A page after the first goes on by its token alone.
            .set_start_after(start_after.filter(|_| token.is_none()))
            .set_continuation_token(token);
        ask.send().await.map_err(|e| self.error("listing", &shown, &e))
    }
}

/// What lies in the folder `prefix`: `a` has `a/b` below it, and not `ab`.
fn below(prefix: Option<&Path>) -> Option<String> {
    prefix.map(Path::as_ref).filter(|p| !p.is_empty()).map(|p| format!("{p}/"))
}

/// A name after which every key beyond `offset` comes, also where the server goes folder by folder: there `a/x` comes before
/// `a.x`, although it is greater. So the name ends before the first character below `/`, and one sooner, since a folder that
/// has just that name would be passed over. Of the log's `00000000000000000123.json` it leaves all but a digit.
fn safe_start(prefix: &str, offset: &str) -> Option<String> {
    let inside = offset.strip_prefix(prefix)?;
    let name = inside.split(|c: char| c <= '/').next()?;
    let (last, _) = name.char_indices().next_back()?;
    (last > 0).then(|| format!("{prefix}{}", &name[..last]))
}

fn following(page: &ListObjectsV2Output) -> Next {
    match page.next_continuation_token() {
        Some(token) if page.is_truncated() == Some(true) => Next::From(Some(token.to_owned())),
        _ => Next::End,
    }
}

/// The object, unless it stands for a folder, as some programs put them there.
fn meta(object: &Object) -> Option<Result<ObjectMeta>> {
    let key = object.key().filter(|key| !key.ends_with('/'))?;
    let meta = Path::parse(key).map(|location| ObjectMeta {
        location,
        last_modified: system_time(object.last_modified()).into(),
        size: object.size().unwrap_or(0).unsigned_abs(),
        e_tag: object.e_tag().map(str::to_owned),
        version: None,
    });
    Some(meta.map_err(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_starts_before_what_it_looks_for_in_any_order() {
        let start = |prefix, offset| safe_start(prefix, offset);
        assert_eq!(start("t/_delta_log/", "t/_delta_log/00123.json").as_deref(), Some("t/_delta_log/0012"));
        assert_eq!(start("", "ab/cd"), Some("a".into()));
        assert_eq!(start("", "aä b").as_deref(), Some("a"));
        assert_eq!((start("", "a/b"), start("", ""), start("t/", "u/x")), (None, None, None));
    }
}

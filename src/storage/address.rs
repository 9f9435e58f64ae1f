//! What a user gives for a lake or a table: a path, or an address on S3.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// Where something is.
#[derive(Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// On this machine.
    Local(PathBuf),
    /// Below a prefix of a bucket; empty is all of it.
    S3 {
        /// The bucket's name.
        bucket: &'a str,
        /// Without a slash at its end.
        prefix: &'a str,
    },
}

impl<'a> Address<'a> {
    /// A path, `file:///…`, `s3://bucket/prefix` or `s3a://bucket/prefix`.
    ///
    /// # Errors
    /// `Config` for another scheme, or without a bucket.
    pub fn of(path: &'a str) -> Result<Self> {
        match path.split_once("://") {
            None => Ok(Self::Local(PathBuf::from(path))),
            Some(("file", _)) => url::Url::parse(path)
                .ok()
                .and_then(|u| u.to_file_path().ok())
                .map(Self::Local)
                .ok_or_else(|| Error::config(format!("{path:?} is no file:// address of a folder"))),
            Some(("s3" | "s3a", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let named = bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
                if bucket.is_empty() || !named {
                    // What stands before an @ would be a login.
                    let shown = if bucket.contains('@') { "the address" } else { path };
                    return Err(
                        Error::config(format!("{shown} names no bucket")).help("Write it like s3://bucket/prefix")
                    );
                }
                Ok(Self::S3 { bucket, prefix: prefix.trim_end_matches('/') })
            }
            Some((scheme, _)) => Err(Error::config(format!("{path} has an unknown scheme {scheme:?}"))
                .help("Give a local folder, or an address like s3://bucket/prefix")),
        }
    }
}

//! Copying an object within the bucket.

use std::fmt::Write;

use object_store::path::Path;
use object_store::{CopyMode, CopyOptions, Error, Result};

use super::S3Store;
use super::put::{algorithm, pause};

const CONFLICTS: u32 = 10;

impl S3Store {
    pub(super) async fn copy_object(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let create = options.mode == CopyMode::Create;
        let own = self.options();
        let mut conflicts = 0;
        loop {
            let mut ask = self
                .client()
                .copy_object()
                .bucket(self.bucket())
                .key(to.as_ref())
                .copy_source(format!("{}/{}", self.bucket(), escaped(from.as_ref())))
                .set_server_side_encryption(own.encryption())
                .set_ssekms_key_id(own.kms_key.clone())
                .set_bucket_key_enabled(own.bucket_key)
                .set_storage_class(own.storage_class.clone())
                .set_checksum_algorithm(algorithm(own));
            if create {
                ask = ask.if_none_match("*");
            }
            let failed = match ask.send().await {
                Ok(_) => return Ok(()),
                Err(error) => self.failed(&format!("copying {} to", self.shown(from.as_ref())), to.as_ref(), &error),
            };
            match failed.status {
                Some(409) if conflicts < CONFLICTS => {
                    conflicts += 1;
                    pause(conflicts).await;
                }
                Some(412) if create => {
                    return Err(Error::AlreadyExists { path: self.shown(to.as_ref()), source: failed.into() });
                }
                Some(404) => return Err(failed.into_error(&self.shown(from.as_ref()))),
                _ => return Err(failed.into_error(&self.shown(to.as_ref()))),
            }
        }
    }
}

/// A key as it stands in an address.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_byte_by_byte() {
        assert_eq!(escaped("a b/ä%=.x"), "a%20b/%C3%A4%25%3D.x");
    }
}

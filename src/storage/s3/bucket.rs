//! Making a bucket safe for a lake: it exists, nobody outside can read it, what it holds is encrypted, versions are kept, and
//! uploads that were never completed go away.

use std::error::Error as StdError;

use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleRule, LifecycleRuleFilter, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    VersioningConfiguration,
};

use super::error::Failed;
use super::{S3Store, block_on};
use crate::error::{Context, Error, ErrorKind, Result};

/// The rule of ours among those of the bucket.
const RULE: &str = "citystream-abort-multipart";
/// An object that shows whether the bucket takes any.
const PROBE: &str = "citystream-probe";
/// Days after which an upload that was not completed goes away. An upload of ours takes minutes.
const ABORT_DAYS: i32 = 3;

/// One measure, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// `bucket`, `public access`, `encryption`, `versioning` or `multipart uploads`.
    pub measure: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// In words: what holds now, or why it could not be done.
    pub detail: String,
}

/// What came of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Done,
    /// It held already.
    Held,
    /// The server has no such call.
    Unsupported,
    /// The credentials may not do that.
    Denied,
    /// It failed otherwise.
    Failed,
}

impl Outcome {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Held => "held already",
            Self::Unsupported => "not supported by this server",
            Self::Denied => "not permitted",
            Self::Failed => "failed",
        }
    }
}

type Step = std::result::Result<(Outcome, String), Failed>;

impl S3Store {
    /// Takes each measure that does not hold yet, and tells what came of each. What the bucket has beyond them stays, such as
    /// other rules or a key of its own.
    ///
    /// # Errors
    /// `Store` where the bucket is missing and can't be made, or can't be reached.
    pub fn protect(&self) -> Result<Vec<Protection>> {
        block_on(async {
            let made = self.make().await.map_err(|failed| (self.bucket().to_owned(), failed));
            let made = made.map_err(|(name, failed)| failed.into_error(&format!("s3://{name}")));
            let (outcome, detail) =
                made.context(ErrorKind::Store, || format!("the bucket {} can't be made", self.bucket()))?;
            let mut all = vec![Protection { measure: "bucket", outcome, detail }];
            for (measure, step) in [
                ("public access", self.close_to_public().await),
                ("encryption", self.encrypt().await),
                ("versioning", self.keep_versions().await),
                ("multipart uploads", self.drop_unfinished().await),
            ] {
                let (outcome, detail) = step.unwrap_or_else(refused);
                all.push(Protection { measure, outcome, detail });
            }
            Ok::<_, Error>(all)
        })?
    }

    async fn make(&self) -> Step {
        let client = self.client();
        match client.head_bucket().bucket(self.bucket()).send().await {
            Ok(_) => return Ok((Outcome::Held, "exists".into())),
            Err(error) => {
                let failed = self.step("looking for", &error);
                if failed.status != Some(404) {
                    return Err(failed);
                }
            }
        }
        let region = client.config().region().map(|r| r.as_ref().to_owned()).filter(|r| r != "us-east-1");
        let place = region.map(|region| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region.as_str()))
                .build()
        });
        let ask = client.create_bucket().bucket(self.bucket()).set_create_bucket_configuration(place);
        ask.send().await.map_err(|e| self.step("making", &e))?;
        Ok((Outcome::Done, "made".into()))
    }

    async fn close_to_public(&self) -> Step {
        let text = "public access is blocked";
        match self.client().get_public_access_block().bucket(self.bucket()).send().await {
            Ok(found) => {
                let block = found.public_access_block_configuration();
                let all = block.is_some_and(|b| {
                    [
                        b.block_public_acls(),
                        b.ignore_public_acls(),
                        b.block_public_policy(),
                        b.restrict_public_buckets(),
                    ]
                    .iter()
                    .all(|on| *on == Some(true))
                });
                if all {
                    return Ok((Outcome::Held, text.into()));
                }
            }
            Err(error) => {
                self.absent("asking for the public access of", "NoSuchPublicAccessBlockConfiguration", &error)?;
            }
        }
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        let ask =
            self.client().put_public_access_block().bucket(self.bucket()).public_access_block_configuration(block);
        ask.send().await.map_err(|e| self.step("blocking public access to", &e))?;
        Ok((Outcome::Done, text.into()))
    }

    async fn encrypt(&self) -> Step {
        match self.client().get_bucket_encryption().bucket(self.bucket()).send().await {
            Ok(found) => {
                let rules = found
                    .server_side_encryption_configuration()
                    .map(ServerSideEncryptionConfiguration::rules)
                    .unwrap_or_default();
                let by = rules.iter().find_map(|r| r.apply_server_side_encryption_by_default());
                if let Some(by) = by {
                    return Ok((Outcome::Held, format!("new objects are encrypted by {}", by.sse_algorithm())));
                }
            }
            Err(error) => {
                self.absent("asking for the encryption of", "ServerSideEncryptionConfigurationNotFoundError", &error)?;
            }
        }
        let by = self.options().encryption().unwrap_or(ServerSideEncryption::Aes256);
        let text = format!("new objects are encrypted by {by}");
        let build = |e: aws_sdk_s3::error::BuildError| Failed::saying(format!("encrypting {}: {e}", self.shown("")));
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(by)
            .set_kms_master_key_id(self.options().kms_key.clone())
            .build()
            .map_err(build)?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .set_bucket_key_enabled(self.options().bucket_key)
            .build();
        let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(build)?;
        let ask = self.client().put_bucket_encryption().bucket(self.bucket());
        let done = ask.server_side_encryption_configuration(rules).send().await;
        done.map_err(|e| self.step("encrypting", &e))?;
        let refused = self.probe().await.err();
        if let Some(failed) = refused.filter(|failed| failed.status.is_some_and(|s| s >= 500)) {
            // The server takes the setting, and then no object any more.
            let undone = self.client().delete_bucket_encryption().bucket(self.bucket()).send().await;
            undone.map_err(|e| self.step("no longer encrypting", &e))?;
            return Ok((Outcome::Unsupported, failed.to_string()));
        }
        Ok((Outcome::Done, text))
    }

    /// Puts an object there and deletes it; before versions are kept, so that nothing stays.
    async fn probe(&self) -> std::result::Result<(), Failed> {
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let put = self.client().put_object().bucket(self.bucket()).key(PROBE).body(ByteStream::from_static(b"x"));
        put.customize().config_override(once).send().await.map_err(|e| self.failed("writing", PROBE, &e))?;
        let _ = self.client().delete_object().bucket(self.bucket()).key(PROBE).send().await;
        Ok(())
    }

    async fn keep_versions(&self) -> Step {
        let text = "what is deleted can be restored";
        let found = self.client().get_bucket_versioning().bucket(self.bucket()).send().await;
        match found {
            Ok(found) if found.status() == Some(&BucketVersioningStatus::Enabled) => {
                return Ok((Outcome::Held, text.into()));
            }
            Ok(_) => {}
            Err(error) => {
                let failed = self.step("asking for the versions of", &error);
                // Some servers answer nothing, in good order, where nothing has been set.
                if failed.status != Some(200) {
                    return Err(failed);
                }
            }
        }
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let ask = self.client().put_bucket_versioning().bucket(self.bucket()).versioning_configuration(on);
        ask.send().await.map_err(|e| self.step("keeping versions in", &e))?;
        Ok((Outcome::Done, text.into()))
    }

    async fn drop_unfinished(&self) -> Step {
        let text = format!("parts of uploads that were not completed are deleted after {ABORT_DAYS} days");
        let found = self.client().get_bucket_lifecycle_configuration().bucket(self.bucket()).send().await;
        let mut rules = match found {
            Ok(found) => rules(&found),
            Err(error) => {
                self.absent("asking for the rules of", "NoSuchLifecycleConfiguration", &error)?;
                Vec::new()
            }
        };
        let aborts = |r: &LifecycleRule| {
            let whole = r.filter().is_none_or(|f| f.prefix().unwrap_or_default().is_empty() && f.and().is_none());
            r.status() == &ExpirationStatus::Enabled && whole && r.abort_incomplete_multipart_upload().is_some()
        };
        if rules.iter().any(aborts) {
            return Ok((Outcome::Held, "parts of uploads that were not completed are deleted by a rule".into()));
        }
        rules.retain(|rule| rule.id() != Some(RULE));
        let build = |e: aws_sdk_s3::error::BuildError| Failed::saying(format!("a rule for {}: {e}", self.shown("")));
        let rule = LifecycleRule::builder()
            .id(RULE)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder().days_after_initiation(ABORT_DAYS).build(),
            );
        rules.push(rule.build().map_err(build)?);
        let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(build)?;
        let ask = self.client().put_bucket_lifecycle_configuration().bucket(self.bucket()).lifecycle_configuration(all);
        ask.send().await.map_err(|e| self.step("adding a rule to", &e))?;
        Ok((Outcome::Done, text))
    }

    fn step<E: ProvideErrorMetadata + StdError + 'static>(&self, what: &str, error: &SdkError<E>) -> Failed {
        self.failed(what, "", error)
    }

    /// Nothing where `error` is `code`, which only says that nothing is set; else the failure.
    fn absent<E: ProvideErrorMetadata + StdError + 'static>(
        &self,
        what: &str,
        code: &str,
        error: &SdkError<E>,
    ) -> std::result::Result<(), Failed> {
        let failed = self.step(what, error);
        if failed.is(code) { Ok(()) } else { Err(failed) }
    }
}

fn rules(found: &GetBucketLifecycleConfigurationOutput) -> Vec<LifecycleRule> {
    found.rules().to_vec()
}

fn refused(failed: Failed) -> (Outcome, String) {
    let outcome = match (failed.status, failed.code.as_deref()) {
        (Some(501), _) | (_, Some("NotImplemented" | "MethodNotAllowed")) => Outcome::Unsupported,
        // Servers that don't know the call take it for another one of the bucket, or for a missing key.
        (Some(404 | 405), code) if code != Some("NoSuchBucket") => Outcome::Unsupported,
        (Some(403), _) => Outcome::Denied,
        _ => Outcome::Failed,
    };
    (outcome, failed.to_string())
}

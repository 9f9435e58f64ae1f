//! What S3 answered, as `object_store`'s errors: which thing, what the server says, and the way out. No secret is in it.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use object_store::Error;

/// The name of the store in errors.
pub(super) const STORE: &str = "S3";

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failed {
    text: String,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// S3's name of the error, such as `NoSuchKey`.
    pub code: Option<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failed {}

impl Failed {
    /// `what` of `target` (`s3://bucket/key`) did not succeed.
    pub fn new<E>(what: &str, target: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let response = error.raw_response();
        let status = response.map(|r| r.status().as_u16());
        let code = error.code().map(str::to_owned);
        let said = match (code.as_deref(), error.message(), status) {
            (Some(code), Some(message), _) if message != code => format!("{code}: {message}"),
            (Some(code), ..) => code.to_owned(),
            (None, _, Some(status)) => format!("status {status}"),
            (None, _, None) => causes(error),
        };
        let mut text = format!("{what} {target} failed: {said}");
        let region = response.and_then(|r| r.headers().get("x-amz-bucket-region"));
        if let Some(way_out) = way_out(status, code.as_deref(), &said, region) {
            text.push_str(". ");
            text.push_str(&way_out);
        }
        Self { text, status, code }
    }

    /// Something else, told in our own words.
    pub fn saying(text: String) -> Self {
        Self { text, status: None, code: None }
    }

    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// As an error of reading, listing, deleting, or writing without a condition.
    pub fn into_error(self, target: &str) -> Error {
        let path = target.to_owned();
        match self.status {
            // A bucket that is missing is not an object that may be made.
            Some(404) if !self.is("NoSuchBucket") => Error::NotFound { path, source: self.into() },
            Some(304) => Error::NotModified { path, source: self.into() },
            Some(409 | 412) => Error::Precondition { path, source: self.into() },
            Some(401) => Error::Unauthenticated { path, source: self.into() },
            Some(403) if self.code.as_deref().is_some_and(|c| LOGIN.contains(&c)) => {
                Error::Unauthenticated { path, source: self.into() }
            }
            Some(403) => Error::PermissionDenied { path, source: self.into() },
            _ => Error::Generic { store: STORE, source: self.into() },
        }
    }
}

/// Codes that mean credentials which are wrong or too old, not ones that may too little.
const LOGIN: [&str; 4] = ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"];

fn causes(error: &dyn StdError) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}

fn way_out(status: Option<u16>, code: Option<&str>, said: &str, region: Option<&str>) -> Option<String> {
    Some(match code {
        Some("NoSuchBucket") => "Correct its name, or make it: `citystream lake init` does".into(),
        Some("InvalidAccessKeyId" | "SignatureDoesNotMatch") => {
            "Correct access_key_id and secret_access_key (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)".into()
        }
        Some("ExpiredToken" | "InvalidToken") => "Get new credentials; the session has ended".into(),
        Some("RequestTimeTooSkewed") => "Set this machine's clock".into(),
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            match region {
                Some(region) => format!("The bucket is in another region: give the storage option region={region}"),
                None => "Give the bucket's region as the storage option region (AWS_REGION)".into(),
            }
        }
        _ if status == Some(301) => match region {
            Some(region) => format!("The bucket is in another region: give the storage option region={region}"),
            None => "Give the bucket's region as the storage option region (AWS_REGION)".into(),
        },
        _ if status == Some(403) => {
            "These credentials may not do that; docs/s3.md has the policy that is needed".into()
        }
        None if status.is_none() && said.contains("credentials") => {
            "Give access_key_id and secret_access_key, a profile or a role; docs/s3.md has the ways to log in".into()
        }
        None if status.is_none() => "Check the endpoint and the network".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(status: u16, code: &str) -> Failed {
        Failed { text: "x".into(), status: Some(status), code: Some(code.into()) }
    }

    #[test]
    fn each_answer_has_its_error() {
        let error = |status, code| failed(status, code).into_error("s3://b/k");
        assert!(matches!(error(404, "NoSuchKey"), Error::NotFound { .. }));
        assert!(matches!(error(404, "NoSuchBucket"), Error::Generic { .. }));
        assert!(matches!(error(412, "PreconditionFailed"), Error::Precondition { .. }));
        assert!(matches!(error(403, "AccessDenied"), Error::PermissionDenied { .. }));
        assert!(matches!(error(403, "SignatureDoesNotMatch"), Error::Unauthenticated { .. }));
        assert!(matches!(error(503, "SlowDown"), Error::Generic { .. }));
        let help = way_out(Some(301), None, "", Some("eu-central-1")).unwrap();
        assert!(help.contains("region=eu-central-1"), "{help}");
        assert!(way_out(None, None, "no credentials in the property bag", None).unwrap().contains("profile"));
    }
}

//! Options of an S3 store: delta-rs's keys, or the `AWS_*` variables of the same names.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm, ServerSideEncryption, StorageClass};

use crate::error::{Error, Result};

/// The size of an upload's parts unless `part_bytes` says otherwise; a smaller file is one request.
pub const PART_BYTES: usize = 8 << 20;
/// Parts of one file that are under way at once, unless `part_uploads` says otherwise.
pub const PART_UPLOADS: usize = 3;
/// What S3 takes as a part, but for the last.
const PART_LIMITS: std::ops::RangeInclusive<usize> = 5 << 20..=5 << 30;

const RETRIES: u32 = 10;
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a bucket is reached. Its `Debug` holds no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) sts_endpoint: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) session_token: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) role_session_name: Option<String>,
    pub(super) web_identity_token_file: Option<String>,
    pub(super) virtual_hosted: Option<bool>,
    pub(super) allow_http: bool,
    pub(super) skip_signature: bool,
    pub(super) encryption: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    pub(super) bucket_key: Option<bool>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) checksum: Checksum,
    pub(super) retries: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) part_bytes: Option<usize>,
    pub(super) part_uploads: Option<usize>,
}

/// Which sum goes along with what is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Checksum {
    /// The client's choice, CRC-32.
    #[default]
    Default,
    /// None, but where S3 demands one: for servers that know none.
    Never,
    This(ChecksumAlgorithm),
}

/// Every option: its name, without the `aws_` that may stand before it, and other names for it.
const NAMES: &[(&str, &[&str])] = &[
    ("region", &["default_region"]),
    ("endpoint_url", &["endpoint", "endpoint_url_s3"]),
    ("endpoint_url_sts", &[]),
    ("access_key_id", &[]),
    ("secret_access_key", &[]),
    ("session_token", &["token"]),
    ("profile", &[]),
    ("role_arn", &["iam_role_arn"]),
    ("role_session_name", &["iam_role_session_name"]),
    ("web_identity_token_file", &[]),
    ("virtual_hosted_style_request", &[]),
    ("allow_http", &[]),
    ("skip_signature", &[]),
    ("server_side_encryption", &[]),
    ("sse_kms_key_id", &[]),
    ("sse_bucket_key_enabled", &[]),
    ("storage_class", &[]),
    ("checksum_algorithm", &[]),
    ("conditional_put", &[]),
    ("max_retries", &[]),
    ("timeout", &[]),
    ("connect_timeout", &[]),
    ("part_bytes", &[]),
    ("part_uploads", &[]),
];

/// Those that a variable of the environment sets too. Credentials are not among them: the client looks for those itself, in
/// the order that every program on AWS has, and a profile or role that was asked for must not be overruled by a variable.
const FROM_ENVIRONMENT: &[&str] = &[
    "region",
    "endpoint_url",
    "endpoint_url_sts",
    "virtual_hosted_style_request",
    "allow_http",
    "skip_signature",
    "server_side_encryption",
    "sse_kms_key_id",
    "sse_bucket_key_enabled",
    "storage_class",
    "checksum_algorithm",
];

impl S3Options {
    /// The options of `given`, and for what it leaves open the variables of this process.
    ///
    /// # Errors
    /// `Config` for an unknown option, naming the nearest, or a value that it can't have.
    pub fn new(given: &BTreeMap<String, String>) -> Result<Self> {
        Self::with(given, |name| std::env::var(name).ok())
    }

    /// As [`S3Options::new`], with another environment.
    pub(super) fn with(given: &BTreeMap<String, String>, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut values: BTreeMap<&'static str, (String, &str)> = BTreeMap::new();
        for (key, value) in given {
            let name = known(key)?;
            if let Some((_, other)) = values.insert(name, (key.clone(), value))
                && other != value
            {
                return Err(Error::config(format!("storage option {name} is given twice, with two values")));
            }
        }
        let mut options = Self::default();
        for (name, (key, value)) in &values {
            options.set(name, key, value)?;
        }
        for name in FROM_ENVIRONMENT.iter().filter(|name| !values.contains_key(*name)) {
            let others = NAMES.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, others)| others);
            // What is for S3 alone goes before what is for every service.
            let mut spellings: Vec<_> = std::iter::once(name).chain(others).collect();
            spellings.sort_by_key(|n| !n.ends_with("_s3"));
            let found = spellings.into_iter().find_map(|n| {
                let key = format!("AWS_{}", n.to_uppercase());
                variable(&key).filter(|v| !v.is_empty()).map(|v| (key, v))
            });
            if let Some((key, value)) = found {
                options.set(name, &key, &value)?;
            }
        }
        options.verify()?;
        Ok(options)
    }

    fn set(&mut self, name: &str, key: &str, value: &str) -> Result<()> {
        let text = || Some(value.to_owned()).filter(|v| !v.is_empty());
        match name {
            "region" => self.region = text(),
            "endpoint_url" => self.endpoint = text(),
            "endpoint_url_sts" => self.sts_endpoint = text(),
            "access_key_id" => self.access_key_id = text(),
            "secret_access_key" => self.secret_access_key = text(),
            "session_token" => self.session_token = text(),
            "profile" => self.profile = text(),
            "role_arn" => self.role_arn = text(),
            "role_session_name" => self.role_session_name = text(),
            "web_identity_token_file" => self.web_identity_token_file = text(),
            "virtual_hosted_style_request" => self.virtual_hosted = Some(yes(key, value)?),
            "allow_http" => self.allow_http = yes(key, value)?,
            "skip_signature" => self.skip_signature = yes(key, value)?,
            "server_side_encryption" => self.encryption = Some(encryption(key, value)?),
            "sse_kms_key_id" => self.kms_key = text(),
            "sse_bucket_key_enabled" => self.bucket_key = Some(yes(key, value)?),
            "storage_class" => self.storage_class = Some(storage_class(key, value)?),
            "checksum_algorithm" => self.checksum = checksum(key, value)?,
            // delta-rs has to be told; we know no other way.
            "conditional_put" if value == "etag" => {}
            "conditional_put" => {
                return Err(wrong(key, value, "Commits are put under a condition always: leave it out, or give etag"));
            }
            "max_retries" => self.retries = Some(number(key, value)?),
            "timeout" => self.timeout = Some(duration(key, value)?),
            "connect_timeout" => self.connect_timeout = Some(duration(key, value)?),
            "part_bytes" => {
                let bytes = number(key, value)?;
                if !PART_LIMITS.contains(&bytes) {
                    return Err(wrong(key, value, "S3 takes parts of 5242880 bytes (5 MiB) to 5368709120 (5 GiB)"));
                }
                self.part_bytes = Some(bytes);
            }
            "part_uploads" => {
                let uploads = number(key, value)?;
                if !(1..=64).contains(&uploads) {
                    return Err(wrong(key, value, "Give a number from 1 to 64"));
                }
                self.part_uploads = Some(uploads);
            }
            other => return Err(Error::internal(format!("storage option {other} has no meaning"))),
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        let refuse = |text: &str, help: &str| Err(Error::config(text).help(help));
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return refuse("of the storage options access_key_id and secret_access_key only one is given", "Give both");
        }
        if self.session_token.is_some() && self.access_key_id.is_none() {
            return refuse(
                "storage option session_token is given without a key",
                "Give access_key_id and secret_access_key too",
            );
        }
        if self.web_identity_token_file.is_some() && self.role_arn.is_none() {
            return refuse("storage option web_identity_token_file is given without a role", "Give role_arn too");
        }
        if self.profile.is_some() && self.access_key_id.is_some() {
            return refuse("both a profile and an access key are given as storage options", "Leave one of them out");
        }
        if self.kms_key.is_some() && self.encryption == Some(ServerSideEncryption::Aes256) {
            return refuse(
                "storage option sse_kms_key_id is of no use to server_side_encryption=AES256",
                "Give server_side_encryption=aws:kms, or leave that out",
            );
        }
        for endpoint in [&self.endpoint, &self.sts_endpoint].into_iter().flatten() {
            let scheme = url::Url::parse(endpoint).ok().map(|u| u.scheme().to_owned());
            match scheme.as_deref() {
                Some("https") => {}
                Some("http") if self.allow_http => {}
                Some("http") => {
                    return Err(Error::config(format!("the endpoint {endpoint} is not encrypted"))
                        .help("Give the storage option allow_http=true (AWS_ALLOW_HTTP) to use it all the same"));
                }
                _ => {
                    return Err(Error::config(format!("the endpoint {endpoint:?} is no address"))
                        .help("Write it like https://s3.example.com"));
                }
            }
        }
        Ok(())
    }

    /// Whether the bucket stands in the path of an address, not in its host name: the default of custom endpoints.
    pub(super) fn path_style(&self) -> bool {
        !self.virtual_hosted.unwrap_or(self.endpoint.is_none())
    }

    /// How objects are encrypted, where that is not left to the bucket.
    pub(super) fn encryption(&self) -> Option<ServerSideEncryption> {
        let by_key = self.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms);
        self.encryption.clone().or(by_key)
    }

    pub(super) fn retries(&self) -> u32 {
        self.retries.unwrap_or(RETRIES)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    /// The size of an upload's parts, and how many may be under way.
    pub fn parts(&self) -> (usize, usize) {
        (self.part_bytes.unwrap_or(PART_BYTES), self.part_uploads.unwrap_or(PART_UPLOADS))
    }
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("profile", &self.profile)
            .field("role_arn", &self.role_arn)
            .field("keys", &self.access_key_id.as_ref().map(|_| "given"))
            .finish_non_exhaustive()
    }
}

fn known(key: &str) -> Result<&'static str> {
    let lower = key.to_lowercase();
    let plain = lower.strip_prefix("aws_").unwrap_or(&lower);
    if let Some((name, _)) = NAMES.iter().find(|(name, others)| *name == plain || others.contains(&plain)) {
        return Ok(name);
    }
    if ["s3_locking_provider", "s3_allow_unsafe_rename"].contains(&plain) {
        return Err(Error::config(format!("storage option {key} is given"))
            .help("Commits are put under a condition, which needs no lock and no rename: leave it out"));
    }
    let mut nearest: Vec<_> = NAMES.iter().map(|(name, _)| (distance(plain, name), *name)).collect();
    nearest.sort_unstable();
    let help = match nearest.first() {
        Some((distance, name)) if *distance <= plain.len().div_ceil(3) => format!("Did you mean {name}?"),
        _ => format!("Choose from {}", NAMES.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ")),
    };
    Err(Error::config(format!("unknown storage option {key:?}")).help(help))
}

/// How many letters must change, come or go to make one text the other.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

fn wrong(key: &str, value: &str, help: &str) -> Error {
    Error::config(format!("storage option {key} is {value:?}")).help(help)
}

fn yes(key: &str, value: &str) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Ok(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err(wrong(key, value, "Give true or false")),
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| wrong(key, value, "Give a whole number"))
}

/// Such as `30s`, `500ms`, `2m` or a number of seconds.
fn duration(key: &str, value: &str) -> Result<Duration> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match value[digits.len()..].trim() {
        "ms" => 1,
        "" | "s" | "sec" | "secs" | "seconds" => 1_000,
        "m" | "min" | "minutes" => 60_000,
        _ => 0,
    };
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)) {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err(wrong(key, value, "Write it like 30s, 500ms or 2min")),
    }
}

fn encryption(key: &str, value: &str) -> Result<ServerSideEncryption> {
    match value {
        "AES256" => Ok(ServerSideEncryption::Aes256),
        "aws:kms" | "sse-kms" => Ok(ServerSideEncryption::AwsKms),
        "aws:kms:dsse" => Ok(ServerSideEncryption::AwsKmsDsse),
        _ => Err(wrong(key, value, "Choose from AES256, aws:kms, aws:kms:dsse")),
    }
}

fn storage_class(key: &str, value: &str) -> Result<StorageClass> {
    // The others can't be read at once, or not by the bucket that holds them.
    let classes = ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"];
    match classes.iter().find(|c| c.eq_ignore_ascii_case(value)) {
        Some(class) => Ok(StorageClass::from(*class)),
        None => Err(wrong(key, value, &format!("Choose from {}", classes.join(", ")))),
    }
}

fn checksum(key: &str, value: &str) -> Result<Checksum> {
    Ok(match value.to_uppercase().as_str() {
        "NONE" => Checksum::Never,
        "CRC32" => Checksum::This(ChecksumAlgorithm::Crc32),
        "CRC32C" => Checksum::This(ChecksumAlgorithm::Crc32C),
        "CRC64NVME" => Checksum::This(ChecksumAlgorithm::Crc64Nvme),
        "SHA1" => Checksum::This(ChecksumAlgorithm::Sha1),
        "SHA256" => Checksum::This(ChecksumAlgorithm::Sha256),
        _ => return Err(wrong(key, value, "Choose from CRC32, CRC32C, CRC64NVME, SHA1, SHA256, none")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn options(given: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<S3Options> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        S3Options::with(&given, |name| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn refused(given: &[(&str, &str)]) -> String {
        let error = options(given, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn an_option_has_delta_rss_names_and_goes_before_the_environment() {
        let environment = [("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", "https://all"), ("AWS_NEW_THING", "x")];
        let found = options(&[("AWS_REGION", "us-east-2"), ("endpoint", "https://here")], &environment).unwrap();
        assert_eq!(found.region.as_deref(), Some("us-east-2"));
        assert_eq!(found.endpoint.as_deref(), Some("https://here"));
        let both = [environment[0], environment[1], ("AWS_ENDPOINT_URL_S3", "https://s3")];
        let found = options(&[("conditional_put", "etag")], &both).unwrap();
        assert_eq!((found.region.as_deref(), found.endpoint.as_deref()), (Some("eu-west-1"), Some("https://s3")));
        assert!(found.path_style());
        assert!(!options(&[], &[]).unwrap().path_style());
        assert!(!options(&[("aws_virtual_hosted_style_request", "true")], &both).unwrap().path_style());
    }

    #[test]
    fn unknown_options_are_refused_with_the_nearest() {
        assert!(refused(&[("aws_secret_acess_key", "x")]).contains("Did you mean secret_access_key?"));
        assert!(refused(&[("colour", "x")]).contains("Choose from region"));
        assert!(refused(&[("AWS_S3_LOCKING_PROVIDER", "dynamodb")]).contains("needs no lock"));
    }

    #[test]
    fn values_that_can_not_be_are_refused_and_secrets_are_not_shown() {
        assert!(refused(&[("endpoint", "http://a")]).contains("allow_http"));
        assert!(refused(&[("endpoint", "a")]).contains("no address"));
        assert!(refused(&[("allow_http", "perhaps")]).contains("true or false"));
        assert!(refused(&[("part_bytes", "1000")]).contains("5 MiB"));
        assert!(refused(&[("timeout", "soon")]).contains("30s"));
        assert!(refused(&[("storage_class", "GLACIER")]).contains("STANDARD_IA"));
        assert!(refused(&[("conditional_put", "dynamo:t")]).contains("etag"));
        let text = refused(&[("secret_access_key", "hunter2")]);
        assert!(text.contains("Give both") && !text.contains("hunter2"), "{text}");
        let keys = [("access_key_id", "AKIA"), ("secret_access_key", "hunter2"), ("session_token", "hunter3")];
        let shown = format!("{:?}", options(&keys, &[]).unwrap());
        assert!(!shown.contains("hunter") && !shown.contains("AKIA"), "{shown}");
    }

    #[test]
    fn a_kms_key_alone_means_encryption_by_it() {
        let found = options(&[("sse_kms_key_id", "k")], &[]).unwrap();
        assert_eq!(found.encryption(), Some(ServerSideEncryption::AwsKms));
        assert_eq!(options(&[("timeout", "2min")], &[]).unwrap().timeout(), Duration::from_mins(2));
    }
}

//! How a client proves who it is, and how the line is protected.
//!
//! [`Security`] is filled from names and values, as they come from flags, the environment or Python:
//!
//! | name | meaning |
//! | --- | --- |
//! | `protocol` | `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`; where it is absent, `sasl_ssl` with a user, `ssl` with a `ca` or certificate, else `plaintext` |
//! | `mechanism` | `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`; must stand beside `user` |
//! | `user`, `password` | the SASL login |
//! | `ca` | file of the authorities to trust; the system's where it is absent |
//! | `certificate`, `key`, `key_password` | the client's own certificate, for mutual TLS |
//! | `sasl.…`, `ssl.…`, `security.protocol`, `enable.sasl.…`, `enable.ssl.…` | passed to librdkafka as it is |
//!
//! ```
//! # fn main() -> Result<(), _core::error::Error> {
//! use _core::kafka::Security;
//!
//! let security = Security::from_pairs([("mechanism", "SCRAM-SHA-512"), ("user", "city"), ("password", "s3cret")])?;
//! assert!(!format!("{security:?}").contains("s3cret"));
//! # Ok(()) }
//! ```
//! `AWS_MSK_IAM` is not there yet.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use crate::error::{Error, Result};

/// Our short names and librdkafka's.
const NAMES: [(&str, &str); 8] = [
    ("protocol", "security.protocol"),
    ("mechanism", "sasl.mechanism"),
    ("user", "sasl.username"),
    ("password", "sasl.password"),
    ("ca", "ssl.ca.location"),
    ("certificate", "ssl.certificate.location"),
    ("key", "ssl.key.location"),
    ("key_password", "ssl.key.password"),
];

const PASSED: [&str; 4] = ["sasl.", "ssl.", "enable.sasl.", "enable.ssl."];

/// Values that may be shown. Whatever is not listed is taken for a secret.
const SHOWN: [&str; 7] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
];

/// Login and encryption of a Kafka client; the default is neither. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Security {
    properties: BTreeMap<String, String>,
}

impl Security {
    /// From names and values; the [module](self) lists the names.
    ///
    /// # Errors
    /// `Config`: an unknown name, a protocol that is none, a user without a mechanism, or `AWS_MSK_IAM`.
    pub fn from_pairs<N: AsRef<str>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut properties = BTreeMap::new();
        for (name, value) in pairs {
            let name = name.as_ref();
            let property = match NAMES.iter().find(|(ours, _)| *ours == name) {
                Some((_, property)) => *property,
                None if name == "security.protocol" || PASSED.iter().any(|p| name.starts_with(p)) => name,
                None => {
                    let names: Vec<_> = NAMES.iter().map(|(ours, _)| *ours).collect();
                    return Err(Error::config(format!("unknown security option {name:?}"))
                        .help(format!("Choose from {}, or a librdkafka property sasl.… or ssl.…", names.join(", "))));
                }
            };
            properties.insert(property.to_owned(), value.into());
        }
        let mut security = Self { properties };
        security.complete()?;
        Ok(security)
    }

    fn complete(&mut self) -> Result<()> {
        let has = |name: &str| self.properties.contains_key(name);
        let mechanism = self.properties.get("sasl.mechanism").or_else(|| self.properties.get("sasl.mechanisms"));
        match mechanism.map(String::as_str) {
            Some("AWS_MSK_IAM") => {
                return Err(Error::config("security option mechanism is AWS_MSK_IAM, which citystream can't do yet")
                    .help("Use SCRAM-SHA-512, which MSK offers too"));
            }
            None if has("sasl.username") => {
                return Err(Error::config("security option user is given without a mechanism")
                    .help("Add mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"));
            }
            _ => {}
        }
        let sasl = mechanism.is_some();
        let tls = has("ssl.ca.location") || has("ssl.certificate.location");
        if let Some(protocol) = self.properties.get_mut("security.protocol") {
            protocol.make_ascii_lowercase();
            if !["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].contains(&protocol.as_str()) {
                return Err(Error::config(format!("security option protocol is {protocol:?}"))
                    .help("Choose from plaintext, ssl, sasl_plaintext, sasl_ssl"));
            }
        } else if sasl || tls {
            let protocol = if sasl { "sasl_ssl" } else { "ssl" };
            self.properties.insert("security.protocol".to_owned(), protocol.to_owned());
        }
        Ok(())
    }

    /// Sets librdkafka's properties.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str, value: &str| if SHOWN.contains(&name) { value.to_owned() } else { "***".to_owned() };
        f.debug_map().entries(self.properties.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        let security = Security::from_pairs([
            ("mechanism", "PLAIN"),
            ("user", "city"),
            ("password", "hunter2"),
            ("key_password", "hunter3"),
            ("sasl.oauthbearer.client.secret", "hunter4"),
            ("ssl.key.pem", "hunter5"),
        ])
        .unwrap();
        let shown = format!("{security:?}");
        assert!(shown.contains("city") && shown.contains("sasl_ssl"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");

        let mut config = ClientConfig::new();
        security.apply(&mut config);
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("ssl.key.pem"), Some("hunter5"));
    }

    #[test]
    fn protocol_follows_from_what_is_given() {
        let protocol = |pairs: &[(&str, &str)]| {
            let security = Security::from_pairs(pairs.iter().copied()).unwrap();
            security.properties.get("security.protocol").cloned()
        };
        assert_eq!(protocol(&[]), None);
        assert_eq!(protocol(&[("ca", "ca.pem")]).as_deref(), Some("ssl"));
        assert_eq!(protocol(&[("mechanism", "PLAIN"), ("user", "u")]).as_deref(), Some("sasl_ssl"));
        assert_eq!(
            protocol(&[("protocol", "SASL_PLAINTEXT"), ("mechanism", "PLAIN")]).as_deref(),
            Some("sasl_plaintext")
        );
    }

    #[test]
    fn mistakes_are_named() {
        let message = |pairs: &[(&str, &str)]| Security::from_pairs(pairs.iter().copied()).unwrap_err().to_string();
        assert!(message(&[("pasword", "x")]).contains("\"pasword\""));
        assert!(message(&[("user", "u")]).contains("mechanism"));
        assert!(message(&[("protocol", "tls")]).contains("sasl_ssl"));
        assert!(message(&[("mechanism", "AWS_MSK_IAM")]).contains("yet"));
    }
}

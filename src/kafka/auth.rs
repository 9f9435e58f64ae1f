//! How a client proves who it is, and how the line is protected.
//!
//! [`Security`] is filled from names and values, as they come from flags, the environment or Python:
//!
//! | name | meaning |
//! | --- | --- |
//! | `protocol` | `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`; where it is absent, `sasl_ssl` with a mechanism, `ssl` with a `ca` or certificate, else `plaintext` |
//! | `mechanism` | `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER` or `AWS_MSK_IAM`; must stand beside `user` |
//! | `user`, `password` | the login of PLAIN and SCRAM |
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
//! `OAUTHBEARER` and `AWS_MSK_IAM` log in with a [`Token`], which [`Security::tokens`] says how to get. Python brings the
//! client credentials of OpenID Connect and AWS's own signer; from Rust it is a function of yours.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use super::token::{Token, TokenSource};
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
const SHOWN: [&str; 6] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
];

const MECHANISMS: [&str; 5] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER, MSK_IAM];
const OAUTHBEARER: &str = "OAUTHBEARER";
const MSK_IAM: &str = "AWS_MSK_IAM";
/// Makes tokens that nobody signs, for tests of brokers that take them.
const UNSECURED: &str = "enable.sasl.oauthbearer.unsecure.jwt";

/// Login and encryption of a Kafka client; the default is neither. `Debug` shows no secret.
#[derive(Clone, Default)]
pub struct Security {
    properties: BTreeMap<String, String>,
    tokens: Option<TokenSource>,
}

impl Security {
    /// From names and values; the [module](self) lists the names.
    ///
    /// # Errors
    /// `Config`: an unknown name, a protocol or mechanism that is none, a user without a mechanism, a login that the
    /// protocol would not send.
    pub fn from_pairs<N: AsRef<str>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let mut properties = BTreeMap::new();
        for (name, value) in pairs {
            let name = name.as_ref();
            let property = match NAMES.iter().find(|(ours, _)| *ours == name) {
                Some((_, property)) => *property,
                None if name == "sasl.mechanisms" => "sasl.mechanism",
                None if name == "security.protocol" || PASSED.iter().any(|p| name.starts_with(p)) => name,
                None => {
                    let names: Vec<_> = NAMES.iter().map(|(ours, _)| *ours).collect();
                    return Err(Error::config(format!("unknown security option {name:?}"))
                        .help(format!("Choose from {}, or a librdkafka property sasl.… or ssl.…", names.join(", "))));
                }
            };
            properties.insert(property.to_owned(), value.into());
        }
        let mut security = Self { properties, tokens: None };
        security.complete()?;
        Ok(security)
    }

    /// Where the tokens of `OAUTHBEARER` or `AWS_MSK_IAM` come from. It is asked once before the first contact and again
    /// when four fifths of a token's life are over, on a thread of its own.
    #[must_use]
    pub fn tokens(mut self, source: impl Fn() -> Result<Token> + Send + Sync + 'static) -> Self {
        self.tokens = Some(TokenSource::new(source));
        self
    }

    fn complete(&mut self) -> Result<()> {
        if let Some(mechanism) = self.properties.get_mut("sasl.mechanism") {
            mechanism.make_ascii_uppercase();
            if !MECHANISMS.contains(&mechanism.as_str()) {
                return Err(Error::config(format!("security option mechanism is {mechanism:?}"))
                    .help(format!("Choose from {}", MECHANISMS.join(", "))));
            }
        } else if self.has("sasl.username") {
            return Err(Error::config("security option user is given without a mechanism")
                .help("Add mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"));
        }
        let sasl = self.has("sasl.mechanism");
        let tls = ["ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.certificate.pem"];
        let tls = tls.iter().any(|name| self.has(name));
        if let Some(protocol) = self.properties.get_mut("security.protocol") {
            protocol.make_ascii_lowercase();
            if !["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"].contains(&protocol.as_str()) {
                return Err(Error::config(format!("security option protocol is {protocol:?}"))
                    .help("Choose from plaintext, ssl, sasl_plaintext, sasl_ssl"));
            }
            let sends = protocol.starts_with("sasl_");
            if sasl && !sends {
                return Err(Error::config(format!("protocol {protocol} sends no login, but a mechanism is given"))
                    .help("Use sasl_ssl, or sasl_plaintext inside a network that you trust"));
            }
            if sends && !sasl {
                return Err(Error::config(format!("protocol {protocol} is given without a mechanism"))
                    .help(format!("Add mechanism: {}", MECHANISMS.join(", "))));
            }
        } else if sasl || tls {
            let protocol = if sasl { "sasl_ssl" } else { "ssl" };
            self.properties.insert("security.protocol".to_owned(), protocol.to_owned());
        }
        for name in ["sasl.username", "sasl.password"] {
            let passwords = self.mechanism().is_some_and(|m| m == "PLAIN" || m.starts_with("SCRAM"));
            if passwords && !self.has(name) {
                let short = NAMES.iter().find(|(_, property)| *property == name).map_or(name, |(ours, _)| ours);
                let mechanism = self.mechanism().unwrap_or_default();
                return Err(Error::config(format!("security option {short} is missing, which {mechanism} needs"))
                    .help("Give user and password"));
            }
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }

    fn mechanism(&self) -> Option<&str> {
        self.properties.get("sasl.mechanism").map(String::as_str)
    }

    fn by_token(&self) -> bool {
        self.mechanism().is_some_and(|m| m == OAUTHBEARER || m == MSK_IAM)
    }

    /// Where tokens come from, with a mechanism that takes them.
    pub(super) fn token_source(&self) -> Option<&TokenSource> {
        self.tokens.as_ref().filter(|_| self.by_token())
    }

    /// Sets librdkafka's properties.
    ///
    /// # Errors
    /// `Config`: a mechanism of tokens without a source of them.
    pub(super) fn apply(&self, config: &mut ClientConfig) -> Result<()> {
        if self.by_token() && self.tokens.is_none() && !self.has(UNSECURED) {
            let mechanism = self.mechanism().unwrap_or_default();
            return Err(Error::config(format!("{mechanism} has no source of tokens"))
                .help("Give token_url, client_id and client_secret, or a token function"));
        }
        for (name, value) in &self.properties {
            let value = if name == "sasl.mechanism" && value == MSK_IAM { OAUTHBEARER } else { value };
            config.set(name, value);
        }
        let tls = self.properties.get("security.protocol").is_some_and(|protocol| protocol.ends_with("ssl"));
        let trusts = ["ssl.ca.location", "ssl.ca.pem", "ssl.certificate.verify_cb"];
        if tls && !trusts.iter().any(|name| self.has(name)) {
            // Our OpenSSL is librdkafka's own, which knows no folder of this system's.
            config.set("ssl.ca.location", "probe");
        }
        Ok(())
    }

    /// The login in a few words, and what to check when the broker refused it for `reason`.
    pub(super) fn refusal(&self, reason: &str) -> (String, &'static str) {
        if reason.contains("SSL") && !reason.contains("SASL") {
            return ("by TLS".to_owned(), "Check ca, certificate and key, and that this port is a TLS listener");
        }
        let user = self.properties.get("sasl.username").map(|user| format!(" as {user:?}")).unwrap_or_default();
        let how = self.mechanism().map_or("without a login".to_owned(), |mechanism| format!("by {mechanism}{user}"));
        let hung_up = ["Disconnected", "Broken pipe"].iter().any(|text| reason.contains(text));
        let Some(mechanism) = self.mechanism().filter(|_| !hung_up) else {
            return (how, "A listener that hangs up may want TLS or a login: give protocol, ca, mechanism");
        };
        let help = match mechanism {
            OAUTHBEARER => "Check the token's issuer, audience and expiry, and that the listener offers OAUTHBEARER",
            MSK_IAM => {
                "Check the AWS credentials and the region, that their policy allows kafka-cluster:Connect, and that the \
                 port is the cluster's for IAM (9098)"
            }
            _ => "Check user and password, and that the listener offers this mechanism",
        };
        (how, help)
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str, value: &str| if SHOWN.contains(&name) { value.to_owned() } else { "***".to_owned() };
        let tokens = self.tokens.iter().map(|_| ("tokens", "***".to_owned()));
        let properties = self.properties.iter().map(|(name, value)| (name.as_str(), shown(name, value)));
        f.debug_map().entries(properties.chain(tokens)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(security: &Security) -> ClientConfig {
        let mut config = ClientConfig::new();
        security.apply(&mut config).unwrap();
        config
    }

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

        let config = applied(&security);
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("ssl.key.pem"), Some("hunter5"));

        let token = || Ok(Token { value: "hunter6".to_owned(), expires_ms: 1 });
        let security = Security::from_pairs([("mechanism", "OAUTHBEARER")]).unwrap().tokens(token);
        let shown = format!("{security:?} {:?}", token());
        assert!(shown.contains("tokens") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn protocol_follows_from_what_is_given() {
        let protocol = |pairs: &[(&str, &str)]| {
            let security = Security::from_pairs(pairs.iter().copied()).unwrap();
            security.properties.get("security.protocol").cloned()
        };
        assert_eq!(protocol(&[]), None);
        assert_eq!(protocol(&[("ca", "ca.pem")]).as_deref(), Some("ssl"));
        assert_eq!(protocol(&[("ssl.certificate.pem", "-----")]).as_deref(), Some("ssl"));
        let login = [("mechanism", "plain"), ("user", "u"), ("password", "p")];
        assert_eq!(protocol(&login).as_deref(), Some("sasl_ssl"));
        let plain = [&[("protocol", "SASL_PLAINTEXT")], &login[..]].concat();
        assert_eq!(protocol(&plain).as_deref(), Some("sasl_plaintext"));
    }

    #[test]
    fn authorities_are_those_given_or_the_systems() {
        let ca = |pairs: &[(&str, &str)]| {
            let security = Security::from_pairs(pairs.iter().copied()).unwrap();
            applied(&security).get("ssl.ca.location").map(str::to_owned)
        };
        assert_eq!(ca(&[]), None);
        assert_eq!(ca(&[("protocol", "ssl")]).as_deref(), Some("probe"));
        assert_eq!(ca(&[("ca", "own.pem")]).as_deref(), Some("own.pem"));
        assert_eq!(ca(&[("ssl.ca.pem", "-----")]), None);
    }

    #[test]
    fn mechanisms_of_tokens_need_a_source() {
        for mechanism in [OAUTHBEARER, MSK_IAM] {
            let security = Security::from_pairs([("mechanism", mechanism)]).unwrap();
            let error = security.apply(&mut ClientConfig::new()).unwrap_err().to_string();
            assert!(error.contains(mechanism) && error.contains("token_url"), "{error}");
            let security = security.tokens(|| Ok(Token { value: "t".to_owned(), expires_ms: i64::MAX }));
            assert_eq!(applied(&security).get("sasl.mechanism"), Some(OAUTHBEARER));
            assert!(security.token_source().is_some());
            assert!(security.refusal("SASL authentication error").0.contains(mechanism));
        }
        // A function of tokens is of no use to another mechanism.
        let plain = [("mechanism", "PLAIN"), ("user", "u"), ("password", "p")];
        let security = Security::from_pairs(plain).unwrap();
        assert!(security.tokens(|| Err(Error::internal("asked"))).token_source().is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |pairs: &[(&str, &str)]| Security::from_pairs(pairs.iter().copied()).unwrap_err().to_string();
        assert!(message(&[("pasword", "x")]).contains("\"pasword\""));
        assert!(message(&[("user", "u")]).contains("mechanism"));
        assert!(message(&[("protocol", "tls")]).contains("sasl_ssl"));
        assert!(message(&[("mechanism", "SCRAM-SHA-1")]).contains("SCRAM-SHA-256"));
        assert!(message(&[("mechanism", "PLAIN"), ("password", "x")]).contains("user is missing"));
        assert!(message(&[("mechanism", "PLAIN"), ("user", "u")]).contains("password is missing"));
        assert!(message(&[("protocol", "sasl_ssl")]).contains("without a mechanism"));
        let unsent = [("protocol", "ssl"), ("mechanism", "PLAIN"), ("user", "u"), ("password", "hunter2")];
        assert!(message(&unsent).contains("sends no login") && !message(&unsent).contains("hunter2"));
    }
}

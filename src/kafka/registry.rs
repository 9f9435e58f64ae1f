//! A client of schema registries: the REST calls of Confluent's, which others speak too.
//!
//! # Bounds
//! | bound | value |
//! | --- | --- |
//! | one request | [`RegistryOptions::timeout`], 10 s by default |
//! | tries where the registry is away or overloaded | 3, with pauses of 0.2 and 0.4 s |
//! | an answer | 2 MiB |
//!
//! A call looks at its `cancel` flag ten times a second. Secrets stand in no error and no `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::client::{self, TICK};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::block_on;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_ANSWER: usize = 2 << 20;

/// Where a schema registry is and how to log in there.
#[derive(Clone)]
pub struct RegistryOptions {
    /// `http` or `https`, without user and password.
    url: Url,
    user: Option<String>,
    password: Option<String>,
    /// A PEM file with authorities to trust beside the system's.
    ca: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOptions")
            .field("url", &self.url.as_str())
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("ca", &self.ca)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl RegistryOptions {
    /// From names and values: `url`, `user`, `password`, `ca` (a PEM file).
    ///
    /// # Errors
    /// `Config`: no URL or none of http and https, an unknown name, or a password within the URL.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut pairs: BTreeMap<String, String> = pairs.into_iter().collect();
        let Some(text) = pairs.remove("url") else {
            return Err(Error::config("the schema registry has no url").help("Such as http://localhost:8081"));
        };
        let mut url = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
            // It may hold a password in a place where none was looked for.
            Error::config("the schema registry's url is no http or https address")
                .help("Write it like http://localhost:8081")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::config("the schema registry's url holds a user or password, which logs would show")
                .help("Give them as user and password"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let (user, password, ca) = (pairs.remove("user"), pairs.remove("password"), pairs.remove("ca"));
        if let Some(name) = pairs.into_keys().next() {
            return Err(Error::config(format!("unknown option {name:?} of the schema registry"))
                .help("Choose from url, user, password, ca"));
        }
        if password.is_some() && user.is_none() {
            return Err(Error::config("the schema registry has a password without a user").help("Add user"));
        }
        Ok(Self { url, user, password, ca: ca.map(Into::into), timeout: Duration::from_secs(10) })
    }
}

/// A schema registry.
#[derive(Debug)]
pub struct Registry {
    options: RegistryOptions,
    client: Client,
}

/// An answer that is no success.
struct Refusal {
    status: StatusCode,
    /// The registry's own number, such as 40403.
    code: u64,
    text: String,
}

impl Registry {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// `Config` where the file of authorities can't be read.
    pub fn new(options: RegistryOptions) -> Result<Self> {
        let mut builder = Client::builder().timeout(options.timeout).user_agent("citystream");
        if let Some(path) = &options.ca {
            let what = || format!("the schema registry's ca {}", path.display());
            let pem = std::fs::read(path).context(ErrorKind::Config, what)?;
            let authorities = Certificate::from_pem_bundle(&pem).context(ErrorKind::Config, what)?;
            builder = builder.tls_certs_merge(authorities);
        }
        let client = builder.build().map_err(|cause| {
            Error::config("a client of the schema registry can't be made")
                .because(cause)
                .help("Install the system's ca-certificates")
        })?;
        Ok(Self { options, client })
    }

    /// Registers an Avro schema and gives its id; the same schema has the same id each time.
    ///
    /// # Errors
    /// `Kafka` where the subject's rule finds it incompatible, with what the registry says, or the login is refused;
    /// `Connection` where the registry is away; `Interrupted`; `Forked`.
    pub fn register(&self, subject: &str, schema: &str, cancel: &AtomicBool) -> Result<u32> {
        let doing = || format!("registering the schema of {subject:?}");
        let body = json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        let found = self.call(Method::POST, &["subjects", subject, "versions"], Some(&body), &doing, cancel)?;
        match found {
            Ok(answer) => {
                let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
                id.ok_or_else(|| self.odd(&doing(), "its answer has no id"))
            }
            Err(refusal) if refusal.status == StatusCode::CONFLICT => {
                let text = format!(
                    "the schema of {subject:?} is not compatible with those that {} has: {}",
                    self.options.url, refusal.text
                );
                Err(Error::new(ErrorKind::Kafka, text).help(
                    "Another mapping of names or another version of citystream wrote there. Use the same names, another \
                     topic, or relax the subject's compatibility",
                ))
            }
            Err(refusal) => Err(self.refused(&doing(), &refusal)),
        }
    }

    /// The schema with an id; `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::register`]. A schema of another kind than Avro is given as it is: no reader of Avro takes it.
    pub fn schema(&self, id: u32, cancel: &AtomicBool) -> Result<Option<String>> {
        let doing = || format!("looking up schema {id}");
        match self.call(Method::GET, &["schemas", "ids", &id.to_string()], None, &doing, cancel)? {
            Ok(answer) => {
                let text = answer.get("schema").and_then(Value::as_str).map(str::to_owned);
                text.map(Some).ok_or_else(|| self.odd(&doing(), "its answer has no schema"))
            }
            // A 404 without the registry's own code is somebody else's answer, such as a wrong path of the URL.
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND && refusal.code == 40_403 => Ok(None),
            Err(refusal) => Err(self.refused(&doing(), &refusal)),
        }
    }

    fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&str>,
        doing: &dyn Fn() -> String,
        cancel: &AtomicBool,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let mut url = self.options.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let work = async {
            let mut pause = FIRST_PAUSE;
            for tries in 1.. {
                let away = match self.request(method.clone(), url.clone(), body).await {
                    Ok((status, bytes)) if status.is_success() => {
                        let answer =
                            serde_json::from_slice(&bytes).map_err(|_| self.odd(&doing(), "its answer is no JSON"));
                        return Ok(Ok(answer?));
                    }
                    Ok((status, bytes)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                        refusal(status, &bytes).text
                    }
                    Ok((status, bytes)) => return Ok(Err(refusal(status, &bytes))),
                    Err(away) => away,
                };
                if tries >= TRIES {
                    let text = format!("{}: the schema registry {} is away: {away}", doing(), self.options.url);
                    return Err(Error::new(ErrorKind::Connection, text)
                        .help("Check its address, and that it runs; nothing is lost, start again then")
                        .retryable());
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(Error::internal("tries without end"))
        };
        block_on(unless(cancel, doing, work))?
    }

    /// One request: status and body, or why there is no answer.
    async fn request(
        &self,
        method: Method,
        url: Url,
        body: Option<&str>,
    ) -> std::result::Result<(StatusCode, Vec<u8>), String> {
        let mut request = self.client.request(method, url).header(ACCEPT, MEDIA_TYPE);
        if let Some(user) = &self.options.user {
            request = request.basic_auth(user, self.options.password.as_ref());
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_owned());
        }
        let said = |cause: reqwest::Error| Error::internal("no answer").because(cause.without_url()).to_string();
        let mut answer = request.send().await.map_err(said)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(said)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("its answer is longer than {MAX_ANSWER} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((answer.status(), bytes))
    }

    fn refused(&self, doing: &str, refusal: &Refusal) -> Error {
        let Refusal { status, code, text } = refusal;
        let error = Error::new(
            ErrorKind::Kafka,
            format!("{doing}: the schema registry {} refused ({}, {code}): {text}", self.options.url, status.as_u16()),
        );
        match *status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => error.help("Give the right user and password"),
            StatusCode::NOT_FOUND => error.help("Check the path of its address"),
            _ => error,
        }
    }

    fn odd(&self, doing: &str, what: &str) -> Error {
        Error::new(ErrorKind::Kafka, format!("{doing}: {} is no schema registry: {what}", self.options.url))
            .help("Check its address")
    }
}

/// The longest text of a refusal that is passed on, in characters.
const SHOWN: usize = 600;

fn refusal(status: StatusCode, bytes: &[u8]) -> Refusal {
    let answer: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let text = answer.get("message").and_then(Value::as_str).or(status.canonical_reason()).unwrap_or("no reason");
    Refusal {
        status,
        code: answer.get("error_code").and_then(Value::as_u64).unwrap_or(u64::from(status.as_u16())),
        text: text.chars().take(SHOWN).collect(),
    }
}

/// What `work` gives, or `Interrupted` where `cancel` is set meanwhile.
async fn unless<T>(
    cancel: &AtomicBool,
    doing: &dyn Fn() -> String,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = pin!(work);
    loop {
        if cancel.load(Relaxed) {
            return Err(client::interrupted(&doing()));
        }
        if let Ok(done) = tokio::time::timeout(TICK, work.as_mut()).await {
            return done;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<RegistryOptions> {
        RegistryOptions::from_pairs(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())))
    }

    #[test]
    fn secrets_are_never_shown_and_mistakes_are_named() {
        let shown = options(&[("url", "https://registry.example/sr"), ("user", "city"), ("password", "hunter2")]);
        let shown = format!("{:?}", Registry::new(shown.unwrap()).unwrap());
        assert!(shown.contains("https://registry.example/sr/") && shown.contains("city"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");

        let message = |pairs: &[(&str, &str)]| options(pairs).unwrap_err().to_string();
        for url in ["http://me:hunter2@localhost", "ftp://me:hunter2@localhost", "me:hunter2@localhost:8081", "http://"]
        {
            let message = message(&[("url", url)]);
            assert!(message.contains("url") && !message.contains("hunter2"), "{message}");
        }
        assert!(message(&[]).contains("no url"));
        assert!(message(&[("url", "http://a"), ("pasword", "x")]).contains("\"pasword\""));
        assert!(message(&[("url", "http://a"), ("password", "x")]).contains("user"));
        let missing = options(&[("url", "http://a"), ("ca", "no/such.pem")]).unwrap();
        assert!(Registry::new(missing).unwrap_err().to_string().contains("no/such.pem"));
    }
}

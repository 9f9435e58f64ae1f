//! Tokens for OAUTHBEARER: where they come from, and the thread that renews them.
//!
//! librdkafka would ask for a token in the queue that the application polls, so a client that waits for something else
//! would not answer. A thread of our own gets it, as long as the client lives, and gives it to librdkafka, which logs in
//! again on the open connections where the broker asks for that.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::client::Client;

use super::client::{self, TICK};
use super::native::login::Login;
use crate::error::{Error, ErrorKind, Result};

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token as the broker wants it.
    pub value: String,
    /// When it ends, in milliseconds since the epoch.
    pub expires_ms: i64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("value", &"***").field("expires_ms", &self.expires_ms).finish()
    }
}

/// After a token that could not be renewed, the next try.
const AGAIN: Duration = Duration::from_secs(10);

/// A function that gets a token.
#[derive(Clone)]
pub(super) struct TokenSource(Arc<dyn Fn() -> Result<Token> + Send + Sync>);

impl TokenSource {
    pub(super) fn new(source: impl Fn() -> Result<Token> + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// A token that is still good, and how long to wait before the next one.
    fn token(&self) -> Result<(Token, Duration)> {
        let token = (self.0)()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
        let left = token.expires_ms.saturating_sub(now);
        if left <= 0 {
            return Err(Error::new(ErrorKind::Kafka, format!("the token ended {} s ago", -left / 1000))
                .help("Check the clock of this machine, and what gives the token"));
        }
        // A day at most: a wait that is longer than a timer can count would end at once.
        let wait = Duration::from_millis(left.unsigned_abs()).mul_f64(0.8).min(Duration::from_hours(24));
        Ok((token, wait))
    }
}

/// Keeps a client's token new until it is dropped. Drop it before the client.
pub(super) struct Renewal {
    login: Arc<Mutex<Option<Login>>>,
    /// Its end ends the thread's wait.
    _running: Sender<()>,
}

impl Renewal {
    /// Gets the first token and gives it to `client`; `None` without a source.
    ///
    /// # Errors
    /// That of the source; `Connection` when it has not answered within `timeout`; `Interrupted`.
    pub(super) fn begin<C: ClientContext>(
        source: Option<&TokenSource>,
        client: &Client<C>,
        timeout: Duration,
        cancel: &AtomicBool,
    ) -> Result<Option<Self>> {
        let Some(source) = source.cloned() else { return Ok(None) };
        let login = Arc::new(Mutex::new(Some(Login::of(client))));
        let (running, stopped) = channel();
        let (told, first) = channel();
        let renewal = Self { login: Arc::clone(&login), _running: running };
        thread::Builder::new()
            .name("citystream-token".to_owned())
            .spawn(move || renew(&source, &login, &told, &stopped))
            .map_err(|cause| Error::internal("a thread could not be started").because(cause))?;
        let deadline = Instant::now() + timeout;
        loop {
            match first.recv_timeout(TICK) {
                Ok(outcome) => return outcome.map(|()| Some(renewal)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal("the thread of tokens ended without one"));
                }
                Err(RecvTimeoutError::Timeout) if cancel.load(Ordering::Relaxed) => {
                    return Err(client::interrupted("getting a token"));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    let context = format!("no token came within {:.1} s", timeout.as_secs_f64());
                    return Err(Error::new(ErrorKind::Connection, context)
                        .help("Check that what gives the tokens can be reached")
                        .retryable());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        // Not joined: the source may be waiting for what this thread holds, such as Python's lock.
        self.login.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn renew(source: &TokenSource, login: &Mutex<Option<Login>>, first: &Sender<Result<()>>, stopped: &Receiver<()>) {
    let mut asked_before = false;
    loop {
        let outcome = source.token();
        let login = login.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = login.as_ref() else { return };
        let outcome = outcome.and_then(|(token, wait)| client.set(&token).map(|()| wait));
        if let (Err(error), true) = (&outcome, asked_before) {
            client.fail(&error.to_string());
        }
        drop(login);
        let wait = *outcome.as_ref().unwrap_or(&AGAIN);
        if !asked_before {
            let failed = outcome.is_err();
            // Whoever opened the client may have given up.
            drop(first.send(outcome.map(drop)));
            if failed {
                return;
            }
            asked_before = true;
        }
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use rdkafka::producer::{BaseProducer, Producer};

    use super::*;

    fn client() -> BaseProducer {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("security.protocol", "sasl_plaintext");
        config.set("sasl.mechanism", "OAUTHBEARER").create().unwrap()
    }

    fn in_ms(ms: i64) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 + ms
    }

    #[test]
    fn a_token_is_renewed_until_the_client_goes() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let source = TokenSource::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Token { value: "aaa.bbb.ccc".to_owned(), expires_ms: in_ms(100) })
        });
        let client = client();
        let go = AtomicBool::new(false);
        let renewal = Renewal::begin(Some(&source), client.client(), Duration::from_secs(10), &go).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while asked.load(Ordering::Relaxed) < 3 {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(10));
        }
        drop(renewal);
        drop(client);
        // The thread ends, and with it its share of the counter.
        drop(source);
        while Arc::strong_count(&asked) > 1 {
            assert!(Instant::now() < deadline, "the thread still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_first_token_that_does_not_come_is_named() {
        let client = client();
        let go = AtomicBool::new(false);
        let begin = |source: TokenSource| {
            let begun = Renewal::begin(Some(&source), client.client(), Duration::from_millis(300), &go);
            begun.map(drop).unwrap_err()
        };
        let refused = begin(TokenSource::new(|| Err(Error::new(ErrorKind::Kafka, "client \"city\" is unknown"))));
        assert!(refused.to_string().contains("\"city\" is unknown"));
        let old = begin(TokenSource::new(|| Ok(Token { value: "a.b.c".to_owned(), expires_ms: in_ms(-5_000) })));
        assert!(old.to_string().contains("ended 5 s ago"), "{old}");
        let odd = begin(TokenSource::new(|| Ok(Token { value: "hunter2\u{1}".to_owned(), expires_ms: in_ms(9_000) })));
        assert!(odd.to_string().contains("no bearer token") && !odd.to_string().contains("hunter2"), "{odd}");
        let slow = begin(TokenSource::new(|| {
            thread::sleep(Duration::from_secs(2));
            Err(Error::internal("too late"))
        }));
        assert_eq!(slow.kind(), ErrorKind::Connection);
        let stop = AtomicBool::new(true);
        let slow = TokenSource::new(|| {
            thread::sleep(Duration::from_secs(2));
            Err(Error::internal("too late"))
        });
        let begun = Renewal::begin(Some(&slow), client.client(), Duration::from_secs(10), &stop);
        assert_eq!(begun.map(drop).unwrap_err().kind(), ErrorKind::Interrupted);
        assert!(Renewal::begin(None, client.client(), Duration::ZERO, &go).unwrap().is_none());
    }
}

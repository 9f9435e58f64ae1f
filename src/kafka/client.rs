//! What the clients share: settings, the journal of what librdkafka says, the first contact.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::auth::Security;
use super::native;
use super::token::Renewal;
use crate::error::{Error, ErrorKind, Result};

/// How long a wait may last before the cancel flag is looked at again.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Settings of every client.
pub(super) fn config(servers: &str, security: &Security) -> Result<ClientConfig> {
    if servers.split(',').all(|s| s.trim().is_empty()) {
        return Err(Error::config("Kafka servers are empty").help("Give host:port, or set KAFKA_BOOTSTRAP_SERVERS"));
    }
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("client.id", "citystream")
        .set("socket.keepalive.enable", "true")
        // How a broker refuses who speaks the wrong protocol. It is a line of level Info.
        .set("log.connection.close", "true")
        .set("log.thread.name", "false")
        .set_log_level(RDKafkaLogLevel::Info);
    security.apply(&mut config)?;
    Ok(config)
}

/// A client could not be made: librdkafka refused a setting.
pub(super) fn refused(cause: KafkaError) -> Error {
    // rdkafka's own text would give the value, which may be a password.
    match cause {
        KafkaError::ClientConfig(_, reason, name, _) => Error::config(format!("Kafka option {name}: {reason}")),
        other => Error::config("the Kafka client could not be made").because(other),
    }
}

/// What librdkafka says when the broker does not let it in, which waiting does not mend.
const REFUSALS: [&str; 5] = [
    "SASL authentication",
    "mechanism handshake failed",
    "SSL handshake failed",
    // A client certificate is asked for after the handshake.
    "SSL alert number",
    "Failed to acquire SASL OAUTHBEARER token",
];

/// A broker that speaks TLS or wants a login hangs up on a client that begins otherwise. So does one that stops, once, and
/// a proxy whose broker is still starting.
const HANG_UPS: [&str; 2] = ["Disconnected", "Broken pipe"];

/// After a hang-up and so long without an answer or another error it was a refusal: librdkafka tries again several times
/// in it, and keeps an error that it has told before to itself.
const SINCE_HANG_UP: Duration = Duration::from_secs(8);

fn hangs_up(text: &str) -> bool {
    HANG_UPS.iter().any(|hang_up| text.contains(hang_up))
}

/// What follows from a lost connection, and says less than the reason, which came before it. A request that waited for
/// an answer, such as that for the producer's id, ends with the second.
const CONSEQUENCES: [&str; 2] = ["brokers are down", "Broker transport failure"];

fn follows(text: &str) -> bool {
    CONSEQUENCES.iter().any(|consequence| text.contains(consequence))
}

/// librdkafka's log and errors: the last of them, for messages.
#[derive(Debug, Default)]
pub(super) struct Journal {
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    last: Option<String>,
    login: Option<String>,
    hung_up: Option<(Instant, String)>,
    down_since: Option<Instant>,
    missing: bool,
}

impl Journal {
    fn with<T>(&self, f: impl FnOnce(&mut Noted) -> T) -> T {
        f(&mut self.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Notes a line of librdkafka's log, by its level as in syslog, where it tells of trouble.
    pub(super) fn hear(&self, level: i32, text: &str) {
        if level <= RDKafkaLogLevel::Warning as i32 || hangs_up(text) {
            self.note(text);
        }
    }

    /// Notes one line of librdkafka's.
    pub(super) fn note(&self, text: &str) {
        // Its own name comes first: `citystream#producer-1: …`.
        let text = match text.split_once(": ") {
            Some((name, rest)) if name.starts_with("citystream#") => rest,
            _ => text,
        };
        self.with(|noted| {
            if hangs_up(text) {
                noted.hung_up.get_or_insert_with(|| (Instant::now(), text.to_owned()));
            } else if REFUSALS.iter().any(|refusal| text.contains(refusal)) {
                noted.login = Some(text.to_owned());
            } else if !follows(text) {
                noted.hung_up = None;
            }
            noted.missing |= text.contains("topic does not exist") || text.contains("desired partition");
            if text.contains("brokers are down") {
                noted.down_since.get_or_insert_with(Instant::now);
            }
            if follows(text) {
                noted.last.get_or_insert_with(|| text.to_owned());
            } else {
                noted.last = Some(text.to_owned());
            }
        });
    }

    /// The last that was noted.
    pub(super) fn last(&self) -> Option<String> {
        self.with(|noted| noted.last.clone())
    }

    /// Since when every broker has been away.
    pub(super) fn down_since(&self) -> Option<Instant> {
        self.with(|noted| noted.down_since)
    }

    /// A broker has answered.
    pub(super) fn answered(&self) {
        self.with(|noted| {
            noted.down_since = None;
            noted.login = None;
            noted.hung_up = None;
        });
    }

    /// Whether a topic or partition was said to be missing since the last call.
    pub(super) fn take_missing(&self) -> bool {
        self.with(|noted| std::mem::take(&mut noted.missing))
    }

    fn login(&self) -> Option<String> {
        self.with(|noted| {
            let hung_up = noted.hung_up.as_ref().filter(|(since, _)| since.elapsed() >= SINCE_HANG_UP);
            noted.login.clone().or_else(|| hung_up.map(|(_, text)| text.clone()))
        })
    }
}

impl ClientContext for Journal {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, text: &str) {
        self.hear(level as i32, text);
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        self.note(reason);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

impl ConsumerContext for Journal {}

pub(super) fn interrupted(what: &str) -> Error {
    Error::new(ErrorKind::Interrupted, format!("{what} was interrupted"))
}

/// A `Connection` error about `servers` with what the network said last.
pub(super) fn unreachable(servers: &str, after: Duration, journal: &Journal) -> Error {
    let mut context = format!("no Kafka broker of {servers} answered within {:.1} s", after.as_secs_f64());
    if let Some(last) = journal.last() {
        context = format!("{context}: {last}");
    }
    Error::new(ErrorKind::Connection, context)
        .help("Check the address and the port, and that the broker advertises an address that this machine can reach")
        .retryable()
}

/// A `Kafka` error for a login that the broker refused, where it has said so.
pub(super) fn refused_login(servers: &str, security: &Security, journal: &Journal) -> Option<Error> {
    let reason = journal.login()?;
    let (how, help) = security.refusal(&reason);
    Some(Error::new(ErrorKind::Kafka, format!("no login at {servers} {how}: {reason}")).help(help))
}

fn without_token(cause: Error, servers: &str, security: &Security) -> Error {
    if cause.kind() == ErrorKind::Interrupted {
        return cause;
    }
    Error::new(cause.kind(), format!("no login at {servers} {}", security.refusal("").0)).because(cause)
}

/// Gets the first token where the login needs one, waits for the first answer of a broker, and returns what renews the
/// token and the cluster's id, empty where it has none. `serve` passes on what the client has to say.
pub(super) fn first_contact<C: ClientContext>(
    client: &Client<C>,
    journal: &Journal,
    (servers, security): (&str, &Security),
    timeout: Duration,
    cancel: &AtomicBool,
    serve: impl Fn(),
) -> Result<(Option<Renewal>, String)> {
    let start = Instant::now();
    let renewal = Renewal::begin(security.token_source(), client, timeout, cancel)
        .map_err(|cause| without_token(cause, servers, security))?;
    loop {
        if native::meet(client, TICK.min(timeout)) {
            // Old brokers have no id.
            return Ok((renewal, client.fetch_cluster_id(TICK).unwrap_or_default()));
        }
        serve();
        if let Some(error) = refused_login(servers, security, journal) {
            return Err(error);
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(interrupted(&format!("connecting to {servers}")));
        }
        if start.elapsed() >= timeout {
            return Err(unreachable(servers, timeout, journal));
        }
    }
}

/// The named error about a topic, for a code that the broker or librdkafka gave for it; `None` where it is not about the
/// topic itself.
pub(super) fn topic_error(topic: &str, servers: &str, code: RDKafkaErrorCode) -> Option<Error> {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Some(
            Error::new(ErrorKind::Kafka, format!("topic {topic:?} does not exist on {servers}"))
                .help(format!("Create it with `citystream topics create {topic}`, or check the name")),
        ),
        Code::TopicAuthorizationFailed => Some(
            Error::new(ErrorKind::Kafka, format!("topic {topic:?} on {servers} is closed to this user"))
                .help("Ask for an ACL that allows Describe, and Read or Write"),
        ),
        Code::InvalidTopic => Some(
            Error::config(format!("{topic:?} can't be a topic's name"))
                .help("Use 1 to 249 letters, digits, dots, underscores and hyphens"),
        ),
        _ => None,
    }
}

/// A failed request: about the topic where the code says so, else `Connection` for a time-out and `Kafka` for the rest.
pub(super) fn request_error(
    what: &str,
    topic: &str,
    servers: &str,
    code: RDKafkaErrorCode,
    journal: &Journal,
) -> Error {
    use RDKafkaErrorCode as Code;
    if let Some(error) = topic_error(topic, servers, code) {
        return error;
    }
    let connection = matches!(
        code,
        Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
    );
    let kind = if connection { ErrorKind::Connection } else { ErrorKind::Kafka };
    let mut context = format!("{what} failed on {servers}: {code}");
    if let (true, Some(last)) = (connection, journal.last()) {
        context = format!("{context}; last heard: {last}");
    }
    let error = Error::new(kind, context);
    if connection { error.retryable() } else { error }
}

/// First and last offset of a partition; waits while it has no leader, which a new topic may not have yet.
pub(super) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    journal: &Journal,
    servers: &str,
    (topic, partition): (&str, i32),
    timeout: Duration,
) -> Result<(i64, i64)> {
    use RDKafkaErrorCode as Code;
    let deadline = Instant::now() + timeout;
    loop {
        let code = match client.fetch_watermarks(topic, partition, timeout) {
            Ok(offsets) => return Ok(offsets),
            Err(cause) => cause.rdkafka_error_code().unwrap_or(Code::Fail),
        };
        let passes = matches!(code, Code::NotLeaderForPartition | Code::LeaderNotAvailable);
        if !passes || Instant::now() >= deadline {
            let what = format!("asking for the offsets of topic {topic:?} partition {partition}");
            return Err(request_error(&what, topic, servers, code, journal));
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_outlives_the_summary() {
        let journal = Journal::default();
        journal.note("Connect to ipv4#127.0.0.1:1 failed: Connection refused");
        journal.note("citystream#producer-1: 1/1 brokers are down");
        assert!(journal.down_since().is_some());
        assert!(journal.last().unwrap().contains("refused"));
        journal.answered();
        assert!(journal.down_since().is_none());
    }

    #[test]
    fn a_refusal_is_told_from_a_broker_that_stops() {
        let journal = Journal::default();
        let hang_up = "Disconnected: connection closed by peer: receive 0 after POLLIN";
        let refused = || refused_login("b:9092", &Security::default(), &journal);
        let later = |journal: &Journal| {
            journal.with(|noted| {
                let hung_up = noted.hung_up.as_mut();
                hung_up.unwrap().0 = Instant::now().checked_sub(SINCE_HANG_UP).unwrap();
            });
        };
        journal.hear(6, hang_up);
        assert!(refused().is_none());
        later(&journal);
        journal.note("Connect to ipv4#127.0.0.1:9092 failed: Connection refused");
        assert!(refused().is_none(), "the broker stopped");
        journal.note(hang_up);
        later(&journal);
        journal.note("1/1 brokers are down");
        // So says Kafka 3.9's, which first tells its versions and hangs up on what comes then.
        journal.note(
            "Failed to acquire idempotence PID from broker b:9092/bootstrap: Local: Broker transport failure: retrying",
        );
        let text = refused().unwrap().to_string();
        assert!(text.contains("no login at b:9092 without a login") && text.contains("give protocol"), "{text}");
        journal.answered();
        assert!(journal.login().is_none());
        journal.note("SASL authentication error: Authentication failed during authentication");
        assert!(journal.login().is_some());
    }

    #[test]
    fn a_refused_setting_does_not_repeat_its_value() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("ssl.nonsense", "hunter2");
        let Err(cause) = config.create::<rdkafka::producer::BaseProducer>() else { panic!("accepted") };
        let text = refused(cause).to_string();
        assert!(text.contains("ssl.nonsense") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn empty_servers_are_refused() {
        assert_eq!(config(" , ", &Security::default()).unwrap_err().kind(), ErrorKind::Config);
    }
}

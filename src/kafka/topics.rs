//! Creating and describing topics.
//!
//! ```no_run
//! # fn main() -> Result<(), _core::error::Error> {
//! use std::sync::atomic::AtomicBool;
//! use std::time::Duration;
//! use _core::kafka::{NewTopic, Security, Topics};
//!
//! let cancel = AtomicBool::new(false);
//! let topics = Topics::connect("localhost:9092", &Security::default(), Duration::from_secs(10), &cancel)?;
//! topics.create(&[NewTopic::new("gps_data", 4), NewTopic::new("reference_data", 1).compacted()], &cancel)?;
//! for topic in topics.describe(&["gps_data"], &cancel)? {
//!     println!("{} {} {:?}", topic.name, topic.id, topic.partitions);
//! }
//! # Ok(()) }
//! ```
//! A topic's **id** is given by the cluster when it is created, and is another one when a topic of the same name is created
//! again: whoever stores offsets stores the id beside them. Brokers before 2.8 have none; theirs reads
//! `AAAAAAAAAAAAAAAAAAAAAA` (zero).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic as NativeNewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode;

use super::auth::Security;
use super::client::{self, Journal, TICK};
use super::native;
use super::native::describe::Failure;
use super::native::kept::Kept;

use crate::error::{Error, ErrorKind, Result};

/// Settings of a topic that decide how long records stay and how they are stored.
pub const SETTINGS: [&str; 5] =
    ["cleanup.policy", "max.message.bytes", "message.timestamp.type", "retention.bytes", "retention.ms"];

/// How long after a topic was said to exist, and no broker knows it, the controller is asked for it again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Copies of each partition; -1 takes the broker's default.
    pub replication: i32,
    /// Topic settings, such as `cleanup.policy`.
    pub config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's default replication and settings.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication: -1, config: BTreeMap::new() }
    }

    /// Keeps the last record of each key instead of the last days.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.config.insert("cleanup.policy".to_owned(), "compact".to_owned());
        self
    }

    /// Keeps records for so many milliseconds; -1 is for ever. A compacted topic keeps its own rule.
    #[must_use]
    pub fn kept_for(mut self, retention_ms: i64) -> Self {
        if !self.config.contains_key("cleanup.policy") {
            self.config.insert("retention.ms".to_owned(), retention_ms.to_string());
        }
        self
    }
}

impl NewTopic {
    /// Keeps records for ever and takes any time with them: for simulated times as record times.
    #[must_use]
    pub fn any_times(mut self) -> Self {
        let most = i64::MAX.to_string();
        for (name, value) in [
            ("retention.ms", "-1"),
            ("message.timestamp.type", "CreateTime"),
            ("message.timestamp.before.max.ms", &most),
            ("message.timestamp.after.max.ms", &most),
        ] {
            self.config.insert(name.to_owned(), value.to_owned());
        }
        self
    }
}

/// What became of a [`NewTopic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It was created.
    Created,
    /// A topic of that name was there before, and was left as it is.
    Existed,
}

/// A topic as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, as Kafka's own tools print it; another one after it was deleted and created again.
    pub id: String,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition of a [`Topic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub id: i32,
    /// The first offset that is left.
    pub low: i64,
    /// The offset that the next record will get.
    pub high: i64,
}

/// A connection for questions about topics.
pub struct Topics {
    servers: String,
    cluster_id: String,
    timeout: Duration,
    admin: Kept<AdminClient<Journal>>,
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics")
            .field("servers", &self.servers)
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

impl Topics {
    /// Connects. `timeout` is also the limit of each later request.
    ///
    /// # Errors
    /// `Connection` when no broker answers in time; `Config` for a refused setting; `Kafka` for a refused login;
    /// `Interrupted`.
    pub fn connect(servers: &str, security: &Security, timeout: Duration, cancel: &AtomicBool) -> Result<Self> {
        let config = client::config(servers, security)?;
        let admin: AdminClient<Journal> = config.create_with_context(Journal::default()).map_err(client::refused)?;
        let connection = admin.inner();
        native::journal_logs(connection);
        let serve = || native::serve(connection);
        let place = (servers, security);
        let (renewal, cluster_id) =
            client::first_contact(connection, connection.context(), place, timeout, cancel, serve)?;
        let admin = Kept::new("the Kafka connection", admin).renewed_by(renewal);
        Ok(Self { servers: servers.to_owned(), cluster_id, timeout, admin })
    }

    /// The cluster's id; empty where the cluster has none.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The names of all topics that are not Kafka's own, sorted.
    ///
    /// # Errors
    /// `Connection` when no broker answers in time.
    pub fn names(&self) -> Result<Vec<String>> {
        self.admin.check()?;
        let metadata = self.admin.inner().fetch_metadata(None, self.timeout).map_err(|cause| {
            let code = cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            self.failed("listing topics", "", code)
        })?;
        let mut names: Vec<_> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
        names.retain(|name| !name.starts_with("__"));
        names.sort_unstable();
        Ok(names)
    }

    /// Creates topics and returns, in the same order, whether each is new, when every broker that answers knows it. One that
    /// exists is left as it is, whatever its partitions and settings are.
    ///
    /// # Errors
    /// `Kafka` names the first topic that was refused, and why: the others may have been created.
    pub fn create(&self, topics: &[NewTopic], cancel: &AtomicBool) -> Result<Vec<Creation>> {
        self.admin.check()?;
        for topic in topics {
            // librdkafka aborts the process for numbers that can't be.
            if topic.name.is_empty() || topic.name.len() > 249 {
                return Err(self.failed("creating topics", &topic.name, RDKafkaErrorCode::InvalidTopic));
            }
            if topic.partitions < 1 || topic.replication < -1 || topic.replication == 0 {
                let NewTopic { name, partitions, replication, .. } = topic;
                let context = format!("topic {name:?}: {partitions} partitions, replication {replication}");
                return Err(Error::config(context).help("Both are at least 1; replication -1 is the broker's default"));
            }
        }
        let mut outcomes = self.ask_for(topics, cancel)?;
        let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let deadline = Instant::now() + self.timeout;
        let mut asked = Instant::now();
        // The controller has the topics; the brokers may not have them yet.
        loop {
            match self.describe_ids(&names, cancel) {
                Err(error) if error.kind() == ErrorKind::Kafka && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                other => return other.map(|_| outcomes),
            }
            if asked.elapsed() >= ASK_AGAIN {
                // On ZooKeeper a topic that is being deleted exists until nobody knows it any more.
                let existed: Vec<_> = (0..topics.len()).filter(|&i| outcomes[i] == Creation::Existed).collect();
                let again: Vec<_> = existed.iter().map(|&i| topics[i].clone()).collect();
                for (i, outcome) in existed.into_iter().zip(self.ask_for(&again, cancel)?) {
                    outcomes[i] = outcome;
                }
                asked = Instant::now();
            }
        }
    }

    /// Asks the controller for topics, once.
    fn ask_for(&self, topics: &[NewTopic], cancel: &AtomicBool) -> Result<Vec<Creation>> {
        // librdkafka refuses a request for nothing.
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let native = topics.iter().map(|topic| {
            let mut native =
                NativeNewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication));
            for (name, value) in &topic.config {
                native = native.set(name, value);
            }
            native
        });
        let native: Vec<_> = native.collect();
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout));
        let Some(done) = wait(self.admin.create_topics(&native, &options), self.timeout + TICK, cancel) else {
            return Err(self.gave_up("creating topics", cancel));
        };
        let done = done.map_err(|cause| {
            self.failed("creating topics", "", cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
        })?;
        let mut outcomes = Vec::with_capacity(topics.len());
        for (topic, outcome) in topics.iter().zip(done) {
            outcomes.push(match outcome {
                Ok(_) => Creation::Created,
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Creation::Existed,
                Err((_, code)) => {
                    return Err(self.failed(&format!("creating topic {:?}", topic.name), &topic.name, code));
                }
            });
        }
        Ok(outcomes)
    }

    /// Ids, partitions and offsets of topics, in the order asked for.
    ///
    /// # Errors
    /// `Kafka` names the first topic that does not exist and how to create it; `Connection` when the broker does not
    /// answer; `Interrupted`.
    pub fn describe(&self, names: &[&str], cancel: &AtomicBool) -> Result<Vec<Topic>> {
        self.admin.check()?;
        let mut topics = self.describe_ids(names, cancel)?;
        for topic in &mut topics {
            for partition in &mut topic.partitions {
                if cancel.load(Ordering::Relaxed) {
                    return Err(client::interrupted("describing topics"));
                }
                let connection = self.admin.inner();
                let place = (topic.name.as_str(), partition.id);
                (partition.low, partition.high) =
                    client::watermarks(connection, connection.context(), &self.servers, place, self.timeout)?;
            }
        }
        Ok(topics)
    }

    /// Ids and partitions of topics without their offsets (which read 0), in one request that gets `limit`, at most the
    /// connection's own.
    ///
    /// # Errors
    /// As [`describe`](Self::describe).
    pub fn identify(&self, names: &[&str], limit: Duration, cancel: &AtomicBool) -> Result<Vec<Topic>> {
        self.admin.check()?;
        self.identified(names, limit.min(self.timeout), cancel)
    }

    /// The settings of topics, in the order asked for, as the brokers apply them: defaults among them.
    ///
    /// # Errors
    /// `Kafka` names the topic that can't be described; `Connection`; `Interrupted`.
    pub fn settings(&self, names: &[&str], cancel: &AtomicBool) -> Result<Vec<BTreeMap<String, String>>> {
        self.admin.check()?;
        // librdkafka refuses a question about nothing.
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let what = "asking for the settings of topics";
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(self.timeout));
        let answer = self.admin.describe_configs(&asked, &options);
        let Some(done) = wait(answer, self.timeout + TICK, cancel) else { return Err(self.gave_up(what, cancel)) };
        let done =
            done.map_err(|cause| self.failed(what, "", cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)))?;
        let one = |name: &&str| {
            let is_it = |resource: &&ConfigResource| matches!(&resource.specifier, OwnedResourceSpecifier::Topic(topic) if topic == name);
            let Some(resource) = done.iter().filter_map(|resource| resource.as_ref().ok()).find(is_it) else {
                let code = done.iter().find_map(|resource| resource.as_ref().err().copied());
                return Err(self.failed(what, name, code.unwrap_or(RDKafkaErrorCode::Fail)));
            };
            Ok(resource.entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect())
        };
        names.iter().map(one).collect()
    }

    fn describe_ids(&self, names: &[&str], cancel: &AtomicBool) -> Result<Vec<Topic>> {
        self.identified(names, self.timeout, cancel)
    }

    fn identified(&self, names: &[&str], timeout: Duration, cancel: &AtomicBool) -> Result<Vec<Topic>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = match native::describe::topics(self.admin.inner(), names, timeout, cancel) {
            Ok(found) => found,
            Err(Failure::Cancelled) => return Err(client::interrupted("describing topics")),
            Err(Failure::Refused(code)) => return Err(self.failed("describing topics", "", code)),
        };
        let one = |name: &&str| {
            let Some(topic) = found.iter().find(|topic| topic.name == *name) else {
                return Err(self.failed("describing topics", name, RDKafkaErrorCode::UnknownTopicOrPartition));
            };
            if let Some(code) = topic.error {
                return Err(self.failed(&format!("describing topic {name:?}"), name, code));
            }
            let partitions = (0..topic.partitions as i32).map(|id| Partition { id, low: 0, high: 0 }).collect();
            Ok(Topic { name: topic.name.clone(), id: topic.id.clone(), partitions })
        };
        names.iter().map(one).collect()
    }

    fn failed(&self, what: &str, topic: &str, code: RDKafkaErrorCode) -> Error {
        native::serve(self.admin.inner());
        client::request_error(what, topic, &self.servers, code, self.admin.inner().context())
    }

    fn gave_up(&self, what: &str, cancel: &AtomicBool) -> Error {
        if cancel.load(Ordering::Relaxed) {
            return client::interrupted(what);
        }
        self.failed(what, "", RDKafkaErrorCode::OperationTimedOut)
    }
}

/// Waits for an answer of rdkafka's, which needs no runtime; `None` after `timeout` or when `cancel` is set.
fn wait<F: Future>(future: F, timeout: Duration, cancel: &AtomicBool) -> Option<F::Output> {
    struct Sleeper(Thread);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let deadline = Instant::now() + timeout;
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return Some(answer);
        }
        if cancel.load(Ordering::Relaxed) || Instant::now() >= deadline {
            return None;
        }
        thread::park_timeout(TICK);
    }
}

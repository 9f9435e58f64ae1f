//! Kafka: send encoded events, take records in by offsets that the caller keeps, create and describe topics.
//!
//! | to | use | manual |
//! | --- | --- | --- |
//! | send | [`Publisher`] | [`publish`] |
//! | read | [`Consumer`] | [`consume`] |
//! | create and describe topics | [`Topics`] | [`topics`] |
//! | log in | [`Security`] | [`auth`] |
//! | keep schemas | [`Registry`] | [`registry`] |
//!
//! Rules that hold for all of them:
//! - **One thread at a time.** A client is moved, not shared; librdkafka's own threads do the network's work.
//! - **Stop.** A call that may take long has a `cancel` flag and looks at it at least ten times a second.
//! - **Time.** A call that may wait has a limit. A broker that can't be reached is a `Connection` error that names the
//!   servers, the last thing the network said, and the way out.
//! - **Fork.** A client belongs to the process that opened it. In a forked child every call is a `Forked` error, and
//!   dropping it leaves it alone: librdkafka's threads don't exist there, and waiting for them would hang.
//! - **Silence.** librdkafka's log never reaches standard error; its last line is kept for error messages.

pub mod auth;
pub mod consume;
pub mod publish;
pub mod registry;
pub mod topics;

mod client;
mod headers;
mod ledger;
mod native;
mod partitioner;
mod slot;
mod token;
mod transaction;

pub use auth::Security;
pub use consume::{ConsumeOptions, Consumer, Fetched, Gap, Position};
pub(crate) use headers::to_json as headers_text;
pub use partitioner::partition_of;
pub use publish::{Compression, Lot, PublishOptions, Publisher, Report, TopicReport, Watch};
pub use registry::{Registry, RegistryOptions};
pub use token::Token;
pub use topics::{Creation, NewTopic, Partition, SETTINGS, Topic, Topics};

//! The only place that joins two steps: bounded, ordered, stoppable.

mod groups;
mod ingest;
mod observe;
mod pace;
mod pool;
mod progress;
mod publish;
mod topics;
mod trace;
mod write;

pub use ingest::{Ingested, KafkaIngest, OnGap, PREFETCH_BYTES, PartitionProgress, ingest_city, ingest_kafka};
pub use observe::{Chunk, Results, Source};
pub use pace::{Pace, Pacer};
pub use pool::{Pool, in_order, thread_count};
pub use progress::{Cancel, Progress, Run};
pub use publish::{Published, account, publish, publish_arrow};
pub use topics::Topics;
pub use trace::save_trace;
pub use write::{Target, Written, write};

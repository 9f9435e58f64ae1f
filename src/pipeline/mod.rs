//! The only place that joins two steps: bounded, ordered, stoppable.

mod conform;
mod grade;
mod groups;
mod ingest;
mod metrics;
mod observe;
mod pace;
mod pool;
mod progress;
mod publish;
mod record_time;
mod records;
mod resume;
mod topics;
mod trace;
mod wire;
mod write;

pub use grade::{Graded, Rows, grade};
pub use ingest::{
    Ingested, KafkaIngest, LostOffsets, OnGap, PREFETCH_BYTES, PartitionProgress, ingest_city, ingest_kafka,
};
pub use metrics::{GoldLag, Metrics, Server};
pub use observe::{Chunk, Results, Source};
pub use pace::{Pace, Pacer};
pub use pool::{Pool, in_order, thread_count};
pub use progress::{Cancel, Progress, Run};
pub use publish::{Published, Sending, account, publish, publish_arrow, send_events};
pub use record_time::EventTimes;
pub use records::{RangeReader, RecordDecoder, TopicRange};
pub use topics::Topics;
pub use trace::save_trace;
pub use wire::Wire;
pub use write::{Target, Written, write};

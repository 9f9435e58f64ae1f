//! The only place that joins two steps: bounded, ordered, stoppable.

mod observe;
mod pool;
mod progress;
mod topics;

pub use observe::{Chunk, Results, Source};
pub use pool::{Pool, in_order, thread_count};
pub use progress::{Cancel, Progress, Run};
pub use topics::Topics;

//! Arrow IPC: one message is one stream of one record batch, with the rows of keys of one Kafka partition.
//!
//! Writing: a batch's rows are grouped by their keys' partition, in order; a message has the key of its first row, so that
//! the partitioner puts it where each of its keys belongs. A message stays below [`MAX_MESSAGE_BYTES`]; buffers are not
//! compressed, since Kafka's batches are.
//!
//! Reading: any writer's stream with exactly the stream's columns, in any order, of the types in
//! [`schema`](crate::schema). A message with other columns is bad as a whole, `schema_mismatch`: a row without one of them
//! would be another row. Rows of one record are numbered in the order of the batch.
//!
//! Nothing of a message is trusted: its parts are bounds-checked and copied into arrays that check themselves.

mod decode;
mod encode;

pub use decode::Decoder;
pub use encode::{Batches, Encoder, MAX_MESSAGE_BYTES};

/// What stands before each part of a stream.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Whether a value begins as a stream does.
pub fn is_stream(value: &[u8]) -> bool {
    value.starts_with(&CONTINUATION)
}

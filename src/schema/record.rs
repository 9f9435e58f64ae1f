//! Kafka's side of an event: encoded messages, received records, and what decoding made of them.

use arrow::array::{
    AsArray, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter;

use super::Stream;
use crate::error::Result;

/// Encoded events, ready to be sent; row `i` of each column is one message.
#[derive(Debug, Clone)]
pub struct Messages {
    /// The stream.
    pub stream: Stream,
    /// Kafka keys.
    pub keys: StringArray,
    /// Kafka values.
    pub values: BinaryArray,
}

impl Messages {
    /// `length` messages from the one at `offset`, without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self { stream: self.stream, keys: self.keys.slice(offset, length), values: self.values.slice(offset, length) }
    }

    /// The messages whose entry in `keep` is true.
    ///
    /// # Errors
    /// `Internal` where `keep` has another length.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        let keys = filter(&self.keys, keep)?.as_string().clone();
        let values = filter(&self.values, keep)?.as_binary().clone();
        Ok(Self { stream: self.stream, keys, values })
    }
}

/// Which topic of which cluster records come from. A recreated topic has another `topic_id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceId {
    /// The cluster's id, or `embedded`.
    pub cluster_id: String,
    /// The topic's name, or `embedded:<city id>`.
    pub topic: String,
    /// The topic's id, or the city's.
    pub topic_id: String,
}

/// Records of one topic partition in offset order; row `i` of each column is one record.
#[derive(Debug, Clone)]
pub struct Records {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offsets, ascending.
    pub offsets: Int64Array,
    /// Kafka record timestamps; null where the broker has none.
    pub timestamps: TimestampMicrosecondArray,
    /// Raw keys; null where there is none.
    pub keys: BinaryArray,
    /// Raw values; null for a tombstone.
    pub values: BinaryArray,
    /// Headers as a JSON object text with base64 values; null where there are none.
    pub headers: StringArray,
}

/// The verdict on each record of a [`Records`], whose rows `good` and `bad` index; together they are all of them.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The stream whose schema was used.
    pub stream: Stream,
    /// Row in the records of each decoded row. Ascending; a record of many rows stands there as often.
    pub good: Vec<u32>,
    /// Decoded rows: the wire schema and a last column `rescued` (Utf8): a JSON object text of unknown or mistyped
    /// fields, null where there are none.
    pub batch: RecordBatch,
    /// Row in the records of each record that can't be decoded. Ascending.
    pub bad: Vec<u32>,
    /// For each of `bad`: the stage that failed: `value`, `utf8`, `json`, `schema`, `avro`, `arrow`.
    pub error_stage: Vec<&'static str>,
    /// For each of `bad`: the reason as a stable code: `tombstone`, `invalid_utf8`, `truncated`, `syntax`, `not_an_object`,
    /// `too_deep`, `too_large`; of Avro also `malformed`, `trailing`, `unknown_schema`, `unusable_schema`,
    /// `no_schema_registry`; of Arrow also `schema_mismatch`, `not_one_batch`, `empty_batch`, `compressed`, `not_finite`.
    pub error_reason: Vec<&'static str>,
    /// For each of `bad`: the reason for people, with the byte where it was found.
    pub error_detail: Vec<String>,
}

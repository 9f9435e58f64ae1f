//! The calls of librdkafka that rdkafka has no wrapper for: the only unsafe code of this crate.
//!
//! - [`describe`]: topic ids (`rd_kafka_DescribeTopics`).
//! - [`feed`]: fetched messages by the batch (`rd_kafka_consume_batch_queue`). rdkafka's consumer makes an event and two
//!   allocations for each message, and its end-of-partition and out-of-range errors name neither topic nor offset. Measured
//!   side by side, 250-byte records: 1.3 to 1.7 times its rate, columns included.
//! - [`kept`]: a client that is dropped only by the process that made it.
//! - the end of a partition that is known without asking (`rd_kafka_get_watermark_offsets`).
//! - [`login`]: the bearer token of a client, which rdkafka sets only from a queue that it polls itself.
//! - logs of a client whose queue is served here instead of by rdkafka.
#![allow(unsafe_code)]

pub(super) mod describe;
pub(super) mod feed;
pub(super) mod kept;
pub(super) mod login;

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::client::Client;

use super::client::Journal;

/// Sends the log lines of `client` to its [`Journal`] where its queue is served by [`serve`] or a [`feed::Feed`].
/// Without it they would go to standard error.
pub(super) fn journal_logs(client: &Client<Journal>) {
    // SAFETY: the client is alive, and `note` may be called until it is destroyed.
    unsafe { rd::rd_kafka_set_logger(client.native_ptr(), Some(note)) };
}

/// Serves what waits in the client's main queue: log lines and errors.
pub(super) fn serve<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the client is alive. Without callbacks, errors become log lines, which go to the logger that was set.
    unsafe { rd::rd_kafka_poll(client.native_ptr(), 0) };
}

/// Asks any broker who the brokers are, and returns whether one has answered within `timeout`. A client connects only when
/// something is asked of it.
pub(super) fn meet<C: ClientContext>(client: &Client<C>, timeout: Duration) -> bool {
    let limit = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut metadata = ptr::null();
    // SAFETY: the client is alive; without a topic and with 0 the question is about brokers and topics in use only. The
    // answer is freed once, where there is one.
    unsafe {
        let error = rd::rd_kafka_metadata(client.native_ptr(), 0, ptr::null_mut(), &raw mut metadata, limit);
        if !metadata.is_null() {
            rd::rd_kafka_metadata_destroy(metadata);
        }
        error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

/// The end of a partition as the last answer to a fetch told it, uncommitted transactions included; none before the first.
/// Nothing is asked of the broker.
pub(super) fn high_watermark<C: ClientContext>(client: &Client<C>, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the name ends with a zero, and both numbers outlive the call.
    let error = unsafe {
        rd::rd_kafka_get_watermark_offsets(client.native_ptr(), topic.as_ptr(), partition, &raw mut low, &raw mut high)
    };
    (error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

unsafe extern "C" fn note(rk: *const rd::rd_kafka_t, level: c_int, _facility: *const c_char, text: *const c_char) {
    // SAFETY: librdkafka passes its client and a C string. The client's opaque is the context that rdkafka put there when
    // it made the client, and `journal_logs` takes only clients whose context is a Journal; rdkafka frees the context
    // after the client.
    unsafe {
        let journal = rd::rd_kafka_opaque(rk).cast::<Journal>();
        if !journal.is_null() && !text.is_null() {
            (*journal).hear(level, &CStr::from_ptr(text).to_string_lossy());
        }
    }
}

//! Topic ids, which tell a recreated topic from the old one of the same name.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::bindings as rd;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::client::TICK;

/// What the cluster says of one topic.
pub(in crate::kafka) struct Described {
    pub(in crate::kafka) name: String,
    /// Base64 text, as Kafka's own tools print it.
    pub(in crate::kafka) id: String,
    pub(in crate::kafka) partitions: usize,
    pub(in crate::kafka) error: Option<RDKafkaErrorCode>,
}

/// Why there is no answer.
pub(in crate::kafka) enum Failure {
    Refused(RDKafkaErrorCode),
    Cancelled,
}

impl From<RDKafkaErrorCode> for Failure {
    fn from(code: RDKafkaErrorCode) -> Self {
        Self::Refused(code)
    }
}

/// Asks for `names`, in one request.
pub(in crate::kafka) fn topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
    cancel: &AtomicBool,
) -> Result<Vec<Described>, Failure> {
    let names: Vec<CString> =
        names.iter().map(|n| CString::new(*n)).collect::<Result<_, _>>().map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut pointers: Vec<_> = names.iter().map(|n| n.as_ptr()).collect();
    let rk = client.native_ptr();

    // SAFETY: `pointers` are C strings that outlive the call, which copies them; the guard frees the collection once.
    let collection = Guard(
        unsafe { rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) },
        rd::rd_kafka_TopicCollection_destroy,
    );
    // SAFETY: the client is alive; the guard frees the options once.
    let options = Guard(
        unsafe { rd::rd_kafka_AdminOptions_new(rk, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS) },
        rd::rd_kafka_AdminOptions_destroy,
    );
    // SAFETY: the client is alive, and the guard frees the queue before the caller can drop the client.
    let queue = Guard(unsafe { rd::rd_kafka_queue_new(rk) }, rd::rd_kafka_queue_destroy);
    if collection.0.is_null() || options.0.is_null() || queue.0.is_null() {
        return Err(RDKafkaErrorCode::Fail.into());
    }
    let limit = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: all pointers are alive and not null; a null error buffer of size 0 is allowed. librdkafka answers on the
    // queue, or throws the answer away when the queue is gone.
    unsafe {
        rd::rd_kafka_AdminOptions_set_request_timeout(options.0, limit, ptr::null_mut(), 0);
        rd::rd_kafka_DescribeTopics(rk, collection.0, options.0, queue.0);
    }
    // The request's own limit counts from when it is sent; a little more for the answer on the queue.
    let deadline = Instant::now() + timeout + TICK;
    let event = loop {
        // SAFETY: the queue is alive; the guard frees the event once, and nothing read from it outlives the guard.
        let event =
            Guard(unsafe { rd::rd_kafka_queue_poll(queue.0, TICK.as_millis() as i32) }, rd::rd_kafka_event_destroy);
        if !event.0.is_null() {
            break event;
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(Failure::Cancelled);
        }
        if Instant::now() > deadline {
            return Err(RDKafkaErrorCode::OperationTimedOut.into());
        }
    };
    // SAFETY: the event is alive.
    let error = unsafe { rd::rd_kafka_event_error(event.0) };
    if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(RDKafkaErrorCode::from(error).into());
    }
    // SAFETY: the event is alive; the result belongs to it, and is null where the event is of another type.
    let result = unsafe { rd::rd_kafka_event_DescribeTopics_result(event.0) };
    if result.is_null() {
        return Err(RDKafkaErrorCode::Fail.into());
    }
    let mut count = 0;
    // SAFETY: the result is alive; the array belongs to it and has `count` entries.
    let found = unsafe { rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if found.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: as above.
    let found = unsafe { std::slice::from_raw_parts(found, count) };
    // SAFETY: the descriptions belong to the event, which lives until the end of this function.
    Ok(found.iter().map(|topic| unsafe { described(*topic) }).collect())
}

/// # Safety
/// `topic` is a description whose event is alive.
unsafe fn described(topic: *const rd::rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: the caller's promise; name and id belong to the description and are copied here.
    unsafe {
        let text = |pointer: *const std::ffi::c_char| {
            if pointer.is_null() { String::new() } else { CStr::from_ptr(pointer).to_string_lossy().into_owned() }
        };
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let error = rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(topic));
        let mut partitions = 0;
        rd::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        Described {
            name: text(rd::rd_kafka_TopicDescription_name(topic)),
            id: if id.is_null() { String::new() } else { text(rd::rd_kafka_Uuid_base64str(id)) },
            partitions,
            error: (error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into()),
        }
    }
}

/// A pointer of librdkafka's and what frees it.
struct Guard<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from librdkafka, is freed only here, and the function is the one that frees it.
            unsafe { (self.1)(self.0) };
        }
    }
}

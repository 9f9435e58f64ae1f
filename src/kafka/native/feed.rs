//! Fetched messages, taken from librdkafka by the batch.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::client::Journal;

/// Messages taken at once. They are librdkafka's memory, counted in its queue until then.
const BATCH: usize = 1024;

/// The messages of a consumer, one after another. It also serves the consumer's log and errors.
pub(in crate::kafka) struct Feed {
    queue: *mut rd::rd_kafka_queue_t,
    taken: Vec<*mut rd::rd_kafka_message_t>,
    at: usize,
    // Last: queue and messages must go before the client.
    consumer: Arc<BaseConsumer<Journal>>,
}

// SAFETY: librdkafka's objects are bound to no thread, and `&mut self` keeps two threads from using a feed at once.
unsafe impl Send for Feed {}

impl Feed {
    /// The feed of `consumer`, which must have a group id; `None` where it has not.
    pub(in crate::kafka) fn new(consumer: Arc<BaseConsumer<Journal>>) -> Option<Self> {
        // SAFETY: the client is alive, and stays so as long as this struct; the queue is given back in `drop`.
        let queue = unsafe { rd::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        (!queue.is_null()).then(|| Self { queue, taken: Vec::with_capacity(BATCH), at: 0, consumer })
    }

    /// The consumer behind it.
    pub(in crate::kafka) fn consumer(&self) -> &BaseConsumer<Journal> {
        &self.consumer
    }

    /// The next message; where none is there, waits as long as `wait` says.
    pub(in crate::kafka) fn next(&mut self, wait: impl FnOnce() -> Duration) -> Option<Fetched<'_>> {
        if self.at == self.taken.len() {
            self.clear();
            self.take(Duration::ZERO, BATCH);
            if self.taken.is_empty() {
                // librdkafka waits until the batch is full; a batch of one is full at the first message.
                self.take(wait(), 1);
            }
        }
        let message = *self.taken.get(self.at)?;
        self.at += 1;
        // SAFETY: librdkafka gave the pointer, which is freed by `clear` only, and that needs `&mut self`.
        Some(Fetched { raw: unsafe { &*message } })
    }

    /// Drops the messages that were taken and not yet returned.
    pub(in crate::kafka) fn clear(&mut self) {
        for message in self.taken.drain(..) {
            // SAFETY: librdkafka gave the pointer; it is freed here only, and leaves the list.
            unsafe { rd::rd_kafka_message_destroy(message) };
        }
        self.at = 0;
    }

    fn take(&mut self, wait: Duration, most: usize) {
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `taken` is empty and has room for `most` pointers, of which librdkafka fills as many as it returns.
        unsafe {
            let count = rd::rd_kafka_consume_batch_queue(self.queue, wait, self.taken.as_mut_ptr(), most.min(BATCH));
            self.taken.set_len(usize::try_from(count).unwrap_or(0));
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: the queue came from `rd_kafka_queue_get_consumer` and is given back once.
        unsafe { rd::rd_kafka_queue_destroy(self.queue) };
    }
}

/// One message, or an event of its partition when [`error`](Self::error) is there.
pub(in crate::kafka) struct Fetched<'a> {
    raw: &'a rd::rd_kafka_message_t,
}

impl<'a> Fetched<'a> {
    /// Why it is no message: the end of the partition, an offset out of range, a refusal.
    pub(in crate::kafka) fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.raw.err != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.raw.err.into())
    }

    /// A number for the topic, the same for each of its messages while it is assigned; 0 where there is none.
    pub(in crate::kafka) fn handle(&self) -> usize {
        self.raw.rkt as usize
    }

    /// The topic's name; empty where there is none.
    pub(in crate::kafka) fn topic(&self) -> &'a str {
        if self.raw.rkt.is_null() {
            return "";
        }
        // SAFETY: the topic's handle is alive as long as the message, and its name is a C string.
        unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(self.raw.rkt)) }.to_str().unwrap_or_default()
    }

    pub(in crate::kafka) fn partition(&self) -> i32 {
        self.raw.partition
    }

    /// The message's offset; for the end of the partition, the offset that comes next.
    pub(in crate::kafka) fn offset(&self) -> i64 {
        self.raw.offset
    }

    pub(in crate::kafka) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: the bytes belong to the message.
        unsafe { bytes(self.raw.key, self.raw.key_len) }
    }

    pub(in crate::kafka) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: the bytes belong to the message.
        unsafe { bytes(self.raw.payload, self.raw.len) }
    }

    /// Milliseconds since the epoch; `None` where the broker has no time.
    pub(in crate::kafka) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let ms = unsafe { rd::rd_kafka_message_timestamp(self.raw, &raw mut kind) };
        (kind != rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && ms >= 0).then_some(ms)
    }

    /// The headers in order; `None` where there are none.
    pub(in crate::kafka) fn headers(&self) -> Option<Headers<'a>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the message is alive, and the headers belong to it.
        let error = unsafe { rd::rd_kafka_message_headers(self.raw, &raw mut raw) };
        let there = error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !raw.is_null();
        there.then_some(Headers { raw, at: 0, message: PhantomData })
    }
}

/// A message's headers: names and values, of which the value may be null.
pub(in crate::kafka) struct Headers<'a> {
    raw: *const rd::rd_kafka_headers_t,
    at: usize,
    message: PhantomData<&'a ()>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers are alive; name and value belong to the message.
        unsafe {
            let error = rd::rd_kafka_header_get_all(self.raw, self.at, &raw mut name, &raw mut value, &raw mut size);
            if error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            self.at += 1;
            Some((CStr::from_ptr(name).to_bytes(), bytes(value.cast_mut(), size)))
        }
    }
}

/// # Safety
/// Where `pointer` is not null, `length` bytes stand there and live for `'a`.
unsafe fn bytes<'a>(pointer: *mut c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { slice::from_raw_parts(pointer.cast::<u8>(), length) })
}

//! One assigned partition: where it stands, and the columns that its records are gathered in.

use std::sync::Arc;

use arrow::array::{BinaryBuilder, Int64Array, StringBuilder, TimestampMicrosecondBuilder};

use super::headers;
use super::native::feed::Fetched as Message;
use crate::schema::Records;

pub(super) struct Slot {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// librdkafka's handle of the topic; 0 until the first message.
    pub(super) handle: usize,
    /// The offset that comes next.
    pub(super) next: i64,
    /// The end when it was last reached.
    pub(super) end: Option<i64>,
    pub(super) paused: bool,
    columns: Columns,
    /// Rows and bytes of keys and of values in the last batch: the next one will be much like it.
    last: (usize, usize, usize),
}

#[derive(Default)]
struct Columns {
    offsets: Vec<i64>,
    timestamps: TimestampMicrosecondBuilder,
    keys: BinaryBuilder,
    values: BinaryBuilder,
    headers: StringBuilder,
}

impl Slot {
    pub(super) fn new(topic: Arc<str>, partition: i32, next: i64) -> Self {
        Self {
            topic,
            partition,
            handle: 0,
            next,
            end: None,
            paused: false,
            columns: Columns::default(),
            last: (0, 0, 0),
        }
    }

    /// Whether the end was reached and nothing has come since.
    pub(super) fn at_end(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Appends a record and returns its bytes: key, value and 32 for what stands beside them. A record that was there
    /// before (librdkafka may fetch one again after a pause) is left out and counts 0.
    pub(super) fn push(&mut self, message: &Message<'_>) -> usize {
        let offset = message.offset();
        if offset < self.next {
            return 0;
        }
        if self.columns.offsets.is_empty() {
            self.columns = Columns::like(self.last);
        }
        self.next = offset + 1;
        let columns = &mut self.columns;
        columns.offsets.push(offset);
        columns.timestamps.append_option(message.timestamp_ms().and_then(|ms| ms.checked_mul(1000)));
        let (key, value) = (message.key(), message.value());
        columns.keys.append_option(key);
        columns.values.append_option(value);
        let mut bytes = 32 + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        match message.headers() {
            None => columns.headers.append_null(),
            Some(found) => {
                let json = headers::to_json(found);
                bytes += json.len();
                columns.headers.append_value(json);
            }
        }
        bytes
    }

    /// The gathered records, `None` where there are none.
    pub(super) fn take(&mut self) -> Option<Records> {
        if self.columns.offsets.is_empty() {
            return None;
        }
        let mut columns = std::mem::take(&mut self.columns);
        let (keys, values) = (columns.keys.finish(), columns.values.finish());
        self.last = (columns.offsets.len(), keys.value_data().len(), values.value_data().len());
        Some(Records {
            partition: self.partition,
            offsets: Int64Array::from(columns.offsets),
            timestamps: columns.timestamps.finish().with_timezone("UTC"),
            keys,
            values,
            headers: columns.headers.finish(),
        })
    }

    /// Goes to `offset` and drops what was gathered.
    pub(super) fn reset(&mut self, offset: i64) {
        self.next = offset;
        self.end = None;
        self.columns = Columns::default();
    }
}

impl Columns {
    fn like((rows, keys, values): (usize, usize, usize)) -> Self {
        Self {
            offsets: Vec::with_capacity(rows),
            timestamps: TimestampMicrosecondBuilder::with_capacity(rows),
            keys: BinaryBuilder::with_capacity(rows, keys),
            values: BinaryBuilder::with_capacity(rows, values),
            headers: StringBuilder::with_capacity(rows, 0),
        }
    }
}

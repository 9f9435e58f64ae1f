//! Kafka → codec → bronze's rows, for engines that keep tables of their own, such as Spark: records that they hold, and
//! ranges of a partition that they ask for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};

use super::progress::Cancel;
use super::wire::stored;
use crate::codec;
use crate::codec::avro::Stored;
use crate::codec::names::Names;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::kafka::{ConsumeOptions, Consumer, Fetched, RegistryOptions, Security, headers_text};
use crate::lake::bronze_rows;
use crate::schema::{Records, Stream, bronze_schema};

/// Bytes of one poll at most, and how long it waits.
const POLL_BYTES: usize = 4 << 20;
const POLL_TIME: Duration = Duration::from_millis(200);

/// Turns records into the rows of one stream's bronze.
#[derive(Debug)]
pub struct RecordDecoder {
    stream: Stream,
    names: Names,
    stored: Arc<Stored>,
}

impl RecordDecoder {
    /// # Errors
    /// `Config` where the registry's options are wrong.
    pub fn new(stream: Stream, names: Names, registry: Option<&RegistryOptions>) -> Result<Self> {
        Ok(Self { stream, names, stored: stored(registry, &Cancel::default())? })
    }

    /// The rows' schema: bronze's, with its partition columns.
    pub fn schema(&self) -> SchemaRef {
        bronze_schema(self.stream)
    }

    /// The rows of records that another engine holds: a column `value`, and of `key`, `topic`, `partition`, `offset`,
    /// `timestamp` and `headers` (JSON text, or a list of key and value) those that are there.
    ///
    /// # Errors
    /// `Config` where there is no value, or a column can't be turned into its type; those of a look-up in the registry.
    pub fn decode(&self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        if batch.column_by_name("value").is_none() {
            let given: Vec<_> = batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
            return Err(Error::config(format!("the records of {} have no column value", self.stream.name()))
                .help(format!("There are {}", given.join(", "))));
        }
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let (topics, partitions) =
            (self.column(batch, "topic", &DataType::Utf8)?, self.column(batch, "partition", &DataType::Int32)?);
        let records = Records {
            // Each row has its own.
            partition: 0,
            offsets: self.column(batch, "offset", &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            timestamps: self.column(batch, "timestamp", &time)?.as_primitive::<TimestampMicrosecondType>().clone(),
            keys: self.column(batch, "key", &DataType::Binary)?.as_binary::<i32>().clone(),
            values: self.column(batch, "value", &DataType::Binary)?.as_binary::<i32>().clone(),
            headers: self.headers(batch)?,
        };
        self.rows(topics.as_string(), partitions.as_primitive(), &records)
    }

    fn rows(&self, topics: &StringArray, partitions: &Int32Array, records: &Records) -> Result<Vec<RecordBatch>> {
        let decoded = codec::decode(self.stream, &self.names, &self.stored, records)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        bronze_rows(topics, partitions, records, &decoded, now)
    }

    /// A column as `kind`; nulls where the batch has none.
    fn column(&self, batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
        match batch.column_by_name(name) {
            None => Ok(new_null_array(kind, batch.num_rows())),
            Some(column) => self.as_type(name, column, kind),
        }
    }

    fn as_type(&self, name: &str, column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
        if column.data_type() == kind {
            return Ok(Arc::clone(column));
        }
        let options = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(column, kind, &options).context(ErrorKind::Config, || {
            let (stream, found) = (self.stream.name(), column.data_type());
            format!(
                "the column {name} of the records of {stream} has the type {found}, and can't be turned into {kind}"
            )
        })
    }

    fn headers(&self, batch: &RecordBatch) -> Result<StringArray> {
        let lists = match batch.column_by_name("headers") {
            Some(column) if matches!(column.data_type(), DataType::List(item) if is_pair(item.data_type())) => {
                column.as_list::<i32>()
            }
            _ => return Ok(self.column(batch, "headers", &DataType::Utf8)?.as_string::<i32>().clone()),
        };
        let pairs = lists.values().as_struct();
        let part = |n: usize| -> Result<BinaryArray> {
            Ok(self.as_type("headers", pairs.column(n), &DataType::Binary)?.as_binary::<i32>().clone())
        };
        let (keys, values) = (part(0)?, part(1)?);
        let texts = (0..lists.len()).map(|row| {
            let (from, to) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
            let pair = |n: usize| (keys.value(n), values.is_valid(n).then(|| values.value(n)));
            (lists.is_valid(row) && from < to).then(|| headers_text((from..to).map(pair)))
        });
        Ok(texts.collect())
    }
}

/// A struct of a name and a value, as Spark has headers.
fn is_pair(kind: &DataType) -> bool {
    matches!(kind, DataType::Struct(fields) if fields.len() == 2)
}

/// The offsets `[start, end)` of a partition.
#[derive(Debug, Clone)]
pub struct TopicRange {
    /// `host:port`, several with commas.
    pub servers: String,
    /// Login and encryption.
    pub security: Security,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The one after the last.
    pub end: i64,
    /// Records of a batch at most.
    pub batch_rows: usize,
    /// How long the first contact, and each request, may take.
    pub timeout: Duration,
}

/// Reads a [`TopicRange`] as bronze's rows. It ends when the position is behind the range, not after a number of records:
/// markers, aborted transactions and compaction leave offsets without any.
///
/// Memory: what a [`Consumer`] fetches ahead, and one batch.
pub struct RangeReader {
    range: TopicRange,
    decoder: Arc<RecordDecoder>,
    consumer: Option<Consumer>,
    ready: VecDeque<RecordBatch>,
    next: i64,
    /// Since when the partition has ended before the range does.
    short: Option<Instant>,
}

impl RangeReader {
    /// A reader; it connects when it is first asked.
    pub fn new(range: TopicRange, decoder: Arc<RecordDecoder>) -> Self {
        let next = range.start;
        Self { range, decoder, consumer: None, ready: VecDeque::new(), next, short: None }
    }

    /// The next rows; `None` behind the range.
    ///
    /// # Errors
    /// `Gap` where the topic no longer has the range's begin; `Kafka` where it ends before the range does, or the broker
    /// refuses; `Connection`; `Interrupted`.
    pub fn next_batch(&mut self, cancel: &Cancel) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(rows) = self.ready.pop_front() {
                return Ok(Some(rows));
            }
            if self.next >= self.range.end {
                self.consumer = None;
                return Ok(None);
            }
            cancel.check()?;
            let fetched = self.poll(cancel)?;
            for Fetched { topic, records } in fetched {
                let count = records.offsets.values().partition_point(|&offset| offset < self.range.end);
                if count > 0 {
                    let records = first(&records, count);
                    let topics = StringArray::new_repeated(&topic, count);
                    let partitions = Int32Array::from_value(records.partition, count);
                    self.ready.extend(self.decoder.rows(&topics, &partitions, &records)?);
                }
            }
        }
    }

    fn poll(&mut self, cancel: &Cancel) -> Result<Vec<Fetched>> {
        let TopicRange { servers, security, topic, partition, end, batch_rows, timeout, .. } = &self.range;
        let consumer = if let Some(consumer) = &mut self.consumer {
            consumer
        } else {
            let options = ConsumeOptions {
                security: security.clone(),
                timeout: *timeout,
                ..ConsumeOptions::new(servers.clone())
            };
            let mut opened = Consumer::open(options, cancel.flag())?;
            opened.assign(topic, &[(*partition, self.next)])?;
            self.consumer.insert(opened)
        };
        let fetched = consumer.poll_batch(*batch_rows, POLL_BYTES, POLL_TIME, cancel.flag())?;
        let Some(place) = consumer.positions().into_iter().next() else {
            return Err(Error::internal("the partition is not assigned"));
        };
        self.next = place.next;
        // A leader that was just elected may know of less than the last one for a moment.
        let short = place.at_end() && place.next < *end;
        self.short = if short { self.short.or_else(|| Some(Instant::now())) } else { None };
        if self.short.is_some_and(|since| since.elapsed() > *timeout) {
            let context =
                format!("topic {topic:?} partition {partition} ends at {}, but was to be read to {end}", place.next);
            return Err(Error::new(ErrorKind::Kafka, context)
                .help("The topic was made anew or its log truncated; begin with a new checkpoint"));
        }
        Ok(fetched)
    }
}

impl std::fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RangeReader").field("range", &self.range).field("next", &self.next).finish_non_exhaustive()
    }
}

/// The first records, without a copy.
fn first(records: &Records, count: usize) -> Records {
    Records {
        partition: records.partition,
        offsets: records.offsets.slice(0, count),
        timestamps: records.timestamps.slice(0, count),
        keys: records.keys.slice(0, count),
        values: records.values.slice(0, count),
        headers: records.headers.slice(0, count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{StructArray, TimestampMicrosecondArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Fields};

    const READING: &str = r#"{"id": "a", "deviceId": "d", "speed": 12.5}"#;

    fn decoder() -> RecordDecoder {
        RecordDecoder::new(Stream::Gps, Names::contract().clone(), None).unwrap()
    }

    #[test]
    fn each_record_is_a_row_with_its_own_place() {
        let keys: Fields =
            vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)].into();
        let pair = StructArray::new(
            keys.clone(),
            vec![
                Arc::new(StringArray::from(vec!["a"])) as ArrayRef,
                Arc::new(BinaryArray::from(vec![b"x".as_slice()])) as ArrayRef,
            ],
            None,
        );
        let lists = arrow::array::ListArray::new(
            Arc::new(Field::new("element", DataType::Struct(keys), true)),
            OffsetBuffer::new(vec![0, 0, 1, 1].into()),
            Arc::new(pair),
            None,
        );
        let batch = RecordBatch::try_from_iter([
            ("value", Arc::new(StringArray::from(vec![Some(READING), Some("{"), None])) as ArrayRef),
            ("topic", Arc::new(StringArray::from(vec!["one", "two", "one"])) as ArrayRef),
            ("partition", Arc::new(Int32Array::from(vec![3, 0, 1])) as ArrayRef),
            ("offset", Arc::new(arrow::array::Int64Array::from(vec![9, 8, 7])) as ArrayRef),
            ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![5, 6, 7]).with_timezone("Europe/London")) as _),
            ("headers", Arc::new(lists) as ArrayRef),
        ])
        .unwrap();
        let rows = decoder().decode(&batch).unwrap();
        let [good, bad] = rows.as_slice() else { panic!("{} batches", rows.len()) };
        assert_eq!(good.schema(), bronze_schema(Stream::Gps));
        let text = |batch: &RecordBatch, name: &str| -> Vec<Option<String>> {
            batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect()
        };
        let number = |batch: &RecordBatch, name: &str| -> Vec<i64> {
            let column = arrow::compute::cast(batch.column_by_name(name).unwrap(), &DataType::Int64).unwrap();
            column.as_primitive::<Int64Type>().values().to_vec()
        };
        assert_eq!(text(good, "id"), [Some("a".to_owned())]);
        assert_eq!((number(good, "kafka_partition"), number(good, "kafka_offset")), (vec![3], vec![9]));
        assert_eq!(text(bad, "kafka_topic"), [Some("two".to_owned()), Some("one".to_owned())]);
        assert_eq!((number(bad, "kafka_partition"), number(bad, "kafka_offset")), (vec![0, 1], vec![8, 7]));
        assert_eq!(number(bad, "kafka_timestamp"), [6, 7]);
        assert_eq!(text(bad, "error_reason"), [Some("truncated".to_owned()), Some("tombstone".to_owned())]);
        assert_eq!(text(bad, "headers"), [Some(r#"{"a":"eA=="}"#.to_owned()), None]);
        assert_eq!(bad.column_by_name("decoded").unwrap().as_boolean().true_count(), 0);
    }

    #[test]
    fn what_is_not_there_is_null_or_named() {
        let values = Arc::new(BinaryArray::from(vec![READING.as_bytes()])) as ArrayRef;
        let rows = decoder().decode(&RecordBatch::try_from_iter([("value", values)]).unwrap()).unwrap();
        assert_eq!(rows.len(), 1);
        for name in ["kafka_topic", "kafka_partition", "kafka_offset", "kafka_timestamp"] {
            assert_eq!(rows[0].column_by_name(name).unwrap().null_count(), 1, "{name}");
        }
        let other =
            RecordBatch::try_from_iter([("body", Arc::new(StringArray::from(vec!["{}"])) as ArrayRef)]).unwrap();
        let error = decoder().decode(&other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("no column value"), "{error}");
    }
}

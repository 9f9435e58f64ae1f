//! Publishing and consuming against librdkafka's mock cluster: no service needed.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in what they share

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use _core::error::ErrorKind;
use _core::kafka::{ConsumeOptions, Consumer, Fetched, PublishOptions, Publisher, Security, Topics};
use _core::schema::{Messages, Stream};
use arrow::array::{Array, BinaryArray, StringArray};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

static GO: AtomicBool = AtomicBool::new(false);
const SOON: Duration = Duration::from_secs(20);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topics: &[(&str, i32)]) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions) in topics {
        cluster.create_topic(topic, *partitions, 1).unwrap();
    }
    cluster
}

fn publisher(cluster: &Cluster, change: impl FnOnce(&mut PublishOptions)) -> Publisher {
    let mut options = PublishOptions::new(cluster.bootstrap_servers());
    options.timeout = SOON;
    change(&mut options);
    Publisher::open(options, &GO).unwrap()
}

fn consumer(cluster: &Cluster) -> Consumer {
    Consumer::open(ConsumeOptions::new(cluster.bootstrap_servers()), &GO).unwrap()
}

fn messages(rows: impl Iterator<Item = u32>) -> Messages {
    let (keys, values): (Vec<_>, Vec<_>) = rows.map(|i| (format!("device-{}", i % 97), format!("value {i}"))).unzip();
    Messages {
        stream: Stream::Gps,
        keys: StringArray::from_iter_values(keys),
        values: BinaryArray::from_iter_values(values),
    }
}

/// Polls until every partition is at its end.
fn read_all(consumer: &mut Consumer) -> Vec<Fetched> {
    let deadline = Instant::now() + SOON;
    let mut all = Vec::new();
    while !consumer.at_end() {
        assert!(Instant::now() < deadline, "not at the end: {:?}", consumer.positions());
        all.extend(consumer.poll_batch(1000, 1 << 20, Duration::from_millis(500), &GO).unwrap());
    }
    all
}

/// The 32-bit murmur2 of Kafka's Java client, written from its definition.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    for (i, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * i);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[test]
fn every_message_is_counted_and_read_back_from_the_partition_of_its_key() {
    let cluster = cluster(&[("gps_data", 4), ("vehicle_data", 1)]);
    // A queue far smaller than the batch: sending has to wait for answers.
    let mut publisher = publisher(&cluster, |options| options.queue_messages = 100);
    let batch = messages(0..5000);
    publisher.send("gps_data", &batch, &GO).unwrap();
    publisher.send("vehicle_data", &messages(0..10), &GO).unwrap();
    let report = publisher.close(SOON, &GO).unwrap();

    let gps = &report.topics["gps_data"];
    assert_eq!((gps.sent, gps.delivered, gps.failed, gps.queued), (5000, 5000, 0, 0));
    let bytes = batch.keys.value_data().len() + batch.values.value_data().len();
    assert_eq!(gps.bytes, bytes as u64);
    assert_eq!(report.topics["vehicle_data"].delivered, 10);
    assert_eq!((report.sent(), report.delivered(), report.failed(), report.queued()), (5010, 5010, 0, 0));

    let mut consumer = consumer(&cluster);
    consumer.assign("gps_data", &[(0, 0), (1, 0), (2, 0), (3, 0)]).unwrap();
    let mut found = BTreeMap::new();
    let mut next = [0; 4];
    for fetched in read_all(&mut consumer) {
        assert_eq!(&*fetched.topic, "gps_data");
        let records = fetched.records;
        for row in 0..records.offsets.len() {
            let key = records.keys.value(row);
            assert_eq!(records.partition as u32, (murmur2(key) & 0x7fff_ffff) % 4, "{}", String::from_utf8_lossy(key));
            assert_eq!(records.offsets.value(row), next[records.partition as usize]);
            next[records.partition as usize] += 1;
            assert!(records.headers.is_null(row) && records.timestamps.value(row) > 1_600_000_000_000_000);
            found.insert(records.values.value(row).to_vec(), key.to_vec());
        }
    }
    assert_eq!(found.len(), 5000);
    assert!(next.iter().all(|&rows| rows > 0), "{next:?}");
    for row in 0..5000 {
        assert_eq!(found[batch.values.value(row)], batch.keys.value(row).as_bytes());
    }
    for position in consumer.positions() {
        assert_eq!(position.next, next[position.partition as usize]);
        assert!(position.at_end());
    }
}

#[test]
fn reading_starts_at_the_given_offset_and_keeps_to_its_bounds() {
    let cluster = cluster(&[("one", 1)]);
    let mut publisher = publisher(&cluster, |_| {});
    publisher.send("one", &messages(0..1000), &GO).unwrap();
    assert_eq!(publisher.close(SOON, &GO).unwrap().delivered(), 1000);

    let mut consumer = consumer(&cluster);
    assert_eq!(consumer.watermarks("one", 0).unwrap(), (0, 1000));
    consumer.assign("one", &[(0, 400)]).unwrap();
    let offsets = |fetched: &[Fetched]| -> Vec<i64> {
        fetched.iter().flat_map(|f| f.records.offsets.values().to_vec()).collect()
    };
    let batch = consumer.poll_batch(150, 1 << 20, SOON, &GO).unwrap();
    assert_eq!(offsets(&batch), (400..550).collect::<Vec<_>>());
    assert_eq!(consumer.positions()[0].next, 550);

    // A record counts 32 bytes, key and value: about 50 here.
    let batch = consumer.poll_batch(1000, 500, SOON, &GO).unwrap();
    let rows = offsets(&batch).len();
    assert!((8..=12).contains(&rows), "{rows}");

    consumer.seek("one", 0, 990).unwrap();
    assert_eq!(offsets(&read_all(&mut consumer)), (990..1000).collect::<Vec<_>>());
    assert!(consumer.seek("one", 1, 0).unwrap_err().to_string().contains("partition 1 is not assigned"));

    // Assigned again from the start, paused: nothing; resumed: everything.
    consumer.assign("one", &[(0, 0)]).unwrap();
    consumer.pause("one", 0).unwrap();
    assert!(consumer.poll_batch(10, 1 << 20, Duration::from_millis(300), &GO).unwrap().is_empty());
    consumer.resume("one", 0).unwrap();
    assert_eq!(offsets(&read_all(&mut consumer)).len(), 1000);
}

#[test]
fn tombstones_empty_values_and_headers_survive() {
    let cluster = cluster(&[("odd", 1)]);
    let raw: BaseProducer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "ce_type", value: Some("gps") })
        .insert(Header { key: "none", value: None::<&str> })
        .insert(Header { key: "ce_type", value: Some("again") });
    raw.send(BaseRecord::<str, str>::to("odd").partition(0).key("k").timestamp(1_780_000_000_123)).unwrap();
    raw.send(BaseRecord::<str, str>::to("odd").partition(0).key("").payload("")).unwrap();
    raw.send(BaseRecord::<str, str>::to("odd").partition(0).payload("v").headers(headers)).unwrap();
    raw.flush(SOON).unwrap();

    let mut consumer = consumer(&cluster);
    consumer.assign("odd", &[(0, 0)]).unwrap();
    let fetched = read_all(&mut consumer);
    let rows: Vec<_> = fetched
        .iter()
        .flat_map(|f| {
            let records = &f.records;
            let bytes = |column: &BinaryArray, row| column.is_valid(row).then(|| column.value(row).to_vec());
            (0..records.offsets.len()).map(move |row| {
                let headers = records.headers.is_valid(row).then(|| records.headers.value(row).to_owned());
                (bytes(&records.keys, row), bytes(&records.values, row), headers)
            })
        })
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0], (Some(b"k".to_vec()), None, None));
    assert_eq!(rows[1], (Some(vec![]), Some(vec![]), None));
    assert_eq!((&rows[2].0, &rows[2].1), (&None, &Some(b"v".to_vec())));
    let headers: serde_json::Value = serde_json::from_str(rows[2].2.as_deref().unwrap()).unwrap();
    assert_eq!(headers, serde_json::json!({"ce_type": ["Z3Bz", "YWdhaW4="], "none": null}));
    assert_eq!(fetched[0].records.timestamps.value(0), 1_780_000_000_123_000);
}

#[test]
fn null_keys_and_values_are_sent_as_null() {
    let cluster = cluster(&[("nulls", 1)]);
    let mut publisher = publisher(&cluster, |_| {});
    let batch = Messages {
        stream: Stream::Reference,
        keys: StringArray::from(vec![Some("road:1"), None]),
        values: BinaryArray::from_opt_vec(vec![None, Some(b"v")]),
    };
    publisher.send("nulls", &batch, &GO).unwrap();
    assert_eq!(publisher.close(SOON, &GO).unwrap().delivered(), 2);
    let mut consumer = consumer(&cluster);
    consumer.assign("nulls", &[(0, 0)]).unwrap();
    let rows = read_all(&mut consumer);
    let records = &rows[0].records;
    assert!(records.values.is_null(0) && records.keys.is_null(1));
    assert_eq!((records.keys.value(0), records.values.value(1)), (&b"road:1"[..], &b"v"[..]));
}

#[test]
fn refused_messages_are_counted_with_their_reason() {
    let cluster = cluster(&[("gps_data", 1)]);
    let mut publisher = publisher(&cluster, |_| {});
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    publisher.send("gps_data", &messages(0..10), &GO).unwrap();
    publisher.flush(SOON, &GO).unwrap();
    let large = Messages {
        stream: Stream::Gps,
        keys: StringArray::from(vec!["k", "k"]),
        values: BinaryArray::from_iter_values([vec![0; 2_000_000], vec![1; 10]]),
    };
    publisher.send("gps_data", &large, &GO).unwrap();
    let report = publisher.close(SOON, &GO).unwrap();
    let topic = &report.topics["gps_data"];
    assert_eq!((topic.sent, topic.delivered, topic.failed, topic.queued), (12, 1, 11, 0), "{:?}", topic.reasons);
    let reasons = topic.reasons.join("; ");
    assert!(reasons.contains("failed to validate") && reasons.contains("too large"), "{reasons}");
}

#[test]
fn what_is_given_up_stays_in_the_account() {
    let cluster = cluster(&[("gps_data", 1)]);
    let mut first = publisher(&cluster, |_| {});
    let mut second = publisher(&cluster, |_| {});
    let mut third = publisher(&cluster, |options| options.queue_messages = 50);
    for each in [&mut first, &mut second, &mut third] {
        each.send("gps_data", &messages(0..1), &GO).unwrap();
        each.flush(SOON, &GO).unwrap();
    }
    cluster.broker_down(-1).unwrap();

    // Closed: after its time, not before, and everything is accounted for.
    first.send("gps_data", &messages(0..100), &GO).unwrap();
    let error = first.flush(Duration::from_millis(300), &GO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("100 messages to"), "{error}");
    let start = Instant::now();
    let report = first.close(Duration::from_millis(500), &GO).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((report.sent(), report.delivered(), report.failed(), report.queued()), (101, 1, 0, 100));

    // Dropped: gone, but not silently.
    let watch = second.watch();
    second.send("gps_data", &messages(0..30), &GO).unwrap();
    drop(second);
    assert_eq!((watch.report().delivered(), watch.report().queued()), (1, 30));

    // Interrupted while the queue is full.
    let stop = AtomicBool::new(false);
    let watch = third.watch();
    let error = std::thread::scope(|scope| {
        let sending = scope.spawn(|| third.send("gps_data", &messages(0..1000), &stop).unwrap_err());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!sending.is_finished(), "a full queue did not hold it");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        sending.join().unwrap()
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(watch.report().queued(), 50);
    let report = third.close(SOON, &stop).unwrap();
    assert_eq!((report.sent(), report.delivered(), report.queued()), (51, 1, 50));
}

#[test]
fn an_unreachable_broker_is_named_in_time() {
    // A port that was free a moment ago: the connection is refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let servers = format!("127.0.0.1:{port}");
    let limit = Duration::from_millis(700);
    let publisher = || {
        let options = PublishOptions { timeout: limit, ..PublishOptions::new(&servers) };
        Publisher::open(options, &GO).map(drop)
    };
    let consumer = || {
        let options = ConsumeOptions { timeout: limit, ..ConsumeOptions::new(&servers) };
        Consumer::open(options, &GO).map(drop)
    };
    let topics = || Topics::connect(&servers, &Security::default(), limit, &GO).map(drop);
    let openers: [(&str, &dyn Fn() -> _core::error::Result<()>); 3] =
        [("publisher", &publisher), ("consumer", &consumer), ("topics", &topics)];
    for (what, open) in openers {
        let start = Instant::now();
        let error = open().unwrap_err();
        assert!(start.elapsed() < limit + Duration::from_secs(2), "{what}: {:?}", start.elapsed());
        assert_eq!(error.kind(), ErrorKind::Connection, "{what}");
        let text = error.to_string();
        assert!(text.contains(&servers) && text.contains("refused") && text.contains("Check"), "{what}: {text}");
    }
}

#[test]
fn connecting_can_be_interrupted() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = Instant::now();
    let stop = AtomicBool::new(true);
    let error = Publisher::open(PublishOptions::new(format!("127.0.0.1:{port}")), &stop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn an_unknown_topic_is_named_with_the_way_out() {
    let cluster = cluster(&[]);
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("gpz_data", unknown).unwrap();
    let mut publisher = publisher(&cluster, |options| options.timeout = Duration::from_secs(1));
    let sent = publisher.send("gpz_data", &messages(0..1), &GO).unwrap_err();
    assert_eq!(sent.kind(), ErrorKind::Kafka);
    assert!(sent.to_string().contains("\"gpz_data\" does not exist") && sent.to_string().contains("topics create"));
    assert_eq!(publisher.report().sent(), 0);
}

#[test]
fn a_stored_offset_beyond_the_end_is_no_gap() {
    let cluster = cluster(&[("one", 1)]);
    let mut consumer = consumer(&cluster);
    let error = consumer.assign("one", &[(0, 7)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Kafka);
    assert!(error.to_string().contains("stored offset is 7, but the log ends at 0"), "{error}");
}

#[test]
fn a_broker_that_stays_away_ends_the_reading() {
    let cluster = cluster(&[("one", 1)]);
    let options = ConsumeOptions {
        unreachable_after: Duration::from_millis(500),
        ..ConsumeOptions::new(cluster.bootstrap_servers())
    };
    let mut consumer = Consumer::open(options.clone(), &GO).unwrap();
    let mut other = Consumer::open(options, &GO).unwrap();
    for each in [&mut consumer, &mut other] {
        each.assign("one", &[(0, 0)]).unwrap();
        assert!(read_all(each).is_empty());
    }
    cluster.broker_down(-1).unwrap();
    let deadline = Instant::now() + SOON;
    let error = loop {
        match consumer.poll_batch(10, 1 << 20, Duration::from_millis(500), &GO) {
            Err(error) => break error,
            Ok(fetched) => assert!(fetched.is_empty() && Instant::now() < deadline, "no error"),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.is_retryable());
    let start = Instant::now();
    drop(other);
    assert!(start.elapsed() < Duration::from_secs(2), "leaving took {:?}", start.elapsed());
    // And it goes on when the broker is back.
    cluster.broker_up(-1).unwrap();
    let mut publisher = publisher(&cluster, |_| {});
    publisher.send("one", &messages(0..5), &GO).unwrap();
    assert_eq!(publisher.close(SOON, &GO).unwrap().delivered(), 5);
    five_come(&mut consumer);
}

/// Five records, whatever errors come before them.
fn five_come(consumer: &mut Consumer) {
    let deadline = Instant::now() + SOON;
    let mut rows = 0;
    while rows < 5 {
        assert!(Instant::now() < deadline, "{rows} rows");
        if let Ok(fetched) = consumer.poll_batch(10, 1 << 20, Duration::from_millis(500), &GO) {
            rows += fetched.iter().map(|f| f.records.offsets.len()).sum::<usize>();
        }
    }
    assert_eq!(rows, 5);
}

#[test]
fn a_reader_that_stalls_starts_again_and_says_so_in_the_end() {
    let cluster = cluster(&[("one", 1)]);
    let options = ConsumeOptions {
        stalled_after: Duration::from_millis(700),
        ..ConsumeOptions::new(cluster.bootstrap_servers())
    };
    let mut consumer = Consumer::open(options, &GO).unwrap();
    consumer.assign("one", &[(0, 0)]).unwrap();
    assert!(read_all(&mut consumer).is_empty());
    // Nothing to read is no stall.
    for _ in 0..4 {
        assert!(consumer.poll_batch(10, 1 << 20, Duration::from_millis(400), &GO).unwrap().is_empty());
    }
    // The broker answers every question but the one for records.
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 1000];
    cluster.request_errors(RDKafkaApiKey::Fetch, &refusals);
    let mut publisher = publisher(&cluster, |_| {});
    publisher.send("one", &messages(0..5), &GO).unwrap();
    assert_eq!(publisher.close(SOON, &GO).unwrap().delivered(), 5);
    let deadline = Instant::now() + SOON;
    let error = loop {
        match consumer.poll_batch(10, 1 << 20, Duration::from_millis(500), &GO) {
            Err(error) => break error,
            Ok(fetched) => assert!(fetched.is_empty() && Instant::now() < deadline, "no error"),
        }
    };
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Connection, true));
    let text = error.to_string();
    assert!(
        text.contains("\"one\" partition 0: nothing has come from offset 0") && text.contains("ends at 5"),
        "{text}"
    );
    // It goes on when the broker gives records again.
    cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    five_come(&mut consumer);
}

#[test]
fn clients_can_be_moved_to_another_thread() {
    fn movable<T: Send>() {}
    movable::<Publisher>();
    movable::<Consumer>();
    movable::<Topics>();
}

//! What only a real broker shows. Ignored unless asked for:
//!
//! `PYTHONPATH=tests python -m services kafka -- cargo test --profile quick --test kafka_broker -- --ignored`
#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in what they share

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use _core::error::{Error, ErrorKind};
use _core::kafka::{
    Compression, ConsumeOptions, Consumer, Creation, Gap, NewTopic, PublishOptions, Publisher, Security, Topics,
};
use _core::schema::{Messages, Stream};
use arrow::array::{Array, BinaryArray, StringArray};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

static GO: AtomicBool = AtomicBool::new(false);
const SOON: Duration = Duration::from_secs(20);

fn servers() -> String {
    std::env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap()
}

/// A name that no other test and no earlier run uses.
fn fresh(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("{stem}-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn topics() -> Topics {
    Topics::connect(&servers(), &Security::default(), SOON, &GO).unwrap()
}

fn topic(stem: &str, partitions: i32) -> String {
    let name = fresh(stem);
    assert_eq!(topics().create(&[NewTopic::new(&name, partitions)], &GO).unwrap(), [Creation::Created]);
    name
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", servers()).create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn delete_records(topic: &str, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
    let done = wait(admin().delete_records(&list, &AdminOptions::new())).unwrap();
    done.elements()[0].error().unwrap();
}

fn messages(rows: std::ops::Range<u32>) -> Messages {
    let (keys, values): (Vec<_>, Vec<_>) = rows.map(|i| (format!("device-{i}"), format!("value {i}"))).unzip();
    Messages {
        stream: Stream::Gps,
        keys: StringArray::from_iter_values(keys),
        values: BinaryArray::from_iter_values(values),
    }
}

fn publisher(transactional_id: Option<&str>) -> Publisher {
    let transactional_id = transactional_id.map(str::to_owned);
    Publisher::open(PublishOptions { transactional_id, ..PublishOptions::new(servers()) }, &GO).unwrap()
}

fn publish(topic: &str, rows: std::ops::Range<u32>) {
    let mut publisher = publisher(None);
    let count = rows.len() as u64;
    publisher.send(topic, &messages(rows), &GO).unwrap();
    assert_eq!(publisher.close(SOON, &GO).unwrap().delivered(), count);
}

fn consumer() -> Consumer {
    Consumer::open(ConsumeOptions::new(servers()), &GO).unwrap()
}

/// (offset, value) of all records up to the end.
fn read_all(consumer: &mut Consumer) -> Vec<(i64, String)> {
    let deadline = Instant::now() + SOON;
    let mut all = Vec::new();
    while !consumer.at_end() {
        assert!(Instant::now() < deadline, "not at the end: {:?}", consumer.positions());
        for fetched in consumer.poll_batch(1000, 1 << 20, Duration::from_millis(500), &GO).unwrap() {
            let records = fetched.records;
            all.extend((0..records.offsets.len()).map(|row| {
                (records.offsets.value(row), String::from_utf8_lossy(records.values.value(row)).into_owned())
            }));
        }
    }
    all
}

fn first_error(consumer: &mut Consumer) -> Error {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "no error: {:?}", consumer.positions());
        if let Err(error) = consumer.poll_batch(1000, 1 << 20, Duration::from_millis(500), &GO) {
            return error;
        }
    }
}

#[test]
#[ignore = "needs a broker"]
fn topics_are_created_described_and_told_apart() {
    let (name, compacted) = (fresh("city"), fresh("reference"));
    let new = [NewTopic::new(&name, 4), NewTopic::new(&compacted, 1).compacted()];
    let first = topics();
    assert_eq!(first.create(&new, &GO).unwrap(), [Creation::Created, Creation::Created]);
    assert_eq!(first.create(&new, &GO).unwrap(), [Creation::Existed, Creation::Existed]);
    assert!(first.names().unwrap().contains(&name));
    publish(&name, 0..100);

    let described = first.describe(&[&compacted, &name], &GO).unwrap();
    assert_eq!((described[0].name.as_str(), described[0].partitions.len()), (compacted.as_str(), 1));
    assert_eq!(described[1].partitions.iter().map(|p| p.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(described[1].partitions.iter().map(|p| p.high - p.low).sum::<i64>(), 100);
    let id = described[1].id.clone();
    assert!(id.len() == 22 && id != described[0].id && !id.starts_with("AAAAAAAAAAAAAAAA"), "{id}");

    // Another client sees the same ids, also of the cluster.
    let second = topics();
    assert_eq!(second.describe(&[&name], &GO).unwrap()[0].id, id);
    assert!(!second.cluster_id().is_empty());
    assert_eq!(second.cluster_id(), first.cluster_id());
    assert_eq!(second.cluster_id(), consumer().cluster_id());
    assert_eq!(second.cluster_id(), publisher(None).cluster_id());

    // Deleted and created again: the same name, another id.
    let deleted = wait(admin().delete_topics(&[name.as_str()], &AdminOptions::new())).unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
    let deadline = Instant::now() + SOON;
    while second.create(&new[..1], &GO).ok() != Some(vec![Creation::Created]) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_ne!(second.describe(&[&name], &GO).unwrap()[0].id, id);
    assert_ne!(first.describe(&[&name], &GO).unwrap()[0].id, id, "an old connection keeps no old id");
}

#[test]
#[ignore = "needs a broker"]
fn a_topic_is_created_again_while_it_is_being_deleted() {
    let (topics, admin) = (topics(), admin());
    let new = [NewTopic::new(fresh("again"), 1)];
    let began = Instant::now();
    let mut ids = HashSet::new();
    for _ in 0..10 {
        assert_eq!(topics.create(&new, &GO).unwrap(), [Creation::Created]);
        ids.insert(topics.describe(&[&new[0].name], &GO).unwrap().remove(0).id);
        // Without a wait for its end, which on ZooKeeper takes a while.
        wait(admin.delete_topics(&[&new[0].name], &AdminOptions::new())).unwrap();
    }
    assert_eq!(ids.len(), 10);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
#[ignore = "needs a broker"]
fn unknown_topics_and_refused_settings_are_named() {
    let unknown = fresh("nobody");
    let topics = topics();
    for error in [
        topics.describe(&[&unknown], &GO).unwrap_err(),
        consumer().assign(&unknown, &[(0, 0)]).unwrap_err(),
        consumer().watermarks(&topic("one", 1), 5).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Kafka, "{error}");
        assert!(error.to_string().contains("does not exist on"), "{error}");
    }
    let mut wrong = NewTopic::new(fresh("wrong"), 1);
    wrong.config.insert("cleanup.policy".to_owned(), "shred".to_owned());
    let error = topics.create(&[wrong.clone()], &GO).unwrap_err();
    assert!(error.to_string().contains(&wrong.name), "{error}");
    let error = topics.create(&[NewTopic::new("no spaces", 1)], &GO).unwrap_err();
    assert!(error.to_string().contains("\"no spaces\""), "{error}");
}

#[test]
#[ignore = "needs a broker"]
fn offsets_that_retention_took_are_a_gap() {
    let topic = topic("gap", 1);
    publish(&topic, 0..100);
    delete_records(&topic, 30);

    let mut reader = consumer();
    let gap = |stored, log_start| Gap { topic: topic.clone(), partition: 0, stored, log_start };
    assert_eq!(reader.gaps(&topic, &[(0, 10)]).unwrap(), [gap(10, 30)]);
    assert_eq!(reader.gaps(&topic, &[(0, 30)]).unwrap(), []);
    let error = reader.assign(&topic, &[(0, 10)]).unwrap_err();
    assert_eq!((error.kind(), Gap::of(&error)), (ErrorKind::Gap, Some(&gap(10, 30))));
    let text = error.to_string();
    assert!(text.contains(&topic) && text.contains("is 10, but") && text.contains("at 30; 20 offsets"), "{text}");

    // Retention strikes between the check and the first fetch.
    reader.assign(&topic, &[(0, 30)]).unwrap();
    delete_records(&topic, 60);
    let error = first_error(&mut reader);
    assert_eq!((error.kind(), Gap::of(&error)), (ErrorKind::Gap, Some(&gap(30, 60))), "{error}");

    // And reading can go on from where the log starts.
    reader.assign(&topic, &[(0, 60)]).unwrap();
    let offsets: Vec<_> = read_all(&mut reader).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, (60..100).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a broker"]
fn transactions_are_read_when_committed_and_their_markers_are_passed() {
    let (topic, id) = (topic("transactions", 1), fresh("city-run"));
    let mut writer = publisher(Some(&id));
    writer.send(&topic, &messages(0..10), &GO).unwrap();
    writer.flush(SOON, &GO).unwrap();

    // Open: the end of what is committed is its start.
    let mut reader = consumer();
    assert_eq!(reader.watermarks(&topic, 0).unwrap(), (0, 0));
    reader.assign(&topic, &[(0, 0)]).unwrap();
    assert!(read_all(&mut reader).is_empty());
    assert_eq!(reader.positions()[0].next, 0);

    // Committed, marker at 10; the next one, aborted, is 11 to 15 and a marker.
    writer.commit(SOON, &GO).unwrap();
    writer.send(&topic, &messages(10..15), &GO).unwrap();
    writer.flush(SOON, &GO).unwrap();
    let fenced = writer;
    let mut writer = publisher(Some(&id));
    writer.send(&topic, &messages(20..23), &GO).unwrap();
    assert_eq!(writer.close(SOON, &GO).unwrap().delivered(), 3);

    let mut reader = consumer();
    reader.assign(&topic, &[(0, 0)]).unwrap();
    let rows = read_all(&mut reader);
    let offsets: Vec<_> = rows.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [(0..10).collect::<Vec<_>>(), (17..20).collect()].concat());
    assert_eq!(rows[10].1, "value 20");
    // Reading goes on after the last marker, where the log ends.
    assert_eq!(reader.positions()[0].next, 21);
    assert_eq!(reader.watermarks(&topic, 0).unwrap(), (0, 21));

    // From inside the aborted range, and from the last marker.
    reader.assign(&topic, &[(0, 12)]).unwrap();
    assert_eq!(read_all(&mut reader).len(), 3);
    reader.assign(&topic, &[(0, 20)]).unwrap();
    assert!(read_all(&mut reader).is_empty());
    assert_eq!(reader.positions()[0].next, 21);

    // The first writer was fenced off, and says so.
    let error = fenced.close(SOON, &GO).unwrap_err();
    assert!(error.to_string().contains(&id), "{error}");
}

fn sized(sizes: &[usize]) -> Messages {
    Messages {
        stream: Stream::Gps,
        keys: StringArray::from_iter_values(sizes.iter().enumerate().map(|(i, _)| format!("device-{i}"))),
        values: BinaryArray::from_iter_values(sizes.iter().enumerate().map(|(i, size)| vec![b'a' + i as u8; *size])),
    }
}

fn committed(topic: &str) -> Vec<String> {
    let mut reader = consumer();
    let deadline = Instant::now() + SOON;
    // The brokers mark the partitions a moment after the commit is safe.
    let whole = Consumer::open(ConsumeOptions { uncommitted: true, ..ConsumeOptions::new(servers()) }, &GO).unwrap();
    while reader.watermarks(topic, 0).unwrap() != whole.watermarks(topic, 0).unwrap() {
        assert!(Instant::now() < deadline, "a transaction stays open");
        std::thread::sleep(Duration::from_millis(50));
    }
    reader.assign(topic, &[(0, 0)]).unwrap();
    read_all(&mut reader).into_iter().map(|(_, value)| value).collect()
}

#[test]
#[ignore = "needs a broker"]
fn a_transaction_goes_on_without_what_is_too_large_for_any_broker() {
    let topic = topic("large", 1);
    let mut writer = publisher(Some(&fresh("city-run")));
    writer.send(&topic, &sized(&[10, 2_000_000, 10]), &GO).unwrap();
    let report = writer.close(SOON, &GO).unwrap();
    assert_eq!((report.sent(), report.delivered(), report.failed(), report.queued()), (3, 2, 1, 0));
    assert_eq!(committed(&topic), ["a".repeat(10), "c".repeat(10)]);
}

#[test]
#[ignore = "needs a broker"]
fn an_aborted_transaction_is_sent_again_without_what_the_topic_refuses() {
    let mut small = NewTopic::new(fresh("small"), 1);
    small.config.insert("max.message.bytes".to_owned(), "1000".to_owned());
    topics().create(&[small.clone()], &GO).unwrap();
    let mut options = PublishOptions::new(servers());
    options.transactional_id = Some(fresh("city-run"));
    // The limit is on what is sent, which would shrink.
    options.compression = Compression::None;
    let mut writer = Publisher::open(options, &GO).unwrap();
    // Alone in their batches: the broker refuses batches, not messages.
    for sizes in [&[10, 20][..], &[5_000], &[30, 40]] {
        writer.send(&small.name, &sized(sizes), &GO).unwrap();
        let _ = writer.flush(SOON, &GO);
    }
    writer.commit(SOON, &GO).unwrap();
    writer.send(&small.name, &sized(&[50]), &GO).unwrap();
    let report = writer.close(SOON, &GO).unwrap();
    let account = &report.topics[&small.name];
    assert_eq!((account.sent, account.delivered, account.failed, account.queued), (6, 5, 1, 0));
    assert!(account.reasons.join("; ").contains("large"), "{:?}", account.reasons);
    let sizes: Vec<_> = committed(&small.name).iter().map(String::len).collect();
    assert_eq!(sizes, [10, 20, 30, 40, 50]);
}

#[test]
#[ignore = "needs a broker"]
fn transactions_are_bounded_by_messages_bytes_and_time() {
    let topic = topic("bounded", 1);
    let cut_off = fresh("cut-off");
    let open = |id: &str, change: fn(&mut PublishOptions)| {
        let mut options = PublishOptions::new(servers());
        options.transactional_id = Some(id.to_owned());
        options.transaction_interval = Duration::from_mins(10);
        change(&mut options);
        Publisher::open(options, &GO).unwrap()
    };
    let mut by_messages = open(&cut_off, |options| options.transaction_messages = 100);
    by_messages.send(&topic, &messages(0..950), &GO).unwrap();
    assert_eq!((by_messages.report().delivered(), by_messages.report().queued()), (900, 50));
    // Some 20 bytes each.
    let mut by_bytes = open(&fresh("city-run"), |options| options.transaction_kib = 1);
    by_bytes.send(&topic, &messages(1_000..1_950), &GO).unwrap();
    assert!((850..950).contains(&by_bytes.report().delivered()), "{:?}", by_bytes.report());
    let mut by_time = open(&fresh("city-run"), |options| options.transaction_interval = Duration::from_millis(200));
    by_time.send(&topic, &messages(2_000..2_010), &GO).unwrap();
    assert_eq!(by_time.report().delivered(), 0);
    let deadline = Instant::now() + SOON;
    while by_time.report().delivered() < 10 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
        by_time.poll(&GO).unwrap();
    }
    // What is not committed when a run is cut off is nobody's, as soon as its id is used again.
    drop(by_messages);
    drop(open(&cut_off, |_| {}));
    let rest = by_bytes.close(SOON, &GO).unwrap();
    assert_eq!((rest.sent(), rest.delivered()), (950, 950));
    drop(by_time);
    let found = committed(&topic);
    assert_eq!(found.len(), 900 + 950 + 10);
    assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), found.len());
}

#[test]
#[ignore = "needs a broker"]
fn a_second_publisher_of_the_same_id_fences_the_first_off() {
    let (topic, id) = (topic("fenced", 1), fresh("city-run"));
    let mut first = publisher(Some(&id));
    first.send(&topic, &messages(0..5), &GO).unwrap();
    first.commit(SOON, &GO).unwrap();
    first.send(&topic, &messages(5..10), &GO).unwrap();
    let mut second = publisher(Some(&id));
    second.send(&topic, &messages(5..12), &GO).unwrap();
    second.commit(SOON, &GO).unwrap();

    let error = first.commit(SOON, &GO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Kafka);
    assert!(error.to_string().contains(&id) && error.to_string().contains("another producer"), "{error}");
    assert!(first.send(&topic, &messages(12..13), &GO).is_err());
    let report = first.report();
    assert_eq!((report.delivered(), report.sent() - report.failed() - report.queued()), (5, 5), "{report:?}");
    assert_eq!(second.close(SOON, &GO).unwrap().delivered(), 7);
    assert_eq!(committed(&topic), (0..12).map(|i| format!("value {i}")).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a broker"]
fn what_a_record_holds_survives() {
    let topic = topic("odd", 1);
    let raw: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers()).create().unwrap();
    let headers = || {
        OwnedHeaders::new()
            .insert(Header { key: "a", value: Some("x") })
            .insert(Header { key: "none", value: None::<&str> })
    };
    raw.send(BaseRecord::<str, str>::to(&topic).key("k").timestamp(1_780_000_000_123)).unwrap();
    raw.send(BaseRecord::<str, str>::to(&topic).key("").payload("").headers(headers())).unwrap();
    raw.send(BaseRecord::<str, str>::to(&topic).payload("v")).unwrap();
    raw.flush(SOON).unwrap();
    let mut reader = consumer();
    reader.assign(&topic, &[(0, 0)]).unwrap();
    let fetched = reader.poll_batch(3, 1 << 20, SOON, &GO).unwrap();
    let records = &fetched[0].records;
    assert_eq!(records.offsets.values().to_vec(), [0, 1, 2]);
    assert_eq!(records.timestamps.value(0), 1_780_000_000_123_000);
    assert!(records.values.is_null(0) && records.values.is_valid(1) && records.values.value(1).is_empty());
    assert!(records.keys.is_valid(1) && records.keys.value(1).is_empty() && records.keys.is_null(2));
    let json: serde_json::Value = serde_json::from_str(records.headers.value(1)).unwrap();
    assert_eq!(json, serde_json::json!({"a": "eA==", "none": null}));
    assert!(records.headers.is_null(0) && records.headers.is_null(2));
}

#[test]
#[ignore = "needs a broker"]
fn several_topics_are_read_at_once_within_their_bounds() {
    let (left, right) = (topic("left", 3), topic("right", 2));
    publish(&left, 0..20_000);
    publish(&right, 0..7_000);
    let mut reader = consumer();
    reader.assign(&left, &[(0, 0), (1, 0), (2, 0)]).unwrap();
    reader.assign(&right, &[(0, 0), (1, 0)]).unwrap();
    let (mut rows, mut batches) = ([0, 0], 0);
    while !reader.at_end() {
        let fetched = reader.poll_batch(1000, 1 << 20, SOON, &GO).unwrap();
        let size: usize = fetched.iter().map(|f| f.records.offsets.len()).sum();
        assert!(size <= 1000, "{size}");
        batches += 1;
        for each in fetched {
            rows[usize::from(*each.topic == *right)] += each.records.offsets.len();
        }
    }
    assert_eq!(rows, [20_000, 7_000]);
    assert!(batches >= 27, "{batches}");
    for position in reader.positions() {
        assert_eq!(reader.watermarks(&position.topic, position.partition).unwrap().1, position.next);
    }
}

#[test]
#[ignore = "needs a broker"]
fn a_topic_that_goes_away_is_named() {
    let topic = topic("gone", 1);
    publish(&topic, 0..10);
    let mut reader = consumer();
    reader.assign(&topic, &[(0, 0)]).unwrap();
    assert_eq!(read_all(&mut reader).len(), 10);
    wait(admin().delete_topics(&[topic.as_str()], &AdminOptions::new())).unwrap();
    let error = first_error(&mut reader);
    assert_eq!(error.kind(), ErrorKind::Kafka);
    assert!(error.to_string().contains(&topic), "{error}");
}

#[test]
#[ignore = "needs a broker"]
fn a_login_that_the_broker_does_not_want_is_named_soon() {
    let pairs = [("protocol", "sasl_plaintext"), ("mechanism", "PLAIN"), ("user", "city"), ("password", "hunter2")];
    let security = Security::from_pairs(pairs).unwrap();
    let start = Instant::now();
    let error = Topics::connect(&servers(), &security, SOON, &GO).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{error} {:?}", start.elapsed());
    let text = error.to_string();
    assert!(text.contains("no login at") && text.contains("SASL") && !text.contains("hunter2"), "{text}");
}

#[test]
#[ignore = "needs a broker"]
fn a_topic_that_the_broker_creates_by_itself_can_be_sent_to() {
    publish(&fresh("auto"), 0..10);
}

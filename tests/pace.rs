//! The same messages whatever the pace, the worst of them included.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use _core::city::{CityOptions, clock};
use _core::kafka::{ConsumeOptions, Consumer, PublishOptions, Publisher};
use _core::pipeline::{Cancel, Pace, Run, Sending, Source, Topics, Wire, publish};
use _core::schema::Stream;
use _core::sensor::{Faults, SensorOptions};
use arrow::array::{Array, BinaryArray};
use rdkafka::mocking::MockCluster;

static GO: AtomicBool = AtomicBool::new(false);
const PARTITIONS: [(i32, i64); 3] = [(0, 0), (1, 0), (2, 0)];

type Bytes = Option<Vec<u8>>;

/// Keys and values of each topic partition, in order.
fn sent(pace: Pace) -> BTreeMap<(Stream, i32), Vec<(Bytes, Bytes)>> {
    let city = CityOptions {
        seed: 3,
        vehicles: 300,
        start: 1_780_272_000_000 + 8 * clock::HOUR,
        duration: 10 * clock::MINUTE,
    };
    let faults = Faults { late: 0.1, duplicate: 0.05, tombstone: 0.05, poison_pill: 0.02, ..Faults::NONE };
    let streams = vec![Stream::Vehicle, Stream::Gps, Stream::Weather];
    let source = Source::new(city, SensorOptions { streams: streams.clone(), faults, ..SensorOptions::default() }, 2)
        .expect("valid options");
    let cluster = MockCluster::new(1).expect("a mock cluster");
    for stream in streams.iter().chain([&Stream::Reference]) {
        cluster.create_topic(stream.default_topic(), 3, 1).expect("a topic");
    }
    let mut publisher = Publisher::open(PublishOptions::new(cluster.bootstrap_servers()), &GO).expect("a producer");
    let mut run = Run { cancel: Cancel::default(), progress: &mut |_| {} };
    let sending = Sending { wire: &Wire::default(), pace, resume: false, event_times: None };
    let report = publish(&mut publisher, &source, &Topics::default(), sending, &mut run).expect("a run");
    assert_eq!((report.failed.len(), report.queued), (0, 0), "{:?}", report.errors);

    let mut found: BTreeMap<(Stream, i32), Vec<(Bytes, Bytes)>> = BTreeMap::new();
    for stream in streams {
        let mut consumer = Consumer::open(ConsumeOptions::new(cluster.bootstrap_servers()), &GO).expect("a consumer");
        consumer.assign(stream.default_topic(), &PARTITIONS).expect("partitions");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !consumer.at_end() {
            assert!(Instant::now() < deadline, "not at the end: {:?}", consumer.positions());
            for fetched in consumer.poll_batch(1_000, 8 << 20, Duration::from_millis(500), &GO).expect("records") {
                let records = fetched.records;
                let bytes = |column: &BinaryArray, row| column.is_valid(row).then(|| column.value(row).to_vec());
                let rows = (0..records.offsets.len()).map(|r| (bytes(&records.keys, r), bytes(&records.values, r)));
                found.entry((stream, records.partition)).or_default().extend(rows);
            }
        }
    }
    let count: usize = found.values().map(Vec::len).sum();
    assert_eq!(count as u64, report.delivered.values().sum::<u64>());
    found
}

#[test]
fn the_messages_of_each_partition_do_not_depend_on_the_pace() {
    let fast = sent(Pace::Max);
    let values = || fast.values().flatten().map(|(_, value)| value);
    assert!(values().count() > 2_000, "{}", values().count());
    assert!(values().filter(|v| v.is_none()).count() > 50);
    assert!(values().flatten().any(|v| v.len() > 400_000), "half a megabyte is among them");
    for pace in [Pace::Rate(5_000.0), Pace::Speed(600.0)] {
        assert!(fast == sent(pace), "{pace:?} sends other messages, or in another order");
    }
}

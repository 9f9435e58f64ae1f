//! The figures of a running publisher and of a running ingest, for Prometheus: those of the final reports, while they grow.
//!
//! Publishing costs nothing: its account is read when somebody asks. Ingest counts by the batch.

mod server;
mod text;

pub use server::Server;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::topics::Topics;
use crate::kafka::{TopicReport, Watch};
use crate::lake::Committed;
use crate::schema::Stream;
use text::{Exposition, Kind};

/// What one endpoint shows.
#[derive(Debug, Default)]
pub struct Metrics {
    publishing: Mutex<Option<Publishing>>,
    ingest: Mutex<Ingesting>,
}

#[derive(Debug)]
struct Publishing {
    watch: Watch,
    topics: Topics,
    began: Instant,
}

#[derive(Debug, Default)]
struct Ingesting {
    began: Option<Instant>,
    streams: BTreeMap<Stream, Intake>,
    /// By topic and partition: the next offset, and the end that the broker last told.
    partitions: BTreeMap<(String, i32), (i64, i64)>,
    commits: u64,
    conflicts: u64,
    queued: u64,
    refining: Refining,
}

/// Refining beside an ingest.
#[derive(Debug, Default)]
struct Refining {
    rounds: u64,
    failures: u64,
    seconds: f64,
    /// By gold table.
    gold: BTreeMap<String, GoldLag>,
}

/// Seconds from a record's Kafka timestamp to the commit that brought it into a gold table.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GoldLag {
    /// Of the newest record of the last commit.
    pub last: f64,
    /// Of half of all records.
    pub median: f64,
    /// The longest.
    pub max: f64,
}

/// What came in of one stream.
#[derive(Debug, Default)]
struct Intake {
    topic: String,
    read: u64,
    bytes: u64,
    committed: u64,
    undecodable: u64,
    lost: u64,
}

/// The offsets from a position to the end of its partition.
pub fn lag(next: i64, end: i64) -> i64 {
    (end - next).max(0)
}

impl Metrics {
    /// Shows a publisher's account from now on, in place of another one's, also after the publisher is gone.
    pub fn publisher(&self, watch: Watch, topics: Topics) {
        let publishing = Publishing { watch, topics, began: Instant::now() };
        *self.publishing.lock().unwrap_or_else(PoisonError::into_inner) = Some(publishing);
    }

    fn ingest(&self, change: impl FnOnce(&mut Ingesting)) {
        change(&mut self.ingest.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// An ingest has begun; what earlier ones counted stays.
    pub(super) fn ingest_begins(&self) {
        self.ingest(|i| i.began = i.began.or_else(|| Some(Instant::now())));
    }

    /// Records were fetched.
    pub(super) fn read(&self, stream: Stream, topic: &str, records: u64, bytes: u64) {
        self.ingest(|i| {
            let intake = i.intake(stream, topic);
            intake.read += records;
            intake.bytes += bytes;
        });
    }

    /// So many records are fetched and not yet decoded.
    pub(super) fn queued(&self, records: u64) {
        self.ingest(|i| i.queued = records);
    }

    /// Where a partition stands.
    pub(super) fn position(&self, topic: &str, partition: i32, next: i64, end: i64) {
        self.ingest(|i| match i.partitions.get_mut(&(topic.to_owned(), partition)) {
            Some(place) => *place = (next, end.max(place.1)),
            None => drop(i.partitions.insert((topic.to_owned(), partition), (next, end))),
        });
    }

    /// A commit was made.
    pub(super) fn committed(&self, stream: Stream, topic: &str, committed: &Committed) {
        self.ingest(|i| {
            let intake = i.intake(stream, topic);
            intake.committed += committed.rows;
            intake.undecodable += committed.undecodable;
            intake.lost += committed.gaps.iter().map(|(_, from, to)| (to - from).unsigned_abs()).sum::<u64>();
            i.commits += u64::from(committed.files > 0);
        });
    }

    /// Another writer won a commit.
    pub(super) fn conflict(&self) {
        self.ingest(|i| i.conflicts += 1);
    }

    /// A refinement has ended.
    pub fn refined(&self, seconds: f64, failed: bool) {
        self.ingest(|i| {
            i.refining.rounds += u64::from(!failed);
            i.refining.failures += u64::from(failed);
            i.refining.seconds = seconds;
        });
    }

    /// How far a gold table is behind the topics.
    pub fn gold_lag(&self, table: &str, lag: GoldLag) {
        self.ingest(|i| {
            i.refining.gold.insert(table.to_owned(), lag);
        });
    }

    /// The page that Prometheus reads.
    pub fn render(&self) -> String {
        let mut page = Exposition::default();
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        page.family("citystream_build_info", Kind::Gauge, "Always 1; its label is the version.", [(version, 1)]);
        if let Some(publishing) = &*self.publishing.lock().unwrap_or_else(PoisonError::into_inner) {
            publishing.render(&mut page);
        }
        let ingest = self.ingest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(began) = ingest.began {
            ingest.render(began, &mut page);
        }
        page.finish()
    }
}

impl Publishing {
    fn render(&self, page: &mut Exposition) {
        let report = self.watch.report();
        let of_stream = |stream| report.topics.get(self.topics.of(stream)).map(|topic| (stream, topic));
        let found: Vec<(Stream, &TopicReport)> = Stream::ALL.into_iter().filter_map(of_stream).collect();
        let mut family = |name: &str, kind: Kind, help: &str, value: fn(&TopicReport) -> u64| {
            let labels = |stream: Stream| vec![("stream", stream.name()), ("topic", self.topics.of(stream))];
            page.family(name, kind, help, found.iter().map(|(stream, topic)| (labels(*stream), value(topic))));
        };
        use Kind::{Counter, Gauge};
        family("citystream_publish_sent_events_total", Counter, "Events handed over to the client.", |t| t.sent);
        family("citystream_publish_delivered_events_total", Counter, "Events that the broker acknowledged.", |t| {
            t.delivered
        });
        family("citystream_publish_failed_events_total", Counter, "Events refused or not acknowledged in time.", |t| {
            t.failed
        });
        family("citystream_publish_delivered_bytes_total", Counter, "Key and value bytes of delivered events.", |t| {
            t.bytes
        });
        family("citystream_publish_queue_events", Gauge, "Events that wait for the broker's answer.", |t| t.queued);
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = per_second(report.delivered(), seconds);
        page.family("citystream_publish_seconds", Gauge, "Since the publisher was opened.", [(vec![], seconds)]);
        let help = "Seconds by which a paced run is behind its pace.";
        page.family("citystream_publish_behind_seconds", Gauge, help, [(vec![], report.behind.as_secs_f64())]);
        let help = "Delivered events in a second, on average since the publisher was opened.";
        page.family("citystream_publish_events_per_second", Gauge, help, [(vec![], rate)]);
    }
}

impl Ingesting {
    fn intake(&mut self, stream: Stream, topic: &str) -> &mut Intake {
        let intake = self.streams.entry(stream).or_default();
        if intake.topic != topic {
            topic.clone_into(&mut intake.topic);
        }
        intake
    }

    fn render(&self, began: Instant, page: &mut Exposition) {
        use Kind::{Counter, Gauge};
        let mut family = |name: &str, help: &str, value: fn(&Intake) -> u64| {
            let labels = |stream: Stream, intake| vec![("stream", stream.name()), ("topic", intake)];
            let samples = self.streams.iter().map(|(stream, i)| (labels(*stream, i.topic.as_str()), value(i)));
            page.family(name, Counter, help, samples);
        };
        family("citystream_ingest_read_records_total", "Records fetched, those read again included.", |i| i.read);
        family("citystream_ingest_read_bytes_total", "Key and value bytes of fetched records.", |i| i.bytes);
        family("citystream_ingest_committed_records_total", "Records committed to bronze.", |i| i.committed);
        family("citystream_ingest_undecodable_records_total", "Committed records that could not be decoded.", |i| {
            i.undecodable
        });
        let help = "Offsets that the topic had lost before they were read.";
        family("citystream_ingest_lost_offsets_total", help, |i| i.lost);
        let numbered: Vec<_> = self.partitions.iter().map(|((t, p), place)| (t, p.to_string(), place)).collect();
        let mut partitions = |name: &str, help: &str, value: fn(&(i64, i64)) -> i64| {
            let labels = |(topic, partition, place)| {
                let (topic, partition): (&String, &String) = (topic, partition);
                (vec![("topic", topic.as_str()), ("partition", partition.as_str())], value(place))
            };
            page.family(name, Gauge, help, numbered.iter().map(|(t, p, place)| labels((*t, p, *place))));
        };
        partitions("citystream_ingest_position_offset", "The next offset to be read.", |place| place.0);
        partitions(
            "citystream_ingest_high_watermark_offset",
            "The end of the partition, as the broker last told.",
            |p| p.1,
        );
        partitions("citystream_ingest_lag_offsets", "Offsets from the position to the end.", |p| lag(p.0, p.1));
        let one = |value: u64| [(Vec::new(), value)];
        page.family("citystream_ingest_commits_total", Counter, "Commits with files.", one(self.commits));
        let help = "Commits that another writer won.";
        page.family("citystream_ingest_conflicts_total", Counter, help, one(self.conflicts));
        let help = "Records fetched and not yet decoded.";
        page.family("citystream_ingest_queue_records", Gauge, help, one(self.queued));
        let seconds = began.elapsed().as_secs_f64();
        let committed = self.streams.values().map(|i| i.committed).sum();
        page.family("citystream_ingest_seconds", Gauge, "Since the first ingest began.", [(vec![], seconds)]);
        let help = "Committed records in a second, on average since the first ingest began.";
        let rate = per_second(committed, seconds);
        page.family("citystream_ingest_records_per_second", Gauge, help, [(vec![], rate)]);
        self.refining.render(page);
    }
}

impl Refining {
    fn render(&self, page: &mut Exposition) {
        use Kind::{Counter, Gauge};
        let one = |value: u64| [(Vec::new(), value)];
        page.family("citystream_refine_rounds_total", Counter, "Refinements beside an ingest.", one(self.rounds));
        let help = "Refinements beside an ingest that failed; each is tried again.";
        page.family("citystream_refine_failures_total", Counter, help, one(self.failures));
        let help = "How long the last refinement took.";
        page.family("citystream_refine_last_seconds", Gauge, help, [(vec![], self.seconds)]);
        let mut lag = |name: &str, help: &str, value: fn(&GoldLag) -> f64| {
            page.family(name, Gauge, help, self.gold.iter().map(|(t, lag)| (vec![("table", t.as_str())], value(lag))));
        };
        let help = "From the newest record's Kafka timestamp to the last commit of the gold table.";
        lag("citystream_gold_lag_last_seconds", help, |lag| lag.last);
        let help = "From Kafka timestamp to gold, half of all records of the run.";
        lag("citystream_gold_lag_median_seconds", help, |lag| lag.median);
        lag("citystream_gold_lag_max_seconds", "From Kafka timestamp to gold, the longest of the run.", |lag| lag.max);
    }
}

/// How many in a second, on average.
pub fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingests_add_up_and_the_lag_is_from_the_position_to_the_end() {
        let metrics = Metrics::default();
        assert!(!metrics.render().contains("_ingest_"), "nothing has been ingested");
        for _ in 0..2 {
            metrics.ingest_begins();
            metrics.read(Stream::Gps, "gps_data", 10, 2_500);
            metrics.committed(
                Stream::Gps,
                "gps_data",
                &Committed {
                    version: 1,
                    rows: 10,
                    undecodable: 1,
                    files: 1,
                    bytes: 9,
                    ranges: vec![(0, 0, 10)],
                    gaps: vec![(0, 0, 3)],
                },
            );
        }
        metrics.position("gps_data", 0, 5, 9);
        // An older answer of the broker's comes late.
        metrics.position("gps_data", 0, 7, 8);
        metrics.position("gps_data", 1, 4, 4);
        metrics.conflict();
        metrics.refined(1.5, false);
        metrics.refined(0.5, true);
        metrics.gold_lag("gold.road_5min", GoldLag { last: 1.0, median: 7.5, max: 12.0 });
        let page = metrics.render();
        for line in [
            "citystream_ingest_read_records_total{stream=\"gps\",topic=\"gps_data\"} 20",
            "citystream_ingest_read_bytes_total{stream=\"gps\",topic=\"gps_data\"} 5000",
            "citystream_ingest_committed_records_total{stream=\"gps\",topic=\"gps_data\"} 20",
            "citystream_ingest_undecodable_records_total{stream=\"gps\",topic=\"gps_data\"} 2",
            "citystream_ingest_lost_offsets_total{stream=\"gps\",topic=\"gps_data\"} 6",
            "citystream_ingest_lag_offsets{topic=\"gps_data\",partition=\"0\"} 2",
            "citystream_ingest_lag_offsets{topic=\"gps_data\",partition=\"1\"} 0",
            "citystream_ingest_commits_total 2",
            "citystream_ingest_conflicts_total 1",
            "citystream_refine_rounds_total 1",
            "citystream_refine_failures_total 1",
            "citystream_refine_last_seconds 0.5",
            "citystream_gold_lag_median_seconds{table=\"gold.road_5min\"} 7.5",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }
}

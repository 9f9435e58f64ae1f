//! The names of the transactions that a bronze table's log holds.
//!
//! | app id | version |
//! | --- | --- |
//! | `citystream/<pipeline>/<cluster id>/<topic id>/<partition>` | the next offset |
//! | `citystream-topic/<pipeline>/<cluster id>/<topic name>/<topic id>` | the topic's epoch: 1, and one more each time it was recreated |
//! | `citystream-gap/<pipeline>/<cluster id>/<topic id>/<partition>/<first lost offset>` | the first offset that was left |
//!
//! The second kind says which id a name stands for; it is written in the commit that first brings rows. The third is written in
//! the commit that moves the next offset over a gap. All survive checkpoints. A slash or percent sign in a part is percent-encoded.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::lake::log::Txns;
use crate::lake::table::Table;
use crate::schema::SourceId;

const OFFSETS: &str = "citystream";
const TOPICS: &str = "citystream-topic";
const GAPS: &str = "citystream-gap";

#[derive(Debug)]
pub(super) struct Epochs {
    pipeline: String,
    cluster: String,
    topic: String,
    topic_id: String,
    new_epoch: bool,
}

fn encode(part: &str) -> String {
    part.replace('%', "%25").replace('/', "%2F")
}

fn decode(part: &str) -> String {
    part.replace("%2F", "/").replace("%25", "%")
}

impl Epochs {
    pub(super) fn new(pipeline: &str, source: &SourceId, new_epoch: bool) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if pipeline.is_empty() || !pipeline.bytes().all(plain) {
            return Err(Error::config(format!("{pipeline:?} is no name of a pipeline"))
                .help("Use letters, digits, point, underscore and hyphen"));
        }
        Ok(Self {
            pipeline: pipeline.to_owned(),
            cluster: encode(&source.cluster_id),
            topic: encode(&source.topic),
            topic_id: encode(&source.topic_id),
            new_epoch,
        })
    }

    pub(super) fn app_id(&self, partition: i32) -> String {
        format!("{OFFSETS}/{}/{}/{}/{partition}", self.pipeline, self.cluster, self.topic_id)
    }

    /// The transaction of a gap from the offset `from` on.
    pub(super) fn gap_id(&self, partition: i32, from: i64) -> String {
        format!("{GAPS}/{}/{}/{}/{partition}/{from}", self.pipeline, self.cluster, self.topic_id)
    }

    /// The gaps that this pipeline has met in this topic.
    pub(super) fn gaps(&self, txns: &Txns) -> Vec<GapTxn> {
        let prefix = format!("{GAPS}/{}/{}/{}/", self.pipeline, self.cluster, self.topic_id);
        all_gaps(txns).into_iter().filter(|gap| gap.app.starts_with(&prefix)).collect()
    }

    /// The next offsets of this pipeline and topic, by partition.
    pub(super) fn offsets(&self, txns: &Txns) -> BTreeMap<i32, i64> {
        let prefix = format!("{OFFSETS}/{}/{}/{}/", self.pipeline, self.cluster, self.topic_id);
        let ours = txns.iter().filter_map(|(id, &next)| Some((id.strip_prefix(&prefix)?.parse().ok()?, next)));
        ours.collect()
    }

    /// Refuses a recreated topic, an older one, and one that another pipeline takes.
    pub(super) fn check(&self, table: &Table, txns: &Txns) -> Result<()> {
        let refuse = |text: String, help: &str| Err(Error::new(ErrorKind::Table, text).help(help));
        let (name, id) = (decode(&self.topic), decode(&self.topic_id));
        for app in txns.keys() {
            let parts: Vec<_> = app.split('/').collect();
            let [OFFSETS, pipeline, cluster, topic_id, _] = parts[..] else { continue };
            if cluster == self.cluster && topic_id == self.topic_id && pipeline != self.pipeline {
                return refuse(
                    format!("{} already takes the topic {name} by the pipeline {pipeline:?}", table.name()),
                    "Go on with that pipeline; a second one would bring every record twice",
                );
            }
        }
        let epochs = self.epochs(txns);
        let Some((&newest, newest_id)) = epochs.last_key_value() else { return Ok(()) };
        match epochs.iter().find(|(_, known)| **known == self.topic_id) {
            Some((&epoch, _)) if epoch == newest => Ok(()),
            Some((epoch, _)) => refuse(
                format!(
                    "the topic {name} has the id {id}, which was its {epoch}. in {}; now {} is its id",
                    table.name(),
                    decode(newest_id)
                ),
                "Ingest from the cluster that has the newer topic",
            ),
            None if self.new_epoch => Ok(()),
            None => refuse(
                format!(
                    "the topic {name} was recreated: {} took in the topic with the id {}, and now it has the id {id}",
                    table.name(),
                    decode(newest_id)
                ),
                "Its offsets start anew. To go on with the new topic after the old one, allow a new epoch (--new-epoch)",
            ),
        }
    }

    /// The transaction that says which id the topic's name stands for, where the table has none yet.
    pub(super) fn claim(&self, txns: &Txns) -> Option<(String, i64)> {
        let epochs = self.epochs(txns);
        if epochs.values().any(|known| *known == self.topic_id) {
            return None;
        }
        let newest = epochs.last_key_value().map_or(0, |(&epoch, _)| epoch);
        let id = format!("{TOPICS}/{}/{}/{}/{}", self.pipeline, self.cluster, self.topic, self.topic_id);
        Some((id, newest + 1))
    }

    /// The topic ids that this topic's name has stood for, by epoch.
    fn epochs(&self, txns: &Txns) -> BTreeMap<i64, String> {
        let prefix = format!("{TOPICS}/{}/{}/{}/", self.pipeline, self.cluster, self.topic);
        txns.iter().filter_map(|(id, &epoch)| Some((epoch, id.strip_prefix(&prefix)?.to_owned()))).collect()
    }
}

pub(super) fn all_offsets(txns: &Txns) -> BTreeMap<(String, String, i32), i64> {
    let ours = txns.iter().filter_map(|(app, &next)| {
        let parts: Vec<_> = app.split('/').collect();
        let [OFFSETS, _, cluster, topic_id, partition] = parts[..] else { return None };
        Some(((decode(cluster), decode(topic_id), partition.parse().ok()?), next))
    });
    ours.collect()
}

pub(super) fn all_topics(txns: &Txns) -> BTreeMap<String, BTreeSet<String>> {
    let mut topics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for app in txns.keys() {
        let parts: Vec<_> = app.split('/').collect();
        let [TOPICS, _, _, topic, topic_id] = parts[..] else { continue };
        topics.entry(decode(topic)).or_default().insert(decode(topic_id));
    }
    topics
}

/// A gap as a table's transactions have it: offsets from `from` up to, not including, `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GapTxn {
    pub(crate) app: String,
    pub(crate) topic_id: String,
    pub(crate) partition: i32,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Every gap of a bronze table.
pub(crate) fn all_gaps(txns: &Txns) -> Vec<GapTxn> {
    let ours = txns.iter().filter_map(|(app, &to)| {
        let parts: Vec<_> = app.split('/').collect();
        let [GAPS, _, _, topic_id, partition, from] = parts[..] else { return None };
        let (partition, from) = (partition.parse().ok()?, from.parse().ok()?);
        Some(GapTxn { app: app.clone(), topic_id: decode(topic_id), partition, from, to })
    });
    ours.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(topic_id: &str) -> SourceId {
        SourceId { cluster_id: "c/1".into(), topic: "gps_data".into(), topic_id: topic_id.into() }
    }

    fn kind(result: Result<()>) -> Option<String> {
        result.err().map(|e| e.to_string())
    }

    #[test]
    fn a_name_stands_for_one_topic_id_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::at("bronze.gps", folder.path()).unwrap();
        let mut txns = Txns::new();
        let first = Epochs::new("p", &source("old%"), false).unwrap();
        first.check(&table, &txns).unwrap();
        txns.extend(first.claim(&txns));
        txns.insert(first.app_id(3), 42);
        assert_eq!(first.offsets(&txns), BTreeMap::from([(3, 42)]));
        assert_eq!(all_offsets(&txns), BTreeMap::from([(("c/1".into(), "old%".into(), 3), 42)]));
        assert_eq!(first.claim(&txns), None);
        txns.insert(first.gap_id(3, 10), 42);
        let gap = GapTxn { app: first.gap_id(3, 10), topic_id: "old%".into(), partition: 3, from: 10, to: 42 };
        assert_eq!((first.gaps(&txns), all_gaps(&txns)), (vec![gap.clone()], vec![gap]));
        assert_eq!((first.offsets(&txns).len(), all_offsets(&txns).len()), (1, 1));

        let second = Epochs::new("p", &source("new"), false).unwrap();
        let text = kind(second.check(&table, &txns)).unwrap();
        assert!(text.contains("recreated") && text.contains("old%") && text.contains("--new-epoch"), "{text}");
        let second = Epochs::new("p", &source("new"), true).unwrap();
        second.check(&table, &txns).unwrap();
        assert!(second.offsets(&txns).is_empty() && second.gaps(&txns).is_empty());
        txns.extend(second.claim(&txns));
        second.check(&table, &txns).unwrap();
        assert!(kind(first.check(&table, &txns)).unwrap().contains("which was its 1."));
        let other = Epochs::new("q", &source("old%"), false).unwrap();
        assert!(kind(other.check(&table, &txns)).unwrap().contains("pipeline \"p\""));
        assert!(Epochs::new("a/b", &source("x"), false).is_err());
    }
}

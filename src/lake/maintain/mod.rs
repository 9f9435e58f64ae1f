//! What keeps a lake fit: fewer and larger files, nothing on the disk that nobody reads, short logs, old dates gone.
//!
//! All of it may run beside ingest, refine and readers. Which versions of a table the next tier has read, that tier's own
//! transactions say; nothing that it has yet to read is taken away.

mod compact;
mod marks;
mod merge;
mod order;
mod retain;
mod trim;
mod vacuum;

pub(crate) use compact::TOPIC_ID;
pub use compact::{CompactOptions, Compacted, TableCompacted};
pub(crate) use marks::{FORGONE, GENERATION, KEPT_FROM, REBUILT, RETAINED, dropped, dropped_id};
pub use retain::{Retain, Retained, TableRetained};
pub use trim::{TableTrimmed, TrimOptions, Trimmed};
pub(crate) use vacuum::unmentioned;
pub use vacuum::{TableVacuumed, VacuumOptions, Vacuumed};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::silver::silver_app_id;
use super::table::Table;
use super::{Lake, TIERS};
use crate::error::{Error, Result};
use crate::schema::Stream;

/// How far another table has read this one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Consumer {
    /// The table that reads.
    name: String,
    /// The version that it has reached; -1 where it has not begun.
    version: i64,
}

/// What a table has that a reader of its changes has not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Commits that brought rows.
    pub commits: u64,
    /// Their rows.
    pub rows: u64,
}

impl Lake {
    /// What came into the table called `name` after version `since`.
    ///
    /// # Errors
    /// As [`Lake::changes`].
    pub fn waiting(&self, name: &str, since: i64) -> Result<Waiting> {
        let table = self.table(name)?;
        let mut waiting = Waiting::default();
        for (_, files) in table.changes(since, table.state()?.version)? {
            waiting.commits += u64::from(!files.is_empty());
            waiting.rows += files.iter().map(|f| f.rows).sum::<u64>();
        }
        Ok(waiting)
    }

    /// The tables that `names` means, in the order of the flow; all where it is empty.
    fn chosen(&self, names: &[String]) -> Result<Vec<Arc<Table>>> {
        let known = self.names()?;
        if let Some(name) = names.iter().find(|n| !known.contains(n)) {
            return Err(
                Error::config(format!("the lake has no table {name:?}")).help(format!("It has {}", known.join(", ")))
            );
        }
        known.iter().filter(|n| names.is_empty() || names.contains(n)).map(|n| self.table(n)).collect()
    }

    /// Who reads the changes of each table, by the table's name.
    ///
    /// A silver table reads its bronze table whether it has begun or not. A dim or gold table reads what its transactions
    /// name; under several texts of its query, it is where it has come farthest.
    fn consumers(&self) -> Result<BTreeMap<String, Vec<Consumer>>> {
        let mut consumers: BTreeMap<String, Vec<Consumer>> = BTreeMap::new();
        for name in self.names()? {
            let mut reached: BTreeMap<String, i64> = BTreeMap::new();
            let txns = self.table(&name)?.state()?.txns.clone();
            if let Some(stream) = Stream::EVENTS.iter().find(|s| name == format!("silver.{}", s.name())) {
                let at = txns.get(&silver_app_id(*stream)).copied().unwrap_or(-1);
                reached.insert(format!("bronze.{}", stream.name()), at);
            } else if name.starts_with("dim.") || name.starts_with("gold.") {
                for (app, &version) in &txns {
                    if let Some(source) = source_of(app) {
                        let at = reached.entry(source.to_owned()).or_insert(version);
                        *at = version.max(*at);
                    }
                }
            }
            for (source, version) in reached {
                consumers.entry(source).or_default().push(Consumer { name: name.clone(), version });
            }
        }
        Ok(consumers)
    }
}

/// The table whose version a transaction of dim or gold records: `citystream/<table>/<query>/<source>`, and perhaps the
/// source's own id.
pub(crate) fn source_of(app: &str) -> Option<&str> {
    let mut parts = app.split('/');
    let (Some("citystream"), Some(table), Some(_), Some(source)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let named = |name: &str| name.split_once('.').is_some_and(|(tier, _)| TIERS.contains(&tier));
    (named(table) && named(source)).then_some(source)
}

/// The one that has come least far.
fn slowest<'a>(consumers: impl IntoIterator<Item = &'a Consumer>) -> Option<&'a Consumer> {
    consumers.into_iter().min_by_key(|c| c.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transactions_of_gold_name_a_source() {
        assert_eq!(source_of("citystream/gold.road_5min/ab12/silver.gps"), Some("silver.gps"));
        assert_eq!(source_of("citystream/gold.road_5min/ab12/silver.gps/0a-1b"), Some("silver.gps"));
        for other in
            ["citystream/silver/bronze.gps", "citystream/default/cluster/topic/3", "citystream/dropped/gps", "x"]
        {
            assert_eq!(source_of(other), None, "{other}");
        }
    }
}

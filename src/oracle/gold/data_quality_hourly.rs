//! `gold.data_quality_hourly`, as far as the truth tells. When records are taken in is nobody's truth, so the hours of a stream
//! are added up.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};

use super::super::settle::{Counts, Settled, column};
use super::table::{Columns, GoldTable, mean};
use crate::error::Result;
use crate::schema::Stream;

const COUNTS: [&str; 6] = ["received", "accepted", "dead_letter", "quarantine", "duplicate", "late"];
const LATE_US: i64 = 60_000_000;

#[derive(Debug, Default)]
struct Sums {
    counts: Counts,
    late: i64,
    /// Rows of each lateness in µs; devices tell milliseconds, so there are few.
    lateness: BTreeMap<i64, i64>,
}

#[derive(Debug, Default)]
pub(super) struct Quality {
    streams: BTreeMap<Stream, Sums>,
}

impl Quality {
    pub(super) fn add(&mut self, settled: &Settled) -> Result<()> {
        let sums = self.streams.entry(settled.stream).or_default();
        let (all, more) = (&mut sums.counts, settled.counts);
        all.received += more.received;
        all.accepted += more.accepted;
        all.dead_letter += more.dead_letter;
        all.quarantine += more.quarantine;
        all.duplicate += more.duplicate;
        let made = column(&settled.rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let sent = column(&settled.rows, "sentAt")?.as_primitive::<TimestampMicrosecondType>();
        for (made, sent) in made.values().iter().zip(sent.values()) {
            *sums.lateness.entry(sent - made).or_default() += 1;
            sums.late += i64::from(sent - made > LATE_US);
        }
        Ok(())
    }

    pub(super) fn table(&self) -> Result<GoldTable> {
        let mut rows: Vec<_> = self.streams.iter().filter(|(_, s)| s.counts.received > 0).collect();
        rows.sort_unstable_by_key(|(stream, _)| stream.name());
        let long = |of: fn(&Sums) -> u64| rows.iter().map(move |(_, s)| Some(of(s) as i64));
        let at = |share: f64| rows.iter().map(move |(_, s)| percentile(&s.lateness, share));
        let accepted = |s: &Sums| s.counts.accepted as f64;
        let columns = Columns::default()
            .text("stream", rows.iter().map(|(stream, _)| Some(stream.name())))
            .long("received", long(|s| s.counts.received))
            .long("accepted", long(|s| s.counts.accepted))
            .long("dead_letter", long(|s| s.counts.dead_letter))
            .long("quarantine", long(|s| s.counts.quarantine))
            .long("duplicate", long(|s| s.counts.duplicate))
            .real("accepted_share", rows.iter().map(|(_, s)| mean(accepted(s), s.counts.received as i64)))
            .long("late", rows.iter().map(|(_, s)| Some(s.late)))
            .real("lateness_p50_s", at(0.5))
            .real("lateness_p95_s", at(0.95))
            .real("lateness_max_s", rows.iter().map(|(_, s)| Some(*s.lateness.last_key_value()?.0 as f64 / 1e6)));
        Ok(GoldTable {
            name: "data_quality_hourly",
            key: &["stream"],
            additive: &["received", "accepted", "late"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }
}

/// A percentile of lateness in seconds, linear between neighbours; `None` over nothing.
fn percentile(lateness: &BTreeMap<i64, i64>, share: f64) -> Option<f64> {
    let rows: i64 = lateness.values().sum();
    let rank = share * (rows - 1) as f64;
    let value = |wanted: i64| {
        let mut before = 0;
        lateness.iter().find(|(_, n)| {
            before += **n;
            before > wanted
        })
    };
    let (low, high) = (value(rank.floor() as i64)?, value(rank.ceil() as i64)?);
    let (low, high) = (*low.0 as f64 / 1e6, *high.0 as f64 / 1e6);
    Some(low + (high - low) * (rank - rank.floor()))
}

/// The hours of each stream added up, with the columns that `rows` has of the table; percentiles don't add up, so they stay
/// where a stream has one hour, and are left out where one has more.
pub(in super::super) fn totals(rows: &RecordBatch) -> Result<RecordBatch> {
    let mut streams: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let names = column(rows, "stream")?.as_string::<i32>();
    for row in 0..rows.num_rows() {
        streams.entry(if names.is_valid(row) { names.value(row) } else { "null" }).or_default().push(row);
    }
    let real = |name: &str| rows.column_by_name(name).map(|c| cast(c, &DataType::Float64)).transpose();
    let long = |name: &str| rows.column_by_name(name).map(|c| cast(c, &DataType::Int64)).transpose();
    let mut columns = Columns::default().text("stream", streams.keys().map(|s| Some(*s)));
    for name in COUNTS {
        if let Some(values) = long(name)? {
            let values = values.as_primitive::<Int64Type>();
            let sum = |places: &Vec<usize>| {
                Some(places.iter().filter(|p| values.is_valid(**p)).map(|p| values.value(*p)).sum())
            };
            columns = columns.long(name, streams.values().map(sum));
        }
    }
    if let (Some(share), Some(received)) = (real("accepted_share")?, long("received")?) {
        let (share, received) = (share.as_primitive::<Float64Type>(), received.as_primitive::<Int64Type>());
        let weighted = |places: &Vec<usize>| {
            let all: i64 = places.iter().map(|p| received.value(*p)).sum();
            mean(places.iter().map(|p| share.value(*p) * received.value(*p) as f64).sum(), all)
        };
        columns = columns.real("accepted_share", streams.values().map(weighted));
    }
    if let Some(values) = real("lateness_max_s")? {
        let values = values.as_primitive::<Float64Type>();
        let most = |places: &Vec<usize>| {
            places.iter().filter(|p| values.is_valid(**p)).map(|p| values.value(*p)).max_by(f64::total_cmp)
        };
        columns = columns.real("lateness_max_s", streams.values().map(most));
    }
    if streams.values().all(|places| places.len() == 1) {
        for name in ["lateness_p50_s", "lateness_p95_s"] {
            if let Some(values) = real(name)? {
                let values = values.as_primitive::<Float64Type>();
                let only =
                    |places: &Vec<usize>| Some(places[0]).filter(|p| values.is_valid(*p)).map(|p| values.value(p));
                columns = columns.real(name, streams.values().map(only));
            }
        }
    }
    columns.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_linear_between_neighbours() {
        let lateness = BTreeMap::from([(1_000_000, 2), (2_000_000, 1), (4_000_000, 1)]);
        assert_eq!(percentile(&lateness, 0.5), Some(1.5));
        assert_eq!(percentile(&lateness, 1.0), Some(4.0));
        assert_eq!(percentile(&BTreeMap::new(), 0.5), None);
    }
}

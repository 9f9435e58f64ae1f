//! Faults: what can go wrong between a sensor and Kafka, how often, and the bounds. [`fate`](super::fate) draws them.

use serde_json::Value;

use crate::city::clock::{DAY, MINUTE, SECOND};
use crate::error::{Error, Result};

/// Shares between 0 and 1, zero by default, with their bounds. All draws are the faults' own: turning one on changes
/// neither the clean data nor the other faults. Each fault is labelled in `truth_fault`.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Share of events sent late: lognormal with a median of one minute, at most `late_bound`.
    pub late: f64,
    /// Greatest lateness in milliseconds.
    pub late_bound: i64,
    /// Share of events sent a second time, with the same id, up to half a minute later.
    pub duplicate: f64,
    /// Share of devices stuck in a retry loop: each of their events is sent [`RETRIES`] times more within ten seconds, so
    /// that their Kafka keys are hot.
    pub retry_loop: f64,
    /// Share of events measured and never sent.
    pub drop: f64,
    /// Share of events of a rhythm held back until the same device's next one has been sent; never two neighbours.
    pub out_of_order: f64,
    /// Longest time in milliseconds that an event is held back for `out_of_order`; rarer rhythms keep their order.
    pub out_of_order_bound: i64,
    /// Share of events with harmed bytes, a quarter of each of the four kinds that follow.
    pub corrupt: f64,
    /// Share of events whose text is cut short.
    pub bad_json: f64,
    /// Share of events with a number that is sent as a text that is none.
    pub wrong_type: f64,
    /// Share of events without a required field.
    pub missing_field: f64,
    /// Share of events with a number that no physical process gives.
    pub out_of_range: f64,
    /// Share of devices that change a field from `schema_drift_from` on.
    pub schema_drift: f64,
    /// When that begins, in milliseconds since the epoch; by default it has always been so.
    pub schema_drift_from: i64,
    /// What changes.
    pub schema_drift_kind: DriftKind,
    /// Share of time in which a device's clock is off by one to twelve whole hours, for 15 to 60 minutes at a time.
    pub clock_jump: f64,
    /// Share of time in which a device is silent; it sends the backlog afterwards, a hundred times as fast.
    pub outage: f64,
    /// Longest outage in milliseconds; the shortest is a quarter of it.
    pub outage_bound: i64,
    /// Share of events sent as a key without a value.
    pub tombstone: f64,
    /// Share of events that are no JSON, half a megabyte long, or nested 2,000 deep.
    pub poison_pill: f64,
}

/// What schema drift does to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftKind {
    /// A third of the drifting devices each.
    Any,
    /// It has another name.
    Renamed,
    /// Another field comes with it.
    Added,
    /// A number is sent as its text.
    Retyped,
}

impl DriftKind {
    const ALL: [(&'static str, Self); 4] =
        [("any", Self::Any), ("renamed", Self::Renamed), ("added", Self::Added), ("retyped", Self::Retyped)];

    /// The name that a user writes.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The kind called `name`.
    ///
    /// # Errors
    /// `Config` that lists the kinds.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|(n, _)| *n == name).map(|(_, kind)| kind).ok_or_else(|| {
            Error::config(format!("schema_drift_kind is {name:?}")).help("Choose from any, renamed, added and retyped")
        })
    }
}

/// Copies that a device in a retry loop sends of each event beside the first.
pub const RETRIES: u8 = 99;
/// Time between two of them, in milliseconds.
pub(super) const RETRY_EACH: i64 = 100;
/// A doubled event's second copy is sent within this time, in milliseconds.
pub(super) const DUPLICATE_WITHIN: i64 = 30 * SECOND;
/// Longest time that a clock stays off, in milliseconds.
pub(super) const LONGEST_JUMP: i64 = 60 * MINUTE;
/// Spells of trouble fill at most half of a device's time: each slot of time has at most one.
const MOST_OF_TIME: f64 = 0.5;
/// A pill of half a megabyte in each tenth event is what a batch bears.
const MOST_PILLS: f64 = 0.1;

enum Entry<'a> {
    /// A rate and the greatest that it may be.
    Rate(&'a mut f64, f64),
    /// A bound in milliseconds, of at most a day.
    Bound(&'a mut i64),
    /// An instant.
    Instant(&'a mut i64),
    Kind(&'a mut DriftKind),
}

impl Faults {
    /// None.
    pub const NONE: Faults = Faults {
        late: 0.0,
        late_bound: 10 * MINUTE,
        duplicate: 0.0,
        retry_loop: 0.0,
        drop: 0.0,
        out_of_order: 0.0,
        out_of_order_bound: 2 * MINUTE,
        corrupt: 0.0,
        bad_json: 0.0,
        wrong_type: 0.0,
        missing_field: 0.0,
        out_of_range: 0.0,
        schema_drift: 0.0,
        schema_drift_from: 0,
        schema_drift_kind: DriftKind::Any,
        clock_jump: 0.0,
        outage: 0.0,
        outage_bound: 10 * MINUTE,
        tombstone: 0.0,
        poison_pill: 0.0,
    };

    fn entries(&mut self) -> [(&'static str, Entry<'_>); 20] {
        use Entry::{Bound, Instant, Kind, Rate};
        [
            ("late", Rate(&mut self.late, 1.0)),
            ("late_bound", Bound(&mut self.late_bound)),
            ("duplicate", Rate(&mut self.duplicate, 1.0)),
            ("retry_loop", Rate(&mut self.retry_loop, 1.0)),
            ("drop", Rate(&mut self.drop, 1.0)),
            ("out_of_order", Rate(&mut self.out_of_order, 1.0)),
            ("out_of_order_bound", Bound(&mut self.out_of_order_bound)),
            ("corrupt", Rate(&mut self.corrupt, 1.0)),
            ("bad_json", Rate(&mut self.bad_json, 1.0)),
            ("wrong_type", Rate(&mut self.wrong_type, 1.0)),
            ("missing_field", Rate(&mut self.missing_field, 1.0)),
            ("out_of_range", Rate(&mut self.out_of_range, 1.0)),
            ("schema_drift", Rate(&mut self.schema_drift, 1.0)),
            ("schema_drift_from", Instant(&mut self.schema_drift_from)),
            ("schema_drift_kind", Kind(&mut self.schema_drift_kind)),
            ("clock_jump", Rate(&mut self.clock_jump, MOST_OF_TIME)),
            ("outage", Rate(&mut self.outage, MOST_OF_TIME)),
            ("outage_bound", Bound(&mut self.outage_bound)),
            ("tombstone", Rate(&mut self.tombstone, 1.0)),
            ("poison_pill", Rate(&mut self.poison_pill, MOST_PILLS)),
        ]
    }

    /// Each field by its name: rates as numbers, bounds and instants as milliseconds.
    pub fn values(&self) -> Vec<(&'static str, Value)> {
        let value = |entry: Entry<'_>| match entry {
            Entry::Rate(rate, _) => Value::from(*rate),
            Entry::Bound(ms) | Entry::Instant(ms) => Value::from(*ms),
            Entry::Kind(kind) => Value::from(kind.name()),
        };
        self.clone().entries().into_iter().map(|(name, entry)| (name, value(entry))).collect()
    }

    /// Sets the field called `name` from a value like those of [`Faults::values`].
    ///
    /// # Errors
    /// `Config` where there is no such field, or it takes another kind of value.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        let Some((_, entry)) = self.entries().into_iter().find(|(n, _)| *n == name) else {
            let names: Vec<_> = Faults::NONE.values().into_iter().map(|(name, _)| name).collect();
            return Err(
                Error::config(format!("unknown fault {name:?}")).help(format!("Choose from {}", names.join(", ")))
            );
        };
        let wrong = |what: &str| Error::config(format!("{name} is {value}")).help(format!("Give {what}"));
        match entry {
            Entry::Rate(rate, _) => *rate = value.as_f64().ok_or_else(|| wrong("a share from 0 to 1"))?,
            Entry::Bound(ms) | Entry::Instant(ms) => {
                *ms = value.as_i64().ok_or_else(|| wrong("whole milliseconds"))?;
            }
            Entry::Kind(kind) => *kind = DriftKind::parse(value.as_str().ok_or_else(|| wrong("a text"))?)?,
        }
        Ok(())
    }

    /// # Errors
    /// `Config` where a rate is out of its range, or a bound is not positive or above a day.
    pub fn check(&self) -> Result<()> {
        for (name, entry) in self.clone().entries() {
            match entry {
                Entry::Rate(rate, most) if !(0.0..=most).contains(rate) => {
                    return Err(Error::config(format!("fault rate {name} is {rate}"))
                        .help(format!("Give a share from 0 to {most}")));
                }
                Entry::Bound(ms) if !(1..=DAY).contains(ms) => {
                    return Err(Error::config(format!("{name} is {ms} ms")).help("Give 1 ms to one day"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether any fault can happen.
    pub fn any(&self) -> bool {
        // On the path of every event: no table.
        self.late > 0.0
            || self.duplicate > 0.0
            || self.retry_loop > 0.0
            || self.drop > 0.0
            || self.out_of_order > 0.0
            || self.corrupt > 0.0
            || self.bad_json > 0.0
            || self.wrong_type > 0.0
            || self.missing_field > 0.0
            || self.out_of_range > 0.0
            || self.schema_drift > 0.0
            || self.clock_jump > 0.0
            || self.outage > 0.0
            || self.tombstone > 0.0
            || self.poison_pill > 0.0
    }

    /// The longest time between an event's sending without faults and that of its last copy with them, in milliseconds.
    /// [`Hold`](super::Hold) never keeps an event longer than this and the time that sending takes.
    pub fn longest_delay(&self) -> i64 {
        let if_any = |rate: f64, delay: i64| if rate > 0.0 { delay } else { 0 };
        let copies =
            if_any(self.duplicate, DUPLICATE_WITHIN).max(if_any(self.retry_loop, i64::from(RETRIES) * RETRY_EACH));
        if_any(self.late, self.late_bound)
            + if_any(self.out_of_order, self.out_of_order_bound)
            + if_any(self.outage, self.outage_bound)
            + copies
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_set_and_read_by_its_name() {
        let mut faults = Faults::NONE;
        let rates: Vec<_> = Faults::NONE.values().into_iter().filter(|(_, v)| v.is_f64()).map(|(n, _)| n).collect();
        assert_eq!(rates.len(), 15);
        for name in rates {
            faults.set(name, &Value::from(0.05)).expect("a rate");
            assert!(faults.any(), "{name}");
            assert_eq!(faults.check().err().map(|e| e.to_string()), None, "{name}");
            assert_ne!(faults, Faults::NONE, "{name}");
            faults.set(name, &Value::from(1.5)).expect("a number");
            assert!(faults.check().is_err_and(|e| e.to_string().contains(&format!("{name} is 1.5"))), "{name}");
            faults.set(name, &Value::from(0)).expect("a whole number");
            assert!(!faults.any() && faults == Faults::NONE, "{name}");
        }
        faults.set("schema_drift_kind", &Value::from("added")).expect("a kind");
        faults.set("outage_bound", &Value::from(5)).expect("a bound");
        assert_eq!((faults.schema_drift_kind, faults.outage_bound), (DriftKind::Added, 5));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut faults = Faults::NONE;
        let mut set = |name: &str, value: Value| faults.set(name, &value).map_err(|e| e.to_string());
        assert!(set("lat", Value::from(1)).is_err_and(|m| m.contains("\"lat\"") && m.contains("late, late_bound")));
        assert!(set("late", Value::from("5%")).is_err_and(|m| m.contains("late is \"5%\"")));
        assert!(set("schema_drift_kind", Value::from("lost")).is_err_and(|m| m.contains("retyped")));
        let check = |faults: Faults| faults.check().map_err(|e| e.to_string());
        assert!(check(Faults { outage: 0.6, ..Faults::NONE }).is_err_and(|m| m.contains("from 0 to 0.5")));
        assert!(check(Faults { late: f64::NAN, ..Faults::NONE }).is_err_and(|m| m.contains("late is NaN")));
        assert!(check(Faults { late_bound: 0, ..Faults::NONE }).is_err_and(|m| m.contains("late_bound is 0 ms")));
    }
}

//! Named scenarios: faults, and where it matters the time, that make a kind of bad day.

use super::faults::Faults;
use crate::city::clock::{HOUR, MINUTE};
use crate::error::{Error, Result};

/// A scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The name that a user writes.
    pub name: &'static str,
    /// What happens, in one line.
    pub doc: &'static str,
    /// The faults.
    pub faults: Faults,
    /// Where schema drift begins, in milliseconds after the city's start.
    pub drift_after: i64,
    /// Time of day at which it begins, in milliseconds after midnight, where the scenario needs one.
    pub starts_at: Option<i64>,
    /// Simulated time in milliseconds, where the scenario needs one.
    pub duration: Option<i64>,
}

const PLAIN: Scenario =
    Scenario { name: "", doc: "", faults: Faults::NONE, drift_after: 0, starts_at: None, duration: None };

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "calm", doc: "Nothing goes wrong", ..PLAIN },
    Scenario {
        name: "rush_hour",
        doc: "The morning peak, 07:00 to 10:00, with the busiest hour of the day; no fault",
        starts_at: Some(7 * HOUR),
        duration: Some(3 * HOUR),
        ..PLAIN
    },
    Scenario {
        name: "late_storm",
        doc: "Three in ten events come late, by up to half an hour, one in ten is overtaken, one in fifty comes twice",
        faults: Faults { late: 0.3, late_bound: 30 * MINUTE, out_of_order: 0.1, duplicate: 0.02, ..Faults::NONE },
        ..PLAIN
    },
    Scenario {
        name: "hot_key",
        doc: "One device in 500 is stuck in a retry loop and sends each event 100 times: a few Kafka keys are hot",
        faults: Faults { retry_loop: 0.002, ..Faults::NONE },
        ..PLAIN
    },
    Scenario {
        name: "schema_drift",
        doc: "After half an hour, three devices in ten have a field renamed, added or retyped",
        faults: Faults { schema_drift: 0.3, ..Faults::NONE },
        drift_after: 30 * MINUTE,
        ..PLAIN
    },
    Scenario {
        name: "poison_pill",
        doc: "One message in 500 is no JSON, half a megabyte long or nested 2,000 deep",
        faults: Faults { poison_pill: 0.002, ..Faults::NONE },
        ..PLAIN
    },
    Scenario {
        name: "tombstones",
        doc: "One message in 50 is a key without a value",
        faults: Faults { tombstone: 0.02, ..Faults::NONE },
        ..PLAIN
    },
    Scenario {
        name: "clock_jump",
        doc: "A device's clock is off by whole hours for a twentieth of the time",
        faults: Faults { clock_jump: 0.05, ..Faults::NONE },
        ..PLAIN
    },
    Scenario {
        name: "outage_burst",
        doc: "Devices are silent for a tenth of the time, up to 15 minutes, and then send the backlog at once",
        faults: Faults { outage: 0.1, outage_bound: 15 * MINUTE, ..Faults::NONE },
        ..PLAIN
    },
];

impl Scenario {
    /// The scenario called `name`.
    ///
    /// # Errors
    /// `Config` that lists the scenarios.
    pub fn named(name: &str) -> Result<&'static Self> {
        SCENARIOS.iter().find(|s| s.name == name).ok_or_else(|| {
            let names: Vec<_> = SCENARIOS.iter().map(|s| s.name).collect();
            Error::config(format!("unknown scenario {name:?}")).help(format!("Choose from {}", names.join(", ")))
        })
    }

    /// Its faults in a city that starts at `start`, in milliseconds since the epoch.
    pub fn faults(&self, start: i64) -> Faults {
        Faults {
            schema_drift_from: if self.drift_after > 0 { start + self.drift_after } else { 0 },
            ..self.faults.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn scenarios_are_valid_and_different() {
        let names: BTreeSet<_> = SCENARIOS.iter().map(|s| s.name).collect();
        let docs: BTreeSet<_> = SCENARIOS.iter().map(|s| s.doc).collect();
        assert!(SCENARIOS.len() == 9 && names.len() == 9 && docs.len() == 9);
        for scenario in SCENARIOS {
            assert!(scenario.faults.check().is_ok() && !scenario.doc.is_empty(), "{}", scenario.name);
            let quiet = matches!(scenario.name, "calm" | "rush_hour");
            assert_eq!(scenario.faults.any(), !quiet, "{}", scenario.name);
        }
        assert_eq!(Scenario::named("schema_drift").map(|s| s.faults(1_000).schema_drift_from).ok(), Some(1_801_000));
    }

    #[test]
    fn an_unknown_scenario_lists_the_known_ones() {
        let message = Scenario::named("storm").map_err(|e| e.to_string());
        assert!(message.is_err_and(|m| m.contains("\"storm\"") && m.contains("calm, rush_hour, late_storm")));
    }
}

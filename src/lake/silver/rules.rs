//! The row rules: what a row of each stream must satisfy to get into silver, in one table a stream.
//!
//! Each rule looks at one row alone, so the kernel also runs where rows are spread over machines. A row is judged by the
//! first rule that it breaks; a null passes all but the rules that ask for a value.

use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::schema::{Kind, Stream};

/// The longest time that a device's clock may be ahead of the time at which the event was sent, in µs.
pub const AHEAD_US: i64 = 5 * 60 * 1_000_000;

/// The greatest age of an event when it was sent, in µs.
pub const AGE_US: i64 = 30 * 24 * 3600 * 1_000_000;

const DIRECTIONS: &[&str] = &[
    "N",
    "NE",
    "E",
    "SE",
    "S",
    "SW",
    "W",
    "NW",
    "North",
    "North-East",
    "East",
    "South-East",
    "South",
    "South-West",
    "West",
    "North-West",
];
const VEHICLE_TYPES: &[&str] = &["Car", "Van", "Goods", "Emergency"];

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, as quarantine has it: the column and what is wrong with it.
    pub name: String,
    /// What it asks for.
    pub reason: String,
    field: &'static str,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Present,
    Between(f64, f64),
    OneOf(&'static [&'static str]),
    Place,
    EachFrom(i32),
    /// At most this much later than `sentAt`, in µs.
    NotAfterSent(i64),
    /// At most this much earlier than `sentAt`, in µs.
    NotBeforeSent(i64),
}

const INF: f64 = f64::INFINITY;

/// The ranges and words of each stream: (field, test). That fields are present, that a place lies on the Earth and that times
/// fit each other holds for every stream and is added in [`rules`].
fn own(stream: Stream) -> Vec<(&'static str, Test)> {
    use Test::{Between, EachFrom, OneOf};
    match stream {
        Stream::Vehicle => vec![
            ("speed", Between(0.0, 300.0)),
            ("direction", OneOf(DIRECTIONS)),
            ("year", Between(1950.0, 2100.0)),
            ("fuelType", OneOf(&["Petrol", "Diesel", "Hybrid", "Electric"])),
            ("heading", Between(0.0, 360.0)),
            ("odometerKm", Between(0.0, INF)),
            ("vehicleType", OneOf(VEHICLE_TYPES)),
        ],
        Stream::Gps => vec![
            ("speed", Between(0.0, 300.0)),
            ("direction", OneOf(DIRECTIONS)),
            ("vehicleType", OneOf(VEHICLE_TYPES)),
            ("heading", Between(0.0, 360.0)),
            ("accuracyM", Between(0.0, INF)),
            ("fix", OneOf(&["2D", "3D"])),
        ],
        Stream::Traffic => vec![
            ("intervalS", Between(1.0, 86_400.0)),
            ("count", Between(0.0, INF)),
            ("countCar", Between(0.0, INF)),
            ("countVan", Between(0.0, INF)),
            ("countGoods", Between(0.0, INF)),
            ("countEmergency", Between(0.0, INF)),
            ("meanSpeed", Between(0.0, 300.0)),
            ("p85Speed", Between(0.0, 300.0)),
            ("speedHistogram", EachFrom(0)),
            ("occupancy", Between(0.0, 1.0)),
            ("headwayS", Between(0.0, INF)),
            ("queueM", Between(0.0, INF)),
        ],
        Stream::Weather => vec![
            ("temperature", Between(-60.0, 60.0)),
            ("weatherCondition", OneOf(&["Clear", "Cloudy", "Rain", "Snow", "Fog"])),
            ("precipitation", Between(0.0, 1000.0)),
            ("windSpeed", Between(0.0, 500.0)),
            ("humidity", Between(0.0, 100.0)),
            ("airQualityIndex", Between(0.0, 1000.0)),
            ("windDirection", Between(0.0, 360.0)),
            ("visibilityM", Between(0.0, INF)),
            ("pm25", Between(0.0, INF)),
            ("pm10", Between(0.0, INF)),
            ("no2", Between(0.0, INF)),
            ("o3", Between(0.0, INF)),
            ("dominantPollutant", OneOf(&["pm25", "pm10", "no2", "o3"])),
        ],
        Stream::Emergency => vec![
            ("type", OneOf(&["Accident", "Fire", "Medical", "Police", "Breakdown"])),
            ("status", OneOf(&["Reported", "Dispatched", "OnScene", "LanesCleared", "Resolved"])),
            ("severity", Between(1.0, 3.0)),
            ("lanesBlocked", Between(0.0, 100.0)),
        ],
        _ => vec![],
    }
}

/// The rules of a stream, in the order in which they are tried.
pub fn rules(stream: Stream) -> &'static [Rule] {
    static RULES: [OnceLock<Vec<Rule>>; 9] = [const { OnceLock::new() }; 9];
    RULES[stream as usize].get_or_init(|| {
        let fields = stream.fields();
        let silver = |name: &str| fields.iter().find(|f| f.name == name).map_or("", |f| f.silver);
        let rule = |field: &'static str, what: &str, reason: String, test: Test| Rule {
            name: format!("{}_{what}", silver(field)),
            reason,
            field,
            test,
        };
        let mut rules = Vec::new();
        for field in fields.iter().filter(|f| f.required()) {
            rules.push(rule(field.name, "missing", format!("{} is required", field.name), Test::Present));
        }
        for field in fields.iter().filter(|f| f.kind == Kind::Point) {
            let reason = format!("{} is [lat, lon] with lat in -90..90 and lon in -180..180", field.name);
            rules.push(rule(field.name, "range", reason, Test::Place));
        }
        for (field, test) in own(stream) {
            let (what, reason) = match &test {
                Test::Between(low, high) if *high == INF => ("range", format!("{field} is at least {low}")),
                Test::Between(low, high) => ("range", format!("{field} is in {low}..{high}")),
                Test::OneOf(words) => ("unknown", format!("{field} is one of {}", words.join(", "))),
                _ => ("range", format!("each number of {field} is at least 0")),
            };
            rules.push(rule(field, what, reason, test));
        }
        if fields.iter().any(|f| f.name == "timestamp") {
            let ahead = "timestamp is at most 5 minutes after sentAt".to_owned();
            rules.push(rule("timestamp", "future", ahead, Test::NotAfterSent(AHEAD_US)));
            let old = "timestamp is at most 30 days before sentAt".to_owned();
            rules.push(rule("timestamp", "old", old, Test::NotBeforeSent(AGE_US)));
        }
        rules
    })
}

/// The rule of an event whose id another event, with other content, has already.
pub const ID_CONFLICT: (&str, &str) =
    ("id_conflict", "an id belongs to one event; another one with this id is in silver");

/// For each row of a batch, the first rule that it breaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    rules: &'static [Rule],
    /// 0 for a sound row, else the rule's place from 1.
    broken: Vec<u8>,
}

impl Verdicts {
    /// The rule that a row breaks; `None` for a sound row.
    pub fn rule(&self, row: usize) -> Option<&'static Rule> {
        self.rules.get(usize::from(self.broken[row]).checked_sub(1)?)
    }

    /// Whether every row is sound.
    pub fn all_sound(&self) -> bool {
        self.broken.iter().all(|&b| b == 0)
    }

    /// True for each sound row.
    pub fn sound(&self) -> BooleanArray {
        self.broken.iter().map(|&b| Some(b == 0)).collect()
    }

    /// The rows that break a rule.
    pub fn broken_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.broken.iter().enumerate().filter(|(_, b)| **b != 0).map(|(row, _)| row)
    }
}

/// Judges each row of a batch with the stream's wire columns; further columns, such as `rescued`, are not looked at.
///
/// # Errors
/// `Config` where a wire column is missing or has another type.
pub fn apply_rules(stream: Stream, batch: &RecordBatch) -> Result<Verdicts> {
    let column = |name: &str| {
        let field = stream.fields().iter().find(|f| f.name == name);
        let column = batch.column_by_name(name);
        match (field, column) {
            (Some(field), Some(column)) if column.data_type() == &field.kind.to_arrow() => Ok(column),
            (_, found) => Err(Error::config(match found {
                None => format!("rows of {} have no column {name}", stream.name()),
                Some(other) => format!("the column {name} of {} has the type {}", stream.name(), other.data_type()),
            })),
        }
    };
    let rules = rules(stream);
    let mut broken = vec![0_u8; batch.num_rows()];
    for (rule, place) in rules.iter().zip(1_u8..) {
        let values = column(rule.field)?;
        let mut mark = |row: usize| {
            if broken[row] == 0 {
                broken[row] = place;
            }
        };
        match &rule.test {
            Test::Present => nulls(values, &mut mark),
            Test::Between(low, high) => outside(values, *low, *high, &mut mark),
            Test::OneOf(words) => {
                let texts = values.as_string::<i32>();
                for row in 0..texts.len() {
                    if texts.is_valid(row) && !words.contains(&texts.value(row)) {
                        mark(row);
                    }
                }
            }
            Test::Place => off_the_earth(values, &mut mark),
            Test::EachFrom(low) => {
                let lists = values.as_list::<i32>();
                let numbers = lists.values().as_primitive::<Int32Type>();
                for row in 0..lists.len() {
                    let (from, to) = range(lists.value_offsets(), row);
                    if lists.is_valid(row) && (from..to).any(|i| numbers.is_null(i) || numbers.value(i) < *low) {
                        mark(row);
                    }
                }
            }
            Test::NotAfterSent(limit) => {
                apart(values, column("sentAt")?, |time, sent| time > sent.saturating_add(*limit), &mut mark);
            }
            Test::NotBeforeSent(limit) => {
                apart(values, column("sentAt")?, |time, sent| time < sent.saturating_sub(*limit), &mut mark);
            }
        }
    }
    Ok(Verdicts { rules, broken })
}

fn range(offsets: &[i32], row: usize) -> (usize, usize) {
    (offsets[row] as usize, offsets[row + 1] as usize)
}

fn nulls(values: &ArrayRef, mark: &mut impl FnMut(usize)) {
    if values.null_count() > 0 {
        (0..values.len()).filter(|&row| values.is_null(row)).for_each(mark);
    }
}

fn outside(values: &ArrayRef, low: f64, high: f64, mark: &mut impl FnMut(usize)) {
    if let Some(reals) = values.as_primitive_opt::<Float64Type>() {
        beyond(reals, low, high, mark);
    } else {
        beyond(values.as_primitive::<Int32Type>(), low, high, mark);
    }
}

fn beyond<T: ArrowPrimitiveType>(numbers: &PrimitiveArray<T>, low: f64, high: f64, mark: &mut impl FnMut(usize))
where
    T::Native: Into<f64>,
{
    // NaN is outside of every range.
    let out = |v: T::Native| !(low..=high).contains(&v.into());
    // Nearly always nothing is, and this first look, at null slots too, is fast.
    if numbers.values().iter().any(|&v| out(v)) {
        (0..numbers.len()).filter(|&row| numbers.is_valid(row) && out(numbers.value(row))).for_each(mark);
    }
}

fn off_the_earth(values: &ArrayRef, mark: &mut impl FnMut(usize)) {
    let places = values.as_list::<i32>();
    let degrees = places.values().as_primitive::<Float64Type>();
    for row in 0..places.len() {
        let (from, to) = range(places.value_offsets(), row);
        let on_earth = to - from == 2
            && degrees.is_valid(from)
            && degrees.is_valid(from + 1)
            && degrees.value(from).abs() <= 90.0
            && degrees.value(from + 1).abs() <= 180.0;
        if places.is_valid(row) && !on_earth {
            mark(row);
        }
    }
}

fn apart(time: &ArrayRef, sent: &ArrayRef, wrong: impl Fn(i64, i64) -> bool, mark: &mut impl FnMut(usize)) {
    let time = time.as_primitive::<TimestampMicrosecondType>();
    let sent = sent.as_primitive::<TimestampMicrosecondType>();
    for row in 0..time.len() {
        if time.is_valid(row) && sent.is_valid(row) && wrong(time.value(row), sent.value(row)) {
            mark(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_and_every_rule_has_its_name() {
        for stream in Stream::EVENTS {
            let rules = rules(stream);
            assert!(rules.len() > 10 && rules.len() < 255, "{}", rules.len());
            let names: BTreeSet<_> = rules.iter().map(|r| &r.name).collect();
            assert_eq!(names.len(), rules.len(), "{names:?}");
            for rule in rules {
                assert!(stream.fields().iter().any(|f| f.name == rule.field), "{rule:?}");
                assert!(!rule.name.starts_with('_'), "{rule:?}");
            }
            // Each number has a range, so that one out of it can't pass.
            for field in stream.fields().iter().filter(|f| matches!(f.kind, Kind::Int | Kind::Double | Kind::Ints)) {
                let ranged = |r: &&Rule| r.field == field.name && r.name.ends_with("_range");
                assert!(rules.iter().any(|r| ranged(&r)), "{} {}", stream.name(), field.name);
            }
        }
    }
}

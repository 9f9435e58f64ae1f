//! The verdict on each event of a silver table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use h3o::{LatLng, Resolution};

use super::found::degree;
use super::id::uuid;
use super::label::{LABELS, Labels};
use super::settle::{Settled, column};
use super::timeline::Timeline;
use super::value::{close, same, text};
use crate::error::{Error, Result};
use crate::schema::{Kind, Stream};

/// What is right or wrong with one event of a silver table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Verdict {
    /// It is there once, each value as it was sent.
    Correct,
    /// It must not be there, and isn't.
    Refused,
    /// It is not there, though nothing befell it.
    Missing,
    /// It is not there; what befell it is no reason to leave it out.
    WronglyDropped,
    /// It is there more than once.
    Doubled,
    /// It is there once, with another value.
    Altered,
    /// It is there, though it can't be decoded or breaks a rule.
    KeptHarmed,
    /// It is there, but was never sent.
    Unexpected,
}

impl Verdict {
    /// Every verdict; the first two are right.
    pub const ALL: [Self; 8] = [
        Self::Correct,
        Self::Refused,
        Self::Missing,
        Self::WronglyDropped,
        Self::Doubled,
        Self::Altered,
        Self::KeptHarmed,
        Self::Unexpected,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Refused => "rightly refused",
            Self::Missing => "missing",
            Self::WronglyDropped => "wrongly dropped",
            Self::Doubled => "doubled",
            Self::Altered => "altered",
            Self::KeptHarmed => "harmed but kept",
            Self::Unexpected => "unexpected",
        }
    }

    /// Whether nothing is wrong.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Correct | Self::Refused)
    }
}

/// Verdicts by [`Verdict`].
pub type Tally = [u64; 8];

/// Events without a fault, and ids that the city never made, as rows of [`StreamGrade::by_label`] behind the labels.
pub const NO_LABEL: usize = LABELS.len();
/// See [`NO_LABEL`].
pub const UNKNOWN: usize = LABELS.len() + 1;

/// One event with a wrong verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// What is wrong.
    pub verdict: Verdict,
    /// The event's id, as the table has it.
    pub id: String,
    /// The event's faults.
    pub labels: Vec<&'static str>,
    /// Of an altered event the first column that differs.
    pub column: Option<String>,
    /// What that column must hold.
    pub expected: Option<String>,
    /// What it holds.
    pub found: Option<String>,
}

/// Examples of each verdict at most.
const EXAMPLES: usize = 5;

/// Differences of times that are told apart in one column.
const SHIFTS: usize = 64;
/// Zones differ by multiples of a quarter of an hour, in µs.
pub(super) const QUARTER_US: i64 = 900_000_000;

/// The grade of one stream's silver table.
#[derive(Debug, Clone)]
pub struct StreamGrade {
    /// The stream.
    pub stream: Stream,
    /// The columns that were compared.
    pub columns: Vec<String>,
    /// Rows that were given.
    pub rows: u64,
    /// Events by verdict.
    pub verdicts: Tally,
    /// Rows by the verdict on their event: they add up to `rows`.
    pub rows_of: Tally,
    /// Events by label and verdict: [`LABELS`], then events without a label, then ids that never were. An event with two
    /// labels counts for both.
    pub by_label: Vec<Tally>,
    /// How often each column of the altered events differs.
    pub altered: BTreeMap<String, u64>,
    /// A few events of each wrong verdict.
    pub examples: Vec<Example>,
    pub(super) clues: Clues,
}

/// What diagnoses are made of.
#[derive(Debug, Clone)]
pub(super) struct Clues {
    /// For each column of times, how often it is off by how many µs, where that is a zone's difference.
    pub(super) shifts: BTreeMap<String, HashMap<i64, u64>>,
    /// Doubled without having been sent twice.
    pub(super) twice: Timeline,
    /// Missing without a fault.
    pub(super) gone: Timeline,
    /// Least lateness in µs of those wrongly dropped though only late.
    pub(super) lost_from: Option<i64>,
    /// Events that came late and are there, or not.
    pub(super) late: [u64; 2],
    /// Doubled events that were sent twice, and that were not.
    pub(super) doubled: [u64; 2],
}

/// What makes an event come late, and nothing else.
const LATENESS: [&str; 4] = ["late", "out_of_order", "outage", "clock_jump"];

impl StreamGrade {
    /// Of a run over `[start, end)` in µs.
    pub(super) fn new(stream: Stream, columns: Vec<String>, (start, end): (i64, i64)) -> Self {
        let clues = Clues {
            shifts: BTreeMap::new(),
            twice: Timeline::new(start, end),
            gone: Timeline::new(start, end),
            lost_from: None,
            late: [0; 2],
            doubled: [0; 2],
        };
        Self {
            stream,
            columns,
            rows: 0,
            verdicts: [0; 8],
            rows_of: [0; 8],
            by_label: vec![[0; 8]; LABELS.len() + 2],
            altered: BTreeMap::new(),
            examples: Vec::new(),
            clues,
        }
    }

    /// Events with a verdict.
    pub fn events(&self) -> u64 {
        self.verdicts.iter().sum()
    }

    /// Events with a right verdict.
    pub fn right(&self) -> u64 {
        Verdict::ALL.into_iter().filter(|v| v.is_right()).map(|v| self.verdicts[v as usize]).sum()
    }

    /// Events with this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.verdicts[verdict as usize]
    }

    fn judge(&mut self, verdict: Verdict, labels: Option<Labels>, rows: u64) {
        self.verdicts[verdict as usize] += 1;
        self.rows_of[verdict as usize] += rows;
        match labels {
            None => self.by_label[UNKNOWN][verdict as usize] += 1,
            Some(none) if none.is_empty() => self.by_label[NO_LABEL][verdict as usize] += 1,
            Some(labels) => labels.places().for_each(|place| self.by_label[place][verdict as usize] += 1),
        }
    }

    fn example(&mut self, verdict: Verdict, id: &str, labels: Labels, values: Option<(&str, String, String)>) {
        if self.examples.iter().filter(|e| e.verdict == verdict).count() < EXAMPLES {
            let (column, expected, found) = match values {
                None => (None, None, None),
                Some((column, expected, found)) => (Some(column.to_owned()), Some(expected), Some(found)),
            };
            let labels = labels.places().map(|place| LABELS[place]).collect();
            self.examples.push(Example { verdict, id: id.to_owned(), labels, column, expected, found });
        }
    }

    /// Judges one shard; `found` has `id` first, then the columns that are graded.
    pub(super) fn compare(&mut self, settled: &Settled, found: &RecordBatch) -> Result<()> {
        let ids = found.column(0).as_string::<i32>();
        self.rows += found.num_rows() as u64;
        let mut places: HashMap<u128, (u32, u64)> = HashMap::with_capacity(found.num_rows());
        for row in 0..found.num_rows() {
            if let Some(id) = Some(row).filter(|&row| ids.is_valid(row)).and_then(|row| uuid(ids.value(row))) {
                places.entry(id).or_insert((row as u32, 0)).1 += 1;
            } else {
                let id = if ids.is_valid(row) { ids.value(row) } else { "null" };
                self.judge(Verdict::Unexpected, None, 1);
                self.example(Verdict::Unexpected, id, Labels::default(), None);
            }
        }
        let labels_of = |id: &u128| settled.labels.get(id).copied().unwrap_or_default();
        let texts = column(&settled.rows, "id")?.as_string::<i32>();
        let sent = column(&settled.rows, "sentAt")?.as_primitive::<TimestampMicrosecondType>();
        let made = column(&settled.rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let lateness = LATENESS.iter().fold(Labels::default(), |mut all, name| {
            all.add(Labels::named(name));
            all
        });
        let copied = Labels::named("duplicate");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for (row, id) in settled.ids.iter().enumerate() {
            let labels = labels_of(id);
            let there = places.remove(id);
            let twice = there.is_some_and(|(_, rows)| rows > 1);
            let unlooked_for = twice && !labels.meets(copied);
            self.clues.twice.count(sent.value(row), unlooked_for);
            self.clues.gone.count(sent.value(row), there.is_none() && labels.is_empty());
            if labels.meets(lateness) {
                self.clues.late[usize::from(there.is_none())] += 1;
            }
            match there {
                None if labels.is_empty() => {
                    self.judge(Verdict::Missing, Some(labels), 0);
                    self.example(Verdict::Missing, texts.value(row), labels, None);
                }
                None => {
                    self.judge(Verdict::WronglyDropped, Some(labels), 0);
                    self.example(Verdict::WronglyDropped, texts.value(row), labels, None);
                    if labels.meets(lateness) {
                        let late = sent.value(row) - made.value(row);
                        self.clues.lost_from = Some(self.clues.lost_from.map_or(late, |least| least.min(late)));
                    }
                }
                Some((place, 1)) => {
                    ours.push(row as u32);
                    theirs.push(place);
                }
                Some((_, rows)) => {
                    self.clues.doubled[usize::from(unlooked_for)] += 1;
                    self.judge(Verdict::Doubled, Some(labels), rows);
                    self.example(Verdict::Doubled, texts.value(row), labels, None);
                }
            }
        }
        self.compare_values(settled, found, &UInt32Array::from(ours), &UInt32Array::from(theirs))?;
        let mut refused: Vec<_> = settled.refused.iter().collect();
        refused.sort_unstable();
        for id in refused {
            match places.remove(id) {
                None => self.judge(Verdict::Refused, Some(labels_of(id)), 0),
                Some((place, rows)) => {
                    self.judge(Verdict::KeptHarmed, Some(labels_of(id)), rows);
                    self.example(Verdict::KeptHarmed, ids.value(place as usize), labels_of(id), None);
                }
            }
        }
        let mut others: Vec<_> = places.into_iter().collect();
        others.sort_unstable();
        for (id, (place, rows)) in others {
            let labels = settled.labels.get(&id).copied();
            self.judge(Verdict::Unexpected, labels, rows);
            self.example(Verdict::Unexpected, ids.value(place as usize), labels.unwrap_or_default(), None);
        }
        Ok(())
    }

    /// Judges the events that are there once: `ours` and `theirs` are their rows.
    fn compare_values(
        &mut self,
        settled: &Settled,
        found: &RecordBatch,
        ours: &UInt32Array,
        theirs: &UInt32Array,
    ) -> Result<()> {
        let mut first: Vec<Option<(usize, String, String)>> = vec![None; ours.len()];
        for (place, field) in found.schema().fields().iter().enumerate().skip(1) {
            let expected = take(&silver_column(settled, field.name())?, ours, None)?;
            let values = take(found.column(place), theirs, None)?;
            let same = same(&expected, &values)?;
            if same.true_count() == same.len() {
                continue;
            }
            let times = (expected.data_type() == values.data_type())
                .then(|| Some((time(&expected)?, time(&values)?)))
                .flatten();
            for row in (0..same.len()).filter(|&row| !same.value(row)) {
                if of_a_copy(settled, ours.value(row) as usize, field.name(), &values, row)? {
                    continue;
                }
                *self.altered.entry(field.name().clone()).or_default() += 1;
                if let Some((expected, values)) = times
                    && values.is_valid(row)
                {
                    let off = values.value(row) - expected.value(row);
                    let shifts = self.clues.shifts.entry(field.name().clone()).or_default();
                    if off % QUARTER_US == 0 && (shifts.len() < SHIFTS || shifts.contains_key(&off)) {
                        *shifts.entry(off).or_default() += 1;
                    }
                }
                if first[row].is_none() {
                    first[row] =
                        Some(if self.examples.iter().filter(|e| e.verdict == Verdict::Altered).count() < EXAMPLES {
                            (place, text(&expected, row), text(&values, row))
                        } else {
                            (place, String::new(), String::new())
                        });
                }
            }
        }
        let texts = column(&settled.rows, "id")?.as_string::<i32>();
        let names: Vec<String> = found.schema().fields().iter().map(|f| f.name().clone()).collect();
        for (row, difference) in first.into_iter().enumerate() {
            let at = ours.value(row) as usize;
            let labels = settled.labels.get(&settled.ids[at]).copied().unwrap_or_default();
            match difference {
                None => self.judge(Verdict::Correct, Some(labels), 1),
                Some((place, expected, values)) => {
                    self.judge(Verdict::Altered, Some(labels), 1);
                    self.example(Verdict::Altered, texts.value(at), labels, Some((&names[place], expected, values)));
                }
            }
        }
        Ok(())
    }
}

fn time(values: &ArrayRef) -> Option<&arrow::array::TimestampMicrosecondArray> {
    values.as_primitive_opt::<TimestampMicrosecondType>()
}

/// Whether a value is that of another copy of the event: any of them may be the one that is kept.
fn of_a_copy(settled: &Settled, at: usize, column_name: &str, values: &ArrayRef, row: usize) -> Result<bool> {
    let Some(copies) = settled.copies.get(&settled.ids[at]) else { return Ok(false) };
    Ok(match (column_name, values.data_type()) {
        ("sent_at", DataType::Timestamp(..)) => {
            values.is_valid(row) && time(values).is_some_and(|times| copies.contains(&times.value(row)))
        }
        ("lateness_s", DataType::Float64) => {
            let made = column(&settled.rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>().value(at);
            let value = values.as_primitive::<Float64Type>();
            values.is_valid(row) && copies.iter().any(|sent| close((sent - made) as f64 / 1e6, value.value(row)))
        }
        _ => false,
    })
}

/// A column of silver for the rows of a shard.
fn silver_column(settled: &Settled, name: &str) -> Result<ArrayRef> {
    let (stream, rows) = (settled.stream, &settled.rows);
    if let Some(field) = stream.fields().iter().find(|f| f.silver == name && f.kind != Kind::Point) {
        return Ok(Arc::clone(column(rows, field.name)?));
    }
    let times = |name| Ok::<_, Error>(column(rows, name)?.as_primitive::<TimestampMicrosecondType>());
    Ok(match name {
        "lat" => degree(column(rows, "location")?, 0)?,
        "lon" => degree(column(rows, "location")?, 1)?,
        "h3_cell" => Arc::new(cells(rows, Resolution::Nine)?),
        "lateness_s" => {
            let (made, sent) = (times("timestamp")?, times("sentAt")?);
            let seconds = made.values().iter().zip(sent.values()).map(|(made, sent)| (sent - made) as f64 / 1e6);
            Arc::new(Float64Array::from_iter_values(seconds))
        }
        "event_date" => {
            let days = times("timestamp")?.values().iter().map(|us| us.div_euclid(86_400_000_000) as i32);
            Arc::new(Date32Array::from_iter_values(days))
        }
        _ => return Err(Error::internal(format!("silver.{} has no column {name}", stream.name()))),
    })
}

/// The H3 cells of the rows' places.
pub(super) fn cells(rows: &RecordBatch, resolution: Resolution) -> Result<StringArray> {
    let (lat, lon) = (degree(column(rows, "location")?, 0)?, degree(column(rows, "location")?, 1)?);
    let both = lat.as_primitive::<Float64Type>().iter().zip(lon.as_primitive::<Float64Type>());
    Ok(both.map(|(lat, lon)| Some(LatLng::new(lat?, lon?).ok()?.to_cell(resolution).to_string())).collect())
}

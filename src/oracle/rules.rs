//! The row rules as docs/grade.md states them, row by row: written against that page, not against the lake's kernel.

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::schema::{Field, Kind, Stream};

/// A device's clock may be ahead of the sending by five minutes.
const AHEAD_US: i64 = 300_000_000;
/// An event is at most thirty days old when it is sent.
const OLDEST_US: i64 = 2_592_000_000_000;

/// Which rule a row breaks: the column under its name in silver, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// The column.
    pub column: &'static str,
    /// `missing`, `range`, `unknown`, `future` or `old`.
    pub what: &'static str,
}

impl Breach {
    /// The rule's name, as quarantine has it.
    pub fn name(self) -> String {
        format!("{}_{}", self.column, self.what)
    }
}

/// Least and greatest value of a number, by its field; `None` where any will do.
fn range(field: &str) -> Option<(f64, f64)> {
    let most = f64::INFINITY;
    Some(match field {
        "speed" | "meanSpeed" | "p85Speed" => (0.0, 300.0),
        "year" => (1950.0, 2100.0),
        "heading" | "windDirection" => (0.0, 360.0),
        "intervalS" => (1.0, 86_400.0),
        "occupancy" => (0.0, 1.0),
        "temperature" => (-60.0, 60.0),
        "precipitation" | "airQualityIndex" => (0.0, 1000.0),
        "windSpeed" => (0.0, 500.0),
        "humidity" | "lanesBlocked" => (0.0, 100.0),
        "severity" => (1.0, 3.0),
        "odometerKm" | "accuracyM" | "count" | "countCar" | "countVan" | "countGoods" | "countEmergency"
        | "speedHistogram" | "headwayS" | "queueM" | "visibilityM" | "pm25" | "pm10" | "no2" | "o3" => (0.0, most),
        _ => return None,
    })
}

/// The words that a field knows; `None` where it takes any text.
fn words(field: &str) -> Option<&'static [&'static str]> {
    Some(match field {
        "direction" => &["North", "North-East", "East", "South-East", "South", "South-West", "West", "North-West"],
        "vehicleType" => &["Car", "Van", "Goods", "Emergency"],
        "fuelType" => &["Petrol", "Diesel", "Hybrid", "Electric"],
        "fix" => &["2D", "3D"],
        "weatherCondition" => &["Clear", "Cloudy", "Rain", "Snow", "Fog"],
        "dominantPollutant" => &["pm25", "pm10", "no2", "o3"],
        "type" => &["Accident", "Fire", "Medical", "Police", "Breakdown"],
        "status" => &["Reported", "Dispatched", "OnScene", "LanesCleared", "Resolved"],
        _ => return None,
    })
}

enum Values<'a> {
    Text(&'a StringArray),
    Int(&'a Int32Array),
    Real(&'a Float64Array),
    Time(&'a TimestampMicrosecondArray),
    List(&'a ListArray),
}

struct Column<'a> {
    field: &'static Field,
    values: Values<'a>,
    nulls: &'a ArrayRef,
}

impl Column<'_> {
    fn breach(&self, what: &'static str) -> Breach {
        Breach { column: self.field.silver, what }
    }

    /// What is wrong with the value in a row, apart from its absence.
    fn wrong(&self, row: usize) -> Option<&'static str> {
        if self.nulls.is_null(row) {
            return None;
        }
        let outside =
            |value: f64| range(self.field.name).is_some_and(|(least, most)| !(value >= least && value <= most));
        let wrong = match &self.values {
            Values::Text(texts) => {
                return words(self.field.name).filter(|known| !known.contains(&texts.value(row))).map(|_| "unknown");
            }
            Values::Int(numbers) => outside(numbers.value(row).into()),
            Values::Real(numbers) => outside(numbers.value(row)),
            Values::Time(_) => false,
            Values::List(lists) => {
                let items = lists.value(row);
                if let Some(numbers) = items.as_primitive_opt::<Int32Type>() {
                    numbers.iter().any(|number| number.is_none_or(|n| outside(n.into())))
                } else if let Some(degrees) = items.as_primitive_opt::<Float64Type>() {
                    let on_earth =
                        |place: usize, most: f64| degrees.is_valid(place) && degrees.value(place).abs() <= most;
                    degrees.len() != 2 || !on_earth(0, 90.0) || !on_earth(1, 180.0)
                } else {
                    false
                }
            }
        };
        wrong.then_some("range")
    }
}

/// For each row of a batch with a stream's wire columns, the first rule that it breaks: what is missing comes first, then the
/// place, then each value in the fields' order, then the times.
///
/// # Errors
/// `Internal` where a column is not the wire's.
pub fn judge(stream: Stream, batch: &RecordBatch) -> Result<Vec<Option<Breach>>> {
    let columns: Vec<Column<'_>> = stream.fields().iter().map(|field| column(batch, field)).collect::<Result<_>>()?;
    let places = || columns.iter().filter(|c| c.field.kind == Kind::Point);
    let values = || columns.iter().filter(|c| c.field.kind != Kind::Point);
    let time = |name: &str| {
        columns.iter().find(|c| c.field.name == name).and_then(|c| match &c.values {
            Values::Time(times) => Some((*times, c)),
            _ => None,
        })
    };
    let times = time("timestamp").zip(time("sentAt"));
    let judged = (0..batch.num_rows()).map(|row| {
        let missing = columns.iter().find(|c| c.field.required() && c.nulls.is_null(row)).map(|c| c.breach("missing"));
        let wrong = || places().chain(values()).find_map(|c| c.wrong(row).map(|what| c.breach(what)));
        let untimely = || {
            let ((made, column), (sent, _)) = times?;
            if made.is_null(row) || sent.is_null(row) {
                return None;
            }
            let age = sent.value(row).saturating_sub(made.value(row));
            if age < -AHEAD_US {
                return Some(column.breach("future"));
            }
            (age > OLDEST_US).then(|| column.breach("old"))
        };
        missing.or_else(wrong).or_else(untimely)
    });
    Ok(judged.collect())
}

fn column<'a>(batch: &'a RecordBatch, field: &'static Field) -> Result<Column<'a>> {
    let found = batch.column_by_name(field.name).filter(|c| c.data_type() == &field.kind.to_arrow());
    let Some(array) = found else {
        return Err(Error::internal(format!("events lack the column {}", field.name)));
    };
    let values = match array.data_type() {
        DataType::Utf8 => Values::Text(array.as_string()),
        DataType::Int32 => Values::Int(array.as_primitive::<Int32Type>()),
        DataType::Float64 => Values::Real(array.as_primitive::<Float64Type>()),
        DataType::Timestamp(..) => Values::Time(array.as_primitive::<TimestampMicrosecondType>()),
        DataType::List(_) => Values::List(array.as_list()),
        other => return Err(Error::internal(format!("an event's column {} is {other}", field.name))),
    };
    Ok(Column { field, values, nulls: array })
}

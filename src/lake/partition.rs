//! Partition values: as text in the log and in folder names, as columns when rows are read.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Schema};

use crate::error::{Context, ErrorKind, Result};

/// The value of each partition column, in the table's order; `None` is null.
pub(crate) type Values = Vec<(String, Option<String>)>;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Days since the epoch of a time in microseconds, UTC.
pub(crate) fn day(us: i64) -> i32 {
    us.div_euclid(DAY_US) as i32
}

/// `2026-06-01` for days since the epoch.
pub(crate) fn date_text(days: i32) -> String {
    // Howard Hinnant's civil_from_days.
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2026-06-01T00:00:00.123456Z`.
pub(crate) fn instant_text(us: i64) -> String {
    let of_day = us.rem_euclid(DAY_US);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hours:02}:{minutes:02}:{seconds:02}.{fraction:06}Z", date_text(day(us)))
}

/// The folder of a partition below the table: `ingest_date=2026-06-01/decoded=true`.
pub(crate) fn folder(values: &Values) -> String {
    let parts = values.iter().map(|(name, value)| {
        let mut part = format!("{}=", escape(name));
        part.push_str(&value.as_deref().map_or_else(|| "__HIVE_DEFAULT_PARTITION__".into(), escape));
        part
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Hive's escaping of folder names.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || "\"#%'*/:=?\\{}[]^".contains(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A column of `rows` times the value that the log has as `text`.
pub(crate) fn column(text: Option<&str>, kind: &DataType, rows: usize) -> Result<ArrayRef> {
    let Some(text) = text else { return Ok(new_null_array(kind, rows)) };
    let one: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let one = cast(&one, kind)
        .ok()
        .filter(|one| one.is_valid(0))
        .ok_or(format!("{text:?} is no {kind}"))
        .context(ErrorKind::Table, || "a partition value in the log can't be read".into())?;
    Ok(take(&one, &UInt32Array::from(vec![0; rows]), None)?)
}

/// The texts of a partition column's values.
fn texts(column: &ArrayRef) -> Result<StringArray> {
    let text = match column.data_type() {
        // RFC 3339 with Z, which the Delta protocol allows and which reads back as an instant.
        DataType::Timestamp(..) => {
            let naive = cast(column, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?;
            let naive = cast(&naive, &DataType::Utf8)?;
            Arc::new(naive.as_string::<i32>().iter().map(|t| t.map(|t| format!("{t}Z"))).collect::<StringArray>())
        }
        _ => cast(column, &DataType::Utf8)?,
    };
    Ok(text.as_string::<i32>().clone())
}

/// The rows of `batch` by the values of its partition `columns`, without those columns.
pub(crate) fn split(batch: &RecordBatch, columns: &[String]) -> Result<Vec<(Values, RecordBatch)>> {
    let keep: Vec<usize> =
        (0..batch.num_columns()).filter(|&i| !columns.contains(batch.schema_ref().field(i).name())).collect();
    let rest = batch.project(&keep)?;
    if columns.is_empty() {
        return Ok(vec![(Values::new(), rest)]);
    }
    let mut text = Vec::new();
    for name in columns {
        let column = batch
            .column_by_name(name)
            .ok_or(format!("there is no column {name}"))
            .context(ErrorKind::Config, || "the data lacks a partition column".into())?;
        text.push(texts(column)?);
    }
    let mut groups: BTreeMap<Vec<Option<&str>>, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let key = text.iter().map(|t| t.is_valid(row).then(|| t.value(row))).collect();
        groups.entry(key).or_default().push(row as u32);
    }
    groups
        .into_iter()
        .map(|(key, rows)| {
            let values = columns.iter().cloned().zip(key.iter().map(|v| v.map(str::to_owned))).collect();
            let rows = if rows.len() == rest.num_rows() {
                rest.clone()
            } else {
                arrow::compute::take_record_batch(&rest, &UInt32Array::from(rows))?
            };
            Ok((values, rows))
        })
        .collect()
}

/// `schema` without its partition columns: what the files hold.
pub(crate) fn file_schema(schema: &Schema, columns: &[String]) -> Schema {
    Schema::new(schema.fields().iter().filter(|f| !columns.contains(f.name())).cloned().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Date32Array, Int32Array, TimestampMicrosecondArray};

    #[test]
    fn dates_are_civil() {
        for (days, text) in [(0, "1970-01-01"), (-1, "1969-12-31"), (20_605, "2026-06-01"), (11_016, "2000-02-29")] {
            assert_eq!(date_text(days), text);
            let column = column(Some(text), &DataType::Date32, 2).unwrap();
            assert_eq!(column.as_ref(), &Date32Array::from(vec![days; 2]) as &dyn Array);
        }
        assert_eq!(day(-1), -1);
    }

    #[test]
    fn rows_split_by_their_values_and_the_values_read_back() {
        let instant = TimestampMicrosecondArray::from(vec![1_500_000, 1_500_000, 7]).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(true)])) as ArrayRef),
            ("x", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef),
            ("t", Arc::new(instant.clone()) as ArrayRef),
        ])
        .unwrap();
        let parts = split(&batch, &["b".into(), "t".into()]).unwrap();
        assert_eq!(parts.len(), 3);
        let (values, rows) = &parts[2];
        assert_eq!(values[0], ("b".into(), Some("true".into())));
        assert_eq!(rows.num_columns(), 1);
        let back = column(values[1].1.as_deref(), instant.data_type(), 1).unwrap();
        assert_eq!(back.as_ref(), &instant.slice(0, 1) as &dyn Array);
        assert_eq!(folder(&parts[0].0), "b=__HIVE_DEFAULT_PARTITION__/t=1970-01-01T00%3A00%3A01.500Z");
    }
}

//! A data file's statistics as the Delta log wants them, from the file's own footer.

use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use super::partition::{date_text, instant_text};
use arrow::datatypes::{DataType, Schema};

/// Texts are cut to this many characters; a cut maximum gets one more, so that it stays above.
const TEXT: usize = 32;

/// `{"numRecords":…,"minValues":{…},"maxValues":{…},"nullCount":{…}}` for the plain top-level columns.
pub(crate) fn delta_stats(schema: &Schema, rows: u64, footer: &ParquetMetaData) -> String {
    let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
    let leaves = footer.file_metadata().schema_descr();
    for leaf in 0..leaves.num_columns() {
        let path = leaves.column(leaf).path().parts().to_vec();
        let [name] = path.as_slice() else { continue };
        let Ok(field) = schema.field_with_name(name) else { continue };
        let groups: Option<Vec<_>> = footer.row_groups().iter().map(|g| g.column(leaf).statistics()).collect();
        let Some(groups) = groups else { continue };
        if let Some(count) = groups.iter().map(|s| s.null_count_opt()).sum::<Option<u64>>() {
            nulls.insert(name.clone(), json!(count));
        }
        // A row group in which all is null has no bounds; the others' bounds hold for it too.
        let bounded: Vec<_> = groups.into_iter().filter(|s| s.min_bytes_opt().is_some()).collect();
        if let Some((low, high)) = bounds(&bounded, field.data_type()) {
            min.insert(name.clone(), low);
            max.insert(name.clone(), high);
        }
    }
    json!({"numRecords": rows, "minValues": min, "maxValues": max, "nullCount": nulls}).to_string()
}

fn bounds(groups: &[&Statistics], kind: &DataType) -> Option<(Value, Value)> {
    let mut all: Option<(Bound, Bound)> = None;
    for group in groups {
        let (low, high) = bound(group)?;
        all = Some(match all {
            None => (low, high),
            Some((a, b)) => (a.lower(low), b.higher(high)),
        });
    }
    let (low, high) = all?;
    Some((low.json(kind, false)?, high.json(kind, true)?))
}

#[derive(Clone)]
enum Bound {
    Whole(i64),
    Real(f64),
    Bytes(Vec<u8>),
}

fn bound(stats: &Statistics) -> Option<(Bound, Bound)> {
    Some(match stats {
        Statistics::Int32(s) => (Bound::Whole(i64::from(*s.min_opt()?)), Bound::Whole(i64::from(*s.max_opt()?))),
        Statistics::Int64(s) => (Bound::Whole(*s.min_opt()?), Bound::Whole(*s.max_opt()?)),
        Statistics::Double(s) => (Bound::Real(*s.min_opt()?), Bound::Real(*s.max_opt()?)),
        Statistics::ByteArray(s) => {
            (Bound::Bytes(s.min_opt()?.data().to_vec()), Bound::Bytes(s.max_opt()?.data().to_vec()))
        }
        _ => return None,
    })
}

impl Bound {
    fn less(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a < b,
            (Self::Real(a), Self::Real(b)) => a < b,
            (Self::Bytes(a), Self::Bytes(b)) => a < b,
            _ => false,
        }
    }

    fn lower(self, other: Self) -> Self {
        if other.less(&self) { other } else { self }
    }

    fn higher(self, other: Self) -> Self {
        if self.less(&other) { other } else { self }
    }

    fn json(self, kind: &DataType, upper: bool) -> Option<Value> {
        Some(match (self, kind) {
            (Self::Whole(v), DataType::Int32 | DataType::Int64) => json!(v),
            (Self::Whole(v), DataType::Date32) => json!(date_text(v as i32)),
            (Self::Whole(v), DataType::Timestamp(..)) => json!(instant_text(v)),
            (Self::Real(v), DataType::Float64) if v.is_finite() => json!(v),
            (Self::Bytes(v), DataType::Utf8) => json!(text(&v, upper)?),
            _ => return None,
        })
    }
}

fn text(bytes: &[u8], upper: bool) -> Option<String> {
    // Parquet may have cut the value inside a character; what is before that is still a bound below, not above.
    let (whole, cut) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, false),
        Err(e) => (std::str::from_utf8(&bytes[..e.valid_up_to()]).ok()?, true),
    };
    let mut short: String = whole.chars().take(TEXT).collect();
    if upper && (cut || short.len() < whole.len()) {
        short.push(char::MAX);
    }
    Some(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FileWriter, ParquetFile, WriteOptions};
    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn bounds_and_nulls_come_from_the_footer() {
        let long = "z".repeat(40);
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![Some(-3), None, Some(9)])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![0.5, -2.5, 1.0])) as ArrayRef),
            ("s", Arc::new(StringArray::from(vec![Some("b"), None, Some(&long)])) as ArrayRef),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![1, 2, -1]).with_timezone("UTC")) as ArrayRef),
            ("all_null", Arc::new(Int64Array::from(vec![None, None, None])) as ArrayRef),
        ])
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let mut writer = FileWriter::create(&path, &batch.schema(), &WriteOptions::default()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let footer = ParquetFile::open(&path).unwrap();
        let stats: Value = serde_json::from_str(&delta_stats(&batch.schema(), 3, footer.metadata())).unwrap();
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["minValues"]["n"], -3);
        assert_eq!(stats["maxValues"]["f"], 1.0);
        assert_eq!(stats["minValues"]["t"], "1969-12-31T23:59:59.999999Z");
        assert_eq!(stats["maxValues"]["t"], "1970-01-01T00:00:00.000002Z");
        assert_eq!(stats["nullCount"]["s"], 1);
        assert_eq!(stats["nullCount"]["all_null"], 3);
        assert!(stats["minValues"].get("all_null").is_none());
        let high = stats["maxValues"]["s"].as_str().unwrap();
        assert!(high > long.as_str() && high.chars().count() == TEXT + 1);
    }
}

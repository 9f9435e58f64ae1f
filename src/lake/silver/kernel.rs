//! Silver without a lake: the row rules and silver's columns for rows that another engine holds, batch by batch.
//!
//! What looks at one row alone is here; uniqueness looks at all of a date and is not.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Schema, TimestampMicrosecondType};

use super::super::partition::{day, file_schema};
use super::cell::CellFinder;
use super::rules::apply_rules;
use super::shape::to_silver;
use super::side;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{BRONZE_PARTITIONS, Stream, bronze_schema, silver_schema};

/// What became of the rows of a batch; each stands in one of the three, with the columns of that table of a lake.
#[derive(Debug, Clone)]
pub struct Refined {
    /// Sound rows. Copies of one event are all there.
    pub silver: RecordBatch,
    /// Rows that break a rule, with the rule.
    pub quarantine: RecordBatch,
    /// Records that could not be decoded.
    pub dead_letter: RecordBatch,
}

/// Judges rows that have the wire's columns and turns sound ones into silver's.
///
/// Of bronze's further columns (`rescued`, where a row came from, and of undecodable records what bronze keeps) those that the
/// batch has are carried along, the others are null; a column that the stream has not is left out. A row is an undecodable
/// record where `decoded` is false or, where there is no such column, `error_reason` is given. A column that needs no change
/// is passed on without a copy where every row is sound.
///
/// # Errors
/// `Config` where a required column is missing, or one can't be turned into its type.
pub fn refine_batch(stream: Stream, batch: &RecordBatch) -> Result<Refined> {
    thread_local! {
        /// Cells that were met, from batch to batch: at most 10 MB a thread.
        static FINDER: RefCell<CellFinder> = RefCell::default();
    }
    let rows = in_bronze(stream, batch)?;
    let dead = undecodable(batch, &rows)?;
    let (dead_letter, rows) = match dead {
        Some(dead) => (filter_record_batch(&rows, &dead)?, filter_record_batch(&rows, &arrow::compute::not(&dead)?)?),
        None => (rows.slice(0, 0), rows),
    };
    let verdicts = apply_rules(stream, &rows)?;
    let quarantine = side::quarantined(stream, &rows, &verdicts)?;
    let sound = if verdicts.all_sound() { rows } else { filter_record_batch(&rows, &verdicts.sound())? };
    let silver = FINDER.with_borrow_mut(|finder| to_silver(stream, &sound, finder))?;
    let times = silver.column_by_name("event_time").map(AsArray::as_primitive::<TimestampMicrosecondType>);
    let dates: Date32Array = times.into_iter().flatten().map(|time| time.map(day)).collect();
    let mut columns = silver.columns().to_vec();
    columns.push(Arc::new(dates));
    let options = RecordBatchOptions::new().with_row_count(Some(sound.num_rows()));
    Ok(Refined {
        silver: RecordBatch::try_new_with_options(silver_schema(stream), columns, &options)?,
        quarantine,
        dead_letter: side::dead_letters(stream, &dead_letter)?,
    })
}

/// The batch in bronze's columns.
fn in_bronze(stream: Stream, batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = file_schema(&bronze_schema(stream), &BRONZE_PARTITIONS.map(String::from));
    let columns = schema.fields().iter().map(|field| {
        let name = field.name();
        match batch.column_by_name(name) {
            Some(column) => as_type(stream, name, column, field.data_type()),
            None if stream.fields().iter().any(|f| f.name == name && f.required()) => {
                let given: Vec<_> = batch.schema_ref().fields().iter().map(|f| f.name().clone()).collect();
                Err(Error::config(format!("rows of {} have no column {name}", stream.name()))
                    .help(format!("There are {}; the wire's names are in docs/streams.md", given.join(", "))))
            }
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let plain: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_metadata([].into())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(plain)), columns, &options)?)
}

fn as_type(stream: Stream, name: &str, column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if column.data_type() == kind {
        return Ok(Arc::clone(column));
    }
    // A number that does not fit is an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, kind, &options).context(ErrorKind::Config, || {
        format!(
            "the column {name} of {} has the type {}, and can't be turned into {kind}",
            stream.name(),
            column.data_type()
        )
    })
}

/// Which rows are undecodable records; `None` where none is.
fn undecodable(batch: &RecordBatch, rows: &RecordBatch) -> Result<Option<BooleanArray>> {
    let dead: BooleanArray = match (batch.column_by_name("decoded"), rows.column_by_name("error_reason")) {
        (Some(decoded), _) => {
            let decoded = decoded.as_boolean_opt().ok_or_else(|| {
                Error::config(format!("the column decoded has the type {}, not Boolean", decoded.data_type()))
            })?;
            decoded.iter().map(|decoded| Some(decoded == Some(false))).collect()
        }
        (None, Some(reason)) => (0..reason.len()).map(|row| Some(reason.is_valid(row))).collect(),
        (None, None) => return Ok(None),
    };
    Ok((dead.true_count() > 0).then_some(dead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, ListArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Float64Type};

    fn gps(speeds: Vec<Option<f64>>) -> RecordBatch {
        let rows = speeds.len();
        let text = |value: &str| Arc::new(StringArray::from(vec![value; rows])) as ArrayRef;
        let time = || Arc::new(TimestampMicrosecondArray::from_value(1_780_272_000_000_000, rows).with_timezone("UTC"));
        let place = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![Some(vec![Some(51.5), Some(-0.1)]); rows]);
        let columns = Stream::Gps.fields().iter().filter(|f| f.name != "heading").map(|field| {
            let column: ArrayRef = match field.name {
                "speed" => Arc::new(Float64Array::from(speeds.clone())),
                "accuracyM" => Arc::new(Float64Array::from_value(2.5, rows)),
                "timestamp" | "sentAt" => time(),
                "location" => Arc::new(place.clone()),
                "direction" => text("North"),
                "vehicleType" => text("Car"),
                "fix" => text("3D"),
                name => text(name),
            };
            (field.name, column)
        });
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn sound_rows_pass_without_a_copy_and_others_are_named() {
        let batch = gps(vec![Some(10.0), Some(20.0)]);
        let refined = refine_batch(Stream::Gps, &batch).unwrap();
        assert_eq!(refined.silver.schema(), silver_schema(Stream::Gps));
        assert_eq!((refined.silver.num_rows(), refined.quarantine.num_rows()), (2, 0));
        let given = batch.column_by_name("speed").unwrap().to_data().buffers()[0].as_ptr();
        let passed = refined.silver.column_by_name("speed_kmh").unwrap().to_data().buffers()[0].as_ptr();
        assert_eq!(given, passed);
        assert_eq!(refined.silver.column_by_name("heading_deg").unwrap().null_count(), 2);
        let dates = refined.silver.column_by_name("event_date").unwrap();
        assert_eq!(dates.as_ref(), &Date32Array::from(vec![20_605; 2]) as &dyn Array);

        let refined = refine_batch(Stream::Gps, &gps(vec![Some(-1.0), None, Some(5.0)])).unwrap();
        let rules = refined.quarantine.column_by_name("rule").unwrap().as_string::<i32>();
        assert_eq!(rules.iter().flatten().collect::<Vec<_>>(), ["speed_kmh_range", "speed_kmh_missing"]);
        assert_eq!(refined.quarantine.column_by_name("ingest_date").unwrap().null_count(), 2);
        assert_eq!((refined.silver.num_rows(), refined.dead_letter.num_rows()), (1, 0));
        let none = refine_batch(Stream::Gps, &batch.slice(0, 0)).unwrap();
        assert_eq!((none.silver.num_rows(), none.silver.num_columns()), (0, refined.silver.num_columns()));
    }

    #[test]
    fn undecodable_records_are_apart() {
        let batch = gps(vec![Some(10.0), None, None]);
        let with = |name: &str, column: ArrayRef| {
            let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
            let columns = batch.columns().iter().cloned().chain([column]).collect();
            refine_batch(Stream::Gps, &RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()).unwrap()
        };
        for refined in [
            with("decoded", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            with("error_reason", Arc::new(StringArray::from(vec![None, Some("syntax"), None]))),
        ] {
            let rows = [&refined.silver, &refined.quarantine, &refined.dead_letter].map(RecordBatch::num_rows);
            assert_eq!(rows, [1, 1, 1]);
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let batch = gps(vec![Some(10.0)]);
        let error = refine_batch(Stream::Gps, &batch.project(&[0, 1]).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains("no column timestamp") && error.to_string().contains("id, deviceId"),
            "{error}"
        );
        let text =
            RecordBatch::try_from_iter(batch.schema().fields().iter().zip(batch.columns()).map(|(field, column)| {
                let text: ArrayRef = Arc::new(StringArray::from(vec!["fast"]));
                (field.name().clone(), if field.name() == "speed" { text } else { Arc::clone(column) })
            }));
        let error = refine_batch(Stream::Gps, &text.unwrap()).unwrap_err();
        assert!(error.to_string().contains("the column speed of gps has the type Utf8"), "{error}");
    }
}

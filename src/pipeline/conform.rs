//! Other people's Arrow data as a stream's: columns by name, cast, and each value looked at before anything of the batch is
//! sent.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::schema::{Field, Kind, Stream};

/// Characters of a value that an error shows.
const SHOWN: usize = 80;

/// The batch with the stream's columns, in order and cast; `before` rows came in earlier batches.
///
/// # Errors
/// `Decode` where a column is missing or can't be cast, and for the first value that a cast loses or the schema forbids: the
/// message names column, row and value.
pub(super) fn conform(stream: Stream, batch: &RecordBatch, before: u64) -> Result<RecordBatch> {
    let column = |field: &Field| {
        let given = batch.column_by_name(field.name).ok_or_else(|| {
            Error::new(ErrorKind::Decode, format!("column {:?} of stream {} is missing", field.name, stream.name()))
                .help("Name the columns as on the wire; a column may be all null where the schema allows it")
        })?;
        let wanted = field.kind.to_arrow();
        let fitted = cast(given, &wanted).context(ErrorKind::Decode, || {
            format!("column {:?} is {} and does not cast to {wanted}", field.name, given.data_type())
        })?;
        match problem(field, given, &fitted)? {
            None => Ok(fitted),
            Some((row, why)) => {
                let options = FormatOptions::default().with_null("null").with_display_error(true);
                let value = ArrayFormatter::try_new(given, &options)?.value(row).to_string();
                let shown: Cow<'_, str> = match value.char_indices().nth(SHOWN) {
                    None => value.into(),
                    Some((end, _)) => format!("{}…", &value[..end]).into(),
                };
                let row = before + row as u64;
                let name = field.name;
                Err(Error::new(
                    ErrorKind::Decode,
                    format!("{}: column {name:?}, row {row}: {shown} {why}", stream.name()),
                ))
            }
        }
    };
    let columns: Result<Vec<ArrayRef>> = stream.fields().iter().map(column).collect();
    Ok(RecordBatch::try_new(stream.wire_schema(), columns?)?)
}

/// The first row that the schema forbids or the cast has changed, and what is wrong with it.
fn problem(field: &Field, given: &ArrayRef, fitted: &ArrayRef) -> Result<Option<(usize, String)>> {
    let rows = || 0..fitted.len();
    let lost = |row: &usize| fitted.is_null(*row) && given.is_valid(*row);
    if fitted.null_count() > given.null_count()
        && let Some(row) = rows().find(lost)
    {
        return Ok(Some((row, format!("is no {}", fitted.data_type()))));
    }
    if field.required()
        && fitted.null_count() > 0
        && let Some(row) = rows().find(|row| fitted.is_null(*row))
    {
        return Ok(Some((row, "is not allowed there".to_owned())));
    }
    let wrong = match field.kind {
        Kind::Double => {
            let values = fitted.as_primitive::<Float64Type>();
            rows().find(|row| values.is_valid(*row) && !values.value(*row).is_finite()).map(|row| (row, "is no number"))
        }
        // A cast cuts the fraction off.
        Kind::Int | Kind::Long if given.data_type().is_floating() => {
            let (given, fitted) = (cast(given, &DataType::Float64)?, cast(fitted, &DataType::Float64)?);
            let (given, fitted) = (given.as_primitive::<Float64Type>(), fitted.as_primitive::<Float64Type>());
            let cut = |row: &usize| given.is_valid(*row) && given.value(*row) != fitted.value(*row);
            rows().find(cut).map(|row| (row, "is no whole number"))
        }
        Kind::Point => {
            let points = fitted.as_list::<i32>();
            let broken = |row: &usize| {
                points.is_valid(*row) && {
                    let point = points.value(*row);
                    let values = point.as_primitive::<Float64Type>();
                    point.len() != 2 || point.null_count() > 0 || values.values().iter().any(|v| !v.is_finite())
                }
            };
            rows().find(broken).map(|row| (row, "is not [latitude, longitude]"))
        }
        _ => None,
    };
    Ok(wrong.map(|(row, why)| (row, why.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, ListArray, StringArray};
    use arrow::datatypes::{Field as ArrowField, Int32Type, Schema};

    use super::*;

    /// Two good rows of `gps` and `weather` with one column replaced.
    fn with(stream: Stream, name: &str, column: ArrayRef) -> RecordBatch {
        let columns: Vec<(String, ArrayRef)> = stream
            .fields()
            .iter()
            .map(|field| {
                let given: ArrayRef = match field.kind {
                    Kind::Text => Arc::new(StringArray::from(vec!["a", "b"])),
                    Kind::Time => Arc::new(StringArray::from(vec!["2026-06-01T07:00:00Z"; 2])),
                    Kind::Int => Arc::new(Float64Array::from(vec![5.0, 6.0])),
                    Kind::Point => point(&[Some(vec![Some(52.0), Some(-1.0)]), Some(vec![Some(1.0), Some(2.0)])]),
                    _ => Arc::new(Int32Array::from(vec![1, 2])),
                };
                (field.name.to_owned(), if field.name == name { Arc::clone(&column) } else { given })
            })
            .rev()
            .collect();
        let fields: Vec<_> = columns.iter().map(|(n, c)| ArrowField::new(n, c.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect())
            .expect("two rows each")
    }

    fn point(points: &[Option<Vec<Option<f64>>>]) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(points.to_vec()))
    }

    #[test]
    fn data_of_any_order_and_type_that_casts_without_loss_fit() {
        let humidity = Arc::new(Float64Array::from(vec![50.0, 60.0]));
        let batch = conform(Stream::Weather, &with(Stream::Weather, "humidity", humidity), 0).expect("good rows");
        assert_eq!(batch.schema(), Stream::Weather.wire_schema());
        assert_eq!(batch["humidity"].as_primitive::<Int32Type>().values(), &[50, 60]);
        // Null where the schema allows it.
        let heading = Arc::new(Float64Array::from(vec![None, Some(5.0)]));
        assert!(conform(Stream::Gps, &with(Stream::Gps, "heading", heading), 0).is_ok());
    }

    #[test]
    fn the_first_value_that_does_not_fit_is_named_with_its_row() {
        let number = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let good = Some(vec![Some(1.0), Some(2.0)]);
        let long = "x".repeat(200);
        let cases = [
            (Stream::Weather, "humidity", number(vec![Some(50.0), Some(50.5)]), "row 101: 50.5 is no whole number"),
            (Stream::Weather, "humidity", number(vec![Some(1e12), Some(5.0)]), "row 100: 1000000000000.0 is no Int32"),
            (Stream::Gps, "speed", text(vec![Some("5"), Some("fast")]), "row 101: fast is no Float64"),
            (Stream::Gps, "speed", text(vec![Some("5"), Some(&long)]), "xxx… is no Float64"),
            (Stream::Gps, "speed", number(vec![Some(f64::NAN), Some(5.0)]), "row 100: NaN is no number"),
            (Stream::Gps, "id", text(vec![Some("a"), None]), "column \"id\", row 101: null is not allowed there"),
            (Stream::Gps, "location", point(&[good.clone(), Some(vec![Some(1.0)])]), "row 101: [1.0] is not [lat"),
            (
                Stream::Gps,
                "location",
                point(&[good.clone(), Some(vec![Some(1.0), None])]),
                "row 101: [1.0, null] is not",
            ),
            (Stream::Gps, "location", text(vec![Some("a"), Some("b")]), "\"location\""),
        ];
        for (stream, name, column, wanted) in cases {
            let error = conform(stream, &with(stream, name, column), 100).expect_err(wanted);
            assert_eq!(error.kind(), ErrorKind::Decode);
            assert!(error.to_string().contains(wanted), "{error} lacks {wanted}");
        }
    }
}

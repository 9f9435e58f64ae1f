//! One row from JSON, strictly: what a lenient reader would set aside is an error that names it.

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, StructArray};

use super::decode::Decoder;
use super::object::first_member;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Field, Kind, Stream};

/// Characters of a value that an error shows.
const SHOWN: usize = 80;

/// One row of `stream`, in its wire schema, from a JSON object.
///
/// # Errors
/// `Decode` where the text is no JSON object, or a field is unknown, doubled, of another type, or required and absent or
/// null. The message names the stream, the field, its value and the expected type.
pub fn row_from_json(stream: Stream, bytes: &[u8]) -> Result<RecordBatch> {
    let decoded = Decoder::new(stream).decode_values(&BinaryArray::from_iter_values([bytes]))?;
    if let Some(detail) = decoded.error_detail.first() {
        let reason = decoded.error_reason.first().copied().unwrap_or_default();
        return Err(error(stream, format!("no JSON object ({reason}): {detail}")));
    }
    let fields = stream.fields();
    let (columns, rescued) = (decoded.batch.project(&(0..fields.len()).collect::<Vec<_>>())?, rescued(&decoded.batch));
    let row = StructArray::from(columns.clone());
    let problem = rescued.map(|r| rescued_field(fields, "", &row, r)).or_else(|| missing(fields, "", &row));
    problem.map_or(Ok(columns), |problem| Err(error(stream, problem)))
}

fn error(stream: Stream, what: String) -> Error {
    Error::new(ErrorKind::Decode, format!("{}: {what}", stream.name()))
}

fn rescued(batch: &RecordBatch) -> Option<&str> {
    let column = batch.column(batch.num_columns() - 1).as_string::<i32>();
    column.is_valid(0).then(|| column.value(0))
}

/// What is wrong with the first field of a `rescued` text.
fn rescued_field(fields: &[Field], path: &str, row: &StructArray, rescued: &str) -> String {
    let Some((name, value)) = first_member(rescued) else { return format!("unexpected {rescued}") };
    let Some((field, column)) = fields.iter().zip(row.columns()).find(|(f, _)| f.name == name) else {
        let names: Vec<_> = fields.iter().map(|f| f.name).collect();
        return format!("unknown field \"{path}{name}\"; there are {}", names.join(", "));
    };
    if let (Kind::Struct(inner), Some(row)) = (field.kind, column.as_struct_opt())
        && value.starts_with('{')
    {
        return rescued_field(inner, &format!("{path}{name}."), row, value);
    }
    if column.is_valid(0) {
        return format!("field \"{path}{name}\" is there more than once");
    }
    let shown: String = value.chars().take(SHOWN).collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    format!("field \"{path}{name}\" is {shown}{more}, expected {}", expected(field))
}

/// The first required field that is null in row 0.
fn missing(fields: &[Field], path: &str, row: &StructArray) -> Option<String> {
    for (field, column) in fields.iter().zip(row.columns()) {
        if column.is_null(0) {
            if field.required() {
                return Some(format!(
                    "field \"{path}{}\" is missing or null, expected {}",
                    field.name,
                    expected(field)
                ));
            }
        } else if let Kind::Struct(inner) = field.kind {
            let problem = missing(inner, &format!("{path}{}.", field.name), column.as_struct());
            if problem.is_some() {
                return problem;
            }
        }
    }
    None
}

fn expected(field: &Field) -> String {
    let kind = match field.kind {
        Kind::Text => "a text",
        Kind::Int => "an integer of 32 bits",
        Kind::Long => "an integer of 64 bits",
        Kind::Double => "a number",
        Kind::Time => "a time such as \"2026-06-01T08:00:00.000Z\"",
        Kind::Point => "[latitude, longitude]",
        Kind::Ints => "an array of integers",
        Kind::Line => "an array of [latitude, longitude]",
        Kind::Struct(_) => "an object",
    };
    if field.unit.is_empty() { kind.to_owned() } else { format!("{kind} ({})", field.unit) }
}

//! The schema that we write.

use serde_json::{Value, json};

use crate::codec::names::{Names, WireName};
use crate::error::{Error, Result};
use crate::schema::{Field, Kind, Stream};

/// The Avro schema of a stream, as JSON text: record `citystream.Gps`. The text is the same each time.
///
/// # Errors
/// `Config` where a field's name is none that Avro takes.
pub fn schema_text(stream: Stream, names: &Names) -> Result<String> {
    Ok(record(stream, &title(stream.name()), stream.fields(), names.of(stream))?.to_string())
}

fn record(stream: Stream, name: &str, fields: &[Field], names: &[WireName]) -> Result<Value> {
    let fields = fields.iter().zip(names).map(|(field, wire)| {
        check(stream, field, &wire.name)?;
        let kind = match field.kind {
            Kind::Struct(inner) => record(stream, &format!("{name}{}", title(field.name)), inner, &wire.inner)?,
            kind => plain(kind),
        };
        Ok(json!({"name": wire.name, "doc": field.comment(), "type": ["null", kind], "default": null}))
    });
    let fields: Value = fields.collect::<Result<Vec<_>>>()?.into();
    Ok(json!({"type": "record", "name": name, "namespace": "citystream", "fields": fields}))
}

fn plain(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Struct(_) => json!("string"),
        Kind::Int => json!("int"),
        Kind::Long => json!("long"),
        Kind::Double => json!("double"),
        Kind::Time => json!({"type": "long", "logicalType": "timestamp-micros"}),
        Kind::Point => json!({"type": "array", "items": "double"}),
        Kind::Ints => json!({"type": "array", "items": ["null", "int"]}),
        Kind::Line => json!({"type": "array", "items": plain(Kind::Point)}),
    }
}

/// `truth_event` as `TruthEvent`.
fn title(name: &str) -> String {
    let word = |word: &str| word.get(..1).unwrap_or_default().to_ascii_uppercase() + word.get(1..).unwrap_or_default();
    name.split('_').map(word).collect()
}

fn check(stream: Stream, field: &Field, name: &str) -> Result<()> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let text = format!("{}: the field {:?} is named {name:?}, which Avro does not take", stream.name(), field.name);
    Err(Error::config(text).help("Use letters, digits and '_', beginning with no digit"))
}

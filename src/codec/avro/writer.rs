//! Schemas of writers: what a registry gives for an id.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// The largest schema that is read, in bytes of its text.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// The longest name or symbol, in bytes.
const MAX_NAME: usize = 1_000;

/// Named types of one schema.
const MAX_RECORDS: usize = 1_000;

/// A type of Avro. Named types other than records are repeated where they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    /// A long with the logical type timestamp-millis.
    Millis,
    /// A long with the logical type timestamp-micros.
    Micros,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Arc<[String]>),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// The number of a record, which may hold itself.
    Record(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub name: String,
    pub kind: Type,
}

/// The schema by which a message was written: a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    records: Vec<Vec<Member>>,
    root: usize,
}

impl Writer {
    /// Reads a schema's text.
    ///
    /// # Errors
    /// `Decode` where it is no Avro schema, refers to others, is no record, or exceeds a bound.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(wrong(format!("{} bytes, over the limit of {MAX_SCHEMA_BYTES}", text.len())));
        }
        let value = serde_json::from_str(text).map_err(|cause| wrong("no JSON".to_owned()).because(cause))?;
        let mut parser = Parser { records: Vec::new(), named: Vec::new() };
        match parser.kind(&value, "")? {
            Type::Record(root) => Ok(Self { records: parser.records, root }),
            other => Err(wrong(format!("its root is {other:?}, not a record"))),
        }
    }

    pub(super) fn root(&self) -> &[Member] {
        self.fields(self.root)
    }

    pub(super) fn fields(&self, record: usize) -> &[Member] {
        self.records.get(record).map_or(&[], Vec::as_slice)
    }
}

struct Parser {
    records: Vec<Vec<Member>>,
    named: Vec<(String, Type)>,
}

impl Parser {
    fn kind(&mut self, value: &Value, space: &str) -> Result<Type> {
        match value {
            Value::String(name) => self.by_name(name, space),
            Value::Array(branches) => {
                Ok(Type::Union(branches.iter().map(|branch| self.kind(branch, space)).collect::<Result<_>>()?))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.complex(name, value, space),
                Some(inner) => self.kind(inner, space),
                None => Err(wrong("a type is missing".to_owned())),
            },
            other => Err(wrong(format!("{other} is no type"))),
        }
    }

    fn by_name(&self, name: &str, space: &str) -> Result<Type> {
        Ok(match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::Text,
            _ => {
                let full = full_name(name, space);
                let known = |wanted: &str| self.named.iter().find(|(n, _)| n == wanted).map(|(_, kind)| kind.clone());
                known(&full).or_else(|| known(name)).ok_or_else(|| wrong(format!("the type {name:?} is not in it")))?
            }
        })
    }

    fn complex(&mut self, kind: &str, value: &Value, space: &str) -> Result<Type> {
        let logical = value.get("logicalType").and_then(Value::as_str);
        Ok(match (kind, logical) {
            ("long", Some("timestamp-millis")) => Type::Millis,
            ("long", Some("timestamp-micros")) => Type::Micros,
            ("array", _) => Type::Array(Box::new(self.kind(part(value, "items")?, space)?)),
            ("map", _) => Type::Map(Box::new(self.kind(part(value, "values")?, space)?)),
            ("enum", _) => {
                let symbols = part(value, "symbols")?.as_array().into_iter().flatten();
                let kind = Type::Enum(symbols.map(|symbol| text(symbol).map(str::to_owned)).collect::<Result<_>>()?);
                self.name(value, space, kind)?
            }
            ("fixed", _) => {
                let size = part(value, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let kind = Type::Fixed(size.ok_or_else(|| wrong("a fixed type has no size".to_owned()))?);
                self.name(value, space, kind)?
            }
            ("record" | "error", _) => self.record(value, space)?,
            _ => self.by_name(kind, space)?,
        })
    }

    fn name(&mut self, value: &Value, space: &str, kind: Type) -> Result<Type> {
        let name = text(part(value, "name")?)?;
        let space = value.get("namespace").and_then(Value::as_str).unwrap_or(space);
        if self.named.len() >= MAX_RECORDS {
            return Err(wrong(format!("over {MAX_RECORDS} named types")));
        }
        self.named.push((full_name(name, space), kind.clone()));
        Ok(kind)
    }

    fn record(&mut self, value: &Value, space: &str) -> Result<Type> {
        let number = self.records.len();
        self.records.push(Vec::new());
        // Named before its fields are read, which may hold it.
        let kind = self.name(value, space, Type::Record(number))?;
        let full = self.named.last().map_or("", |(name, _)| name).to_owned();
        let space = full.rsplit_once('.').map_or("", |(space, _)| space);
        let mut members: Vec<Member> = Vec::new();
        for field in part(value, "fields")?.as_array().into_iter().flatten() {
            let name = text(part(field, "name")?)?;
            if members.iter().any(|member| member.name == name) {
                return Err(wrong(format!("the field {name:?} stands there twice")));
            }
            members.push(Member { name: name.to_owned(), kind: self.kind(part(field, "type")?, space)? });
        }
        self.records[number] = members;
        Ok(kind)
    }
}

fn part<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).ok_or_else(|| wrong(format!("{name:?} is missing")))
}

/// A name or symbol.
fn text(value: &Value) -> Result<&str> {
    let text = value.as_str().filter(|text| text.len() <= MAX_NAME);
    text.ok_or_else(|| wrong(format!("a name is no text, or longer than {MAX_NAME} bytes")))
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::Decode, format!("a writer's Avro schema can't be used: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_types_are_found_by_their_space_and_may_hold_themselves() {
        let text = r#"{"type":"record","name":"a.b.List","fields":[
            {"name":"head","type":{"type":"enum","name":"Kind","symbols":["x","y"]}},
            {"name":"other","type":["null","Kind"]},
            {"name":"next","type":["null","List"]},
            {"name":"full","type":["null","a.b.List"]}]}"#;
        let writer = Writer::parse(text).unwrap();
        let kinds: Vec<_> = writer.root().iter().map(|m| m.kind.clone()).collect();
        let symbols = Type::Enum(["x".to_owned(), "y".to_owned()].into());
        assert_eq!(kinds[..2], [symbols.clone(), Type::Union(vec![Type::Null, symbols])]);
        assert_eq!(kinds[2], kinds[3]);
        assert_eq!(kinds[2], Type::Union(vec![Type::Null, Type::Record(0)]));
    }

    #[test]
    fn what_is_no_schema_is_an_error_with_its_reason() {
        let message = |text: &str| Writer::parse(text).unwrap_err().to_string();
        assert!(message("{").contains("no JSON"));
        assert!(message("\"string\"").contains("not a record"));
        assert!(message(r#"{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}"#).contains("\"B\""));
        assert!(message(r#"{"type":"record","fields":[]}"#).contains("name"));
        let twice = r#"{"type":"record","name":"A","fields":[{"name":"b","type":"int"},{"name":"b","type":"int"}]}"#;
        assert!(message(twice).contains("twice"));
        assert!(message(&format!("\"{}\"", "x".repeat(MAX_SCHEMA_BYTES))).contains("limit"));
        let long = format!(r#"{{"type":"record","name":"{}","fields":[]}}"#, "x".repeat(MAX_NAME + 1));
        assert!(message(&long).contains("longer"));
        assert!(message(&"[".repeat(100_000)).contains("no JSON"), "deep nesting ends in an error");
    }
}

//! One column: wire name, type, unit, origin, null rule and silver name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Fields, TimeUnit};

/// A column's type on the wire and in Arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON string · Utf8.
    Text,
    /// JSON integer · Int32.
    Int,
    /// JSON integer · Int64.
    Long,
    /// JSON number · Float64.
    Double,
    /// ISO 8601 UTC with milliseconds · Timestamp(µs, UTC).
    Time,
    /// `[lat, lon]` in degrees · `List<Float64>`.
    Point,
    /// Array of integers · `List<Int32>`.
    Ints,
    /// Array of `[lat, lon]` · `List<List<Float64>>`.
    Line,
    /// JSON object · Struct.
    Struct(&'static [Field]),
}

/// Whether the original workflow had the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A field of the original scripts, with their name, meaning and type.
    Original,
    /// A field that citystream adds; readers that don't know it ignore it.
    Added,
}

/// One column of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Name on the wire and in Arrow.
    pub name: &'static str,
    /// Type on the wire and in Arrow.
    pub kind: Kind,
    /// Whether the original workflow had it.
    pub origin: Origin,
    /// When the value may be null; empty means never, and silver then requires it.
    pub null_when: &'static str,
    /// Unit, or empty.
    pub unit: &'static str,
    /// Name in silver; a `Point` becomes `lat` and `lon` there; empty means not carried.
    pub silver: &'static str,
    /// What the value means.
    pub doc: &'static str,
}

impl Field {
    /// A field of the original workflow.
    pub(super) const fn original(name: &'static str, kind: Kind, silver: &'static str, doc: &'static str) -> Self {
        Self { name, kind, origin: Origin::Original, null_when: "", unit: "", silver, doc }
    }

    /// A field that citystream adds.
    pub(super) const fn added(name: &'static str, kind: Kind, silver: &'static str, doc: &'static str) -> Self {
        Self { name, kind, origin: Origin::Added, null_when: "", unit: "", silver, doc }
    }

    /// States the unit.
    pub(super) const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// States when the value is null.
    pub(super) const fn null_when(mut self, when: &'static str) -> Self {
        self.null_when = when;
        self
    }

    /// Whether silver rejects a row without it.
    pub fn required(&self) -> bool {
        self.null_when.is_empty()
    }

    /// What the column means, with its unit and when it is null, in one line.
    pub fn comment(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" [{}]", self.unit) };
        let null = if self.null_when.is_empty() { String::new() } else { format!("; null when {}", self.null_when) };
        format!("{}{unit}{null}", self.doc)
    }

    /// The Arrow field on the wire.
    pub fn to_arrow(&self) -> ArrowField {
        ArrowField::new(self.name, self.kind.to_arrow(), true)
    }
}

impl Kind {
    /// The Arrow type.
    pub fn to_arrow(self) -> DataType {
        // "element" is what the Delta protocol calls the item of a list.
        let list = |item| DataType::List(Arc::new(ArrowField::new("element", item, true)));
        match self {
            Kind::Text => DataType::Utf8,
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Point => list(DataType::Float64),
            Kind::Ints => list(DataType::Int32),
            Kind::Line => list(list(DataType::Float64)),
            Kind::Struct(fields) => DataType::Struct(fields.iter().map(Field::to_arrow).collect::<Fields>()),
        }
    }
}

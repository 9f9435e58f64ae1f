//! Other people's tables: whose columns are which of ours, and their values in our types.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Builder, RecordBatch};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Kind, LINEAGE, Stream, silver_schema};

/// Names of other people's columns and ours, as `speed` and `speed_kmh`.
pub type Renames = Vec<(String, String)>;

/// A column that is graded and where its values come from.
#[derive(Debug, Clone)]
enum Source {
    /// The column at this place.
    Column(usize),
    /// The latitude (0) or longitude (1) of the list at this place.
    Degree(usize, usize),
}

/// How a table's columns become those that are graded.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    sources: Vec<Source>,
    /// `id` first, then the graded columns in silver's order. Numbers that were given as floats stay so.
    pub(super) schema: SchemaRef,
}

/// Columns of silver that say nothing of the event: where a row came from, and what only a map can tell.
fn graded(stream: Stream, name: &str) -> bool {
    !(LINEAGE.contains(&name) || name == "id" || stream == Stream::Gps && name == "road_id")
}

impl Mapping {
    /// The mapping of a silver table of `stream` with the columns `given`.
    pub(super) fn new(stream: Stream, given: &Schema, renames: &[(String, String)]) -> Result<Self> {
        let silver = silver_schema(stream);
        let named = |name: &str| place(given, renames, name);
        let wire =
            |name: &str| stream.fields().iter().find(|f| f.silver == name && f.kind != Kind::Point).map(|f| f.name);
        let point = || stream.fields().iter().find(|f| f.kind == Kind::Point).and_then(|f| named(f.name));
        let Some(id) = named("id") else {
            let names: Vec<_> = given.fields().iter().map(|f| f.name().as_str()).collect();
            let text = format!("the silver table of {} has no column id; it has {}", stream.name(), names.join(", "));
            return Err(
                Error::config(text).help("Name it: columns={\"their_name\": \"id\"}, or --column their_name=id")
            );
        };
        let mut sources = vec![Source::Column(id)];
        let mut fields = vec![Field::new("id", DataType::Utf8, true)];
        for field in silver.fields().iter().filter(|f| graded(stream, f.name())) {
            let name = field.name().as_str();
            let source = named(name).or_else(|| wire(name).and_then(named)).map(Source::Column);
            let degree = || match name {
                "lat" => point().map(|place| Source::Degree(place, 0)),
                "lon" => point().map(|place| Source::Degree(place, 1)),
                _ => None,
            };
            let Some(source) = source.or_else(degree) else { continue };
            let kind = match &source {
                Source::Column(place) => wanted(name, given.field(*place).data_type(), field.data_type())?,
                Source::Degree(..) => DataType::Float64,
            };
            sources.push(source);
            fields.push(Field::new(name, kind, true));
        }
        Ok(Self { sources, schema: Arc::new(Schema::new(fields)) })
    }

    /// The graded columns of a batch.
    pub(super) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.sources.iter().zip(self.schema.fields()).map(|(source, field)| match source {
            Source::Column(place) => fitted(batch.column(*place), field.data_type()),
            Source::Degree(place, which) => degree(batch.column(*place), *which),
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?)?)
    }
}

/// Where the column that we call `name` stands: under its new name, else under ours.
pub(super) fn place(given: &Schema, renames: &[(String, String)], name: &str) -> Option<usize> {
    let renamed = renames.iter().filter(|(_, ours)| ours == name).find_map(|(theirs, _)| given.index_of(theirs).ok());
    // A column that the user calls something else isn't ours, whatever its name.
    let taken = renames.iter().any(|(theirs, ours)| theirs == name && ours != name);
    renamed.or_else(|| if taken { None } else { given.index_of(name).ok() })
}

/// The type in which a given column is compared.
pub(super) fn wanted(name: &str, given: &DataType, ours: &DataType) -> Result<DataType> {
    // A cast to a whole number would hide a fraction.
    let kind = if given.is_floating() && ours.is_integer() { &DataType::Float64 } else { ours };
    if !can_cast_types(given, kind) {
        return Err(Error::new(ErrorKind::Decode, format!("the column {name} is {given}, which is no {ours}"))
            .help("Cast it, or leave the column out: only columns that are there are graded"));
    }
    Ok(kind.clone())
}

/// Values in the type wanted; one that does not fit is null, and so differs.
pub(super) fn fitted(values: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if values.data_type() == kind { Ok(Arc::clone(values)) } else { Ok(cast(values, kind)?) }
}

/// The latitudes or longitudes of places.
pub(super) fn degree(places: &ArrayRef, which: usize) -> Result<ArrayRef> {
    let list = DataType::List(Arc::new(Field::new("element", DataType::Float64, true)));
    let places = fitted(places, &list)?;
    let places = places.as_list::<i32>();
    let degrees = places.values().as_primitive::<Float64Type>();
    let mut out = Float64Builder::with_capacity(places.len());
    for row in 0..places.len() {
        let (from, to) = (places.value_offsets()[row] as usize, places.value_offsets()[row + 1] as usize);
        let there = places.is_valid(row) && to - from == 2 && degrees.is_valid(from + which);
        out.append_option(there.then(|| degrees.value(from + which)));
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>())
    }

    fn names(mapping: &Mapping) -> Vec<&str> {
        mapping.schema.fields().iter().map(|f| f.name().as_str()).collect()
    }

    #[test]
    fn columns_are_found_by_new_name_by_silvers_and_by_the_wires() {
        use DataType::{Float32, Float64, Utf8};
        let list = DataType::List(Arc::new(Field::new("item", Float64, true)));
        let given =
            schema(&[("key", Utf8), ("deviceId", Utf8), ("speed", Float32), ("location", list), ("more", Utf8)]);
        let renames = vec![("key".to_owned(), "id".to_owned())];
        let mapping = Mapping::new(Stream::Gps, &given, &renames).unwrap();
        assert_eq!(names(&mapping), ["id", "device_id", "speed_kmh", "lat", "lon"]);
        let error = Mapping::new(Stream::Gps, &given, &[]).unwrap_err().to_string();
        assert!(error.contains("no column id") && error.contains("key, deviceId"), "{error}");
    }

    #[test]
    fn a_fraction_is_not_cut_off_and_what_cannot_be_compared_is_named() {
        let given = schema(&[("id", DataType::Utf8), ("humidity_pct", DataType::Float64)]);
        let mapping = Mapping::new(Stream::Weather, &given, &[]).unwrap();
        assert_eq!(mapping.schema.field(1).data_type(), &DataType::Float64);
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        let given = schema(&[("id", DataType::Utf8), ("aqi", list)]);
        let error = Mapping::new(Stream::Weather, &given, &[]).unwrap_err().to_string();
        assert!(error.contains("the column aqi is"), "{error}");
    }
}

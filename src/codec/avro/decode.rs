//! Messages → events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BinaryArray, NullBufferBuilder, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Fields, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};

use super::read::{Fault, Read, Reader, push_text};
use super::writer::{Member, Type, Writer};
use super::{HEADER, MAGIC};
use crate::codec::build::{Items, Lists, Numbers, Points, Texts, times, wrong_type};
use crate::codec::json::{MAX_RECORD_BYTES, TimeReader, decoded_schema};
use crate::codec::names::{Names, WireName};
use crate::codec::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Decoded, Field, Kind, Stream};

/// Where schemas are looked up by their ids.
pub trait Schemas: Send + Sync {
    /// The schema with this id; `None` where there is none.
    ///
    /// # Errors
    /// Where it can't be told, such as when a registry is away: then no record is judged.
    fn schema(&self, id: u32) -> Result<Option<String>>;
}

/// What is kept of schemas that were looked up.
const MAX_PLANS: usize = 1_000;

/// Schemas by id with what was made of them, for any number of decoders. Holds 1,000 of them. After a look-up has failed,
/// each further one fails at once: a run that has lost its registry should end, not wait once for each worker.
pub struct Stored {
    schemas: Option<Box<dyn Schemas>>,
    known: Mutex<HashMap<u32, Arc<Known>>>,
    /// Held by the one who asks, so that each id is asked for once; with the error that ended it.
    asking: Mutex<Option<(ErrorKind, String)>>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

/// What is known of an id.
enum Known {
    Written(Writer),
    Unknown,
    /// With the reason.
    Unusable(String),
}

impl Stored {
    /// Schemas from `schemas`; without any, every message is bad, `no_schema_registry`.
    pub fn new(schemas: Option<Box<dyn Schemas>>) -> Self {
        Self { schemas, known: Mutex::new(HashMap::new()), asking: Mutex::new(None) }
    }

    /// Whether there is anywhere to look schemas up.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_none()
    }

    fn get(&self, id: u32) -> Result<Option<Arc<Known>>> {
        let Some(schemas) = &self.schemas else { return Ok(None) };
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = || lock().get(&id).map(Arc::clone);
        if let Some(known) = known() {
            return Ok(Some(known));
        }
        let mut failed = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known() {
            return Ok(Some(known));
        }
        if let Some((kind, text)) = &*failed {
            return Err(Error::new(*kind, text.clone()).retryable());
        }
        let found = schemas.schema(id).inspect_err(|error| *failed = Some((error.kind(), error.to_string())))?;
        let found = Arc::new(match found {
            None => Known::Unknown,
            Some(text) => match Writer::parse(&text) {
                Ok(writer) => Known::Written(writer),
                Err(error) => Known::Unusable(error.to_string()),
            },
        });
        let mut known = lock();
        if known.len() >= MAX_PLANS {
            known.clear();
        }
        known.insert(id, Arc::clone(&found));
        Ok(Some(found))
    }
}

/// Decodes records of one stream.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    names: Names,
    root: Struct,
    rescued: Texts,
    times: TimeReader,
    stored: Arc<Stored>,
    plans: HashMap<u32, Arc<Ready>>,
    /// The schema of the last message, which is nearly always that of the next.
    last: Option<(u32, Arc<Ready>)>,
}

/// What is to be done with messages of one id.
#[derive(Debug)]
enum Ready {
    Read(Arc<Known>, Vec<Step>),
    Bad(&'static str, String),
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Known::Written(_) => "Written",
            Known::Unknown => "Unknown",
            Known::Unusable(_) => "Unusable",
        })
    }
}

impl Decoder {
    /// A decoder for `stream`, whose fields have these names.
    pub fn new(stream: Stream, names: &Names, stored: Arc<Stored>) -> Self {
        Self {
            stream,
            names: names.clone(),
            root: Struct::new(stream.fields()),
            rescued: Texts::new(),
            times: TimeReader::new(),
            stored,
            plans: HashMap::new(),
            last: None,
        }
    }

    /// The verdict on each value: a row, or the reason why it is none.
    ///
    /// # Errors
    /// Those of [`Schemas::schema`]; else `Internal` only.
    pub fn decode_values(&mut self, values: &BinaryArray) -> Result<Decoded> {
        let mut verdict = Verdict::with_capacity(values.len());
        for row in 0..values.len() {
            let Some(bytes) = verdict.bytes(values, row, MAX_RECORD_BYTES) else { continue };
            let id = match bytes {
                &[MAGIC, a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
                [MAGIC, ..] => {
                    verdict.bad(
                        row,
                        "avro",
                        "truncated",
                        format!("byte {}: the header has {HEADER} bytes", bytes.len()),
                    );
                    continue;
                }
                _ => {
                    verdict.bad(row, "avro", "not_framed", "byte 0: a message begins with a zero".to_owned());
                    continue;
                }
            };
            match &*self.ready(id)? {
                Ready::Bad(reason, detail) => verdict.bad(row, "schema", reason, detail.clone()),
                Ready::Read(known, steps) => {
                    let Known::Written(writer) = &**known else { continue };
                    match self.record(bytes, writer, steps) {
                        Ok(()) => verdict.good.push(row as u32),
                        Err(Fault { reason, what, at }) => {
                            verdict.bad(row, "avro", reason, format!("byte {at}: {what}"));
                        }
                    }
                }
            }
        }
        let schema = decoded_schema(self.stream);
        let mut columns = self.root.finish(schema.fields())?;
        columns.push(Arc::new(self.rescued.finish()?));
        Ok(verdict.decoded(self.stream, RecordBatch::try_new(schema, columns)?))
    }

    fn ready(&mut self, id: u32) -> Result<Arc<Ready>> {
        if let Some((last, ready)) = &self.last
            && *last == id
        {
            return Ok(Arc::clone(ready));
        }
        let ready = self.planned(id)?;
        self.last = Some((id, Arc::clone(&ready)));
        Ok(ready)
    }

    fn planned(&mut self, id: u32) -> Result<Arc<Ready>> {
        if let Some(ready) = self.plans.get(&id) {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(match self.stored.get(id)? {
            None => Ready::Bad("no_schema_registry", format!("schema {id}: no schema registry is given")),
            Some(known) => match &*known {
                Known::Unknown => {
                    Ready::Bad("unknown_schema", format!("schema {id}: the registry has none of this id"))
                }
                Known::Unusable(why) => Ready::Bad("unusable_schema", format!("schema {id}: {why}")),
                Known::Written(writer) => {
                    let steps = plan(writer.root(), writer, self.stream.fields(), self.names.of(self.stream));
                    Ready::Read(Arc::clone(&known), steps)
                }
            },
        });
        // Ids that nobody has registered may be many.
        if self.plans.len() >= MAX_PLANS {
            self.plans.clear();
        }
        self.plans.insert(id, Arc::clone(&ready));
        Ok(ready)
    }

    /// Appends one row, or nothing.
    fn record(&mut self, bytes: &[u8], writer: &Writer, steps: &[Step]) -> Read<()> {
        let rows = self.root.rows;
        let (rescued, open) = self.rescued.open_value();
        let mut reader = Reader::new(bytes, HEADER, open);
        let mut work = Work { writer, times: &mut self.times };
        let read = self.root.read(&mut reader, &mut work, steps, rescued, open).and_then(|()| match reader.left() {
            0 => Ok(()),
            _ => Err(reader.fail("trailing", "something follows the record")),
        });
        if let Err(fault) = read {
            self.root.truncate(rows);
            self.rescued.truncate(rows);
            return Err(fault);
        }
        if rescued.len() == open {
            self.rescued.null();
        } else {
            rescued.push('}');
            self.rescued.end_value();
        }
        Ok(())
    }
}

/// One field of the writer, and what it is to us.
#[derive(Debug)]
struct Step {
    name: String,
    kind: Type,
    /// The column.
    column: Option<usize>,
    /// For a struct: the record, and its fields.
    record: Option<usize>,
    inner: Vec<Step>,
}

fn plan(members: &[Member], writer: &Writer, fields: &[Field], names: &[WireName]) -> Vec<Step> {
    let step = |member: &Member| {
        let column = names.iter().position(|wire| wire.name == member.name);
        let (mut record, mut inner) = (None, Vec::new());
        if let Some((Kind::Struct(fields), wire)) = column.and_then(|at| Some((fields.get(at)?.kind, names.get(at)?))) {
            record = record_in(&member.kind);
            inner = record.map_or_else(Vec::new, |at| plan(writer.fields(at), writer, fields, &wire.inner));
        }
        Step { name: member.name.clone(), kind: member.kind.clone(), column, record, inner }
    };
    members.iter().map(step).collect()
}

/// The record that a type is, or that is its only one beside null.
fn record_in(kind: &Type) -> Option<usize> {
    match kind {
        Type::Record(number) => Some(*number),
        Type::Union(branches) => {
            let mut records = branches.iter().filter_map(record_in);
            records.next().filter(|_| records.next().is_none())
        }
        _ => None,
    }
}

/// What reading needs beside the columns.
struct Work<'a> {
    writer: &'a Writer,
    times: &'a mut TimeReader,
}

/// The columns of a stream or struct.
#[derive(Debug)]
struct Struct {
    columns: Vec<Column>,
    nulls: NullBufferBuilder,
    rows: usize,
}

impl Struct {
    fn new(fields: &[Field]) -> Self {
        let columns = fields.iter().map(|field| Column::new(field.kind)).collect();
        Self { columns, nulls: NullBufferBuilder::new(0), rows: 0 }
    }

    /// Appends a row. On `Err` the columns may hold parts of it; [`Self::truncate`] removes them.
    fn read(
        &mut self,
        reader: &mut Reader,
        work: &mut Work,
        steps: &[Step],
        rescued: &mut String,
        open: usize,
    ) -> Read<()> {
        for step in steps {
            let (at, depth) = (reader.at, reader.depth());
            let column = step.column.and_then(|at| self.columns.get_mut(at));
            let fits = match column {
                Some(column) => {
                    let fits = column.read(reader, work, &step.kind, step, rescued, open)?;
                    if !fits {
                        column.null();
                    }
                    fits
                }
                None => false,
            };
            if !fits {
                reader.rewind(at, depth);
                push_name(rescued, open, &step.name);
                reader.render(&step.kind, work.writer, rescued)?;
            }
        }
        self.rows += 1;
        self.nulls.append_non_null();
        // Columns that the writer has not are null.
        for column in &mut self.columns {
            if column.len() < self.rows {
                column.null();
            }
        }
        Ok(())
    }

    fn null(&mut self) {
        self.columns.iter_mut().for_each(Column::null);
        self.nulls.append_null();
        self.rows += 1;
    }

    fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.nulls.truncate(rows);
        self.rows = rows;
    }

    fn finish(&mut self, fields: &Fields) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().zip(fields).map(|(column, field)| column.finish(field.data_type())).collect()
    }
}

fn push_name(rescued: &mut String, open: usize, name: &str) {
    rescued.push(if rescued.len() == open { '{' } else { ',' });
    push_text(rescued, name);
    rescued.push(':');
}

#[derive(Debug)]
enum Column {
    Text(Texts),
    Int(Numbers<Int32Type>),
    Long(Numbers<Int64Type>),
    Double(Numbers<Float64Type>),
    Time(Numbers<TimestampMicrosecondType>),
    Point(Points),
    Ints(Lists<Numbers<Int32Type>>),
    Line(Lists<Points>),
    Struct(Box<Struct>),
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Column::Text(Texts::new()),
            Kind::Int => Column::Int(Numbers::new()),
            Kind::Long => Column::Long(Numbers::new()),
            Kind::Double => Column::Double(Numbers::new()),
            Kind::Time => Column::Time(Numbers::new()),
            Kind::Point => Column::Point(Points::new()),
            Kind::Ints => Column::Ints(Lists::new(Numbers::new())),
            Kind::Line => Column::Line(Lists::new(Points::new())),
            Kind::Struct(fields) => Column::Struct(Box::new(Struct::new(fields))),
        }
    }

    /// Appends the value at the reader: `Ok(true)` where it fits, else `Ok(false)` with nothing appended and the reader
    /// anywhere.
    #[inline]
    fn read(
        &mut self,
        reader: &mut Reader,
        work: &mut Work,
        kind: &Type,
        step: &Step,
        rescued: &mut String,
        open: usize,
    ) -> Read<bool> {
        match (self, kind) {
            (column, Type::Union(branches)) => {
                let branch = reader.index(branches.len())?;
                reader.enter()?;
                let fits =
                    column.read(reader, work, branches.get(branch).unwrap_or(&Type::Null), step, rescued, open)?;
                reader.leave();
                return Ok(fits);
            }
            (column, Type::Null) => column.null(),
            (Column::Text(texts), Type::Text) => texts.push(reader.text()?),
            (Column::Text(texts), Type::Enum(symbols)) => {
                let at = reader.index(symbols.len())?;
                texts.push(symbols.get(at).map_or("", String::as_str));
            }
            (Column::Int(ints), kind) => return Ok(push_some(ints, int(reader, kind)?)),
            (Column::Long(longs), Type::Int | Type::Long) => longs.push(reader.long()?),
            (Column::Double(doubles), kind) => return Ok(push_some(doubles, number(reader, kind)?)),
            (Column::Time(times), Type::Micros) => times.push(reader.long()?),
            (Column::Time(times), Type::Millis) => return Ok(push_some(times, reader.long()?.checked_mul(1_000))),
            (Column::Time(times), Type::Text) => return Ok(push_some(times, work.times.read(reader.text()?))),
            (Column::Point(points), Type::Array(item)) => return point(points, reader, item),
            (Column::Ints(lists), Type::Array(item)) => {
                return list(lists, reader, |ints, reader| int_or_null(ints, reader, item));
            }
            (Column::Line(lists), Type::Array(item)) => {
                let Type::Array(item) = &**item else { return Ok(false) };
                return list(lists, reader, |points, reader| point(points, reader, item));
            }
            (Column::Struct(inner), Type::Record(number)) if step.record == Some(*number) => {
                reader.enter()?;
                let before = rescued.len();
                push_name(rescued, open, &step.name);
                let start = rescued.len();
                inner.read(reader, work, &step.inner, rescued, start)?;
                if rescued.len() == start {
                    rescued.truncate(before);
                } else {
                    rescued.push('}');
                }
                reader.leave();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn null(&mut self) {
        match self {
            Column::Text(texts) => texts.null(),
            Column::Int(ints) => ints.null(),
            Column::Long(longs) => longs.null(),
            Column::Double(doubles) => doubles.null(),
            Column::Time(times) => times.null(),
            Column::Point(points) => points.null(),
            Column::Ints(lists) => lists.null(),
            Column::Line(lists) => lists.null(),
            Column::Struct(inner) => inner.null(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Column::Text(texts) => texts.len(),
            Column::Int(ints) => ints.len(),
            Column::Long(longs) => longs.len(),
            Column::Double(doubles) => doubles.len(),
            Column::Time(times) => times.len(),
            Column::Point(points) => points.len(),
            Column::Ints(lists) => lists.len(),
            Column::Line(lists) => lists.len(),
            Column::Struct(inner) => inner.rows,
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Column::Text(texts) => texts.truncate(rows),
            Column::Int(ints) => ints.truncate(rows),
            Column::Long(longs) => longs.truncate(rows),
            Column::Double(doubles) => doubles.truncate(rows),
            Column::Time(times) => times.truncate(rows),
            Column::Point(points) => points.truncate(rows),
            Column::Ints(lists) => lists.truncate(rows),
            Column::Line(lists) => lists.truncate(rows),
            Column::Struct(inner) => inner.truncate(rows),
        }
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef> {
        Ok(match self {
            Column::Text(texts) => Arc::new(texts.finish()?),
            Column::Int(ints) => Arc::new(ints.finish()?),
            Column::Long(longs) => Arc::new(longs.finish()?),
            Column::Double(doubles) => Arc::new(doubles.finish()?),
            Column::Time(values) => times(values, data_type)?,
            Column::Point(points) => points.finish(data_type)?,
            Column::Ints(lists) => lists.finish(data_type, |ints, _| Ok(Arc::new(ints.finish()?)))?,
            Column::Line(lists) => lists.finish(data_type, Points::finish)?,
            Column::Struct(inner) => {
                let DataType::Struct(fields) = data_type else { return Err(wrong_type(data_type)) };
                let (rows, nulls) = (inner.rows, inner.nulls.finish());
                let columns = inner.finish(fields)?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?)
            }
        })
    }
}

/// Ends the reading of a list whose item does not fit; never leaves this file.
const UNFIT: &str = "";

/// Reads the items of an array up to one that does not fit; whether all did.
fn all_fit(reader: &mut Reader, mut item: impl FnMut(&mut Reader) -> Read<bool>) -> Read<bool> {
    let read = reader.items(|reader| if item(reader)? { Ok(()) } else { Err(reader.fail(UNFIT, "")) });
    match read {
        Err(fault) if fault.reason == UNFIT => Ok(false),
        read => read.map(|()| true),
    }
}

/// Appends a list, or nothing where an item does not fit.
fn list<I: Items>(
    lists: &mut Lists<I>,
    reader: &mut Reader,
    mut item: impl FnMut(&mut I, &mut Reader) -> Read<bool>,
) -> Read<bool> {
    let fits = all_fit(reader, |reader| item(&mut lists.items, reader))?;
    if fits {
        lists.end_value();
    } else {
        lists.drop_open();
    }
    Ok(fits)
}

fn push_some<T: arrow::array::ArrowPrimitiveType>(numbers: &mut Numbers<T>, value: Option<T::Native>) -> bool {
    value.map(|value| numbers.push(value)).is_some()
}

fn int(reader: &mut Reader, kind: &Type) -> Read<Option<i32>> {
    Ok(match kind {
        Type::Int => Some(reader.int()?),
        Type::Long => i32::try_from(reader.long()?).ok(),
        _ => None,
    })
}

fn int_or_null(ints: &mut Numbers<Int32Type>, reader: &mut Reader, kind: &Type) -> Read<bool> {
    match kind {
        Type::Union(branches) => match branches.get(reader.index(branches.len())?) {
            Some(Type::Null) => ints.null(),
            // A union holds no union.
            Some(branch) => return Ok(push_some(ints, int(reader, branch)?)),
            None => return Ok(false),
        },
        kind => return Ok(push_some(ints, int(reader, kind)?)),
    }
    Ok(true)
}

#[inline]
fn number(reader: &mut Reader, kind: &Type) -> Read<Option<f64>> {
    let value = match kind {
        Type::Double => reader.double()?,
        Type::Float => f64::from(reader.float()?),
        Type::Int => f64::from(reader.int()?),
        Type::Long => reader.long()? as f64,
        _ => return Ok(None),
    };
    Ok(Some(value).filter(|value| value.is_finite()))
}

fn point(points: &mut Points, reader: &mut Reader, item: &Type) -> Read<bool> {
    let (mut found, mut count) = ([0.0; 2], 0);
    let fits = all_fit(reader, |reader| {
        let (Some(value), Some(place)) = (number(reader, item)?, found.get_mut(count)) else { return Ok(false) };
        (*place, count) = (value, count + 1);
        Ok(true)
    })?;
    let fits = fits && count == 2;
    if fits {
        points.push(found[0], found[1]);
    }
    Ok(fits)
}

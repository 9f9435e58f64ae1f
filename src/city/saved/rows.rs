//! Rows of the trace as Arrow and back.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, PrimitiveArray,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};

use super::super::trace::{Crossing, IncidentKind, IncidentStep, Leaving, OPEN, Status, Stay};
use super::super::weather::{CellRow, Condition};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::TraceTable;

/// A row of one of the trace's tables.
pub(super) trait Row: Copy {
    const TABLE: TraceTable;

    /// What its table is ordered by.
    fn time(&self) -> i64;
    /// Its table's columns.
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;
    /// Appends a batch's rows.
    fn read(batch: &RecordBatch, rows: &mut VecDeque<Self>) -> Result<()>;
}

/// A table's rows as a batch.
pub(super) fn batch<R: Row>(rows: &[R]) -> Result<RecordBatch> {
    Ok(RecordBatch::try_new(R::TABLE.schema(), R::columns(rows))?)
}

fn ints<R>(rows: &[R], value: impl Fn(&R) -> u32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| value(r) as i32)))
}

fn longs<R>(rows: &[R], value: impl Fn(&R) -> u32) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| i64::from(value(r)))))
}

fn doubles<R>(rows: &[R], value: impl Fn(&R) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(rows.iter().map(value)))
}

fn flags<R>(rows: &[R], value: impl Fn(&R) -> bool) -> ArrayRef {
    Arc::new(BooleanArray::from(rows.iter().map(value).collect::<Vec<_>>()))
}

fn texts<R>(rows: &[R], value: impl Fn(&R) -> &'static str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
}

fn times<R>(rows: &[R], value: impl Fn(&R) -> i64) -> ArrayRef {
    let microseconds = rows.iter().map(|r| value(r) * 1_000);
    Arc::new(TimestampMicrosecondArray::from_iter_values(microseconds).with_timezone("UTC"))
}

/// A batch's columns by name.
struct Columns<'a>(&'a RecordBatch, TraceTable);

impl<'a> Columns<'a> {
    fn wrong(&self, name: &str) -> Error {
        Error::new(ErrorKind::Store, format!("table {} of the trace has no usable column {name:?}", self.1.name()))
            .help("Save the trace again in another folder")
    }

    fn primitive<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&'a PrimitiveArray<T>> {
        self.0.column_by_name(name).and_then(|c| c.as_primitive_opt()).ok_or_else(|| self.wrong(name))
    }

    fn int(&self, name: &str) -> Result<impl Fn(usize) -> u32 + use<'a>> {
        let column = self.primitive::<Int32Type>(name)?;
        Ok(move |i: usize| column.value(i) as u32)
    }

    fn long(&self, name: &str) -> Result<impl Fn(usize) -> u32 + use<'a>> {
        let column = self.primitive::<Int64Type>(name)?;
        Ok(move |i: usize| column.value(i) as u32)
    }

    fn double(&self, name: &str) -> Result<impl Fn(usize) -> f64 + use<'a>> {
        let column = self.primitive::<Float64Type>(name)?;
        Ok(move |i: usize| column.value(i))
    }

    fn time(&self, name: &str) -> Result<impl Fn(usize) -> i64 + use<'a>> {
        let column = self.primitive::<TimestampMicrosecondType>(name)?;
        Ok(move |i: usize| column.value(i) / 1_000)
    }

    fn flag(&self, name: &str) -> Result<impl Fn(usize) -> bool + use<'a>> {
        let column = self.0.column_by_name(name).and_then(|c| c.as_boolean_opt()).ok_or_else(|| self.wrong(name))?;
        Ok(move |i: usize| column.value(i))
    }

    fn text<T>(&self, name: &'a str, parse: fn(&str) -> Option<T>) -> Result<impl Fn(usize) -> Result<T> + use<'a, T>> {
        let column =
            self.0.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).ok_or_else(|| self.wrong(name))?;
        let table = self.1;
        Ok(move |i: usize| {
            let text = column.value(i);
            let unknown = || format!("table {} of the trace has {name} {text:?}", table.name());
            parse(text).ok_or_else(|| Error::new(ErrorKind::Store, unknown()))
        })
    }
}

impl Row for Crossing {
    const TABLE: TraceTable = TraceTable::Entries;

    fn time(&self) -> i64 {
        self.t_in
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            ints(rows, |r| r.vehicle),
            ints(rows, |r| r.road),
            ints(rows, |r| u32::from(r.lane)),
            longs(rows, |r| r.number),
            flags(rows, |r| r.first),
            longs(rows, |r| r.trip),
            times(rows, |r| r.t_in),
            times(rows, |r| r.arrive),
            doubles(rows, |r| r.odometer),
        ]
    }

    fn read(batch: &RecordBatch, rows: &mut VecDeque<Self>) -> Result<()> {
        let columns = Columns(batch, Self::TABLE);
        let (vehicle, road, number) = (columns.int("vehicle")?, columns.int("road")?, columns.long("number")?);
        let (lane, first, trip) = (columns.int("lane")?, columns.flag("first")?, columns.long("trip")?);
        let (t_in, arrive, odometer) = (columns.time("t_in")?, columns.time("arrive")?, columns.double("odometer_m")?);
        rows.extend((0..batch.num_rows()).map(|i| Self {
            vehicle: vehicle(i),
            road: road(i),
            lane: lane(i) as u8,
            number: number(i),
            first: first(i),
            trip: trip(i),
            t_in: t_in(i),
            arrive: arrive(i),
            t_out: OPEN,
            odometer: odometer(i),
        }));
        Ok(())
    }
}

impl Row for Leaving {
    const TABLE: TraceTable = TraceTable::Exits;

    fn time(&self) -> i64 {
        self.time
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            times(rows, |r| r.time),
            ints(rows, |r| r.road),
            ints(rows, |r| u32::from(r.lane)),
            longs(rows, |r| r.number),
        ]
    }

    fn read(batch: &RecordBatch, rows: &mut VecDeque<Self>) -> Result<()> {
        let columns = Columns(batch, Self::TABLE);
        let (time, road) = (columns.time("t_out")?, columns.int("road")?);
        let (lane, number) = (columns.int("lane")?, columns.long("number")?);
        rows.extend((0..batch.num_rows()).map(|i| Self {
            time: time(i),
            road: road(i),
            lane: lane(i) as u8,
            number: number(i),
        }));
        Ok(())
    }
}

impl Row for Stay {
    const TABLE: TraceTable = TraceTable::Stays;

    fn time(&self) -> i64 {
        self.since
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            ints(rows, |r| r.vehicle),
            ints(rows, |r| r.road),
            longs(rows, |r| r.trip),
            times(rows, |r| r.since),
            doubles(rows, |r| r.odometer),
            flags(rows, |r| r.initial),
        ]
    }

    fn read(batch: &RecordBatch, rows: &mut VecDeque<Self>) -> Result<()> {
        let columns = Columns(batch, Self::TABLE);
        let (vehicle, road, trip) = (columns.int("vehicle")?, columns.int("road")?, columns.long("trip")?);
        let (since, odometer, initial) =
            (columns.time("since")?, columns.double("odometer_m")?, columns.flag("initial")?);
        rows.extend((0..batch.num_rows()).map(|i| Self {
            vehicle: vehicle(i),
            road: road(i),
            trip: trip(i),
            since: since(i),
            odometer: odometer(i),
            initial: initial(i),
        }));
        Ok(())
    }
}

impl Row for IncidentStep {
    const TABLE: TraceTable = TraceTable::Incidents;

    fn time(&self) -> i64 {
        self.time
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            longs(rows, |r| r.incident),
            texts(rows, |r| r.kind.name()),
            ints(rows, |r| u32::from(r.severity)),
            ints(rows, |r| r.road),
            times(rows, |r| r.time),
            texts(rows, |r| r.status.name()),
            ints(rows, |r| u32::from(r.lanes_blocked)),
            Arc::new(rows.iter().map(|r| r.responder.map(|v| v as i32)).collect::<Int32Array>()),
        ]
    }

    fn read(batch: &RecordBatch, rows: &mut VecDeque<Self>) -> Result<()> {
        let columns = Columns(batch, Self::TABLE);
        let (incident, severity, road) = (columns.long("incident")?, columns.int("severity")?, columns.int("road")?);
        let (kind, status) = (columns.text("kind", IncidentKind::named)?, columns.text("status", Status::named)?);
        let (time, lanes_blocked) = (columns.time("time")?, columns.int("lanes_blocked")?);
        let responder = columns.primitive::<Int32Type>("responder")?;
        for i in 0..batch.num_rows() {
            rows.push_back(Self {
                incident: incident(i),
                kind: kind(i)?,
                severity: severity(i) as u8,
                road: road(i),
                time: time(i),
                status: status(i)?,
                lanes_blocked: lanes_blocked(i) as u8,
                responder: responder.is_valid(i).then(|| responder.value(i) as u32),
            });
        }
        Ok(())
    }
}

impl Row for CellRow {
    const TABLE: TraceTable = TraceTable::Cells;

    fn time(&self) -> i64 {
        self.time
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            times(rows, |r| r.time),
            ints(rows, |r| u32::from(r.cell)),
            texts(rows, |r| r.condition.name()),
            doubles(rows, |r| r.temperature),
            doubles(rows, |r| r.precipitation),
            doubles(rows, |r| r.wind),
            doubles(rows, |r| r.wind_direction),
            ints(rows, |r| r.humidity as u32),
            doubles(rows, |r| r.visibility),
            doubles(rows, |r| r.pm25),
            doubles(rows, |r| r.pm10),
            doubles(rows, |r| r.no2),
            doubles(rows, |r| r.o3),
        ]
    }

    fn read(batch: &RecordBatch, rows: &mut VecDeque<Self>) -> Result<()> {
        let columns = Columns(batch, Self::TABLE);
        let (time, cell) = (columns.time("time")?, columns.int("cell")?);
        let condition = columns.text("condition", Condition::named)?;
        let (temperature, precipitation) = (columns.double("temperature_c")?, columns.double("precipitation_mm_h")?);
        let (wind, wind_direction) = (columns.double("wind_km_h")?, columns.double("wind_direction_deg")?);
        let (humidity, visibility) = (columns.int("humidity_pct")?, columns.double("visibility_m")?);
        let (pm25, pm10) = (columns.double("pm25_ug_m3")?, columns.double("pm10_ug_m3")?);
        let (no2, o3) = (columns.double("no2_ppb")?, columns.double("o3_ppb")?);
        for i in 0..batch.num_rows() {
            rows.push_back(Self {
                time: time(i),
                cell: cell(i) as u16,
                condition: condition(i)?,
                temperature: temperature(i),
                precipitation: precipitation(i),
                wind: wind(i),
                wind_direction: wind_direction(i),
                humidity: humidity(i) as i32,
                visibility: visibility(i),
                pm25: pm25(i),
                pm10: pm10(i),
                no2: no2(i),
                o3: o3(i),
            });
        }
        Ok(())
    }
}

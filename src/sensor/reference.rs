//! `reference`: the roads, cameras, stations, vehicles and the city itself, as rows of one compacted stream.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray, new_null_array,
};
use arrow::datatypes::{DataType, Fields};

use super::columns::{Text, lists, points, times};
use super::device;
use crate::city::City;
use crate::city::fleet::FUELS;
use crate::city::network::DISTRICTS;
use crate::city::round::round;
use crate::error::{Error, Result};
use crate::schema::Stream;

/// Vehicles a batch.
const BATCH: usize = 16_384;

/// All reference rows, in batches: the city, roads, cameras, stations, vehicles. `options` is the JSON text of every
/// option and fault rate.
pub fn batches(city: &City, options: &str) -> Result<Vec<RecordBatch>> {
    let mut found = vec![
        city_row(city, options)?,
        roads(city)?,
        rows("camera", &cameras(city)?)?,
        rows("station", &stations(city)?)?,
    ];
    let fleet = city.fleet.vehicles.len();
    for from in (0..fleet).step_by(BATCH) {
        found.push(rows("vehicle", &vehicles(city, from, (from + BATCH).min(fleet))?)?);
    }
    Ok(found)
}

fn city_row(city: &City, options: &str) -> Result<RecordBatch> {
    let fields = fields_of("city")?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![city.id.to_text()])),
        times(std::iter::once(city.options.start)),
        Arc::new(Int64Array::from(vec![city.options.duration])),
        Arc::new(Int32Array::from(vec![city.options.vehicles as i32])),
        Arc::new(StringArray::from(vec![options])),
    ];
    rows("city", &StructArray::try_new(fields, columns, None)?)
}

fn roads(city: &City) -> Result<RecordBatch> {
    rows("road", &road_table(city)?)
}

/// The roads as the `road` struct of the reference stream.
pub fn road_table(city: &City) -> Result<StructArray> {
    let network = &city.network;
    let n = network.roads.len();
    let mut road_id = Text::with_capacity(n, 10);
    let (mut name, mut class, mut district) =
        (Text::with_capacity(n, 16), Text::with_capacity(n, 8), Text::with_capacity(n, 10));
    for (r, road) in network.roads.iter().enumerate() {
        road_id.push_numbered(device::ROAD.0, r as u32, device::ROAD.1);
        name.push(&network.street_name(road));
        class.push(road.class.name());
        district.push(DISTRICTS[network.district(network.junctions[road.from as usize])]);
    }
    let ends = network
        .roads
        .iter()
        .flat_map(|road| [road.from, road.to].map(|j| network.degrees(network.junctions[j as usize])));
    let columns = vec![
        road_id.finish()?,
        name.finish()?,
        class.finish()?,
        district.finish()?,
        Arc::new(Float64Array::from_iter_values(network.roads.iter().map(|r| r.length))) as ArrayRef,
        Arc::new(Int32Array::from_iter_values(network.roads.iter().map(|r| i32::from(r.lanes)))),
        Arc::new(Float64Array::from_iter_values(network.roads.iter().map(|r| r.class.limit_kmh()))),
        lists(points(ends)?, std::iter::repeat_n(2, n))?,
    ];
    Ok(StructArray::try_new(fields_of("road")?, columns, None)?)
}

/// The cameras as the `camera` struct of the reference stream.
pub fn cameras(city: &City) -> Result<StructArray> {
    let cameras = &city.network.cameras;
    let (mut id, mut road) = (Text::with_capacity(cameras.len(), 11), Text::with_capacity(cameras.len(), 10));
    for (c, camera) in cameras.iter().enumerate() {
        id.push_numbered(device::CAMERA.0, c as u32, device::CAMERA.1);
        road.push_numbered(device::ROAD.0, camera.road, device::ROAD.1);
    }
    let places = cameras.iter().map(|c| city.network.degrees(city.network.place_on(c.road, c.offset)));
    let columns = vec![
        id.finish()?,
        road.finish()?,
        Arc::new(Float64Array::from_iter_values(cameras.iter().map(|c| round(c.offset, 10.0)))) as ArrayRef,
        points(places)?,
    ];
    Ok(StructArray::try_new(fields_of("camera")?, columns, None)?)
}

/// The stations as the `station` struct of the reference stream.
pub fn stations(city: &City) -> Result<StructArray> {
    let stations = &city.network.stations;
    let (mut id, mut district) = (Text::with_capacity(stations.len(), 11), Text::with_capacity(stations.len(), 10));
    for (s, place) in stations.iter().enumerate() {
        id.push_numbered(device::STATION.0, s as u32, device::STATION.1);
        district.push(DISTRICTS[city.network.district(*place)]);
    }
    let columns =
        vec![id.finish()?, district.finish()?, points(stations.iter().map(|place| city.network.degrees(*place)))?];
    Ok(StructArray::try_new(fields_of("station")?, columns, None)?)
}

fn vehicles(city: &City, from: usize, to: usize) -> Result<StructArray> {
    let fleet = &city.fleet.vehicles[from..to];
    let n = fleet.len();
    let (mut id, mut kind, mut make, mut model, mut fuel) = (
        Text::with_capacity(n, 15),
        Text::with_capacity(n, 8),
        Text::with_capacity(n, 8),
        Text::with_capacity(n, 8),
        Text::with_capacity(n, 8),
    );
    for (v, vehicle) in fleet.iter().enumerate() {
        id.push_numbered(device::VEHICLE.0, (from + v) as u32, device::VEHICLE.1);
        kind.push(vehicle.kind.name());
        make.push(vehicle.model.make);
        model.push(vehicle.model.model);
        fuel.push(FUELS[usize::from(vehicle.fuel)]);
    }
    let columns = vec![
        id.finish()?,
        kind.finish()?,
        make.finish()?,
        model.finish()?,
        Arc::new(Int32Array::from_iter_values(fleet.iter().map(|v| i32::from(v.year)))) as ArrayRef,
        fuel.finish()?,
    ];
    Ok(StructArray::try_new(fields_of("vehicle")?, columns, None)?)
}

/// Fields of one kind's struct.
fn fields_of(kind: &str) -> Result<Fields> {
    let schema = Stream::Reference.wire_schema();
    match schema.field_with_name(kind)?.data_type() {
        DataType::Struct(fields) => Ok(fields.clone()),
        other => Err(Error::internal(format!("reference column {kind} is {other}"))),
    }
}

/// Reference rows of one kind from its struct, whose first column is the name in the row's id.
fn rows(kind: &str, values: &StructArray) -> Result<RecordBatch> {
    let n = values.len();
    let names = arrow::array::AsArray::as_string::<i32>(values.column(0));
    let (mut id, mut kinds) = (Text::with_capacity(n, 24), Text::with_capacity(n, 8));
    for i in 0..n {
        id.push(&format!("{kind}:{}", names.value(i)));
        kinds.push(kind);
    }
    let schema = Stream::Reference.wire_schema();
    let mut columns = vec![id.finish()?, kinds.finish()?];
    for field in schema.fields().iter().skip(2) {
        columns.push(if field.name() == kind {
            Arc::new(values.clone())
        } else {
            new_null_array(field.data_type(), n)
        });
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}

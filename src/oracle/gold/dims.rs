//! What the reference rows say of roads, cameras and stations.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::Float64Type;

use crate::error::{Error, Result};

#[derive(Debug, Clone)]
pub(super) struct Road {
    pub(super) name: String,
    pub(super) class: String,
    pub(super) district: String,
    pub(super) free_flow: f64,
}

#[derive(Debug, Default)]
pub(super) struct Dims {
    pub(super) roads: HashMap<String, Road>,
    /// Latitude and longitude.
    pub(super) cameras: HashMap<String, (f64, f64)>,
    /// District, latitude and longitude.
    pub(super) stations: HashMap<String, (String, f64, f64)>,
}

impl Dims {
    /// Of rows of the reference stream.
    pub(super) fn new(reference: &[RecordBatch]) -> Result<Self> {
        let mut dims = Self::default();
        for batch in reference {
            let of = |kind: &str| {
                let found = batch.column_by_name(kind).map(AsArray::as_struct);
                found.ok_or_else(|| Error::internal(format!("reference rows lack the column {kind}")))
            };
            let (roads, cameras, stations) = (of("road")?, of("camera")?, of("station")?);
            for row in 0..batch.num_rows() {
                if roads.is_valid(row) {
                    let road = Road {
                        name: text(roads, "name", row)?,
                        class: text(roads, "roadClass", row)?,
                        district: text(roads, "district", row)?,
                        free_flow: number(roads, "freeFlowKmh", row)?,
                    };
                    dims.roads.insert(text(roads, "roadId", row)?, road);
                }
                if cameras.is_valid(row) {
                    dims.cameras.insert(text(cameras, "cameraId", row)?, place(cameras, row)?);
                }
                if stations.is_valid(row) {
                    let (lat, lon) = place(stations, row)?;
                    let station = (text(stations, "district", row)?, lat, lon);
                    dims.stations.insert(text(stations, "stationId", row)?, station);
                }
            }
        }
        Ok(dims)
    }
}

fn member<'a>(rows: &'a StructArray, name: &str) -> Result<&'a dyn Array> {
    let found = rows.column_by_name(name).map(AsRef::as_ref);
    found.ok_or_else(|| Error::internal(format!("a reference row lacks {name}")))
}

fn text(rows: &StructArray, name: &str, row: usize) -> Result<String> {
    Ok(member(rows, name)?.as_string::<i32>().value(row).to_owned())
}

fn number(rows: &StructArray, name: &str, row: usize) -> Result<f64> {
    Ok(member(rows, name)?.as_primitive::<Float64Type>().value(row))
}

fn place(rows: &StructArray, row: usize) -> Result<(f64, f64)> {
    let point = member(rows, "location")?.as_list::<i32>().value(row);
    let degrees = point.as_primitive::<Float64Type>();
    if degrees.len() == 2 {
        Ok((degrees.value(0), degrees.value(1)))
    } else {
        Err(Error::internal("a place is no pair"))
    }
}

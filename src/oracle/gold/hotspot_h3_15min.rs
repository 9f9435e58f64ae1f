//! `gold.hotspot_h3_15min`.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use h3o::{LatLng, Resolution};

use super::super::found::degree;
use super::super::settle::column;
use super::super::silver::cells;
use super::dims::Dims;
use super::probes::Report;
use super::table::{Columns, GoldTable, MINUTE_US, Names, mean, ordered, window};
use crate::error::Result;

const LENGTH: i64 = 15 * MINUTE_US;
/// Slow is at most this share of free flow.
const SLOW: f64 = 0.40;

#[derive(Debug, Default)]
struct Sums {
    reports: i64,
    vehicles: i64,
    place: (f64, f64),
    speed: f64,
    /// Of the reports on known roads: how many, their speeds and free flows.
    rated: (i64, f64, f64),
    slow: i64,
    /// Vehicle-seconds lost.
    delay: f64,
}

#[derive(Debug, Default)]
pub(super) struct Hotspots {
    names: Names,
    cells: HashMap<(u32, i64), Sums>,
    incidents: HashMap<(u32, i64), HashSet<String>>,
}

impl Hotspots {
    pub(super) fn add_reports(&mut self, reports: &[Report<'_>], rows: &RecordBatch, dims: &Dims) -> Result<()> {
        let (lat, lon) = (degree(column(rows, "location")?, 0)?, degree(column(rows, "location")?, 1)?);
        let (lat, lon) = (lat.as_primitive::<Float64Type>(), lon.as_primitive::<Float64Type>());
        let mut met: HashSet<(u32, i64)> = HashSet::new();
        let mut device = "";
        for report in reports {
            let Some(span) = report.span else { continue };
            let place = (lat.value(report.row), lon.value(report.row));
            let Ok(point) = LatLng::new(place.0, place.1) else { continue };
            if report.device != device {
                device = report.device;
                met.clear();
            }
            let name = point.to_cell(Resolution::Nine).to_string();
            let cell = (self.names.number(&name), window(report.time, LENGTH));
            let sums = self.cells.entry(cell).or_default();
            sums.reports += 1;
            sums.vehicles += i64::from(met.insert(cell));
            sums.place = (sums.place.0 + place.0, sums.place.1 + place.1);
            sums.speed += report.speed;
            if let Some(road) = dims.roads.get(report.road) {
                sums.rated = (sums.rated.0 + 1, sums.rated.1 + report.speed, sums.rated.2 + road.free_flow);
                sums.slow += i64::from(report.speed <= SLOW * road.free_flow);
                sums.delay += span as f64 / 2e6 * (1.0 - report.speed / road.free_flow).max(0.0);
            }
        }
        Ok(())
    }

    pub(super) fn add_steps(&mut self, rows: &RecordBatch) -> Result<()> {
        let incidents = column(rows, "incidentId")?.as_string::<i32>();
        let times = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let places = cells(rows, Resolution::Nine)?;
        for row in (0..rows.num_rows()).filter(|&row| places.is_valid(row)) {
            let cell = (self.names.number(places.value(row)), window(times.value(row), LENGTH));
            self.incidents.entry(cell).or_default().insert(incidents.value(row).to_owned());
        }
        Ok(())
    }

    pub(super) fn table(&self) -> Result<GoldTable> {
        let rows = ordered(&self.names, &self.cells);
        let mut places: Vec<usize> = (0..rows.len()).collect();
        places.sort_unstable_by_key(|&p| {
            let (name, start, sums) = rows[p];
            (start, -sums.slow, -sums.reports, name)
        });
        let (mut ranks, mut last, mut rank) = (vec![0_i64; rows.len()], i64::MIN, 0);
        for place in places {
            rank = if rows[place].1 == last { rank + 1 } else { 1 };
            last = rows[place].1;
            ranks[place] = rank;
        }
        let incidents: HashMap<(&str, i64), i64> = self
            .incidents
            .iter()
            .map(|(&(name, start), found)| ((self.names.text(name), start), found.len() as i64))
            .collect();
        let hot = |s: &Sums| s.vehicles >= 3 && s.rated.0 > 0 && 2 * s.slow >= s.rated.0;
        let columns = Columns::default()
            .text("h3_cell", rows.iter().map(|r| Some(r.0)))
            .windows(LENGTH, rows.iter().map(|r| r.1))
            .real("lat", rows.iter().map(|r| mean(r.2.place.0, r.2.reports)))
            .real("lon", rows.iter().map(|r| mean(r.2.place.1, r.2.reports)))
            .long("probe_reports", rows.iter().map(|r| Some(r.2.reports)))
            .long("probe_vehicles", rows.iter().map(|r| Some(r.2.vehicles)))
            .real("speed_kmh", rows.iter().map(|r| mean(r.2.speed, r.2.reports)))
            .real("free_flow_kmh", rows.iter().map(|r| mean(r.2.rated.2, r.2.rated.0)))
            .real("speed_ratio", rows.iter().map(|r| (r.2.rated.0 > 0).then(|| r.2.rated.1 / r.2.rated.2)))
            .long("rated_reports", rows.iter().map(|r| Some(r.2.rated.0)))
            .long("slow_reports", rows.iter().map(|r| Some(r.2.slow)))
            .real("slow_share", rows.iter().map(|r| mean(r.2.slow as f64, r.2.rated.0)))
            .real("delay_s", rows.iter().map(|r| (r.2.rated.0 > 0).then_some(r.2.delay)))
            .long("incidents", rows.iter().map(|r| Some(incidents.get(&(r.0, r.1)).copied().unwrap_or(0))))
            .flag("hotspot", rows.iter().map(|r| Some(hot(r.2))))
            .long("hotspot_rank", ranks.iter().map(|rank| Some(*rank)));
        Ok(GoldTable {
            name: "hotspot_h3_15min",
            key: &["h3_cell", "window_start"],
            additive: &["probe_reports", "rated_reports"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }
}

//! `gold.road_5min`.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};

use super::super::settle::column;
use super::dims::Dims;
use super::probes::Report;
use super::table::{Columns, GoldTable, MINUTE_US, Names, SECOND_US, mean, ordered, window};
use crate::error::Result;

const LENGTH: i64 = 5 * MINUTE_US;

/// Sums of one road and window.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) reports: i64,
    vehicles: i64,
    pub(super) speed: f64,
    pub(super) intervals: i64,
    pub(super) count: i64,
    seconds: i64,
    /// Σ count · mean speed and Σ count, over intervals with a speed.
    timed: (f64, i64),
}

#[derive(Debug, Default)]
pub(super) struct Roads {
    names: Names,
    cells: HashMap<(u32, i64), Sums>,
}

impl Roads {
    pub(super) fn add_reports(&mut self, reports: &[Report<'_>]) {
        let mut met: HashSet<(u32, i64)> = HashSet::new();
        let mut device = "";
        for report in reports.iter().filter(|r| r.span.is_some()) {
            if report.device != device {
                device = report.device;
                met.clear();
            }
            let cell = (self.names.number(report.road), window(report.time, LENGTH));
            let sums = self.cells.entry(cell).or_default();
            sums.reports += 1;
            sums.speed += report.speed;
            sums.vehicles += i64::from(met.insert(cell));
        }
    }

    pub(super) fn add_intervals(&mut self, rows: &RecordBatch) -> Result<()> {
        let roads = column(rows, "roadId")?.as_string::<i32>();
        let ends = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let int = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_primitive::<Int32Type>());
        let (seconds, counts) = (int("intervalS")?, int("count")?);
        let speeds = column(rows, "meanSpeed")?.as_primitive::<Float64Type>();
        for row in 0..rows.num_rows() {
            let middle = ends.value(row) - i64::from(seconds.value(row)) * SECOND_US / 2;
            let cell = (self.names.number(roads.value(row)), window(middle, LENGTH));
            let (sums, count) = (self.cells.entry(cell).or_default(), i64::from(counts.value(row)));
            sums.intervals += 1;
            sums.count += count;
            sums.seconds += i64::from(seconds.value(row));
            if speeds.is_valid(row) {
                sums.timed.0 += count as f64 * speeds.value(row);
                sums.timed.1 += count;
            }
        }
        Ok(())
    }

    /// Road, window and sums, in their order.
    pub(super) fn rows(&self) -> Vec<(&str, i64, &Sums)> {
        ordered(&self.names, &self.cells)
    }

    pub(super) fn table(&self, dims: &Dims) -> Result<GoldTable> {
        let rows = self.rows();
        let road = |row: &(&str, i64, &Sums)| dims.roads.get(row.0);
        let speed = |row: &(&str, i64, &Sums)| mean(row.2.speed, row.2.reports);
        let ratio = |row: &(&str, i64, &Sums)| Some(speed(row)? / road(row)?.free_flow);
        let index = |row: &(&str, i64, &Sums)| {
            let (free_flow, speed) = (road(row)?.free_flow, speed(row)?);
            (speed >= 1.0).then(|| (free_flow / speed).max(1.0))
        };
        let watched = |row: &(&str, i64, &Sums)| row.2.intervals > 0;
        let mut loose = HashSet::new();
        for (place, row) in rows.iter().enumerate() {
            if let (Some(ratio), Some(speed)) = (ratio(row), speed(row)) {
                if level(ratio * (1.0 - 1e-12)) != level(ratio * (1.0 + 1e-12)) {
                    loose.insert((place, "level_of_service"));
                }
                if (speed - 1.0).abs() < 1e-12 {
                    loose.insert((place, "travel_time_index"));
                }
            }
        }
        let columns = Columns::default()
            .text("road_id", rows.iter().map(|r| Some(r.0)))
            .windows(LENGTH, rows.iter().map(|r| r.1))
            .text("road_name", rows.iter().map(|r| Some(road(r)?.name.as_str())))
            .text("road_class", rows.iter().map(|r| Some(road(r)?.class.as_str())))
            .text("district", rows.iter().map(|r| Some(road(r)?.district.as_str())))
            .real("free_flow_kmh", rows.iter().map(|r| Some(road(r)?.free_flow)))
            .long("probe_reports", rows.iter().map(|r| Some(r.2.reports)))
            .long("probe_vehicles", rows.iter().map(|r| Some(r.2.vehicles)))
            .real("speed_kmh", rows.iter().map(speed))
            .real("speed_ratio", rows.iter().map(ratio))
            .real("travel_time_index", rows.iter().map(index))
            .text("level_of_service", rows.iter().map(|r| ratio(r).map(level)))
            .long("camera_intervals", rows.iter().map(|r| Some(r.2.intervals)))
            .long("vehicle_count", rows.iter().map(|r| watched(r).then_some(r.2.count)))
            .real("flow_vehh", rows.iter().map(|r| mean(3600.0 * r.2.count as f64, r.2.seconds)))
            .real("camera_speed_kmh", rows.iter().map(|r| mean(r.2.timed.0, r.2.timed.1)));
        Ok(GoldTable {
            name: "road_5min",
            key: &["road_id", "window_start"],
            additive: &["probe_reports", "camera_intervals", "vehicle_count"],
            rows: columns.finish()?,
            loose,
        })
    }
}

/// Level of service by speed as a share of free flow.
fn level(ratio: f64) -> &'static str {
    let steps = [(0.85, "A"), (0.67, "B"), (0.50, "C"), (0.40, "D"), (0.30, "E")];
    steps.into_iter().find(|(above, _)| ratio > *above).map_or("F", |(_, name)| name)
}

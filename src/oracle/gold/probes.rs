//! Which vehicle reports are samples of traffic, and for how long each stands.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::super::settle::column;
use super::table::SECOND_US;
use crate::error::Result;

/// Reports farther apart have a gap between them, in µs.
const NEXT_US: i64 = 15 * SECOND_US;

/// One report, in the order of device, time, odometer and speed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report<'a> {
    /// Its row.
    pub(super) row: usize,
    pub(super) device: &'a str,
    pub(super) road: &'a str,
    pub(super) time: i64,
    pub(super) speed: f64,
    /// Where it is under way, twice the time that it stands for, in µs.
    pub(super) span: Option<i64>,
}

/// The reports of some vehicles; each vehicle's must be all there.
pub(super) fn reports(rows: &RecordBatch) -> Result<Vec<Report<'_>>> {
    let devices = column(rows, "deviceId")?.as_string::<i32>();
    let roads = column(rows, "roadId")?.as_string::<i32>();
    let times = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
    let speeds = column(rows, "speed")?.as_primitive::<Float64Type>();
    let odometers = column(rows, "odometerKm")?.as_primitive::<Float64Type>();
    let mut reports: Vec<Report<'_>> = (0..rows.num_rows())
        .map(|row| Report {
            row,
            device: devices.value(row),
            road: roads.value(row),
            time: times.value(row),
            speed: speeds.value(row),
            span: None,
        })
        .collect();
    reports.sort_unstable_by(|a, b| {
        let driven = |r: &Report<'_>| odometers.value(r.row);
        let same_time = || driven(a).total_cmp(&driven(b)).then(a.speed.total_cmp(&b.speed));
        (a.device, a.time).cmp(&(b.device, b.time)).then_with(same_time)
    });
    for place in 1..reports.len().saturating_sub(1) {
        let [before, own, after] = [place - 1, place, place + 1].map(|n| (reports[n].device, reports[n].time));
        let near = own.1 - before.1 <= NEXT_US && after.1 - own.1 <= NEXT_US;
        if before.0 == own.0 && own.0 == after.0 && near {
            reports[place].span = Some(after.1 - before.1);
        }
    }
    Ok(reports)
}

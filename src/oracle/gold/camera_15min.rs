//! `gold.camera_15min`.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};

use super::super::found::degree;
use super::super::settle::column;
use super::dims::Dims;
use super::table::{Columns, GoldTable, MINUTE_US, Names, SECOND_US, mean, ordered, window};
use crate::error::Result;

const LENGTH: i64 = 15 * MINUTE_US;
/// Width of a bin of the histogram in km/h.
const BIN: f64 = 5.0;

#[derive(Debug, Default)]
struct Sums {
    road: String,
    place: (f64, f64),
    intervals: i64,
    seconds: i64,
    /// All, cars, vans, goods vehicles, emergency vehicles.
    counts: [i64; 5],
    timed: (f64, i64),
    occupied: f64,
    headway: (f64, i64),
    queue: f64,
    histogram: Vec<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Cameras {
    names: Names,
    cells: HashMap<(u32, i64), Sums>,
}

impl Cameras {
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let text = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_string::<i32>());
        let int = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_primitive::<Int32Type>());
        let real = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_primitive::<Float64Type>());
        let (cameras, roads) = (text("cameraId")?, text("roadId")?);
        let (lat, lon) = (degree(column(rows, "location")?, 0)?, degree(column(rows, "location")?, 1)?);
        let (lat, lon) = (lat.as_primitive::<Float64Type>(), lon.as_primitive::<Float64Type>());
        let ends = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let seconds = int("intervalS")?;
        let counts = [int("count")?, int("countCar")?, int("countVan")?, int("countGoods")?, int("countEmergency")?];
        let (speeds, headways) = (real("meanSpeed")?, real("headwayS")?);
        let (occupancies, queues) = (real("occupancy")?, real("queueM")?);
        let histograms = column(rows, "speedHistogram")?.as_list::<i32>();
        for row in 0..rows.num_rows() {
            let length = i64::from(seconds.value(row));
            let cell =
                (self.names.number(cameras.value(row)), window(ends.value(row) - length * SECOND_US / 2, LENGTH));
            let sums = self.cells.entry(cell).or_insert_with(|| Sums {
                place: (f64::NEG_INFINITY, f64::NEG_INFINITY),
                queue: f64::NEG_INFINITY,
                ..Sums::default()
            });
            if sums.road.as_str() < roads.value(row) {
                roads.value(row).clone_into(&mut sums.road);
            }
            sums.place = (sums.place.0.max(lat.value(row)), sums.place.1.max(lon.value(row)));
            sums.intervals += 1;
            sums.seconds += length;
            for (sum, values) in sums.counts.iter_mut().zip(counts) {
                *sum += i64::from(values.value(row));
            }
            let count = i64::from(counts[0].value(row));
            if speeds.is_valid(row) {
                sums.timed.0 += count as f64 * speeds.value(row);
                sums.timed.1 += count;
            }
            sums.occupied += length as f64 * occupancies.value(row);
            if headways.is_valid(row) {
                sums.headway.0 += (count - 1) as f64 * headways.value(row);
                sums.headway.1 += count - 1;
            }
            sums.queue = sums.queue.max(queues.value(row));
            let bins = histograms.value(row);
            let bins = bins.as_primitive::<Int32Type>();
            if sums.histogram.len() < bins.len() {
                sums.histogram.resize(bins.len(), 0);
            }
            sums.histogram.iter_mut().zip(bins.values()).for_each(|(sum, bin)| *sum += i64::from(*bin));
        }
        Ok(())
    }

    pub(super) fn table(&self, dims: &Dims) -> Result<GoldTable> {
        let rows = ordered(&self.names, &self.cells);
        let place = |row: &(&str, i64, &Sums)| dims.cameras.get(row.0).copied().unwrap_or(row.2.place);
        let sum = |which: usize| rows.iter().map(move |r| Some(r.2.counts[which]));
        let columns = Columns::default()
            .text("camera_id", rows.iter().map(|r| Some(r.0)))
            .windows(LENGTH, rows.iter().map(|r| r.1))
            .text("road_id", rows.iter().map(|r| Some(r.2.road.as_str())))
            .text("district", rows.iter().map(|r| Some(dims.roads.get(&r.2.road)?.district.as_str())))
            .real("lat", rows.iter().map(|r| Some(place(r).0)))
            .real("lon", rows.iter().map(|r| Some(place(r).1)))
            .long("intervals", rows.iter().map(|r| Some(r.2.intervals)))
            .long("observed_s", rows.iter().map(|r| Some(r.2.seconds)))
            .long("vehicle_count", sum(0))
            .long("car_count", sum(1))
            .long("van_count", sum(2))
            .long("goods_count", sum(3))
            .long("emergency_count", sum(4))
            .real("flow_vehh", rows.iter().map(|r| mean(3600.0 * r.2.counts[0] as f64, r.2.seconds)))
            .real("goods_share", rows.iter().map(|r| mean(r.2.counts[3] as f64, r.2.counts[0])))
            .real("mean_speed_kmh", rows.iter().map(|r| mean(r.2.timed.0, r.2.timed.1)))
            .real("p85_speed_kmh", rows.iter().map(|r| percentile_85(&r.2.histogram)))
            .real("occupancy", rows.iter().map(|r| mean(r.2.occupied, r.2.seconds)))
            .real("headway_s", rows.iter().map(|r| mean(r.2.headway.0, r.2.headway.1)))
            .real("queue_m", rows.iter().map(|r| Some(r.2.queue)));
        Ok(GoldTable {
            name: "camera_15min",
            key: &["camera_id", "window_start"],
            additive: &["intervals", "observed_s", "vehicle_count", "car_count", "van_count", "goods_count"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }
}

/// The speed that 85 of 100 vehicles don't exceed, linear within its bin; the lower edge of the last bin, which is open.
fn percentile_85(histogram: &[i64]) -> Option<f64> {
    let all: i64 = histogram.iter().sum();
    let mut below = 0;
    for (bin, &vehicles) in histogram.iter().enumerate() {
        // In hundredths of a vehicle, so that no rounding decides.
        if vehicles > 0 && 100 * (below + vehicles) >= 85 * all {
            let edge = BIN * bin as f64;
            let last = bin + 1 == histogram.len();
            let inside = (85 * all - 100 * below) as f64 / 100.0 / vehicles as f64;
            return Some(if last { edge } else { edge + BIN * inside });
        }
        below += vehicles;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_lies_in_the_bin_that_holds_it() {
        assert_eq!(percentile_85(&[0, 0, 0]), None);
        assert_eq!(percentile_85(&[0, 100, 0]), Some(5.0 + 5.0 * 0.85));
        assert_eq!(percentile_85(&[85, 15, 0]), Some(5.0));
        assert_eq!(percentile_85(&[84, 16, 0]), Some(5.0 + 5.0 / 16.0));
        assert_eq!(percentile_85(&[1, 0, 9]), Some(10.0), "the last bin is open");
    }
}

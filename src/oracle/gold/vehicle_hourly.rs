//! `gold.vehicle_hourly`, and `gold.fleet_daily`, which adds it up.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;

use super::super::settle::column;
use super::probes::Report;
use super::table::{Columns, DAY_US, GoldTable, HOUR_US, Names, mean, ordered, window};
use crate::error::Result;

/// Below this a vehicle stands, in km/h.
const STOPPED: f64 = 5.0;

#[derive(Debug)]
struct Hour {
    kind: String,
    fuel: String,
    reports: i64,
    probes: i64,
    /// Twice the time under way, and that stopped, in µs.
    spans: (i64, i64),
    speed: f64,
    fastest: f64,
    odometer: (f64, f64),
}

#[derive(Debug, Default)]
pub(super) struct Vehicles {
    names: Names,
    hours: HashMap<(u32, i64), Hour>,
}

fn raise(text: &mut String, other: &str) {
    if text.as_str() < other {
        other.clone_into(text);
    }
}

impl Vehicles {
    pub(super) fn add(&mut self, reports: &[Report<'_>], rows: &RecordBatch) -> Result<()> {
        let (kinds, fuels) =
            (column(rows, "vehicleType")?.as_string::<i32>(), column(rows, "fuelType")?.as_string::<i32>());
        let odometers = column(rows, "odometerKm")?.as_primitive::<Float64Type>();
        for report in reports {
            let cell = (self.names.number(report.device), window(report.time, HOUR_US));
            let hour = self.hours.entry(cell).or_insert_with(|| Hour {
                kind: String::new(),
                fuel: String::new(),
                reports: 0,
                probes: 0,
                spans: (0, 0),
                speed: 0.0,
                fastest: f64::NEG_INFINITY,
                odometer: (f64::INFINITY, f64::NEG_INFINITY),
            });
            raise(&mut hour.kind, kinds.value(report.row));
            raise(&mut hour.fuel, fuels.value(report.row));
            hour.reports += 1;
            hour.fastest = hour.fastest.max(report.speed);
            let driven = odometers.value(report.row);
            hour.odometer = (hour.odometer.0.min(driven), hour.odometer.1.max(driven));
            if let Some(span) = report.span {
                hour.probes += 1;
                hour.speed += report.speed;
                hour.spans.0 += span;
                hour.spans.1 += if report.speed < STOPPED { span } else { 0 };
            }
        }
        Ok(())
    }

    pub(super) fn table(&self) -> Result<GoldTable> {
        let rows = ordered(&self.names, &self.hours);
        let columns = Columns::default()
            .text("device_id", rows.iter().map(|r| Some(r.0)))
            .windows(HOUR_US, rows.iter().map(|r| r.1))
            .text("vehicle_type", rows.iter().map(|r| Some(r.2.kind.as_str())))
            .text("fuel_type", rows.iter().map(|r| Some(r.2.fuel.as_str())))
            .long("reports", rows.iter().map(|r| Some(r.2.reports)))
            .long("probe_reports", rows.iter().map(|r| Some(r.2.probes)))
            .real("under_way_s", rows.iter().map(|r| Some(r.2.spans.0 as f64 / 2e6)))
            .real("stopped_s", rows.iter().map(|r| Some(r.2.spans.1 as f64 / 2e6)))
            .real("speed_kmh", rows.iter().map(|r| mean(r.2.speed, r.2.probes)))
            .real("max_speed_kmh", rows.iter().map(|r| Some(r.2.fastest)))
            .real("odometer_min_km", rows.iter().map(|r| Some(r.2.odometer.0)))
            .real("odometer_max_km", rows.iter().map(|r| Some(r.2.odometer.1)));
        Ok(GoldTable {
            name: "vehicle_hourly",
            key: &["device_id", "window_start"],
            additive: &["reports", "probe_reports"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }

    pub(super) fn fleet_daily(&self) -> Result<GoldTable> {
        let mut days: BTreeMap<(u32, i64), Vec<(i64, &Hour)>> = BTreeMap::new();
        for (&(vehicle, start), hour) in &self.hours {
            days.entry((vehicle, window(start, DAY_US))).or_default().push((start, hour));
        }
        let mut fleet: BTreeMap<(&str, &str, i64), Day> = BTreeMap::new();
        for (&(_, start), hours) in &days {
            let greatest = |of: fn(&Hour) -> &str| hours.iter().map(|(_, h)| of(h)).max().unwrap_or_default();
            let day = fleet.entry((greatest(|h| &h.kind), greatest(|h| &h.fuel), start)).or_default();
            let furthest = hours.iter().map(|(_, h)| h.odometer.1).fold(f64::NEG_INFINITY, f64::max);
            let nearest = hours.iter().map(|(_, h)| h.odometer.0).fold(f64::INFINITY, f64::min);
            day.vehicles += 1;
            day.used += i64::from(hours.iter().any(|(_, h)| h.probes > 0));
            day.distance += furthest - nearest;
            for (start, hour) in hours {
                day.reports += hour.reports;
                day.probes += hour.probes;
                day.spans = (day.spans.0 + hour.spans.0, day.spans.1 + hour.spans.1);
                day.speed += hour.speed;
                day.fastest = day.fastest.max(hour.fastest);
                *day.active.entry(*start).or_default() += i64::from(hour.probes > 0);
            }
        }
        let rows: Vec<_> = fleet.into_iter().collect();
        let columns = Columns::default()
            .text("vehicle_type", rows.iter().map(|(key, _)| Some(key.0)))
            .text("fuel_type", rows.iter().map(|(key, _)| Some(key.1)))
            .windows(DAY_US, rows.iter().map(|(key, _)| key.2))
            .long("vehicles", rows.iter().map(|(_, d)| Some(d.vehicles)))
            .long("vehicles_used", rows.iter().map(|(_, d)| Some(d.used)))
            .long("reports", rows.iter().map(|(_, d)| Some(d.reports)))
            .long("probe_reports", rows.iter().map(|(_, d)| Some(d.probes)))
            .real("distance_km", rows.iter().map(|(_, d)| Some(d.distance)))
            .real("distance_per_vehicle_km", rows.iter().map(|(_, d)| mean(d.distance, d.used)))
            .real("under_way_h", rows.iter().map(|(_, d)| Some(d.spans.0 as f64 / 2e6 / 3600.0)))
            .real("stopped_share", rows.iter().map(|(_, d)| mean(d.spans.1 as f64, d.spans.0)))
            .real("speed_kmh", rows.iter().map(|(_, d)| mean(d.speed, d.probes)))
            .real("max_speed_kmh", rows.iter().map(|(_, d)| Some(d.fastest)))
            .long("peak_vehicles", rows.iter().map(|(_, d)| d.active.values().max().copied()))
            .real("utilisation", rows.iter().map(|(_, d)| mean(d.spans.0 as f64 / 2e6 / 86_400.0, d.vehicles)));
        Ok(GoldTable {
            name: "fleet_daily",
            key: &["vehicle_type", "fuel_type", "window_start"],
            additive: &["reports", "probe_reports"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }
}

/// Sums of a day's vehicles of one kind.
#[derive(Debug)]
struct Day {
    vehicles: i64,
    used: i64,
    reports: i64,
    probes: i64,
    distance: f64,
    spans: (i64, i64),
    speed: f64,
    fastest: f64,
    /// Vehicles under way in each hour.
    active: BTreeMap<i64, i64>,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            vehicles: 0,
            used: 0,
            reports: 0,
            probes: 0,
            distance: 0.0,
            spans: (0, 0),
            speed: 0.0,
            fastest: f64::NEG_INFINITY,
            active: BTreeMap::new(),
        }
    }
}

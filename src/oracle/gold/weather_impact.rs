//! `gold.weather_impact`.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::super::settle::column;
use super::dims::Dims;
use super::road_5min::Roads;
use super::table::{Columns, GoldTable, HOUR_US, mean, window};
use crate::error::Result;

/// Of equally frequent conditions the first.
const CONDITIONS: [&str; 5] = ["Snow", "Rain", "Fog", "Cloudy", "Clear"];
/// Temperature, precipitation, wind, visibility.
const MEANS: [(&str, &str); 4] = [
    ("temperature", "temperature_c"),
    ("precipitation", "precipitation_mmh"),
    ("windSpeed", "wind_speed_kmh"),
    ("visibilityM", "visibility_m"),
];

/// Readings of an hour.
#[derive(Debug, Clone, Default)]
struct Weather {
    readings: i64,
    conditions: [i64; 5],
    sums: [f64; 4],
}

impl Weather {
    fn condition(&self) -> &'static str {
        let most = self.conditions.iter().max();
        CONDITIONS.iter().zip(&self.conditions).find(|(_, n)| Some(*n) == most).map_or("", |(name, _)| name)
    }

    fn intensity(&self, factor: f64) -> (&'static str, f64) {
        let rate = self.sums[1] / self.readings as f64 * factor;
        match self.condition() {
            "Rain" if rate <= 2.54 => ("light", 0.9799),
            "Rain" if rate <= 6.35 => ("moderate", 0.9276),
            "Rain" => ("heavy", 0.8587),
            "Snow" if rate <= 1.27 => ("light", 0.9571),
            "Snow" if rate <= 2.54 => ("moderate", 0.9134),
            "Snow" if rate <= 12.7 => ("heavy", 0.8896),
            "Snow" => ("very heavy", 0.7757),
            _ => ("none", 1.0),
        }
    }
}

/// Traffic of an hour on the roads of a district and class.
#[derive(Debug, Default)]
struct Traffic<'a> {
    roads: HashSet<&'a str>,
    reports: i64,
    speed: f64,
    free_flow: f64,
    intervals: i64,
    count: i64,
}

/// District, road class and hour.
type Key = (String, String, i64);

#[derive(Debug, Default)]
pub(super) struct Impact {
    /// By district, none for unknown stations, and hour.
    weather: HashMap<(Option<String>, i64), Weather>,
    incidents: HashMap<Key, HashSet<String>>,
    accidents: HashMap<Key, HashSet<String>>,
}

impl Impact {
    pub(super) fn add_readings(&mut self, rows: &RecordBatch, dims: &Dims) -> Result<()> {
        let devices = column(rows, "deviceId")?.as_string::<i32>();
        let conditions = column(rows, "weatherCondition")?.as_string::<i32>();
        let times = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let values = MEANS
            .iter()
            .map(|(field, _)| Ok(column(rows, field)?.as_primitive::<Float64Type>()))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..rows.num_rows() {
            let district = dims.stations.get(devices.value(row)).map(|s| s.0.clone());
            let weather = self.weather.entry((district, window(times.value(row), HOUR_US))).or_default();
            weather.readings += 1;
            if let Some(which) = CONDITIONS.iter().position(|c| *c == conditions.value(row)) {
                weather.conditions[which] += 1;
            }
            weather.sums.iter_mut().zip(&values).for_each(|(sum, values)| *sum += values.value(row));
        }
        Ok(())
    }

    pub(super) fn add_steps(&mut self, rows: &RecordBatch, dims: &Dims) -> Result<()> {
        let text = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_string::<i32>());
        let (incidents, roads) = (text("incidentId")?, text("roadId")?);
        let (kinds, statuses) = (text("type")?, text("status")?);
        let times = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        for row in (0..rows.num_rows()).filter(|&row| statuses.value(row) == "Reported") {
            let Some(road) = dims.roads.get(roads.value(row)) else { continue };
            let key = (road.district.clone(), road.class.clone(), window(times.value(row), HOUR_US));
            if kinds.value(row) == "Accident" {
                self.accidents.entry(key.clone()).or_default().insert(incidents.value(row).to_owned());
            }
            self.incidents.entry(key).or_default().insert(incidents.value(row).to_owned());
        }
        Ok(())
    }

    pub(super) fn table(&self, roads: &Roads, dims: &Dims) -> Result<GoldTable> {
        let mut traffic: BTreeMap<Key, Traffic<'_>> = BTreeMap::new();
        for (name, start, sums) in roads.rows() {
            let Some(road) = dims.roads.get(name) else { continue };
            let key = (road.district.clone(), road.class.clone(), window(start, HOUR_US));
            let cell = traffic.entry(key).or_default();
            if sums.reports > 0 {
                cell.roads.insert(name);
            }
            cell.reports += sums.reports;
            cell.speed += sums.speed;
            cell.free_flow += sums.reports as f64 * road.free_flow;
            cell.intervals += sums.intervals;
            cell.count += sums.count;
        }
        let mut everywhere: HashMap<i64, Weather> = HashMap::new();
        for ((_, start), weather) in &self.weather {
            let all = everywhere.entry(*start).or_default();
            all.readings += weather.readings;
            all.conditions.iter_mut().zip(weather.conditions).for_each(|(a, b)| *a += b);
            all.sums.iter_mut().zip(weather.sums).for_each(|(a, b)| *a += b);
        }
        let rows: Vec<_> = traffic.into_iter().collect();
        let own = |key: &Key| self.weather.get(&(Some(key.0.clone()), key.2));
        let weather: Vec<Option<&Weather>> =
            rows.iter().map(|(key, _)| own(key).or_else(|| everywhere.get(&key.2))).collect();
        let local = rows.iter().zip(&weather).map(|((key, _), w)| w.map(|_| own(key).is_some()));
        let speed = |t: &Traffic<'_>| mean(t.speed, t.reports);
        let index =
            |t: &Traffic<'_>| speed(t).filter(|s| *s >= 1.0).map(|s| (t.free_flow / t.reports as f64 / s).max(1.0));
        let number =
            |found: &HashMap<Key, HashSet<String>>, key: &Key| Some(found.get(key).map_or(0, HashSet::len) as i64);
        let mut loose = HashSet::new();
        for (place, weather) in weather.iter().enumerate() {
            if weather.is_some_and(|w| w.intensity(1.0 - 1e-12) != w.intensity(1.0 + 1e-12)) {
                loose.extend([(place, "intensity"), (place, "capacity_factor")]);
            }
            if speed(&rows[place].1).is_some_and(|s| (s - 1.0).abs() < 1e-12) {
                loose.insert((place, "travel_time_index"));
            }
        }
        let mut columns = Columns::default()
            .text("district", rows.iter().map(|(key, _)| Some(key.0.as_str())))
            .text("road_class", rows.iter().map(|(key, _)| Some(key.1.as_str())))
            .windows(HOUR_US, rows.iter().map(|(key, _)| key.2))
            .long("weather_readings", weather.iter().map(|w| Some(w.map_or(0, |w| w.readings))))
            .flag("weather_local", local)
            .text("weather_condition", weather.iter().map(|w| w.map(Weather::condition)));
        for (which, (_, name)) in MEANS.iter().enumerate() {
            columns = columns.real(name, weather.iter().map(|w| w.and_then(|w| mean(w.sums[which], w.readings))));
        }
        let columns = columns
            .text("intensity", weather.iter().map(|w| w.map(|w| w.intensity(1.0).0)))
            .real("capacity_factor", weather.iter().map(|w| w.map(|w| w.intensity(1.0).1)))
            .long("roads", rows.iter().map(|(_, t)| Some(t.roads.len() as i64)))
            .long("probe_reports", rows.iter().map(|(_, t)| Some(t.reports)))
            .real("speed_kmh", rows.iter().map(|(_, t)| speed(t)))
            .real("free_flow_kmh", rows.iter().map(|(_, t)| mean(t.free_flow, t.reports)))
            .real("speed_ratio", rows.iter().map(|(_, t)| (t.reports > 0).then(|| t.speed / t.free_flow)))
            .real("travel_time_index", rows.iter().map(|(_, t)| index(t)))
            .long("camera_intervals", rows.iter().map(|(_, t)| Some(t.intervals)))
            .long("vehicle_count", rows.iter().map(|(_, t)| (t.intervals > 0).then_some(t.count)))
            .long("incidents", rows.iter().map(|(key, _)| number(&self.incidents, key)))
            .long("accidents", rows.iter().map(|(key, _)| number(&self.accidents, key)));
        Ok(GoldTable {
            name: "weather_impact",
            key: &["district", "road_class", "window_start"],
            additive: &["probe_reports", "camera_intervals"],
            rows: columns.finish()?,
            loose,
        })
    }
}

//! One weather field over the city, and the air: rows for each cell every ten minutes.
//!
//! Simple models, in the published ranges of city.md: an hourly wet–dry Markov chain, a seasonal and daily temperature,
//! winds and variation over the city by smooth noise; pollutants from a background and the traffic in the cell.

use serde::{Deserialize, Serialize};

use super::clock::{self, DAY, HOUR, MINUTE};
use super::rng::{Purpose, Rng, to_exponential};

/// Time between two rows of a cell.
pub const STEP: i64 = 10 * MINUTE;

/// What the sky does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Clear.
    Clear,
    /// Cloudy.
    Cloudy,
    /// Rain.
    Rain,
    /// Snow.
    Snow,
    /// Fog.
    Fog,
}

impl Condition {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Clear => "Clear",
            Condition::Cloudy => "Cloudy",
            Condition::Rain => "Rain",
            Condition::Snow => "Snow",
            Condition::Fog => "Fog",
        }
    }

    /// The condition of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Clear, Self::Cloudy, Self::Rain, Self::Snow, Self::Fog];
        all.into_iter().find(|condition| condition.name() == name)
    }
}

/// Weather and air of one cell from `time` on, for one [`STEP`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CellRow {
    /// Start of the step.
    pub time: i64,
    /// The cell.
    pub cell: u16,
    /// What the sky does.
    pub condition: Condition,
    /// °C.
    pub temperature: f64,
    /// mm/h.
    pub precipitation: f64,
    /// km/h.
    pub wind: f64,
    /// Degrees from north, where it comes from.
    pub wind_direction: f64,
    /// %.
    pub humidity: i32,
    /// m.
    pub visibility: f64,
    /// µg/m³.
    pub pm25: f64,
    /// µg/m³.
    pub pm10: f64,
    /// ppb.
    pub no2: f64,
    /// ppb.
    pub o3: f64,
}

/// The city's weather; advances hour by hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Weather {
    rng: Rng,
    /// The chain's state: hours since the epoch, and whether it is wet.
    hour: i64,
    wet: bool,
}

// Hourly chain, city.md: stationary share of wet hours, and of wet after wet and after dry.
const WET: f64 = 0.093;
const WET_AFTER_WET: f64 = 0.667;
const WET_AFTER_DRY: f64 = 0.034;

/// The chain starts this many hours before it is first asked, so that its start is forgotten.
const SPIN_UP: i64 = 48;

impl Weather {
    /// Weather that can be asked from `start` on.
    pub fn new(rng: Rng, start: i64) -> Self {
        let hour = start.div_euclid(HOUR) - SPIN_UP;
        let wet = rng.unit(Purpose::Weather, 0, hour as u64) < WET;
        let mut weather = Self { rng, hour, wet };
        weather.advance(start);
        weather
    }

    fn advance(&mut self, time: i64) {
        let hour = time.div_euclid(HOUR);
        while self.hour < hour {
            self.hour += 1;
            let chance = if self.wet { WET_AFTER_WET } else { WET_AFTER_DRY };
            self.wet = self.rng.unit(Purpose::Weather, 1, self.hour as u64) < chance;
        }
    }

    /// The cell's row for the step that begins at `time`, which must not go back. `traffic` is the vehicle-kilometres
    /// driven in the cell in the step before.
    pub fn row(&mut self, time: i64, cell: u16, traffic: f64) -> CellRow {
        self.advance(time);
        let rng = self.rng;
        let city = |entity, period| rng.smooth(Purpose::Weather, entity, time, period);
        let local = |entity: u64, period| rng.smooth(Purpose::WeatherCell, u64::from(cell) << 8 | entity, time, period);
        let day = clock::day(time);
        let season = -libm::cos((clock::year_share(day) - 0.055) * std::f64::consts::TAU);
        let hour = clock::time_of_day(time) as f64 / HOUR as f64;
        let sun = libm::cos((hour - 15.0) / 24.0 * std::f64::consts::TAU);
        let temperature = 10.0 + 6.5 * season + 3.5 * sun + 2.5 * city(2, 36 * HOUR) + 0.4 * local(0, 6 * HOUR);
        let precipitation = if self.wet {
            let intensity = 1.4 * to_exponential(rng.unit(Purpose::Weather, 3, self.hour as u64));
            (intensity * libm::exp(0.35 * local(1, HOUR))).max(0.1)
        } else {
            0.0
        };
        let wind = (14.0 + 6.0 * city(4, 8 * HOUR) + 1.5 * local(2, HOUR)).max(1.0);
        let wind_direction = (225.0 + 55.0 * city(5, 12 * HOUR) + 8.0 * local(3, HOUR)).rem_euclid(360.0);
        let humidity =
            (74.0 - 9.0 * sun + if self.wet { 14.0 } else { 0.0 } + 7.0 * city(6, 12 * HOUR)).clamp(20.0, 100.0);
        let cloud = city(7, 5 * HOUR);
        let fog = !self.wet && humidity > 92.0 && wind < 8.0;
        let condition = match () {
            () if self.wet && temperature < 0.5 => Condition::Snow,
            () if self.wet => Condition::Rain,
            () if fog => Condition::Fog,
            () if cloud > 0.1 => Condition::Cloudy,
            () => Condition::Clear,
        };
        let visibility = match condition {
            Condition::Fog => 300.0,
            Condition::Snow => 2_000.0,
            Condition::Rain => 12_000.0 / (1.0 + precipitation / 4.0),
            _ => 25_000.0,
        };
        // Air: background, plus the traffic nearby diluted by the wind, washed by rain; ozone falls where nitrogen rises.
        let stale = libm::exp(0.35 * rng.smooth(Purpose::Air, 0, time, DAY)) * if self.wet { 0.6 } else { 1.0 };
        let emitted = traffic / (0.5 + wind / 15.0);
        let pm25 = (6.5 + 0.012 * emitted) * stale;
        let no2 = (7.0 + 0.09 * emitted) * stale.min(1.5);
        let o3 = (28.0 + 9.0 * season + 8.0 * sun - 0.45 * no2).max(2.0);
        CellRow {
            time,
            cell,
            condition,
            temperature: round(temperature, 10.0),
            precipitation: round(precipitation, 10.0),
            wind: round(wind, 10.0),
            wind_direction: round(wind_direction, 1.0) % 360.0,
            humidity: humidity.round() as i32,
            visibility: round(visibility, 0.01),
            pm25: round(pm25, 10.0),
            pm10: round(pm25 * 1.55 + 2.0, 10.0),
            no2: round(no2, 10.0),
            o3: round(o3, 10.0),
        }
    }
}

fn round(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

impl CellRow {
    /// Speed as a share of dry speed; `[assumed in published ranges]` (city.md).
    pub fn speed_factor(&self) -> f64 {
        match self.condition {
            Condition::Rain if self.precipitation <= 2.5 => 0.97,
            Condition::Rain if self.precipitation <= 6.4 => 0.95,
            Condition::Rain => 0.93,
            Condition::Snow if self.precipitation <= 2.5 => 0.90,
            Condition::Snow => 0.80,
            Condition::Fog => 0.89,
            _ => 1.0,
        }
    }

    /// Capacity as a share of dry capacity (HCM, city.md; thresholds 0.10 and 0.25 in/h, snow 0.05, 0.10 and 0.50).
    pub fn capacity_factor(&self) -> f64 {
        let p = self.precipitation;
        match self.condition {
            Condition::Rain if p <= 2.54 => 1.0 - 0.0201,
            Condition::Rain if p <= 6.35 => 1.0 - 0.0724,
            Condition::Rain => 1.0 - 0.1413,
            Condition::Snow if p <= 1.27 => 1.0 - 0.0429,
            Condition::Snow if p <= 2.54 => 1.0 - 0.0866,
            Condition::Snow if p <= 12.7 => 1.0 - 0.1104,
            Condition::Snow => 1.0 - 0.2243,
            _ => 1.0,
        }
    }

    /// US EPA air quality index and the pollutant that sets it.
    pub fn aqi(&self) -> (i32, &'static str) {
        [
            (index(self.pm25, &PM25), "pm25"),
            (index(self.pm10.floor(), &PM10), "pm10"),
            (index(self.no2.floor(), &NO2), "no2"),
            (index(self.o3.floor(), &O3), "o3"),
        ]
        .into_iter()
        .fold((0, "pm25"), |best, next| if next.0 > best.0 { next } else { best })
    }
}

/// Index at the ends of the classes.
const INDEX: [f64; 7] = [0.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0];
// Upper ends of the classes (US EPA, technical assistance document of 2024). The classes of PM2.5 and PM10 are defined
// for means over 24 hours, of O3 over 8, of NO2 over one; we index the reading, as live displays do.
const PM25: [f64; 7] = [0.0, 9.0, 35.4, 55.4, 125.4, 225.4, 325.4];
const PM10: [f64; 7] = [0.0, 54.0, 154.0, 254.0, 354.0, 424.0, 604.0];
const NO2: [f64; 7] = [0.0, 53.0, 100.0, 360.0, 649.0, 1249.0, 2049.0];
const O3: [f64; 7] = [0.0, 54.0, 70.0, 85.0, 105.0, 200.0, 604.0];

fn index(value: f64, ends: &[f64; 7]) -> i32 {
    let class = ends[1..].iter().position(|end| value <= *end).map_or(6, |p| p + 1);
    let share = (value - ends[class - 1]) / (ends[class] - ends[class - 1]);
    (INDEX[class - 1] + share * (INDEX[class] - INDEX[class - 1])).round().clamp(0.0, 500.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pm25_sets_the_index_at_the_epa_break_points() {
        for (pm25, expected) in [(0.0, 0), (9.0, 50), (35.4, 100), (55.4, 150), (125.4, 200)] {
            assert_eq!(index(pm25, &PM25), expected);
        }
    }

    #[test]
    fn about_one_hour_in_eleven_is_wet_and_neighbours_agree() {
        let start = 20_605 * DAY;
        let mut weather = Weather::new(Rng::new(7), start);
        let (mut wet, hours) = (0, 24 * 365 * 4);
        for h in 0..hours {
            let time = start + h * HOUR;
            let (a, b) = (weather.row(time, 0, 0.0), weather.row(time, 1, 0.0));
            wet += i64::from(a.precipitation > 0.0);
            assert_eq!(a.precipitation > 0.0, b.precipitation > 0.0);
            assert!((a.temperature - b.temperature).abs() < 4.0);
        }
        let share = wet as f64 / hours as f64;
        assert!((0.083..0.105).contains(&share), "{share}");
    }

    #[test]
    fn traffic_makes_air_worse_and_rain_cleans_it() {
        let start = 20_605 * DAY;
        let at = |traffic| Weather::new(Rng::new(7), start).row(start, 0, traffic);
        assert!(at(2_000.0).pm25 > at(0.0).pm25 + 5.0);
        assert!(at(2_000.0).o3 < at(0.0).o3);
    }
}

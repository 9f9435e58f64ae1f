//! One weather field over the city: rows for each cell every ten minutes, with the [`air`](super::air) in them.
//!
//! An hourly wet–dry Markov chain with its seasons; temperature by season, time of day and a slow residual; what varies
//! over the city does so by one covariance ([`field`](super::field)), so that neighbours agree.

use serde::{Deserialize, Serialize};

use super::air::Air;
use super::clock::{self, HOUR, MINUTE};
use super::field::{Spread, Wander};
use super::network::Network;
use super::rng::{Purpose, Rng, to_exponential};
use super::round::round;
use crate::error::{Error, Result};

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

// Hourly chain (city.md; a station in southern England, 1994–2003): share of wet hours over the year, and of wet hours after
// wet ones; after dry ones it follows, 0.034 on average.
const WET: f64 = 0.093;
const WET_AFTER_WET: f64 = 0.667;
/// Share of wet hours by season: so much more of it in the middle of November, so much less in May `[assumed]`; the same
/// station had 4 % at the least and 19 % at the most, by month and hour.
const WET_SEASON: f64 = 0.5;
const WETTEST: f64 = 0.87;
/// Intensity of a wet hour: gamma of this shape and mean in mm/h `[assumed]`.
const RAIN_SHAPE: f64 = 0.6;
const RAIN_MEAN: f64 = 1.2;
/// What makes an hour a wet one, in mm (the same station's).
const LEAST_RAIN: f64 = 0.2;
/// Spread of the logarithm of intensity over the city `[assumed]`.
const RAIN_SPREAD: f64 = 0.5;

// Temperature in °C `[assumed]`, near central England's: mean, half the range over the year and over the day (more in
// summer), sd of the residual. It is coldest on 20 January and warmest at 15:00.
const MEAN: f64 = 10.0;
const SEASON: f64 = 6.5;
const COLDEST: f64 = 0.055;
const DAILY: f64 = 3.5;
const DAILY_SEASON: f64 = 1.0;
const WARMEST_HOUR: f64 = 15.0;
const RESIDUAL: f64 = 2.5;
/// Colder than this, what falls is snow (realism.md, section 4).
const SNOW_BELOW: f64 = 1.0;

// Dew point: so far below the day's mean temperature when dry and when wet, and its sd, in °C `[assumed]`.
const DRY_DEPRESSION: f64 = 4.0;
const WET_DEPRESSION: f64 = 1.2;
const MOISTURE: f64 = 1.5;
// Fog is moist and calm: %, and km/h (2 m/s; realism.md, section 4).
const FOG_HUMIDITY: f64 = 97.0;
const FOG_WIND: f64 = 7.2;

// Wind: a prevailing one from the south-west, and noise in each direction, in km/h `[assumed]`; the speed comes near a
// Weibull distribution of shape 2 with mean 13.
const PREVAILING: f64 = 5.6;
const GUSTS: f64 = 9.0;

/// The sky is cloudy where its noise is above this: six dry hours in ten `[assumed]`.
const CLOUDY: f64 = -0.25;

// What varies over the city, and how long in hours it lasts: temperature 24 to 48 (city.md), the others `[assumed]`.
const TEMPERATURE: usize = 0;
const EASTWARD: usize = 1;
const NORTHWARD: usize = 2;
const DEW: usize = 3;
const CLOUD: usize = 4;
const RAIN: usize = 5;
const LASTS: [f64; 6] = [36.0, 8.0, 8.0, 12.0, 5.0, 3.0];

/// The weather begins this many hours before it is first asked, so that its beginning is forgotten: seven times the longest
/// that anything lasts.
const SPIN_UP: i64 = 252;

/// Where the weather is: with the city's seed, all that it needs to go on. Whole numbers, so that it can be saved in any
/// format without loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Hours since the epoch.
    hour: i64,
    wet: bool,
    noise: Vec<Wander>,
}

/// The city's weather; advances hour by hour.
#[derive(Debug, Clone)]
pub struct Weather {
    rng: Rng,
    spread: Spread,
    air: Air,
    state: State,
}

impl Weather {
    /// Weather over the network's stations that can be asked from `start` on.
    pub fn new(rng: Rng, network: &Network, start: i64) -> Self {
        let hour = start.div_euclid(HOUR) - SPIN_UP;
        let wet = rng.unit(Purpose::Weather, 0, hour as u64) < wet_share(hour);
        let spread = Spread::new(&network.stations);
        let begin = |(element, tau): (usize, &f64)| {
            let draw = |hour| draw(rng, &spread, element, hour);
            Wander::new(draw(hour), &draw(hour + 1), *tau)
        };
        let noise = LASTS.iter().enumerate().map(begin).collect();
        let mut weather = Self { rng, spread, air: Air::new(rng, network), state: State { hour, wet, noise } };
        weather.advance(start);
        weather
    }

    /// Weather that goes on where `state` is.
    ///
    /// # Errors
    /// `Config` where the state is that of another network.
    pub fn resume(rng: Rng, network: &Network, state: State) -> Result<Self> {
        let cells = network.cell_count();
        if state.noise.len() != LASTS.len() || state.noise.iter().any(|noise| !noise.covers(cells)) {
            return Err(Error::config(format!("The saved weather is not that of a city with {cells} weather cells"))
                .help("Resume with the options of the run that saved it"));
        }
        Ok(Self { rng, spread: Spread::new(&network.stations), air: Air::new(rng, network), state })
    }

    /// Where it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn advance(&mut self, time: i64) {
        let hour = time.div_euclid(HOUR);
        let Self { rng, spread, state, .. } = self;
        while state.hour < hour {
            state.hour += 1;
            let chance = if state.wet { WET_AFTER_WET } else { wet_after_dry(state.hour) };
            state.wet = rng.unit(Purpose::Weather, 1, state.hour as u64) < chance;
            for (element, (noise, tau)) in state.noise.iter_mut().zip(LASTS).enumerate() {
                noise.advance(&draw(*rng, spread, element, state.hour + 1), tau);
            }
        }
    }

    /// The rows of all cells for the step that begins at `time`, which must not go back. `driven` is the vehicle-kilometres
    /// of each cell in the step before.
    pub fn step(&mut self, time: i64, driven: &[f64]) -> Vec<CellRow> {
        self.advance(time);
        let intensity = if self.state.wet { intensity(self.rng, self.state.hour) } else { 0.0 };
        let traffic = self.air.traffic(driven);
        (0..driven.len()).map(|cell| self.row(time, cell, intensity, traffic[cell])).collect()
    }

    fn row(&self, time: i64, cell: usize, intensity: f64, traffic: f64) -> CellRow {
        let wet = self.state.wet;
        let share = time.rem_euclid(HOUR) as f64 / HOUR as f64;
        let noise = |element: usize| self.state.noise[element].at(cell, share);
        let season = season(time);
        let hour = clock::time_of_day(time) as f64 / HOUR as f64;
        let sun = libm::cos((hour - WARMEST_HOUR) / 24.0 * std::f64::consts::TAU);
        let mean = MEAN + SEASON * season + RESIDUAL * noise(TEMPERATURE);
        let temperature = mean + (DAILY + DAILY_SEASON * season) * sun;
        let precipitation = if wet {
            // Less half the square of its spread, the factor's mean is 1.
            let factor = libm::exp(RAIN_SPREAD * noise(RAIN) - RAIN_SPREAD * RAIN_SPREAD / 2.0);
            (intensity * factor).max(LEAST_RAIN)
        } else {
            0.0
        };
        let (east, north) = (PREVAILING + GUSTS * noise(EASTWARD), PREVAILING + GUSTS * noise(NORTHWARD));
        let wind = (east * east + north * north).sqrt();
        let depression = if wet { WET_DEPRESSION } else { DRY_DEPRESSION };
        let dew = (mean - depression + MOISTURE * noise(DEW)).min(temperature);
        let humidity = 100.0 * saturation(dew) / saturation(temperature);
        let condition = match () {
            () if wet && temperature < SNOW_BELOW => Condition::Snow,
            () if wet => Condition::Rain,
            () if humidity > FOG_HUMIDITY && wind < FOG_WIND => Condition::Fog,
            () if noise(CLOUD) > CLOUDY => Condition::Cloudy,
            () => Condition::Clear,
        };
        // `[assumed]`
        let visibility = match condition {
            Condition::Fog => 300.0,
            Condition::Snow => 2_000.0,
            Condition::Rain => 12_000.0 / (1.0 + precipitation / 4.0),
            _ => 25_000.0,
        };
        let air = self.air.pollutants(time, traffic, wind, precipitation);
        CellRow {
            time,
            cell: cell as u16,
            condition,
            temperature: round(temperature, 10.0),
            precipitation: round(precipitation, 10.0),
            wind: round(wind, 10.0),
            // The wind's name is where it comes from.
            wind_direction: round(libm::atan2(-east, -north).to_degrees().rem_euclid(360.0), 1.0) % 360.0,
            humidity: humidity.round() as i32,
            visibility: round(visibility, 0.01),
            pm25: round(air.pm25, 10.0),
            pm10: round(air.pm10, 10.0),
            no2: round(air.no2, 10.0),
            o3: round(air.o3, 10.0),
        }
    }
}

/// −1 in the coldest days of the year, 1 in the warmest.
pub(super) fn season(time: i64) -> f64 {
    -libm::cos((clock::year_share(clock::day(time)) - COLDEST) * std::f64::consts::TAU)
}

fn wet_share(hour: i64) -> f64 {
    let turn = clock::year_share(clock::day(hour * HOUR)) - WETTEST;
    WET * (1.0 + WET_SEASON * libm::cos(turn * std::f64::consts::TAU))
}

/// What keeps the chain at its share of wet hours.
fn wet_after_dry(hour: i64) -> f64 {
    let wet = wet_share(hour);
    (1.0 - WET_AFTER_WET) * wet / (1.0 - wet)
}

/// One draw of an element over the city.
fn draw(rng: Rng, spread: &Spread, element: usize, hour: i64) -> Vec<f64> {
    spread.draw(|place| rng.normal(Purpose::WeatherCell, (element as u64) << 32 | place as u64, hour as u64))
}

/// The city's intensity in a wet hour: a gamma variate, as an exponential one times a beta one by Jöhnk's rejection; four in
/// five tries are taken.
fn intensity(rng: Rng, hour: i64) -> f64 {
    let unit = |n: u64| rng.unit(Purpose::Weather, 3, (hour as u64) << 16 | n);
    let tries = (0..64u64).map(|n| {
        let x = libm::pow(unit(3 * n), 1.0 / RAIN_SHAPE);
        (x, x + libm::pow(unit(3 * n + 1), 1.0 / (1.0 - RAIN_SHAPE)), to_exponential(unit(3 * n + 2)))
    });
    let taken = tries.into_iter().find(|(_, sum, _)| *sum > 0.0 && *sum <= 1.0);
    let gamma = taken.map_or(RAIN_SHAPE, |(x, sum, exponential)| exponential * x / sum);
    gamma * RAIN_MEAN / RAIN_SHAPE
}

/// Pressure of saturated vapour over what it is at 0 °C (Magnus' formula, constants of Alduchov and Eskridge 1996).
fn saturation(temperature: f64) -> f64 {
    libm::exp(17.625 * temperature / (243.04 + temperature))
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
}

#[cfg(test)]
mod tests {
    use super::super::clock::DAY;
    use super::*;

    const START: i64 = 20_605 * DAY;

    fn network() -> Network {
        Network::procedural(Rng::new(7), 2_000)
    }

    #[test]
    fn about_one_hour_in_eleven_is_wet_more_in_winter_and_spells_last_three_hours() {
        let network = network();
        let (hours, mut wet, mut spells) = (24 * 365 * 30, [0u32; 2], 0u32);
        let mut weather = Weather::new(Rng::new(7), &network, START);
        let mut before = false;
        for h in 0..hours {
            let time = START + h * HOUR;
            weather.advance(time);
            let now = weather.state.wet;
            let winter = (clock::year_share(clock::day(time)) + 0.25).rem_euclid(1.0) < 0.5;
            wet[usize::from(winter)] += u32::from(now);
            spells += u32::from(now && !before);
            before = now;
        }
        let all = f64::from(wet[0] + wet[1]);
        let share = all / hours as f64;
        assert!((0.086..0.102).contains(&share), "{share}");
        assert!(f64::from(wet[1]) > 1.3 * f64::from(wet[0]), "{wet:?}");
        let spell = all / f64::from(spells);
        assert!((2.8..3.2).contains(&spell), "{spell} hours");
    }

    #[test]
    fn intensity_is_gamma() {
        let rng = Rng::new(7);
        let n = 100_000;
        let mut drawn: Vec<f64> = (0..n).map(|h| intensity(rng, h)).collect();
        let mean = drawn.iter().sum::<f64>() / n as f64;
        let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean / RAIN_MEAN - 1.0).abs() < 0.02, "mean {mean}");
        assert!((mean * mean / variance / RAIN_SHAPE - 1.0).abs() < 0.05, "shape {}", mean * mean / variance);
        drawn.sort_by(f64::total_cmp);
        // The median of a gamma distribution of shape 0.6 is 0.3157 of its scale.
        assert!((drawn[n as usize / 2] / 0.631 - 1.0).abs() < 0.05, "median {}", drawn[n as usize / 2]);
    }

    #[test]
    fn temperature_keeps_from_hour_to_hour_and_neighbours_agree() {
        let network = network();
        let none = vec![0.0; network.cell_count()];
        let mut weather = Weather::new(Rng::new(7), &network, START);
        let hours = 24 * 365;
        let mut series = Vec::new();
        let (mut near, mut far, mut apart) = (Vec::new(), Vec::new(), 0.0f64);
        let (mut fog, mut snow, mut wind) = (0, 0, 0.0);
        let last = none.len() - 1;
        for h in 0..hours {
            let time = START + h * HOUR;
            let rows = weather.step(time, &none);
            let mean = |cell: usize| rows[cell].temperature;
            let hour = h as usize % 24;
            series.push((hour, mean(0)));
            near.push((mean(0), mean(1)));
            far.push((mean(0), mean(last)));
            apart = apart.max((mean(0) - mean(1)).abs());
            fog += i32::from(rows[0].condition == Condition::Fog);
            snow += i32::from(rows[0].condition == Condition::Snow);
            wind += rows[0].wind / hours as f64;
            assert!(rows.iter().all(|r| (r.precipitation > 0.0) == (rows[0].precipitation > 0.0)));
            assert!(rows.iter().all(|r| (0..=100).contains(&r.humidity) && (0.0..360.0).contains(&r.wind_direction)));
        }
        let shifted: Vec<_> = series.windows(2).map(|w| (w[0].1, w[1].1)).collect();
        assert!(correlation(&shifted) > 0.95, "lag-1 {}", correlation(&shifted));
        assert!(correlation(&near) > correlation(&far) && correlation(&near) > 0.96, "{}", correlation(&near));
        assert!(apart < 6.0, "{apart} degrees between neighbours");
        let at = |hour| series.iter().filter(|s| s.0 == hour).map(|s| s.1).sum::<f64>() / (hours / 24) as f64;
        assert!((5.0..10.0).contains(&(at(15) - at(3))), "{} degrees over the day", at(15) - at(3));
        assert!((11.0..16.0).contains(&wind), "{wind} km/h");
        assert!((5..400).contains(&fog) && (1..200).contains(&snow), "{fog} hours of fog, {snow} of snow");
    }

    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let n = pairs.len() as f64;
        let (a, b) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
        let sum = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
        let (aa, bb) = (sum(&|p| (p.0 - a).powi(2)), sum(&|p| (p.1 - b).powi(2)));
        sum(&|p| (p.0 - a) * (p.1 - b)) / (aa * bb).sqrt()
    }

    #[test]
    fn it_goes_on_from_a_saved_state_as_if_it_had_not_stopped() {
        let network = network();
        let driven = vec![30.0; network.cell_count()];
        let mut weather = Weather::new(Rng::new(7), &network, START);
        weather.step(START + 5 * HOUR, &driven);
        let saved = serde_json::to_string(weather.state()).unwrap();
        let mut resumed = Weather::resume(Rng::new(7), &network, serde_json::from_str(&saved).unwrap()).unwrap();
        for k in 31..200 {
            assert_eq!(weather.step(START + k * STEP, &driven), resumed.step(START + k * STEP, &driven));
        }
        let other = Network::procedural(Rng::new(7), 400_000);
        assert!(Weather::resume(Rng::new(7), &other, weather.state().clone()).is_err());
    }
}

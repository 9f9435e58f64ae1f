//! The air: background and what the traffic nearby emits, diluted by the wind, washed by rain; and its quality index.
//!
//! Exhaust is mostly nitric oxide, which takes its second oxygen from ozone: so nitrogen dioxide rises and ozone falls
//! with traffic, by no more than there is ozone.

use super::clock::{self, DAY, HOUR};
use super::network::Network;
use super::rng::{Purpose, Rng};
use super::weather::{self, CellRow, STEP};

/// Emissions are felt over this distance in metres: to 1/e `[assumed]`.
const NEARBY: f64 = 2_000.0;
/// Nitrogen oxides in ppb, in still air, for each vehicle-kilometre an hour and square kilometre `[assumed]`, so that the
/// traffic of 100,000 vehicles adds some 22 to 34 ppb of NO2 at its peak (Carslaw 2006, at a busy site in London).
const OXIDES: f64 = 0.25;
/// Wind in km/h that halves what traffic adds `[assumed]`.
const HALVING_WIND: f64 = 15.0;
/// Share of nitrogen oxides that is NO2 when it leaves the exhaust `[assumed]`; the rest needs ozone.
const PRIMARY: f64 = 0.2;
/// PM2.5 in µg/m³ that comes with a ppb of nitrogen oxides, and coarse dust of tyres, brakes and the road `[assumed]`.
const FINE: f64 = 0.05;
const COARSE: f64 = 0.04;
// Background `[assumed]`, that of a British town: PM2.5 and coarse dust in µg/m³, NO2 and ozone in ppb; ozone is more in
// summer and by day. All but ozone rise and fall over days, by this spread of the logarithm.
const PM25_BACKGROUND: f64 = 6.5;
const COARSE_BACKGROUND: f64 = 4.5;
const NO2_BACKGROUND: f64 = 7.0;
const O3_BACKGROUND: f64 = 28.0;
const O3_SEASON: f64 = 9.0;
const O3_DAILY: f64 = 8.0;
const O3_HOUR: f64 = 15.0;
const O3_LEAST: f64 = 2.0;
const STALE: f64 = 0.35;
/// Rain leaves at least this share of the particles, and washes the rest to 1/e at this rate in mm/h `[assumed]`. Nitrogen
/// dioxide and ozone hardly dissolve.
const UNWASHED: f64 = 0.5;
const WASHING_RAIN: f64 = 2.0;

/// What the air holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pollutants {
    /// µg/m³.
    pub pm25: f64,
    /// µg/m³.
    pub pm10: f64,
    /// ppb.
    pub no2: f64,
    /// ppb.
    pub o3: f64,
}

/// The air over a network's cells.
#[derive(Debug, Clone)]
pub struct Air {
    rng: Rng,
    cells: usize,
    /// For each cell and each other: vehicle-kilometres of a step there to vehicle-kilometres an hour and square kilometre
    /// here.
    weights: Vec<f64>,
}

impl Air {
    /// The air over a network.
    pub fn new(rng: Rng, network: &Network) -> Self {
        let cells = network.cell_count();
        let size = 2.0 * network.half_width() / (cells as f64).sqrt();
        let weight = |x: f64, y: f64| libm::exp(-(x * x + y * y).sqrt() / NEARBY);
        // Even traffic everywhere counts as what it is.
        let around = (-3..=3).flat_map(|i| (-3..=3).map(move |j| (f64::from(i), f64::from(j))));
        let all: f64 = around.map(|(i, j)| weight(i * size, j * size)).sum();
        let hourly = HOUR as f64 / STEP as f64 / (size * size / 1e6);
        let stations = &network.stations;
        let weights = stations
            .iter()
            .flat_map(|p| stations.iter().map(move |q| weight(p.x - q.x, p.y - q.y) / all * hourly))
            .collect();
        Self { rng, cells, weights }
    }

    /// Vehicle-kilometres an hour and square kilometre around each cell, from those that were driven in each in a step.
    pub fn traffic(&self, driven: &[f64]) -> Vec<f64> {
        let around = |row: &[f64]| row.iter().zip(driven).map(|(w, d)| w * d).sum();
        self.weights.chunks(self.cells).map(around).collect()
    }

    /// What the air holds with so much traffic around it, in vehicle-kilometres an hour and square kilometre, wind in km/h
    /// and rain in mm/h.
    pub fn pollutants(&self, time: i64, traffic: f64, wind: f64, precipitation: f64) -> Pollutants {
        let stale = libm::exp(STALE * self.rng.smooth(Purpose::Air, 0, time, DAY));
        let oxides = OXIDES * traffic / (1.0 + wind / HALVING_WIND);
        let hour = clock::time_of_day(time) as f64 / HOUR as f64;
        let sun = libm::cos((hour - O3_HOUR) / 24.0 * std::f64::consts::TAU);
        let ozone = (O3_BACKGROUND + O3_SEASON * weather::season(time) + O3_DAILY * sun).max(O3_LEAST);
        // What is left of ozone falls by as much as the oxide that finds it.
        let spent = (ozone - O3_LEAST) * (1.0 - libm::exp(-(1.0 - PRIMARY) * oxides / ozone));
        let washed = UNWASHED + (1.0 - UNWASHED) * libm::exp(-precipitation / WASHING_RAIN);
        let pm25 = (PM25_BACKGROUND * stale + FINE * oxides) * washed;
        let coarse = (COARSE_BACKGROUND * stale + COARSE * oxides) * washed;
        Pollutants {
            pm25,
            pm10: pm25 + coarse,
            no2: NO2_BACKGROUND * stale + PRIMARY * oxides + spent,
            o3: ozone - spent,
        }
    }
}

impl CellRow {
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

    const START: i64 = 20_605 * DAY;

    #[test]
    fn pm25_sets_the_index_at_the_epa_break_points() {
        for (pm25, expected) in [(0.0, 0), (9.0, 50), (35.4, 100), (55.4, 150), (125.4, 200)] {
            assert_eq!(index(pm25, &PM25), expected);
        }
    }

    #[test]
    fn traffic_makes_air_worse_wind_carries_it_away_and_rain_washes_it() {
        let rng = Rng::new(7);
        let air = Air::new(rng, &Network::procedural(rng, 2_000));
        let at = |traffic, wind, rain| air.pollutants(START, traffic, wind, rain);
        let (clean, busy) = (at(0.0, 10.0, 0.0), at(400.0, 10.0, 0.0));
        assert!(busy.pm25 > clean.pm25 + 2.0 && busy.pm10 > clean.pm10 + 4.0);
        let added = busy.no2 - clean.no2;
        assert!((22.0..40.0).contains(&added), "{added} ppb of NO2");
        assert!(busy.o3 < clean.o3 && busy.o3 >= O3_LEAST);
        assert!(at(400.0, 40.0, 0.0).no2 < busy.no2 && at(400.0, 40.0, 0.0).pm25 < busy.pm25);
        assert!(at(400.0, 10.0, 4.0).pm25 < busy.pm25 * 0.7 && at(400.0, 10.0, 4.0).no2 == busy.no2);
        assert!(at(1e6, 0.0, 0.0).o3 >= O3_LEAST * 0.99);
    }

    #[test]
    fn traffic_counts_most_where_it_is_and_less_next_to_it() {
        let rng = Rng::new(7);
        let network = Network::procedural(rng, 2_000);
        let air = Air::new(rng, &network);
        let side = (network.cell_count() as f64).sqrt() as usize;
        let middle = side * (side / 2) + side / 2;
        let mut driven = vec![0.0; network.cell_count()];
        driven[middle] = 100.0;
        let near = air.traffic(&driven);
        assert!(near[middle] > 2.0 * near[middle + 1] && near[middle + 1] > near[middle + side + 1]);
        assert!(near[middle + 1] > 0.0);
        let size = 2.0 * network.half_width() / side as f64 / 1_000.0;
        let even = air.traffic(&vec![100.0; network.cell_count()])[middle];
        assert!((even / (600.0 / (size * size)) - 1.0).abs() < 0.05, "{even}");
    }
}

//! The vehicles: what each one is, fixed for its life.

use super::clock;
use super::demand::{COMMUTE_METRES, COMMUTE_SIGMA, destination};
use super::network::{Network, RoadClass};
use super::rng::{Purpose, Rng};

/// A kind of vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VehicleType {
    /// A car.
    Car,
    /// A van.
    Van,
    /// A lorry.
    Goods,
    /// An ambulance.
    Ambulance,
    /// A fire engine.
    FireEngine,
    /// A police car.
    PoliceCar,
}

impl VehicleType {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            VehicleType::Car => "Car",
            VehicleType::Van => "Van",
            VehicleType::Goods => "Goods",
            _ => "Emergency",
        }
    }

    /// Whether dispatch sends it, rather than a plan of trips.
    pub fn is_emergency(self) -> bool {
        matches!(self, VehicleType::Ambulance | VehicleType::FireEngine | VehicleType::PoliceCar)
    }
}

/// A model that is really made, with the fuels it comes with and the years it was sold new.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Manufacturer.
    pub make: &'static str,
    /// Model.
    pub model: &'static str,
    /// Fuels in the order of [`FUELS`], by weight.
    fuels: [u8; 4],
    /// First and last model year.
    years: (i16, i16),
}

/// Fuels in the order of the weights of [`Model`].
pub const FUELS: [&str; 4] = ["Petrol", "Diesel", "Hybrid", "Electric"];

const fn model(make: &'static str, model: &'static str, fuels: [u8; 4], years: (i16, i16)) -> Model {
    Model { make, model, fuels, years }
}

/// Popular models on British roads; weights are equal within a kind `[assumed]`. Fuels are chosen so that the fleet comes
/// near petrol 58 %, diesel 32 %, electric 3.7 % (city.md).
const CARS: &[Model] = &[
    model("Ford", "Fiesta", [92, 8, 0, 0], (2002, 2023)),
    model("Ford", "Focus", [65, 32, 3, 0], (2004, 2025)),
    model("Vauxhall", "Corsa", [88, 6, 0, 6], (2003, 2026)),
    model("Vauxhall", "Astra", [70, 25, 5, 0], (2004, 2026)),
    model("Volkswagen", "Golf", [58, 34, 8, 0], (2004, 2026)),
    model("Volkswagen", "Polo", [94, 6, 0, 0], (2002, 2026)),
    model("BMW", "3 Series", [38, 42, 20, 0], (2005, 2026)),
    model("Nissan", "Qashqai", [56, 36, 8, 0], (2007, 2026)),
    model("Toyota", "Yaris", [52, 0, 48, 0], (2006, 2026)),
    model("Mini", "Cooper", [80, 12, 0, 8], (2002, 2026)),
    model("Audi", "A3", [58, 36, 6, 0], (2004, 2026)),
    model("Kia", "Sportage", [48, 38, 14, 0], (2008, 2026)),
    model("Tesla", "Model 3", [0, 0, 0, 100], (2019, 2026)),
];
const VANS: &[Model] = &[
    model("Ford", "Transit", [0, 97, 0, 3], (2006, 2026)),
    model("Vauxhall", "Vivaro", [0, 93, 0, 7], (2006, 2026)),
    model("Mercedes-Benz", "Sprinter", [0, 98, 0, 2], (2006, 2026)),
];
const GOODS: &[Model] =
    &[model("DAF", "LF", [0, 100, 0, 0], (2006, 2026)), model("Scania", "P-Series", [0, 100, 0, 0], (2006, 2026))];
const AMBULANCES: &[Model] = &[model("Fiat", "Ducato", [0, 100, 0, 0], (2014, 2026))];
const FIRE_ENGINES: &[Model] = &[model("Scania", "P280", [0, 100, 0, 0], (2012, 2026))];
const POLICE_CARS: &[Model] = &[model("Peugeot", "308", [40, 60, 0, 0], (2014, 2026))];

/// One vehicle.
#[derive(Debug, Clone, Copy)]
pub struct Vehicle {
    /// Kind.
    pub kind: VehicleType,
    /// Make and model.
    pub model: &'static Model,
    /// Index into [`FUELS`].
    pub fuel: u8,
    /// Model year.
    pub year: i16,
    /// Desired speed on streets as a share of the limit; see [`pace_on`] for other roads.
    pub pace: f64,
    /// Junction where it spends the night.
    pub home: u32,
    /// Junction where it spends the working day; `home` where it doesn't commute.
    pub work: u32,
    /// Kilometres on the clock at the city's start.
    pub odometer_km: f64,
}

/// Spread of desired speeds on motorways over that on 30-mph roads, both as shares of the limit, and the mean share: 69.0/7.8
/// of 70 mph against 30.0/6.1 of 30 (DfT 2022 exceedances, city.md).
const MOTORWAY_SPREAD: f64 = (7.8 / 70.0) / (6.1 / 30.0);
const MOTORWAY_MEAN: f64 = 69.0 / 70.0;

/// Desired speed as a share of the limit of a road of this class, for a driver of this [`Vehicle::pace`].
pub fn pace_on(pace: f64, class: RoadClass) -> f64 {
    match class {
        RoadClass::Motorway => MOTORWAY_MEAN + (pace - 1.0) * MOTORWAY_SPREAD,
        RoadClass::Arterial | RoadClass::Street => pace,
    }
}

/// The fleet: vehicles that people drive, then those that dispatch sends.
#[derive(Debug)]
pub struct Fleet {
    /// All vehicles; the index is the vehicle's number.
    pub vehicles: Vec<Vehicle>,
}

impl Fleet {
    /// A fleet of `count` vehicles at `start`. One in two hundred is an emergency vehicle, at least three where there are
    /// ten or more.
    pub fn new(rng: Rng, network: &Network, count: u32, start: i64) -> Self {
        let emergency = if count >= 10 { (count / 200).max(3) } else { 0 };
        let year = clock::year(clock::day(start)) as i16;
        let vehicles = (0..count)
            .map(|v| {
                let rank = v.checked_sub(count - emergency);
                vehicle(rng, network, v, rank, year)
            })
            .collect();
        Self { vehicles }
    }

    /// Number of vehicles.
    pub fn len(&self) -> u32 {
        self.vehicles.len() as u32
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.vehicles.is_empty()
    }
}

fn vehicle(rng: Rng, network: &Network, v: u32, emergency_rank: Option<u32>, year: i16) -> Vehicle {
    let entity = u64::from(v);
    let unit = |counter| rng.unit(Purpose::Fleet, entity, counter);
    let below = |counter, n| rng.below(Purpose::Fleet, entity, counter, n);
    let kind = match emergency_rank {
        Some(rank) => [VehicleType::PoliceCar, VehicleType::Ambulance, VehicleType::FireEngine][rank as usize % 3],
        None => match below(0, 1_000) {
            // Shares of vehicles that give the vehicle-km of city.md: cars 79 %, vans 13 %, goods 6 %.
            0..=829 => VehicleType::Car,
            830..=949 => VehicleType::Van,
            _ => VehicleType::Goods,
        },
    };
    let models = match kind {
        VehicleType::Car => CARS,
        VehicleType::Van => VANS,
        VehicleType::Goods => GOODS,
        VehicleType::Ambulance => AMBULANCES,
        VehicleType::FireEngine => FIRE_ENGINES,
        VehicleType::PoliceCar => POLICE_CARS,
    };
    let model = &models[below(1, models.len() as u64) as usize];
    // Ages fall off around a mean of nine and a half years, within the years in which the model was sold.
    let age = (unit(2) + unit(3)) * 9.5;
    let model_year = (year - age as i16).clamp(model.years.0, model.years.1).min(year);
    let mut pick = below(4, model.fuels.iter().map(|w| u64::from(*w)).sum());
    let mut fuel = 0u8;
    for (f, weight) in model.fuels.iter().enumerate() {
        if pick < u64::from(*weight) {
            fuel = f as u8;
            break;
        }
        pick -= u64::from(*weight);
    }
    let junctions = network.junctions.len() as u64;
    let home = below(5, junctions) as u32;
    // Eleven in twenty commute `[assumed]`; work lies towards the centre: the nearer of two draws.
    let commutes = !kind.is_emergency() && unit(6) < 0.55;
    let centrality = |j: u32| {
        let p = network.junctions[j as usize];
        p.x * p.x + p.y * p.y
    };
    let work = if commutes {
        let wanted = COMMUTE_METRES * libm::exp(COMMUTE_SIGMA * rng.normal(Purpose::Fleet, entity, 7));
        let draw = |from: u64| destination(network, home, wanted, |n| rng.bits(Purpose::Fleet, entity, from + n));
        let (a, b) = (draw(16), draw(20));
        if centrality(a) <= centrality(b) { a } else { b }
    } else {
        home
    };
    // Speeds on free-flowing 30-mph roads: mean 30.0, sd 6.1 mph (DfT 2022 exceedances, city.md); emergency vehicles
    // drive a quarter faster.
    let pace = (1.0 + 6.1 / 30.0 * rng.normal(Purpose::Fleet, entity, 9)).clamp(0.55, 1.6);
    let pace = if kind.is_emergency() { pace.max(1.0) * 1.25 } else { pace };
    let km_per_year = 6_000.0 + 9_000.0 * unit(10);
    let odometer_km = ((f64::from(year - model_year) + 0.5) * km_per_year).round();
    Vehicle { kind, model, fuel, year: model_year, pace, home, work, odometer_km }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_are_possible() {
        let rng = Rng::new(7);
        let network = Network::procedural(rng, 5_000);
        let fleet = Fleet::new(rng, &network, 5_000, 1_780_272_000_000);
        assert_eq!(fleet.len(), 5_000);
        let mut fuels = [0usize; 4];
        for v in &fleet.vehicles {
            assert!(v.model.fuels[usize::from(v.fuel)] > 0, "{} {}", v.model.model, FUELS[usize::from(v.fuel)]);
            assert!(v.year >= v.model.years.0 && v.year <= v.model.years.1 && v.year <= 2026);
            fuels[usize::from(v.fuel)] += 1;
        }
        assert!(fuels.iter().all(|n| *n > 0), "{fuels:?}");
        assert_eq!(fleet.vehicles.iter().filter(|v| v.kind.is_emergency()).count(), 25);
    }
}

//! The vehicles: what each one is, fixed for its life.

use super::clock;
use super::demand::{COMMUTE_METRES, COMMUTE_SIGMA, way};
use super::landuse::{GOLDEN, LandUse, Weighted};
pub use super::models::FUELS;
use super::models::{self, Model};
use super::network::{Network, Place, RoadClass};
use super::rng::{Purpose, Rng, to_unit};

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

/// Of 256 drivers, how many like to drive more slowly than one of this [`Vehicle::pace`].
pub fn pace_rank(pace: f64) -> u8 {
    let share = 0.5 * libm::erfc((1.0 - pace) / PACE_SPREAD / std::f64::consts::SQRT_2);
    (share * 256.0) as u8
}

/// The fleet: vehicles that people drive, then those that dispatch sends.
#[derive(Debug)]
pub struct Fleet {
    /// All vehicles; the index is the vehicle's number.
    pub vehicles: Vec<Vehicle>,
    /// Their kinds alone, which fit the cache where the vehicles do not: most events say no more of what sends them.
    pub kinds: Vec<VehicleType>,
}

impl Fleet {
    /// A fleet of `count` vehicles at `start`, the last of them emergency vehicles: as many of each type as the city's area
    /// and people need, one in [`FEWEST_OTHERS`] vehicles at most, and one of each at least where there are ten vehicles.
    pub fn new(rng: Rng, network: &Network, count: u32, start: i64) -> Self {
        let half = network.half_width() / 1_000.0;
        let area = std::f64::consts::PI * half * half;
        let needed = (area * RESPONDERS + f64::from(count) * RESPONDERS_OUT).round() as u32;
        let each = if count >= 10 { needed.min(count / FEWEST_OTHERS / 3).max(1) } else { 0 };
        let year = clock::year(clock::day(start)) as i16;
        let others = count - 3 * each;
        let land = |use_of: fn(&LandUse, Place) -> f64| {
            Weighted::new(network.junctions.iter().map(|p| use_of(&network.land, *p)))
        };
        let places = Places { homes: land(LandUse::homes), work: land(LandUse::work) };
        let vehicles: Vec<Vehicle> = (0..count)
            .map(|v| match v.checked_sub(others) {
                Some(rank) => responder(rng, network, v, (rank, each), year),
                None => private(rng, network, &places, v, year),
            })
            .collect();
        let kinds = vehicles.iter().map(|v| v.kind).collect();
        Self { vehicles, kinds }
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

/// Emergency vehicles of each type for a square kilometre, and for a vehicle of the fleet, since some are always out
/// `[assumed]`: so that from the call to the arrival takes seven minutes on average (mean of American towns, realism.md,
/// section 5).
const RESPONDERS: f64 = 0.0105;
const RESPONDERS_OUT: f64 = 9e-5;
/// Of so many vehicles, one at most is an emergency vehicle `[assumed]`.
pub const FEWEST_OTHERS: u32 = 20;
/// Shares of cars and vans among private vehicles, the rest being goods vehicles: all drive as far, so these are the shares
/// of vehicle-kilometres, 79, 13 and 6 % (DfT 2006, city.md) without the 2 % of others.
const CARS: f64 = 0.806;
const VANS: f64 = 0.133;
/// Ages are spread like the sum of two even draws around this mean in years (SMMT, city.md), up to twice as much.
const MEAN_AGE: f64 = 9.5;
/// Emergency vehicles are younger `[assumed]`.
const RESPONDER_AGE: f64 = 4.0;
/// Share of vehicles that drive to work `[assumed]`.
const COMMUTERS: f64 = 0.55;
/// Of so many places of work, a commuter has the one at the distance closest to what it wants `[assumed]`.
const OFFERS: u64 = 12;
/// Desired speeds on 30-mph roads as shares of the limit: mean 30.0, sd 6.1 mph (DfT 2022 exceedances, city.md); nobody
/// is beyond these `[assumed]`.
const PACE_SPREAD: f64 = 6.1 / 30.0;
const PACES: (f64, f64) = (0.55, 1.6);
/// Emergency vehicles drive so much faster than a quick driver does, up to a bound (speed factor 1.2 to 1.3: realism.md,
/// section 5). With [`pace_on`], the bounds keep every vehicle below 45 m/s on any road.
const RESPONDER_PACE: f64 = 1.25;
const RESPONDER_MOST: f64 = 1.5;
/// Kilometres a year, even between these `[assumed]`.
const KM_A_YEAR: (f64, f64) = (6_000.0, 15_000.0);

/// Junctions by what is there.
struct Places {
    homes: Weighted,
    work: Weighted,
}

/// What is drawn for a vehicle.
#[derive(Clone, Copy)]
struct Draws {
    rng: Rng,
    vehicle: u64,
}

impl Draws {
    fn unit(self, counter: u64) -> f64 {
        to_unit(self.bits(counter))
    }

    fn bits(self, counter: u64) -> u64 {
        self.rng.bits(Purpose::Fleet, self.vehicle, counter)
    }

    fn build(self, kind: VehicleType, (year, mean_age): (i16, f64), (home, work): (u32, u32)) -> Vehicle {
        let age = ((self.unit(2) + self.unit(3)) * mean_age).round() as i16;
        let model_year = models::known_year(year - age);
        let (fuel, model) = models::pick(kind, model_year, (self.unit(4), self.unit(1)));
        let normal = self.rng.normal(Purpose::Fleet, self.vehicle, 9);
        let pace = (1.0 + PACE_SPREAD * normal).clamp(PACES.0, PACES.1);
        let pace = if kind.is_emergency() { (pace.max(1.0) * RESPONDER_PACE).min(RESPONDER_MOST) } else { pace };
        let km_a_year = KM_A_YEAR.0 + (KM_A_YEAR.1 - KM_A_YEAR.0) * self.unit(10);
        let odometer_km = ((f64::from((year - model_year).max(0)) + 0.5) * km_a_year).round();
        Vehicle { kind, model, fuel, year: model_year, pace, home, work, odometer_km }
    }
}

fn private(rng: Rng, network: &Network, places: &Places, v: u32, year: i16) -> Vehicle {
    let draws = Draws { rng, vehicle: u64::from(v) };
    let kind = match draws.unit(0) {
        u if u < CARS => VehicleType::Car,
        u if u < CARS + VANS => VehicleType::Van,
        _ => VehicleType::Goods,
    };
    let home = places.homes.pick(draws.unit(5));
    let work = if draws.unit(6) < COMMUTERS {
        let wanted = COMMUTE_METRES * libm::exp(COMMUTE_SIGMA * rng.normal(Purpose::Fleet, draws.vehicle, 7));
        let miss = |j: &u32| (way(network, home, *j) - wanted).abs();
        let offers = (16..16 + OFFERS).map(|n| places.work.pick(draws.unit(n)));
        offers.min_by(|a, b| miss(a).total_cmp(&miss(b))).unwrap_or(home)
    } else {
        home
    };
    draws.build(kind, (year, MEAN_AGE), (home, work))
}

/// The `rank`-th emergency vehicle; there are `each` of each type. Those of a type stand evenly over the city, on a spiral
/// whose turns are golden angles.
fn responder(rng: Rng, network: &Network, v: u32, (rank, each): (u32, u32), year: i16) -> Vehicle {
    let types = [VehicleType::PoliceCar, VehicleType::Ambulance, VehicleType::FireEngine];
    let (kind, n) = (types[rank as usize % 3], rank / 3);
    let radius = network.half_width() * ((f64::from(n) + 0.5) / f64::from(each)).sqrt();
    let angle = (f64::from(n) * GOLDEN + f64::from(rank % 3) / 3.0) * std::f64::consts::TAU;
    let home = network.junction_near(Place { x: radius * libm::sin(angle), y: radius * libm::cos(angle) });
    Draws { rng, vehicle: u64::from(v) }.build(kind, (year, RESPONDER_AGE), (home, home))
}

#[cfg(test)]
mod tests {
    use super::super::demand;
    use super::*;

    const START: i64 = 1_780_272_000_000;

    fn fleet(count: u32) -> (Network, Fleet) {
        let rng = Rng::new(7);
        let network = Network::procedural(rng, count);
        let fleet = Fleet::new(rng, &network, count, START);
        (network, fleet)
    }

    #[test]
    fn vehicles_are_possible() {
        let (network, fleet) = fleet(5_000);
        assert_eq!(fleet.len(), 5_000);
        for v in &fleet.vehicles {
            assert!(v.model.was_sold(v.fuel, v.year), "{} {} of {}", v.model.model, FUELS[usize::from(v.fuel)], v.year);
            assert!(v.year <= 2026 && (v.home as usize) < network.junctions.len());
            assert!(v.odometer_km > 0.0);
        }
        for count in [1, 9, 10, 59, 200] {
            let fleet = Fleet::new(Rng::new(7), &network, count, START);
            let emergency = fleet.vehicles.iter().filter(|v| v.kind.is_emergency()).count() as u32;
            assert_eq!(emergency, if count < 10 { 0 } else { (count / FEWEST_OTHERS / 3).max(1) * 3 });
        }
    }

    /// χ² over the number of draws: how far shares are from the expected ones, whatever the sample's size.
    fn distance(found: &[f64], expected: &[f64]) -> f64 {
        let all: f64 = found.iter().sum();
        found.iter().zip(expected).map(|(f, e)| (f / all - e).powi(2) / e).sum()
    }

    #[test]
    fn the_fleet_is_the_british_one() {
        let (_, fleet) = fleet(60_000);
        let cars: Vec<_> = fleet.vehicles.iter().filter(|v| v.kind == VehicleType::Car).collect();
        let share = |of: &dyn Fn(&Vehicle) -> bool| cars.iter().filter(|v| of(v)).count() as f64;
        let fuels: Vec<f64> = (0..4).map(|f| share(&|v| v.fuel == f)).collect();
        let off = distance(&fuels, &[0.58, 0.32, 0.063, 0.037]);
        // A fleet with two in a hundred cars of another fuel would be at 0.002.
        assert!(off < 0.001, "{fuels:?}: {off}");
        let age = cars.iter().map(|v| f64::from(2026 - v.year)).sum::<f64>() / cars.len() as f64;
        assert!((age - 9.5).abs() < 0.15, "{age} years");
        let old = share(&|v| v.year < 2016) / cars.len() as f64;
        assert!((0.38..0.47).contains(&old), "{old} older than ten years");
        // Popularity falls off, and no model is rare beyond belief.
        let mut models = std::collections::BTreeMap::<_, f64>::new();
        for v in &cars {
            *models.entry((v.model.make, v.model.model)).or_default() += 1.0 / cars.len() as f64;
        }
        assert!(models.len() > 40 && models[&("Ford", "Fiesta")] > 0.05, "{models:?}");
        assert!(models.values().all(|s| (0.0005..0.15).contains(s)), "{models:?}");
    }

    #[test]
    fn kinds_share_the_kilometres_driven() {
        let (network, fleet) = fleet(60_000);
        let mut km = [0.0; 3];
        for (v, vehicle) in fleet.vehicles.iter().enumerate().filter(|(_, v)| !v.kind.is_emergency()) {
            let plan = demand::plan(Rng::new(7), &network, v as u32, vehicle, clock::day(START));
            let mut from = vehicle.home;
            for trip in plan.trips() {
                km[vehicle.kind as usize] += demand::way(&network, from, trip.to);
                from = trip.to;
            }
        }
        let off = distance(&km, &[79.0 / 98.0, 13.0 / 98.0, 6.0 / 98.0]);
        assert!(off < 0.001, "{km:?}: {off}");
    }

    #[test]
    fn nobody_wants_to_drive_faster_than_45_metres_a_second() {
        let (_, fleet) = fleet(60_000);
        for class in [RoadClass::Motorway, RoadClass::Arterial, RoadClass::Street] {
            let fastest = fleet.vehicles.iter().map(|v| pace_on(v.pace, class)).fold(0.0, f64::max);
            assert!(fastest * class.limit_kmh() / 3.6 <= 45.0, "{fastest} of the limit on {class:?}");
            for pace in [PACES.1, RESPONDER_MOST] {
                assert!(pace_on(pace, class) * class.limit_kmh() / 3.6 <= 45.0, "{pace} on {class:?}");
            }
        }
        assert!(
            fleet.vehicles.iter().all(|v| v.pace <= PACES.1 && (!v.kind.is_emergency() || v.pace <= RESPONDER_MOST))
        );
    }

    #[test]
    fn work_stands_where_few_live() {
        let (network, fleet) = fleet(20_000);
        let land = &network.land;
        let busy = |j: u32| land.work(network.junctions[j as usize]) > 0.3;
        let share = |n: usize, all: usize| n as f64 / all as f64;
        let area = share((0..network.junctions.len() as u32).filter(|j| busy(*j)).count(), network.junctions.len());
        let commuters: Vec<_> = fleet.vehicles.iter().filter(|v| v.work != v.home).collect();
        let work = share(commuters.iter().filter(|v| busy(v.work)).count(), commuters.len());
        let homes = share(fleet.vehicles.iter().filter(|v| busy(v.home)).count(), fleet.vehicles.len());
        assert!(work > 2.0 * area && homes < 0.8 * area, "work {work}, homes {homes}, area {area}");
    }

    #[test]
    fn emergency_vehicles_of_a_type_stand_apart() {
        let (network, fleet) = fleet(20_000);
        for kind in [VehicleType::PoliceCar, VehicleType::Ambulance, VehicleType::FireEngine] {
            let at: Vec<_> = fleet.vehicles.iter().filter(|v| v.kind == kind).map(|v| v.home).collect();
            let nearest =
                |p: u32| at.iter().filter(|q| **q != p).map(|q| demand::way(&network, p, *q)).fold(f64::MAX, f64::min);
            assert!(at.len() > 5 && at.iter().all(|p| nearest(*p) > 2_000.0), "{kind:?}");
        }
    }
}

//! What is driven: models that were really sold, with the years in which each fuel could be had, and what people bought.

use super::fleet::VehicleType;

/// Fuels, in the order that a vehicle counts them.
pub const FUELS: [&str; 4] = ["Petrol", "Diesel", "Hybrid", "Electric"];

/// First and last model year; `NEVER` where there was none.
type Years = (i16, i16);
const NEVER: Years = (1, 0);
/// The table's present year: what is still sold is sold until then, and newer vehicles are of that year.
const NOW: i16 = 2026;
/// The table's first year; older vehicles are of that year.
const FIRST: i16 = 2004;

/// A model that was really sold in Britain.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Manufacturer.
    pub make: &'static str,
    /// Model.
    pub model: &'static str,
    /// For each of [`FUELS`] the model years in which it could be had, as far as the table goes.
    sold: [Years; 4],
}

impl Model {
    /// Whether it was sold with this fuel (an index into [`FUELS`]) in this model year.
    pub fn was_sold(&self, fuel: u8, year: i16) -> bool {
        self.sold.get(usize::from(fuel)).is_some_and(|(first, last)| (*first..=*last).contains(&year))
    }
}

const fn model(make: &'static str, model: &'static str, sold: [Years; 4]) -> Model {
    Model { make, model, sold }
}

/// In order of popularity: Fiesta, Corsa and Golf lead (DfT 2020), the rest `[assumed]`.
#[rustfmt::skip]
const CARS: &[Model] = &[
    model("Ford", "Fiesta", [(2004, 2023), (2004, 2020), (2020, 2023), NEVER]),
    model("Vauxhall", "Corsa", [(2004, NOW), (2004, 2019), (2024, NOW), (2020, NOW)]),
    model("Volkswagen", "Golf", [(2004, NOW), (2004, NOW), (2015, NOW), (2014, 2020)]),
    model("Ford", "Focus", [(2004, 2025), (2004, 2025), (2020, 2025), NEVER]),
    model("Nissan", "Qashqai", [(2007, 2022), (2007, 2020), (2022, NOW), NEVER]),
    model("Vauxhall", "Astra", [(2004, NOW), (2004, 2024), (2022, NOW), (2023, NOW)]),
    model("Volkswagen", "Polo", [(2004, NOW), (2004, 2019), NEVER, NEVER]),
    model("Mini", "Cooper", [(2004, NOW), (2007, 2019), NEVER, (2020, NOW)]),
    model("BMW", "3 Series", [(2004, NOW), (2004, 2024), (2013, NOW), NEVER]),
    model("Mercedes-Benz", "A-Class", [(2005, NOW), (2005, 2025), (2019, NOW), NEVER]),
    model("Audi", "A3", [(2004, NOW), (2004, NOW), (2015, NOW), NEVER]),
    model("Kia", "Sportage", [(2005, NOW), (2005, 2024), (2018, NOW), NEVER]),
    model("Ford", "Kuga", [(2011, NOW), (2008, 2023), (2020, NOW), NEVER]),
    model("Nissan", "Juke", [(2010, NOW), (2010, 2018), (2022, NOW), NEVER]),
    model("Toyota", "Yaris", [(2004, 2020), (2004, 2016), (2012, NOW), NEVER]),
    model("Ford", "Puma", [NEVER, NEVER, (2020, NOW), (2025, NOW)]),
    model("Tesla", "Model Y", [NEVER, NEVER, NEVER, (2022, NOW)]),
    model("Hyundai", "Tucson", [(2015, NOW), (2015, 2023), (2019, NOW), NEVER]),
    model("Mercedes-Benz", "C-Class", [(2004, NOW), (2004, NOW), (2015, NOW), NEVER]),
    model("Fiat", "500", [(2008, 2024), (2008, 2014), (2020, NOW), (2021, NOW)]),
    model("Peugeot", "208", [(2012, NOW), (2012, 2023), (2024, NOW), (2020, NOW)]),
    model("Renault", "Clio", [(2004, NOW), (2004, 2020), (2020, NOW), NEVER]),
    model("Tesla", "Model 3", [NEVER, NEVER, NEVER, (2019, NOW)]),
    model("Vauxhall", "Mokka", [(2012, NOW), (2012, 2023), NEVER, (2021, NOW)]),
    model("BMW", "1 Series", [(2004, NOW), (2004, NOW), NEVER, NEVER]),
    model("Audi", "A4", [(2004, 2025), (2004, 2025), NEVER, NEVER]),
    model("Volkswagen", "Tiguan", [(2008, NOW), (2008, NOW), (2021, NOW), NEVER]),
    model("Skoda", "Octavia", [(2004, NOW), (2004, NOW), (2020, NOW), NEVER]),
    model("Land Rover", "Range Rover Evoque", [(2011, NOW), (2011, NOW), (2020, NOW), NEVER]),
    model("Honda", "Civic", [(2004, 2021), (2004, 2021), (2022, NOW), NEVER]),
    model("Honda", "Jazz", [(2004, 2020), NEVER, (2011, NOW), NEVER]),
    model("Vauxhall", "Insignia", [(2009, 2022), (2009, 2022), NEVER, NEVER]),
    model("Hyundai", "i10", [(2008, NOW), NEVER, NEVER, NEVER]),
    model("Kia", "Picanto", [(2004, NOW), NEVER, NEVER, NEVER]),
    model("Toyota", "Aygo", [(2005, 2022), NEVER, NEVER, NEVER]),
    model("Seat", "Ibiza", [(2004, NOW), (2004, 2018), NEVER, NEVER]),
    model("MG", "ZS", [(2018, NOW), NEVER, (2024, NOW), (2019, 2024)]),
    model("Nissan", "Leaf", [NEVER, NEVER, NEVER, (2011, 2024)]),
    model("Toyota", "Prius", [NEVER, NEVER, (2004, 2021), NEVER]),
    model("Kia", "Niro", [NEVER, NEVER, (2016, NOW), (2019, NOW)]),
    model("Toyota", "C-HR", [(2017, 2019), NEVER, (2017, NOW), NEVER]),
    model("Volvo", "XC40", [(2018, NOW), (2018, 2021), (2020, NOW), (2020, NOW)]),
    model("Volkswagen", "ID.3", [NEVER, NEVER, NEVER, (2020, NOW)]),
    model("Renault", "Zoe", [NEVER, NEVER, NEVER, (2013, 2024)]),
    model("BMW", "i3", [NEVER, NEVER, NEVER, (2014, 2022)]),
];
#[rustfmt::skip]
const VANS: &[Model] = &[
    model("Ford", "Transit", [NEVER, (2004, NOW), NEVER, (2022, NOW)]),
    model("Ford", "Transit Custom", [NEVER, (2013, NOW), NEVER, (2024, NOW)]),
    model("Vauxhall", "Vivaro", [NEVER, (2004, NOW), NEVER, (2020, NOW)]),
    model("Mercedes-Benz", "Sprinter", [NEVER, (2004, NOW), NEVER, (2020, NOW)]),
    model("Volkswagen", "Transporter", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("Citroën", "Berlingo", [(2004, 2024), (2004, NOW), NEVER, (2017, NOW)]),
    model("Renault", "Kangoo", [(2004, NOW), (2004, NOW), NEVER, (2012, NOW)]),
];
const GOODS: &[Model] = &[
    model("DAF", "LF", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("DAF", "XF", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("Scania", "P-Series", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("Volvo", "FH", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("Mercedes-Benz", "Actros", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("Iveco", "Eurocargo", [NEVER, (2004, NOW), NEVER, NEVER]),
];
const AMBULANCES: &[Model] = &[
    model("Fiat", "Ducato", [NEVER, (2006, NOW), NEVER, NEVER]),
    model("Mercedes-Benz", "Sprinter", [NEVER, (2004, NOW), NEVER, NEVER]),
];
const FIRE_ENGINES: &[Model] = &[
    model("Scania", "P-Series", [NEVER, (2004, NOW), NEVER, NEVER]),
    model("Mercedes-Benz", "Atego", [NEVER, (2004, NOW), NEVER, NEVER]),
];
const POLICE_CARS: &[Model] = &[
    model("Vauxhall", "Astra", [(2004, NOW), (2004, 2024), NEVER, NEVER]),
    model("Peugeot", "308", [(2008, NOW), (2008, 2024), NEVER, NEVER]),
    model("Skoda", "Octavia", [(2004, NOW), (2004, NOW), NEVER, NEVER]),
];

/// Sales fall off with popularity as 1/(rank + this) `[assumed]`.
const ZIPF: u64 = 4;

/// The models of a kind of vehicle, by popularity.
pub fn models(kind: VehicleType) -> &'static [Model] {
    match kind {
        VehicleType::Car => CARS,
        VehicleType::Van => VANS,
        VehicleType::Goods => GOODS,
        VehicleType::Ambulance => AMBULANCES,
        VehicleType::FireEngine => FIRE_ENGINES,
        VehicleType::PoliceCar => POLICE_CARS,
    }
}

/// Shares of fuels among the cars of a model year, at some years; straight lines between `[assumed]`. With the fleet's ages
/// they give the fleet of 2024: petrol 58 %, diesel 32 %, electric 3.7 %, hybrid the rest (SMMT, city.md).
const DIESEL: &[(i16, f64)] = &[(2004, 0.36), (2008, 0.43), (2015, 0.45), (2018, 0.30), (2021, 0.09), (2026, 0.03)];
const HYBRID: &[(i16, f64)] = &[(2006, 0.005), (2015, 0.025), (2020, 0.10), (2026, 0.26)];
const ELECTRIC: &[(i16, f64)] = &[(2011, 0.002), (2019, 0.018), (2026, 0.28)];
/// Of vans: hardly any petrol; electric ones since there are some to speak of.
const VAN_PETROL: f64 = 0.02;
const VAN_ELECTRIC: &[(i16, f64)] = &[(2017, 0.003), (2020, 0.02), (2026, 0.10)];
/// Petrol among police cars.
const POLICE_PETROL: f64 = 0.4;

fn at(line: &[(i16, f64)], year: i16) -> f64 {
    let after = line.partition_point(|(y, _)| *y <= year);
    match (after.checked_sub(1).map(|b| line[b]), line.get(after)) {
        (Some((y0, s0)), Some((y1, s1))) => s0 + (s1 - s0) * f64::from(year - y0) / f64::from(y1 - y0),
        (Some((_, share)), None) | (None, Some(&(_, share))) => share,
        (None, None) => 0.0,
    }
}

/// Shares of [`FUELS`] among the vehicles of a kind and model year.
pub fn fuel_shares(kind: VehicleType, year: i16) -> [f64; 4] {
    let [petrol, hybrid, electric] = match kind {
        VehicleType::Car => {
            let hybrid = at(HYBRID, year);
            // There was nothing electric to buy before the first.
            let electric = if year < 2011 { 0.0 } else { at(ELECTRIC, year) };
            [1.0 - at(DIESEL, year) - hybrid - electric, hybrid, electric]
        }
        VehicleType::Van => [VAN_PETROL, 0.0, if year < 2012 { 0.0 } else { at(VAN_ELECTRIC, year) }],
        VehicleType::PoliceCar => [POLICE_PETROL, 0.0, 0.0],
        VehicleType::Goods | VehicleType::Ambulance | VehicleType::FireEngine => [0.0, 0.0, 0.0],
    };
    [petrol, 1.0 - petrol - hybrid - electric, hybrid, electric]
}

/// A model year that the table knows.
pub fn known_year(year: i16) -> i16 {
    year.clamp(FIRST, NOW)
}

/// A fuel and a model of a kind and model year, by two numbers in [0, 1).
pub fn pick(kind: VehicleType, year: i16, (fuel_draw, model_draw): (f64, f64)) -> (u8, &'static Model) {
    let mut left = fuel_draw;
    let mut fuel = 1u8;
    for (f, share) in fuel_shares(kind, year).into_iter().enumerate() {
        if left < share {
            fuel = f as u8;
            break;
        }
        left -= share;
    }
    let all = models(kind);
    let weight = |(rank, model): (usize, &Model)| {
        if model.was_sold(fuel, year) { 1_000_000 / (rank as u64 + ZIPF) } else { 0 }
    };
    let sum: u64 = all.iter().enumerate().map(weight).sum();
    let mut left = (model_draw * sum as f64) as u64;
    for (rank, model) in all.iter().enumerate() {
        let weight = weight((rank, model));
        if left < weight {
            return (fuel, model);
        }
        left -= weight;
    }
    // Every fuel that has a share has a model: a test holds the tables to it.
    (fuel, &all[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [VehicleType; 6] = [
        VehicleType::Car,
        VehicleType::Van,
        VehicleType::Goods,
        VehicleType::Ambulance,
        VehicleType::FireEngine,
        VehicleType::PoliceCar,
    ];

    #[test]
    fn whatever_is_picked_was_sold() {
        let draws: Vec<f64> = (0..200).map(|n| f64::from(n) / 200.0).chain([0.999_999_999]).collect();
        for kind in KINDS {
            for year in FIRST..=NOW {
                let shares = fuel_shares(kind, year);
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && shares.iter().all(|s| *s >= 0.0));
                for (a, b) in draws.iter().flat_map(|a| draws.iter().map(move |b| (*a, *b))) {
                    let (fuel, model) = pick(kind, year, (a, b));
                    assert!(model.was_sold(fuel, year), "{} {} in {year}", FUELS[usize::from(fuel)], model.model);
                }
            }
        }
    }

    #[test]
    fn there_are_enough_cars_to_choose_from_and_no_electric_golf_of_2008() {
        assert!((30..=50).contains(&CARS.len()));
        let golf = CARS.iter().find(|m| m.model == "Golf").unwrap();
        assert!(golf.was_sold(3, 2015) && !golf.was_sold(3, 2008) && golf.was_sold(1, 2008));
        for year in FIRST..=NOW {
            assert!(CARS.iter().filter(|m| (0..4).any(|f| m.was_sold(f, year))).count() > 10);
        }
        assert_eq!((known_year(1999), known_year(2100), known_year(2015)), (FIRST, NOW, 2015));
    }
}

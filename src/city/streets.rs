//! Names of roads: ordinary British ones, put together so that a city has each but once, as long as they last.

use super::layout::Part;
use super::network::RoadClass;
use super::rng::{Purpose, Rng};

/// What many streets in Britain are called by.
const COMMON: [&str; 40] = [
    "Church",
    "Chapel",
    "Abbey",
    "Priory",
    "Castle",
    "Market",
    "Mill",
    "Bridge",
    "Station",
    "School",
    "Park",
    "Green",
    "Spring",
    "Well",
    "Brook",
    "Meadow",
    "Orchard",
    "Manor",
    "Grange",
    "Forge",
    "Quarry",
    "Canal",
    "Wharf",
    "Foundry",
    "Oak",
    "Ash",
    "Elm",
    "Holly",
    "Chestnut",
    "Willow",
    "Hawthorn",
    "Birch",
    "Rowan",
    "Lime",
    "Cedar",
    "Beech",
    "Hazel",
    "Commercial",
    "Union",
    "Victory",
];
const KINDS: [&str; 12] =
    ["Street", "Road", "Lane", "Avenue", "Way", "Hill", "Grove", "Drive", "Terrace", "Crescent", "Walk", "Row"];
// Beginnings and ends of places' names.
const BEGINNINGS: [&str; 40] = [
    "Ash", "Oak", "Elm", "Birch", "Hazel", "Holly", "Thorn", "Bram", "Fern", "Heath", "Moor", "Marsh", "Brook", "Wood",
    "Stone", "Clay", "Sand", "Chalk", "Red", "White", "Black", "Green", "Gold", "Silver", "Fair", "High", "Long",
    "Broad", "West", "East", "North", "South", "Mid", "New", "Fox", "Hart", "Swan", "Crane", "Lark", "Rook",
];
const ENDS: [&str; 16] = [
    "field", "bridge", "ford", "ley", "ton", "ham", "worth", "bury", "hurst", "dale", "well", "combe", "gate", "ridge",
    "mead", "croft",
];
const RINGS: [&str; 4] = ["Ring Road", "Middleway", "Ringway", "Parkway"];
/// The motorway's names east, north, west and south.
const MOTORWAYS: [&str; 4] = ["M42", "M6", "M5", "M42"];

/// A stretch of road with one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// 0 east, 1 north, 2 west, 3 south of the centre.
    pub quarter: u8,
    /// Its kind.
    pub class: RoadClass,
    /// Whether it goes round the centre or away from it.
    pub part: Part,
}

/// Names of a city's stretches, in their order.
pub fn names(rng: Rng, stretches: &[Stretch]) -> Vec<String> {
    let start = |n: u64| rng.below(Purpose::Network, n, 6, 1 << 20) as usize;
    let (places, streets) = (BEGINNINGS.len() * ENDS.len(), COMMON.len() * KINDS.len());
    let [first_place, first_street, first_other] = [start(0), start(1), start(2)];
    // Steps that have no divisor in common with the number of names pass each name before one comes again.
    let place = |n: usize| {
        let k = (first_place + n * 239) % places;
        format!("{}{}", BEGINNINGS[k / ENDS.len()], ENDS[k % ENDS.len()])
    };
    let (mut arterials, mut others) = (0, 0);
    let name = |stretch: &Stretch| match (stretch.class, stretch.part) {
        (RoadClass::Motorway, _) => MOTORWAYS[usize::from(stretch.quarter) % 4].to_string(),
        (RoadClass::Arterial, part) => {
            arterials += 1;
            let kind = if part == Part::Ring { RINGS[arterials % RINGS.len()] } else { "Road" };
            format!("{} {kind}", place(arterials))
        }
        (RoadClass::Street, _) => {
            others += 1;
            // Every other one is common while there are any.
            if others % 2 == 0 && others / 2 < streets {
                let k = (first_street + others / 2 * 187) % streets;
                format!("{} {}", COMMON[k / KINDS.len()], KINDS[k % KINDS.len()])
            } else {
                let k = first_other + others * 4_751;
                // An arterial leads to its place; a street of that place is none of "Road".
                let kind = KINDS[k % KINDS.len()];
                let kind = if kind == "Road" { "Close" } else { kind };
                format!("{} {kind}", place(k / KINDS.len()))
            }
        }
    };
    stretches.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordinary_and_hardly_one_comes_twice() {
        let stretch = |n: usize| {
            let class = [RoadClass::Street, RoadClass::Street, RoadClass::Arterial][n % 3];
            let part = [Part::Before, Part::Ring, Part::After][n / 3 % 3];
            Stretch { quarter: 0, class, part }
        };
        let stretches: Vec<_> = (0..600).map(stretch).collect();
        let names = names(Rng::new(7), &stretches);
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert!(different.len() > 590, "{} of 600", different.len());
        for (stretch, name) in stretches.iter().zip(&names) {
            assert!(name.contains(' ') && name.chars().all(|c| c.is_ascii_alphabetic() || c == ' '), "{name}");
            let radial = stretch.class == RoadClass::Arterial && stretch.part != Part::Ring;
            assert!(!radial || name.ends_with(" Road"), "{name}");
        }
        assert_ne!(names, super::names(Rng::new(8), &stretches));
    }
}

//! A study of crash risk by itself: the same distance driven in dry weather and in snow.
//!
//! A city drives a million kilometres for a crash, so counts that tell a rate within some percent take thousands of city days;
//! the draws that make them are asked here without the city.

use super::incidents::on_crossing;
use super::rng::Rng;
use super::trace::IncidentKind;
use super::weather::Condition;
use crate::error::{Error, Result};

/// Most draws of a study.
const MOST_DRAWS: u64 = 1 << 32;

/// What happened in one of the blocks of equal distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// The weather.
    pub condition: Condition,
    /// The block's number in that weather.
    pub number: u32,
    /// Vehicle-kilometres driven.
    pub vehicle_km: f64,
    /// Crashes.
    pub crashes: u32,
    /// Breakdowns.
    pub breakdowns: u32,
}

/// `blocks` blocks in dry weather and as many in snow, of `crossings` roads of `road_km` kilometres each.
///
/// # Errors
/// `Config` where a measure is out of range.
pub fn exposure(seed: u64, blocks: u32, crossings: u32, road_km: f64) -> Result<Vec<Block>> {
    let draws = 2 * u64::from(blocks) * u64::from(crossings);
    if draws == 0 || draws > MOST_DRAWS {
        return Err(Error::config(format!("{blocks} blocks of {crossings} crossings"))
            .help(format!("Give at least one of each, and at most {MOST_DRAWS} crossings in all")));
    }
    // So long a road that two incidents on one crossing could not be told apart is none.
    if !(road_km > 0.0 && road_km <= 1_000.0) {
        return Err(Error::config(format!("roads of {road_km} km")).help("Give a length above 0, up to 1000"));
    }
    let rng = Rng::new(seed);
    let mut found = Vec::with_capacity(2 * blocks as usize);
    for (weather, condition) in [Condition::Clear, Condition::Snow].into_iter().enumerate() {
        for number in 0..blocks {
            let vehicle_km = f64::from(crossings) * road_km;
            let mut block = Block { condition, number, vehicle_km, crashes: 0, breakdowns: 0 };
            // Each block has a vehicle of its own, so that no draw is used twice.
            let vehicle = 2 * number + weather as u32;
            for crossing in 0..u64::from(crossings) {
                match on_crossing(rng, vehicle, crossing, road_km, condition) {
                    Some(IncidentKind::Accident) => block.crashes += 1,
                    Some(IncidentKind::Breakdown) => block.breakdowns += 1,
                    _ => {}
                }
            }
            found.push(block);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snow_makes_more_crashes_and_as_many_breakdowns() {
        let blocks = exposure(7, 200, 20_000, 50.0).unwrap();
        assert_eq!(blocks.len(), 400);
        let sum = |condition, count: fn(&Block) -> u32| {
            blocks.iter().filter(|b| b.condition == condition).map(count).sum::<u32>()
        };
        let [dry, snow] = [Condition::Clear, Condition::Snow].map(|c| f64::from(sum(c, |b| b.crashes)));
        assert!(dry > 150.0 && (1.5..2.2).contains(&(snow / dry)), "{dry} dry, {snow} in snow");
        let [dry, snow] = [Condition::Clear, Condition::Snow].map(|c| f64::from(sum(c, |b| b.breakdowns)));
        assert!((0.85..1.15).contains(&(snow / dry)), "{dry} dry, {snow} in snow");
    }

    #[test]
    fn a_measure_out_of_range_is_named() {
        assert!(exposure(7, 0, 10, 1.0).unwrap_err().to_string().contains("0 blocks of 10 crossings"));
        assert!(exposure(7, 1, 10, f64::NAN).unwrap_err().to_string().contains("roads of NaN km"));
    }
}

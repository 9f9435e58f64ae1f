//! Counts the events of one city day: `cargo run --release --example events [vehicles] [hours]`.
#![allow(clippy::print_stdout)]

use _core::city::{CityOptions, clock::HOUR};
use _core::pipeline::Source;
use _core::sensor::SensorOptions;

fn main() -> _core::error::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<i64>().ok());
    let (vehicles, hours) = (numbers.next().unwrap_or(2_000) as u32, numbers.next().unwrap_or(24));
    let threads = numbers.next().unwrap_or(0) as usize;
    let city = CityOptions { vehicles, duration: hours * HOUR, ..CityOptions::default() };
    let began = std::time::Instant::now();
    let mut events = [0usize; 9];
    for chunk in Source::new(city, SensorOptions::default(), threads)?.observe(Ok)? {
        for batch in chunk?.events {
            events[batch.stream as usize] += batch.batch.num_rows();
        }
    }
    println!("{events:?} {} in {:.2?}", events.iter().sum::<usize>(), began.elapsed());
    Ok(())
}

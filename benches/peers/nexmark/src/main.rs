//! Makes events by the nexmark crate's generator and drops each at once: nexmark-peer EVENTS.
//!
//! What is made are structs, one at a time, in memory: a person, an auction or a bid, with texts of their own. No JSON, no
//! columns. Prints {"events", "seconds", "persons", "auctions", "bids"}; the seconds are of the loop alone.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::EventType;

fn main() -> ExitCode {
    let Some(events) = std::env::args().nth(1).and_then(|text| text.parse::<usize>().ok()) else {
        eprintln!("usage: nexmark-peer EVENTS");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let mut made = [0_u64; 3];
    for event in EventGenerator::new(NexmarkConfig::default()).take(events) {
        let event = black_box(event);
        made[match event.event_type() {
            EventType::Person => 0,
            EventType::Auction => 1,
            EventType::Bid => 2,
        }] += 1;
    }
    let (seconds, [persons, auctions, bids]) = (began.elapsed().as_secs_f64(), made);
    println!(
        r#"{{"events": {}, "seconds": {seconds}, "persons": {persons}, "auctions": {auctions}, "bids": {bids}}}"#,
        made.iter().sum::<u64>(),
    );
    ExitCode::SUCCESS
}

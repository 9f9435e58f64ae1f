//! One simulated city whose truth is known, as Kafka streams and exactly-once lake tables.
//!
//! ```text
//! city ──► trace ──► sensor ──► codec ──► kafka ══► codec ──► lake/bronze ──► lake/silver ──► gold (SQL)
//! truth    Arrow     events     bytes     topics    events    every record    clean, unique    KPIs
//!                      │                                                                          ▲
//!                      └──► oracle: what silver and gold must be ──► grade ────────────────────────┘
//! ```
//!
//! ```
//! use _core::city::{CityOptions, clock::MINUTE};
//! use _core::pipeline::Source;
//! use _core::sensor::SensorOptions;
//!
//! let city = CityOptions { vehicles: 200, duration: 10 * MINUTE, ..CityOptions::default() };
//! let mut events = 0;
//! for chunk in Source::new(city, SensorOptions::default(), 0)?.observe(Ok)? {
//!     events += chunk?.events.iter().map(|e| e.batch.num_rows()).sum::<usize>();
//! }
//! assert!(events > 0);
//! # Ok::<(), _core::error::Error>(())
//! ```
//!
//! Modules stand in the order of the flow. Each may use those before it, never one after it; only `pipeline` joins two
//! steps, and only `py` knows Python.

pub mod error;
pub mod schema;
pub mod storage;

pub mod city;
pub mod sensor;
pub mod codec;
pub mod kafka;
pub mod lake;
pub mod oracle;

pub mod pipeline;
#[cfg(feature = "python")]
mod py;

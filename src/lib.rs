//! One simulated city whose truth is known, as Kafka streams and exactly-once lake tables.
//!
//! ```text
//! city ──► trace ──► sensor ──► codec ──► kafka ══► codec ──► lake/bronze ──► lake/silver ──► gold (SQL)
//! truth    Arrow     events     bytes     topics    events    every record    clean, unique    KPIs
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

pub mod pipeline;
#[cfg(feature = "python")]
mod py;

//! Traffic flow on small networks of known answers; whole cities: causality, and what emerges in a day.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

mod causality;
mod day;
mod grid;
mod laws;
mod roads;
mod smooth;

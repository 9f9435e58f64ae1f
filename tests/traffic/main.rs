//! Traffic flow on small networks of known answers, and the city's causality.

#![allow(clippy::expect_used, reason = "a helper of a test may fail it")]

mod causality;
mod grid;
mod laws;
mod roads;
mod smooth;

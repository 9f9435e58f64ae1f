//! Events ⇄ bytes.
//!
//! [`json`] is the default format and the wire contract. [`corrupt`] says how a message is harmed where the sensors ask
//! for it, so that every sink that takes bytes sees the same harm. [`names`] says what fields are called, where not as the contract does.

pub mod arrow_ipc;
pub mod avro;
mod batch;
mod build;
pub mod corrupt;
mod format;
pub mod json;
pub mod names;
mod verdict;

pub use format::{Format, decode};

//! Events ⇄ bytes.
//!
//! [`json`] is the default format and the wire contract. [`corrupt`] says how a message is harmed where the sensors ask
//! for it, so that every sink that takes bytes sees the same harm.

pub mod corrupt;
pub mod json;

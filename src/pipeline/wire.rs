//! How events are written on the wire.

use crate::codec::json::Encoder;
use crate::codec::names::Names;
use crate::error::Result;
use crate::schema::{Events, Messages};

/// How events are written on the wire; the default is the contract.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    /// What fields are called.
    pub names: Names,
}

impl Wire {
    /// The messages of a batch.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn encode(&self, events: &Events) -> Result<Messages> {
        Encoder::named(events.stream, &self.names).encode(events)
    }
}

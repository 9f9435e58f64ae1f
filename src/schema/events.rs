//! A batch of one stream's events on its way from the sensors to a sink.

use arrow::array::RecordBatch;

use super::Stream;

/// What is wrong with an event's bytes, decided by the sensors, done by the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Harm {
    /// Nothing.
    None = 0,
    /// The JSON text is cut short.
    BadJson = 1,
    /// A number is sent as text that is no number.
    WrongType = 2,
    /// A required field is missing.
    MissingField = 3,
    /// A number lies outside its physical range.
    OutOfRange = 4,
    /// There is no value, only the key.
    Tombstone = 5,
    /// The value is no JSON, or JSON that breaks careless readers: bytes that are no text, half a megabyte, 2,000 levels.
    PoisonPill = 6,
    /// A field has another name, as after an update of the device's software.
    FieldRenamed = 7,
    /// There is a field more.
    FieldAdded = 8,
    /// A number is sent as its text.
    FieldRetyped = 9,
}

impl Harm {
    /// The label in `truth_fault`.
    pub fn name(self) -> &'static str {
        match self {
            Harm::None => "none",
            Harm::BadJson => "bad_json",
            Harm::WrongType => "wrong_type",
            Harm::MissingField => "missing_field",
            Harm::OutOfRange => "out_of_range",
            Harm::Tombstone => "tombstone",
            Harm::PoisonPill => "poison_pill",
            Harm::FieldRenamed => "field_renamed",
            Harm::FieldAdded => "field_added",
            Harm::FieldRetyped => "field_retyped",
        }
    }
}

/// Events of one stream in the order in which they are sent.
#[derive(Debug, Clone)]
pub struct Events {
    /// The stream.
    pub stream: Stream,
    /// Clean values, in the stream's wire schema.
    pub batch: RecordBatch,
    /// One entry a row where any row is harmed, else empty. Typed sinks leave harmed rows out.
    pub harm: Vec<Harm>,
}

//! Avro with Confluent framing: a zero, the schema's id as four bytes (most significant first), one Avro record.
//!
//! Writing: the schema of a stream follows from [`schema`](crate::schema): each field is a union of null and its type, null
//! by default, so that fields can come and go without breaking readers. [`schema_text`] is what a registry is asked to keep.
//!
//! Reading: by the schema that the message names, whoever wrote it. A field that is unknown, or of a type that does not
//! fit, goes to `rescued` as JSON text; one that is absent is null; a message that is none makes the record one of
//! [`Decoded::bad`].
//!
//! | column | written as | also read from |
//! | --- | --- | --- |
//! | Text | string | enum |
//! | Int | int | long, in range |
//! | Long | long | int |
//! | Double | double; what is not finite as null | float, int, long |
//! | Time | long, timestamp-micros | timestamp-millis; a string as in JSON |
//! | Point | array of two doubles | arrays of other numbers |
//! | Ints | array of null or int | array of int or long, in range |
//! | Line | array of points | |
//! | Struct | record | |
//!
//! # Bounds
//! Whatever a schema says, reading a message takes steps in proportion to its bytes, values stand in values at most 64 deep,
//! and what goes to `rescued` is at most 16 times as long as the message and 16 KiB more; beyond, the record is bad.
//!
//! [`Decoded::bad`]: crate::schema::Decoded::bad

mod decode;
mod encode;
mod read;
mod schema;
mod writer;

pub use decode::{Decoder, Schemas, Stored};
pub use encode::Encoder;
pub use schema::schema_text;
pub use writer::{MAX_SCHEMA_BYTES, Writer};

/// The first byte of a framed message. No JSON text begins with it.
pub const MAGIC: u8 = 0;

/// Bytes before the record: [`MAGIC`] and the schema's id.
pub const HEADER: usize = 5;

/// Whether a value is framed, whole or cut short.
pub fn is_framed(value: &[u8]) -> bool {
    value.first() == Some(&MAGIC)
}

//! JSON in the wire contract: one object a message, the stream's fields in declared order.
//!
//! Writing: numbers as the shortest text that reads back, whole doubles with `.0`, times as `2026-06-01T08:00:00.000Z`,
//! NaN and infinities as `null`. Every field of the schema is there, null or not; only a struct that is null (the kinds
//! of `reference` that a row is not) is left out.
//!
//! Reading: fields in any order. A field that is unknown, doubled or of another type than declared leaves its column
//! null and goes to `rescued` as raw text; a text that is no JSON object makes the record one of [`Decoded::bad`].
//! A record in which a field of a struct is rescued names it under the struct: `{"road":{"lanes":"two"}}`.
//!
//! | JSON | column |
//! | --- | --- |
//! | string | Text |
//! | number without fraction and exponent, in range | Int, Long |
//! | any number that is finite as a double | Double |
//! | ISO 8601 with `Z` or an offset, 0 to 9 fraction digits (past the sixth cut off) | Time |
//! | array of exactly two numbers | Point |
//! | array of integers or nulls | Ints |
//! | array of points | Line |
//! | object | Struct |
//! | `null` | null of any type |
//!
//! [`Decoded::bad`]: crate::schema::Decoded::bad

mod column;
mod decode;
mod encode;
mod escape;
mod number;
mod object;
mod parse;
mod row;
mod time;

pub use decode::{Decoder, MAX_RECORD_BYTES, decode, decoded_schema};
pub use encode::{Encoder, encode, encode_row_clean};
pub use parse::MAX_DEPTH;
pub use row::row_from_json;

pub(super) use time::TimeReader;

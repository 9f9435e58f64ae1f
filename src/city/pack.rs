//! A model's state as bytes: a line that names what it is of, format, model and city, then the state in postcard's form,
//! compressed by zstd with its checksum. The bytes belong to the city and the version that wrote them; anything else is
//! refused by name.

use std::io::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{City, MODEL_VERSION};
use crate::error::{Context, Error, ErrorKind, Result};

/// Raised when the state's form changes.
const FORMAT: u32 = 2;

fn head(what: &str, city: &City) -> String {
    format!("citystream {what} {FORMAT} model {MODEL_VERSION} city {}\n", city.id.to_text())
}

/// The state of `what` as bytes.
pub(super) fn pack(what: &str, city: &City, state: &impl Serialize) -> Result<Vec<u8>> {
    let failed = || format!("the state of the {what} can't be encoded");
    let state = postcard::to_stdvec(state).context(ErrorKind::Internal, failed)?;
    let mut bytes = head(what, city).into_bytes();
    compress(&state, &mut bytes).context(ErrorKind::Internal, failed)?;
    Ok(bytes)
}

fn compress(state: &[u8], bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(bytes, 1)?;
    encoder.include_checksum(true)?;
    encoder.write_all(state)?;
    encoder.finish().map(drop)
}

/// What [`pack`] was given.
pub(super) fn unpack<T: DeserializeOwned>(what: &str, city: &City, bytes: &[u8]) -> Result<T> {
    let wanted = head(what, city);
    let line = bytes.iter().position(|b| *b == b'\n').map_or(bytes, |end| &bytes[..=end]);
    if line != wanted.as_bytes() {
        let found = String::from_utf8_lossy(&line[..line.len().min(100)]).trim_end().to_owned();
        let named = format!("the state of the {what} is {found:?}, not {:?}", wanted.trim_end());
        return Err(Error::new(ErrorKind::Store, named)
            .help("It belongs to another city or version: save the trace again in another folder"));
    }
    let damaged = || format!("the state of the {what} is damaged");
    let state = zstd::decode_all(&bytes[line.len()..]).context(ErrorKind::Store, damaged)?;
    postcard::from_bytes(&state).context(ErrorKind::Store, damaged)
}

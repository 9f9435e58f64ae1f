//! Which format a message has, and the decoder for all of them.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};

use super::avro::{self, Stored};
use super::names::Names;
use super::verdict::Verdict;
use super::{arrow_ipc, json};
use crate::error::{Error, Result};
use crate::schema::{Decoded, Records, Stream};

/// How events stand in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a message: the wire contract.
    #[default]
    Json,
    /// One Avro record a message, with Confluent's framing.
    Avro,
    /// One Arrow record batch a message.
    Arrow,
}

impl Format {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Json, Self::Avro, Self::Arrow];

    /// `json`, `avro` or `arrow`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
            Self::Arrow => "arrow",
        }
    }

    /// The format called `name`.
    ///
    /// # Errors
    /// `Config`, with the names there are.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| Error::config(format!("unknown format {name:?}")).help("Choose from json, avro and arrow"))
    }

    /// The format of a message, by its first bytes: no JSON text has a zero or 0xff there. What is none of them is taken
    /// for JSON, whose decoder says what is wrong with it.
    pub fn of(value: &[u8]) -> Self {
        if avro::is_framed(value) {
            Self::Avro
        } else if arrow_ipc::is_stream(value) {
            Self::Arrow
        } else {
            Self::Json
        }
    }
}

/// Decodes records of any format, also mixed ones.
///
/// # Errors
/// Those of a look-up in `stored`; else `Internal` only.
pub fn decode(stream: Stream, names: &Names, stored: &Arc<Stored>, records: &Records) -> Result<Decoded> {
    let values = &records.values;
    let format = |row: usize| if values.is_null(row) { Format::Json } else { Format::of(values.value(row)) };
    let first = if values.is_empty() { Format::Json } else { format(0) };
    if (1..values.len()).all(|row| format(row) == first) {
        return decode_values(first, stream, names, stored, values);
    }
    let mut parts = Vec::new();
    for wanted in Format::ALL {
        let rows: Vec<u32> = (0..values.len()).filter(|row| format(*row) == wanted).map(|row| row as u32).collect();
        let taken = take(values, &UInt32Array::from(rows.clone()), None)?;
        let Some(taken) = taken.as_any().downcast_ref() else { return Err(Error::internal("values are no bytes")) };
        let mut decoded = decode_values(wanted, stream, names, stored, taken)?;
        for row in decoded.good.iter_mut().chain(&mut decoded.bad) {
            *row = rows.get(*row as usize).copied().unwrap_or(0);
        }
        parts.push(decoded);
    }
    merge(stream, parts)
}

fn decode_values(
    format: Format,
    stream: Stream,
    names: &Names,
    stored: &Arc<Stored>,
    values: &BinaryArray,
) -> Result<Decoded> {
    match format {
        Format::Json => json::Decoder::named(stream, names).decode_values(values),
        Format::Avro => avro::Decoder::new(stream, names, Arc::clone(stored)).decode_values(values),
        Format::Arrow => arrow_ipc::Decoder::new(stream, names).decode_values(values),
    }
}

/// Verdicts on different records of a batch as one, in the records' order.
fn merge(stream: Stream, parts: Vec<Decoded>) -> Result<Decoded> {
    let batch = concat_batches(&json::decoded_schema(stream), parts.iter().map(|part| &part.batch))?;
    let good: Vec<u32> = parts.iter().flat_map(|part| part.good.iter().copied()).collect();
    let mut order: Vec<u32> = (0..good.len() as u32).collect();
    // Stable: rows of one record keep their order.
    order.sort_by_key(|at| good[*at as usize]);
    let mut verdict = Verdict::with_capacity(0);
    verdict.good = order.iter().map(|at| good[*at as usize]).collect();
    let mut bad = Vec::new();
    for part in parts {
        let reasons = part.error_stage.into_iter().zip(part.error_reason).zip(part.error_detail);
        bad.extend(part.bad.into_iter().zip(reasons));
    }
    bad.sort_by_key(|(row, _)| *row);
    for (row, ((stage, reason), detail)) in bad {
        verdict.bad(row as usize, stage, reason, detail);
    }
    Ok(verdict.decoded(stream, take_record_batch(&batch, &UInt32Array::from(order))?))
}

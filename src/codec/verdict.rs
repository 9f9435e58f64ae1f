//! The verdicts on the records of a batch.

use arrow::array::{Array, BinaryArray, RecordBatch};

use crate::schema::{Decoded, Stream};

/// What a decoder says of the records of a batch.
pub(super) struct Verdict {
    pub(super) good: Vec<u32>,
    bad: Vec<u32>,
    error_stage: Vec<&'static str>,
    error_reason: Vec<&'static str>,
    error_detail: Vec<String>,
}

impl Verdict {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            good: Vec::with_capacity(rows),
            bad: Vec::new(),
            error_stage: Vec::new(),
            error_reason: Vec::new(),
            error_detail: Vec::new(),
        }
    }

    /// Says that a record can't be decoded.
    #[cold]
    pub(super) fn bad(&mut self, row: usize, stage: &'static str, reason: &'static str, detail: String) {
        self.bad.push(row as u32);
        self.error_stage.push(stage);
        self.error_reason.push(reason);
        self.error_detail.push(detail);
    }

    /// The bytes of a record; where it has none, or more than `most`, that is the verdict.
    pub(super) fn bytes<'a>(&mut self, values: &'a BinaryArray, row: usize, most: usize) -> Option<&'a [u8]> {
        if values.is_null(row) {
            self.bad(row, "value", "tombstone", "the record has no value".to_owned());
            return None;
        }
        let bytes = values.value(row);
        if bytes.len() > most {
            self.bad(row, "value", "too_large", format!("{} bytes, over the limit of {most}", bytes.len()));
            return None;
        }
        Some(bytes)
    }

    /// With the rows of those that can.
    pub(super) fn decoded(self, stream: Stream, batch: RecordBatch) -> Decoded {
        let Verdict { good, bad, error_stage, error_reason, error_detail } = self;
        Decoded { stream, good, batch, bad, error_stage, error_reason, error_detail }
    }
}

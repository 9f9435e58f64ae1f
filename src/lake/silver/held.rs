//! Rows in silver's columns, held in memory while their ids are compared, and then written in order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};

use super::hash::Seed;
use crate::error::{Error, Result};

/// A row: batch and row in it.
pub(super) type At = (u32, u32);

/// Batches of at least one row in all, with their columns at hand.
pub(super) struct Held<'a> {
    pub(super) batches: &'a [RecordBatch],
    schema: SchemaRef,
    positions: Vec<Positions<'a>>,
    ids: Vec<&'a StringArray>,
    devices: Vec<&'a StringArray>,
    times: Vec<&'a TimestampMicrosecondArray>,
    columns: Vec<Column<'a>>,
}

impl<'a> Held<'a> {
    pub(super) fn new(schema: SchemaRef, batches: &'a [RecordBatch]) -> Result<Self> {
        let (mut positions, mut ids, mut devices, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for batch in batches {
            positions.push(Positions::of(batch)?);
            ids.push(texts(batch, "id")?);
            devices.push(texts(batch, "device_id")?);
            times.push(column(batch, "event_time")?.as_primitive::<TimestampMicrosecondType>());
        }
        let columns = (0..schema.fields().len()).map(|column| Column::new(batches, column)).collect();
        Ok(Self { batches, schema, positions, ids, devices, times, columns })
    }

    /// Every row.
    pub(super) fn rows(&self) -> Vec<At> {
        let rows = |(b, batch): (usize, &RecordBatch)| (0..batch.num_rows() as u32).map(move |r| (b as u32, r));
        self.batches.iter().enumerate().flat_map(rows).collect()
    }

    pub(super) fn id(&self, at: At) -> &'a str {
        self.ids[at.0 as usize].value(at.1 as usize)
    }

    pub(super) fn position(&self, at: At) -> Position<'_> {
        Position(&self.positions[at.0 as usize], at.1 as usize)
    }

    /// These rows in a batch of their own.
    pub(super) fn pick(&self, rows: &[At]) -> Result<RecordBatch> {
        let picked: Vec<_> = rows.iter().map(|&(b, r)| (b as usize, r as usize)).collect();
        let columns = self.columns.iter().map(|column| column.pick(&picked)).collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// The rows by device, and those of one device by time.
    pub(super) fn sorted(&self, rows: &[At]) -> Vec<At> {
        // Few devices send many rows: number them once, put each one's rows together, and order those by time, which they
        // nearly are.
        let mut numbers: HashMap<&str, u32, Seed> = HashMap::default();
        let mut groups: Vec<(&str, Vec<(i64, At)>)> = Vec::new();
        for &at in rows {
            let device = self.devices[at.0 as usize].value(at.1 as usize);
            let number = *numbers.entry(device).or_insert_with(|| {
                groups.push((device, Vec::new()));
                groups.len() as u32 - 1
            });
            groups[number as usize].1.push((self.times[at.0 as usize].value(at.1 as usize), at));
        }
        groups.sort_unstable_by_key(|(device, _)| *device);
        let mut sorted = Vec::with_capacity(rows.len());
        for (_, mut group) in groups {
            group.sort_unstable();
            sorted.extend(group.into_iter().map(|(_, at)| at));
        }
        sorted
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("silver lacks the column {name}")))
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    Ok(column(batch, name)?.as_string())
}

pub(super) fn id_column(batch: &RecordBatch) -> Result<&StringArray> {
    texts(batch, "id")
}

/// Where each row of a batch came from.
pub(super) struct Positions<'a> {
    topic: &'a StringArray,
    partition: &'a [i32],
    offset: &'a [i64],
    row: &'a [i32],
}

impl<'a> Positions<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self> {
        Ok(Self {
            topic: texts(batch, "kafka_topic")?,
            partition: column(batch, "kafka_partition")?.as_primitive::<Int32Type>().values(),
            offset: column(batch, "kafka_offset")?.as_primitive::<Int64Type>().values(),
            row: column(batch, "row_in_record")?.as_primitive::<Int32Type>().values(),
        })
    }
}

/// Where one row came from: the lowest of several with one id is the one that stays.
pub(super) struct Position<'a>(pub(super) &'a Positions<'a>, pub(super) usize);

impl Position<'_> {
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        let key = |Position(at, row): &Self| (at.partition[*row], at.offset[*row], at.row[*row]);
        self.0.topic.value(self.1).cmp(other.0.topic.value(other.1)).then_with(|| key(self).cmp(&key(other)))
    }
}

/// One column of several batches.
enum Column<'a> {
    /// Texts that are all the same, as the topic is: nothing to pick.
    Same(Option<&'a str>),
    Parts(Vec<&'a dyn Array>),
}

impl<'a> Column<'a> {
    fn new(batches: &'a [RecordBatch], column: usize) -> Self {
        let parts = || batches.iter().map(move |batch| batch.column(column));
        let texts = || parts().filter_map(|part| part.as_string_opt::<i32>()).flatten();
        match texts().next() {
            Some(first) if texts().all(|text| text == first) => Self::Same(first),
            _ => Self::Parts(parts().map(AsRef::as_ref).collect()),
        }
    }

    fn pick(&self, rows: &[(usize, usize)]) -> Result<ArrayRef> {
        Ok(match self {
            Self::Same(Some(text)) => Arc::new(StringArray::new_repeated(text, rows.len())),
            Self::Same(None) => new_null_array(&DataType::Utf8, rows.len()),
            Self::Parts(parts) => interleave(parts, rows)?,
        })
    }
}

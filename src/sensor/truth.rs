//! The truth streams: crossings as they were, when and where each event really happened, and the fault labels.

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use std::sync::Arc;

use super::Observer;
use super::columns::{Text, points, times};
use super::device;
use super::sample::{LATE, OUT_OF_ORDER, OUTAGE, Reading, Sample};
use crate::city::City;
use crate::city::trace::{Crossing, Window};
use crate::error::Result;
use crate::schema::{Harm, Stream};

/// Crossings that end in the window, by end: a crossing is known when the vehicle has left.
pub fn crossings(observer: &Observer, window: &Window) -> Vec<Crossing> {
    let ends = |c: &&Crossing| (window.from..window.to).contains(&c.t_out) && observer.sees(c.vehicle);
    let mut found: Vec<Crossing> = window.crossings.iter().filter(ends).copied().collect();
    found.sort_unstable_by_key(|c| (c.t_out, c.road, c.lane, c.number));
    found
}

/// `truth_crossing` rows.
pub fn build_crossings(crossings: &[Crossing]) -> Result<RecordBatch> {
    let n = crossings.len();
    let (mut device_id, mut road_id) = (Text::with_capacity(n, 15), Text::with_capacity(n, 10));
    for c in crossings {
        device_id.push_numbered(device::VEHICLE.0, c.vehicle, device::VEHICLE.1);
        road_id.push_numbered(device::ROAD.0, c.road, device::ROAD.1);
    }
    let columns = vec![
        device_id.finish()?,
        road_id.finish()?,
        Arc::new(Int32Array::from_iter_values(crossings.iter().map(|c| i32::from(c.lane)))) as ArrayRef,
        Arc::new(Int64Array::from_iter_values(crossings.iter().map(|c| i64::from(c.trip)))),
        times(crossings.iter().map(|c| c.t_in)),
        times(crossings.iter().map(|c| c.t_out)),
    ];
    Ok(RecordBatch::try_new(Stream::TruthCrossing.wire_schema(), columns)?)
}

/// `truth_event` rows: one for each event that was made, sent or not, and none for second copies.
pub fn build_events<R: Reading>(city: &City, samples: &[Sample<R>]) -> Result<RecordBatch> {
    let first: Vec<&Sample<R>> = samples.iter().filter(|s| s.head.copy == 0).collect();
    let (mut id, mut stream) = (Text::with_capacity(first.len(), 36), Text::with_capacity(first.len(), 9));
    for sample in &first {
        id.push_id(sample.id(city));
        stream.push(R::STREAM.name());
    }
    let columns = vec![
        id.finish()?,
        stream.finish()?,
        times(first.iter().map(|s| s.head.time)),
        times(first.iter().map(|s| s.head.sent)),
        points(first.iter().map(|s| s.reading.place(city, s.head.entity)))?,
    ];
    Ok(RecordBatch::try_new(Stream::TruthEvent.wire_schema(), columns)?)
}

/// Faulty events of one stream: their labels and their clean values, whose text the codec makes.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The stream.
    pub stream: Stream,
    /// For each label, its fault.
    pub kinds: Vec<&'static str>,
    /// For each label, when the faulty event was sent, or would have been, in milliseconds.
    pub sent: Vec<i64>,
    /// For each label, the event as it would have been without the fault, in the stream's wire schema.
    pub clean: RecordBatch,
}

/// The labels of `samples`; an event with two faults has two, a further copy only that it is one.
pub fn labels<R: Reading>(city: &City, samples: &[Sample<R>]) -> Result<Option<Labels>> {
    let (mut kinds, mut sent, mut clean) = (Vec::new(), Vec::new(), Vec::new());
    for sample in samples.iter().filter(|s| s.head.is_faulty()) {
        let head = &sample.head;
        let mut label = |kind| {
            kinds.push(kind);
            sent.push(head.sent);
            clean.push(sample.clean());
        };
        if head.copy > 0 {
            label("duplicate");
            continue;
        }
        let befell = [
            (head.is_dropped(), "drop"),
            (head.faults & LATE != 0, "late"),
            (head.faults & OUT_OF_ORDER != 0, "out_of_order"),
            (head.faults & OUTAGE != 0, "outage"),
            (head.jump != 0, "clock_jump"),
            (head.harm != Harm::None, head.harm.name()),
        ];
        befell.into_iter().filter(|(happened, _)| *happened).for_each(|(_, kind)| label(kind));
    }
    if kinds.is_empty() {
        return Ok(None);
    }
    Ok(Some(Labels { stream: R::STREAM, kinds, sent, clean: R::build(city, &clean)? }))
}

//! `emergency`: the district's dispatch desk reports each step of an incident.

use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};

use super::columns::{Text, points, times};
use super::device;
use super::sample::{Reading, Sample};
use super::{Observer, Samples};
use crate::city::City;
use crate::city::network::{DISTRICTS, Place};
use crate::city::trace::{IncidentStep, Status, Window};
use crate::error::Result;
use crate::schema::Stream;

/// A step as the desk of a district knows it.
#[derive(Debug, Clone, Copy)]
pub struct EmergencyReading(IncidentStep, u32);

/// Where it is: at the end of its road.
pub(super) fn place(city: &City, step: &IncidentStep) -> Place {
    city.network.junctions[city.network.roads[step.road as usize].to as usize]
}

impl EmergencyReading {
    /// What its district's desk says of a step.
    pub(super) fn of(city: &City, step: &IncidentStep) -> Self {
        Self(*step, city.network.district(place(city, step)) as u32)
    }

    fn district(&self) -> u32 {
        self.1
    }

    fn describe(&self, city: &City) -> String {
        let step = &self.0;
        let street = city.network.street_name(&city.network.roads[step.road as usize]);
        let place = format!("{street}, {}", DISTRICTS[self.district() as usize]);
        let what = step.kind.name();
        match step.status {
            Status::Reported if step.lanes_blocked > 0 => {
                format!("{what} reported on {place}; lanes blocked: {}", step.lanes_blocked)
            }
            Status::Reported => format!("{what} reported on {place}"),
            Status::Dispatched => format!("Responder on its way to {place}"),
            Status::OnScene => format!("Responder at the scene on {place}"),
            Status::LanesCleared => format!("All lanes open on {place}"),
            Status::Resolved => format!("{what} on {place} resolved"),
        }
    }
}

/// Steps made in the window.
pub fn observe(observer: &Observer, window: &Window, samples: &mut Samples) {
    let city = &observer.city;
    for step in &window.incidents {
        let reading = EmergencyReading::of(city, step);
        // A desk is one device; its part is that of its district.
        if observer.sees(reading.district()) {
            let (identity, time) = ((step.incident, step.status as u64), (step.time, step.time));
            samples.emergency.push(city.rng, &observer.options.faults, identity, time, reading);
        }
    }
}

impl Reading for EmergencyReading {
    const STREAM: Stream = Stream::Emergency;

    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch> {
        let n = samples.len();
        let (mut id, mut device_id, mut incident) =
            (Text::with_capacity(n, 36), Text::with_capacity(n, 10), Text::with_capacity(n, 15));
        let (mut kind, mut status, mut description) =
            (Text::with_capacity(n, 9), Text::with_capacity(n, 12), Text::with_capacity(n, 60));
        let (mut road_id, mut responder) = (Text::with_capacity(n, 10), Text::with_capacity(n, 15));
        for sample in samples {
            let step = &sample.reading.0;
            id.push_id(sample.id(city));
            device_id.push_numbered(device::DESK.0, sample.reading.district(), device::DESK.1);
            incident.push_numbered(device::INCIDENT.0, step.incident, device::INCIDENT.1);
            kind.push(step.kind.name());
            status.push(step.status.name());
            description.push(&sample.reading.describe(city));
            road_id.push_numbered(device::ROAD.0, step.road, device::ROAD.1);
            match step.responder {
                Some(v) => responder.push_numbered(device::VEHICLE.0, v, device::VEHICLE.1),
                None => responder.push_null(),
            }
        }
        let columns = vec![
            id.finish()?,
            device_id.finish()?,
            incident.finish()?,
            kind.finish()?,
            times(samples.iter().map(|s| s.head.stamp)),
            points(samples.iter().map(|s| s.reading.place(city, s.head.entity)))?,
            status.finish()?,
            description.finish()?,
            times(samples.iter().map(|s| s.head.sent)),
            Arc::new(Int32Array::from_iter_values(samples.iter().map(|s| i32::from(s.reading.0.severity)))),
            road_id.finish()?,
            Arc::new(Int32Array::from_iter_values(samples.iter().map(|s| i32::from(s.reading.0.lanes_blocked)))),
            responder.finish()?,
        ];
        Ok(RecordBatch::try_new(Self::STREAM.wire_schema(), columns)?)
    }

    fn place(&self, city: &City, _entity: u32) -> (f64, f64) {
        city.network.degrees(place(city, &self.0))
    }

    fn device(&self, _entity: u32) -> u32 {
        self.district()
    }
}

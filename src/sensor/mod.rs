//! What the city's sensors see: trace → events. A pure function of (seed, trace, device, interval): any thread, part or
//! resumed run gives the same events.
//!
//! [`Observer::observe`] reads a window and gives [`Samples`], small and sorted; [`Hold`] keeps those that are sent
//! later; [`Observer::build`] makes Arrow events of them. The first and the last run on any thread; the middle one is the
//! only step that needs order.

mod by_vehicle;
pub mod columns;
pub mod device;
mod emergency;
mod fate;
mod faults;
mod gps;
pub mod picture;
mod png;
pub mod reference;
mod receiver;
mod sample;
mod scenario;
mod spot;
mod traffic;
mod truth;
mod vehicle;
mod weather;

pub use faults::{DriftKind, Faults, RETRIES};
pub use scenario::{SCENARIOS, Scenario};
pub use truth::Labels;

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};

use crate::city::City;
use crate::city::clock::SECOND;
use crate::city::trace::{CAMERA_INTERVAL, Crossing, Part, Window};
use crate::error::{Error, Result};
use crate::schema::{Events, Harm, Stream};
use picture::Picture;
use sample::{Held, Reading, Readings, Sample};

/// What is observed.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorOptions {
    /// The streams wanted, truth included.
    pub streams: Vec<Stream>,
    /// This part of the devices, from 0.
    pub part: u32,
    /// Of so many parts; their union is the whole.
    pub parts: u32,
    /// Faults.
    pub faults: Faults,
    /// The drop-in's mode: a vehicle's device sends every stream at each step of the vehicle, as the original workflow's
    /// does: its fix, the nearest camera's and station's readings, and the nearest open incident.
    pub compat: bool,
    /// How often each camera takes a picture, in milliseconds; whole intervals of the cameras. None takes none.
    pub snapshots: Option<i64>,
}

impl Default for SensorOptions {
    fn default() -> Self {
        Self {
            streams: Stream::EVENTS.to_vec(),
            part: 0,
            parts: 1,
            faults: Faults::default(),
            compat: false,
            snapshots: None,
        }
    }
}

/// The sensors of one part of a city.
#[derive(Debug, Clone)]
pub struct Observer {
    city: Arc<City>,
    options: SensorOptions,
}

/// Readings of every wanted stream, in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Samples {
    vehicle: Readings<vehicle::VehicleReading>,
    gps: Readings<gps::GpsReading>,
    traffic: Readings<traffic::TrafficReading>,
    weather: Readings<weather::WeatherReading>,
    emergency: Readings<emergency::EmergencyReading>,
    by_vehicle: by_vehicle::Readings,
    crossings: Vec<Crossing>,
    pictures: Vec<Picture>,
}

/// Events and truth made of [`Samples`].
#[derive(Debug)]
pub struct Observed {
    /// Events, a batch a stream that has any, in the order of [`Stream::ALL`]; truth streams but faults are among them.
    pub events: Vec<Events>,
    /// Labels of the faults, where `truth_fault` is wanted.
    pub labels: Vec<Labels>,
}

impl Observer {
    /// # Errors
    /// `Config` where the part, a fault or the pictures' interval is out of range.
    pub fn new(city: Arc<City>, options: SensorOptions) -> Result<Self> {
        if options.parts == 0 || options.part >= options.parts {
            return Err(Error::config(format!("part {} of {}", options.part, options.parts))
                .help("Parts are numbered from 0: the parts of four are 0/4, 1/4, 2/4 and 3/4"));
        }
        options.faults.check()?;
        if let Some(every) = options.snapshots
            && (every <= 0 || every % CAMERA_INTERVAL != 0)
        {
            return Err(Error::config(format!("a camera's picture each {every} ms"))
                .help("Cameras report each minute: give a whole number of minutes"));
        }
        Ok(Self { city, options })
    }

    /// The city.
    pub fn city(&self) -> &Arc<City> {
        &self.city
    }

    /// What is observed.
    pub fn options(&self) -> &SensorOptions {
        &self.options
    }

    /// Whether a device belongs to this part.
    fn sees(&self, device: u32) -> bool {
        self.options.devices().has(device)
    }

    fn wants(&self, stream: Stream) -> bool {
        self.options.streams.contains(&stream)
    }

    /// Whether a truth stream that speaks of every stream's events is wanted.
    fn wants_truth_of(&self, stream: Stream) -> bool {
        self.wants(stream) && (self.wants(Stream::TruthEvent) || self.wants(Stream::TruthFault))
    }

    /// What the sensors read in a window.
    pub fn observe(&self, window: &Window) -> Samples {
        let mut samples = Samples::default();
        if self.wants(Stream::TruthCrossing) {
            samples.crossings = truth::crossings(self, window);
        }
        if self.options.compat {
            by_vehicle::observe(self, window, &mut samples);
            return samples;
        }
        if self.wants(Stream::Vehicle) {
            vehicle::observe(self, window, &mut samples);
            samples.vehicle.sort();
        }
        if self.wants(Stream::Gps) {
            gps::observe(self, window, &mut samples);
            samples.gps.sort();
        }
        if self.wants(Stream::Traffic) {
            traffic::observe(self, window, &mut samples);
            samples.traffic.sort();
        }
        if self.wants(Stream::Weather) {
            weather::observe(self, window, &mut samples);
            samples.weather.sort();
        }
        if self.wants(Stream::Emergency) {
            emergency::observe(self, window, &mut samples);
            samples.emergency.sort();
        }
        samples
    }

    /// Makes events of readings.
    pub fn build(&self, samples: &Samples) -> Result<Observed> {
        let mut observed = Observed { events: Vec::new(), labels: Vec::new() };
        let mut truth = Vec::new();
        self.build_stream(&samples.vehicle.samples, &mut observed, &mut truth)?;
        self.build_stream(&samples.gps.samples, &mut observed, &mut truth)?;
        self.build_stream(&samples.traffic.samples, &mut observed, &mut truth)?;
        self.build_stream(&samples.weather.samples, &mut observed, &mut truth)?;
        self.build_stream(&samples.emergency.samples, &mut observed, &mut truth)?;
        samples.by_vehicle.build(self, &mut observed, &mut truth)?;
        if !samples.crossings.is_empty() {
            let batch = truth::build_crossings(&samples.crossings)?;
            observed.events.push(Events { stream: Stream::TruthCrossing, batch, harm: Vec::new() });
        }
        observed.events.append(&mut truth);
        Ok(observed)
    }

    fn build_stream<R: Reading>(
        &self,
        samples: &[Sample<R>],
        observed: &mut Observed,
        truth: &mut Vec<Events>,
    ) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let sent: Vec<Sample<R>>;
        let samples_sent = if samples.iter().any(|s| s.head.is_dropped()) {
            sent = samples.iter().filter(|s| !s.head.is_dropped()).copied().collect();
            &sent
        } else {
            samples
        };
        if !samples_sent.is_empty() {
            let harmed = samples_sent.iter().any(|s| s.head.harm != Harm::None);
            let harm = if harmed { samples_sent.iter().map(|s| s.head.harm).collect() } else { Vec::new() };
            let batch = R::build(&self.city, samples_sent)?;
            observed.events.push(Events { stream: R::STREAM, batch, harm });
        }
        if self.wants_truth_of(R::STREAM) {
            if self.wants(Stream::TruthEvent) {
                let batch = truth::build_events(&self.city, samples)?;
                truth.push(Events { stream: Stream::TruthEvent, batch, harm: Vec::new() });
            }
            if self.wants(Stream::TruthFault) {
                observed.labels.extend(truth::labels(&self.city, samples)?);
            }
        }
        Ok(())
    }
}

impl SensorOptions {
    /// The devices that are observed.
    pub fn devices(&self) -> Part {
        Part { index: self.part, of: self.parts }
    }

    /// The cameras that are looked through: any may be the nearest of a vehicle.
    pub fn cameras(&self) -> Part {
        if self.compat { Part::WHOLE } else { self.devices() }
    }

    /// What the length of a window has to be a multiple of, counted from the city's start, in milliseconds. At a vehicle's
    /// step a camera's last whole interval is told, and a window reaches back one interval from its begin.
    pub fn window_unit(&self) -> u64 {
        if self.compat { CAMERA_INTERVAL as u64 } else { SECOND as u64 }
    }

    /// The longest time from a reading to its sending, in milliseconds.
    pub fn longest_delay(&self) -> i64 {
        sample::MOST_DELAY + self.faults.longest_delay()
    }
}

/// Keeps readings until they are sent.
#[derive(Debug, Default)]
pub struct Hold {
    vehicle: Held<vehicle::VehicleReading>,
    gps: Held<gps::GpsReading>,
    traffic: Held<traffic::TrafficReading>,
    weather: Held<weather::WeatherReading>,
    emergency: Held<emergency::EmergencyReading>,
    by_vehicle: by_vehicle::Hold,
}

impl Hold {
    /// Takes readings in and gives out those sent before `until`, in order.
    #[must_use]
    pub fn release(&mut self, new: Samples, until: i64) -> Samples {
        Samples {
            vehicle: Readings { samples: self.vehicle.release(new.vehicle.samples, until) },
            gps: Readings { samples: self.gps.release(new.gps.samples, until) },
            traffic: Readings { samples: self.traffic.release(new.traffic.samples, until) },
            weather: Readings { samples: self.weather.release(new.weather.samples, until) },
            emergency: Readings { samples: self.emergency.release(new.emergency.samples, until) },
            by_vehicle: self.by_vehicle.release(new.by_vehicle, until),
            crossings: new.crossings,
            pictures: new.pictures,
        }
    }
}

impl Hold {
    /// Readings that wait.
    pub fn len(&self) -> usize {
        self.vehicle.len()
            + self.gps.len()
            + self.traffic.len()
            + self.weather.len()
            + self.emergency.len()
            + self.by_vehicle.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Samples {
    /// Without what is sent before `position`; crossings are sent when they end.
    #[must_use]
    pub fn sent_from(mut self, position: i64) -> Self {
        self.vehicle.drop_before(position);
        self.gps.drop_before(position);
        self.traffic.drop_before(position);
        self.weather.drop_before(position);
        self.emergency.drop_before(position);
        self.by_vehicle.drop_before(position);
        let before = self.crossings.partition_point(|c| c.t_out < position);
        self.crossings.drain(..before);
        self
    }

    /// Takes the pictures that cameras took in the window, whether or not the readings that name them are sent. At most one
    /// a camera and minute, some hundred bytes to two kilobytes each.
    pub fn take_pictures(&mut self) -> Vec<Picture> {
        std::mem::take(&mut self.pictures)
    }

    /// Readings and crossings.
    pub fn len(&self) -> usize {
        self.vehicle.samples.len()
            + self.gps.samples.len()
            + self.traffic.samples.len()
            + self.weather.samples.len()
            + self.emergency.samples.len()
            + self.by_vehicle.len()
            + self.crossings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The events that typed sinks take: without the harmed ones.
///
/// # Errors
/// `Internal` where the filter does not fit the batch.
pub fn without_harmed(events: &Events) -> Result<RecordBatch> {
    if events.harm.is_empty() {
        return Ok(events.batch.clone());
    }
    let keep: BooleanArray = events.harm.iter().map(|h| Some(*h == Harm::None)).collect();
    Ok(arrow::compute::filter_record_batch(&events.batch, &keep)?)
}

//! The drop-in's mode: at each step of a vehicle its device sends five messages, as the original workflow's does: its own
//! report, its fix, what the nearest camera and the nearest station say, and the nearest open incident, if one is near.
//!
//! A report is the same event as in the other mode, id included. The others are the vehicle's events, with its number and
//! the step's counter in their ids, and [`BY_STEP`] so that they are never a sensor's. All five have the step's `timestamp`;
//! a place is that of whom it tells.

use arrow::array::RecordBatch;

use super::columns::Text;
use super::device::{self, BY_STEP};
use super::emergency::{self, EmergencyReading};
use super::gps::{self, GpsReading};
use super::receiver::Receiver;
use super::sample::{self, Head, Held, Reading, Sample};
use super::traffic::{self, TrafficReading};
use super::vehicle::{self, Step};
use super::weather::WeatherReading;
use super::{Observed, Observer, Samples};
use crate::city::City;
use crate::city::motion::Way;
use crate::city::network::Place;
use crate::city::trace::{CAMERA_INTERVAL, IncidentStep, Status, Window};
use crate::error::Result;
use crate::schema::{Events, Stream};

/// An incident farther away is not told, in metres.
const NEAR: f64 = 2_000.0;

/// A sensor's reading, told by a vehicle's device.
#[derive(Debug, Clone, Copy)]
pub struct ByVehicle<R> {
    /// The sensor's number.
    source: u32,
    reading: R,
}

impl<R: Reading> Reading for ByVehicle<R> {
    const STREAM: Stream = R::STREAM;

    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch> {
        let of_source = |s: &Sample<Self>| {
            let head = Head { entity: s.reading.source, ..s.head };
            Sample { head, reading: s.reading.reading }
        };
        let batch = R::build(city, &samples.iter().map(of_source).collect::<Vec<_>>())?;
        let (mut id, mut device_id) = (Text::with_capacity(samples.len(), 36), Text::with_capacity(samples.len(), 15));
        for sample in samples {
            id.push_id(sample.id(city));
            device_id.push_numbered(device::VEHICLE.0, sample.head.entity, device::VEHICLE.1);
        }
        let (schema, mut columns) = (batch.schema(), batch.columns().to_vec());
        columns[schema.index_of("id")?] = id.finish()?;
        columns[schema.index_of("deviceId")?] = device_id.finish()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn place(&self, city: &City, _entity: u32) -> (f64, f64) {
        self.reading.place(city, self.source)
    }
}

/// Readings that a vehicle's device tells for others, in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Readings {
    traffic: sample::Readings<ByVehicle<TrafficReading>>,
    weather: sample::Readings<ByVehicle<WeatherReading>>,
    emergency: sample::Readings<ByVehicle<EmergencyReading>>,
}

impl Readings {
    pub fn len(&self) -> usize {
        self.traffic.samples.len() + self.weather.samples.len() + self.emergency.samples.len()
    }

    pub fn drop_before(&mut self, position: i64) {
        self.traffic.drop_before(position);
        self.weather.drop_before(position);
        self.emergency.drop_before(position);
    }

    pub fn build(&self, observer: &Observer, observed: &mut Observed, truth: &mut Vec<Events>) -> Result<()> {
        observer.build_stream(&self.traffic.samples, observed, truth)?;
        observer.build_stream(&self.weather.samples, observed, truth)?;
        observer.build_stream(&self.emergency.samples, observed, truth)
    }
}

/// Keeps them until they are sent.
#[derive(Debug, Default)]
pub struct Hold {
    traffic: Held<ByVehicle<TrafficReading>>,
    weather: Held<ByVehicle<WeatherReading>>,
    emergency: Held<ByVehicle<EmergencyReading>>,
}

impl Hold {
    pub fn release(&mut self, new: Readings, until: i64) -> Readings {
        Readings {
            traffic: sample::Readings { samples: self.traffic.release(new.traffic.samples, until) },
            weather: sample::Readings { samples: self.weather.release(new.weather.samples, until) },
            emergency: sample::Readings { samples: self.emergency.release(new.emergency.samples, until) },
        }
    }

    pub fn len(&self) -> usize {
        self.traffic.len() + self.weather.len() + self.emergency.len()
    }
}

/// Everything that the vehicles' devices send of the window.
pub fn observe(observer: &Observer, window: &Window, samples: &mut Samples) {
    let (city, rng, faults) = (&observer.city, observer.city.rng, &observer.options.faults);
    let wanted = [Stream::Gps, Stream::Traffic, Stream::Weather, Stream::Emergency].map(|s| observer.wants(s));
    let [gps, traffic, weather, emergency] = wanted;
    let stations = Sites::new(city.network.stations.iter().copied());
    let cameras = Counted::new(city, if traffic { Some(window) } else { None });
    let incidents = open_spans(city, window);
    vehicle::steps(observer, window, |step| {
        let (time, at) = ((step.time, step.stamp), step.reading.spot.place());
        if observer.wants(Stream::Vehicle) {
            samples.vehicle.push(rng, faults, (step.vehicle, step.counter), time, step.reading);
        }
        let identity = (step.vehicle, step.counter | BY_STEP);
        if let Some(reading) = gps.then(|| fix(city, window, &step)).flatten() {
            samples.gps.push(rng, faults, identity, time, reading);
        }
        if let Some(reading) = cameras.nearest(at, step.time) {
            samples.by_vehicle.traffic.push(rng, faults, identity, time, reading);
        }
        let cell = stations.nearest(at).filter(|_| weather);
        if let Some((source, row)) = cell.and_then(|s| Some((s, window.cell(s as u16, step.time)?))) {
            let reading = ByVehicle { source, reading: WeatherReading(*row) };
            samples.by_vehicle.weather.push(rng, faults, identity, time, reading);
        }
        if let Some(of) = emergency.then(|| nearest_open(&incidents, at, step.time)).flatten() {
            let reading = ByVehicle { source: of.incident, reading: EmergencyReading::of(city, of) };
            samples.by_vehicle.emergency.push(rng, faults, identity, time, reading);
        }
    });
    samples.vehicle.sort();
    samples.gps.sort();
    samples.by_vehicle.traffic.sort();
    samples.by_vehicle.weather.sort();
    samples.by_vehicle.emergency.sort();
}

fn fix(city: &City, window: &Window, step: &Step) -> Option<GpsReading> {
    let receiver = Receiver::new(city.rng, step.vehicle);
    let emerged = window.emerged_of(step.vehicle);
    let fix = gps::fix(city, receiver, emerged, step.reading.road, (step.counter | BY_STEP, step.time))?;
    let kind = city.fleet.kinds[step.vehicle as usize];
    Some(GpsReading::of(fix, step.reading.spot, kind, step.reading.speed))
}

fn squared(a: Place, b: Place) -> f64 {
    (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)
}

/// Places to find the nearest of, from west to east, each with its number.
struct Sites(Vec<(Place, u32)>);

impl Sites {
    fn new(places: impl Iterator<Item = Place>) -> Self {
        let mut sites: Vec<_> = places.zip(0..).collect();
        sites.sort_by(|a, b| a.0.x.total_cmp(&b.0.x));
        Self(sites)
    }

    /// The number of the nearest; of equally near ones the least.
    fn nearest(&self, at: Place) -> Option<u32> {
        let middle = self.0.partition_point(|(place, _)| place.x < at.x);
        let mut best = (f64::INFINITY, u32::MAX);
        // Both ways, until the way east or west alone is longer than to the best one.
        let mut look = |sites: &mut dyn Iterator<Item = &(Place, u32)>| {
            for &(place, number) in sites {
                if (place.x - at.x) * (place.x - at.x) > best.0 {
                    break;
                }
                let found = (squared(place, at), number);
                if found < best {
                    best = found;
                }
            }
        };
        look(&mut self.0[middle..].iter());
        look(&mut self.0[..middle].iter().rev());
        (best.1 != u32::MAX).then_some(best.1)
    }
}

/// What every camera counts in the intervals that steps of a window may tell: the one that ends at its begin and those that
/// end in it.
struct Counted {
    sites: Sites,
    /// End of the first interval.
    first: i64,
    /// Interval by interval, camera by camera.
    readings: Vec<TrafficReading>,
    cameras: usize,
}

impl Counted {
    fn new(city: &City, window: Option<&Window>) -> Self {
        let (network, start) = (&city.network, city.options.start);
        let sites = Sites::new(network.cameras.iter().map(|c| network.place_on(c.road, c.offset)));
        let mut counted = Self { sites, first: 0, readings: Vec::new(), cameras: network.cameras.len() };
        let Some(window) = window else { return counted };
        // Nobody has counted before the city's start.
        let from = window.from.max(start + CAMERA_INTERVAL);
        let (mut end, _) = device::first_tick(from, start, CAMERA_INTERVAL, 0);
        counted.first = end;
        let (mut way, mut seen) = (Way::default(), Vec::new());
        while end < window.to {
            for camera in &network.cameras {
                // A vehicle's device takes no picture.
                seen.clear();
                counted.readings.push(traffic::read(city, window, camera, end, &mut way, &mut seen));
            }
            end += CAMERA_INTERVAL;
        }
        counted
    }

    /// The last whole interval of the nearest camera; none in the city's first minute.
    fn nearest(&self, at: Place, time: i64) -> Option<ByVehicle<TrafficReading>> {
        let interval = usize::try_from((time - self.first).div_euclid(CAMERA_INTERVAL)).ok()?;
        let of_interval = self.readings.chunks_exact(self.cameras.max(1)).nth(interval)?;
        let source = self.sites.nearest(at)?;
        Some(ByVehicle { source, reading: *of_interval.get(source as usize)? })
    }
}

/// A step of an incident, where it is, and until when it is the latest one.
struct Span {
    step: IncidentStep,
    place: Place,
    until: i64,
}

/// The steps in force at some time of the window, but the last ones of incidents.
fn open_spans(city: &City, window: &Window) -> Vec<Span> {
    let steps: Vec<IncidentStep> = window.open.iter().chain(&window.incidents).copied().collect();
    let open = |(i, step): (usize, &IncidentStep)| {
        let next = steps[i + 1..].iter().find(|s| s.incident == step.incident);
        let span = Span { step: *step, place: emergency::place(city, step), until: next.map_or(i64::MAX, |s| s.time) };
        (step.status != Status::Resolved).then_some(span)
    };
    steps.iter().enumerate().filter_map(open).collect()
}

/// The nearest incident that is open at `time`, if it is within [`NEAR`]; of equally near ones the one with the least
/// number.
fn nearest_open(spans: &[Span], at: Place, time: i64) -> Option<&IncidentStep> {
    let open = spans.iter().filter(|s| (s.step.time..s.until).contains(&time));
    let near = open.map(|s| (squared(s.place, at), &s.step)).filter(|(d, _)| *d <= NEAR * NEAR);
    near.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.incident.cmp(&b.1.incident))).map(|(_, step)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_the_one_that_looking_at_all_finds() {
        // A lattice has many equally near ones.
        let places: Vec<Place> =
            (0..200_u32).map(|n| Place { x: f64::from(n * 37 % 50), y: f64::from(n * 11 % 30) }).collect();
        let sites = Sites::new(places.iter().copied());
        for n in 0..500_u32 {
            let at = Place { x: f64::from(n % 61) - 4.5, y: f64::from(n % 37) - 3.0 };
            let all = places.iter().zip(0..).map(|(p, i)| (squared(*p, at), i));
            let wanted = all.min_by(|a: &(f64, u32), b| a.partial_cmp(b).expect("no NaN")).map(|(_, i)| i);
            assert_eq!(sites.nearest(at), wanted);
        }
        assert_eq!(Sites::new(std::iter::empty()).nearest(Place { x: 0.0, y: 0.0 }), None);
    }
}

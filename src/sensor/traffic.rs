//! `traffic`: what each camera counts in an interval of one minute: the vehicles that really pass it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch};

use super::columns::{Text, lists, points, times};
use super::device::{self, Clock};
use super::picture::{self, Class, Picture, Seen};
use super::sample::{Reading, Sample};
use super::{Observer, Samples};
use crate::city::City;
use crate::city::fleet::VehicleType;
use crate::city::motion::{SMOOTHING, Way};
use crate::city::network::Camera;
use crate::city::round::round;
use crate::city::trace::{CAMERA_INTERVAL, Window};
use crate::error::Result;
use crate::schema::Stream;

/// Bins of the speed histogram, 5 km/h each; the last is open.
pub const BINS: usize = 32;
/// Below this a vehicle stands in a queue, in km/h.
const QUEUE_KMH: f64 = 10.0;
/// Room of a queued vehicle in metres (city.md: κ = 1/7.5 m per lane).
const QUEUE_ROOM: f64 = 7.5;

/// Counts of one interval.
#[derive(Debug, Clone, Copy)]
pub struct TrafficReading {
    /// Cars, vans, goods vehicles, emergency vehicles.
    classes: [u32; 4],
    speeds: [u16; BINS],
    mean: f64,
    p85: f64,
    occupancy: f64,
    headway: f64,
    queue: f64,
    /// SHA-256 of the picture at the interval's end, where one was taken.
    picture: Option<[u8; 32]>,
}

impl TrafficReading {
    fn count(&self) -> u32 {
        self.classes.iter().sum()
    }
}

struct Passage {
    time: i64,
    speed: f64,
    kind: VehicleType,
}

/// Intervals that end in the window: after its start, up to and with its end.
pub fn observe(observer: &Observer, window: &Window, samples: &mut Samples) {
    let city = &observer.city;
    let start = city.options.start;
    let (mut end, mut number) = device::first_tick(window.from + 1, start, CAMERA_INTERVAL, 0);
    if end > window.to {
        return;
    }
    let mut way = Way::default();
    let mut seen = Vec::new();
    while end <= window.to {
        let pictured = observer.options.snapshots.is_some_and(|every| (end - start) % every == 0);
        for (c, camera) in city.network.cameras.iter().enumerate() {
            let entity = c as u32;
            if !observer.sees(entity) {
                continue;
            }
            seen.clear();
            let mut reading = read(city, window, camera, end, &mut way, &mut seen);
            if pictured {
                let picture = Picture::render(city, entity, &seen);
                reading.picture = Some(picture.sha);
                samples.pictures.push(picture);
            }
            let stamp = Clock::of_camera(city.rng, entity).shows(end);
            samples.traffic.push(city.rng, &observer.options.faults, (entity, number as u64), (end, stamp), reading);
        }
        end += CAMERA_INTERVAL;
        number += 1;
    }
}

/// What a camera counts in the interval that ends at `end`; `seen` takes the vehicles that are on the camera's road then.
pub(super) fn read<'a>(
    city: &City,
    window: &'a Window,
    camera: &Camera,
    end: i64,
    way: &mut Way<'a>,
    seen: &mut Vec<Seen>,
) -> TrafficReading {
    let road = &city.network.roads[camera.road as usize];
    let from = end - CAMERA_INTERVAL;
    let mut passages = Vec::new();
    let mut queued = 0u32;
    for i in window.on(city.network.lanes.of(camera.road)) {
        let crossing = &window.crossings[i];
        if crossing.t_in >= end || crossing.t_out < from - SMOOTHING {
            continue;
        }
        let leg = window.follow(i, &city.network.specs, (from, end), way);
        let kind = city.fleet.kinds[crossing.vehicle as usize];
        if let Some(time) = way.passes(leg, camera.offset, (from, end)) {
            passages.push(Passage { time, speed: way.at(time).speed, kind });
        }
        if crossing.t_out < end - SMOOTHING {
            continue;
        }
        let state = way.at(end);
        if state.road == camera.road {
            // One that ends its trip here parks.
            let parks = crossing.t_out < end && window.latest_until(i) > crossing.t_out;
            queued += u32::from(state.speed < QUEUE_KMH && !parks);
            seen.push(Seen { offset: state.offset, lane: crossing.lane, kind });
        }
    }
    passages.sort_unstable_by_key(|p| p.time);
    let mut reading = TrafficReading {
        classes: [0; 4],
        speeds: [0; BINS],
        mean: 0.0,
        p85: 0.0,
        occupancy: 0.0,
        headway: 0.0,
        queue: round((f64::from(queued) * QUEUE_ROOM / f64::from(road.lanes)).min(road.length), 10.0),
        picture: None,
    };
    let interval = CAMERA_INTERVAL as f64 / 1_000.0;
    let mut covered = 0.0;
    for passage in &passages {
        let class = Class::of(passage.kind);
        reading.classes[class.number] += 1;
        reading.speeds[((passage.speed / 5.0) as usize).min(BINS - 1)] += 1;
        // One that comes to a stand here covers the spot for the rest of the interval.
        covered += (class.length / (passage.speed / 3.6)).min(interval);
    }
    reading.occupancy = round((covered / interval / f64::from(road.lanes)).min(1.0), 10_000.0);
    if let (Some(first), Some(last)) = (passages.first(), passages.last()) {
        let n = passages.len();
        reading.mean = round(passages.iter().map(|p| p.speed).sum::<f64>() / n as f64, 10.0);
        let mut speeds: Vec<f64> = passages.iter().map(|p| p.speed).collect();
        speeds.sort_unstable_by(f64::total_cmp);
        // Nearest rank.
        reading.p85 = round(speeds[(n * 85).div_ceil(100) - 1], 10.0);
        if n > 1 {
            reading.headway = round((last.time - first.time) as f64 / 1_000.0 / (n - 1) as f64, 100.0);
        }
    }
    reading
}

impl Reading for TrafficReading {
    const STREAM: Stream = Stream::Traffic;

    fn build(city: &City, samples: &[Sample<Self>]) -> Result<RecordBatch> {
        let n = samples.len();
        let (mut id, mut device_id) = (Text::with_capacity(n, 36), Text::with_capacity(n, 11));
        let (mut camera_id, mut road_id) = (Text::with_capacity(n, 11), Text::with_capacity(n, 10));
        let (mut snapshot, mut sha) = (Text::with_capacity(n, 0), Text::with_capacity(n, 0));
        for sample in samples {
            id.push_id(sample.id(city));
            device_id.push_numbered(device::CAMERA.0, sample.head.entity, device::CAMERA.1);
            camera_id.push_numbered(device::CAMERA.0, sample.head.entity, device::CAMERA.1);
            let road = city.network.cameras[sample.head.entity as usize].road;
            road_id.push_numbered(device::ROAD.0, road, device::ROAD.1);
            if let Some(sum) = &sample.reading.picture {
                snapshot.push(&picture::name(sample.head.entity, sum));
                sha.push(&picture::hexadecimal(sum));
            } else {
                snapshot.push_null();
                sha.push_null();
            }
        }
        let int = |value: &dyn Fn(&TrafficReading) -> u32| {
            Arc::new(Int32Array::from_iter_values(samples.iter().map(|s| value(&s.reading) as i32))) as ArrayRef
        };
        let from_count = |least: u32, value: fn(&TrafficReading) -> f64| {
            let present = samples.iter().map(|s| (s.reading.count() >= least).then(|| value(&s.reading)));
            Arc::new(present.collect::<Float64Array>()) as ArrayRef
        };
        let bins = samples.iter().flat_map(|s| s.reading.speeds.map(i32::from));
        let columns = vec![
            id.finish()?,
            device_id.finish()?,
            camera_id.finish()?,
            points(samples.iter().map(|s| s.reading.place(city, s.head.entity)))?,
            times(samples.iter().map(|s| s.head.stamp)),
            snapshot.finish()?,
            times(samples.iter().map(|s| s.head.sent)),
            road_id.finish()?,
            int(&|_| (CAMERA_INTERVAL / 1_000) as u32),
            int(&TrafficReading::count),
            int(&|r| r.classes[0]),
            int(&|r| r.classes[1]),
            int(&|r| r.classes[2]),
            int(&|r| r.classes[3]),
            from_count(1, |r| r.mean),
            from_count(1, |r| r.p85),
            lists(Arc::new(Int32Array::from_iter_values(bins)), std::iter::repeat_n(BINS, n))?,
            from_count(0, |r| r.occupancy),
            from_count(2, |r| r.headway),
            from_count(0, |r| r.queue),
            sha.finish()?,
        ];
        Ok(RecordBatch::try_new(Self::STREAM.wire_schema(), columns)?)
    }

    fn place(&self, city: &City, entity: u32) -> (f64, f64) {
        let camera = &city.network.cameras[entity as usize];
        city.network.degrees(city.network.place_on(camera.road, camera.offset))
    }
}

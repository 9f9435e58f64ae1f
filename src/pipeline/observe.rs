//! City → trace → events, with the work on the workers: the source of every sink.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use serde_json::json;

use super::pool::{Pool, in_order};
use crate::city::trace::{Window, Windows};
use crate::city::{City, CityOptions, Simulation};
use crate::codec::json as codec;
use crate::error::Result;
use crate::schema::{Events, Stream};
use crate::sensor::{Hold, Labels, Observed, Observer, Samples, SensorOptions, reference};

/// A city to be observed.
#[derive(Debug, Clone)]
pub struct Source {
    observer: Observer,
    threads: usize,
}

/// Events of a stretch of simulated time.
#[derive(Debug)]
pub struct Chunk {
    /// Everything sent before this simulated instant has been yielded.
    pub until: i64,
    /// A batch a stream that has any, in the order of [`Stream::ALL`].
    pub events: Vec<Events>,
}

/// What [`Source::observe`] yields.
pub type Results<R> = Box<dyn Iterator<Item = Result<R>> + Send>;

/// Wanted events in one window; fewer make too many batches, more cost memory.
const WINDOW_EVENTS: f64 = 20_000.0;
/// Events per second of a vehicle of the fleet, parked ones included: one in twenty is under way, with 0.1 vehicle and
/// 0.37 gps events a second.
const VEHICLE_RATE: f64 = 0.0235;

impl Source {
    /// # Errors
    /// `Config` where an option is out of range.
    pub fn new(city: CityOptions, sensors: SensorOptions, threads: usize) -> Result<Self> {
        let observer = Observer::new(Arc::new(City::new(city)?), sensors)?;
        Ok(Self { observer, threads })
    }

    /// The city.
    pub fn city(&self) -> &Arc<City> {
        self.observer.city()
    }

    /// What is observed.
    pub fn sensors(&self) -> &SensorOptions {
        self.observer.options()
    }

    /// Worker threads; 0 is one for each core.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The same city with other sensors.
    ///
    /// # Errors
    /// `Config` where an option is out of range.
    pub fn with_sensors(&self, sensors: SensorOptions) -> Result<Self> {
        Ok(Self { observer: Observer::new(Arc::clone(self.city()), sensors)?, threads: self.threads })
    }

    /// The streams wanted that carry events of their own, in order.
    pub fn streams(&self) -> Vec<Stream> {
        Stream::ALL.into_iter().filter(|s| self.sensors().streams.contains(s)).collect()
    }

    /// Every option and fault rate as JSON text: the `city` row of the reference stream.
    pub fn options_json(&self) -> String {
        let (city, faults) = (&self.city().options, &self.sensors().faults);
        let mut options = json!({
            "seed": city.seed, "vehicles": city.vehicles, "start_ms": city.start, "duration_ms": city.duration,
        });
        for (name, value) in faults.values() {
            let unit = if value.is_i64() { "_ms" } else { "" };
            options[format!("{name}{unit}")] = value;
        }
        options.to_string()
    }

    /// The reference rows. Only part 0 carries them.
    ///
    /// # Errors
    /// `Internal` where a batch can't be assembled.
    pub fn reference(&self) -> Result<Vec<Events>> {
        if self.sensors().part != 0 {
            return Ok(Vec::new());
        }
        let batches = reference::batches(self.city(), &self.options_json())?;
        Ok(batches.into_iter().map(|batch| Events { stream: Stream::Reference, batch, harm: Vec::new() }).collect())
    }

    /// Observes the whole run and applies `work` to each chunk on the workers; results come in order.
    ///
    /// # Errors
    /// `Internal` where the system refuses a thread.
    pub fn observe<R: Send + 'static>(
        &self,
        work: impl Fn(Chunk) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Results<R>> {
        let pool = Pool::new(self.threads)?;
        let observer = self.observer.clone();
        let read = move |window: Window| Ok((window.to, observer.observe(&window)));
        let samples = in_order(Arc::clone(&pool), windows(Arc::clone(self.city())).map(Ok), read);
        let observer = self.observer.clone();
        let build = move |(until, samples): (i64, Samples)| {
            let Observed { events, labels } = observer.build(&samples)?;
            let mut chunk = Chunk { until, events };
            for labels in labels {
                chunk.events.push(fault_rows(&labels)?);
            }
            work(chunk)
        };
        Ok(Box::new(in_order(pool, sent(samples), build)))
    }
}

/// The windows of a city's whole run.
fn windows(city: Arc<City>) -> impl Iterator<Item = Window> {
    let expected = f64::from(city.options.vehicles) * VEHICLE_RATE + 1.0;
    let length = ((WINDOW_EVENTS / expected).round() as i64).clamp(1, 300) * 1_000;
    let end = city.end();
    let mut from = city.options.start;
    let mut running: Option<(Simulation, Windows)> = None;
    std::iter::from_fn(move || {
        if from >= end {
            return None;
        }
        let (simulation, windows) =
            running.get_or_insert_with(|| (Simulation::new(Arc::clone(&city)), Windows::new(&city)));
        let to = (from + length).min(end);
        from = to;
        Some(windows.next(simulation.advance(to)))
    })
}

/// Holds readings until they are sent. What would be sent after the end is not: a run is the events sent within its time,
/// and so the beginning of every longer run.
fn sent(samples: impl Iterator<Item = Result<(i64, Samples)>>) -> impl Iterator<Item = Result<(i64, Samples)>> {
    let mut hold = Hold::default();
    samples.map(move |step| step.map(|(until, new)| (until, hold.release(new, until))))
}

/// `truth_fault` rows: the labels, with the clean payloads as the codec would have written them.
fn fault_rows(labels: &Labels) -> Result<Events> {
    let clean = Events { stream: labels.stream, batch: labels.clean.clone(), harm: Vec::new() };
    let payloads = codec::encode(&clean)?.values;
    let text: Vec<String> = payloads.iter().flatten().map(|b| String::from_utf8_lossy(b).into_owned()).collect();
    let id = labels.clean.column(0).as_string::<i32>().clone();
    let stream = StringArray::from_iter_values(std::iter::repeat_n(labels.stream.name(), labels.kinds.len()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(id),
        Arc::new(stream),
        Arc::new(StringArray::from(labels.kinds.clone())),
        crate::sensor::columns::times(labels.sent.iter().copied()),
        Arc::new(StringArray::from(text)),
    ];
    let batch = RecordBatch::try_new(Stream::TruthFault.wire_schema(), columns)?;
    Ok(Events { stream: Stream::TruthFault, batch, harm: Vec::new() })
}

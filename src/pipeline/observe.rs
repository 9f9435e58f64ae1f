//! City → trace → events, with the work on the workers: the source of every sink.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use serde_json::json;

use super::pool::{Pool, in_order};
use crate::city::saved::{SavedTrace, TraceReader};
use crate::city::trace::{TraceRows, Window, Windows};
use crate::city::{City, CityOptions, Simulation};
use crate::codec::json as codec;
use crate::error::{Error, Result};
use crate::schema::{Events, Stream};
use crate::sensor::{Hold, Labels, Observed, Observer, Samples, SensorOptions, reference};
use crate::storage::write_content;

/// A city to be observed.
#[derive(Debug, Clone)]
pub struct Source {
    observer: Observer,
    threads: usize,
    /// What is observed instead of a simulation.
    trace: Option<Arc<SavedTrace>>,
    /// Where cameras' pictures are written; they are thrown away where it is none.
    pictures: Option<Arc<PathBuf>>,
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
/// In seconds: every window looks at all that is held of the roads, which in a large city is worth some memory.
const SHORTEST_WINDOW: u64 = 4;
/// Events per second of a vehicle of the fleet, parked ones included: one in twenty is under way, with 0.1 vehicle and
/// 0.37 gps events a second.
const VEHICLE_RATE: f64 = 0.0235;

impl Source {
    /// # Errors
    /// `Config` where an option is out of range.
    pub fn new(city: CityOptions, sensors: SensorOptions, threads: usize) -> Result<Self> {
        let observer = Observer::new(Arc::new(City::new(city)?), sensors)?;
        Ok(Self { observer, threads, trace: None, pictures: None })
    }

    /// The same city, observed by the trace of it that is saved in a folder.
    ///
    /// # Errors
    /// `Store` where the folder holds no trace that this version can read; `Config` where it is another city's, or covers
    /// less time.
    pub fn with_trace(self, folder: &Path) -> Result<Self> {
        let trace = SavedTrace::open(folder)?;
        let (wanted, saved) = (&self.city().options, trace.options());
        let covered = saved.duration;
        if *wanted != (CityOptions { duration: wanted.duration, ..saved.clone() }) {
            return Err(Error::config(format!("the trace in {} is of {}", folder.display(), trace.describe()))
                .help("Leave seed, vehicles and start out: the trace has its own"));
        }
        if wanted.duration > covered {
            let short = format!("the trace in {} covers {covered} ms, not {}", folder.display(), wanted.duration);
            return Err(Error::config(short)
                .help("Ask for less, or save a longer run to the same folder: it goes on where the trace ends"));
        }
        Ok(Self { trace: Some(Arc::new(trace)), ..self })
    }

    /// The same city, whose cameras' pictures are written to a folder: each before the event that names it is given out,
    /// by the worker that rendered it. How often they take one is the sensors' option. A run that can't write one ends with
    /// `Store`.
    #[must_use]
    pub fn with_pictures(self, folder: &Path) -> Self {
        Self { pictures: Some(Arc::new(folder.to_owned())), ..self }
    }

    /// The same city, whose cameras' pictures are written nowhere.
    #[must_use]
    pub(super) fn without_pictures(self) -> Self {
        Self { pictures: None, ..self }
    }

    /// Where cameras' pictures are written.
    pub fn pictures(&self) -> Option<&Path> {
        self.pictures.as_deref().map(PathBuf::as_path)
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
        let observer = Observer::new(Arc::clone(self.city()), sensors)?;
        Ok(Self { observer, ..self.clone() })
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
        if self.sensors().compat {
            options["compat"] = true.into();
        }
        // Only where there are any: without pictures a city's row is what it always was.
        if let Some(every) = self.sensors().snapshots {
            options["snapshot_every_ms"] = every.into();
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
    /// `Internal` where the system refuses a thread; `Store` where a saved trace can't be read.
    pub fn observe<R: Send + 'static>(
        &self,
        work: impl Fn(Chunk) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Results<R>> {
        self.observe_on(&Pool::new(self.threads)?, self.city().options.start, work)
    }

    /// As [`Source::observe`], only what is sent from `position` on: the end of the whole run, row for row. A saved trace is
    /// read from the hour in which that can begin.
    ///
    /// # Errors
    /// As [`Source::observe`].
    pub fn observe_from<R: Send + 'static>(
        &self,
        position: i64,
        work: impl Fn(Chunk) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Results<R>> {
        self.observe_on(&Pool::new(self.threads)?, position, work)
    }

    /// Where the chunk begins that holds what is sent at `instant`: [`Source::observe_from`] there gives the end of the whole
    /// run chunk for chunk, in the same order also of the streams that are in none within a chunk (truth).
    pub fn chunk_start(&self, instant: i64) -> i64 {
        let (start, length) = (self.city().options.start, self.window_length());
        start + (instant - start).max(0) / length * length
    }

    fn window_length(&self) -> i64 {
        let expected = f64::from(self.city().options.vehicles) * VEHICLE_RATE + 1.0;
        let length = ((WINDOW_EVENTS / expected).round() as u64).clamp(SHORTEST_WINDOW, 300) * 1_000;
        length.next_multiple_of(self.sensors().window_unit()) as i64
    }

    /// As [`Source::observe_from`], on a pool that others use too.
    pub(super) fn observe_on<R: Send + 'static>(
        &self,
        pool: &Arc<Pool>,
        position: i64,
        work: impl Fn(Chunk) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Results<R>> {
        let observer = self.observer.clone();
        let folder = self.pictures.clone();
        let read = move |window: Window| {
            let mut samples = observer.observe(&window);
            // Here, so that no more than a window's pictures are held by each worker.
            for picture in samples.take_pictures() {
                if let Some(folder) = &folder {
                    write_content(&folder.join(picture.name()), &picture.png)?;
                }
            }
            Ok((window.to, samples))
        };
        let samples = in_order(Arc::clone(pool), self.windows(position)?, read);
        let observer = self.observer.clone();
        let build = move |(until, samples): (i64, Samples)| {
            let Observed { events, labels } = observer.build(&samples)?;
            let mut chunk = Chunk { until, events };
            for labels in labels {
                chunk.events.push(fault_rows(&labels)?);
            }
            work(chunk)
        };
        Ok(Box::new(in_order(Arc::clone(pool), sent(samples, position), build)))
    }

    /// The windows in which what is sent from `position` on can be read.
    fn windows(&self, position: i64) -> Result<impl Iterator<Item = Result<Window>> + Send + use<>> {
        let city = Arc::clone(self.city());
        let length = self.window_length();
        let (start, end) = (city.options.start, city.end());
        let needed = position - self.sensors().longest_delay();
        let (mut rows, mut windows) = match &self.trace {
            Some(trace) => {
                let (reader, windows) = trace.read(&city, needed)?;
                (Rows::Saved(Box::new(reader)), windows)
            }
            None => (Rows::Simulated(Arc::clone(&city), None), Windows::new(&city)),
        };
        windows = windows.of_part(&city, self.sensors().devices(), self.sensors().cameras());
        let mut from = rows.from(start);
        Ok(std::iter::from_fn(move || {
            while from < end {
                let to = (start + ((from - start) / length + 1) * length).min(end);
                from = to;
                match rows.advance(to) {
                    Ok(rows) => {
                        let window = windows.next(rows);
                        if to > needed {
                            return Some(Ok(window));
                        }
                    }
                    Err(error) => {
                        from = end;
                        return Some(Err(error));
                    }
                }
            }
            None
        }))
    }
}

/// Where the rows of the trace come from. The simulation begins when it is first asked.
enum Rows {
    Simulated(Arc<City>, Option<Box<Simulation>>),
    Saved(Box<TraceReader>),
}

impl Rows {
    fn from(&self, start: i64) -> i64 {
        match self {
            Rows::Saved(reader) => reader.from(),
            Rows::Simulated(..) => start,
        }
    }

    fn advance(&mut self, to: i64) -> Result<TraceRows> {
        match self {
            Rows::Simulated(city, running) => {
                Ok(running.get_or_insert_with(|| Box::new(Simulation::new(Arc::clone(city)))).advance(to))
            }
            Rows::Saved(reader) => reader.advance(to),
        }
    }
}

/// Holds readings until they are sent, and leaves out what is sent before `position`. What would be sent after the end is
/// not: a run is the events sent within its time, and so the beginning of every longer run.
fn sent(
    samples: impl Iterator<Item = Result<(i64, Samples)>> + Send,
    position: i64,
) -> impl Iterator<Item = Result<(i64, Samples)>> + Send {
    let mut hold = Hold::default();
    samples.filter_map(move |step| {
        step.map(|(until, new)| {
            let due = hold.release(new, until);
            (until > position).then(|| (until, due.sent_from(position)))
        })
        .transpose()
    })
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

//! `gold.incident_response`.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};

use super::super::found::degree;
use super::super::settle::column;
use super::dims::Dims;
use super::table::{Columns, GoldTable, date};
use crate::error::Result;

const STATUSES: [&str; 5] = ["Reported", "Dispatched", "OnScene", "LanesCleared", "Resolved"];
const TIMES: [&str; 5] = ["reported_at", "dispatched_at", "on_scene_at", "lanes_cleared_at", "resolved_at"];
/// From one status to another, and the column.
const SPANS: [(usize, usize, &str); 4] =
    [(0, 1, "dispatch_s"), (0, 2, "response_s"), (2, 3, "clearance_s"), (0, 4, "duration_s")];

#[derive(Debug)]
struct Incident {
    /// Time and id of the first event, and what it says.
    first: (i64, u128),
    kind: String,
    road: String,
    place: (f64, f64),
    severity: i32,
    furthest: usize,
    steps: i64,
    times: [Option<i64>; 5],
    lanes: i32,
    responder: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Incidents {
    incidents: BTreeMap<String, Incident>,
}

impl Incidents {
    pub(super) fn add(&mut self, rows: &RecordBatch, ids: &[u128]) -> Result<()> {
        let text = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_string::<i32>());
        let int = |name| Ok::<_, crate::error::Error>(column(rows, name)?.as_primitive::<Int32Type>());
        let (incidents, kinds, roads) = (text("incidentId")?, text("type")?, text("roadId")?);
        let (statuses, responders) = (text("status")?, text("responderId")?);
        let (severities, lanes) = (int("severity")?, int("lanesBlocked")?);
        let times = column(rows, "timestamp")?.as_primitive::<TimestampMicrosecondType>();
        let (lat, lon) = (degree(column(rows, "location")?, 0)?, degree(column(rows, "location")?, 1)?);
        let (lat, lon) = (lat.as_primitive::<Float64Type>(), lon.as_primitive::<Float64Type>());
        for (row, &id) in ids.iter().enumerate() {
            let (first, time) = ((times.value(row), id), times.value(row));
            let incident = self.incidents.entry(incidents.value(row).to_owned()).or_insert_with(|| Incident {
                first: (i64::MAX, u128::MAX),
                kind: String::new(),
                road: String::new(),
                place: (0.0, 0.0),
                severity: i32::MIN,
                furthest: 0,
                steps: 0,
                times: [None; 5],
                lanes: i32::MIN,
                responder: None,
            });
            if first < incident.first {
                incident.first = first;
                kinds.value(row).clone_into(&mut incident.kind);
                roads.value(row).clone_into(&mut incident.road);
                incident.place = (lat.value(row), lon.value(row));
            }
            incident.steps += 1;
            incident.severity = incident.severity.max(severities.value(row));
            incident.lanes = incident.lanes.max(lanes.value(row));
            if let Some(status) = STATUSES.iter().position(|s| *s == statuses.value(row)) {
                incident.furthest = incident.furthest.max(status);
                incident.times[status] = Some(incident.times[status].map_or(time, |t| t.min(time)));
            }
            if responders.is_valid(row) && incident.responder.as_deref() < Some(responders.value(row)) {
                incident.responder = Some(responders.value(row).to_owned());
            }
        }
        Ok(())
    }

    pub(super) fn table(&self, dims: &Dims) -> Result<GoldTable> {
        let all = || self.incidents.values();
        let mut columns = Columns::default()
            .text("incident_id", self.incidents.keys().map(|id| Some(id.as_str())))
            .text("incident_type", all().map(|i| Some(i.kind.as_str())))
            .long("severity", all().map(|i| Some(i64::from(i.severity))))
            .text("road_id", all().map(|i| Some(i.road.as_str())))
            .text("district", all().map(|i| Some(dims.roads.get(&i.road)?.district.as_str())))
            .real("lat", all().map(|i| Some(i.place.0)))
            .real("lon", all().map(|i| Some(i.place.1)))
            .text("status", all().map(|i| Some(STATUSES[i.furthest])))
            .long("steps", all().map(|i| Some(i.steps)));
        for (which, name) in TIMES.iter().enumerate() {
            columns = columns.time(name, all().map(|i| i.times[which]));
        }
        for (from, to, name) in SPANS {
            let seconds = |i: &Incident| Some((i.times[to]? - i.times[from]?) as f64 / 1e6);
            columns = columns.real(name, all().map(seconds));
        }
        let columns = columns
            .long("lanes_blocked", all().map(|i| Some(i64::from(i.lanes))))
            .text("responder_id", all().map(|i| i.responder.as_deref()))
            .date("window_date", all().map(|i| Some(date(i.first.0))));
        Ok(GoldTable {
            name: "incident_response",
            key: &["incident_id"],
            additive: &["steps"],
            rows: columns.finish()?,
            loose: HashSet::new(),
        })
    }
}

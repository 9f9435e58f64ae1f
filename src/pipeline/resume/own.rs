//! Whose record is it? Several cities and parts may share a topic.

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;

use crate::city::trace::Part;
use crate::codec::json as codec;
use crate::codec::names::Names;
use crate::error::Result;
use crate::schema::{CityId, EventId, Records, Stream};

/// What a record says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Another's.
    Theirs,
    /// It can't be told: the record is harmed, or its stream has no ids.
    Unknown,
    /// This city's and part's, sent at this instant in milliseconds.
    Ours(i64),
}

/// Tells the records of one stream apart.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) stream: Stream,
    pub(super) names: Names,
    pub(super) city: CityId,
    pub(super) part: Part,
}

impl Own {
    /// The verdict on each record.
    pub(super) fn judge(&self, records: &Records) -> Result<Vec<Whose>> {
        let decoded = codec::Decoder::named(self.stream, &self.names).decode(records)?;
        let mut verdicts = vec![Whose::Unknown; records.values.len()];
        let ids = decoded.batch.column_by_name("id").map(AsArray::as_string::<i32>);
        let sent = sent_column(&decoded.batch);
        let device = |row: usize| records.keys.is_valid(row).then(|| device(records.keys.value(row))).flatten();
        for (row, record) in decoded.good.iter().enumerate() {
            let record = *record as usize;
            let id = ids.filter(|c| c.is_valid(row)).map(|c| c.value(row));
            let sent = sent.filter(|c| c.is_valid(row)).map(|c| c.value(row) / 1_000);
            verdicts[record] = self.of_row(id, device(record), sent);
        }
        for bad in &decoded.bad {
            let record = *bad as usize;
            // A key that is an id says no device.
            if !self.keyed_by_id() && self.sees(device(record)) == Some(false) {
                verdicts[record] = Whose::Theirs;
            }
        }
        Ok(verdicts)
    }

    /// The verdict on a row that could be decoded, by its id, the device that its key names, and its instant.
    fn of_row(&self, id: Option<&str>, device: Option<u32>, sent: Option<i64>) -> Whose {
        let number = match id.map(EventId::parse) {
            None if self.stream != Stream::TruthCrossing => return Whose::Unknown,
            Some(None) => return Whose::Theirs,
            Some(Some(id)) if id.city != self.city => return Whose::Theirs,
            // An incident's number is not that of the desk which reports it.
            Some(Some(id)) if self.keyed_by_id() => (id.stream != Stream::Emergency).then_some(id.entity),
            _ => device,
        };
        match (self.sees(number), sent) {
            (Some(false), _) => Whose::Theirs,
            (Some(true), Some(sent)) => Whose::Ours(sent),
            _ => Whose::Unknown,
        }
    }

    fn keyed_by_id(&self) -> bool {
        self.stream.key_column() == "id"
    }

    /// Whether the device with this number belongs to the part; `None` where it can't be told.
    fn sees(&self, device: Option<u32>) -> Option<bool> {
        if self.part.of == 1 { Some(true) } else { device.map(|number| self.part.has(number)) }
    }
}

/// When a row is sent: a crossing when it ends, anything else when it says so.
pub(in crate::pipeline) fn sent_column(batch: &RecordBatch) -> Option<&TimestampMicrosecondArray> {
    let column = ["sentAt", "tOut"].iter().find_map(|name| batch.column_by_name(name))?;
    column.as_primitive_opt::<TimestampMicrosecondType>()
}

/// The number at the end of a device's id.
fn device(id: &[u8]) -> Option<u32> {
    let digits = id.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&id[id.len() - digits..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    fn records(rows: &[(&str, Option<&str>)]) -> Records {
        Records {
            partition: 0,
            offsets: Int64Array::from_iter_values(0..rows.len() as i64),
            timestamps: TimestampMicrosecondArray::from(vec![0; rows.len()]).with_timezone("UTC"),
            keys: rows.iter().map(|r| Some(r.0)).collect(),
            values: rows.iter().map(|r| r.1).collect(),
            headers: StringArray::from(vec![None::<&str>; rows.len()]),
        }
    }

    fn event(city: u64, stream: Stream, entity: u32) -> String {
        let id = EventId { city: CityId(city), stream, entity, counter: 3 }.to_text();
        let device = format!("vehicle-{entity:07}");
        format!(r#"{{"id":"{id}","deviceId":"{device}","sentAt":"2026-06-01T00:00:01.500Z"}}"#)
    }

    #[test]
    fn records_are_told_apart_by_city_and_part() {
        let own = Own { stream: Stream::Gps, names: Names::default(), city: CityId(7), part: Part { index: 1, of: 4 } };
        let (ours, other_part) = (event(7, Stream::Gps, 5), event(7, Stream::Gps, 6));
        let other_city = event(8, Stream::Gps, 5);
        let no_time = ours.replace("sentAt", "sent");
        let (nameless, nameless_other) = (ours.replace("deviceId", "device"), other_part.replace("deviceId", "device"));
        let rows = [
            ("vehicle-0000005", Some(ours.as_str())),
            ("vehicle-0000005", Some(nameless.as_str())),
            ("vehicle-0000006", Some(nameless_other.as_str())),
            ("", Some(nameless.as_str())),
            ("vehicle-0000006", Some(other_part.as_str())),
            ("vehicle-0000005", Some(other_city.as_str())),
            ("vehicle-0000005", Some(no_time.as_str())),
            ("vehicle-0000005", None),
            ("vehicle-0000006", None),
            ("vehicle-0000005", Some("{\"id\":")),
            ("vehicle-0000005", Some("{\"id\":\"a1\",\"deviceId\":\"vehicle-0000005\"}")),
        ];
        use Whose::{Ours, Theirs, Unknown};
        let sent = Ours(1_780_272_001_500);
        assert_eq!(
            own.judge(&records(&rows)).unwrap(),
            [sent, sent, Theirs, Unknown, Theirs, Theirs, Unknown, Unknown, Theirs, Unknown, Theirs]
        );
    }

    #[test]
    fn truth_is_told_apart_by_the_event_that_it_speaks_of() {
        let own = Own {
            stream: Stream::TruthEvent,
            names: Names::default(),
            city: CityId(7),
            part: Part { index: 1, of: 4 },
        };
        let rows = [event(7, Stream::Gps, 5), event(7, Stream::Gps, 6), event(7, Stream::Emergency, 6)];
        let rows: Vec<_> = rows.iter().map(|r| ("an id", Some(r.as_str()))).collect();
        let verdicts = own.judge(&records(&rows)).unwrap();
        assert_eq!(verdicts, [Whose::Ours(1_780_272_001_500), Whose::Theirs, Whose::Unknown]);
    }

    #[test]
    fn a_devices_number_stands_at_its_end() {
        assert_eq!(
            ["vehicle-0000042", "dispatch-3", "camera", ""].map(|id| device(id.as_bytes())),
            [Some(42), Some(3), None, None]
        );
    }
}

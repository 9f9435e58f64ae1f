//! City → codec → bronze, without a broker.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, OffsetBuffer};

use super::{Ingested, Writing};
use crate::codec::json as codec;
use crate::error::{Error, Result};
use crate::lake::{BronzeOptions, Lake};
use crate::pipeline::observe::{Chunk, Source};
use crate::pipeline::progress::Run;
use crate::schema::{Decoded, Messages, Records, SourceId, Stream};

/// Fills bronze from the city itself, the reference rows first. A second run of the same city adds nothing.
///
/// The topic of such rows is `embedded:<city id>`, the partition is the city's part, the offset the event's place among
/// its stream's events.
///
/// # Errors
/// `Table` where the lake holds the same city with other faults or parts or in another mode, whose events have other places; `Store`;
/// `Interrupted`, after what is complete was committed.
pub fn ingest_city(lake: &Lake, source: &Source, options: &BronzeOptions, run: &mut Run<'_>) -> Result<Ingested> {
    lake.ensure_tables()?;
    let identity = embedded_source(source);
    let mut ingested = Ingested::default();
    let mut tables: BTreeMap<Stream, (Writing, i64)> = BTreeMap::new();
    let mut streams = source.streams();
    if source.sensors().part == 0 {
        streams.insert(0, Stream::Reference);
    }
    for stream in streams {
        let writer = lake.bronze_writer(stream, identity.clone(), options.clone())?;
        ingested.records.insert(stream, 0);
        tables.insert(stream, (Writing { stream, writer }, 0));
    }
    let outcome = fill(&mut tables, source, &mut ingested, run);
    // What is complete is committed, whatever ended the run; the next run goes on behind it.
    let ended = tables.values_mut().try_for_each(|(table, _)| {
        ingested.skipped += table.writer.skipped();
        let committed = table.writer.commit()?;
        ingested.count(table.stream, &identity.topic, &committed);
        Ok(())
    });
    outcome.and(ended).map(|()| ingested)
}

fn embedded_source(source: &Source) -> SourceId {
    let city = source.city();
    let sensors = source.sensors();
    // Other faults, parts or the drop-in's mode give the events other places.
    let faults: Vec<String> = sensors.faults.values().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mode = if sensors.compat { "/compat" } else { "" };
    let variant = format!("{}/{}/{}{mode}", sensors.parts, faults.join(","), crate::city::MODEL_VERSION);
    let digest =
        variant.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let id = city.id.to_text();
    SourceId {
        cluster_id: "embedded".to_owned(),
        topic: format!("embedded:{id}"),
        topic_id: format!("{id}-{digest:016x}"),
    }
}

fn fill(
    tables: &mut BTreeMap<Stream, (Writing, i64)>,
    source: &Source,
    ingested: &mut Ingested,
    run: &mut Run<'_>,
) -> Result<()> {
    let part = source.sensors().part as i32;
    for events in source.reference()? {
        let coded = through_the_codec(&codec::encode(&events)?, part)?;
        append(tables, coded, ingested)?;
    }
    let (start, duration) = (source.city().options.start, source.city().options.duration);
    let work = move |chunk: Chunk| {
        let coded = chunk.events.iter().map(|events| through_the_codec(&codec::encode(events)?, part));
        Ok((chunk.until, coded.collect::<Result<Vec<_>>>()?))
    };
    for step in source.observe(work)? {
        let (until, coded) = step?;
        for coded in coded {
            append(tables, coded, ingested)?;
        }
        run.step("ingest", (until - start) as u64, Some(duration as u64), "ms")?;
    }
    Ok(())
}

/// Messages as a broker would give them back, decoded; the offsets are set when they are appended.
fn through_the_codec(messages: &Messages, partition: i32) -> Result<(Records, Decoded)> {
    let rows = messages.values.len();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
    let records = Records {
        partition,
        offsets: Int64Array::from_iter_values(0..rows as i64),
        timestamps: TimestampMicrosecondArray::from_value(now, rows).with_timezone("UTC"),
        keys: bytes_of(&messages.keys)?,
        values: messages.values.clone(),
        headers: StringArray::new_null(rows),
    };
    let decoded = codec::decode(messages.stream, &records)?;
    Ok((records, decoded))
}

/// The text's buffers as binary, without a copy.
fn bytes_of(text: &StringArray) -> Result<BinaryArray> {
    let offsets: OffsetBuffer<i32> = text.offsets().clone();
    let values: Buffer = text.values().clone();
    Ok(BinaryArray::try_new(offsets, values, text.nulls().cloned())?)
}

fn append(
    tables: &mut BTreeMap<Stream, (Writing, i64)>,
    (mut records, decoded): (Records, Decoded),
    ingested: &mut Ingested,
) -> Result<()> {
    let stream = decoded.stream;
    let Some((table, next)) = tables.get_mut(&stream) else {
        return Err(Error::internal(format!("stream {} has no table", stream.name())));
    };
    let rows = records.values.len() as i64;
    records.offsets = Int64Array::from_iter_values(*next..*next + rows);
    *next += rows;
    table.writer.append(&records, &decoded)?;
    if table.writer.due() {
        let committed = table.writer.commit()?;
        ingested.count(stream, "", &committed);
    }
    Ok(())
}

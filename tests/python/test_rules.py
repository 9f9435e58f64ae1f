"""Silver's rules without a lake, batch by batch, beside the lake's own silver."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import citystream as cs

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
KEY = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"]


def delta(lake, name):
    return DeltaTable(f"{lake.path}/{name.replace('.', '/')}").to_pyarrow_table()


def by_key(table):
    return pl.DataFrame(table).sort(KEY)


@pytest.mark.parametrize("stream", STREAMS)
def test_each_row_of_bronze_is_judged_as_in_a_lake(small_lake, stream):
    bronze = delta(small_lake, f"bronze.{stream}")
    found = cs.silver(bronze, stream=stream)
    rows, quarantine, dead = (pa.table(table) for table in found)
    assert rows.num_rows + quarantine.num_rows + dead.num_rows == bronze.num_rows > 0
    # The columns are the tables' own, in their order.
    for name, table in ((stream, rows), ("quarantine", quarantine), ("dead_letter", dead)):
        theirs = pa.schema(small_lake.table(f"silver.{name}").schema)
        assert [(f.name, f.type) for f in table.schema] == [(f.name, f.type) for f in theirs]
    # Silver is what is sound, once; the other copies stand in duplicate.
    silver = by_key(delta(small_lake, f"silver.{stream}"))
    kept = by_key(rows).unique("id", keep="first", maintain_order=True).select(silver.columns)
    assert kept.sort(KEY).equals(silver)
    for name, table in (("quarantine", quarantine), ("dead_letter", dead)):
        theirs = by_key(delta(small_lake, f"silver.{name}")).filter(pl.col("stream") == stream)
        # Two events with one id are met by comparing, which no row-local rule does.
        if name == "quarantine":
            theirs = theirs.filter(pl.col("rule") != "id_conflict")
        assert by_key(table).select(theirs.columns).equals(theirs)


def test_batches_come_and_go_as_they_are(city):
    batches = list(city.events("gps"))
    found = cs.silver(batches[0], stream="gps")
    (only,) = found.silver
    batch = pa.record_batch(only)
    assert batch.num_rows == batches[0].num_rows
    # Without a copy: the same memory.
    given = pa.record_batch(batches[0])
    assert batch["speed_kmh"].buffers()[1].address == given["speed"].buffers()[1].address
    assert list(found.quarantine) == list(found.dead_letter) == []
    assert pa.table(found.quarantine).num_rows == 0
    # What doesn't come from Kafka has no place there.
    assert batch["kafka_offset"].null_count == batch.num_rows
    assert batch["event_date"][0].as_py() == batch["event_time"][0].as_py().date()
    # A second look at the same result gives it again.
    assert pa.table(found.silver).equals(pa.table(found.silver))


def test_what_other_engines_have_for_types_will_do(city):
    frame = pl.DataFrame(city.events("weather")).head(20)
    loose = frame.with_columns(
        pl.col("timestamp").dt.convert_time_zone("Europe/London").dt.cast_time_unit("ns"),
        pl.col("humidity").cast(pl.Int64),
        pl.lit("more").alias("more"),
    ).select(sorted([*frame.columns, "more"]))
    rows = pl.DataFrame(cs.silver(loose, stream="weather").silver)
    assert rows.equals(pl.DataFrame(cs.silver(frame, stream="weather").silver))
    assert rows["event_time"][0].utcoffset() == dt.timedelta(0)
    # A column that may be null may be away.
    fixes = pl.DataFrame(city.events("gps")).head(20)
    found = pl.DataFrame(cs.silver(fixes.drop("heading"), stream="gps").silver)
    assert (found.height, found["heading_deg"].null_count()) == (20, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("speed"), r"rows of gps have no column speed. There are id, deviceId"),
        (lambda f: f.with_columns(speed=pl.lit("fast")), "the column speed of gps has the type"),
        (lambda f: f.with_columns(decoded=pl.lit(1)), "the column decoded has the type Int32, not Boolean"),
    ],
)
def test_columns_that_do_not_fit_are_named(city, change, message):
    with pytest.raises(cs.ConfigError, match=message):
        cs.silver(change(pl.DataFrame(city.events("gps")).head(3)), stream="gps")


def test_a_stream_must_be_one(city):
    with pytest.raises(cs.ConfigError, match='unknown stream "gsp"'):
        cs.silver(city.events("gps"), stream="gsp")

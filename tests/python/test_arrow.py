"""Arrow goes to every consumer by PyCapsule: the same values, and the very same memory where it can be taken."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest


@pytest.fixture
def events(city):
    return city.events("gps")


def test_every_consumer_gets_the_same_rows(events):
    arrow = pa.table(events)
    assert arrow.num_rows > 100
    assert pl.DataFrame(events).height == arrow.num_rows
    assert pl.DataFrame(events)["id"].to_list() == arrow["id"].to_pylist()
    assert duckdb.sql("select count(*), count(distinct id) from events").fetchall() == [
        (arrow.num_rows, arrow.num_rows)
    ]
    frame = pd.DataFrame.from_arrow(events) if hasattr(pd.DataFrame, "from_arrow") else arrow.to_pandas()
    assert frame["id"].tolist() == arrow["id"].to_pylist()


def test_each_consumer_starts_anew(events):
    assert pa.table(events).equals(pa.table(events))


def test_types_are_those_that_every_engine_reads(city):
    allowed = {"string", "int32", "int64", "double", "timestamp[us, tz=UTC]"}

    def leaves(kind):
        if pa.types.is_list(kind):
            return leaves(kind.value_type)
        if pa.types.is_struct(kind):
            return [leaf for field in kind for leaf in leaves(field.type)]
        return [str(kind)]

    for stream in (*city.streams, "reference", "truth_event", "truth_fault", "truth_crossing"):
        schema = pa.schema(city.events(stream))
        assert len(schema) > 0
        for field in schema:
            assert field.nullable, (stream, field)
            assert set(leaves(field.type)) <= allowed, (stream, field)


def test_batches_come_one_by_one(events):
    reader = pa.RecordBatchReader.from_stream(events)
    first = reader.read_next_batch()
    assert 0 < first.num_rows <= 65_536
    assert first.num_rows + sum(batch.num_rows for batch in reader) == pa.table(events).num_rows


def test_a_batch_is_not_copied(city):
    stream, batch = next(iter(city))
    one, other = pa.record_batch(batch), pa.record_batch(batch)
    assert one.num_rows > 0
    # Two views of the same buffers: neither was copied.
    for name in one.schema.names:
        assert [b and b.address for b in one[name].buffers()] == [b and b.address for b in other[name].buffers()], name
    assert stream in city.streams


def test_a_stream_that_is_left_early_ends_quietly(script):
    done = script(
        "import citystream as cs, pyarrow as pa\n"
        "r = pa.RecordBatchReader.from_stream(cs.City(vehicles=20_000, duration='30d').events('gps'))\n"
        "print(r.read_next_batch().num_rows)\n"
    )
    assert done.status == 0, done.err
    assert int(done.out) > 0


def test_no_consumer_is_needed(script):
    # An environment without pyarrow, pandas, polars or numpy.
    done = script(
        "import sys\n"
        "for name in ('pyarrow', 'pandas', 'polars', 'numpy'): sys.modules[name] = None\n"
        "import citystream as cs\n"
        "city = cs.City(vehicles=60, duration='1h')\n"
        "print(next(city.rows('weather'))['deviceId'], sum(len(b) for _, b in city) > 0)\n"
        "lake = cs.Lake('lake'); lake.ingest(city); lake.refine()\n"
        "print(lake.query('select count(*) > 0 from gold.air_quality_hourly').fetchall())\n"
    )
    assert done.status == 0, done.err
    assert done.out.splitlines()[0].endswith("True")
    assert done.out.splitlines()[1] == "[(True,)]"


def test_lake_tables_are_arrow_too(small_lake):
    table = small_lake.table("gold.air_quality_hourly")
    arrow = pa.table(table)
    assert arrow.num_rows == table.row_count > 0
    assert arrow.column_names == table.schema.names
    assert arrow.column_names[-1] == "window_date"
    assert arrow["window_date"].null_count == 0
    assert pl.DataFrame(table).height == table.row_count


def test_memory_stays_flat_over_a_long_stream(script):
    done = script(
        "import citystream as cs, pyarrow as pa, resource\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "city = cs.City(vehicles=2_000, start='2026-06-01T06:00Z', duration='12h')\n"
        "r = pa.RecordBatchReader.from_stream(city.events('gps'))\n"
        "rows, early = 0, None\n"
        "for batch in r:\n"
        "    rows += batch.num_rows\n"
        "    if early is None and rows > 200_000: early = peak()\n"
        "print(rows, early, peak())\n"
    )
    assert done.status == 0, done.err
    rows, early, late = (int(part) for part in done.out.split())
    assert rows > 400_000
    # Kilobytes: what is read is let go.
    assert late - early < 150_000, (early, late)

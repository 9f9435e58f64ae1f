"""Gold by Spark SQL, row for row beside the lake's own."""

from __future__ import annotations

import datetime as dt
import math
import os

import polars as pl
import pytest

import citystream as cs
from citystream import sql
from citystream.sql.spark import to_spark

# PySpark leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Wide enough for the records taken in today, which gold.data_quality_hourly counts.
ALL = (dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc), dt.datetime(2100, 1, 1, tzinfo=dt.timezone.utc))
# When a row was taken in is no part of what is computed of it.
APART = {"updated_at"}


@pytest.fixture
def define(spark, tmp_path):
    """Tables by the names that the queries have for them."""
    tiers = set()

    def define(name, kind, location):
        tier = name.split(".")[0]
        if tier not in tiers:
            tiers.add(tier)
            spark.sql(f"create database {tier} location '{tmp_path}/warehouse/{tier}'")
        spark.sql(f"create table {name} using {kind} location '{location}'")

    yield define
    for tier in tiers:
        spark.sql(f"drop database {tier} cascade")


def delta(lake, name):
    return "delta", f"{lake.path}/{name.replace('.', '/')}"


def test_every_table_is_the_lake_s(spark, small_lake, define, tmp_path):
    queries = cs.gold.queries("spark")
    assert len(queries) == 13
    # spark-city.py's gold is compared in test_spark_city.py, but for this table, which tells when rows were taken in.
    queries = queries if "SPARK_LONG" in os.environ else [q for q in queries if q.name == "gold.data_quality_hourly"]
    made = {query.name for query in queries}
    for name in {source.table for query in queries for source in query.sources} - made:
        define(name, *delta(small_lake, name))
    rows = 0
    for query in queries:
        written = f"{tmp_path}/{query.name}"
        spark.sql(cs.spark.between(query, *ALL)).write.parquet(written)
        # What others read of it is Spark's own.
        define(query.name, "parquet", written)
        rows += _compare(query, spark.table(query.name), small_lake)
    assert rows >= (1_000 if len(queries) > 1 else 5)


def _compare(query, frame, lake):
    columns = [column.name for column in query.columns if column.name not in APART]
    found = pl.DataFrame(frame.toArrow()).select(columns).sort(query.key)
    expected = pl.DataFrame(lake.table(query.name)).select(columns).sort(query.key)
    assert found.schema == expected.schema, query.name
    assert found.height == expected.height, query.name
    for column in query.columns:
        if column.name in APART:
            continue
        pairs = zip(found[column.name].to_list(), expected[column.name].to_list(), strict=True)
        different = [pair for pair in pairs if not _same(*pair)]
        assert not different, (query.name, column.name, different[:3])
    return found.height


def _same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other


def test_a_part_of_the_time_is_that_part(spark, small_lake, define):
    (query,) = (query for query in cs.gold.queries("spark") if query.name == "gold.air_quality_hourly")
    for source in query.sources:
        define(source.table, *delta(small_lake, source.table))
    eight = dt.datetime(2026, 6, 1, 8, tzinfo=dt.timezone.utc)
    found = spark.sql(cs.spark.between(query, eight, eight + dt.timedelta(hours=1)))
    assert {row.hour for row in found.selectExpr("hour(window_start) as hour").collect()} == {8}


def test_only_what_differs_is_translated():
    (query,) = (query for query in sql.load() if query.name == "gold.camera_15min")
    text = to_spark(query).sql
    assert "posexplode(speed_histogram) as (n, vehicles)" in text
    assert "timestamp_micros(unix_micros(middle) - pmod(unix_micros(middle), 900000000)) as window_start" in text
    assert "event_time >= :from - interval '60' second" in text
    assert "5.0D * n as bin_starts_kmh" in text
    assert "0.85 * sum(vehicles)" in text
    assert "$" not in text
    # Every comment is as it was, and so are texts.
    assert "-- Histograms add up where percentiles don't. Bin n holds speeds from 5n km/h" in text
    assert [c.name for c in to_spark(query).columns] == [c.name for c in query.columns]


def test_a_dialect_must_be_one():
    assert [q.sql for q in cs.gold.queries()] == [q.sql for q in sql.load()]
    with pytest.raises(cs.ConfigError, match=r"no SQL for 'oracle'\. Choose from duckdb, spark"):
        cs.gold.queries("oracle")

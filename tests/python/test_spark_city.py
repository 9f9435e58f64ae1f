"""spark-city.py beside the Rust lake, over the same topics of a city with faults: the same silver and gold."""

from __future__ import annotations

import math
import os
from pathlib import Path

import polars as pl
import pytest
from cities import small
from scripts import script

import citystream as cs
from citystream import sql

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
ALL = ("bronze", "silver", "gold")
# Silver is the same whichever way bronze has come, so that both ways to it are for `make spark-matrix`.
LONG = "SPARK_LONG" in os.environ
PLACE = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"]
# When rows were taken in is each side's own; so is what is counted by that.
APART = {"ingested_at", "ingest_date", "updated_at"}
BY_INTAKE = "gold.data_quality_hourly"
# PySpark leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def job():
    with script(Path(cs.__file__).parent / "jobs" / "spark-city.py", "spark_city") as module:
        yield module


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lake", "x", "--lakes", "y"], "unrecognized arguments: --lakes y"),
        (["--lake", "x", "--boot", "y"], "unrecognized arguments"),
        (["--lake", "x", "--steps", "bronze,platinum"], "no step 'platinum'"),
        ([], "--lake"),
    ],
)
def test_flags_that_it_has_not_are_refused(job, capsys, arguments, says):
    with pytest.raises(SystemExit):
        job.options_of(arguments)
    assert says in capsys.readouterr().err


def test_glue_s_own_arguments_are_no_mistake(job):
    options = job.options_of(
        ["--JOB_NAME", "x", "--JOB_RUN_ID", "jr_1", "--lake", "s3://b/c", "--enable-metrics", "true"]
    )
    assert (options.lake, options.steps) == ("s3://b/c", "bronze,silver,gold")


# Half a minute a step on two cores; gold is the same whichever way bronze has come.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("source", "sink", "steps"),
    [("spark-kafka", "delta", ("bronze", "silver") if LONG else ("bronze",)), ("citystream", "parquet", ALL)],
)
def test_the_tables_are_the_lake_s(spark, job, broker, topics, tmp_path, source, sink, steps):
    faults = cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, drop=0.02, corrupt=0.02)
    city = small(faults=faults)
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2) as publisher:
        assert publisher.publish(city).failed == 0
    lake = cs.Lake(tmp_path / "lake")
    lake.ingest(broker.bootstrap_servers, topics=topics)
    lake.refine()
    theirs = tmp_path / "spark"
    arguments = ["--lake", str(theirs), "--bootstrap-servers", broker.bootstrap_servers]
    arguments += ["--source", source, "--sink", sink]
    arguments += [word for stream, topic in topics.items() for word in ("--topic", f"{stream}={topic}")]
    job.main([*arguments, "--steps", ",".join(steps)])

    def table(name):
        return pl.DataFrame(spark.read.format(sink).load(f"{theirs}/{name.replace('.', '/')}").toArrow())

    for name, key in names_and_keys(steps):
        ours = pl.DataFrame(lake.table(name))
        columns = [column for column in ours.columns if column not in APART]
        compare(name, table(name).select(columns).sort(key), ours.select(columns).sort(key))
    if "gold" in steps:
        quality, ours = table(BY_INTAKE), pl.DataFrame(lake.table(BY_INTAKE))
        counted = ["received", "accepted", "dead_letter", "quarantine", "duplicate", "late"]
        assert total(quality, counted) == total(ours, counted)
    # Taken in again, each record stands there once.
    before = table("bronze.gps").height
    job.main([*arguments, "--steps", "bronze"])
    assert table("bronze.gps").height == before == lake.table("bronze.gps").row_count


def names_and_keys(steps):
    if "silver" not in steps:
        yield from ((f"bronze.{stream}", PLACE) for stream in STREAMS)
        return
    for stream in STREAMS:
        yield f"silver.{stream}", PLACE
    for side in ("quarantine", "duplicate", "dead_letter"):
        yield f"silver.{side}", ["stream", *PLACE]
    for query in sql.load() if "gold" in steps else ():
        if query.name != BY_INTAKE:
            yield query.name, list(query.key)


def total(frame, columns):
    return frame.group_by("stream").agg(pl.col(columns).sum()).sort("stream").rows()


def compare(name, found, expected):
    assert found.schema == expected.schema, name
    assert found.height == expected.height, name
    for column in found.columns:
        pairs = zip(found[column].to_list(), expected[column].to_list(), strict=True)
        different = [pair for pair in pairs if not same(*pair)]
        assert not different, (name, column, different[:3])


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return one == other

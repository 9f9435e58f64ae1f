"""`format("citystream")` over a saved trace: what Spark reads is what the city sends."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import pickle

import polars as pl
import pyarrow as pa
import pytest
from cities import small
from pyspark.errors import PySparkException
from pyspark.sql import functions as f
from pyspark.sql.datasource import EqualTo, GreaterThan, GreaterThanOrEqual, IsNotNull, LessThan
from pyspark.sql.pandas.types import to_arrow_schema

import citystream as cs
from citystream import _core
from citystream.spark.filters import bounds_of
from citystream.spark.generate import Part, Plan
from citystream.spark.options import Options
from citystream.spark.source import CitystreamSource, Reader, StreamReader

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency", "reference")
HOUR = 3_600_000
FAULTS = {"late": "0.05", "late_bound": "10min", "duplicate": "0.02"}
# PySpark leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Two hours of a small city, saved."""
    folder = tmp_path_factory.mktemp("trace") / "city"
    small().trace(folder, progress=False)
    return str(folder)


def loaded(spark, **options):
    return spark.read.format("citystream").options(**options).load()


def plan(*, local=False, **options):
    return Plan.of(Options(options), local=local)


def read_by(plan, part):
    return pa.Table.from_batches(list(plan.read(part)), schema=pa.schema(_core.wire_schema(plan.stream)))


def rows(table):
    """The rows in an order of their own; copies of one event differ in when they were sent."""
    return pl.DataFrame(table).sort("id", "sentAt")


@pytest.mark.parametrize("stream", STREAMS)
def test_the_schema_is_spark_s_own(stream, trace):
    # Spark turns what is declared into Arrow's types and takes batches of no others.
    declared = plan(stream=stream, trace=trace).schema
    assert to_arrow_schema(declared) == pa.schema(_core.wire_schema(stream))
    assert all(field.nullable for field in declared)


@pytest.mark.parametrize("stream", ["vehicle", "emergency"])
def test_the_parts_are_the_whole(spark, trace, stream):
    frame = loaded(spark, stream=stream, trace=trace, partitionSpan="40min", deviceParts="2", batchRows="500", **FAULTS)
    city = cs.City(trace=trace, faults=cs.Faults(late=0.05, late_bound="10min", duplicate=0.02))
    # Two hours by 40 minutes, by two parts of the devices.
    assert frame.rdd.getNumPartitions() == 6
    found = rows(frame.toArrow())
    assert found.equals(rows(city.events(stream)))
    assert found.height > (100 if stream == "vehicle" else 0)


def test_tasks_read_what_is_sent_in_their_time(trace):
    whole = plan(stream="gps", trace=trace, partitionSpan="30min", deviceParts="2")
    start, end = whole.bounds()
    parts = whole.split({"sentAt": start}, {"sentAt": end})
    assert [(p.from_ms - start, p.until_ms - start, p.index, p.of) for p in parts[:3]] == [
        (0, HOUR // 2, 0, 2),
        (0, HOUR // 2, 1, 2),
        (HOUR // 2, HOUR, 0, 2),
    ]
    read = 0
    for part in parts:
        sent = pl.DataFrame(read_by(whole, part))["sentAt"].dt.epoch("ms")
        assert sent.is_between(part.from_ms, part.until_ms, closed="left").all()
        read += len(sent)
    assert read == sum(len(batch) for batch in cs.City(trace=trace).events("gps"))
    # A task that runs again, or a copy of the plan in another process, gives the same rows.
    again = pickle.loads(pickle.dumps(whole))  # noqa: S301
    assert read_by(again, parts[2]) == read_by(whole, parts[2])
    # Cuts stay where the trace can be entered, wherever a micro-batch begins.
    late = whole.split({"sentAt": start + 1_000}, {"sentAt": start + HOUR})
    assert [p.from_ms - start for p in late[::2]] == [1_000, HOUR // 2]
    assert whole.split({"sentAt": end}, {"sentAt": end}) == []


def test_reference_is_there_once(spark, trace):
    found = loaded(spark, stream="reference", trace=trace, partitionSpan="30min").toArrow()
    expected = pl.DataFrame(cs.City(trace=trace).events("reference"))
    assert pl.DataFrame(found)["id"].to_list() == expected["id"].to_list()


def test_a_stream_goes_on_where_the_trace_has_grown(spark, tmp_path):
    folder, city = tmp_path / "trace", small()
    first = cs.City(**{**options_of(city), "duration": "1h"})
    first.trace(folder, progress=False)

    def run():
        query = (
            spark.readStream.format("citystream")
            .options(stream="gps", trace=str(folder))
            .load()
            .writeStream.format("parquet")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "out"))
        )
        query.awaitTermination()
        return rows(spark.read.parquet(str(tmp_path / "out")).toArrow())

    assert run().equals(rows(first.events("gps")))
    city.trace(folder, progress=False)
    assert run().equals(rows(city.events("gps")))
    # Nothing is new.
    assert run().height == sum(len(batch) for batch in city.events("gps"))
    start = plan(stream="gps", trace=str(folder)).bounds()[0]
    offsets = sorted((tmp_path / "checkpoint" / "offsets").glob("[0-9]*"))
    assert [json.loads(path.read_text().splitlines()[-1]) for path in offsets] == [
        {"sentAt": start + HOUR},
        {"sentAt": start + 2 * HOUR},
    ]


def options_of(city):
    core = city.core.options
    return {"seed": core["seed"], "vehicles": core["vehicles"], "start": "2026-06-01T07:00:00Z"}


def test_a_local_session_simulates_the_city_once(spark, tmp_path, monkeypatch):
    session = spark.newSession()
    cs.spark.register(session)
    options = {"stream": "weather", "vehicles": "40", "duration": "1h", "start": "2026-06-01T07:00Z", "seed": "5"}
    folder = tmp_path / "traces"
    found = rows(loaded(session, traceDir=str(folder), **options).toArrow())
    city = cs.City(vehicles=40, duration="1h", start="2026-06-01T07:00Z", seed=5)
    assert found.equals(rows(city.events("weather")))
    assert _core.trace_options(folder)["duration_ms"] == HOUR
    # Without a folder, into a temporary one that the same options find again.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = (plan(local=True, **options).trace for _ in range(2))
    assert first == second
    assert first.startswith(f"{tmp_path}/citystream-spark-")
    with pytest.raises(cs.ConfigError, match=r"the option trace is missing.*traceDir"):
        plan(local=False, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stream": "gsp"}, "the option stream is 'gsp'. Did you mean 'gps'"),
        ({}, "the option stream is missing"),
        ({"stream": "gps", "mode": "replay"}, "the option mode is 'replay'"),
        (
            {"stream": "gps", "partitonspan": "1h"},
            "no option 'partitonspan' in this mode. Did you mean 'partitionSpan'",
        ),
        ({"stream": "gps", "deviceParts": "0"}, "the option deviceParts is '0'. Give a whole number from 1"),
        ({"stream": "gps", "late": "much"}, "the option late is 'much'. Give a number"),
        ({"stream": "gps", "seed": "7"}, "the options trace and seed are both given"),
    ],
)
def test_options_that_are_wrong_are_named(spark, trace, options, message):
    with pytest.raises(PySparkException, match=message):
        loaded(spark, trace=trace, **options)


def test_a_trace_must_be_there(spark, tmp_path):
    with pytest.raises(PySparkException, match="Give a folder to which a trace was saved"):
        loaded(spark, stream="gps", trace=str(tmp_path / "none"))


def test_columns_can_not_be_declared_otherwise(spark, trace):
    frame = spark.read.format("citystream").options(stream="gps", trace=trace).schema("id string, speed double")
    with pytest.raises(PySparkException, match="Leave schema\\(\\) out"):
        frame.load().count()


def test_a_trace_that_is_shorter_than_the_checkpoint_is_refused(trace):
    start, end = plan(stream="gps", trace=trace).bounds()
    reader = StreamReader(plan(stream="gps", trace=trace))
    assert (reader.initialOffset(), reader.latestOffset()) == ({"sentAt": start}, {"sentAt": end})
    # Spark 4.2 says where it stands and how much it wants.
    assert reader.latestOffset({"sentAt": start}, None) == {"sentAt": end}
    with pytest.raises(cs.ConfigError, match=r"the trace in .* ends at 2026-06-01T09:00:00Z"):
        reader.partitions({"sentAt": end}, {"sentAt": end + HOUR})


def test_a_micro_batch_of_a_trace_ends_at_a_whole_stretch(trace):
    stream = plan(stream="gps", trace=trace, partitionSpan="30min")
    start, end = stream.bounds()
    half = HOUR // 2
    assert stream.capped({"sentAt": start}, {"sentAt": end}, 3) == {"sentAt": start + 3 * half}
    assert stream.capped({"sentAt": start + 5}, {"sentAt": end}, 1) == {"sentAt": start + half}
    assert stream.capped({"sentAt": start + 3 * half}, {"sentAt": end}, 3) == {"sentAt": end}


def test_a_limit_takes_a_spark_that_knows_limits(spark, trace):
    limited = spark.readStream.format("citystream").options(stream="gps", trace=trace, maxSpansPerTrigger="1").load()
    assert limited.isStreaming
    options = {"stream": "gps", "trace": trace, "maxSpansPerTrigger": "1"}
    with pytest.raises(cs.ConfigError, match=r"takes PySpark 4\.2"):
        CitystreamSource(options).streamReader(schema=plan(stream="gps", trace=trace).schema)
    # A batch has all.
    assert len(CitystreamSource(options).reader(schema=plan(stream="gps", trace=trace).schema).partitions()) == 2


def test_filters_leave_out_the_parts_that_no_row_can_pass(spark, trace):
    start, _ = plan(stream="gps", trace=trace).bounds()
    wanted = [dt.datetime.fromtimestamp((start + ms) / 1000, dt.timezone.utc) for ms in (HOUR // 2, HOUR - 1)]
    expected = pl.DataFrame(cs.City(trace=trace).events("gps")).filter(
        (pl.col("sentAt") >= wanted[0]) & (pl.col("sentAt") < wanted[1]) & (pl.col("speed") > 20)
    )
    assert expected.height > 10
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        cs.spark.register(spark)
        frame = loaded(spark, stream="gps", trace=trace, partitionSpan="15min")
        found = frame.where((f.col("sentAt") >= wanted[0]) & (f.col("sentAt") < wanted[1]) & (f.col("speed") > 20))
        assert found.rdd.getNumPartitions() == 2
        assert rows(found.toArrow()).equals(rows(expected))
        # Nothing is left, and nothing is left out.
        assert frame.where(f.col("sentAt") < dt.datetime(2020, 1, 1)).count() == 0  # noqa: DTZ001
        assert frame.where(f.col("deviceId") == "nobody").count() == 0
        assert frame.rdd.getNumPartitions() == 8
    finally:
        spark.conf.set("spark.sql.python.filterPushdown.enabled", "false")
        cs.spark.register(spark)


def test_bounds_are_what_all_filters_want():
    at, speed = ("sentAt",), ("speed",)
    assert bounds_of([GreaterThan(at, 3), GreaterThanOrEqual(at, 5), LessThan(at, 9), EqualTo(speed, 1)]) == {
        "sentAt": (5, 9),
        "speed": (1, 1),
    }
    assert bounds_of([IsNotNull(at), EqualTo(("a", "b"), 1)]) == {}


def test_a_worker_of_another_version_is_refused(trace):
    made = dataclasses.replace(plan(stream="gps", trace=trace), version="0.0.1")
    reader = pickle.loads(pickle.dumps(Reader(made)))  # noqa: S301
    with pytest.raises(cs.ConfigError, match=r"the driver has citystream 0\.0\.1, this worker"):
        next(reader.read(reader.partitions()[0]))
    with pytest.raises(cs.ConfigError, match="Install one wheel"):
        next(made.read(Part(0, 1, 0, 1)))


def test_what_is_missing_is_named(script):
    # Neither is needed to import the package.
    done = script(
        "import sys\n"
        "sys.modules['pyarrow'] = None\n"
        "import citystream as cs, citystream.spark\n"
        "assert 'pyspark' not in sys.modules\n"
        "from citystream.spark.needs import pyarrow\n"
        "try: pyarrow()\n"
        "except cs.ConfigError as error: print(error)\n"
    )
    assert done.status == 0, done.err
    assert "pip install 'citystream[spark]'" in done.out

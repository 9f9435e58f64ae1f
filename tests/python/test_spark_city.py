"""spark-city.py beside the Rust lake, over the same topics of a city with faults: the same silver and gold."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest
from cities import eventful_seed, small
from confluent_kafka import Producer
from deltalake import DeltaTable
from pyspark.errors import StreamingQueryException
from scripts import script

import citystream as cs
from citystream import spark as on_spark
from citystream.topics import EVENTS
from parity import assert_same

ALL = ("bronze", "silver", "gold")
FAULTS = cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, drop=0.02, corrupt=0.02)
# Silver is the same whichever way bronze has come, so that both ways to it are for `make spark-matrix`.
LONG = "SPARK_LONG" in os.environ
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


class Both:
    """A lake, and Spark's tables beside it, of the same topics."""

    def __init__(self, spark, job, broker, topics, folder, source, sink):
        self.job, self.servers, self.topics = job, broker.bootstrap_servers, topics
        self.lake, self.folder = cs.Lake(folder / "lake"), folder / "spark"
        self.city = job.City(spark, str(self.folder), sink, source, self.servers, topics, kafka={})
        self.flags = ["--lake", str(self.folder), "--bootstrap-servers", self.servers]
        self.flags += ["--source", source, "--sink", sink]
        self.flags += [word for stream, topic in topics.items() for word in ("--topic", f"{stream}={topic}")]

    def publish(self, city):
        with cs.Publisher(self.servers, topics=self.topics, create_topics=2) as publisher:
            assert publisher.publish(city).failed == 0

    def send(self, records):
        """Records of gps: partition and event."""
        producer = Producer({"bootstrap.servers": self.servers})
        for partition, event in records:
            producer.produce(self.topics["gps"], json.dumps(event), key="by hand", partition=partition)
        assert producer.flush(30) == 0

    def take_in(self, steps):
        self.lake.ingest(self.servers, topics=self.topics)
        self.lake.refine()
        self.run(steps)

    def run(self, steps):
        self.job.main([*self.flags, "--steps", ",".join(steps)])

    def table(self, name):
        return pl.DataFrame(self.city.table(name).toArrow())


@pytest.fixture
def both(spark, job, broker, topics, tmp_path):
    return lambda source, sink: Both(spark, job, broker, topics, tmp_path, source, sink)


# Half a minute a step on two cores.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("source", "sink", "steps"), [("spark-kafka", "parquet", ALL if LONG else ("bronze",))])
def test_parquet_is_the_lake_s(both, source, sink, steps):
    sides = both(source, sink)
    sides.publish(small(faults=FAULTS))
    sides.take_in(steps)
    assert_same(sides.lake, sides.table, steps)
    # Taken in again, each record stands there once.
    before = sides.table("bronze.gps").height
    sides.run(["bronze"])
    assert sides.table("bronze.gps").height == before == sides.lake.table("bronze.gps").row_count


@pytest.mark.timeout(1500)
def test_delta_is_the_lake_s_and_stays_so(both, monkeypatch):
    sides = both("citystream", "delta")
    events = small(streams=["gps"]).rows("gps")
    by_hand = [next(events) | {"id": f"by hand {n}"} for n in range(3)]
    city = small(faults=FAULTS)
    sides.publish(city)
    sides.send([(1, event) for event in by_hand])
    sides.take_in(ALL)
    for table in (sides.table, lambda name: pl.DataFrame(sides.lake.table(name))):
        silver = {
            stream: table(f"silver.{stream}").filter(~pl.col("id").str.starts_with("by hand")) for stream in EVENTS
        }
        report = cs.grade(silver, against=city)
        assert (report.score, report.ok) == (100, True), report
    version = DeltaTable(sides.folder / "gold" / "road_5min").version()

    # Another day of gps; on the first one a copy that is earlier in Kafka than what was kept, and another event's id.
    same_roads = eventful_seed(300, "2026-06-01T07:00:00Z", "2h")
    sides.publish(cs.City(seed=same_roads, vehicles=300, start="2026-06-02T07:00Z", duration="30min", streams=["gps"]))
    sides.send([(0, by_hand[0]), (0, by_hand[1] | {"speed": 1.0})])
    put = sides.job.City.put

    def killed(city, table, *rest):
        if table == "silver.gps":
            raise RuntimeError(f"killed before {table}")
        put(city, table, *rest)

    monkeypatch.setattr(sides.job.City, "put", killed)
    with pytest.raises(StreamingQueryException, match=r"killed before silver\.gps"):
        sides.take_in(ALL)
    monkeypatch.undo()
    sides.run(["silver", "gold"])
    assert_same(sides.lake, sides.table, ALL)
    assert sides.table("silver.duplicate").filter(pl.col("id") == "by hand 0")["kafka_partition"].to_list() == [1]
    # Nothing that it is made of has changed.
    assert DeltaTable(sides.folder / "gold" / "road_5min").version() == version


def test_what_a_row_reached_that_goes_is_computed_again(spark, job, tmp_path):
    city = job.City(spark, str(tmp_path), "delta", "citystream", "", {}, kafka={})
    city.ensure(job.TOUCHED)
    event = next(small(streams=["vehicle"]).rows("vehicle"))
    columns = "value binary, topic string, partition int, offset long"
    # Ten seconds before midnight, which the next day's first windows see; then another event that is earlier in Kafka.
    for offset, time in ((1, "2026-06-01T23:59:50Z"), (0, "2026-06-01T12:00:00Z")):
        value = json.dumps(event | {"timestamp": time, "sentAt": time}).encode()
        records = spark.createDataFrame([(value, "t", 0, offset)], columns)
        job.refine(city, on_spark.decode(records, "vehicle"), "vehicle")
    assert [row.kafka_offset for row in city.table("silver.vehicle").collect()] == [0]
    assert city.table(job.TOUCHED).where("what = 'silver.vehicle' and date = date'2026-06-02'").count() == 2

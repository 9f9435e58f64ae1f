"""Decoding, silver's rules and uniqueness inside Spark, beside what a lake makes of the same rows."""

from __future__ import annotations

import datetime as dt
import json

import polars as pl
import pyarrow as pa
import pytest
from cities import small
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import to_arrow_schema

import citystream as cs
from citystream import spark as on_spark
from citystream.spark.kafka import Range, Topic
from citystream.spark.options import Options

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
PLACE = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"]
# PySpark leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def table(spark, lake, name):
    return spark.read.format("delta").load(f"{lake.path}/{name.replace('.', '/')}")


def sorted_rows(data, columns=None):
    frame = pl.DataFrame(data.toArrow() if hasattr(data, "toArrow") else data)
    return frame.select(columns or frame.columns).sort(PLACE)


def of_stream(lake, name, stream):
    return pl.DataFrame(lake.table(name)).filter(pl.col("stream") == stream)


def test_silver_is_the_lake_s(spark, small_lake):
    stream = "gps"
    bronze = table(spark, small_lake, f"bronze.{stream}")
    rows = on_spark.silver(bronze, stream).cache()
    silver = pl.DataFrame(small_lake.table(f"silver.{stream}"))
    assert sorted_rows(on_spark.dedup(rows), silver.columns).equals(silver.sort(PLACE))
    for name, found in (
        ("silver.duplicate", on_spark.duplicates(rows, stream)),
        ("silver.quarantine", on_spark.silver(bronze, stream, table="quarantine")),
        ("silver.dead_letter", on_spark.silver(bronze, stream, table="dead_letter")),
    ):
        expected = of_stream(small_lake, name, stream)
        assert sorted_rows(found, expected.columns).equals(expected.sort(PLACE)), name
        assert expected.height > 0, name
    assert on_spark.conflicts(rows, stream).count() == 0
    rows.unpersist()


def test_silver_s_columns_are_the_table_s(spark, small_lake):
    for stream in STREAMS:
        bronze = table(spark, small_lake, f"bronze.{stream}")
        for name in ("silver", "quarantine", "dead_letter"):
            made = on_spark.silver(bronze, stream, table=name).schema
            theirs = pa.schema(small_lake.table(f"silver.{stream if name == 'silver' else name}").schema)
            assert to_arrow_schema(made).equals(theirs), (stream, name)


def test_the_first_in_kafka_stays_and_what_differs_is_another_event(spark):
    time = dt.datetime(2026, 6, 1, 7, 0, 0, 250_000, dt.timezone.utc)
    reading = pl.DataFrame(cs.City(vehicles=50, duration="1h").events("weather")).head(1)
    row = pl.DataFrame(cs.silver(reading, stream="weather").silver).with_columns(
        id=pl.lit("a"), event_time=pl.lit(time).cast(pl.Datetime("us", "UTC")), event_date=pl.lit(time.date())
    )

    def at(topic, partition, offset, row_in_record=0, **other):
        place = {"kafka_topic": topic, "kafka_partition": partition, "kafka_offset": offset}
        return row.with_columns(
            *(
                pl.lit(v).cast(row.schema[k]).alias(k)
                for k, v in {**place, "row_in_record": row_in_record, **other}.items()
            )
        )

    copies = [
        at("b", 0, 1),
        at("a", 1, 0),
        at("a", 0, 9, 1, sent_at=time + dt.timedelta(minutes=1)),
        at("a", 0, 9, 0),
        at("a", 0, 10, temperature_c=-3.25),
        # Another event, by its id or by its date.
        at("a", 0, 1, id="b"),
        at("a", 0, 2, event_date=dt.date(2026, 6, 2)),
    ]
    rows = spark.createDataFrame(
        pl.concat(copies).to_arrow().cast(pa.schema(cs.silver(reading, stream="weather").silver))
    )
    assert sorted_rows(on_spark.dedup(rows), PLACE).rows() == [("a", 0, 1, 0), ("a", 0, 2, 0), ("a", 0, 9, 0)]
    lost = on_spark.duplicates(rows, "weather").orderBy(PLACE).collect()
    assert [tuple(found[name] for name in PLACE) for found in lost] == [("a", 0, 9, 1), ("a", 1, 0, 0), ("b", 0, 1, 0)]
    assert {(r.id, r.kept_topic, r.kept_partition, r.kept_offset, r.kept_row_in_record) for r in lost} == {
        ("a", "a", 0, 9, 0)
    }
    (conflict,) = on_spark.conflicts(rows, "weather").collect()
    assert (conflict.rule, conflict.stream, conflict.kafka_offset) == ("id_conflict", "weather", 10)
    told = json.loads(conflict.row)
    assert (told["temperature"], told["timestamp"]) == (-3.25, "2026-06-01T07:00:00.250000Z")
    assert set(told) == set(reading.columns)


@pytest.fixture(scope="module")
def sent(broker, tmp_path_factory):
    """A city with faults in Kafka, and in a lake."""
    topics = {stream: f"{stream}_spark" for stream in (*STREAMS, "reference")}
    faults = cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, corrupt=0.05, tombstone=0.01)
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2) as publisher:
        assert publisher.publish(small(faults=faults)).failed == 0
    lake = cs.Lake(tmp_path_factory.mktemp("spark") / "lake")
    lake.ingest(broker.bootstrap_servers, topics=topics)
    return broker.bootstrap_servers, topics, lake


def bronze_of(lake, stream):
    return sorted_rows(lake.table(f"bronze.{stream}"))


def as_bronze(frame, lake, stream):
    """Rows beside the lake's: all but when they were taken in."""
    taken = ["ingested_at", "ingest_date"]
    return sorted_rows(frame).drop(taken), bronze_of(lake, stream).drop(taken)


@pytest.mark.parametrize("stream", ["gps", "reference"])
def test_records_of_spark_s_source_become_bronze(spark, sent, stream):
    servers, topics, lake = sent
    records = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", servers)
        .option("subscribe", topics[stream])
        .option("includeHeaders", "true")
        .load()
    )
    rows = on_spark.decode(records, stream)
    found, expected = as_bronze(rows, lake, stream)
    assert found.equals(expected)
    assert stream == "reference" or 0 < found["decoded"].sum() < found.height
    # A part of the columns will do.
    assert (
        on_spark.decode(records.select("value"), stream).where(f.col("kafka_offset").isNull()).count() == found.height
    )


@pytest.mark.parametrize("stream", ["traffic", "reference"])
def test_our_source_reads_the_same(spark, sent, stream):
    servers, topics, lake = sent
    options = {"mode": "kafka", "stream": stream, "servers": servers, "topic": topics[stream]}
    frame = spark.read.format("citystream").options(**options).load()
    found, expected = as_bronze(frame, lake, stream)
    assert found.equals(expected)
    half = {str(p): n // 2 for p, n in found.group_by("kafka_partition").len().iter_rows()}
    part = frame_from(spark, options, startingOffsets=json.dumps({topics[stream]: half}))
    assert sorted_rows(part)["kafka_offset"].min() == min(half.values())


def frame_from(spark, options, **more):
    return spark.read.format("citystream").options(**options, **more).load()


def test_a_stream_of_ours_has_each_record_once(spark, broker, topics, tmp_path):
    options = {"mode": "kafka", "stream": "gps", "servers": broker.bootstrap_servers, "topic": topics["gps"]}

    def publish(seed):
        city = cs.City(seed=seed, vehicles=60, start="2026-06-01T07:00Z", duration="30min", streams=["gps"])
        with cs.Publisher(
            broker.bootstrap_servers, topics=topics, create_topics=2, transactional_id=f"spark-{topics['gps']}"
        ) as publisher:
            return publisher.publish(city).delivered

    def run():
        query = (
            spark.readStream.format("citystream")
            .options(**options)
            .load()
            .writeStream.format("delta")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "out"))
        )
        query.awaitTermination()
        rows = spark.read.format("delta").load(str(tmp_path / "out"))
        return rows.count(), rows.select(*PLACE).distinct().count()

    # Transactions leave offsets without records behind: the end is a position, not a count.
    first = publish(1)
    assert run() == (first, first)
    both = first + publish(2)
    assert run() == (both, both)
    last = max((tmp_path / "checkpoint" / "offsets").glob("[0-9]*"))
    (offsets,) = json.loads(last.read_text().splitlines()[-1]).values()
    assert set(offsets) == {"0", "1"}
    assert sum(offsets.values()) > both


def topic_of(**options):
    given = {"stream": "gps", "topic": "t", "servers": "nowhere:9092", **options}
    return Topic.of(Options(given), streaming=True)


def test_a_micro_batch_of_a_topic_has_its_share_of_each_partition():
    topic = topic_of(maxOffsetsPerTrigger="100")
    start, end = {"t": {"0": 10, "1": 5, "2": 7}}, {"t": {"0": 310, "1": 105, "2": 7}}
    assert topic.most == 100
    assert topic.capped(start, end, 100) == {"t": {"0": 85, "1": 30, "2": 7}}
    assert topic.capped(start, end, 400) == end
    # However few, it goes on.
    assert topic.capped(start, end, 1) == {"t": {"0": 11, "1": 5, "2": 7}}
    at, rounds = start, 0
    while at != end:
        following = topic.capped(at, end, 7)
        assert 0 < sum(following["t"].values()) - sum(at["t"].values()) <= 7
        at, rounds = following, rounds + 1
    assert rounds == 58


def test_filters_narrow_the_offsets_that_are_planned():
    topic = topic_of()
    start, end = {"t": {"0": 0, "1": 0, "2": 0}}, {"t": {"0": 100, "1": 50, "2": 100}}
    narrowed = topic.narrowed({"kafka_partition": (1, None), "kafka_offset": (10, 59), "speed": (0, 1)})
    assert narrowed.split(start, end) == [Range(1, 10, 50), Range(2, 10, 60)]
    assert len(topic.narrowed({}).split(start, end)) == 3


def test_what_is_wrong_is_named(spark):
    frame = spark.createDataFrame([("{}",)], "body string")
    with pytest.raises(cs.ConfigError, match=r"the records of gps have no column value\. There are body"):
        on_spark.decode(frame, "gps")
    with pytest.raises(cs.ConfigError, match=r"no stream 'gsp'\. Did you mean 'gps'"):
        on_spark.silver(frame, "gsp")
    with pytest.raises(cs.ConfigError, match="no table 'duplicate' for rows"):
        on_spark.silver(frame, "gps", table="duplicate")

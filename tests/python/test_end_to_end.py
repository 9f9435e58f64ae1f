"""City → a real Kafka → bronze → silver → gold, twice over the same topics: each event once, counted by others."""

from __future__ import annotations

import json
import uuid
from collections import Counter

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from cities import small
from confluent_kafka import Consumer, Producer, TopicPartition
from deltalake import DeltaTable

import citystream as cs

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
POSITION = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"]


def table(lake, name):
    return DeltaTable(f"{lake.path}/{name.replace('.', '/')}").to_pyarrow_table()


def ends(servers, topics):
    """Offsets after the last message of each partition, by another client."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "ends"})
    try:
        known = consumer.list_topics(timeout=10).topics
        return {
            (topic, partition): consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for topic in topics
            for partition in known[topic].partitions
        }
    finally:
        consumer.close()


def positions(rows):
    return Counter(zip(*(rows[name].to_pylist() for name in POSITION), strict=True))


@pytest.fixture(scope="module")
def road(broker, tmp_path_factory):
    """The road driven twice: the city, its topics, the lake, and a report of each round."""
    mark = uuid.uuid4().hex[:8]
    topics = {stream: f"{stream}_{mark}" for stream in (*STREAMS, "reference")}
    faults = cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, drop=0.02, corrupt=0.02)
    city = small(faults=faults)
    lake = cs.Lake(tmp_path_factory.mktemp("road") / "lake")
    rounds = []
    for _ in range(2):
        with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=4) as kafka:
            published = kafka.publish(city)
        ingested = lake.ingest(broker.bootstrap_servers, topics=topics)
        rounds.append((published, ingested, lake.refine()))
    return city, topics, lake, rounds


def test_every_message_was_delivered_and_taken_in(road):
    _, _, _, rounds = road
    for published, ingested, _ in rounds:
        assert published.failed == 0
        assert ingested.records == published.delivered
        assert ingested.reference == published.reference
        assert ingested.by_stream == published.delivered_by_stream
        assert ingested.warnings == ()
        assert all(partition.lag == 0 for partition in ingested.partitions)
    assert rounds[0][0].delivered == rounds[1][0].delivered > 10_000


def test_each_record_is_in_bronze_once(road, broker):
    _, topics, lake, rounds = road
    for stream in (*STREAMS, "reference"):
        bronze = table(lake, f"bronze.{stream}")
        found = positions(bronze)
        assert max(found.values()) == 1
        there = {
            (topic, partition, offset, 0)
            for (topic, partition), end in ends(broker.bootstrap_servers, [topics[stream]]).items()
            for offset in range(end)
        }
        assert set(found) == there, stream
        if stream != "reference":
            assert bronze.num_rows == 2 * rounds[0][0].delivered_by_stream[stream]


def test_each_event_is_in_silver_once(road):
    city, _, lake, rounds = road
    for stream in STREAMS:
        silver = table(lake, f"silver.{stream}")
        ids = Counter(silver["id"].to_pylist())
        assert max(ids.values()) == 1
        assert set(ids) == set(pa.table(city.events(stream))["id"].to_pylist()), stream
        # The second round brought nothing new.
        assert rounds[0][2].silver[stream] == len(ids)
        assert rounds[1][2].silver[stream] == 0


def test_dropped_events_are_nowhere_and_harmed_ones_are_set_aside(road):
    city, _, lake, _ = road
    labels = pl.DataFrame(city.truth.faults)
    dropped = labels.filter((pl.col("kind") == "drop") & (pl.col("stream") == "gps"))["id"].to_list()
    assert dropped
    assert not set(dropped) & set(table(lake, "silver.gps")["id"].to_pylist())
    assert not set(dropped) & set(table(lake, "bronze.gps")["id"].to_pylist())
    dead, quarantine = table(lake, "silver.dead_letter"), table(lake, "silver.quarantine")
    assert dead.num_rows > 0
    assert quarantine.num_rows > 0
    assert set(dead["error_reason"].to_pylist()) <= {"truncated", "syntax"}
    assert dead["value"].null_count == 0


def test_silver_and_its_side_tables_are_bronze(road):
    _, _, lake, _ = road
    side = {name: table(lake, f"silver.{name}") for name in ("dead_letter", "quarantine", "duplicate")}
    for stream in STREAMS:
        whole = positions(table(lake, f"bronze.{stream}"))
        parts = positions(table(lake, f"silver.{stream}"))
        for rows in side.values():
            parts += positions(rows.filter(pc.equal(rows["stream"], stream)))
        assert parts == whole, stream


def test_the_lowest_offset_wins(road):
    _, _, lake, _ = road
    duplicates = pl.DataFrame(lake.table("silver.duplicate"))
    assert duplicates.height > 10_000
    # One device, one partition: both copies are in it.
    assert (duplicates["kafka_partition"] == duplicates["kept_partition"]).all()
    assert (duplicates["kafka_offset"] > duplicates["kept_offset"]).all()


def test_gold_came_from_the_first_round_alone(road):
    _, _, lake, rounds = road
    first, second = ({t.name: t for t in round_[2].tables} for round_ in rounds)
    assert first["gold.road_5min"].rows > 100
    assert second["gold.camera_15min"].rows in {0, first["gold.camera_15min"].rows}
    (row,) = lake.query(
        "select sum(received), sum(accepted + dead_letter + quarantine + duplicate) from gold.data_quality_hourly"
    ).fetchall()
    assert row[0] == row[1] == 2 * rounds[0][0].delivered


def test_the_lake_is_sound(road):
    _, _, lake, _ = road
    assert lake.check() == []


def test_the_embedded_road_leads_to_the_same_silver(road, tmp_path):
    city, _, lake, _ = road
    embedded = cs.Lake(tmp_path / "embedded")
    embedded.ingest(city)
    embedded.refine()
    for stream in STREAMS:
        # Where it came from differs; and of copies sent at two times, which is kept depends on the partition.
        differing = [*POSITION, "ingested_at", "sent_at", "lateness_s"]
        frames = [
            pl.DataFrame(which.table(f"silver.{stream}")).drop(differing).sort("id") for which in (lake, embedded)
        ]
        assert frames[0].height > 0
        assert frames[0].equals(frames[1]), stream


def test_bad_messages_become_rows_with_their_reason(broker, topics, tmp_path):
    city = cs.City(vehicles=60, start="2026-06-01T07:00Z", duration="1h")
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka:
        good = kafka.publish(city).delivered_by_stream["gps"]
    event = next(city.rows("gps"))

    def changed(**fields):
        return json.dumps({**event, "id": f"{len(bad)}", **fields}).encode()

    bad = [
        b"", b"{", b'{"id": "x"', b"not json", b"\xff\xfe\xfd", b"[1, 2]", b"null", b"3", b'"text"',
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000, None,
    ]  # fmt: skip
    undecodable = len(bad)
    bad += [
        changed(speed="fast"), changed(speed=-5), changed(speed=1e300), changed(timestamp="yesterday"),
        changed(timestamp="1970-01-01T00:00:00.000Z"), changed(location=[123.0, 456.0]), changed(location="here"),
        changed(id=None), changed(deviceId=7), changed(heading=1e9), json.dumps({"id": "only"}).encode(), b"{}",
    ]  # fmt: skip
    unknown = {**event, "id": "00000000-0000-8000-8000-000000000000", "firmware": "2.1"}
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for value in [*bad, json.dumps(unknown).encode()]:
        producer.produce(topics["gps"], key=b"k", value=value)
    assert producer.flush(30) == 0

    lake = cs.Lake(tmp_path / "lake")
    report = lake.ingest(broker.bootstrap_servers, topics=topics)
    assert report.by_stream["gps"] == good + len(bad) + 1
    assert report.undecodable == undecodable
    lake.refine()
    dead = pl.DataFrame(lake.table("silver.dead_letter"))
    assert dead.height == undecodable
    assert set(dead["error_stage"]) <= {"value", "utf8", "json"}
    assert {"tombstone", "invalid_utf8", "not_an_object", "too_deep", "truncated"} <= set(dead["error_reason"])
    assert sorted(v for v in dead["value"] if v is not None) == sorted(v for v in bad[:undecodable] if v is not None)
    quarantine = pl.DataFrame(lake.table("silver.quarantine"))
    assert quarantine.height == len(bad) - undecodable
    assert quarantine["rule"].null_count() == 0
    assert quarantine["reason"].null_count() == 0
    # What a field of ours can't hold, or isn't ours, is kept as text.
    bronze = pl.DataFrame(lake.table("bronze.gps"))
    rescued = [json.loads(text) for text in bronze["rescued"].drop_nulls()]
    assert {"speed": "fast"} in rescued
    assert {"firmware": "2.1"} in rescued
    silver = pl.DataFrame(lake.table("silver.gps"))
    assert silver.height == good + 1
    assert unknown["id"] in silver["id"].to_list()
    assert lake.check() == []


class TestTopics:
    def test_a_default_topic_that_is_absent_is_a_warning(self, broker, topics, tmp_path):
        with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka:
            sent = kafka.publish(cs.City(vehicles=60, start="2026-06-01T07:00Z", duration="30min", streams=["gps"]))
        lake = cs.Lake(tmp_path / "lake")
        report = lake.ingest(broker.bootstrap_servers, topics={"gps": topics["gps"]})
        assert report.by_stream["gps"] == sent.delivered
        assert any("vehicle_data" in warning for warning in report.warnings)

    def test_a_topic_that_was_named_must_exist(self, broker, tmp_path):
        with pytest.raises(cs.KafkaError, match="no-such-topic"):
            cs.Lake(tmp_path / "lake").ingest(broker.bootstrap_servers, topics={"gps": "no-such-topic"})

    def test_two_pipelines_read_independently(self, broker, topics, tmp_path):
        city = cs.City(vehicles=60, start="2026-06-01T07:00Z", duration="30min", streams=["gps"])
        with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka:
            sent = kafka.publish(city).delivered
        lake = cs.Lake(tmp_path / "lake")
        assert lake.ingest(broker.bootstrap_servers, topics=topics).records == sent
        assert lake.ingest(broker.bootstrap_servers, topics=topics).records == 0
        assert cs.Lake(tmp_path / "other").ingest(broker.bootstrap_servers, topics=topics).records == sent


def test_ingest_answers_ctrl_c_while_it_follows(script, broker, topics):
    done = script(
        "import _thread, threading, time, citystream as cs\n"
        "threading.Timer(3, _thread.interrupt_main).start()\n"
        f"topics = {topics!r}\n"
        f"with cs.Publisher({broker.bootstrap_servers!r}, topics=topics, create_topics=1) as kafka:\n"
        "    kafka.publish(cs.City(vehicles=60, duration='30min'))\n"
        "try:\n"
        f"    cs.Lake('lake').ingest({broker.bootstrap_servers!r}, topics=topics, follow=True)\n"
        "except KeyboardInterrupt:\n"
        "    print(cs.Lake('lake').table('bronze.weather').row_count > 0)\n"
    )
    assert done.out == "True\n", done.err

"""Publisher over a real broker; whatever needs none is tried without."""

from __future__ import annotations

import datetime as dt
import json
import time

import polars as pl
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

import citystream as cs

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")


def consume(servers, topic):
    """All of a topic's messages, read by another client, as (partition, key, value)."""
    consumer = Consumer({
        "bootstrap.servers": servers, "group.id": "test", "enable.auto.commit": False,
        "isolation.level": "read_committed", "auto.offset.reset": "error",
    })  # fmt: skip
    found = []
    try:
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            place = TopicPartition(topic, partition, 0)
            _, end = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([place])
            while consumer.position([place])[0].offset < end and end > 0:
                for message in consumer.consume(10_000, timeout=0.3):
                    assert message.error() is None
                    found.append((partition, message.key(), message.value()))
    finally:
        consumer.close()
    return found


@pytest.fixture
def publisher(broker, topics):
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=3) as publisher:
        yield publisher


def test_a_city_arrives_as_its_rows(broker, topics, city):
    seen = []
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=3) as publisher:
        report = publisher.publish(city, progress=seen.append)
    expected = {stream: list(city.rows(stream)) for stream in STREAMS}
    assert report.delivered == sum(map(len, expected.values()))
    assert report.delivered_by_stream == {stream: len(rows) for stream, rows in expected.items()}
    assert (report.failed, report.errors) == (0, ())
    assert report.reference == sum(1 for _ in city.rows("reference"))
    assert report.bytes > 0
    assert report.seconds > 0
    assert seen
    assert set(seen[0]) == {"stage", "done", "total", "unit", "detail"}
    for stream in STREAMS:
        messages = consume(broker.bootstrap_servers, topics[stream])
        values = [json.loads(value) for _, _, value in messages]
        assert all(key.decode() == value["deviceId"] for (_, key, _), value in zip(messages, values, strict=True))
        by_id = {value["id"]: value for value in values}
        assert len(by_id) == len(values) == len(expected[stream])
        for row in expected[stream]:
            assert by_id[row["id"]] == row
        # One device, one partition: its events stay in order.
        places = {}
        for partition, key, _ in messages:
            assert places.setdefault(key, partition) == partition


def test_arrow_data_of_others_arrive(broker, topics, publisher, city):
    frame = pl.DataFrame(city.events("weather")).head(10)
    assert publisher.publish(frame, stream="weather").delivered == 10
    assert publisher.publish(pa.table(city.events("weather")).slice(10, 5), stream="weather").delivered == 5
    sent = {json.loads(value)["id"] for _, _, value in consume(broker.bootstrap_servers, topics["weather"])}
    assert sent == set(pa.table(city.events("weather"))["id"].to_pylist()[:15])


def test_single_rows_arrive(broker, topics, publisher, city):
    rows = list(city.rows("gps"))[:5]
    for row in rows:
        publisher.send("gps", row)
    # A datetime does as well as its text.
    publisher.send("gps", {**rows[0], "timestamp": dt.datetime(2026, 6, 1, 7, tzinfo=dt.timezone.utc)})
    publisher.flush()
    values = [json.loads(value) for _, _, value in consume(broker.bootstrap_servers, topics["gps"])]
    assert len(values) == 6
    assert [value for value in values if value["timestamp"] != "2026-06-01T07:00:00.000Z" or value in rows]
    assert publisher.close().failed == 0


def test_transactions(broker, topics, city):
    with cs.Publisher(
        broker.bootstrap_servers, topics=topics, create_topics=1, transactional_id=topics["gps"]
    ) as publisher:
        report = publisher.publish(city)
    assert report.failed == 0
    # The brokers mark the partitions a moment after the commit is safe.
    deadline = time.monotonic() + 20
    while not (found := consume(broker.bootstrap_servers, topics["gps"])) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) == report.delivered_by_stream["gps"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": "fast"}, r'gps: field "speed" is "fast", expected a number \(km/h\)'),
        ({"speed": True}, r'field "speed" is true, expected a number'),
        ({"timestamp": "yesterday"}, r'field "timestamp" is "yesterday", expected a time'),
        ({"id": None}, r'field "id" is missing or null, expected a text'),
        ({"location": [1.0]}, r'field "location" is \[1\.0\], expected \[latitude, longitude\]'),
        ({"colour": "red"}, r'unknown field "colour"; there are id, deviceId'),
        ({"speed": ...}, r'field "speed" is missing or null'),
        ({"speed": float("nan")}, "can't be written as JSON"),
        ({"fix": object()}, "can't be written as JSON"),
    ],
)
def test_a_row_that_breaks_the_schema_is_refused_and_not_sent(publisher, city, change, message):
    row = {name: value for name, value in {**next(city.rows("gps")), **change}.items() if value is not ...}
    with pytest.raises(cs.DecodeError, match=message):
        publisher.send("gps", row)
    report = publisher.close()
    assert (report.delivered, report.failed) == (0, 0)


def test_the_end_s_report_counts_each_row(broker, topics, city):
    rows = list(city.rows("weather"))[:20]
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as publisher:
        for row in rows:
            publisher.send("weather", row)
        assert publisher.publish(pl.DataFrame(city.events("gps")).head(5), stream="gps").delivered == 5
        report = publisher.close()
    assert report.delivered_by_stream == {"gps": 5, "weather": 20}
    assert report.failed == 0
    # A `with` whose rows did not arrive says so.
    with (
        pytest.raises(cs.KafkaError, match="1 events were not delivered"),
        cs.Publisher(broker.bootstrap_servers, topics=topics) as publisher,
    ):
        publisher.send("weather", {**rows[0], "weatherCondition": "x" * 2_000_000})


def test_send_takes_rows_and_streams_only(publisher, city):
    with pytest.raises(cs.ConfigError, match="list is no row"):
        publisher.send("gps", [1])
    with pytest.raises(cs.ConfigError, match='unknown stream "gsp"'):
        publisher.send("gsp", next(city.rows("gps")))


def test_rows_are_what_json_gives_of_the_wire(city, tmp_path):
    from citystream.topics import DEFAULTS

    city.core.write(to="ndjson", out=str(tmp_path), topics=None)
    for stream in STREAMS:
        wire = [json.loads(line) for line in (tmp_path / f"{DEFAULTS[stream]}.ndjson").read_text().splitlines()]
        rows = list(city.rows(stream))
        assert rows == wire
        # Equal numbers may differ in type, and a script's json.dumps would tell.
        assert json.dumps(rows) == json.dumps(wire)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit(None).cast(pl.String).alias("id"), 'gps: column "id", row 0: null is not allowed there'),
        (pl.lit("fast").alias("speed"), 'column "speed", row 0: fast is no Float64'),
        (pl.lit(float("nan")).alias("speed"), 'column "speed", row 0: NaN is no number'),
    ],
)
def test_arrow_data_that_break_the_schema_are_refused(publisher, city, change, message):
    frame = pl.DataFrame(city.events("gps")).head(3)
    with pytest.raises(cs.DecodeError, match=message):
        publisher.publish(frame.with_columns(change), stream="gps")
    # Whatever has the columns, in any order and beside others.
    good = frame.select(reversed(frame.columns)).with_columns(pl.lit(1).alias("more"), pl.col("speed").cast(pl.Float32))
    assert publisher.publish(good, stream="gps").delivered == 3


def test_arrow_data_with_other_columns_are_refused(publisher, city):
    with pytest.raises(cs.CitystreamError, match="speed"):
        publisher.publish(pl.DataFrame(city.events("gps")).drop("speed"), stream="gps")


def test_speed_paces_by_simulated_time(publisher):
    # 90 simulated seconds at 60 simulated seconds a second.
    city = cs.City(vehicles=300, start="2026-06-01T08:00Z", duration="90s", streams=["gps"])
    assert publisher.publish(city, speed=60).seconds >= 1.0
    assert publisher.publish(city, rate=200).delivered > 0


def test_a_broker_that_is_not_there_is_named():
    with pytest.raises(cs.KafkaConnectionError, match=r"127\.0\.0\.1:1") as caught:
        cs.Publisher("127.0.0.1:1", timeout="500ms")
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, cs.KafkaError)


def test_servers_come_from_the_environment(monkeypatch):
    with pytest.raises(cs.ConfigError, match="set KAFKA_BOOTSTRAP_SERVERS"):
        cs.Publisher()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(cs.KafkaConnectionError, match=r"127\.0\.0\.1:1"):
        cs.Publisher(timeout="300ms")


def test_topics_come_from_the_environment(monkeypatch, broker, topics):
    for stream in STREAMS:
        monkeypatch.setenv(f"{stream.upper()}_TOPIC", topics[stream])
    with cs.Publisher(broker.bootstrap_servers, topics={"gps": "own"}) as publisher:
        assert publisher.topics == {**topics, "gps": "own", "reference": "reference_data"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "zip"}, "zip"),
        ({"topics": {"gsp": "x"}}, "unknown stream 'gsp'. Did you mean 'gps'"),
        ({"topics": {"gps": "x", "weather": "x"}}, "share the topic 'x'"),
        ({"topics": {"gps": "with space"}}, "with space"),
        ({"timeout": 5}, "timeout 5 has no unit"),
        ({"security": {"sasl.passwrod": "x"}}, "sasl.passwrod"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(cs.ConfigError, match=message):
        cs.Publisher("127.0.0.1:1", **{"timeout": "300ms", **options})


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (5, {"stream": "gps"}, "int is no Arrow data"),
        (pl.DataFrame({"a": [1]}), {}, "stream of the table is not given"),
        (pl.DataFrame({"a": [1]}), {"stream": "gps", "speed": 60}, "speed and rate pace a city"),
    ],
)
def test_wrong_arguments_of_publish(publisher, data, options, message):
    with pytest.raises(cs.ConfigError, match=message):
        publisher.publish(data, **options)


def test_a_city_has_its_own_streams(publisher, city):
    with pytest.raises(cs.ConfigError, match=r"City\(streams=\['gps'\]\)"):
        publisher.publish(city, stream="gps")


def test_a_closed_publisher_says_so(broker, topics, city):
    publisher = cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1)
    publisher.close()
    with pytest.raises(cs.ConfigError, match="closed"):
        publisher.send("gps", next(city.rows("gps")))


def test_secrets_do_not_show(capfd):
    secret = "hunter2-hunter2"  # noqa: S105
    security = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": secret,
    }
    with pytest.raises(cs.CitystreamError) as caught:
        cs.Publisher("127.0.0.1:1", security=security, timeout="500ms")
    told = capfd.readouterr()
    assert secret not in str(caught.value) + repr(caught.value) + told.out + told.err


def test_reports_show_themselves():
    report = cs.kafka.PublishReport(5, 0, 2, 1234, 0.5, {"gps": 5}, {"gps": 0}, ())
    assert repr(report).startswith("PublishReport(delivered=5, failed=0, reference=2")
    assert "<caption>PublishReport</caption>" in report._repr_html_()
    assert json.dumps(report.to_dict())
    with pytest.raises(AttributeError):
        report.delivered = 6

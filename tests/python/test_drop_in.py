"""What generate_data.py sends, read as the original's spark-city.py reads it: `from_json` with the original's types."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cities import small
from pyspark.sql import functions as f
from test_kafka import consume

import citystream as cs
from citystream import _core

DOCS = Path(__file__).parents[2] / "docs"

# Spark's types of the original's fields, as docs/streams.md has them; `location` is declared as a text there.
ORIGINAL = {
    "vehicle": "id string, deviceId string, timestamp timestamp, location string, speed double, direction string, "
    "make string, model string, year int, fuelType string",
    "gps": "id string, deviceId string, timestamp timestamp, speed double, direction string, vehicleType string",
    "traffic": "id string, deviceId string, cameraId string, location string, timestamp timestamp, snapshot string",
    "weather": "id string, deviceId string, location string, timestamp timestamp, temperature double, "
    "weatherCondition string, precipitation double, windSpeed double, humidity int, airQualityIndex int",
    "emergency": "id string, deviceId string, incidentId string, type string, timestamp timestamp, location string, "
    "status string, description string",
}
# Public copies declare the index as a double.
COPIES = {"weather": ORIGINAL["weather"].replace("airQualityIndex int", "airQualityIndex double")}
# PySpark leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECONDS = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"


@pytest.fixture(scope="module")
def sent(broker):
    """A city sent in compat mode: each stream's messages as text."""
    topics = {stream: f"{stream}_drop_in" for stream in (*ORIGINAL, "reference")}
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2) as publisher:
        report = publisher.publish(small(compat=True))
    assert report.failed == 0
    found = {stream: consume(broker.bootstrap_servers, topics[stream]) for stream in ORIGINAL}
    assert {stream: len(messages) for stream, messages in found.items()} == report.delivered_by_stream
    # A vehicle's messages of all streams stand under its key.
    assert all(key.startswith(b"vehicle-") for messages in found.values() for _, key, _ in messages)
    return {stream: [value.decode() for _, _, value in messages] for stream, messages in found.items()}


def names(schema):
    return [field.split()[0] for field in schema.split(", ")]


def test_the_types_are_those_of_the_contract():
    fields = {
        stream: [f["name"] for f in _core.stream_fields(stream) if f["origin"] == "original"] for stream in ORIGINAL
    }
    assert fields == {stream: names(schema) for stream, schema in ORIGINAL.items()}


@pytest.mark.parametrize(
    ("stream", "schema"), [*ORIGINAL.items(), *COPIES.items()], ids=[*ORIGINAL, *(f"{s}-copies" for s in COPIES)]
)
def test_the_original_s_schemas_read_no_null(spark, sent, stream, schema):
    rows = sent[stream]
    assert rows
    # 14,000 rows a stream say no more than these.
    rows = rows[:1_000]
    texts = spark.createDataFrame([(row,) for row in rows], "value string")
    read = texts.select(f.from_json("value", schema).alias("row")).select("row.*")
    nulls = read.select([f.count_if(f.col(name).isNull()).alias(name) for name in names(schema)]).first().asDict()
    assert nulls == {name: len(rows) if name == "snapshot" else 0 for name in names(schema)}
    # And what is read is what was sent.
    shown = read.withColumn("timestamp", f.date_format("timestamp", SECONDS)).collect()
    for row, text in zip(shown, rows, strict=True):
        wire, own = json.loads(text), row.asDict()
        if "location" in own:
            own["location"] = json.loads(own["location"])
        assert own == {name: wire[name] for name in own}


def test_the_five_join_on_device_and_time(spark, sent):
    told = {(row["deviceId"], row["timestamp"]) for row in map(json.loads, sent["emergency"])}
    near = {
        stream: [row for row in rows if (json.loads(row)["deviceId"], json.loads(row)["timestamp"]) in told]
        for stream, rows in sent.items()
    }
    frames = {
        stream: spark.createDataFrame([(row,) for row in rows], "value string")
        .select(f.from_json("value", ORIGINAL[stream]).alias("row"))
        .select("row.deviceId", "row.timestamp")
        for stream, rows in near.items()
    }
    joined = frames["vehicle"]
    for stream in ("gps", "traffic", "weather", "emergency"):
        joined = joined.join(frames[stream], ["deviceId", "timestamp"])
    assert joined.count() > 0.9 * len(sent["emergency"]) > 0


def test_the_page_s_script_runs(script, broker, topics, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    for stream, topic in topics.items():
        monkeypatch.setenv(f"{stream.upper()}_TOPIC", topic)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "drop_in.md").read_text(), re.DOTALL)
    ran = script(code)
    assert ran.status == 0, ran.err
    speeds = [json.loads(value)["speed"] for _, _, value in consume(broker.bootstrap_servers, topics["gps"])]
    assert len(speeds) > 50
    assert all(speed == round(speed) for speed in speeds)

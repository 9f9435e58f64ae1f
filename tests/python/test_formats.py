"""What stands on the wire, as other people's readers see it: names and formats."""

from __future__ import annotations

import io
import json
import re

import fastavro
import polars as pl
import pyarrow as pa
import pytest
from cities import small
from confluent_kafka import Producer
from test_kafka import STREAMS, consume

import citystream as cs
from citystream.names import rename_pairs
from services.registry import schema_registry

SNAKE_GPS = {
    "id", "device_id", "timestamp", "speed", "direction", "vehicle_type", "sent_at", "location", "heading",
    "accuracy_m", "fix",
}  # fmt: skip


def test_mapped_names_both_ways(broker, topics, city, tmp_path):
    mapping = {"names": "snake", "rename": {"make": "brand", "gps": {"speed": "kmh"}}}
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2, **mapping) as publisher:
        report = publisher.publish(city)
        publisher.send("gps", next(city.rows("gps")))
    values = [json.loads(value) for _, _, value in consume(broker.bootstrap_servers, topics["gps"])]
    assert len(values) == report.delivered_by_stream["gps"] + 1
    assert {frozenset(value) for value in values} == {frozenset(SNAKE_GPS - {"speed"} | {"kmh"})}
    brands = {json.loads(value)["brand"] for _, _, value in consume(broker.bootstrap_servers, topics["vehicle"])}
    assert brands == {row["make"] for row in city.rows("vehicle")}

    lake = cs.Lake(tmp_path / "lake")
    assert lake.ingest(broker.bootstrap_servers, topics=topics, **mapping).undecodable == 0
    for stream in STREAMS:
        nulls = lake.query(f"select count(*) from bronze.{stream} where deviceId is null or rescued is not null")
        assert nulls.fetchall() == [(0,)]
    assert lake.query("select count(distinct make) from bronze.vehicle").fetchall() == [(len(brands),)]
    lake.refine()
    assert lake.query("select count(*) from silver.gps where speed_kmh is not null").fetchall()[0][0] > 0


def test_files_of_messages_have_mapped_names_and_others_refuse_them(citystream, tmp_path):
    asked = ("--vehicles", "50", "--duration", "10min", "--out", str(tmp_path / "out"))
    done = citystream("simulate", "--to", "ndjson", *asked, "--names", "snake", "--rename", "vehicle.make=brand")
    assert done.status == 0, done.err
    first = json.loads((tmp_path / "out" / "vehicle_data.ndjson").read_text().splitlines()[0])
    assert {"device_id", "brand", "odometer_km"} <= set(first)
    assert not {"deviceId", "make"} & set(first)
    refused = citystream("simulate", "--to", "parquet", *asked, "--names", "snake")
    assert refused.status == 2
    assert "names" in refused.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--names", "kebab"), "snake"),
        (("--rename", "make=model"), "would both be named"),
        (("--rename", "mak=brand"), "mak"),
        (("--rename", "make"), "make=brand"),
    ],
)
def test_a_wrong_mapping_is_a_wrong_use(citystream, flags, said):
    done = citystream("simulate", "--to", "ndjson", "--out", "out", "--duration", "1min", *flags)
    assert done.status == 2
    assert re.search(said, done.err), done.err


def test_pairs_of_names():
    assert rename_pairs(None) == []
    assert rename_pairs({"make": "brand", "gps": {"speed": "kmh"}}) == [("make", "brand"), ("gps.speed", "kmh")]
    with pytest.raises(cs.ConfigError, match="brand"):
        rename_pairs({"make": 3})  # type: ignore[dict-item]


@pytest.fixture
def registry():
    with schema_registry() as running:
        yield running


def ids(lake, stream):
    return {row[0] for row in lake.query(f"select id from bronze.{stream} where decoded").fetchall()}


def test_avro_is_what_another_reader_of_avro_reads(broker, topics, city, registry):
    asked = {"format": "avro", "schema_registry": registry.url, "topics": topics}
    with cs.Publisher(broker.bootstrap_servers, create_topics=2, **asked) as publisher:
        report = publisher.publish(city)
    assert report.delivered_by_stream == {stream: sum(1 for _ in city.rows(stream)) for stream in STREAMS}
    assert set(registry.subjects) == {f"{topic}-value" for topic in topics.values()}
    for stream in STREAMS:
        found = {}
        for _, key, value in consume(broker.bootstrap_servers, topics[stream]):
            assert value[0] == 0
            schema = fastavro.parse_schema(json.loads(registry.schemas[int.from_bytes(value[1:5], "big")]))
            body = io.BytesIO(value[5:])
            row = fastavro.schemaless_reader(body, schema)
            assert not body.read()
            assert key.decode() == row["deviceId"]
            found[row["id"]] = row
        rows = list(city.rows(stream))
        assert len(found) == len(rows)
        for row in rows:
            theirs = {
                name: f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z" if hasattr(value, "hour") else value
                for name, value in found[row["id"]].items()
            }
            assert theirs == row


def test_avro_into_a_lake_is_the_same_as_json(broker, topics, city, registry, tmp_path):
    asked = {"schema_registry": {"url": registry.url, "user": "me", "password": "hunter2"}, "topics": topics}
    registry.login = ("me", "hunter2")
    with cs.Publisher(broker.bootstrap_servers, format="avro", create_topics=2, **asked) as publisher:
        sent = publisher.publish(city).delivered
        publisher.send("gps", next(city.rows("gps")))
    lake, plain = cs.Lake(tmp_path / "lake"), cs.Lake(tmp_path / "plain")
    report = lake.ingest(broker.bootstrap_servers, **asked)
    assert (report.records, report.undecodable) == (sent + 1, 0)
    plain.ingest(city)
    for stream in STREAMS:
        columns = ", ".join(field["name"] for field in cs._core.stream_fields(stream))
        rows = [
            sorted(map(str, at.query(f"select distinct {columns} from bronze.{stream}").fetchall()))
            for at in (lake, plain)
        ]
        assert rows[0] == rows[1]
    assert lake.check() == []
    # Each schema is asked for once.
    lookups = [request for request in registry.asked if request.startswith("GET")]
    assert len(lookups) == len(set(lookups)) == len(STREAMS) + 1


def test_bad_avro_is_a_row_with_its_reason(broker, topics, registry, tmp_path):
    asked = {"schema_registry": registry.url, "topics": topics}
    faults = cs.Faults(bad_json=0.05, tombstone=0.02, poison_pill=0.02)
    harmed = small(faults=faults)
    with cs.Publisher(broker.bootstrap_servers, format="avro", create_topics=1, **asked) as publisher:
        sent = publisher.publish(harmed).delivered
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    good = next(value for _, _, value in consume(broker.bootstrap_servers, topics["gps"]) if value and value[0] == 0)
    producer.produce(topics["gps"], key=b"k", value=b"\0\0\0\x27\x0f" + good[5:])
    producer.produce(topics["gps"], key=b"k", value=b'{"id":"json"}')
    producer.flush()
    lake = cs.Lake(tmp_path / "lake")
    report = lake.ingest(broker.bootstrap_servers, **asked)
    assert report.records == sent + 2
    reasons = lake.query("select error_reason, count(*), count(value) from bronze.gps where not decoded group by 1")
    found = {reason: (count, values) for reason, count, values in reasons.fetchall()}
    assert found["unknown_schema"] == (1, 1)
    assert found["truncated"][0] > 3
    assert found["tombstone"][1] == 0
    raw = lake.query("select value from bronze.gps where error_reason = 'unknown_schema'").fetchall()
    assert bytes(raw[0][0]) == b"\0\0\0\x27\x0f" + good[5:]
    assert lake.query("select count(*) from bronze.gps where id = 'json'").fetchall() == [(1,)]
    labels = pa.table(harmed.truth.faults)["kind"].to_pylist()
    expected = sum(labels.count(kind) for kind in ("bad_json", "tombstone", "poison_pill"))
    assert report.undecodable == expected + 1


def test_a_registry_that_is_away_stops_and_loses_nothing(broker, topics, city, registry, tmp_path):
    asked = {"schema_registry": registry.url, "topics": topics}
    with cs.Publisher(broker.bootstrap_servers, format="avro", create_topics=1, **asked) as publisher:
        sent = publisher.publish(city).delivered
    lake = cs.Lake(tmp_path / "lake")
    registry.away = True
    with pytest.raises(cs.KafkaConnectionError, match="schema registry"):
        lake.ingest(broker.bootstrap_servers, **asked)
    with pytest.raises(cs.KafkaConnectionError, match="not now"):
        cs.Publisher(broker.bootstrap_servers, format="avro", **asked).send("gps", next(city.rows("gps")))
    registry.away = False
    report = lake.ingest(broker.bootstrap_servers, **asked)
    assert (report.records, report.undecodable) == (sent, 0)
    # Who forgets the registry is told so before a whole topic is taken in as undecodable.
    with pytest.raises(cs.ConfigError, match="schema_registry"):
        cs.Lake(tmp_path / "other").ingest(broker.bootstrap_servers, topics=topics)


def test_an_incompatible_schema_is_refused_before_anything_is_sent(broker, topics, city, registry):
    other = json.dumps({"type": "record", "name": "X", "fields": [{"name": "speed", "type": "string"}]})
    registry.schemas[1], registry.subjects[f"{topics['gps']}-value"] = other, [1]
    publisher = cs.Publisher(
        broker.bootstrap_servers, format="avro", schema_registry=registry.url, topics=topics, create_topics=1
    )
    with pytest.raises(cs.KafkaError, match="TYPE_MISMATCH of speed"):
        publisher.publish(city)
    assert publisher.close().delivered == 0


def test_arrow_messages_are_batches_of_one_partitions_keys(broker, topics, city, tmp_path):
    with cs.Publisher(broker.bootstrap_servers, format="arrow", topics=topics, create_topics=3) as publisher:
        report = publisher.publish(city)
        publisher.send("weather", next(city.rows("weather")))
    assert report.delivered_by_stream == {stream: sum(1 for _ in city.rows(stream)) for stream in STREAMS}
    for stream in STREAMS:
        messages = consume(broker.bootstrap_servers, topics[stream])
        devices, found = {}, 0
        for partition, key, value in messages:
            batch = pa.ipc.open_stream(value).read_all()
            assert key.decode() == batch["deviceId"][0].as_py()
            assert len(value) < 1_000_000
            for device in set(batch["deviceId"].to_pylist()):
                assert devices.setdefault(device, partition) == partition
            found += batch.num_rows
        assert found == report.delivered_by_stream[stream] + (stream == "weather")
        assert found > len(messages)
    # The partitions are those of any other client of Kafka.
    with cs.Publisher(broker.bootstrap_servers, topics=topics) as publisher:
        publisher.publish(city)
    for partition, key, value in consume(broker.bootstrap_servers, topics["gps"]):
        if value[:1] == b"{":
            assert key.decode() in {d for d, p in _devices(broker, topics["gps"]).items() if p == partition}
            break

    lake = cs.Lake(tmp_path / "lake")
    taken = lake.ingest(broker.bootstrap_servers, topics=topics)
    assert (taken.records, taken.undecodable) == (2 * report.delivered + 1, 0)
    rows = lake.query("select kafka_partition, kafka_offset, count(*), min(row_in_record), max(row_in_record) "
                      "from bronze.gps group by all").fetchall()  # fmt: skip
    assert all((low, high) == (0, count - 1) for _, _, count, low, high in rows)
    assert any(count > 1 for _, _, count, _, _ in rows)
    assert lake.check() == []
    refined = lake.refine()
    # JSON's copies of the same events are duplicates.
    assert refined.duplicate == report.delivered + 1
    assert lake.check() == []


def _devices(broker, topic):
    found = {}
    for partition, _, value in consume(broker.bootstrap_servers, topic):
        if value[:4] == b"\xff" * 4:
            for device in pa.ipc.open_stream(value).read_all()["deviceId"].to_pylist():
                found[device] = partition
    return found


def test_arrow_with_another_schema_is_a_row_with_its_reason(broker, topics, city, tmp_path):
    with cs.Publisher(broker.bootstrap_servers, format="arrow", topics=topics, create_topics=1) as publisher:
        sent = publisher.publish(city).delivered
    sink = io.BytesIO()
    frame = pl.DataFrame(city.events("gps")).head(3)
    with pa.ipc.new_stream(sink, frame.to_arrow().schema) as writer:
        writer.write_table(frame.to_arrow())
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    producer.produce(topics["gps"], key=b"k", value=sink.getvalue())
    producer.produce(topics["gps"], key=b"k", value=sink.getvalue()[:-700])
    producer.flush()
    lake = cs.Lake(tmp_path / "lake")
    report = lake.ingest(broker.bootstrap_servers, topics=topics)
    assert (report.records, report.undecodable) == (sent + 2, 2)
    rows = lake.query("select error_stage, error_reason, error_detail, value from bronze.gps where not decoded")
    stages = {(stage, reason) for stage, reason, _, _ in rows.fetchall()}
    assert {stage for stage, _ in stages} == {"arrow"}
    assert "schema_mismatch" in {reason for _, reason in stages}
    assert lake.check() == []


def test_a_paced_run_sends_the_same_in_every_format(broker, topics, registry):
    city = cs.City(vehicles=300, start="2026-06-01T07:00:00Z", duration="2min")
    expected = {stream: sum(1 for _ in city.rows(stream)) for stream in STREAMS}
    assert expected["gps"] > 50
    for form in ("json", "avro", "arrow"):
        named = {stream: f"{topic}_{form}" for stream, topic in topics.items()}
        registered = {"schema_registry": registry.url} if form == "avro" else {}
        with cs.Publisher(
            broker.bootstrap_servers, format=form, topics=named, create_topics=2, **registered
        ) as publisher:
            report = publisher.publish(city, speed=120)
        delivered = {stream: count for stream, count in report.delivered_by_stream.items() if count}
        assert delivered == {stream: count for stream, count in expected.items() if count}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"format": "xml"}, "json, avro and arrow"),
        ({"format": "avro"}, "schema_registry"),
        ({"schema_registry": "http://localhost:1"}, "format json"),
        ({"format": "avro", "schema_registry": "localhost:1"}, "http"),
        ({"format": "avro", "schema_registry": "http://me:hunter2@localhost:1"}, "user"),
        ({"format": "avro", "schema_registry": "http://localhost:1", "rename": {"make": "the make"}}, "the make"),
    ],
)
def test_a_wrong_format_is_refused_without_a_broker(asked, said):
    with pytest.raises(cs.ConfigError, match=said) as caught:
        cs.Publisher("localhost:1", **asked)
    assert "hunter2" not in str(caught.value)


def test_faults_that_a_format_can_not_show_are_refused(broker, topics, registry):
    for form, faults, said in (
        ("avro", cs.Faults(wrong_type=0.1), "wrong_type"),
        ("avro", cs.Faults(corrupt=0.1), "corrupt"),
        ("arrow", cs.Faults(tombstone=0.1), "tombstone"),
    ):
        registered = {"schema_registry": registry.url} if form == "avro" else {}
        publisher = cs.Publisher(broker.bootstrap_servers, format=form, topics=topics, create_topics=1, **registered)
        with pytest.raises(cs.ConfigError, match=said):
            publisher.publish(small(faults=faults))
        assert publisher.close().delivered == 0


def test_formats_by_the_command_line(broker, topics, registry, citystream):
    shared = [flag for stream, topic in topics.items() for flag in ("--topic", f"{stream}={topic}")]
    shared += ["--bootstrap-servers", broker.bootstrap_servers, "--schema-registry", registry.url, "--json"]
    registry.login = ("me", "hunter2")
    login = {"CITYSTREAM_SCHEMA_REGISTRY_USER": "me", "CITYSTREAM_SCHEMA_REGISTRY_PASSWORD": "hunter2"}
    city = ["--vehicles", "50", "--duration", "10min", "--create-topics", "1"]
    sent = citystream("simulate", "--to", "kafka", *city, *shared, "--format", "avro", "--names", "snake", **login)
    assert sent.status == 0, sent.err
    assert all("device_id" in schema or '"id"' in schema for schema in registry.schemas.values())
    taken = citystream("ingest", "lake", *shared, "--names", "snake", **login)
    assert taken.status == 0, taken.err
    assert taken.json["records"] == sent.json["delivered"] > 0
    assert taken.json["undecodable"] == 0
    wrong = {**login, "CITYSTREAM_SCHEMA_REGISTRY_PASSWORD": "hunter3"}
    refused = citystream("ingest", "other", *shared, **wrong)
    assert refused.status == 1
    assert "401" in refused.err + refused.out
    assert "hunter" not in refused.err + refused.out
    shown = citystream("config", **login)
    assert "schema_registry_password" in shown.out
    assert "hunter2" not in shown.out

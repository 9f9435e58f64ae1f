"""What stands on the wire, as other people's readers see it: names and formats."""

from __future__ import annotations

import json
import re

import pytest
from test_kafka import STREAMS, consume

import citystream as cs
from citystream.names import rename_pairs

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

"""The Spark face on versions of PySpark that the other tests do not run on; on all by `make spark-matrix`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import citystream as cs
import services
from citystream import _core
from parity import assert_same
from services.pysparks import pyspark

PROGRAM = Path(__file__).with_name("program.py")
OLDEST, FIRST, OURS, NEWEST = "3.5.7", "4.0.0", "4.1.1", "4.3.0"
LONG = "SPARK_LONG" in os.environ
# Their columns are nobody's but Spark's: when it was taken in.
APART = {"ingested_at", "ingest_date"}
pytestmark = pytest.mark.timeout(900)


def small(**more):
    return cs.City(vehicles=100, start="2026-06-01T07:00Z", duration="2h", seed=11, **more)


def run(version, what, work):
    folders = [str(pyspark(version)), str(PROGRAM.parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, PROGRAM, what, work], check=False, env=env, capture_output=True, text=True, timeout=840
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("pyspark") == version
    return found


def types(schema):
    return [f"{field.name} {field.type}" for field in pa.schema(schema)]


def read(folder, columns, by):
    return pl.read_parquet(folder / "*.parquet").select(columns).sort(by)


@pytest.mark.parametrize("version", [FIRST, OURS, NEWEST] if LONG else [NEWEST])
def test_the_source_gives_the_city_s_events(version, tmp_path):
    city = small()
    city.trace(tmp_path / "trace", progress=False)
    found = run(version, "source", tmp_path)
    expected = pl.DataFrame(city.events("gps")).sort("id", "sentAt")
    for name in ("batch", "streamed"):
        assert read(tmp_path / name, expected.columns, ["id", "sentAt"]).equals(expected), name
    assert found["schema"] == types(_core.wire_schema("gps"))
    # Four stretches of half an hour, one at a time where a micro-batch can be limited.
    assert found["batches"] == (4 if version >= "4.2" else 1)


@pytest.mark.parametrize("version", [OLDEST, FIRST, OURS, NEWEST] if LONG else [OLDEST, FIRST])
def test_records_become_bronze_and_silver(version, tmp_path):
    city = small(faults=cs.Faults(duplicate=0.05))
    events = pl.DataFrame(city.events("gps"))
    values = [json.dumps(row).encode() for row in city.rows("gps")]
    values.insert(3, b"{")
    offsets = pl.Series(range(len(values)), dtype=pl.Int64)
    pl.DataFrame(
        {
            "key": [b"k"] * len(values),
            "value": values,
            "topic": ["t"] * len(values),
            "partition": pl.Series([0] * len(values), dtype=pl.Int32),
            "offset": offsets,
        }
    ).write_parquet(tmp_path / "records.parquet")
    found = run(version, "rows", tmp_path)
    assert found["queries"] == 13
    assert found["schema"] == types(_core.Decoder("gps").schema)

    bronze = pl.read_parquet(tmp_path / "bronze" / "*.parquet")
    assert bronze["kafka_offset"].sort().equals(offsets.alias("kafka_offset"))
    assert bronze.filter(~pl.col("decoded"))["kafka_offset"].to_list() == [3]
    decoded = bronze.filter("decoded").sort("kafka_offset")
    by = ["id", "sentAt"]
    assert decoded.select(events.columns).sort(by).equals(events.sort(by))

    sound = pl.DataFrame(cs.silver(decoded, stream="gps").silver)
    columns = [name for name in sound.columns if name not in APART]
    expected = sound.sort("kafka_offset").unique(["event_date", "id"], keep="first", maintain_order=True)
    assert 0 < expected.height < sound.height
    assert read(tmp_path / "silver", columns, "kafka_offset").equals(expected.select(columns))
    copies = pl.read_parquet(tmp_path / "duplicate" / "*.parquet")
    assert copies.height == sound.height - expected.height


@pytest.mark.skipif(
    not LONG, reason="on PySpark 4.1.1 test_spark_city.py does it; the others are for make spark-matrix"
)
@pytest.mark.parametrize(("version", "source"), [(OLDEST, "spark-kafka"), (FIRST, "citystream")])
def test_spark_city_makes_the_lake_s_tables(version, source, tmp_path):
    city = small(faults=cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, drop=0.02, corrupt=0.02))
    lake, folder = cs.Lake(tmp_path / "lake"), tmp_path / "spark"
    with services.kafka() as broker:
        with cs.Publisher(broker.bootstrap_servers, create_topics=2) as publisher:
            assert publisher.publish(city).failed == 0
        lake.ingest(broker.bootstrap_servers)
        flags = ["--lake", str(folder), "--bootstrap-servers", broker.bootstrap_servers, "--source", source]
        (tmp_path / "flags").write_text(json.dumps(flags))
        run(version, "job", tmp_path)
    lake.refine()

    def table(name):
        return pl.DataFrame(DeltaTable(folder / name.replace(".", "/")).to_pyarrow_table())

    assert_same(lake, table, ("bronze", "silver", "gold"))
    for silver, gold in ((lake, lake), (folder / "silver", folder / "gold")):
        report = cs.grade(silver, gold, against=city)
        assert (report.score, report.ok, len(report.silver)) == (100, True, 5), report
        assert len(report.gold) == len(_core.graded_tables())

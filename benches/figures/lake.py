"""Kafka → bronze on disk and on S3 beside Spark Structured Streaming, and bronze → silver beside DuckDB."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from benches.child import RunError
from benches.figure import Figure
from benches.figures.ingest import taken
from benches.figures.kafka import publish, warm_up
from benches.machine import ROOT
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benches.bench import Bench

SPARK, DUCKDB = "spark_ingest.py", "duckdb_silver.py"


def measure(bench: Bench) -> list[Table]:
    """A table of each step."""
    broker = bench.broker()
    warm_up(bench)
    topic = broker.topic()
    _, published = publish(bench, bench.sizes.to_kafka, "lz4", topic)
    events, size = published["delivered"], published["bytes"]
    kept = bench.fresh("kept")
    local = Contender("citystream ingest, disk", _ingest(bench, topic, events, size, kept))
    s3 = Contender("citystream ingest, S3", _ingest_to_s3(bench, topic, events, size))
    spark = Contender("Spark Structured Streaming, local[2]", _spark(bench, topic, events, size))
    bronze = bench.alternate([local, s3, spark])
    broker.delete(topic)
    ours = Contender("citystream, silver", _silver(bench, kept, events))
    duckdb = Contender("DuckDB", _duckdb(bench, kept, events))
    silver = bench.alternate([ours, duckdb])
    shutil.rmtree(kept)
    title = f"gps of {bench.sizes.to_kafka.label}"
    pairs = [(s3.name, local.name), (local.name, spark.name), (s3.name, spark.name)]
    return [
        Table(f"Kafka → bronze: {title}", bronze, pairs),
        Table(f"bronze → silver: {title}", silver, [(ours.name, duckdb.name)], unit="rows"),
    ]


def _ingest(bench: Bench, topic: str, events: int, size: int, kept: Path) -> Callable[[], Sample]:
    def work() -> Sample:
        # The last round's lake is what silver is made of.
        shutil.rmtree(kept, ignore_errors=True)
        return taken(bench, topic, events, size, str(kept))

    return work


def _ingest_to_s3(bench: Bench, topic: str, events: int, size: int) -> Callable[[], Sample]:
    runs = iter(range(1_000))

    def work() -> Sample:
        server = bench.s3()
        options = (f"--storage-option={key}={value}" for key, value in server.storage_options.items())
        return taken(bench, topic, events, size, f"s3://{server.bucket}/bench-{next(runs)}", *options)

    return work


def _spark(bench: Bench, topic: str, events: int, size: int) -> Callable[[], Sample]:
    def work() -> Sample:
        out = bench.fresh("spark")
        paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "tests"))
        ran = bench.peer(SPARK, bench.broker().servers, topic, str(out), env={"PYTHONPATH": paths})
        shutil.rmtree(out)
        found = json.loads(ran.stdout.splitlines()[-1])
        if found["rows"] != events:
            raise RunError(f"Spark took in {found['rows']:,} rows of {events:,} events")
        # The memory told is that of the Python process, not of the JVM.
        return Sample(events, found["cpu"], ran.wall, None, size, found["seconds"])

    return work


def _silver(bench: Bench, kept: Path, events: int) -> Callable[[], Sample]:
    def work() -> Sample:
        copy = bench.fresh("copy")
        # Parquet files never change; the log's are new ones.
        shutil.copytree(kept, copy, copy_function=os.link)
        ran, found = bench.python("silver.py", str(copy))
        shutil.rmtree(copy)
        if found["rows"] != events:
            raise RunError(f"silver has {found['rows']:,} rows of {events:,} events")
        return Sample(events, found["cpu"], ran.wall, ran.rss, seconds=found["seconds"])

    return work


def _duckdb(bench: Bench, kept: Path, events: int) -> Callable[[], Sample]:
    def work() -> Sample:
        out = bench.fresh("duckdb")
        ran = bench.peer(DUCKDB, str(kept / "bronze" / "gps"), str(out))
        shutil.rmtree(out)
        found = json.loads(ran.stdout)
        if found["rows"] != events:
            raise RunError(f"DuckDB made {found['rows']:,} rows of {events:,} events")
        return Sample(events, found["cpu"], ran.wall, ran.rss, seconds=found["seconds"])

    return work


FIGURE = Figure(
    "lake",
    "Kafka → bronze → silver",
    "The same topic of JSON into a new lake on disk, into one on S3 (SeaweedFS on this machine, whose own CPU-seconds "
    "are not counted), and by Spark Structured Streaming (`from_json`, local[2], availableNow) into a Delta table on "
    "disk. Spark takes the topic in twice and its second, warm run counts, by the JVM's CPU-seconds: rates are by each "
    "side's own account. *Bronze → silver* is the "
    "step of `citystream refine` before gold: rules, exact uniqueness, H3 cells, sorted by device and time, side "
    "tables, commit. DuckDB does the part of it that SQL says in one statement, without setting rows aside.",
    measure,
    peers=(SPARK, DUCKDB),
)

"""Our ways into Spark beside Spark's own, and beside what its transport lets through at most."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from typing import TYPE_CHECKING, Any

from benches.broker import PARTITIONS
from benches.child import RunError
from benches.figure import Figure
from benches.figures.kafka import publish, warm_up
from benches.machine import ROOT
from benches.outcome import Outcome, Sample
from benches.table import Table

if TYPE_CHECKING:
    from benches.bench import Bench

SCRIPT, JOB = "spark_rates.py", "spark_job.py"
MASTERS = {"local[1]": "local[1]", "local[2]": "local[2]", "standalone": "two workers of a standalone cluster"}
TITLES = {
    "generate": "a saved trace → noop",
    "kafka": "Kafka → Delta, availableNow",
    "decode": "Kafka's bytes in Parquet → noop",
}


def measure(bench: Bench) -> list[Table]:
    """A table of each way in under each master, and one of the whole job."""
    return [*_ways_in(bench), *_jobs(bench)]


def _ways_in(bench: Bench) -> list[Table]:
    size, broker = bench.sizes.to_spark, bench.broker()
    warm_up(bench)
    topic, trace = broker.topic(), bench.fresh("trace")
    publish(bench, size, "lz4", topic)
    bench.citystream("simulate", "--to", "trace", "--out", str(trace), *size.flags())
    tables = []
    for master, where in MASTERS.items():
        bench.tell(f"Spark, {where}")
        scratch = bench.fresh("spark")
        scratch.mkdir()
        job = {"master": master, "rounds": bench.sizes.rounds, "trace": str(trace), "servers": broker.servers}
        ran = bench.peer(SCRIPT, json.dumps({**job, "topic": topic, "scratch": str(scratch)}), env=_environment(bench))
        shutil.rmtree(scratch)
        for table, found in json.loads(ran.stdout.splitlines()[-1]).items():
            ours, *peers = outcomes = [_outcome(name, samples) for name, samples in found.items()]
            pairs = [(ours.name, peer.name) for peer in peers]
            tables.append(Table(f"{TITLES[table]}: {where}", outcomes, pairs, unit="rows"))
    broker.delete(topic)
    shutil.rmtree(trace)
    return tables


def _jobs(bench: Bench) -> list[Table]:
    """spark-city.py over all streams, beside the one process that does the same."""
    size, broker = bench.sizes.to_spark_city, bench.broker()
    _, published = bench.citystream(
        *("simulate", "--to", "kafka", "--bootstrap-servers", broker.servers, "--create-topics", str(PARTITIONS)),
        *size.flags(),
    )
    if published["failed"]:
        raise RunError(f"{published['failed']:,} events failed: {published['errors']}")
    # A run takes minutes, whatever its size.
    job = {"rounds": 1, "servers": broker.servers, "events": published["delivered"]}
    tables = []
    for master, where in MASTERS.items():
        bench.tell(f"spark-city.py, {where}")
        scratch = bench.fresh("spark")
        whole = {**job, "master": master, "scratch": str(scratch), "ours": str(bench.ours / "citystream")}
        ran = bench.peer(JOB, json.dumps(whole), env=_environment(bench))
        shutil.rmtree(scratch)
        found = json.loads(ran.stdout.splitlines()[-1])
        spark, ours = outcomes = [_outcome(name, samples) for name, samples in found["samples"].items()]
        steps = {step: statistics.median(each[step] for each in found["steps"]) for step in found["steps"][0]}
        note = f"Of spark-city.py, by its own account: {', '.join(f'{s} {took:.1f} s' for s, took in steps.items())}."
        title = f"Kafka → bronze, silver and gold, all streams of {size.label}: {where}"
        tables.append(Table(title, outcomes, [(ours.name, spark.name)], [note]))
    return tables


def _environment(bench: Bench) -> dict[str, str]:
    """The measured wheel goes before the test environment's, whose PySpark it is."""
    packages = next((bench.ours.parent / "lib").glob("python*/site-packages"))
    return {"PYTHONPATH": os.pathsep.join(str(folder) for folder in (packages, ROOT, ROOT / "tests"))}


def _outcome(name: str, samples: list[dict[str, Any]]) -> Outcome:
    return Outcome(name, [Sample(each["rows"], each["cpu"], each["seconds"]) for each in samples])


FIGURE = Figure(
    "spark",
    "Spark",
    "Three ways into Spark, each in a session of its own kind and warm, contenders in turn. *A saved trace*: "
    '`format("citystream")`, beside a Python data source that repeats one prebuilt Arrow batch of the same columns, '
    "which is as quick as any source in Python can be, and beside Spark's own scan of the same rows in Parquet. "
    "*Kafka → Delta*: JSON by `format(\"citystream\")` with bronze's columns, by Spark's Kafka source and `from_json`, "
    "and a prebuilt batch of bronze's columns, each into a new table. *Kafka's bytes*: `citystream.spark.decode`, a "
    "map over Arrow batches that gives them back as they came, and `from_json`, over the same Parquet files. "
    "*Bronze, silver and gold*: `spark-city.py --source citystream` into new Delta tables, beside "
    "`citystream ingest --refine`, a new process each time, start-up included; one run after a warm one. "
    "CPU-seconds are those of the JVMs and the Python workers. The cluster's workers are processes of this machine.",
    measure,
    peers=(SCRIPT, JOB),
)

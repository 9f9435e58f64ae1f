"""Kafka → bronze beside kafka-consumer-perf-test."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benches.child import RunError
from benches.figure import Figure
from benches.figures.kafka import COMPRESSIONS, publish, warm_up
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.bench import Bench

SCRIPT = "kafka_consumer_perf.sh"


def measure(bench: Bench) -> list[Table]:
    """A table for each compression."""
    broker = bench.broker()
    warm_up(bench)
    tables = []
    for compression in COMPRESSIONS:
        topic = broker.topic()
        _, published = publish(bench, bench.sizes.to_kafka, compression, topic)
        events, size = published["delivered"], published["bytes"]
        lake: list[int] = []
        ours = Contender("citystream ingest", _ours(bench, topic, events, size, lake))
        peer = Contender("kafka-consumer-perf-test, consume only", _perf(bench, topic, events, size))
        outcomes = bench.alternate([ours, peer])
        broker.delete(topic)
        notes = [f"Bronze has {lake[-1] / events:.1f} bytes an event on disk."] if lake else []
        tables.append(Table(f"topic compressed by {compression}", outcomes, [(ours.name, peer.name)], notes))
    return tables


def consumer_report(printed: str) -> tuple[int, float]:
    """Records, and the seconds spent fetching them, by kafka-consumer-perf-test.

    Raises:
        RunError: It printed no such line.
    """
    head, *lines = [[cell.strip() for cell in line.split(",")] for line in printed.splitlines() if "," in line] or [[]]
    found = dict(zip(head, lines[-1], strict=False)) if lines else {}
    if not {"data.consumed.in.nMsg", "fetch.time.ms"} <= found.keys():
        raise RunError(f"kafka-consumer-perf-test printed no result: {printed[-300:]}")
    return int(found["data.consumed.in.nMsg"]), int(found["fetch.time.ms"]) / 1000


def _ours(bench: Bench, topic: str, events: int, size: int, lake: list[int]) -> Callable[[], Sample]:
    def work() -> Sample:
        folder = bench.fresh("lake")
        servers = bench.broker().servers
        # Of the five streams' topics only this one is there, as it is for the peer.
        absent = (
            f"--topic={stream}={topic}-no-{stream}"
            for stream in ("vehicle", "traffic", "weather", "emergency", "reference")
        )
        ran, found = bench.citystream(
            *("ingest", str(folder), "--bootstrap-servers", servers, f"--topic=gps={topic}", *absent)
        )
        lake.append(sum(file.stat().st_size for file in (folder / "bronze" / "gps").rglob("*.parquet")))
        shutil.rmtree(folder)
        if found["by_stream"].get("gps") != events or found["undecodable"]:
            taken, undecodable = found["by_stream"], found["undecodable"]
            raise RunError(f"citystream ingest took in {taken}, {undecodable:,} undecodable, of {events:,} events")
        return Sample.of(ran, events, size, found["seconds"])

    return work


def _perf(bench: Bench, topic: str, events: int, size: int) -> Callable[[], Sample]:
    def work() -> Sample:
        ran = bench.peer(SCRIPT, bench.broker().servers, topic, str(events), env=bench.broker().env)
        records, seconds = consumer_report(ran.stdout)
        if records != events:
            raise RunError(f"kafka-consumer-perf-test read {records:,} records, not {events:,}")
        return Sample.of(ran, records, size, seconds)

    return work


FIGURE = Figure(
    "ingest",
    "Kafka → bronze",
    "`citystream ingest` into a new lake, from the first record to the last: consume, decode the JSON, write "
    "Parquet with every record and its offsets, commit. `kafka-consumer-perf-test` reads the same topic and "
    "throws each record away, so its figures are a ceiling, not the same work. Events per second are by each "
    "program's own account; MB are those of the messages as they were sent.",
    measure,
    peers=(SCRIPT,),
)

"""Kafka → bytes, Arrow and bronze beside kafka-consumer-perf-test."""

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
        ours = [
            Contender("citystream, consume only", _consume(bench, topic, events, size, "bytes")),
            Contender("citystream, consume and decode to Arrow", _consume(bench, topic, events, size, "decode")),
            Contender("citystream ingest", _ours(bench, topic, events, size, lake)),
        ]
        peer = Contender("kafka-consumer-perf-test, consume only", _perf(bench, topic, events, size))
        outcomes = bench.alternate([*ours, peer])
        broker.delete(topic)
        notes = [f"Bronze has {lake[-1] / events:.1f} bytes an event on disk."] if lake else []
        tables.append(
            Table(f"topic compressed by {compression}", outcomes, [(each.name, peer.name) for each in ours], notes)
        )
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


def taken(bench: Bench, topic: str, events: int, size: int, lake: str, *flags: str) -> Sample:
    """Takes a topic of gps into a lake by `citystream ingest`.

    Raises:
        RunError: Not every event came in, or one could not be decoded.
    """
    # Of the five streams' topics only this one is there, as it is for the peers.
    others = ("vehicle", "traffic", "weather", "emergency", "reference")
    absent = (f"--topic={stream}={topic}-no-{stream}" for stream in others)
    servers = bench.broker().servers
    ran, found = bench.citystream(
        *("ingest", lake, "--bootstrap-servers", servers, f"--topic=gps={topic}", *absent, *flags)
    )
    if found["by_stream"].get("gps") != events or found["undecodable"]:
        came, undecodable = found["by_stream"], found["undecodable"]
        raise RunError(f"citystream ingest took in {came}, {undecodable:,} undecodable, of {events:,} events")
    return Sample.of(ran, events, size, found["seconds"])


def _ours(bench: Bench, topic: str, events: int, size: int, lake: list[int]) -> Callable[[], Sample]:
    def work() -> Sample:
        folder = bench.fresh("lake")
        sample = taken(bench, topic, events, size, str(folder))
        lake.append(sum(file.stat().st_size for file in (folder / "bronze" / "gps").rglob("*.parquet")))
        shutil.rmtree(folder)
        return sample

    return work


def _consume(bench: Bench, topic: str, events: int, size: int, mode: str) -> Callable[[], Sample]:
    def work() -> Sample:
        ran, found = bench.program("consume", bench.broker().servers, topic, "gps", mode)
        if found["records"] != events:
            raise RunError(f"benches/consume.rs read {found['records']:,} records, not {events:,}")
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
    "Kafka → bytes, Arrow, bronze",
    "A topic from its first record to its last. `benches/consume.rs` uses the crate's own consumer as `citystream "
    "ingest` does, and throws the records away: as bytes with keys, offsets and timestamps in Arrow columns, or "
    "decoded from JSON to the columns of gps; one thread besides librdkafka's own. `citystream ingest` goes on from "
    "there into a new lake: it writes Parquet with every record and its offsets, and commits. `kafka-consumer-perf-"
    "test` reads the same topic and throws each record away: the same work as consuming bytes, and a ceiling for the "
    "rest. Events per second are by each program's own account, start-up left out; CPU-seconds are those of the whole"
    " program, the JVM's compiling included. MB are those of the messages as they were sent.",
    measure,
    peers=(SCRIPT,),
)

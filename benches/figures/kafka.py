"""City → Kafka beside kafka-producer-perf-test and the original's loop."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from benches.broker import Broker
from benches.child import RunError
from benches.figure import Figure
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benches.bench import Bench
    from benches.child import Ran
    from benches.city import CitySize

PERF, LOOP = "kafka_producer_perf.sh", "generate_data_loop.py"
COMPRESSIONS = ("lz4", "none")
PAYLOADS = 10_000
# librdkafka's batch.size and the publisher's own linger and queue, under the Java client's names.
OUR_BATCHING = ("batch.size=1000000", "linger.ms=20", "buffer.memory=67108864")
MEMORY_TARGET = "At most 256 MiB at any length of run is the target."


def measure(bench: Bench) -> list[Table]:
    """A table for each compression, and one of runs of different lengths."""
    city = bench.sizes.to_kafka
    bench.broker()
    payload = _payload(bench)
    warm_up(bench)
    # The same number of messages for both sides.
    _, published = on_new_topic(bench, partial(publish, bench, city, "lz4"))
    events = published["delivered"]
    tables = []
    for compression in COMPRESSIONS:
        ours = Contender("citystream", _ours(bench, city, compression))
        arrow = Contender("citystream, Arrow IPC", _ours(bench, city, compression, "--format", "arrow"))
        perf = Contender("kafka-producer-perf-test", _perf(bench, payload, events, compression))
        tuned = Contender(
            "kafka-producer-perf-test, our batching", _perf(bench, payload, events, compression, *OUR_BATCHING)
        )
        loop = Contender("generate_data.py's loop, no flush", _loop(bench, bench.sizes.loop, compression))
        flushed = Contender(
            "generate_data.py's loop", _loop(bench, bench.sizes.loop_flushed, compression, "--flush-each")
        )
        peers = [perf, tuned, loop, flushed]
        outcomes = bench.alternate([ours, arrow, *peers])
        title = f"compression {compression}: gps of {city.label}"
        pairs = [(ours.name, peer.name) for peer in peers]
        tables.append(Table(title, outcomes, [(arrow.name, ours.name), *pairs]))
    payload.unlink()
    runs = [replace(city, duration=duration) for duration in bench.sizes.kafka_lengths]
    outcomes = bench.alternate([Contender(f"citystream, {run.duration}", _ours(bench, run, "lz4")) for run in runs])
    tables.append(Table(f"how memory grows: lz4, gps of {city.vehicles:,} vehicles", outcomes, notes=[MEMORY_TARGET]))
    return tables


def publish(bench: Bench, city: CitySize, compression: str, topic: str, *flags: str) -> tuple[Ran, Any]:
    """Sends a city's gps events to `topic`, and its reference records to one beside it, by `citystream simulate`.

    Raises:
        RunError: Not every event was delivered.
    """
    ran, found = bench.citystream(
        *("simulate", "--to", "kafka", "--bootstrap-servers", bench.broker().servers, "--compression", compression),
        *("--topic", f"gps={topic}", "--topic", f"reference={Broker.reference(topic)}", *city.flags(), *flags),
    )
    if found["failed"] or not found["delivered"]:
        raise RunError(f"{found['delivered']:,} events delivered, {found['failed']:,} failed: {found['errors']}")
    return ran, found


def warm_up(bench: Bench) -> None:
    """Runs that don't count: the broker's first messages are its slowest."""
    bench.tell("warming the broker up")
    for compression in COMPRESSIONS:
        on_new_topic(bench, partial(publish, bench, bench.sizes.warm_up, compression))


def on_new_topic(bench: Bench, work: Callable[[str], Any]) -> Any:
    """Does `work` on a topic of its own, which is deleted afterwards."""
    topic = bench.broker().topic()
    try:
        return work(topic)
    finally:
        bench.broker().delete(topic)


def perf_report(printed: str) -> tuple[int, float, float]:
    """Records, seconds and bytes by the last line of kafka-producer-perf-test.

    Raises:
        RunError: It has no such line.
    """
    found = re.findall(r"^(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\)", printed, re.MULTILINE)
    if not found:
        raise RunError(f"kafka-producer-perf-test printed no result: {printed[-300:]}")
    records, rate, megabytes = found[-1]
    seconds = int(records) / float(rate)
    return int(records), seconds, float(megabytes) * 2**20 * seconds


def _payload(bench: Bench) -> Path:
    """Messages of ours for the perf test, which sends random ones of them: same sizes, same compressibility."""
    folder = bench.fresh("payload")
    bench.citystream("simulate", "--to", "ndjson", "--out", str(folder), *bench.sizes.warm_up.flags())
    payload = bench.work / "payload.ndjson"
    with next(folder.glob("*.ndjson")).open() as lines:
        payload.write_text("".join(islice(lines, PAYLOADS)))
    shutil.rmtree(folder)
    return payload


def _ours(bench: Bench, city: CitySize, compression: str, *flags: str) -> Callable[[], Sample]:
    def work(topic: str) -> Sample:
        ran, found = publish(bench, city, compression, topic, *flags)
        return Sample.of(ran, found["delivered"], found["bytes"], found["seconds"])

    return lambda: on_new_topic(bench, work)


def _perf(bench: Bench, payload: Path, events: int, compression: str, *settings: str) -> Callable[[], Sample]:
    def work(topic: str) -> Sample:
        broker = bench.broker()
        ran = bench.peer(PERF, broker.servers, topic, str(events), str(payload), compression, *settings, env=broker.env)
        records, seconds, size = perf_report(ran.stdout)
        if records != events:
            raise RunError(f"kafka-producer-perf-test sent {records:,} records, not {events:,}: {ran.stderr[-300:]}")
        return Sample.of(ran, records, round(size), seconds)

    return lambda: on_new_topic(bench, work)


def _loop(bench: Bench, count: int, compression: str, *flags: str) -> Callable[[], Sample]:
    def work(topic: str) -> Sample:
        ran = bench.peer(LOOP, bench.broker().servers, topic, str(count), "--compression", compression, *flags)
        found = json.loads(ran.stdout)
        return Sample.of(ran, found["events"], found["bytes"], found["seconds"])

    return lambda: on_new_topic(bench, work)


FIGURE = Figure(
    "kafka",
    "City → Kafka",
    "A real Kafka on this machine, topics of 4 partitions, acks=all, the client and the broker sharing the cores. "
    "`citystream simulate --to kafka` generates, encodes, keys by deviceId and sends idempotently, without record "
    "headers; its reference records go first and are paid for, and in its bytes, but not counted. With Arrow IPC a "
    "message holds the events of one partition out of one window; events are counted. "
    "`kafka-producer-perf-test` sends as many ready messages to as many partitions, with the same acks and "
    f"compression, random ones of {PAYLOADS:,} of ours and so of the same size, without keys: once with its own "
    "batching (batch.size 16,384, linger.ms 5, buffer.memory 32 MiB, Kafka 4's defaults), once with what "
    f"citystream has ({', '.join(OUR_BATCHING)}). The loop is `generate_data.py`'s: uuid, dict, json.dumps, produce, "
    "with the flush after each message that the original has and without; it sends fewer messages, since it would take "
    "minutes. Events per second are by each program's own account, start-up left out; CPU-seconds are those of the "
    "whole client, start-up and the JVM's compiling included. Bytes are keys and values, before compression.",
    measure,
    peers=(PERF, LOOP),
)

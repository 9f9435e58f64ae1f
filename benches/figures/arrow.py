"""City → Arrow, in the process, nothing written, beside the nexmark crate's generator."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from benches.child import RunError
from benches.figure import Figure
from benches.outcome import Contender, Outcome, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.bench import Bench
    from benches.city import CitySize

PROGRAM, SCRIPT = "city_to_arrow.py", "nexmark.sh"
THREADS = (1, 2)
# So short that hardly an event is made.
START = "1s"
PEER = "nexmark, structs"


def measure(bench: Bench) -> list[Table]:
    """A table for each city and choice of streams."""
    tables = []
    for city in bench.sizes.to_arrow:
        for made, words in ((city.only("gps"), "gps alone"), (city, "all five streams")):
            size = _bytes_per_event(bench, made)
            start = replace(made, duration=START)
            whole = [Contender(_name(threads), _work(bench, made, threads, size)) for threads in THREADS]
            starts = [Contender(f"{_name(threads)}, start alone", _work(bench, start, threads)) for threads in THREADS]
            *ours, peer = bench.alternate([*whole, *starts, Contender(PEER, _nexmark(bench))])
            runs, begun = ours[: len(THREADS)], ours[len(THREADS) :]
            steady = [without(run, start) for run, start in zip(runs, begun, strict=True)]
            pairs = [(outcome.name, peer.name) for outcome in (runs[0], steady[0])]
            tables.append(Table(f"{words}: {city.label}", [*runs, *begun, *steady, peer], pairs))
    return tables


def without(run: Outcome, start: Outcome) -> Outcome:
    """What is left of a run when its start is taken off, round by round."""
    name = f"{run.name}, after its start"
    if failure := run.failure or start.failure:
        return Outcome(name, failure=failure)
    samples = [_difference(whole, begun) for whole, begun in zip(run.samples, start.samples, strict=True)]
    left = [sample for sample in samples if sample is not None]
    if len(left) < len(samples):
        return Outcome(name, failure="a start cost as much as a whole run: the city is too small to tell them apart")
    return Outcome(name, left)


def _difference(whole: Sample, start: Sample) -> Sample | None:
    events, cpu, wall = whole.events - start.events, whole.cpu - start.cpu, whole.wall - start.wall
    seconds = None if whole.seconds is None or start.seconds is None else whole.seconds - start.seconds
    if min(events, cpu, wall, wall if seconds is None else seconds) <= 0:
        return None
    size = whole.bytes_per_event
    return Sample(events, cpu, wall, bytes=None if size is None else round(size * events), seconds=seconds)


def _name(threads: int) -> str:
    return f"citystream, {threads} thread{'s' if threads > 1 else ''}"


def _work(bench: Bench, city: CitySize, threads: int, size: float | None = None) -> Callable[[], Sample]:
    def work() -> Sample:
        ran, found = bench.python(PROGRAM, *city.flags(threads))
        events = found["events"]
        return Sample.of(ran, events, None if size is None else round(events * size), found["seconds"])

    return work


def _nexmark(bench: Bench) -> Callable[[], Sample]:
    def work() -> Sample:
        wanted = bench.sizes.nexmark
        ran = bench.peer(SCRIPT, str(wanted))
        found = json.loads(ran.stdout)
        if found["events"] != wanted:
            raise RunError(f"nexmark made {found['events']:,} events, not {wanted:,}")
        return Sample.of(ran, wanted, None, found["seconds"])

    return work


def _bytes_per_event(bench: Bench, city: CitySize) -> float:
    # Not timed. Without a column of its own: an Arrow IPC file holds the very buffers that the batches hold in memory.
    folder = bench.fresh("arrow")
    weighed = replace(city, duration=city.weighed or city.duration)
    _, found = bench.citystream("simulate", "--to", "arrow", "--out", str(folder), *weighed.flags())
    shutil.rmtree(folder)
    size, events = float(found["bytes"]), float(found["events"])
    return size / max(events, 1)


FIGURE = Figure(
    "arrow",
    "City → Arrow",
    "`benches/ours/city_to_arrow.py` iterates over every record batch in Python and counts its rows; no batch is "
    "copied. Bytes are those of the same batches as Arrow IPC files, written in a run of its own that is not "
    "timed, for the largest city of its first minutes. A run pays for its start: Python, the network, the fleet, and "
    "the hour before, so that people are under way when it begins. *Start alone* is the same city for one simulated "
    "second; *after its start* is the one less the other, round by round: the rate that goes on however long the "
    "run. Of 800,000 vehicles some 100,000 are under way at that time. `nexmark` is the generator of that crate by "
    "itself, one thread: it makes structs, one at a time with texts of their own, and drops each at once. It makes no "
    "JSON and no columns, and simulates nothing: its persons, auctions and bids are drawn. So it does less for an "
    "event than citystream, and its events are not ours.",
    measure,
    peers=(SCRIPT,),
)

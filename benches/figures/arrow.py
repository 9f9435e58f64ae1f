"""City → Arrow, in the process, nothing written."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benches.figure import Figure
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from benches.bench import Bench
    from benches.city import CitySize

PROGRAM = "city_to_arrow.py"
THREADS = (1, 2)


def measure(bench: Bench) -> list[Table]:
    """A table for each city and choice of streams."""
    tables = []
    for city in bench.sizes.to_arrow:
        for made, words in ((city.only("gps"), "gps alone"), (city, "all five streams")):
            size = _bytes_per_event(bench, made)
            contenders = [Contender(_name(threads), _work(bench, made, threads, size)) for threads in THREADS]
            tables.append(Table(f"{words}: {city.label}", bench.alternate(contenders)))
    return tables


def _name(threads: int) -> str:
    return f"citystream, {threads} thread{'s' if threads > 1 else ''}"


def _work(bench: Bench, city: CitySize, threads: int, size: float) -> Callable[[], Sample]:
    def work() -> Sample:
        ran, found = bench.python(PROGRAM, *city.flags(threads))
        return Sample.of(ran, found["events"], round(found["events"] * size), found["seconds"])

    return work


def _bytes_per_event(bench: Bench, city: CitySize) -> float:
    # Not timed. Without a column of its own: an Arrow IPC file holds the very buffers that the batches hold in memory.
    folder = bench.fresh("arrow")
    _, found = bench.citystream("simulate", "--to", "arrow", "--out", str(folder), *city.flags())
    shutil.rmtree(folder)
    size, events = float(found["bytes"]), float(found["events"])
    return size / max(events, 1)


FIGURE = Figure(
    "arrow",
    "City → Arrow",
    "`benches/ours/city_to_arrow.py` iterates over every record batch in Python and counts its rows; no batch is "
    "copied. Bytes are those of the same batches as Arrow IPC files, written in a run of its own that is not "
    "timed.",
    measure,
    no_peer="No other package that installs here simulates a city into Arrow. UXsim and SUMO "
    "stand beside the movement.",
)

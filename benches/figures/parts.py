"""Observing a city in parts, with and without a saved trace."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from benches.figure import Figure
from benches.outcome import Contender, Outcome, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benches.bench import Bench

PROGRAM = "parts.py"
PARTS = (1, 4, 16)


def measure(bench: Bench) -> list[Table]:
    """A table without a saved trace and one with it."""
    city = bench.sizes.to_parts
    options = json.dumps({"vehicles": city.vehicles, "start": city.start, "duration": city.duration})
    folder = bench.fresh("trace")
    bench.citystream("simulate", "--to", "trace", "--out", str(folder), *city.flags())
    tables = []
    for words, trace in (("simulated for each part", "-"), ("with a saved trace", str(folder))):
        contenders = [Contender(_name(parts), _work(bench, parts, trace, options)) for parts in PARTS]
        outcomes = bench.alternate(contenders)
        tables.append(Table(f"{words}: {city.label}", outcomes, notes=[sums(outcomes)]))
    shutil.rmtree(folder)
    return tables


def sums(outcomes: Sequence[Outcome]) -> str:
    """A sentence: what all parts took together, over what the whole took in one."""
    whole, *others = [outcome.median("cpu") for outcome in outcomes]
    if whole is None or None in others:
        return "Not everything was measured."
    said = [f"{cpu / whole:.2f} × in {o.name}" for o, cpu in zip(outcomes[1:], others, strict=True) if cpu is not None]
    return f"CPU of all parts together, over one part's: {', '.join(said)}."


def _name(parts: int) -> str:
    return f"{parts} part{'s' if parts > 1 else ''}"


def _work(bench: Bench, parts: int, trace: str, options: str) -> Callable[[], Sample]:
    def work() -> Sample:
        ran, found = bench.python(PROGRAM, str(parts), trace, options)
        # By the program's own account: sixteen parts start Python once, not sixteen times.
        return Sample(found["events"], found["cpu"], ran.wall, ran.rss, seconds=found["wall"])

    return work


FIGURE = Figure(
    "parts",
    "Observing in parts",
    "`benches/ours/parts.py` observes one part after the other on one thread, all five streams, as so many processes "
    "would at the same time. CPU-seconds are those of the observing, Python's start left out.",
    measure,
    no_peer="Parts are compared with the whole.",
)

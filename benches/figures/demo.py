"""The day of `make demo`, through the whole road."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benches.figure import Figure
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from benches.bench import Bench


def measure(bench: Bench) -> list[Table]:
    """One table."""
    city = bench.sizes.demo
    steps: dict[str, list[float]] = {}

    def work() -> Sample:
        folder = bench.fresh("demo")
        ran, found = bench.citystream("demo", "--dir", str(folder), *city.flags())
        for step, seconds in found["seconds"].items():
            steps.setdefault(step, []).append(seconds)
        shutil.rmtree(folder)
        return Sample.of(ran, found["ingest"]["records"])

    outcomes = bench.alternate([Contender("citystream demo", work)])
    taken = ", ".join(f"{step} {sorted(seconds)[len(seconds) // 2]:.1f} s" for step, seconds in steps.items())
    return [Table(city.label, outcomes, notes=[f"Of which, by its own account: {taken}."] if taken else [])]


FIGURE = Figure(
    "demo",
    "The demo's day",
    "`citystream demo` without a broker: one city day through bronze, silver and gold, then its KPIs. The whole "
    "program.",
    measure,
    no_peer="Nothing else carries a simulated city through a lake. Spark and DuckDB stand beside single steps in the "
    "issues of the lake and of gold.",
)

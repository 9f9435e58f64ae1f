"""City → JSON lines in a file."""

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


def measure(bench: Bench) -> list[Table]:
    """A table for gps and one for all streams."""
    city = bench.sizes.to_json
    tables = []
    for made, words in ((city.only("gps"), "gps alone"), (city, "all five streams")):
        contenders = [
            Contender(f"citystream, {threads} thread{'s' if threads > 1 else ''}", _work(bench, made, threads))
            for threads in (1, 2)
        ]
        tables.append(Table(f"{words}: {city.label}", bench.alternate(contenders)))
    return tables


def _work(bench: Bench, city: CitySize, threads: int) -> Callable[[], Sample]:
    def work() -> Sample:
        folder = bench.fresh("ndjson")
        ran, found = bench.citystream("simulate", "--to", "ndjson", "--out", str(folder), *city.flags(threads))
        shutil.rmtree(folder)
        return Sample.of(ran, found["events"], found["bytes"])

    return work


FIGURE = Figure(
    "json",
    "City → JSON",
    "`citystream simulate --to ndjson` into a file that is deleted again: generating, encoding and writing together.",
    measure,
    no_peer="The peer of the encoder is arrow-json, on the same batches, in the next section.",
)

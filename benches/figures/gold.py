"""Silver → gold beside Spark SQL, and after 1 % new rows beside all of it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import statistics
from typing import TYPE_CHECKING

from benches.child import RunError
from benches.figure import Figure
from benches.machine import ROOT
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benches.bench import Bench

SCRIPT = "gold_spark.py"


def measure(bench: Bench) -> list[Table]:
    """A table against Spark, and one of the increments."""
    size = bench.sizes.to_gold
    lakes = bench.fresh("gold")
    options = {"vehicles": size.vehicles, "start": size.start, "duration": size.duration, "short": size.but_last}
    bench.tell("making a day of silver")
    _, made = bench.python("gold.py", "make", str(lakes), json.dumps(options))
    rows = made["rows"]
    found: list[int] = []
    apart: dict[str, list[float]] = {}
    whole = Contender("citystream, all of gold", _ours(bench, lakes / "whole", rows, apart, found))
    spark = Contender("Spark SQL, all of gold", _spark(bench, lakes / "whole", rows, found))
    against = bench.alternate([whole, spark])
    clustered = Contender(
        f"after {made['clustered']:,} new rows, the latest", _ours(bench, lakes / "clustered", rows, apart)
    )
    late = Contender(f"after {made['late']:,} late rows, all over the day", _ours(bench, lakes / "late", rows, apart))
    apart.clear()
    increments = bench.alternate([whole, clustered, late])
    shutil.rmtree(lakes)
    label = f"{rows:,} rows of silver: {size.vehicles:,} vehicles × {size.duration}"
    all_of_it, *parts = (
        (outcome.median("cpu"), statistics.median(apart[name]))
        for outcome, name in zip(increments, ("whole", "clustered", "late"), strict=True)
    )
    return [
        Table(label, against, [(whole.name, spark.name)], unit="rows"),
        Table(
            "incremental",
            increments,
            [(each.name, whole.name) for each in (clustered, late)],
            [cost(all_of_it, each.name, part) for each, part in zip((clustered, late), parts, strict=True)],
            unit="rows",
        ),
    ]


def cost(whole: tuple[float | None, float], name: str, part: tuple[float | None, float]) -> str:
    """What an increment costs of the whole, for people.

    Args:
        whole: CPU-seconds of all of gold, and those of them for the table whose windows are hours of ingestion.
        name: The increment's.
        part: The same two for the increment.
    """
    if whole[0] is None or part[0] is None:
        return f"{name}: not measured."
    return (
        f"{name}: {100 * part[0] / whole[0]:.1f} % of the CPU-seconds of all of gold; "
        f"{100 * (part[0] - part[1]) / (whole[0] - whole[1]):.1f} % without gold.data_quality_hourly, which is made of "
        "hours of ingestion: this day was taken in within one, and all of it is made again."
    )


def _ours(
    bench: Bench, lake: Path, rows: int, apart: dict[str, list[float]], found: list[int] | None = None
) -> Callable[[], Sample]:
    def work() -> Sample:
        copy = bench.fresh("lake")
        # Parquet files never change; the log's are new ones.
        shutil.copytree(lake, copy, copy_function=_link)
        ran, done = bench.python("gold.py", "refresh", str(copy))
        shutil.rmtree(copy)
        apart.setdefault(lake.name, []).append(done["by_ingestion"])
        if found is not None:
            _same(found, done["rows"])
        return Sample(rows, done["cpu"], ran.wall, ran.rss, seconds=done["seconds"])

    return work


def _spark(bench: Bench, lake: Path, rows: int, found: list[int]) -> Callable[[], Sample]:
    def work() -> Sample:
        out = bench.fresh("spark")
        out.mkdir()
        _, queries = bench.python("gold.py", "queries")
        (out / "queries.json").write_text(json.dumps(queries))
        # Wide enough for records taken in today, which gold.data_quality_hourly counts.
        days = ("2000-01-02", (dt.datetime.now(dt.timezone.utc).date() + dt.timedelta(days=2)).isoformat())
        path = {"PYTHONPATH": str(ROOT)}
        ran = bench.peer(SCRIPT, str(lake), str(out), str(out / "queries.json"), *days, env=path)
        shutil.rmtree(out)
        done = json.loads(ran.stdout.splitlines()[-1])
        _same(found, done["rows"])
        return Sample(rows, done["cpu"], ran.wall, None, seconds=done["seconds"])

    return work


def _same(found: list[int], rows: int) -> None:
    """Both sides make as many rows of gold in every round."""
    found.append(rows)
    if rows != found[0]:
        raise RunError(f"made {rows:,} rows of gold, where the first run made {found[0]:,}")


def _link(source: str, target: str) -> str:
    os.link(source, target)
    return target


FIGURE = Figure(
    "gold",
    "Silver → gold",
    "One day of silver, and every gold table of `python/citystream/sql/gold` made of it. Ours is the refresh of "
    "`citystream refine`: DuckDB under its default memory limit, Delta tables written and committed. Spark SQL (local, "
    "all cores, warmed up on an empty day) runs the same SQL, turned into its dialect by sqlglot, over the same "
    "Parquet files and writes Parquet. Rows per second are silver's, by each side's own account, start-up left out; "
    "both must make as many rows of gold. *Incremental* is the same refresh where gold has the day already and some "
    "rows are new: the last minutes of the day, or those of other vehicles all over it, which touches every window.",
    measure,
    peers=(SCRIPT,),
)

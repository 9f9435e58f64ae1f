"""City → Parquet beside tpchgen-cli."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from benches.child import RunError, run
from benches.figure import Figure
from benches.outcome import Contender, Sample
from benches.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benches.bench import Bench
    from benches.city import CitySize

SCRIPT = "tpchgen_lineitem.sh"
# Rows, and the compressions found: a figure that compares zstd with something else would say nothing.
COUNT = """
import duckdb, json, sys
rows = duckdb.execute("select sum(num_rows) from parquet_file_metadata(?)", [sys.argv[1]]).fetchone()[0]
found = duckdb.execute("select distinct compression from parquet_metadata(?)", [sys.argv[1]]).fetchall()
print(json.dumps({"rows": int(rows), "compressions": [name for name, in found]}))
"""


def measure(bench: Bench) -> list[Table]:
    """A table for one thread and one for two."""
    city = bench.sizes.to_parquet
    tables = []
    for threads in (1, 2):
        words = f"{threads} thread{'s' if threads > 1 else ''}"
        peer = Contender(f"tpchgen-cli lineitem, scale {bench.sizes.tpch_scale}", _tpch(bench, threads))
        gps = Contender("citystream, gps", _ours(bench, city.only("gps"), threads))
        every = Contender("citystream, all five streams", _ours(bench, city, threads))
        outcomes = bench.alternate([gps, peer, every])
        pairs = [(gps.name, peer.name), (every.name, peer.name)]
        tables.append(Table(f"{words}: {city.label}", outcomes, pairs, unit="rows"))
    return tables


def _ours(bench: Bench, city: CitySize, threads: int) -> Callable[[], Sample]:
    def work() -> Sample:
        folder = bench.fresh("parquet")
        ran, found = bench.citystream("simulate", "--to", "parquet", "--out", str(folder), *city.flags(threads))
        _written(bench, folder / "*" / "*.parquet", found["events"])
        shutil.rmtree(folder)
        return Sample.of(ran, found["events"], found["bytes"])

    return work


def _tpch(bench: Bench, threads: int) -> Callable[[], Sample]:
    def work() -> Sample:
        folder = bench.fresh("tpch")
        ran = bench.peer(SCRIPT, bench.sizes.tpch_scale, str(threads), str(folder))
        rows = _written(bench, folder / "*.parquet")
        size = sum(file.stat().st_size for file in folder.glob("*.parquet"))
        shutil.rmtree(folder)
        return Sample.of(ran, rows, size)

    return work


def _written(bench: Bench, files: Path, expected: int | None = None) -> int:
    found = json.loads(run([str(bench.ours / "python"), "-c", COUNT, str(files)]).stdout)
    if found["compressions"] != ["ZSTD"]:
        raise RunError(f"the files are compressed by {found['compressions']}, not by zstd alone")
    if expected not in (None, found["rows"]):
        raise RunError(f"the files hold {found['rows']:,} rows, not {expected:,}")
    return int(found["rows"])


FIGURE = Figure(
    "parquet",
    "City → Parquet",
    "`citystream simulate --to parquet` beside `tpchgen-cli` writing TPC-H's `lineitem`: both are Rust, both "
    "write Parquet with zstd level 1. The rows differ (gps has 11 columns, its id a text of 36 characters that "
    "never repeats; lineitem has 16, most of them numbers and short texts), so read the bytes beside the rows. "
    "DuckDB counts the rows of both afterwards.",
    measure,
    peers=(SCRIPT,),
)

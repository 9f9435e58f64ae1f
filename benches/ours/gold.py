"""Lakes with a day of silver, and what gold costs on them: gold.py make | refresh | queries.

    gold.py make FOLDER '{"vehicles": 2000, "start": "2026-06-01T00:00Z", "duration": "24h", "short": "23h 45min"}'
    gold.py refresh LAKE
    gold.py queries

`make` writes FOLDER/whole, whose silver is new to its gold; FOLDER/clustered, whose gold lacks the rows of the end of
the day; and FOLDER/late, whose gold lacks those of some vehicles, all over the day. It prints {"rows", "clustered",
"late"}: the rows of silver, and those that are new. `refresh` prints {"cpu", "seconds",
"by_ingestion", "rows", "peak"} of the refresh alone, "by_ingestion" being the CPU-seconds of the one table whose
windows are hours of ingestion. `queries` prints the gold tables in order: name, sources and SQL of each.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import citystream as cs
from citystream import refresh, sql


def make(folder: Path, options: dict[str, Any]) -> dict[str, int]:
    """The three lakes."""
    short = options.pop("short")
    base = cs.Lake(folder / "clustered")
    base.ingest(cs.City(**{**options, "duration": short}))
    base.refine()
    before = _rows(base)
    shutil.copytree(folder / "clustered", folder / "late")
    base.ingest(cs.City(**options))
    base.core.refine_silver(progress=None)
    rows = _rows(base)
    shutil.copytree(
        folder / "clustered", folder / "whole", ignore=lambda path, _: ["gold"] if path == base.path else []
    )
    # The vehicles of another, smaller city on the same day; its first part would bring reference rows, and those all of
    # gold.
    late = cs.Lake(folder / "late")
    late.ingest(
        cs.City(
            **{**options, "vehicles": max(2, options["vehicles"] // 50), "seed": 8}, streams=["vehicle", "gps"]
        ).part(1, 2)
    )
    late.core.refine_silver(progress=None)
    return {"rows": rows, "clustered": rows - before, "late": _rows(late) - before}


def refreshed(folder: Path) -> dict[str, float]:
    """Brings a lake's gold up to date."""
    lake = cs.Lake(folder, create=False)
    marks: list[float] = []
    cpu, began = time.process_time(), time.monotonic()
    done = refresh.refresh(
        lake.core, sql.load(), memory=refresh.MEMORY, progress=lambda *_: marks.append(time.process_time())
    )
    end = time.process_time()
    costs = {table.name: to - at for table, at, to in zip(done, marks, [*marks[1:], end], strict=True)}
    return {
        "cpu": end - cpu,
        "seconds": time.monotonic() - began,
        "by_ingestion": costs["gold.data_quality_hourly"],
        "rows": sum(table.rows for table in done if table.name.startswith("gold.")),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **{f"{table.name}: {table.windows}": table.seconds for table in done},
    }


def _rows(lake: cs.Lake) -> int:
    return sum(table.rows for table in lake.tables() if table.name in STREAMS)


STREAMS = [f"silver.{name}" for name in ("vehicle", "gps", "traffic", "weather", "emergency")]


def main() -> None:
    """Prints what the command gives."""
    command, *given = sys.argv[1:]
    if command == "make":
        print(json.dumps(make(Path(given[0]), json.loads(given[1]))))
    elif command == "refresh":
        print(json.dumps(refreshed(Path(given[0]))))
    else:
        queries = [query for query in sql.load() if query.name.startswith("gold.")]
        print(json.dumps([{"name": q.name, "sources": [s.table for s in q.sources], "sql": q.sql} for q in queries]))


if __name__ == "__main__":
    main()

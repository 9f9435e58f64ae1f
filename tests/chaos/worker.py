"""Fills a lake in small commits, in two passes: what the gate kills. Its argument is one JSON document."""

from __future__ import annotations

import json
import sys
from typing import Any

import citystream as cs

# What a supervisor would start it again for, without asking anybody.
PASSING = (cs.ConflictError, cs.StoreError)


def work(job: dict[str, Any]) -> None:
    """Takes in one set of topics after the other, refining and compacting after each; then keeps the lake fit."""
    lake = cs.Lake(job["lake"], storage_options=job["storage_options"])
    for topics in job["passes"]:
        lake.ingest(job["servers"], topics=topics, file_rows=job["file_rows"], on_gap=job["on_gap"])
        refine(lake)
        lake.compact()
    if job["upkeep"]:
        # All that a lake's keeper may do, without waiting; rebuilding brings back what retention has dropped.
        lake.vacuum(retention="0d", leftovers="0d")
        lake.retain(silver="1d", gold="1d", today=job["upkeep"])
        lake.refine(rebuild=True)
        lake.checkpoint(log_retention="0d")


def refine(lake: cs.Lake) -> None:
    """Refines, after a rebuilding that was killed by rebuilding, as the error says."""
    try:
        lake.refine()
    except cs.TableError as error:
        if "--rebuild" not in str(error):
            raise
        lake.refine(rebuild=True)


def main() -> None:
    """Tries as often as the job allows."""
    job = json.loads(sys.argv[1])
    for attempt in range(job["attempts"]):
        try:
            return work(job)
        except PASSING as error:
            print(f"attempt {attempt}: {error}", file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    main()

"""Fills a lake in small commits, in two passes: what the gate kills. Its argument is one JSON document."""

from __future__ import annotations

import json
import sys
from typing import Any

import citystream as cs

# What a supervisor would start it again for, without asking anybody.
PASSING = (cs.ConflictError, cs.StoreError)


def work(job: dict[str, Any]) -> None:
    """Takes in one set of topics after the other, refining and compacting after each."""
    lake = cs.Lake(job["lake"], storage_options=job["storage_options"])
    for topics in job["passes"]:
        lake.ingest(job["servers"], topics=topics, file_rows=job["file_rows"])
        lake.refine()
        lake.compact()


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

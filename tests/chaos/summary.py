"""tests/chaos/SUMMARY.md: how many kills each point has had in each store, and what became of the lake."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from benches.machine import commit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KILL = re.compile(r"\[(\w+)-(local|s3)-(\d+)\]$")


def summary(ended: Mapping[str, Sequence[str]]) -> str:
    """The page.

    Args:
        ended: Ids of tests by their outcome: passed, failed, error or skipped.
    """
    kills: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    others: Counter[tuple[str, str]] = Counter()
    for outcome, ids in ended.items():
        for test in ids:
            if found := KILL.search(test):
                kills[found[1]][found[2], outcome] += 1
            else:
                others[test.rpartition("::")[2].partition("[")[0], outcome] += 1
    total = sum(sum(of.values()) for of in kills.values())
    sound = sum(of[store, "passed"] for of in kills.values() for store in ("local", "s3"))
    today = dt.datetime.now(dt.timezone.utc).date()
    lines = ["# What `make chaos` found", ""]
    lines += [
        f"Commit {commit()}, {today}: {total} processes killed at {len(kills)} points.",
        f"After the next run {sound} of their lakes were sound.",
        "Sound: each record in bronze once, each id in silver once, gold what its queries give of all of silver, as",
        "the deltalake wheel reads it and DuckDB counts. At `gap_` points: each gap told once.",
    ]
    lines += ["", "| killed at | disk | S3 |", "| --- | --- | --- |"]
    for point, of in sorted(kills.items()):
        lines.append(f"| `{point}` | {_share(of, 'local')} | {_share(of, 's3')} |")
    lines += ["", "| other test | outcome | runs |", "| --- | --- | --- |"]
    lines += [f"| {test} | {outcome} | {count} |" for (test, outcome), count in sorted(others.items())]
    return "\n".join(lines) + "\n"


def _share(of: Counter[tuple[str, str]], store: str) -> str:
    runs = sum(count for (where, _), count in of.items() if where == store)
    return f"{of[store, 'passed']} of {runs}" if runs else "not run"

"""SIGKILL at every named point, on disk and on S3: afterwards each record is in the lake once."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest

from .records import gps_records

SEEDS = int(os.environ.get("CHAOS_SEEDS", "0"))
# How often a point is passed by the worker at least, so that a later passing can be chosen; 1 where it is not listed.
PASSINGS = {"bronze": 6, "silver": 3, "replace": 3, "compact": 2}
UPKEEP = ("checkpoint", "retain", "rebuild", "vacuum", "trim")
# The day after the next of the records' first, so that retention drops both.
TODAY = "2026-06-04"
# Points that only `make chaos` kills at; those of a rebuilding differ in the table that is next.
RARE = {
    "checkpoint_before", "silver_after_quarantine", "rebuild_after_dead_letter", "rebuild_after_quarantine",
    "rebuild_after_duplicate", "rebuild_after_silver", "vacuum_before_delete", "trim_before_delete",
    "trim_after_delete",
}  # fmt: skip

Case = tuple[str, str, int]


def points() -> list[str]:
    """The names in the source."""
    text = (Path(__file__).parents[2] / "src/lake/crash.rs").read_text(encoding="utf-8")
    found = re.findall(r'^    "(\w+)",$', text, re.MULTILINE)
    assert len(found) == 33, found
    return found


def fixed() -> list[Case]:
    """A kill at each point that is not rare, on disk and on S3 in turn; upkeep on disk, since it lists everything."""
    names = [name for name in points() if name not in RARE]
    assert len(names) == 24, names
    return [(name, "local" if kind(name) in UPKEEP else ("local", "s3")[n % 2], 0) for n, name in enumerate(names)]


def kind(point: str) -> str:
    """What the process is at."""
    return point.partition("_")[0]


def cases(*, of_gaps: bool) -> list[Case]:
    """Everything where `make chaos` asks, else the fixed ones."""
    matrix = [(point, store, seed) for point in points() for store in ("local", "s3") for seed in range(SEEDS)]
    return [case for case in (matrix or fixed()) if case[0].startswith("gap_") is of_gaps]


@pytest.mark.parametrize(("point", "store", "seed"), cases(of_gaps=False))
def test_after_a_kill_each_record_is_there_once(lake, point, store, seed):
    made = lake(store)
    upkeep = TODAY if kind(point) in UPKEEP else None
    passing = 1 + random.Random(f"{point} {store} {seed}").randrange(PASSINGS.get(kind(point), 1))  # noqa: S311
    status = made.run(f"{point}:{passing}", upkeep=upkeep)
    if status == 0 and passing > 1:
        # The second passing of a point that has but one in this lake.
        made = lake(store, anew=True)
        status = made.run(point, upkeep=upkeep)
    assert status == -signal.SIGKILL, (status, made.log)
    assert made.run(upkeep=upkeep) == 0, made.log
    assert made.audited() == []


@pytest.mark.parametrize(("point", "store", "seed"), cases(of_gaps=True))
def test_after_a_kill_a_gap_is_told_once(lake, broker, point, store, seed):
    records = gps_records(broker.bootstrap_servers)
    made = lake(store, records)
    assert made.run() == 0, made.log
    lost = records.lose(random.Random(f"{point} {store} {seed}"))  # noqa: S311
    assert made.run(point, on_gap="record") == -signal.SIGKILL, made.log
    assert made.run(on_gap="record") == 0, made.log
    assert made.audited(gold=False) == []
    assert made.gaps() == lost

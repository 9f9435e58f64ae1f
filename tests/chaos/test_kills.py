"""SIGKILL at every named point, on disk and on S3: afterwards each record is in the lake once."""

from __future__ import annotations

import os
import random
import re
import signal
from pathlib import Path

import pytest

SEEDS = int(os.environ.get("CHAOS_SEEDS", "0"))
# How often a point is passed by the worker at least, so that a later passing can be chosen; 1 where it is not listed.
PASSINGS = {"bronze": 6, "silver": 3, "replace": 3, "checkpoint": 1, "compact": 2}
FIXED = 24


def points() -> list[str]:
    """The names in the source."""
    text = (Path(__file__).parents[2] / "src/lake/crash.rs").read_text(encoding="utf-8")
    found = re.findall(r'^    "(\w+)",$', text, re.MULTILINE)
    assert len(found) >= 19, found
    return found


def fixed() -> list[tuple[str, str, int]]:
    """A kill at each point, on disk and on S3 in turn, and the first points once more with the stores changed."""
    names = points()
    return [(names[n % len(names)], ("local", "s3")[(n + n // len(names)) % 2], n) for n in range(FIXED)]


def matrix() -> list[tuple[str, str, int]]:
    """Everything."""
    return [(point, store, seed) for point in points() for store in ("local", "s3") for seed in range(SEEDS)]


@pytest.mark.parametrize(("point", "store", "seed"), matrix() if SEEDS else fixed())
def test_after_a_kill_each_record_is_there_once(lake, point, store, seed):
    made = lake(store)
    passing = 1 + random.Random(f"{point} {store} {seed}").randrange(PASSINGS.get(point.partition("_")[0], 1))  # noqa: S311
    status = made.run(f"{point}:{passing}")
    if status == 0 and passing > 1:
        # The second passing of a point that has but one in this lake.
        made = lake(store) if store == "s3" else made
        status = made.run(point)
    assert status == -signal.SIGKILL, (status, made.log)
    assert made.run() == 0, made.log
    assert made.audited() == []

"""Small cities in which all five streams have something to say."""

from __future__ import annotations

from functools import cache
from typing import Any

import citystream as cs


@cache
def eventful_seed(vehicles: int, start: str | None, duration: str) -> int:
    """The first seed with an incident: in a small city there mostly is none."""
    for seed in range(1, 1_000):
        city = cs.City(seed=seed, vehicles=vehicles, start=start, duration=duration, streams=["emergency"])
        if any(len(batch) for batch in city.events("emergency")):
            return seed
    raise AssertionError("a thousand cities without an incident")


def small(**more: Any) -> cs.City:
    """A morning of 300 vehicles."""
    options: dict[str, Any] = {"vehicles": 300, "start": "2026-06-01T07:00:00Z", "duration": "2h"}
    return cs.City(seed=eventful_seed(**options), **options, **more)

"""Whether Spark's tables are the lake's, row for row."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import polars as pl

from citystream import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import citystream as cs

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
PLACE = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"]
# When rows were taken in is each side's own; so is what is counted by that.
APART = {"ingested_at", "ingest_date", "updated_at"}
BY_INTAKE = "gold.data_quality_hourly"


def assert_same(lake: cs.Lake, table: Callable[[str], pl.DataFrame], steps: Sequence[str]) -> None:
    """Compares what the last of the steps have made: keys and counts exactly, floats to 1e-9."""
    for name, key in names_and_keys(steps):
        ours = pl.DataFrame(lake.table(name))
        columns = [column for column in ours.columns if column not in APART]
        compare(name, table(name).select(columns).sort(key), ours.select(columns).sort(key))
    if "gold" in steps:
        quality, ours = table(BY_INTAKE), pl.DataFrame(lake.table(BY_INTAKE))
        counted = ["received", "accepted", "dead_letter", "quarantine", "duplicate", "late"]
        assert total(quality, counted) == total(ours, counted)


def names_and_keys(steps: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Bronze where that is all there is, else silver, and gold."""
    if "silver" not in steps:
        yield from ((f"bronze.{stream}", PLACE) for stream in STREAMS)
        return
    for stream in STREAMS:
        yield f"silver.{stream}", PLACE
    for side in ("quarantine", "duplicate", "dead_letter"):
        yield f"silver.{side}", ["stream", *PLACE]
    for query in sql.load() if "gold" in steps else ():
        if query.name != BY_INTAKE:
            yield query.name, list(query.key)


def total(frame: pl.DataFrame, columns: list[str]) -> list[tuple[Any, ...]]:
    """Sums by stream."""
    return frame.group_by("stream").agg(pl.col(columns).sum()).sort("stream").rows()


def compare(name: str, found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Two tables in the same order."""
    assert found.schema == expected.schema, name
    assert found.height == expected.height, name
    for column in found.columns:
        pairs = zip(found[column].to_list(), expected[column].to_list(), strict=True)
        different = [pair for pair in pairs if not same(*pair)]
        assert not different, (name, column, different[:3])


def same(one: Any, other: Any) -> bool:
    """Two values."""
    if isinstance(one, str) and one.startswith("{"):
        # A row of quarantine has the fields that the lake's has, in Spark's order.
        return bool(json.loads(one) == json.loads(other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)

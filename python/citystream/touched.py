"""Which windows of a gold table new rows of its sources can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import gold
from .spans import DAY, HOUR, Spans, floor_of
from .sql import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    import duckdb

    from . import _core, sql


# Files that one run of a query reads at most, unless a single hour has more: DuckDB holds a footer of each.
PORTION_FILES = 128


@dataclass(frozen=True)
class Touched:
    """What has to be computed again, and how far the sources have moved.

    Attributes:
        spans: The windows; None for all of the table.
        behind: Commits of the sources that the table has not recorded, those without new rows included.
    """

    spans: Spans | None
    behind: int


def app_id(query: sql.Query, source: str, source_id: str) -> str:
    """Under which name a table's commits record the source's version.

    Another text of the query starts anew, and so does a source that was deleted and made again, whatever its version.
    """
    return f"citystream/{query.name}/{query.fingerprint}/{source}/{source_id}"


def touched(
    con: duckdb.DuckDBPyConnection,
    lake: _core.Lake,
    query: sql.Query,
    sources: Mapping[str, gold.Snapshot],
    seen: Mapping[str, int] | None,
) -> Touched:
    """The windows that rows new or gone in the sources can change.

    Compaction changes no row, and so no window. Rows that are still there are read for their times; for the others the
    bounds in the log have to do.

    Args:
        con: Used to read the new rows' times.
        lake: The lake.
        query: The table's query.
        sources: The snapshot of each source.
        seen: The table's transaction ids; None where it doesn't exist.
    """
    whole = Touched(None, 0)
    pairs: list[tuple[int, int]] = []
    behind = 0
    for source in query.sources:
        snapshot = sources[source.table]
        last = None if seen is None else seen.get(app_id(query, source.table, snapshot.id))
        if last is None:
            return whole
        behind += max(0, snapshot.version - last)
        if snapshot.version <= last:
            continue
        commits = lake.changed(source.table, last)
        if commits is None:
            return whole
        if not commits:
            continue
        if source.time is None or query.window is None:
            return whole
        found = _windows(con, query, source.time, snapshot, commits)
        if found is None:
            return whole
        pairs += found
    return Touched(Spans.of(pairs), behind)


def _windows(
    con: duckdb.DuckDBPyConnection,
    query: sql.Query,
    column: str,
    snapshot: gold.Snapshot,
    commits: Sequence[Mapping[str, Any]],
) -> list[tuple[int, int]] | None:
    """The windows that one source's commits touch; None where only all can be said."""
    length, margin = query.window_us, query.lookback_us
    there = {file["path"] for file in snapshot.files}
    read, pairs = [], []
    for commit in commits:
        # A gold table's commit says which windows it has replaced; its files hold those carried over too.
        if commit["windows"] is not None and column == "window_start":
            pairs += commit["windows"]
            continue
        for file in [*commit["adds"], *commit["removes"]]:
            bounds = snapshot.bounds(file, column)
            if file["path"] in there and not _same_windows(bounds, length, margin):
                read.append(file)
                continue
            if bounds is None:
                return None
            if bounds[0] <= bounds[1]:
                pairs.append((bounds[0], bounds[1] + 1))
    spans = list(Spans.of(pairs).widened(margin).aligned(length).parts)
    if read:
        t = f"epoch_us({quoted(column)})"
        low, high = f"{t} - {margin}", f"{t} + {margin}"
        spans += con.execute(
            f"SELECT DISTINCT {floor_of(low, length)}, {floor_of(high, length)} + {length} "
            f"FROM {gold.rows_of(con, snapshot, read)} WHERE {quoted(column)} IS NOT NULL"
        ).fetchall()
    return spans


def _same_windows(bounds: tuple[int, int] | None, length: int, margin: int) -> bool:
    """Whether any row between the bounds touches the same windows, so that none has to be read."""
    if bounds is None:
        return False
    first, last = bounds
    return all((first + by) // length == (last + by) // length for by in (-margin, margin))


def everything(con: duckdb.DuckDBPyConnection, query: sql.Query, sources: Mapping[str, gold.Snapshot]) -> Spans:
    """The UTC days in which the sources have rows, lookback included: where a windowed table can have any."""
    pairs: list[tuple[int, int]] = []
    for source in query.sources:
        if source.time is None:
            continue
        snapshot, unknown = sources[source.table], []
        for file in snapshot.files:
            bounds = snapshot.bounds(file, source.time)
            if bounds is None:
                unknown.append(file)
            elif bounds[0] <= bounds[1]:
                pairs.append((bounds[0], bounds[1] + 1))
        if unknown:
            t = f"epoch_us({quoted(source.time)})"
            first, last = con.execute(
                f"SELECT min({t}), max({t}) FROM {gold.rows_of(con, snapshot, unknown)}"
            ).fetchall()[0]
            if first is not None:
                pairs.append((first, last + 1))
    return Spans.of(pairs).widened(query.lookback_us).aligned(DAY)


def portions(query: sql.Query, sources: Mapping[str, gold.Snapshot], spans: Spans, rows: int) -> Iterator[Spans]:
    """The spans in portions that read about so many rows of the sources each.

    Days stay whole where they can: a day's files may all have rows of any of its hours.

    Args:
        query: The table's query.
        sources: The snapshot of each source.
        spans: What is to be computed.
        rows: Of one portion. A day with more is cut between windows, an hour or more apart; an hour or a window with
            more is a portion of its own. A small file counts as many.
    """
    length = _cut(query.window_us)
    on = _rows_on(query, sources, length, rows / PORTION_FILES)
    days: dict[int, list[tuple[float, tuple[int, int]]]] = {}
    for start, end in spans.cut(length):
        weight = on.get(start // length, 0.0) * (end - start) / length
        days.setdefault(start // DAY, []).append((weight, (start, end)))
    portion: list[tuple[int, int]] = []
    held = 0.0
    for pieces in days.values():
        whole = sum(weight for weight, _ in pieces)
        for weight, span in [(whole, None)] if whole <= rows else pieces:
            if portion and held + weight > rows:
                yield Spans.of(portion)
                portion, held = [], 0.0
            portion += [piece for _, piece in pieces] if span is None else [span]
            held += weight
    if portion:
        yield Spans.of(portion)


def _rows_on(query: sql.Query, sources: Mapping[str, gold.Snapshot], length: int, least: float) -> Mapping[int, float]:
    """About how many rows the sources have in each multiple of a length, no file counted as fewer than `least`."""
    on: dict[int, float] = {}
    for source in query.sources:
        if source.time is None:
            continue
        snapshot = sources[source.table]
        for file in snapshot.files:
            bounds = snapshot.bounds(file, source.time)
            if bounds is None or bounds[0] > bounds[1]:
                continue
            cells = range(bounds[0] // length, bounds[1] // length + 1)
            for cell in cells:
                on[cell] = on.get(cell, 0.0) + max(file["rows"], least) / len(cells)
    return on


def _cut(window: int) -> int:
    """The shortest multiple of a window that divides a day and isn't shorter than an hour."""
    in_a_day = DAY // window
    return next(
        n * window for n in range(1, in_a_day + 1) if in_a_day % n == 0 and (n * window >= HOUR or n == in_a_day)
    )

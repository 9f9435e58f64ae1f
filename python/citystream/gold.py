"""Gold and dim tables: SQL files run by DuckDB over snapshots of the lake's tables, recomputing only what changed."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from . import sql
from .errors import ConflictError, TableError
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from . import _core

# The partition column that holds a time column's UTC date, and so tells which files a range of times can be in.
DATE_OF = {"event_time": "event_date", "ingested_at": "ingest_date", "window_start": "window_date"}

# Partition values aren't in the files; without their types DuckDB would guess them.
PARTITION_TYPES = {"event_date": "DATE", "ingest_date": "DATE", "window_date": "DATE", "decoded": "BOOLEAN"}

# How often a table is computed again because another process committed to it meanwhile.
ATTEMPTS = 5

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: its files, and for a table without any, its schema as an Arrow stream without rows."""

    name: str
    version: int
    files: Sequence[Mapping[str, Any]]
    partition_columns: Sequence[str]
    txns: Mapping[str, int] = field(default_factory=dict)
    empty: Callable[[], Any] | None = None
    # The rows of some of its files as an Arrow stream: how files are read that are not on this machine.
    rows: Callable[[Sequence[Mapping[str, Any]]], Any] | None = None

    @classmethod
    def of(cls, lake: _core.Lake, name: str) -> Snapshot:
        """The table's newest version."""
        found = lake.snapshot(name)
        return cls(
            name=name,
            version=found["version"],
            files=found["files"],
            partition_columns=found["partition_columns"],
            txns=found["txns"],
            empty=lambda: lake.scan(name),
            rows=lambda files: lake.scan(name, files=[(file["path"], file["partition"]) for file in files]),
        )

    def between(self, column: str | None, start: dt.datetime, end: dt.datetime) -> list[Mapping[str, Any]]:
        """The files in which `column` can lie in [start, end), as far as the partitions tell."""
        partition = DATE_OF.get(column or "")
        if partition not in self.partition_columns:
            return list(self.files)
        first, last = start.date().isoformat(), (end - dt.timedelta(microseconds=1)).date().isoformat()
        # A null partition value has no time, and so no window.
        return [f for f in self.files if (date := f["partition"].get(partition)) is not None and first <= date <= last]


@dataclass(frozen=True)
class Refreshed(Report):
    """What happened to one table: rows written, and for which windows; version None where nothing had changed."""

    name: str
    rows: int
    windows: str
    version: int | None
    seconds: float


@contextmanager
def connect(memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in UTC that spills to a temporary folder.

    Args:
        memory: DuckDB's `memory_limit`, such as "512MB"; None is its default, 80 % of the machine.
    """
    with tempfile.TemporaryDirectory(prefix="citystream-") as spill, duckdb.connect() as con:
        in_utc(con)
        con.execute(f"SET temp_directory = {_text(spill)}")
        if memory is not None:
            con.execute(f"SET memory_limit = {_text(memory)}")
        yield con


def in_utc(con: duckdb.DuckDBPyConnection) -> None:
    """Makes a connection cut and print timestamps in UTC, whatever the machine's zone is."""
    con.execute("SET TimeZone = 'UTC'")


def register(
    con: duckdb.DuckDBPyConnection, snapshot: Snapshot, files: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Makes the view `tier.table` in DuckDB.

    Args:
        con: Where.
        snapshot: The table's version.
        files: Of these files of the snapshot; None is all.
    """
    tier, table = snapshot.name.split(".")
    chosen = snapshot.files if files is None else files
    if chosen:
        body = f"SELECT * FROM {rows_of(con, snapshot, chosen)}"
    elif snapshot.files and not _remote(snapshot.files):
        body = f"SELECT * FROM {scan(snapshot.files[:1], snapshot.partition_columns)} WHERE false"
    else:
        body = f"SELECT * FROM {_typed_empty(con, snapshot)}"
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {_name(tier)}")
    con.execute(f"CREATE OR REPLACE VIEW {_name(tier)}.{_name(table)} AS {body}")


def rows_of(con: duckdb.DuckDBPyConnection, snapshot: Snapshot, files: Sequence[Mapping[str, Any]]) -> str:
    """What reads these files of the snapshot, to stand after FROM.

    DuckDB reads local files itself. Those on S3 come through the lake's own store, as a stream of Arrow data: it has
    the lake's options, and DuckDB would have to load an extension for it.
    """
    if snapshot.rows is None or not _remote(files):
        return scan(files, snapshot.partition_columns)
    # As many streams as there are sets of files: a view keeps the one that it was made over.
    digest = hashlib.sha256("\0".join(sorted(file["path"] for file in files)).encode()).hexdigest()[:16]
    name = f"citystream_{snapshot.name}_{snapshot.version}_{digest}"
    con.register(name, snapshot.rows(files))
    return _name(name)


def scan(files: Sequence[Mapping[str, Any]], partition_columns: Sequence[str]) -> str:
    """The table function that reads these files, which are on this machine."""
    options = "union_by_name = true"
    if partition_columns:
        typed = [f"{_text(name)}: {PARTITION_TYPES.get(name, 'VARCHAR')}" for name in partition_columns]
        options += f", hive_partitioning = true, hive_types = {{{', '.join(typed)}}}"
    return f"read_parquet([{', '.join(_text(f['path']) for f in files)}], {options})"


def refresh(
    lake: _core.Lake,
    queries: Sequence[sql.Query],
    *,
    memory: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Refreshed]:
    """Brings every table up to date with its sources.

    Each table is replaced, window dates at a time, in one commit that also says up to which version of each source it
    has come; so a second call finds nothing to do, and one that was interrupted is done again.

    Args:
        lake: The lake.
        queries: The tables, each after its sources.
        memory: DuckDB's memory limit; past it, it spills to disk.
        progress: Called with a table's name, its number and how many there are.

    Raises:
        TableError: A source is missing, or a query's result is not what its header says.
        ConflictError: Others kept committing to the same table.
    """
    done = []
    for number, query in enumerate(queries):
        if progress is not None:
            progress(query.name, number, len(queries))
        done.append(_refresh_one(lake, query, memory))
    return done


def _refresh_one(lake: _core.Lake, query: sql.Query, memory: str | None) -> Refreshed:
    started = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            version, rows, windows = _compute(lake, query, memory)
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
        else:
            break
    return Refreshed(query.name, rows, windows, version, round(time.monotonic() - started, 3))


def _compute(lake: _core.Lake, query: sql.Query, memory: str | None) -> tuple[int | None, int, str]:
    names = set(lake.names())
    for source in query.sources:
        if source.table not in names:
            raise _table_error(
                f"{query.name} reads {source.table}, which this lake does not have",
                f"Choose from {', '.join(sorted(names))} in {query.path}",
            )
    sources = {source.table: Snapshot.of(lake, source.table) for source in query.sources}
    seen = lake.snapshot(query.name)["txns"] if query.name in names else None
    with connect(memory) as con:
        dates = touched(con, lake, query, sources, seen)
        if dates is not None and not dates:
            return None, 0, "unchanged"
        whole = dates is None or query.window is None
        if query.window is None:
            spans: list[tuple[dt.datetime, dt.datetime] | None] = [None]
        else:
            spans = list(runs(_all_dates(con, query, sources) if dates is None else dates))
        run(con, query, sources, spans)
        _verify(con, query, None if whole else dates)
        written = lake.replace(
            query.name,
            con.table("citystream_result"),
            partition_columns=[sql.PARTITION] if query.partitioned else [],
            partitions=None if whole else [{sql.PARTITION: date.isoformat()} for date in sorted(dates or ())],
            txns={app_id(query, name): snapshot.version for name, snapshot in sources.items()},
            comments={column.name: column.comment for column in query.columns},
            description=query.title,
        )
    return written["version"], written["rows"], "all" if whole else f"{len(dates or ())} days"


def app_id(query: sql.Query, source: str) -> str:
    """Under which name a table's commits record the source's version. Another text of the query starts anew."""
    return f"citystream/{query.name}/{query.fingerprint}/{source}"


def touched(
    con: duckdb.DuckDBPyConnection,
    lake: _core.Lake,
    query: sql.Query,
    sources: Mapping[str, Snapshot],
    seen: Mapping[str, int] | None,
) -> set[dt.date] | None:
    """The window dates that rows new in the sources can change.

    Args:
        con: Used to read the new rows' times.
        lake: The lake.
        query: The table's query.
        sources: The snapshot of each source.
        seen: The table's transaction ids; None where it doesn't exist.

    Returns:
        None for all of them; an empty set for none.
    """
    dates: set[dt.date] = set()
    for source in query.sources:
        snapshot = sources[source.table]
        last = None if seen is None else seen.get(app_id(query, source.table))
        # A version behind the one seen: the source was made anew.
        if last is None or snapshot.version < last:
            return None
        if snapshot.version == last:
            continue
        there = {f["path"] for f in snapshot.files}
        new = [f for f in lake.changes(source.table, last) if f["path"] in there]
        if not new:
            continue
        if source.time is None or query.window is None:
            return None
        column, margin = _name(source.time), f"INTERVAL '{int(query.lookback.total_seconds())}' SECOND"
        found = con.execute(
            f"SELECT DISTINCT CAST(t AS DATE) FROM (SELECT unnest([{column} - {margin}, {column} + {margin}]) AS t "
            f"FROM {rows_of(con, snapshot, new)}) WHERE t IS NOT NULL"
        ).fetchall()
        dates.update(date for (date,) in found)
    return dates


def runs(dates: set[dt.date]) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The dates as [start, end) of neighbouring days."""
    for date in sorted(dates):
        if date - DAY not in dates:
            start = date
        if date + DAY not in dates:
            yield _midnight(start), _midnight(date + DAY)


def run(
    con: duckdb.DuckDBPyConnection,
    query: sql.Query,
    sources: Mapping[str, Snapshot],
    spans: Sequence[tuple[dt.datetime, dt.datetime] | None],
) -> None:
    """Runs the query for each span and leaves the rows in the table `citystream_result`."""
    con.execute("DROP TABLE IF EXISTS citystream_result")
    # Without a span there is no row, but there are columns.
    for number, span in enumerate(spans or [(_midnight(dt.date(1970, 1, 1)), _midnight(dt.date(1970, 1, 1)))]):
        for source in query.sources:
            snapshot = sources[source.table]
            files = None
            if span is not None:
                files = snapshot.between(source.time, span[0] - query.lookback, span[1] + query.lookback)
            register(con, snapshot, files)
        target = "INSERT INTO citystream_result" if number else "CREATE TABLE citystream_result AS"
        try:
            con.execute(f"{target} {query.sql}", None if span is None else {"from": span[0], "to": span[1]})
        except duckdb.Error as error:
            raise _table_error(f"{query.path} failed: {error}", "Check it against its sources' columns") from error


def _all_dates(con: duckdb.DuckDBPyConnection, query: sql.Query, sources: Mapping[str, Snapshot]) -> set[dt.date]:
    dates: set[dt.date] = set()
    for source in query.sources:
        if source.time is None:
            continue
        snapshot = sources[source.table]
        register(con, snapshot)
        t, margin = _name(source.time), f"INTERVAL '{int(query.lookback.total_seconds())}' SECOND"
        first, last = con.execute(
            f"SELECT CAST(min({t}) - {margin} AS DATE), CAST(max({t}) + {margin} AS DATE) FROM {source.table}"
        ).fetchall()[0]
        if first is not None:
            dates.update(first + DAY * n for n in range((last - first).days + 1))
    return dates


def _verify(con: duckdb.DuckDBPyConnection, query: sql.Query, dates: set[dt.date] | None) -> None:
    got = [(row[0], row[1]) for row in con.execute("DESCRIBE citystream_result").fetchall()]
    wanted = [(column.name, sql.TYPES[column.type]) for column in query.columns]
    if got != wanted:
        differing = [f"{a} where the header has {b}" for a, b in zip(got, wanted, strict=False) if a != b]
        what = differing[0] if differing else f"{len(got)} columns where the header has {len(wanted)}"
        raise _table_error(f"{query.path} gives {what}", "Make the query and its header agree")
    key = ", ".join(_name(part) for part in query.key)
    twice = con.execute(f"SELECT {key} FROM citystream_result GROUP BY {key} HAVING count(*) > 1 LIMIT 1").fetchall()
    if twice:
        raise _table_error(f"{query.path} gives two rows for ({key}) = {twice[0]}", "Make the key unique")
    if dates is not None:
        found = {date for (date,) in con.execute(f"SELECT DISTINCT {sql.PARTITION} FROM citystream_result").fetchall()}
        if strange := found - dates:
            raise _table_error(
                f"{query.path} gives windows of {min(strange)}, which nobody asked for", "Use $from and $to"
            )


def _typed_empty(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> str:
    if snapshot.empty is None:
        raise _table_error(f"{snapshot.name} has no file", "Its schema is not known")
    name = f"citystream_empty.{_name(snapshot.name)}"
    con.execute("CREATE SCHEMA IF NOT EXISTS citystream_empty")
    con.register("citystream_stream", snapshot.empty())
    con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM citystream_stream LIMIT 0")
    con.unregister("citystream_stream")
    return name


def _remote(files: Sequence[Mapping[str, Any]]) -> bool:
    return any(str(file["path"]).startswith("s3://") for file in files)


def _midnight(date: dt.date) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(), dt.timezone.utc)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _table_error(what: str, way_out: str) -> TableError:
    return TableError(f"{what}. {way_out}")

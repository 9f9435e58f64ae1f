"""The queries of gold, and snapshots of the lake's tables in DuckDB."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from . import sql
from .errors import ConfigError, TableError
from .spans import DAY, day_us, parse
from .sql import quoted as _name
from .sql.spark import to_spark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from . import _core
    from .spans import Spans

# The partition column that holds a time column's UTC date, and so tells which files a range of times can be in.
DATE_OF = {"event_time": "event_date", "ingested_at": "ingest_date", "window_start": "window_date"}

# Partition values aren't in the files; without their types DuckDB would guess them.
PARTITION_TYPES = {"event_date": "DATE", "ingest_date": "DATE", "window_date": "DATE", "decoded": "BOOLEAN"}

_DIALECTS: dict[str, Callable[[sql.Query], sql.Query]] = {"duckdb": lambda query: query, "spark": to_spark}


def queries(dialect: str = "duckdb", *, gold_dir: Path | None = None) -> list[sql.Query]:
    """Every dim and gold table as a query, each after those that it reads from.

    A query's `sql` has the parameters from and to, the ends of the windows to compute, where it has a `window`; in
    DuckDB's dialect they are written `$from`, in Spark's `:from`. docs/spark.md runs them in Spark.

    Args:
        dialect: "duckdb" or "spark".
        gold_dir: A folder with further gold tables, one `.sql` file each.

    Raises:
        ConfigError: There is no such dialect, or a file is broken.

    Examples:
        >>> import citystream as cs
        >>> [query.name for query in cs.gold.queries("spark")][:2]
        ['dim.camera', 'dim.road']
    """
    if dialect not in _DIALECTS:
        raise ConfigError(f"there is no SQL for {dialect!r}. Choose from {', '.join(_DIALECTS)}")
    return [_DIALECTS[dialect](query) for query in sql.load(gold_dir)]


TIERS = ("bronze", "silver", "dim", "gold")


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: its files, and for a table without any, its schema as an Arrow stream without rows."""

    name: str
    version: int
    files: Sequence[Mapping[str, Any]]
    partition_columns: Sequence[str]
    txns: Mapping[str, int] = field(default_factory=dict)
    id: str = ""
    empty: Callable[[], Any] | None = None
    columns: Sequence[str] = ()
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
            id=found["id"],
            empty=lambda: lake.scan(name),
            columns=found["schema"].names,
            rows=lambda files: lake.scan(name, files=[(file["path"], file["partition"]) for file in files]),
        )

    def bounds(self, file: Mapping[str, Any], column: str) -> tuple[int, int] | None:
        """The first and the last instant of `column` in a file, in µs since the epoch, as far as the log tells.

        Returns:
            None where it doesn't; an empty range where the file has none.
        """
        found = _bounds_of_stats(file.get("stats"), column)
        if found is not None:
            return found
        partition = DATE_OF.get(column)
        if partition not in self.partition_columns:
            return None
        date = file["partition"].get(partition)
        if date is None:
            # A null partition value has no time, and so no window.
            return 0, -1
        start = day_us(dt.date.fromisoformat(date))
        return start, start + DAY - 1

    def holding(self, column: str | None, spans: Spans) -> list[Mapping[str, Any]]:
        """The files in which `column` can lie in the spans, as far as the log tells; all of them without a column."""
        if column is None:
            return list(self.files)
        found = ((f, self.bounds(f, column)) for f in self.files)
        return [f for f, bounds in found if bounds is None or (bounds[0] <= bounds[1] and spans.meets(*bounds))]


class Snapshots:
    """The tables of a lake, each as it was when first asked for.

    Attributes:
        names: The tables that exist.
    """

    def __init__(self, lake: _core.Lake) -> None:
        self._lake = lake
        self._read: dict[str, Snapshot] = {}
        self.names = set(lake.names())

    def __getitem__(self, name: str) -> Snapshot:
        """The table, which must exist."""
        if name not in self._read:
            self._read[name] = Snapshot.of(self._lake, name)
        return self._read[name]

    def forget(self, name: str | None = None) -> None:
        """Makes a table that has been written be read anew; without a name all of them, and which there are."""
        if name is None:
            self._read.clear()
            self.names = set(self._lake.names())
        else:
            self._read.pop(name, None)
            self.names.add(name)


@contextmanager
def connect(memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in UTC that spills to a temporary folder.

    Args:
        memory: DuckDB's `memory_limit`, such as "512MB"; None is its default, 80 % of the machine.
    """
    with tempfile.TemporaryDirectory(prefix="citystream-") as spill, duckdb.connect() as con:
        in_utc(con)
        con.execute(f"SET temp_directory = {_text(spill)}")
        # It would go to standard output, among what a command prints.
        with suppress(duckdb.Error):
            # In a notebook without ipywidgets there is no bar, and DuckDB refuses every change of the setting.
            con.execute("SET enable_progress_bar = false")
        if memory is not None:
            con.execute(f"SET memory_limit = {_text(memory)}")
        yield con


def in_utc(con: duckdb.DuckDBPyConnection) -> None:
    """Makes a connection cut and print timestamps in UTC, whatever the machine's zone is."""
    con.execute("SET TimeZone = 'UTC'")


def clear(con: duckdb.DuckDBPyConnection) -> None:
    """Removes what `register` has made: a query sees no table but its own sources."""
    for tier in TIERS:
        con.execute(f"DROP SCHEMA IF EXISTS {_name(tier)} CASCADE")


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
    if snapshot.files and not set(snapshot.columns) <= _columns_of(con, body):
        # Files from before a column was added to the table.
        body = f"SELECT * FROM {_typed_empty(con, snapshot)} UNION ALL BY NAME {body}"
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


def _bounds_of_stats(stats: str | None, column: str) -> tuple[int, int] | None:
    try:
        found = json.loads(stats or "{}")
        low, high = found["minValues"][column], found["maxValues"][column]
        # Some writers cut times to whole milliseconds.
        return parse(low), parse(high) + 999
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _typed_empty(con: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> str:
    if snapshot.empty is None:
        raise _table_error(f"{snapshot.name} has no file", "Its schema is not known")
    name = f"citystream_empty.{_name(snapshot.name)}"
    con.execute("CREATE SCHEMA IF NOT EXISTS citystream_empty")
    con.register("citystream_stream", snapshot.empty())
    con.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM citystream_stream LIMIT 0")
    con.unregister("citystream_stream")
    return name


def _columns_of(con: duckdb.DuckDBPyConnection, body: str) -> set[str]:
    return {row[0] for row in con.execute(f"DESCRIBE {body}").fetchall()}


def _remote(files: Sequence[Mapping[str, Any]]) -> bool:
    return any(str(file["path"]).startswith("s3://") for file in files)


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _table_error(what: str, way_out: str) -> TableError:
    return TableError(f"{what}. {way_out}")

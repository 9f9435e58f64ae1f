"""The SQL files of gold and dim, and their header: a table's contract, read strictly.

A file `sql/gold/NAME.sql` defines the table `gold.NAME`. It starts with comments::

    -- gold.road_5min: how fast and how full each road is
    -- grain:    one row for each road and window ...
    -- key:      road_id, window_start
    -- window:   5 minutes
    -- sources:  silver.vehicle by event_time, dim.road
    -- lookback: 60 seconds
    -- columns:
    --   road_id       text       -     the road
    --   window_start  timestamp  -     start of the window

`window` is a length that divides a day, or `whole` for a table that is computed from all rows each time. A windowed
table's query gets `$from` and `$to`, multiples of its window as timestamps, and gives the windows that start in them,
with `window_start` and `window_date`. What it says of a window may depend on each source's rows from the window's start
less the lookback to its end plus the lookback, and on no others: the rest need not be there. Sources change windows by
the column after `by`; a source without one changes every window. A table with a column `window_date` is partitioned by
it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from citystream.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Column types of a header, as DuckDB prints them.
TYPES = {
    "boolean": "BOOLEAN",
    "text": "VARCHAR",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "points": "DOUBLE[][]",
}

PARTITION = "window_date"
START = "window_start"

_FIELDS = ("grain", "key", "window", "sources", "lookback", "columns")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_LINE = re.compile(r"^LINE (?P<n>[0-9]+): ", re.MULTILINE)
_TITLE = re.compile(r"-- (?P<name>[a-z]+\.[a-z][a-z0-9_]*): (?P<title>\S.*)")
_FIELD = re.compile(r"-- (?P<name>[a-z]+):\s*(?P<value>.*)")
_COLUMN = re.compile(r"--   (?P<name>[a-z][a-z0-9_]*)\s+(?P<type>\S+)\s+(?P<unit>\S+)\s+(?P<doc>\S.*)")
_SOURCE = re.compile(r"(?P<table>[a-z]+\.[a-z][a-z0-9_]*)(?: by (?P<time>[a-z][a-z0-9_]*))?")
_LENGTH = re.compile(r"(?P<n>[1-9][0-9]*) (?P<unit>second|minute|hour|day)s?")


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    unit: str
    doc: str

    @property
    def comment(self) -> str:
        """What the table's metadata say about the column."""
        return f"{self.doc} [{self.unit}]" if self.unit else self.doc


@dataclass(frozen=True)
class Source:
    """A table that a query reads, and the column that says which windows a row of it belongs to."""

    table: str
    time: str | None


@dataclass(frozen=True)
class Query:
    """One SQL file: a table's contract and how it is computed."""

    name: str
    title: str
    grain: str
    key: tuple[str, ...]
    window: timedelta | None
    sources: tuple[Source, ...]
    lookback: timedelta
    columns: tuple[Column, ...]
    sql: str
    path: Path
    lines: Mapping[str, int]

    @property
    def window_us(self) -> int:
        """The window's length in µs; a day for a table without one."""
        return _us(timedelta(days=1) if self.window is None else self.window)

    @property
    def lookback_us(self) -> int:
        """The lookback in µs."""
        return _us(self.lookback)

    def at(self, header: str) -> str:
        """File and line of a line of the header."""
        return f"{self.path}:{self.lines[header]}"

    def where(self, message: str) -> str:
        """File and line that an error message of DuckDB speaks of; the file alone where it doesn't tell."""
        found = _LINE.search(message)
        return f"{self.path}:{found['n']}" if found else str(self.path)

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change when the file's text does."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:12]

    @property
    def partitioned(self) -> bool:
        """Whether the table is partitioned by `window_date`."""
        return any(column.name == PARTITION for column in self.columns)

    def __repr__(self) -> str:
        """The name and where it comes from."""
        return f"Query({self.name!r}, {str(self.path)!r})"


def read(path: Path) -> Query:
    """Reads one SQL file.

    Raises:
        ConfigError: The header is broken; names the file and the line.
    """
    text = _text(path)
    lines = list(_header(text))
    title = _TITLE.fullmatch(lines[0]) if lines else None
    if title is None:
        raise _broken(path, 1, "starts without its title", f"Start with `-- gold.{path.stem}: what the table is about`")
    if title["name"].split(".")[1] != path.stem:
        raise _broken(path, 1, f"is the table {title['name']!r} in a file called {path.name!r}", "Give both one name")

    values: dict[str, str] = {}
    at: dict[str, int] = {}
    columns: list[Column] = []
    for number, line in enumerate(lines[1:], start=2):
        if "columns" in values:
            columns.append(_column(path, number, line, columns))
            continue
        field = _FIELD.fullmatch(line)
        if field is None or field["name"] not in _FIELDS:
            raise _broken(path, number, f"can't be read: {line!r}", f"Use one line for each of {', '.join(_FIELDS)}")
        if field["name"] in values:
            raise _broken(
                path, number, f"has {field['name']!r} a second time", f"It stands in line {at[field['name']]}"
            )
        values[field["name"]], at[field["name"]] = field["value"].strip(), number
    for name in _FIELDS:
        if name not in values:
            raise _broken(path, len(lines), f"has no {name!r}", f"Add a line `-- {name}: ...`")
    if not columns:
        raise _broken(path, at["columns"], "lists no column", "List each as `--   name  type  unit  meaning`")

    query = Query(
        name=title["name"],
        title=title["title"],
        grain=values["grain"],
        key=tuple(part.strip() for part in values["key"].split(",")),
        window=_window(path, at["window"], values["window"]),
        sources=tuple(_source(path, at["sources"], part.strip()) for part in values["sources"].split(",")),
        lookback=_lookback(path, at["lookback"], values["lookback"]),
        columns=tuple(columns),
        sql=text,
        path=path,
        lines=at,
    )
    _agree(query)
    return query


def load(gold_dir: Path | None = None) -> list[Query]:
    """Every query, each after those that it reads from.

    Args:
        gold_dir: A folder with further gold tables, one `.sql` file each.

    Raises:
        ConfigError: A header is broken, a name is taken, or tables read from each other in a circle.
    """
    own = Path(__file__).parent
    queries: dict[str, Query] = {}
    for folder, tier in ((own / "dim", "dim"), (own / "gold", "gold"), (gold_dir, "gold")):
        if folder is None:
            continue
        paths = sorted(folder.glob("*.sql"))
        if not paths:
            raise _config(f"no .sql file in {str(folder)!r}", "Give the folder that holds your gold tables")
        for path in paths:
            query = read(path)
            if not query.name.startswith(f"{tier}."):
                raise _broken(path, 1, f"is called {query.name!r}", f"Tables of this folder are called {tier}.…")
            if query.name in queries:
                raise _broken(path, 1, f"is called {query.name!r}", f"{queries[query.name].path} already has that name")
            queries[query.name] = query
    graph = {q.name: sorted(s.table for s in q.sources if s.table in queries) for q in queries.values()}
    try:
        return [queries[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise _config(
            f"gold tables read from each other in a circle: {circle}", "Break it in one of their headers"
        ) from None


def quoted(name: str) -> str:
    """A name in SQL, whatever its characters."""
    return '"' + name.replace('"', '""') + '"'


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _config(f"{path} can't be read: {error}", "Give a readable file in UTF-8") from error


def _header(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("--"):
            return
        yield line


def _column(path: Path, number: int, line: str, before: Iterable[Column]) -> Column:
    found = _COLUMN.fullmatch(line)
    if found is None:
        raise _broken(
            path, number, f"can't be read: {line!r}", "Write `--   name  type  unit  meaning`, `-` for no unit"
        )
    if found["type"] not in TYPES:
        raise _broken(path, number, f"has the type {found['type']!r}", f"Choose from {', '.join(TYPES)}")
    if any(found["name"] == column.name for column in before):
        raise _broken(path, number, f"lists {found['name']!r} a second time", "Drop one of the two")
    return Column(found["name"], found["type"], "" if found["unit"] == "-" else found["unit"], found["doc"].strip())


def _source(path: Path, number: int, text: str) -> Source:
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise _broken(path, number, f"has the source {text!r}", "Write `tier.table` or `tier.table by time_column`")
    return Source(found["table"], found["time"])


def _length(path: Path, number: int, text: str, other: str) -> timedelta:
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise _broken(path, number, f"has the length {text!r}", f"Write `5 minutes`, `1 hour` or `{other}`")
    return timedelta(seconds=int(found["n"]) * _UNITS[found["unit"]])


def _window(path: Path, number: int, text: str) -> timedelta | None:
    if text == "whole":
        return None
    window = _length(path, number, text, "whole")
    if timedelta(days=1) % window:
        raise _broken(path, number, f"has the window {text!r}", "A window must divide a day")
    return window


def _lookback(path: Path, number: int, text: str) -> timedelta:
    return timedelta() if text == "none" else _length(path, number, text, "none")


def _agree(query: Query) -> None:
    at = query.lines
    names = {column.name: column.type for column in query.columns}
    for part in query.key:
        if part not in names:
            raise _broken(query.path, at["key"], f"has the key {part!r}", "A key is one of the columns below it")
    if query.window is None:
        return
    for name, kind in ((PARTITION, "date"), (START, "timestamp")):
        if names.get(name) != kind:
            raise _broken(query.path, at["window"], f"has a window but no column {name!r}", f"Add it, of type {kind}")
    if all(source.time is None for source in query.sources):
        raise _broken(
            query.path, at["sources"], "has a window but no source with a time", "Write `tier.table by column`"
        )


def _us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _broken(path: Path, number: int, what: str, way_out: str) -> ConfigError:
    return _config(f"{path}:{number}: the header {what}", way_out)


def _config(what: str, way_out: str) -> ConfigError:
    return ConfigError(f"{what}. {way_out}")

"""The gold SQL in Spark's dialect.

The files keep to what DuckDB and Spark SQL mean alike, but for a few constructs, which are put into Spark's words here:

| in the files | for Spark | why |
| --- | --- | --- |
| `$from` | `:from` | how Spark writes a parameter; `between` fills it in |
| `extract(epoch from t)` | `(unix_micros(t) / 1000000)` | Spark has no epoch |
| `3600.0` | `3600.0D` | Spark divides decimals to six digits |
| `list[1]` | `get(list, 0)` | Spark counts from 0 |
| `cross join unnest(list) with ordinality as h (v, n)` | `lateral view inline(...)` | Spark has no unnest |

0.85 and the like stay decimals in both, so that 0.85 · 20 is 17 and no hair's breadth beside it. What comes out is cast
to the types that the header promises.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from . import Query

#: Spark's name of each type that a header can give a column.
TYPES = {
    "boolean": "boolean",
    "text": "string",
    "int": "int",
    "bigint": "bigint",
    "double": "double",
    "date": "date",
    "timestamp": "timestamp",
    "points": "array<array<double>>",
}

# A comment or a text, which stay as they are; or what lies between.
_PIECE = re.compile(r"--[^\n]*|'(?:[^']|'')*'|(?:(?!--)[^'])+")
_RULES = (
    (re.compile(r"\$([a-z_]+)"), r":\1"),
    (re.compile(r"\bextract\(epoch from ([\w.]+)\)", re.IGNORECASE), r"(unix_micros(\1) / 1000000)"),
    (re.compile(r"(?<![\w.])(\d+\.0)(?![\w.])"), r"\1D"),
    (
        re.compile(r"\bcross join unnest\(([\w.]+)\) with ordinality as (\w+) \((\w+), (\w+)\)", re.IGNORECASE),
        r"lateral view inline(transform(\1, (x, i) -> struct(x, i + 1))) \2 as \3, \4",
    ),
)
_BOUND = re.compile(r":(?:from|to)\b")
_ITEM = re.compile(r"([\w.]+)\[(\d+)\]")


def to_spark(query: Query) -> Query:
    """The same table, computed by Spark SQL.

    Its parameters are `:from` and `:to`; its tables have two-part names, such as silver.gps, in the current catalog.
    """
    text = "".join(_translated(piece[0]) for piece in _PIECE.finditer(_body(query.sql)))
    columns = ",\n    ".join(f"cast({c.name} as {TYPES[c.type]}) as {c.name}" for c in query.columns)
    return replace(query, sql=f"select\n    {columns}\nfrom (\n{text.strip()}\n)\n")


def between(query: Query, start: dt.datetime, end: dt.datetime) -> str:
    """The text of a query of `to_spark` for the windows that start in [start, end), which must be theirs to begin at.

    Where `spark.sql(query.sql, args=...)` does, that is as good; over Delta tables Spark 4.1.1 said of the parameters
    of gold.data_quality_hourly that they were unbound.

    Args:
        query: The query; one without windows has no parameters and stays as it is.
        start: The first window's start, with a time zone.
        end: Where the windows end.
    """
    bounds = {":from": start, ":to": end}
    texts = {name: f"timestamp '{time.isoformat(sep=' ')}'" for name, time in bounds.items()}
    pieces = (piece[0] for piece in _PIECE.finditer(query.sql))
    return "".join(p if p.startswith(("--", "'")) else _BOUND.sub(lambda b: texts[b[0]], p) for p in pieces)


def _body(text: str) -> str:
    """Without the header."""
    lines = text.splitlines()
    first = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return "\n".join(lines[first:]).strip().rstrip(";")


def _translated(piece: str) -> str:
    if piece.startswith(("--", "'")):
        return piece
    for pattern, words in _RULES:
        piece = pattern.sub(words, piece)
    return _ITEM.sub(lambda found: f"get({found[1]}, {int(found[2]) - 1})", piece)

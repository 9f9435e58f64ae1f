"""The gold SQL in Spark's dialect.

The files keep to what DuckDB and Spark SQL mean alike, but for a few constructs, which are put into Spark's words here:

| in the files | for Spark | why |
| --- | --- | --- |
| `$from` | `:from` | how Spark writes a parameter; `between` fills it in |
| `extract(epoch from t)` | `(unix_micros(t) / 1000000)` | Spark has no epoch |
| `3600.0` | `3600.0D` | Spark divides decimals to six digits |
| `list[1]` | `get(list, 0)` | Spark counts from 0 |
| `array_length(list)` | `array_size(list)` | |
| `unnest(list) as v, generate_subscripts(list, 1) - 1 as n` | `posexplode(list) as (n, v)` | one generator |
| `time_bucket(interval '15' minute, t)` | `timestamp_micros(...)` | of hours and minutes, whole since the epoch |
| `epoch_us(t) // 60`, `to_timestamp(s)` | `unix_micros(t) div 60`, `timestamp_seconds(s)` | |

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
        re.compile(r"\bunnest\(([\w.]+)\) as (\w+),\s+generate_subscripts\(\1, 1\) - 1 as (\w+)", re.IGNORECASE),
        r"posexplode(\1) as (\3, \2)",
    ),
    (re.compile(r"\bepoch_us\(", re.IGNORECASE), "unix_micros("),
    (re.compile(r" // "), " div "),
    (re.compile(r"\bto_timestamp\(", re.IGNORECASE), "timestamp_seconds("),
    (re.compile(r"\barray_length\(", re.IGNORECASE), "array_size("),
)
# Its length is a text, so it is looked for in the whole.
_BUCKET = re.compile(r"\btime_bucket\(interval '(\d+)' (minute|hour), ([\w.]+)\)", re.IGNORECASE)
_MICROS = {"minute": 60_000_000, "hour": 3_600_000_000}
_BOUND = re.compile(r":(?:from|to)\b")
_ITEM = re.compile(r"([\w.]+)\[(\d+)\]")


def to_spark(query: Query) -> Query:
    """The same table, computed by Spark SQL.

    Its parameters are `:from` and `:to`; its tables have two-part names, such as silver.gps, in the current catalog.
    """
    text = _BUCKET.sub(_bucket, _body(query.sql))
    text = "".join(_translated(piece[0]) for piece in _PIECE.finditer(text))
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


def _bucket(found: re.Match[str]) -> str:
    micros, time = int(found[1]) * _MICROS[found[2].lower()], found[3]
    return f"timestamp_micros(unix_micros({time}) - pmod(unix_micros({time}), {micros}))"


def _translated(piece: str) -> str:
    if piece.startswith(("--", "'")):
        return piece
    for pattern, words in _RULES:
        piece = pattern.sub(words, piece)
    return _ITEM.sub(lambda found: f"get({found[1]}, {int(found[2]) - 1})", piece)

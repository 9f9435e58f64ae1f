"""Is each record in the lake once? Asked of the deltalake wheel, which reads the tables; DuckDB counts."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import duckdb
from deltalake import DeltaTable

import citystream as cs
from citystream import gold, sql

if TYPE_CHECKING:
    from .records import Records

EVENTS = ("vehicle", "gps", "traffic", "weather", "emergency")
SIDES = ("dead_letter", "quarantine", "duplicate")
# Wider than any window of the gate's lakes, also of those by the time of ingest.
SPAN = {"from": dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc), "to": dt.datetime(2036, 1, 1, tzinfo=dt.timezone.utc)}


def table(lake: str, name: str, options: dict[str, str] | None, columns: list[str] | None = None) -> Any:
    """A table of the lake as the deltalake wheel reads it, in Arrow."""
    return DeltaTable(f"{lake}/{name.replace('.', '/')}", storage_options=options).to_pyarrow_table(columns=columns)


class Audit:
    """Findings about one lake; none is what one hopes for."""

    def __init__(self, lake: str, options: dict[str, str] | None) -> None:
        self.lake, self.options = lake, options
        self.findings: list[str] = []
        self.con = duckdb.connect()
        gold.in_utc(self.con)

    def find(self, text: str, wrong: Any) -> None:
        """Notes `text` where `wrong` is anything."""
        if wrong:
            self.findings.append(f"{text}: {wrong}")

    def load(self, name: str, columns: list[str] | None = None) -> str:
        """A table as the deltalake wheel reads it, under its name in DuckDB."""
        self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
        self.con.register("incoming", table(self.lake, name, self.options, columns))
        self.con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM incoming")
        self.con.unregister("incoming")
        return name

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        return self.con.execute(query).fetchall()

    def bronze(self, records: Records) -> None:
        """Each record that a read_committed reader returns is in bronze, and no row is there twice."""
        key = ["kafka_topic", "kafka_partition", "kafka_offset", "row_in_record"]
        for stream, wanted in records.positions.items():
            name = self.load(f"bronze.{stream}", key)
            twice = self.rows(f"SELECT {', '.join(key)}, count(*) FROM {name} GROUP BY ALL HAVING count(*) > 1 LIMIT 3")
            self.find(f"{name} has rows twice", twice)
            found = set(self.rows(f"SELECT DISTINCT kafka_partition, kafka_offset FROM {name}"))
            self.find(f"{name} lacks records", sorted(wanted - found)[:3])
            self.find(f"{name} has records that nobody sent", sorted(found - wanted)[:3])

    def silver(self, streams: list[str]) -> None:
        """Each id stands once, and every row of bronze has gone somewhere, once."""
        bronze, out = 0, 0
        for stream in streams:
            bronze += self.rows(f"SELECT count(*) FROM bronze.{stream}")[0][0]
            name = self.load(f"silver.{stream}", ["id", "event_date"])
            twice = self.rows(f"SELECT event_date, id FROM {name} GROUP BY ALL HAVING count(*) > 1 LIMIT 3")
            self.find(f"{name} has ids twice", twice)
            out += self.rows(f"SELECT count(*) FROM {name}")[0][0]
        for side in SIDES:
            out += self.rows(f"SELECT count(*) FROM {self.load(f'silver.{side}')}")[0][0]
        self.find("silver and its side tables against bronze", None if bronze == out else (out, bronze))

    def gold(self) -> None:
        """Gold is what its queries give of the whole of silver at once."""
        lake = cs.Lake(self.lake, storage_options=self.options)
        con = duckdb.connect()
        gold.in_utc(con)
        queries = sql.load()
        assert len(queries) >= 9, "the packaged tables are not found"
        for query in queries:
            for source in query.sources:
                gold.register(con, gold.Snapshot.of(lake.core, source.table))
            names = [column.name for column in query.columns]
            whole = con.execute(query.sql, None if query.window is None else SPAN).fetchall()
            stored = con.from_arrow(table(self.lake, query.name, self.options, names)).fetchall()
            self.find(f"{query.name} is not what a recomputation gives", _differing(whole, stored, names, query.key))


def _differing(whole: list[Any], stored: list[Any], names: list[str], key: Any) -> str | None:
    at = [names.index(column) for column in key]
    one, other = ({tuple(row[n] for n in at): row for row in rows} for rows in (whole, stored))
    if len(stored) != len(other):
        return f"{len(stored) - len(other)} keys stand more than once"
    if one.keys() != other.keys():
        return f"{len(one)} rows, {len(other)} stored; for example {sorted(one.keys() ^ other.keys(), key=str)[:2]}"
    for k, row in one.items():
        for name, a, b in zip(names, row, other[k], strict=True):
            both = isinstance(a, float) and isinstance(b, float)
            if not (math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) if both else a == b):
                return f"{k} has {name} {b}, not {a}"
    return None


def findings(lake: str, options: dict[str, str] | None, records: Records, *, gold: bool = True) -> list[str]:
    """Everything that is wrong with a lake that was filled from these records."""
    audit = Audit(lake, options)
    audit.bronze(records)
    audit.silver([stream for stream in EVENTS if stream in records.topics])
    if gold:
        audit.gold()
    return audit.findings

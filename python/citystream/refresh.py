"""Bringing gold and dim tables up to date: SQL run by DuckDB over the windows that new rows touch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from . import gold, sql
from .errors import ConflictError, TableError
from .report import Report
from .spans import DAY, Spans, floor_of, instant
from .sql import quoted
from .touched import app_id, everything, portions, touched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from . import _core

# How often a table is computed again because another process committed to it meanwhile.
ATTEMPTS = 5

# DuckDB's memory: beside Python's own and the writer's, a refinement stays below 512 MiB.
MEMORY = "256MB"

# Rows of the sources that one run of a query reads at most, unless a single hour has more. What DuckDB sorts of these
# fits its memory: a sort that spills costs a third more CPU.
PORTION_ROWS = 2_000_000

# Commits without new rows, such as compaction's, that a table may lag behind before it records that it has seen them.
UNRECORDED = 20

# Spans that a commit's description lists; past it, it lists their dates.
LISTED = 1_000


@dataclass(frozen=True)
class Refreshed(Report):
    """What happened to one table.

    Attributes:
        name: The table.
        rows: Rows computed.
        carried: Rows of the same dates that were taken over from the version before.
        windows: Of what they are: "all", "unchanged", or how many windows.
        version: The table's version; None where nothing had changed.
        seconds: How long it took.
    """

    name: str
    rows: int
    carried: int
    windows: str
    version: int | None
    seconds: float


def refresh(
    lake: _core.Lake,
    queries: Sequence[sql.Query],
    *,
    memory: str | None = None,
    whole: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Refreshed]:
    """Brings every table up to date with its sources.

    The windows that new rows touch are computed and take the place of the old ones in one commit, which also says up to
    which version of each source the table has come; so a second call finds nothing to do, and one that was interrupted
    is done again.

    Args:
        lake: The lake.
        queries: The tables, each after its sources.
        memory: DuckDB's memory limit; past it, it spills to disk.
        whole: Computes all of every table, whatever it has seen.
        progress: Called with a table's name, its number and how many there are.

    Raises:
        TableError: A source is missing, or a query's result is not what its header says.
        ConflictError: Others kept committing to the same table.
    """
    done = []
    seen = gold.Snapshots(lake)
    with gold.connect(memory) as con:
        for number, query in enumerate(queries):
            if progress is not None:
                progress(query.name, number, len(queries))
            done.append(_refresh_one(con, lake, seen, query, anew=whole))
    return done


def _refresh_one(
    con: duckdb.DuckDBPyConnection, lake: _core.Lake, seen: gold.Snapshots, query: sql.Query, *, anew: bool
) -> Refreshed:
    started = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            version, rows, carried, windows = _compute(con, lake, seen, query, anew=anew)
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
            seen.forget()
        else:
            break
    if version is not None:
        seen.forget(query.name)
    return Refreshed(query.name, rows, carried, windows, version, round(time.monotonic() - started, 3))


def _compute(
    con: duckdb.DuckDBPyConnection, lake: _core.Lake, seen: gold.Snapshots, query: sql.Query, *, anew: bool
) -> tuple[int | None, int, int, str]:
    names = seen.names
    for source in query.sources:
        if source.table not in names:
            raise TableError(
                f"{query.at('sources')}: {query.name} reads {source.table}, which this lake does not have. "
                f"Choose from {', '.join(sorted(names))}"
            )
    # What another process commits to the table from here on is a conflict. The sources may have been read earlier in
    # this refresh: whoever has meanwhile come further with them has recorded a later version, which is a conflict too.
    old = seen[query.name] if query.name in names else None
    sources = {source.table: seen[source.table] for source in query.sources}
    found = touched(con, lake, query, sources, None if old is None or anew else old.txns)
    spans, whole = found.spans, found.spans is None or query.window is None
    if spans is not None and not spans.parts and found.behind < UNRECORDED:
        return None, 0, 0, "unchanged"
    gold.clear(con)
    if query.window is None:
        run(con, query, sources, None)
    else:
        spans = everything(con, query, sources) if spans is None else spans
        run(con, query, sources, spans)
    verify(con, query, spans)
    rows = _count(con)
    dates = [] if whole or spans is None else spans.dates()
    written = lake.replace(
        query.name,
        _in_order(con, query, None if whole else old, spans),
        partition_columns=[sql.PARTITION] if query.partitioned else [],
        partitions=None if whole else [{sql.PARTITION: date.isoformat()} for date in dates],
        txns={app_id(query, name, snapshot.id): snapshot.version for name, snapshot in sources.items()},
        comments={column.name: column.comment for column in query.columns},
        description=query.title,
        based_on=None if old is None else old.version,
        windows=None if whole or spans is None else _listed(spans),
        within=None if whole or spans is None or old is None else spans.hull,
    )
    count = "all" if whole or spans is None else f"{_windows_in(query, spans):,} windows"
    return written["version"], rows, written["rows"] - rows, count


def run(
    con: duckdb.DuckDBPyConnection,
    query: sql.Query,
    sources: Mapping[str, gold.Snapshot],
    spans: Spans | None,
    portion_rows: int = PORTION_ROWS,
) -> None:
    """Runs the query and leaves its rows in the table `citystream_result`.

    Args:
        con: Where.
        query: What to run.
        sources: The snapshot of each source.
        spans: The windows to compute; None for a table without windows.
        portion_rows: Rows of the sources that one run reads, unless an hour has more.
    """
    con.execute("DROP TABLE IF EXISTS citystream_result")
    if spans is None:
        _run_once(con, query, sources, None)
        return
    # Without a span there is no row, but there are columns.
    for portion in [*portions(query, sources, spans, portion_rows)] or [Spans()]:
        _run_once(con, query, sources, portion)


def _run_once(
    con: duckdb.DuckDBPyConnection, query: sql.Query, sources: Mapping[str, gold.Snapshot], spans: Spans | None
) -> None:
    """One run over the hull of the spans, for which the sources have only the rows that the spans' windows need.

    So late rows all over a day cost one run; what it makes of the windows in between is thrown away.
    """
    for source in query.sources:
        snapshot = sources[source.table]
        if spans is None or source.time is None:
            gold.register(con, snapshot)
            continue
        near = spans.widened(query.lookback_us)
        gold.register(con, snapshot, snapshot.holding(source.time, near))
        _only_near(con, source.table, source.time, near)
    first, last = (0, 0) if spans is None else spans.hull
    given = None if spans is None else {"from": instant(first), "to": instant(last)}
    made = con.execute(
        "SELECT count(*) FROM duckdb_tables() "
        "WHERE database_name = current_database() AND table_name = 'citystream_result'"
    ).fetchall()[0][0]
    target = "INSERT INTO citystream_result" if made else "CREATE TABLE citystream_result AS"
    try:
        con.execute(f"{target} {query.sql}", given)
    except duckdb.Error as error:
        raise TableError(f"{query.where(str(error))}: {error}. Check it against its sources' columns") from error
    if spans is not None and len(spans.parts) > 1:
        _spans_table(con, spans)
        con.execute(
            f"DELETE FROM citystream_result AS r WHERE r.window_start >= make_timestamptz({first}) "
            f"AND r.window_start < make_timestamptz({last}) AND {_outside('r')}"
        )


# Sources are cut down by cells of this length or the window's, whichever is longer.
_CELL = 60_000_000


def _only_near(con: duckdb.DuckDBPyConnection, table: str, time_column: str, near: Spans) -> None:
    """Cuts the view of a source down to the rows near the spans.

    The hull stands there as literals: DuckDB takes `$from - interval` for no constant, and would read every row group.
    """
    tier, name = (quoted(part) for part in table.split("."))
    all_rows, t = quoted(f"all_{table}"), quoted(time_column)
    first, last = (_literal(us) for us in near.hull)
    where = f"{t} >= {first} AND {t} < {last}"
    if len(near.parts) > 1:
        cells = quoted(f"near_{table}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE {cells} (first BIGINT, last BIGINT)")
        grown = near.aligned(_CELL).parts
        con.executemany(f"INSERT INTO {cells} VALUES (?, ?)", [(a // _CELL, b // _CELL) for a, b in grown])
        con.execute(f"CREATE OR REPLACE TEMP TABLE {cells} AS SELECT unnest(range(first, last)) AS cell FROM {cells}")
        where += f" AND {floor_of(f'epoch_us({t})', _CELL)} // {_CELL} IN (SELECT cell FROM {cells})"
    con.execute(f"DROP VIEW IF EXISTS {tier}.{all_rows}")
    con.execute(f"ALTER VIEW {tier}.{name} RENAME TO {all_rows}")
    con.execute(f"CREATE VIEW {tier}.{name} AS SELECT * FROM {tier}.{all_rows} WHERE {where}")


def _literal(us: int) -> str:
    return f"TIMESTAMPTZ '{instant(us).isoformat(sep=' ')}'"


def _spans_table(con: duckdb.DuckDBPyConnection, spans: Spans) -> None:
    con.execute("CREATE OR REPLACE TEMP TABLE citystream_spans (start BIGINT, stop BIGINT)")
    con.executemany("INSERT INTO citystream_spans VALUES (?, ?)", [list(part) for part in spans.parts])


def _outside(row: str) -> str:
    us = f"epoch_us({row}.window_start)"
    return f"NOT EXISTS (SELECT 1 FROM citystream_spans AS s WHERE {us} >= s.start AND {us} < s.stop)"


def _in_order(
    con: duckdb.DuckDBPyConnection, query: sql.Query, old: gold.Snapshot | None, spans: Spans | None
) -> duckdb.DuckDBPyRelation:
    """The result, and of what no new row touches the windows between the first and the last that are new.

    Sorted: one date after the other, so that few files are open, and equal results are equal rows in equal order. What
    stands before the first window and after the last one is no part of it: it stays in the table.

    Args:
        con: Where the result is.
        query: Its query.
        old: The table until now; None where nothing of it stays.
        spans: The windows that are new; None for all.
    """
    order = [sql.PARTITION] if query.partitioned else []
    order += ["window_start"] if query.window is not None else []
    by = ", ".join(quoted(name) for name in dict.fromkeys([*order, *query.key]))
    columns = ", ".join(quoted(column.name) for column in query.columns)
    rows = f"SELECT {columns} FROM citystream_result"
    if old is not None and spans is not None and len(spans.parts) > 1:
        between = _between(con, old, columns, spans)
        rows += f" UNION ALL {between}" if between else ""
    return con.sql(f"SELECT * FROM ({rows}) ORDER BY {by}")


def _between(con: duckdb.DuckDBPyConnection, old: gold.Snapshot, columns: str, spans: Spans) -> str | None:
    """What reads the rows of the spans' dates within their hull and in none of them; None where no file has any."""
    start, end = spans.hull
    dates = {date.isoformat() for date in spans.dates()}
    held = old.holding("window_start", Spans.of([spans.hull]))
    files = [file for file in held if file["partition"].get(sql.PARTITION) in dates]
    if not files:
        return None
    _spans_table(con, spans)
    return (
        f"SELECT {columns} FROM (SELECT * FROM {gold.rows_of(con, old, files)} "
        f"WHERE window_start >= {_literal(start)} AND window_start < {_literal(end)}) AS r WHERE {_outside('r')}"
    )


def _count(con: duckdb.DuckDBPyConnection) -> int:
    return int(con.execute("SELECT count(*) FROM citystream_result").fetchall()[0][0])


def _listed(spans: Spans) -> list[tuple[int, int]]:
    listed = spans if len(spans.parts) <= LISTED else spans.aligned(DAY)
    if len(listed.parts) > LISTED:
        return [spans.hull]
    return list(listed.parts)


def _windows_in(query: sql.Query, spans: Spans) -> int:
    return sum(end - start for start, end in spans.parts) // query.window_us


def verify(con: duckdb.DuckDBPyConnection, query: sql.Query, spans: Spans | None) -> None:
    """Compares `citystream_result` with the query's header.

    Args:
        con: Where it is.
        query: The header.
        spans: The windows that were asked for; None for a table without windows.

    Raises:
        TableError: Other columns, a key that stands twice, or a window that nobody asked for.
    """
    got = [(row[0], row[1]) for row in con.execute("DESCRIBE citystream_result").fetchall()]
    wanted = [(column.name, sql.TYPES[column.type]) for column in query.columns]
    if got != wanted:
        differing = [f"{a} where the header has {b}" for a, b in zip(got, wanted, strict=False) if a != b]
        what = differing[0] if differing else f"{len(got)} columns where the header has {len(wanted)}"
        raise TableError(f"{query.at('columns')}: the query gives {what}. Make the query and its header agree")
    key = ", ".join(quoted(part) for part in query.key)
    twice = con.execute(f"SELECT {key} FROM citystream_result GROUP BY {key} HAVING count(*) > 1 LIMIT 1").fetchall()
    if twice:
        raise TableError(f"{query.at('key')}: the query gives two rows for ({key}) = {twice[0]}. Make the key unique")
    if spans is None:
        return
    first, last = spans.hull
    strange = con.execute(
        "SELECT CAST(window_start AS VARCHAR), CAST(window_date AS VARCHAR) FROM citystream_result "
        f"WHERE NOT coalesce(window_start >= make_timestamptz({first}) AND window_start < make_timestamptz({last}) "
        "AND CAST(window_start AS DATE) = window_date, false) ORDER BY 1 LIMIT 1"
    ).fetchall()
    if strange:
        start, date = strange[0]
        raise TableError(
            f"{query.path}: the query gives the window {start} of {date}, which nobody asked for. Use $from and $to, "
            "and give window_start and its date"
        )

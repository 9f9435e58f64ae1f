"""Refining beside an ingest that follows, and how far gold is behind the topics."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import gold, sql
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from . import _core
    from .lake import RefineReport

_LOG = logging.getLogger(__name__)

# Refinements that may fail in a row before the ingest ends, too.
MOST_FAILURES = 10

# Times are told apart by a tenth of a second, and more than an hour counts as one: 36,000 counts a table at most.
_TENTHS = 10
_MOST = 3600 * _TENTHS

# Texts of failures that are kept.
_FAILURES = 20


@dataclass(frozen=True)
class GoldLag(Report):
    """Seconds from the Kafka timestamps of a run's records to the commits that brought them into a gold table.

    `last_s` is that of the newest record of the last commit, `median_s` and `max_s` are over all `records`: those that
    came to Kafka after the run had begun, of all streams that the table reads.
    """

    table: str
    records: int
    last_s: float
    median_s: float
    max_s: float


class Refining:
    """Refines again and again on a thread of its own.

    A refinement that fails is logged and tried again in the next round. After `MOST_FAILURES` in a row, `give_up` is
    called, and `finish` raises the last error.

    Args:
        lake: The lake.
        refine: One round.
        every: Seconds from the beginning of a round to that of the next; a round that takes longer is followed at once.
        give_up: Ends the ingest.
        metrics: Counts along, where somebody watches.
    """

    def __init__(
        self,
        lake: _core.Lake,
        refine: Callable[[], RefineReport],
        every: float,
        *,
        give_up: Callable[[], None],
        metrics: _core.Metrics | None = None,
    ) -> None:
        self._refine, self._every = refine, every
        self._give_up, self._metrics = give_up, metrics
        self._lags = Lags(lake)
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._in_a_row = 0
        self.rounds = 0
        self.failures: list[str] = []
        self.refined: RefineReport | None = None
        self._thread = threading.Thread(target=self._loop, name="citystream-refine", daemon=True)
        self._thread.start()

    @property
    def lag(self) -> tuple[GoldLag, ...]:
        """How far each gold table was behind."""
        return self._lags.report()

    def finish(self) -> None:
        """Waits for the round that is under way, and refines what came after it.

        Raises:
            CitystreamError: Refining had been given up, or this last round failed.
        """
        self.leave()
        if self._in_a_row < MOST_FAILURES:
            self._round()
        if self._error is not None:
            raise self._error

    def leave(self) -> None:
        """Begins no further round and waits for the one that is under way."""
        self._ended.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self._round()
            if self._in_a_row >= MOST_FAILURES:
                self._give_up()
                return
            self._ended.wait(max(0.0, began + self._every - time.monotonic()))

    def _round(self) -> None:
        began = time.monotonic()
        try:
            report = self._refine()
            self._lags.add(report)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, ingest goes on, and the user hears of it.
            self._error, self._in_a_row = error, self._in_a_row + 1
            text = f"refining failed ({self._in_a_row} in a row): {type(error).__name__}: {error}"
            self.failures = [*self.failures, text][-_FAILURES:]
            _LOG.warning(text)
        else:
            self._error, self._in_a_row = None, 0
            self.rounds += 1
            self.refined = report if self.refined is None else together(self.refined, report)
        if self._metrics is not None:
            self._metrics.refined(time.monotonic() - began, self._error is not None)
            for lag in self.lag:
                self._metrics.gold_lag(lag.table, last=lag.last_s, median=lag.median_s, max=lag.max_s)


def together(first: RefineReport, second: RefineReport) -> RefineReport:
    """Two reports as one."""
    tables = {table.name: table for table in first.tables}
    for table in second.tables:
        before = tables.get(table.name)
        if before is not None:
            later = before if table.version is None else table
            table = dataclasses.replace(  # noqa: PLW2901
                later, rows=before.rows + table.rows, seconds=round(before.seconds + table.seconds, 3)
            )
        tables[table.name] = table
    streams = {**first.silver, **second.silver}
    return dataclasses.replace(
        second,
        silver={stream: first.silver.get(stream, 0) + second.silver.get(stream, 0) for stream in streams},
        dead_letter=first.dead_letter + second.dead_letter,
        quarantine=first.quarantine + second.quarantine,
        duplicate=first.duplicate + second.duplicate,
        tables=tuple(tables.values()),
        seconds=round(first.seconds + second.seconds, 3),
    )


class Lags:
    """Measures each gold table's way from Kafka: which records each of its commits took in, by bronze's new files."""

    def __init__(self, lake: _core.Lake) -> None:
        self._lake = lake
        self._began = time.time()
        names = set(lake.names())
        self._start = {name: lake.snapshot(name)["version"] for name in names if name.startswith("bronze.")}
        self._taken: dict[str, dict[str, int]] = {}
        self._counts: dict[str, Counter[int]] = {}
        self._last: dict[str, float] = {}

    def add(self, report: RefineReport) -> None:
        """Takes in what a refinement has done."""
        reached = {f"bronze.{stream}": version for stream, version in report.bronze_versions.items()}
        sources = {query.name: _streams(query) for query in sql.load()}
        arrived: dict[tuple[str, int, int], Counter[int]] = {}
        for table in report.tables:
            if not table.name.startswith("gold.") or table.name not in sources:
                continue
            taken = self._taken.setdefault(table.name, dict(self._start))
            spans = [
                (name, taken.get(name, -1), reached[name])
                for name in sources[table.name]
                if reached.get(name, -1) > taken.get(name, -1)
            ]
            taken.update({name: until for name, _, until in spans})
            # Nothing changed: the new rows don't concern this table.
            if table.version is None or not spans:
                continue
            for span in spans:
                if span not in arrived:
                    arrived[span] = self._arrivals(*span)
            self._note(table.name, [arrived[span] for span in spans])

    def _note(self, table: str, arrivals: Sequence[Mapping[int, int]]) -> None:
        committed = self._lake.snapshot(table)["last_commit_ms"]
        now = time.time() if committed is None else committed / 1000
        counts = self._counts.setdefault(table, Counter())
        newest = None
        for arrival in arrivals:
            for tenth, rows in arrival.items():
                counts[min(max(round(now * _TENTHS) - tenth, 0), _MOST)] += rows
                newest = tenth if newest is None else max(newest, tenth)
        if newest is not None:
            self._last[table] = max(now - newest / _TENTHS, 0.0)

    def _arrivals(self, name: str, since: int, until: int) -> Counter[int]:
        """Records of these commits by Kafka's timestamp in tenths of a second."""
        found: Counter[int] = Counter()
        files = self._lake.changes(name, since, until)
        if not files:
            return found
        snapshot = gold.Snapshot.of(self._lake, name)
        with gold.connect() as con:
            rows = con.execute(
                f"SELECT CAST(epoch_ms(kafka_timestamp) // 100 AS BIGINT) AS tenth, count(*) "
                f"FROM {gold.rows_of(con, snapshot, files)} WHERE kafka_timestamp >= $1 GROUP BY tenth",
                [dt.datetime.fromtimestamp(self._began, dt.timezone.utc)],
            ).fetchall()
        found.update(dict(rows))
        return found

    def report(self) -> tuple[GoldLag, ...]:
        """What was measured so far."""
        return tuple(
            GoldLag(
                table,
                records=sum(counts.values()),
                last_s=round(self._last[table], 1),
                median_s=_median(counts),
                max_s=max(counts) / _TENTHS,
            )
            for table, counts in sorted(self._counts.items())
            if counts
        )


def _streams(query: Any) -> list[str]:
    """The bronze tables behind a gold table's sources."""
    tables = [source.table for source in query.sources]
    return sorted({f"bronze.{name.split('.')[1]}" for name in tables if name.split(".")[0] in ("bronze", "silver")})


def _median(counts: Mapping[int, int]) -> float:
    half, seen = sum(counts.values()) / 2, 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value / _TENTHS
    return 0.0

"""Streams by the interface of PySpark 4.2: micro-batches of a bounded size, and `availableNow` in several of them."""

from __future__ import annotations

from typing import Any

from pyspark.sql.streaming.datasource import (
    ReadAllAvailable,
    ReadLimit,
    ReadMaxFiles,
    ReadMaxRows,
    SupportsTriggerAvailableNow,
)

from .source import Source, StreamReader


class LimitedStreamReader(StreamReader, SupportsTriggerAvailableNow):
    """A stream whose micro-batches have at most what the source's option says."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._target: dict[str, Any] | None = None

    def getDefaultReadLimit(self) -> ReadLimit:  # noqa: N802
        """The option's. Spark has no limit by simulated time; the stretches of a trace are what files are elsewhere."""
        if self.source.most is None:
            return ReadAllAvailable()
        return ReadMaxRows(self.source.most) if self.source.counts_rows else ReadMaxFiles(self.source.most)

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802
        """What comes later belongs to the next query."""
        self._target = self.source.last()

    def latestOffset(self, start: dict[str, Any] | None = None, limit: Any = None) -> dict[str, Any]:  # noqa: N802
        """Behind what the next micro-batch may have."""
        end = self._target or self.source.last()
        most = limit.max_rows if isinstance(limit, ReadMaxRows) else None
        most = limit.max_files if isinstance(limit, ReadMaxFiles) else most
        return end if start is None or most is None else self.source.capped(start, end, most)

    def reportLatestOffset(self) -> dict[str, Any]:  # noqa: N802
        """Behind all that is there, so that a query's progress tells how far it is behind."""
        return self.source.last()

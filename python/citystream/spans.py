"""Sets of windows as spans of time: disjoint, in order, each [start, end) in microseconds since the epoch."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HOUR = 3_600_000_000
DAY = 24 * HOUR
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_EPOCH_DAY = EPOCH.date().toordinal()


@dataclass(frozen=True)
class Spans:
    """What lies in any of some spans of time."""

    parts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Spans:
        """The union of pairs, which may overlap and stand in any order."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted(pairs):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            elif start < end:
                merged.append((start, end))
        return cls(tuple(merged))

    @classmethod
    def of_dates(cls, dates: Iterable[dt.date]) -> Spans:
        """Whole UTC days."""
        return cls.of((day_us(date), day_us(date) + DAY) for date in dates)

    @property
    def hull(self) -> tuple[int, int]:
        """From the first start to the last end; (0, 0) where there is no span."""
        return (self.parts[0][0], self.parts[-1][1]) if self.parts else (0, 0)

    def widened(self, by: int) -> Spans:
        """Each span longer by so much at both ends."""
        return Spans.of((start - by, end + by) for start, end in self.parts)

    def aligned(self, length: int) -> Spans:
        """Grown to whole windows of a length that start at its multiples."""
        return Spans.of((start - start % length, end + -end % length) for start, end in self.parts)

    def meets(self, first: int, last: int) -> bool:
        """Whether any of the instants from `first` to `last`, both included, lies in a span."""
        at = bisect_right(self.parts, (last, _LATEST))
        return at > 0 and self.parts[at - 1][1] > first

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) lies in one span."""
        at = bisect_right(self.parts, (start, _LATEST))
        return at > 0 and self.parts[at - 1][1] >= end

    def dates(self) -> list[dt.date]:
        """The UTC dates that they touch, in order."""
        return sorted({date for start, end in self.parts for date in _dates(start, end)})

    def cut(self, length: int) -> Iterator[tuple[int, int]]:
        """The spans cut at the multiples of a length."""
        for start, end in self.parts:
            at = start
            while at < end:
                stop = min(end, at - at % length + length)
                yield at, stop
                at = stop


_LATEST = 1 << 63


def _dates(start: int, end: int) -> Iterator[dt.date]:
    for day in range(start // DAY, (end - 1) // DAY + 1):
        yield dt.date.fromordinal(_EPOCH_DAY + day)


def day_us(date: dt.date) -> int:
    """A date's midnight, UTC."""
    return (date.toordinal() - _EPOCH_DAY) * DAY


def instant(us: int) -> dt.datetime:
    """A time in UTC."""
    return EPOCH + dt.timedelta(microseconds=us)


def micros(time: dt.datetime) -> int:
    """A time, in UTC or with its zone, in microseconds since the epoch."""
    return (time - EPOCH) // dt.timedelta(microseconds=1)


def parse(text: str) -> int:
    """A time as a Delta log has it: `2026-06-01T00:00:00.123Z`, with an offset, or without a zone, which is UTC.

    Raises:
        ValueError: It is none.
    """
    time = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return micros(time if time.tzinfo else time.replace(tzinfo=dt.timezone.utc))


def floor_of(us: str, length: int) -> str:
    """In DuckDB's SQL: the greatest multiple of a length that is not above a BIGINT, also below zero."""
    # % has the dividend's sign.
    return f"(({us}) - ((({us}) % {length}) + {length}) % {length})"

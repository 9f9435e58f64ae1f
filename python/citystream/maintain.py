"""Reports of a lake's maintenance, and the units in which people say what they want of it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import times
from .errors import ConfigError
from .report import Report, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_EPOCH = dt.date(1970, 1, 1)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|KiB|MiB|GiB)")
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Checked(list[str]):
    """What is wrong with a lake, one text for each fault; empty is sound.

    Attributes:
        tables: Tables looked at.
        files: Data files looked at.
        offsets_without_rows: Offsets inside the committed ranges that no row has: markers of transactions, aborted and
            compacted records.
        leftovers: Files that no commit mentions, from a crash or a commit in work. No fault; `vacuum` deletes them.
        leftover_bytes: Their size.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__(found["problems"])
        self.tables: int = found["tables"]
        self.files: int = found["files"]
        self.offsets_without_rows: int = found["offsets_without_rows"]
        self.leftovers: int = found["leftovers"]
        self.leftover_bytes: int = found["leftover_bytes"]


@dataclass(frozen=True)
class TableCompacted(Report):
    """One table: how many files became how many, and how many bytes; `bytes_after` is 0 in a dry run."""

    name: str
    removed: int
    added: int
    rows: int
    bytes_before: int
    bytes_after: int
    commits: int
    conflicts: int


@dataclass(frozen=True)
class CompactReport(Report):
    """What was put together; tables in which there was nothing to do are left out."""

    tables: tuple[TableCompacted, ...]
    seconds: float
    dry_run: bool

    HEADINGS = ("table", "files before", "after", "rows", "size before", "after", "commits", "conflicts")

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Each table's values for people."""
        for t in self.tables:
            after = "–" if self.dry_run else size(t.bytes_after)
            rows = "–" if self.dry_run else f"{t.rows:,}"
            yield (
                *(t.name, f"{t.removed:,}", f"{t.added:,}", rows, size(t.bytes_before), after),
                *(f"{t.commits:,}", f"{t.conflicts:,}"),
            )


@dataclass(frozen=True)
class TableVacuumed(Report):
    """One table: files that had left it, leftovers of crashes, and what stays for a reader that hasn't come so far."""

    name: str
    removed: int
    leftovers: int
    bytes: int
    unread: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class VacuumReport(Report):
    """What was deleted; tables in which there was nothing to do are left out."""

    tables: tuple[TableVacuumed, ...]
    seconds: float
    dry_run: bool

    HEADINGS = ("table", "old files", "leftovers", "size", "kept for silver")

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Each table's values for people."""
        for t in self.tables:
            yield t.name, f"{t.removed:,}", f"{t.leftovers:,}", size(t.bytes), f"{t.unread:,}"


@dataclass(frozen=True)
class TableCheckpointed(Report):
    """One table: its newest checkpoint, files of its log that were deleted, the oldest version that can be read.

    `held_by` is the table for which older commits stay, since it hasn't read them.
    """

    name: str
    checkpoint: int
    written: bool
    deleted: int
    oldest: int
    held_by: str | None


@dataclass(frozen=True)
class CheckpointReport(Report):
    """What was done to each table's log."""

    tables: tuple[TableCheckpointed, ...]
    seconds: float
    dry_run: bool

    HEADINGS = ("table", "checkpoint", "log files deleted", "oldest version", "held by")

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Each table's values for people."""
        for t in self.tables:
            yield t.name, f"{t.checkpoint:,}", f"{t.deleted:,}", f"{t.oldest:,}", t.held_by or "–"


@dataclass(frozen=True)
class TableRetained(Report):
    """One table: dates that were dropped, and old ones that stay because `held_by` hasn't read them in full."""

    name: str
    dates: tuple[str, ...]
    rows: int
    files: int
    kept: tuple[str, ...]
    held_by: str | None


@dataclass(frozen=True)
class RetainReport(Report):
    """What was dropped; tables without an old date are left out."""

    tables: tuple[TableRetained, ...]
    seconds: float
    dry_run: bool

    HEADINGS = ("table", "dates dropped", "rows", "files", "dates kept", "for")

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Each table's values for people."""
        for t in self.tables:
            yield t.name, _span(t.dates), f"{t.rows:,}", f"{t.files:,}", _span(t.kept), t.held_by or "–"


def tables_of(kind: type[Any], found: Mapping[str, Any]) -> tuple[Any, ...]:
    """The tables of the core's answer."""
    return tuple(
        kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
        for table in found["tables"]
    )


def names_of(tables: str | Iterable[str] | None) -> list[str]:
    """One table's name, several, or none for all."""
    if tables is None:
        return []
    return [tables] if isinstance(tables, str) else list(tables)


def size_bytes(value: str | int, what: str) -> int:
    """A number of bytes, or a text like "128MiB" or "64 MB".

    Examples:
        >>> size_bytes("128MiB", "target"), size_bytes("1.5 GB", "target"), size_bytes(10, "target")
        (134217728, 1500000000, 10)

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(value, int):
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise ConfigError(f"{what} {value!r} is no size. Write it like 128MiB; the units are {', '.join(_SIZES)}")
    return int(float(found[1]) * _SIZES[found[2]])


def first_kept(age: times.Duration | None, today: dt.date | str | None, what: str) -> int | None:
    """The first date that an age keeps, in days since the epoch, counted from `today` (None: by the clock, in UTC).

    Examples:
        >>> first_kept("30d", "2026-06-30", "bronze") == first_kept("0d", "2026-05-31", "bronze")
        True

    Raises:
        ConfigError: The age isn't whole days, or the date is none.
    """
    if age is None:
        return None
    days, rest = divmod(times.duration_ms(age, what), 86_400_000)
    if rest:
        raise ConfigError(f"{what} {age!r} is not whole days. Dates are dropped as a whole: write it like 30d")
    if today is None:
        today = dt.datetime.now(dt.timezone.utc).date()
    elif isinstance(today, str):
        try:
            today = dt.date.fromisoformat(today)
        except ValueError:
            raise ConfigError(f"today {today!r} is no date. Write it like 2026-06-30") from None
    return (today - _EPOCH).days - days


def _span(dates: tuple[str, ...]) -> str:
    if not dates:
        return "–"
    return dates[0] if len(dates) == 1 else f"{len(dates):,}: {dates[0]} to {dates[-1]}"

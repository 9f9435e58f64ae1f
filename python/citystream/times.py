"""Instants and durations as people write them, into the milliseconds that the core takes."""

from __future__ import annotations

import datetime as dt
import re
from typing import TypeAlias

from .errors import ConfigError

Instant: TypeAlias = "str | dt.datetime"
Duration: TypeAlias = "str | dt.timedelta"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_UNIT_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[a-z]+)")


def instant_ms(value: Instant, what: str = "time") -> int:
    """Milliseconds since the epoch of a datetime or an ISO 8601 text; without a zone, UTC.

    Examples:
        >>> instant_ms("2026-06-01T00:00Z")
        1780272000000
        >>> instant_ms("2026-06-01")
        1780272000000

    Raises:
        ConfigError: It is neither.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            # Python 3.10 doesn't know the Z.
            value = dt.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
        except ValueError:
            raise ConfigError(f"{what} {text!r} is no time. Write it like 2026-06-01T00:00:00Z") from None
    if not isinstance(value, dt.datetime):
        raise ConfigError(f"{what} {value!r} is no time. Give a datetime or a text like 2026-06-01T00:00:00Z")
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.timezone.utc)
    return (value - _EPOCH) // dt.timedelta(milliseconds=1)


def duration_ms(value: Duration, what: str = "duration") -> int:
    """Milliseconds of a timedelta or a text like "90s", "5min", "1d" or "1h30min".

    Examples:
        >>> duration_ms("90s"), duration_ms("1h30min")
        (90000, 5400000)

    Raises:
        ConfigError: It is neither, or negative.
    """
    if isinstance(value, dt.timedelta):
        if value < dt.timedelta():
            raise ConfigError(f"{what} {value} is negative")
        return value // dt.timedelta(milliseconds=1)
    if not isinstance(value, str):
        raise ConfigError(f'{what} {value!r} has no unit. Give a timedelta or a text like "90s", "5min" or "1d"')
    text = value.replace(" ", "")
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text or any(part["unit"] not in _UNIT_MS for part in parts):
        raise ConfigError(f'{what} {value!r} is no duration. Write it like "90s", "5min", "1h30min" or "1d"')
    return round(sum(float(part["number"]) * _UNIT_MS[part["unit"]] for part in parts))


def instant_text(ms: int) -> str:
    """An instant as ISO 8601 in UTC, without milliseconds where there are none.

    Examples:
        >>> instant_text(1780272000000)
        '2026-06-01T00:00:00Z'
    """
    text = datetime_of(ms).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


def datetime_of(ms: int) -> dt.datetime:
    """An instant as a datetime in UTC."""
    return _EPOCH + dt.timedelta(milliseconds=ms)


def duration_text(ms: int) -> str:
    """A duration as `duration_ms` reads it.

    Examples:
        >>> duration_text(5_400_000), duration_text(86_400_000), duration_text(0)
        ('1h30min', '1d', '0s')
    """
    parts = []
    for unit, size in sorted(_UNIT_MS.items(), key=lambda item: -item[1]):
        if unit != "w" and ms >= size:
            parts.append(f"{ms // size}{unit}")
            ms %= size
    return "".join(parts) or "0s"

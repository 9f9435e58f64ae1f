"""Results of long work: fields to use, a text to read, a table in a notebook."""

from __future__ import annotations

import dataclasses
import datetime as dt
from html import escape
from typing import Any

_KILO = 1000


class Report:
    """What every report can do; reports are frozen dataclasses."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that `json.dumps` takes."""
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(text(value))}</td></tr>"
            for name, value in self.to_dict().items()
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{cells}</table>"


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Report):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat().removesuffix("+00:00") + "Z"
    return value


def text(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list | tuple):
        return "; ".join(text(item) for item in value) or "–"
    return str(value)


def per_second(count: int, seconds: float) -> float:
    """How many in a second, on average."""
    return count / seconds if seconds > 0 else 0.0


def size(count: int) -> str:
    """A number of bytes for people.

    Examples:
        >>> size(512), size(1_500_000)
        ('512 B', '1.5 MB')
    """
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= _KILO and len(units) > 1:
        value /= _KILO
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"

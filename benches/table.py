"""Tables of RESULTS.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from benches.outcome import Metric, Outcome, Ratio, ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")
MISSING = "–"
RATIOS: tuple[tuple[Metric, str], ...] = (
    ("events_per_cpu", "per CPU-second"),
    ("mb_per_cpu", "MB per CPU-second"),
    ("events_per_s", "per second"),
)


@dataclass(frozen=True)
class Table:
    """Outcomes of one work, who of them is compared with whom, and what a reader must know.

    Args:
        title: What the work is.
        outcomes: Of one `alternate`, so that their samples belong together round by round.
        comparisons: Names of ours and of the peer.
        notes: Sentences.
        unit: What is counted.
    """

    title: str
    outcomes: Sequence[Outcome]
    comparisons: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    unit: str = "events"

    def ratios(self) -> list[tuple[str, str, dict[Metric, Ratio | None]]]:
        """Ours, the peer, and ours over the peer's by metric."""
        by_name = {outcome.name: outcome for outcome in self.outcomes}
        return [
            (ours, peer, {metric: ratio(by_name[ours], by_name[peer], metric) for metric, _ in RATIOS})
            for ours, peer in self.comparisons
        ]

    def markdown(self) -> str:
        """The table, the ratios and the notes."""
        columns: tuple[tuple[str, Metric, Callable[[float], str]], ...] = (
            (self.unit, "events", count),
            (f"bytes per {self.unit.removesuffix('s')}", "bytes_per_event", lambda value: f"{value:.1f}"),
            (f"{self.unit} per CPU-second", "events_per_cpu", si),
            ("MB per CPU-second", "mb_per_cpu", lambda value: f"{value:,.1f}"),
            (f"{self.unit} per second", "events_per_s", si),
            ("CPU s", "cpu", lambda value: f"{value:.2f}"),
            ("wall s", "wall", lambda value: f"{value:.2f}"),
            ("peak MiB", "rss", lambda value: f"{value / 2**20:,.0f}"),
        )
        parts = [f"### {self.title}"]
        rows = [
            [outcome.name, *(shown(outcome.median(metric), text) for _, metric, text in columns)]
            for outcome in self.outcomes
        ]
        parts.append(grid(["", *(heading for heading, _, _ in columns)], rows))
        parts += [f"**{outcome.name} failed:** {outcome.failure}" for outcome in self.outcomes if outcome.failure]
        if self.comparisons:
            lines = [
                [f"{ours} ÷ {peer}", *(shown(found[metric], times) for metric, _ in RATIOS)]
                for ours, peer, found in self.ratios()
            ]
            parts.append(grid(["ratio", *(f"{self.unit} {h}" if h[0] == "p" else h for _, h in RATIOS)], lines))
        parts += self.notes
        return "\n\n".join(parts)


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first stand right."""
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def shown(value: _T | None, text: Callable[[_T], str]) -> str:
    """A value as text, or a dash."""
    return MISSING if value is None else text(value)


def count(value: float) -> str:
    """A whole number."""
    return f"{value:,.0f}"


def si(value: float) -> str:
    """Three significant digits in millions or thousands."""
    for size, letter in ((1e6, " M"), (1e3, " k"), (1.0, "")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.{max(0, 2 - int(math.log10(scaled)))}f}{letter}"
    return f"{value:.2f}"


def times(value: Ratio) -> str:
    """A ratio with its range."""
    return f"{value.median:.2f} ({value.least:.2f}–{value.greatest:.2f})"

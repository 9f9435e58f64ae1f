"""What commands print: one result on standard output, everything else on standard error."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from citystream.report import plain, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb
    from rich.console import Console

    from citystream.report import Report

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
# Logs and pipes have no edge.
_WIDTH = 10_000


@dataclass
class Output:
    """Where a command's result goes, and the status it ends with."""

    json: bool
    quiet: bool
    status: int = 0

    @property
    def progress(self) -> bool | None:
        """For `progress=`: none where nobody asked for words."""
        return False if self.quiet or self.json else None

    @property
    def words(self) -> bool:
        """Whether to print for people."""
        return not self.json and not self.quiet

    def document(self, value: Any) -> None:
        """Prints the JSON document, where that was asked for."""
        if self.json:
            json.dump(plain(value), sys.stdout, ensure_ascii=False, default=_json, indent=2)
            sys.stdout.write("\n")

    def report(self, report: Report, title: str) -> None:
        """Prints a report, either way."""
        self.document(report)
        if self.words:
            values = report.to_dict()
            self.table(title, ("", ""), ((name.replace("_", " "), text(value)) for name, value in values.items()))

    def table(
        self, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], note: str | None = None
    ) -> None:
        """Prints a table for people; a column whose cells are all numbers stands right."""
        from rich.table import Table  # noqa: PLC0415

        target = console()
        cells = [list(row) for row in rows]
        shown = Table(title=title or None, title_justify="left", show_header=any(headings))
        for column, heading in enumerate(headings):
            numeric = all(row[column][:1] in "0123456789-–" for row in cells if row[column])
            shown.add_column(heading, justify="right" if numeric and cells else "left", overflow="fold")
        for row in cells:
            shown.add_row(*(_plain_markup(cell) for cell in row))
        natural = target.measure(shown, options=target.options.update(max_width=_WIDTH)).maximum
        if target.is_terminal and natural > 1.5 * target.width:
            self._blocks(headings, cells)
        else:
            target.print(shown)
        if note is not None:
            self.line(note)

    @staticmethod
    def _blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        # Too many columns for this terminal: each row on its own lines.
        width = max(len(heading) for heading in headings)
        for number, row in enumerate(rows, start=1):
            sys.stdout.write(f"row {number}\n")
            sys.stdout.writelines(f"  {h.ljust(width)}  {c}\n" for h, c in zip(headings, row, strict=True))

    def line(self, words: str) -> None:
        """Prints one line for people."""
        if self.words:
            sys.stdout.write(words + "\n")

    def note(self, words: str) -> None:
        """Tells people something beside the result."""
        if not self.quiet:
            sys.stderr.write(words + "\n")
            sys.stderr.flush()


def fail(error: Exception, status: int, output: Output) -> int:
    """Tells an error and gives the status to end with."""
    kind, message = type(error).__name__, str(error).strip()
    if output.json:
        output.document({"error": {"type": kind, "message": message}})
    sys.stderr.write(f"{kind}: {message}\n")
    return status


def fetch(relation: duckdb.DuckDBPyRelation, limit: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows; instants are datetimes in UTC, which DuckDB 1 would need pytz for."""
    names, kinds = relation.columns, [str(kind) for kind in relation.types]
    listed = [_fetchable('"' + n.replace('"', '""') + '"', kind) for n, kind in zip(names, kinds, strict=True)]
    chosen = relation if limit is None else relation.limit(limit)
    instants = [kind == "TIMESTAMP WITH TIME ZONE" for kind in kinds]
    return names, [
        tuple(
            _EPOCH + dt.timedelta(microseconds=value) if instant and value is not None else value
            for value, instant in zip(row, instants, strict=True)
        )
        for row in chosen.project(", ".join(listed)).fetchall()
    ]


def cell(value: Any) -> str:
    """A value of a query's result for people."""
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ").removesuffix("+00:00")
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1e15 else repr(value)  # noqa: PLR2004
    return "" if value is None else text(value)


def console() -> Console:
    """Standard output for people."""
    from rich.console import Console  # noqa: PLC0415

    return Console(width=None if sys.stdout.isatty() else _WIDTH)


def _fetchable(name: str, kind: str) -> str:
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_us({name}) AS {name}"
    return f"CAST({name} AS VARCHAR) AS {name}" if "TIMESTAMP WITH TIME ZONE" in kind else name


def _plain_markup(words: str) -> Any:
    from rich.text import Text  # noqa: PLC0415

    return Text(words)


def _json(value: Any) -> Any:
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)

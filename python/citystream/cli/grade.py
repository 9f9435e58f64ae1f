"""`citystream grade`: tables beside the truth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citystream import ConfigError
from citystream.settings import Settings
from citystream.topics import EVENTS

from .options import CityOptions, StorageOptions, command, pairs
from .output import Output

if TYPE_CHECKING:
    from citystream.grading import GradeReport

_ALL = 100.0


def add_to(app: typer.Typer) -> None:
    """Registers the command."""

    @command(
        app,
        "grade",
        "citystream grade lake",
        "citystream grade lake --min 99.9 --junit grade.xml",
        "citystream grade --seed 7 --late 0.05 --silver out/silver --gold road_5min=out/roads",
        "citystream grade --seed 7 --silver gps=fixes.parquet --column speed=speed_kmh --json",
    )
    def grade(
        city: CityOptions,
        output: Output,
        settings: Settings,
        storage: StorageOptions,
        lake: Annotated[
            str | None, typer.Argument(metavar="LAKE", help="A lake of citystream's; all of it is graded.")
        ] = None,
        silver: Annotated[
            list[str] | None,
            typer.Option(
                metavar="[STREAM=]PATH", help="A silver table: Parquet or Delta; without STREAM, of all streams."
            ),
        ] = None,
        gold: Annotated[
            list[str] | None, typer.Option(metavar="[TABLE=]PATH", help="A gold table, or a folder of them.")
        ] = None,
        column: Annotated[
            list[str] | None, typer.Option(metavar="THEIRS=OURS", help="A column that is called otherwise there.")
        ] = None,
        typed: Annotated[
            bool, typer.Option("--typed", help="The pipeline read typed files, which have no harmed events.")
        ] = False,
        least: Annotated[
            float, typer.Option("--min", metavar="PERCENT", help="End with status 1 below this score.")
        ] = _ALL,
        junit: Annotated[str | None, typer.Option(metavar="FILE", help="Write JUnit XML there.")] = None,
    ) -> None:
        """Grades silver and gold tables against the truth of the city that their events are of.

        A lake says itself which city that was; where no city is named on the command line, that one is taken. Ends with
        status 1 where something is wrong, or with --min where the score is below. docs/grade.md explains the verdicts.
        """
        # Imported here: most commands don't grade.
        from citystream.grading import city_of  # noqa: PLC0415
        from citystream.grading import grade as graded  # noqa: PLC0415

        opened = None if lake is None else storage.open(lake)
        tables: dict[str, Any] = {"silver": opened, "gold": opened}
        if silver or gold:
            tables = {"silver": _tables("--silver", silver, EVENTS), "gold": _tables("--gold", gold, None)}
        elif opened is None:
            raise ConfigError("nothing to grade is given. Name a lake, or tables with --silver and --gold")
        named = any(
            getattr(city, field.name) is not None for field in dataclasses.fields(city) if field.name != "threads"
        )
        against = city_of(opened) if opened is not None and not named else city.city(settings)
        columns = pairs("--column", column)
        report = graded(
            **tables,
            against=against,
            columns=columns,
            typed=typed,
            storage_options=storage.options(),
            progress=output.progress,
        )
        if junit is not None:
            Path(junit).write_text(report.junit(), encoding="utf-8")
        _show(report, output)
        output.status = 1 if report.score < least else 0


def _tables(flag: str, given: list[str] | None, names: tuple[str, ...] | None) -> Any:
    """What the function takes for PATH or NAME=PATH texts."""
    if not given:
        return None
    named = [text.partition("=") for text in given]
    if len(given) == 1 and not named[0][1]:
        return given[0]
    loose = [text for text, (_, equals, _) in zip(given, named, strict=True) if not equals]
    if loose:
        example = "gps" if names else "road_5min"
        raise ConfigError(
            f"{flag} {loose[0]!r} names no table among several. Write it like {flag} {example}={loose[0]}"
        )
    return {name: path for name, _, path in named}


def _show(report: GradeReport, output: Output) -> None:
    from citystream.grading import shown_score  # noqa: PLC0415

    output.document(report)
    if not output.words:
        return
    output.line(f"{shown_score(report.score)} against {report.city}")
    for words in report.diagnoses:
        output.line(f"- {words}")
    if report.silver:
        output.table("Silver: events by verdict", report.SILVER_HEADINGS, report.silver_cells())
        output.table("By fault; an event with two faults counts for both", report.FAULT_HEADINGS, report.fault_cells())
    if report.gold:
        output.table("Gold: rows by verdict", report.GOLD_HEADINGS, report.gold_cells())

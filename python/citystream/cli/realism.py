"""`citystream realism`: statistics of a city beside published ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from citystream.settings import Settings

from .options import CityOptions, command
from .output import Output

if TYPE_CHECKING:
    import typer

    from citystream.realism import RealismReport


def add_to(app: typer.Typer) -> None:
    """Registers the command."""

    @command(app, "realism", "citystream realism", "citystream realism --seed 11 --json")
    def realism(city: CityOptions, output: Output, settings: Settings) -> None:
        """Checks the city's statistics against published ones; ends with status 1 where one misses its target.

        Where nothing else is said the city has 100,000 vehicles on a weekday.
        """
        from citystream import realism as checks  # noqa: PLC0415

        # A city of the usual size has too little traffic to be measured.
        own = {"seed": checks.SEED, "vehicles": checks.VEHICLES, "start": checks.START, "duration": checks.DURATION}
        unsaid: dict[str, Any] = {
            name: value
            for name, value in own.items()
            if getattr(city, name) is None and not settings.given(f"city.{name}") and city.scenario is None
        }
        report = checks.run(replace(city, **unsaid).city(settings), progress=output.progress)
        _show(report, output)


def _show(report: RealismReport, output: Output) -> None:
    output.document(report)
    if output.words:
        output.table(str(report), report.HEADINGS, report.cells())
        output.line(f"{report.seconds:.0f} s. What each check measures: docs/realism.md")
    output.status = 0 if report.passed else 1

"""`citystream config`: each setting's value and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citystream.report import text
from citystream.settings import Settings

from .options import command
from .output import Output

if TYPE_CHECKING:
    import typer


def add_to(app: typer.Typer) -> None:
    """Registers the command."""

    @command(app, "config", "citystream config", "CITYSTREAM_CONFIG=prod.toml citystream config --json")
    def config(output: Output, settings: Settings) -> None:
        """Prints each setting's value and where it comes from; secrets are masked."""
        found = list(settings)
        output.document({v.key: {"value": v.shown, "source": v.source} for v in found})
        if output.words:
            rows = ((v.key, text(v.shown) if v.shown is None else str(v.shown), v.source) for v in found)
            output.table("A flag wins over all of these", ("setting", "value", "from"), rows)

"""The command line, in words a person types; the work is the package's."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from . import config, demo, grade, jobs, lake, realism, simulate, topics

app = typer.Typer(
    name="citystream",
    help="A simulated city with known truth, as Kafka streams and exactly-once lake tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001
    if wanted:
        from citystream import __version__, build_info  # noqa: PLC0415

        built = ", ".join(f"{name} {value}" for name, value in sorted(build_info().items()) if name != "version")
        sys.stdout.write(f"citystream {__version__} ({built})\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version and how it was built.")
    ] = False,
) -> None:
    pass


for part in (demo, simulate, lake, grade, realism, topics, config, jobs):
    part.add_to(app)


def main() -> None:
    """The console script."""
    app()

"""`citystream jobs copy`: the job scripts, to be changed and run."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from citystream import ConfigError

from .options import command
from .output import Output


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="jobs", help="Job scripts to start from.")

    @group.callback()
    def _group() -> None:
        # Keeps `copy` a subcommand although it is the only one.
        pass

    @command(group, "copy", "citystream jobs copy jobs", "python jobs/generate_data.py")
    def copy(
        directory: Annotated[str, typer.Argument(metavar="DIR", help="Where to; it is made where it doesn't exist.")],
        output: Output,
        force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    ) -> None:
        """Copies the job scripts into a folder."""
        to = Path(directory)
        with as_file(files("citystream").joinpath("jobs")) as source:
            scripts = sorted(source.glob("*.py"))
            for script in scripts:
                if (to / script.name).exists() and not force:
                    raise ConfigError(f"{to / script.name} is there already. Add --force to overwrite it")
            to.mkdir(parents=True, exist_ok=True)
            copied = [str(shutil.copy(script, to / script.name)) for script in scripts]
        output.document({"files": copied})
        for path in copied:
            output.line(path)

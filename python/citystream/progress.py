"""Progress of long calls: a bar on standard error where somebody can see it, or a callback."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Callback: TypeAlias = "Callable[[dict[str, Any]], None]"
Progress: TypeAlias = "bool | Callback | None"


@contextmanager
def shown(progress: Progress) -> Iterator[Callback | None]:
    """What to give the core as `progress`.

    Args:
        progress: None shows a bar if standard error is a terminal or this is a notebook; True always, False never; a
            callable gets each report as a dict of `stage`, `done`, `total`, `unit` and `detail`.
    """
    if callable(progress):
        yield progress
    elif progress or (progress is None and _visible()):
        yield from _bar()
    else:
        yield None


def _visible() -> bool:
    return sys.stderr.isatty() or ("ipykernel" in sys.modules and find_spec("ipywidgets") is not None)


def _bar() -> Iterator[Callback]:
    # Imported here: rich's progress bars take longer to import than everything else.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[detail]}", style="dim"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        stages: dict[str, Any] = {}

        def report(state: dict[str, Any]) -> None:
            stage, total = state["stage"], state["total"]
            if stage not in stages:
                stages[stage] = bar.add_task(stage, total=total, detail="")
            bar.update(stages[stage], completed=state["done"], total=total, detail=state["detail"])

        yield report

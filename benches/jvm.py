"""What Spark's JVM has used."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_CHILD_SUBREAPER = 36


def cpu_seconds(session: Any) -> float:
    """User and system time of a session's JVM by the kernel's account, since py4j may not call its own clock; Linux."""
    fields = _stat(Path(f"/proc/{session.sparkContext._gateway.proc.pid}/stat"))  # noqa: SLF001
    return sum(fields[10:12]) / os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Makes this process the parent of its children's orphans, which `cpu_seconds_below` would lose; Linux."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu_seconds_below(root: int) -> float:
    """The same of a process and of all that it or its children have started, as far as they run or were waited for."""
    # One that ends while it looks is missing, or is counted once more with whoever has waited for it: so it looks again
    # until all were still there afterwards.
    found, later = _ticks_below(root), _ticks_below(root)
    while found.keys() != later.keys():
        found, later = later, _ticks_below(root)
    return sum(found.values()) / os.sysconf("SC_CLK_TCK")


def _ticks_below(root: int) -> dict[int, int]:
    """By process."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = _stat(stat)
        except OSError:
            # It has ended since; whoever waited for it has its time.
            continue
        parents[int(stat.parent.name)], ticks[int(stat.parent.name)] = fields[0], sum(fields[10:14])
    below, found = {root}, 0
    while found != len(below):
        found = len(below)
        below |= {process for process, parent in parents.items() if parent in below}
    return {process: ticks.get(process, 0) for process in below}


def measured(work: Callable[[], int]) -> dict[str, float]:
    """One run of what gives its rows: by the wall, and by the CPU-seconds of this process and of all below it."""
    cpu, began = cpu_seconds_below(os.getpid()), time.monotonic()
    rows = work()
    return {"rows": rows, "seconds": time.monotonic() - began, "cpu": cpu_seconds_below(os.getpid()) - cpu}


def _stat(file: Path) -> list[int]:
    """What follows a process's name and state: its parent; [10:14] are utime, stime, cutime and cstime."""
    return [int(field) for field in file.read_text().rpartition(")")[2].split()[1:]]

"""What Spark's JVM has used."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any


def cpu_seconds(session: Any) -> float:
    """User and system time of a session's JVM by the kernel's account, since py4j may not call its own clock; Linux."""
    process = session.sparkContext._gateway.proc.pid  # noqa: SLF001
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of its children's orphans, which `cpu_seconds_below` would lose; Linux."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu_seconds_below(root: int) -> float:
    """The same of a process and of all that it or its children have started, as far as they run or were waited for."""
    times: dict[int, tuple[int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            # It has ended since; whoever waited for it has its time.
            continue
        times[int(stat.parent.name)] = int(after_name[1]), sum(int(ticks) for ticks in after_name[11:15])
    below, found = {root}, 1
    while found:
        more = {process for process, (parent, _) in times.items() if parent in below} - below
        below, found = below | more, len(more)
    return sum(times[process][1] for process in below if process in times) / os.sysconf("SC_CLK_TCK")

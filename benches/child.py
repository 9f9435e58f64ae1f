"""Runs a program and says what it cost."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Longer than any figure takes; a program that hangs must not hold up the rest.
TIMEOUT_S = 1_800.0
# Of a failed program: where most say what went wrong.
LAST_LINES = 4


@dataclass(frozen=True)
class Ran:
    """A program that ended well.

    Args:
        wall: Seconds from start to end.
        cpu: CPU-seconds, user and system.
        rss: Peak resident bytes; None where it is not above this process's own peak, with which a child begins.
        stdout: What it printed.
        stderr: What it printed there.
    """

    wall: float
    cpu: float
    rss: int | None
    stdout: str
    stderr: str


class RunError(Exception):
    """A program that did not do its work."""


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = TIMEOUT_S,
) -> Ran:
    """Runs `command` to its end.

    The cost is the kernel's account of the child and of the children that it waited for (`wait4`), start-up included.

    Args:
        command: Program and arguments.
        env: Variables beside those of this process.
        cwd: The folder it runs in.
        timeout: Seconds after which it is killed.

    Raises:
        RunError: It could not be started, ended with another status than 0, or was killed after `timeout`.
    """
    # Files, not pipes: nobody has to read along, and a full pipe can't hold the program up.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(env or {})}, cwd=cwd
            )
        except OSError as error:
            raise RunError(f"{command[0]}: {error.strerror}") from error
        late = threading.Timer(timeout, child.kill)
        late.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            late.cancel()
        wall = time.monotonic() - began
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if child.returncode != 0:
        why = f"was killed after {timeout:g} s" if wall >= timeout else f"ended with status {child.returncode}"
        said = [line.strip() for line in (texts[1].strip() or texts[0].strip()).splitlines()[-LAST_LINES:]]
        raise RunError(f"{Path(command[0]).name} {why}: {' / '.join(said)}")
    peak = usage.ru_maxrss if usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else None
    return Ran(wall, usage.ru_utime + usage.ru_stime, None if peak is None else peak * 1024, *texts)

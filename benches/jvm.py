"""What Spark's JVM has used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def cpu_seconds(session: Any) -> float:
    """User and system time of a session's JVM by the kernel's account, since py4j may not call its own clock; Linux."""
    process = session.sparkContext._gateway.proc.pid  # noqa: SLF001
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

"""The machine, and the versions of what ran on it."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from benches.child import RunError, run

ROOT = Path(__file__).resolve().parent.parent


def machine() -> dict[str, str]:
    """CPU, cores, memory, kernel, and how busy it was when the bench began."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "CPU": cpu[1] if cpu else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 2**20:.1f} GiB" if memory else "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "load when it began": f"{os.getloadavg()[0]:.2f} (mean of the minute before; 0 is an idle machine)",
    }


def commit() -> str:
    """The commit, and whether anything but the results differs from it."""
    try:
        head = run(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        status = run(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]).stdout.splitlines()
    except RunError:
        return "unknown"
    changed = [line for line in status if line[3:] not in ("benches/RESULTS.md", "benches/results.json")]
    return head + (" with uncommitted changes" if changed else "")


def today() -> str:
    """The date, UTC."""
    return dt.datetime.now(dt.timezone.utc).date().isoformat()


def build_info(python: Path) -> dict[str, str]:
    """What the wheel in another environment says of its build.

    Raises:
        RunError: There is no wheel.
    """
    found = run([str(python), "-c", "import json, citystream._core as core; print(json.dumps(core.build_info()))"])
    return {key: str(value) for key, value in json.loads(found.stdout).items()}


def versions(built: dict[str, str], ours: Path) -> dict[str, str]:
    """Versions of ours, of the peers and of what they run on."""
    return {
        "citystream": "{version}, profile {profile}, arrow {arrow}, librdkafka {librdkafka}".format(**built),
        "Python": _first_line([str(ours / "python"), "--version"]).removeprefix("Python "),
        "rustc": _first_line(["rustc", "--version"]).removeprefix("rustc "),
        "tpchgen-cli": version("tpchgen-cli"),
        "confluent-kafka": version("confluent-kafka"),
        "UXsim": version("uxsim"),
        "SUMO": version("eclipse-sumo"),
        "nexmark": _locked("nexmark", ROOT / "benches/peers/nexmark/Cargo.lock"),
        "PySpark": version("pyspark"),
        "Java": _first_line(["java", "-version"]),
    }


def _locked(package: str, lock: Path) -> str:
    found = re.search(rf'^name = "{package}"\nversion = "(.+)"$', lock.read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def _first_line(command: list[str]) -> str:
    try:
        ran = run(command)
    except RunError:
        return "not found"
    return (ran.stdout or ran.stderr).splitlines()[0]

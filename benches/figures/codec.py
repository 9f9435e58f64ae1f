"""JSON encode and decode alone, by criterion, beside arrow-json."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from benches.child import RunError
from benches.figure import Figure
from benches.outcome import Outcome, Sample
from benches.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from benches.bench import Bench

SCRIPT = "arrow_json.sh"
OURS, PEER = "citystream", "arrow-json"


def measure(bench: Bench) -> list[Table]:
    """A table for encoding and one for decoding."""
    tables = {
        group: Table(f"{group} gps, 1 thread", [Outcome(OURS), Outcome(PEER)], [(OURS, PEER)])
        for group in ("encode", "decode")
    }
    for number in range(1, bench.sizes.rounds + 1):
        bench.tell(f"{number}/{bench.sizes.rounds} criterion: encode and decode, citystream and arrow-json in turn")
        folder = bench.fresh("criterion")
        seconds = str(bench.sizes.codec_seconds)
        try:
            ran = bench.peer(SCRIPT, bench.profile, seconds, env={"CRITERION_HOME": str(folder)})
            size = message_size(ran.stderr + ran.stdout)
            for group, table in tables.items():
                for outcome in table.outcomes:
                    outcome.samples.append(estimate(folder / group / outcome.name / "new", size))
        except RunError as error:
            for table in tables.values():
                for outcome in table.outcomes:
                    outcome.failure = str(error)
            break
        shutil.rmtree(folder)
    return list(tables.values())


def message_size(printed: str) -> int:
    """The mean bytes of a message, which the bench prints.

    Raises:
        RunError: It did not.
    """
    found = re.search(r"^(\d+) bytes a message$", printed, re.MULTILINE)
    if found is None:
        raise RunError("benches/codec.rs did not print the size of a message")
    return int(found[1])


def estimate(folder: Path, size: int) -> Sample:
    """Criterion's median of one benchmark: a loop on one thread, so that its time is taken for CPU time.

    Raises:
        RunError: Criterion wrote no such estimate.
    """
    try:
        nanoseconds = json.loads((folder / "estimates.json").read_text())["median"]["point_estimate"]
        rows = json.loads((folder / "benchmark.json").read_text())["throughput"]["Elements"]
    except (OSError, KeyError, TypeError) as error:
        raise RunError(f"criterion wrote no estimate of {folder.parent.parent.name} {folder.parent.name}") from error
    return Sample(events=rows, cpu=nanoseconds / 1e9, wall=nanoseconds / 1e9, bytes=rows * size)


FIGURE = Figure(
    "codec",
    "JSON alone",
    "The criterion bench `benches/codec.rs`: gps batches of 8,192 rows to messages and back, on one thread, beside "
    "arrow-json on the very same batches and bytes. One iteration is one batch; its CPU-seconds are its wall time.",
    measure,
    peers=(SCRIPT,),
)

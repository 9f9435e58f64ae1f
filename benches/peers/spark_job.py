"""spark-city.py from Kafka to gold, warm, in turn with `citystream ingest --refine`: spark_job.py JOB.

JOB is one JSON document: master, or "standalone" for two worker processes; rounds; servers, whose topics have the
names of the original script; events, how many they hold; scratch, a folder; ours, the `citystream` command. Prints
{contender: [{"rows", "seconds", "cpu"}]} and the seconds of the job's steps. Every run makes a lake of its own; each
contender runs once before, uncounted. Needs PySpark 4.1.1; the missing jars are fetched by Maven.
"""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

import citystream as cs
from benches.jvm import adopt_orphans, measured
from citystream.topics import EVENTS
from services.spark import spark
from services.standalone import standalone

SCRIPT = str(Path(cs.__file__).parent / "jobs" / "spark-city.py")


class Job:
    """Two ways over the same topics."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.lake = job, Path(job["scratch"]) / "lake"
        self.steps: list[dict[str, float]] = []

    def theirs(self) -> int:
        """The job, in the session that there is."""
        sys.argv = [SCRIPT, "--lake", self._fresh(), "--bootstrap-servers", self.job["servers"], "--source=citystream"]
        with redirect_stdout(StringIO()) as printed:
            runpy.run_path(SCRIPT, run_name="__main__")
        told = (line.split(": ") for line in printed.getvalue().splitlines())
        self.steps.append({step: float(seconds.removesuffix(" s")) for step, seconds in told})
        return self._made()

    def ours(self) -> int:
        """One process, start-up included."""
        command = [self.job["ours"], "ingest", self._fresh(), "--bootstrap-servers", self.job["servers"], "--refine"]
        subprocess.run([*command, "--json"], check=True, stdout=subprocess.DEVNULL)
        return self._made()

    def _fresh(self) -> str:
        shutil.rmtree(self.lake, ignore_errors=True)
        return str(self.lake)

    def _made(self) -> int:
        """The events of bronze, all of which must be there, and of gold something."""
        rows = sum(DeltaTable(str(self.lake / "bronze" / stream)).count() for stream in EVENTS)
        if rows != self.job["events"] or not DeltaTable(str(self.lake / "gold" / "road_5min")).count():
            raise SystemExit(f"{rows} rows of bronze of {self.job['events']} events")
        return rows


def main() -> None:
    """Measures both."""
    given = json.loads(sys.argv[1])
    adopt_orphans()
    with standalone() if given["master"] == "standalone" else nullcontext(given["master"]) as master:
        session = spark(master, optimised=True, spark_sql_shuffle_partitions="2")
        session.sparkContext.setLogLevel("ERROR")
        job = Job(given)
        contenders = {"spark-city.py": job.theirs, "citystream ingest --refine": job.ours}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for _ in range(given["rounds"] + 1):
            for name, work in contenders.items():
                found[name].append(measured(work))
        session.stop()
    print(json.dumps({"samples": {name: runs[1:] for name, runs in found.items()}, "steps": job.steps[1:]}))


if __name__ == "__main__":
    main()

"""One broker and one S3 server for the whole gate, and the records that all of its lakes are filled from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import services

from . import audit, records
from .summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKER = Path(__file__).with_name("worker.py")
SUMMARY = os.environ.get("CHAOS_SUMMARY")
# Small, so that there are many commits; larger on S3, where each costs a dozen requests.
FILE_ROWS = {"local": 400, "s3": 1_500}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("CITYSTREAM_", "AWS_")) or name.endswith("_TOPIC"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def broker() -> Iterator[Any]:
    """A Kafka of the gate's own: it may be killed."""
    with services.kafka() as running:
        yield running


@pytest.fixture(scope="session")
def filled(broker: Any) -> records.Records:
    """Topics with a city in them."""
    return records.published(broker.bootstrap_servers)


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """A real S3 server."""
    with services.s3() as running:
        yield running


@dataclass
class Lake:
    """A lake to be, filled by a process that may be killed."""

    path: str
    options: dict[str, str] | None
    records: records.Records
    log: list[str] = field(default_factory=list)

    def job(self, **more: Any) -> str:
        """The worker's argument: first the cameras' and the vehicles' own words, then everything."""
        topics = self.records.topics
        first = {stream: topics[stream] for stream in ("traffic", "gps", "reference") if stream in topics}
        file_rows = FILE_ROWS["s3" if self.options else "local"]
        job = {"lake": self.path, "storage_options": self.options, "servers": self.records.servers,
               "passes": [first, topics], "file_rows": file_rows, "attempts": 1, "upkeep": None,
               "on_gap": "error"}  # fmt: skip
        return json.dumps(job | more)

    def start(self, crash_at: str | None = None, **more: Any) -> subprocess.Popen[str]:
        """A worker at work."""
        environment = {**os.environ, **({"CITYSTREAM_CRASH_AT": crash_at} if crash_at else {})}
        return subprocess.Popen(
            [sys.executable, str(WORKER), self.job(**more)], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, crash_at: str | None = None, **more: Any) -> int:
        """Runs a worker to its end, which may be a violent one; gives its status."""
        worker = self.start(crash_at, **more)
        out, err = worker.communicate(timeout=240)
        assert "panicked" not in err, err
        self.log.append(out + err)
        return worker.returncode

    def audited(self, *, gold: bool = True) -> list[str]:
        """What is wrong with it."""
        return audit.findings(self.path, self.options, self.records, gold=gold)

    def gaps(self) -> list[tuple[int, int, int]]:
        """The rows of bronze.ingest_gap: partition, first offset, the one after the last."""
        rows = audit.table(self.path, "bronze.ingest_gap", self.options).to_pylist()
        return sorted((row["kafka_partition"], row["from_offset"], row["to_offset"]) for row in rows)


@pytest.fixture
def lake(request: pytest.FixtureRequest, tmp_path: Path, filled: records.Records) -> Callable[..., Lake]:
    """Makes a lake of this test alone in a store: "local" or "s3"; `anew` for another one beside the first."""

    def make(store: str, of: records.Records = filled, *, anew: bool = False) -> Lake:
        if store == "local":
            return Lake(str(tmp_path / ("anew" if anew else "lake")), None, of)
        server = request.getfixturevalue("s3")
        return Lake(f"s3://{server.bucket}/{uuid.uuid4().hex}", server.storage_options, of)

    return make


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Writes what `make chaos` has found, for the repository."""
    if SUMMARY is not None:
        stats = terminalreporter.stats
        ended = {
            outcome: [r.nodeid for r in stats.get(outcome, []) if r.when == "call" or outcome == "error"]
            for outcome in ("passed", "failed", "error", "skipped")
        }
        Path(SUMMARY).write_text(summary(ended), encoding="utf-8")

"""Fixtures: commands run as a user would, and one Kafka for the whole session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cities import small

import citystream as cs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of the person who runs the tests must not change them; and no test may write into the repository."""
    for name in os.environ:
        if name.startswith(("CITYSTREAM_", "AWS_")) or name.endswith("_TOPIC") or name == "KAFKA_BOOTSTRAP_SERVERS":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def citystream(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `citystream ARGUMENTS` in the test's folder."""

    def run(*arguments: str, **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "citystream", *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        # Whatever happens, nobody is shown a traceback, and nothing panics.
        assert "Traceback" not in done.stderr, done.stderr
        assert "panicked" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Ran]:
    """Runs Python text in a process of its own."""

    def run(text: str, timeout: float = 120) -> Ran:
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def city() -> cs.City:
    """A small city that all five streams have something to say about."""
    return small()


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> cs.Lake:
    """A refined lake that tests only read: a city with every fault."""
    faults = cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, drop=0.02, corrupt=0.02)
    lake = cs.Lake(tmp_path_factory.mktemp("small") / "lake")
    lake.ingest(small(faults=faults))
    lake.refine()
    return lake


@pytest.fixture(scope="session")
def broker() -> Iterator[Any]:
    """A real Apache Kafka, of the mode that KAFKA_MODE names (see `services.kafka`)."""
    import services

    with services.kafka() as running:
        yield running


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A local Spark that reads Kafka and Delta tables."""
    from services.spark import spark

    session = spark()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """A real S3 server, SeaweedFS."""
    import services

    with services.s3() as running:
        yield running


@pytest.fixture
def topics() -> dict[str, str]:
    """Topics of this test alone."""
    mark = uuid.uuid4().hex[:8]
    return {s: f"{s}_{mark}" for s in ("vehicle", "gps", "traffic", "weather", "emergency", "reference")}

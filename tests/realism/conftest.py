"""One run of the checks on the city, and one on the original script, for the whole session."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import original
import pytest

from citystream import realism

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test may write into the repository, nor be changed by the settings of who runs it."""
    for name in os.environ:
        if name.startswith("CITYSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def report() -> realism.RealismReport:
    """The default city, as `citystream realism` checks it: a minute on two cores."""
    return realism.run(progress=False)


@pytest.fixture(scope="session")
def original_report() -> realism.RealismReport:
    """The original script's month."""
    return realism.check(original.tables())

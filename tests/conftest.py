"""The order of the files: those that take minutes begin, so that no process is left alone with one at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

LONGEST = ("test_spark_city.py", "test_kills.py", "test_checks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the order within and among the other files as it is."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))

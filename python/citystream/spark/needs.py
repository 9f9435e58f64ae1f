"""What a driver and its workers must have, and the errors where they haven't."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from citystream import _core
from citystream.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType


def pyarrow() -> ModuleType:
    """The module pyarrow, which Spark's Python workers speak Arrow with.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise ConfigError(
            f"pyarrow can't be imported: {error}. Install it on the driver and on every worker: "
            "pip install 'citystream[spark]'"
        ) from error


def pyspark_version() -> tuple[int, int]:
    """PySpark's, major and minor."""
    import pyspark  # noqa: PLC0415

    major, minor = pyspark.__version__.split(".")[:2]
    return int(major), int(minor)


def version() -> str:
    """The version of this process's wheel."""
    return str(_core.build_info()["version"])


def same_version(driver: str) -> None:
    """Refuses work that another version has planned: the two need not agree on columns, offsets or ids.

    Raises:
        ConfigError: This process has another version than the driver.
    """
    here = version()
    if here != driver:
        raise ConfigError(
            f"the driver has citystream {driver}, this worker {here}. Install one wheel on the driver and every worker"
        )


def batch(rows: _core.ArrowBatch) -> Any:
    """The rows as pyarrow's own class, without a copy: Spark takes no other."""
    return pyarrow().record_batch(rows)

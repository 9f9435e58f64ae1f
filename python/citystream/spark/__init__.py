"""citystream inside Spark: a data source, and the lake's row rules as maps over Arrow batches. docs/spark.md.

`register` needs PySpark 4.0 or newer; the maps work from 3.5 on. Nothing here imports PySpark before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citystream.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from .gold import between as between
    from .rows import decode as decode
    from .rows import silver as silver
    from .unique import conflicts as conflicts
    from .unique import dedup as dedup
    from .unique import duplicates as duplicates

_HOMES = {
    "between": "gold",
    "conflicts": "unique",
    "decode": "rows",
    "dedup": "unique",
    "duplicates": "unique",
    "silver": "rows",
}

__all__ = ["register", *_HOMES]  # noqa: PLE0604


def register(spark: SparkSession) -> None:
    """Makes `spark.read.format("citystream")` and `spark.readStream.format("citystream")` known to a session.

    Spark also finds the format by itself where the wheel is installed on the driver; registered, a local session may
    simulate a city into a temporary folder, and where `spark.sql.python.filterPushdown.enabled` is true by then,
    batches leave out what a query's filters don't want.

    Args:
        spark: The session.

    Raises:
        ConfigError: PySpark is older than 4.0, or there is no pyarrow.

    Examples:
        ```python
        citystream.spark.register(spark)
        spark.read.format("citystream").option("stream", "gps").option("trace", "/data/trace").load()
        ```
    """
    from .needs import pyarrow, pyspark_version  # noqa: PLC0415

    if pyspark_version() < (4, 0):
        version = ".".join(str(number) for number in pyspark_version())
        raise ConfigError(
            f"PySpark {version} has no Python data sources. Use 4.0 or newer, or "
            'citystream.spark.decode on what format("kafka") gives'
        )
    from .source import CitystreamSource, LocalSource  # noqa: PLC0415

    pyarrow()
    sources: tuple[type[CitystreamSource], type[CitystreamSource]] = (CitystreamSource, LocalSource)
    if str(spark.conf.get("spark.sql.python.filterPushdown.enabled", "false")).lower() == "true":
        from .filters import FilteringSource, LocalFilteringSource  # noqa: PLC0415

        sources = (FilteringSource, LocalFilteringSource)
    spark.dataSource.register(sources[_is_local(spark)])


def _is_local(spark: SparkSession) -> bool:
    # A remote session doesn't tell, and its machines are others.
    return str(spark.conf.get("spark.master", "")).startswith("local")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'citystream.spark' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    value = getattr(import_module(f"citystream.spark.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

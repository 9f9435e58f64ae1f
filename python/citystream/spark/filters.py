"""Batches that leave out what a query's filters don't want: PySpark 4.1 and newer, with filter pushdown enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pyspark.sql.datasource import EqualTo, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from .source import CitystreamSource, LocalSource, Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql.datasource import DataSourceReader, Filter
    from pyspark.sql.types import StructType

#: The least and the greatest value that a query wants of a column, both included; None where there is no bound.
Bounds: TypeAlias = "dict[str, tuple[Any, Any]]"


class FilteringReader(Reader):
    """Plans no part in which no row can pass the filters. Spark still looks at each row."""

    def pushFilters(self, filters: list[Filter]) -> Iterable[Filter]:  # noqa: N802
        """Takes the bounds out of the filters, and leaves all of them to Spark."""
        self.source = self.source.narrowed(bounds_of(filters))
        return filters


class FilteringSource(CitystreamSource):
    """The source of a session with `spark.sql.python.filterPushdown.enabled`: elsewhere Spark refuses such a reader."""

    def reader(self, schema: StructType) -> DataSourceReader:
        """Reads a batch."""
        return FilteringReader(self._checked(schema, streaming=False))


class LocalFilteringSource(FilteringSource, LocalSource):
    """The same where driver and workers are one machine."""


def bounds_of(filters: Iterable[Filter]) -> Bounds:
    """What filters that all have to hold want of each column; a bound that a filter excludes counts as wanted."""
    found: Bounds = {}
    for each in filters:
        if not isinstance(each, EqualTo | GreaterThan | GreaterThanOrEqual | LessThan | LessThanOrEqual):
            continue
        if len(each.attribute) != 1:
            continue
        low, high = found.get(each.attribute[0], (None, None))
        if not isinstance(each, LessThan | LessThanOrEqual):
            low = each.value if low is None else max(low, each.value)
        if not isinstance(each, GreaterThan | GreaterThanOrEqual):
            high = each.value if high is None else min(high, each.value)
        found[each.attribute[0]] = low, high
    return found

"""`format("citystream")`: Spark's Python data source, whose batches come from Rust as Arrow. Spark 4.0 and newer.

Spark makes a source anew in a process of its own for each of: the schema, the plan, the offsets of a stream, each task.
So a source is its options, and a reader is plain data; runtimes and clients are made where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceStreamReader, InputPartition

from citystream.errors import ConfigError

from .needs import pyspark_version
from .options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql.types import StructType

    from .filters import Bounds

MODES = ("generate", "kafka")
FORMAT = "citystream"


class Source(Protocol):
    """What a mode has to be able to do. Offsets are what Spark writes into its checkpoint."""

    @property
    def most(self) -> int | None:
        """How much a micro-batch may have; None is all. A batch has all in any case."""

    @property
    def counts_rows(self) -> bool:
        """Whether `most` is a number of rows; else it is one of stretches of time."""

    @property
    def schema(self) -> StructType:
        """The columns."""

    def first(self) -> dict[str, Any]:
        """The offset at which a stream or a batch begins."""

    def last(self) -> dict[str, Any]:
        """The offset behind all that is there by now."""

    def split(self, start: dict[str, Any], end: dict[str, Any]) -> list[Any]:
        """What is between two offsets, in parts that tasks read."""

    def capped(self, start: dict[str, Any], end: dict[str, Any], most: int) -> dict[str, Any]:
        """An offset behind `start` and not behind `end`, with at most so much between."""

    def narrowed(self, bounds: Bounds) -> Source:
        """The same without what lies outside of some columns' bounds, as far as that is known without reading."""

    def read(self, part: Any) -> Iterator[Any]:
        """The rows of a part as `pyarrow.RecordBatch`es."""


class CitystreamSource(DataSource):
    """Events of a saved trace (mode `generate`), or records of a Kafka topic (mode `kafka`). docs/spark.md."""

    #: Whether the workers share the driver's disk.
    local = False

    @classmethod
    def name(cls) -> str:
        """What stands in `format(...)`."""
        return FORMAT

    def schema(self) -> StructType:
        """The columns."""
        return self._source(streaming=False).schema

    # Spark gives `schema` by its name.
    def reader(self, schema: StructType) -> DataSourceReader:
        """Reads a batch."""
        return Reader(self._checked(schema, streaming=False))

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802
        """Reads a stream."""
        return _stream_reader(self._checked(schema, streaming=True))

    def _source(self, *, streaming: bool) -> Source:
        options = Options(self.options)
        if options.choice("mode", MODES, default="generate") == "kafka":
            from .kafka import Topic  # noqa: PLC0415

            return Topic.of(options, streaming=streaming)
        from .generate import Plan  # noqa: PLC0415

        return Plan.of(options, local=self.local)

    def _checked(self, schema: StructType, *, streaming: bool) -> Source:
        source = self._source(streaming=streaming)
        # Spark 4.0 takes columns by their place and would swap two of one type without a word.
        if schema != source.schema:
            raise ConfigError(
                f"format citystream gives the columns {source.schema.simpleString()}, not {schema.simpleString()}. "
                "Leave schema() out and select what you need"
            )
        return source


class LocalSource(CitystreamSource):
    """The same where driver and workers are one machine: a city may be simulated into a temporary folder."""

    local = True


class Partition(InputPartition):
    """A part of a source, as Spark takes it."""


class Reader(DataSourceReader):
    """A batch: what is there when it is planned."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def partitions(self) -> list[InputPartition]:
        """One for each task."""
        return _partitions(self.source, self.source.first(), self.source.last())

    def read(self, partition: InputPartition | None) -> Iterator[Any]:
        """The rows of one; none where there was nothing to plan."""
        return iter(()) if partition is None else self.source.read(partition.value)


class StreamReader(DataSourceStreamReader):
    """A stream before PySpark 4.2: each micro-batch is all that has come since the last.

    A source isn't told where it stands there, and `availableNow` ends after one micro-batch: it can't be limited.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802
        """Where a stream without a checkpoint begins."""
        return self.source.first()

    # Spark 4.0 and 4.1 call it without arguments, and before `initialOffset`.
    def latestOffset(self, start: dict[str, Any] | None = None, limit: Any = None) -> dict[str, Any]:  # noqa: ARG002, N802
        """Behind all that is there by now."""
        return self.source.last()

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> list[InputPartition]:
        """One for each task."""
        return _partitions(self.source, start, end)

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The rows of one."""
        return self.source.read(partition.value)


def _stream_reader(source: Source) -> StreamReader:
    if pyspark_version() >= (4, 2):
        from .limits import LimitedStreamReader  # noqa: PLC0415

        return LimitedStreamReader(source)
    if source.most is not None:
        raise ConfigError(
            "a micro-batch is to be limited, which takes PySpark 4.2. Leave out maxOffsetsPerTrigger and "
            "maxSpansPerTrigger"
        )
    return StreamReader(source)


def _partitions(source: Source, start: dict[str, Any], end: dict[str, Any]) -> list[InputPartition]:
    return [Partition(part) for part in source.split(start, end)]

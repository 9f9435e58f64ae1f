"""Mode `kafka`: the records of a topic as bronze's rows, decoded in Rust.

An offset is {"topic": {"0": n}}: for each partition the next offset. What a task reads is fixed when the batch is
planned; it assigns its partition and reads until its position is behind the end, since markers and compaction leave
offsets without records. No consumer group is joined and nothing is committed to Kafka: Spark's checkpoint has the
offsets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from citystream import _core, times, topics
from citystream.errors import ConfigError, KafkaError
from citystream.security import security_of

from . import schema
from .needs import batch, same_version, version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql.types import StructType

    from .filters import Bounds
    from .options import Options

#: Rows of a batch at most.
ROWS = 20_000
EARLIEST, LATEST = "earliest", "latest"

Offsets = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Range:
    """What one task reads: the offsets [start, end) of a partition."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True)
class Topic:
    """A topic, and how its records are read. Plain data: it travels to the workers."""

    stream: str
    servers: str
    topic: str
    starting: str
    ending: str
    names: str
    rename: list[tuple[str, str]]
    rows: int
    timeout_ms: int
    version: str
    # Offsets of a micro-batch at most; None is all.
    most: int | None
    # Secrets: neither in a repr nor in an error.
    security: dict[str, str] = field(repr=False)
    registry: dict[str, str] = field(repr=False)
    # The partitions, and the offsets of each, that a query's filters want; None is all.
    wanted_partitions: tuple[int | None, int | None] = (None, None)
    wanted_offsets: tuple[int | None, int | None] = (None, None)
    counts_rows: ClassVar[bool] = True

    @classmethod
    def of(cls, options: Options, *, streaming: bool) -> Topic:
        """By a data source's options.

        Raises:
            ConfigError: An option is wrong or missing.
        """
        stream = options.choice("stream", topics.DEFAULTS)
        topic = cls(
            stream=stream,
            servers=topics.servers_of(options.text("kafka.bootstrap.servers") or options.text("servers")),
            topic=options.text("topic") or topics.topics_of()[stream],
            starting=options.text("startingOffsets") or EARLIEST,
            ending=LATEST if streaming else options.text("endingOffsets") or LATEST,
            names=options.choice("names", ("camel", "snake"), default="camel"),
            rename=_pairs(options.text("rename")),
            rows=options.whole("batchRows", default=ROWS),
            timeout_ms=times.duration_ms(options.text("timeout") or "30s", "timeout"),
            version=version(),
            most=options.limit("maxOffsetsPerTrigger"),
            security=options.below("security."),
            registry=options.below("schemaRegistry."),
        )
        options.done()
        security_of(topic.security or None, topic.servers)
        return topic

    @property
    def schema(self) -> StructType:
        """Bronze's columns: the stream's, and what Kafka and the decoder say of each record."""
        return schema.of(self._decoder().schema)

    def first(self) -> Offsets:
        """Where to begin."""
        return self._places(self.starting, "startingOffsets", {EARLIEST: "low", LATEST: "high"})

    def last(self) -> Offsets:
        """Behind what is committed in the topic by now."""
        return self._places(self.ending, "endingOffsets", {LATEST: "high"})

    def split(self, start: Offsets, end: Offsets) -> list[Range]:
        """The offsets between, a range of each partition.

        Raises:
            ConfigError: The offsets are of another topic.
            KafkaError: The topic was made anew: it ends before the offsets that were read.
        """
        before, until = self._between(start, end)
        ranges = [Range(int(n), before[n], last) for n, last in until.items()]
        for found in ranges:
            if found.start > found.end:
                raise KafkaError(
                    f"topic {self.topic!r} partition {found.partition} ends at {found.end}, before the offset "
                    f"{found.start} that was read. It was made anew: begin with a new checkpoint"
                )
        return [found for each in ranges if (found := self._wanted(each)).start < found.end]

    def capped(self, start: Offsets, end: Offsets, most: int) -> Offsets:
        """Where a micro-batch of at most `most` offsets ends, whose share each partition has by what waits in it."""
        before, until = self._between(start, end)
        waiting = {n: max(0, last - before[n]) for n, last in until.items()}
        total = sum(waiting.values())
        if total <= most:
            return end
        taken = {n: count * most // total for n, count in waiting.items()}
        left = most - sum(taken.values())
        for n, count in waiting.items():
            if left and taken[n] < count:
                taken[n], left = taken[n] + 1, left - 1
        # One that ends before what was read is an error that `split` tells.
        return {self.topic: {n: before[n] + taken[n] if waiting[n] else last for n, last in until.items()}}

    def narrowed(self, bounds: Bounds) -> Topic:
        """Without what the bounds of kafka_partition and kafka_offset leave out."""
        partitions, offsets = (bounds.get(name, (None, None)) for name in ("kafka_partition", "kafka_offset"))
        return replace(self, wanted_partitions=partitions, wanted_offsets=offsets)

    def _wanted(self, found: Range) -> Range:
        least, greatest = self.wanted_partitions
        if (least is not None and found.partition < least) or (greatest is not None and found.partition > greatest):
            return replace(found, end=found.start)
        low, high = self.wanted_offsets
        start = found.start if low is None else max(found.start, low)
        return replace(found, start=start, end=found.end if high is None else min(found.end, high + 1))

    def _between(self, start: Offsets, end: Offsets) -> tuple[dict[str, int], dict[str, int]]:
        before, until = (self._of_this(offsets) for offsets in (start, end))
        # A partition that was added since begins with its first record.
        added = self._described() if set(until) - set(before) else {}
        return {n: before[n] if n in before else added[n]["low"] for n in until}, until

    def read(self, part: Range) -> Iterator[Any]:
        """The records of a range as `pyarrow.RecordBatch`es with bronze's columns.

        Raises:
            ConfigError: Driver and worker have different versions of citystream.
            GapError: The topic no longer has the first of them.
            KafkaConnectionError: The broker can't be reached.
        """
        same_version(self.version)
        records = _core.read_topic(
            self.servers,
            self.topic,
            partition=part.partition,
            start=part.start,
            end=part.end,
            decoder=self._decoder(),
            security=security_of(self.security or None, self.servers),
            batch_rows=self.rows,
            timeout_ms=self.timeout_ms,
        )
        for rows in records:
            # While it waits, the core gives batches without rows, so that whoever waits can be stopped.
            if len(rows):
                yield batch(rows)

    def _decoder(self) -> _core.Decoder:
        return _core.Decoder(self.stream, names=self.names, rename=self.rename, schema_registry=self.registry or None)

    def _places(self, wanted: str, option: str, words: Mapping[str, str]) -> Offsets:
        if wanted.startswith("{"):
            return {self.topic: self._of_this(_offsets(wanted, option), option)}
        if wanted not in words:
            raise ConfigError(
                f'the option {option} is {wanted!r}. Give {", ".join(words)} or {{"{self.topic}": {{"0": 42}}}}'
            )
        return {self.topic: {n: place[words[wanted]] for n, place in self._described().items()}}

    def _of_this(self, offsets: Offsets, of: str = "the checkpoint") -> dict[str, int]:
        if set(offsets) != {self.topic}:
            raise ConfigError(f"{of} has the offsets of {', '.join(offsets) or 'no topic'}, not of {self.topic}")
        return offsets[self.topic]

    def _described(self) -> dict[str, dict[str, int]]:
        security = security_of(self.security or None, self.servers)
        (found,) = _core.describe_topics(self.servers, [self.topic], security, self.timeout_ms)
        return {str(place["partition"]): place for place in found["partitions"]}


def _offsets(text: str, option: str) -> Offsets:
    try:
        found = json.loads(text)
        return {str(t): {str(int(n)): int(at) for n, at in places.items()} for t, places in found.items()}
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(f'the option {option} is {text!r}. Write it like {{"topic": {{"0": 42}}}}') from None


def _pairs(text: str | None) -> list[tuple[str, str]]:
    """`make=brand,vehicle.model=type` as the core takes it."""
    pairs = [tuple(pair.strip().split("=")) for pair in (text or "").split(",") if pair.strip()]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):  # noqa: PLR2004
            raise ConfigError(f"the option rename is {text!r}. Write it like make=brand,vehicle.model=type")
    return [(name, wire) for name, wire in pairs]

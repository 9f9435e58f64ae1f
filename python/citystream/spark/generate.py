"""Mode `generate`: the events of a saved trace, observed by the tasks. No task simulates the city.

An offset is a simulated instant: {"sentAt": milliseconds}. A partition is a stretch of simulated time and a part of the
devices, and what it holds is a function of the trace and the options alone: a task that runs again gives the same rows.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from citystream import _core, times, topics
from citystream.errors import ConfigError
from citystream.faults import BOUNDS, INSTANTS, NAMES, TEXTS, Faults
from citystream.spans import micros

from . import schema
from .needs import batch, same_version, version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql.types import StructType

    from citystream.city import City

    from .filters import Bounds
    from .options import Options

OFFSET = "sentAt"
STREAMS = (*topics.EVENTS, topics.REFERENCE)
#: Simulated time of a partition. A trace can be entered at whole hours.
SPAN = "1h"
#: Rows of a batch: from 10,000 to 50,000 Spark is quickest.
ROWS = 20_000


@dataclass(frozen=True)
class Part:
    """What one task reads: what is sent in [from_ms, until_ms) by one part of the devices."""

    from_ms: int
    until_ms: int
    index: int
    of: int


@dataclass(frozen=True)
class Plan:
    """A saved trace, how it is observed, and how it is cut into tasks. Plain data: it travels to the workers."""

    stream: str
    trace: str
    scenario: str | None
    faults: dict[str, Any]
    compat: bool
    span_ms: int
    parts: int
    rows: int
    version: str
    # Stretches of simulated time in a micro-batch; None is all.
    most: int | None = None
    # When what a query's filters want is sent, both included; None is whenever.
    wanted_ms: tuple[int | None, int | None] = (None, None)
    counts_rows: ClassVar[bool] = False

    @classmethod
    def of(cls, options: Options, *, local: bool) -> Plan:
        """By a data source's options; a city without a saved trace is simulated into one first.

        Args:
            options: As docs/spark.md lists them.
            local: Whether driver and workers are one machine, so that a temporary folder can be seen by all.

        Raises:
            ConfigError: An option is wrong or missing, or not the trace's.
            StoreError: There is no trace in the folder.
        """
        stream = options.choice("stream", STREAMS)
        scenario, compat = options.text("scenario"), options.flag("compat")
        faults = {name: value for name in NAMES if (value := _fault(options, name)) is not None}
        span_ms = times.duration_ms(options.text("partitionSpan") or SPAN, "partitionSpan")
        if span_ms < 1:
            raise ConfigError("the option partitionSpan is 0. Give a simulated time, such as 1h")
        parts = options.whole("deviceParts", default=1)
        rows = options.whole("batchRows", default=ROWS)
        most = options.limit("maxSpansPerTrigger")
        trace = _trace(options, local=local)
        plan = cls(stream, trace, scenario, faults, compat, span_ms, parts, rows, version(), most)
        plan.city()
        return plan

    @property
    def schema(self) -> StructType:
        """The columns of the stream."""
        return schema.of_wire(self.stream)

    def city(self, until_ms: int | None = None) -> City:
        """The city as it is observed, up to a simulated instant."""
        from citystream.city import City  # noqa: PLC0415

        return City(
            trace=self.trace,
            scenario=self.scenario,
            faults=Faults(**self.faults),
            compat=self.compat,
            # Spark runs a task on each core.
            threads=1,
            streams=[self.stream] if self.stream in topics.EVENTS else None,
            duration=None if until_ms is None else f"{until_ms - self.bounds()[0]}ms",
        )

    def bounds(self) -> tuple[int, int]:
        """The simulated time that the trace covers by now: from, until."""
        saved = _core.trace_options(self.trace)
        return saved["start_ms"], saved["start_ms"] + saved["duration_ms"]

    def first(self) -> dict[str, int]:
        """The offset of the trace's start, or of what is wanted."""
        start, end = self.bounds()
        return {OFFSET: start if self.wanted_ms[0] is None else min(max(start, self.wanted_ms[0]), end)}

    def last(self) -> dict[str, int]:
        """The offset up to which the trace is saved by now, or which is wanted."""
        start, end = self.bounds()
        end = end if self.wanted_ms[1] is None else max(min(end, self.wanted_ms[1] + 1), start)
        return {OFFSET: max(end, self.first()[OFFSET])}

    def capped(self, start: dict[str, int], end: dict[str, int], most: int) -> dict[str, int]:
        """Where a micro-batch of at most so many stretches ends."""
        first = self.bounds()[0]
        return {OFFSET: min(end[OFFSET], first + ((start[OFFSET] - first) // self.span_ms + most) * self.span_ms)}

    def narrowed(self, bounds: Bounds) -> Plan:
        """Without what was sent outside of the bounds of sentAt."""
        low, high = (_ms(bound) for bound in bounds.get("sentAt", (None, None)))
        return replace(self, wanted_ms=(low, high))

    def split(self, start: dict[str, int], end: dict[str, int]) -> list[Part]:
        """What is sent between two offsets, in parts.

        Raises:
            ConfigError: The trace doesn't reach so far.
        """
        return self._cut(start[OFFSET], end[OFFSET])

    def _cut(self, from_ms: int, until_ms: int) -> list[Part]:
        start, end = self.bounds()
        if until_ms > end or from_ms > until_ms:
            wanted = f"{times.instant_text(from_ms)} to {times.instant_text(until_ms)}"
            raise ConfigError(
                f"{wanted} is to be read, but the trace in {self.trace} ends at {times.instant_text(end)}. "
                "Give the trace that the checkpoint is of, or save it as long again"
            )
        if self.stream == topics.REFERENCE:
            # It is sent once, at the very start.
            return [Part(from_ms, until_ms, 0, 1)] if from_ms <= start < until_ms else []
        # Cut where the trace can be entered, wherever a micro-batch begins.
        first = start + (from_ms - start) // self.span_ms * self.span_ms
        edges = [from_ms, *range(first + self.span_ms, until_ms, self.span_ms), until_ms]
        spans = [(a, b) for a, b in pairwise(edges) if a < b]
        return [Part(a, b, index, self.parts) for a, b in spans for index in range(self.parts)]

    def read(self, part: Part) -> Iterator[Any]:
        """The events of a partition as `pyarrow.RecordBatch`es.

        Raises:
            ConfigError: Driver and worker have different versions of citystream.
            StoreError: The worker doesn't see the trace.
        """
        same_version(self.version)
        city = self.city(part.until_ms).part(part.index, part.of).core
        for rows in city.events(self.stream, batch_rows=self.rows, from_ms=part.from_ms):
            yield batch(rows)


def _ms(time: Any) -> int | None:
    # A time without a zone is the session's, which is not known here.
    if not isinstance(time, dt.datetime) or time.tzinfo is None:
        return None
    return micros(time) // 1000


def _fault(options: Options, name: str) -> Any:
    return options.text(name) if name in (*BOUNDS, *INSTANTS, *TEXTS) else options.share(name)


def _trace(options: Options, *, local: bool) -> str:
    """The folder of a saved trace: the one that is given, or one that is simulated now."""
    given = options.text("trace") or options.text("path")
    folder = options.text("traceDir")
    city = {
        "seed": options.optional("seed"),
        "vehicles": options.optional("vehicles"),
        "start": options.text("start"),
        "duration": options.text("duration"),
    }
    said = {name: value for name, value in city.items() if value is not None}
    options.done()
    if given is not None:
        if folder is not None or said:
            name = "traceDir" if folder is not None else next(iter(said))
            raise ConfigError(
                f"the options trace and {name} are both given. A saved trace has its city: leave {name} out"
            )
        return given
    if folder is None and not local:
        raise ConfigError(
            "the option trace is missing. Give the folder of a saved trace, or as traceDir one to simulate the city "
            "into; driver and workers must both see it"
        )
    return _simulated(said, Path(folder) if folder is not None else _temporary(said))


def _temporary(city: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps([version(), city], sort_keys=True).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"citystream-spark-{digest}"


def _simulated(city: dict[str, Any], folder: Path) -> str:
    """Simulates the city into the folder, or what is missing of it there."""
    from citystream.city import City  # noqa: PLC0415

    with _alone(folder):
        City(**city).trace(folder, progress=False)
    return str(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Spark plans a query more than once, and several at a time; one process may save to a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

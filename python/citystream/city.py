"""A simulated city whose truth is known."""

from __future__ import annotations

import os
import time
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core, times, topics
from .arrow import ArrowStream
from .errors import ConfigError
from .faults import Faults, scenarios
from .network import Network
from .progress import shown
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .progress import Progress

_ROW_BATCH = 2_048
_MINUTE_MS = 60_000


DEFAULT_SEED = 7
DEFAULT_VEHICLES = 2_000
DEFAULT_START = "2026-06-01T00:00:00Z"
DEFAULT_DURATION = "1d"


class City:
    """One city, by its options. It is lazy: nothing runs until something is asked of it.

    The same seed gives the same events, byte for byte, whatever the number of threads or parts.

    Args:
        seed: Chooses the city; None is 7.
        vehicles: Size of the fleet, parked ones included; None is 2,000.
        start: First simulated instant: a datetime or ISO 8601 text, UTC where it names no zone; None is the scenario's
            time of day, else midnight, of 2026-06-01, a Monday.
        duration: Simulated time: a timedelta or text such as "90s", "5min", "1d"; None is the scenario's, else a day.
        streams: The event streams to make, of vehicle, gps, traffic, weather and emergency; None is all.
        threads: Worker threads; 0 is one for each core.
        faults: What goes wrong on the way; what isn't set is the scenario's, else nothing.
        scenario: A named set of faults, as `scenarios()` lists them.
        trace: Folder of a saved trace (see `City.trace`), which is observed instead of a simulation. Seed, vehicles and
            start are the trace's, and so is the duration where none is given; sensors, faults and parts are free.
        compat: Each vehicle's device sends every stream at each of its steps, as the original script's does; see
            docs/drop_in.md.
        snapshots: Folder for the cameras' pictures; None takes none. A traffic event's `snapshot` is then the path of a
            small PNG in this folder, written before the event is given out, and `snapshotSha256` its sum;
            docs/snapshots.md says what it shows. The events don't depend on which folder it is.
        snapshot_every: How often each camera takes one, in whole minutes; None is each minute, with every event.

    Raises:
        ConfigError: An option is out of its range, or not the trace's.
        StoreError: There is no trace in the folder; and later, when it runs, where a picture can't be written.

    Examples:
        >>> import citystream as cs
        >>> city = cs.City(seed=7, vehicles=50, start="2026-06-01T06:00Z", duration="1h")
        >>> city.streams
        ('vehicle', 'gps', 'traffic', 'weather', 'emergency')
        >>> list(next(city.rows("weather")))[:5]
        ['id', 'deviceId', 'location', 'timestamp', 'temperature']
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        vehicles: int | None = None,
        start: times.Instant | None = None,
        duration: times.Duration | None = None,
        streams: Iterable[str] | None = None,
        threads: int = 0,
        faults: Faults | None = None,
        scenario: str | None = None,
        trace: str | os.PathLike[str] | None = None,
        compat: bool = False,
        snapshots: str | os.PathLike[str] | None = None,
        snapshot_every: times.Duration | None = None,
    ) -> None:
        faults = faults or Faults()
        saved = None if trace is None else _core.trace_options(trace)
        # A single name is an iterable of letters, and surely not meant so.
        names = [streams] if isinstance(streams, str) else None if streams is None else list(streams)
        defaults = saved or {"seed": DEFAULT_SEED, "vehicles": DEFAULT_VEHICLES}
        seed = defaults["seed"] if seed is None else seed
        vehicles = defaults["vehicles"] if vehicles is None else vehicles
        for what, value in (("seed", seed), ("vehicles", vehicles), ("threads", threads)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(f"{what} is {value!r}. Give a whole number from 0")
        start_ms, length_ms = _time(start, duration, saved, scenario)
        if snapshots is None and snapshot_every is not None:
            raise ConfigError(
                f"snapshot_every is {snapshot_every!r}, but no pictures are taken. Give a folder: snapshots="
            )
        every_ms = _MINUTE_MS if snapshot_every is None else times.duration_ms(snapshot_every, "snapshot_every")
        #: The compiled city; not part of the API.
        self.core = _core.City(
            seed=seed,
            vehicles=vehicles,
            start_ms=start_ms,
            duration_ms=length_ms,
            threads=threads,
            streams=names,
            faults=faults.core(),
            scenario=scenario,
            trace=trace,
            compat=compat,
            snapshots=snapshots,
            snapshot_every_ms=every_ms,
        )
        self._streams = tuple(topics.EVENTS) if names is None else tuple(s for s in topics.EVENTS if s in names)
        self._part = (0, 1)
        words = [f"seed={seed}", f"vehicles={vehicles:_}", f"start={times.instant_text(start_ms)!r}"]
        words.append(f"duration={times.duration_text(length_ms)!r}")
        given = {
            "streams": None if names is None else self._streams,
            "scenario": scenario,
            "faults": None if faults == Faults() else faults,
            "trace": None if trace is None else os.fspath(trace),
            "compat": compat or None,
            "snapshots": None if snapshots is None else os.fspath(snapshots),
            "snapshot_every": None if snapshot_every is None else times.duration_text(every_ms),
        }
        words += [f"{name}={value!r}" for name, value in given.items() if value is not None]
        self._shown = f"City({', '.join(words)})"

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits: they depend on seed, vehicles, start and the model, and begin each event's id."""
        return self.core.city_id

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the event streams that it makes."""
        return self._streams

    @property
    def faults(self) -> Faults:
        """What goes wrong on the way, the scenario's faults included."""
        return Faults.of(self.core.faults)

    @property
    def network(self) -> Network:
        """Roads, cameras and stations as Arrow, and a map in a notebook."""
        return Network(self.core)

    @property
    def truth(self) -> Truth:
        """What really happened, and the label of every fault."""
        return Truth(self.core)

    def events(self, stream: str) -> ArrowStream:
        """One stream's events in the order in which they are sent, as Arrow, batch by batch.

        Columns have the wire's names. Events whose bytes a fault harms are left out: they have no typed form.

        Args:
            stream: Of vehicle, gps, traffic, weather and emergency; or "reference".

        Examples:
            >>> import citystream as cs, pyarrow as pa
            >>> pa.table(cs.City(vehicles=50, duration="1h").events("weather")).column_names[:3]
            ['id', 'deviceId', 'location']
        """
        return _stream(self.core, stream)

    def rows(self, stream: str) -> Iterator[dict[str, Any]]:
        """The same events as dicts that `json.dumps` takes, for scripts that send message by message."""
        # Small batches, so that the first row needn't wait for a long stretch of simulated time.
        return ArrowStream(stream, self.core.events(stream, batch_rows=_ROW_BATCH)).rows()

    def __iter__(self) -> Iterator[tuple[str, _core.ArrowBatch]]:
        """All streams in the order in which they would be sent, as (stream, Arrow record batch)."""
        return iter(self.core.batches())

    def part(self, index: int, of: int) -> City:
        """The devices of one part; the parts 0 to `of` - 1 together are the whole.

        Examples:
            >>> import citystream as cs
            >>> city = cs.City(vehicles=50, duration="1h")
            >>> whole = {row["id"] for row in city.rows("weather")}
            >>> whole == {row["id"] for n in range(2) for row in city.part(n, 2).rows("weather")}
            True
        """
        if not 0 <= index < of:
            raise ConfigError(f"part {index} of {of} does not exist. Parts are counted from 0: part(0, {max(of, 1)})")
        part = copy(self)
        part._part = (index, of)  # noqa: SLF001
        part.core = self.core.part(index, of)
        return part

    def trace(self, folder: str | os.PathLike[str], *, progress: Progress = None) -> TraceReport:
        """Simulates the city once and saves what really happened; `City(trace=folder)` observes it without simulating.

        What the folder already has of this city is kept: a save that was stopped goes on with the hour that it was in,
        and a longer run continues a shorter one. docs/traces.md names the tables.

        Args:
            folder: An empty or new folder, or one with this city's trace.
            progress: None shows a bar where somebody can see it; see `citystream.progress`.

        Raises:
            ConfigError: The folder holds something else.
            StoreError: It can't be written.

        Examples:
            >>> import citystream as cs, tempfile
            >>> folder = tempfile.mkdtemp()
            >>> city = cs.City(vehicles=50, duration="1h")
            >>> city.trace(folder, progress=False).covered
            '1h'
            >>> list(cs.City(trace=folder).rows("weather")) == list(city.rows("weather"))
            True
        """
        began = time.monotonic()
        with shown(progress) as callback:
            covered_ms = self.core.save_trace(folder, progress=callback)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return TraceReport(
            folder=os.fspath(folder),
            covered=times.duration_text(covered_ms),
            files=len(files),
            bytes=sum(path.stat().st_size for path in files),
            seconds=time.monotonic() - began,
        )

    def __repr__(self) -> str:
        index, of = self._part
        return self._shown + (f".part({index}, {of})" if of > 1 else "")


class Truth:
    """What really happened in a city, as Arrow."""

    def __init__(self, core: _core.City) -> None:
        self.core = core

    @property
    def events(self) -> ArrowStream:
        """For each event its true time, when it was sent, and its true place."""
        return _stream(self.core, "truth_event")

    @property
    def faults(self) -> ArrowStream:
        """For each injected fault its kind and the payload as it would have been without it."""
        return _stream(self.core, "truth_fault")

    @property
    def crossings(self) -> ArrowStream:
        """For each passage of a vehicle over a road when it entered and left."""
        return _stream(self.core, "truth_crossing")

    def __repr__(self) -> str:
        return f"<truth of city {self.core.city_id}: events, faults, crossings>"


@dataclass(frozen=True)
class TraceReport(Report):
    """What a folder holds after a trace was saved to it."""

    folder: str
    covered: str
    files: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class WriteReport(Report):
    """What was written to files."""

    events: int
    by_stream: dict[str, int]
    reference: int
    bytes: int
    seconds: float
    files: tuple[str, ...]


def _time(
    start: times.Instant | None, duration: times.Duration | None, saved: dict[str, int] | None, scenario: str | None
) -> tuple[int, int]:
    """Start and duration in milliseconds: what is given, else the saved trace's, the scenario's, the default."""
    if saved:
        defaults = (saved["start_ms"], saved["duration_ms"])
    else:
        # An unknown name is the compiled city's to refuse.
        plan = None if scenario is None else scenarios().get(scenario)
        defaults = (
            times.instant_ms(DEFAULT_START) + ((plan and plan.starts_at) or 0),
            times.duration_ms((plan and plan.duration) or DEFAULT_DURATION),
        )
    return (
        defaults[0] if start is None else times.instant_ms(start, "start"),
        defaults[1] if duration is None else times.duration_ms(duration),
    )


def _stream(core: _core.City, stream: str) -> ArrowStream:
    return ArrowStream(stream, core.events(stream))

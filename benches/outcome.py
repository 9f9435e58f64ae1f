"""What was measured: samples, runs that alternate, medians and ratios."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from benches.child import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benches.child import Ran

Metric: TypeAlias = Literal[
    "events_per_cpu", "mb_per_cpu", "bytes_per_event", "events_per_s", "events", "cpu", "wall", "rss"
]


@dataclass(frozen=True)
class Sample:
    """One run.

    Args:
        events: Events, rows or messages that it worked through.
        cpu: CPU-seconds, user and system.
        wall: Seconds from start to end of the program.
        rss: Peak resident bytes; None where it is not known.
        bytes: Bytes that it made or read; None where the work has no size.
        seconds: What the program itself says its work took, start-up left out; None where it does not say.
    """

    events: int
    cpu: float
    wall: float
    rss: int | None = None
    bytes: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, ran: Ran, events: int, size: int | None = None, seconds: float | None = None) -> Sample:
        """A program's run in which it worked through `events`."""
        return cls(events, ran.cpu, ran.wall, ran.rss, size, seconds)

    @property
    def events_per_cpu(self) -> float:
        """Events in a CPU-second."""
        return self.events / self.cpu

    @property
    def mb_per_cpu(self) -> float | None:
        """Megabytes (10⁶) in a CPU-second."""
        return None if self.bytes is None else self.bytes / 1e6 / self.cpu

    @property
    def bytes_per_event(self) -> float | None:
        """Mean size of an event."""
        return None if self.bytes is None else self.bytes / self.events

    @property
    def events_per_s(self) -> float:
        """Events in a second, by the program's own account where it gives one."""
        return self.events / (self.wall if self.seconds is None else self.seconds)


@dataclass(frozen=True)
class Contender:
    """Somebody who can be measured: `work` does it once and raises `RunError` where it could not."""

    name: str
    work: Callable[[], Sample]


@dataclass
class Outcome:
    """A contender's samples, in the order of the rounds, or why there are none."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None

    def median(self, metric: Metric) -> float | None:
        """The median of a metric; None where a sample lacks it or nothing was measured."""
        values = [getattr(sample, metric) for sample in self.samples]
        if self.failure is not None or not values or None in values:
            return None
        return float(statistics.median(values))


def alternate(
    contenders: Sequence[Contender], rounds: int, tell: Callable[[str], None] = lambda _: None
) -> list[Outcome]:
    """Lets each contender work once, then each once more, and so on: A B A B A B.

    So a minute in which the machine is slow is slow for all of them. One that fails is left out of the further rounds.
    """
    outcomes = [Outcome(contender.name) for contender in contenders]
    for number in range(1, rounds + 1):
        for contender, outcome in zip(contenders, outcomes, strict=True):
            if outcome.failure is not None:
                continue
            try:
                sample = contender.work()
            except RunError as error:
                outcome.failure = str(error)
                tell(f"{number}/{rounds} {contender.name}: failed: {error}")
                continue
            outcome.samples.append(sample)
            rate, cpu_rate = sample.events_per_s / 1e6, sample.events_per_cpu / 1e6
            tell(f"{number}/{rounds} {contender.name}: {rate:.3f} M/s, {cpu_rate:.3f} M/CPU-s, {sample.wall:.2f} s")
    return outcomes


@dataclass(frozen=True)
class Ratio:
    """Ours over the peer's: the median over the rounds, and the least and greatest of them."""

    median: float
    least: float
    greatest: float


def ratio(ours: Outcome, peer: Outcome, metric: Metric) -> Ratio | None:
    """How many times the peer's figure ours is, round by round; None where either has none."""
    if ours.median(metric) is None or peer.median(metric) is None:
        return None
    pairs = zip(ours.samples, peer.samples, strict=True)
    ratios = [getattr(one, metric) / getattr(other, metric) for one, other in pairs]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))

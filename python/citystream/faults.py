"""What goes wrong between a sensor and Kafka, and named scenarios of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from . import _core, times
from .errors import ConfigError

#: How `Faults` takes what is neither a share nor a text.
BOUNDS = ("late_bound", "out_of_order_bound", "outage_bound")
INSTANTS = ("schema_drift_from",)
TEXTS = ("schema_drift_kind",)


@dataclass(frozen=True, kw_only=True, repr=False)
class Faults:
    """What goes wrong between a sensor and Kafka. No fault changes the clean events, and each is labelled.

    Shares are between 0 and 1. What isn't set is 0, or what the city's scenario says. docs/faults.md says where the
    events of each fault end up.

    Args:
        late: Share of events sent late: a minute in the median, at most `late_bound`.
        late_bound: Greatest delay of these; 10min unless set.
        duplicate: Share of events sent twice, the second time up to 30 s later.
        retry_loop: Share of devices that send each event 100 times within 10 s, so that their Kafka keys are hot.
        drop: Share of events never sent.
        out_of_order: Share of events held back until the same device's next one has been sent.
        out_of_order_bound: Longest such wait; what is reported less often keeps its order; 2min unless set.
        corrupt: Share of events whose bytes are harmed, a quarter in each of the next four ways.
        bad_json: Share of events whose text is cut short.
        wrong_type: Share of events with a text where a number belongs.
        missing_field: Share of events without a required field.
        out_of_range: Share of events with a number that can't be.
        schema_drift: Share of devices that change a field from `schema_drift_from` on.
        schema_drift_from: When that begins; from the start unless set.
        schema_drift_kind: What changes: "renamed", "added", "retyped", or "any", a third of the devices each.
        clock_jump: Share of time in which a device's clock is off by whole hours, at most 0.5.
        outage: Share of time in which a device is silent, at most 0.5; it sends the backlog afterwards, in a burst.
        outage_bound: Longest outage; 10min unless set.
        tombstone: Share of events sent as a key without a value.
        poison_pill: Share of events that are no JSON, half a megabyte long or nested 2,000 deep, at most 0.1.

    Raises:
        ConfigError: A value is of the wrong kind. The city says where one is out of its range.

    Examples:
        >>> Faults(late=0.05, late_bound="10min")
        Faults(late=0.05, late_bound='10min')
    """

    late: float | None = None
    late_bound: times.Duration | None = None
    duplicate: float | None = None
    retry_loop: float | None = None
    drop: float | None = None
    out_of_order: float | None = None
    out_of_order_bound: times.Duration | None = None
    corrupt: float | None = None
    bad_json: float | None = None
    wrong_type: float | None = None
    missing_field: float | None = None
    out_of_range: float | None = None
    schema_drift: float | None = None
    schema_drift_from: times.Instant | None = None
    schema_drift_kind: str | None = None
    clock_jump: float | None = None
    outage: float | None = None
    outage_bound: times.Duration | None = None
    tombstone: float | None = None
    poison_pill: float | None = None

    def __post_init__(self) -> None:
        self.core()

    def given(self) -> dict[str, Any]:
        """What is set, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def core(self) -> dict[str, float | int | str]:
        """What is set, as the compiled city takes it; not part of the API."""
        found: dict[str, float | int | str] = {}
        for name, value in self.given().items():
            if name in BOUNDS:
                found[name] = times.duration_ms(value, name)
            elif name in INSTANTS:
                found[name] = times.instant_ms(value, name)
            elif name in TEXTS:
                found[name] = str(value)
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"fault rate {name} is {value!r}. Give a share from 0 to 1")
            else:
                found[name] = float(value)
        return found

    @classmethod
    def of(cls, values: dict[str, float | int | str]) -> Faults:
        """Faults from what the compiled city says of them, without what is as always; not part of the API."""
        usual = _core.fault_defaults()
        found: dict[str, Any] = {}
        for name, value in values.items():
            if value == usual[name]:
                continue
            if name in BOUNDS:
                found[name] = times.duration_text(int(value))
            elif name in INSTANTS:
                found[name] = times.instant_text(int(value))
            else:
                found[name] = value
        return cls(**found)

    def __repr__(self) -> str:
        return f"Faults({', '.join(f'{name}={value!r}' for name, value in self.given().items())})"


NAMES = tuple(field.name for field in fields(Faults))


@dataclass(frozen=True)
class Scenario:
    """Faults, and where it matters the time, that make a kind of bad day.

    Attributes:
        name: The name, as `City(scenario=…)` takes it.
        doc: What happens.
        faults: The faults. Where `schema_drift` begins depends on the city's start.
        starts_at: Milliseconds after midnight at which it begins, where it needs a time of day.
        duration: How long it lasts, where that matters.
    """

    name: str
    doc: str
    faults: Faults
    starts_at: int | None
    duration: str | None


def scenarios() -> dict[str, Scenario]:
    """The named scenarios.

    Examples:
        >>> import citystream as cs
        >>> cs.scenarios()["tombstones"].faults
        Faults(tombstone=0.02)
    """
    return {
        found["name"]: Scenario(
            name=found["name"],
            doc=found["doc"],
            faults=Faults.of(found["faults"]),
            starts_at=found["starts_at_ms"],
            duration=None if found["duration_ms"] is None else times.duration_text(found["duration_ms"]),
        )
        for found in _core.scenarios()
    }

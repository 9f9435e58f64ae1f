"""Whether a city looks like a real one: statistics of its data beside published ones.

Each check is an SQL file, as `citystream.sql.checks` describes. It reads these tables, made of the streams; times are
milliseconds since the epoch:

- `vehicle`, `gps`, `traffic`, `weather`, `emergency`: the event streams;
- `road`, `camera`, `fleet`: the reference stream;
- `crossing`, `truth`: the true passages over roads, and the true time and place of each fix;
- `climate`: weather over years, where there is any, else `weather`;
- `light_vehicle`, `light_crossing`, `light_weather`, `light_road`: a city in which hardly anybody is held up, where
  there is one, else `vehicle`, `crossing`, `weather` and `road`;
- `corridor` and `corridor_study`, `exposure`: experiments with one model by itself;
- what `sql/realism/_views.sql` makes of them.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core
from .city import City
from .errors import ConfigError
from .gold import connect
from .progress import shown
from .report import Report
from .sql import checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from .progress import Callback, Progress

#: The city that is checked where nothing is said: enough vehicles for its network to be busy, on a Monday.
SEED = 7
VEHICLES = 100_000
START = "2026-06-01T00:00:00Z"
DURATION = "1d"

#: One device in so many is asked for its vehicle and gps events.
SAMPLE = 50

#: The weather over years comes from a city that hardly anybody drives in, at one of its stations.
CLIMATE_VEHICLES = 20
CLIMATE_DURATION = "1096d"

#: The city in which hardly anybody is held up: fewer vehicles on the same roads.
LIGHT_VEHICLES = 1_500
LIGHT_DURATION = "3d"

#: DuckDB spills to disk past this.
MEMORY = "1GB"

_SECOND, _MINUTE = 1_000, 60_000

#: Experiments with the flow: what `_core.corridor` is given.
CORRIDORS: dict[str, dict[str, Any]] = {
    # One of two lanes is blocked for twenty minutes.
    "incident": {
        "roads": 25,
        "length_m": 250.0,
        "lanes": 2,
        "limit_kmh": 50.0,
        "flow_vehh": 2_400.0,
        "duration_ms": 90 * _MINUTE,
        "blocked": 1,
        "from_ms": 15 * _MINUTE,
        "until_ms": 35 * _MINUTE,
    },
    # Nobody gets through for twenty minutes.
    "closed": {
        "roads": 40,
        "length_m": 100.0,
        "lanes": 2,
        "limit_kmh": 50.0,
        "flow_vehh": 1_200.0,
        "duration_ms": 90 * _MINUTE,
        "blocked": 2,
        "from_ms": 15 * _MINUTE,
        "until_ms": 35 * _MINUTE,
    },
    # More want to go than can.
    "motorway": {
        "roads": 3,
        "length_m": 1_000.0,
        "lanes": 3,
        "limit_kmh": 112.65,
        "flow_vehh": 9_000.0,
        "duration_ms": 60 * _MINUTE,
    },
    **{
        f"blocked_{lanes}": {
            "roads": 3,
            "length_m": 600.0,
            "lanes": lanes,
            "limit_kmh": 50.0,
            "flow_vehh": 9_000.0,
            "duration_ms": 60 * _MINUTE,
            "blocked": 1,
            "from_ms": 20 * _MINUTE,
            "until_ms": 50 * _MINUTE,
        }
        for lanes in (2, 3, 4)
    },
}

# What the checks are told of an experiment with the flow.
_PLAN = {
    "roads": "BIGINT",
    "length_m": "DOUBLE",
    "lanes": "BIGINT",
    "limit_kmh": "DOUBLE",
    "flow_vehh": "DOUBLE",
    "duration_ms": "BIGINT",
    "blocked": "BIGINT",
    "from_ms": "BIGINT",
    "until_ms": "BIGINT",
}

#: The experiment with crash risk: what `_core.exposure` is given, beside the seed.
EXPOSURE: dict[str, Any] = {"blocks": 4_000, "crossings": 20_000, "road_km": 50.0}


def _ms(column: str) -> str:
    return f'epoch_us("{column}") // 1000'


_PLACE = {"lat": ("DOUBLE", "location[1]"), "lon": ("DOUBLE", "location[2]")}

_WEATHER = {
    "station_id": ("VARCHAR", '"deviceId"'),
    "t_ms": ("BIGINT", _ms("timestamp")),
    **_PLACE,
    "temperature_c": ("DOUBLE", "temperature"),
    "precipitation_mmh": ("DOUBLE", "precipitation"),
    "condition": ("VARCHAR", '"weatherCondition"'),
    "aqi": ("INTEGER", '"airQualityIndex"'),
    "pm25": ("DOUBLE", "pm25"),
    "pm10": ("DOUBLE", "pm10"),
    "no2": ("DOUBLE", "no2"),
    "o3": ("DOUBLE", "o3"),
}

_VEHICLE = {
    "device_id": ("VARCHAR", '"deviceId"'),
    "t_ms": ("BIGINT", _ms("timestamp")),
    **_PLACE,
    "speed_kmh": ("DOUBLE", "speed"),
    "road_id": ("VARCHAR", '"roadId"'),
    "vehicle_type": ("VARCHAR", '"vehicleType"'),
}

_ROAD = {
    "road_id": ("VARCHAR", 'road."roadId"'),
    "road_class": ("VARCHAR", 'road."roadClass"'),
    "length_m": ("DOUBLE", 'road."lengthM"'),
    "lanes": ("INTEGER", "road.lanes"),
    "limit_kmh": ("DOUBLE", 'road."freeFlowKmh"'),
    "lat0": ("DOUBLE", "road.geometry[1][1]"),
    "lon0": ("DOUBLE", "road.geometry[1][2]"),
    "lat1": ("DOUBLE", "road.geometry[-1][1]"),
    "lon1": ("DOUBLE", "road.geometry[-1][2]"),
}

_CROSSING = {
    "device_id": ("VARCHAR", '"deviceId"'),
    "road_id": ("VARCHAR", '"roadId"'),
    "lane": ("INTEGER", "lane"),
    "trip": ("BIGINT", "trip"),
    "t_in_ms": ("BIGINT", _ms("tIn")),
    "t_out_ms": ("BIGINT", _ms("tOut")),
}

# Name, what it is made of, which rows, and for each column its type and how it is made.
_TABLES: tuple[tuple[str, str, str, dict[str, tuple[str, str]]], ...] = (
    ("vehicle", "vehicle", "true", _VEHICLE),
    ("light_vehicle", "light_vehicle", "true", _VEHICLE),
    (
        "gps",
        "gps",
        "true",
        {
            "id": ("VARCHAR", "id"),
            "device_id": ("VARCHAR", '"deviceId"'),
            "t_ms": ("BIGINT", _ms("timestamp")),
            **_PLACE,
            "speed_kmh": ("DOUBLE", "speed"),
            "heading_deg": ("DOUBLE", "heading"),
        },
    ),
    (
        "traffic",
        "traffic",
        "true",
        {
            "camera_id": ("VARCHAR", '"cameraId"'),
            "road_id": ("VARCHAR", '"roadId"'),
            "t_ms": ("BIGINT", _ms("timestamp")),
            "interval_s": ("INTEGER", '"intervalS"'),
            "vehicles": ("INTEGER", '"count"'),
            "mean_speed_kmh": ("DOUBLE", '"meanSpeed"'),
        },
    ),
    ("weather", "weather", "true", _WEATHER),
    ("climate", "climate", "true", _WEATHER),
    ("light_weather", "light_weather", "true", _WEATHER),
    (
        "emergency",
        "emergency",
        "true",
        {
            "incident_id": ("VARCHAR", '"incidentId"'),
            "type": ("VARCHAR", "type"),
            "t_ms": ("BIGINT", _ms("timestamp")),
            "status": ("VARCHAR", "status"),
            "severity": ("INTEGER", "severity"),
            "road_id": ("VARCHAR", '"roadId"'),
        },
    ),
    ("road", "reference", "kind = 'road'", _ROAD),
    ("light_road", "light_reference", "kind = 'road'", _ROAD),
    (
        "camera",
        "reference",
        "kind = 'camera'",
        {
            "camera_id": ("VARCHAR", 'camera."cameraId"'),
            "road_id": ("VARCHAR", 'camera."roadId"'),
            "lat": ("DOUBLE", "camera.location[1]"),
            "lon": ("DOUBLE", "camera.location[2]"),
        },
    ),
    (
        "fleet",
        "reference",
        "kind = 'vehicle'",
        {
            "device_id": ("VARCHAR", 'vehicle."deviceId"'),
            "vehicle_type": ("VARCHAR", 'vehicle."vehicleType"'),
            "model_year": ("INTEGER", 'vehicle."year"'),
            "fuel_type": ("VARCHAR", 'vehicle."fuelType"'),
        },
    ),
    ("crossing", "truth_crossing", "true", _CROSSING),
    ("light_crossing", "light_crossing", "true", _CROSSING),
    (
        "truth",
        "truth_event",
        "stream = 'gps'",
        {
            "id": ("VARCHAR", "id"),
            "t_ms": ("BIGINT", _ms("trueTime")),
            "lat": ("DOUBLE", '"trueLocation"[1]'),
            "lon": ("DOUBLE", '"trueLocation"[2]'),
        },
    ),
    (
        "exposure",
        "exposure",
        "true",
        {
            "condition": ("VARCHAR", "condition"),
            "block": ("BIGINT", "block"),
            "vehicle_km": ("DOUBLE", '"vehicleKm"'),
            "crashes": ("BIGINT", "crashes"),
            "breakdowns": ("BIGINT", "breakdowns"),
        },
    ),
)

# What is taken where nothing is given for a source.
_INSTEAD = {
    "climate": "weather",
    "light_vehicle": "vehicle",
    "light_crossing": "truth_crossing",
    "light_weather": "weather",
    "light_reference": "reference",
}

#: What `check` can be given.
SOURCES = tuple(dict.fromkeys(source for _, source, _, _ in _TABLES))


@dataclass(frozen=True)
class Result(Report):
    """One check: what was measured, and whether it lies within the target."""

    name: str
    title: str
    kind: str
    target: tuple[float, float]
    unit: str
    source: str
    measured: float | None
    n: int
    passed: bool
    note: str


@dataclass(frozen=True)
class RealismReport(Report):
    """All checks of one city."""

    checks: tuple[Result, ...]
    seconds: float

    HEADINGS = ("check", "kind", "target", "source", "measured", "pass", "note")

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return all(check.passed for check in self.checks)

    @property
    def missed(self) -> tuple[Result, ...]:
        """The checks that did not."""
        return tuple(check for check in self.checks if not check.passed)

    def cells(self) -> Iterator[tuple[str, ...]]:
        """A row of text for each check, under `HEADINGS`."""
        for c in self.checks:
            measured = "–" if c.measured is None else f"{c.measured:.4g}"
            target = f"{c.target[0]:g} to {c.target[1]:g} {c.unit}"
            yield c.name, c.kind, target, c.source, measured, "yes" if c.passed else "NO", c.note

    def __str__(self) -> str:
        return f"{len(self.checks) - len(self.missed)} of {len(self.checks)} realism checks passed"

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{escape(heading)}</th>" for heading in self.HEADINGS)
        body = "".join(
            f"<tr>{''.join(f'<td style=text-align:left>{escape(cell)}</td>' for cell in row)}</tr>"
            for row in self.cells()
        )
        return f"<table><caption>{escape(str(self))}</caption><tr>{head}</tr>{body}</table>"


def run(city: City | None = None, *, progress: Progress = None) -> RealismReport:
    """Runs every check on a city, on years of its weather, and on experiments with its flow and its crash risk.

    Takes about a minute on two cores and 1.1 GB of memory, and writes some 200 MB into a temporary folder meanwhile.

    Args:
        city: The city, whole; None is one of 100,000 vehicles on a weekday.
        progress: As for `Lake.ingest`.

    Raises:
        ConfigError: The city is a part, or lacks streams.
    """
    began = time.monotonic()
    city = city or City(seed=SEED, vehicles=VEHICLES, start=START, duration=DURATION)
    options = city.core.options
    if options["parts"] > 1 or set(options["streams"]) != {"vehicle", "gps", "traffic", "weather", "emergency"}:
        raise ConfigError(f"{city} has not all events. Give a whole city with all its streams")
    with (
        tempfile.TemporaryDirectory(prefix="citystream-realism-") as folder,
        shown(progress) as callback,
        _loaded(observe(city, Path(folder), callback)) as con,
    ):
        results = _measure(con, callback)
    return RealismReport(results, round(time.monotonic() - began, 3))


def check(tables: Mapping[str, Any]) -> RealismReport:
    """Runs every check on given data.

    Args:
        tables: Arrow data (anything with `__arrow_c_stream__`) or DuckDB relations in the wire's schema by stream, of
            `SOURCES`: the event streams, "reference", "truth_crossing", "truth_event"; "climate" is weather over years,
            those whose names begin with "light" are of a city with little traffic (where they are missing, their
            namesakes are taken), "exposure" is what `_core.exposure` gives, and "corridor" a dict of what
            `_core.corridor` gives, by the names in `CORRIDORS`. A check whose data are missing fails as not measurable.

    Raises:
        ConfigError: A name is unknown.

    Examples:
        >>> import citystream as cs
        >>> from citystream import realism
        >>> city = cs.City(vehicles=50, duration="1h")
        >>> report = realism.check({"weather": city.events("weather")})
        >>> {c.name: c.note for c in report.checks}["peak_hour"]
        'not measurable'
    """
    began = time.monotonic()
    for name in tables:
        if name not in (*SOURCES, "corridor"):
            raise ConfigError(f"unknown table {name!r}. Choose from {', '.join((*SOURCES, 'corridor'))}")
    with _loaded(tables) as con:
        results = _measure(con, None)
    return RealismReport(results, round(time.monotonic() - began, 3))


def observe(city: City, folder: Path, callback: Callback | None = None) -> dict[str, Any]:
    """What `check` takes, of a city: its events and truth, in Parquet files in `folder`, and the experiments.

    One device in `SAMPLE` is asked for its vehicle and gps events; everything else is whole.
    """
    options = city.core.options
    make = {name: options[name] for name in ("seed", "vehicles", "start_ms", "duration_ms", "threads", "faults")}
    whole = _core.City(**make, streams=["traffic", "weather", "emergency", "truth_crossing"])
    # A fleet smaller than the sample is asked in full.
    parts = max(1, min(SAMPLE, options["vehicles"] // 40))
    sample = _core.City(**make, part=0, parts=parts, streams=["vehicle", "gps", "truth_event"])
    seed = options["seed"]
    few = City(seed=seed, vehicles=LIGHT_VEHICLES, start=START, duration=LIGHT_DURATION)
    light = _core.City(**{**few.core.options, "streams": ["vehicle", "weather", "truth_crossing"]})
    years = City(seed=seed, vehicles=CLIMATE_VEHICLES, start=START, duration=CLIMATE_DURATION, streams=["weather"])
    stations = sum(len(batch) for batch in years.network.stations)
    climate = years.part(0, max(1, stations)).core
    for name, core in (("whole", whole), ("sample", sample), ("light", light), ("climate", climate)):
        core.write(to="parquet", out=str(folder / name), reference=name in {"whole", "light"}, progress=callback)
    tables: dict[str, Any] = {
        stream: folder / part / stream
        for part, streams in (
            ("whole", ("traffic", "weather", "emergency", "truth_crossing", "reference")),
            ("sample", ("vehicle", "gps", "truth_event")),
        )
        for stream in streams
    }
    tables |= {f"light_{stream}": folder / "light" / stream for stream in ("vehicle", "weather", "reference")}
    tables["light_crossing"] = folder / "light" / "truth_crossing"
    tables["climate"] = folder / "climate" / "weather"
    tables["corridor"] = {study: _core.corridor(**plan) for study, plan in CORRIDORS.items()}
    tables["exposure"] = _core.exposure(seed=seed, **EXPOSURE)
    return tables


@contextmanager
def _loaded(tables: Mapping[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with every table of the module's text; those that nothing is given for are empty."""
    with connect(MEMORY) as con:
        for name, source, rows, columns in _TABLES:
            listed = ", ".join(f"{column} {kind}" for column, (kind, _) in columns.items())
            con.execute(f"CREATE TABLE {name} ({listed})")
            made = ", ".join(f"{expression} AS {column}" for column, (_, expression) in columns.items())
            data = tables.get(source, tables.get(_INSTEAD.get(source, source)))
            with _source(con, data) as given:
                if given is not None:
                    con.execute(f"INSERT INTO {name} SELECT {made} FROM {given} WHERE {rows}")
        _load_corridors(con, tables.get("corridor", {}))
        con.execute(checks.VIEWS.read_text(encoding="utf-8"))
        yield con


@contextmanager
def _source(con: duckdb.DuckDBPyConnection, data: Any) -> Iterator[str | None]:
    """What to write after FROM."""
    if data is None:
        yield None
    elif isinstance(data, Path):
        files = sorted(str(path) for path in data.glob("*.parquet"))
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
        yield f"read_parquet([{listed}])" if files else None
    else:
        con.register("given", data)
        yield "given"
        con.unregister("given")


def _load_corridors(con: duckdb.DuckDBPyConnection, corridors: Mapping[str, Any]) -> None:
    con.execute("CREATE TABLE corridor (study VARCHAR, vehicle BIGINT, road BIGINT, t_in_ms BIGINT, t_out_ms BIGINT)")
    con.execute(f"CREATE TABLE corridor_study (study VARCHAR, {', '.join(' '.join(c) for c in _PLAN.items())})")
    for study, passages in corridors.items():
        plan = {"blocked": 0, "from_ms": 0, "until_ms": 0, **CORRIDORS[study]}
        con.execute(f"INSERT INTO corridor_study VALUES (?{', ?' * len(_PLAN)})", [study, *(plan[n] for n in _PLAN)])
        con.register("given", passages)
        con.execute('INSERT INTO corridor SELECT ?, vehicle, road, "tInMs", "tOutMs" FROM given', [study])
        con.unregister("given")


def _measure(con: duckdb.DuckDBPyConnection, callback: Callback | None) -> tuple[Result, ...]:
    results = []
    found = checks.load()
    for number, one in enumerate(found):
        if callback is not None:
            callback({"stage": "check", "done": number, "total": len(found), "unit": "checks", "detail": one.name})
        results.append(_one(con, one))
    return tuple(results)


def _one(con: duckdb.DuckDBPyConnection, check: checks.Check) -> Result:
    row = con.execute(check.sql).fetchone()
    measured, n = (None, 0) if row is None else (row[0], int(row[1] or 0))
    note = ""
    # NaN equals nothing: not even itself.
    if measured is None or measured != measured:  # noqa: PLR0124
        measured, note = None, "not measurable"
    elif n < check.least:
        note = f"not measurable: {n:,} {check.of}, fewer than {check.least:,}"
    passed = not note and measured is not None and check.low <= measured <= check.high
    return Result(
        name=check.name,
        title=check.title,
        kind=check.kind,
        target=(check.low, check.high),
        unit=check.unit,
        source=check.source,
        measured=None if measured is None else float(measured),
        n=n,
        passed=passed,
        note=note,
    )

"""Anybody's silver and gold tables beside what they must be: `citystream.grade`."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.etree import ElementTree as ET

from . import _core
from .city import City
from .errors import ConfigError
from .faults import NAMES, Faults
from .given import LOG, Data, arrow, fetched, is_path, on_s3
from .lake import Lake
from .nearest import nearest
from .progress import shown
from .report import Report, plain, text
from .times import datetime_of
from .topics import DEFAULTS, EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .progress import Progress

#: One table, or one by each stream's or gold table's name.
Tables: TypeAlias = "Data | Mapping[str, Data] | Lake | None"

WRONG = ("missing", "wrongly dropped", "doubled", "altered", "harmed but kept", "unexpected")
GOLD_WRONG = ("missing", "differing", "doubled", "extra")


@dataclass(frozen=True)
class StreamGrade(Report):
    """The verdicts on one stream's silver table.

    Attributes:
        stream: The stream.
        rows: Rows that were given.
        verdicts: Events by verdict; each event has one.
        rows_of: Rows by the verdict on their event; they add up to `rows`.
        by_fault: The verdicts by fault label. An event with two labels counts for both; "none" has no label, "unknown"
            is no event of the city.
        altered: How often each column of the altered events differs.
        columns: The columns that were compared.
        examples: A few events of each wrong verdict: `verdict`, `id`, `faults`, `column`, `expected`, `found`.
    """

    stream: str
    rows: int
    verdicts: dict[str, int]
    rows_of: dict[str, int]
    by_fault: dict[str, dict[str, int]]
    altered: dict[str, int]
    columns: tuple[str, ...]
    examples: tuple[dict[str, Any], ...]

    @property
    def events(self) -> int:
        """Events with a verdict."""
        return sum(self.verdicts.values())

    @property
    def wrong(self) -> int:
        """Events with a wrong verdict."""
        return sum(self.verdicts[name] for name in WRONG)


@dataclass(frozen=True)
class TableGrade(Report):
    """One gold table beside what it must be.

    Attributes:
        table: Its name without the tier.
        rows: Rows that were given.
        expected: Rows that it must have: those correct, differing, doubled and missing.
        correct: Rows that are right.
        differing: Rows with another value.
        missing: Rows that aren't there.
        doubled: Keys with more than one row.
        extra: Keys that it must not have.
        altered: How often each column of the differing rows differs.
        columns: The columns that were compared.
        examples: A few wrong rows: `what`, `key`, `column`, `expected`, `found`.
    """

    table: str
    rows: int
    expected: int
    correct: int
    differing: int
    missing: int
    doubled: int
    extra: int
    altered: dict[str, int]
    columns: tuple[str, ...]
    examples: tuple[dict[str, Any], ...]

    @property
    def wrong(self) -> int:
        """Rows that are not right."""
        return self.differing + self.missing + self.doubled + self.extra


@dataclass(frozen=True, repr=False)
class GradeReport(Report):
    """What tables are worth against the truth; see docs/grade.md.

    Attributes:
        score: 0 to 100: the share of silver's events with the right verdict, and the mean of the gold tables' shares of
            rows that are right; each half where both were given. 100 only where nothing is wrong.
        diagnoses: What is wrong, in words; none where nothing is.
        silver: The grade of each stream.
        gold: The grade of each gold table.
        strangers: Rows of a table of several streams whose ids are no event of any stream.
        city: The city that it was graded against.
        seconds: How long it took.
    """

    score: float
    diagnoses: tuple[str, ...]
    silver: tuple[StreamGrade, ...]
    gold: tuple[TableGrade, ...]
    strangers: int
    city: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.strangers and not any(s.wrong for s in self.silver) and not any(t.wrong for t in self.gold)

    def to_dict(self) -> dict[str, Any]:
        """The fields and `ok` as values that `json.dumps` takes."""
        return {"ok": self.ok, **super().to_dict()}

    def to_json(self) -> str:
        """The same as JSON text."""
        return json.dumps(plain(self.to_dict()), ensure_ascii=False, indent=2)

    SILVER_HEADINGS = ("stream", "events", "correct", "rightly refused", *WRONG)
    FAULT_HEADINGS = ("stream", "fault", "events", "correct", "rightly refused", *WRONG)
    GOLD_HEADINGS = ("table", "rows expected", "correct", *GOLD_WRONG, "columns that differ")

    def silver_cells(self) -> Iterator[tuple[str, ...]]:
        """A row for each stream, for people."""
        for grade in self.silver:
            counts = (grade.events, *(grade.verdicts[name] for name in self.SILVER_HEADINGS[2:]))
            yield grade.stream, *(f"{n:,}" for n in counts)

    def fault_cells(self) -> Iterator[tuple[str, ...]]:
        """A row for each stream and fault label."""
        for grade in self.silver:
            for fault, verdicts in grade.by_fault.items():
                counts = (sum(verdicts.values()), *(verdicts[name] for name in self.SILVER_HEADINGS[2:]))
                yield grade.stream, fault, *(f"{n:,}" for n in counts)

    def gold_cells(self) -> Iterator[tuple[str, ...]]:
        """A row for each gold table."""
        for grade in self.gold:
            counts = (grade.expected, grade.correct, *(getattr(grade, name) for name in GOLD_WRONG))
            yield f"gold.{grade.table}", *(f"{n:,}" for n in counts), text(grade.altered)

    def __repr__(self) -> str:
        lines = [f"Grade {shown_score(self.score)} against {self.city}"]
        lines += [f"- {words}" for words in self.diagnoses]
        for headings, cells in (
            (self.SILVER_HEADINGS, list(self.silver_cells())),
            (self.GOLD_HEADINGS, list(self.gold_cells())),
        ):
            if cells:
                lines += ["", *_aligned(headings, cells)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        words = "".join(f"<li>{escape(line)}</li>" for line in self.diagnoses) or "<li>nothing is wrong</li>"
        tables = "".join(
            _html(headings, cells)
            for headings, cells in (
                (self.SILVER_HEADINGS, list(self.silver_cells())),
                (self.FAULT_HEADINGS, list(self.fault_cells())),
                (self.GOLD_HEADINGS, list(self.gold_cells())),
            )
            if cells
        )
        return f"<p><b>{shown_score(self.score)}</b> against {escape(self.city)}</p><ul>{words}</ul>{tables}"

    def junit(self) -> str:
        """JUnit XML: a suite for each table, a case for each way to be wrong."""
        suites = ET.Element("testsuites", name="citystream grade", time=f"{self.seconds:.3f}")
        for stream in self.silver:
            _suite(
                suites,
                f"silver.{stream.stream}",
                counts=stream.verdicts,
                wrong=WRONG,
                what="verdict",
                examples=stream.examples,
            )
        for table in self.gold:
            counts = {name: getattr(table, name) for name in GOLD_WRONG}
            _suite(suites, f"gold.{table.table}", counts=counts, wrong=GOLD_WRONG, what="what", examples=table.examples)
        if self.strangers:
            strange = {"unexpected": self.strangers}
            _suite(suites, "silver", counts=strange, wrong=("unexpected",), what="verdict", examples=())
        for name in ("tests", "failures"):
            suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
        ET.SubElement(suites, "properties").extend(
            ET.Element("property", name=name, value=value)
            for name, value in (
                ("score", f"{self.score}"),
                ("city", self.city),
                *(("diagnosis", words) for words in self.diagnoses),
            )
        )
        ET.indent(suites)
        return ET.tostring(suites, encoding="unicode", xml_declaration=True)


def grade(
    silver: Tables = None,
    gold: Tables = None,
    *,
    against: City,
    columns: Mapping[str, str] | None = None,
    typed: bool = False,
    storage_options: Mapping[str, str] | None = None,
    progress: Progress = None,
) -> GradeReport:
    """Grades anybody's tables against the truth of the city that their events are of.

    What is given is graded, on the columns that it has: one stream's silver, or one gold table, is enough. Columns are
    those of docs/streams.md (silver) and docs/tables.md (gold); silver may also have the wire's names.

    Args:
        silver: A `Lake`; or the table of each stream by its name; or one table of all streams, told apart by the ids
            of the events. A table is Arrow data, a Parquet file, a folder of them, or a Delta table; what is on S3
            ("s3://bucket/silver") is copied to a temporary folder first.
        gold: A `Lake`, or each gold table by its name, such as {"road_5min": …}.
        against: The city, with the options and faults that its events were sent with.
        columns: Names of columns there and here, such as {"speed": "speed_kmh"}.
        typed: Whether the pipeline was fed with `City.events` or other typed data, which leave harmed events out.
        storage_options: How S3 is reached, as for `Lake`; see docs/s3.md.
        progress: See `citystream.progress.shown`.

    Raises:
        ConfigError: Nothing was given, a table lacks its key, or a stream or gold table does not exist.
        DecodeError: A column can't be compared.
        StoreError: A table can't be read.

    Examples:
        >>> import citystream as cs
        >>> city = cs.City(vehicles=50, duration="1h", faults=cs.Faults(drop=0.1))
        >>> cs.grade(silver={"weather": city.events("weather")}, against=city).score
        100.0
    """
    if not isinstance(against, City):
        raise ConfigError(f"against is {type(against).__name__}. Give the City that the events are of")
    with tempfile.TemporaryDirectory(prefix="citystream-grade-") as folder:
        here = [
            _here(given, Path(folder, tier), storage_options) for tier, given in (("silver", silver), ("gold", gold))
        ]
        return _graded(*here, against=against, columns=columns, typed=typed, progress=progress)


def _here(given: Tables, folder: Path, storage_options: Mapping[str, str] | None) -> Tables:
    """What is given, with copies in the place of what is on S3."""
    if isinstance(given, Mapping):
        return {name: _here(data, folder / name, storage_options) for name, data in given.items()}
    return fetched(str(given), folder, storage_options) if on_s3(given) else given


def _graded(
    silver: Tables,
    gold: Tables,
    *,
    against: City,
    columns: Mapping[str, str] | None,
    typed: bool,
    progress: Progress,
) -> GradeReport:
    silver_tables, gold_tables = list(_silver(silver)), list(_gold(gold))
    if not silver_tables and not gold_tables:
        raise ConfigError("nothing to grade was given. Give silver=, gold= or both")
    ours = {**dict.fromkeys(_core.graded_tables())}
    for name, _ in gold_tables:
        if name not in ours:
            hint = nearest(name, ours) or f"Choose from {', '.join(ours)}"
            raise ConfigError(f"gold table {name!r} can't be graded. {hint}")
    began = time.monotonic()
    with shown(progress) as callback:
        found = _core.grade(
            against.core,
            silver=[(stream, arrow(data)) for stream, data in silver_tables],
            gold=[(name, arrow(data)) for name, data in gold_tables],
            columns=list((columns or {}).items()),
            typed=typed,
            progress=callback,
        )
    return GradeReport(
        score=100.0 * found["score"],
        diagnoses=tuple(found["diagnoses"]),
        silver=tuple(_frozen(StreamGrade, part) for part in found["silver"]),
        gold=tuple(_frozen(TableGrade, part) for part in found["gold"]),
        strangers=found["strangers"],
        city=repr(against),
        seconds=round(time.monotonic() - began, 3),
    )


def city_of(lake: Lake) -> City:
    """The city whose events a lake holds, as its reference rows tell it.

    Raises:
        ConfigError: The lake holds no city's reference rows, or several cities'.
    """
    query = "SELECT DISTINCT city.cityId, city.options FROM bronze.reference WHERE kind = 'city' AND city IS NOT NULL"
    rows = lake.query(query).fetchall()
    if len(rows) != 1:
        what = "says of no city" if not rows else f"says of {len(rows)} cities"
        raise ConfigError(
            f"{lake.path} {what} that its events are of. Give the city: --seed, --vehicles, --start and so on"
        )
    options = json.loads(rows[0][1])
    faults = {name: options.get(name, options.get(f"{name}_ms")) for name in NAMES}
    every = options.get("snapshot_every_ms")
    if every is not None:
        raise ConfigError(
            f"the city of {lake.path} took pictures. Give the city, with its folder: --seed, --snapshots and so on"
        )
    return City(
        seed=options["seed"],
        vehicles=options["vehicles"],
        start=datetime_of(options["start_ms"]),
        duration=dt.timedelta(milliseconds=options["duration_ms"]),
        faults=Faults.of({name: value for name, value in faults.items() if value is not None}),
        compat=options.get("compat", False),
    )


def shown_score(score: float) -> str:
    """A score for people, which is 100 % only where it is."""
    # Cut, not rounded: 99.999 % is not all.
    return "100 %" if score == 100 else f"{int(score * 100) / 100:.2f} %"  # noqa: PLR2004


def _silver(given: Tables) -> Iterator[tuple[str | None, Data]]:
    if given is None:
        return
    if isinstance(given, Lake):
        for stream in EVENTS:
            yield stream, given.table(f"silver.{stream}")
    elif isinstance(given, Mapping):
        for stream, data in given.items():
            if stream not in EVENTS:
                hint = nearest(stream, EVENTS) or f"Choose from {', '.join(EVENTS)}"
                raise ConfigError(f"silver names the stream {stream!r}. {hint}")
            yield stream, data
    elif is_path(given) and (folders := list(_folders(Path(given), EVENTS, DEFAULTS))):
        yield from folders
    else:
        yield None, given


def _gold(given: Tables) -> Iterator[tuple[str, Data]]:
    known = _core.graded_tables()
    if given is None:
        return
    if isinstance(given, Lake):
        for name in given.core.names():
            tier, _, table = name.partition(".")
            if tier == "gold" and table in known:
                yield table, given.table(name)
    elif isinstance(given, Mapping):
        for name, data in given.items():
            yield name.removeprefix("gold."), data
    elif not is_path(given):
        raise ConfigError("gold is a table without a name. Give it by its name, such as gold={'road_5min': table}")
    else:
        path = Path(given)
        folders = list(_folders(path, known, {}))
        if not folders and path.stem not in known:
            raise ConfigError(
                f"{path} holds none of the gold tables {', '.join(known)}. Give them by name: gold={{'road_5min': …}}"
            )
        yield from folders or [(path.stem, path)]


def _folders(path: Path, names: Sequence[str], others: Mapping[str, str]) -> Iterator[tuple[str, Data]]:
    """What a folder holds of tables called so: folders or Parquet files."""
    if not path.is_dir() or (path / LOG).is_dir():
        return
    for name in names:
        for called in (name, others.get(name, name)):
            found = next((p for p in (path / called, path / f"{called}.parquet") if p.exists()), None)
            if found is not None:
                yield name, found
                break


def _frozen(kind: type[Any], values: dict[str, Any]) -> Any:
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        cells = (c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip()


def _html(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _suite(
    suites: ET.Element,
    name: str,
    *,
    counts: Mapping[str, int],
    wrong: Sequence[str],
    what: str,
    examples: Sequence[dict[str, Any]],
) -> None:
    failures = sum(1 for verdict in wrong if counts[verdict])
    suite = ET.SubElement(suites, "testsuite", name=name, tests=str(len(wrong)), failures=str(failures))
    for verdict in wrong:
        case = ET.SubElement(suite, "testcase", classname=name, name=f"none {verdict}")
        if counts[verdict]:
            failure = ET.SubElement(case, "failure", type=verdict, message=f"{counts[verdict]:,} {verdict}")
            failure.text = "\n".join(_example(example) for example in examples if example[what] == verdict)


def _example(example: Mapping[str, Any]) -> str:
    key = example["id"] if "id" in example else ", ".join(f"{k}={v}" for k, v in example["key"].items())
    faults = f" ({', '.join(example['faults'])})" if example.get("faults") else ""
    values = (
        "" if example["column"] is None else f": {example['column']} is {example['found']}, not {example['expected']}"
    )
    # XML has no way to write most control characters.
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in f"{key}{faults}{values}")

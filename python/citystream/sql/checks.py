"""The SQL files of the realism checks, and their header, read strictly.

A file `sql/realism/NAME.sql` is the check NAME: one query that gives one row of `measured`, a number or null, and `n`,
of how many things it is made. It starts with comments::

    -- realism.peak_hour: share of a day's road entries in its busiest hour
    -- kind:    calibrated
    -- target:  0.08 to 0.12
    -- unit:    share
    -- source:  FHWA, Travel Model Validation Manual, chapter 6
    -- least:   24 hours

`kind` is `calibrated` where the value echoes an input of the model, `emergent` where nobody put it in. The check passes
where `measured` lies within the target, ends included, and `n` is at least `least`. `_views.sql` makes what several
checks read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from citystream.errors import ConfigError

FOLDER = Path(__file__).parent / "realism"
VIEWS = FOLDER / "_views.sql"
KINDS = ("calibrated", "emergent")

_FIELDS = ("kind", "target", "unit", "source", "least")
_TITLE = re.compile(r"-- realism\.(?P<name>[a-z][a-z0-9_]*): (?P<title>\S.*)")
_FIELD = re.compile(r"-- (?P<name>[a-z]+):\s*(?P<value>\S.*)")
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_TARGET = re.compile(rf"(?P<low>{_NUMBER}) to (?P<high>{_NUMBER})")
_LEAST = re.compile(r"(?P<n>[1-9][0-9]*) (?P<what>\S.*)")


@dataclass(frozen=True)
class Check:
    """One realism check."""

    name: str
    title: str
    kind: str
    low: float
    high: float
    unit: str
    source: str
    least: int
    of: str
    sql: str

    @property
    def target(self) -> str:
        """The target for people."""
        return f"{self.low:g} to {self.high:g}"


def load(folder: Path = FOLDER) -> list[Check]:
    """Every check, by name.

    Raises:
        ConfigError: A header is broken; names the file and the line.
    """
    return [read(path) for path in sorted(folder.glob("[a-z]*.sql"))]


def read(path: Path) -> Check:
    """Reads one file.

    Raises:
        ConfigError: The header is broken; names the file and the line.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    title = _TITLE.fullmatch(lines[0]) if lines else None
    if title is None or title["name"] != path.stem:
        raise _broken(path, 1, f"does not start with `-- realism.{path.stem}: what is measured`")
    values: dict[str, str] = {}
    for number, (name, line) in enumerate(zip(_FIELDS, lines[1:], strict=False), start=2):
        field = _FIELD.fullmatch(line)
        if field is None or field["name"] != name:
            raise _broken(path, number, f"has {line!r} where `-- {name}: ...` stands")
        values[name] = field["value"].strip()
    if len(values) < len(_FIELDS):
        raise _broken(path, len(lines), f"ends before `-- {_FIELDS[len(values)]}: ...`")
    target, least = _TARGET.fullmatch(values["target"]), _LEAST.fullmatch(values["least"])
    if values["kind"] not in KINDS:
        raise _broken(path, 2, f"has the kind {values['kind']!r}, which is neither {' nor '.join(KINDS)}")
    if target is None or float(target["low"]) >= float(target["high"]):
        raise _broken(path, 3, f"has the target {values['target']!r}. Write it like `0.08 to 0.12`")
    if least is None:
        raise _broken(path, 6, f"has the least number {values['least']!r}. Write it like `24 hours`")
    return Check(
        name=title["name"],
        title=title["title"],
        kind=values["kind"],
        low=float(target["low"]),
        high=float(target["high"]),
        unit=values["unit"],
        source=values["source"],
        least=int(least["n"]),
        of=least["what"],
        sql=text,
    )


def _broken(path: Path, number: int, what: str) -> ConfigError:
    return ConfigError(f"{path}:{number}: the header {what}")

"""Each realism check passes on the city, and what a check is."""

from __future__ import annotations

import re

import duckdb
import pytest

import citystream as cs
from citystream import realism
from citystream.sql import checks

CHECKS = checks.load()
NAMES = [check.name for check in CHECKS]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_the_city_passes(report, name):
    (found,) = (check for check in report.checks if check.name == name)
    assert found.passed, f"{name}: {found.measured} of {found.target}, n = {found.n} {found.note}"


def test_there_are_enough_checks_and_ten_are_emergent(report):
    assert [check.name for check in report.checks] == NAMES
    assert len(NAMES) == len(set(NAMES)) >= 35
    assert sum(check.kind == "emergent" for check in CHECKS) >= 10


def test_what_cannot_be_measured_fails():
    nothing = realism.check({})
    assert len(nothing.checks) == len(CHECKS)
    assert not any(check.passed for check in nothing.checks)
    assert {check.note.split(":")[0] for check in nothing.checks} == {"not measurable"}
    assert nothing.missed == nothing.checks


def test_too_few_rows_do_not_pass():
    # An hour's weather is real weather, and still no climate.
    city = cs.City(vehicles=50, duration="1h", streams=["weather"])
    found = {check.name: check for check in realism.check({"weather": city.events("weather")}).checks}
    assert found["aqi_from_pollutants"].passed
    assert not found["wet_hours"].passed
    assert found["wet_hours"].measured is not None
    assert re.fullmatch(r"not measurable: \d+ hours, fewer than 500", found["wet_hours"].note)


def test_a_report_shows_itself():
    empty = realism.check({})
    assert str(empty) == f"0 of {len(CHECKS)} realism checks passed"
    assert empty._repr_html_().count("<tr>") == len(CHECKS) + 1
    first = empty.to_dict()["checks"][0]
    assert {"name", "kind", "target", "source", "measured", "passed", "note"} <= set(first)
    assert "nan" not in empty._repr_html_().lower().replace("relevan", "")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: realism.check({"gsp": None}), "unknown table 'gsp'"),
        (lambda: realism.run(cs.City(vehicles=100, duration="1h").part(0, 2)), "not all events"),
        (lambda: realism.run(cs.City(vehicles=100, duration="1h", streams=["gps"])), "not all events"),
        (lambda: cs._core.corridor(roads=2, length_m=1, lanes=1, limit_kmh=50, flow_vehh=9, duration_ms=0), "duration"),
        (lambda: cs._core.exposure(seed=1, blocks=0, crossings=1, road_km=1.0), "0 blocks"),
    ],
)
def test_what_is_wrong_is_named(make, message):
    with pytest.raises(cs.ConfigError, match=message):
        make()


def test_a_corridor_is_arrow_with_every_passage():
    study = cs._core.corridor(roads=3, length_m=500, lanes=1, limit_kmh=36, flow_vehh=360, duration_ms=600_000)
    with duckdb.connect() as con:
        con.register("study", study)
        rows = con.execute(
            'SELECT road, count(*), min("tOutMs" - "tInMs"), max("tOutMs" - "tInMs") FROM study GROUP BY 1 ORDER BY 1'
        ).fetchall()
    assert rows == [(0, 55, 50_000, 50_000), (1, 50, 50_000, 50_000), (2, 45, 50_000, 50_000)]


HEADER = """-- realism.NAME: what
-- kind:    emergent
-- target:  0.1 to 2
-- unit:    share
-- source:  a book
-- least:   10 rows
SELECT 1 AS measured, 10 AS n
"""


def test_a_check_is_a_file(tmp_path):
    (tmp_path / "mine.sql").write_text(HEADER.replace("NAME", "mine"))
    (check,) = checks.load(tmp_path)
    assert (check.name, check.kind, check.low, check.high, check.least, check.of) == (
        "mine",
        "emergent",
        0.1,
        2,
        10,
        "rows",
    )
    with duckdb.connect() as con:
        assert realism._one(con, check).passed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("realism.NAME", "realism.other", ":1: .*does not start with `-- realism.mine"),
        ("emergent", "guessed", ":2: .*'guessed'"),
        ("0.1 to 2", "2 to 0.1", ":3: .*'2 to 0.1'"),
        ("0.1 to 2", "some", ":3: .*'some'"),
        ("-- unit:    share\n", "", ":4: .*unit"),
        ("10 rows", "some rows", ":6: .*'some rows'"),
    ],
)
def test_a_broken_header_is_named(tmp_path, old, new, message):
    (tmp_path / "mine.sql").write_text(HEADER.replace(old, new).replace("NAME", "mine"))
    with pytest.raises(cs.ConfigError, match=message):
        checks.load(tmp_path)

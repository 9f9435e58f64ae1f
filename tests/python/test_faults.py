"""Faults and scenarios: options, and where the lake puts what each fault does, as docs/faults.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

import citystream as cs
from citystream.faults import BOUNDS, INSTANTS, NAMES, TEXTS
from citystream.settings import SETTINGS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
CITY = {"seed": 11, "vehicles": 150, "start": "2026-06-01T07:00:00Z", "duration": "40min"}
EVENTS = ("vehicle", "gps", "traffic", "weather", "emergency")


def rows_of(heading, columns):
    """The rows of the table under a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    assert all(len(row) == columns for row in rows), rows
    return [row for row in rows[1:] if not set(row[0]) <= set("- ")]


ENDS = rows_of("What happens, and where it ends up", 4)


def test_the_page_has_every_fault_and_label():
    faults = {row[0].split(",")[0] for row in ENDS}
    rates = {name for name in NAMES if name not in (*BOUNDS, *INSTANTS, *TEXTS)}
    assert faults == rates - {"corrupt"}
    assert len(ENDS) == 16


def test_the_page_has_every_scenario_with_its_line():
    assert dict(rows_of("Scenarios", 2)) == {name: found.doc for name, found in cs.scenarios().items()}


@pytest.mark.parametrize("fault", ENDS, ids=[row[0] for row in ENDS])
def test_each_fault_ends_up_where_the_page_says(tmp_path, fault):
    named, label, ends, _ = fault
    name, _, kind = named.partition(", ")
    rate = {"clock_jump": 0.3, "outage": 0.3, "schema_drift": 0.3, "retry_loop": 0.05}.get(name, 0.1)
    faults = cs.Faults(**{name: rate}, schema_drift_kind=kind or None, late_bound="10min", outage_bound="8min")
    city = cs.City(**CITY, faults=faults)
    labels = pa.table(city.truth.faults)
    assert set(labels["kind"].to_pylist()) == {label}
    lake = cs.Lake(tmp_path / "lake")
    lake.ingest(city)
    lake.refine()
    assert lake.check() == []
    found = {
        table: set(pa.table(lake.table(f"silver.{table}"))["id"].to_pylist())
        for table in (*EVENTS, "quarantine", "duplicate")
    }
    silver = set().union(*(found[stream] for stream in EVENTS))
    dead = pa.table(lake.table("silver.dead_letter")).num_rows
    harmed = set(labels["id"].to_pylist())
    assert len(harmed) > 20
    clean = set().union(*(pa.table(cs.City(**CITY).events(stream))["id"].to_pylist() for stream in EVENTS))
    tables = {
        "silver": harmed <= silver and not dead and not found["quarantine"],
        "dead_letter": dead == len(harmed) and not harmed & silver,
        # Without an id there is nothing to find it by, but then its id is nowhere else either.
        "quarantine": harmed == found["quarantine"] and not harmed & silver and not dead,
        "duplicate": harmed <= silver and harmed == found["duplicate"],
        "missing": not harmed & (silver | found["quarantine"] | found["duplicate"]) and not dead,
        "silver or quarantine": harmed <= silver | found["quarantine"]
        and harmed & silver
        and harmed & found["quarantine"],
    }
    assert tables[ends], {table: len(ids & harmed) for table, ids in found.items()}
    # Where no label stands, the event is in silver. What is delayed past the end isn't sent.
    assert clean - harmed - silver == set() or name in {"late", "outage", "out_of_order"}
    if name not in {"duplicate", "retry_loop"}:
        assert not found["duplicate"]


def test_late_events_are_late_and_clocks_that_are_behind_look_late(tmp_path):
    def lateness(name, rate):
        lake = cs.Lake(tmp_path / name)
        lake.ingest(cs.City(**CITY, faults=cs.Faults(**{name: rate})))
        lake.refine()
        query = "select count(*) filter (lateness_s > 8), max(lateness_s) from silver.vehicle"
        return lake.query(query).fetchall()[0]

    none, _ = lateness("drop", 0.01)
    late, longest = lateness("late", 0.1)
    assert none == 0
    assert late > 50
    assert 60 < longest < 620
    behind, longest = lateness("clock_jump", 0.3)
    assert behind > 20
    assert 3_500 < longest < 12 * 3_600 + 60


class TestOptions:
    def test_repr_shows_what_is_set(self):
        assert repr(cs.Faults()) == "Faults()"
        faults = cs.Faults(late=0.05, late_bound="10min", drop=0.0)
        assert repr(faults) == "Faults(late=0.05, late_bound='10min', drop=0.0)"
        assert eval(repr(faults), {"Faults": cs.Faults}) == faults  # noqa: S307

    def test_python_core_and_settings_know_the_same_faults(self):
        assert list(cs._core.fault_defaults()) == list(NAMES)
        assert {f"faults.{name}" for name in NAMES} == {key for key in SETTINGS if key.startswith("faults.")}
        for name in NAMES:
            default = SETTINGS[f"faults.{name}"].default
            if default is not None:
                assert cs.Faults(**{name: default}).core()[name] == cs._core.fault_defaults()[name], name

    def test_a_city_knows_its_faults(self):
        city = cs.City(
            vehicles=10, faults=cs.Faults(late=0.1, late_bound="10min", schema_drift_from="2026-06-01T08:00Z")
        )
        assert city.faults == cs.Faults(late=0.1, schema_drift_from="2026-06-01T08:00:00Z")
        assert cs.City(vehicles=10).faults == cs.Faults()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"late": "5%"}, "late is '5%'"),
            ({"late": True}, "late is True"),
            ({"late": 1.5}, "late is 1.5.*from 0 to 1"),
            ({"outage": 0.6}, "outage is 0.6.*from 0 to 0.5"),
            ({"poison_pill": 0.2}, "poison_pill is 0.2.*from 0 to 0.1"),
            ({"late_bound": 600}, "late_bound 600 has no unit"),
            ({"late_bound": "2d"}, "late_bound is 172800000 ms.*one day"),
            ({"schema_drift_from": "soon"}, "schema_drift_from 'soon' is no time"),
            ({"schema_drift_kind": "lost"}, "schema_drift_kind is .lost.*renamed"),
            ({"tombstone": float("inf")}, "tombstone is .inf"),
        ],
    )
    def test_what_is_wrong_is_named(self, options, message):
        with pytest.raises(cs.ConfigError, match=re.compile(message, re.DOTALL)):
            cs.City(vehicles=10, faults=cs.Faults(**options))

    def test_an_unknown_fault_is_pythons_own_error(self):
        with pytest.raises(TypeError, match="lat"):
            cs.Faults(lat=0.1)


class TestScenarios:
    def test_each_makes_a_city(self):
        found = cs.scenarios()
        assert len(found) == 9
        for name, scenario in found.items():
            city = cs.City(vehicles=10, duration="1h", scenario=name)
            assert f"scenario='{name}'" in repr(city)
            given = dict(city.faults.given())
            given.pop("schema_drift_from", None)
            assert given == scenario.faults.given()

    def test_faults_that_are_given_win(self):
        city = cs.City(vehicles=10, scenario="late_storm", faults=cs.Faults(duplicate=0.0, drop=0.5))
        storm = cs.scenarios()["late_storm"].faults
        assert city.faults == cs.Faults(
            late=storm.late, late_bound=storm.late_bound, out_of_order=storm.out_of_order, drop=0.5
        )

    def test_drift_begins_half_an_hour_after_the_start(self):
        city = cs.City(vehicles=10, start="2026-06-02T10:00Z", scenario="schema_drift")
        assert city.faults.schema_drift_from == "2026-06-02T10:30:00Z"

    def test_rush_hour_has_its_time_unless_one_is_given(self):
        assert "start='2026-06-01T07:00:00Z', duration='3h'" in repr(cs.City(vehicles=10, scenario="rush_hour"))
        other = cs.City(vehicles=10, start="2026-06-03T12:00Z", duration="10min", scenario="rush_hour")
        assert "start='2026-06-03T12:00:00Z', duration='10min'" in repr(other)

    def test_rush_hour_is_busier_than_noon(self):
        def crossings(**options):
            return pa.table(cs.City(vehicles=2_000, **options).truth.crossings).num_rows

        noon = crossings(start="2026-06-01T12:00Z", duration="3h")
        assert crossings(scenario="rush_hour") > 1.25 * noon

    def test_an_unknown_one_lists_those_there_are(self):
        with pytest.raises(cs.ConfigError, match=r"storm.*calm, rush_hour, late_storm"):
            cs.City(vehicles=10, scenario="storm")


class TestCommandLine:
    def run(self, citystream, *arguments):
        small = (
            "--vehicles",
            "400",
            "--start",
            "2026-06-01T07:00Z",
            "--duration",
            "20min",
            "--streams",
            "vehicle,truth_fault",
        )
        done = citystream("simulate", "--to", "ndjson", "--out", "out", "--json", *small, *arguments)
        assert done.status == 0, done.err
        return done.json["by_stream"]["truth_fault"]

    def test_each_fault_has_its_flag(self, citystream):
        flags = {name: f"--{name.replace('_', '-')}" for name in NAMES}
        text = citystream("simulate", "--help", COLUMNS="200").out
        assert all(flag in text for flag in flags.values())
        given = (flags["tombstone"], "0.5", flags["outage"], "0.2", flags["outage_bound"], "5min")
        assert self.run(citystream, *given) > 60

    def test_flags_win_over_the_scenario_and_the_scenario_over_nothing(self, citystream):
        assert self.run(citystream) == 0
        (Path("out") / "vehicle_data.ndjson").unlink()
        (Path("out") / "truth_fault.ndjson").unlink()
        assert self.run(citystream, "--scenario", "tombstones", "--tombstone", "0") == 0

    def test_a_scenario_from_the_file(self, citystream, tmp_path):
        (tmp_path / "citystream.toml").write_text("[city]\nscenario = 'tombstones'\n[faults]\ntombstone = 0.5\n")
        assert self.run(citystream) > 60

    def test_an_unknown_scenario_is_wrong_usage(self, citystream):
        done = citystream("simulate", "--to", "stdout", "--scenario", "storm")
        assert done.status == 2
        assert "late_storm" in done.err

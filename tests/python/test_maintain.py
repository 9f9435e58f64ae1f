"""Maintenance beside other engines: what they read stays the same, and what they write is not doubled."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import suppress

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

import citystream as cs
from citystream import refresh as refreshing
from citystream import sql

SIDES = ("dead_letter", "quarantine", "duplicate")
MORNING = {"seed": 5, "vehicles": 60, "start": "2026-06-01T07:00:00Z"}
FAULTS = {"late": 0.05, "late_bound": "5min", "duplicate": 0.03, "corrupt": 0.03}


def morning(minutes):
    """The same city each time: other faults would make it another topic."""
    return cs.City(**MORNING, duration=f"{minutes}min", faults=cs.Faults(**FAULTS))


def in_steps(path, minutes=(10, 20, 30, 40), *, refine=True):
    """A lake that took in a morning in several steps, and so has many small files."""
    lake = cs.Lake(path)
    for until in minutes:
        lake.ingest(morning(until))
        if refine:
            lake.refine()
    return lake


def folder(lake, name):
    return f"{lake.path}/{name.replace('.', '/')}"


def sums(lake, name, columns="*"):
    """The number of rows and a sum over their content, as three engines read the table."""
    path = folder(lake, name)
    with duckdb.connect() as con:
        con.register("found", DeltaTable(path).to_pyarrow_table())
        by_deltalake = con.sql(f"select count(*), sum(hash(t)) from (select {columns} from found) t").fetchall()
    assert lake.query(f"select count(*) from {name}").fetchall()[0][0] == by_deltalake[0][0]
    assert pl.read_delta(path).height == by_deltalake[0][0]
    return by_deltalake


def test_every_engine_reads_the_same_after_compaction(tmp_path):
    lake = in_steps(tmp_path / "lake")
    names = [table.name for table in lake.tables()]
    before = {name: sums(lake, name) for name in names}
    versions = {table.name: table.version for table in lake.tables()}
    planned = lake.compact(dry_run=True)
    assert {table.name: table.version for table in lake.tables()} == versions
    done = lake.compact()
    assert {t.name for t in done.tables} == {t.name for t in planned.tables} > {"bronze.gps", "silver.gps"}
    assert all(t.added < t.removed and t.conflicts == 0 for t in done.tables)
    assert {name: sums(lake, name) for name in names} == before
    for name in names:
        partitions = {tuple(sorted(f["partition"].items())) for f in lake.core.snapshot(name)["files"]}
        assert len(lake.table(name).files) == len(partitions), name
    assert lake.check() == []
    assert set(lake.refine().rows.values()) == {0}
    assert lake.compact().tables == ()
    # Each of the engines finds the rows of the version before it, too.
    old = DeltaTable(folder(lake, "silver.gps"), version=versions["silver.gps"]).to_pyarrow_table()
    assert old.num_rows == before["silver.gps"][0][0]


def test_gold_takes_in_what_was_compacted_before_it_looked(tmp_path):
    lake = in_steps(tmp_path / "lake", (10, 20))
    lake.ingest(morning(40))
    lake.core.refine_silver(progress=None)
    assert lake.compact(tables="silver.vehicle").tables
    lake.refine()
    rebuilt = {table: sums(lake, table) for table in ("gold.road_5min", "gold.camera_15min")}
    refreshing.refresh(lake.core, sql.load(), whole=True)
    assert {table: sums(lake, table) for table in rebuilt} == rebuilt
    assert lake.check() == []


def test_a_table_that_another_engine_compacted_is_read_right(tmp_path):
    lake = in_steps(tmp_path / "lake", (10, 20), refine=False)
    lake.refine()
    lake.ingest(morning(30))
    for name in ("bronze.gps", "bronze.vehicle", "silver.gps", "silver.duplicate", "gold.road_5min"):
        before = sums(lake, name)
        assert DeltaTable(folder(lake, name)).optimize.compact()["numFilesRemoved"] >= 0
        assert sums(lake, name) == before
    assert lake.check() == []
    lake.refine()
    assert lake.check() == []
    # Ours goes on from there.
    lake.compact()
    lake.vacuum(retention="0d", leftovers="0d")
    assert lake.check() == []
    other = in_steps(tmp_path / "other", (10, 20), refine=False)
    other.refine()
    other.ingest(morning(30))
    other.refine()
    for name in ("silver.gps", "silver.vehicle"):
        assert sums(lake, name, "id, event_time") == sums(other, name, "id, event_time")


def test_another_engines_compaction_that_was_planned_before_ours_is_refused(tmp_path):
    lake = in_steps(tmp_path / "lake", (10, 20, 30), refine=False)
    before = sums(lake, "bronze.gps")
    stale = DeltaTable(folder(lake, "bronze.gps"))
    lake.compact(tables=["bronze.gps"])
    with pytest.raises((CommitFailedError, DeltaError), match=r"(?i)metadata"):
        stale.optimize.compact()
    assert sums(lake, "bronze.gps") == before
    assert lake.check() == []


def until_done(done, failed, work):
    """Does the work again and again, until told to stop or it fails."""
    try:
        while not done.is_set():
            work()
    except Exception as error:  # noqa: BLE001
        failed.append(error)


def test_two_engines_compact_while_rows_come_in(tmp_path):
    lake = cs.Lake(tmp_path / "lake")
    lake.ingest(morning(2))
    lake.refine()
    done, failed = threading.Event(), []

    def theirs():
        for name in ("bronze.gps", "bronze.vehicle", "silver.gps"):
            # A commit that it lost is refused, and tried again in the next round.
            with suppress(CommitFailedError, DeltaError):
                DeltaTable(folder(lake, name)).optimize.compact()

    works = (theirs, cs.Lake(tmp_path / "lake").compact, cs.Lake(tmp_path / "lake").compact)
    threads = [threading.Thread(target=until_done, args=(done, failed, work)) for work in works]
    for thread in threads:
        thread.start()
    try:
        for until in range(4, 18, 2):
            lake.ingest(morning(until))
            lake.core.refine_silver(progress=None)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []
    lake.refine()
    assert lake.check() == []
    other = cs.Lake(tmp_path / "other")
    other.ingest(morning(2))
    for until in range(4, 18, 2):
        other.ingest(morning(until))
    other.refine()
    for name in ("bronze.gps", "silver.gps", "silver.vehicle", *(f"silver.{side}" for side in SIDES)):
        assert DeltaTable(folder(lake, name)).to_pyarrow_table().num_rows == other.table(name).row_count, name


def test_lag_is_what_the_next_tier_has_not_taken_in(tmp_path):
    lake = in_steps(tmp_path / "lake", (10,))
    assert {t.lag for t in lake.tables() if not t.name.startswith("bronze.")} == {0}
    ingested = lake.ingest(morning(20))
    tables = {t.name: t for t in lake.tables()}
    assert tables["bronze.gps"].lag is None
    assert tables["silver.gps"].lag >= 1
    assert tables["silver.gps"].lag_rows == ingested.by_stream["gps"]
    assert tables["silver.dead_letter"].lag_rows == ingested.records
    # Compaction and vacuum are commits in which there is nothing to take in.
    lake.refine()
    lake.compact()
    lake.vacuum(retention="0d", leftovers="0d")
    assert {t.lag for t in lake.tables() if not t.name.startswith("bronze.")} == {0}


def test_old_dates_go_and_gold_keeps_what_it_made_of_them(tmp_path):
    lake = cs.Lake(tmp_path / "lake")
    for day in ("01", "02"):
        lake.ingest(cs.City(seed=3, vehicles=60, start=f"2026-06-{day}T07:00Z", duration="30min"))
    lake.refine()
    before = sums(lake, "gold.air_quality_hourly")
    assert before[0][0] > 0
    first = lake.query("select count(*) from silver.weather where event_date = '2026-06-01'").fetchall()[0][0]
    dry = lake.retain(silver="1d", today="2026-06-03", dry_run=True)
    assert ("silver.weather", ("2026-06-01",), first) in [(t.name, t.dates, t.rows) for t in dry.tables]
    assert {t.name for t in dry.tables} == {f"silver.{s}" for s in ("vehicle", "gps", "traffic", "weather")}
    lake.retain(silver="1d", today="2026-06-03")
    dates = lake.query("select distinct event_date from silver.weather").fetchall()
    assert dates == [(dt.date(2026, 6, 2),)]
    assert lake.check() == []
    # Also when all of gold is computed anew.
    refreshing.refresh(lake.core, sql.load(), whole=True)
    assert sums(lake, "gold.air_quality_hourly") == before
    lake.retain(gold="1d", today="2026-06-03")
    assert lake.query("select distinct window_date from gold.air_quality_hourly").fetchall() == dates
    with pytest.raises(cs.ConfigError, match="no tier has an age"):
        lake.retain()
    with pytest.raises(cs.ConfigError, match="whole days"):
        lake.retain(bronze="36h")


def test_silver_and_gold_are_made_anew(tmp_path):
    lake = in_steps(tmp_path / "lake", (10, 20))
    names = ("silver.gps", "silver.vehicle", "gold.road_5min", "gold.camera_15min", "dim.road")
    columns = {"dim.road": "road_id, length_m"}
    before = {name: sums(lake, name, columns.get(name, "*")) for name in names}
    # Another engine has cleaned bronze's logs.
    for stream in ("gps", "vehicle"):
        lake.checkpoint(tables=f"bronze.{stream}")
        lake.ingest(morning(21))
    rebuilt = lake.refine(rebuild=True)
    assert {table.windows for table in rebuilt.tables} == {"all"}
    assert rebuilt.silver["gps"] >= before["silver.gps"][0][0]
    assert lake.check() == []
    other = in_steps(tmp_path / "other", (10, 20), refine=False)
    other.ingest(morning(21))
    other.refine()
    for name in names[2:]:
        chosen = columns.get(name, "*")
        assert sums(lake, name, chosen) == sums(other, name, chosen), name
    assert set(lake.refine().rows.values()) == {0}
    with pytest.raises(cs.ConfigError, match="without rebuild"):
        lake.refine(without_dropped=True)


def test_the_commands_say_what_they_do(citystream, tmp_path):
    in_steps(tmp_path / "lake", (10, 20))
    dry = citystream("lake", "compact", "lake", "--dry-run", "--json").json
    assert dry["dry_run"]
    assert dry["tables"]
    done = citystream("lake", "compact", "lake", "--table", "bronze.gps", "--json").json
    assert [(t["name"], t["added"]) for t in done["tables"]] == [("bronze.gps", 1)]
    assert "bronze.vehicle" in citystream("lake", "compact", "lake").out
    assert citystream("lake", "compact", "lake").out == "Nothing to do\n"

    assert citystream("lake", "vacuum", "lake", "--json").json["tables"] == []
    planned = citystream("lake", "vacuum", "lake", "--retention", "0d", "--dry-run", "--json").json
    deleted = citystream("lake", "vacuum", "lake", "--retention", "0d", "--json").json
    assert deleted["tables"] == planned["tables"]
    assert sum(t["removed"] for t in deleted["tables"]) > 10

    logs = citystream("lake", "checkpoint", "lake", "--log-retention", "0d", "--json").json
    # What silver and gold have yet to pass, compaction included, holds the log.
    assert all(t["written"] and t["oldest"] <= t["checkpoint"] for t in logs["tables"])
    old = citystream("lake", "retain", "lake", "--silver", "1d", "--today", "2026-06-09", "--json").json
    assert {t["name"] for t in old["tables"]} >= {"silver.gps"}
    checked = citystream("lake", "check", "lake", "--json")
    assert (checked.status, checked.json["sound"], checked.json["leftovers"]) == (0, True, 0)
    assert citystream("refine", "lake", "--rebuild").status == 0
    wrong = citystream("lake", "compact", "lake", "--target", "big")
    assert wrong.status != 0
    assert "Write it like 128MiB" in wrong.err


def test_a_sound_lake_says_what_was_looked_at(small_lake):
    found = small_lake.check()
    assert found == []
    assert found.tables == len(small_lake.tables())
    assert found.files == sum(t.files for t in small_lake.tables())

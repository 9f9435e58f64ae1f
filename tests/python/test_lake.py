"""Lake: ingest, refine, query, tables, check, on the embedded road."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
from typing import ClassVar

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from cities import small
from deltalake import DeltaTable
from plain_lake import COLUMNS

import citystream as cs
from citystream import sql

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
GOLD = (
    "road_5min", "camera_15min", "hotspot_h3_15min", "air_quality_hourly", "weather_impact", "incident_response",
    "vehicle_hourly", "fleet_daily", "data_quality_hourly",
)  # fmt: skip
DIM = ("road", "camera", "station", "vehicle")


def delta(lake, name):
    """The table as another library reads it."""
    return DeltaTable(f"{lake.path}/{name.replace('.', '/')}").to_pyarrow_table()


def test_a_table_stays_at_its_version(tmp_path):
    lake = cs.Lake(tmp_path / "lake")
    morning = {"seed": 7, "vehicles": 100, "start": "2026-06-01T07:00:00Z"}
    lake.ingest(cs.City(**morning, duration="20min"))
    table = lake.table("bronze.traffic")
    before = pa.table(table)
    lake.ingest(cs.City(**morning, duration="40min"))
    assert lake.table("bronze.traffic").version > table.version
    assert pa.table(table).equals(before)
    assert before.num_rows == table.row_count < lake.table("bronze.traffic").row_count


def test_every_table_is_there_even_when_empty(tmp_path):
    lake = cs.Lake(tmp_path / "lake")
    lake.ingest(cs.City(vehicles=20, duration="1min"))
    lake.refine()
    names = {table.name for table in lake.tables()}
    assert names == {
        *(f"bronze.{table}" for table in (*STREAMS, "reference", "ingest_gap")),
        *(f"silver.{table}" for table in (*STREAMS, "dead_letter", "quarantine", "duplicate")),
        *(f"dim.{table}" for table in DIM),
        *(f"gold.{table}" for table in GOLD),
    }
    for name in names:
        assert delta(lake, name).column_names == lake.table(name).schema.names


def test_each_event_is_in_silver_once(small_lake):
    faults = cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, drop=0.02, corrupt=0.02)
    city = small(faults=faults)
    for stream in STREAMS:
        sent = pa.table(city.events(stream))
        silver = delta(small_lake, f"silver.{stream}")
        assert silver.num_rows > 0
        assert sorted(silver["id"].to_pylist()) == sorted(set(sent["id"].to_pylist())), stream


def test_what_goes_in_comes_out(small_lake):
    rejected = {"dead_letter": 0, "quarantine": 0, "duplicate": 0}
    for stream in STREAMS:
        (row,) = small_lake.query(
            f"select sum(received), sum(accepted), sum(dead_letter), sum(quarantine), sum(duplicate) "
            f"from gold.data_quality_hourly where stream = '{stream}'"
        ).fetchall()
        received, accepted, *others = (int(value) for value in row)
        assert received == delta(small_lake, f"bronze.{stream}").num_rows
        assert accepted == delta(small_lake, f"silver.{stream}").num_rows
        assert received == accepted + sum(others)
        for name, count in zip(rejected, others, strict=True):
            rejected[name] += count
    assert all(count > 0 for count in rejected.values())
    for name, count in rejected.items():
        assert delta(small_lake, f"silver.{name}").num_rows == count


def test_a_lake_that_was_refined_is_sound(small_lake):
    assert small_lake.check() == []


def test_doing_it_again_changes_nothing(tmp_path, city):
    lake = cs.Lake(tmp_path / "lake")
    first = lake.ingest(city)
    refined = lake.refine()
    assert first.records == sum(sum(1 for _ in city.rows(stream)) for stream in STREAMS)
    assert refined.rows["silver.gps"] == first.by_stream["gps"]
    assert refined.rows["gold.road_5min"] > 0
    before = lake.tables()
    again = lake.ingest(city)
    assert again.records == 0
    refined = lake.refine()
    assert set(refined.rows.values()) == {0}
    assert {table.windows for table in refined.tables} == {"unchanged"}
    assert [(t.name, t.rows, t.files, t.version) for t in lake.tables()] == [
        (t.name, t.rows, t.files, t.version) for t in before
    ]


def test_a_second_city_in_the_same_lake(tmp_path):
    lake = cs.Lake(tmp_path / "lake")
    for day in ("01", "02"):
        lake.ingest(cs.City(vehicles=60, start=f"2026-06-{day}T07:00Z", duration="1h"))
        refined = lake.refine()
    # New reference rows renew the dimensions, and those all of gold.
    assert {table.name: table.windows for table in refined.tables}["gold.air_quality_hourly"] == "all"
    dates = lake.query("select distinct window_date from gold.air_quality_hourly order by 1").fetchall()
    assert dates == [(dt.date(2026, 6, 1),), (dt.date(2026, 6, 2),)]
    assert lake.check() == []


def test_gold_is_what_its_sql_says_of_silver(small_lake):
    """Speeds of one road, computed here by hand from the reports."""
    reports = pl.DataFrame(small_lake.table("silver.vehicle")).sort("device_id", "event_time")
    near = dt.timedelta(seconds=15)
    under_way = reports.filter(
        (pl.col("event_time") - pl.col("event_time").shift(1).over("device_id") <= near)
        & (pl.col("event_time").shift(-1).over("device_id") - pl.col("event_time") <= near)
    )
    expected = (
        under_way.group_by("road_id", pl.col("event_time").dt.truncate("5m").alias("window_start"))
        .agg(pl.len().alias("reports"), pl.col("speed_kmh").mean().alias("speed"))
        .sort("road_id", "window_start")
    )
    gold = pl.DataFrame(small_lake.table("gold.road_5min")).filter(pl.col("probe_reports") > 0)
    gold = gold.sort("road_id", "window_start")
    assert expected.height > 100
    assert gold["road_id"].to_list() == expected["road_id"].to_list()
    assert gold["probe_reports"].to_list() == expected["reports"].to_list()
    assert gold["speed_kmh"].to_list() == pytest.approx(expected["speed"].to_list())
    assert gold["free_flow_kmh"].null_count() == 0


def test_every_reader_sees_the_same(small_lake):
    for name in ("silver.gps", "gold.road_5min", "dim.road"):
        path = f"{small_lake.path}/{name.replace('.', '/')}"
        counts = {
            small_lake.table(name).row_count,
            pa.table(small_lake.table(name)).num_rows,
            pl.read_delta(path).height,
            DeltaTable(path).to_pyarrow_table().num_rows,
            small_lake.query(f"select count(*) from {name}").fetchall()[0][0],
        }
        assert len(counts) == 1
        assert counts.pop() > 0


def test_columns_say_what_they_mean(small_lake):
    schema = json.loads(DeltaTable(f"{small_lake.path}/gold/road_5min").schema().to_json())
    comments = {field["name"]: field["metadata"].get("comment") for field in schema["fields"]}
    assert comments["speed_kmh"] == "space-mean speed of those reports [km/h]"
    assert all(comments.values())


def test_the_lake_of_the_sql_tests_is_like_a_real_one(small_lake):
    con = duckdb.connect()
    compared = 0
    for name, columns in COLUMNS.items():
        con.execute(f"create or replace table t ({columns})")
        own = {row[0]: row[1] for row in con.execute("describe t").fetchall()}
        relation = small_lake.query(f"select * from {name}")
        real = {column: str(kind) for column, kind in zip(relation.columns, relation.types, strict=True)}
        compared += 1
        for column, kind in own.items():
            assert real.get(column) == kind, f"{name}.{column}"
        if name.startswith("silver.") and name.split(".")[1] in STREAMS:
            assert set(real) == set(own), name
    assert compared == len(COLUMNS) > 15


class TestQuery:
    def test_a_relation_over_the_snapshot(self, tmp_path, city):
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city.part(0, 2))
        before = lake.query("select count(*) from bronze.weather")
        lake.ingest(city.part(1, 2))
        after = lake.query("select count(*) from bronze.weather")
        assert 0 < before.fetchall()[0][0] < after.fetchall()[0][0]

    def test_joins_and_common_tables(self, small_lake):
        rows = small_lake.query(
            "with busy as (select road_id, sum(vehicle_count) as n from gold.camera_15min group by all) "
            "select road_name, n from busy join dim.road using (road_id) order by n desc limit 3"
        ).fetchall()
        assert len(rows) == 3
        assert rows[0][1] >= rows[1][1] >= rows[2][1] > 0

    def test_times_are_in_utc(self, small_lake, monkeypatch):
        monkeypatch.setenv("TZ", "America/New_York")
        (first,) = small_lake.query("select min(window_start)::varchar from gold.road_5min").fetchall()[0]
        assert first.startswith("2026-06-01 0")
        assert first.endswith("+00")

    def test_describe(self, small_lake):
        described = small_lake.query("describe select * from gold.road_5min").fetchall()
        assert described[0][:2] == ("road_id", "VARCHAR")

    def test_a_table_that_does_not_exist(self, small_lake):
        with pytest.raises(cs.ConfigError, match=r"no table 'gold.road_5mn'. Did you mean 'gold.road_5min'"):
            small_lake.query("select * from gold.road_5mn")

    def test_wrong_sql_is_duckdbs_own_error(self, small_lake):
        with pytest.raises(duckdb.Error, match="selct"):
            small_lake.query("selct 1")

    def test_arrow_out(self, small_lake):
        assert pl.DataFrame(small_lake.query("select 1 as one")).to_dicts() == [{"one": 1}]


def contents(lake, name):
    """Every row of a table, by its key."""
    query = next(query for query in sql.load() if query.name == name)
    listed = ", ".join(column.name for column in query.columns)
    return lake.query(f"select {listed} from {name} order by {', '.join(query.key)}").fetchall()


def near(rows):
    """Rows whose numbers may differ by 1e-9 of themselves: sums are made in any order."""
    return [tuple(pytest.approx(v, rel=1e-9, abs=1e-12) if isinstance(v, float) else v for v in row) for row in rows]


GOLD_TABLES = [f"gold.{name}" for name in GOLD]


class TestIncrements:
    MORNING: ClassVar = {"seed": 7, "vehicles": 200, "start": "2026-06-01T07:00:00Z"}

    def test_one_refinement_after_another_equals_one_of_all(self, tmp_path):
        little, whole = cs.Lake(tmp_path / "little"), cs.Lake(tmp_path / "whole")
        faults = cs.Faults(late=0.1, late_bound="20min", duplicate=0.02, corrupt=0.02)
        windows = {}
        for duration in ("20min", "33min", "45min", "90min"):
            little.ingest(cs.City(**self.MORNING, duration=duration, faults=faults))
            windows = {table.name: table.windows for table in little.refine().tables}
        whole.ingest(cs.City(**self.MORNING, duration="90min", faults=faults))
        whole.refine()
        assert windows["gold.fleet_daily"] == "1 windows"
        assert windows["gold.road_5min"].endswith("windows")
        for name in GOLD_TABLES:
            if name == "gold.data_quality_hourly":
                # By the time of ingest, which differs.
                continue
            # So few vehicles may have no incident.
            assert len(contents(whole, name)) > 0 or name == "gold.incident_response", name
            assert contents(little, name) == near(contents(whole, name)), name
        assert little.check() == []

    def test_compaction_by_another_library_is_no_change(self, tmp_path):
        lake = cs.Lake(tmp_path / "lake")
        for duration in ("10min", "20min"):
            lake.ingest(cs.City(**self.MORNING, duration=duration))
            lake.refine()
        before = {name: contents(lake, name) for name in GOLD_TABLES}
        vehicle = DeltaTable(f"{lake.path}/silver/vehicle")
        assert vehicle.optimize.compact()["numFilesRemoved"] > 1
        assert {table.lag for table in lake.tables() if table.name in GOLD_TABLES} == {0}
        assert {table.windows for table in lake.refine().tables} == {"unchanged"}
        # Rows that are compacted before gold has seen them.
        lake.ingest(cs.City(**self.MORNING, duration="30min"))
        lake.core.refine_silver(progress=None)
        DeltaTable(f"{lake.path}/silver/vehicle").optimize.compact()
        assert next(table.lag for table in lake.tables() if table.name == "gold.vehicle_hourly") == 1
        lake.refine()
        whole = cs.Lake(tmp_path / "whole")
        whole.ingest(cs.City(**self.MORNING, duration="30min"))
        whole.refine()
        assert contents(lake, "gold.road_5min") == near(contents(whole, "gold.road_5min"))
        assert contents(lake, "gold.road_5min") != before["gold.road_5min"]

    def test_two_processes_refresh_at_a_time(self, tmp_path):
        lake = cs.Lake(tmp_path / "lake")
        program = "import sys, citystream as cs; cs.Lake(sys.argv[1], create=False).refine()"
        for minutes in (10, 20, 30, 40):
            lake.ingest(cs.City(**self.MORNING, duration=f"{minutes}min"))
            both = [subprocess.Popen([sys.executable, "-c", program, lake.path]) for _ in range(2)]
            assert [process.wait(timeout=120) for process in both] == [0, 0]
        whole = cs.Lake(tmp_path / "whole")
        whole.ingest(cs.City(**self.MORNING, duration="40min"))
        whole.refine()
        for name in GOLD_TABLES:
            if name != "gold.data_quality_hourly":
                assert contents(lake, name) == near(contents(whole, name)), name
        assert lake.check() == []

    def test_a_table_that_is_being_made_is_not_there_yet(self, tmp_path):
        # Another process has made the folders and not yet written version 0.
        lake = cs.Lake(tmp_path / "lake")
        log = tmp_path / "lake/dim/road/_delta_log"
        log.mkdir(parents=True)
        (log / f"{0:020}.json#1").touch()
        assert lake.core.names() == []
        with pytest.raises(cs.TableError, match="does not exist"):
            lake.core.snapshot("dim.road")
        lake.ingest(cs.City(**self.MORNING, duration="10min"))
        lake.refine()
        assert len(contents(lake, "dim.road")) > 10

    def test_a_table_that_is_made_anew_is_no_old_one(self, tmp_path):
        lake = cs.Lake(tmp_path / "lake")
        for duration in ("10min", "20min"):
            lake.ingest(cs.City(**self.MORNING, duration=duration))
            lake.refine()
        before = contents(lake, "gold.road_5min")
        for folder in ("silver", "dim"):
            shutil.rmtree(f"{lake.path}/{folder}")
        again = cs.Lake(lake.path)
        done = {table.name: table.windows for table in again.refine().tables}
        # Over gold alone, which is still the same table.
        assert done.pop("gold.fleet_daily") == "1 windows"
        assert set(done.values()) == {"all"}
        assert contents(again, "gold.road_5min") == near(before)

    def test_a_backfill_of_400_dates_in_bounded_memory_and_files(self, tmp_path):
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(cs.City(vehicles=2, start="2025-01-01T00:00:00Z", duration="400d", streams=["weather"]))
        lake.core.refine_silver(progress=None)
        program = """
import json, resource, sys
import citystream as cs
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
lake = cs.Lake(sys.argv[1])
lake.refine()
print(json.dumps({
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "files": len(lake.core.snapshot("gold.air_quality_hourly")["files"]),
    "dates": lake.query("select count(distinct window_date) from gold.air_quality_hourly").fetchall()[0][0],
}))
"""
        ran = subprocess.run(
            ["sh", "-c", '"$0" -c "$1" "$2"; exit $?', sys.executable, program, str(tmp_path / "lake")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        done = json.loads(ran.stdout)
        assert done["dates"] == done["files"] >= 400
        assert done["peak"] < 512 << 20


class TestTables:
    def test_a_list_that_prints_itself(self, small_lake):
        tables = small_lake.tables()
        gps = next(table for table in tables if table.name == "silver.gps")
        assert gps.rows == small_lake.table("silver.gps").row_count
        assert gps.files >= 1
        assert gps.bytes > 1000
        assert (gps.lag, gps.lag_rows) == (0, 0)
        assert dt.datetime.now(dt.timezone.utc) - gps.last_commit < dt.timedelta(hours=1)
        lines = repr(tables).splitlines()
        assert lines[0].split() == ["table", "rows", "files", "size", "version", "lag", "last", "commit"]
        assert len(lines) == len(tables) + 1
        assert tables._repr_html_().count("<tr>") == len(tables) + 1

    def test_lag_counts_what_gold_has_not_taken_in(self, tmp_path, city):
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city.part(0, 2))
        lake.refine()
        assert {t.lag for t in lake.tables() if t.name.startswith(("gold.", "dim."))} == {0}
        lake.ingest(city.part(1, 2))
        lag = {t.name: t.lag for t in lake.tables()}
        assert lag["gold.data_quality_hourly"] > 0
        assert lag["gold.road_5min"] == 0
        lake.refine()
        assert {t.lag for t in lake.tables() if t.name.startswith(("gold.", "dim."))} == {0}

    def test_one_table(self, small_lake):
        table = small_lake.table("gold.road_5min")
        assert repr(table) == (
            f"<table 'gold.road_5min', version {table.version}: {table.row_count:,} rows in {len(table.files):,} files>"
        )
        assert table.path == f"{small_lake.path}/gold/road_5min"
        assert all(path.endswith(".parquet") for path in table.files)
        with pytest.raises(cs.ConfigError, match=r"Did you mean 'gold.road_5min'"):
            small_lake.table("gold.road_5")


class TestOwnGold:
    SQL = """\
-- gold.mileage_daily: kilometres driven
-- grain:    one row for each vehicle and day
-- key:      device_id, window_start
-- window:   1 day
-- sources:  silver.vehicle by event_time
-- lookback: none
-- columns:
--   device_id     text       -   the vehicle
--   window_start  timestamp  -   start of the day
--   driven_km     double     km  distance driven
--   window_date   date       -   UTC date

select
    device_id,
    date_trunc('day', event_time) as window_start,
    max(odometer_km) - min(odometer_km) as driven_km,
    cast(date_trunc('day', event_time) as date) as window_date
from silver.vehicle
where event_time >= $from and event_time < $to
group by 1, 2, 4
"""

    def test_a_folder_of_ones_own_tables(self, tmp_path, city):
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "mileage_daily.sql").write_text(self.SQL)
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city)
        assert lake.refine(gold_dir=tmp_path / "own").rows["gold.mileage_daily"] > 100
        assert delta(lake, "gold.mileage_daily")["driven_km"].to_pylist()
        assert next(t for t in lake.tables() if t.name == "gold.mileage_daily").lag is None


class TestOpening:
    def test_a_folder_that_is_no_lake(self, tmp_path):
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.png").write_bytes(b"x")
        with pytest.raises(cs.TableError, match="photos"):
            cs.Lake(tmp_path / "photos")
        assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.png"]

    def test_a_file(self, tmp_path):
        (tmp_path / "file").write_text("x")
        with pytest.raises(cs.TableError, match="is a file"):
            cs.Lake(tmp_path / "file")

    def test_a_lake_that_must_exist(self, tmp_path):
        with pytest.raises(cs.TableError, match="there is no lake at"):
            cs.Lake(tmp_path / "none", create=False)
        assert not (tmp_path / "none").exists()

    def test_an_empty_folder_becomes_one(self, tmp_path):
        (tmp_path / "empty").mkdir()
        assert repr(cs.Lake(tmp_path / "empty")) == f"Lake({str(tmp_path / 'empty')!r})"
        assert cs.Lake(tmp_path / "empty", create=False).tables() == ()

    def test_an_unknown_object_store_is_named(self):
        with pytest.raises(cs.ConfigError, match="gs"):
            cs.Lake("gs://bucket/lake")

    def test_options_of_an_object_store_for_a_folder(self, tmp_path):
        with pytest.raises(cs.ConfigError, match="AWS_REGION"):
            cs.Lake(tmp_path / "lake", storage_options={"AWS_REGION": "eu-west-1"})

    def test_a_folder_without_permission(self):
        with pytest.raises((cs.StoreError, cs.TableError), match="proc"):
            cs.Lake("/proc/no-such-lake")


def test_follow_needs_kafka(tmp_path, city):
    with pytest.raises(cs.ConfigError, match="follow is given with a city"):
        cs.Lake(tmp_path / "lake").ingest(city, follow=True)


def test_progress_is_told_from_the_calling_thread(tmp_path, city):
    import threading

    told = []
    lake = cs.Lake(tmp_path / "lake")
    lake.ingest(city, progress=lambda state: told.append((state["stage"], threading.get_ident())))
    lake.refine(progress=lambda state: told.append((state["stage"], threading.get_ident())))
    assert {thread for _, thread in told} == {threading.get_ident()}
    assert "gold" in {stage for stage, _ in told}
    assert len({stage for stage, _ in told}) >= 3


def test_an_exception_of_progress_stops_the_work(tmp_path):
    def stop(_):
        raise RuntimeError("enough")

    lake = cs.Lake(tmp_path / "lake")
    with pytest.raises(RuntimeError, match="enough"):
        lake.ingest(cs.City(vehicles=2_000, duration="30d"), progress=stop)
    assert lake.check() == []

"""What is recomputed when sources change, on a lake of plain Parquet that counts versions as a Delta table does."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from plain_lake import COLUMNS, PlainLake, at, columns_of
from pyarrow import parquet

from citystream import ConflictError, TableError, gold, sql
from citystream import refresh as refreshing
from citystream.spans import DAY, instant, micros
from citystream.touched import touched


class CountingLake(PlainLake):
    """The part of the core's Lake that gold needs."""

    def __init__(self, folder):
        super().__init__(folder)
        self.versions = {}
        self.history = {}
        self.txns = {}
        self.ids = {}
        self.replaced = []
        self.conflicts = 0
        for name in COLUMNS:
            if name.startswith(("bronze.", "silver.")):
                self.versions[name], self.history[name] = 0, []
        # Called when a table is read for the first time, and before a replacement commits.
        self.meanwhile = None

    def add(self, name, *rows):
        known = len(self.files.get(name, []))
        super().add(name, *rows)
        self.commit(name, adds=self.files[name][known:])

    def commit(self, name, *, adds=(), removes=(), windows=None, data=True):
        self.versions[name] = self.versions.get(name, -1) + 1
        if data and (adds or removes):
            change = {"version": self.versions[name], "adds": [*adds], "removes": [*removes], "windows": windows}
            self.history.setdefault(name, []).append(change)

    def compact(self, name):
        """The same rows in other files, one a partition."""
        old, self.files[name] = self.files[name], []
        for partition in {tuple(f["partition"].items()): f["partition"] for f in old}.values():
            paths = [f["path"] for f in old if f["partition"] == partition]
            path = self.folder / f"{name}-{self.versions[name]}-{len(self.files[name])}.parquet"
            self.con.execute(f"copy (select * from read_parquet({paths}, hive_partitioning = false)) to '{path}'")
            hive = self.folder.joinpath(name, *(f"{k}={v}" for k, v in partition.items()), path.name)
            hive.parent.mkdir(parents=True, exist_ok=True)
            path.rename(hive)
            self.files[name].append(self.described(name, hive, partition))
        self.commit(name, data=False)

    def names(self):
        return sorted(self.versions)

    def snapshot(self, name):
        found = super().snapshot(name) if name in COLUMNS else None
        return {
            "version": self.versions[name],
            "files": self.files.get(name, []),
            "partition_columns": found.partition_columns if found else [sql.PARTITION],
            "txns": self.txns.get(name, {}),
            "id": self.ids.get(name, name),
            "schema": SimpleNamespace(names=columns_of(name) if name in COLUMNS else []),
        }

    def scan(self, name):
        return super().snapshot(name).empty()

    def changed(self, name, since):
        return [change for change in self.history.get(name, []) if change["version"] > since]

    def replace(
        self, name, data, *, partition_columns, partitions, txns, comments, description, based_on, windows, within
    ):
        assert description
        assert set(comments) == {column.name for column in self.queries[name].columns}
        if self.meanwhile is not None:
            # Once.
            (meanwhile, self.meanwhile) = (self.meanwhile, None)
            meanwhile()
        if self.conflicts:
            self.conflicts -= 1
            raise ConflictError("another writer won")
        if based_on is not None and self.changed(name, based_on):
            raise ConflictError("the table has changed")
        if any(self.txns.get(name, {}).get(app, -1) > version for app, version in txns.items()):
            raise ConflictError("a transaction would go back")
        self.replaced.append((name, partitions))
        self.txns.setdefault(name, {}).update(txns)
        gone = None if partitions is None else {p[sql.PARTITION] for p in partitions}
        before = self.files.get(name, [])
        kept = [] if gone is None else [f for f in before if f["partition"].get(sql.PARTITION) not in gone]
        folder = self.folder / name / str(self.versions.get(name, -1) + 1)
        folder.mkdir(parents=True)
        table, new = data.to_arrow_table(), []
        if within is not None:
            table = self.with_what_stays(table, [f for f in before if f not in kept], within)
        dates = table.column(sql.PARTITION).to_pylist() if partition_columns else [None] * table.num_rows
        for date, rows in itertools.groupby(range(table.num_rows), key=dates.__getitem__):
            rows = [*rows]
            part = table.slice(rows[0], len(rows))
            path, partition = folder / "0.parquet", {}
            if partition_columns:
                assert gone is None or str(date) in gone, f"{date} was not to be replaced"
                path, partition = folder / f"{sql.PARTITION}={date}" / "0.parquet", {sql.PARTITION: str(date)}
                part = part.drop_columns(partition_columns)
            path.parent.mkdir(exist_ok=True)
            assert not path.exists(), f"{name}: rows of {date} don't stand together"
            parquet.write_table(part, path)
            new.append(self.described(name, path, partition))
        self.files[name] = kept + new
        self.commit(name, adds=new, removes=[f for f in before if f not in kept], windows=windows)
        return {"version": self.versions[name], "rows": table.num_rows, "files": len(new)}

    def with_what_stays(self, table, files, within):
        """The rows in order, with those of the files whose windows do not lie within two times."""
        starts = pc.cast(table.column("window_start"), pa.int64())
        assert pc.all(pc.and_(pc.greater_equal(starts, within[0]), pc.less(starts, within[1]))).as_py() is not False
        if files:
            old = self.con.sql(
                f"select * from {gold.scan(files, [sql.PARTITION])} where epoch_us(window_start) < {within[0]} "
                f"or epoch_us(window_start) >= {within[1]}"
            ).to_arrow_table()
            table = pa.concat_tables([table, old.select(table.column_names).cast(table.schema)])
        return table.sort_by([(sql.PARTITION, "ascending"), ("window_start", "ascending")])

    def rows(self, name):
        files = self.files.get(name, [])
        if not files:
            return 0
        return self.con.execute(
            f"select count(*) from {gold.scan(files, self.snapshot(name)['partition_columns'])}"
        ).fetchone()[0]


@pytest.fixture
def lake(tmp_path):
    return CountingLake(tmp_path)


def queries(lake, *names):
    return [lake.queries[name] for name in names]


def reading(time, aqi=40):
    return {"id": time, "device_id": "s1", "event_time": at(time), "aqi": aqi}


def sent(device, time, **more):
    row = {"id": f"{device} {time}", "device_id": device, "road_id": "r1", "event_time": at(time), "speed_kmh": 1.0}
    return {**row, "odometer_km": 0.0, "vehicle_type": "Car", "fuel_type": "Petrol", **more}


AIR = ("dim.station", "gold.air_quality_hourly")


def refresh(lake, *names):
    lake.replaced.clear()
    return {done.name: done for done in refreshing.refresh(lake, queries(lake, *names))}


def test_the_first_refresh_makes_every_table_even_without_a_row(lake):
    done = refresh(lake, *lake.queries)
    assert len(done) == 13
    assert all(table.version == 0 and table.rows == 0 and table.windows == "all" for table in done.values())
    assert {name for name, _ in lake.replaced} == set(lake.queries)
    assert all(partitions is None for _, partitions in lake.replaced)


def test_a_second_refresh_has_nothing_to_do(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    done = refresh(lake, *AIR)
    assert lake.replaced == []
    assert all(table.version is None and table.windows == "unchanged" for table in done.values())


def test_new_rows_touch_their_own_windows_only(lake):
    lake.add("silver.weather", reading("2026-06-01 08:00:00"), reading("2026-06-02 07:00:00"))
    lake.add("silver.weather", reading("2026-06-02 08:00:00"))
    refresh(lake, *AIR)
    assert lake.rows("gold.air_quality_hourly") == 3
    lake.add("silver.weather", reading("2026-06-02 08:10:00", 90), reading("2026-06-02 09:00:00"))
    done = refresh(lake, *AIR)["gold.air_quality_hourly"]
    assert lake.replaced == [("gold.air_quality_hourly", [{"window_date": "2026-06-02"}])]
    assert (done.rows, done.carried, done.windows) == (2, 1, "2 windows")
    assert contents(lake, "gold.air_quality_hourly", "window_start::varchar, readings") == [
        ("2026-06-01 08:00:00+00", 1),
        ("2026-06-02 07:00:00+00", 1),
        ("2026-06-02 08:00:00+00", 2),
        ("2026-06-02 09:00:00+00", 1),
    ]


def test_late_rows_touch_the_windows_that_they_are_of(lake):
    lake.add("silver.weather", reading("2026-06-05 08:00:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("2026-06-01 23:59:59.999"))
    done = refresh(lake, *AIR)
    assert lake.replaced == [("gold.air_quality_hourly", [{"window_date": "2026-06-01"}])]
    assert done["gold.air_quality_hourly"].windows == "1 windows"


def test_lookback_widens_the_windows(lake):
    road = ("dim.road", "gold.road_5min")
    lake.add("silver.vehicle", sent("a", "12:00:00"))
    refresh(lake, *road)
    # 30 s after midnight can change the window before midnight.
    lake.add("silver.vehicle", sent("a", "2026-06-03 00:00:30"))
    done = refresh(lake, *road)
    assert lake.replaced == [("gold.road_5min", [{"window_date": "2026-06-02"}, {"window_date": "2026-06-03"}])]
    assert done["gold.road_5min"].windows == "2 windows"
    # And in the middle of a window it changes no other.
    lake.add("silver.vehicle", sent("a", "2026-06-03 12:02:00"))
    assert refresh(lake, *road)["gold.road_5min"].windows == "1 windows"


def test_only_files_that_can_hold_the_windows_are_read(lake):
    for hour in range(10):
        lake.add("silver.weather", reading(f"{hour:02}:00:00"), reading(f"{hour:02}:30:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("04:15:00"))
    for n, file in enumerate(lake.files["silver.weather"]):
        if n not in (4, 10):
            file["path"] = "no-such-file.parquet"
    done = refresh(lake, *AIR)["gold.air_quality_hourly"]
    assert (done.rows, done.carried) == (1, 9)
    assert contents(lake, "gold.air_quality_hourly", "readings") == [(2,)] * 4 + [(3,)] + [(2,)] * 5


def test_windows_before_between_and_after_those_touched_stay(lake):
    hours = [f"2026-06-0{day} {hour:02}:00:00" for day in (1, 2, 3) for hour in range(0, 24, 3)]
    lake.add("silver.weather", *(reading(hour) for hour in hours))
    refresh(lake, *AIR)
    lake.compact("gold.air_quality_hourly")
    # Neither the first nor the last windows of their dates, and windows of the same dates between them.
    new = ["2026-06-01 06:10:00", "2026-06-01 13:00:00", "2026-06-03 15:30:00"]
    lake.add("silver.weather", *(reading(hour) for hour in new))
    done = refresh(lake, *AIR)["gold.air_quality_hourly"]
    assert (done.windows, done.rows, done.carried) == ("3 windows", 3, 14)
    assert lake.replaced == [("gold.air_quality_hourly", [{"window_date": f"2026-06-0{day}"} for day in (1, 3)])]
    readings = {
        start[:13]: n for start, n in contents(lake, "gold.air_quality_hourly", "window_start::varchar, readings")
    }
    assert readings == {hour[:13]: 1 for hour in hours} | {
        "2026-06-01 06": 2,
        "2026-06-01 13": 1,
        "2026-06-03 15": 2,
    }


def test_the_log_tells_of_windows_without_reading(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("09:10:00"), reading("09:50:00"))
    lake.files["silver.weather"][-1]["path"] = "no-such-file.parquet"
    lake.history["silver.weather"][-1]["adds"][-1]["path"] = "no-such-file.parquet"
    query = lake.queries["gold.air_quality_hourly"]
    sources = {source.table: gold.Snapshot.of(lake, source.table) for source in query.sources}
    with gold.connect() as con:
        found = touched(con, lake, query, sources, lake.txns[query.name])
    assert [tuple(map(instant, part)) for part in found.spans.parts] == [(at("09:00:00"), at("10:00:00"))]


def test_a_refresh_reads_each_table_of_the_log_once(lake, monkeypatch):
    refresh(lake, *CHAIN)
    lake.add("silver.weather", reading("08:00:00"))
    asked, snapshot = [], lake.snapshot
    monkeypatch.setattr(lake, "snapshot", lambda name: (asked.append(name), snapshot(name))[1])
    done = refresh(lake, *CHAIN)
    written = {name for name, table in done.items() if table.version is not None}
    assert written == {"gold.air_quality_hourly", "gold.weather_impact"}
    assert len(asked) == len(set(asked))


def test_a_table_over_gold_hears_of_the_windows_that_are_new_in_it(lake):
    names = (
        "gold.vehicle_hourly",
        "gold.fleet_daily",
        "dim.road",
        "dim.station",
        "gold.road_5min",
        "gold.weather_impact",
    )
    road = {"roadId": "r1", "name": "x", "roadClass": "street", "district": "D1", "lengthM": 1.0, "lanes": 1,
            "freeFlowKmh": 50.0, "geometry": [[1.0, 2.0]]}  # fmt: skip
    lake.add("bronze.reference", {"id": "road:r1", "kind": "road", "road": road, "ingested_at": at("00:00:00")})
    for hour in range(6):
        lake.add("silver.vehicle", *(sent("a", f"{hour:02}:00:{10 * n:02}") for n in range(6)))
    refresh(lake, *names)
    lake.add("silver.vehicle", *(sent("a", f"03:20:{10 * n:02}", odometer_km=99.0) for n in range(6)))
    done = refresh(lake, *names)
    assert {name: done[name].windows for name in names} == {
        "gold.vehicle_hourly": "1 windows",
        "gold.fleet_daily": "1 windows",
        "dim.road": "unchanged",
        "dim.station": "unchanged",
        "gold.road_5min": "2 windows",
        "gold.weather_impact": "1 windows",
    }
    assert (done["gold.weather_impact"].rows, done["gold.weather_impact"].carried) == (1, 5)
    assert contents(lake, "gold.fleet_daily", "reports, distance_km") == [(42, 99.0)]


def test_a_window_that_loses_its_rows_is_gone(lake):
    lake.add("silver.weather", reading("08:00:00"), reading("09:00:00"))
    lake.add("silver.weather", reading("10:00:00"))
    refresh(lake, *AIR)
    # Silver writes a file anew, without a row that a lower offset has displaced.
    (old,) = (f for f in lake.files["silver.weather"] if f["rows"] == 2)
    lake.files["silver.weather"].remove(old)
    lake.commit("silver.weather", removes=[old])
    lake.add("silver.weather", reading("09:00:00"))
    refresh(lake, *AIR)
    starts = contents(lake, "gold.air_quality_hourly", "extract(hour from window_start)")
    assert starts == [(9,), (10,)]


def test_compaction_is_no_change_and_hides_none(lake):
    lake.add("silver.weather", reading("08:00:00"))
    lake.add("silver.weather", reading("09:00:00"))
    refresh(lake, *AIR)
    lake.compact("silver.weather")
    assert refresh(lake, *AIR)["gold.air_quality_hourly"].windows == "unchanged"
    # New rows that are compacted before anybody has looked.
    lake.add("silver.weather", reading("08:30:00"))
    lake.compact("silver.weather")
    assert len(lake.files["silver.weather"]) == 1
    assert refresh(lake, *AIR)["gold.air_quality_hourly"].windows == "1 windows"
    assert contents(lake, "gold.air_quality_hourly", "readings") == [(2,), (1,)]


def test_compaction_of_gold_between_refreshes_changes_nothing(lake):
    lake.add("silver.weather", reading("08:00:00"), reading("10:00:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("08:30:00"))
    lake.meanwhile = lambda: lake.compact("gold.air_quality_hourly")
    refresh(lake, *AIR)
    assert contents(lake, "gold.air_quality_hourly", "readings") == [(2,), (1,)]


def test_compaction_of_silver_during_a_refresh_is_no_change(lake):
    lake.add("silver.weather", reading("08:00:00"))
    lake.add("silver.weather", reading("09:00:00"))
    refresh(lake, "dim.station")
    lake.meanwhile = lambda: lake.compact("silver.weather")
    refresh(lake, *AIR)
    assert [name for name, _ in lake.replaced].count("gold.air_quality_hourly") == 1
    assert refresh(lake, *AIR)["gold.air_quality_hourly"].windows == "unchanged"


def test_commits_without_rows_are_recorded_now_and_then(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    version = lake.versions["gold.air_quality_hourly"]
    for _ in range(refreshing.UNRECORDED - 1):
        lake.commit("silver.weather", data=False)
        assert refresh(lake, *AIR)["gold.air_quality_hourly"].version is None
    lake.commit("silver.weather", data=False)
    assert refresh(lake, *AIR)["gold.air_quality_hourly"].version == version + 1
    assert lake.replaced == [("gold.air_quality_hourly", [])]
    assert contents(lake, "gold.air_quality_hourly", "readings") == [(1,)]
    assert lake.changed("gold.air_quality_hourly", version) == []


def test_a_log_that_was_cut_recomputes_everything(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("09:00:00"))
    lake.changed = lambda *_: None
    assert refresh(lake, *AIR)["gold.air_quality_hourly"].windows == "all"
    assert lake.rows("gold.air_quality_hourly") == 2


def test_two_at_a_time_and_one_of_them_does_it_again(lake):
    lake.add("silver.weather", reading("08:00:00"), reading("10:00:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("08:30:00"))

    def other():
        lake.add("silver.weather", reading("10:30:00"))
        gold_only = refreshing.refresh(lake, queries(lake, *AIR))
        assert gold_only[1].windows == "2 windows"

    lake.meanwhile = other
    done = refresh(lake, *AIR)
    # The second time there was nothing left to do.
    assert done["gold.air_quality_hourly"].windows == "unchanged"
    assert contents(lake, "gold.air_quality_hourly", "readings") == [(2,), (2,)]


def test_a_backfill_of_many_dates_is_written_date_by_date(lake):
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=2 * n) for n in range(30)]
    lake.add("silver.weather", *(reading(f"{day} {hour:02}:00:00") for hour in (3, 17) for day in days))
    refresh(lake, *AIR)
    assert len(lake.files["gold.air_quality_hourly"]) == len(days)
    assert lake.rows("gold.air_quality_hourly") == 2 * len(days)


def test_a_query_is_run_in_portions_of_days(lake, monkeypatch):
    starts = []
    run_once = refreshing._run_once
    monkeypatch.setattr(
        refreshing,
        "_run_once",
        lambda con, query, sources, spans: (starts.append(spans), run_once(con, query, sources, spans)),
    )
    monkeypatch.setattr(refreshing.run, "__defaults__", (3,))
    lake.add(
        "silver.weather", *(reading(f"2026-06-0{day} 08:{minute}0:00") for day in range(1, 7) for minute in range(2))
    )
    refresh(lake, *AIR)
    portions = [[date.day for date in spans.dates()] for spans in starts if spans is not None]
    assert portions == [[1], [2], [3], [4], [5], [6]]
    assert contents(lake, "gold.air_quality_hourly", "readings") == [(2,)] * 6


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_a_day_with_more_is_cut_between_windows(lake, monkeypatch, rows):
    starts = []
    run_once = refreshing._run_once
    monkeypatch.setattr(
        refreshing,
        "_run_once",
        lambda con, query, sources, spans: (starts.append(spans.hull), run_once(con, query, sources, spans)),
    )
    monkeypatch.setattr(refreshing.run, "__defaults__", (rows,))
    # Every hour's first report is under way only together with those of the hour before.
    times = [at("00:00:00") + dt.timedelta(seconds=3600 * hour + by) for hour in range(1, 24) for by in (-10, 0, 10)]
    lake.add(
        "silver.vehicle",
        *({"id": str(t), "device_id": "v1", "event_time": t, "speed_kmh": 50.0, "odometer_km": 1.0} for t in times),
    )
    refresh(lake, "gold.vehicle_hourly")
    hour = DAY // 24
    assert all((end - start) % hour == 0 for start, end in starts)
    assert all(end == after for (_, end), (after, _) in itertools.pairwise(starts))
    assert starts[-1][1] - starts[0][0] == DAY * len({start // DAY for start, _ in starts})
    assert (len(starts) == 1) == (rows == 1000)
    assert contents(lake, "gold.vehicle_hourly", "reports, probe_reports") == [(1, 0)] + [(3, 1)] * 22 + [(2, 1)]


# The tables whose windows follow the time of an event, with all that they read.
CHAIN = [query.name for query in sql.load()]


class Rows:
    """Random rows of every stream over two days, dense enough that trips cross windows and midnight."""

    def __init__(self, seed):
        self.random = random.Random(seed)  # noqa: S311 - a test's, and the same each time
        self.number = 0

    def next(self):
        draw = self.random
        start = micros(at("00:00:00")) + draw.choice([0, DAY]) + draw.choice([draw.randrange(DAY), 86_390_000_000, 0])
        kind = draw.choice(["trip", "trip", "traffic", "weather", "emergency", "reference"])
        return getattr(self, kind)(instant(start))

    def row(self, time, **more):
        self.number += 1
        when = at("2026-06-03 00:00:00") + dt.timedelta(minutes=self.number)
        return {
            "id": f"{self.number:05}",
            "event_time": time,
            "ingested_at": when,
            "lateness_s": 0.5 * self.number,
            **more,
        }

    def trip(self, time):
        draw, device = self.random, f"v{self.random.randrange(3)}"
        return [
            ("silver.vehicle", self.row(
                time + n * dt.timedelta(seconds=draw.choice([5, 10, 10, 10, 20])), device_id=device, lat=1.0, lon=2.0,
                road_id=draw.choice(["r1", "r2", "r9"]), speed_kmh=draw.choice([0.0, 3.0, 20.0, 33.3, 61.7]),
                h3_cell=draw.choice(["c1", "c2"]), odometer_km=self.number / 8, vehicle_type="Car", fuel_type="Petrol"))
            for n in range(draw.randrange(1, 12))
        ]  # fmt: skip

    def traffic(self, time):
        count = self.random.randrange(5)
        return [("silver.traffic", self.row(
            time, device_id="c1", camera_id="c1", road_id="r1", interval_s=60, vehicle_count=count, car_count=count,
            van_count=0, goods_count=0, emergency_count=0, mean_speed_kmh=30.0 if count else None, occupancy=0.1,
            speed_histogram=[0, count, 0, 0], headway_s=2.0 if count > 1 else None, queue_m=0.0, lat=1.0, lon=2.0,
        ))]  # fmt: skip

    def weather(self, time):
        draw = self.random
        return [("silver.weather", self.row(
            time, device_id=draw.choice(["s1", "s2"]), aqi=draw.randrange(200), dominant_pollutant="o3", pm25_ugm3=1.5,
            pm10_ugm3=2.5, no2_ppb=3.5, o3_ppb=4.5, temperature_c=draw.random() * 20, humidity_pct=50,
            wind_speed_kmh=5.0, weather_condition=draw.choice(["Rain", "Snow", "Clear"]), visibility_m=100.0,
            precipitation_mmh=draw.random() * 10, lat=1.0, lon=2.0))]  # fmt: skip

    def emergency(self, time):
        draw = self.random
        return [("silver.emergency", self.row(
            time, incident_id=f"i{draw.randrange(4)}", incident_type=draw.choice(["Fire", "Accident"]), severity=2,
            status=draw.choice(["Reported", "Dispatched", "Resolved"]), road_id="r1", lanes_blocked=1, h3_cell="c1",
            responder_id=None, lat=1.0, lon=2.0))]  # fmt: skip

    def reference(self, time):
        self.number += 1
        if self.number % 4:
            return [
                ("bronze.vehicle", self.received(time)),
                ("silver.duplicate", {**self.received(time), "stream": "gps"}),
            ]
        return [self.road(time)]

    def road(self, time):
        self.number += 1
        road = {"roadId": f"r{self.number % 2 + 1}", "name": "x", "roadClass": "street", "district": "D1",
                "lengthM": 1.0, "lanes": 1, "freeFlowKmh": 50.0 + self.number, "geometry": [[1.0, 2.0]]}  # fmt: skip
        return ("bronze.reference", {"id": f"road:{road['roadId']}", "kind": "road", "road": road, "ingested_at": time,
                                      "kafka_offset": self.number})  # fmt: skip

    def received(self, time):
        return {"id": str(self.number), "ingested_at": time, "kafka_offset": self.number}


@pytest.mark.parametrize("seed", range(3))
def test_batch_after_batch_equals_all_at_once(tmp_path, seed):
    source = Rows(seed)
    everything = [source.road(at("00:00:00")) for _ in range(2)] + [row for _ in range(60) for row in source.next()]
    source.random.shuffle(everything)
    little, whole = CountingLake(tmp_path / "little"), CountingLake(tmp_path / "whole")
    incremental = 0
    while everything:
        # From a single late row to a good part of all.
        size = source.random.choice([1, 3, 10, 60])
        batch, everything = everything[:size], everything[size:]
        for name in sorted({name for name, _ in batch}):
            little.add(name, *(row for table, row in batch if table == name))
            whole.add(name, *(row for table, row in batch if table == name))
        if source.random.random() < 0.2:
            little.compact(source.random.choice([name for name in little.files if little.files[name]]))
        done = refresh(little, *CHAIN)
        incremental += sum(table.windows.endswith("windows") for table in done.values())
    assert incremental > 20
    refresh(whole, *CHAIN)
    for name in CHAIN:
        columns = [column.name for column in little.queries[name].columns]
        listed = ", ".join(f"{c}::varchar" if "_at" in c or "window_" in c else c for c in columns)
        ours, theirs = contents(little, name, listed), contents(whole, name, listed)
        assert len(ours) == len(theirs), name
        for a, b in zip(ours, theirs, strict=True):
            assert all(same(x, y) for x, y in zip(a, b, strict=True)), f"{name}: {a} is not {b}"
        assert ours or name.startswith("dim."), name


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b


def contents(lake, name, columns):
    query = lake.queries[name]
    files = lake.files[name]
    if not files:
        return []
    table = gold.scan(files, [sql.PARTITION] if query.partitioned else [])
    by = ", ".join(dict.fromkeys(["window_start"] * (query.window is not None) + [*query.key]))
    return lake.con.execute(f"select {columns} from {table} order by {by}").fetchall()


def test_another_dimension_recomputes_everything(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    station = {"stationId": "s1", "district": "D1", "location": [1.0, 2.0]}
    lake.add(
        "bronze.reference", {"id": "station:s1", "kind": "station", "station": station, "ingested_at": at("00:00:00")}
    )
    refresh(lake, *AIR)
    assert lake.replaced == [("dim.station", None), ("gold.air_quality_hourly", None)]
    district = f"select district from {gold.scan(lake.files['gold.air_quality_hourly'], [sql.PARTITION])}"
    assert lake.con.execute(district).fetchall() == [("D1",)]


def test_another_text_of_the_query_recomputes_everything(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    query = lake.queries["gold.air_quality_hourly"]
    changed = sql.Query(**{**vars(query), "sql": query.sql + "-- another text\n"})
    lake.replaced.clear()
    refreshing.refresh(lake, [changed])
    assert lake.replaced == [("gold.air_quality_hourly", None)]


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_a_source_made_anew_recomputes_everything(lake, rows):
    lake.add("silver.weather", reading("08:00:00"))
    lake.add("silver.weather", reading("09:00:00"))
    refresh(lake, *AIR)
    lake.versions["silver.weather"], lake.history["silver.weather"], lake.files["silver.weather"] = 0, [], []
    lake.ids["silver.weather"] = "another"
    for hour in range(rows):
        lake.add("silver.weather", reading(f"1{hour}:00:00"))
    refresh(lake, *AIR)
    assert lake.replaced == [("gold.air_quality_hourly", None)]
    assert lake.rows("gold.air_quality_hourly") == rows


def test_a_commit_that_another_writer_won_is_computed_again(lake):
    lake.add("silver.weather", reading("08:00:00"))
    lake.conflicts = refreshing.ATTEMPTS - 1
    assert refresh(lake, "dim.station")["dim.station"].version == 0
    lake.conflicts = refreshing.ATTEMPTS
    with pytest.raises(ConflictError):
        refresh(lake, "dim.camera")


class TestOwnTables:
    HEADER = """\
-- gold.mine: readings
-- grain:    one row for each hour
-- key:      window_start
-- window:   1 hour
-- sources:  silver.weather by event_time
-- lookback: none
-- columns:
--   window_start  timestamp  -  start
--   readings      bigint     -  readings
--   window_date   date       -  date

"""
    BODY = """\
select
    date_trunc('hour', event_time) as window_start, count(*) as readings, cast(min(event_time) as date) as window_date
from silver.weather where event_time >= $from and event_time < $to group by 1
"""

    def run(self, lake, tmp_path, text):
        path = tmp_path / "mine.sql"
        path.write_text(text)
        query = sql.read(path)
        lake.queries[query.name] = query
        return refreshing.refresh(lake, [query])

    @pytest.fixture
    def lake(self, tmp_path):
        lake = CountingLake(tmp_path)
        lake.add("silver.weather", reading("08:00:00"), reading("08:30:00"), reading("2026-06-02 08:30:00"))
        return lake

    def test_one(self, lake, tmp_path):
        (done,) = self.run(lake, tmp_path, self.HEADER + self.BODY)
        assert done.rows == 2

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "count(*) as readings",
                "cast(count(*) as integer) as readings",
                r"\('readings', 'INTEGER'\) where the header",
            ),
            (
                "count(*) as readings",
                "count(*) as n",
                r"\('n', 'BIGINT'\) where the header has \('readings', 'BIGINT'\)",
            ),
            (", count(*) as readings", "", "where the header has"),
            ("group by 1", "group by 1, event_time", r"two rows for \(\"window_start\"\)"),
            ("event_time >= $from", "event_tim >= $from", r"mine.sql:14: Binder Error"),
            ("silver.weather where", "silver.wether where", r"mine.sql:14: Catalog Error"),
            ("select\n", "selec\n", r"mine.sql:12: Parser Error"),
        ],
    )
    def test_a_query_that_breaks_its_contract(self, lake, tmp_path, old, new, message):
        assert old in self.BODY
        with pytest.raises(TableError, match=message):
            self.run(lake, tmp_path, self.HEADER + self.BODY.replace(old, new))
        assert lake.replaced == []

    def test_a_query_that_gives_other_windows_than_asked(self, lake, tmp_path):
        text = self.HEADER.replace("lookback: none", "lookback: 1 hour")
        text += self.BODY.replace("event_time >= $from and event_time < $to", "$from < $to")
        lake.add("silver.weather", reading("2026-06-02 07:45:00"))
        self.run(lake, tmp_path, text)
        # Touches the windows from 08:00 on, of which rows from 07:00 on are near.
        lake.add("silver.weather", reading("2026-06-02 09:30:00"))
        with pytest.raises(TableError, match=r"gives the window 2026-06-02 07:00:00\+00 of 2026-06-02, which nobody"):
            self.run(lake, tmp_path, text)

    def test_the_one_of_the_page_of_tables(self, lake, tmp_path):
        page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
        (text,) = re.findall(r"```sql\n(-- gold.busiest_hourly.*?)```", page, flags=re.DOTALL)
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "busiest_hourly.sql").write_text(text)
        lake.queries.update((query.name, query) for query in sql.load(tmp_path / "own"))
        counts = {"c1": 5, "c2": 7, "c0": 7}
        lake.add("silver.traffic", *(
            {"id": camera, "camera_id": camera, "event_time": at("08:10:00"), "interval_s": 60, "vehicle_count": count,
             "speed_histogram": [count]} for camera, count in counts.items()
        ))  # fmt: skip
        refresh(lake, *[name for name in lake.queries if name in CHAIN or name == "gold.busiest_hourly"])
        assert contents(lake, "gold.busiest_hourly", "camera_id, vehicle_count") == [("c0", 7)]

    def test_a_table_that_its_header_does_not_name(self, lake, tmp_path):
        path = tmp_path / "mine.sql"
        path.write_text(self.HEADER.replace("silver.weather", "silver.traffic") + self.BODY)
        lake.queries["gold.mine"] = sql.read(path)
        # Also where a table before it has read the other one.
        both = queries(lake, *AIR, "gold.mine")
        with pytest.raises(TableError, match=r"mine.sql:14: Catalog Error"):
            refreshing.refresh(lake, both)

    def test_a_source_that_does_not_exist(self, lake, tmp_path):
        with pytest.raises(
            TableError, match=r"mine.sql:5: gold.mine reads silver.whether, which this lake does not have"
        ):
            self.run(lake, tmp_path, self.HEADER.replace("silver.weather", "silver.whether") + self.BODY)

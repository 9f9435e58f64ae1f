"""What is recomputed when sources change, on a lake of plain Parquet that counts versions as a Delta table does."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
from plain_lake import COLUMNS, PlainLake, at

from citystream import ConflictError, TableError, gold, sql


class CountingLake(PlainLake):
    """The part of the core's Lake that gold needs."""

    def __init__(self, folder):
        super().__init__(folder)
        self.versions = {}
        self.history = {}
        self.txns = {}
        self.replaced = []
        self.conflicts = 0
        for name in COLUMNS:
            if name.startswith(("bronze.", "silver.")):
                self.versions[name], self.history[name] = 0, []

    def add(self, name, *rows):
        known = len(self.files.get(name, []))
        super().add(name, *rows)
        self.versions[name] = self.versions.get(name, -1) + 1
        self.history.setdefault(name, []).extend((self.versions[name], f) for f in self.files[name][known:])

    def names(self):
        return sorted(self.versions)

    def snapshot(self, name):
        found = super().snapshot(name) if name in COLUMNS else None
        return {
            "version": self.versions[name],
            "files": self.files.get(name, []),
            "partition_columns": found.partition_columns if found else [sql.PARTITION],
            "txns": self.txns.get(name, {}),
        }

    def scan(self, name):
        return super().snapshot(name).empty()

    def changes(self, name, since):
        return [f for version, f in self.history[name] if version > since]

    def replace(self, name, data, *, partition_columns, partitions, txns, comments, description):
        assert description
        assert set(comments) == {column.name for column in self.queries[name].columns}
        if self.conflicts:
            self.conflicts -= 1
            raise ConflictError("another writer won")
        self.replaced.append((name, partitions))
        self.versions[name] = self.versions.get(name, -1) + 1
        self.txns.setdefault(name, {}).update(txns)
        gone = None if partitions is None else {p[sql.PARTITION] for p in partitions}
        kept = [] if gone is None else [f for f in self.files[name] if f["partition"][sql.PARTITION] not in gone]
        folder = self.folder / name / str(self.versions[name])
        folder.mkdir(parents=True)
        con = duckdb.connect()
        gold.in_utc(con)
        arrow = data.to_arrow_table()
        con.register("data", arrow)
        rows = con.execute("select count(*) from data").fetchone()[0]
        if partition_columns and rows:
            con.execute(f"copy data to '{folder}' (format parquet, partition_by ({partition_columns[0]}))")
            new = [{"path": str(p), "partition": dict([p.parent.name.split("=")])} for p in folder.rglob("*.parquet")]
        else:
            con.execute(f"copy data to '{folder}/0.parquet' (format parquet)")
            new = [{"path": str(folder / "0.parquet"), "partition": {}}] if rows else []
        self.files[name] = kept + new
        self.history.setdefault(name, []).extend((self.versions[name], f) for f in new)
        return {"version": self.versions[name], "rows": rows, "files": len(new)}

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


AIR = ("dim.station", "gold.air_quality_hourly")


def refresh(lake, *names):
    lake.replaced.clear()
    return {done.name: done for done in gold.refresh(lake, queries(lake, *names))}


def test_the_first_refresh_makes_every_table_even_without_a_row(lake):
    done = refresh(lake, *lake.queries)
    assert len(done) == 9
    assert all(table.version == 0 and table.rows == 0 and table.windows == "all" for table in done.values())
    assert {name for name, _ in lake.replaced} == set(lake.queries)
    assert all(partitions is None for _, partitions in lake.replaced)


def test_a_second_refresh_has_nothing_to_do(lake):
    lake.add("silver.weather", reading("08:00:00"))
    refresh(lake, *AIR)
    done = refresh(lake, *AIR)
    assert lake.replaced == []
    assert all(table.version is None and table.windows == "unchanged" for table in done.values())


def test_new_rows_touch_their_own_dates_only(lake):
    lake.add("silver.weather", reading("2026-06-01 08:00:00"), reading("2026-06-02 08:00:00"))
    refresh(lake, *AIR)
    assert lake.rows("gold.air_quality_hourly") == 2
    lake.add("silver.weather", reading("2026-06-02 08:10:00", 90), reading("2026-06-02 09:00:00"))
    done = refresh(lake, *AIR)
    assert lake.replaced == [("gold.air_quality_hourly", [{"window_date": "2026-06-02"}])]
    assert done["gold.air_quality_hourly"].rows == 2
    assert lake.rows("gold.air_quality_hourly") == 3


def test_late_rows_touch_the_date_that_they_are_of(lake):
    lake.add("silver.weather", reading("2026-06-05 08:00:00"))
    refresh(lake, *AIR)
    lake.add("silver.weather", reading("2026-06-01 23:59:59.999"))
    refresh(lake, *AIR)
    assert lake.replaced == [("gold.air_quality_hourly", [{"window_date": "2026-06-01"}])]


def test_lookback_widens_the_dates(lake):
    road = ("dim.road", "gold.road_5min")
    lake.add(
        "silver.vehicle", {"id": "1", "device_id": "a", "road_id": "r", "event_time": at("12:00:00"), "speed_kmh": 1.0}
    )
    refresh(lake, *road)
    # 30 s after midnight can change the window before midnight.
    late = {"id": "2", "device_id": "a", "road_id": "r", "event_time": at("2026-06-03 00:00:30"), "speed_kmh": 1.0}
    lake.add("silver.vehicle", late)
    refresh(lake, *road)
    assert lake.replaced == [("gold.road_5min", [{"window_date": "2026-06-02"}, {"window_date": "2026-06-03"}])]


def test_incremental_and_whole_give_the_same_rows(lake, tmp_path):
    def trip(day, hour):
        return [
            {
                "id": f"{day} {hour} {n}", "device_id": f"v{hour}", "road_id": f"r{n % 3}", "speed_kmh": 10.0 + n,
                "event_time": at(f"2026-06-0{day} {hour}:59:00") + dt.timedelta(seconds=10 * n),
            }
            for n in range(12)
        ]  # fmt: skip

    steps = [trip(1, "23"), trip(2, "10"), trip(1, "10"), trip(2, "23") + trip(4, "23")]
    for rows in steps:
        lake.add("silver.vehicle", *rows)
        refresh(lake, "dim.road", "gold.road_5min")
    whole = CountingLake(tmp_path / "whole")
    whole.add("silver.vehicle", *[row for rows in steps for row in rows])
    refresh(whole, "dim.road", "gold.road_5min")

    def rows(from_lake):
        files = from_lake.files["gold.road_5min"]
        columns = "road_id, window_start::varchar, probe_reports, speed_kmh, window_date"
        table = gold.scan(files, [sql.PARTITION])
        return from_lake.con.execute(f"select {columns} from {table} order by all").fetchall()

    assert len(rows(whole)) > 10
    assert rows(lake) == rows(whole)


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
    gold.refresh(lake, [changed])
    assert lake.replaced == [("gold.air_quality_hourly", None)]


def test_a_source_made_anew_recomputes_everything(lake):
    lake.add("silver.weather", reading("08:00:00"))
    lake.add("silver.weather", reading("09:00:00"))
    refresh(lake, *AIR)
    lake.versions["silver.weather"], lake.history["silver.weather"], lake.files["silver.weather"] = 0, [], []
    refresh(lake, *AIR)
    assert lake.replaced == [("gold.air_quality_hourly", None)]
    assert lake.rows("gold.air_quality_hourly") == 0


def test_a_commit_that_another_writer_won_is_computed_again(lake):
    lake.add("silver.weather", reading("08:00:00"))
    lake.conflicts = gold.ATTEMPTS - 1
    assert refresh(lake, "dim.station")["dim.station"].version == 0
    lake.conflicts = gold.ATTEMPTS
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
        return gold.refresh(lake, [query])

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
            ("event_time >= $from", "event_tim >= $from", "mine.sql failed: Binder Error"),
            ("silver.weather where", "silver.wether where", "mine.sql failed: Catalog Error"),
        ],
    )
    def test_a_query_that_breaks_its_contract(self, lake, tmp_path, old, new, message):
        assert old in self.BODY
        with pytest.raises(TableError, match=message):
            self.run(lake, tmp_path, self.HEADER + self.BODY.replace(old, new))
        assert lake.replaced == []

    def test_a_query_that_gives_other_windows_than_asked(self, lake, tmp_path):
        text = self.HEADER + self.BODY.replace("event_time >= $from and event_time < $to", "$from < $to")
        self.run(lake, tmp_path, text)
        lake.add("silver.weather", reading("2026-06-02 09:30:00"))
        lake.files["silver.weather"][0]["partition"]["event_date"] = "2026-06-02"
        with pytest.raises(
            TableError, match=r"gives windows of 2026-06-01, which nobody asked for. Use \$from and \$to"
        ):
            self.run(lake, tmp_path, text)

    def test_a_source_that_does_not_exist(self, lake, tmp_path):
        with pytest.raises(TableError, match=r"gold.mine reads silver.whether, which this lake does not have"):
            self.run(lake, tmp_path, self.HEADER.replace("silver.weather", "silver.whether") + self.BODY)

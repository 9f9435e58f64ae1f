"""A lake of plain Parquet, written by DuckDB without citystream: what the gold SQL is tried on by hand."""

from __future__ import annotations

import datetime as dt
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from citystream import gold, sql
from citystream import refresh as refreshing
from citystream.spans import Spans, instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# As in src/schema: the silver name of each column; for bronze, what the SQL reads.
_SILVER = """
    h3_cell varchar, lateness_s double, kafka_topic varchar, kafka_partition int, kafka_offset bigint,
    row_in_record int, ingested_at timestamptz, event_date date
"""
_SIDE = "kafka_offset bigint, ingested_at timestamptz, ingest_date date"
_BRONZE = """
    rescued varchar, error_stage varchar, error_reason varchar, error_detail varchar, kafka_topic varchar,
    kafka_partition int, kafka_offset bigint, row_in_record int, kafka_timestamp timestamptz,
    ingested_at timestamptz, ingest_date date, decoded boolean
"""
COLUMNS = {
    "silver.vehicle": f"""
        id varchar, device_id varchar, event_time timestamptz, lat double, lon double, speed_kmh double,
        direction varchar, make varchar, model varchar, model_year int, fuel_type varchar, sent_at timestamptz,
        heading_deg double, odometer_km double, road_id varchar, vehicle_type varchar, {_SILVER}
    """,
    "silver.gps": f"""
        id varchar, device_id varchar, event_time timestamptz, speed_kmh double, direction varchar,
        vehicle_type varchar, sent_at timestamptz, lat double, lon double, heading_deg double, accuracy_m double,
        fix varchar, road_id varchar, {_SILVER}
    """,
    "silver.traffic": f"""
        id varchar, device_id varchar, camera_id varchar, lat double, lon double, event_time timestamptz,
        snapshot varchar, sent_at timestamptz, road_id varchar, interval_s int, vehicle_count int, car_count int,
        van_count int, goods_count int, emergency_count int, mean_speed_kmh double, p85_speed_kmh double,
        speed_histogram int[], occupancy double, headway_s double, queue_m double, snapshot_sha256 varchar, {_SILVER}
    """,
    "silver.weather": f"""
        id varchar, device_id varchar, lat double, lon double, event_time timestamptz, temperature_c double,
        weather_condition varchar, precipitation_mmh double, wind_speed_kmh double, humidity_pct int, aqi int,
        sent_at timestamptz, wind_direction_deg double, visibility_m double, pm25_ugm3 double, pm10_ugm3 double,
        no2_ppb double, o3_ppb double, dominant_pollutant varchar, {_SILVER}
    """,
    "silver.emergency": f"""
        id varchar, device_id varchar, incident_id varchar, incident_type varchar, event_time timestamptz, lat double,
        lon double, status varchar, description varchar, sent_at timestamptz, severity int, road_id varchar,
        lanes_blocked int, responder_id varchar, {_SILVER}
    """,
    "silver.quarantine": f"stream varchar, id varchar, rule varchar, {_SIDE}",
    "silver.duplicate": f"stream varchar, id varchar, {_SIDE}",
    "bronze.reference": f"""
        id varchar, kind varchar,
        road struct(roadId varchar, name varchar, roadClass varchar, district varchar, lengthM double, lanes int,
            freeFlowKmh double, geometry double[][]),
        camera struct(cameraId varchar, roadId varchar, offsetM double, location double[]),
        station struct(stationId varchar, district varchar, location double[]),
        vehicle struct(deviceId varchar, vehicleType varchar, make varchar, model varchar, year int, fuelType varchar),
        {_BRONZE}
    """,
    **{f"bronze.{s}": f"id varchar, {_BRONZE}" for s in ("vehicle", "gps", "traffic", "weather", "emergency")},
    "gold.road_5min": """
        road_id varchar, window_start timestamptz, window_end timestamptz, road_name varchar, road_class varchar,
        district varchar, free_flow_kmh double, probe_reports bigint, probe_vehicles bigint, speed_kmh double,
        speed_ratio double, travel_time_index double, level_of_service varchar, camera_intervals bigint,
        vehicle_count bigint, flow_vehh double, camera_speed_kmh double, window_date date
    """,
    "gold.vehicle_hourly": """
        device_id varchar, window_start timestamptz, window_end timestamptz, vehicle_type varchar, fuel_type varchar,
        reports bigint, probe_reports bigint, under_way_s double, stopped_s double, speed_kmh double,
        max_speed_kmh double, odometer_min_km double, odometer_max_km double, window_date date
    """,
    "dim.road": """
        road_id varchar, road_name varchar, road_class varchar, district varchar, length_m double, lanes int,
        free_flow_kmh double, geometry double[][], updated_at timestamptz
    """,
    "dim.camera": """
        camera_id varchar, road_id varchar, offset_m double, lat double, lon double, updated_at timestamptz
    """,
    "dim.station": "station_id varchar, district varchar, lat double, lon double, updated_at timestamptz",
    "dim.vehicle": """
        device_id varchar, vehicle_type varchar, make varchar, model varchar, model_year int, fuel_type varchar,
        updated_at timestamptz
    """,
}


def _text(us: int) -> str:
    return instant(us).isoformat(timespec="microseconds").replace("+00:00", "Z")


@cache
def columns_of(name: str) -> list[str]:
    """The names of a table's columns."""
    with duckdb.connect() as con:
        con.execute(f"create table t ({COLUMNS[name]})")
        return [row[0] for row in con.execute("describe t").fetchall()]


def at(text: str) -> dt.datetime:
    """2026-06-01 `text`, UTC; a date may stand before the time."""
    return dt.datetime.fromisoformat((text if " " in text else f"2026-06-01 {text}") + "+00:00")


class PlainLake:
    """Tables by name, each a folder of Parquet files in Hive partitions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.con = duckdb.connect()
        gold.in_utc(self.con)
        self.files: dict[str, list[Mapping[str, Any]]] = {}
        self.queries = {query.name: query for query in sql.load()}

    def add(self, name: str, *rows: dict[str, Any]) -> None:
        """Writes the rows as new files of the table; columns that a row leaves out are null."""
        con, folder = self.con, self.folder / name.replace(".", "/")
        folder.mkdir(parents=True, exist_ok=True)
        con.execute(f"create or replace temp table fresh ({COLUMNS[name]})")
        for row in rows:
            row = dict(row)
            for time, date in gold.DATE_OF.items():
                if time in row and date in columns_of(name):
                    row.setdefault(date, row[time].date())
            if name.startswith("bronze."):
                row.setdefault("decoded", row.get("error_reason") is None)
            con.execute(
                f"insert into fresh ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values())
            )
        parts = self.partitions(name)
        number = len(self.files.setdefault(name, []))
        for values in con.execute(f"select distinct {', '.join(parts)} from fresh").fetchall() if parts else [()]:
            partition = {
                p: str(v).lower() if isinstance(v, bool) else str(v) for p, v in zip(parts, values, strict=True)
            }
            path = (
                folder.joinpath(*(f"{p}={v}" for p, v in partition.items()))
                / f"{number}-{len(self.files[name])}.parquet"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            where = " and ".join(f"{p} = '{v}'" for p, v in partition.items()) or "true"
            body = f"select * {'exclude (' + ', '.join(parts) + ')' if parts else ''} from fresh where {where}"
            con.execute(f"copy ({body}) to '{path}' (format parquet)")
            self.files[name].append(self.described(name, path, partition))

    def described(self, name: str, path: Path, partition: Mapping[str, str]) -> dict[str, Any]:
        """What the log would say of a file: its rows, and the bounds of its times."""
        columns = columns_of(name) if name in COLUMNS else [column.name for column in self.queries[name].columns]
        times = [t for t in gold.DATE_OF if t in columns]
        bounds = "".join(f", epoch_us(min({t})), epoch_us(max({t}))" for t in times)
        rows, *found = self.con.execute(f"select count(*){bounds} from read_parquet('{path}')").fetchall()[0]
        low, high = ({t: _text(us) for t, us in zip(times, found[n::2], strict=True) if us is not None} for n in (0, 1))
        stats = json.dumps({"numRecords": rows, "minValues": low, "maxValues": high})
        return {"path": str(path), "partition": partition, "rows": rows, "stats": stats}

    def partitions(self, name: str) -> list[str]:
        """The table's partition columns."""
        columns = columns_of(name)
        return [p for p in gold.PARTITION_TYPES if p in columns]

    def snapshot(self, name: str) -> gold.Snapshot:
        """What the lake would say about the table."""
        files = self.files.get(name, [])
        return gold.Snapshot(name, len(files), files, self.partitions(name), empty=lambda: self._empty(name))

    def _empty(self, name: str) -> Any:
        other = duckdb.connect()
        gold.in_utc(other)
        other.execute(f"create table t ({COLUMNS[name]})")
        return other.table("t").to_arrow_table()

    def compute(self, name: str, *dates: str) -> list[dict[str, Any]]:
        """The table's rows for these window dates (none: the whole table), in the order of its key."""
        query = self.queries[name]
        sources = {source.table: self.snapshot(source.table) for source in query.sources}
        spans = Spans.of_dates(dt.date.fromisoformat(date) for date in dates) if query.window else None
        with gold.connect() as con:
            refreshing.run(con, query, sources, spans)
            refreshing.verify(con, query, spans)
            times = {c.name for c in query.columns if c.type == "timestamp"}
            listed = ", ".join(f"epoch_us({c.name})" if c.name in times else c.name for c in query.columns)
            rows = con.execute(f"select {listed} from citystream_result order by {', '.join(query.key)}").fetchall()
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
        names = [c.name for c in query.columns]
        return [
            {
                n: epoch + dt.timedelta(microseconds=v) if n in times and v is not None else v
                for n, v in zip(names, row, strict=True)
            }
            for row in rows
        ]

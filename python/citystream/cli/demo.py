"""`citystream demo`: one city day through the whole road, then its KPIs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from citystream import Faults, Publisher
from citystream.settings import Settings

from .options import CityOptions, KafkaOptions, StorageOptions, command
from .output import Output, cell, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citystream import City, Lake

# Enough of each that dead_letter, quarantine and duplicate have something to show.
FAULTS = Faults(late=0.02, duplicate=0.005, drop=0.002, corrupt=0.001)
PARTITIONS = 4

KPIS = {
    "Roads by class and time of day": """
        select
            road_class,
            case
                when extract(hour from window_start) in (7, 8) then '07-09 morning peak'
                when extract(hour from window_start) in (16, 17, 18) then '16-19 evening peak'
                else 'other hours'
            end as hours,
            sum(probe_reports) as reports,
            sum(probe_reports * speed_kmh) / sum(probe_reports) as speed_kmh,
            sum(probe_reports * travel_time_index)
                / sum(case when travel_time_index is not null then probe_reports end) as travel_time_index,
            100.0 * sum(case when level_of_service in ('D', 'E', 'F') then probe_reports else 0 end)
                / sum(probe_reports) as los_d_or_worse_pct
        from gold.road_5min
        where probe_reports > 0
        group by all
        order by all
    """,
    "Busiest cameras": """
        select
            camera_id, road_id, district, sum(vehicle_count) as vehicles, max(flow_vehh) as peak_flow_vehh,
            max(p85_speed_kmh) as highest_p85_kmh, max(queue_m) as longest_queue_m
        from gold.camera_15min
        group by all
        order by vehicles desc, camera_id
        limit 5
    """,
    "Air quality by district": """
        select
            district, avg(aqi_mean) as aqi_mean, max(aqi_max) as aqi_max, arg_max(aqi_category, aqi_max) as worst,
            arg_max(dominant_pollutant, aqi_max) as pollutant, avg(pm25_ugm3) as pm25_ugm3,
            sum(precipitation_mm) / count(distinct station_id) as precipitation_mm
        from gold.air_quality_hourly
        group by all
        order by aqi_max desc, district
        limit 8
    """,
    "Incidents by type": """
        select
            incident_type, count(*) as incidents, count(resolved_at) as resolved,
            median(response_s) / 60 as median_response_min, median(duration_s) / 60 as median_duration_min,
            max(lanes_blocked) as most_lanes_blocked
        from gold.incident_response
        group by all
        order by incidents desc, incident_type
    """,
    "Records by stream": """
        select
            stream, sum(received) as received, sum(accepted) as accepted, sum(dead_letter) as dead_letter,
            sum(quarantine) as quarantine, sum(duplicate) as duplicate, sum(late) as late,
            max(lateness_p95_s) as lateness_p95_s
        from gold.data_quality_hourly
        group by all
        order by received desc
    """,
}


def add_to(app: typer.Typer) -> None:
    """Registers the command."""

    @command(
        app,
        "demo",
        "citystream demo",
        "citystream demo --dir my-lake --vehicles 500 --duration 6h",
        "KAFKA_BOOTSTRAP_SERVERS=localhost:9092 citystream demo",
    )
    def demo(
        city: CityOptions,
        kafka: KafkaOptions,
        storage: StorageOptions,
        output: Output,
        settings: Settings,
        directory: Annotated[
            str, typer.Option("--dir", help="The lake's folder, or s3://bucket/prefix.")
        ] = "lake-demo",
    ) -> None:
        """One city day through bronze, silver and gold, then its KPIs.

        Without a broker the city goes straight to bronze; where KAFKA_BOOTSTRAP_SERVERS is set, through that broker. A
        second run finds everything done.
        """
        run(city.city(settings, FAULTS), storage.open(directory, create=True), directory, kafka, output, settings)


def run(city: City, lake: Lake, directory: str, kafka: KafkaOptions, output: Output, settings: Settings) -> None:
    """The demo."""
    servers = kafka.servers(settings)
    clock = _Clock(output)
    output.note(f"{city}\n{lake} through {servers or 'the embedded road (no broker)'}")
    if servers is None:
        with clock("city → bronze"):
            ingested = lake.ingest(city, progress=output.progress)
    else:
        with clock("city → Kafka"):
            with Publisher(servers, create_topics=PARTITIONS, **kafka.keywords(settings)) as publisher:
                published = publisher.publish(city, progress=output.progress)
            output.note(f"{published.delivered:,} events delivered, {published.failed:,} failed")
        with clock("Kafka → bronze"):
            ingested = lake.ingest(servers, progress=output.progress, **kafka.keywords(settings))
    for warning in ingested.warnings:
        output.note(f"Warning: {warning}")
    with clock("bronze → silver → gold"):
        refined = lake.refine(memory=settings.get("refine.memory"), progress=output.progress)
    kpis = {}
    for title, sql in KPIS.items():
        names, rows = fetch(lake.query(sql))
        kpis[title] = [dict(zip(names, row, strict=True)) for row in rows]
        if output.words:
            output.table(title, [name.replace("_", " ") for name in names], ([cell(v) for v in row] for row in rows))
    tables = lake.tables()
    if output.words:
        output.table("Tables", tables.HEADINGS, tables.cells())
        output.table("Time", ("step", "seconds"), ((step, f"{seconds:.1f}") for step, seconds in clock.taken.items()))
        output.line(f"{ingested.records:,} new records. The tables are Delta tables: {lake.path}/TIER/NAME")
        output.line(f'Next: citystream query {directory} "select * from gold.road_5min limit 5"')
    output.document(
        {
            "lake": lake.path,
            "city": city.id,
            "ingest": ingested,
            "refine": refined,
            "seconds": clock.taken,
            "kpis": kpis,
            "tables": list(tables),
        }
    )


class _Clock:
    """Seconds of each step."""

    def __init__(self, output: Output) -> None:
        self.taken: dict[str, float] = {}
        self._output = output

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.taken[step] = time.monotonic() - started
        self._output.note(f"{step}: {self.taken[step]:.1f} s")

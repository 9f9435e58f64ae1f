"""The consistency contract as seen from outside; docs/realism.md names the test of each of its ten points."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import citystream as cs
from citystream import _core

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")


@contextmanager
def loaded(**streams):
    """A DuckDB connection with Arrow streams as tables."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for name, stream in streams.items():
            con.register("given", stream)
            con.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
            con.unregister("given")
        yield con


@pytest.fixture(scope="module")
def roads():
    """A busy morning's passages, and the roads, as DuckDB tables."""
    city = cs.City(seed=7, vehicles=60_000, start="2026-06-01T06:30Z", duration="3h", streams=["weather"])
    with loaded(crossings=city.truth.crossings, network=city.network.roads) as con:
        con.execute(
            'CREATE TABLE crossing AS SELECT "deviceId" AS vehicle, "roadId" AS road, lane, trip, '
            'epoch_us("tIn") // 1000 AS t_in, epoch_us("tOut") // 1000 AS t_out FROM crossings'
        )
        con.execute(
            'CREATE TABLE road AS SELECT "roadId" AS road, "lengthM" AS length, lanes, geometry[1] AS tail, '
            "geometry[-1] AS head FROM network"
        )
        (n,) = con.execute("SELECT count(*) FROM crossing").fetchone()
        assert n > 100_000
        yield con


def one(con, sql):
    (row,) = con.execute(sql).fetchall()
    return row[0] if len(row) == 1 else row


class TestPoint1:
    def test_who_leaves_a_road_enters_the_next_at_the_same_moment(self, roads):
        steps, broken = one(
            roads,
            """
            WITH step AS (
                SELECT road, t_out, lead(road) OVER w AS next, lead(t_in) OVER w AS later
                FROM crossing WINDOW w AS (PARTITION BY vehicle, trip ORDER BY t_in)
            )
            SELECT count(*), count(*) FILTER (s.later <> s.t_out OR a.head <> b.tail)
            FROM step AS s JOIN road AS a ON a.road = s.road JOIN road AS b ON b.road = s.next
            """,
        )
        assert steps > 100_000
        assert broken == 0

    def test_nobody_is_on_two_roads_at_once(self, roads):
        broken = one(
            roads,
            """
            WITH step AS (
                SELECT t_out, lead(t_in) OVER (PARTITION BY vehicle ORDER BY t_in) AS later FROM crossing
            )
            SELECT count(*) FROM step WHERE later < t_out
            """,
        )
        assert broken == 0

    @pytest.mark.parametrize(("queue", "holds"), [("road, lane", True), ("road", False)])
    def test_first_in_first_out_on_a_lane(self, roads, queue, holds):
        broken = one(
            roads,
            f"""
            WITH step AS (
                SELECT t_out, lead(t_out) OVER (PARTITION BY {queue} ORDER BY t_in, t_out) AS after FROM crossing
            )
            SELECT count(*) FROM step WHERE after < t_out
            """,
        )
        # Vehicles on different lanes overtake each other.
        assert (broken == 0) == holds

    def test_storage_is_respected(self, roads):
        # At one moment, exits come first: they make the room.
        fullest, over = one(
            roads,
            """
            WITH change AS (
                SELECT road, lane, t_in AS t, 1 AS n FROM crossing UNION ALL SELECT road, lane, t_out, -1 FROM crossing
            ),
            held AS (
                SELECT road, sum(n) OVER (PARTITION BY road, lane ORDER BY t, n ROWS UNBOUNDED PRECEDING) AS vehicles
                FROM change
            ),
            share AS (
                SELECT vehicles, greatest(floor(length / 7.5), 1) AS storage FROM held JOIN road USING (road)
            )
            SELECT max(vehicles / storage), count(*) FILTER (vehicles > storage) FROM share
            """,
        )
        assert fullest > 0.1, "the roads are empty; nothing is shown"
        assert over == 0


def test_point_3_the_odometer_grows_by_the_roads_that_the_vehicle_drove():
    city = cs.City(seed=7, vehicles=1_000, start="2026-06-01T06:00Z", duration="6h")
    with loaded(crossings=city.truth.crossings, network=city.network.roads, reports=city.events("vehicle")) as con:
        # Parked at both ends of what is seen of them: half an hour and more between two reports is none of a drive.
        n, right = one(
            con,
            """
            WITH report AS (
                SELECT "deviceId" AS vehicle, timestamp AS t, "odometerKm" AS km, speed,
                    lead(timestamp) OVER w - timestamp AS pause
                FROM reports WINDOW w AS (PARTITION BY "deviceId" ORDER BY timestamp)
            ),
            parked AS (
                SELECT vehicle, min(t) AS since, max(t) AS until, max(km) - min(km) AS km
                FROM report WHERE speed = 0 AND pause > INTERVAL 30 MINUTE GROUP BY vehicle HAVING count(*) > 1
            ),
            driven AS (
                SELECT p.vehicle, any_value(p.km) AS km, sum(n."lengthM") / 1000 AS driven
                FROM parked AS p
                JOIN crossings AS c ON c."deviceId" = p.vehicle
                    AND c."tIn" >= p.since - INTERVAL 10 SECOND AND c."tOut" <= p.until + INTERVAL 10 SECOND
                JOIN network AS n USING ("roadId")
                GROUP BY p.vehicle
            )
            SELECT count(*), count(*) FILTER (abs(km - driven) <= 0.001 * driven) FROM driven
            """,
        )
    assert n > 100
    assert right == n


@pytest.mark.parametrize(("lanes", "share"), [(2, 0.35), (3, 0.49), (4, 0.58)])
def test_point_5_discharge_falls_only_while_lanes_are_blocked(lanes, share):
    minute = 60_000
    study = _core.corridor(
        roads=3,
        length_m=600,
        lanes=lanes,
        limit_kmh=50,
        flow_vehh=9_000,
        duration_ms=70 * minute,
        blocked=1,
        from_ms=20 * minute,
        until_ms=50 * minute,
    )
    with duckdb.connect() as con:
        con.register("study", study)
        per_minute = con.execute('SELECT "tOutMs" // 60000, count(*) FROM study WHERE road = 2 GROUP BY ALL').fetchall()
    (before, during, after) = (
        sum(n for minute, n in per_minute if first <= minute < last) / (last - first)
        for first, last in ((5, 20), (21, 50), (51, 69))
    )
    assert during / before == pytest.approx(share, rel=0.03)
    assert after == pytest.approx(before, rel=0.01)


@pytest.fixture(scope="module")
def wet():
    """A fortnight of few vehicles on motorways, with the weather of the nearest station."""
    city = cs.City(seed=7, vehicles=1_000, start="2026-11-02T00:00Z", duration="14d", streams=["weather"])
    with loaded(crossings=city.truth.crossings, network=city.network.roads, sky=city.events("weather")) as con:
        con.execute(
            """
            CREATE TABLE driven AS
            WITH place AS (
                SELECT "roadId", "lengthM", "freeFlowKmh", (geometry[1][1] + geometry[-1][1]) / 2 AS lat,
                    (geometry[1][2] + geometry[-1][2]) / 2 AS lon
                FROM network WHERE "roadClass" = 'motorway'
            ),
            station AS (SELECT "deviceId" AS station, any_value(location) AS at FROM sky GROUP BY ALL),
            near AS (
                SELECT p.*, arg_min(s.station, pow(p.lat - s.at[1], 2) + 0.37 * pow(p.lon - s.at[2], 2)) AS station
                FROM place AS p, station AS s GROUP BY ALL
            ),
            -- Steps of the field are ten minutes; clocks of stations are some seconds off.
            reading AS (
                SELECT "deviceId" AS station, (epoch_us(timestamp) // 1000 + 60000) // 600000 AS step, precipitation,
                    "weatherCondition" AS condition
                FROM sky
            )
            SELECT c."deviceId" AS vehicle, c."roadId" AS road, r.condition, r.precipitation,
                n."lengthM" / (epoch_us("tOut") - epoch_us("tIn")) * 3.6e6 AS kmh
            FROM crossings AS c JOIN near AS n USING ("roadId")
            JOIN reading AS r ON r.station = n.station AND r.step = epoch_us("tIn") // 600000000
            """
        )
        yield con


@pytest.mark.parametrize(
    ("condition", "least", "most", "factor"),
    [("Rain", 0.01, 2.5, 0.97), ("Rain", 2.51, 6.4, 0.95), ("Cloudy", -1, 0, 1.0)],
)
def test_point_7_speeds_follow_the_weather_at_the_vehicles_place(wet, condition, least, most, factor):
    # The same vehicle on the same road under a clear sky, its fastest passage: nobody was in the way.
    median, n = one(
        wet,
        f"""
        WITH clear AS (
            SELECT vehicle, road, max(kmh) AS kmh FROM driven WHERE condition = 'Clear' GROUP BY ALL HAVING count(*) > 1
        )
        SELECT median(d.kmh / c.kmh), count(*) FROM driven AS d JOIN clear AS c USING (vehicle, road)
        WHERE d.condition = '{condition}' AND d.precipitation BETWEEN {least} AND {most}
        """,
    )
    assert n >= 30
    assert median == pytest.approx(factor, abs=0.006)


def sums(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def small():
    """Options of a small city in which all five streams have something to say: mostly there is no incident."""
    for seed in range(1, 1_000):
        options = {"seed": seed, "vehicles": 400, "start": "2026-06-01T07:00Z", "duration": "2h"}
        if any(len(batch) for batch in cs.City(**options, streams=["emergency"]).events("emergency")):
            return options
    raise AssertionError("a thousand cities without an incident")


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    """The same city in each kind of file, by one thread."""
    folder = tmp_path_factory.mktemp("sinks")
    for kind in ("ndjson", "parquet", "arrow"):
        cs.City(**small, threads=1).core.write(to=kind, out=str(folder / kind))
    return folder


@pytest.mark.parametrize("kind", ["ndjson", "parquet", "arrow"])
@pytest.mark.parametrize("threads", [2, 5])
def test_point_8_any_number_of_threads_writes_the_same_bytes(small, written, tmp_path, kind, threads):
    cs.City(**small, threads=threads).core.write(to=kind, out=str(tmp_path / kind))
    ours, theirs = sums(tmp_path / kind), sums(written / kind)
    assert len(ours) >= len(STREAMS)
    assert ours == theirs


@pytest.mark.parametrize("stream", STREAMS)
def test_point_8_ids_and_values_are_the_same_in_every_sink(written, stream):
    schema = pa.schema(_core.wire_schema(stream))
    with pa.ipc.open_file(written / "arrow" / f"{stream}.arrow") as file:
        arrow = file.read_all().to_pylist()
    parquet = pa.concat_tables(pq.read_table(path) for path in sorted((written / "parquet" / stream).glob("*.parquet")))
    parquet = parquet.cast(schema).to_pylist()
    lines = (written / "ndjson" / f"{stream}_data.ndjson").read_text().splitlines()
    assert len(arrow) > 0
    assert parquet == arrow

    def as_json(value):
        is_time = isinstance(value, dt.datetime)
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if is_time else value

    assert [json.loads(line) for line in lines] == [{name: as_json(v) for name, v in row.items()} for row in arrow]


@pytest.mark.parametrize("stream", [*STREAMS, "truth_crossing"])
def test_point_9_a_part_is_exactly_its_devices_rows_of_the_whole(small, stream):
    city = cs.City(**small)
    whole = pa.table(city.core.events(stream)).to_pylist()
    device = "incidentId" if stream == "emergency" else "deviceId"
    seen: set[str] = set()
    rows = 0
    for number in range(3):
        part = pa.table(city.part(number, 3).core.events(stream)).to_pylist()
        devices = {row[device] for row in part}
        assert part == [row for row in whole if row[device] in devices]
        assert not devices & seen
        seen |= devices
        rows += len(part)
    assert rows == len(whole) > 0

"""City: options, streams, parts, truth."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import struct
import zlib
from collections import Counter
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from cities import small

import citystream as cs
from citystream import _core

ROOT = Path(__file__).parents[2]
STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")


def table(stream):
    return pa.table(stream)


def test_nothing_runs_until_it_is_asked():
    # A city that would take hours.
    city = cs.City(vehicles=5_000, start="2026-06-01T07:00Z", duration="365d")
    assert len(city.id) == 12
    assert len(list(islice(city.rows("gps"), 3))) == 3


def test_times_in_all_their_forms_are_one_city():
    start = dt.datetime(2026, 6, 1, tzinfo=dt.timezone.utc)
    one = cs.City(vehicles=60, start=start, duration=dt.timedelta(hours=1))
    other = cs.City(vehicles=60, start="2026-06-01T00:00Z", duration="60min")
    assert repr(one) == repr(other) == "City(seed=7, vehicles=60, start='2026-06-01T00:00:00Z', duration='1h')"
    assert table(one.events("weather")).equals(table(other.events("weather")))


def test_repr_shows_what_is_not_the_default():
    faults = cs.Faults(late=0.05, late_bound="5min")
    city = cs.City(vehicles=2_000, streams=["gps"], faults=faults)
    assert repr(city) == (
        "City(seed=7, vehicles=2_000, start='2026-06-01T00:00:00Z', duration='1d', streams=('gps',), "
        "faults=Faults(late=0.05, late_bound='5min'))"
    )
    assert repr(city.part(1, 4)) == repr(city) + ".part(1, 4)"


def test_every_stream_has_events_with_the_wires_columns(city):
    assert city.streams == STREAMS
    for stream in STREAMS:
        events = city.events(stream)
        fields = [field["name"] for field in cs._core.stream_fields(stream)]
        assert events.schema.names == fields
        rows = table(events)
        assert rows.column_names == fields
        assert rows.num_rows > 0, stream
        assert len(set(rows["id"].to_pylist())) == rows.num_rows
        sent = rows["sentAt"].to_pylist()
        assert sent == sorted(sent)


def test_original_fields_come_first_and_are_never_null(city):
    original = {
        "vehicle": "id deviceId timestamp location speed direction make model year fuelType",
        "gps": "id deviceId timestamp speed direction vehicleType",
        "traffic": "id deviceId cameraId location timestamp snapshot",
        "weather": "id deviceId location timestamp temperature weatherCondition precipitation windSpeed humidity "
        "airQualityIndex",
        "emergency": "id deviceId incidentId type timestamp location status description",
    }
    for stream, names in original.items():
        rows = table(city.events(stream))
        assert rows.column_names[: len(names.split())] == names.split()
        for name in set(names.split()) - {"snapshot"}:
            assert rows[name].null_count == 0, (stream, name)


def test_rows_are_the_events_as_json_takes_them(city):
    for stream in STREAMS:
        rows = list(city.rows(stream))
        events = table(city.events(stream)).to_pylist()
        assert len(rows) == len(events) > 0
        for row, event in zip(rows[:200], events[:200], strict=True):
            json.dumps(row)
            assert row["timestamp"] == event["timestamp"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
            for name, value in event.items():
                if not isinstance(value, dt.datetime):
                    assert row[name] == value, name


def test_reference_names_every_road_camera_station_and_vehicle(city):
    kinds = Counter(row["kind"] for row in city.rows("reference"))
    assert kinds["city"] == 1
    assert kinds["vehicle"] >= 300
    assert kinds["road"] == table(city.network.roads).num_rows
    assert kinds["camera"] == table(city.network.cameras).num_rows
    assert kinds["station"] == table(city.network.stations).num_rows
    (row,) = (row for row in city.rows("reference") if row["kind"] == "city")
    assert row["city"]["cityId"] == city.id
    assert row["city"]["start"] == "2026-06-01T07:00:00.000Z"
    assert row["road"] is None


def test_iteration_gives_all_streams_in_the_order_of_sending(city):
    counts = Counter()
    newest = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    for stream, batch in city:
        rows = pa.record_batch(batch)
        counts[stream] += rows.num_rows
        assert len(batch) == batch.num_rows == rows.num_rows
        if rows.num_rows:
            # Batches may interleave by less than the simulator's step.
            assert rows["sentAt"][0].as_py() >= newest - dt.timedelta(minutes=5)
            newest = max(newest, rows["sentAt"][-1].as_py())
    assert counts == {stream: table(city.events(stream)).num_rows for stream in STREAMS}


def test_the_same_seed_gives_the_same_events_for_any_threads(city):
    again = small(threads=1)
    other = cs.City(seed=0, vehicles=300, start="2026-06-01T07:00:00Z", duration="2h")
    for stream in STREAMS:
        assert table(city.events(stream)).equals(table(again.events(stream))), stream
    assert other.id != city.id
    assert not set(table(city.events("gps"))["id"].to_pylist()) & set(table(other.events("gps"))["id"].to_pylist())


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_parts_are_the_whole(city, parts):
    for stream in STREAMS:
        whole = table(city.events(stream)).to_pylist()
        cut = [row for n in range(parts) for row in table(city.part(n, parts).events(stream)).to_pylist()]
        assert sorted(cut, key=lambda row: row["id"]) == sorted(whole, key=lambda row: row["id"]), stream
        if parts > 1 and stream == "gps":
            devices = [set(table(city.part(n, parts).events(stream))["deviceId"].to_pylist()) for n in range(parts)]
            assert not set.intersection(*devices)


def test_streams_can_be_chosen(city):
    only = small(streams=["weather", "gps"])
    assert only.streams == ("gps", "weather")
    assert {stream for stream, _ in only} == {"gps", "weather"}
    assert table(only.events("gps")).equals(table(city.events("gps")))


def test_a_longer_run_continues_the_shorter_one():
    def ids(duration):
        return table(cs.City(vehicles=60, start="2026-06-01T07:00Z", duration=duration).events("weather"))[
            "id"
        ].to_pylist()

    short, long = ids("1h"), ids("2h")
    assert long[: len(short)] == short
    assert len(long) > len(short)


@pytest.fixture(scope="module")
def pair():
    options = {"seed": 5, "vehicles": 200, "start": "2026-06-01T07:00:00Z", "duration": "1h"}
    faults = cs.Faults(late=0.1, late_bound="10min", duplicate=0.05, drop=0.05, corrupt=0.05)
    return cs.City(**options), cs.City(**options, faults=faults)


class TestFaults:
    def test_a_fault_never_changes_the_clean_events(self, pair):
        clean, faulty = pair
        assert clean.id == faulty.id
        by_id = {row["id"]: row for row in table(clean.events("gps")).to_pylist()}
        seen = 0
        for row in table(faulty.events("gps")).to_pylist():
            # Late events may be of before the run's end in one run and not in the other.
            if row["id"] in by_id:
                seen += 1
                changed = {name for name in row if row[name] != by_id[row["id"]][name]}
                assert changed <= {"sentAt"}
        assert seen > 1000

    def test_every_fault_has_a_label(self, pair):
        clean, faulty = pair
        assert table(clean.truth.faults).num_rows == 0
        kinds = Counter(table(faulty.truth.faults)["kind"].to_pylist())
        assert {"late", "duplicate", "drop"} <= set(kinds)
        assert set(kinds) - {"late", "duplicate", "drop"} <= {"bad_json", "wrong_type", "missing_field", "out_of_range"}
        assert len(kinds) > 4

    def test_dropped_events_are_not_sent_and_doubled_ones_twice(self, pair):
        _, faulty = pair
        labels = table(faulty.truth.faults).to_pylist()
        gps = {
            kind: {r["id"] for r in labels if r["kind"] == kind and r["stream"] == "gps"}
            for kind in ("drop", "duplicate")
        }
        sent = Counter(table(faulty.events("gps"))["id"].to_pylist())
        assert gps["drop"]
        assert not gps["drop"] & set(sent)
        twice = {event for event, count in sent.items() if count > 1}
        assert twice
        assert twice <= gps["duplicate"]

    def test_truth_says_when_and_where(self, pair):
        clean, _ = pair
        events = table(clean.truth.events).to_pylist()
        gps = {row["id"]: row for row in table(clean.events("gps")).to_pylist()}
        truth = {row["id"]: row for row in events if row["stream"] == "gps"}
        assert set(gps) <= set(truth)
        crossings = table(clean.truth.crossings)
        assert crossings.num_rows > 100
        assert all(r["tIn"] <= r["tOut"] for r in crossings.to_pylist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"vehicles": "many"}, "vehicles is 'many'"),
        ({"vehicles": 0}, "vehicles"),
        ({"duration": "0s"}, "duration"),
        ({"duration": 3600}, "duration 3600 has no unit"),
        ({"start": "soon"}, "start 'soon' is no time"),
        ({"streams": ["gsp"]}, "gsp"),
        ({"snapshots": "x", "snapshot_every": "90s"}, "whole number of minutes"),
        ({"snapshot_every": "5min"}, "no pictures are taken"),
        ({"faults": cs.Faults(late=1.5)}, "late"),
        ({"faults": cs.Faults(drop=-0.1)}, "drop"),
        ({"faults": cs.Faults(corrupt=float("nan"))}, "corrupt"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(cs.ConfigError, match=message) as caught:
        cs.City(**options)
    assert isinstance(caught.value, ValueError)


def test_an_unknown_keyword_is_pythons_own_error():
    with pytest.raises(TypeError, match="vehicels"):
        cs.City(vehicels=5)


def test_an_unknown_stream_lists_the_known_ones(city):
    with pytest.raises(cs.ConfigError, match=r"\"gsp\".*vehicle, gps, traffic"):
        city.events("gsp")


@pytest.mark.parametrize(("index", "of"), [(4, 4), (-1, 4), (0, 0)])
def test_a_part_that_does_not_exist(city, index, of):
    with pytest.raises(cs.ConfigError, match="does not exist"):
        city.part(index, of)


def test_the_network_draws_itself(city):
    drawn = city.network._repr_html_()
    assert drawn.count("<polyline") == table(city.network.roads).num_rows > 100
    assert drawn.count("<circle") > 5
    assert "nan" not in drawn


def colours(png):
    """Columns, rows and how many pixels have which place in the palette, by the PNG specification."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, stream, size = 8, b"", (0, 0)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data)
        stream += data if kind == b"IDAT" else b""
        at += 12 + length
    rows, width = zlib.decompress(stream), 1 + size[0] // 2
    assert len(rows) == size[1] * width
    return size, Counter(p for i, pair in enumerate(rows) if i % width for p in (pair >> 4, pair & 15))


def test_cameras_take_pictures_where_a_folder_is_given(tmp_path):
    options = {"vehicles": 3_000, "start": "2026-06-01T08:00Z", "duration": "12min", "streams": ["traffic"]}
    folder = tmp_path / "pictures"
    city = cs.City(**options, snapshots=folder, snapshot_every="5min")
    assert repr(city).endswith(f"snapshots={str(folder)!r}, snapshot_every='5min')")
    rows = list(city.rows("traffic"))
    taken = [row for row in rows if row["snapshot"] is not None]
    assert 0 < len(taken) < len(rows) / 3
    shown = Counter()
    for row in taken:
        png = (folder / row["snapshot"]).read_bytes()
        assert hashlib.sha256(png).hexdigest() == row["snapshotSha256"]
        size, found = colours(png)
        assert size == (160, 120)
        shown += found
    ground, asphalt, line, *vehicles = (shown[colour] for colour in range(8))
    assert ground > asphalt > line > sum(vehicles) > 0
    without = [{**row, "snapshot": None, "snapshotSha256": None} for row in rows]
    assert without == list(cs.City(**options).rows("traffic"))


def test_a_folder_for_pictures_that_can_t_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    city = cs.City(vehicles=50, duration="2min", snapshots=tmp_path / "file" / "pictures")
    with pytest.raises(cs.StoreError, match="file"):
        list(city)


SAVED = {"seed": 3, "vehicles": 300, "start": "2026-06-01T07:00:00Z"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "saved"
    report = cs.City(**SAVED, duration="90min").trace(folder)
    assert (report.covered, report.folder) == ("1h30min", str(folder))
    assert report.files > 10
    assert report.bytes > 10_000
    return folder


class TestTrace:
    def test_it_is_the_same_city_without_its_options(self, saved):
        city, observed = cs.City(**SAVED, duration="90min"), cs.City(trace=saved)
        assert observed.id == city.id
        assert repr(observed).endswith(f"trace={str(saved)!r})")
        assert table(observed.events("gps")) == table(city.events("gps"))
        assert table(observed.truth.crossings) == table(city.truth.crossings)

    def test_parts_faults_and_a_shorter_time_are_free(self, saved):
        options = {"duration": "1h", "faults": cs.Faults(late=0.1), "streams": ["vehicle"]}
        city, observed = (c.part(1, 2) for c in (cs.City(**SAVED, **options), cs.City(trace=saved, **options)))
        assert table(observed.events("vehicle")) == table(city.events("vehicle"))
        assert table(observed.truth.faults) == table(city.truth.faults)

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"seed": 4}, "seed 3"), ({"vehicles": 9}, "300 vehicles"), ({"duration": "2h"}, "covers 5400000 ms")],
    )
    def test_another_city_or_time_is_refused(self, saved, options, message):
        with pytest.raises(cs.ConfigError, match=message):
            cs.City(trace=saved, **options)

    def test_a_folder_without_a_trace_is_named(self, tmp_path):
        with pytest.raises(cs.StoreError, match=r"trace\.json"):
            cs.City(trace=tmp_path)

    def test_a_save_that_stopped_before_its_first_hour_says_so(self, tmp_path):
        # The state of a save that was killed in its first hour.
        city = cs.City(**SAVED, duration="1h")
        city.trace(tmp_path)
        (tmp_path / "hours" / "00000.json").unlink()
        with pytest.raises(cs.StoreError, match=r"no whole hour yet\. Save it again"):
            cs.City(trace=tmp_path)
        assert city.trace(tmp_path).covered == "1h"
        assert cs.City(trace=tmp_path).id == city.id

    def test_its_tables_are_parquet_for_anybody(self, saved):
        ((crossings,),) = duckdb.sql(
            f"""select count(*)
            from '{saved}/entries/*.parquet' join '{saved}/exits/*.parquet' using (road, lane, number)
            where t_in >= '2026-06-01T07:00:00Z' and t_out < '2026-06-01T08:30:00Z'"""
        ).fetchall()
        start = dt.datetime(2026, 6, 1, 7, tzinfo=dt.timezone.utc)
        entered = table(cs.City(trace=saved).truth.crossings)["tIn"].to_pylist()
        assert crossings == sum(t >= start for t in entered) > 100

    def test_the_query_of_the_docs_runs(self, saved):
        (sql,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/traces.md").read_text(), re.DOTALL)
        rows = duckdb.sql(sql.replace("'trace/", f"'{saved}/")).fetchall()
        assert len(rows) == 5
        assert all(vehicles > 0 and 20 < seconds < 600 for _, vehicles, seconds in rows)


class TestCompat:
    def test_a_step_of_a_vehicle_is_told_by_its_device_in_every_stream(self):
        city = small(compat=True)
        assert "compat=True" in repr(city)
        steps = {(row["deviceId"], row["timestamp"]) for row in city.rows("vehicle")}
        assert len(steps) > 10_000
        for stream in ("gps", "traffic", "weather", "emergency"):
            told = {(row["deviceId"], row["timestamp"]) for row in city.rows(stream)}
            # The last steps' own reports may be sent after the end.
            assert told
            assert len(told - steps) < 10, stream

    def test_parts_are_the_whole_and_faults_are_the_devices(self):
        city = cs.City(
            vehicles=100, start="2026-06-01T07:00Z", duration="30min", compat=True, faults=cs.Faults(drop=0.1)
        )
        whole = {row["id"] for row in city.rows("traffic")}
        assert whole == {row["id"] for n in range(3) for row in city.part(n, 3).rows("traffic")}
        assert "drop" in pa.table(city.truth.faults)["kind"].to_pylist()


@pytest.mark.parametrize("given", [{}, {"snapshots": "pictures", "snapshot_every": "5min"}, {"compat": True}])
def test_the_cores_options_make_the_same_city(given):
    city = cs.City(vehicles=50, duration="10min", **given)
    assert _core.City(**city.core.options).options == city.core.options

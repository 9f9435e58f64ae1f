"""Every gold and dim table over a few rows whose answer was worked out by hand from docs/tables.md."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
from plain_lake import PlainLake, at

from citystream.spans import Spans, micros

DAY = "2026-06-01"
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def lake(tmp_path):
    return PlainLake(tmp_path)


def picked(row, *names):
    return {name: row[name] for name in names}


def report(device, time, speed, road="r1"):
    return {"id": f"{device} {time}", "device_id": device, "event_time": at(time), "speed_kmh": speed, "road_id": road}


def interval(time, count, mean, road="r1", **more):
    row = {"id": f"{road} {time}", "camera_id": "c1", "event_time": at(time), "interval_s": 60, "road_id": road}
    return {**row, "vehicle_count": count, "mean_speed_kmh": mean, **more}


class TestRoad5Min:
    def test_speed_is_of_vehicles_under_way_and_flow_of_cameras(self, lake):
        lake.add(
            "silver.vehicle",
            # A trip: ignition on and off aren't samples of traffic, the three reports between them are.
            report("a", "00:00:00", 0.0),
            report("a", "00:00:10", 40.0),
            report("a", "00:00:20", 50.0),
            report("a", "00:00:30", 60.0),
            report("a", "00:00:40", 0.0),
            # Parked, heard from once an hour.
            report("b", "00:02:00", 0.0),
            report("b", "01:02:00", 0.0),
        )
        lake.add(
            "silver.traffic",
            interval("00:01:00", 10, 40.0),
            # Its clock is 50 ms fast; the interval's middle is 00:04:30.05.
            interval("00:05:00.050", 20, 55.0),
            interval("00:06:00", 0, None),
        )
        lake.add(
            "dim.road",
            {
                "road_id": "r1",
                "road_name": "Long Lane",
                "road_class": "street",
                "district": "D1",
                "free_flow_kmh": 100.0,
            },
        )
        first, second = lake.compute("gold.road_5min", DAY)
        assert first == {
            "road_id": "r1",
            "window_start": at("00:00:00"),
            "window_end": at("00:05:00"),
            "road_name": "Long Lane",
            "road_class": "street",
            "district": "D1",
            "free_flow_kmh": 100.0,
            "probe_reports": 3,
            "probe_vehicles": 1,
            "speed_kmh": 50.0,
            "speed_ratio": 0.5,
            "travel_time_index": 2.0,
            "level_of_service": "D",
            "camera_intervals": 2,
            "vehicle_count": 30,
            "flow_vehh": 3600 * 30 / 120,
            "camera_speed_kmh": (10 * 40.0 + 20 * 55.0) / 30,
            "window_date": dt.date(2026, 6, 1),
        }
        assert picked(second, "window_start", "probe_reports", "speed_kmh", "level_of_service") == {
            "window_start": at("00:05:00"),
            "probe_reports": 0,
            "speed_kmh": None,
            "level_of_service": None,
        }
        assert picked(second, "camera_intervals", "vehicle_count", "flow_vehh", "camera_speed_kmh") == {
            "camera_intervals": 1,
            "vehicle_count": 0,
            "flow_vehh": 0.0,
            "camera_speed_kmh": None,
        }

    def test_lookback_joins_reports_and_intervals_across_midnight(self, lake):
        lake.add(
            "silver.vehicle",
            report("c", "2026-05-31 23:59:50", 30.0),
            report("c", "00:00:00", 35.0),
            report("c", "00:00:10", 36.0),
        )
        # Ends at midnight, so belongs to the day before.
        lake.add("silver.traffic", interval("00:00:00", 7, 50.0))
        today = lake.compute("gold.road_5min", DAY)
        assert [picked(r, "window_start", "probe_reports", "speed_kmh", "camera_intervals") for r in today] == [
            {"window_start": at("00:00:00"), "probe_reports": 1, "speed_kmh": 35.0, "camera_intervals": 0}
        ]
        assert today[0]["vehicle_count"] is None
        yesterday = lake.compute("gold.road_5min", "2026-05-31")
        assert [picked(r, "window_start", "probe_reports", "vehicle_count") for r in yesterday] == [
            {"window_start": at("2026-05-31 23:55:00"), "probe_reports": 0, "vehicle_count": 7}
        ]
        both = lake.compute("gold.road_5min", "2026-05-31", DAY)
        assert both == yesterday + today

    @pytest.mark.parametrize(
        ("speed", "level", "index"),
        [
            (120.0, "A", 1.0),  # above the limit: the index has its floor at free flow
            (85.1, "A", 100 / 85.1),
            (85.0, "B", 100 / 85.0),
            (67.0, "C", 100 / 67.0),
            (50.0, "D", 2.0),
            (40.0, "E", 2.5),
            (30.0, "F", 100 / 30.0),
            (1.0, "F", 100.0),
            (0.0, "F", None),  # a standing road has no travel time
        ],
    )
    def test_level_of_service_by_its_thresholds(self, lake, speed, level, index):
        lake.add("silver.vehicle", *(report("a", f"00:00:{s:02}", speed) for s in (0, 10, 20)))
        lake.add("dim.road", {"road_id": "r1", "free_flow_kmh": 100.0})
        (row,) = lake.compute("gold.road_5min", DAY)
        assert row["level_of_service"] == level
        assert row["travel_time_index"] == (None if index is None else pytest.approx(index))

    def test_a_road_without_reference_keeps_its_measurements(self, lake):
        lake.add("silver.vehicle", *(report("a", f"00:00:{s:02}", 20.0, "r9") for s in (0, 10, 20)))
        (row,) = lake.compute("gold.road_5min", DAY)
        assert picked(row, "road_id", "road_name", "speed_kmh", "speed_ratio", "level_of_service") == {
            "road_id": "r9",
            "road_name": None,
            "speed_kmh": 20.0,
            "speed_ratio": None,
            "level_of_service": None,
        }

    def test_an_empty_lake_gives_no_row(self, lake):
        assert lake.compute("gold.road_5min", DAY) == []


class TestCamera15Min:
    def test_totals_means_and_percentile(self, lake):
        lake.add(
            "silver.traffic",
            interval(
                "00:01:00", 5, 20.0, car_count=3, van_count=1, goods_count=1, emergency_count=0, occupancy=0.10,
                headway_s=10.0, queue_m=5.0, speed_histogram=[0, 2, 3, 0], lat=1.0, lon=2.0,
            ),
            interval(
                "00:02:00", 3, 30.0, car_count=1, van_count=0, goods_count=1, emergency_count=1, occupancy=0.20,
                headway_s=20.0, queue_m=12.5, speed_histogram=[0, 2, 1, 0], lat=1.0, lon=2.0,
            ),
            interval(
                "00:15:00", 0, None, car_count=0, van_count=0, goods_count=0, emergency_count=0, occupancy=0.0,
                headway_s=None, queue_m=0.0, speed_histogram=[0, 0, 0, 0], lat=1.0, lon=2.0,
            ),
        )  # fmt: skip
        lake.add("dim.camera", {"camera_id": "c1", "road_id": "r1", "lat": 1.5, "lon": 2.5})
        lake.add("dim.road", {"road_id": "r1", "district": "D1"})
        (row,) = lake.compute("gold.camera_15min", DAY)
        # Histogram [0, 4, 4, 0]: 0.85 * 8 = 6.8 vehicles lie below 10 + 5 * (6.8 - 4) / 4 km/h.
        assert row == {
            "camera_id": "c1",
            "window_start": at("00:00:00"),
            "window_end": at("00:15:00"),
            "road_id": "r1",
            "district": "D1",
            "lat": 1.5,
            "lon": 2.5,
            "intervals": 3,
            "observed_s": 180,
            "vehicle_count": 8,
            "car_count": 4,
            "van_count": 1,
            "goods_count": 2,
            "emergency_count": 1,
            "flow_vehh": pytest.approx(160.0),
            "goods_share": 0.25,
            "mean_speed_kmh": (5 * 20.0 + 3 * 30.0) / 8,
            "p85_speed_kmh": pytest.approx(13.5),
            "occupancy": pytest.approx(0.1),
            "headway_s": pytest.approx((4 * 10 + 2 * 20) / 6),
            "queue_m": 12.5,
            "window_date": dt.date(2026, 6, 1),
        }

    def test_the_open_bin_counts_with_its_lower_edge(self, lake):
        lake.add("silver.traffic", interval("00:01:00", 20, 12.0, speed_histogram=[0, 4, 10, 6]))
        (row,) = lake.compute("gold.camera_15min", DAY)
        assert row["p85_speed_kmh"] == 15.0

    def test_without_a_vehicle_there_is_no_speed(self, lake):
        lake.add("silver.traffic", interval("00:01:00", 0, None, speed_histogram=[0, 0, 0, 0]))
        (row,) = lake.compute("gold.camera_15min", DAY)
        assert picked(
            row, "vehicle_count", "flow_vehh", "mean_speed_kmh", "p85_speed_kmh", "goods_share", "headway_s"
        ) == {
            "vehicle_count": 0,
            "flow_vehh": 0.0,
            "mean_speed_kmh": None,
            "p85_speed_kmh": None,
            "goods_share": None,
            "headway_s": None,
        }


class TestAirQualityHourly:
    def test_means_and_the_worst_reading(self, lake):
        def reading(time, aqi, pollutant, pm25, rain, station="s1"):
            return {
                "id": f"{station} {time}", "device_id": station, "event_time": at(time), "aqi": aqi,
                "dominant_pollutant": pollutant, "pm25_ugm3": pm25, "pm10_ugm3": 20.0, "no2_ppb": 10.0, "o3_ppb": 30.0,
                "temperature_c": 10.0, "humidity_pct": 50, "wind_speed_kmh": 5.0, "precipitation_mmh": rain,
                "lat": 1.0, "lon": 2.0,
            }  # fmt: skip

        lake.add(
            "silver.weather",
            reading("08:00:00", 40, "o3", 8.0, 0.0),
            reading("08:10:00", 120, "no2", 12.0, 1.5),
            reading("08:59:59.999", 120, "pm25", 16.0, 3.0),
            reading("09:00:00", 51, "pm10", 9.0, 0.0),
            reading("08:30:00", 301, "pm25", 250.0, 0.0, station="s2"),
        )
        lake.add("dim.station", {"station_id": "s1", "district": "D1", "lat": 1.25, "lon": 2.25})
        eight, nine, other = lake.compute("gold.air_quality_hourly", DAY)
        assert eight == {
            "station_id": "s1",
            "window_start": at("08:00:00"),
            "window_end": at("09:00:00"),
            "district": "D1",
            "lat": 1.25,
            "lon": 2.25,
            "readings": 3,
            "aqi_mean": pytest.approx(280 / 3),
            "aqi_max": 120,
            "aqi_category": "Unhealthy for sensitive groups",
            "dominant_pollutant": "no2",  # the earlier of the two readings of 120
            "pm25_ugm3": 12.0,
            "pm10_ugm3": 20.0,
            "no2_ppb": 10.0,
            "o3_ppb": 30.0,
            "temperature_c": 10.0,
            "humidity_pct": 50.0,
            "wind_speed_kmh": 5.0,
            "precipitation_mm": 1.5,
            "window_date": dt.date(2026, 6, 1),
        }
        assert picked(nine, "readings", "aqi_category") == {"readings": 1, "aqi_category": "Moderate"}
        assert picked(other, "station_id", "district", "lat", "aqi_category") == {
            "station_id": "s2",
            "district": None,
            "lat": 1.0,
            "aqi_category": "Hazardous",
        }

    @pytest.mark.parametrize(
        ("aqi", "category"),
        [(50, "Good"), (51, "Moderate"), (100, "Moderate"), (150, "Unhealthy for sensitive groups"), (200, "Unhealthy"),
         (300, "Very unhealthy"), (301, "Hazardous")],
    )  # fmt: skip
    def test_category_by_its_breakpoints(self, lake, aqi, category):
        lake.add("silver.weather", {"id": "1", "device_id": "s1", "event_time": at("00:00:00"), "aqi": aqi})
        (row,) = lake.compute("gold.air_quality_hourly", DAY)
        assert row["aqi_category"] == category


class TestIncidentResponse:
    def test_the_life_of_an_incident(self, lake):
        def step(time, status, incident="i1", **more):
            row = {"id": f"{incident} {time}", "incident_id": incident, "event_time": at(time), "status": status}
            return {**row, "incident_type": "Fire", "road_id": "r1", "lat": 1.0, "lon": 2.0, "severity": 2, **more}

        lake.add(
            "silver.emergency",
            step("2026-05-31 23:58:00", "Reported", lanes_blocked=1),
            step("2026-05-31 23:59:30", "Dispatched", lanes_blocked=1, responder_id="v7"),
            step("00:06:00", "OnScene", lanes_blocked=2, responder_id="v7", severity=3),
            step("00:36:00", "LanesCleared", lanes_blocked=0, responder_id="v7"),
            step("00:58:00", "Resolved", lanes_blocked=0, responder_id="v7"),
            # Its first step was lost.
            step("10:00:00", "Dispatched", "i2", road_id="r9", responder_id="v8"),
        )
        lake.add("dim.road", {"road_id": "r1", "district": "D1"})
        whole, partial = lake.compute("gold.incident_response")
        assert whole == {
            "incident_id": "i1",
            "incident_type": "Fire",
            "severity": 3,
            "road_id": "r1",
            "district": "D1",
            "lat": 1.0,
            "lon": 2.0,
            "status": "Resolved",
            "steps": 5,
            "reported_at": at("2026-05-31 23:58:00"),
            "dispatched_at": at("2026-05-31 23:59:30"),
            "on_scene_at": at("00:06:00"),
            "lanes_cleared_at": at("00:36:00"),
            "resolved_at": at("00:58:00"),
            "dispatch_s": 90.0,
            "response_s": 480.0,
            "clearance_s": 1800.0,
            "duration_s": 3600.0,
            "lanes_blocked": 2,
            "responder_id": "v7",
            "window_date": dt.date(2026, 5, 31),
        }
        assert picked(partial, "status", "reported_at", "dispatch_s", "response_s", "district", "window_date") == {
            "status": "Dispatched",
            "reported_at": None,
            "dispatch_s": None,
            "response_s": None,
            "district": None,
            "window_date": dt.date(2026, 6, 1),
        }


class TestDataQualityHourly:
    def test_every_record_taken_in_is_accounted_for(self, lake):
        hour = at("10:30:00")
        lake.add("bronze.gps", *({"id": str(n), "ingested_at": hour} for n in range(7)))
        lake.add("bronze.gps", {"ingested_at": hour, "error_stage": "json", "error_reason": "truncated"})
        lake.add("bronze.weather", {"id": "w", "ingested_at": at("11:00:00"), "error_reason": "syntax"})
        for n, lateness in enumerate((0.5, 1.0, 1.5, 100.0)):
            lake.add(
                "silver.gps",
                {"id": str(n), "event_time": at("09:00:00"), "ingested_at": hour, "lateness_s": lateness},
            )
        lake.add("silver.quarantine", {"stream": "gps", "ingested_at": hour})
        lake.add("silver.duplicate", *[{"stream": "gps", "id": "0", "ingested_at": hour}] * 2)
        gps, weather = lake.compute("gold.data_quality_hourly", DAY)
        assert gps == {
            "stream": "gps",
            "window_start": at("10:00:00"),
            "window_end": at("11:00:00"),
            "received": 8,
            "accepted": 4,
            "dead_letter": 1,
            "quarantine": 1,
            "duplicate": 2,
            "accepted_share": 0.5,
            "late": 1,
            "lateness_p50_s": 1.25,
            "lateness_p95_s": pytest.approx(1.5 + 0.85 * 98.5),
            "lateness_max_s": 100.0,
            "window_date": dt.date(2026, 6, 1),
        }
        assert gps["received"] == gps["accepted"] + gps["dead_letter"] + gps["quarantine"] + gps["duplicate"]
        assert picked(weather, "stream", "window_start", "received", "accepted", "dead_letter", "lateness_p50_s") == {
            "stream": "weather",
            "window_start": at("11:00:00"),
            "received": 1,
            "accepted": 0,
            "dead_letter": 1,
            "lateness_p50_s": None,
        }


class TestHotspot:
    def trip(self, device, start, speeds, road="r1", cell="c1", **more):
        """Reports every 10 s, of which all but the first and the last are under way."""
        return [
            {**report(device, start, speed, road), "id": f"{device} {n}", "event_time": at(start) + 10 * n * SECOND,
             "h3_cell": cell, "lat": 1.0 + n, "lon": 2.0, **more}
            for n, speed in enumerate(speeds)
        ]  # fmt: skip

    def test_delay_and_rank(self, lake):
        lake.add("dim.road", {"road_id": "r1", "free_flow_kmh": 50.0})
        lake.add(
            "silver.vehicle",
            *self.trip("a", "00:00:00", [0.0, 20.0, 20.1, 60.0, 0.0]),
            *self.trip("b", "00:01:00", [0.0, 10.0, 0.0]),
            *self.trip("c", "00:01:00", [0.0, 5.0, 0.0]),
            # On a road that nobody knows.
            *self.trip("d", "00:02:00", [0.0, 1.0, 1.0, 0.0], road="r9", cell="c2"),
            *self.trip("e", "00:15:00", [0.0, 50.0, 0.0], cell="c0"),
        )
        step = {"event_time": at("00:14:59"), "h3_cell": "c1"}
        lake.add(
            "silver.emergency",
            {**step, "id": "1", "incident_id": "i1"},
            {**step, "id": "2", "incident_id": "i1"},
            {**step, "id": "3", "incident_id": "i2"},
            {**step, "id": "4", "incident_id": "i3", "event_time": at("00:15:00")},
            {**step, "id": "5", "incident_id": "i4", "h3_cell": "c7"},
        )
        later, slow, unknown = lake.compute("gold.hotspot_h3_15min", DAY)
        assert slow == {
            "h3_cell": "c1",
            "window_start": at("00:00:00"),
            "window_end": at("00:15:00"),
            "lat": pytest.approx((2.0 + 3.0 + 4.0 + 2.0 + 2.0) / 5),
            "lon": 2.0,
            "probe_reports": 5,
            "probe_vehicles": 3,
            "speed_kmh": pytest.approx((20.0 + 20.1 + 60.0 + 10.0 + 5.0) / 5),
            "free_flow_kmh": 50.0,
            "speed_ratio": pytest.approx(115.1 / 250),
            "rated_reports": 5,
            "slow_reports": 3,  # 20 km/h is 0.40 of 50, 20.1 is above
            "slow_share": 0.6,
            "delay_s": pytest.approx(10 * (0.6 + (1 - 20.1 / 50) + 0 + 0.8 + 0.9)),
            "incidents": 2,
            "hotspot": True,
            "hotspot_rank": 1,
            "window_date": dt.date(2026, 6, 1),
        }
        assert picked(unknown, "h3_cell", "probe_reports", "speed_kmh", "speed_ratio", "slow_share", "delay_s") == {
            "h3_cell": "c2",
            "probe_reports": 2,
            "speed_kmh": 1.0,
            "speed_ratio": None,
            "slow_share": None,
            "delay_s": None,
        }
        assert picked(unknown, "rated_reports", "incidents", "hotspot", "hotspot_rank", "free_flow_kmh") == {
            "rated_reports": 0,
            "incidents": 0,
            "hotspot": False,
            "hotspot_rank": 2,
            "free_flow_kmh": None,
        }
        assert picked(later, "window_start", "slow_reports", "delay_s", "hotspot_rank") == {
            "window_start": at("00:15:00"),
            "slow_reports": 0,
            "delay_s": 0.0,
            "hotspot_rank": 1,
        }

    def test_ties_in_rank_go_to_more_reports_then_to_the_lower_cell(self, lake):
        for device, cell, speeds in (("a", "c3", [0, 9, 0]), ("b", "c2", [0, 9, 0]), ("c", "c9", [0, 9, 9, 0])):
            lake.add("silver.vehicle", *self.trip(device, "00:00:00", speeds, cell=cell))
        ranks = {row["h3_cell"]: row["hotspot_rank"] for row in lake.compute("gold.hotspot_h3_15min", DAY)}
        assert ranks == {"c9": 1, "c2": 2, "c3": 3}

    @pytest.mark.parametrize(("slow", "free", "hotspot"), [(2, 2, True), (2, 3, False), (1, 1, False)])
    def test_half_of_the_reports_of_three_vehicles_make_a_hotspot(self, lake, slow, free, hotspot):
        lake.add("dim.road", {"road_id": "r1", "free_flow_kmh": 50.0})
        for n in range(slow + free):
            lake.add("silver.vehicle", *self.trip(f"v{n}", "00:00:00", [0.0, 10.0 if n < slow else 50.0, 0.0]))
        (row,) = lake.compute("gold.hotspot_h3_15min", DAY)
        assert (row["probe_vehicles"], row["hotspot"]) == (slow + free, hotspot)


class TestVehicleHourlyAndFleetDaily:
    def test_an_hour_of_a_vehicle(self, lake):
        def said(time, speed, odometer, device="a"):
            return {
                **report(device, time, speed),
                "odometer_km": odometer,
                "vehicle_type": "Van",
                "fuel_type": "Petrol",
            }

        lake.add(
            "silver.vehicle",
            said("00:59:40", 0.0, 10.0),
            said("00:59:50", 40.0, 10.1),
            # Into the next hour; its clock is half a second late.
            said("01:00:00.500", 50.0, 10.2),
            said("01:00:10", 4.9, 10.3),
            said("01:00:20", 70.0, 10.5),
            said("02:00:20", 0.0, 10.5),
        )
        first, second, parked = lake.compute("gold.vehicle_hourly", DAY)
        assert picked(first, "window_start", "reports", "probe_reports", "under_way_s", "speed_kmh") == {
            "window_start": at("00:00:00"),
            "reports": 2,
            "probe_reports": 1,
            "under_way_s": pytest.approx(10.25),
            "speed_kmh": 40.0,
        }
        assert second == {
            "device_id": "a",
            "window_start": at("01:00:00"),
            "window_end": at("02:00:00"),
            "vehicle_type": "Van",
            "fuel_type": "Petrol",
            "reports": 3,
            "probe_reports": 2,
            "under_way_s": pytest.approx(10 + 9.75),
            "stopped_s": pytest.approx(9.75),
            "speed_kmh": pytest.approx((50.0 + 4.9) / 2),
            "max_speed_kmh": 70.0,
            "odometer_min_km": 10.2,
            "odometer_max_km": 10.5,
            "window_date": dt.date(2026, 6, 1),
        }
        assert picked(parked, "reports", "probe_reports", "under_way_s", "stopped_s", "speed_kmh") == {
            "reports": 1,
            "probe_reports": 0,
            "under_way_s": 0.0,
            "stopped_s": 0.0,
            "speed_kmh": None,
        }

    def test_a_day_of_the_fleet(self, lake):
        def hour(device, time, reports, probes, seconds, speed, low, high, kind="Car", fuel="Petrol"):
            return {
                "device_id": device, "window_start": at(time), "vehicle_type": kind, "fuel_type": fuel,
                "reports": reports, "probe_reports": probes, "under_way_s": seconds, "stopped_s": seconds / 4,
                "speed_kmh": speed, "max_speed_kmh": 2.0 * (speed or 0),
                "odometer_min_km": low, "odometer_max_km": high,
            }  # fmt: skip

        lake.add(
            "gold.vehicle_hourly",
            hour("a", "07:00:00", 20, 10, 100.0, 30.0, 5.0, 8.0),
            hour("a", "08:00:00", 40, 30, 300.0, 50.0, 8.5, 15.0),
            hour("b", "08:00:00", 10, 10, 100.0, 20.0, 0.0, 1.0),
            hour("c", "08:00:00", 1, 0, 0.0, None, 7.0, 7.0),
            hour("d", "08:00:00", 1, 0, 0.0, None, 7.0, 7.0, "Goods", "Diesel"),
            hour("a", "2026-06-02 00:00:00", 5, 4, 40.0, 10.0, 15.0, 16.0),
        )
        used, idle = lake.compute("gold.fleet_daily", DAY)
        assert used == {
            "vehicle_type": "Car",
            "fuel_type": "Petrol",
            "window_start": at("00:00:00"),
            "window_end": at("2026-06-02 00:00:00"),
            "vehicles": 3,
            "vehicles_used": 2,
            "reports": 71,
            "probe_reports": 50,
            "distance_km": 11.0,
            "distance_per_vehicle_km": 5.5,
            "under_way_h": pytest.approx(500 / 3600),
            "stopped_share": 0.25,
            "speed_kmh": pytest.approx((300 + 1500 + 200) / 50),
            "max_speed_kmh": 100.0,
            "peak_vehicles": 2,
            "utilisation": pytest.approx(500 / (86_400 * 3)),
            "window_date": dt.date(2026, 6, 1),
        }
        assert picked(idle, "vehicle_type", "vehicles", "vehicles_used", "distance_per_vehicle_km", "speed_kmh") == {
            "vehicle_type": "Goods",
            "vehicles": 1,
            "vehicles_used": 0,
            "distance_per_vehicle_km": None,
            "speed_kmh": None,
        }
        assert picked(idle, "stopped_share", "peak_vehicles", "utilisation") == {
            "stopped_share": None,
            "peak_vehicles": 0,
            "utilisation": 0.0,
        }


class TestWeatherImpact:
    def traffic(self, road, time, reports, speed, **more):
        row = {
            "road_id": road,
            "window_start": at(time),
            "road_class": "street",
            "district": "North",
            "speed_kmh": speed,
        }
        return {**row, "free_flow_kmh": 50.0, "probe_reports": reports, "camera_intervals": 0, **more}

    def reading(self, station, time, condition, rain=0.0, temperature=10.0):
        return {
            "id": f"{station} {time}", "device_id": station, "event_time": at(time), "weather_condition": condition,
            "precipitation_mmh": rain, "temperature_c": temperature, "wind_speed_kmh": 8.0, "visibility_m": 4000.0,
        }  # fmt: skip

    def test_traffic_beside_its_weather(self, lake):
        lake.add("dim.station", {"station_id": "s1", "district": "North"}, {"station_id": "s2", "district": "South"})
        lake.add("dim.road", {"road_id": "r1", "district": "North", "road_class": "street"})
        lake.add(
            "gold.road_5min",
            self.traffic("r1", "08:00:00", 30, 40.0, camera_intervals=5, vehicle_count=60),
            self.traffic("r1", "08:55:00", 10, 20.0),
            self.traffic("r2", "08:30:00", 0, None, camera_intervals=5, vehicle_count=7),
            self.traffic("r3", "08:30:00", 5, 0.5, road_class="motorway", free_flow_kmh=100.0),
            self.traffic("r4", "08:30:00", 5, 0.5, district=None, road_class=None),
            self.traffic("r5", "08:30:00", 10, 60.0, district="Centre"),
            self.traffic("r1", "09:00:00", 10, 50.0),
        )
        lake.add(
            "silver.weather",
            self.reading("s1", "08:00:00", "Rain", 3.0, 9.0),
            self.reading("s1", "08:59:00", "Snow", 5.0, 11.0),
            self.reading("s2", "08:10:00", "Clear"),
            self.reading("s2", "08:20:00", "Clear"),
            self.reading("s9", "08:20:00", "Clear"),
        )
        step = {"event_time": at("08:30:00"), "status": "Reported", "road_id": "r1", "incident_type": "Accident"}
        lake.add(
            "silver.emergency",
            {**step, "id": "1", "incident_id": "i1"},
            {**step, "id": "2", "incident_id": "i1", "status": "Dispatched"},
            {**step, "id": "3", "incident_id": "i2", "incident_type": "Fire"},
            {**step, "id": "4", "incident_id": "i3", "status": "Resolved"},
            {**step, "id": "5", "incident_id": "i4", "road_id": "r2"},
        )
        centre, motorway, street, later = lake.compute("gold.weather_impact", DAY)
        assert street == {
            "district": "North",
            "road_class": "street",
            "window_start": at("08:00:00"),
            "window_end": at("09:00:00"),
            "weather_readings": 2,
            "weather_local": True,
            "weather_condition": "Snow",  # as often as Rain, and worse
            "temperature_c": 10.0,
            "precipitation_mmh": 4.0,
            "wind_speed_kmh": 8.0,
            "visibility_m": 4000.0,
            "intensity": "heavy",
            "capacity_factor": 0.8896,
            "roads": 1,
            "probe_reports": 40,
            "speed_kmh": 35.0,
            "free_flow_kmh": 50.0,
            "speed_ratio": 0.7,
            "travel_time_index": pytest.approx(50 / 35),
            "camera_intervals": 10,
            "vehicle_count": 67,
            "incidents": 2,
            "accidents": 1,
            "window_date": dt.date(2026, 6, 1),
        }
        assert picked(motorway, "road_class", "travel_time_index", "speed_ratio", "vehicle_count", "incidents") == {
            "road_class": "motorway",
            "travel_time_index": None,
            "speed_ratio": 0.005,
            "vehicle_count": None,
            "incidents": 0,
        }
        # No station of its own: all five readings of the hour.
        assert picked(centre, "district", "weather_readings", "weather_local", "weather_condition", "intensity") == {
            "district": "Centre",
            "weather_readings": 5,
            "weather_local": False,
            "weather_condition": "Clear",
            "intensity": "none",
        }
        assert picked(centre, "travel_time_index", "capacity_factor") == {
            "travel_time_index": 1.0,
            "capacity_factor": 1.0,
        }
        assert picked(later, "window_start", "weather_readings", "weather_local", "weather_condition", "intensity") == {
            "window_start": at("09:00:00"),
            "weather_readings": 0,
            "weather_local": None,
            "weather_condition": None,
            "intensity": None,
        }
        assert later["capacity_factor"] is None

    @pytest.mark.parametrize(
        ("condition", "rate", "intensity", "factor"),
        [("Rain", 2.54, "light", 0.9799), ("Rain", 2.55, "moderate", 0.9276), ("Rain", 6.35, "moderate", 0.9276),
         ("Rain", 6.36, "heavy", 0.8587), ("Snow", 1.27, "light", 0.9571), ("Snow", 1.28, "moderate", 0.9134),
         ("Snow", 2.55, "heavy", 0.8896), ("Snow", 12.7, "heavy", 0.8896), ("Snow", 12.8, "very heavy", 0.7757),
         ("Fog", 0.0, "none", 1.0), ("Cloudy", 0.0, "none", 1.0)],
    )  # fmt: skip
    def test_intensity_by_its_thresholds(self, lake, condition, rate, intensity, factor):
        lake.add("gold.road_5min", self.traffic("r1", "08:00:00", 1, 1.0))
        lake.add("silver.weather", self.reading("s1", "08:00:00", condition, rate))
        (row,) = lake.compute("gold.weather_impact", DAY)
        assert picked(row, "intensity", "capacity_factor") == {"intensity": intensity, "capacity_factor": factor}


class TestDimensions:
    def test_the_last_row_of_each_id_wins(self, lake):
        def sent(offset, key, kind, value, time="00:00:00"):
            return {"id": f"{kind}:{key}", "kind": kind, kind: value, "kafka_offset": offset, "ingested_at": at(time)}

        def road(name, limit):
            line = [[1.0, 2.0], [1.1, 2.1]]
            return {"roadId": "r1", "name": name, "roadClass": "street", "district": "D1", "lengthM": 120.0, "lanes": 2,
                    "freeFlowKmh": limit, "geometry": line}  # fmt: skip

        lake.add(
            "bronze.reference",
            sent(0, "r1", "road", road("Old", 50.0)),
            sent(1, "c1", "camera", {"cameraId": "c1", "roadId": "r1", "offsetM": 60.0, "location": [1.05, 2.05]}),
            sent(2, "s1", "station", {"stationId": "s1", "district": "D1", "location": [1.0, 2.0]}),
            sent(3, "v1", "vehicle", {"deviceId": "v1", "vehicleType": "Van", "make": "Ford", "model": "Transit",
                                      "year": 2019, "fuelType": "Diesel"}),
            sent(9, "r1", "road", road("New", 30.0)),
            # A record that can't be decoded has no kind, and is no dimension.
            {"kafka_offset": 10, "ingested_at": at("00:00:00"), "error_reason": "syntax"},
        )  # fmt: skip
        lake.add("bronze.reference", sent(0, "r1", "road", road("Newest", 20.0), "00:10:00"))
        assert lake.compute("dim.road") == [
            {
                "road_id": "r1", "road_name": "Newest", "road_class": "street", "district": "D1", "length_m": 120.0,
                "lanes": 2, "free_flow_kmh": 20.0, "geometry": [[1.0, 2.0], [1.1, 2.1]], "updated_at": at("00:10:00"),
            }
        ]  # fmt: skip
        assert lake.compute("dim.camera") == [
            {
                "camera_id": "c1",
                "road_id": "r1",
                "offset_m": 60.0,
                "lat": 1.05,
                "lon": 2.05,
                "updated_at": at("00:00:00"),
            }
        ]
        assert lake.compute("dim.station") == [
            {"station_id": "s1", "district": "D1", "lat": 1.0, "lon": 2.0, "updated_at": at("00:00:00")}
        ]
        assert lake.compute("dim.vehicle") == [
            {
                "device_id": "v1", "vehicle_type": "Van", "make": "Ford", "model": "Transit", "model_year": 2019,
                "fuel_type": "Diesel", "updated_at": at("00:00:00"),
            }
        ]  # fmt: skip


def test_every_table_computes_over_an_empty_lake(lake):
    assert len(lake.queries) == 13
    for name in lake.queries:
        assert lake.compute(name, DAY) == [], name


def test_the_answer_does_not_depend_on_the_machines_time_zone(lake, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    lake.add("silver.weather", {"id": "1", "device_id": "s1", "event_time": at("00:10:00"), "aqi": 10})
    (row,) = lake.compute("gold.air_quality_hourly", DAY)
    assert picked(row, "window_start", "window_date") == {
        "window_start": at("00:00:00"),
        "window_date": dt.date(2026, 6, 1),
    }


def test_a_snapshot_leaves_out_files_of_other_times(lake):
    reading = {"id": "1", "device_id": "s1", "aqi": 10}
    lake.add("silver.weather", {**reading, "event_time": at("00:10:00")}, {**reading, "event_time": at("00:20:00")})
    lake.add("silver.weather", {**reading, "event_time": at("08:00:00")})
    lake.add("silver.weather", {**reading, "event_time": at("2026-06-03 00:10:00")})
    snapshot = lake.snapshot("silver.weather")

    def found(*pairs):
        return snapshot.holding("event_time", Spans.of((micros(at(a)), micros(at(b))) for a, b in pairs))

    first, second, third = snapshot.files
    assert found(("00:12:00", "00:15:00")) == [first]
    assert found(("00:20:01", "08:00:00")) == []
    assert found(("00:20:00", "08:00:01")) == [first, second]
    assert found(("00:00:00", "00:10:00"), ("2026-06-02 00:00:00", "2026-06-05 00:00:00")) == [third]
    # Nothing is known of another column.
    assert snapshot.holding(None, Spans()) == snapshot.files
    # Without statistics there is the partition.
    for file in snapshot.files:
        file["stats"] = None
    assert found(("12:00:00", "13:00:00")) == [first, second]


@pytest.mark.parametrize("count", [1, 2, 20, 21, 101, 200])
def test_percentiles_are_those_of_every_value(lake, count):
    hour = at("10:30:00")
    values = [(n * 37 % 50) / 8 for n in range(count)]
    rows = ({"id": str(n), "event_time": hour, "ingested_at": hour, "lateness_s": v} for n, v in enumerate(values))
    lake.add("silver.gps", *rows)
    lake.add("bronze.gps", {"id": "0", "ingested_at": hour})
    (row,) = lake.compute("gold.data_quality_hourly", DAY)
    with duckdb.connect() as con:
        (expected,) = con.execute(
            "select quantile_cont(v, 0.5), quantile_cont(v, 0.95), max(v) from (select unnest(?) as v)", [values]
        ).fetchall()
    assert (row["lateness_p50_s"], row["lateness_p95_s"], row["lateness_max_s"]) == pytest.approx(expected, abs=1e-12)
    assert row["accepted"] == count

"""The original script as data: what citystream stands in for, and the checks' negative control.

One vehicle drives from London to Birmingham in a straight line by equal steps with a little jitter, again and again.
Its speed, the weather, the air and the incidents are drawn afresh for each message; messages are 30 to 60 s apart. What
the script doesn't send (a camera's counts, pollutants) is drawn the same way; the truth is what it says.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import uuid
from typing import Any

import pyarrow as pa

from citystream import _core

LONDON, BIRMINGHAM = (51.5074, -0.1278), (52.4862, -1.8904)
STEPS = 100
START = dt.datetime(2026, 6, 1, tzinfo=dt.timezone.utc)
ROAD, DEVICE = "road-00000", "vehicle-0000000"
DIRECTIONS = ("North", "North-East", "East", "South-East", "South", "South-West", "West", "North-West")


def tables(days: int = 30, seed: int = 42) -> dict[str, pa.Table]:
    """Every stream in the wire's schema."""
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("vehicle", "gps", "traffic", "weather", "emergency", "truth_crossing", "truth_event")
    }
    rng = random.Random(seed)  # noqa: S311
    now, place, step, trip, entered = START, LONDON, 0, 0, START
    while now < START + dt.timedelta(days=days):
        now += dt.timedelta(seconds=rng.randint(30, 60))
        place = tuple(
            at + (to - start) / STEPS + rng.uniform(-0.0005, 0.0005)
            for at, to, start in zip(place, BIRMINGHAM, LONDON, strict=True)
        )
        step += 1
        _messages(rows, rng, now, place)
        if step == STEPS:
            crossing = {"deviceId": DEVICE, "roadId": ROAD, "lane": 0, "trip": trip, "tIn": entered, "tOut": now}
            rows["truth_crossing"].append(crossing)
            place, step, trip, entered = LONDON, 0, trip + 1, now
    rows["reference"] = _reference()
    return {name: _table(name, found) for name, found in rows.items()}


def _messages(rows: dict[str, list[dict[str, Any]]], rng: random.Random, now: dt.datetime, place: Any) -> None:
    def new(**more: Any) -> dict[str, Any]:
        return {
            "id": str(uuid.UUID(int=rng.getrandbits(128))),
            "deviceId": DEVICE,
            "timestamp": now,
            "sentAt": now,
            **more,
        }

    at, count = list(place), rng.randint(0, 30)
    rows["vehicle"].append(
        new(
            location=at,
            speed=rng.uniform(10, 40),
            direction="North-West",
            make="BMW",
            model="C500",
            year=2024,
            fuelType="Hybrid",
            heading=rng.uniform(0, 360),
            odometerKm=0.0,
            roadId=ROAD,
            vehicleType="Car",
        )
    )
    fix = new(
        location=at,
        speed=rng.uniform(0, 40),
        direction="North-West",
        vehicleType="Car",
        heading=rng.uniform(0, 360),
        accuracyM=5.0,
        fix="3D",
    )
    rows["gps"].append(fix)
    rows["truth_event"].append({"id": fix["id"], "stream": "gps", "trueTime": now, "sentAt": now, "trueLocation": at})
    rows["traffic"].append(
        new(
            cameraId="camera-0000",
            location=at,
            roadId=ROAD,
            intervalS=60,
            count=count,
            countCar=count,
            countVan=0,
            countGoods=0,
            countEmergency=0,
            meanSpeed=rng.uniform(10, 40),
            p85Speed=40.0,
            speedHistogram=[count],
            occupancy=rng.random(),
            headwayS=rng.uniform(0, 10),
            queueM=0.0,
        )
    )
    rows["weather"].append(
        new(
            deviceId="station-000",
            location=at,
            temperature=rng.uniform(-5, 26),
            weatherCondition=rng.choice(["Clear", "Cloudy", "Rain", "Snow"]),
            precipitation=rng.uniform(0, 25),
            windSpeed=rng.uniform(0, 100),
            humidity=rng.randint(0, 100),
            airQualityIndex=rng.randint(0, 500),
            windDirection=rng.uniform(0, 360),
            visibilityM=10_000.0,
            pm25=round(rng.uniform(0, 60), 1),
            pm10=rng.uniform(0, 150),
            no2=rng.uniform(0, 100),
            o3=rng.uniform(0, 70),
            dominantPollutant="pm25",
        )
    )
    kind = rng.choice(["Accident", "Fire", "Medical", "Police", None])
    if kind is not None:
        rows["emergency"].append(
            new(
                incidentId=f"incident-{len(rows['emergency']):06}",
                type=kind,
                location=at,
                status=rng.choice(["Reported", "Resolved"]),
                description="Description of the incident",
                severity=rng.randint(1, 3),
                roadId=ROAD,
                lanesBlocked=0,
            )
        )


def _reference() -> list[dict[str, Any]]:
    (north, west), (south, east) = BIRMINGHAM, LONDON
    length = math.hypot((north - south) * 111_320, (west - east) * 111_320 * math.cos(math.radians(52)))
    road = {
        "roadId": ROAD,
        "name": "M40",
        "roadClass": "motorway",
        "district": "Midlands",
        "lengthM": length,
        "lanes": 3,
        "freeFlowKmh": 112.65,
        "geometry": [list(LONDON), list(BIRMINGHAM)],
    }
    camera = {"cameraId": "camera-0000", "roadId": ROAD, "offsetM": length / 2, "location": list(LONDON)}
    vehicle = {
        "deviceId": DEVICE,
        "vehicleType": "Car",
        "make": "BMW",
        "model": "C500",
        "year": 2024,
        "fuelType": "Hybrid",
    }
    return [
        {"id": f"road:{ROAD}", "kind": "road", "road": road},
        {"id": "camera:camera-0000", "kind": "camera", "camera": camera},
        {"id": f"vehicle:{DEVICE}", "kind": "vehicle", "vehicle": vehicle},
    ]


def _table(stream: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema(_core.wire_schema(stream))
    # A field that the script has no word for is null.
    nullable = pa.schema([field.with_nullable(nullable=True) for field in schema])
    return pa.Table.from_pylist(rows, schema=nullable)

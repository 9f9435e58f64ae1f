"""The city's roads, cameras and stations, as Arrow and as a map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .arrow import ArrowStream

if TYPE_CHECKING:
    from . import _core

_WIDTH = 560
_STROKE = {"motorway": 2.2, "arterial": 1.2, "street": 0.5}


class Network:
    """What stands still in a city."""

    def __init__(self, core: _core.City) -> None:
        self._core = core

    @property
    def roads(self) -> ArrowStream:
        """The roads, directed: roadId, name, roadClass, district, lengthM, lanes, freeFlowKmh, geometry."""
        return ArrowStream("roads", self._core.roads())

    @property
    def cameras(self) -> ArrowStream:
        """The traffic cameras: cameraId, roadId, offsetM and location, as [lat, lon]."""
        return ArrowStream("cameras", self._core.cameras())

    @property
    def stations(self) -> ArrowStream:
        """The weather stations: stationId, district and location, as [lat, lon]."""
        return ArrowStream("stations", self._core.stations())

    def __repr__(self) -> str:
        return f"<network of city {self._core.city_id}: roads, cameras, stations>"

    def _repr_html_(self) -> str:
        roads = list(self.roads.rows())
        points = [point for road in roads for point in road["geometry"]]
        south, north = min(p[0] for p in points), max(p[0] for p in points)
        west, east = min(p[1] for p in points), max(p[1] for p in points)
        # Equirectangular, true to scale at the city's latitude.
        squeeze = math.cos(math.radians((south + north) / 2))
        scale = _WIDTH / max((east - west) * squeeze, 1e-9)
        height = max(1, round((north - south) * scale))

        def place(point: list[float]) -> str:
            return f"{(point[1] - west) * squeeze * scale:.1f},{(north - point[0]) * scale:.1f}"

        lines = "".join(
            f"<polyline points='{' '.join(map(place, road['geometry']))}' "
            f"stroke-width='{_STROKE.get(road['roadClass'], 0.5)}'/>"
            for road in roads
        )
        cameras, stations = self._dots(self.cameras, 1.8, place), self._dots(self.stations, 4, place)
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-4 -4 {_WIDTH + 8} {height + 8}' "
            f"width='{_WIDTH + 8}' role='img' aria-label='Map of {len(roads):,} roads'>"
            f"<g fill='none' stroke='#5b6b7f' stroke-linecap='round'>{lines}</g>"
            f"<g fill='#d1495b'>{cameras}</g><g fill='#2e8b57'>{stations}</g></svg>"
            f"<p>{len(roads):,} roads; cameras red, weather stations green</p>"
        )

    @staticmethod
    def _dots(places: ArrowStream, radius: float, place: Any) -> str:
        at = (place(row["location"]).split(",") for row in places.rows())
        return "".join(f"<circle cx='{x}' cy='{y}' r='{radius}'/>" for x, y in at)

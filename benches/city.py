"""The cities that are measured, and the sizes of a full and of a quick bench."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class CitySize:
    """A city and what of it is made.

    Args:
        vehicles: The fleet.
        duration: Simulated time.
        start: When it begins.
        streams: With commas; None is all.
        weighed: How long a run says how large an event is, where the whole would fill the disk.
    """

    vehicles: int
    duration: str
    start: str = "2026-06-01T00:00Z"
    streams: str | None = None
    weighed: str | None = None

    def only(self, streams: str) -> CitySize:
        """The same city with these streams only."""
        return replace(self, streams=streams)

    @property
    def label(self) -> str:
        """How it stands in a title."""
        return f"{self.vehicles:,} vehicles × {self.duration} from {self.start[11:16]}"

    def flags(self, threads: int | None = None) -> list[str]:
        """As options of the command line."""
        flags = ["--vehicles", str(self.vehicles), "--duration", self.duration, "--start", self.start]
        flags += ["--streams", self.streams] if self.streams else []
        return flags + ([] if threads is None else ["--threads", str(threads)])


@dataclass(frozen=True)
class GoldSize:
    """A day of silver, of which the end is new: all of `duration` but what comes after `but_last`."""

    vehicles: int
    duration: str
    but_last: str
    start: str = "2026-06-01T00:00Z"


@dataclass(frozen=True)
class MovementSize:
    """A network of `side` lines each way, `spacing` metres apart, and so many vehicles under way on it."""

    side: int
    spacing: int
    vehicles: int
    seconds: int

    @property
    def label(self) -> str:
        """How it stands in a title."""
        return f"{self.vehicles:,} vehicles, {self.side} × {self.side} junctions, {self.seconds} s"

    def flags(self) -> list[str]:
        """As options of benches/traffic.rs."""
        return [
            *("--side", str(self.side), "--spacing", str(self.spacing)),
            *("--vehicles", str(self.vehicles), "--seconds", str(self.seconds)),
        ]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int
    movement: MovementSize
    movement_alone: tuple[str, ...]
    to_arrow: tuple[CitySize, ...]
    nexmark: int
    to_parts: CitySize
    to_parquet: CitySize
    tpch_scale: str
    to_json: CitySize
    to_kafka: CitySize
    kafka_lengths: tuple[str, ...]
    warm_up: CitySize
    loop: int
    loop_flushed: int
    codec_seconds: int
    to_gold: GoldSize
    to_spark: CitySize
    to_spark_city: CitySize
    demo: CitySize


# Half an hour begins at 08:00, when people drive: a city that starts at midnight has everybody at home.
FULL = Sizes(
    rounds=3,
    movement=MovementSize(24, 400, 5_000, 300),
    movement_alone=("small", "large"),
    to_arrow=(
        CitySize(2_000, "24h"),
        CitySize(100_000, "30min", "2026-06-01T08:00Z"),
        CitySize(20_000, "24h"),
        # Some 100,000 are under way.
        CitySize(800_000, "20min", "2026-06-01T08:00Z", weighed="2min"),
    ),
    nexmark=5_000_000,
    to_parts=CitySize(100_000, "1h", "2026-06-01T08:00Z"),
    to_parquet=CitySize(10_000, "24h"),
    tpch_scale="1",
    to_json=CitySize(5_000, "24h"),
    to_kafka=CitySize(20_000, "2h", "2026-06-01T08:00Z", "gps"),
    kafka_lengths=("30min", "2h", "8h"),
    warm_up=CitySize(4_000, "1h", "2026-06-01T08:00Z", "gps"),
    loop=300_000,
    loop_flushed=20_000,
    codec_seconds=3,
    # About 20 million rows, and about 1 % of them; with 50 million Spark takes the better part of an hour.
    to_gold=GoldSize(26_000, "24h", "22h 30min"),
    # Four hours, each a partition of the data source.
    to_spark=CitySize(5_000, "4h", "2026-06-01T07:00Z", "gps"),
    to_spark_city=CitySize(2_000, "4h", "2026-06-01T07:00Z"),
    demo=CitySize(2_000, "24h"),
)

QUICK = Sizes(
    rounds=2,
    movement=MovementSize(12, 400, 1_000, 300),
    movement_alone=("cached",),
    to_arrow=(CitySize(200, "24h"), CitySize(5_000, "30min", "2026-06-01T08:00Z", weighed="5min")),
    nexmark=500_000,
    to_parts=CitySize(2_000, "1h", "2026-06-01T08:00Z"),
    to_parquet=CitySize(500, "24h"),
    tpch_scale="0.05",
    to_json=CitySize(200, "24h"),
    to_kafka=CitySize(1_000, "1h", "2026-06-01T08:00Z", "gps"),
    kafka_lengths=("30min", "1h"),
    warm_up=CitySize(200, "1h", "2026-06-01T08:00Z", "gps"),
    loop=20_000,
    loop_flushed=500,
    codec_seconds=1,
    to_gold=GoldSize(500, "24h", "23h 30min"),
    to_spark=CitySize(500, "4h", "2026-06-01T07:00Z", "gps"),
    to_spark_city=CitySize(200, "1h", "2026-06-01T07:00Z"),
    demo=CitySize(100, "24h"),
)

"""Silver's rules for rows that another engine holds, such as Spark's."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core
from .arrow import ArrowStream


class Silver(NamedTuple):
    """What became of rows: each is in one of the three, with the columns of that table of a lake."""

    silver: ArrowStream
    """Sound rows, as in `silver.<stream>`; copies of one event are all there."""
    quarantine: ArrowStream
    """Rows that break a rule, as in `silver.quarantine`: with `rule`, `reason`, and the `row` as JSON text."""
    dead_letter: ArrowStream
    """Records that could not be decoded, as in `silver.dead_letter`."""


def silver(data: Any, *, stream: str) -> Silver:
    """Judges rows by silver's rules and gives the sound ones silver's columns; needs no lake.

    Each row is looked at alone, so batches can be handled anywhere and in any order. What looks at several rows is left
    to the caller: of rows with the same `event_date` and `id` a lake keeps the one with the lowest (`kafka_topic`,
    `kafka_partition`, `kafka_offset`, `row_in_record`). Columns that stay as they are aren't copied while all rows are
    sound.

    Args:
        data: Any Arrow data with the stream's columns as on the wire (docs/streams.md). Bronze's further columns are
            carried along where they are there, such as `rescued` and `kafka_offset`, else null. Rows in which `decoded`
            is False (without that column: `error_reason` is given) are dead letters.
        stream: Its stream.

    Raises:
        ConfigError: A required column is missing, or one has a type that can't be turned into the stream's.

    Examples:
        >>> import citystream as cs, polars as pl
        >>> readings = pl.DataFrame(cs.City(vehicles=50, duration="1h").events("weather")).head(2)
        >>> found = cs.silver(readings.with_columns(temperature=pl.lit(99.0)), stream="weather")
        >>> pl.DataFrame(found.quarantine)["rule"].to_list()
        ['temperature_c_range', 'temperature_c_range']
        >>> pl.DataFrame(found.silver).height
        0

        In Spark, one map for each table that is wanted:

        ```python
        def sound(batches):
            for batch in batches:
                for rows in cs.silver(batch, stream="gps").silver:
                    yield pa.record_batch(rows)

        df.mapInArrow(sound, schema)
        ```
    """
    rows, quarantine, dead_letter = _core.silver(stream, data)
    return Silver(
        ArrowStream(f"silver.{stream}", rows),
        ArrowStream("silver.quarantine", quarantine),
        ArrowStream("silver.dead_letter", dead_letter),
    )

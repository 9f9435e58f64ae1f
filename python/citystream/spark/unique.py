"""Uniqueness: what the map over rows can't see. Exact, by Spark alone. Spark 3.5 and newer.

Of rows with one `event_date` and `id` the one with the lowest (topic, partition, offset, row in record) stays, as in a
lake. The others are copies of it, or, where what the device said differs, events of their own under a wrong id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as f

from citystream import _core

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, WindowSpec

KEY = ("event_date", "id")
PLACE = ("kafka_topic", "kafka_partition", "kafka_offset", "row_in_record")
CONFLICT = ("id_conflict", "an id belongs to one event; another one with this id is in silver")

_NTH, _FIRST = "citystream_nth", "citystream_first"


def dedup(df: DataFrame) -> DataFrame:
    """One row for each event: of silver's rows with one `event_date` and `id`, the first in Kafka.

    It needs all rows of a date, so it belongs into a batch query, or into `foreachBatch` together with the rows that
    the table has of the same ids.

    Args:
        df: Rows of `silver`.

    Examples:
        ```python
        rows = citystream.spark.dedup(citystream.spark.silver(bronze, "gps"))
        ```
    """
    return df.withColumn(_NTH, f.row_number().over(_copies())).where(f.col(_NTH) == 1).drop(_NTH)


def duplicates(df: DataFrame, stream: str) -> DataFrame:
    """The copies that `dedup` leaves out, as rows of `silver.duplicate`: each with the one that was kept.

    Args:
        df: Rows of `silver`.
        stream: Their stream.
    """
    kept = [f.col(f"{_FIRST}.{name}").alias(name.replace("kafka_", "kept_")) for name in PLACE[:3]]
    kept.append(f.col(f"{_FIRST}.row_in_record").alias("kept_row_in_record"))
    return (
        _lost(df, stream)
        .where(_same(stream))
        .select(f.lit(stream).alias("stream"), "id", "event_date", *PLACE, *kept, "ingested_at", _ingest_date())
    )


def conflicts(df: DataFrame, stream: str) -> DataFrame:
    """The events that `dedup` leaves out because another one has their id, as rows of `silver.quarantine`.

    Args:
        df: Rows of `silver`.
        stream: Their stream.
    """
    rule, reason = (f.lit(text) for text in CONFLICT)
    row = f.to_json(f.struct(*_wire(df, stream)), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"})
    return (
        _lost(df, stream)
        .where(~_same(stream))
        .select(
            f.lit(stream).alias("stream"),
            "id",
            rule.alias("rule"),
            reason.alias("reason"),
            row.alias("row"),
            *PLACE,
            "ingested_at",
            _ingest_date(),
        )
    )


def _copies() -> WindowSpec:
    # Rows that were never in Kafka have no place; those are told apart by when they were sent.
    return Window.partitionBy(*KEY).orderBy(*PLACE, "sent_at")


def _lost(df: DataFrame, stream: str) -> DataFrame:
    copies = _copies()
    first = f.first(f.struct(*PLACE, *_payload(stream))).over(copies)
    return df.withColumn(_NTH, f.row_number().over(copies)).withColumn(_FIRST, first).where(f.col(_NTH) > 1)


def _payload(stream: str) -> list[str]:
    """What the device said, except when it sent it: a message that is sent again may carry a later time."""
    fields = [f for f in _core.stream_fields(stream) if f["silver"] and f["name"] != "sentAt"]
    return [name for field in fields for name in (("lat", "lon") if field["kind"] == "point" else (field["silver"],))]


def _same(stream: str) -> Column:
    found = f.lit(True)  # noqa: FBT003
    for name in _payload(stream):
        found &= f.col(name).eqNullSafe(f.col(f"{_FIRST}.{name}"))
    return found


def _wire(df: DataFrame, stream: str) -> list[Column]:
    """Silver's columns by their names on the wire."""
    fields = [
        field for field in _core.stream_fields(stream) if field["kind"] == "point" or field["silver"] in df.columns
    ]
    return [
        (f.array("lat", "lon") if field["kind"] == "point" else f.col(field["silver"])).alias(field["name"])
        for field in fields
    ]


def _ingest_date() -> Column:
    return f.to_date("ingested_at").alias("ingest_date")

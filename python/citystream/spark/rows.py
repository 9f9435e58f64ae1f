"""The row-local steps, as maps over Arrow batches: bytes → bronze's rows, and those → silver's. Spark 3.5 and newer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citystream import _core, topics
from citystream.errors import ConfigError
from citystream.names import registry_pairs, rename_pairs
from citystream.nearest import nearest
from citystream.rules import Silver

from . import schema
from .needs import batch, pyarrow, same_version, version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import DataFrame

    from citystream.names import Rename, SchemaRegistry

    Map = Callable[[Iterable[Any]], Iterator[Any]]

#: What Spark's Kafka source gives that is of use.
RECORD = ("key", "value", "topic", "partition", "offset", "timestamp", "headers")
#: What silver needs beside the stream's own columns, where it is there.
LINEAGE = ("kafka_topic", "kafka_partition", "kafka_offset", "row_in_record", "ingested_at")


def decode(
    df: DataFrame,
    stream: str,
    *,
    names: str = "camel",
    rename: Rename | None = None,
    schema_registry: SchemaRegistry | None = None,
) -> DataFrame:
    """Kafka records, as Spark's Kafka source gives them, as the rows of `bronze.<stream>`.

    Every record becomes a row: one that can't be decoded has `decoded` = false, its bytes, and the reason. JSON, Avro
    and Arrow messages are told apart by their first bytes. Each row is looked at alone, so it works in batch and in
    streaming queries, in any partitioning.

    Args:
        df: A column `value`; of `key`, `topic`, `partition`, `offset`, `timestamp` and `headers` those that are there.
        stream: The stream: vehicle, gps, traffic, weather, emergency or reference.
        names: Spelling of the fields on the wire: "camel" or "snake".
        rename: Other names of single fields, as `Publisher` has them.
        schema_registry: Where the schemas of Avro messages are, as `Publisher` has it.

    Raises:
        ConfigError: There is no such stream, no column `value`, or no pyarrow.

    Examples:
        ```python
        records = spark.readStream.format("kafka").option("subscribe", "gps_data").option(...).load()
        rows = citystream.spark.decode(records, "gps")
        ```
    """
    _known(stream, topics.DEFAULTS)
    if "value" not in df.columns:
        raise ConfigError(
            f"the records of {stream} have no column value. There are {', '.join(df.columns)}: give what Spark's Kafka "
            "source gives"
        )
    options: dict[str, Any] = {
        "names": names,
        "rename": rename_pairs(rename),
        "schema_registry": registry_pairs(schema_registry),
    }
    made = schema.of(_core.Decoder(stream, **options).schema)
    return df.select([name for name in RECORD if name in df.columns]).mapInArrow(_decoding(stream, options), made)


def silver(df: DataFrame, stream: str, *, table: str = "silver") -> DataFrame:
    """Bronze's rows by silver's rules: those of `silver.<stream>`, or of one of the two tables for the others.

    Each row is looked at alone: copies of one event are all there until `dedup`.

    Args:
        df: Rows of `decode` or of `format("citystream")`: the stream's columns by their names on the wire, and of
            bronze's further columns those that are there.
        stream: The stream: vehicle, gps, traffic, weather or emergency.
        table: "silver", or "quarantine" for the rows that break a rule, or "dead_letter" for the records that could not
            be decoded.

    Raises:
        ConfigError: There is no such stream or table, a column is missing, or there is no pyarrow.
    """
    _known(stream, topics.EVENTS)
    made = schema.of_silver(stream)
    if table not in made:
        raise ConfigError(f"silver has no table {table!r} for rows. Choose from {', '.join(made)}")
    fields = [field["name"] for field in _core.stream_fields(stream)]
    if table == "silver":
        # The others carry raw bytes, which would be copied to Python for nothing.
        wanted = [*fields, "decoded", "error_reason", *LINEAGE]
        df = df.select([name for name in wanted if name in df.columns])
    return df.mapInArrow(_refining(stream, table), made[table])


# Closures, so that Spark pickles them by value: a worker then knows the driver's version whatever its own is.


def _decoding(stream: str, options: dict[str, Any]) -> Map:
    driver = version()

    def decoding(batches: Iterable[Any]) -> Iterator[Any]:
        same_version(driver)
        decoder = _core.Decoder(stream, **options)
        for records in batches:
            for rows in decoder.decode(records):
                yield batch(rows)

    return decoding


def _refining(stream: str, table: str) -> Map:
    driver, nth = version(), Silver._fields.index(table)

    def refining(batches: Iterable[Any]) -> Iterator[Any]:
        same_version(driver)
        for rows in batches:
            for found in _core.silver(stream, rows)[nth]:
                yield batch(found)

    return refining


def _known(stream: str, among: Iterable[str]) -> None:
    pyarrow()
    names = list(among)
    if stream not in names:
        raise ConfigError(
            f"there is no stream {stream!r}. {nearest(stream, names) or 'Choose from ' + ', '.join(names)}"
        )

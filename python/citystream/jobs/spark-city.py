"""Kafka → bronze → silver → gold by Spark, with the tables and columns of a citystream lake.

    spark-submit --packages ... spark-city.py --lake s3a://bucket/city --bootstrap-servers broker:9092
    python spark-city.py --lake /data/city --source citystream --sink parquet       # a local session

KAFKA_BOOTSTRAP_SERVERS, VEHICLE_TOPIC, GPS_TOPIC, TRAFFIC_TOPIC, WEATHER_TOPIC and EMERGENCY_TOPIC are those of the
original script; a flag goes before its variable. Run it again, and it takes in what has come since: each record once,
by the checkpoints below LAKE/_checkpoints. docs/spark.md says what it needs.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession

import citystream as cs
from citystream import _core
from citystream import spark as on_spark
from citystream.spark import schema
from citystream.sql.spark import TYPES
from citystream.topics import EVENTS, REFERENCE, servers_of, topics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyspark.sql.types import StructType

SIDES = ("dead_letter", "quarantine", "duplicate")
QUERIES = {query.name: query for query in cs.gold.queries("spark")}


@dataclass(frozen=True)
class City:
    """The job's options, and its tables by name."""

    spark: SparkSession
    lake: str
    sink: str
    source: str
    servers: str
    topics: dict[str, str]
    kafka: dict[str, str]
    cache: bool = True

    def path(self, table: str) -> str:
        """Where a table is."""
        return f"{self.lake}/{table.replace('.', '/')}"

    def checkpoint(self, table: str) -> str:
        """Where the query that fills a table keeps its offsets."""
        return f"{self.lake}/_checkpoints/{table.replace('.', '/')}"

    def table(self, table: str) -> DataFrame:
        """A table's rows."""
        reader = self.spark.read.format(self.sink)
        # Parquet without a row has no columns either.
        return (reader if self.sink == "delta" else reader.schema(self.schema(table))).load(self.path(table))

    def schema(self, table: str) -> StructType:
        """A table's columns, partition columns last."""
        tier, name = table.split(".")
        if table in QUERIES:
            columns = QUERIES[table].columns
            return self._empty(", ".join(f"{column.name} {TYPES[column.type]}" for column in columns)).schema
        if tier == "bronze":
            return schema.of(_core.Decoder(name).schema)
        silver = schema.of_silver(name if name in EVENTS else EVENTS[0])
        if name == "duplicate":
            return on_spark.duplicates(self._empty(silver["silver"]), EVENTS[0]).schema
        return silver[name if name in silver else "silver"]

    def partitions(self, table: str) -> list[str]:
        """The columns that a table is partitioned by."""
        tier, name = table.split(".")
        if table in QUERIES:
            return ["window_date"] if QUERIES[table].partitioned else []
        if tier == "bronze":
            return ["ingest_date", "decoded"]
        return ["ingest_date"] if name in SIDES else ["event_date"]

    def write(self, table: str, rows: DataFrame, *, mode: str = "overwrite") -> None:
        """Makes a table of rows."""
        rows.write.format(self.sink).mode(mode).partitionBy(*self.partitions(table)).save(self.path(table))

    def ensure(self, table: str) -> None:
        """Makes a table without rows where there is none: a topic may be empty."""
        self.write(table, self._empty(self.schema(table)), mode="ignore")

    def _empty(self, columns: StructType | str) -> DataFrame:
        return self.spark.createDataFrame([], columns)

    def records(self, stream: str) -> DataFrame:
        """What comes from Kafka, as bronze's rows."""
        reader = self.spark.readStream.option("kafka.bootstrap.servers", self.servers)
        if self.source == "citystream":
            options = {name.replace("kafka.", "security.", 1): value for name, value in self.kafka.items()}
            reader = reader.format("citystream").options(mode="kafka", stream=stream, topic=self.topics[stream])
            return reader.options(**options).load()
        reader = reader.format("kafka").option("subscribe", self.topics[stream]).option("startingOffsets", "earliest")
        return on_spark.decode(reader.option("includeHeaders", "true").options(**self.kafka).load(), stream)


def to_bronze(city: City) -> None:
    """Takes in what the topics have by now: all streams at once, each into its table."""
    queries = []
    for stream in (*EVENTS, REFERENCE):
        table = f"bronze.{stream}"
        city.ensure(table)
        writer = (
            city.records(stream)
            .writeStream.format(city.sink)
            .partitionBy(*city.partitions(table))
            .option("checkpointLocation", city.checkpoint(table))
            .trigger(availableNow=True)
        )
        queries.append(writer.start(city.path(table)))
    for query in queries:
        query.awaitTermination()


def to_silver(city: City) -> None:
    """Silver and its side tables of all of bronze; of one event the first in Kafka.

    They are made anew: which copy stays can depend on any row of the date.
    """
    sides: dict[str, list[DataFrame]] = {side: [] for side in SIDES}
    for stream in EVENTS:
        bronze = city.table(f"bronze.{stream}")
        sound = on_spark.silver(bronze, stream)
        if city.cache:
            sound = sound.persist()
        city.write(f"silver.{stream}", on_spark.dedup(sound))
        sides["dead_letter"].append(on_spark.silver(bronze, stream, table="dead_letter"))
        sides["quarantine"].append(on_spark.silver(bronze, stream, table="quarantine"))
        sides["quarantine"].append(on_spark.conflicts(sound, stream))
        sides["duplicate"].append(on_spark.duplicates(sound, stream))
    for side, found in sides.items():
        city.write(f"silver.{side}", reduce(DataFrame.unionByName, found))
    if city.cache:
        city.spark.catalog.clearCache()


def to_gold(city: City) -> None:
    """Dim and gold of all of silver, table by table."""
    start, end = dt.datetime(1970, 1, 2, tzinfo=dt.timezone.utc), dt.datetime(2200, 1, 1, tzinfo=dt.timezone.utc)
    for query in QUERIES.values():
        text = on_spark.between(query, start, end)
        for source in query.sources:
            # Views of this session, so that no metastore is needed and none is written to.
            view = f"city_{source.table.replace('.', '_')}"
            city.table(source.table).createOrReplaceTempView(view)
            text = re.sub(rf"\b{re.escape(source.table)}\b", view, text)
        city.write(query.name, city.spark.sql(text))


STEPS: dict[str, Callable[[City], None]] = {"bronze": to_bronze, "silver": to_silver, "gold": to_gold}


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The job's flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--lake", required=True, help="folder, or s3a://bucket/prefix, of the tables")
    parser.add_argument("--bootstrap-servers", help="Kafka; else KAFKA_BOOTSTRAP_SERVERS")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="STREAM=NAME,…", help="else GPS_TOPIC and so on"
    )
    parser.add_argument("--source", choices=("spark-kafka", "citystream"), default="spark-kafka")
    parser.add_argument("--sink", choices=("delta", "parquet"), default="delta")
    parser.add_argument("--kafka-option", action="append", default=[], metavar="kafka.NAME=VALUE", help="login and TLS")
    parser.add_argument("--steps", default=",".join(STEPS), help="some of them, with commas")
    parser.add_argument("--no-cache", action="store_true", help="for Databricks serverless, which has none")
    options, others = parser.parse_known_args(arguments)
    # Glue gives a script its own arguments too.
    if others and "--JOB_RUN_ID" not in others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    for step in options.steps.split(","):
        if step not in STEPS:
            parser.error(f"there is no step {step!r}. Choose from {', '.join(STEPS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the steps that are asked for, up to what Kafka has by now."""
    options = options_of(arguments)
    spark = SparkSession.builder.appName("spark-city").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    city = City(
        spark=spark,
        lake=options.lake.rstrip("/"),
        sink=options.sink,
        source=options.source,
        servers=servers_of(options.bootstrap_servers),
        topics=topics_of(_pairs(pair for given in options.topic for pair in given.split(","))),
        kafka=_pairs(options.kafka_option),
        cache=not options.no_cache,
    )
    for step in options.steps.split(","):
        began = dt.datetime.now(dt.timezone.utc)
        STEPS[step](city)
        print(f"{step}: {(dt.datetime.now(dt.timezone.utc) - began).total_seconds():.1f} s")


def _pairs(given: Iterable[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in given)


if __name__ == "__main__":
    main()

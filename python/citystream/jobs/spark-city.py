"""Kafka → bronze → silver → gold by Spark, with the tables and columns of a citystream lake.

    spark-submit --packages ... spark-city.py --lake s3a://bucket/city --bootstrap-servers broker:9092
    python spark-city.py --lake /data/city --source citystream --sink parquet       # a local session

KAFKA_BOOTSTRAP_SERVERS, VEHICLE_TOPIC, GPS_TOPIC, TRAFFIC_TOPIC, WEATHER_TOPIC and EMERGENCY_TOPIC are those of the
original script; a flag goes before its variable. Run it again, and it takes in what has come since: each record once,
by the checkpoints below LAKE/_checkpoints; into Delta, silver and gold change on the dates that are touched alone.
docs/spark.md says what it needs.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f

import citystream as cs
from citystream import _core
from citystream import spark as on_spark
from citystream.spark import schema
from citystream.spark.unique import KEY, PLACE
from citystream.sql.spark import TYPES
from citystream.topics import EVENTS, REFERENCE, servers_of, topics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pyspark.sql.types import StructType

    from citystream.sql import Query

SIDES = ("dead_letter", "quarantine", "duplicate")
QUERIES = {query.name: query for query in cs.gold.queries("spark")}
#: How far a row reaches into the windows of another date.
REACH = max(query.lookback for query in QUERIES.values())
#: The dates on which gold is behind, by the table whose rows have changed; for intake the dates of ingested_at, and for
#: everything none.
TOUCHED = "_checkpoints.touched"
INTAKE, EVERYTHING = "intake", "everything"
#: Wider than any window.
ALWAYS = tuple(dt.datetime(year, 1, 2, tzinfo=dt.timezone.utc) for year in (1970, 2200))


@dataclass(frozen=True)
class City:
    """The job's options, and its tables by name."""

    spark: Any
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
        reader = reader if self.sink == "delta" else reader.schema(self.schema(table))
        rows: DataFrame = reader.load(self.path(table))
        return rows

    def schema(self, table: str) -> StructType:
        """A table's columns, partition columns last."""
        tier, name = table.split(".")
        if table == TOUCHED:
            return self._empty("what string, date date").schema
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
        if table == TOUCHED:
            return []
        if table in QUERIES:
            return ["window_date"] if QUERIES[table].partitioned else []
        if tier == "bronze":
            return ["ingest_date", "decoded"]
        return ["ingest_date"] if name in SIDES else ["event_date"]

    def write(self, table: str, rows: DataFrame, *, mode: str = "overwrite") -> None:
        """Makes a table of rows, or appends them."""
        rows.write.format(self.sink).mode(mode).partitionBy(*self.partitions(table)).save(self.path(table))

    def put(self, table: str, rows: DataFrame, column: str, dates: Iterable[dt.date]) -> None:
        """Puts rows in the place of all that a Delta table has of their dates, in one commit."""
        days = ", ".join(f"date'{date}'" for date in sorted(dates))
        where = f"{column} in ({days})"
        self.ensure(table)
        rows.where(where).write.format("delta").mode("overwrite").option("replaceWhere", where).save(self.path(table))

    def add(self, table: str, stream: str, rows: DataFrame) -> None:
        """Appends a stream's rows to a side table of silver; those that a killed run has written stay as they are."""
        self.ensure(table)
        there = self.table(table).where(f.col("stream") == stream).select(*PLACE)
        self.write(table, rows.join(there, list(PLACE), "left_anti"), mode="append")

    def follow(self, table: str, into: str, work: Callable[[City, DataFrame], None]) -> None:
        """Hands on what a Delta table has got since the last time, by a checkpoint.

        What is handed on before `work` has ended is handed on again by the next run.
        """
        # A session can't be pickled, and on some clusters `work` runs in another process.
        city = replace(self, spark=None)

        def batch(rows: DataFrame, _: int) -> None:
            work(replace(city, spark=rows.sparkSession), rows)

        rows = self.spark.readStream.format("delta").load(self.path(table))
        writer = rows.writeStream.foreachBatch(batch).option("checkpointLocation", self.checkpoint(into))
        writer.trigger(availableNow=True).start().awaitTermination()

    def touch(self, changed: DataFrame) -> None:
        """Notes on which dates gold is behind."""
        self.write(TOUCHED, changed.distinct(), mode="append")

    def ensure(self, table: str) -> None:
        """Makes a table without rows where there is none: a topic may be empty."""
        self.write(table, self._empty(self.schema(table)), mode="ignore")

    def kept(self, rows: DataFrame) -> DataFrame:
        """Rows that are needed more than once, kept in memory where that can be had."""
        kept: DataFrame = rows.persist() if self.cache else rows
        return kept

    def _empty(self, columns: StructType | str) -> DataFrame:
        rows: DataFrame = self.spark.createDataFrame([], columns)
        return rows

    def records(self, stream: str) -> DataFrame:
        """What comes from Kafka, as bronze's rows."""
        reader = self.spark.readStream.option("kafka.bootstrap.servers", self.servers)
        if self.source == "citystream":
            options = {name.replace("kafka.", "security.", 1): value for name, value in self.kafka.items()}
            reader = reader.format("citystream").options(mode="kafka", stream=stream, topic=self.topics[stream])
            rows: DataFrame = reader.options(**options).load()
            return rows
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
        # A Python source has a process of its own, which Spark gives ten seconds to start: six at once may need more.
        while queries[-1].isActive and queries[-1].status["message"].startswith("Initializing"):
            time.sleep(0.05)
    for query in queries:
        query.awaitTermination()


def to_silver(city: City) -> None:
    """Silver and its side tables: of the copies of an event the first in Kafka."""
    if city.sink != "delta":
        silver_anew(city)
        return
    city.ensure(TOUCHED)
    for stream in EVENTS:
        city.follow(f"bronze.{stream}", f"silver.{stream}", partial(refine, stream=stream))
    city.follow(f"bronze.{REFERENCE}", f"silver.{REFERENCE}", compare_reference)


def refine(city: City, bronze: DataFrame, stream: str) -> None:
    """Takes new rows of bronze into silver: the dates that they are of are made again.

    Silver is written last: until then a run that was killed finds what it found before.
    """
    table = f"silver.{stream}"
    city.ensure(table)
    sound = city.kept(on_spark.silver(bronze, stream))
    dates = [row[0] for row in sound.select("event_date").distinct().collect()]
    held = city.table(table).where(f.col("event_date").isin(dates))
    rivals = all_of_them = sound
    if not held.isEmpty():
        new = sound.join(held.select(*PLACE), list(PLACE), "left_anti")
        rivals = city.kept(held.join(new, list(KEY), "left_semi").unionByName(new))
        all_of_them = held.unionByName(new)
    broken = on_spark.silver(bronze, stream, table="quarantine")
    city.add("silver.dead_letter", stream, on_spark.silver(bronze, stream, table="dead_letter"))
    city.add("silver.quarantine", stream, broken.unionByName(on_spark.conflicts(rivals, stream)))
    city.add("silver.duplicate", stream, on_spark.duplicates(rivals, stream))
    reach = f.make_interval(secs=f.lit(REACH.total_seconds()))
    times = [f.col("event_time"), f.col("event_time") - reach, f.col("event_time") + reach]
    # Where a copy that comes late is the first in Kafka, the one that was kept so far goes, with all that it reached.
    changed = rivals.select(f.lit(table).alias("what"), f.explode(f.array(*map(f.to_date, times))).alias("date"))
    for rows in (bronze, rivals):
        changed = changed.union(rows.select(f.lit(INTAKE), f.to_date("ingested_at")))
    city.touch(changed)
    if dates:
        city.put(table, on_spark.dedup(all_of_them), "event_date", dates)
    if city.cache:
        for rows in (rivals, sound):
            rows.unpersist()


def compare_reference(city: City, new: DataFrame) -> None:
    """Touches everything where a road or a device is another than it was: a city tells them anew when it starts."""
    # The record of the city itself has its times, and no table reads it.
    told = [field["name"] for field in _core.stream_fields(REFERENCE) if field["name"] != "city"]
    latest = Window.partitionBy("kind", "id").orderBy(f.desc("ingested_at"), f.desc("kafka_offset"))
    before = city.table(f"bronze.{REFERENCE}").join(new.select(*PLACE), list(PLACE), "left_anti")
    known = before.withColumn("nth", f.row_number().over(latest)).where("nth = 1").select(*told)
    others = new.where("decoded and kind <> 'city'").select(*told).subtract(known)
    city.touch(others.select(f.lit(EVERYTHING).alias("what"), f.lit(None).cast("date").alias("date")))


def silver_anew(city: City) -> None:
    """Silver of all of bronze: which copy stays can depend on any row of the date, and Parquet has no commits."""
    sides: dict[str, list[DataFrame]] = {side: [] for side in SIDES}
    for stream in EVENTS:
        bronze = city.table(f"bronze.{stream}")
        sound = city.kept(on_spark.silver(bronze, stream))
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
    """Dim and gold, table by table."""
    if city.sink == "delta":
        city.ensure(TOUCHED)
        city.follow(TOUCHED, "gold", refresh)
        return
    for query in QUERIES.values():
        city.write(query.name, gold_of(city, query, *ALWAYS))


def refresh(city: City, touched: DataFrame) -> None:
    """Computes again what has changed on the touched dates."""
    dates: defaultdict[str, set[dt.date]] = defaultdict(set)
    for row in touched.distinct().collect():
        dates[row.what].add(row.date)
    for query in QUERIES.values():
        if EVERYTHING in dates or query.window is None:
            city.write(query.name, gold_of(city, query, *ALWAYS))
            continue
        sources = {INTAKE if source.time == "ingested_at" else source.table for source in query.sources}
        changed = dates[query.name] = {date for source in sources for date in dates[source]}
        if changed:
            start, end = (midnight(day) for day in (min(changed), max(changed) + dt.timedelta(days=1)))
            city.put(query.name, gold_of(city, query, start, end), "window_date", changed)


def gold_of(city: City, query: Query, start: dt.datetime, end: dt.datetime) -> DataFrame:
    """A query's rows of the windows in a time."""
    text = on_spark.between(query, start, end)
    for source in query.sources:
        # Views of this session, so that no metastore is needed and none is written to.
        view = f"city_{source.table.replace('.', '_')}"
        city.table(source.table).createOrReplaceTempView(view)
        text = re.sub(rf"\b{re.escape(source.table)}\b", view, text)
    rows: DataFrame = city.spark.sql(text)
    return rows


def midnight(date: dt.date) -> dt.datetime:
    """When a day begins, UTC."""
    return dt.datetime.combine(date, dt.time(), tzinfo=dt.timezone.utc)


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

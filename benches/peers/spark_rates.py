"""One Spark session in which our ways into Spark and Spark's own take turns, warm: spark_rates.py JOB.

JOB is one JSON document: master, or "standalone" for two worker processes; rounds; trace, a saved trace with gps;
servers and topic, its events as JSON in Kafka; scratch, a folder. Prints {table: {contender: [{"rows", "seconds",
"cpu"}]}}: each contender runs once before, uncounted. CPU-seconds are those of this process and of all below it: the
JVMs and the Python workers. Needs PySpark 4.1.1; the missing jars are fetched by Maven.
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import functions as f
from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceStreamReader, InputPartition
from pyspark.sql.types import StructType

from benches.jvm import adopt_orphans, measured
from benches.peers.spark_ingest import GPS
from citystream import spark as on_spark
from citystream.spark.rows import RECORD
from services.spark import spark
from services.standalone import standalone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame, SparkSession

PARTS = 4
BATCH = 20_000


class Prebuilt(DataSource):
    """One Arrow batch again and again: as quick as a source in Python can be."""

    @classmethod
    def name(cls) -> str:
        """What stands in `format(...)`."""
        return "prebuilt"

    def schema(self) -> StructType:
        """The batch's columns."""
        return StructType.fromJson(json.loads(self.options["columns"]))

    def reader(self, schema: StructType) -> DataSourceReader:  # noqa: ARG002 - Spark gives it by its name
        """A batch."""
        return PrebuiltReader(self.options)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: ARG002, N802
        """A stream that has all of its rows at once."""
        return PrebuiltStreamReader(self.options)


class PrebuiltReader(DataSourceReader):
    """`rows` rows in `PARTS` partitions."""

    def __init__(self, options: dict[str, str]) -> None:
        self.file, self.rows = options["file"], int(options["rows"])

    def partitions(self) -> list[InputPartition]:
        """How many rows each task gives."""
        share, rest = divmod(self.rows, PARTS)
        return [InputPartition(share + (n < rest)) for n in range(PARTS)]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The batch, as often as it takes."""
        with pa.ipc.open_file(self.file) as file:
            batch = file.get_batch(0)
        left = partition.value
        while left > 0:
            yield batch if left >= batch.num_rows else batch.slice(0, left)
            left -= batch.num_rows


class PrebuiltStreamReader(DataSourceStreamReader):
    """The same as one micro-batch."""

    def __init__(self, options: dict[str, str]) -> None:
        self.inner = PrebuiltReader(options)

    def initialOffset(self) -> dict[str, int]:  # noqa: N802
        """No row."""
        return {"rows": 0}

    def latestOffset(self) -> dict[str, int]:  # noqa: N802
        """All rows."""
        return {"rows": self.inner.rows}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> list[InputPartition]:
        """Those of a batch."""
        return self.inner.partitions() if start != end else []

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """Those of a batch."""
        return self.inner.read(partition)


def identity(batches: Any) -> Any:
    """What a map over Arrow batches costs by itself."""
    return batches


class Session:
    """The contenders, and what they read."""

    def __init__(self, job: dict[str, Any], session: SparkSession) -> None:
        self.job, self.spark = job, session
        self.scratch = Path(job["scratch"])
        session.dataSource.register(Prebuilt)
        generated, bronze = self.generated(), self.ours_from_kafka(session.read)
        self.events, self.records = str(self.scratch / "events"), str(self.scratch / "records")
        generated.write.parquet(self.events)
        self.theirs_from_kafka(session.read).drop("timestampType").write.parquet(self.records)
        self.rows = session.read.parquet(self.events).count()
        sent = session.read.parquet(self.records).count()
        if sent != self.rows:
            raise SystemExit(f"the trace has {self.rows} events, the topic {sent}")
        self.wire, self.lake = self.prebuilt("wire", generated), self.prebuilt("bronze", bronze)

    def prebuilt(self, name: str, rows: DataFrame) -> dict[str, str]:
        """Options of `Prebuilt` for as many rows of this shape as the others have."""
        table = rows.limit(BATCH).toArrow().combine_chunks()
        file = str(self.scratch / f"{name}.arrow")
        with pa.ipc.new_file(file, table.schema) as out:
            out.write_table(table)
        return {"file": file, "columns": rows.schema.json(), "rows": str(self.rows)}

    def generated(self) -> DataFrame:
        """The trace's gps events."""
        return self.spark.read.format("citystream").options(stream="gps", trace=self.job["trace"]).load()

    def ours_from_kafka(self, reader: Any) -> DataFrame:
        """The topic by our source."""
        reader = reader.format("citystream").options(mode="kafka", stream="gps", topic=self.job["topic"])
        rows: DataFrame = reader.option("kafka.bootstrap.servers", self.job["servers"]).load()
        return rows

    def theirs_from_kafka(self, reader: Any) -> DataFrame:
        """The topic by Spark's."""
        reader = reader.format("kafka").options(subscribe=self.job["topic"], startingOffsets="earliest")
        rows: DataFrame = reader.option("kafka.bootstrap.servers", self.job["servers"]).load()
        return rows

    def repeated(self, reader: Any, options: dict[str, str]) -> DataFrame:
        """A prebuilt batch."""
        rows: DataFrame = reader.format("prebuilt").options(**options).load()
        return rows

    def from_json(self, records: DataFrame) -> DataFrame:
        """Kafka's records by Spark's own JSON."""
        event = f.from_json(f.col("value").cast("string"), GPS).alias("event")
        rows = records.select(event, "topic", "partition", "offset", "timestamp")
        return rows.select("event.*", f.col("timestamp").alias("kafka_timestamp"), "topic", "partition", "offset")

    def tables(self) -> dict[str, dict[str, Callable[[], int]]]:
        """What is compared with what; each gives its rows."""
        session = self.spark
        records = session.read.parquet(self.records)
        bytes_ = records.select([name for name in RECORD if name in records.columns])
        return {
            "generate": {
                "format citystream, generate": lambda: self.noop(self.generated()),
                "prebuilt Arrow batch": lambda: self.noop(self.repeated(session.read, self.wire)),
                "Spark's Parquet scan": lambda: self.noop(session.read.parquet(self.events)),
            },
            "kafka": {
                "format citystream, kafka": lambda: self.delta(self.ours_from_kafka(session.readStream)),
                "Spark's Kafka source, from_json": lambda: self.delta(
                    self.from_json(self.theirs_from_kafka(session.readStream))
                ),
                "prebuilt Arrow batch": lambda: self.delta(self.repeated(session.readStream, self.lake)),
            },
            "decode": {
                "mapInArrow, decode": lambda: self.noop(on_spark.decode(records, "gps")),
                "mapInArrow, identity": lambda: self.noop(bytes_.mapInArrow(identity, bytes_.schema)),
                "from_json": lambda: self.noop(self.from_json(records)),
            },
        }

    def noop(self, rows: DataFrame) -> int:
        """Makes every row, and drops it."""
        rows.write.format("noop").mode("overwrite").save()
        return self.rows

    def delta(self, rows: DataFrame) -> int:
        """A new Delta table, by a streaming query that takes all that is there."""
        folder = self.scratch / "delta"
        shutil.rmtree(folder, ignore_errors=True)
        writer = rows.writeStream.format("delta").option("checkpointLocation", str(folder / "checkpoint"))
        writer.trigger(availableNow=True).start(str(folder / "table")).awaitTermination()
        return int(DeltaTable(str(folder / "table")).count())


def main() -> None:
    """Measures every table."""
    job = json.loads(sys.argv[1])
    # Spark ends idle Python workers, and their CPU-seconds with them.
    adopt_orphans()
    with standalone() if job["master"] == "standalone" else nullcontext(job["master"]) as master:
        session = spark(
            master, optimised=True, spark_sql_shuffle_partitions="2", spark_sql_files_maxPartitionBytes="32m"
        )
        session.sparkContext.setLogLevel("ERROR")
        found: dict[str, dict[str, list[dict[str, float]]]] = {}
        for table, contenders in Session(job, session).tables().items():
            found[table] = {name: [] for name in contenders}
            for number in range(job["rounds"] + 1):
                for name, work in contenders.items():
                    sample = measured(work)
                    if number > 0:
                        found[table][name].append(sample)
        session.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

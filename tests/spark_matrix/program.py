"""What test_versions.py runs inside another PySpark: one part of the face, and what came of it as Parquet in a folder.

PYTHONPATH=.services/pyspark-4.3.0 python tests/spark_matrix/program.py source WORK
"""

from __future__ import annotations

import json
import os
import sys
from inspect import signature
from pathlib import Path

import pyspark
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

import citystream as cs
from citystream import spark as on_spark


def main() -> None:
    what, work = sys.argv[1], Path(sys.argv[2])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        # Over before the JVM's second compiler would pay.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "1")
        # Else times are written without a zone.
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .getOrCreate()
    )
    print(json.dumps({"pyspark": pyspark.__version__, **{"source": source, "rows": rows}[what](session, work)}))
    session.stop()


def source(session: SparkSession, work: Path) -> dict[str, object]:
    """format("citystream") over a saved trace: as a batch, and as a stream up to its end."""
    options = {"stream": "gps", "trace": str(work / "trace"), "partitionSpan": "30min"}
    if tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2):
        options["maxSpansPerTrigger"] = "1"
    # Found by Spark itself, in the module pyspark_citystream.
    batch = session.read.format("citystream").options(**options).load()
    batch.write.parquet(str(work / "batch"))
    stream = session.readStream.format("citystream").options(**options).load()
    query = (
        stream.writeStream.format("parquet")
        .option("checkpointLocation", str(work / "checkpoint"))
        .trigger(availableNow=True)
        .start(str(work / "stream"))
    )
    query.awaitTermination()
    session.read.parquet(str(work / "stream")).write.parquet(str(work / "streamed"))
    return {"batches": len(list((work / "checkpoint" / "commits").glob("[0-9]*"))), "schema": schema_of(batch)}


def rows(session: SparkSession, work: Path) -> dict[str, object]:
    """Records → bronze's rows → silver's."""
    bronze = on_spark.decode(session.read.parquet(str(work / "records.parquet")), "gps")
    bronze.write.parquet(str(work / "bronze"))
    silver = on_spark.silver(session.read.parquet(str(work / "bronze")), "gps")
    on_spark.dedup(silver).write.parquet(str(work / "silver"))
    on_spark.duplicates(silver, "gps").write.parquet(str(work / "duplicate"))
    return {"schema": schema_of(bronze), "queries": len(cs.gold.queries("spark"))}


def schema_of(frame: DataFrame) -> list[str]:
    """Spark's own Arrow types of its columns."""
    zone = {"timezone": "UTC"} if "timezone" in signature(to_arrow_schema).parameters else {}
    return [f"{field.name} {field.type}" for field in to_arrow_schema(frame.schema, **zone)]


if __name__ == "__main__":
    main()

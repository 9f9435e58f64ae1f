"""What test_versions.py runs inside another PySpark: one part of the face, and what came of it as Parquet in a folder.

PYTHONPATH=.services/pyspark-4.3.0:tests python tests/spark_matrix/program.py source WORK
"""

from __future__ import annotations

import json
import runpy
import sys
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
from pyspark.sql.pandas.types import to_arrow_schema

import citystream as cs
from citystream import spark as on_spark
from services.spark import spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def main() -> None:
    what, work = sys.argv[1], Path(sys.argv[2])
    session = spark(
        extensions=what == "job",
        # Else times are written without a zone.
        spark_sql_parquet_outputTimestampType="TIMESTAMP_MICROS",
    )
    found = {"source": source, "rows": rows, "job": job}[what](session, work)
    print(json.dumps({"pyspark": pyspark.__version__, **found}))
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


def job(_: SparkSession, work: Path) -> dict[str, object]:
    """spark-city.py with the arguments in the file `flags`; it finds the session that there is."""
    script = Path(cs.__file__).parent / "jobs" / "spark-city.py"
    sys.argv = [str(script), *json.loads((work / "flags").read_text())]
    runpy.run_path(str(script), run_name="__main__")
    return {}


def schema_of(frame: DataFrame) -> list[str]:
    """Spark's own Arrow types of its columns."""
    zone = {"timezone": "UTC"} if "timezone" in signature(to_arrow_schema).parameters else {}
    return [f"{field.name} {field.type}" for field in to_arrow_schema(frame.schema, **zone)]


if __name__ == "__main__":
    main()

"""Spark SQL over a lake's silver and dim, writing every gold table as Parquet: gold_spark.py LAKE OUT QUERIES FROM TO.

QUERIES is a file with `gold.py queries`; FROM and TO are dates. The SQL is ours, turned into Spark's by sqlglot and by
the few rules below. A table that others read is read back from its Parquet, as ours is. Prints {"cpu", "seconds",
"rows"} of the queries alone: the JVM was started, and every query had run over an empty day, before; CPU-seconds are
the JVM's.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlglot
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from benches.jvm import cpu_seconds

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# What sqlglot leaves as DuckDB has it.
RULES = (
    (r"EXTRACT\(EPOCH FROM ([\w.]+)\)", r"(UNIX_MICROS(\1) / 1000000)"),
    (r"EPOCH_US\(([\w.]+)\)", r"UNIX_MICROS(\1)"),
    (r"DATE_BIN\(INTERVAL '1' HOUR, ([\w.]+)\)", r"DATE_TRUNC('HOUR', \1)"),
    (r"DATE_BIN\(INTERVAL '24' HOUR, ([\w.]+)\)", r"DATE_TRUNC('DAY', \1)"),
    (
        r"DATE_BIN\(INTERVAL '(\d+)' MINUTE, ([\w.]+)\)",
        r"TIMESTAMP_MICROS(UNIX_MICROS(\2) - PMOD(UNIX_MICROS(\2), \1 * 60000000))",
    ),
    # Spark has one generator to a SELECT; this one counts from 0.
    (
        r"EXPLODE\((\w+)\) AS (\w+), GENERATE_SUBSCRIPTS\(\1, 1\) - 1 AS (\w+)",
        r"POSEXPLODE(\1) AS (\3, \2)",
    ),
)


def translated(text: str) -> str:
    """One query in Spark's dialect, with :from and :to."""
    query = str(sqlglot.transpile(text, read="duckdb", write="spark", comments=False)[0])
    for old, new in RULES:
        query = re.sub(old, new, query)
    return query


def main() -> None:
    """Runs every query."""
    lake, out, queries = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.driver.memory", "4g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    tables: dict[str, Any] = {}

    def view(name: str) -> str:
        return name.replace(".", "__")

    for name in {source for query in queries for source in query["sources"] if not source.startswith("gold.")}:
        folder = lake / name.replace(".", "/")
        table = DeltaTable(str(folder))
        schema, files = StructType.fromJson(json.loads(table.schema().to_json())), table.file_uris()
        reader = spark.read.schema(schema).option("basePath", str(folder))
        frame = reader.parquet(*files) if files else spark.createDataFrame([], schema)
        frame.createOrReplaceTempView(view(name))
        tables[name] = frame

    def run(query: dict[str, Any], start: str, end: str) -> DataFrame:
        text = translated(query["sql"])
        for name in query["sources"]:
            text = re.sub(rf"\b{re.escape(name)}\b", view(name), text)
        for parameter, value in (("from", start), ("to", end)):
            text = text.replace(f":{parameter}", f"timestamp '{value} 00:00:00'")
        return spark.sql(text)

    def all_of_them(folder: Path, start: str, end: str) -> int:
        rows = 0
        for query in queries:
            target = str(folder / query["name"])
            made = run(query, start, end)
            made.write.mode("overwrite").parquet(target)
            written = spark.read.schema(made.schema).parquet(target)
            written.createOrReplaceTempView(view(query["name"]))
            rows += written.count()
        return rows

    all_of_them(out / "warm", "2000-01-01", "2000-01-02")
    cpu, began = cpu_seconds(spark), time.monotonic()
    rows = all_of_them(out / "gold", sys.argv[4], sys.argv[5])
    used = cpu_seconds(spark) - cpu
    print(json.dumps({"cpu": used, "seconds": time.monotonic() - began, "rows": rows}))
    spark.stop()


if __name__ == "__main__":
    main()

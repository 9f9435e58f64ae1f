"""A local Spark with the jars that its wheel lacks: Kafka's source, and Delta."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from services.jars import classpath

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

POM = "pom-spark-4.1.1.xml"
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def jars() -> str:
    """Their paths, with commas."""
    found = sorted(str(jar) for jar in Path(classpath(POM)).parent.glob("*.jar"))
    assert found, "Maven brought no jar"
    return ",".join(found)


def spark(master: str = "local[1]", *, optimised: bool = False, **more: str) -> SparkSession:
    """A session. A process has one JVM, whose jars are those of the first: so ask for it here, always.

    Args:
        master: Where it runs.
        optimised: Whether the JVM compiles what is hot once more; most of the CPU-seconds of a test would go into that.
        more: Spark's settings, with `_` for each dot.
    """
    from pyspark.sql import SparkSession

    # Spark's own choice is whatever python3 is first on the path, which has none of our packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).config("spark.jars", jars())
    own = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": "" if optimised else "-XX:TieredStopAtLevel=1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Delta reads a log by fifty tasks unless it is told that the log is small.
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    for key, value in (own | DELTA | {key.replace("_", "."): value for key, value in more.items()}).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()

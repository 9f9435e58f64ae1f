"""A local Spark with the jars that its wheel lacks: Kafka's source, and Delta."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from services.jars import jars_alone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: By the version of PySpark: Scala's, that of Kafka's client, commons-pool2's, and Delta's jars.
JARS = {
    "4.1.1": (
        "2.13",
        "3.9.1",
        "2.12.0",
        (
            "io.delta:delta-spark_4.1_2.13:4.1.0",
            "io.delta:delta-storage:4.1.0",
            "io.unitycatalog:unitycatalog-client:0.4.0",
        ),
    ),
    "4.0.0": ("2.13", "3.9.0", "2.12.0", ("io.delta:delta-spark_2.13:4.0.0", "io.delta:delta-storage:4.0.0")),
    "3.5.7": ("2.12", "3.4.1", "2.11.1", ("io.delta:delta-spark_2.12:3.3.2", "io.delta:delta-storage:3.3.2")),
}
#: For queries that run once, over little: what compiles, and what plans anew, costs more than it saves.
ONCE = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


def jars(version: str) -> str:
    """Their paths, with commas. PySpark has what they depend on; some of that could not be fetched everywhere."""
    scala, client, pool, delta = JARS[version]
    artifacts = [
        f"org.apache.spark:spark-sql-kafka-0-10_{scala}:{version}",
        f"org.apache.spark:spark-token-provider-kafka-0-10_{scala}:{version}",
        f"org.apache.kafka:kafka-clients:{client}",
        f"org.apache.commons:commons-pool2:{pool}",
        *delta,
    ]
    return ",".join(map(str, jars_alone(f"spark-{version}", artifacts)))


def spark(master: str = "local[1]", *, optimised: bool = False, extensions: bool = True, **more: str) -> SparkSession:
    """A session. A process has one JVM, whose jars are those of the first: so ask for it here, always.

    Args:
        master: Where it runs.
        optimised: Whether Spark and the JVM compile queries; most of the CPU-seconds of a test would go into that.
        extensions: Whether it reads Kafka and Delta tables, which needs the jars of this version of PySpark.
        more: Spark's settings, with `_` for each dot.
    """
    import pyspark
    from pyspark.sql import SparkSession

    # Spark's own choice is whatever python3 is first on the path, which has none of our packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master)
    own = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Delta reads a log by fifty tasks unless it is told that the log is small.
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    if not optimised:
        own |= ONCE
    if extensions:
        own |= {"spark.jars": jars(pyspark.__version__), **DELTA}
    for key, value in (own | {key.replace("_", "."): value for key, value in more.items()}).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()

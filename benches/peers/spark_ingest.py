"""Spark Structured Streaming from Kafka to a Delta table: spark_ingest.py SERVERS TOPIC OUT.

`from_json` with the stream's types, and topic, partition, offset and time beside them; local[2], trigger availableNow.
The whole topic is taken in twice, into tables of their own: the first time warms the JVM up. Prints {"rows", "seconds"}
of the second. Needs PySpark 4.1.1; the missing jars are fetched by Maven.
"""

import json
import sys
import time

from pyspark.sql import functions as f

from benches.jvm import cpu_seconds
from services.spark import spark

GPS = """
    id string, deviceId string, timestamp timestamp, speed double, direction string, vehicleType string,
    sentAt timestamp, location array<double>, heading double, accuracyM double, fix string
"""


def main() -> None:
    """Takes the topic in and prints how long it took."""
    servers, topic, out = sys.argv[1:4]
    session = spark("local[2]", optimised=True, spark_sql_shuffle_partitions="2")
    cpu = seconds = 0.0
    for table in ("warm", "measured"):
        source = (
            session.readStream.format("kafka")
            .option("kafka.bootstrap.servers", servers)
            .option("subscribe", topic)
            .option("startingOffsets", "earliest")
            .load()
        )
        rows = source.select(
            f.from_json(f.col("value").cast("string"), GPS).alias("event"), "topic", "partition", "offset", "timestamp"
        ).select("event.*", f.col("timestamp").alias("kafka_timestamp"), "topic", "partition", "offset")
        used, began = cpu_seconds(session), time.monotonic()
        query = (
            rows.writeStream.format("delta")
            .option("checkpointLocation", f"{out}/checkpoint-{table}")
            .trigger(availableNow=True)
            .start(f"{out}/{table}")
        )
        query.awaitTermination()
        cpu, seconds = cpu_seconds(session) - used, time.monotonic() - began
    count = session.read.format("delta").load(f"{out}/measured").count()
    session.stop()
    print(json.dumps({"rows": count, "cpu": cpu, "seconds": seconds}))


if __name__ == "__main__":
    main()

"""A driver that takes what a topic has by now into a Delta table, and ends: what test_spark_kills.py kills.

python spark_driver.py SOURCE SERVERS TOPIC FOLDER: the file FOLDER/running is there as soon as a query runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.errors import StreamingQueryException

from citystream import spark as on_spark
from services.spark import spark


def main() -> None:
    source, servers, topic, folder = sys.argv[1:]
    reader = spark().readStream.format(source).option("kafka.bootstrap.servers", servers)
    if source == "citystream":
        rows = reader.options(mode="kafka", stream="gps", topic=topic).load()
    else:
        rows = on_spark.decode(reader.options(subscribe=topic, startingOffsets="earliest").load(), "gps")
    writer = rows.writeStream.format("delta").option("checkpointLocation", f"{folder}/checkpoint")
    # A query that begins with the micro-batch of a killed driver may end with it.
    for _ in range(2):
        query = writer.trigger(availableNow=True).start(f"{folder}/table")
        Path(folder, "running").touch()
        try:
            query.awaitTermination()
        except StreamingQueryException as error:
            # SPARK-55271: Spark 4.1's Kafka source fails once a killed driver's batch is written and committed.
            if source != "kafka" or '"scala.Option.get()" is null' not in str(error):
                raise


if __name__ == "__main__":
    main()

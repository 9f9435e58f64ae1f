"""A driver that takes what a topic has by now into a Delta table, and ends: what spark_kills.py kills.

python spark_driver.py SOURCE SERVERS TOPIC FOLDER
"""

from __future__ import annotations

import sys

from citystream import spark as on_spark
from services.spark import spark


def main() -> None:
    source, servers, topic, folder = sys.argv[1:]
    reader = spark().readStream.format(source).option("kafka.bootstrap.servers", servers)
    if source == "citystream":
        rows = reader.options(mode="kafka", stream="gps", topic=topic).load()
    else:
        rows = on_spark.decode(reader.options(subscribe=topic, startingOffsets="earliest").load(), "gps")
    query = (
        rows.writeStream.format("delta")
        .option("checkpointLocation", f"{folder}/checkpoint")
        .trigger(availableNow=True)
        .start(f"{folder}/table")
    )
    query.awaitTermination()


if __name__ == "__main__":
    main()

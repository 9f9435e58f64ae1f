"""DuckDB on silver's work for gps: duckdb_silver.py BRONZE OUT. Prints {"rows", "cpu", "seconds"}, start-up left out.

BRONZE is the folder of bronze.gps. Rows whose required fields are there and in range, one for each (date, id), the
lowest (partition, offset) first, sorted by device and time, into Parquet (zstd 1) by date. It does not set rows aside
with their reason, and has no H3 cells.
"""

import json
import sys
import time
from pathlib import Path

import duckdb

bronze, out = Path(sys.argv[1]), Path(sys.argv[2])
con = duckdb.connect()
con.execute("SET TimeZone = 'UTC'")
cpu, began = time.process_time(), time.monotonic()
(rows,) = con.execute(
    f"""
    COPY (
        SELECT id, deviceId AS device_id, timestamp AS event_time, speed AS speed_kmh, direction,
            vehicleType AS vehicle_type, sentAt AS sent_at, location[1] AS lat, location[2] AS lon,
            heading AS heading_deg, accuracyM AS accuracy_m, fix, kafka_topic, kafka_partition, kafka_offset,
            row_in_record, ingested_at, epoch(sentAt) - epoch(timestamp) AS lateness_s,
            CAST(timestamp AS DATE) AS event_date
        FROM read_parquet('{bronze}/**/*.parquet', hive_partitioning = true)
        WHERE decoded AND id IS NOT NULL AND deviceId IS NOT NULL AND timestamp IS NOT NULL AND sentAt IS NOT NULL
            AND speed BETWEEN 0 AND 300 AND location[1] BETWEEN -90 AND 90 AND location[2] BETWEEN -180 AND 180
            AND (heading IS NULL OR heading BETWEEN 0 AND 360) AND accuracyM >= 0 AND fix IN ('2D', '3D')
            AND timestamp <= sentAt + INTERVAL 5 MINUTE AND timestamp >= sentAt - INTERVAL 30 DAY
        QUALIFY row_number() OVER (
            PARTITION BY CAST(timestamp AS DATE), id ORDER BY kafka_topic, kafka_partition, kafka_offset, row_in_record
        ) = 1
        ORDER BY device_id, event_time
    ) TO '{out}' (FORMAT parquet, PARTITION_BY (event_date), COMPRESSION zstd, COMPRESSION_LEVEL 1)
    """
).fetchone() or (0,)
print(json.dumps({"rows": rows, "cpu": time.process_time() - cpu, "seconds": time.monotonic() - began}))

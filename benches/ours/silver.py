"""Takes what is new in bronze to silver: silver.py LAKE. Prints {"rows", "cpu", "seconds"}, start-up left out."""

import json
import sys
import time

import citystream as cs

lake = cs.Lake(sys.argv[1])
cpu, began = time.process_time(), time.monotonic()
found = lake.core.refine_silver(progress=None)
rows = sum(found["silver"].values()) + found["dead_letter"] + found["quarantine"] + found["duplicate"]
print(json.dumps({"rows": rows, "cpu": time.process_time() - cpu, "seconds": time.monotonic() - began}))

"""CPU-seconds of observing a city in parts, one part after another: parts.py PARTS TRACE OPTIONS.

TRACE is the folder of a saved trace, or - to simulate for each part; OPTIONS is a JSON object of the city's. Prints
{"cpu": …, "wall": …, "events": …}, start-up left out.
"""

from __future__ import annotations

import json
import sys
import time

import citystream as cs

parts, trace, options = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
city = cs.City(**options, threads=1, trace=None if trace == "-" else trace)
cpu, wall, events = time.process_time(), time.monotonic(), 0
for part in range(parts):
    events += sum(len(batch) for _, batch in city.part(part, parts))
print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall, "events": events}))

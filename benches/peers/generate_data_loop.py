"""The loop of the original generate_data.py, over confluent-kafka: a dict for each event, json.dumps, produce, flush.

python benches/peers/generate_data_loop.py localhost:9092 gps_data 20000 --flush-each
"""

import argparse
import datetime as dt
import json
import random
import sys
import time
import uuid
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

DIRECTIONS = ("North", "NorthEast", "East", "SouthEast", "South", "SouthWest", "West", "NorthWest")


def gps_event(device: str) -> dict[str, Any]:
    """One event, with the fields and so the size of citystream's."""
    now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": uuid.uuid4(),
        "deviceId": device,
        "timestamp": now,
        "speed": round(random.uniform(0, 60), 1),
        "direction": random.choice(DIRECTIONS),
        "vehicleType": "Car",
        "sentAt": now,
        "location": [round(random.uniform(40.7, 40.8), 6), round(random.uniform(-74.0, -73.9), 6)],
        "heading": round(random.uniform(0, 360), 1),
        "accuracyM": round(random.uniform(2, 11), 1),
        "fix": "3D",
    }


def main() -> int:
    """Sends the events and prints how many were delivered, their bytes, and the seconds it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("count", type=int)
    parser.add_argument("--compression", default="none")
    parser.add_argument("--flush-each", action="store_true", help="as the original does")
    options = parser.parse_args()

    producer = Producer({"bootstrap.servers": options.servers, "acks": "all", "compression.type": options.compression})
    delivered = size = 0

    def count(error: KafkaError | None, message: Message) -> None:
        nonlocal delivered, size
        if error is None:
            delivered += 1
            size += len(message.key() or b"") + len(message.value() or b"")

    began = time.monotonic()
    for number in range(options.count):
        event = gps_event(f"veh-{number % 1000:05}")
        key, value = str(event["id"]), json.dumps(event, default=str).encode()
        while True:
            try:
                producer.produce(options.topic, key=key, value=value, on_delivery=count)
                break
            except BufferError:  # the client's queue is full
                producer.poll(0.1)
        if options.flush_each:
            producer.flush()
        else:
            producer.poll(0)
    producer.flush()
    print(json.dumps({"events": delivered, "bytes": size, "seconds": time.monotonic() - began}))
    return 0 if delivered == options.count else 1


if __name__ == "__main__":
    sys.exit(main())

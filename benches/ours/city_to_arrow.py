"""Iterates over a city's record batches and counts their rows: python benches/ours/city_to_arrow.py --vehicles 2000."""

import argparse
import json
import time

import citystream as cs


def main() -> None:
    """Prints the number of events, and the seconds from making the city to its last batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vehicles", type=int, default=2_000)
    parser.add_argument("--duration", default="24h")
    parser.add_argument("--start", default="2026-06-01T00:00Z")
    parser.add_argument("--streams", help="with commas; all where left out")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    began = time.monotonic()
    city = cs.City(
        vehicles=options.vehicles,
        duration=options.duration,
        start=options.start,
        streams=options.streams.split(",") if options.streams else None,
        threads=options.threads,
    )
    events = sum(len(batch) for _, batch in city)
    print(json.dumps({"events": events, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()

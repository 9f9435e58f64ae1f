"""Sends one simulated city day to Kafka: the original script's variables and topics, over citystream.

KAFKA_BOOTSTRAP_SERVERS, VEHICLE_TOPIC, GPS_TOPIC, TRAFFIC_TOPIC, WEATHER_TOPIC and EMERGENCY_TOPIC say where to. At
each step of a vehicle its device sends all five streams, as the original's does; without `compat` each sensor speaks
for itself.
"""

import os

import citystream as cs

servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
city = cs.City(seed=7, vehicles=2_000, start="2026-06-01T00:00:00Z", duration="1d", compat=True)

with cs.Publisher(servers, create_topics=4) as kafka:
    report = kafka.publish(city)
print(f"{report.delivered:,} events delivered to {servers}, {report.failed:,} failed, in {report.seconds:.1f} s")

"""Records with the events' own times, in topics that keep them."""

from __future__ import annotations

import datetime as dt
import json
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

import citystream as cs

CITY = cs.City(vehicles=300, start="2026-06-01T07:00Z", duration="3min", streams=["gps", "weather"])


def times(servers, topic):
    """(value, record time in ms) of each record of the first partition."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test"})
    try:
        place = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=10)
        consumer.assign([place])
        found = []
        while len(found) < end:
            found += [(message.value(), message.timestamp()[1]) for message in consumer.consume(1_000, timeout=0.3)]
        return found
    finally:
        consumer.close()


def create(servers, topic, **config):
    admin = AdminClient({"bootstrap.servers": servers})  # named: its futures fail when it is collected
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(20)


def sent_at(value):
    return round(dt.datetime.fromisoformat(json.loads(value)["sentAt"].replace("Z", "+00:00")).timestamp() * 1000)


def test_records_get_the_time_at_which_they_were_sent(broker, topics):
    servers = broker.bootstrap_servers
    with cs.Publisher(servers, topics=topics, create_topics=1, record_time="event") as kafka:
        report = kafka.publish(CITY, rate=5_000)
        kafka.send("gps", next(CITY.rows("gps")))
        assert kafka.publish(CITY.events("weather"), stream="weather").delivered > 0
    assert report.failed == 0
    for stream in ("gps", "weather"):
        found = times(servers, topics[stream])
        assert len(found) > report.delivered_by_stream[stream]
        assert all(at == sent_at(value) for value, at in found)
    # The log cleaner would have taken them: the topic keeps records for ever.
    resource = ConfigResource("topic", topics["gps"])
    admin = AdminClient({"bootstrap.servers": servers})
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["retention.ms"].value == "-1"
    # The reference has no such time.
    assert all(abs(at / 1000 - time.time()) < 600 for _, at in times(servers, topics["reference"]))


def test_by_default_records_get_the_wall_clocks_time(broker, topics):
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka:
        kafka.publish(CITY)
    found = times(broker.bootstrap_servers, topics["gps"])
    assert found
    assert all(abs(at / 1000 - time.time()) < 600 for _, at in found)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, r"retention\.ms=604800000"),
        (
            {"retention.ms": "-1", "message.timestamp.before.max.ms": "1000"},
            r"message\.timestamp\.before\.max\.ms=1000",
        ),
        ({"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}, "LogAppendTime"),
    ],
)
def test_a_topic_that_would_lose_them_is_refused(broker, topics, config, named):
    servers = broker.bootstrap_servers
    create(servers, topics["gps"], **config)
    city = cs.City(vehicles=300, start="2025-06-01T07:00Z", duration="3min", streams=["gps"])
    with cs.Publisher(servers, topics=topics, record_time="event") as kafka:
        for sending in (
            lambda: kafka.publish(city),
            lambda: kafka.publish(city.events("gps"), stream="gps"),
            lambda: kafka.send("gps", next(city.rows("gps"))),
        ):
            with pytest.raises(cs.ConfigError, match=f"{topics['gps']}.*{named}"):
                sending()
        assert kafka.close().delivered == 0


def test_a_day_that_kafka_would_find_too_far_ahead_is_refused(broker, topics):
    servers = broker.bootstrap_servers
    # Kafka 4's own bound; 3.9 has none unless it is told.
    create(servers, topics["gps"], **{"message.timestamp.after.max.ms": "3600000"})
    city = cs.City(vehicles=60, start="2090-06-01T07:00Z", duration="3min", streams=["gps"])
    kafka = cs.Publisher(servers, topics=topics, record_time="event")
    with kafka, pytest.raises(cs.ConfigError, match=r"message\.timestamp\.after\.max\.ms=3600000"):
        kafka.publish(city)


def test_a_topic_that_is_not_there_is_not_left_to_the_broker(broker, topics):
    kafka = cs.Publisher(broker.bootstrap_servers, topics=topics, record_time="event")
    with kafka, pytest.raises(cs.ConfigError, match=r"does not exist\. Let citystream create it"):
        kafka.publish(CITY)


def test_another_word_is_named():
    with pytest.raises(cs.ConfigError, match="record_time 'append' is none"):
        cs.Publisher("127.0.0.1:1", record_time="append")

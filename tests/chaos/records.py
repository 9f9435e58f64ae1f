"""What the gate's lakes are filled from: a city with every fault in transactions, aborted ones around it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

import citystream as cs

FAULTS = cs.Faults(late=0.05, late_bound="20min", duplicate=0.05, drop=0.05, out_of_order=0.05, corrupt=0.05,
                   tombstone=0.01, poison_pill=0.01)  # fmt: skip
CITY = {"seed": 3, "vehicles": 60, "start": "2026-06-01T23:40Z", "duration": "40min"}
PARTITIONS = 2
ABORTED = 25

Position = tuple[int, int]


@dataclass(frozen=True)
class Records:
    """Topics by stream, and of each the (partition, offset) of every record that a read_committed reader gets."""

    servers: str
    topics: dict[str, str]
    positions: dict[str, set[Position]]

    @property
    def count(self) -> int:
        """Records in all."""
        return sum(len(found) for found in self.positions.values())


def published(servers: str) -> Records:
    """Fills new topics and reads them back with another client."""
    mark = uuid.uuid4().hex[:8]
    topics = {s: f"{s}_{mark}" for s in ("vehicle", "gps", "traffic", "weather", "emergency", "reference")}
    with cs.Publisher(servers, topics=topics, create_topics=PARTITIONS, transactional_id=f"city-{mark}") as kafka:
        _abort(servers, topics, f"before-{mark}")
        report = kafka.publish(cs.City(**CITY, faults=FAULTS))
        _abort(servers, topics, f"after-{mark}")
    positions = {stream: set(_positions(servers, topic)) for stream, topic in topics.items()}
    found = sum(len(of) for stream, of in positions.items() if stream != "reference")
    assert found == report.delivered > 5_000, (found, report)
    return Records(servers, topics, positions)


def _abort(servers: str, topics: dict[str, str], transaction: str) -> None:
    producer = Producer({"bootstrap.servers": servers, "transactional.id": transaction})
    producer.init_transactions(30)
    producer.begin_transaction()
    for topic in topics.values():
        for n in range(ABORTED):
            producer.produce(topic, key=str(n), value=b'{"never":true}')
    assert producer.flush(30) == 0
    producer.abort_transaction(30)


def _positions(servers: str, topic: str) -> list[Position]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "gate", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "enable.partition.eof": True})  # fmt: skip
    try:
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
        found, ended = [], set()
        while len(ended) < PARTITIONS:
            message = consumer.poll(30)
            assert message is not None, f"{topic} gives nothing for 30 s"
            if message.error() is None:
                found.append((message.partition(), message.offset()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise AssertionError(message.error())
        return found
    finally:
        consumer.close()

"""What the gate's lakes are filled from: a city with every fault in transactions, aborted ones around it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import citystream as cs

if TYPE_CHECKING:
    from random import Random

FAULTS = cs.Faults(late=0.05, late_bound="20min", duplicate=0.05, drop=0.05, out_of_order=0.05, corrupt=0.05,
                   tombstone=0.01, poison_pill=0.01)  # fmt: skip
# Over midnight, so that there are two dates; with as many vehicles as are needed for some to drive at that hour.
CITY = {"seed": 3, "vehicles": 1_500, "start": "2026-06-01T23:40Z", "duration": "40min"}
MORNING = {"seed": 3, "vehicles": 300, "start": "2026-06-01T07:40Z", "duration": "10min", "streams": ["gps"]}
PARTITIONS = 2
ABORTED = 25

Position = tuple[int, int]


@dataclass(frozen=True)
class Records:
    """Topics by stream, and of each the (partition, offset) of every record that a read_committed reader gets."""

    servers: str
    topics: dict[str, str]
    positions: dict[str, set[Position]]


@dataclass(frozen=True)
class GpsRecords(Records):
    """A topic of gps alone that loses records before they were read."""

    def lose(self, random: Random) -> list[tuple[int, int, int]]:
        """Publishes more, and deletes in each partition what came so far and some of it: (partition, from, to)."""
        topic = self.topics["gps"]
        before = {p: self._end(p) for p in range(PARTITIONS)}
        with cs.Publisher(self.servers, topics=self.topics) as kafka:
            kafka.publish(cs.City(**MORNING | {"seed": 4}))
        to = {p: end + 1 + random.randrange(200) for p, end in before.items()}
        admin = AdminClient({"bootstrap.servers": self.servers})
        for deleted in admin.delete_records([TopicPartition(topic, p, offset) for p, offset in to.items()]).values():
            deleted.result(30)
        self.positions["gps"] |= {(p, offset) for p, offset in _positions(self.servers, topic) if offset >= to[p]}
        return sorted((p, end, to[p]) for p, end in before.items())

    def _end(self, partition: int) -> int:
        return 1 + max(offset for p, offset in self.positions["gps"] if p == partition)


def gps_records(servers: str) -> GpsRecords:
    """A topic of its own with a city's gps in it."""
    topics = {"gps": f"gps_{uuid.uuid4().hex[:8]}"}
    with cs.Publisher(servers, topics=topics, create_topics=PARTITIONS) as kafka:
        kafka.publish(cs.City(**MORNING, faults=FAULTS))
    return GpsRecords(servers, topics, {"gps": set(_positions(servers, topics["gps"]))})


def published(servers: str) -> Records:
    """Fills new topics and reads them back with another client."""
    mark = uuid.uuid4().hex[:8]
    topics = {s: f"{s}_{mark}" for s in ("vehicle", "gps", "traffic", "weather", "emergency", "reference")}
    with cs.Publisher(servers, topics=topics, create_topics=PARTITIONS, transactional_id=f"city-{mark}") as kafka:
        _abort(servers, topics, f"before-{mark}")
        report = kafka.publish(cs.City(**CITY, faults=FAULTS))
        _abort(servers, topics, f"after-{mark}")
    positions = {stream: set(_positions(servers, topic)) for stream, topic in topics.items()}
    found = {stream: len(of) for stream, of in positions.items() if stream != "reference"}
    assert sum(found.values()) == report.delivered, (found, report)
    assert min(found[stream] for stream in ("vehicle", "gps", "traffic", "weather")) > 100, found
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

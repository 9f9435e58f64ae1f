"""A publisher that is killed again and again, and resumed, leaves what an uninterrupted one leaves."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import citystream as cs

EVENTS = ("vehicle", "gps", "traffic", "weather", "emergency")
TRUTH = ("truth_crossing", "truth_event", "truth_fault")
PARTITIONS = 3
# More of them in `make chaos`.
KILLS = int(os.environ.get("CHAOS_KILLS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(1_000_000))))
CITY = {"seed": 3, "vehicles": 300, "start": "2026-06-01T07:00:00Z", "duration": "40min"}
FAULTS = {
    "late": 0.05, "duplicate": 0.05, "retry_loop": 0.003, "drop": 0.02, "out_of_order": 0.05, "corrupt": 0.1,
    "tombstone": 0.1, "poison_pill": 0.01, "outage": 0.1,
}  # fmt: skip


def new_topics():
    mark = uuid.uuid4().hex[:8]
    return {stream: f"{stream}_{mark}" for stream in (*EVENTS, "reference")}


def empty_truth(servers):
    """The truth's topics have the same names everywhere, so they are made anew."""
    admin = AdminClient({"bootstrap.servers": servers})
    there = [topic for topic in TRUTH if topic in admin.list_topics(timeout=10).topics]
    for done in (admin.delete_topics(there) if there else {}).values():
        done.result(20)
    deadline = time.monotonic() + 20
    for topic in TRUTH:
        while True:
            try:
                admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(20)
                break
            except KafkaException:
                # It is still being deleted.
                assert time.monotonic() < deadline
                time.sleep(0.1)


def records_in(servers, topic):
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test"})
    try:
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in range(PARTITIONS)]
        return sum(end for _, end in ends)
    finally:
        consumer.close()


def read(servers, topics):
    """Each stream's partitions: their (key, value)s, in order."""
    streams = {topic: stream for stream, topic in topics.items() if stream in EVENTS} | {t: t for t in TRUTH}
    found = {stream: {n: [] for n in range(PARTITIONS)} for stream in streams.values()}
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "isolation.level": "read_committed"})
    try:
        places = [TopicPartition(topic, n, 0) for topic in streams for n in range(PARTITIONS)]
        ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
        consumer.assign(places)
        while any(at.offset < end for at, end in zip(consumer.position(places), ends, strict=True) if end):
            for message in consumer.consume(10_000, timeout=0.2):
                assert message.error() is None
                found[streams[message.topic()]][message.partition()].append((message.key(), message.value()))
    finally:
        consumer.close()
    return found


def simulate(servers, topics, *more, streams=(*EVENTS, *TRUTH)):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**CITY, **FAULTS}.items()]
    names = [f"--topic={stream}={topic}" for stream, topic in topics.items()]
    command = [sys.executable, "-m", "citystream", "simulate", "--to", "kafka", "--bootstrap-servers", servers]
    return [*command, *flags, *names, f"--streams={','.join(streams)}", "--json", *more]


def of_part(records, part, parts):
    return [(key, value) for key, value in records if int(key.rsplit(b"-", 1)[1]) % parts == part]


def test_killed_again_and_again(broker, tmp_path):
    servers, whole, stopped = broker.bootstrap_servers, new_topics(), new_topics()
    draws = random.Random(SEED)  # noqa: S311
    faults = cs.Faults(**FAULTS)
    ours = cs.City(**CITY, faults=faults, streams=[*EVENTS, *TRUTH]).part(0, 2)
    empty_truth(servers)
    with cs.Publisher(servers, topics=whole, create_topics=PARTITIONS) as kafka:
        total = kafka.publish(ours).delivered
    expected = read(servers, whole)
    empty_truth(servers)
    # Others write to the same topics meanwhile: the city's other part, harmed as ours, and another city.
    other_part = cs.City(**CITY, faults=faults, streams=EVENTS).part(1, 2)
    other_city = cs.City(**{**CITY, "seed": 4, "vehicles": 60})
    with cs.Publisher(servers, topics=stopped, create_topics=PARTITIONS) as kafka:
        kafka.publish(other_city)
    # At this pace the kills come before the end.
    rate = total / (2.5 * KILLS)
    kills = 0
    while kills < KILLS:
        command = simulate(servers, stopped, "--part=0/2", "--resume", f"--rate={rate}")
        before, deadline = records_in(servers, "truth_event"), time.monotonic() + 60
        child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            while records_in(servers, "truth_event") == before and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(draws.uniform(0.0, 1.5))
            assert child.poll() is None, child.communicate()
        finally:
            child.kill()
            child.communicate()
        assert records_in(servers, "truth_event") > before, f"CHAOS_SEED={SEED}"
        kills += 1
        if kills == KILLS // 2 + 1:
            with cs.Publisher(servers, topics=stopped) as kafka:
                kafka.publish(other_part)
    with cs.Publisher(servers, topics=stopped) as kafka:
        report = kafka.publish(ours, resume=True)
    assert report.failed == report.queued == 0
    assert 0 < report.resumed < total, f"CHAOS_SEED={SEED}"
    assert report.resumed + report.delivered == total, f"CHAOS_SEED={SEED}"
    stranger = f'"id":"{other_city.id[:8]}-{other_city.id[8:]}-'.encode()
    for stream, found in read(servers, stopped).items():
        assert stream == "emergency" or sum(map(len, found.values())) > 0, stream
        for partition, records in found.items():
            if stream in EVENTS:
                records = [record for record in records if record[1] is None or stranger not in record[1]]
                records = of_part(records, 0, 2)
            assert records == expected[stream][partition], f"{stream} {partition} CHAOS_SEED={SEED}"

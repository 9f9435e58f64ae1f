"""From Kafka into a lake, where the log holds more than records, or changes while it is read."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

import citystream as cs
import services
from services.secured import PASSWORD, USER


@pytest.fixture(scope="module")
def zookeeper():
    """Kafka 3.9 on ZooKeeper: a smoke test of what the other tests do on 4.3."""
    with services.kafka("zookeeper", secured=True) as running:
        yield running


def gps():
    """A small city of one stream."""
    return cs.City(vehicles=100, start="2026-06-01T08:00Z", duration="2min", streams=["gps"])


class Enough(Exception):  # noqa: N818
    """Ends a run that follows."""


def until(condition, seconds=90):
    """A progress callback that ends the run when `condition` holds of the records read."""
    deadline = time.monotonic() + seconds

    def told(progress):
        assert time.monotonic() < deadline, progress
        if condition(progress["done"]):
            raise Enough

    return told


def transactional(servers, name):
    producer = Producer({"bootstrap.servers": servers, "transactional.id": name, "linger.ms": 0})
    producer.init_transactions()
    return producer


def aborted_and_committed(servers, topic, values, key):
    """Transactions in turn, each with the same five values; every second one is aborted."""
    producer = transactional(servers, topic)
    for number in range(6):
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, key=key)
        producer.flush()
        if number % 2 == 0:
            producer.abort_transaction()
        else:
            producer.commit_transaction()


def check_aborted(servers, topics, tmp_path):
    rows = list(gps().rows("gps"))[:5]
    with cs.Publisher(servers, topics=topics, create_topics=1):
        pass
    import json

    values = [json.dumps(row) for row in rows]
    aborted_and_committed(servers, topics["gps"], values, rows[0]["deviceId"])
    lake = cs.Lake(tmp_path / "lake")
    report = lake.ingest(servers, topics=topics)
    place = next(p for p in report.partitions if p.topic == topics["gps"])
    # 30 records and 6 markers, of which 15 records were committed.
    assert (report.records, report.undecodable) == (15, 0)
    assert (place.start, place.end, place.lag) == (0, 36, 0)
    offsets = lake.query("select kafka_offset from bronze.gps order by 1").fetchall()
    assert [o for (o,) in offsets] == [first + n for first in (6, 18, 30) for n in range(5)]
    assert lake.check() == []
    # The last offsets were a marker: nothing is read again, and nothing is missing after more comes.
    aborted_and_committed(servers, topics["gps"], values, rows[0]["deviceId"])
    again = lake.ingest(servers, topics=topics)
    assert (again.records, again.skipped) == (15, 0)
    lake.refine()
    assert lake.query("select count(*) from silver.gps").fetchall() == [(5,)]
    assert lake.check() == []


def test_aborted_transactions_are_passed(broker, topics, tmp_path):
    check_aborted(broker.bootstrap_servers, topics, tmp_path)


def test_aborted_transactions_are_passed_on_zookeeper(zookeeper, topics, tmp_path):
    check_aborted(zookeeper.bootstrap_servers, topics, tmp_path)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "OAUTHBEARER", None])
def test_a_city_goes_both_ways_on_zookeeper(zookeeper, topics, tmp_path, mechanism):
    from tokens import unsigned

    ca = {"ca": zookeeper.secured.ca}
    listener, security = {
        "SCRAM-SHA-256": ("SASLTLS", {**ca, "user": USER, "password": PASSWORD}),
        "OAUTHBEARER": ("SASLTLS", {**ca, "token": unsigned}),
        None: ("MTLS", {**ca, **zookeeper.secured.client}),
    }[mechanism]
    security = {**security, **({} if mechanism is None else {"mechanism": mechanism})}
    servers = zookeeper.secured.servers(listener)
    with cs.Publisher(servers, topics=topics, create_topics=2, security=security) as kafka:
        sent = kafka.publish(gps())
    lake = cs.Lake(tmp_path / "lake")
    assert lake.ingest(servers, topics=topics, security=security).records == sent.delivered > 0
    assert lake.check() == []


def test_topics_on_zookeeper(zookeeper, topics, citystream):
    flags = [part for stream, topic in topics.items() for part in ("--topic", f"{stream}={topic}")]
    servers = ("--bootstrap-servers", zookeeper.bootstrap_servers)
    done = citystream("topics", "create", *servers, *flags, "--retention", "30d", "--json")
    assert done.status == 0, done.err
    done = citystream("topics", "describe", *servers, *flags, "--json")
    found = {topic["topic"]: topic for topic in done.json["topics"]}
    assert found[topics["gps"]]["settings"]["retention.ms"] == str(30 * 86_400_000)
    assert found[topics["reference"]]["settings"]["cleanup.policy"] == "compact"
    assert len({topic["id"] for topic in found.values()}) == len(topics)


def test_partitions_that_are_added_are_read_while_following(broker, topics, tmp_path):
    servers = broker.bootstrap_servers
    rows = list(gps().rows("gps"))
    with cs.Publisher(servers, topics=topics, create_topics=1) as kafka:
        for row in rows[:100]:
            kafka.send("gps", row)
    admin = AdminClient({"bootstrap.servers": servers})
    added = []

    def more(done):
        if done >= 100 and not added:
            admin.create_partitions([NewPartitions(topics["gps"], 3)])[topics["gps"]].result()
            with cs.Publisher(servers, topics=topics) as kafka:
                for row in rows[100:]:
                    kafka.send("gps", row)
            added.append(True)
        return done >= len(rows)

    lake = cs.Lake(tmp_path / "lake")
    with pytest.raises(Enough):
        lake.ingest(servers, topics=topics, follow=True, progress=until(more))
    count = "select count(*), count(distinct kafka_partition) from bronze.gps"
    # What came after the last commit is read by the next run.
    lake.ingest(servers, topics=topics)
    assert lake.query(count).fetchall() == [(len(rows), 3)]
    assert lake.check() == []


@pytest.mark.parametrize("longer", [False, True])
def test_a_topic_that_is_recreated_while_it_is_followed_ends_the_run(broker, topics, tmp_path, longer):
    servers = broker.bootstrap_servers
    rows = list(gps().rows("gps"))
    with cs.Publisher(servers, topics=topics, create_topics=1) as kafka:
        for row in rows[:100]:
            kafka.send("gps", row)
    admin = AdminClient({"bootstrap.servers": servers})
    done_once = []

    lake = cs.Lake(tmp_path / "lake")

    def recreate(done):
        if done >= 100 and not done_once and lake.table("bronze.gps").row_count == 100:
            done_once.append(True)
            admin.delete_topics([topics["gps"]])[topics["gps"]].result()
            deadline = time.monotonic() + 30
            while True:
                try:
                    with cs.Publisher(servers, topics=topics, create_topics=1) as kafka:
                        for row in rows[100:250] if longer else rows[100:150]:
                            kafka.send("gps", row)
                    break
                except cs.KafkaError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
        return False

    with pytest.raises(cs.CitystreamError, match=r"recreated|does not exist"):
        lake.ingest(servers, topics=topics, follow=True, max_age="1s", progress=until(recreate))
    # Nothing of the new topic was taken for the old one's.
    ids = {row["id"] for row in rows[:100]}
    assert {i for (i,) in lake.query("select id from bronze.gps").fetchall()} <= ids
    with pytest.raises(cs.TableError, match="--new-epoch"):
        lake.ingest(servers, topics=topics)
    report = lake.ingest(servers, topics=topics, new_epoch=True)
    assert report.records == (150 if longer else 50)


def retention_takes(servers, topic, before, partition=0):
    """What a topic's retention does."""
    admin = AdminClient({"bootstrap.servers": servers})
    place = TopicPartition(topic, partition, before)
    admin.delete_records([place])[place].result()


def test_a_gap_is_an_error_or_a_row(broker, topics, tmp_path, citystream):
    servers = broker.bootstrap_servers
    rows = list(gps().rows("gps"))
    lake = cs.Lake(tmp_path / "lake")

    def send(some):
        with cs.Publisher(servers, topics=topics, create_topics=1) as kafka:
            for row in some:
                kafka.send("gps", row)

    send(rows[:100])
    retention_takes(servers, topics["gps"], 10)
    # Nobody has waited for what was gone before the first run.
    report = lake.ingest(servers, topics=topics, on_gap="record")
    assert (report.records, report.gaps) == (90, ())
    send(rows[100:200])
    retention_takes(servers, topics["gps"], 130)
    with pytest.raises(cs.GapError, match=r"is 100, but the log now starts at 130; 30 offsets .*--on-gap record"):
        lake.ingest(servers, topics=topics)
    assert lake.table("bronze.ingest_gap").row_count == 0
    report = lake.ingest(servers, topics=topics, on_gap="record")
    (lost,) = report.gaps
    assert (lost.topic, lost.partition, lost.start, lost.end) == (topics["gps"], 0, 100, 130)
    assert any("offsets 100 to 129 were gone" in warning for warning in report.warnings)
    assert report.records == 70
    # Neither the rule for gaps nor a second run adds anything.
    for rule in ("record", "error"):
        again = lake.ingest(servers, topics=topics, on_gap=rule)
        assert (again.records, again.gaps) == (0, ())
    # By the command line.
    send(rows[200:250])
    retention_takes(servers, topics["gps"], 250)
    flags = [part for stream, topic in topics.items() for part in ("--topic", f"{stream}={topic}")]
    done = citystream(
        "ingest", str(tmp_path / "lake"), "--bootstrap-servers", servers, *flags, "--on-gap", "record", "--json"
    )
    assert done.status == 0, done.err
    assert done.json["gaps"] == [{"topic": topics["gps"], "partition": 0, "start": 200, "end": 250}]
    assert "were gone before they were read" in done.err
    found = lake.query(
        "select stream, kafka_topic, kafka_partition, from_offset, to_offset, offsets, found_at is not null "
        "from bronze.ingest_gap order by from_offset"
    ).fetchall()
    place = ("gps", topics["gps"], 0)
    assert found == [(*place, 100, 130, 30, True), (*place, 200, 250, 50, True)]
    assert lake.query("select count(*), max(kafka_offset) from bronze.gps").fetchall() == [(160, 199)]
    assert lake.check() == []


def test_gaps_in_several_partitions_are_passed_by_a_run_that_follows(broker, topics, tmp_path):
    servers = broker.bootstrap_servers
    rows = list(gps().rows("gps"))
    stop = threading.Event()
    lake = cs.Lake(tmp_path / "lake")
    with cs.Publisher(servers, topics=topics, create_topics=2) as kafka:
        for row in rows[:200]:
            kafka.send("gps", row)
        kafka.flush()
        lake.ingest(servers, topics=topics)
        for row in rows[200:]:
            kafka.send("gps", row)
    positions = dict(lake.query("select kafka_partition, max(kafka_offset) + 1 from bronze.gps group by 1").fetchall())
    for partition, end in positions.items():
        retention_takes(servers, topics["gps"], end + 5, partition)
    wanted = len(rows) - 200 - 10
    report = lake.ingest(
        servers,
        topics=topics,
        on_gap="record",
        follow=True,
        stop=stop,
        progress=lambda state: stop.set() if state["done"] >= wanted else None,
    )
    assert sorted((gap.partition, gap.end - gap.start) for gap in report.gaps) == [(0, 5), (1, 5)]
    assert (report.records, stop.is_set()) == (wanted, True)
    assert lake.check() == []

"""Faults of a real broker while a city is sent: nothing acknowledged is lost or counted twice, the report adds up.

`make chaos` takes the long forms."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic
from test_kafka import STREAMS, consume

import citystream as cs
import services

# How long the broker is paused; `make chaos` takes 30 s.
PAUSE = float(os.environ.get("CHAOS_PAUSE", "3"))
CITY = {"seed": 5, "vehicles": 300, "start": "2026-06-01T07:00Z", "duration": "20min"}
CLEAN = cs.City(**CITY, streams=["gps"])


@pytest.fixture(scope="module")
def own():
    """A broker that may be killed and paused."""
    with services.kafka() as running:
        yield running


def create(servers, topic, partitions=3, **config):
    admin = AdminClient({"bootstrap.servers": servers})
    deadline = time.monotonic() + 20
    while True:
        try:
            return admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(20)
        except KafkaException as error:
            # The producer's question has made the broker create it again.
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return None
            # It is still being deleted.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def expected():
    return Counter(row["id"] for row in CLEAN.rows("gps"))


def ids(servers, topic):
    return Counter(json.loads(value)["id"] for _, _, value in consume(servers, topic))


class Sending:
    """A publisher at work in a thread; `fault` runs while it is."""

    def __init__(self, servers, topics, *, seconds=3.0, publish=None, **options):
        self.servers, self.topics, self.options = servers, topics, options
        self.total = sum(expected().values())
        self.publish = {"rate": self.total / seconds, **(publish or {})}
        self.report = self.closed = self.error = None
        self.begun = threading.Event()

    def run(self, fault):
        def work():
            try:
                with cs.Publisher(self.servers, topics=self.topics, **self.options) as kafka:
                    try:
                        self.report = kafka.publish(CLEAN, progress=lambda _: self.begun.set(), **self.publish)
                    finally:
                        self.closed = kafka.close()
            except cs.CitystreamError as error:
                self.error = error

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert self.begun.wait(60)
            fault()
        finally:
            thread.join(240)
        assert not thread.is_alive()
        return self


def test_a_broker_that_is_killed_and_comes_back_loses_nothing(own, topics):
    create(own.bootstrap_servers, topics["gps"])

    def fault():
        time.sleep(0.5)
        own.kill()
        time.sleep(1)
        own.start()

    sent = Sending(own.bootstrap_servers, topics).run(fault)
    assert sent.error is None
    report = sent.report
    assert (report.delivered, report.failed, report.queued) == (sent.total, 0, 0)
    assert ids(own.bootstrap_servers, topics["gps"]) == expected()


def test_a_broker_that_stands_still_holds_the_run_up_and_loses_nothing(own, topics):
    create(own.bootstrap_servers, topics["gps"])
    seen = []

    def fault():
        time.sleep(0.5)
        for process in own._processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            time.sleep(PAUSE)
        finally:
            for process in own._processes:
                os.kill(process.pid, signal.SIGCONT)
        seen.append(time.monotonic())

    # A queue of a tenth of the run: it is full long before the broker goes on, and sending waits.
    sent = Sending(own.bootstrap_servers, topics, seconds=2.0, queue_messages=500).run(fault)
    assert sent.error is None
    assert (sent.report.delivered, sent.report.failed, sent.report.queued) == (sent.total, 0, 0)
    assert sent.report.seconds > PAUSE
    # The pace did not allow for it, and only a second is made up for; the queue took a fifth of one.
    assert PAUSE - 2 < sent.report.behind < sent.report.seconds
    assert ids(own.bootstrap_servers, topics["gps"]) == expected()


def test_a_topic_that_is_deleted_and_made_again_gets_the_rest(own, topics):
    servers = own.bootstrap_servers
    create(servers, topics["gps"])

    def fault():
        time.sleep(0.7)
        admin = AdminClient({"bootstrap.servers": servers})
        admin.delete_topics([topics["gps"]])[topics["gps"]].result(20)
        create(servers, topics["gps"])

    sent = Sending(servers, topics, delivery_timeout="20s").run(fault)
    # It ends by itself, whatever librdkafka makes of it: an account that adds up, or an error that says why.
    account = sent.closed
    assert account.delivered + account.failed + account.queued <= sent.total
    assert sent.error is not None or account.delivered + account.failed == sent.total
    found = ids(servers, topics["gps"])
    # What the first topic held went with it; in the second nothing is twice, and nothing that was never acknowledged or
    # counted as failed.
    assert all(count == 1 for count in found.values())
    assert found.keys() <= expected().keys()
    assert sum(found.values()) > 0
    assert sum(found.values()) <= account.delivered + account.failed + account.queued


def test_what_the_topic_finds_too_large_fails_and_the_rest_arrives(broker, topics):
    create(broker.bootstrap_servers, topics["gps"], partitions=1, **{"max.message.bytes": "2000"})
    row = next(CLEAN.rows("gps"))
    small = [{**row, "id": f"{n}"} for n in range(20)]
    with cs.Publisher(broker.bootstrap_servers, topics=topics, compression="none", linger="0ms") as kafka:
        for n, each in enumerate(small):
            kafka.send("gps", each if n != 7 else {**each, "vehicleType": "x" * 5_000})
            # Alone in its batch: the broker refuses batches.
            kafka.flush()
        report = kafka.close()
    assert (report.delivered, report.failed, report.queued) == (19, 1, 0)
    assert "too large" in "; ".join(report.errors).lower()
    found = [json.loads(value)["id"] for _, _, value in consume(broker.bootstrap_servers, topics["gps"])]
    assert found == [f"{n}" for n in range(20) if n != 7]


def test_a_message_too_large_for_any_broker_fails_by_itself(broker, topics):
    create(broker.bootstrap_servers, topics["gps"])
    row = next(CLEAN.rows("gps"))
    kafka = cs.Publisher(broker.bootstrap_servers, topics=topics)
    for value in ("Car", "x" * 2_000_000, "Van"):
        kafka.send("gps", {**row, "vehicleType": value})
    with pytest.raises(cs.KafkaError, match=r"1 events were not delivered.*too large"):
        kafka.__exit__(None, None, None)
    found = [json.loads(value)["vehicleType"] for _, _, value in consume(broker.bootstrap_servers, topics["gps"])]
    assert found == ["Car", "Van"]


def test_a_queue_far_smaller_than_the_run_only_slows_it(broker, topics):
    create(broker.bootstrap_servers, topics["gps"])
    with cs.Publisher(broker.bootstrap_servers, topics=topics, queue_messages=20, linger="1ms") as kafka:
        report = kafka.publish(CLEAN)
    assert report.delivered == sum(expected().values())
    assert ids(broker.bootstrap_servers, topics["gps"]) == expected()


@pytest.mark.parametrize(("number", "transactional"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_run_that_is_stopped_accounts_for_what_it_has_sent(broker, topics, tmp_path, number, transactional):
    names = [f"--topic={stream}={topic}" for stream, topic in topics.items()]
    city = [f"--{name}={value}" for name, value in CITY.items()]
    command = ["simulate", "--to=kafka", f"--bootstrap-servers={broker.bootstrap_servers}", *names, *city]
    more = [f"--transactional-id={topics['gps']}"] if transactional else []
    child = subprocess.Popen(
        [sys.executable, "-m", "citystream", *command, *more, "--create-topics=2", "--rate=2000", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        deadline = time.monotonic() + 60
        while topics["gps"] not in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(3)
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, err
    assert "Stopped" in err
    report = json.loads(out)
    assert report["failed"] == 0
    found = {stream: consume(broker.bootstrap_servers, topics[stream]) for stream in STREAMS}
    assert {stream: len(records) for stream, records in found.items()} == {
        stream: report["delivered_by_stream"].get(stream, 0) for stream in STREAMS
    }
    assert report["delivered"] > 0
    everything = [value for records in found.values() for _, _, value in records]
    assert len(set(everything)) == len(everything)
    # And it goes on from there.
    with cs.Publisher(broker.bootstrap_servers, topics=topics) as kafka:
        rest = kafka.publish(cs.City(**CITY), resume=True)
    assert rest.resumed == report["delivered"]
    total = sum(1 for stream in STREAMS for _ in cs.City(**CITY).rows(stream))
    assert rest.resumed + rest.delivered == total

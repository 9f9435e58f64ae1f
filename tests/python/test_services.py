"""The brokers that the other tests run against: they start, keep their data, come back, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from services import kafka
from services.broker import cluster_id
from services.process import accepts

TOPICS = "org.apache.kafka.tools.TopicCommand"
OFFSETS = "org.apache.kafka.tools.GetOffsetShell"
PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"


def produce(broker, topic: str, count: int) -> None:
    where = f"bootstrap.servers={broker.bootstrap_servers}"
    options = ("--num-records", str(count), "--record-size", "20", "--throughput", "-1")
    broker.tool(PERFORMANCE, "--topic", topic, *options, "--producer-props", where, "acks=all")


def stored(broker, topic: str) -> int:
    lines = broker.tool(OFFSETS, "--bootstrap-server", broker.bootstrap_servers, "--topic", topic).stdout.split()
    assert lines, "no partitions"
    return sum(int(line.rsplit(":", 1)[1]) for line in lines)


def test_a_broker_keeps_its_data_over_a_crash():
    with kafka() as broker:
        folder, servers = broker.folder, broker.bootstrap_servers
        broker.tool(TOPICS, "--bootstrap-server", servers, "--create", "--topic", "city", "--partitions", "2")
        produce(broker, "city", 100)
        broker.kill()
        broker.start()
        assert (broker.bootstrap_servers, stored(broker, "city")) == (servers, 100)
    assert not folder.exists()


def test_a_broker_ends_with_the_process_that_started_it():
    holder = subprocess.Popen(
        [sys.executable, "-m", "services", "kafka"],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    servers = holder.stdout.readline().strip().removeprefix("KAFKA_BOOTSTRAP_SERVERS=")
    port = int(servers.rsplit(":", 1)[1])
    assert accepts(port)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    deadline = time.monotonic() + 10
    while accepts(port):
        assert time.monotonic() < deadline, "the broker outlived its tests"
        time.sleep(0.1)


def test_a_command_gets_the_address_of_a_zookeeper_broker_and_its_exit_code_is_passed_on():
    check = "import os, sys; sys.exit(42 if os.environ['KAFKA_BOOTSTRAP_SERVERS'].startswith('127.0.0.1:') else 1)"
    command = [sys.executable, "-m", "services", "kafka", "--mode", "zookeeper", "--", sys.executable, "-c", check]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=False, timeout=120)
    assert done.returncode == 42


def test_a_cluster_id_is_no_option_of_a_command():
    # These bytes begin with "-" as base64.
    found = cluster_id(uuid.UUID(bytes=b"\xf8" + bytes(15)))
    assert found[0].isalpha()
    assert len(found) == 22

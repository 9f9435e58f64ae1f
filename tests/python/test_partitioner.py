"""Keys go to the partitions that Kafka's own Java client would choose, asked of its jar."""

from __future__ import annotations

import subprocess
import uuid

import pyarrow as pa
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from test_kafka import consume

import citystream as cs
from services.broker import POMS
from services.jars import classpath

JAVA = """
import java.io.*;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Utils;

public class Partitions {
    public static void main(String[] args) throws IOException {
        int partitions = Integer.parseInt(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        for (String key = in.readLine(); key != null; key = in.readLine()) {
            int hash = Utils.murmur2(key.getBytes(StandardCharsets.UTF_8));
            out.append(Utils.toPositive(hash) % partitions).append(' ').append(hash).append('\\n');
        }
        System.out.print(out);
    }
}
"""


def java(tmp_path, keys, partitions):
    """(partition, hash) of each key by Java."""
    source = tmp_path / "Partitions.java"
    source.write_text(JAVA)
    command = ["java", "-cp", classpath(POMS["kraft"]), str(source), str(partitions)]
    text = "".join(f"{key}\n" for key in keys)
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(found) == len(keys)
    return found


def test_java_knows_the_vectors_of_the_unit_test(tmp_path):
    keys = ["21", "foobar", "a-little-bit-long-string", ""]
    assert [found[1] for found in java(tmp_path, keys, 1)] == [-973932308, -790332482, -985981536, 275646681]


@pytest.mark.parametrize("partitions", [1, 6, 13])
def test_partitions_are_those_of_the_java_client(broker, topics, tmp_path, partitions):
    template = pa.table(
        cs.City(vehicles=300, start="2026-06-01T07:00Z", duration="5min", streams=["gps"]).events("gps")
    ).slice(0, 1)
    assert len(template) == 1
    # Every length to 64, so each rest of four bytes; what devices are called; and letters of two to four bytes.
    keys = [f"vehicle-{n:07}" for n in range(2_000)] + ["x" * n + "ä€😀"[: n % 4] for n in range(1, 65)]
    keys += [f"{'camera-'}{n:04}" for n in range(500)] + [uuid.UUID(int=n << 64).hex for n in range(500)]
    rows = template.take([0] * len(keys)).set_column(1, template.schema.field("deviceId"), pa.array(keys))
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(topics["gps"], partitions, 1)])[topics["gps"]].result(20)
    with cs.Publisher(broker.bootstrap_servers, topics=topics) as publisher:
        assert publisher.publish(rows, stream="gps").delivered == len(keys)
    expected = dict(zip(keys, (found[0] for found in java(tmp_path, keys, partitions)), strict=True))
    found = {key.decode(): partition for partition, key, _ in consume(broker.bootstrap_servers, topics["gps"])}
    assert found == expected
    assert len(set(found.values())) == partitions

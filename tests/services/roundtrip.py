"""Whether a broker really serves: one message sent and read back. A listening port proves nothing."""

import subprocess
import time
import uuid
from collections.abc import Sequence

from services.process import ServiceError

TOPIC = "citystream-services-ready"


def wait(bootstrap_servers: str, console: Sequence[Sequence[str]], seconds: float) -> None:
    """Sends a message to `TOPIC` and reads it back, by confluent-kafka where it is installed, else by `console`: the
    command lines of Kafka's console producer and consumer. The topic is deleted afterwards only by confluent-kafka."""
    try:
        import confluent_kafka  # noqa: F401
    except ImportError:
        _by_console(console, seconds)
    else:
        _by_client(bootstrap_servers, seconds)


def _by_client(servers: str, seconds: float) -> None:
    from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient

    deadline = time.monotonic() + seconds
    quiet = {"bootstrap.servers": servers, "log_level": 0}
    token = uuid.uuid4().bytes
    sent = []
    producer = Producer({**quiet, "message.timeout.ms": int(seconds * 1000)})
    producer.produce(TOPIC, token, on_delivery=lambda error, message: sent.append((error, message)))
    producer.flush(seconds)
    if not sent or sent[0][0] is not None:
        raise ServiceError(f"{servers} acknowledged no message within {seconds:.0f} s: {sent}")
    message = sent[0][1]
    # Assigned, not subscribed: no consumer group is left behind.
    consumer = Consumer({**quiet, "group.id": TOPIC, "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, message.partition(), message.offset())])
    try:
        while (read := consumer.poll(0.2)) is None or read.error() is not None or read.value() != token:
            if time.monotonic() > deadline:
                raise ServiceError(f"{servers} did not give the message back within {seconds:.0f} s")
    finally:
        consumer.close()
    admin = AdminClient(quiet)  # named: its futures fail when it is collected
    try:
        admin.delete_topics([TOPIC])[TOPIC].result(seconds)
    except KafkaException as error:
        raise ServiceError(f"{servers} could not delete the topic {TOPIC}: {error}") from error


def _by_console(console: Sequence[Sequence[str]], seconds: float) -> None:
    produce, consume = console
    token = uuid.uuid4().hex
    subprocess.run(produce, input=token + "\n", text=True, check=True, capture_output=True, timeout=seconds)
    read = subprocess.run(consume, text=True, check=True, capture_output=True, timeout=seconds)
    if token not in read.stdout:
        raise ServiceError(f"the console consumer read {read.stdout!r}, not {token}")

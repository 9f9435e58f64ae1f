"""The broker of the Kafka figures: that of the tests, on this machine, with topics of four partitions."""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benches.child import RunError
from services import ServiceError, kafka
from services.jars import classpath

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

PARTITIONS = 4
_TIMEOUT_S = 30.0


class Broker:
    """A running Kafka.

    Args:
        servers: Its bootstrap servers.
    """

    def __init__(self, servers: str) -> None:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        self.servers = servers
        #: For the Java peers, each of which would else spend a Python start on finding its jars.
        self.env = {"KAFKA_CLASSPATH": classpath("pom-kraft.xml")}
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._made = 0

    def topic(self) -> str:
        """Makes a topic that nobody has written to, and its `reference` topic.

        Raises:
            RunError: The broker refused.
        """
        from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

        self._made += 1
        name = f"bench-{self._made}"
        # A deleted topic's files go at once, so that the disk holds one run at a time.
        config = {"file.delete.delay.ms": "0"}
        names = [name, self.reference(name)]
        wanted = [NewTopic(each, num_partitions=PARTITIONS, replication_factor=1, config=config) for each in names]
        _settle(self._admin.create_topics(wanted))
        return name

    @staticmethod
    def reference(topic: str) -> str:
        """The topic for the reference records of what is sent to `topic`."""
        return f"{topic}-reference"

    def delete(self, topic: str) -> None:
        """Deletes a topic and its `reference` topic.

        Raises:
            RunError: The broker refused.
        """
        _settle(self._admin.delete_topics([topic, self.reference(topic)]))


@contextmanager
def running() -> Iterator[Broker]:
    """A real Kafka, for the length of a `with` block.

    Raises:
        RunError: It did not start.
    """
    service = kafka()
    try:
        servers = service.__enter__().bootstrap_servers
    except ServiceError as error:
        raise RunError(f"Kafka did not start: {error}") from error
    try:
        yield Broker(servers)
    finally:
        service.__exit__(None, None, None)


def _settle(answers: Mapping[str, Future[None]]) -> None:
    wait(answers.values(), _TIMEOUT_S)
    for topic, answer in answers.items():
        why = answer.exception() if answer.done() else "no answer"
        if why is not None:
            raise RunError(f"topic {topic}: {why}")

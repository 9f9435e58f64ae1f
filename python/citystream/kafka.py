"""Sending a city, a table or single rows to Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core, times
from .city import City
from .errors import ConfigError, KafkaError
from .progress import Progress, shown
from .report import Report
from .security import security_of
from .topics import servers_of, topics_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self


@dataclass(frozen=True)
class PublishReport(Report):
    """What became of the events: each was acknowledged by all replicas in sync, or failed."""

    delivered: int
    failed: int
    reference: int
    bytes: int
    seconds: float
    delivered_by_stream: dict[str, int]
    failed_by_stream: dict[str, int]
    errors: tuple[str, ...]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> PublishReport:
        """From the core's answer."""
        return cls(
            delivered=sum(found["delivered"].values()),
            failed=sum(found["failed"].values()),
            reference=found["reference"],
            bytes=found["bytes"],
            seconds=found["seconds"],
            delivered_by_stream=dict(found["delivered"]),
            failed_by_stream=dict(found["failed"]),
            errors=tuple(found["errors"]),
        )


class Publisher:
    """Sends events as JSON, keyed by deviceId, idempotently and with acks=all.

    Use it in a `with`: that flushes and closes it, and raises where an event that was queued by `send` has failed.

    Args:
        servers: Bootstrap servers; None takes KAFKA_BOOTSTRAP_SERVERS.
        compression: "lz4", "zstd", "snappy", "gzip" or "none".
        topics: Topic of a stream, such as {"gps": "gps_v2"}; the rest by GPS_TOPIC and so on, else the defaults.
        create_topics: Creates the topics that don't exist, with so many partitions; None leaves it to the broker.
        transactional_id: Sends in transactions under this id.
        security: Login and encryption, such as {"mechanism": "SCRAM-SHA-512", "user": ..., "password": ...}; the
            options stand in docs/kafka.md. With OAUTHBEARER, `token` may be a function that returns a token.
        timeout: How long the broker may be unreachable before that is an error.

    Raises:
        ConfigError: An option is wrong.
        KafkaConnectionError: The broker can't be reached.

    Examples:
        ```python
        with cs.Publisher("localhost:9092", create_topics=4) as kafka:
            report = kafka.publish(city)
        ```
    """

    def __init__(
        self,
        servers: str | None = None,
        *,
        compression: str = "lz4",
        topics: Mapping[str, str] | None = None,
        create_topics: int | None = None,
        transactional_id: str | None = None,
        security: Mapping[str, Any] | None = None,
        timeout: times.Duration = "30s",
    ) -> None:
        self.servers = servers_of(servers)
        self.topics = topics_of(topics)
        self._told = 0
        self._core = _core.Producer(
            self.servers,
            compression=compression,
            security=security_of(security, self.servers),
            transactional_id=transactional_id,
            topics=self.topics,
            create_topics=create_topics,
            timeout_ms=times.duration_ms(timeout, "timeout"),
        )

    def publish(
        self,
        data: City | Any,
        *,
        stream: str | None = None,
        speed: float | None = None,
        rate: float | None = None,
        progress: Progress = None,
    ) -> PublishReport:
        """Sends a whole city or a table, and returns when each event is acknowledged or has failed.

        Args:
            data: A `City`, or any Arrow data (polars, pyarrow, DuckDB, pandas 3) with the columns of `stream`.
            stream: Whose columns the Arrow data have; a city needs none.
            speed: Simulated seconds in a second; None is as fast as it goes.
            rate: Events in a second; None is no limit.
            progress: See `citystream.progress.shown`.

        Raises:
            DecodeError: A row breaks the stream's schema.
            KafkaError: The broker refused.
        """
        with shown(progress) as callback:
            if isinstance(data, City):
                if stream is not None:
                    raise ConfigError(
                        f"stream {stream!r} is given with a city, which has its own: City(streams=[{stream!r}])"
                    )
                found = self._core.publish_city(data.core, speed=speed, rate=rate, progress=callback)
            else:
                if stream is None:
                    raise ConfigError(
                        'the stream of the table is not given. Say whose columns it has, such as stream="gps"'
                    )
                if speed is not None or rate is not None:
                    raise ConfigError("speed and rate pace a city; a table is sent as fast as it goes. Leave them out")
                if not hasattr(data, "__arrow_c_stream__"):
                    raise ConfigError(
                        f"{type(data).__name__} is no Arrow data. Give a City, or what has __arrow_c_stream__"
                    )
                found = self._core.publish_arrow(stream, data, progress=callback)
        report = PublishReport.of(found)
        self._told += report.failed
        return report

    def send(self, stream: str, row: Mapping[str, Any]) -> None:
        """Queues one event; `flush` or the end of the `with` waits for it.

        Args:
            stream: The stream.
            row: Its fields by their wire names, times as ISO 8601 text, as `City.rows` gives them.

        Raises:
            DecodeError: The row breaks the stream's schema; names the field.
        """
        self._core.send(stream, dict(row))

    def flush(self, timeout: times.Duration = "30s") -> None:
        """Waits until every queued event is acknowledged or has failed."""
        self._core.flush(times.duration_ms(timeout, "timeout"))

    def close(self) -> PublishReport:
        """Flushes and closes; gives the totals of all that was sent."""
        return PublishReport.of(self._core.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        report = self.close()
        if kind is None and report.failed > self._told:
            count, why = report.failed - self._told, "; ".join(report.errors) or "the broker gave no reason"
            raise KafkaError(f"{count:,} events were not delivered to {self.servers}: {why}. Send them again")

    def __repr__(self) -> str:
        return f"Publisher({self.servers!r}, topics={self.topics!r})"

"""Sending a city, a table or single rows to Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import _core, times
from .city import City
from .errors import ConfigError, KafkaError
from .metrics import METRICS_HOST, endpoint
from .names import registry_pairs, rename_pairs
from .progress import Progress, shown
from .report import Report, per_second
from .security import security_of
from .topics import servers_of, topics_of

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .names import Rename, SchemaRegistry

STOP = "5s"
"""A run that was stopped or has failed waits so long for the acknowledgements of what it has sent."""


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
    rate: float = 0.0
    """Delivered events in a second."""
    queued: int = 0
    """Neither acknowledged nor refused when the run ended."""
    resumed: int = 0
    """Stood in the topics before the run, which went on behind them."""
    behind: float = 0.0
    """Seconds by which a run with `speed` or `rate` ended later than that asked for."""

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
            rate=per_second(sum(found["delivered"].values()), found["seconds"]),
            queued=found["queued"],
            resumed=found["resumed"],
            behind=found["behind"],
        )


class Publisher:
    """Sends events, keyed by deviceId, idempotently and with acks=all.

    Use it in a `with`: that flushes and closes it, and raises where an event that was queued by `send` has failed.

    Args:
        servers: Bootstrap servers; None takes KAFKA_BOOTSTRAP_SERVERS.
        format: "json", "avro" (with Confluent's framing), or "arrow" (a message is an Arrow IPC stream of one record
            batch with many events of one partition's devices); see docs/formats.md.
        schema_registry: For "avro": the registry's address, or {"url": ..., "user": ..., "password": ..., "ca": ...}.
        compression: "lz4", "zstd", "snappy", "gzip" or "none".
        names: Spelling of the fields on the wire: "camel", as in docs/streams.md, or "snake" (device_id).
        rename: Other names of single fields: {"make": "brand"} for all streams that have it,
            {"vehicle": {"make": "brand"}} for one. The rows and tables that you send have the names of docs/streams.md.
        topics: Topic of a stream, such as {"gps": "gps_v2"}; the rest by GPS_TOPIC and so on, else the defaults.
        create_topics: Creates the topics that don't exist, with so many partitions; None leaves it to the broker.
        transactional_id: Sends in transactions under this id.
        security: Login and encryption, such as {"mechanism": "SCRAM-SHA-512", "user": ..., "password": ...}; the
            options stand in docs/kafka.md. With OAUTHBEARER, `token` may be a function that returns a token.
        timeout: How long the broker may be unreachable before that is an error.
        metrics_port: Serves the figures for Prometheus there, until it is closed; 0 is any free port, which
            `metrics_url` tells. See docs/metrics.md.
        metrics_host: The address to serve them at; "0.0.0.0" is every one of this machine.
        linger: How long an event waits for others to share its batch.
        queue_messages: Events held until they are acknowledged; when there are so many, sending waits.
        queue_mib: MiB held, likewise.
        delivery_timeout: After this time without an acknowledgement an event has failed, retries included.
        record_time: "wall": records get the time at which they are sent. "event": their `sentAt`; topics that would
            lose such records are refused, and topics that are created keep them for ever.

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
        format: str = "json",  # noqa: A002 (what everybody calls it)
        schema_registry: SchemaRegistry | None = None,
        compression: str = "lz4",
        names: str = "camel",
        rename: Rename | None = None,
        topics: Mapping[str, str] | None = None,
        create_topics: int | None = None,
        transactional_id: str | None = None,
        security: Mapping[str, Any] | None = None,
        timeout: times.Duration = "30s",
        metrics_port: int | None = None,
        metrics_host: str = METRICS_HOST,
        linger: times.Duration = "20ms",
        queue_messages: int = 500_000,
        queue_mib: int = 64,
        delivery_timeout: times.Duration = "2min",
        record_time: Literal["wall", "event"] = "wall",
    ) -> None:
        if record_time not in ("wall", "event"):
            raise ConfigError(f'record_time {record_time!r} is none. Choose from "wall" and "event"')
        for name, value, most in (("queue_messages", queue_messages, 10_000_000), ("queue_mib", queue_mib, 2_047)):
            if not 1 <= value <= most:
                raise ConfigError(f"{name} is {value}. Choose from 1 to {most:,}")
        self._patience = f"{times.duration_ms(delivery_timeout, 'delivery_timeout') + 30_000}ms"
        self.servers = servers_of(servers)
        self.topics = topics_of(topics)
        self._told = 0
        self._metrics = None if metrics_port is None else endpoint(metrics_port, metrics_host)
        self._core = _core.Producer(
            self.servers,
            compression=compression,
            security=security_of(security, self.servers),
            transactional_id=transactional_id,
            topics=self.topics,
            create_topics=create_topics,
            timeout_ms=times.duration_ms(timeout, "timeout"),
            names=names,
            rename=rename_pairs(rename),
            format=format,
            schema_registry=registry_pairs(schema_registry),
            metrics=self._metrics,
            linger_ms=times.duration_ms(linger, "linger"),
            queue_messages=queue_messages,
            queue_kib=queue_mib * 1024,
            delivery_timeout_ms=times.duration_ms(delivery_timeout, "delivery_timeout"),
            event_times=record_time == "event",
        )

    @property
    def metrics_url(self) -> str | None:
        """Where Prometheus finds the figures, where it was asked for."""
        return None if self._metrics is None else self._metrics.url

    def publish(
        self,
        data: City | Any,
        *,
        stream: str | None = None,
        speed: float | None = None,
        rate: float | None = None,
        resume: bool = False,
        progress: Progress = None,
    ) -> PublishReport:
        """Sends a whole city or a table, and returns when each event is acknowledged or has failed.

        Args:
            data: A `City`, or any Arrow data (polars, pyarrow, DuckDB, pandas 3) with the columns of `stream`, in any
                order and of any type that casts without loss; columns that the stream hasn't are left out.
            stream: Whose columns the Arrow data have; a city needs none.
            speed: Simulated seconds in a second; None is as fast as it goes.
            rate: Events in a second; None is no limit.
            resume: Goes on behind what a stopped run of the same city and part has left in the topics; see
                docs/delivery.md.
            progress: See `citystream.progress.shown`.

        Raises:
            DecodeError: A row of the data breaks the stream's schema; names column, row and value. The batches before
                it were sent.
            ConfigError: The topics hold a run of this city with other options, and `resume` is set.
            KafkaError: The broker refused.
        """
        with shown(progress) as callback:
            if isinstance(data, City):
                if stream is not None:
                    raise ConfigError(
                        f"stream {stream!r} is given with a city, which has its own: City(streams=[{stream!r}])"
                    )
                found = self._core.publish_city(data.core, speed=speed, rate=rate, resume=resume, progress=callback)
            else:
                if stream is None:
                    raise ConfigError(
                        'the stream of the table is not given. Say whose columns it has, such as stream="gps"'
                    )
                if speed is not None or rate is not None:
                    raise ConfigError("speed and rate pace a city; a table is sent as fast as it goes. Leave them out")
                if resume:
                    raise ConfigError("resume goes on with a city; a table is sent as it is. Leave it out")
                if not hasattr(data, "__arrow_c_stream__"):
                    raise ConfigError(
                        f"{type(data).__name__} is no Arrow data. Give a City, or what has __arrow_c_stream__"
                    )
                found = self._core.publish_arrow(stream, data, progress=callback)
        report = PublishReport.of(found)
        self._told += report.failed
        return report

    def send(self, stream: str, row: Mapping[str, Any]) -> None:
        """Queues one event; `flush` or the end of the `with` waits for it, and the report of `close` counts it.

        The queue is bounded (500,000 messages, 64 MiB): where it is full, `send` waits for the broker.

        Args:
            stream: The stream.
            row: Its fields by their wire names, times as ISO 8601 text, as `City.rows` gives them.

        Raises:
            DecodeError: A field is unknown, missing or of another type; names field and value. Nothing was sent.
        """
        if not isinstance(row, Mapping):
            raise ConfigError(f"{type(row).__name__} is no row. Give a dict of fields, as City.rows gives them")
        self._core.send(stream, dict(row))

    def flush(self, timeout: times.Duration = "30s") -> None:
        """Waits until every queued event is acknowledged or has failed."""
        self._core.flush(times.duration_ms(timeout, "timeout"))

    def close(self, timeout: times.Duration | None = None) -> PublishReport:
        """Flushes and closes; gives the totals of all that was sent.

        Args:
            timeout: What is not acknowledged by then is given up and counted as queued; it may have been written all
                the same. By default half a minute more than `delivery_timeout`: by then all is delivered or failed.
        """
        try:
            return PublishReport.of(self._core.close(times.duration_ms(timeout or self._patience, "timeout")))
        finally:
            if self._metrics is not None:
                self._metrics.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        report = self.close(None if kind is None else STOP)
        if kind is None and report.failed > self._told:
            count, why = report.failed - self._told, "; ".join(report.errors) or "the broker gave no reason"
            raise KafkaError(f"{count:,} events were not delivered to {self.servers}: {why}. Send them again")

    def __repr__(self) -> str:
        return f"Publisher({self.servers!r}, topics={self.topics!r})"

"""`citystream simulate`: a city's events to Kafka or to files."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from citystream import CitystreamError, ConfigError
from citystream.names import rename_pairs
from citystream.settings import Settings
from citystream.topics import topics_of

from .options import CityOptions, KafkaOptions, MetricsOptions, QueueOptions, command
from .output import Output

if TYPE_CHECKING:
    from citystream import City
    from citystream.names import Rename


class RecordTime(str, Enum):
    """Which time records get."""

    wall = "wall"
    event = "event"


class Sink(str, Enum):
    """Where events go."""

    kafka = "kafka"
    parquet = "parquet"
    ndjson = "ndjson"
    arrow = "arrow"
    trace = "trace"
    stdout = "stdout"


def add_to(app: typer.Typer) -> None:
    """Registers the command."""

    @command(
        app,
        "simulate",
        "citystream simulate --to ndjson --out events --duration 1h",
        "citystream simulate --to kafka --create-topics 4 --speed 60",
        "citystream simulate --to kafka --resume  # after a crash",
        "citystream simulate --to stdout --streams gps --duration 10min | head",
        "citystream simulate --to trace --out trace && citystream simulate --trace trace --to parquet --out events",
    )
    def simulate(
        city: CityOptions,
        kafka: KafkaOptions,
        queue: QueueOptions,
        metrics: MetricsOptions,
        output: Output,
        settings: Settings,
        to: Annotated[Sink, typer.Option(help="Where the events go.")],
        out: Annotated[str | None, typer.Option(help="Folder for files.")] = None,
        speed: Annotated[
            str | None, typer.Option(help="Kafka: max (the default), real, or simulated seconds in a second.")
        ] = None,
        rate: Annotated[float | None, typer.Option(help="Kafka: at most so many events in a second.")] = None,
        reference: Annotated[
            bool, typer.Option("--reference", help="Files: also roads, cameras, stations and vehicles.")
        ] = False,
        create_topics: Annotated[
            int | None, typer.Option(help="Kafka: create missing topics with so many partitions.")
        ] = None,
        wire_format: Annotated[
            str | None, typer.Option("--format", help="Kafka: json (the default), avro, or arrow.")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Kafka: go on behind what a stopped run of this city has sent.")
        ] = False,
        record_time: Annotated[
            RecordTime | None, typer.Option(help="Kafka: records get the wall clock's time, or the event's sentAt.")
        ] = None,
        compression: Annotated[str | None, typer.Option(help="Kafka: lz4, zstd, snappy, gzip or none.")] = None,
        transactional_id: Annotated[str | None, typer.Option(help="Kafka: send in transactions.")] = None,
    ) -> None:
        """Simulates a city and sends or writes its events."""
        made = city.city(settings)
        if to is not Sink.kafka:
            kafkas = {
                f"--metrics-port tells of Kafka, and this goes to {to.value}": metrics.metrics_port,
                f"--speed paces Kafka, and --to {to.value} is as fast as it goes": speed,
                f"--rate paces Kafka, and --to {to.value} is as fast as it goes": rate,
                f"--format is Kafka's, and --to {to.value} is its own format": wire_format,
                f"--schema-registry is Kafka's, and --to {to.value} is its own format": kafka.schema_registry,
                f"--resume goes on in Kafka's topics, and --to {to.value} has none": resume or None,
            }
            for wrong in (text for text, value in kafkas.items() if value is not None):
                raise ConfigError(f"{wrong}. Leave it out")
            topics = topics_of(kafka.keywords(settings)["topics"])
            _write(made, to, out, output, reference=reference, topics=topics, **kafka.wire(settings))
            return
        from citystream import Publisher  # noqa: PLC0415
        from citystream.kafka import STOP  # noqa: PLC0415

        chosen, shared = settings.get("kafka.format", wire_format), kafka.keywords(settings)
        if chosen != "avro" and kafka.schema_registry is None:
            # A registry of the settings may be meant for reading.
            shared["schema_registry"] = None
        with Publisher(
            kafka.servers(settings),
            format=chosen,
            compression=settings.get("kafka.compression", compression),
            create_topics=settings.get("kafka.create_topics", create_topics),
            transactional_id=settings.get("kafka.transactional_id", transactional_id),
            record_time=settings.get("kafka.record_time", None if record_time is None else record_time.value),
            **shared,
            **queue.keywords(settings),
            **metrics.keywords(settings),
        ) as publisher:
            if publisher.metrics_url is not None:
                output.note(f"Metrics at {publisher.metrics_url}")
            try:
                report = publisher.publish(
                    made, speed=_speed(speed), rate=rate, resume=resume, progress=output.progress
                )
            except KeyboardInterrupt:
                output.report(publisher.close(STOP), f"Published to {publisher.servers} before it was stopped")
                raise
            except CitystreamError:
                sent = publisher.close(STOP)
                output.note(f"{sent.delivered:,} events delivered, {sent.failed:,} failed, {sent.queued:,} given up")
                raise
        output.report(report, f"Published to {publisher.servers}")
        output.status = 1 if report.failed or report.queued else 0


def _write(
    city: City,
    to: Sink,
    out: str | None,
    output: Output,
    *,
    reference: bool,
    topics: dict[str, str],
    names: str,
    rename: Rename | None,
) -> None:
    from citystream.city import WriteReport  # noqa: PLC0415
    from citystream.progress import shown  # noqa: PLC0415

    if to is Sink.stdout and (out is not None or output.json):
        raise ConfigError(f"{'--out' if out is not None else '--json'} can't be used with --to stdout. Leave it out")
    if to is not Sink.stdout and out is None:
        raise ConfigError(f"--to {to.value} has no folder. Add --out FOLDER")
    if to is Sink.trace and out is not None:
        output.report(city.trace(out, progress=output.progress), f"Saved to {out}")
        return
    with shown(output.progress) as callback:
        found = city.core.write(
            to=to.value,
            out=out,
            reference=reference,
            topics=topics,
            names=names,
            rename=rename_pairs(rename),
            progress=callback,
        )
    if to is not Sink.stdout:
        report = WriteReport(
            events=sum(found["events"].values()),
            by_stream=dict(found["events"]),
            reference=found["reference"],
            bytes=found["bytes"],
            seconds=found["seconds"],
            files=tuple(found["files"]),
        )
        output.report(report, f"Written to {out}")


def _speed(text: str | None) -> float | None:
    named = {None: None, "max": None, "real": 1.0}
    if text in named:
        return named[text]
    try:
        speed = float(text or "")
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise ConfigError(f"--speed {text!r} is no speed. Write max, real, or a number above 0 such as 60")
    return speed

"""`citystream topics create | describe`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from citystream.report import text
from citystream.security import security_of
from citystream.settings import Settings
from citystream.times import duration_ms
from citystream.topics import REFERENCE, servers_of, topics_of

from .options import KafkaOptions, command
from .output import Output


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    group = typer.Typer(no_args_is_help=True)
    _create(group)
    _describe(group)
    app.add_typer(group, name="topics", help="Creates and describes the streams' topics.")


def _create(app: typer.Typer) -> None:
    @command(
        app,
        "create",
        "citystream topics create --partitions 4",
        "citystream topics create --partitions 12 --replication 3",
    )
    def create(
        kafka: KafkaOptions,
        output: Output,
        settings: Settings,
        partitions: Annotated[int, typer.Option(help="Partitions of each topic.")] = 4,
        replication: Annotated[int, typer.Option(help="Copies of each partition.")] = 1,
    ) -> None:
        """Creates the topics that don't exist; that of the reference stream is compacted."""
        from citystream import _core  # noqa: PLC0415

        shared = kafka.keywords(settings)
        names = topics_of(shared["topics"])
        servers = servers_of(kafka.servers(settings))
        found = _core.create_topics(
            servers,
            list(names.values()),
            partitions,
            replication,
            security_of(shared["security"], servers),
            duration_ms(shared["timeout"], "timeout"),
            [names[REFERENCE]],
        )
        _show(found, output, "Topics")


def _describe(app: typer.Typer) -> None:
    @command(app, "describe", "citystream topics describe", "citystream topics describe gps_data")
    def describe(
        kafka: KafkaOptions,
        output: Output,
        settings: Settings,
        topic_name: Annotated[
            list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Else the streams' topics.")
        ] = None,
    ) -> None:
        """Describes topics: partitions, offsets, records."""
        from citystream import _core  # noqa: PLC0415

        shared = kafka.keywords(settings)
        servers = servers_of(kafka.servers(settings))
        found = _core.describe_topics(
            servers,
            topic_name or list(topics_of(shared["topics"]).values()),
            security_of(shared["security"], servers),
            duration_ms(shared["timeout"], "timeout"),
        )
        _show(found, output, "Topics")


def _show(found: list[dict[str, Any]], output: Output, title: str) -> None:
    output.document({"topics": found})
    if output.words:
        headings = list(dict.fromkeys(key for topic in found for key in topic))
        output.table(title, headings, ([text(topic.get(heading)) for heading in headings] for topic in found))

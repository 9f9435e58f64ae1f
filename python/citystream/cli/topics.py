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

Writers = Annotated[
    int, typer.Option(help="Parts of the city that publish at once; warns where there are more of them.")
]


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
        "citystream topics create --partitions 12 --replication 3 --retention 30d",
        "citystream topics create --partitions 8 --writers 8",
    )
    def create(
        kafka: KafkaOptions,
        output: Output,
        settings: Settings,
        partitions: Annotated[int, typer.Option(help="Partitions of each topic.")] = 4,
        replication: Annotated[int, typer.Option(help="Copies of each partition.")] = 1,
        retention: Annotated[
            str | None, typer.Option(help="How long records stay, such as 7d, or forever; else as the broker has it.")
        ] = None,
        writers: Writers = 1,
    ) -> None:
        """Creates the topics that don't exist; that of the reference stream is compacted."""
        from citystream import _core  # noqa: PLC0415

        shared = kafka.keywords(settings)
        names = topics_of(shared["topics"])
        servers = servers_of(kafka.servers(settings))
        login = (security_of(shared["security"], servers), duration_ms(shared["timeout"], "timeout"))
        made = _core.create_topics(
            servers, list(names.values()), partitions, replication, *login, [names[REFERENCE]], _retention(retention)
        )
        found = _core.describe_topics(servers, list(names.values()), *login)
        there = {topic["topic"] for topic in made if not topic["created"]}
        warnings = [
            f"topic {topic['topic']} was there before and has {len(topic['partitions'])} partitions, not {partitions}"
            for topic in found
            if topic["topic"] in there and len(topic["partitions"]) != partitions
        ]
        created = {topic["topic"]: topic["created"] for topic in made}
        rows = [
            {
                "topic": topic["topic"],
                "created": created[topic["topic"]],
                "partitions": len(topic["partitions"]),
                "settings": topic["settings"],
            }
            for topic in found
        ]
        _show(rows, warnings + _few(found, names[REFERENCE], writers), output)


def _describe(app: typer.Typer) -> None:
    @command(
        app,
        "describe",
        "citystream topics describe",
        "citystream topics describe gps_data --json",
    )
    def describe(
        kafka: KafkaOptions,
        output: Output,
        settings: Settings,
        topic_name: Annotated[
            list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Else the streams' topics.")
        ] = None,
        writers: Writers = 1,
    ) -> None:
        """Describes topics: partitions, offsets, retention, compaction."""
        from citystream import _core  # noqa: PLC0415

        shared = kafka.keywords(settings)
        names = topics_of(shared["topics"])
        servers = servers_of(kafka.servers(settings))
        found = _core.describe_topics(
            servers,
            topic_name or list(names.values()),
            security_of(shared["security"], servers),
            duration_ms(shared["timeout"], "timeout"),
        )
        _show(found, _few(found, names[REFERENCE], writers), output)


def _retention(given: str | None) -> int | None:
    if given is None or given == "forever":
        return None if given is None else -1
    return duration_ms(given, "--retention")


def _few(found: list[dict[str, Any]], reference: str, writers: int) -> list[str]:
    """Topics with fewer partitions than writers, and a reference stream that is not compacted."""
    warnings = [
        f"topic {topic['topic']} has {len(topic['partitions'])} partitions for {writers} writers, which share them: "
        f"add partitions before anything is published, kafka-topics --alter --partitions {writers}"
        for topic in found
        if topic["topic"] != reference and len(topic["partitions"]) < writers
    ]
    for topic in found:
        policy = topic["settings"].get("cleanup.policy", "compact")
        if topic["topic"] == reference and "compact" not in policy:
            warnings.append(
                f"topic {reference} of the reference stream is not compacted (cleanup.policy={policy}): retention will "
                "take roads and cameras away: kafka-configs --alter --add-config cleanup.policy=compact"
            )
    return warnings


def _show(found: list[dict[str, Any]], warnings: list[str], output: Output) -> None:
    output.document({"topics": found, "warnings": warnings})
    for warning in warnings:
        output.note(f"Warning: {warning}")
    if output.words:
        output.table(
            "Topics", ("topic", "created", "partitions", "records", "cleanup", "retention"), map(_cells, found)
        )


def _cells(topic: dict[str, Any]) -> list[str]:
    partitions, settings = topic["partitions"], topic["settings"]
    counted = isinstance(partitions, list)
    # Offsets, so what transactions and compaction left out is counted, too.
    records = sum(p["high"] - p["low"] for p in partitions) if counted else None
    kept = settings.get("retention.ms")
    compacted = settings.get("cleanup.policy") == "compact"
    return [
        topic["topic"],
        text(topic.get("created")),
        text(len(partitions) if counted else partitions),
        text(records),
        settings.get("cleanup.policy", "–"),
        "–" if kept is None or compacted else _age(int(kept)),
    ]


def _age(ms: int) -> str:
    if ms < 0:
        return "forever"
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"

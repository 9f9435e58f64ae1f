"""Which topic carries which stream, and where the servers are: the original scripts' variables, then defaults."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import ConfigError
from .nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS = ("vehicle", "gps", "traffic", "weather", "emergency")
REFERENCE = "reference"

SERVERS_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
DEFAULTS = {**{stream: f"{stream}_data" for stream in EVENTS}, REFERENCE: "reference_data"}


def variable(stream: str) -> str:
    """The environment variable that names a stream's topic."""
    return f"{stream.upper()}_TOPIC"


def topics_of(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each stream's topic: as given, else by its variable (`GPS_TOPIC`), else the default (`gps_data`).

    Raises:
        ConfigError: A stream that doesn't exist, or one topic for two streams.
    """
    given = given or {}
    for stream in given:
        if stream not in DEFAULTS:
            hint = nearest(stream, DEFAULTS) or f"Choose from {', '.join(DEFAULTS)}"
            raise ConfigError(f"a topic is given for the unknown stream {stream!r}. {hint}")
    chosen = {s: given.get(s) or os.environ.get(variable(s)) or default for s, default in DEFAULTS.items()}
    by_topic: dict[str, str] = {}
    for stream, topic in chosen.items():
        if topic in by_topic:
            raise ConfigError(
                f"the streams {by_topic[topic]!r} and {stream!r} share the topic {topic!r}. Give each its own"
            )
        by_topic[topic] = stream
    return chosen


def servers_of(given: str | None = None) -> str:
    """The bootstrap servers: as given, else by `KAFKA_BOOTSTRAP_SERVERS`.

    Raises:
        ConfigError: Neither is set.
    """
    chosen = given or os.environ.get(SERVERS_VARIABLE)
    if not chosen:
        raise ConfigError(f'no Kafka servers are given. Pass them, such as "localhost:9092", or set {SERVERS_VARIABLE}')
    return chosen

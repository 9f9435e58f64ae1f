"""The exceptions, by meaning. Each message names the thing, its value, and the way out."""

from ._core import (
    CitystreamError,
    ConfigError,
    ConflictError,
    DecodeError,
    ForkedError,
    GapError,
    KafkaConnectionError,
    KafkaError,
    StoreError,
    TableError,
)

__all__ = [
    "CitystreamError",
    "ConfigError",
    "ConflictError",
    "DecodeError",
    "ForkedError",
    "GapError",
    "KafkaConnectionError",
    "KafkaError",
    "StoreError",
    "TableError",
]

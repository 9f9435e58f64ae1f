"""What fields are called on the wire, and where the schemas of Avro messages are; see `docs/formats.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# {"make": "brand"} for all streams that have the field, {"vehicle": {"make": "brand"}} for one.
Rename: TypeAlias = "Mapping[str, str | Mapping[str, str]]"

# The address, or {"url": ..., "user": ..., "password": ..., "ca": a PEM file}.
SchemaRegistry: TypeAlias = "str | Mapping[str, str]"


def registry_pairs(registry: SchemaRegistry | None) -> dict[str, str] | None:
    """The registry's address and login, as the core takes them."""
    if registry is None:
        return None
    return {"url": registry} if isinstance(registry, str) else dict(registry)


def rename_pairs(rename: Rename | None) -> list[tuple[str, str]]:
    """Pairs of a field and its name on the wire; a field of one stream is `stream.field`.

    Raises:
        ConfigError: A name is no text.
    """
    return list(_pairs(rename or {}))


def _pairs(rename: Rename, above: str = "") -> Iterator[tuple[str, str]]:
    for field, name in rename.items():
        if isinstance(name, str):
            yield above + field, name
        elif hasattr(name, "items") and not above:
            yield from _pairs(name, f"{field}.")
        else:
            raise ConfigError(f'rename gives {above + field!r} the name {name!r}. Write it like {{"make": "brand"}}')

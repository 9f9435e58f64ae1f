"""What fields are called on the wire, where others call them otherwise than `docs/streams.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# {"make": "brand"} for all streams that have the field, {"vehicle": {"make": "brand"}} for one.
Rename: TypeAlias = "Mapping[str, str | Mapping[str, str]]"


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

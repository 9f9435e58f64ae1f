"""A figure: what is measured, and beside which peers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benches.bench import Bench
    from benches.table import Table


@dataclass(frozen=True)
class Figure:
    """One section of RESULTS.md.

    Args:
        name: For `--only`.
        title: The section's heading.
        what: What the work is, on both sides.
        measure: Does it.
        peers: Scripts of `peers/`.
        no_peer: Why there is none, where `peers` is empty.
    """

    name: str
    title: str
    what: str
    measure: Callable[[Bench], Sequence[Table]]
    peers: tuple[str, ...] = ()
    no_peer: str | None = None

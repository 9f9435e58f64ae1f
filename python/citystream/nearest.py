"""Did you mean …?"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> str:
    """A sentence that names what was probably meant; empty where nothing is near.

    Examples:
        >>> nearest("gsp", ["gps", "traffic"])
        "Did you mean 'gps'?"
    """
    found = difflib.get_close_matches(wrong, list(known), 1)
    return f"Did you mean {found[0]!r}?" if found else ""

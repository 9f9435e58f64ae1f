"""Gold's queries with their time filled in."""

from citystream.sql.spark import between

__all__ = ["between"]

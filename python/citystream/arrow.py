"""Arrow data by PyCapsule: what polars, pyarrow, pandas and DuckDB take without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import _core

_ROWS = 4096


class ArrowStream:
    """Arrow data that are made, batch by batch, when a consumer asks for them; each consumer gets them from the start.

    Examples:
        >>> import citystream as cs, polars as pl
        >>> city = cs.City(vehicles=50, duration="1h")
        >>> pl.DataFrame(city.events("weather")).columns[:3]
        ['id', 'deviceId', 'location']
    """

    def __init__(self, name: str, core: _core.ArrowStream) -> None:
        self.name = name
        self._core = core

    @property
    def schema(self) -> _core.ArrowSchema:
        """The Arrow schema, by `__arrow_c_schema__`, with the columns' `names`."""
        return self._core.schema

    # With this, DuckDB needn't start the stream to see its columns.
    def __arrow_c_schema__(self) -> Any:
        return self._core.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._core.__arrow_c_stream__(requested_schema)

    def __iter__(self) -> Iterator[_core.ArrowBatch]:
        """The record batches."""
        return iter(self._core)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows as dicts that `json.dumps` takes; times are ISO 8601 text with milliseconds."""
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            con.register("data", self)
            names, types = con.table("data").columns, con.table("data").types
            listed = ", ".join(_for_json(_quoted(name), kind) for name, kind in zip(names, types, strict=True))
            con.execute(f"SELECT {listed} FROM data")
            while rows := con.fetchmany(_ROWS):
                for row in rows:
                    yield dict(zip(names, row, strict=True))

    def __repr__(self) -> str:
        return f"<Arrow stream {self.name!r}; hand it to polars.DataFrame, pyarrow.table or duckdb>"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _for_json(expression: str, kind: Any) -> str:
    if kind.id == "timestamp with time zone":
        return f"strftime({expression}, '%Y-%m-%dT%H:%M:%S.%gZ')"
    if kind.id == "struct":
        fields = ", ".join(f"{_quoted(n)} := {_for_json(f'{expression}.{_quoted(n)}', k)}" for n, k in kind.children)
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({fields}) END"
    return expression

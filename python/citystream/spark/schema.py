"""Arrow schemas as Spark's.

Spark takes Arrow batches only in the types that it would make itself: columns in the declared order, all nullable,
times in microseconds UTC, lists whose field is called `element`. Ours are of these types, so nothing is converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import types as t

from citystream import _core
from citystream.errors import ConfigError

from .needs import pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterable


def of(schema: Any) -> t.StructType:
    """The Spark schema of Arrow data.

    Args:
        schema: Anything with `__arrow_c_schema__`.

    Raises:
        ConfigError: pyarrow is missing, or a column has a type that Spark lacks.
    """
    return _struct(pyarrow().schema(schema))


def of_wire(stream: str) -> t.StructType:
    """The schema of a stream's events, as docs/streams.md has it."""
    return of(_core.wire_schema(stream))


def of_silver(stream: str) -> dict[str, t.StructType]:
    """The schemas of `silver.<stream>`, `silver.quarantine` and `silver.dead_letter`, by the last part of the name."""
    none = pyarrow().schema(_core.wire_schema(stream)).empty_table()
    names = ("silver", "quarantine", "dead_letter")
    return {name: of(rows.schema) for name, rows in zip(names, _core.silver(stream, none), strict=True)}


def _struct(fields: Iterable[Any]) -> t.StructType:
    return t.StructType([t.StructField(f.name, _type(f.name, f.type), nullable=f.nullable) for f in fields])


def _type(name: str, kind: Any) -> t.DataType:
    pa = pyarrow()
    plain = {
        pa.string(): t.StringType(),
        pa.binary(): t.BinaryType(),
        pa.bool_(): t.BooleanType(),
        pa.int32(): t.IntegerType(),
        pa.int64(): t.LongType(),
        pa.float64(): t.DoubleType(),
        pa.date32(): t.DateType(),
        pa.timestamp("us", tz="UTC"): t.TimestampType(),
    }
    if kind in plain:
        return plain[kind]
    if pa.types.is_list(kind):
        return t.ArrayType(_type(name, kind.value_type), containsNull=kind.value_field.nullable)
    if pa.types.is_struct(kind):
        return _struct(kind)
    raise ConfigError(f"the column {name} has the Arrow type {kind}, which Spark does not take. Cast it first")

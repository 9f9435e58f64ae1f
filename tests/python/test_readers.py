"""The tables of a finished run as deltalake, DuckDB, polars and Spark read them: the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

if TYPE_CHECKING:
    from collections.abc import Callable

# PySpark leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Every tier and every kind of column: lists, structs, dates, nulls, tables without rows.
LEAST_TABLES = 20


def fingerprint(rows: Any) -> tuple[list[str], int, int]:
    """Columns, rows, and a sum over the rows' texts that no order changes."""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("rows", rows)
        columns = sorted(name for name, *_ in con.execute("DESCRIBE rows").fetchall())
        texts = ", ".join(f"coalesce(CAST(\"{name}\" AS VARCHAR), '\\N')" for name in columns)
        count, total = con.execute(
            f"SELECT count(*), coalesce(sum(hash(concat_ws('|', {texts}))), 0) FROM rows"
        ).fetchone()
        return columns, count, int(total)


def by_deltalake(path: str, _: Any) -> Any:
    return DeltaTable(path).to_pyarrow_table()


def by_duckdb(path: str, _: Any) -> Any:
    table = DeltaTable(path)
    files = table.file_uris()
    if not files:
        return table.to_pyarrow_table()
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        partitions = table.metadata().partition_columns
        kinds = ", ".join(f"'{name}': {'BOOLEAN' if name == 'decoded' else 'DATE'}" for name in partitions)
        hive = f", hive_partitioning = true, hive_types = {{{kinds}}}" if partitions else ""
        return con.sql(f"FROM read_parquet({files}, union_by_name = true{hive})").to_arrow_table()


def by_polars(path: str, _: Any) -> Any:
    return pl.read_delta(path).to_arrow()


def by_spark(path: str, spark: Any) -> Any:
    return spark.read.format("delta").load(path).toArrow()


@pytest.mark.parametrize("read", [by_deltalake, by_duckdb, by_polars, by_spark])
def test_others_read_every_table_unchanged(small_lake, read: Callable[..., Any], request):
    spark = request.getfixturevalue("spark") if read is by_spark else None
    names = [info.name for info in small_lake.tables()]
    assert len(names) >= LEAST_TABLES
    rows = 0
    for name in names:
        tier, table = name.split(".")
        ours = fingerprint(small_lake.table(name))
        assert fingerprint(read(f"{small_lake.path}/{tier}/{table}", spark)) == ours, name
        rows += ours[1]
    assert rows > 10_000

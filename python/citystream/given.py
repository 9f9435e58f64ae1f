"""Tables that somebody else made, as Arrow: Parquet files and folders, Delta tables, anything that is Arrow already."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import duckdb

from . import _core
from .errors import ConfigError, StoreError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Arrow data, or where Parquet files or a Delta table are.
Data: TypeAlias = "Any | str | os.PathLike[str]"

LOG = "_delta_log"

# What readers must understand to see a table's rows right; without a name here, this one doesn't.
_FEATURES = frozenset({"timestampNtz", "appendOnly", "invariants", "checkConstraints", "vacuumProtocolCheck"})
_PLAIN_READER = 1
_FEATURE_READER = 3
_TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
    "timestamp_ntz": "TIMESTAMP",
}


def is_path(data: Data) -> bool:
    """Whether it names files."""
    return isinstance(data, str | os.PathLike)


def on_s3(data: Any) -> bool:
    """Whether it is an address on S3."""
    return isinstance(data, str) and data.startswith(("s3://", "s3a://"))


def fetched(address: str, into: Path, storage_options: Mapping[str, str] | None) -> Path:
    """A copy of a file or folder on S3, under its own name in the folder `into`.

    Raises:
        ConfigError: The address names no bucket, or an option is wrong.
        StoreError: There is nothing, or it can't be read.
    """
    name = address.rstrip("/").rpartition("/")[2]
    copy = into / name
    _core.fetch(address, copy, storage_options=storage_options)
    return copy / name if (copy / name).is_file() else copy


class Opened:
    """Arrow data of files; keeps open what reads them."""

    def __init__(self, con: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation) -> None:
        self._con = con
        self._relation = relation

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._relation.__arrow_c_stream__(requested_schema)


def arrow(data: Data) -> Any:
    """Arrow data of what was given.

    Args:
        data: Arrow data, which is given back; a Parquet file; a folder of them, at any depth; a Delta table's folder.

    Raises:
        StoreError: There is no such file, or it is no Parquet file.
        TableError: The Delta table needs more of its readers than this one can.
        ConfigError: It is neither a path nor Arrow data.
    """
    if not is_path(data):
        if not (hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")):
            raise ConfigError(f"{type(data).__name__} is no table. Give Arrow data, a Parquet path or a Delta table")
        return data
    path = Path(data)
    if (path / LOG).is_dir():
        files, schema = delta_files(path)
        return _opened(files) if files else _empty(schema)
    if path.is_dir():
        found = sorted(str(file) for file in path.rglob("*.parquet") if not _hidden(file.relative_to(path)))
        if not found:
            raise StoreError(f"{path} holds no Parquet file. Give a file, a folder of them, or a Delta table")
        return _opened(found)
    if not path.exists():
        raise StoreError(f"{path} does not exist. Give a Parquet file, a folder of them, or a Delta table")
    return _opened([str(path)])


def delta_files(path: Path) -> tuple[list[str], dict[str, Any]]:
    """The files of a Delta table's newest version, and its schema, read from its log.

    Raises:
        TableError: The log is broken, or the table needs what isn't known here, such as deletion vectors.
    """
    state: dict[str, Any] = {"files": {}, "schema": None}
    for action in _actions(path / LOG):
        if (protocol := action.get("protocol")) is not None:
            _check(path, protocol)
        if (metadata := action.get("metaData")) is not None:
            state["schema"] = json.loads(metadata["schemaString"])
        if (add := action.get("add")) is not None:
            state["files"][add["path"]] = None
        if (remove := action.get("remove")) is not None:
            state["files"].pop(remove["path"], None)
    if state["schema"] is None:
        raise TableError(f"the log of {path} names no schema. Is it whole?")
    return [_absolute(path, name) for name in state["files"]], state["schema"]


def _actions(log: Path) -> Iterator[dict[str, Any]]:
    """Every action from the last checkpoint on, in order."""
    start = 0
    if (last := log / "_last_checkpoint").exists():
        found = json.loads(last.read_text(encoding="utf-8"))
        start = found["version"]
        parts = found.get("parts")
        name = f"{start:020}.checkpoint"
        files = (
            [log / f"{name}.parquet"]
            if parts is None
            else [log / f"{name}.{n:010}.{parts:010}.parquet" for n in range(1, parts + 1)]
        )
        if not all(file.exists() for file in files):
            raise TableError(
                f"the checkpoint {start} of {log.parent} is of another kind. Give the table's rows as Arrow"
            )
        yield from _checkpoint([str(file) for file in files])
        start += 1
    commits = sorted(file for file in log.glob("*.json") if file.stem.isdecimal() and int(file.stem) >= start)
    for number, file in enumerate(commits):
        if int(file.stem) != start + number:
            raise TableError(f"the log of {log.parent} lacks version {start + number}. Is it whole?")
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip():
                yield json.loads(line)


def _checkpoint(files: Sequence[str]) -> Iterator[dict[str, Any]]:
    with duckdb.connect() as con:
        for action, wanted in (("protocol", None), ("metaData", "schemaString"), ("add", "path")):
            columns = [row[0] for row in con.execute("DESCRIBE FROM read_parquet(?)", [list(files)]).fetchall()]
            if action not in columns:
                continue
            what = f"to_json({action})" if wanted is None else f"to_json(struct_pack({wanted} := {action}.{wanted}))"
            query = f"SELECT {what} FROM read_parquet(?) WHERE {action} IS NOT NULL"
            for (text,) in con.execute(query, [list(files)]).fetchall():
                yield {action: json.loads(text)}


def _check(path: Path, protocol: dict[str, Any]) -> None:
    version = protocol["minReaderVersion"]
    strange = sorted(set(protocol.get("readerFeatures") or ()) - _FEATURES)
    if version == _PLAIN_READER or (version == _FEATURE_READER and not strange):
        return
    needs = ", ".join(strange) or f"reader version {version}"
    raise TableError(f"the Delta table {path} needs {needs}. Give its rows as Arrow, read by its own engine")


def _absolute(path: Path, name: str) -> str:
    plain = unquote(name)
    if "://" in plain:
        raise TableError(f"the Delta table {path} has files elsewhere, such as {plain}. Give its rows as Arrow")
    return str(path / plain)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _opened(files: Sequence[str]) -> Opened:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    try:
        # Partition values stand in the folders' names only; they stay texts, which are cast to what is wanted.
        relation = con.read_parquet(list(files), union_by_name=True, hive_partitioning=True)
    except duckdb.Error as error:
        raise StoreError(f"{files[0]} can't be read: {error}. Give Parquet files") from error
    return Opened(con, relation)


def _empty(schema: dict[str, Any]) -> Opened:
    con = duckdb.connect()
    columns = ", ".join(f"NULL::{_type(f['type'])} AS {_quoted(f['name'])}" for f in schema["fields"])
    return Opened(con, con.sql(f"SELECT {columns} WHERE false"))


def _type(kind: Any) -> str:
    if isinstance(kind, str):
        return kind if kind.startswith("decimal") else _TYPES[kind]
    if kind["type"] == "array":
        return f"{_type(kind['elementType'])}[]"
    if kind["type"] == "map":
        return f"MAP({_type(kind['keyType'])}, {_type(kind['valueType'])})"
    members = ", ".join(f"{_quoted(f['name'])} {_type(f['type'])}" for f in kind["fields"])
    return f"STRUCT({members})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

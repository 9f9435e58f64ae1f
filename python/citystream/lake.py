"""A lake: bronze, silver and gold tables in a folder or on S3."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from . import _core, gold, sql, times
from .arrow import ArrowStream
from .city import City
from .errors import ConfigError
from .metrics import METRICS_HOST, endpoint
from .names import registry_pairs, rename_pairs
from .nearest import nearest
from .progress import Progress, shown
from .report import Report, per_second, size
from .security import security_of
from .topics import REFERENCE, servers_of, topics_of

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Iterator, Mapping

    from .names import Rename, SchemaRegistry

# Tables of this prefix are made by SQL, the others by Rust.
_SQL_TIERS = ("dim.", "gold.")


@dataclass(frozen=True)
class Partition(Report):
    """How far one Kafka partition was read: offsets from `start` to before `end`; `lag` records are left."""

    topic: str
    partition: int
    start: int
    end: int
    lag: int | None


@dataclass(frozen=True)
class IngestReport(Report):
    """What came into bronze.

    `records` are those of the event streams, `undecodable` ones among them, `reference` those of the reference stream.
    `skipped` are offsets without a record for us, such as markers of transactions;
    `conflicts` are commits that another writer won, which were read again.
    """

    records: int
    undecodable: int
    reference: int
    skipped: int
    commits: int
    conflicts: int
    seconds: float
    by_stream: dict[str, int]
    partitions: tuple[Partition, ...]
    warnings: tuple[str, ...]
    bytes: int = 0
    """Key and value bytes of what was read from Kafka."""
    rate: float = 0.0
    """Records in a second."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> IngestReport:
        """From the core's answer."""
        return cls(
            records=sum(count for stream, count in found["records"].items() if stream != REFERENCE),
            undecodable=sum(found["undecodable"].values()),
            reference=found["records"].get(REFERENCE, 0),
            skipped=found["skipped"],
            commits=found["commits"],
            conflicts=found["conflicts"],
            seconds=found["seconds"],
            by_stream={stream: count for stream, count in found["records"].items() if stream != REFERENCE},
            partitions=tuple(
                Partition(p["topic"], p["partition"], p["from"], p["to"], p["lag"]) for p in found["partitions"]
            ),
            warnings=tuple(found["warnings"]),
            bytes=found["bytes"],
            rate=per_second(sum(found["records"].values()), found["seconds"]),
        )


@dataclass(frozen=True)
class RefineReport(Report):
    """New rows of silver by stream, rows set aside, and what happened to each dim and gold table."""

    silver: dict[str, int]
    dead_letter: int
    quarantine: int
    duplicate: int
    tables: tuple[gold.Refreshed, ...]
    seconds: float

    @property
    def rows(self) -> dict[str, int]:
        """Rows written by table."""
        own = {f"silver.{stream}": rows for stream, rows in self.silver.items()}
        side = {f"silver.{name}": getattr(self, name) for name in ("dead_letter", "quarantine", "duplicate")}
        return {**own, **side, **{table.name: table.rows for table in self.tables}}


@dataclass(frozen=True)
class Protection(Report):
    """One measure that makes a bucket safe.

    `outcome`: "done", "held already", "not supported by this server", "not permitted" or "failed".
    """

    measure: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class TableInfo(Report):
    """One table of a lake. `lag`: commits of its sources that a dim or gold table hasn't taken in; None for others."""

    name: str
    rows: int
    files: int
    bytes: int
    version: int
    lag: int | None
    last_commit: dt.datetime | None


class Tables(tuple[TableInfo, ...]):
    """The tables of a lake, printed as a table."""

    __slots__ = ()

    HEADINGS = ("table", "rows", "files", "size", "version", "lag", "last commit")

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Each table's values for people."""
        for t in self:
            last = "–" if t.last_commit is None else f"{t.last_commit:%Y-%m-%d %H:%M:%S}"
            lag = "–" if t.lag is None else f"{t.lag:,}"
            yield t.name, f"{t.rows:,}", f"{t.files:,}", size(t.bytes), f"{t.version:,}", lag, last

    def __repr__(self) -> str:
        lines = [self.HEADINGS, *self.cells()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.HEADINGS))]
        return "\n".join(
            "  ".join(c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{heading}</th>" for heading in self.HEADINGS)
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in self.cells())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class Table(ArrowStream):
    """One version of a table as Arrow; what is committed later doesn't change it."""

    def __init__(self, name: str, found: Mapping[str, Any]) -> None:
        super().__init__(name, found["data"])
        #: Version of the table.
        self.version: int = found["version"]
        #: The folder of its Delta log.
        self.path: str = found["path"]
        #: Paths of its Parquet files.
        self.files: list[str] = [file["path"] for file in found["files"]]
        #: Rows in them.
        self.row_count: int = sum(file["rows"] for file in found["files"])

    def __repr__(self) -> str:
        return f"<table {self.name!r}, version {self.version}: {self.row_count:,} rows in {len(self.files):,} files>"


class Lake:
    """Delta tables in three tiers, in a folder or on S3, each readable by DuckDB, polars, deltalake and Spark.

    Bronze holds every record that came in, silver what is valid and unique, gold what one wants to know.

    Args:
        path: The folder, or an address like s3://bucket/prefix.
        storage_options: How S3 is reached, such as {"region": "eu-west-1"}: delta-rs's keys, listed in docs/s3.md. What
            they leave open, the AWS_ variables say. A folder has none.
        create: Whether to make the lake where it doesn't exist.

    Raises:
        TableError: The folder holds something else, or doesn't exist and `create` is False.
        ConfigError: A storage option is unknown or wrong.
        StoreError: It can't be reached or written, or the credentials may not do that.

    Examples:
        >>> import citystream as cs
        >>> lake = cs.Lake(tmp / "lake")
        >>> lake.ingest(cs.City(vehicles=50, duration="1h")).undecodable
        0
        >>> report = lake.refine()
        >>> lake.query("select count(*) > 0 from gold.air_quality_hourly").fetchall()
        [(True,)]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        storage_options: Mapping[str, str] | None = None,
        create: bool = True,
    ) -> None:
        options = None if storage_options is None else dict(storage_options)
        self.core = _core.Lake(str(path), storage_options=options, create=create)
        self._metrics: dict[tuple[str, int], _core.Metrics] = {}

    @property
    def path(self) -> str:
        """Where it is."""
        return self.core.path

    @staticmethod
    def protect(
        path: str | os.PathLike[str], *, storage_options: Mapping[str, str] | None = None
    ) -> tuple[Protection, ...]:
        """Makes the bucket of a lake safe, and the bucket itself where it doesn't exist; docs/s3.md has the measures.

        What the bucket has beyond them, such as other rules, stays. A measure that the server doesn't know or the
        credentials don't allow is no error: its outcome says so.

        Args:
            path: The lake's address; it need not be a lake yet. A local folder needs no measure.
            storage_options: As for `Lake`.

        Raises:
            StoreError: The bucket is missing and can't be made, or can't be reached.
        """
        options = None if storage_options is None else dict(storage_options)
        return tuple(Protection(*taken) for taken in _core.Lake.protect(str(path), storage_options=options))

    def metrics(self, port: int, host: str = METRICS_HOST) -> _core.Metrics:
        """The endpoint for Prometheus that `ingest` counts for; opened at the first call.

        Args:
            port: 0 is any that is free; `url` of the result tells which.
            host: The address to serve at.
        """
        found = self._metrics.get((host, port))
        if found is None:
            found = self._metrics[host, port] = endpoint(port, host)
        return found

    def ingest(
        self,
        source: City | str | None = None,
        *,
        follow: bool = False,
        topics: Mapping[str, str] | None = None,
        security: Mapping[str, Any] | None = None,
        names: str = "camel",
        rename: Rename | None = None,
        schema_registry: SchemaRegistry | None = None,
        on_gap: str = "error",
        new_epoch: bool = False,
        pipeline: str = "default",
        file_bytes: int | None = None,
        file_rows: int | None = None,
        max_age: times.Duration | None = None,
        memory_bytes: int | None = None,
        prefetch_bytes: int | None = None,
        timeout: times.Duration = "30s",
        metrics_port: int | None = None,
        metrics_host: str = METRICS_HOST,
        progress: Progress = None,
    ) -> IngestReport:
        """Takes everything new into bronze, each record once, however often it is called or stopped.

        Args:
            source: Kafka's bootstrap servers (None takes KAFKA_BOOTSTRAP_SERVERS), or a `City`, which needs no broker.
            follow: Goes on until Ctrl-C; otherwise stops at the topics' present end.
            topics: Topic of a stream; the rest by GPS_TOPIC and so on, else the defaults. A default topic that doesn't
                exist gives a warning.
            security: Login and encryption, as for `Publisher`.
            names: Spelling of the fields in the topics: "camel", as in docs/streams.md, or "snake" (device_id). The
                tables always have the names of docs/streams.md.
            rename: Other names of single fields in the topics: {"make": "brand"} for all streams that have it,
                {"vehicle": {"make": "brand"}} for one.
            schema_registry: Where the schemas of Avro messages are: the registry's address, or
                {"url": ..., "user": ..., "password": ..., "ca": ...}. JSON, Avro and Arrow messages are told apart
                by their first bytes.
            on_gap: What to do where records that were not yet read are gone from the topic: "error".
            new_epoch: Takes a topic that was deleted and made anew from its start.
            pipeline: Name under which the offsets are kept; two pipelines read independently.
            file_bytes: A commit is due at this size of a file.
            file_rows: A commit is due at this many rows.
            max_age: A commit is due at this age of the oldest record.
            memory_bytes: A commit is due at this much memory, over all tables; 64 MiB where it is None.
            prefetch_bytes: Records fetched ahead, over all topics; 8 MiB where it is None.
            timeout: How long the broker may be unreachable before that is an error.
            metrics_port: Serves the figures for Prometheus there, as long as this object lives, so that those of
                several calls add up. See docs/metrics.md.
            metrics_host: The address to serve them at; "0.0.0.0" is every one of this machine.
            progress: See `citystream.progress.shown`.

        Raises:
            KafkaConnectionError: The broker can't be reached.
            KafkaError: A topic that was named does not exist, or the broker refused.
            GapError: Records that were not yet read are gone from the topic.
            ConflictError: Another process reads the same topic into this lake.
        """
        with shown(progress) as callback:
            if isinstance(source, City):
                if follow:
                    raise ConfigError("follow is given with a city, which ends by itself. Leave it out")
                if names != "camel" or rename or schema_registry:
                    raise ConfigError(
                        "names, rename or schema_registry are given with a city, which is no topic. Leave them out"
                    )
                if metrics_port is not None:
                    raise ConfigError("metrics_port is given with a city; they are Kafka's figures. Leave it out")
                return IngestReport.of(self.core.ingest_city(source.core, progress=callback))
            bounds = {
                "file_bytes": file_bytes,
                "file_rows": file_rows,
                "max_age_ms": None if max_age is None else times.duration_ms(max_age, "max_age"),
                "memory_bytes": memory_bytes,
                "prefetch_bytes": prefetch_bytes,
            }
            servers = servers_of(source)
            found = self.core.ingest_kafka(
                servers,
                topics=topics_of(topics),
                security=security_of(security, servers),
                follow=follow,
                on_gap=on_gap,
                new_epoch=new_epoch,
                pipeline=pipeline,
                options={name: value for name, value in bounds.items() if value is not None},
                timeout_ms=times.duration_ms(timeout, "timeout"),
                names=names,
                rename=rename_pairs(rename),
                schema_registry=registry_pairs(schema_registry),
                metrics=None if metrics_port is None else self.metrics(metrics_port, metrics_host),
                progress=callback,
            )
        return IngestReport.of(found)

    def refine(
        self,
        *,
        gold_dir: str | os.PathLike[str] | None = None,
        memory: str = "512MB",
        progress: Progress = None,
    ) -> RefineReport:
        """Bronze → silver → dim and gold: takes in what is new and recomputes the windows that it touches.

        Args:
            gold_dir: A folder with further gold tables, one .sql file each; see docs/tables.md.
            memory: DuckDB's limit; past it, it spills to the temporary folder.
            progress: See `citystream.progress.shown`.

        Raises:
            TableError: A table is broken, or a query's result is not what its header says.
            ConfigError: The header of a .sql file is broken; names file and line.
        """
        started = time.monotonic()
        queries = sql.load(None if gold_dir is None else Path(gold_dir))
        with shown(progress) as callback:
            silver = self.core.refine_silver(progress=callback)

            def step(table: str, done: int, total: int) -> None:
                if callback is not None:
                    callback({"stage": "gold", "done": done, "total": total, "unit": "tables", "detail": table})

            tables = gold.refresh(self.core, queries, memory=memory, progress=step)
        return RefineReport(
            silver=dict(silver["silver"]),
            dead_letter=silver["dead_letter"],
            quarantine=silver["quarantine"],
            duplicate=silver["duplicate"],
            tables=tuple(tables),
            seconds=round(time.monotonic() - started, 3),
        )

    def table(self, name: str) -> Table:
        """A table's newest version as Arrow, with `version`, `files` and `schema`.

        Examples:
            >>> import citystream as cs, polars as pl
            >>> lake = cs.Lake(tmp / "lake")
            >>> _ = lake.ingest(cs.City(vehicles=50, duration="1h")), lake.refine()
            >>> pl.DataFrame(lake.table("gold.air_quality_hourly")).height > 0
            True

        Raises:
            ConfigError: There is no such table; names the nearest.
        """
        self._known(name)
        return Table(name, self.core.snapshot(name))

    def query(self, query: str) -> duckdb.DuckDBPyRelation:
        """A DuckDB relation over the tables as they are now: what is committed later doesn't change it.

        Tables are called as in the lake, such as gold.road_5min. Times are in UTC.

        Raises:
            ConfigError: A table that the lake doesn't have; names the nearest.
            duckdb.Error: The SQL is wrong.
        """
        con = duckdb.connect()
        gold.in_utc(con)
        for name in self._tables_of(con, query):
            gold.register(con, gold.Snapshot.of(self.core, name))
        relation: duckdb.DuckDBPyRelation | None = con.sql(query)
        if relation is None:
            raise ConfigError(f"{query!r} gives no rows. A query reads: start it with select")
        return relation

    def tables(self) -> Tables:
        """Every table's rows, files, bytes, version, lag and last commit."""
        found = {table["name"]: table for table in self.core.tables()}
        versions = {name: table["version"] for name, table in found.items()}
        return Tables(
            TableInfo(
                name=name,
                rows=table["rows"],
                files=table["files"],
                bytes=table["bytes"],
                version=table["version"],
                lag=self._lag(name, versions) if name.startswith(_SQL_TIERS) else None,
                last_commit=None if table["last_commit_ms"] is None else times.datetime_of(table["last_commit_ms"]),
            )
            for name, table in sorted(found.items())
        )

    def check(self, *, progress: Progress = None) -> list[str]:
        """What is wrong with the lake.

        Looks for records twice or missing, silver that doesn't add up, and files that the log doesn't know.

        Returns:
            One text for each fault; none is sound.
        """
        with shown(progress) as callback:
            return self.core.check(progress=callback)

    def __repr__(self) -> str:
        return f"Lake({self.path!r})"

    def _tables_of(self, con: duckdb.DuckDBPyConnection, query: str) -> list[str]:
        try:
            named = con.get_table_names(query, qualified=True)
        except duckdb.Error:
            # Not a single select: DuckDB says what is wrong with it, or it may be a DESCRIBE of any table.
            return self.core.names()
        tiers = {name.split(".")[0] for name in self.core.names()}
        wanted = sorted(name for name in named if name.split(".")[0] in tiers)
        for name in wanted:
            self._known(name)
        return wanted

    def _known(self, name: str) -> None:
        names = self.core.names()
        if name not in names:
            hint = nearest(name, names) or f"It has {', '.join(names)}"
            raise ConfigError(f"the lake {self.path} has no table {name!r}. {hint}")

    def _lag(self, name: str, versions: Mapping[str, int]) -> int | None:
        own = {query.name: query for query in sql.load()}
        if name not in own:
            return None
        seen: Mapping[str, int] = self.core.snapshot(name)["txns"]
        taken = ((versions[s.table], seen.get(gold.app_id(own[name], s.table), -1)) for s in own[name].sources)
        return sum(version - last for version, last in taken)

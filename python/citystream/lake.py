"""A lake: bronze, silver and gold tables in a folder or on S3."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from . import _core, gold, maintain, refresh, sql, times
from .arrow import ArrowStream
from .city import City
from .errors import ConfigError, TableError
from .following import GoldLag, Refining
from .metrics import METRICS_HOST, endpoint
from .names import registry_pairs, rename_pairs
from .nearest import nearest
from .progress import Callback, Progress, shown
from .report import Report, per_second, size
from .security import security_of
from .topics import REFERENCE, servers_of, topics_of
from .touched import app_id

if TYPE_CHECKING:
    import datetime as dt
    import os
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .names import Rename, SchemaRegistry

# Tables of silver that all streams share.
_SIDES = ("dead_letter", "quarantine", "duplicate")

# Where an ingest follows and refines, rows wait so long for a commit at most [ms].
_FRESH_MS = 5_000


@dataclass(frozen=True)
class Partition(Report):
    """How far one Kafka partition was read: offsets from `start` to before `end`; `lag` records are left."""

    topic: str
    partition: int
    start: int
    end: int
    lag: int | None


@dataclass(frozen=True)
class LostOffsets(Report):
    """Offsets from `start` to before `end` that a topic had lost unread: a row of `bronze.ingest_gap`."""

    topic: str
    partition: int
    start: int
    end: int


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
    gaps: tuple[LostOffsets, ...] = ()
    """Offsets that were gone, with `on_gap="record"`."""
    refined: RefineReport | None = None
    """With `refine`: what all refinements together have done."""
    rounds: int = 0
    """With `refine`: how many there were."""
    refine_failures: tuple[str, ...] = ()
    """Those that failed, at most the last 20; what they left undone, the next one did."""
    gold_lag: tuple[GoldLag, ...] = ()
    """With `follow` and `refine`: the time from Kafka to each gold table."""

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
            gaps=tuple(LostOffsets(g["topic"], g["partition"], g["from"], g["to"]) for g in found["gaps"]),
        )


@dataclass(frozen=True)
class RefineReport(Report):
    """New rows of silver by stream, rows set aside, and what happened to each dim and gold table."""

    silver: dict[str, int]
    dead_letter: int
    quarantine: int
    duplicate: int
    tables: tuple[refresh.Refreshed, ...]
    seconds: float
    bronze_versions: dict[str, int] = field(default_factory=dict)
    """The version of bronze that silver has reached, by stream."""
    spilled_bytes: int = 0
    """Rows that silver has put aside in the temporary folder, since its memory didn't hold them."""

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table: new ones of silver, those computed of dim and gold."""
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
    """One table of a lake.

    Attributes:
        name: Tier and name.
        rows: Rows.
        files: Data files.
        bytes: Their size.
        version: Of the Delta table.
        lag: Commits with new rows in the sources that a silver, dim or gold table hasn't taken in; None for bronze,
            tables of others, and where a source's log no longer reaches back so far.
        last_commit: When the version was committed.
        lag_rows: The rows of those commits.
    """

    name: str
    rows: int
    files: int
    bytes: int
    version: int
    lag: int | None
    last_commit: dt.datetime | None
    lag_rows: int | None = None


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
        refine: bool = False,
        every: times.Duration = "10s",
        stop: threading.Event | None = None,
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
        gold_dir: str | os.PathLike[str] | None = None,
        memory: str = refresh.MEMORY,
        silver_memory_bytes: int | None = None,
        timeout: times.Duration = "30s",
        metrics_port: int | None = None,
        metrics_host: str = METRICS_HOST,
        progress: Progress = None,
    ) -> IngestReport:
        """Takes everything new into bronze, each record once, however often it is called or stopped.

        Args:
            source: Kafka's bootstrap servers (None takes KAFKA_BOOTSTRAP_SERVERS), or a `City`, which needs no broker.
            follow: Goes on until `stop` or Ctrl-C; otherwise stops at the topics' present end.
            refine: Refines, too: afterwards, or beside it where it follows. A refinement that fails is logged, stands
                in the report and is tried again; after ten in a row the ingest ends with that error. Gold is then at
                most `max_age` + `every` + two refinements behind the topics.
            every: With `follow` and `refine`: from the beginning of a refinement to that of the next.
            stop: Ends a run that follows once it is set: what was read is committed, refined where that is wanted, and
                reported. Ctrl-C commits it and raises KeyboardInterrupt.
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
            on_gap: What to do where records that were not yet read are gone from the topic: "error", or "record" to go
                on behind them, with a row in `bronze.ingest_gap` for each range.
            new_epoch: Takes a topic that was deleted and made anew from its start.
            pipeline: Name under which the offsets are kept; two pipelines read independently.
            file_bytes: A commit is due at this size of a file.
            file_rows: A commit is due at this many rows.
            max_age: A commit is due at this age of the oldest record; a minute where it is None, 5 s with `follow` and
                `refine`.
            memory_bytes: A commit is due at this much memory, over all tables; 64 MiB where it is None.
            prefetch_bytes: Records fetched ahead, over all topics; 8 MiB where it is None.
            gold_dir: With `refine`: see there, as for the next two.
            memory: DuckDB's limit.
            silver_memory_bytes: Silver's.
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
        refining: dict[str, Any] = {
            "gold_dir": gold_dir,
            "memory": memory,
            "silver_memory_bytes": silver_memory_bytes,
        }
        if refine:
            # Broken SQL is told before anything is taken in.
            _queries(gold_dir)
        live = follow and refine
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
                take = partial(self.core.ingest_city, source.core, progress=callback)
            else:
                bounds = {
                    "file_bytes": file_bytes,
                    "file_rows": file_rows,
                    "max_age_ms": _age_ms(max_age, live=live),
                    "memory_bytes": memory_bytes,
                    "prefetch_bytes": prefetch_bytes,
                }
                servers = servers_of(source)
                ended = _core.Stop()
                figures = None if metrics_port is None else self.metrics(metrics_port, metrics_host)
                take = partial(
                    self.core.ingest_kafka,
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
                    metrics=figures,
                    stop=ended,
                    progress=_until(stop, ended, callback),
                )
                if live:
                    once = partial(self.refine, **refining, progress=False)
                    pause = times.duration_ms(every, "every") / 1000
                    return _beside(take, Refining(self.core, once, pause, give_up=ended.set, metrics=figures))
            report = IngestReport.of(take())
            if not refine:
                return report
            return replace(report, refined=self.refine(**refining, progress=callback or False), rounds=1)

    def refine(
        self,
        *,
        gold_dir: str | os.PathLike[str] | None = None,
        memory: str = refresh.MEMORY,
        silver_memory_bytes: int | None = None,
        rebuild: bool = False,
        without_dropped: bool = False,
        progress: Progress = None,
    ) -> RefineReport:
        """Bronze → silver → dim and gold: takes in what is new and recomputes the windows that it touches.

        Args:
            rebuild: Makes silver, its side tables, dim and gold anew from all of bronze, each table in one commit.
                For a lake whose log no longer says what is new. Interrupted, it is done by calling it again.
            without_dropped: With `rebuild`: also where retention has dropped rows of bronze, which silver loses then.
            gold_dir: A folder with further gold tables, one .sql file each; see docs/tables.md.
            memory: DuckDB's limit for gold; past it, it spills to the temporary folder.
            silver_memory_bytes: Silver's memory for new rows; past it, they are put aside in the temporary folder.
                192 MiB where it is None.
            progress: See `citystream.progress.shown`.

        Raises:
            TableError: A table is broken, or a query's result is not what its header says.
            ConfigError: The header of a .sql file is broken; names file and line.
        """
        started = time.monotonic()
        queries = _queries(gold_dir)
        with shown(progress) as callback:
            if rebuild:
                silver = self.core.rebuild_silver(
                    memory_bytes=silver_memory_bytes, without_dropped=without_dropped, progress=callback
                )
            elif without_dropped:
                raise ConfigError("without_dropped is given without rebuild. It says what a rebuilding may lose")
            else:
                silver = self.core.refine_silver(memory_bytes=silver_memory_bytes, progress=callback)

            def step(table: str, done: int, total: int) -> None:
                if callback is not None:
                    callback({"stage": "gold", "done": done, "total": total, "unit": "tables", "detail": table})

            tables = refresh.refresh(self.core, queries, memory=memory, whole=rebuild, progress=step)
        return RefineReport(
            silver=dict(silver["silver"]),
            dead_letter=silver["dead_letter"],
            quarantine=silver["quarantine"],
            duplicate=silver["duplicate"],
            tables=tuple(tables),
            seconds=round(time.monotonic() - started, 3),
            bronze_versions=dict(silver["bronze_versions"]),
            spilled_bytes=silver["spilled_bytes"],
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
        lags = {name: self._lag(name, found) for name in found}
        return Tables(
            TableInfo(
                name=name,
                rows=table["rows"],
                files=table["files"],
                bytes=table["bytes"],
                version=table["version"],
                lag=lags[name][0],
                last_commit=None if table["last_commit_ms"] is None else times.datetime_of(table["last_commit_ms"]),
                lag_rows=lags[name][1],
            )
            for name, table in sorted(found.items())
        )

    def check(self, *, progress: Progress = None) -> maintain.Checked:
        """What is wrong with the lake.

        Looks for records twice or missing, committed offsets that don't join, silver that isn't unique or doesn't add
        up, and logs that disagree with themselves or with the files.

        Returns:
            One text for each fault; none is sound. Its attributes say what was looked at.
        """
        with shown(progress) as callback:
            return maintain.Checked(self.core.check(progress=callback))

    def compact(
        self,
        *,
        tables: str | Iterable[str] | None = None,
        target: str | int = "128MiB",
        dry_run: bool = False,
        progress: Progress = None,
    ) -> maintain.CompactReport:
        """Puts the small files of each partition together; no row changes, and no reader of changes sees a new one.

        May run beside ingest, refine and readers. The old files stay until `vacuum`.

        Args:
            tables: Only these, such as "silver.gps".
            target: Size of the files that come out, such as "128MiB". Those of three quarters of it are left alone.
            dry_run: Only says what would be done.
            progress: See `citystream.progress.shown`.

        Examples:
            >>> import citystream as cs
            >>> lake = cs.Lake(tmp / "lake")
            >>> for duration in ("10min", "20min"):
            ...     _ = lake.ingest(cs.City(vehicles=100, start="2026-06-01T08:00Z", duration=duration))
            >>> lake.compact(tables="bronze.gps").tables[0].added
            1

        Raises:
            ConfigError: There is no such table, or the target is no size.
            ConflictError: Other writers were always faster.
        """
        with shown(progress) as callback:
            found = self.core.compact(
                target_bytes=maintain.size_bytes(target, "target"),
                tables=maintain.names_of(tables),
                dry_run=dry_run,
                progress=callback,
            )
        return maintain.CompactReport(
            maintain.tables_of(maintain.TableCompacted, found), round(found["seconds"], 3), dry_run
        )

    def vacuum(
        self,
        *,
        tables: str | Iterable[str] | None = None,
        retention: times.Duration = "7d",
        leftovers: times.Duration = "1d",
        dry_run: bool = False,
        progress: Progress = None,
    ) -> maintain.VacuumReport:
        """Deletes files that left a table longer ago than the retention, and what crashes left behind.

        Args:
            tables: Only these.
            retention: Readers of versions younger than this aren't disturbed.
            leftovers: Age at which a file that no commit mentions can't belong to a commit in work any more.
            dry_run: Only says what would be deleted.
            progress: See `citystream.progress.shown`.

        Raises:
            ConfigError: There is no such table.
        """
        with shown(progress) as callback:
            found = self.core.vacuum(
                retention_ms=times.duration_ms(retention, "retention"),
                leftovers_ms=times.duration_ms(leftovers, "leftovers"),
                tables=maintain.names_of(tables),
                dry_run=dry_run,
                progress=callback,
            )
        return maintain.VacuumReport(
            maintain.tables_of(maintain.TableVacuumed, found), round(found["seconds"], 3), dry_run
        )

    def checkpoint(
        self,
        *,
        tables: str | Iterable[str] | None = None,
        log_retention: times.Duration = "30d",
        dry_run: bool = False,
        progress: Progress = None,
    ) -> maintain.CheckpointReport:
        """Writes each table's checkpoint, and deletes commits of its log that are older than the retention.

        Commits that silver or gold have yet to read stay, however old they are.

        Args:
            tables: Only these.
            log_retention: Versions younger than this stay readable.
            dry_run: Only says what would be deleted.
            progress: See `citystream.progress.shown`.

        Raises:
            ConfigError: There is no such table.
        """
        with shown(progress) as callback:
            found = self.core.checkpoint(
                log_retention_ms=times.duration_ms(log_retention, "log_retention"),
                tables=maintain.names_of(tables),
                dry_run=dry_run,
                progress=callback,
            )
        return maintain.CheckpointReport(
            maintain.tables_of(maintain.TableCheckpointed, found), round(found["seconds"], 3), dry_run
        )

    def retain(
        self,
        *,
        bronze: times.Duration | None = None,
        silver: times.Duration | None = None,
        gold: times.Duration | None = None,
        today: dt.date | str | None = None,
        dry_run: bool = False,
        progress: Progress = None,
    ) -> maintain.RetainReport:
        """Drops whole dates that are older than a tier's age; a tier without one keeps all.

        Offsets stay, so nothing is ingested again; what the next tier hasn't read stays too. `check` counts what was
        dropped. `vacuum` deletes the files later.

        Args:
            bronze: Age of the date of taking in, such as "30d". The reference stream's table keeps all.
            silver: Age of the event's date; for dead_letter, quarantine and duplicate of the date of taking in.
            gold: Age of the window's date.
            today: The date to count from, for a city that lives at another time; None is the clock's, in UTC.
            dry_run: Only says what would be dropped.
            progress: See `citystream.progress.shown`.

        Raises:
            ConfigError: No tier has an age, or one isn't whole days.
            TableError: A refinement isn't finished.
        """
        if bronze is None and silver is None and gold is None:
            raise ConfigError("no tier has an age, so all would stay. Give bronze, silver or gold, such as 30d")
        with shown(progress) as callback:
            found = self.core.retain(
                bronze=maintain.first_kept(bronze, today, "bronze"),
                silver=maintain.first_kept(silver, today, "silver"),
                gold=maintain.first_kept(gold, today, "gold"),
                dry_run=dry_run,
                progress=callback,
            )
        return maintain.RetainReport(
            maintain.tables_of(maintain.TableRetained, found), round(found["seconds"], 3), dry_run
        )

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

    def _lag(self, name: str, known: Mapping[str, Any]) -> tuple[int, int] | tuple[None, None]:
        """Commits and rows of the table's sources that it has yet to take in."""
        tier, base = name.split(".")
        if tier == "bronze":
            return None, None
        seen: Mapping[str, int] = self.core.snapshot(name)["txns"]
        if tier == "silver":
            streams = [base] if base not in _SIDES else [s for s in topics_of(None) if s != REFERENCE]
            marks = [(f"bronze.{stream}", f"citystream/silver/bronze.{stream}") for stream in streams]
        else:
            query = next((query for query in sql.load() if query.name == name), None)
            if query is None:
                return None, None
            sources = [source.table for source in query.sources if source.table in known]
            marks = [(source, app_id(query, source, self.core.snapshot(source)["id"])) for source in sources]
        try:
            waiting = [self.core.waiting(source, seen.get(mark, -1)) for source, mark in marks if source in known]
        except TableError:
            # The source's log is cleaned up: `refine --rebuild` is what helps then.
            return None, None
        return sum(commits for commits, _ in waiting), sum(rows for _, rows in waiting)


def _age_ms(max_age: times.Duration | None, *, live: bool) -> int | None:
    if max_age is None:
        return _FRESH_MS if live else None
    return times.duration_ms(max_age, "max_age")


def _until(stop: threading.Event | None, ended: _core.Stop, progress: Callback | None) -> Callback:
    """A callback that also ends a run once `stop` is set."""

    def told(state: dict[str, Any]) -> None:
        if stop is not None and stop.is_set():
            ended.set()
        if progress is not None:
            progress(state)

    return told


def _beside(take: Callable[[], dict[str, Any]], refining: Refining) -> IngestReport:
    """Ingests while refining goes on."""
    try:
        report = IngestReport.of(take())
    except BaseException:
        refining.leave()
        raise
    refining.finish()
    return replace(
        report,
        refined=refining.refined,
        rounds=refining.rounds,
        refine_failures=tuple(refining.failures),
        gold_lag=refining.lag,
    )


def _queries(gold_dir: str | os.PathLike[str] | None) -> list[sql.Query]:
    return list(sql.load(None if gold_dir is None else Path(gold_dir)))

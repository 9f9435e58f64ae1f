"""`citystream ingest | refine | query | tables | lake init | lake check`."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citystream import Lake
from citystream.report import size
from citystream.settings import Settings

from .options import KafkaOptions, MetricsOptions, StorageOptions, command
from .output import Output, cell, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from citystream.maintain import CheckpointReport, CompactReport, RetainReport, VacuumReport

Folder = Annotated[str, typer.Argument(metavar="LAKE", help="The lake's folder, or s3://bucket/prefix.")]
Memory = Annotated[str | None, typer.Option(help="DuckDB's memory limit, such as 256MB.")]
SilverMemory = Annotated[
    int | None,
    typer.Option(help="Memory for silver's rows in bytes; past half of it, they go to the temporary folder."),
]
Only = Annotated[list[str] | None, typer.Option("--table", help="Only this table; may be given several times.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
GoldDir = Annotated[str | None, typer.Option(help="A folder with further gold tables, one .sql file each.")]


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    _ingest(app)
    _refine(app)
    _query(app)
    _tables(app)
    group = typer.Typer(no_args_is_help=True)
    _init(group)
    _check(group)
    _compact(group)
    _vacuum(group)
    _checkpoint(group)
    _retain(group)
    app.add_typer(group, name="lake", help="Looks after a lake.")


def _ingest(app: typer.Typer) -> None:
    @command(
        app,
        "ingest",
        "citystream ingest lake --bootstrap-servers localhost:9092",
        "citystream ingest lake --follow --refine --every 30s",
        "citystream ingest s3://bucket/lake --storage-option region=eu-west-1",
    )
    def ingest(
        lake: Folder,
        kafka: KafkaOptions,
        metrics: MetricsOptions,
        storage: StorageOptions,
        output: Output,
        settings: Settings,
        follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
        refine: Annotated[bool, typer.Option("--refine", help="Refine afterwards; with --follow, beside it.")] = False,
        every: Annotated[
            str, typer.Option(help="With --follow --refine: from one round's beginning to the next's.")
        ] = "10s",
        on_gap: Annotated[
            str,
            typer.Option(help="Where the topic has lost unread records: error, or record it in bronze.ingest_gap."),
        ] = "error",
        new_epoch: Annotated[
            bool, typer.Option("--new-epoch", help="Take a topic that was deleted and made anew from its start.")
        ] = False,
        pipeline: Annotated[str | None, typer.Option(help="Name under which the offsets are kept.")] = None,
        file_rows: Annotated[int | None, typer.Option(help="A commit is due at so many rows.")] = None,
        max_age: Annotated[str | None, typer.Option(help="A commit is due at this age of the oldest record.")] = None,
        memory: Memory = None,
        silver_memory_bytes: SilverMemory = None,
        gold_dir: GoldDir = None,
    ) -> None:
        """Kafka → bronze, each record once, up to the topics' present end."""
        opened = storage.open(lake, create=True)
        taking: dict[str, Any] = {
            "on_gap": on_gap,
            "new_epoch": new_epoch,
            "pipeline": settings.get("ingest.pipeline", pipeline),
            "file_rows": file_rows,
            "max_age": max_age,
            "progress": output.progress,
            **kafka.keywords(settings),
            **metrics.keywords(settings),
        }
        if taking["metrics_port"] is not None:
            output.note(f"Metrics at {opened.metrics(taking['metrics_port'], taking['metrics_host']).url}")
        stop = threading.Event()
        with _first_signal(stop) if follow else nullcontext():
            report = opened.ingest(
                kafka.servers(settings),
                follow=follow,
                refine=refine,
                every=every,
                stop=stop,
                **taking,
                **_refining(settings, memory, gold_dir, silver_memory_bytes),
            )
        for warning in report.warnings:
            output.note(f"Warning: {warning}")
        refined = report.refined
        if refined is None:
            output.report(report, f"Taken into {lake}")
        else:
            report = replace(report, refined=None)
            output.document({"ingest": report, "refine": refined})
            quiet = Output(json=False, quiet=output.quiet or output.json)
            quiet.report(report, f"Taken into {lake}")
            quiet.report(refined, "Refined")
        if stop.is_set():
            raise KeyboardInterrupt


@contextmanager
def _first_signal(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C or stop of a service manager sets `stop`; a second one leaves at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(_number: int, _frame: FrameType | None) -> None:
        restore()
        stop.set()

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()


def _refine(app: typer.Typer) -> None:
    @command(
        app,
        "refine",
        "citystream refine lake",
        "citystream refine lake --gold-dir my-tables",
        "citystream refine lake --rebuild",
    )
    def refine(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        settings: Settings,
        memory: Memory = None,
        silver_memory_bytes: SilverMemory = None,
        gold_dir: GoldDir = None,
        rebuild: Annotated[
            bool, typer.Option("--rebuild", help="Make silver, dim and gold anew from all of bronze.")
        ] = False,
        without_dropped: Annotated[
            bool, typer.Option("--without-dropped", help="With --rebuild: lose what retention has dropped from bronze.")
        ] = False,
    ) -> None:
        """Bronze → silver → gold: takes in what is new."""
        options = _refining(settings, memory, gold_dir, silver_memory_bytes)
        options |= {"rebuild": rebuild, "without_dropped": without_dropped}
        report = storage.open(lake).refine(**options, progress=output.progress)
        output.document(report)
        if output.words:
            rows = ((name, f"{count:,}") for name, count in report.rows.items())
            output.table(f"Refined {lake} in {report.seconds:.1f} s", ("table", "rows written"), rows)


def _query(app: typer.Typer) -> None:
    @command(
        app,
        "query",
        'citystream query lake "select * from gold.road_5min limit 5"',
        'citystream query lake "select count(*) from silver.gps" --json',
    )
    def query(
        lake: Folder,
        sql: Annotated[
            str, typer.Argument(metavar="SQL", help="In DuckDB's dialect; tables as in `citystream tables`.")
        ],
        storage: StorageOptions,
        output: Output,
        limit: Annotated[int, typer.Option(help="Print at most so many rows; --json prints all.")] = 100,
    ) -> None:
        """Runs SQL over the tables as they are now."""
        relation = storage.open(lake).query(sql)
        names, rows = fetch(relation, None if output.json else limit + 1)
        output.document({"columns": names, "rows": [dict(zip(names, row, strict=True)) for row in rows]})
        if output.words:
            note = f"The first {limit:,} rows; --limit shows more" if len(rows) > limit else None
            output.table("", names, ([cell(value) for value in row] for row in rows[:limit]), note)


def _tables(app: typer.Typer) -> None:
    @command(app, "tables", "citystream tables lake")
    def tables(lake: Folder, storage: StorageOptions, output: Output) -> None:
        """Lists the tables: rows, files, size, version, lag, last commit."""
        found = storage.open(lake).tables()
        output.document({"tables": list(found)})
        if output.words:
            output.table(f"Tables of {lake}", found.HEADINGS, found.cells())


def _init(app: typer.Typer) -> None:
    @command(
        app,
        "init",
        "citystream lake init lake",
        "citystream lake init s3://bucket/lake --storage-option region=eu-west-1",
        "citystream lake init s3://bucket/lake --keep-bucket",
    )
    def init(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        keep_bucket: Annotated[
            bool, typer.Option("--keep-bucket", help="Leave the bucket's own settings as they are.")
        ] = False,
    ) -> None:
        """Makes a lake with its bronze and silver tables, empty, and its bucket safe; docs/s3.md says how.

        A lake that exists is left as it is.
        """
        measures = () if keep_bucket else Lake.protect(lake, storage_options=storage.options())
        opened = storage.open(lake, create=True)
        opened.core.ensure_tables()
        names = opened.core.names()
        output.document({"lake": opened.path, "tables": names, "bucket": list(measures)})
        if output.words:
            if measures:
                rows = ((measure.measure, measure.outcome, measure.detail) for measure in measures)
                output.table(f"The bucket of {lake}", ("measure", "outcome", "detail"), rows)
            output.line(f"{opened.path} is a lake of {len(names)} tables")


def _check(app: typer.Typer) -> None:
    @command(app, "check", "citystream lake check lake")
    def check(lake: Folder, storage: StorageOptions, output: Output) -> None:
        """Verifies that each record is in bronze once, that silver adds up, and that log and files agree."""
        found = storage.open(lake).check(progress=output.progress)
        output.document({"sound": not found, "problems": list(found), **vars(found)})
        for problem in found:
            output.line(problem)
        if not found:
            output.line(f"{lake} is sound: {found.files:,} files of {found.tables:,} tables")
        if found.offsets_without_rows:
            output.line(f"{found.offsets_without_rows:,} offsets hold no record: markers, aborted and compacted ones")
        if found.leftovers:
            output.line(
                f"{found.leftovers:,} files ({size(found.leftover_bytes)}) are of no commit; vacuum deletes them"
            )
        output.status = 1 if found else 0


def _compact(app: typer.Typer) -> None:
    @command(
        app, "compact", "citystream lake compact lake", "citystream lake compact lake --table silver.gps --dry-run"
    )
    def compact(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        table: Only = None,
        target: Annotated[str, typer.Option(help="Size of the files that come out.")] = "128MiB",
        dry_run: DryRun = False,
    ) -> None:
        """Puts small files together; no row changes. May run beside ingest, refine and readers."""
        opened = storage.open(lake)
        _maintained(output, opened.compact(tables=table, target=target, dry_run=dry_run, progress=output.progress))


def _vacuum(app: typer.Typer) -> None:
    @command(app, "vacuum", "citystream lake vacuum lake --dry-run", "citystream lake vacuum lake --retention 14d")
    def vacuum(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        table: Only = None,
        retention: Annotated[str, typer.Option(help="Keep the files of versions younger than this.")] = "7d",
        leftovers: Annotated[str, typer.Option(help="Keep files of no commit that are younger than this.")] = "1d",
        dry_run: DryRun = False,
    ) -> None:
        """Deletes files that left their table long ago, and what crashes left behind."""
        opened = storage.open(lake)
        keep = {"retention": retention, "leftovers": leftovers}
        _maintained(output, opened.vacuum(tables=table, dry_run=dry_run, progress=output.progress, **keep))


def _checkpoint(app: typer.Typer) -> None:
    @command(
        app, "checkpoint", "citystream lake checkpoint lake", "citystream lake checkpoint lake --log-retention 90d"
    )
    def checkpoint(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        table: Only = None,
        log_retention: Annotated[str, typer.Option(help="Keep commits younger than this.")] = "30d",
        dry_run: DryRun = False,
    ) -> None:
        """Writes each table's checkpoint, and deletes old commits of its log that nobody has yet to read."""
        opened = storage.open(lake)
        _maintained(
            output,
            opened.checkpoint(tables=table, log_retention=log_retention, dry_run=dry_run, progress=output.progress),
        )


def _retain(app: typer.Typer) -> None:
    @command(
        app,
        "retain",
        "citystream lake retain lake --bronze 30d --silver 365d",
        "citystream lake retain lake --bronze 30d --dry-run",
    )
    def retain(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        bronze: Annotated[str | None, typer.Option(help="Keep dates of taking in up to this age.")] = None,
        silver: Annotated[str | None, typer.Option(help="Keep dates of events up to this age.")] = None,
        gold: Annotated[str | None, typer.Option(help="Keep dates of windows up to this age.")] = None,
        today: Annotated[str | None, typer.Option(help="Count from this date instead of the clock's.")] = None,
        dry_run: DryRun = False,
    ) -> None:
        """Drops whole old dates of a tier; what the next tier hasn't read stays."""
        opened = storage.open(lake)
        ages = {"bronze": bronze, "silver": silver, "gold": gold}
        _maintained(output, opened.retain(today=today, dry_run=dry_run, progress=output.progress, **ages))


def _maintained(output: Output, report: CompactReport | VacuumReport | CheckpointReport | RetainReport) -> None:
    output.document(report)
    if output.words:
        if report.tables:
            output.table("", report.HEADINGS, report.cells())
        did = "Would be done; nothing was changed" if report.dry_run else f"Done in {report.seconds:.1f} s"
        output.line(did if report.tables else "Nothing to do")


def _refining(
    settings: Settings, memory: str | None, gold_dir: str | None, silver_memory_bytes: int | None
) -> dict[str, Any]:
    return {
        "memory": settings.get("refine.memory", memory),
        "gold_dir": settings.get("refine.gold_dir", gold_dir),
        "silver_memory_bytes": silver_memory_bytes,
    }

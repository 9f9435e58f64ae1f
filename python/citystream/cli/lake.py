"""`citystream ingest | refine | query | tables | lake check`."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citystream import Lake
from citystream.settings import Settings

from .options import KafkaOptions, MetricsOptions, command
from .output import Output, cell, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

Folder = Annotated[str, typer.Argument(metavar="LAKE", help="The lake's folder.")]
Memory = Annotated[str | None, typer.Option(help="DuckDB's memory limit, such as 256MB.")]
SilverMemory = Annotated[
    int | None,
    typer.Option(help="Memory for silver's rows in bytes; past half of it, they go to the temporary folder."),
]
GoldDir = Annotated[str | None, typer.Option(help="A folder with further gold tables, one .sql file each.")]


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    _ingest(app)
    _refine(app)
    _query(app)
    _tables(app)
    group = typer.Typer(no_args_is_help=True)
    _check(group)
    app.add_typer(group, name="lake", help="Looks after a lake.")


def _ingest(app: typer.Typer) -> None:
    @command(
        app,
        "ingest",
        "citystream ingest lake --bootstrap-servers localhost:9092",
        "citystream ingest lake --follow --refine --every 30s",
    )
    def ingest(
        lake: Folder,
        kafka: KafkaOptions,
        metrics: MetricsOptions,
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
        opened = Lake(lake)
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
    @command(app, "refine", "citystream refine lake", "citystream refine lake --gold-dir my-tables")
    def refine(
        lake: Folder,
        output: Output,
        settings: Settings,
        memory: Memory = None,
        silver_memory_bytes: SilverMemory = None,
        gold_dir: GoldDir = None,
    ) -> None:
        """Bronze → silver → gold: takes in what is new."""
        options = _refining(settings, memory, gold_dir, silver_memory_bytes)
        report = Lake(lake, create=False).refine(**options, progress=output.progress)
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
        output: Output,
        limit: Annotated[int, typer.Option(help="Print at most so many rows; --json prints all.")] = 100,
    ) -> None:
        """Runs SQL over the tables as they are now."""
        relation = Lake(lake, create=False).query(sql)
        names, rows = fetch(relation, None if output.json else limit + 1)
        output.document({"columns": names, "rows": [dict(zip(names, row, strict=True)) for row in rows]})
        if output.words:
            note = f"The first {limit:,} rows; --limit shows more" if len(rows) > limit else None
            output.table("", names, ([cell(value) for value in row] for row in rows[:limit]), note)


def _tables(app: typer.Typer) -> None:
    @command(app, "tables", "citystream tables lake")
    def tables(lake: Folder, output: Output) -> None:
        """Lists the tables: rows, files, size, version, lag, last commit."""
        found = Lake(lake, create=False).tables()
        output.document({"tables": list(found)})
        if output.words:
            output.table(f"Tables of {lake}", found.HEADINGS, found.cells())


def _check(app: typer.Typer) -> None:
    @command(app, "check", "citystream lake check lake")
    def check(lake: Folder, output: Output) -> None:
        """Verifies that each record is in bronze once, that silver adds up, and that log and files agree."""
        problems = Lake(lake, create=False).check(progress=output.progress)
        output.document({"sound": not problems, "problems": problems})
        for problem in problems:
            output.line(problem)
        if not problems:
            output.line(f"{lake} is sound")
        output.status = 1 if problems else 0


def _refining(
    settings: Settings, memory: str | None, gold_dir: str | None, silver_memory_bytes: int | None
) -> dict[str, Any]:
    return {
        "memory": settings.get("refine.memory", memory),
        "gold_dir": settings.get("refine.gold_dir", gold_dir),
        "silver_memory_bytes": silver_memory_bytes,
    }

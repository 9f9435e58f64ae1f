"""`citystream ingest | refine | query | tables | lake init | lake check`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from citystream import Lake
from citystream.settings import Settings
from citystream.times import duration_ms

from .options import KafkaOptions, MetricsOptions, StorageOptions, command
from .output import Output, cell, fetch

Folder = Annotated[str, typer.Argument(metavar="LAKE", help="The lake's folder, or s3://bucket/prefix.")]
Memory = Annotated[str | None, typer.Option(help="DuckDB's memory limit, such as 512MB.")]
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
        refine: Annotated[
            bool, typer.Option("--refine", help="Refine afterwards; with --follow, again and again.")
        ] = False,
        every: Annotated[str, typer.Option(help="With --follow --refine: the pause between two rounds.")] = "10s",
        on_gap: Annotated[str, typer.Option(help="Where the topic has lost unread records: error.")] = "error",
        new_epoch: Annotated[
            bool, typer.Option("--new-epoch", help="Take a topic that was deleted and made anew from its start.")
        ] = False,
        pipeline: Annotated[str | None, typer.Option(help="Name under which the offsets are kept.")] = None,
        file_rows: Annotated[int | None, typer.Option(help="A commit is due at so many rows.")] = None,
        max_age: Annotated[str | None, typer.Option(help="A commit is due at this age of the oldest record.")] = None,
        memory: Memory = None,
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
        refining = _refining(settings, memory, gold_dir, output)
        pause = duration_ms(every, "--every") / 1000
        while True:
            report = opened.ingest(kafka.servers(settings), follow=follow and not refine, **taking)
            for warning in report.warnings:
                output.note(f"Warning: {warning}")
            refined = opened.refine(**refining) if refine else None
            if not (follow and refine):
                break
            if report.records:
                output.note(f"{report.records:,} records taken in and refined")
            time.sleep(pause)
        if refined is None:
            output.report(report, f"Taken into {lake}")
        else:
            output.document({"ingest": report, "refine": refined})
            quiet = Output(json=False, quiet=output.quiet or output.json)
            quiet.report(report, f"Taken into {lake}")
            quiet.report(refined, "Refined")


def _refine(app: typer.Typer) -> None:
    @command(app, "refine", "citystream refine lake", "citystream refine lake --gold-dir my-tables")
    def refine(
        lake: Folder,
        storage: StorageOptions,
        output: Output,
        settings: Settings,
        memory: Memory = None,
        gold_dir: GoldDir = None,
    ) -> None:
        """Bronze → silver → gold: takes in what is new."""
        report = storage.open(lake).refine(**_refining(settings, memory, gold_dir, output))
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
        problems = storage.open(lake).check(progress=output.progress)
        output.document({"sound": not problems, "problems": problems})
        for problem in problems:
            output.line(problem)
        if not problems:
            output.line(f"{lake} is sound")
        output.status = 1 if problems else 0


def _refining(settings: Settings, memory: str | None, gold_dir: str | None, output: Output) -> dict[str, Any]:
    return {
        "memory": settings.get("refine.memory", memory),
        "gold_dir": settings.get("refine.gold_dir", gold_dir),
        "progress": output.progress,
    }

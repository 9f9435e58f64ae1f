"""Options that several commands share, declared once, and how a command is made of them."""

from __future__ import annotations

import dataclasses
import inspect
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import duckdb
import typer

from citystream import City, CitystreamError, ConfigError, Faults
from citystream.faults import NAMES as FAULTS
from citystream.settings import Settings

from .output import Output, fail

if TYPE_CHECKING:
    from collections.abc import Callable

_CITY, _FAULTS, _KAFKA, _OUTPUT = "City", "Faults", "Kafka", "Output"


@dataclass(frozen=True)
class OutputOptions:
    """What a command prints."""

    json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document on standard output, and nothing else.", rich_help_panel=_OUTPUT),
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_OUTPUT)] = False


@dataclass(frozen=True)
class CityOptions:
    """Which city."""

    seed: Annotated[int | None, typer.Option(help="The same seed gives the same city.", rich_help_panel=_CITY)] = None
    vehicles: Annotated[int | None, typer.Option(help="Size of the fleet.", rich_help_panel=_CITY)] = None
    start: Annotated[
        str | None, typer.Option(help="First instant, such as 2026-06-01T00:00Z.", rich_help_panel=_CITY)
    ] = None
    duration: Annotated[
        str | None, typer.Option(help="Simulated time, such as 90s, 5min, 1d.", rich_help_panel=_CITY)
    ] = None
    streams: Annotated[str | None, typer.Option(help="Streams to make, with commas.", rich_help_panel=_CITY)] = None
    part: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only part I, from 0, of N of the devices.", rich_help_panel=_CITY)
    ] = None
    threads: Annotated[int | None, typer.Option(help="Worker threads; 0: one a core.", rich_help_panel=_CITY)] = None
    scenario: Annotated[
        str | None, typer.Option(help="Named faults, such as late_storm; see docs/faults.md.", rich_help_panel=_FAULTS)
    ] = None
    late: Annotated[float | None, typer.Option(help="Share of events sent late.", rich_help_panel=_FAULTS)] = None
    late_bound: Annotated[str | None, typer.Option(help="Greatest delay of these.", rich_help_panel=_FAULTS)] = None
    duplicate: Annotated[float | None, typer.Option(help="Share of events sent twice.", rich_help_panel=_FAULTS)] = None
    retry_loop: Annotated[
        float | None, typer.Option(help="Share of devices that send each event 100 times.", rich_help_panel=_FAULTS)
    ] = None
    drop: Annotated[float | None, typer.Option(help="Share of events never sent.", rich_help_panel=_FAULTS)] = None
    out_of_order: Annotated[
        float | None,
        typer.Option(help="Share of events that the device's next one overtakes.", rich_help_panel=_FAULTS),
    ] = None
    out_of_order_bound: Annotated[str | None, typer.Option(help="Longest wait of these.", rich_help_panel=_FAULTS)] = (
        None
    )
    corrupt: Annotated[
        float | None, typer.Option(help="Share of events harmed in one of the next four ways.", rich_help_panel=_FAULTS)
    ] = None
    bad_json: Annotated[float | None, typer.Option(help="Share of events cut short.", rich_help_panel=_FAULTS)] = None
    wrong_type: Annotated[
        float | None, typer.Option(help="Share with a text for a number.", rich_help_panel=_FAULTS)
    ] = None
    missing_field: Annotated[
        float | None, typer.Option(help="Share without a required field.", rich_help_panel=_FAULTS)
    ] = None
    out_of_range: Annotated[
        float | None, typer.Option(help="Share with a number that can't be.", rich_help_panel=_FAULTS)
    ] = None
    schema_drift: Annotated[
        float | None, typer.Option(help="Share of devices that change a field.", rich_help_panel=_FAULTS)
    ] = None
    schema_drift_from: Annotated[str | None, typer.Option(help="When they do.", rich_help_panel=_FAULTS)] = None
    schema_drift_kind: Annotated[
        str | None, typer.Option(help="How: renamed, added, retyped or any.", rich_help_panel=_FAULTS)
    ] = None
    clock_jump: Annotated[
        float | None, typer.Option(help="Share of time with a clock off by hours.", rich_help_panel=_FAULTS)
    ] = None
    outage: Annotated[
        float | None, typer.Option(help="Share of time without sending, then a burst.", rich_help_panel=_FAULTS)
    ] = None
    outage_bound: Annotated[str | None, typer.Option(help="Longest outage.", rich_help_panel=_FAULTS)] = None
    tombstone: Annotated[float | None, typer.Option(help="Share of keys without a value.", rich_help_panel=_FAULTS)] = (
        None
    )
    poison_pill: Annotated[
        float | None, typer.Option(help="Share that is no JSON, huge, or nested deep.", rich_help_panel=_FAULTS)
    ] = None

    def city(self, settings: Settings, faults: Faults | None = None) -> City:
        """The city that flags and settings describe.

        Args:
            settings: What the flags leave open.
            faults: Used where neither flags nor settings name a fault or a scenario.
        """

        def named(key: str, flag: Any) -> Any:
            return flag if flag is not None or not settings.given(key) else settings.get(key)

        given = {name: named(f"faults.{name}", getattr(self, name)) for name in FAULTS}
        scenario = named("city.scenario", self.scenario)
        if faults is None or scenario is not None or any(value is not None for value in given.values()):
            faults = Faults(**given)
        city = City(
            seed=settings.get("city.seed", self.seed),
            vehicles=settings.get("city.vehicles", self.vehicles),
            # A scenario may have its own; so no default of ours.
            start=named("city.start", self.start),
            duration=named("city.duration", self.duration),
            streams=settings.get("city.streams", None if self.streams is None else self.streams.split(",")),
            threads=settings.get("city.threads", self.threads),
            faults=faults,
            scenario=scenario,
        )
        return city if self.part is None else city.part(*_part(self.part))


@dataclass(frozen=True)
class KafkaOptions:
    """Which broker and topics."""

    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Such as localhost:9092; else KAFKA_BOOTSTRAP_SERVERS.", rich_help_panel=_KAFKA)
    ] = None
    topic: Annotated[
        list[str] | None, typer.Option(metavar="STREAM=NAME", help="A stream's topic.", rich_help_panel=_KAFKA)
    ] = None
    security: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A setting of librdkafka. Put secrets into CITYSTREAM_KAFKA_SASL_PASSWORD and the like instead.",
            rich_help_panel=_KAFKA,
        ),
    ] = None
    timeout: Annotated[
        str | None, typer.Option(help="How long the broker may be unreachable.", rich_help_panel=_KAFKA)
    ] = None

    def servers(self, settings: Settings) -> str | None:
        """The bootstrap servers, where any are given."""
        found: str | None = settings.get("kafka.bootstrap_servers", self.bootstrap_servers)
        return found

    def keywords(self, settings: Settings) -> dict[str, Any]:
        """What `Publisher` and `Lake.ingest` share."""
        return {
            "topics": settings.topics(pairs("--topic", self.topic)),
            "security": settings.security(pairs("--security", self.security)),
            "timeout": settings.get("kafka.timeout", self.timeout),
        }


def command(app: typer.Typer, name: str, *examples: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a command.

    Its parameters may be dataclasses of options, which are laid flat; one of type `Output` brings `--json` and
    `--quiet`, and one of type `Settings` none. Errors of citystream end it with status 1, wrong options with 2, Ctrl-C
    with 130.

    Args:
        app: Where.
        name: Its name.
        examples: Command lines for its help.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters: dict[str, inspect.Parameter] = {}
        groups: dict[str, tuple[type, list[str]]] = {}
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            group = OutputOptions if parameter.annotation is Output else parameter.annotation
            if group is Settings:
                continue
            if not dataclasses.is_dataclass(group):
                parameters[parameter.name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                continue
            hints = get_type_hints(group, include_extras=True)
            fields = dataclasses.fields(group)
            groups[parameter.name] = (group, [field.name for field in fields])
            for field in fields:
                parameters[field.name] = inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
                )

        def run(**flags: Any) -> None:
            values = {
                n: group(**{field: flags.pop(field) for field in fields}) for n, (group, fields) in groups.items()
            }
            shown = next((value for value in values.values() if isinstance(value, OutputOptions)), OutputOptions())
            output = Output(json=shown.json, quiet=shown.quiet)
            for parameter in inspect.signature(function, eval_str=True).parameters.values():
                if parameter.annotation is Output:
                    values[parameter.name] = output
            raise typer.Exit(_run(function, {**values, **flags}, output))

        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
        lines = "\n".join(f"  {line}" for line in examples)
        text = inspect.cleandoc(function.__doc__ or "")
        app.command(name, help=f"{text}\n\n\b\nExamples:\n{lines}")(run)
        return function

    return register


def _run(function: Callable[..., Any], values: dict[str, Any], output: Output) -> int:
    # A service manager's stop is the same as Ctrl-C: what is complete is committed, the rest is read again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wanted = inspect.signature(function, eval_str=True).parameters.values()
        for parameter in wanted:
            if parameter.annotation is Settings:
                values[parameter.name] = Settings()
        function(**values)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130
    except ConfigError as error:
        return fail(error, 2, output)
    except BrokenPipeError:
        # The reader has seen enough; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CitystreamError, duckdb.Error, OSError) as error:
        return fail(error, 1, output)
    return output.status


def pairs(flag: str, given: list[str] | None) -> dict[str, str]:
    """KEY=VALUE texts as a dict."""
    found = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"{flag} {text!r} is no KEY=VALUE. Write it like {flag} gps=my_topic")
        found[key] = value
    return found


def _part(text: str) -> tuple[int, int]:
    index, slash, of = text.partition("/")
    if not slash or not index.isdecimal() or not of.isdecimal():
        raise ConfigError(f"--part {text!r} is no part. Write it like 0/4, the first of four")
    return int(index), int(of)

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

from citystream import City, CitystreamError, ConfigError, Faults, Lake
from citystream.faults import NAMES as FAULTS
from citystream.settings import Settings

from .output import Output, fail

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def _in(panel: str) -> Callable[..., Any]:
    """Makes options of one panel of the help."""

    def option(text: str, *flags: str, metavar: str | None = None) -> Any:
        return typer.Option(*flags, help=text, metavar=metavar, rich_help_panel=panel)

    return option


_city, _fault, _kafka, _output = _in("City"), _in("Faults"), _in("Kafka"), _in("Output")
_storage = _in("Storage")


@dataclass(frozen=True)
class OutputOptions:
    """What a command prints."""

    json: Annotated[bool, _output("One JSON document on standard output, and nothing else.", "--json")] = False
    quiet: Annotated[bool, _output("Only errors.", "--quiet", "-q")] = False


@dataclass(frozen=True)
class CityOptions:
    """Which city."""

    seed: Annotated[int | None, _city("The same seed gives the same city.")] = None
    vehicles: Annotated[int | None, _city("Size of the fleet.")] = None
    start: Annotated[str | None, _city("First instant, such as 2026-06-01T00:00Z.")] = None
    duration: Annotated[str | None, _city("Simulated time, such as 90s, 5min, 1d.")] = None
    streams: Annotated[str | None, _city("Streams to make, with commas.")] = None
    part: Annotated[str | None, _city("Only part I, from 0, of N of the devices.", metavar="I/N")] = None
    threads: Annotated[int | None, _city("Worker threads; 0: one a core.")] = None
    trace: Annotated[str | None, _city("Folder of a saved trace, observed instead of a simulation.")] = None
    compat: Annotated[
        bool | None,
        _city("Every stream by the vehicles' devices, as the original script; see docs/drop_in.md.", "--compat"),
    ] = None
    snapshots: Annotated[str | None, _city("Folder for the cameras' pictures; none are taken without.")] = None
    snapshot_every: Annotated[str | None, _city("How often each takes one, such as 5min; each minute without.")] = None
    scenario: Annotated[str | None, _fault("Named faults, such as late_storm; see docs/faults.md.")] = None
    late: Annotated[float | None, _fault("Share of events sent late.")] = None
    late_bound: Annotated[str | None, _fault("Greatest delay of these.")] = None
    duplicate: Annotated[float | None, _fault("Share of events sent twice.")] = None
    retry_loop: Annotated[float | None, _fault("Share of devices that send each event 100 times.")] = None
    drop: Annotated[float | None, _fault("Share of events never sent.")] = None
    out_of_order: Annotated[float | None, _fault("Share of events that the device's next one overtakes.")] = None
    out_of_order_bound: Annotated[str | None, _fault("Longest wait of these.")] = None
    corrupt: Annotated[float | None, _fault("Share of events harmed in one of the next four ways.")] = None
    bad_json: Annotated[float | None, _fault("Share of events cut short.")] = None
    wrong_type: Annotated[float | None, _fault("Share with a text for a number.")] = None
    missing_field: Annotated[float | None, _fault("Share without a required field.")] = None
    out_of_range: Annotated[float | None, _fault("Share with a number that can't be.")] = None
    schema_drift: Annotated[float | None, _fault("Share of devices that change a field.")] = None
    schema_drift_from: Annotated[str | None, _fault("When they do.")] = None
    schema_drift_kind: Annotated[str | None, _fault("How: renamed, added, retyped or any.")] = None
    clock_jump: Annotated[float | None, _fault("Share of time with a clock off by hours.")] = None
    outage: Annotated[float | None, _fault("Share of time without sending, then a burst.")] = None
    outage_bound: Annotated[str | None, _fault("Longest outage.")] = None
    tombstone: Annotated[float | None, _fault("Share of keys without a value.")] = None
    poison_pill: Annotated[float | None, _fault("Share that is no JSON, huge, or nested deep.")] = None

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
            # A scenario or a trace may have its own; so no default of ours.
            seed=named("city.seed", self.seed),
            vehicles=named("city.vehicles", self.vehicles),
            start=named("city.start", self.start),
            duration=named("city.duration", self.duration),
            streams=settings.get("city.streams", None if self.streams is None else self.streams.split(",")),
            threads=settings.get("city.threads", self.threads),
            faults=faults,
            scenario=scenario,
            trace=named("city.trace", self.trace),
            compat=settings.get("city.compat", self.compat),
            snapshots=named("city.snapshots", self.snapshots),
            snapshot_every=named("city.snapshot_every", self.snapshot_every),
        )
        return city if self.part is None else city.part(*_part(self.part))


@dataclass(frozen=True)
class KafkaOptions:
    """Which broker and topics."""

    bootstrap_servers: Annotated[str | None, _kafka("Such as localhost:9092; else KAFKA_BOOTSTRAP_SERVERS.")] = None
    topic: Annotated[list[str] | None, _kafka("A stream's topic.", metavar="STREAM=NAME")] = None
    security: Annotated[
        list[str] | None,
        _kafka(
            "Login and encryption: mechanism=SCRAM-SHA-512, user=me, ca=ca.pem; see docs/kafka.md. Put secrets into "
            "CITYSTREAM_KAFKA_PASSWORD and the like instead.",
            metavar="KEY=VALUE",
        ),
    ] = None
    timeout: Annotated[str | None, _kafka("How long the broker may be unreachable.")] = None
    names: Annotated[str | None, _kafka("Spelling of the fields on the wire: camel (the default) or snake.")] = None
    rename: Annotated[
        list[str] | None,
        _kafka("Another name for a field on the wire, such as make=brand.", metavar="[STREAM.]FIELD=NAME"),
    ] = None
    schema_registry: Annotated[
        str | None,
        _kafka(
            "Address of the registry with the schemas of Avro messages; its login by CITYSTREAM_SCHEMA_REGISTRY_USER "
            "and _PASSWORD.",
            metavar="URL",
        ),
    ] = None

    def servers(self, settings: Settings) -> str | None:
        """The bootstrap servers, where any are given."""
        found: str | None = settings.get("kafka.bootstrap_servers", self.bootstrap_servers)
        return found

    def wire(self, settings: Settings) -> dict[str, Any]:
        """What fields are called on the wire."""
        return {
            "names": settings.get("kafka.names", self.names),
            "rename": settings.rename(pairs("--rename", self.rename)),
        }

    def keywords(self, settings: Settings) -> dict[str, Any]:
        """What `Publisher` and `Lake.ingest` share."""
        return {
            "topics": settings.topics(pairs("--topic", self.topic)),
            "security": settings.security(pairs("--security", self.security)),
            "timeout": settings.get("kafka.timeout", self.timeout),
            **self.wire(settings),
            "schema_registry": settings.schema_registry(self.schema_registry),
        }


@dataclass(frozen=True)
class QueueOptions:
    """What a publisher holds, and for how long; see docs/delivery.md."""

    linger: Annotated[str | None, _kafka("How long an event waits for others to share its batch.")] = None
    queue_messages: Annotated[int | None, _kafka("Events held until they are acknowledged.")] = None
    queue_mib: Annotated[int | None, _kafka("MiB held, likewise.")] = None
    delivery_timeout: Annotated[str | None, _kafka("After this time without an answer an event has failed.")] = None

    def keywords(self, settings: Settings) -> dict[str, Any]:
        """What `Publisher` takes."""
        return {f.name: settings.get(f"kafka.{f.name}", getattr(self, f.name)) for f in dataclasses.fields(self)}


@dataclass(frozen=True)
class StorageOptions:
    """How a lake on S3 is reached."""

    storage_option: Annotated[
        list[str] | None,
        _storage(
            "Of a lake on S3: region=eu-west-1, endpoint_url=https://…; see docs/s3.md. Put secrets into "
            "AWS_SECRET_ACCESS_KEY and the like instead.",
            metavar="KEY=VALUE",
        ),
    ] = None

    def options(self) -> dict[str, str] | None:
        """For `storage_options=`."""
        return pairs("--storage-option", self.storage_option) or None

    def open(self, lake: str, *, create: bool = False) -> Lake:
        """The lake."""
        return Lake(lake, storage_options=self.options(), create=create)


@dataclass(frozen=True)
class MetricsOptions:
    """Whether and where Prometheus finds the figures."""

    metrics_port: Annotated[int | None, _kafka("Serve the figures for Prometheus; see docs/metrics.md.")] = None
    metrics_host: Annotated[str | None, _kafka("At this address of the machine; 127.0.0.1 unless given.")] = None

    def keywords(self, settings: Settings) -> dict[str, Any]:
        """What `Publisher` and `Lake.ingest` share."""
        return {
            "metrics_port": settings.get("kafka.metrics_port", self.metrics_port),
            "metrics_host": settings.get("kafka.metrics_host", self.metrics_host),
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
    try:
        wanted = inspect.signature(function, eval_str=True).parameters.values()
        for parameter in wanted:
            if parameter.annotation is Settings:
                values[parameter.name] = Settings()
        _stoppable(function, values)
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


def _stoppable(function: Callable[..., Any], values: dict[str, Any]) -> None:
    """Calls a command. A service manager's stop is the same as Ctrl-C: a KeyboardInterrupt.

    What is complete is committed then, the rest is read again.
    """
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.default_int_handler(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        function(**values)
    except Exception as error:
        # Whoever was interrupted may have made an error of its own of it.
        if asked:
            raise KeyboardInterrupt from error
        raise


_EXAMPLES = {
    "--rename": "make=brand",
    "--column": "speed=speed_kmh",
    "--security": "user=me",
    "--storage-option": "region=eu-west-1",
}
# Their texts may be secrets, which no message shows.
_SECRET = ("--security", "--storage-option")


def pairs(flag: str, given: list[str] | None) -> dict[str, str]:
    """KEY=VALUE texts as a dict."""
    found = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not key or not equals:
            example = _EXAMPLES.get(flag, "gps=my_topic")
            if flag in _SECRET:
                raise ConfigError(f"{flag} is given without KEY=VALUE. Write it like {flag} {example}")
            raise ConfigError(f"{flag} {text!r} is no KEY=VALUE. Write it like {flag} {example}")
        found[key] = value
    return found


def _part(text: str) -> tuple[int, int]:
    index, slash, of = text.partition("/")
    if not slash or not index.isdecimal() or not of.isdecimal():
        raise ConfigError(f"--part {text!r} is no part. Write it like 0/4, the first of four")
    return int(index), int(of)

"""Settings of the command line: a flag, else the environment, else citystream.toml, else the default."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .nearest import nearest
from .security import NAMES, SHOWN
from .topics import DEFAULTS, SERVERS_VARIABLE, variable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILE = "citystream.toml"
FILE_VARIABLE = "CITYSTREAM_CONFIG"
MASK = "********"

# Our options and librdkafka's: [kafka.security] user = …, "ssl.ca.pem" = …, or CITYSTREAM_KAFKA_USER, …_SSL_CA_PEM.
SECURITY = "kafka.security"
SECURITY_PREFIX = "CITYSTREAM_KAFKA_"
# Any field of a stream: [kafka.rename] make = "brand", or CITYSTREAM_RENAME="make=brand,vehicle.model=type".
RENAME = "kafka.rename"
RENAME_VARIABLE = "CITYSTREAM_RENAME"


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        # A date or time of TOML.
        if hasattr(value, "isoformat"):
            return str(value.isoformat())
        raise ValueError
    return value


def _yes(value: Any) -> bool:
    answers = {True: True, "true": True, "1": True, False: False, "false": False, "0": False}
    answer = answers.get(value.lower() if isinstance(value, str) else value)
    if answer is None:
        raise ValueError
    return answer


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return value
    raise ValueError


@dataclass(frozen=True)
class Setting:
    """One setting: its key in citystream.toml and how its value is read."""

    key: str
    read: Callable[[Any], Any]
    kind: str
    default: Any = None
    # The original scripts' variable, after our own.
    original: str | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it, the first that is set wins."""
        own = "CITYSTREAM_" + self.key.split(".", 1)[1].upper().replace(".", "_")
        return (own,) if self.original is None else (own, self.original)


SETTINGS = {
    setting.key: setting
    for setting in (
        Setting("city.seed", _whole, "a whole number", 7),
        Setting("city.vehicles", _whole, "a whole number", 2_000),
        Setting("city.start", _text, "a time", "2026-06-01T00:00:00Z"),
        Setting("city.duration", _text, "a duration", "1d"),
        Setting("city.streams", _texts, "a list of names"),
        Setting("city.threads", _whole, "a whole number", 0),
        Setting("city.scenario", _text, "a name"),
        Setting("city.trace", _text, "a folder"),
        Setting("city.compat", _yes, "true or false", default=False),
        Setting("city.snapshots", _text, "a folder"),
        Setting("city.snapshot_every", _text, "a duration"),
        *(
            Setting(f"faults.{name}", _number, "a share", 0.0)
            for name in (
                "late",
                "duplicate",
                "retry_loop",
                "drop",
                "out_of_order",
                "corrupt",
                "bad_json",
                "wrong_type",
                "missing_field",
                "out_of_range",
                "schema_drift",
                "clock_jump",
                "outage",
                "tombstone",
                "poison_pill",
            )
        ),
        Setting("faults.late_bound", _text, "a duration", "10min"),
        Setting("faults.out_of_order_bound", _text, "a duration", "2min"),
        Setting("faults.outage_bound", _text, "a duration", "10min"),
        Setting("faults.schema_drift_from", _text, "a time"),
        Setting("faults.schema_drift_kind", _text, "a word", "any"),
        Setting("kafka.bootstrap_servers", _text, "a text", None, SERVERS_VARIABLE),
        Setting("kafka.compression", _text, "a text", "lz4"),
        Setting("kafka.format", _text, "a text", "json"),
        Setting("kafka.names", _text, "a text", "camel"),
        Setting("kafka.schema_registry", _text, "an address"),
        Setting("kafka.schema_registry_user", _text, "a text"),
        Setting("kafka.schema_registry_password", _text, "a text"),
        Setting("kafka.schema_registry_ca", _text, "a file"),
        Setting("kafka.create_topics", _whole, "a whole number"),
        Setting("kafka.transactional_id", _text, "a text"),
        Setting("kafka.record_time", _text, "wall or event", "wall"),
        Setting("kafka.timeout", _text, "a duration", "30s"),
        Setting("kafka.linger", _text, "a duration", "20ms"),
        Setting("kafka.queue_messages", _whole, "a whole number", 500_000),
        Setting("kafka.queue_mib", _whole, "a whole number", 64),
        Setting("kafka.delivery_timeout", _text, "a duration", "2min"),
        Setting("kafka.metrics_port", _whole, "a whole number"),
        Setting("kafka.metrics_host", _text, "an address", "127.0.0.1"),
        *(
            Setting(f"topics.{stream}_topic", _text, "a text", topic, variable(stream))
            for stream, topic in DEFAULTS.items()
        ),
        Setting("ingest.pipeline", _text, "a text", "default"),
        Setting("refine.memory", _text, "a size", "256MB"),
        Setting("refine.gold_dir", _text, "a folder"),
    )
}


@dataclass(frozen=True)
class Value:
    """A setting's value and where it comes from."""

    key: str
    value: Any
    source: str

    @property
    def shown(self) -> Any:
        """The value, masked where it is a secret."""
        name = self.key.removeprefix(f"{SECURITY}.")
        secret = (
            (name != self.key and name not in SHOWN)
            or self.key == "kafka.schema_registry_password"
            # An address with a login in it, which is refused when it is used.
            or (self.key == "kafka.schema_registry" and "@" in str(self.value))
        )
        return MASK if secret and self.value is not None else self.value


class Settings:
    """What the environment and citystream.toml say.

    Raises:
        ConfigError: The file can't be read, or has a key that doesn't exist or a value of the wrong kind.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, path: Path | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        named = self._environment.get(FILE_VARIABLE)
        self.path = path or Path(named or FILE)
        self._security: dict[str, Value] = {}
        self._rename: dict[str, Value] = {}
        self._values = {key: Value(key, setting.default, "default") for key, setting in SETTINGS.items()}
        if self.path.exists():
            self._read_file()
        elif named or path:
            raise ConfigError(f"{self.path} does not exist. Correct {FILE_VARIABLE}, or unset it")
        self._read_environment()

    def get(self, key: str, flag: Any = None) -> Any:
        """The flag's value where it is given, else the setting's."""
        return self._values[key].value if flag is None else flag

    def given(self, key: str) -> bool:
        """Whether the environment or the file sets it."""
        return self._values[key].source != "default"

    def topics(self, flags: Mapping[str, str]) -> dict[str, str]:
        """Each stream's topic."""
        return {stream: flags.get(stream) or self.get(f"topics.{stream}_topic") for stream in DEFAULTS} | dict(flags)

    def security(self, flags: Mapping[str, str]) -> dict[str, str] | None:
        """Options of login and encryption; None where there are none."""
        return {
            **{value.key.removeprefix(f"{SECURITY}."): value.value for value in self._security.values()},
            **flags,
        } or None

    def schema_registry(self, flag: str | None) -> dict[str, str] | None:
        """Address and login of the schema registry; None where no address is given."""
        url = self.get("kafka.schema_registry", flag)
        parts = {name: self.get(f"kafka.schema_registry_{name}") for name in ("user", "password", "ca")}
        return (
            None if url is None else {"url": url, **{name: value for name, value in parts.items() if value is not None}}
        )

    def rename(self, flags: Mapping[str, str]) -> dict[str, str] | None:
        """Fields with other names on the wire; None where there are none."""
        return {
            **{value.key.removeprefix(f"{RENAME}."): value.value for value in self._rename.values()},
            **flags,
        } or None

    def __iter__(self) -> Iterator[Value]:
        yield from self._values.values()
        yield from self._rename.values()
        yield from self._security.values()

    def _set(self, key: str, value: Any, source: str) -> None:
        setting = SETTINGS[key]
        try:
            self._values[key] = Value(key, setting.read(value), source)
        except ValueError:
            raise ConfigError(f"{source}: {key} = {value!r} is not {setting.kind}") from None

    def _read_file(self) -> None:
        try:
            tables = tomllib.loads(self.path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path} is no TOML: {error}. Correct it there") from None
        except OSError as error:
            raise ConfigError(f"{self.path} can't be read: {error.strerror}. Check its permissions") from None
        for key, value in _flat(tables):
            if key.startswith(f"{SECURITY}."):
                self._security[key] = Value(key, _security_text(value), str(self.path))
            elif key.startswith(f"{RENAME}."):
                if not isinstance(value, str):
                    raise ConfigError(f"{self.path}: {key} = {value!r} is not a text")
                self._rename[key] = Value(key, value, str(self.path))
            elif key in SETTINGS:
                self._set(key, value, str(self.path))
            else:
                hint = nearest(key, SETTINGS) or "`citystream config` lists the settings"
                raise ConfigError(f"{self.path} has the unknown setting {key!r}. {hint}")

    def _read_environment(self) -> None:
        for key, setting in SETTINGS.items():
            for name in setting.variables:
                if self._environment.get(name):
                    self._set(key, self._environment[name], name)
                    break
        for pair in _texts(self._environment.get(RENAME_VARIABLE, "")):
            field, equals, value = pair.partition("=")
            if not field or not equals:
                raise ConfigError(f"{RENAME_VARIABLE}: {pair!r} is no FIELD=NAME. Write it like make=brand")
            self._rename[f"{RENAME}.{field}"] = Value(f"{RENAME}.{field}", value, RENAME_VARIABLE)
        for name, value in self._environment.items():
            if name.startswith(SECURITY_PREFIX) and value:
                short = name.removeprefix(SECURITY_PREFIX).lower()
                key = f"{SECURITY}.{short if short in NAMES else short.replace('_', '.')}"
                self._security[key] = Value(key, value, name)


def _flat(tables: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tables.items():
        key = f"{above}{name}"
        if isinstance(value, dict):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _security_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

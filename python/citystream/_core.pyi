"""The compiled module: the city, Kafka and the lake, in Rust.

Use it through `citystream`; its names and shapes may change with any release. All times are milliseconds since the
epoch, UTC. Every blocking call releases the GIL and answers Ctrl-C within a second. `progress` is called from the
calling thread about ten times a second with `stage`, `done`, `total` (None where unknown), `unit` ("ms", "events",
"records", "rows" or "files") and `detail`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, final

__all__ = [
    "ArrowBatch",
    "ArrowSchema",
    "ArrowStream",
    "Batches",
    "City",
    "CitystreamError",
    "ConfigError",
    "ConflictError",
    "DecodeError",
    "Decoder",
    "ForkedError",
    "GapError",
    "KafkaConnectionError",
    "KafkaError",
    "Lake",
    "Metrics",
    "Producer",
    "Stop",
    "StoreError",
    "TableError",
    "TopicReader",
    "build_info",
    "corridor",
    "create_topics",
    "describe_topics",
    "exposure",
    "fault_defaults",
    "fetch",
    "grade",
    "graded_tables",
    "read_topic",
    "scenarios",
    "silver",
    "stream_fields",
    "trace_options",
    "verdicts",
    "wire_schema",
]

_Progress: TypeAlias = Callable[[dict[str, Any]], None] | None

class CitystreamError(Exception):
    """Any error of citystream."""

class ConfigError(CitystreamError, ValueError):
    """An option or argument is wrong."""

class KafkaError(CitystreamError):
    """The broker, a topic or the client library refused."""

class KafkaConnectionError(KafkaError, ConnectionError):
    """The broker can't be reached."""

class GapError(KafkaError):
    """Stored offsets are older than the first that the topic still has."""

class StoreError(CitystreamError, OSError):
    """A file could not be read or written."""

class TableError(CitystreamError):
    """A table is missing, broken, or not what was asked for."""

class ConflictError(TableError):
    """Another writer won; start again from the table's state."""

class DecodeError(CitystreamError):
    """Bytes or a row do not follow the stream's schema."""

class ForkedError(CitystreamError):
    """The process was forked after citystream had started threads in it."""

def build_info() -> dict[str, Any]:
    """How the module was built: `version`, `profile`, `debug_assertions`, `arrow`, `librdkafka`."""

def stream_fields(stream: str) -> list[dict[str, Any]]:
    """The columns of a stream: `name`, `kind`, `origin`, `null_when`, `unit`, `silver` and `doc` of each.

    Raises:
        ConfigError: There is no such stream.
    """

def fault_defaults() -> dict[str, float | int | str]:
    """Each fault's rate (0.0), bound and instant (milliseconds), and kind, by name, where nothing is said."""

def trace_options(folder: str | os.PathLike[str]) -> dict[str, int]:
    """The city of a saved trace: `seed`, `vehicles`, `start_ms`, and as `duration_ms` what it covers.

    Raises:
        StoreError: The folder holds none that this version can read.
    """

def scenarios() -> list[dict[str, Any]]:
    """The named scenarios.

    Returns:
        `name`, `doc`, `faults` (as `fault_defaults`), `drift_after_ms`, `starts_at_ms` and `duration_ms` of each.
    """

def fetch(address: str, folder: str | os.PathLike[str], *, storage_options: Mapping[str, str] | None = None) -> int:
    """Copies what is at or below an address on S3 into a folder; returns how many files that were."""

def graded_tables() -> list[str]:
    """Names of the gold tables that can be graded, without the tier."""

def verdicts() -> list[str]:
    """Names of the verdicts on silver's events; the first two are right."""

def grade(
    city: City,
    *,
    silver: list[tuple[str | None, Any]],
    gold: list[tuple[str, Any]],
    columns: list[tuple[str, str]],
    typed: bool,
    progress: _Progress,
) -> dict[str, Any]:
    """Grades tables against the city that their events are of. Told stages: read, truth, grade.

    Args:
        city: The city, with the faults that its events were sent with.
        silver: Arrow data of each silver table: of a stream, or (None) of all whose ids are in it.
        gold: Arrow data of each gold table, by its name without the tier.
        columns: Their names of columns, and ours.
        typed: Whether the events went out by a typed sink, which leaves those with harmed bytes out.
        progress: Is told how far it is.

    Returns:
        `score` (0 to 1), `right`, `diagnoses`, `strangers`, `stranger_examples`; `silver`, of each stream `stream`,
        `columns`, `rows`, `verdicts`, `rows_of`, `by_fault`, `altered`, `examples`; `gold`, of each table `table`,
        `columns`, `rows`, `expected`, `correct`, `differing`, `missing`, `doubled`, `extra`, `altered`, `examples`.

    Raises:
        ConfigError: A table has no id or lacks a column of its key, or a gold table is not known.
        DecodeError: A column can't be compared.
        StoreError: A table can't be read, or the temporary folder is full.
    """

def corridor(
    *,
    roads: int,
    length_m: float,
    lanes: int,
    limit_kmh: float,
    flow_vehh: float,
    duration_ms: int,
    blocked: int = 0,
    from_ms: int = 0,
    until_ms: int = 0,
) -> ArrowStream:
    """A study of the flow: a straight corridor, fed evenly, whose last road loses lanes for a while.

    Args:
        roads: Roads in a row, all alike; each ends without a light.
        length_m: Length of each.
        lanes: Lanes of each.
        limit_kmh: The speed at which everybody drives.
        flow_vehh: Vehicles an hour that want to enter.
        duration_ms: Length of the study.
        blocked: Lanes of the last road that are blocked; all of them: nobody leaves it.
        from_ms: From when on.
        until_ms: Until when.

    Returns:
        `vehicle`, `road` (from 0 upstream), `tInMs` and `tOutMs` (milliseconds since the begin) of each passage that
        ends within the study, in order of the ends.

    Raises:
        ConfigError: A measure is out of range.
    """

def exposure(*, seed: int, blocks: int, crossings: int, road_km: float) -> ArrowStream:
    """A study of crash risk: the same distance driven in dry weather and in snow.

    Args:
        seed: Of the draws.
        blocks: Blocks of equal distance in each weather.
        crossings: Roads driven in each block.
        road_km: Length of each road.

    Returns:
        `condition` (Clear or Snow), `block`, `vehicleKm`, `crashes` and `breakdowns` of each block.

    Raises:
        ConfigError: A measure is out of range.
    """

def silver(stream: str, data: Any) -> tuple[ArrowStream, ArrowStream, ArrowStream]:
    """Judges rows by silver's rules: those of silver, of quarantine and of dead_letter, with these tables' columns.

    Raises:
        ConfigError: There is no such stream, or a column is missing or of a wrong type.
    """

def wire_schema(stream: str) -> ArrowSchema:
    """The Arrow schema of a stream; column names are the JSON names.

    Raises:
        ConfigError: There is no such stream.
    """

@final
class ArrowSchema:
    """An Arrow schema, by `__arrow_c_schema__`."""

    def __arrow_c_schema__(self) -> Any: ...
    @property
    def names(self) -> list[str]:
        """The names of the columns."""

@final
class ArrowBatch:
    """An Arrow record batch, by `__arrow_c_array__`."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]: ...
    def __arrow_c_schema__(self) -> Any: ...
    @property
    def schema(self) -> ArrowSchema:
        """The schema."""
    @property
    def num_rows(self) -> int:
        """Rows."""
    def __len__(self) -> int: ...

@final
class ArrowStream:
    """Arrow record batches, made when they are asked for; each consumer starts anew."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...
    def __arrow_c_schema__(self) -> Any: ...
    @property
    def schema(self) -> ArrowSchema:
        """The schema."""
    def __iter__(self) -> Iterator[ArrowBatch]: ...

@final
class Batches:
    """One pass over all streams of a city."""

    def __iter__(self) -> Batches: ...
    def __next__(self) -> tuple[str, ArrowBatch]: ...

@final
class City:
    """Options of a simulated city; nothing runs until something is asked of it.

    Args:
        seed: The same seed gives the same city.
        vehicles: Size of the fleet.
        start_ms: First simulated instant.
        duration_ms: Simulated time.
        part: Which part of the devices, from 0.
        parts: Of how many.
        threads: Worker threads; 0 is one for each core. The output doesn't depend on it.
        streams: Names of the event streams to make; None is all five.
        faults: Faults that differ from `fault_defaults`, or from the scenario.
        scenario: The name of a scenario, for its faults; None is none.
        trace: Folder of this city's saved trace, which is observed instead of a simulation.
        compat: The drop-in's mode: each vehicle's device sends every stream.
        snapshots: Folder for the cameras' pictures; None takes none.
        snapshot_every_ms: How often each camera takes one: whole minutes.

    Raises:
        ConfigError: An option is out of its range.
        StoreError: The trace can't be read.
    """

    def __new__(
        cls,
        *,
        seed: int,
        vehicles: int,
        start_ms: int,
        duration_ms: int,
        part: int = 0,
        parts: int = 1,
        threads: int = 0,
        streams: list[str] | None = None,
        faults: dict[str, float | int | str] | None = None,
        scenario: str | None = None,
        trace: str | os.PathLike[str] | None = None,
        compat: bool = False,
        snapshots: str | os.PathLike[str] | None = None,
        snapshot_every_ms: int = 60_000,
    ) -> City: ...
    @property
    def faults(self) -> dict[str, float | int | str]:
        """Every fault, the scenario's included."""
    @property
    def city_id(self) -> str:
        """Twelve hexadecimal digits of seed, model, network, vehicles and start."""
    @property
    def options(self) -> dict[str, Any]:
        """The options, by the constructor's names."""
    def part(self, index: int, of: int) -> City:
        """The devices of one part of the same city, which is not made again."""
    def events(self, stream: str, *, batch_rows: int = 65_536, from_ms: int | None = None) -> ArrowStream:
        """One stream's events as an Arrow stream; also of "reference" and the three "truth_..." streams.

        With `from_ms` only those that are sent from then on: the end of the whole stream, row for row. A saved trace is
        read from the hour in which that can begin. The rows of "reference" have no time and are always all there.
        """
    def batches(self) -> Batches:
        """Stream and Arrow record batch, in the order in which they would be sent."""
    def save_trace(self, folder: str | os.PathLike[str], *, progress: _Progress = None) -> int:
        """Saves the simulation, or what is missing of it; gives the milliseconds that the folder then covers."""
    def roads(self) -> ArrowStream:
        """The roads as Arrow: roadId, name, roadClass, district, lengthM, lanes, freeFlowKmh, geometry."""
    def cameras(self) -> ArrowStream:
        """The cameras as Arrow: cameraId, roadId, offsetM, location."""
    def stations(self) -> ArrowStream:
        """The weather stations as Arrow: stationId, district, location."""
    def write(
        self,
        *,
        to: str,
        out: str | None = None,
        reference: bool = False,
        topics: dict[str, str] | None = None,
        names: str = "camel",
        rename: list[tuple[str, str]] | None = None,
        progress: _Progress = None,
    ) -> dict[str, Any]:
        """Writes the events to files or standard output.

        Args:
            to: "ndjson" (out/TOPIC.ndjson), "parquet" (out/STREAM/*.parquet), "arrow" (out/STREAM.arrow), "stdout"
                (lines of topic, key and value, interleaved) or "null" (nowhere).
            out: The folder.
            reference: Whether to write the reference stream too.
            topics: Topic of a stream, where it isn't the default.
            names: "camel" or "snake"; with `rename` for texts only.
            rename: Pairs of a field, "stream.field" for one stream, and its name on the wire.
            progress: See the module.

        Returns:
            `events` (rows by stream), `reference` (rows), `bytes`, `seconds`, `files`.
        """

@final
class Producer:
    """A Kafka producer. `close` must be called: dropping it discards what it still holds.

    Raises:
        ConfigError: An option is wrong.
        KafkaConnectionError: The broker can't be reached within `timeout_ms`.
    """

    def __new__(
        cls,
        servers: str,
        *,
        compression: str,
        security: dict[str, Any] | None,
        transactional_id: str | None,
        topics: dict[str, str],
        create_topics: int | None,
        timeout_ms: int,
        names: str,
        rename: list[tuple[str, str]],
        format: str,  # noqa: A002
        schema_registry: dict[str, str] | None,
        linger_ms: int,
        queue_messages: int,
        queue_kib: int,
        delivery_timeout_ms: int,
        event_times: bool,
        metrics: Metrics | None = None,
    ) -> Producer: ...
    def publish_city(
        self, city: City, *, speed: float | None, rate: float | None, resume: bool, progress: _Progress
    ) -> dict[str, Any]:
        """Sends a city's events in order and waits until each is acknowledged or has failed.

        Args:
            city: The city.
            speed: Simulated seconds in a second; None is as fast as it goes.
            rate: Events in a second; None is no limit.
            resume: Goes on behind what a stopped run of the same city has left in the topics.
            progress: See the module.

        Returns:
            `delivered` and `failed` (events by stream), `reference`, `queued`, `resumed` (events that stood there),
            `bytes`, `seconds`, `behind` (seconds behind the pace), `errors` (texts).
        """
    def publish_arrow(self, stream: str, data: Any, *, progress: _Progress) -> dict[str, Any]:
        """Sends Arrow data that has the stream's columns; returns the same as `publish_city`."""
    def send(self, stream: str, row: dict[str, Any]) -> None:
        """Queues one event.

        Raises:
            DecodeError: The row breaks the stream's schema; names field and value.
        """
    def flush(self, timeout_ms: int) -> None:
        """Waits until every queued event is acknowledged or has failed."""
    def close(self, timeout_ms: int) -> dict[str, Any]:
        """Flushes, gives up what is left after `timeout_ms`, and gives the totals since it was opened."""

@final
class Metrics:
    """Serves the figures of a producer and of a lake's ingests for Prometheus until it is closed.

    Args:
        host: The address to serve at.
        port: 0 is any that is free.

    Raises:
        ConfigError: The port is taken, or the address is none of this machine's.
    """

    def __new__(cls, host: str, port: int) -> Metrics: ...
    @property
    def url(self) -> str:
        """Where it serves."""
    def refined(self, seconds: float, failed: bool) -> None:
        """Counts a refinement beside an ingest."""
    def gold_lag(self, table: str, last: float, median: float, max: float) -> None:  # noqa: A002
        """Seconds from Kafka to a gold table."""
    def render(self) -> str:
        """The page as Prometheus reads it."""
    def close(self) -> None:
        """Stops serving; `render` goes on."""

def describe_topics(
    servers: str, topics: list[str] | None, security: dict[str, Any] | None, timeout_ms: int
) -> list[dict[str, Any]]:
    """Topics with their partitions, offsets and settings; None is every topic of the cluster.

    `settings` are empty where the user may not see them.
    """

def create_topics(
    servers: str,
    topics: list[str],
    partitions: int,
    replication: int,
    security: dict[str, Any] | None,
    timeout_ms: int,
    compacted: list[str],
    retention_ms: int | None,
) -> list[dict[str, Any]]:
    """Creates the topics that don't exist.

    Those of `compacted` are kept by key; the others for `retention_ms`, where it is given, and for ever where it is -1.
    """

@final
class Decoder:
    """Turns Kafka records into the rows of `bronze.<stream>`; JSON, Avro and Arrow are told apart by their first bytes.

    Args:
        stream: The stream.
        names: "camel" or "snake".
        rename: Pairs of a field, "stream.field" for one stream, and its name on the wire.
        schema_registry: The registry's address and login, for Avro.

    Raises:
        ConfigError: There is no such stream, or an option is wrong.
    """

    def __new__(
        cls,
        stream: str,
        *,
        names: str = "camel",
        rename: list[tuple[str, str]] | None = None,
        schema_registry: dict[str, str] | None = None,
    ) -> Decoder: ...
    @property
    def schema(self) -> ArrowSchema:
        """Bronze's columns, partition columns last."""
    def decode(self, data: Any) -> list[ArrowBatch]:
        """The rows of records; those of records that can't be decoded are a batch of their own.

        Args:
            data: Arrow data with a column `value`; of `key`, `topic`, `partition`, `offset`, `timestamp` and `headers`
                (JSON text, or a list of key and value) those that are there.

        Raises:
            ConfigError: There is no value, or a column has a type that can't be turned into its own.
        """

@final
class TopicReader:
    """One pass over offsets of a partition."""

    def __iter__(self) -> TopicReader: ...
    def __next__(self) -> ArrowBatch: ...

def read_topic(
    servers: str,
    topic: str,
    *,
    partition: int,
    start: int,
    end: int,
    decoder: Decoder,
    security: dict[str, Any] | None,
    batch_rows: int,
    timeout_ms: int,
) -> TopicReader:
    """The offsets [start, end) of a partition as bronze's rows; it connects when the first are asked for.

    Raises:
        GapError: The topic no longer has the first of them.
        KafkaError: The topic ends before `end`, or the broker refuses.
        KafkaConnectionError: The broker can't be reached within `timeout_ms`.
    """

@final
class Stop:
    """Ends an `ingest_kafka` that follows, as if it had come to the end."""

    def __new__(cls) -> Stop: ...
    def set(self) -> None:
        """Asks for it."""

@final
class Lake:
    """A folder of Delta tables, on disk or on S3.

    Raises:
        TableError: The folder exists, holds something, and is no lake.
        ConfigError: The path's scheme isn't supported, or a storage option is unknown or wrong.
    """

    def __new__(cls, path: str, *, storage_options: dict[str, str] | None = None, create: bool = True) -> Lake: ...
    @staticmethod
    def protect(path: str, *, storage_options: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
        """Makes the bucket of a lake safe: measure, outcome and detail of each; none for a local folder."""
    @property
    def path(self) -> str:
        """Where it is."""
    def ensure_tables(self) -> None:
        """Makes the bronze and silver tables that don't exist yet, empty."""
    def ingest_city(self, city: City, *, progress: _Progress) -> dict[str, Any]:
        """City → bronze without a broker; returns the same as `ingest_kafka`."""
    def ingest_kafka(
        self,
        servers: str,
        *,
        topics: dict[str, str],
        security: dict[str, Any] | None,
        follow: bool,
        on_gap: str,
        new_epoch: bool,
        pipeline: str,
        options: dict[str, int],
        timeout_ms: int,
        names: str,
        rename: list[tuple[str, str]],
        schema_registry: dict[str, str] | None,
        metrics: Metrics | None,
        stop: Stop | None,
        progress: _Progress,
    ) -> dict[str, Any]:
        """Kafka → bronze, from where the tables stand to the topics' end, or on and on.

        Returns:
            `records` and `undecodable` (by stream), `bytes`, `skipped`, `commits`, `conflicts`, `seconds`, `partitions`
            (topic, partition, from, to, lag of each), `gaps` (topic, partition, from, to of each), `warnings` (texts).
        """
    def refine_silver(self, *, memory_bytes: int | None = None, progress: _Progress) -> dict[str, Any]:
        """Bronze → silver.

        Returns:
            `silver` (new rows by stream), `dead_letter`, `quarantine`, `duplicate`, `spilled_bytes`, `seconds`,
            `bronze_versions`.
        """
    def names(self) -> list[str]:
        """The tables there are, such as "bronze.gps"."""
    def snapshot(self, table: str) -> dict[str, Any]:
        """A table's newest version.

        Returns:
            `version`, `path`, `files` (path, rows, bytes, partition, stats of each), `partition_columns`, `schema`,
            `txns` (by application id), `id` (the table's own, another one when it is made anew), `last_commit_ms`,
            `data` (the rows of that version, an `ArrowStream`).
        """
    def changed(self, table: str, since_version: int) -> list[dict[str, Any]] | None:
        """The commits after a version that changed rows; None where the log no longer has all of them.

        Returns:
            `version`, `adds` and `removes` (files as in `snapshot`), `windows` of each: the spans that it replaced,
            [start, end) in µs since the epoch, where it said so, else None.
        """
    def changes(self, table: str, since_version: int, until_version: int | None = None) -> list[dict[str, Any]]:
        """Files with new rows added after a version (-1 is all) up to another or the newest, as in `snapshot`."""
    def scan(
        self,
        table: str,
        *,
        columns: list[str] | None = None,
        files: list[tuple[str, dict[str, str | None]]] | None = None,
    ) -> ArrowStream:
        """The rows of a table's newest version as an Arrow stream, partition columns filled in.

        Args:
            table: Its name.
            columns: Some of its columns; None is all.
            files: Path and partition of the files to read, as in `snapshot`, whatever the table has become since;
                None is all of the newest version.
        """
    def replace(
        self,
        table: str,
        data: Any,
        *,
        partition_columns: list[str],
        partitions: list[dict[str, str]] | None,
        txns: dict[str, int],
        comments: dict[str, str],
        description: str,
        based_on: int | None = None,
        windows: Sequence[tuple[int, int]] | None = None,
        within: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """Replaces whole partitions (None is all) by Arrow data in one commit; makes the table where it doesn't exist.

        Args:
            within: Only the rows whose window_start lies in this [start, end), in µs since the epoch; the others stay.

        Returns:
            `version`, `rows` (those that stayed among them), `files`.

        Raises:
            ConflictError: Another writer committed to the table meanwhile.
        """
    def tables(self) -> list[dict[str, Any]]:
        """`name`, `rows`, `files`, `bytes`, `version` and `last_commit_ms` of each table."""
    def check(self, *, progress: _Progress) -> dict[str, Any]:
        """What is wrong with the lake.

        Returns:
            `problems` (texts; none is sound), `tables`, `files`, `offsets_without_rows`, `leftovers`, `leftover_bytes`.
        """
    def rebuild_silver(
        self, *, without_dropped: bool, progress: _Progress, memory_bytes: int | None = None
    ) -> dict[str, Any]:
        """Silver anew from all of bronze; returns the same as `refine_silver`."""
    def waiting(self, table: str, since_version: int) -> tuple[int, int]:
        """Commits with new rows after a version, and their rows."""
    def compact(self, *, target_bytes: int, tables: list[str], dry_run: bool, progress: _Progress) -> dict[str, Any]:
        """Small files into larger ones.

        Returns:
            `seconds`, `tables` (name, removed, added, rows, bytes_before, bytes_after, commits, conflicts of each).
        """
    def vacuum(
        self, *, retention_ms: int, leftovers_ms: int, tables: list[str], dry_run: bool, progress: _Progress
    ) -> dict[str, Any]:
        """Deletes files that no version within the retention holds.

        Returns:
            `seconds`, `tables` (name, removed, leftovers, bytes, unread, paths of each).
        """
    def checkpoint(
        self, *, log_retention_ms: int, tables: list[str], dry_run: bool, progress: _Progress
    ) -> dict[str, Any]:
        """Checkpoints, and logs without what is older than the retention.

        Returns:
            `seconds`, `tables` (name, checkpoint, written, deleted, oldest, held_by of each).
        """
    def retain(
        self,
        *,
        bronze: int | None,
        silver: int | None,
        gold: int | None,
        dry_run: bool,
        progress: _Progress,
    ) -> dict[str, Any]:
        """Drops the dates before the given ones, in days since the epoch.

        Returns:
            `seconds`, `tables` (name, dates, rows, files, kept, held_by of each).
        """

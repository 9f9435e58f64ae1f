"""A real Apache Kafka broker: 4.3 in KRaft mode, or 3.9 with ZooKeeper."""

import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from services import roundtrip
from services.jars import CACHE, HERE, classpath
from services.process import Process, ServiceError, accepts, free_ports
from services.secured import PASSWORD, USER, Secured

POMS = {"kraft": "pom-kraft.xml", "zookeeper": "pom-zookeeper.xml"}
HEAP = ("-Xms256m", "-Xmx512m")
LOGGING = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
PROTOCOLS = {
    "kraft": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
    "zookeeper": "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT",
}
CONSOLE_PRODUCER = {"kraft": "org.apache.kafka.tools.ConsoleProducer", "zookeeper": "kafka.tools.ConsoleProducer"}


def cluster_id(source: uuid.UUID) -> str:
    """A Kafka cluster id. It begins with a letter: Kafka's tool takes one that begins with `-` for an option."""
    return "C" + base64.urlsafe_b64encode(source.bytes).decode().rstrip("=")[1:]


class Broker:
    """A running broker. Addresses and data stay the same over `stop`/`kill` and `start`."""

    def __init__(self, mode: str = "kraft", timeout: float = 60.0, *, secured: bool = False) -> None:
        if mode not in POMS:
            raise ValueError(f"mode is {mode!r}; choose from {', '.join(POMS)}")
        self.mode = mode
        self.timeout = timeout
        self._classpath = classpath(POMS[mode])
        runs = CACHE / "run"
        runs.mkdir(parents=True, exist_ok=True)
        _sweep(runs)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-kafka-{mode}-", dir=runs))
        self._external, self._internal, self._third = free_ports(3)
        self.secured = Secured(self.folder / "secured") if secured else None
        self._processes: list[Process] = []
        self._starts = 0

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._external}"

    def start(self) -> None:
        """Starts it and returns when a message has gone in and come out again."""
        if self._processes:
            raise ServiceError(f"Kafka at {self.bootstrap_servers} is already running")
        try:
            if self.mode == "zookeeper":
                self._start_zookeeper()
            else:
                self._format()
            self._start_kafka()
            roundtrip.wait(self.bootstrap_servers, self._console(), self.timeout)
            if self.secured is not None:
                self._add_user()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """An orderly stop: Kafka first, then its ZooKeeper."""
        while self._processes:
            self._processes.pop().stop()

    def kill(self) -> None:
        """SIGKILL, as in a crash."""
        while self._processes:
            self._processes.pop().kill()

    def close(self) -> None:
        """Stops it and removes its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(
        self, main: str, *args: str, timeout: float = 120.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs one of Kafka's own programs, such as `org.apache.kafka.tools.ProducerPerformance`."""
        done = subprocess.run(self._java(main, *args), check=False, text=True, capture_output=True, timeout=timeout)
        if check and done.returncode != 0:
            raise ServiceError(f"{main} ended with code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def _java(self, main: str, *args: str, heap: tuple[str, ...] = ("-Xmx256m",)) -> list[str]:
        return ["java", *heap, LOGGING, "-cp", self._classpath, main, *args]

    def _properties(self) -> Path:
        """The shared settings and, after them, what belongs to this run."""
        listeners = f"EXTERNAL://127.0.0.1:{self._external},INTERNAL://127.0.0.1:{self._internal}"
        own = {"log.dirs": str(self.folder / "data"), "listeners": listeners, "advertised.listeners": listeners}
        if self.mode == "kraft":
            own["listeners"] += f",CONTROLLER://127.0.0.1:{self._third}"
            own["controller.quorum.voters"] = f"1@127.0.0.1:{self._third}"
            shared = "kraft.properties"
        else:
            own["zookeeper.connect"] = f"127.0.0.1:{self._third}"
            shared = "kafka-zookeeper.properties"
        if self.secured is not None:
            own |= self.secured.properties(own, PROTOCOLS[self.mode])
        return self._write("server.properties", shared, own)

    def _write(self, name: str, shared: str, own: dict[str, str]) -> Path:
        path = self.folder / name
        lines = [(HERE / "config" / shared).read_text(), *(f"{key}={value}" for key, value in own.items())]
        path.write_text("\n".join(lines) + "\n")
        return path

    def _format(self) -> None:
        if (self.folder / "data" / "meta.properties").exists():
            return
        cluster = cluster_id(uuid.uuid4())
        self.tool("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties()))

    def _add_user(self) -> None:
        """SCRAM keeps its users in the cluster; PLAIN's stand in the settings."""
        where = ("--bootstrap-server", self.bootstrap_servers, "--entity-type", "users", "--entity-name", USER)
        # The tool takes one at a time.
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            credential = f"{mechanism}=[password={PASSWORD}]"
            self.tool("kafka.admin.ConfigCommand", *where, "--alter", "--add-config", credential)

    def _start_zookeeper(self) -> None:
        own = {
            "dataDir": str(self.folder / "zookeeper"),
            "clientPort": str(self._third),
            "clientPortAddress": "127.0.0.1",
        }
        config = self._write("zookeeper.properties", "zookeeper.properties", own)
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        server = Process("ZooKeeper", self._java(main, str(config)), self.folder / "zookeeper.log")
        self._processes.append(server)
        server.wait_until(lambda: accepts(self._third), self.timeout)

    def _start_kafka(self) -> None:
        command = self._java("kafka.Kafka", str(self._properties()), heap=HEAP)
        deadline = time.monotonic() + self.timeout
        while True:
            log = self.folder / f"server-{self._starts}.log"
            self._starts += 1
            server = Process(f"Kafka ({self.mode})", command, log)
            self._processes.append(server)
            try:
                return server.wait_until(lambda: accepts(self._external), self.timeout)
            except ServiceError as error:
                # ZooKeeper still holds the session of a broker that was killed.
                if "NodeExists" not in str(error) or time.monotonic() > deadline:
                    raise
                self._processes.remove(server)

    def _console(self) -> tuple[list[str], list[str]]:
        where = ("--bootstrap-server", self.bootstrap_servers, "--topic", roundtrip.TOPIC)
        consume = (*where, "--from-beginning", "--timeout-ms", str(int(self.timeout * 1000)), "--max-messages", "1")
        return (
            self._java(CONSOLE_PRODUCER[self.mode], *where),
            self._java("org.apache.kafka.tools.consumer.ConsoleConsumer", *consume),
        )


def _sweep(runs: Path) -> None:
    """Removes the data of brokers whose tests were killed."""
    for folder in runs.glob("*-kafka-*"):
        owner = folder.name.split("-", 1)[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def kafka(mode: str | None = None, timeout: float = 60.0, *, secured: bool = False) -> Iterator[Broker]:
    """A broker for the length of a `with` block: `mode` is `kraft` (Kafka 4.3) or `zookeeper` (Kafka 3.9 on ZooKeeper).
    Where it isn't given, the environment variable KAFKA_MODE says it, else it is `kraft`.

    `timeout` in seconds bounds each step of its start. `secured` adds the listeners of `services.secured`. Its data and
    logs are removed at the end, but kept where it did not start."""
    mode = mode or os.environ.get("KAFKA_MODE", "kraft")
    for attempt in range(3):
        broker = Broker(mode, timeout, secured=secured)
        try:
            broker.start()
            break
        except ServiceError as error:
            # Another process may have taken a port between the choice and the bind.
            if attempt == 2 or "in use" not in str(error):
                raise
    try:
        yield broker
    finally:
        broker.close()

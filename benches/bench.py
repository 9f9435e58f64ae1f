"""What every figure is given: sizes, programs, a folder, and a broker for those that ask."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benches.broker import Broker, running
from benches.child import Ran, RunError, run
from benches.machine import ROOT
from benches.outcome import Contender, Outcome, alternate
from services import ServiceError
from services.seaweedfs import s3

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benches.city import Sizes
    from services.seaweedfs import S3

PEERS = ROOT / "benches" / "peers"
OURS = ROOT / "benches" / "ours"


@dataclass
class Bench:
    """One bench.

    Args:
        sizes: How much is measured.
        ours: The `bin` folder of the environment with the wheel.
        work: A folder for files, emptied by whoever filled it.
        profile: Cargo's profile for the criterion bench.
        tell: Says what is going on.
        ending: Stops what was started.
    """

    sizes: Sizes
    ours: Path
    work: Path
    profile: str
    tell: Callable[[str], None]
    ending: ExitStack = field(default_factory=ExitStack)
    _broker: Broker | None = None
    _s3: S3 | None = None
    _programs: dict[str, str] = field(default_factory=dict)

    def broker(self) -> Broker:
        """A real Kafka, started when it is first asked for.

        Raises:
            RunError: It did not start.
        """
        if self._broker is None:
            self.tell("starting Kafka")
            self._broker = self.ending.enter_context(running())
        return self._broker

    def s3(self) -> S3:
        """A real S3 server, started when it is first asked for.

        Raises:
            RunError: It did not start.
        """
        if self._s3 is None:
            self.tell("starting SeaweedFS")
            try:
                self._s3 = self.ending.enter_context(s3())
            except ServiceError as error:
                raise RunError(f"SeaweedFS did not start: {error}") from error
        return self._s3

    def citystream(self, *arguments: str) -> tuple[Ran, Any]:
        """Runs a `citystream` command with `--json`; gives its cost and its document."""
        ran = run([str(self.ours / "citystream"), *arguments, "--json"], cwd=self.work)
        return ran, json.loads(ran.stdout)

    def python(self, program: str, *arguments: str) -> tuple[Ran, Any]:
        """Runs a program of `ours/` under the environment with the wheel."""
        ran = run([str(self.ours / "python"), str(OURS / program), *arguments], cwd=self.work)
        return ran, json.loads(ran.stdout)

    def program(self, name: str, *arguments: str) -> tuple[Ran, Any]:
        """Runs a bench of ours that is a program, benches/NAME.rs, without cargo's own cost."""
        if name not in self._programs:
            cargo = ["cargo", "bench", "--quiet", "--locked", "--profile", self.profile, "--bench", name, "--no-run"]
            printed = run([*cargo, "--message-format=json"], cwd=ROOT).stdout
            self._programs[name] = executable(printed, name)
        ran = run([self._programs[name], *arguments], cwd=self.work)
        return ran, json.loads(ran.stdout)

    def peer(self, script: str, *arguments: str, env: dict[str, str] | None = None) -> Ran:
        """Runs a script of `peers/`."""
        interpreter = [sys.executable] if script.endswith(".py") else []
        return run([*interpreter, str(PEERS / script), *arguments], env=env, cwd=self.work)

    def alternate(self, contenders: Sequence[Contender]) -> list[Outcome]:
        """Measures them in turn, as many rounds as the sizes say."""
        return alternate(contenders, self.sizes.rounds, self.tell)

    def fresh(self, name: str) -> Path:
        """The path of a folder in `work` that does not exist."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def executable(printed: str, name: str) -> str:
    """The path of a bench, by cargo's messages.

    Raises:
        RunError: They name none.
    """
    for line in printed.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return str(message["executable"])
    raise RunError(f"cargo built no bench {name}")

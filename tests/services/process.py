"""A child process with a log file that does not outlive this interpreter."""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class ServiceError(RuntimeError):
    """A service could not be fetched, started or reached."""


class Process:
    """`command`, running, with both outputs in `log`. `stop()` ends it; so does the end of this interpreter."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        parent = os.getpid()
        # The kernel's signal comes when the *thread* that forked ends, so only the main thread may ask for it.
        bound = _die_with(parent) if threading.current_thread() is threading.main_thread() else None
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                # Ctrl-C at the terminal is for the tests; the service is stopped by them.
                start_new_session=True,
                preexec_fn=bound,  # noqa: PLW1509 (None unless this is the main thread, and it only calls prctl)
            )
        self._owner = parent
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        return self._child.pid

    def running(self) -> bool:
        return self._child.poll() is None

    def stop(self, grace: float = 20.0) -> None:
        """SIGTERM, then after `grace` seconds SIGKILL. Returns when it has ended; harmless when it already has."""
        # A forked child of the tests inherits this object, but not the service.
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        if self.running():
            self._child.terminate()
            try:
                self._child.wait(grace)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()

    def kill(self) -> None:
        """SIGKILL at once, as in a crash."""
        self._child.kill()
        self._child.wait()
        atexit.unregister(self.stop)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Waits until `ready()`; a `ServiceError` with the end of the log when the process ends or time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running():
                raise ServiceError(
                    f"{self.name} ended with code {self._child.returncode} while starting:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} was not ready within {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """`count` different ports that nothing listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with(parent: int) -> Callable[[], None]:
    def bind() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return bind

"""A proxy before an S3 server that misbehaves as S3 may: seeded, and counted.

    with seaweedfs() as s3, faulty(s3.endpoint, seed=1) as proxy:
        options = {**s3.storage_options, "aws_endpoint": proxy.endpoint}

It passes the Host header on, so that signatures hold. Standard library only.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

# Chances of each fault, by what the request does. A refusal comes before the server has seen the request; an answer
# that is lost comes after it has done the work: the client can't know whether it was.
WRITE = {"unavailable": 0.04, "error_after_success": 0.04, "cut_after_success": 0.03, "slow": 0.05}
CREATE = {"conflict": 0.04}
LOG = {"taken": 0.03}
FIRST = f"{0:020}.json"
READ = {"unavailable": 0.02, "slow": 0.02}

HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}
ERRORS = {
    "unavailable": (503, "SlowDown", "Reduce your request rate"),
    "error_after_success": (500, "InternalError", "We encountered an internal error"),
    "conflict": (409, "ConditionalRequestConflict", "A conflicting operation occurred"),
    "taken": (412, "PreconditionFailed", "At least one of the preconditions did not hold"),
}


class FaultyS3:
    """The proxy; `seen` counts the faults by name."""

    def __init__(self, upstream: str, seed: int, scale: float = 1.0) -> None:
        self.upstream = urlsplit(upstream)
        self.seen: Counter[str] = Counter()
        self._scale = scale
        self._random = random.Random(seed)  # noqa: S311 (which request fails is no secret)
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, method: str, path: str, *, conditional: bool) -> str | None:
        """What goes wrong with a request; None for nothing."""
        chances = dict(READ if method in ("GET", "HEAD") else WRITE)
        if conditional:
            chances |= CREATE
            # Told of a name that is free: only the log's writer can ask whether it is, and only once there is a log.
            if "/_delta_log/" in path and FIRST not in path:
                chances |= LOG
        with self._lock:
            draw = self._random.random()
            for name, chance in chances.items():
                draw -= chance * self._scale
                if draw < 0:
                    self.seen[name] += 1
                    return name
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FaultyS3) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        body = self._body()
        proxy = self.server.proxy
        fault = proxy.fault(self.command, self.path, conditional="If-None-Match" in self.headers)
        if fault == "slow":
            time.sleep(0.2)
        if fault in ("unavailable", "conflict", "taken"):
            return self._refuse(fault)
        answer = self._forward(body)
        if fault == "error_after_success":
            return self._refuse(fault)
        if fault == "cut_after_success":
            self.close_connection = True
            return None
        return self._pass_on(*answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        where = self.server.proxy.upstream
        upstream = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP | {"content-length", "expect"}:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            found = upstream.getresponse()
            return found.status, found.getheaders(), found.read()
        finally:
            upstream.close()

    def _pass_on(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            # A HEAD's answer keeps the length of the body that it has not.
            if name.lower() not in HOP and (name.lower() != "content-length" or self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, fault: str) -> None:
        status, code, text = ERRORS[fault]
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
        self._pass_on(status, [("Content-Type", "application/xml")], body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 (the names that http.server calls)


@contextlib.contextmanager
def faulty(upstream: str, seed: int, scale: float = 1.0) -> Iterator[FaultyS3]:
    """The proxy for the length of a `with` block. `scale` multiplies every chance."""
    proxy = FaultyS3(upstream, seed, scale)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

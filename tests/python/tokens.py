"""A token endpoint, and tokens that nobody signed."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT, SECRET = "city", "hunter4-hunter4"


def unsigned(life: float = 3600.0, **claims: Any) -> str:
    """A JWT without a signature."""
    now = time.time()
    said = {"sub": CLIENT, "iat": int(now) - 1, "exp": int(now + life), **claims}
    parts = ({"alg": "none"}, said)
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."


class Endpoint(ThreadingHTTPServer):
    """Gives tokens to one client; `asked` holds the forms that came, `life` is that of the next token in seconds."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.life = 3600.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/token"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.asked.append(form)
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {login}":
            return self._answer(401, {"error": "invalid_client", "error_description": "no such client"})
        if form.get("scope") == "nothing":
            return self._answer(200, {"token_type": "Bearer"})
        token = unsigned(self.server.life, scope=form.get("scope", ""))
        return self._answer(200, {"access_token": token, "expires_in": self.server.life})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def endpoint() -> Iterator[Endpoint]:
    """A running endpoint."""
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

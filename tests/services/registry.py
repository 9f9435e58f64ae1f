"""A schema registry in this process that speaks the real REST calls of Confluent's."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator


class SchemaRegistry:
    """A running registry.

    Attributes:
        url: Its address.
        schemas: Texts by id, from 1.
        subjects: Ids of each subject's versions.
        asked: Requests so far, such as "GET /schemas/ids/1".
        login: Such as ("me", "secret"), where one is needed.
        away: Whether it answers everything with 503.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.login: tuple[str, str] | None = None
        self.away = False
        self.url = ""

    def answer(self, method: str, path: str, login: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON for a request."""
        self.asked.append(f"{method} {path}")
        if self.away:
            return 503, {"error_code": 50301, "message": "not now"}
        if self.login and login != "Basic " + base64.b64encode(":".join(self.login).encode()).decode():
            return 401, {"error_code": 401, "message": "Unauthorized"}
        match method, [unquote(part) for part in path.strip("/").split("/")]:
            case "POST", ["subjects", subject, "versions"]:
                return self._register(subject, json.loads(body)["schema"])
            case "GET", ["schemas", "ids", number]:
                if text := self.schemas.get(int(number)):
                    return 200, {"schema": text}
                return 404, {"error_code": 40403, "message": "Schema not found"}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, subject: str, text: str) -> tuple[int, dict[str, Any]]:
        known = {schema: number for number, schema in self.schemas.items()}
        versions = self.subjects.setdefault(subject, [])
        if text not in known and versions:
            old = {field["name"]: field["type"] for field in json.loads(self.schemas[versions[-1]])["fields"]}
            for field in json.loads(text)["fields"]:
                if old.get(field["name"], field["type"]) != field["type"]:
                    return 409, {"error_code": 409, "message": f"incompatible: TYPE_MISMATCH of {field['name']}"}
        number = known.get(text) or len(self.schemas) + 1
        self.schemas[number] = text
        if number not in versions:
            versions.append(number)
        return 200, {"id": number}


@contextmanager
def schema_registry() -> Iterator[SchemaRegistry]:
    """A registry that is empty."""
    registry = SchemaRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = registry.answer(self.command, self.path, self.headers.get("Authorization"), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

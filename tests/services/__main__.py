"""Starts a service and holds it until Ctrl-C, or for the length of a command:

    PYTHONPATH=tests python -m services kafka
    PYTHONPATH=tests python -m services kafka --mode zookeeper -- pytest tests/python/test_kafka.py

    PYTHONPATH=tests python -m services s3 -- cargo test --test s3_server -- --ignored

The command gets KAFKA_BOOTSTRAP_SERVERS, or S3_BUCKET and the AWS_ variables of a client; its exit code is passed on.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from services import ServiceError, kafka, s3
from services.seaweedfs import BUCKET


@contextlib.contextmanager
def _running(service: str, mode: str | None) -> Iterator[dict[str, str]]:
    if service == "s3":
        with s3() as server:
            yield {**server.environment, "S3_BUCKET": BUCKET}
    else:
        with kafka(mode) as broker:
            yield {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__.split("\n\n")[0])
    parser.add_argument("service", choices=["kafka", "s3"])
    parser.add_argument("--mode", choices=["kraft", "zookeeper"], help="of Kafka; else KAFKA_MODE, else kraft")
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    options = parser.parse_args(arguments)

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with _running(options.service, options.mode) as variables:
            if command:
                return subprocess.run(command, check=False, env={**os.environ, **variables}).returncode
            for name, value in variables.items():
                print(f"{name}={value}", flush=True)
            ended.wait()
    except KeyboardInterrupt:
        return 130
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

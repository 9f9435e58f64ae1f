"""Starts a service and holds it until Ctrl-C, or for the length of a command:

    PYTHONPATH=tests python -m services kafka
    PYTHONPATH=tests python -m services kafka --mode zookeeper -- pytest tests/python/test_kafka.py

The command gets KAFKA_BOOTSTRAP_SERVERS; its exit code is passed on.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading

from services import ServiceError, kafka


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__.split("\n\n")[0])
    parser.add_argument("service", choices=["kafka"])
    parser.add_argument("--mode", choices=["kraft", "zookeeper"], default="kraft")
    arguments, command = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, command = arguments[:at], arguments[at + 1 :]
    options = parser.parse_args(arguments)

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with kafka(options.mode) as broker:
            if command:
                env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
                return subprocess.run(command, check=False, env=env).returncode
            print(f"KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
            ended.wait()
    except KeyboardInterrupt:
        return 130
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Spark's own cluster on this machine: a master and workers that are processes of their own."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark

from services.process import Process, accepts, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARK_HOME = Path(pyspark.__file__).parent
CLASS = "org.apache.spark.deploy."
# A JVM and Python take a moment on a busy machine.
READY_S = 90.0


@contextmanager
def standalone(workers: int = 2, *, memory: str = "1g") -> Iterator[str]:
    """The address of a cluster, for `SparkSession.builder.master`; each worker has a core.

    Executors run under this interpreter and see the packages and the PYTHONPATH of this process.

    Raises:
        ServiceError: A part of it did not start.
    """
    port, *_ = free_ports(1)
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="spark-standalone-")))
        env = {
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": str(folder / "work"),
            "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
        }

        def start(name: str, *arguments: str) -> Process:
            command = [str(SPARK_HOME / "bin" / "spark-class"), CLASS + name, "--host", "127.0.0.1", *arguments]
            process = Process(f"Spark's {name}", command, folder / f"{len(list(folder.iterdir()))}.log", env)
            ending.callback(process.stop)
            return process

        master = start("master.Master", "--port", str(port), "--webui-port", "0")
        master.wait_until(lambda: accepts(port), READY_S)
        address = f"spark://127.0.0.1:{port}"
        for _ in range(workers):
            worker = start("worker.Worker", "--cores", "1", "--memory", memory, "--webui-port", "0", address)
            worker.wait_until(lambda of=worker: "Successfully registered" in of.tail(200), READY_S)
        yield address

"""PySpark in several versions, each in a folder of its own beside the test environment's packages."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from services.jars import CACHE
from services.process import ServiceError


def pyspark(version: str) -> Path:
    """The folder of a version of PySpark and the py4j that it asks for; installed when it is not there yet.

    Put on PYTHONPATH, it goes before the environment's own PySpark.
    """
    folder = CACHE / f"pyspark-{version}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "pyspark.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=CACHE))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", partial]
        done = subprocess.run([*pip, f"pyspark=={version}"], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise ServiceError(f"pip could not install PySpark {version}:\n{done.stderr[-2000:]}")
        partial.rename(folder)
    return folder

"""Java programs from Maven jars, fetched once into .services/ of this clone."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from services.process import ServiceError

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".services"


def classpath(pom: str) -> str:
    """The class path of what `pom` (a file beside this one) depends on; fetched when it is not there yet."""
    text = (HERE / pom).read_bytes()
    folder = CACHE / "jars" / f"{Path(pom).stem}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not folder.is_dir():
        _fetch(HERE / pom, folder)
    return str(folder / "*")


def _fetch(pom: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two test workers may ask at once; the second finds the folder when it gets the lock.
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        if shutil.which("mvn") is None:
            raise ServiceError("mvn was not found. Install Maven (Debian: apt-get install maven) and Java 17 or newer")
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
        if done.returncode != 0 or not any(partial.glob("*.jar")):
            shutil.rmtree(partial, ignore_errors=True)
            raise ServiceError(
                f"mvn could not fetch the jars of {pom.name}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
            )
        partial.rename(folder)

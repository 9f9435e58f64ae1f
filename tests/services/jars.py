"""Java programs from Maven jars, fetched once into .services/ of this clone."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from services.process import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".services"
ALONE = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>citystream.tests</groupId>
  <artifactId>{name}</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>{dependencies}
  </dependencies>
  <build><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId>
    <artifactId>maven-dependency-plugin</artifactId>
    <version>3.8.1</version>
  </plugin></plugins></build>
</project>
"""
DEPENDENCY = """
    <dependency>
      <groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>"""


def classpath(pom: str) -> str:
    """The class path of what `pom` (a file beside this one) depends on; fetched when it is not there yet."""
    return str(_folder(Path(pom).stem, (HERE / pom).read_text()) / "*")


def jars_alone(name: str, artifacts: Iterable[str]) -> list[Path]:
    """The jars of `group:artifact:version` each, without what they depend on; fetched when they are not there yet."""
    dependencies = "".join(DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
    return sorted(_folder(name, ALONE.format(name=name, dependencies=dependencies)).glob("*.jar"))


def _folder(name: str, pom: str) -> Path:
    """Where the jars are that the text of a POM asks for."""
    folder = CACHE / "jars" / f"{name}-{hashlib.sha256(pom.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two test workers may ask at once; the second finds the folder when it gets the lock.
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(name, pom, folder)
    return folder


def _fetch(name: str, pom: str, folder: Path) -> None:
    if shutil.which("mvn") is None:
        raise ServiceError("mvn was not found. Install Maven (Debian: apt-get install maven) and Java 17 or newer")
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder.parent) as partial:
        file, jars = Path(partial) / "pom.xml", Path(partial) / "jars"
        file.write_text(pom)
        command = ["mvn", "-q", "-B", "-f", str(file), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
        if done.returncode != 0 or not any(jars.glob("*.jar")):
            raise ServiceError(f"mvn could not fetch the jars of {name}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        jars.rename(folder)

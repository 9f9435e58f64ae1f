"""What is in the wheel, and what it says about itself."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution, entry_points, files
from pathlib import Path

import citystream as cs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def test_one_version():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert cs.__version__ == cs.build_info()["version"] == cargo


def test_the_wheel_is_tested_not_the_folder():
    assert "site-packages" in cs.__file__
    assert cs.build_info()["profile"] in {"quick", "release"}
    assert cs.build_info()["debug_assertions"] is False


def test_what_is_in_it():
    names = {str(path) for path in files("citystream")}
    for name in ("py.typed", "_core.pyi", "_core.abi3.so", "jobs/generate_data.py", "sql/gold/road_5min.sql"):
        assert f"citystream/{name}" in names
    # Spark finds it by its name.
    assert "pyspark_citystream/__init__.py" in names
    assert "citystream/jobs/spark-city.py" in names
    folders = [name.split("/")[2] for name in names if name.endswith(".sql")]
    assert folders.count("gold") + folders.count("dim") == 13
    assert folders.count("realism") >= 35
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name and name.startswith("tests") for name in names)


def test_metadata():
    about = distribution("citystream").metadata
    assert about["Requires-Python"] == ">=3.10"
    assert set(about.get_all("Provides-Extra")) == {"aws", "spark", "notebook", "live"}
    required = [r for r in about.get_all("Requires-Dist") if "extra ==" not in r]
    assert {re.split(r"[^A-Za-z]", r)[0] for r in required} == {"duckdb", "typer", "rich", "tomli"}
    # A cluster brings its own.
    assert not any(r.startswith("pyspark") for r in about.get_all("Requires-Dist"))
    (script,) = (e for e in entry_points(group="console_scripts") if e.name == "citystream")
    assert script.value == "citystream.cli:main"


def test_pinned_tools_are_exact():
    lines = [line for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) > 15
    assert all(re.fullmatch(r"[A-Za-z0-9-]+(\[[a-z0-9,]+\])?==[0-9.]+(; python_version .*)?", line) for line in lines)


def test_ci_is_the_readmes_test_command():
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and line[0] != "#"]
    assert commands[-1] == "exec make test"
    assert "make test" in (ROOT / "README.md").read_text()


def test_no_file_is_long():
    checked = 0
    for folder in ("python", "src", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".pyi", ".rs", ".sql"}:
                checked += 1
                assert len(path.read_text().splitlines()) < 1000, path
    assert checked > 50

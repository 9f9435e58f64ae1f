"""What the documentation says is tried: examples of docstrings, and the tables' page against the SQL."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import citystream
from citystream import sql
from citystream.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
MODULES = ["citystream", *(m.name for m in pkgutil.walk_packages(citystream.__path__, "citystream."))]
EXAMPLES = [
    example
    for name in MODULES
    # The scripts of jobs run when they are imported, and the console's entry does. `limits` takes a newer PySpark than
    # this one; tests/spark_matrix imports it there.
    if ".jobs" not in name and not name.endswith(("__main__", "spark.limits"))
    for example in doctest.DocTestFinder().find(importlib.import_module(name), name)
    if example.examples
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 12
    public = {example.name.split(".", 2)[-1] for example in EXAMPLES}
    assert {"City", "City.events", "City.part", "Faults", "Lake", "Lake.table"} <= public


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_of_docstrings(example, tmp_path):
    example.globs["tmp"] = tmp_path
    told = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=told.append)
    assert tried > 0
    assert failed == 0, "".join(told)


def sections():
    """docs/tables.md: the columns of each table with their units, in its order."""
    text = (DOCS / "tables.md").read_text()
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name = part.splitlines()[0]
        if not name.startswith("gold."):
            continue
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
        # Columns, formula, unit, null, source; other tables of the page are narrower.
        rows = [row for row in rows if len(row) == 5 and re.fullmatch("[a-z0-9_, ]+", row[0]) and row[0] != "column"]
        found[name] = [(column, row[2]) for row in rows for column in row[0].split(", ")]
    return found


@pytest.mark.parametrize("query", [q for q in sql.load() if q.name.startswith("gold.")], ids=lambda q: q.name)
def test_the_page_of_tables_and_the_headers_agree(query):
    page = sections()[query.name]
    assert [column for column, _ in page if column not in {"window_end", "window_date"}] == [
        column.name for column in query.columns if column.name not in {"window_end", "window_date"}
    ]
    assert {column for column, _ in page} == {column.name for column in query.columns}
    for column, unit in page:
        (own,) = (c.unit for c in query.columns if c.name == column)
        # A row of the page that holds several columns lists its units.
        assert (own or "–") in unit.split(", "), column


def test_the_page_of_settings_is_a_good_file(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", (DOCS / "settings.md").read_text(), flags=re.DOTALL)
    (tmp_path / "citystream.toml").write_text(example)
    settings = Settings({}, tmp_path / "citystream.toml")
    assert settings.get("faults.late_bound") == "10min"
    assert settings.security({})["user"] == "me"
    set_there = [value.key for value in settings if value.source != "default"]
    assert len(set_there) > 15


def test_the_page_of_tables_has_the_dimensions():
    text = (DOCS / "tables.md").read_text()
    for query in sql.load():
        if query.name.startswith("dim."):
            (row,) = re.findall(rf"^\| {re.escape(query.name)} \| ([^|]*) \|", text, flags=re.MULTILINE)
            assert row.replace(" (key)", "").split(", ") == [column.name for column in query.columns]

"""docs/realism.md: its table of checks is made of the SQL headers, and the tests that it names exist.

`DOCS=write pytest tests/realism/test_page.py` renews the table.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from citystream.sql import checks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "realism.md"


def table():
    rows = ["| check | kind | target | what is measured | source |", "| --- | --- | --- | --- | --- |"]
    rows += [f"| {c.name} | {c.kind} | {c.target} {c.unit} | {c.title} | {c.source} |" for c in checks.load()]
    return "\n".join(rows)


def test_the_table_is_what_the_headers_say():
    page = PAGE.read_text()
    (section,) = re.findall(r"\n## Checks\n.*?(?=\n## )", page, flags=re.DOTALL)
    renewed = re.sub(r"(?m)(^\|.*\n?)+", lambda _: table() + "\n", section, count=1)
    if os.environ.get("DOCS") == "write":
        PAGE.write_text(page.replace(section, renewed))
    else:
        assert section == renewed, "renew it: DOCS=write pytest tests/realism/test_page.py"
    assert renewed.count("\n| ") == len(checks.load()) + 2


def test_every_test_of_the_contract_exists():
    (section,) = re.findall(r"\n## Consistency contract\n.*", PAGE.read_text(), flags=re.DOTALL)
    rows = re.findall(r"^\| (\d+) \|.*$", section, flags=re.MULTILINE)
    assert rows == [str(n) for n in range(1, 11)]
    named = re.findall(r"`([a-z_/]+\.(?:rs|py))`: ((?:`\w+`(?:, )?)+)", section)
    assert len(named) >= 10
    for path, tests in named:
        text = (ROOT / path).read_text()
        for test in re.findall(r"`(\w+)`", tests):
            assert re.search(rf"\b(?:fn|def|class) {test}\b", text), f"{path} has no {test}"

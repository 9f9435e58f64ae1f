"""The README's Python runs as it stands: first without a broker, then with one."""

import re
from pathlib import Path

import pytest

import services

README = (Path(__file__).parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second = EXAMPLES
    assert len(first.strip().splitlines()) <= 11, "ten lines, and one between"
    names = {}
    exec(compile(first, "README.md", "exec"), names)  # noqa: S102
    assert "vehicle-" in capsys.readouterr().out
    with services.kafka() as broker:
        there = second.replace("localhost:9092", broker.bootstrap_servers)
        assert there != second
        exec(compile(there, "README.md", "exec"), names)  # noqa: S102
    assert "delivered" in capsys.readouterr().out


def test_the_two_commands_exist():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z]+) ", README, flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (Path(__file__).parents[2] / link).exists()

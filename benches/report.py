"""RESULTS.md and results.json."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benches.outcome import Outcome, Sample
from benches.table import Table, grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benches.figure import Figure

READING = """
- Every figure but movement and JSON alone is a whole program, started anew for each run, start-up included; CPU-seconds
  are user and system time by the kernel's account of the child (`wait4`), so that they count what all its threads did;
  wall time is beside them because CPU-seconds hide waiting.
- Contenders of one table ran in turn, A B A B A B, so that a slow minute was slow for all of them. Each cell is the
  median of its runs. A ratio is the median of ours ÷ the peer's round by round, with the least and the greatest in
  brackets; above 1 citystream does more.
- The machine is small and shared: trust ratios more than rates, and take no side where a ratio's range spans 1.
- "per second" is by the program's own clock where it has one, else by the wall. MB are 10⁶ bytes, MiB 2²⁰. No figure is
  taken with acks=0 or acks=1.
- A peak of – is one of at most {floor:.0f} MiB: a child begins with the peak of the process that measures it.
- Each peer's command is a script in `benches/peers/` that runs by itself; `results.json` has every single run.
"""


@dataclass
class Section:
    """What came of a figure."""

    figure: Figure
    tables: Sequence[Table] = ()
    failure: str | None = None
    # Commit and date, where they are not those of the whole.
    measured: Mapping[str, str] | None = None


@dataclass
class Results:
    """All that is written.

    Args:
        caution: Why the numbers are none to quote, where they aren't.
        facts: Commit, date, machine and versions.
        floor: Peak resident bytes of the measuring process.
        sections: The figures.
        hidden: Paths of this machine, and what to write instead.
    """

    facts: Mapping[str, str]
    floor: int
    caution: str | None = None
    sections: list[Section] = field(default_factory=list)
    hidden: Mapping[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """RESULTS.md."""
        parts = ["# Measured", "Written by `make bench`."]
        if self.caution:
            parts.append(f"**Not for quoting: {self.caution}.**")
        parts.append(grid(["", ""], [list(fact) for fact in self.facts.items()]).replace("---:", "---"))
        parts += ["## How to read it", READING.format(floor=self.floor / 2**20).strip()]
        for section in self.sections:
            parts += [f"## {section.figure.title}", section.figure.what]
            if section.figure.peers:
                scripts = ", ".join(f"[{script}](peers/{script})" for script in section.figure.peers)
                parts.append(f"The peer's command: {scripts}.")
            if section.figure.no_peer:
                parts.append(f"No peer here. {section.figure.no_peer}")
            if section.measured is not None:
                parts.append(f"Measured at commit {', '.join(section.measured[name] for name in MEASURED)}.")
            if section.failure:
                parts.append(f"**Not measured:** {section.failure}")
            parts += [table.markdown() for table in section.tables]
        parts += ["## What is missing", "\n".join(f"- {line}" for line in self.missing())]
        return self._without_paths("\n\n".join(parts)) + "\n"

    def missing(self) -> list[str]:
        """What failed, and what is not measured yet."""
        lines = [f"{each.figure.title}: not measured, see above." for each in self.sections if each.failure]
        for section in self.sections:
            failed = [outcome.name for table in section.tables for outcome in table.outcomes if outcome.failure]
            lines += [f"{section.figure.title}: {name} failed, see above." for name in dict.fromkeys(failed)]
        return [*lines, *LATER]

    def document(self) -> dict[str, Any]:
        """results.json."""
        return {
            "facts": dict(self.facts),
            "caution": self.caution,
            "figures": [
                {
                    "name": section.figure.name,
                    "peers": list(section.figure.peers),
                    "failure": section.failure,
                    "measured": dict(section.measured or {name: self.facts[name] for name in MEASURED}),
                    "tables": [
                        {
                            "title": table.title,
                            "unit": table.unit,
                            "outcomes": [dataclasses.asdict(outcome) for outcome in table.outcomes],
                            "ratios": [
                                {
                                    "ours": ours,
                                    "peer": peer,
                                    **{m: dataclasses.asdict(r) if r else None for m, r in found.items()},
                                }
                                for ours, peer, found in table.ratios()
                            ],
                            "notes": list(table.notes),
                        }
                        for table in section.tables
                    ],
                }
                for section in self.sections
            ],
        }

    def json(self) -> str:
        """results.json as text."""
        return self._without_paths(json.dumps(self.document(), ensure_ascii=False, indent=1)) + "\n"

    def _without_paths(self, text: str) -> str:
        # The longest first: one folder may lie in another.
        for path in sorted(self.hidden, key=len, reverse=True):
            text = text.replace(path, self.hidden[path])
        return text


MEASURED = ("commit", "date", "CPU")


def kept(document: Mapping[str, Any], figures: Iterable[Figure]) -> list[Section]:
    """The sections of an earlier results.json, of those figures that it has."""
    by_name = {found["name"]: found for found in document["figures"]}
    older = {name: document["facts"][name] for name in MEASURED}
    return [
        Section(
            figure,
            [_table(table) for table in by_name[figure.name]["tables"]],
            by_name[figure.name]["failure"],
            by_name[figure.name].get("measured", older),
        )
        for figure in figures
        if figure.name in by_name
    ]


def _table(found: Mapping[str, Any]) -> Table:
    outcomes = [
        Outcome(each["name"], [Sample(**sample) for sample in each["samples"]], each["failure"])
        for each in found["outcomes"]
    ]
    comparisons = [(pair["ours"], pair["peer"]) for pair in found["ratios"]]
    return Table(found["title"], outcomes, comparisons, found["notes"], found["unit"])


LATER = (
    "Avro messages.",
    "The broker's own CPU-seconds, more than one machine, and any network but the loopback.",
)

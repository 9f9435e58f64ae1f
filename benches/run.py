"""Measures the figures and writes benches/RESULTS.md and benches/results.json: `make bench`, or by hand as below.

    PYTHONPATH=tests .venv/bin/python -m benches.run --quick --only kafka,ingest

A quick bench, one of some figures or another number of rounds, and one of a wheel that is no release build write to
target/bench instead. Some figures, measured as in a full bench, may take the place of what RESULTS.md has of them, and
say at which commit each was measured (`--keep`), or go to a folder of their own (`--into`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benches.bench import Bench
from benches.child import RunError
from benches.city import FULL, QUICK
from benches.figures import FIGURES
from benches.machine import ROOT, build_info, commit, machine, today, versions
from benches.report import Results, Section, kept

if TYPE_CHECKING:
    from benches.figure import Figure


def main() -> int:
    """Returns 1 where a figure could not be measured, else 0; both files are written either way."""
    options = _options()
    chosen = [figure for figure in FIGURES if options.only is None or figure.name in options.only]
    # A broker or topics that somebody has set would send the figures elsewhere.
    for name in [name for name in os.environ if name.endswith("_TOPIC") or name.startswith(("KAFKA_", "CITYSTREAM_"))]:
        del os.environ[name]
    # An orderly end stops the broker and removes the files, whoever asks for it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ours = options.ours.absolute()
    built = build_info(ours / "python")
    apart = options.keep or options.into is not None
    cautions = {
        "a quick bench of small sizes": options.quick,
        f"the wheel's profile is {built['profile']}, not release": built["profile"] != "release",
        f"{options.rounds} rounds": options.rounds is not None,
        f"only {', '.join(figure.name for figure in chosen)}": options.only is not None and not apart,
    }
    caution = "; ".join(words for words, holds in cautions.items() if holds) or None
    facts = {"commit": commit(), "date": today(), **machine(), **versions(built, ours)}
    target = options.into or (ROOT / "benches" if caution is None else ROOT / "target" / "bench")
    target.mkdir(parents=True, exist_ok=True)
    scratch = ROOT / "target" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)

    began = time.monotonic()
    with ExitStack() as ending:
        work = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="work-", dir=scratch)))
        sizes = QUICK if options.quick else FULL
        sizes = sizes if options.rounds is None else replace(sizes, rounds=options.rounds)
        bench = Bench(sizes, ours, work, options.profile, _tell, ending)
        sections = [_section(bench, figure) for figure in chosen]
    if options.keep and caution is None:
        earlier = kept(json.loads((target / "results.json").read_text()), [f for f in FIGURES if f not in chosen])
        sections = sorted([*sections, *earlier], key=lambda section: FIGURES.index(section.figure))
    facts["it took"] = f"{(time.monotonic() - began) / 60:.0f} min"
    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    hidden = {str(work): "WORK", str(ROOT): ".", str(Path.home()): "~"}
    results = Results(facts, floor, caution, sections, hidden)
    (target / "RESULTS.md").write_text(results.markdown())
    (target / "results.json").write_text(results.json())
    _tell(f"written: {target / 'RESULTS.md'}")
    failed = [s for s in sections if s.failure or any(o.failure for table in s.tables for o in table.outcomes)]
    return 1 if failed else 0


def _section(bench: Bench, figure: Figure) -> Section:
    _tell(f"== {figure.title}")
    try:
        return Section(figure, figure.measure(bench))
    except RunError as error:
        _tell(f"{figure.title}: not measured: {error}")
        return Section(figure, failure=str(error))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--rounds", type=int, help="instead of three, or of two where quick")
    parser.add_argument("--only", type=_figures, help=f"of {','.join(figure.name for figure in FIGURES)}")
    parser.add_argument("--keep", action="store_true", help="leave the other figures of RESULTS.md as they are")
    parser.add_argument("--into", type=Path, help="folder of the results, where some figures have their own")
    parser.add_argument("--ours", type=Path, default=ROOT / ".venv-bench" / "bin", help="bin folder with the wheel")
    parser.add_argument("--profile", default="release", help="cargo's profile for the criterion bench")
    return parser.parse_args()


def _figures(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in [figure.name for figure in FIGURES]:
            raise argparse.ArgumentTypeError(f"there is no figure {name!r}")
    return names


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        _tell("stopped; nothing was written")
        sys.exit(130)

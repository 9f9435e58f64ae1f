"""The arithmetic and the tables of `make bench`, on made-up numbers, and what its figures name. Nothing is measured."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benches.bench import executable
from benches.child import RunError, run
from benches.figure import Figure
from benches.figures import FIGURES
from benches.figures.arrow import without
from benches.figures.codec import estimate, message_size
from benches.figures.gold import cost
from benches.figures.ingest import consumer_report
from benches.figures.kafka import perf_report
from benches.figures.movement import samples
from benches.figures.parts import sums
from benches.outcome import Contender, Outcome, Sample, alternate, ratio
from benches.report import Results, Section, kept
from benches.table import Table, si

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benches" / "peers"


def sample(events=1000, cpu=2.0, wall=4.0, **more):
    return Sample(events=events, cpu=cpu, wall=wall, **more)


def test_a_sample_gives_its_rates():
    made = sample(events=3_000_000, cpu=2.0, wall=4.0, bytes=750_000_000, rss=1)
    assert (made.events_per_cpu, made.mb_per_cpu, made.bytes_per_event, made.events_per_s) == (1.5e6, 375, 250, 750_000)
    assert sample(events=30, wall=4.0, seconds=2.0).events_per_s == 15, "its own account leaves start-up out"
    assert sample().mb_per_cpu is None
    assert sample().bytes_per_event is None


def test_a_median_is_that_of_the_metric_and_none_where_something_lacks():
    outcome = Outcome("a", [sample(cpu=4.0), sample(cpu=1.0), sample(cpu=2.0)])
    assert outcome.median("events_per_cpu") == 500
    assert outcome.median("cpu") == 2
    assert outcome.median("rss") is None
    assert Outcome("a").median("cpu") is None
    assert Outcome("a", [sample()], failure="broke").median("cpu") is None


def test_ratios_are_taken_round_by_round():
    # The machine was slow in the second round, for both: the ratio of the medians would be 3, too.
    ours = Outcome("ours", [sample(cpu=1.0), sample(cpu=5.0), sample(cpu=1.0)])
    peer = Outcome("peer", [sample(cpu=3.0), sample(cpu=10.0), sample(cpu=4.0)])
    found = ratio(ours, peer, "events_per_cpu")
    assert found is not None
    assert (found.median, found.least, found.greatest) == pytest.approx((3, 2, 4))
    assert ratio(ours, peer, "mb_per_cpu") is None
    assert ratio(ours, Outcome("peer", failure="broke"), "events_per_cpu") is None


def test_parts_are_compared_with_the_whole():
    outcomes = [Outcome("1 part", [sample(cpu=2.0)]), Outcome("4 parts", [sample(cpu=2.2)])]
    assert sums(outcomes) == "CPU of all parts together, over one part's: 1.10 × in 4 parts."
    assert sums([outcomes[0], Outcome("4 parts", failure="broke")]) == "Not everything was measured."


def test_an_increment_is_a_share_of_the_whole():
    told = cost((200.0, 40.0), "after 10 rows", (42.0, 38.0))
    assert told.startswith("after 10 rows: 21.0 % of the CPU-seconds of all of gold; 2.5 % without gold.data_quality")
    unmeasured = "after 10 rows: not measured."
    assert (
        cost((None, 1.0), "after 10 rows", (5.0, 1.0)) == cost((2.0, 1.0), "after 10 rows", (None, 1.0)) == unmeasured
    )


def test_a_start_is_taken_off_round_by_round():
    run = Outcome(
        "ours", [sample(events=1000, cpu=3.0, wall=4.0, bytes=5000), sample(events=1000, cpu=4.0, bytes=5000)]
    )
    start = Outcome("start", [sample(events=100, cpu=1.0, wall=1.0), sample(events=100, cpu=1.0, wall=1.0)])
    left = without(run, start)
    assert [(s.events, s.cpu, s.wall, s.bytes) for s in left.samples] == [(900, 2, 3, 4500), (900, 3, 3, 4500)]
    assert left.median("events_per_cpu") == 375
    assert without(run, Outcome("start", failure="broke")).failure == "broke"
    tiny = without(start, start)
    assert tiny.samples == []
    assert "too small" in str(tiny.failure)


def test_contenders_take_turns_and_one_that_fails_is_left_out():
    order = []

    def works(name, fails_at=None):
        def work():
            order.append(name)
            if order.count(name) == fails_at:
                raise RunError("no disk")
            return sample(events=len(order))

        return Contender(name, work)

    told = []
    a, b, c = alternate([works("a"), works("b", fails_at=2), works("c")], 3, told.append)
    assert order == ["a", "b", "c", "a", "b", "c", "a", "c"]
    assert [s.events for s in a.samples] == [1, 4, 7]
    assert (b.failure, len(b.samples), b.median("cpu")) == ("no disk", 1, None)
    assert len(c.samples) == 3
    assert len(told) == len(order)


def test_numbers_have_three_digits():
    given = (2_612_345, 12_345_678, 123_456_789, 950_000, 4_512, 812.4, 0.5)
    assert [si(number) for number in given] == ["2.61 M", "12.3 M", "123 M", "950 k", "4.51 k", "812", "0.50"]


def table(**changes):
    ours = Outcome("ours", [sample(events=2000, bytes=500_000, rss=50 * 2**20)] * 3)
    peer = Outcome("peer", [sample(bytes=100_000)] * 3)
    broken = Outcome("broken", failure="no disk")
    given = {"comparisons": [("ours", "peer"), ("ours", "broken")], "notes": ["A note."], "unit": "rows"}
    return Table("a title", [ours, peer, broken], **{**given, **changes})


def test_a_table_shows_medians_ratios_failures_and_notes():
    text = table().markdown()
    assert text.startswith("### a title\n\n|  | rows | bytes per row | rows per CPU-second | MB per CPU-second | ")
    assert " | rows per second | CPU s | wall s | peak MiB |\n| --- | ---: |" in text
    assert "| ours | 2,000 | 250.0 | 1.00 k | 0.2 | 500 | 2.00 | 4.00 | 50 |" in text
    assert "| peer | 1,000 | 100.0 | 500 | 0.1 | 250 | 2.00 | 4.00 | – |" in text
    assert "| broken |" + " – |" * 8 in text
    assert "**broken failed:** no disk" in text
    assert "| ours ÷ peer | 2.00 (2.00–2.00) | 5.00 (5.00–5.00) | 2.00 (2.00–2.00) |" in text
    assert "| ours ÷ broken | – | – | – |" in text
    assert text.endswith("A note.")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 5 + 4
    assert {line.count("|") for line in rows[:5]} == {10}
    assert {line.count("|") for line in rows[5:]} == {5}


def results(**changes):
    with_peer = Figure("one", "First", "What it is.", lambda _: [], peers=("some.sh",))
    alone = Figure("two", "Second", "What that is.", lambda _: [], no_peer="There is none.")
    sections = [Section(with_peer, [table()]), Section(alone, failure="/home/me/clone/x is not there")]
    given = {"facts": {"commit": "abc", "date": "2026-11-24", "CPU": "EPYC"}, "floor": 20 * 2**20, "sections": sections}
    return Results(**{**given, **changes})


def test_the_document_says_what_was_not_measured():
    text = results().markdown()
    assert "| commit | abc |" in text
    assert "[some.sh](peers/some.sh)" in text
    assert "No peer here. There is none." in text
    assert "**Not measured:** /home/me/clone/x is not there" in text
    missing = text[text.index("## What is missing") :]
    assert "- Second: not measured, see above." in missing
    assert "- First: broken failed, see above." in missing
    assert "at most 20 MiB" in text
    assert "Not for quoting" not in text
    assert "**Not for quoting: small.**" in results(caution="small").markdown()


def test_figures_of_an_earlier_bench_stay_and_say_when_they_were_measured():
    earlier = results(facts={"commit": "abc", "date": "2026-11-24", "CPU": "EPYC"}, hidden={})
    figures = [section.figure for section in earlier.sections]
    first, second = kept(json.loads(earlier.json()), figures)
    assert dataclasses.asdict(first.tables[0]) == dataclasses.asdict(table())
    assert (first.measured, second.failure) == (
        {"commit": "abc", "date": "2026-11-24", "CPU": "EPYC"},
        earlier.sections[1].failure,
    )
    later = results(
        facts={"commit": "def", "date": "2026-11-29", "CPU": "EPYC"}, sections=[first, Section(figures[1], [table()])]
    )
    text = later.markdown()
    assert text.count("Measured at commit abc, 2026-11-24, EPYC.") == 1
    assert text.index("## First") < text.index("Measured at commit abc") < text.index("## Second")
    # And once more, by the file's own account of each.
    again = kept(json.loads(later.json()), figures)
    assert [section.measured["commit"] for section in again] == ["abc", "def"]
    assert kept(json.loads(later.json()), [dataclasses.replace(figures[0], name="new")]) == []


def test_no_path_of_the_machine_gets_into_the_files():
    hidden = {"/home/me": "~", "/home/me/clone": "."}
    shown = results(hidden=hidden)
    assert "**Not measured:** ./x is not there" in shown.markdown()
    assert json.loads(shown.json())["figures"][1]["failure"] == "./x is not there"


def test_the_json_has_every_run():
    found = json.loads(results().json())
    outcomes = found["figures"][0]["tables"][0]["outcomes"]
    assert [len(outcome["samples"]) for outcome in outcomes] == [3, 3, 0]
    assert outcomes[0]["samples"][0]["events"] == 2000
    assert found["figures"][0]["tables"][0]["ratios"][0]["events_per_cpu"]["median"] == 2
    assert found["figures"][0]["tables"][0]["ratios"][1]["events_per_cpu"] is None


def test_each_figure_names_peers_that_exist_or_says_why_it_has_none():
    named = [script for figure in FIGURES for script in figure.peers]
    assert len(named) > 0
    for script in named:
        path = PEERS / script
        assert path.is_file(), script
        assert path.suffix == ".py" or os.access(path, os.X_OK), f"{script} can't be run"
    assert all(bool(figure.peers) != bool(figure.no_peer) for figure in FIGURES)
    assert len({figure.name for figure in FIGURES}) == len(FIGURES) > 0
    there = {path.name for path in PEERS.iterdir() if path.suffix in (".sh", ".py")}
    assert there == set(named), "a script that no figure runs"


def test_the_kafka_producers_wait_for_all_replicas():
    producers = [path for path in PEERS.iterdir() if path.is_file() and "acks" in path.read_text()]
    assert {path.name for path in producers} == {"kafka_producer_perf.sh", "generate_data_loop.py"}
    found = [acks for path in producers for acks in re.findall(r'acks"?[=:] ?"?(\w+)', path.read_text())]
    assert len(found) >= 2
    assert set(found) == {"all"}


def test_the_pins_are_exact_and_agree_with_those_of_the_tests():
    pin = re.compile(r"^([\w-]+)==([\w.]+)$", re.MULTILINE)
    lines = [line for line in (ROOT / "benches/requirements.txt").read_text().splitlines() if line[:1] not in ("", "#")]
    pins = dict(pin.findall("\n".join(lines)))
    assert len(pins) == len(lines) > 0
    tested = dict(pin.findall((ROOT / "requirements-dev.txt").read_text()))
    assert pins["confluent-kafka"] == tested["confluent-kafka"]


def test_the_reports_of_kafka_s_programs_are_read():
    printed = (
        "501 records sent, 100.1 records/sec (0.02 MB/sec), 5.0 ms avg latency, 9.0 ms max latency.\n"
        "2000000 records sent, 400000.000000 records/sec (95.37 MB/sec), 300.10 ms avg latency.\n"
    )
    records, seconds, size = perf_report(printed)
    assert (records, seconds) == (2_000_000, 5)
    assert size == pytest.approx(95.37 * 2**20 * 5)
    head = (
        "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, "
        "fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n"
    )
    line = (
        "2026-06-01 08:00:00:000, 2026-06-01 08:00:02:000, 59.6, 29.8, 250000, 125000.0, 1000, 500, 119.2, 500000.0\n"
    )
    assert consumer_report(head + line) == (250_000, 0.5)
    for nothing in ("", "an error, of some kind\n", head):
        with pytest.raises(RunError, match="printed no result"):
            consumer_report(nothing)
    with pytest.raises(RunError, match="printed no result"):
        perf_report("an error")


def test_criterion_s_estimates_are_read(tmp_path):
    folder = tmp_path / "encode" / "citystream" / "new"
    folder.mkdir(parents=True)
    (folder / "estimates.json").write_text('{"median": {"point_estimate": 2000000.0}}')
    (folder / "benchmark.json").write_text('{"throughput": {"Elements": 8192}}')
    found = estimate(folder, 250)
    assert (found.events_per_cpu, found.bytes_per_event) == (pytest.approx(4_096_000), 250)
    assert message_size("Finished\n274 bytes a message\nBenchmarking") == 274
    shutil.rmtree(tmp_path / "encode")
    with pytest.raises(RunError, match="no estimate of encode citystream"):
        estimate(folder, 250)
    with pytest.raises(RunError, match="did not print"):
        message_size("nothing")


def test_a_bench_s_program_is_found_in_cargo_s_messages():
    library = {"reason": "compiler-artifact", "target": {"name": "_core"}, "executable": None}
    bench = {"reason": "compiler-artifact", "target": {"name": "consume"}, "executable": "/target/consume-1"}
    printed = "\n".join(json.dumps(each) for each in (library, bench, {"reason": "build-finished", "success": True}))
    assert executable(printed, "consume") == "/target/consume-1"
    with pytest.raises(RunError, match="no bench other"):
        executable(printed, "other")


def test_movement_is_counted_by_the_loop_s_own_account():
    seconds, crossings = samples({"cpu": 2.0, "wall": 4.0, "vehicle_seconds": 600, "crossings": 30})
    assert (seconds.events_per_cpu, seconds.events_per_s, crossings.events_per_cpu) == (300, 150, 15)
    assert samples({"cpu": 2.0, "wall": 4.0, "vehicle_seconds": 600, "crossings": None})[1] is None


def test_a_program_s_cost_is_its_own():
    # In a process of its own, begun by a small shell: a child starts with its parent's peak, which a long test run
    # makes larger than the child's own.
    program = """
import subprocess
import sys
from benches.child import run
large = run([sys.executable, "-c", "print(len(b'1' * 2**28))"], env={"A": "1"})
small = run(["sh", "-c", "echo $A"], env={"A": "b"})
print(large.stdout.strip(), large.rss >= 2**28, large.cpu > 0, large.wall > 0, small.stdout.strip(), small.rss)
"""
    ran = run(["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, program], cwd=ROOT)
    assert ran.stdout == f"{2**28} True True True b None\n"


def test_a_program_that_fails_says_why():
    with pytest.raises(RunError, match=r"ended with status 3: one / two$"):
        run([sys.executable, "-c", "import sys; print('one\\n two', file=sys.stderr); sys.exit(3)"])
    with pytest.raises(RunError, match="no-such-program: No such file"):
        run(["no-such-program"])
    with pytest.raises(RunError, match=r"was killed after 0\.1 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.1)


def test_the_cpu_seconds_of_orphans_are_counted():
    program = """
import os, subprocess, sys, time
from benches.jvm import adopt_orphans, cpu_seconds_below
adopt_orphans()
busy = "import time\\nwhile time.process_time() < 0.5: pass"
before = cpu_seconds_below(os.getpid())
subprocess.run(["sh", "-c", f"{sys.executable} -c '{busy}' & exit"])
deadline = time.monotonic() + 60
while cpu_seconds_below(os.getpid()) - before < 0.5 and time.monotonic() < deadline:
    time.sleep(0.05)
print(cpu_seconds_below(os.getpid()) - before)
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert 0.5 <= float(ran.stdout) < 5


def test_cpu_seconds_never_go_back():
    program = """
import os, subprocess, sys, threading
from benches.jvm import cpu_seconds_below
brief = [sys.executable, "-S", "-c", "for _ in range(3_000_000): pass"]
def work():
    for _ in range(30):
        subprocess.run(brief)
working = threading.Thread(target=work)
working.start()
seen = [cpu_seconds_below(os.getpid())]
while working.is_alive():
    seen.append(cpu_seconds_below(os.getpid()))
print(len(seen), min(after - before for before, after in zip(seen, seen[1:])))
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    looks, least = ran.stdout.split()
    assert int(looks) > 5
    assert float(least) >= 0

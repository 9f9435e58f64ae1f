"""Ctrl-C, SIGTERM and fork."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

# Works for minutes; says when it has begun.
WORK = {
    "ingest": "cs.Lake('lake').ingest(city, progress=begun)",
    "write": "city.core.write(to='null', out=None, reference=False, progress=begun)",
    "iterate": "for _, batch in city: begun(None)",
    "consumer": "import pyarrow as pa\nfor batch in pa.RecordBatchReader.from_stream(city.events('gps')): begun(None)",
    "rows": "for row in city.rows('gps'): begun(None)",
}


def program(work):
    lines = "\n".join(f"    {line}" for line in work.splitlines())
    return (
        "import time, citystream as cs\n"
        "told = False\n"
        "def begun(state):\n"
        "    global told\n"
        "    if not told: print('begun', flush=True)\n"
        "    told = True\n"
        "city = cs.City(vehicles=5_000, duration='60d')\n"
        "try:\n"
        f"{lines}\n"
        "except KeyboardInterrupt:\n"
        "    print(time.monotonic(), flush=True)\n"
    )


@pytest.mark.parametrize("name", WORK)
def test_ctrl_c_is_answered_within_a_second(tmp_path, name):
    child = subprocess.Popen(
        [sys.executable, "-c", program(WORK[name])], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "begun\n"
        time.sleep(0.5)
        sent = time.monotonic()
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        assert float(out) - sent < 1.0
    finally:
        child.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_ends_with_130(tmp_path, number):
    command = ["simulate", "--to", "ndjson", "--out", "out", "--vehicles", "5000", "--duration", "60d"]
    child = subprocess.Popen(
        [sys.executable, "-m", "citystream", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        assert child.returncode == 130
        assert err == "Stopped.\n"
    finally:
        child.kill()


def test_an_ingest_that_is_stopped_goes_on_where_it_was(tmp_path):
    import citystream as cs

    options = {"seed": 3, "vehicles": 2_000, "start": "2026-06-01T00:00Z", "duration": "2d"}
    text = f"import citystream as cs\ncs.Lake('lake').ingest(cs.City(**{options!r}))\n"
    child = subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        # The first of its commits that hold rows is enough.
        while not list(tmp_path.glob("lake/bronze/gps/**/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
        assert "KeyboardInterrupt" in err
    finally:
        child.kill()
    lake, city = cs.Lake(tmp_path / "lake"), cs.City(**options)
    stopped_at = lake.table("bronze.gps").row_count
    lake.ingest(city)
    counts = "count(*), count(distinct (kafka_topic, kafka_partition, kafka_offset, row_in_record))"
    rows, distinct = lake.query(f"select {counts} from bronze.gps").fetchall()[0]
    expected = sum(len(batch) for batch in city.events("gps"))
    assert stopped_at < expected
    assert rows == distinct == expected
    assert lake.check() == []


class TestFork:
    """A forked child gets an error that says so, or works; it never hangs."""

    CHILD = (
        "import os, sys, citystream as cs\n"
        "{before}\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        {after}\n"
        "        print('worked', flush=True)\n"
        "    except cs.ForkedError as error:\n"
        "        print('ForkedError:', error, flush=True)\n"
        "    finally:\n"
        "        os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )

    def test_a_run_that_had_begun(self, script):
        before = "it = iter(cs.City(vehicles=500, duration='1d')); next(it)"
        done = script(self.CHILD.format(before=before, after="next(it)"), timeout=60)
        assert done.out.startswith("ForkedError: ")
        assert "spawn" in done.out

    def test_options_of_a_city_are_no_run(self, script):
        before = "city = cs.City(vehicles=60, duration='1h'); list(city.rows('weather'))"
        done = script(self.CHILD.format(before=before, after="assert next(city.rows('weather'))"), timeout=60)
        assert done.out == "worked\n"

    def test_a_lake(self, script):
        before = "city = cs.City(vehicles=60, duration='1h'); lake = cs.Lake('lake'); lake.ingest(city)"
        done = script(self.CHILD.format(before=before, after="lake.tables()"), timeout=60)
        assert done.out == "worked\n" or done.out.startswith("ForkedError: ")

    def test_a_publisher(self, script, broker, topics):
        before = f"kafka = cs.Publisher({broker.bootstrap_servers!r}, topics={topics!r}, create_topics=1)"
        after = "kafka.send('gps', next(cs.City(vehicles=60, start='2026-06-01T07:00Z', duration='1h').rows('gps')))"
        done = script(self.CHILD.format(before=before, after=after) + "print(kafka.close().failed)\n", timeout=90)
        assert done.out.splitlines()[0].startswith("ForkedError: ")
        assert done.out.splitlines()[1] == "0"


def test_threads_share_a_lake(small_lake):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: small_lake.table("silver.gps").row_count, range(16)))
    assert len(set(counts)) == 1
    assert counts[0] > 0


def test_the_gil_is_free_while_a_city_runs(tmp_path):
    import threading

    import citystream as cs

    ticks, stop = [], threading.Event()

    def count():
        while not stop.wait(0.01):
            ticks.append(time.monotonic())

    counter = threading.Thread(target=count)
    counter.start()
    began = time.monotonic()
    cs.Lake(tmp_path / "lake").ingest(cs.City(vehicles=1_000, start="2026-06-01T07:00Z", duration="2h"))
    taken = time.monotonic() - began
    stop.set()
    counter.join()
    longest = max(b - a for a, b in zip([began, *ticks], [*ticks, began + taken], strict=True))
    assert len(ticks) > 3
    assert longest < max(0.5, taken / 2)


def test_an_interrupt_that_somebody_wraps_still_ends_with_130():
    code = (
        "import os, signal, time, typer\n"
        "from citystream.cli.options import command\n"
        "app = typer.Typer()\n"
        "app.callback()(lambda: None)\n"
        "@command(app, 'wait')\n"
        "def wait() -> None:\n"
        "    'Waits.'\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(20)\n"
        "    except KeyboardInterrupt:\n"
        "        raise RuntimeError('a query was interrupted')\n"
        "app(['wait'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")

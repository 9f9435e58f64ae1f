"""A store, a disk or a broker that fails, two writers at once: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import citystream as cs
from services.faulty_s3 import faulty

SEEDS = int(os.environ.get("CHAOS_SEEDS", "0"))

if SEEDS:
    # Only by `make chaos`: each of some thousand requests may have to wait before it is tried again.

    @pytest.mark.parametrize("seed", range(1, 1 + SEEDS))
    def test_a_store_that_fails_loses_and_doubles_nothing(lake, s3, seed):
        made = lake("s3")
        with faulty(s3.endpoint, seed) as proxy:
            direct, made.options = made.options, {**s3.storage_options, "aws_endpoint_url": proxy.endpoint}
            # Larger commits than elsewhere: a request through the proxy takes its time.
            status = made.run(file_rows=5_000, attempts=50)
        assert status == 0, made.log
        assert set(proxy.seen) >= {"unavailable", "error_after_success", "cut_after_success", "conflict", "slow"}
        made.options = direct
        assert made.audited() == []

    # Mounting needs more rights than a test may count on.

    def test_a_full_disk_is_named_and_costs_nothing(lake, tmp_path):
        made = lake("local")
        disk = tmp_path / "small"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False).returncode != 0:
            pytest.fail("a tmpfs can't be mounted: the gate needs root")
        try:
            made.path = str(disk / "lake")
            assert made.run() == 3, made.log
            assert "No space left on device" in made.log[-1], made.log
            assert subprocess.run(["mount", "-o", "remount,size=256m", str(disk)], check=False).returncode == 0
            assert made.run() == 0, made.log
            assert made.audited() == []
        finally:
            subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.parametrize("store", ["local", "s3"])
def test_two_workers_on_one_lake_share_the_work(lake, store):
    made = lake(store)
    both = [made.start(attempts=20) for _ in range(2)]
    for worker in both:
        _, err = worker.communicate(timeout=240)
        assert worker.returncode == 0, err
    assert made.audited() == []


def test_a_worker_that_stands_still_and_wakes_up_is_fenced(lake):
    made = lake("local")
    sleeper = made.start(attempts=20)
    time.sleep(1.5)
    sleeper.send_signal(signal.SIGSTOP)
    try:
        assert made.run(attempts=20) == 0, made.log
    finally:
        sleeper.send_signal(signal.SIGCONT)
    _, err = sleeper.communicate(timeout=240)
    assert sleeper.returncode == 0, err
    assert made.audited() == []


def test_a_broker_that_dies_under_an_ingest_costs_nothing(lake, broker):
    made = lake("local")
    worker = made.start(file_rows=100, attempts=20)
    time.sleep(1.0)
    broker.kill()
    time.sleep(1.0)
    broker.start()
    _, err = worker.communicate(timeout=240)
    # Away for longer than the time-out, or while topics are asked for: a named error, and the next run goes on.
    if worker.returncode != 0:
        assert "KafkaConnectionError" in err, err
        assert made.run(attempts=20) == 0, made.log
    assert made.audited() == []


def test_compaction_and_the_deltalake_wheels_own_stand_beside_ingest(lake):
    made = lake("local")
    worker = made.start(file_rows=100, attempts=50)
    script = (
        "import sys, deltalake\n"
        "done = 0\n"
        "while done < 40:\n"
        "    for name in ('bronze/gps', 'silver/gps', 'bronze/traffic'):\n"
        "        try:\n"
        "            deltalake.DeltaTable(sys.argv[1] + '/' + name).optimize.compact()\n"
        "        except Exception as error:\n"
        "            print(error, file=sys.stderr)\n"
        "        done += 1\n"
    )
    other = subprocess.Popen([sys.executable, "-c", script, made.path], stderr=subprocess.PIPE, text=True)
    own = cs.Lake(made.path)
    compacted = 0
    while worker.poll() is None:
        try:
            own.compact()
            compacted += 1
        except cs.ConflictError:
            pass
    _, err = worker.communicate(timeout=240)
    other.communicate(timeout=240)
    assert worker.returncode == 0, err
    assert compacted > 0
    assert made.run() == 0, made.log
    assert made.audited() == []

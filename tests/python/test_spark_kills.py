"""The driver of a streaming query is killed and started again on its checkpoint: the table has each record once.

`SPARK_KILLS` is how often: once where it is not set, five times in `make chaos`, and there with Spark's own source too.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

import citystream as cs

KILLS = int(os.environ.get("SPARK_KILLS", "1"))
DRIVER = Path(__file__).with_name("spark_driver.py")


@pytest.fixture
def start(tmp_path):
    """Starts a driver in a process group of its own, which its JVM and Python workers belong to."""
    running = []

    def begin(*arguments):
        with (tmp_path / "driver.log").open("a") as log:
            driver = subprocess.Popen(
                [sys.executable, DRIVER, *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(DRIVER.parents[1]), *sys.path])},
            )
        running.append(driver)
        return driver

    yield begin
    for driver in running:
        if driver.poll() is None:
            kill(driver)


def kill(driver):
    # It may have ended just now.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


@pytest.mark.timeout(600 + 120 * KILLS)
@pytest.mark.parametrize("source", ["citystream", "kafka"] if KILLS > 1 else ["citystream"])
def test_a_killed_driver_loses_and_doubles_nothing(broker, topics, tmp_path, start, source):
    randomness = random.Random(7)  # noqa: S311 - no secret
    arguments = (source, broker.bootstrap_servers, topics["gps"], str(tmp_path))
    running, sent, killed = tmp_path / "running", 0, 0
    for round_ in range(KILLS + 1):
        city = cs.City(seed=round_, vehicles=400, start="2026-06-01T07:00Z", duration="1h", streams=["gps"])
        with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2) as publisher:
            sent += publisher.publish(city).delivered
        running.unlink(missing_ok=True)
        driver = start(*arguments)
        if round_ == KILLS:
            break
        while not running.exists() and driver.poll() is None:
            time.sleep(0.005)
        # A micro-batch is planned, read, written and committed in the next seconds.
        time.sleep(randomness.uniform(0, 4))
        killed += driver.poll() is None
        kill(driver)
    assert driver.wait() == 0, (tmp_path / "driver.log").read_text()[-4000:]
    assert 2 * killed > KILLS, f"{killed} of {KILLS} drivers had not ended before they were to be killed"
    rows = pl.from_arrow(DeltaTable(tmp_path / "table").to_pyarrow_table(columns=["kafka_partition", "kafka_offset"]))
    assert rows.height == sent > 1_000
    places = rows.group_by("kafka_partition").agg(
        first=pl.col("kafka_offset").min(),
        last=pl.col("kafka_offset").max(),
        different=pl.col("kafka_offset").n_unique(),
    )
    assert places.height == 2
    assert (places["first"] == 0).all()
    assert (places["last"] + 1 == places["different"]).all()
    assert places["different"].sum() == sent

"""Ingest and refine side by side, over a real broker."""

from __future__ import annotations

import datetime as dt
import json
import logging
import signal
import subprocess
import sys
import threading
import time

import pytest

import citystream as cs
from citystream import refresh as refreshing
from citystream.following import MOST_FAILURES, Lags, together

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")


def now_city(duration):
    """A city whose events are of today, so that windows of now fill."""
    start = dt.datetime.now(dt.timezone.utc).replace(hour=8, minute=0, second=0, microsecond=0)
    return cs.City(seed=3, vehicles=300, start=start, duration=duration)


def some(counts):
    """Those that are not zero."""
    return {name: count for name, count in counts.items() if count}


def following(lake, broker, topics, stop, **options):
    """Runs an ingest on a thread; gives what it returns or raises, once it is joined."""
    outcome = {}

    def run():
        try:
            outcome["report"] = lake.ingest(
                broker.bootstrap_servers, topics=topics, follow=True, refine=True, stop=stop, **options
            )
        except Exception as error:  # noqa: BLE001
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_gold_is_close_behind_the_topics(broker, topics, tmp_path):
    lake, stop = cs.Lake(tmp_path / "lake"), threading.Event()
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=3) as kafka:
        thread, outcome = following(lake, broker, topics, stop, metrics_port=0)
        # Real pace: 20 simulated seconds take 20 seconds.
        sent = kafka.publish(now_city("20s"), speed=1)
        published = time.monotonic()
        wanted = some(sent.delivered_by_stream)

        def arrived():
            rows = lake.query(
                "select stream, sum(accepted) from gold.data_quality_hourly group by stream"
            ).fetchall() if "gold.data_quality_hourly" in lake.core.names() else []  # fmt: skip
            return some({stream: int(count) for stream, count in rows})

        while arrived() != wanted and time.monotonic() < published + 90:
            time.sleep(0.5)
        stop.set()
        thread.join(60)
    page = lake.metrics(0).render()
    report = outcome["report"]
    assert (report.records, report.refine_failures) == (sent.delivered, ())
    assert report.rounds >= 2
    assert some(report.refined.silver) == wanted
    assert lake.check() == []
    lags = {lag.table: lag for lag in report.gold_lag}
    quality = lags["gold.data_quality_hourly"]
    assert quality.records == sent.delivered
    for lag in report.gold_lag:
        assert 0 <= lag.median_s <= lag.max_s
        assert 0 <= lag.last_s <= lag.max_s
        # What the issue promises, by Kafka's own timestamps.
        assert lag.max_s <= 30, report.gold_lag
    assert f'citystream_gold_lag_max_seconds{{table="gold.data_quality_hourly"}} {quality.max_s:g}\n' in page
    assert "citystream_refine_failures_total 0" in page
    assert json.dumps(report.to_dict())


def test_a_refinement_that_fails_is_told_and_done_again(broker, topics, tmp_path, monkeypatch, caplog):
    lake, stop = cs.Lake(tmp_path / "lake"), threading.Event()
    rounds = []
    refresh = refreshing.refresh

    def sometimes(*arguments, **keywords):
        rounds.append(time.monotonic())
        if len(rounds) in (2, 3):
            raise cs.StoreError("the disk is full")
        return refresh(*arguments, **keywords)

    monkeypatch.setattr(refreshing, "refresh", sometimes)
    city = now_city("10min")
    with (
        caplog.at_level(logging.WARNING),
        cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka,
    ):
        thread, outcome = following(lake, broker, topics, stop, every="100ms", max_age="200ms")
        sent = kafka.publish(city)
        deadline = time.monotonic() + 60
        while len(rounds) < 6 and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
        thread.join(60)
    report = outcome["report"]
    assert report.records == sent.delivered
    assert [text.split(":")[0] for text in report.refine_failures] == [
        "refining failed (1 in a row)",
        "refining failed (2 in a row)",
    ]
    assert "the disk is full" in caplog.text
    silver = {stream: lake.table(f"silver.{stream}").row_count for stream in STREAMS}
    assert some(silver) == some(sent.delivered_by_stream)
    assert lake.query("select sum(accepted) from gold.data_quality_hourly").fetchall() == [(sent.delivered,)]


def test_refining_that_goes_on_failing_ends_the_ingest(broker, topics, tmp_path, monkeypatch):
    lake = cs.Lake(tmp_path / "lake")

    def never(*_arguments, **_keywords):
        raise cs.StoreError("the disk is full")

    monkeypatch.setattr(refreshing, "refresh", never)
    city = now_city("1min")
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka:
        sent = kafka.publish(city)
    thread, outcome = following(lake, broker, topics, None, every="50ms", max_age="100ms", metrics_port=0)
    thread.join(90)
    assert isinstance(outcome["error"], cs.StoreError)
    assert f"citystream_refine_failures_total {MOST_FAILURES}" in lake.metrics(0).render()
    # What was read was committed, not lost.
    lake.ingest(broker.bootstrap_servers, topics=topics)
    assert sum(lake.table(f"bronze.{stream}").row_count for stream in STREAMS) == sent.delivered
    assert lake.check() == []


def test_broken_sql_is_told_before_anything_is_taken_in(broker, topics, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/wrong.sql").write_text("select 1")
    lake = cs.Lake(tmp_path / "lake")
    with pytest.raises(cs.ConfigError, match=r"wrong\.sql"):
        lake.ingest(broker.bootstrap_servers, topics=topics, refine=True, gold_dir=tmp_path / "own")
    assert lake.core.names() == []


def test_refine_goes_with_any_ingest(tmp_path, city):
    lake = cs.Lake(tmp_path / "lake")
    report = lake.ingest(city, refine=True)
    assert (report.rounds, sum(report.refined.silver.values())) == (1, report.records)
    assert lake.ingest(city).refined is None


def test_a_service_manager_s_stop_ends_with_the_report(broker, topics, tmp_path):
    city = now_city("5min")
    flags = [part for stream, topic in topics.items() for part in ("--topic", f"{stream}={topic}")]
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as kafka:
        sent = kafka.publish(city)
    command = [sys.executable, "-m", "citystream", "ingest", "lake", "--bootstrap-servers", broker.bootstrap_servers]
    options = ["--follow", "--refine", "--every", "1s", "--max-age", "500ms", "--json"]
    with subprocess.Popen(
        [*command, *flags, *options], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        lake, deadline = cs.Lake(tmp_path / "lake"), time.monotonic() + 90
        while time.monotonic() < deadline and "bronze.weather" not in lake.core.names():
            time.sleep(0.2)
        while time.monotonic() < deadline and lake.table("bronze.gps").row_count < sent.delivered_by_stream["gps"]:
            time.sleep(0.2)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "Stopped.\n")
    document = json.loads(out)
    assert document["ingest"]["records"] == sent.delivered
    assert some(document["refine"]["silver"]) == some(sent.delivered_by_stream)
    assert lake.check() == []


def test_lags_are_of_the_records_that_came_after_the_beginning(tmp_path, city):
    lake = cs.Lake(tmp_path / "lake")
    lake.ingest(city.part(0, 2))
    lags = Lags(lake.core)
    first = lake.refine()
    lags.add(first)
    # All of them were there before.
    assert lags.report() == ()
    before = time.time()
    lake.ingest(city.part(1, 2))
    second = lake.refine()
    lags.add(second)
    spent = time.time() - before
    found = {lag.table: lag for lag in lags.report()}
    assert found["gold.data_quality_hourly"].records == sum(second.silver.values())
    for lag in found.values():
        assert 0 <= lag.last_s <= lag.max_s <= spent + 0.2
    # Nothing new, nothing more.
    lags.add(lake.refine())
    assert {lag.table: lag for lag in lags.report()} == found
    both = together(first, second)
    assert both.silver == {stream: first.silver[stream] + second.silver[stream] for stream in STREAMS}
    assert {t.name for t in both.tables} == {t.name for t in second.tables}
    assert both.bronze_versions == second.bronze_versions

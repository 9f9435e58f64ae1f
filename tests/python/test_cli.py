"""The command line as a user meets it: exit codes, --json, settings, help."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cities import eventful_seed

import citystream as cs

SMALL = ("--vehicles", "60", "--start", "2026-06-01T07:00Z", "--duration", "1h")
COMMANDS = (
    ("demo",), ("simulate",), ("ingest",), ("refine",), ("query",), ("tables",), ("lake", "check"),
    ("lake", "compact"), ("lake", "vacuum"), ("lake", "checkpoint"), ("lake", "retain"), ("lake", "init"),
    ("topics", "create"), ("topics", "describe"), ("config",), ("jobs", "copy"), ("realism",), ("grade",),
)  # fmt: skip


def test_version(citystream):
    done = citystream("--version")
    assert done.status == 0
    assert done.out.startswith(f"citystream {cs.__version__} (")
    assert "librdkafka" in done.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples_and_the_common_flags(citystream, command):
    done = citystream(*command, "--help", COLUMNS="100")
    assert done.status == 0
    assert "Examples:" in done.out
    assert f"citystream {' '.join(command)}" in done.out
    assert "--json" in done.out
    assert "--quiet" in done.out


def test_without_a_command_there_is_help(citystream):
    done = citystream()
    assert "Usage:" in done.out + done.err
    assert all(command[0] in done.out + done.err for command in COMMANDS)


class TestDemo:
    def test_it_prints_kpis_and_can_be_run_again(self, citystream, tmp_path):
        seed = str(eventful_seed(400, None, "1d"))
        done = citystream("demo", "--vehicles", "400", "--duration", "1d", "--seed", seed)
        assert done.status == 0, done.err
        for title in ("Roads by class", "Busiest cameras", "Air quality", "Incidents", "Records by stream", "Tables"):
            assert title in done.out
        assert str(tmp_path / "lake-demo") in done.out
        lake = cs.Lake(tmp_path / "lake-demo")
        for name in ("dead_letter", "quarantine", "duplicate"):
            assert lake.table(f"silver.{name}").row_count > 0
        before = [(t.name, t.rows, t.version) for t in lake.tables()]
        again = citystream("demo", "--vehicles", "400", "--duration", "1d", "--seed", seed, "--json")
        assert again.status == 0, again.err
        assert again.json["ingest"]["records"] == 0
        assert again.json["refine"]["quarantine"] == 0
        assert len(again.json["kpis"]) == 5
        assert all(again.json["kpis"].values())
        assert [(t.name, t.rows, t.version) for t in lake.tables()] == before

    def test_quiet_says_nothing(self, citystream, tmp_path):
        done = citystream("demo", *SMALL, "--dir", "quiet", "--quiet")
        assert (done.status, done.out, done.err) == (0, "", "")
        assert (tmp_path / "quiet" / "gold").is_dir()

    def test_through_a_broker(self, citystream, broker, topics):
        variables = {f"{stream.upper()}_TOPIC": topic for stream, topic in topics.items()}
        variables["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        done = citystream("demo", *SMALL, "--json", **variables)
        assert done.status == 0, done.err
        assert done.json["ingest"]["records"] > 100
        assert {p["topic"] for p in done.json["ingest"]["partitions"]} >= set(topics.values()) - {topics["reference"]}
        sent, accepted = done.json["ingest"]["records"], sum(done.json["refine"]["silver"].values())
        assert 0.9 * sent < accepted <= sent


class TestSimulate:
    def test_ndjson(self, citystream, tmp_path):
        done = citystream("simulate", "--to", "ndjson", "--out", "out", *SMALL, "--json")
        assert done.status == 0, done.err
        lines = (tmp_path / "out" / "gps_data.ndjson").read_text().splitlines()
        city = cs.City(vehicles=60, start="2026-06-01T07:00Z", duration="1h")
        assert [json.loads(line) for line in lines] == list(city.rows("gps"))
        assert done.json["by_stream"]["gps"] == len(lines)
        assert {Path(path).name for path in done.json["files"]} >= {f"{s}_data.ndjson" for s in city.streams}

    def test_files_are_called_by_topic(self, citystream, tmp_path):
        done = citystream("simulate", "--to", "ndjson", "--out", "out", *SMALL, "--topic", "gps=fleet", "--reference")
        assert done.status == 0, done.err
        assert (tmp_path / "out" / "fleet.ndjson").stat().st_size > 1000
        assert (tmp_path / "out" / "reference_data.ndjson").stat().st_size > 1000

    def test_pictures_lie_where_the_events_say(self, citystream, tmp_path):
        options = [*SMALL, "--streams", "traffic", "--snapshots", "pictures", "--snapshot-every", "15min"]
        done = citystream("simulate", "--to", "ndjson", "--out", "out", *options)
        assert done.status == 0, done.err
        rows = [json.loads(line) for line in (tmp_path / "out" / "traffic_data.ndjson").read_text().splitlines()]
        named = {row["snapshot"] for row in rows} - {None}
        assert 0 < sum(row["snapshot"] is not None for row in rows) < len(rows) / 10
        assert named <= {str(path.relative_to(tmp_path / "pictures")) for path in tmp_path.glob("pictures/*/*.png")}
        refused = citystream("simulate", "--to", "ndjson", "--out", "other", *SMALL, "--snapshot-every", "15min")
        assert refused.status == 2
        assert "snapshots=" in refused.err

    def test_the_same_options_give_the_same_bytes(self, citystream, tmp_path):
        for out, threads in (("a", "1"), ("b", "2")):
            done = citystream("simulate", "--to", "parquet", "--out", out, *SMALL, "--threads", threads)
            assert done.status == 0, done.err
        files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
        assert len(files) >= 5
        for file in files:
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file

    def test_arrow_files(self, citystream, tmp_path):
        import pyarrow.ipc

        assert citystream("simulate", "--to", "arrow", "--out", "out", *SMALL).status == 0
        for stream in ("vehicle", "gps", "traffic", "weather", "emergency"):
            (path,) = (tmp_path / "out").glob(f"{stream}*")
            with pyarrow.ipc.open_file(path) as reader:
                assert reader.schema.names[0] == "id"

    def test_standard_output(self, citystream):
        done = citystream("simulate", "--to", "stdout", "--streams", "weather", *SMALL)
        assert done.status == 0, done.err
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert {row["topic"] for row in rows} == {"weather_data"}
        assert all(row["key"] == row["value"]["deviceId"] for row in rows)

    def test_a_reader_that_leaves_early(self, tmp_path):
        command = f"{sys.executable} -m citystream simulate --to stdout --vehicles 500 --duration 1d | head -n 2"
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)  # noqa: S602
        assert len(done.stdout.splitlines()) == 2
        assert "Traceback" not in done.stderr
        assert "panicked" not in done.stderr

    def test_a_part(self, citystream, tmp_path):
        for part in ("0/2", "1/2"):
            out = f"part-{part[0]}"
            assert citystream("simulate", "--to", "ndjson", "--out", out, "--part", part, *SMALL).status == 0
        parts = [tmp_path / f"part-{n}" / f"gps_data-{n}-of-2.ndjson" for n in (0, 1)]
        lines = [line for path in parts for line in path.read_text().splitlines()]
        city = cs.City(vehicles=60, start="2026-06-01T07:00Z", duration="1h")
        assert sorted(json.loads(line)["id"] for line in lines) == sorted(row["id"] for row in city.rows("gps"))

    def test_kafka(self, citystream, broker, topics):
        flags = [part for stream, topic in topics.items() for part in ("--topic", f"{stream}={topic}")]
        command = ["simulate", "--to", "kafka", "--bootstrap-servers", broker.bootstrap_servers, "--create-topics", "2"]
        done = citystream(*command, *flags, *SMALL, "--json")
        assert done.status == 0, done.err
        assert done.json["delivered"] > 100
        assert done.json["failed"] == 0


class TestLake:
    def test_query_tables_check(self, citystream, small_lake):
        done = citystream(
            "query", small_lake.path, "select * from gold.road_5min order by road_id, window_start", "--json"
        )
        assert done.status == 0
        assert done.json["columns"][0] == "road_id"
        assert len(done.json["rows"]) == small_lake.table("gold.road_5min").row_count
        assert done.json["rows"][0]["window_start"].endswith("Z")
        done = citystream("query", small_lake.path, "select 1 as one, 'two' as two")
        assert "one" in done.out
        assert "two" in done.out
        done = citystream("query", small_lake.path, "select * from range(500)", "--limit", "3")
        assert "The first 3 rows" in done.out
        done = citystream("tables", small_lake.path, "--json")
        assert len(done.json["tables"]) == len(small_lake.tables())
        assert citystream("tables", small_lake.path).out.count("gold.") == 9
        done = citystream("lake", "check", small_lake.path, "--json")
        assert (done.status, done.json["sound"], done.json["problems"]) == (0, True, [])

    def test_check_finds_a_missing_file(self, citystream, tmp_path, city):
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city)
        lake.refine()
        Path(lake.table("silver.gps").files[0]).unlink()
        done = citystream("lake", "check", "lake", "--json")
        assert done.status == 1
        assert done.json["sound"] is False
        assert any("gps" in problem for problem in done.json["problems"])

    def test_ingest_and_refine(self, citystream, broker, topics, city):
        with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2) as publisher:
            sent = publisher.publish(city)
        variables = {f"{stream.upper()}_TOPIC": topic for stream, topic in topics.items()}
        variables["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        done = citystream("ingest", "lake", "--refine", "--json", **variables)
        assert done.status == 0, done.err
        assert done.json["ingest"]["records"] == sent.delivered
        assert done.json["refine"]["silver"] == sent.delivered_by_stream
        done = citystream("ingest", "lake", **variables)
        assert done.status == 0
        done = citystream("refine", "lake", "--json")
        assert set(done.json["silver"].values()) == {0}

    def test_follow_takes_in_what_comes_and_stops_in_order(self, broker, topics, city, tmp_path):
        import signal
        import time

        variables = {f"{stream.upper()}_TOPIC": topic for stream, topic in topics.items()}
        environment = {**os.environ, **variables, "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as publisher:
            first = publisher.publish(city.part(0, 2))
            child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "citystream",
                    "ingest",
                    "lake",
                    "--follow",
                    "--refine",
                    "--every",
                    "200ms",
                    "--quiet",
                ],
                cwd=tmp_path,
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                second = publisher.publish(city.part(1, 2))
                wanted, deadline = first.delivered + second.delivered, time.monotonic() + 90
                lake = cs.Lake(tmp_path / "lake")

                def refined():
                    names = lake.core.names()
                    return sum(lake.table(f"silver.{s}").row_count for s in city.streams if f"silver.{s}" in names)

                while refined() < wanted and time.monotonic() < deadline:
                    time.sleep(0.2)
                assert refined() == wanted
                child.send_signal(signal.SIGTERM)
                _, err = child.communicate(timeout=30)
                assert (child.returncode, err) == (130, "Stopped.\n")
            finally:
                child.kill()
        assert lake.check() == []


class TestTopics:
    def test_create_and_describe(self, citystream, broker, topics):
        flags = [part for stream, topic in topics.items() for part in ("--topic", f"{stream}={topic}")]
        servers = ("--bootstrap-servers", broker.bootstrap_servers)
        done = citystream("topics", "create", *servers, *flags, "--partitions", "3", "--json")
        assert done.status == 0, done.err
        assert {topic["topic"]: topic["created"] for topic in done.json["topics"]} == dict.fromkeys(
            topics.values(), True
        )
        done = citystream("topics", "create", *servers, *flags, "--partitions", "3", "--json")
        assert {topic["created"] for topic in done.json["topics"]} == {False}
        done = citystream("topics", "describe", *servers, *flags, "--json")
        assert {topic["topic"]: len(topic["partitions"]) for topic in done.json["topics"]} == dict.fromkeys(
            topics.values(), 3
        )
        assert done.json["warnings"] == []
        settings = {topic["topic"]: topic["settings"] for topic in done.json["topics"]}
        assert settings[topics["reference"]]["cleanup.policy"] == "compact"
        assert settings[topics["gps"]]["cleanup.policy"] == "delete"
        done = citystream("topics", "describe", topics["gps"], *servers)
        assert (done.status, done.err) == (0, "")
        assert "7d" in done.out

    def test_retention_and_too_few_partitions(self, citystream, broker, topics):
        flags = [part for stream, topic in topics.items() for part in ("--topic", f"{stream}={topic}")]
        servers = ("--bootstrap-servers", broker.bootstrap_servers)
        run = ("topics", "create", *servers, *flags)
        done = citystream(*run, "--partitions", "2", "--retention", "30d", "--writers", "2", "--json")
        assert (done.status, done.json["warnings"]) == (0, [])
        settings = {topic["topic"]: topic["settings"] for topic in done.json["topics"]}
        assert settings[topics["gps"]]["retention.ms"] == str(30 * 86_400_000)
        assert settings[topics["reference"]]["retention.ms"] == str(7 * 86_400_000)
        # What is there stays as it is, and is told.
        done = citystream(*run, "--partitions", "8", "--writers", "4", "--retention", "forever", "--json")
        assert {topic["partitions"] for topic in done.json["topics"]} == {2}
        warnings = "\n".join(done.json["warnings"])
        for topic in topics.values():
            assert f"topic {topic} was there before and has 2 partitions, not 8" in warnings
        assert f"topic {topics['gps']} has 2 partitions for 4 writers" in warnings
        assert f"topic {topics['reference']} has 2" not in warnings
        assert f"Warning: topic {topics['gps']} has 2 partitions" in done.err
        done = citystream("topics", "describe", "--writers", "2", *servers, *flags, "--json")
        assert done.json["warnings"] == []
        swapped = ("--topic", f"reference={topics['gps']}")
        done = citystream("topics", "describe", topics["gps"], *servers, *swapped, "--json")
        assert "is not compacted (cleanup.policy=delete)" in done.json["warnings"][0]
        done = citystream(*run, "--retention", "long")
        assert done.status == 2
        assert "--retention" in done.err

    def test_a_topic_that_does_not_exist(self, citystream, broker):
        done = citystream("topics", "describe", "no-such-topic", "--bootstrap-servers", broker.bootstrap_servers)
        assert done.status == 1
        assert "no-such-topic" in done.err


class TestConfig:
    def test_each_value_and_where_it_comes_from(self, citystream, tmp_path):
        (tmp_path / "citystream.toml").write_text(
            "[city]\nvehicles = 5\n[kafka.security]\n'sasl.password' = 'hunter2'\n"
        )
        done = citystream("config", "--json", KAFKA_BOOTSTRAP_SERVERS="broker:9092", CITYSTREAM_SEED="9")
        assert done.status == 0, done.err
        assert done.json["city.vehicles"] == {"value": 5, "source": "citystream.toml"}
        assert done.json["city.seed"] == {"value": 9, "source": "CITYSTREAM_SEED"}
        assert done.json["kafka.bootstrap_servers"] == {"value": "broker:9092", "source": "KAFKA_BOOTSTRAP_SERVERS"}
        assert done.json["city.duration"] == {"value": "1d", "source": "default"}
        shown = citystream("config")
        assert "hunter2" not in done.out + shown.out
        assert "********" in shown.out

    def test_settings_reach_the_commands_and_flags_win(self, citystream, tmp_path):
        (tmp_path / "citystream.toml").write_text("[city]\nvehicles = 60\nduration = '1h'\nstreams = ['weather']\n")
        done = citystream("simulate", "--to", "ndjson", "--out", "out", "--duration", "30min", "--json")
        assert done.status == 0, done.err
        assert set(done.json["by_stream"]) == {"weather"}
        city = cs.City(vehicles=60, duration="30min", streams=["weather"])
        assert done.json["events"] == sum(1 for _ in city.rows("weather"))

    def test_a_typo_is_named(self, citystream, tmp_path):
        (tmp_path / "citystream.toml").write_text("[city]\nvehicels = 60\n")
        for command in (("config",), ("simulate", "--to", "stdout")):
            done = citystream(*command)
            assert done.status == 2
            assert "unknown setting 'city.vehicels'. Did you mean 'city.vehicles'?" in done.err
            assert done.out == ""


class TestJobs:
    def test_copy(self, citystream, tmp_path):
        done = citystream("jobs", "copy", "jobs", "--json")
        assert done.status == 0
        assert [Path(path).name for path in done.json["files"]] == ["generate_data.py", "spark-city.py"]
        assert (tmp_path / "jobs" / "generate_data.py").read_text().startswith('"""Sends one simulated city day')
        again = citystream("jobs", "copy", "jobs")
        assert again.status == 2
        assert "generate_data.py is there already. Add --force" in again.err
        assert citystream("jobs", "copy", "jobs", "--force").status == 0

    def test_the_original_script_by_its_variables(self, citystream, broker, topics, tmp_path):
        assert citystream("jobs", "copy", ".").status == 0
        script = tmp_path / "generate_data.py"
        text = script.read_text()
        assert len([line for line in text.split('"""')[2].splitlines() if line.strip()]) <= 12
        # Its day, made short.
        small = text.replace("vehicles=2_000", "vehicles=60").replace('duration="1d"', 'duration="1h"')
        assert small != text
        script.write_text(small)
        environment = {f"{stream.upper()}_TOPIC": topic for stream, topic in topics.items()}
        environment["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
        done = subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report = cs.Lake(tmp_path / "lake").ingest(broker.bootstrap_servers, topics=topics)
        assert done.stdout.startswith(f"{report.records:,} events delivered to {broker.bootstrap_servers}, 0 failed")


class TestExitCodes:
    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            (("nonsense",), 2, "nonsense"),
            (("refine",), 2, "LAKE"),
            (("simulate",), 2, "--to"),
            (("simulate", "--to", "paper"), 2, "paper"),
            (("simulate", "--to", "ndjson"), 2, "--to ndjson has no folder. Add --out FOLDER"),
            (("simulate", "--to", "stdout", "--json"), 2, "--json can't be used with --to stdout"),
            (("simulate", "--to", "ndjson", "--out", "o", "--speed", "60"), 2, "--speed paces Kafka"),
            (("simulate", "--to", "stdout", "--vehicles", "many"), 2, "--vehicles"),
            (("simulate", "--to", "stdout", "--start", "soon"), 2, "start 'soon' is no time"),
            (("simulate", "--to", "stdout", "--part", "1of2"), 2, "--part '1of2' is no part"),
            (("simulate", "--to", "stdout", "--part", "2/2"), 2, "part 2 of 2 does not exist"),
            (("simulate", "--to", "stdout", "--late", "2"), 2, "late"),
            (("simulate", "--to", "stdout", "--streams", "gsp"), 2, "gsp"),
            (("simulate", "--to", "stdout", "--topic", "gps"), 2, "--topic 'gps' is no KEY=VALUE"),
            (("simulate", "--to", "kafka"), 2, "set KAFKA_BOOTSTRAP_SERVERS"),
            (("ingest", "lake"), 2, "set KAFKA_BOOTSTRAP_SERVERS"),
            (("tables", "none"), 1, "there is no lake at none"),
            (("refine", "none"), 1, "there is no lake at none"),
            (("query", "none", "select 1"), 1, "there is no lake at none"),
        ],
    )
    def test_mistakes(self, citystream, arguments, status, message):
        done = citystream(*arguments)
        assert done.status == status, done.err
        assert message in done.err
        if "--json" not in arguments:
            assert done.out == ""

    def test_an_error_is_a_document_too(self, citystream):
        done = citystream("tables", "none", "--json")
        assert done.status == 1
        assert set(done.json) == {"error"}
        assert done.json["error"]["type"] == "TableError"
        assert done.json["error"]["message"] in done.err

    def test_wrong_sql(self, citystream, small_lake):
        done = citystream("query", small_lake.path, "selct 1")
        assert done.status == 1
        assert "selct" in done.err


def test_progress_is_for_terminals_only(tmp_path):
    command = [sys.executable, "-m", "citystream", "demo", *SMALL]
    plain = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "\x1b[" not in plain.stderr + plain.stdout
    # A terminal on standard error gets a bar, that is, control codes.
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [*command, "--dir", "other"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:
            break
        if not part:
            break
        seen += part
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    assert b"\x1b[" in seen
    assert b"\x1b[" not in out

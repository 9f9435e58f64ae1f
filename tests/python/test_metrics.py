"""The endpoint for Prometheus: read by its own parser while real runs go on, and compared with their reports."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cities import small
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

import citystream as cs

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "infra/grafana/citystream.json"
PAGE = ROOT / "docs/metrics.md"


def scrape(url):
    """The page as {metric: {labels: value}}, after Prometheus' parser; and each metric's type."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
    found, types = {}, {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            assert sample.name not in found or types[sample.name] == family.type
            types[sample.name] = family.type
            assert sample.name.endswith("_total") == (family.type == "counter")
            values = found.setdefault(sample.name, {})
            labels = tuple(sample.labels.values())
            assert labels not in values
            values[labels] = sample.value
    return found, types


def exported(text):
    """Names of all metrics of a page, those without a value as well."""
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


@pytest.fixture(scope="module")
def runs(broker, tmp_path_factory):
    """A city published and ingested, with what was scraped at the end of each."""
    topics = {
        stream: f"{stream}_metrics" for stream in ("vehicle", "gps", "traffic", "weather", "emergency", "reference")
    }
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2, metrics_port=0) as publisher:
        published = publisher.publish(small())
        sent, _ = scrape(publisher.metrics_url)
        names = exported(publisher._metrics.render())
        closed = publisher.close()
    lake = cs.Lake(tmp_path_factory.mktemp("metrics") / "lake")
    taken = lake.ingest(broker.bootstrap_servers, topics=topics, metrics_port=0)
    endpoint = lake.metrics(0)
    # What an ingest that follows and refines does; tests/python/test_live.py looks at a real one.
    endpoint.refined(1.5, failed=False)
    endpoint.gold_lag("gold.road_5min", last=1.0, median=2.0, max=3.0)
    came, _ = scrape(endpoint.url)
    names |= exported(endpoint.render())
    return {"topics": topics, "published": published, "closed": closed, "sent": sent, "url": publisher.metrics_url,
            "taken": taken, "came": came, "names": names, "lake": lake}  # fmt: skip


def test_what_is_published_is_told(runs):
    report, sent, topics = runs["published"], runs["sent"], runs["topics"]
    expected = {(stream, topics[stream]): count for stream, count in report.delivered_by_stream.items()}
    expected["reference", topics["reference"]] = report.reference
    assert sent["citystream_publish_delivered_events_total"] == expected
    assert sent["citystream_publish_sent_events_total"] == expected
    assert set(sent["citystream_publish_failed_events_total"].values()) == {0}
    assert set(sent["citystream_publish_queue_events"].values()) == {0}
    assert sum(sent["citystream_publish_delivered_bytes_total"].values()) == report.bytes > 1_000_000
    assert sent["citystream_build_info"] == {(cs.__version__,): 1}
    seconds, rate = (sent[f"citystream_publish_{name}"][()] for name in ("seconds", "events_per_second"))
    # As fast as it goes is behind no pace.
    assert sent["citystream_publish_behind_seconds"] == {(): 0}
    assert rate * seconds == pytest.approx(report.delivered + report.reference)
    assert report.rate == pytest.approx(report.delivered / report.seconds)
    # The report of the end has the same totals, over the time since the beginning.
    closed = runs["closed"]
    assert (closed.delivered_by_stream, closed.bytes) == (report.delivered_by_stream, report.bytes)
    assert closed.seconds >= seconds


def test_a_closed_publisher_s_endpoint_is_gone(runs):
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(runs["url"], timeout=5)  # noqa: S310


def test_what_is_ingested_is_told_and_adds_up(runs, broker):
    report, came, topics = runs["taken"], runs["came"], runs["topics"]
    expected = {(stream, topics[stream]): count for stream, count in report.by_stream.items()}
    expected["reference", topics["reference"]] = report.reference
    assert came["citystream_ingest_committed_records_total"] == expected
    assert came["citystream_ingest_read_records_total"] == expected
    assert sum(came["citystream_ingest_read_bytes_total"].values()) == report.bytes == runs["published"].bytes
    assert set(came["citystream_ingest_undecodable_records_total"].values()) == {0}
    places = {(p.topic, str(p.partition)): p for p in report.partitions}
    assert len(places) == 12
    assert came["citystream_ingest_lag_offsets"] == {place: p.lag for place, p in places.items()}
    assert came["citystream_ingest_position_offset"] == {place: p.end for place, p in places.items()}
    assert came["citystream_ingest_high_watermark_offset"] == came["citystream_ingest_position_offset"]
    assert came["citystream_ingest_commits_total"] == {(): report.commits}
    assert report.rate == pytest.approx((report.records + report.reference) / report.seconds)
    # A second run through the same lake goes on counting where the first ended.
    with cs.Publisher(broker.bootstrap_servers, topics=topics) as publisher:
        publisher.send("gps", next(small().rows("gps")))
    again = runs["lake"].ingest(broker.bootstrap_servers, topics=topics, metrics_port=0)
    assert again.records == 1
    now, _ = scrape(runs["lake"].metrics(0).url)
    gps = ("gps", topics["gps"])
    assert now["citystream_ingest_committed_records_total"][gps] == expected[gps] + 1


def test_lag_is_from_the_position_to_the_high_watermark(broker, topics, tmp_path):
    """Readers of committed records stop before an open transaction; its records are what they lag behind."""
    row = next(small().rows("gps"))
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1) as publisher:
        publisher.send("gps", row)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topics["gps"]})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(25):
        producer.produce(topics["gps"], json.dumps(row).encode(), row["deviceId"].encode())
    producer.flush(30)
    lake = cs.Lake(tmp_path / "lake")

    def lag():
        report = lake.ingest(broker.bootstrap_servers, topics=topics, metrics_port=0)
        told, _ = scrape(lake.metrics(0).url)
        (place,) = (p for p in report.partitions if p.topic == topics["gps"])
        assert told["citystream_ingest_lag_offsets"][topics["gps"], "0"] == place.lag
        return report.records, place.lag

    assert lag() == (1, 25)
    producer.commit_transaction(30)
    # The broker marks the end of the transaction a moment later.
    records, left = lag()
    while left:
        more, left = lag()
        records += more
    assert records == 25


def test_errors_are_counted(broker, topics, tmp_path):
    row = next(small().rows("gps"))
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=1, metrics_port=0) as publisher:
        publisher.send("gps", row)
        # More than a broker takes, and so more than librdkafka takes.
        publisher.send("gps", {**row, "fix": "x" * 2_000_000})
        publisher.flush()
        told, _ = scrape(publisher.metrics_url)
        report = publisher.close()
    gps = ("gps", topics["gps"])
    assert told["citystream_publish_failed_events_total"][gps] == report.failed == 1
    assert told["citystream_publish_delivered_events_total"][gps] == report.delivered == 1
    assert "large" in report.errors[0].lower()

    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    producer.produce(topics["gps"], b"{no json", b"vehicle-1")
    assert producer.flush(30) == 0
    lake = cs.Lake(tmp_path / "lake")
    assert lake.ingest(broker.bootstrap_servers, topics=topics, metrics_port=0).undecodable == 1
    told, _ = scrape(lake.metrics(0).url)
    assert told["citystream_ingest_undecodable_records_total"][gps] == 1
    assert told["citystream_ingest_committed_records_total"][gps] == 2


def test_a_run_can_be_watched(broker, topics):
    seen = []
    with cs.Publisher(broker.bootstrap_servers, topics=topics, create_topics=2, metrics_port=0) as publisher:

        def watch(_):
            found, _ = scrape(publisher.metrics_url)
            sent, delivered, failed, queue = (
                sum(found.get(f"citystream_publish_{name}", {}).values())
                for name in ("sent_events_total", "delivered_events_total", "failed_events_total", "queue_events")
            )
            assert sent == delivered + failed + queue
            seen.append(sent)

        report = publisher.publish(small(), speed=2_000, progress=watch)
    assert seen == sorted(seen)
    assert 0 < seen[0] < report.delivered
    assert len(set(seen)) > 3


def test_every_metric_of_the_dashboard_is_exported_and_every_exported_one_is_on_it(runs):
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) >= 18
    shown = {name for expression in expressions for name in re.findall(r"\bcitystream_\w+", expression)}
    # Its variable lists the jobs by this one.
    (variable,) = (v for v in dashboard["templating"]["list"] if v["name"] == "job")
    assert "citystream_build_info" in variable["query"]["query"]
    assert shown | {"citystream_build_info"} == runs["names"]
    # Rates are of what only rises, and what a legend names is a label that is there.
    labels = {"stream", "topic", "partition", "table"}
    for panel in panels:
        for target in panel["targets"]:
            for name in re.findall(r"(?:rate|increase)\((\w+)", target["expr"]):
                assert name.endswith("_total"), name
            grouped = re.search(r"by \(([^)]*)\)", target["expr"])
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert legend <= labels
            assert legend == (set(grouped[1].split(", ")) if grouped else set())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in dashboard["panels"])


def test_the_page_names_every_metric(runs):
    rows = re.findall(r"^\| `(citystream_\w+)` \| (counter|gauge) \| ([a-z, ]*) \|", PAGE.read_text(), re.MULTILINE)
    assert {name for name, _, _ in rows} == runs["names"]
    found = {**runs["sent"], **runs["came"]}
    for name, kind, labels in rows:
        assert name.endswith("_total") == (kind == "counter")
        assert {len(have) for have in found[name]} == {len([label for label in labels.split(", ") if label])}, name


class TestCommands:
    def test_simulate_and_ingest_tell_where(self, citystream, broker, topics):
        named = [flag for stream, topic in topics.items() for flag in ("--topic", f"{stream}={topic}")]
        kafka = ("--bootstrap-servers", broker.bootstrap_servers, *named, "--metrics-port", "0", "--json")
        small_city = ("--vehicles", "60", "--duration", "1h", "--create-topics", "1")
        sent = citystream("simulate", "--to", "kafka", *small_city, *kafka)
        assert sent.status == 0, sent.err
        assert re.search(r"^Metrics at http://127\.0\.0\.1:\d+/metrics$", sent.err, re.MULTILINE)
        assert sent.json["rate"] == pytest.approx(sent.json["delivered"] / sent.json["seconds"])
        came = citystream("ingest", "lake", *kafka)
        assert came.status == 0, came.err
        assert re.search(r"^Metrics at http://127\.0\.0\.1:\d+/metrics$", came.err, re.MULTILINE)
        assert came.json["bytes"] == sent.json["bytes"]
        assert all(partition["lag"] == 0 for partition in came.json["partitions"])

    def test_a_port_that_is_taken_is_named(self, citystream):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            done = citystream("ingest", "lake", "--bootstrap-servers", "127.0.0.1:1", "--metrics-port", port)
        assert done.status == 2
        assert f"127.0.0.1:{port}" in done.err
        assert "--metrics-port" in done.err

    def test_files_have_no_such_figures(self, citystream):
        done = citystream("simulate", "--to", "ndjson", "--out", "x", "--metrics-port", "0")
        assert done.status == 2
        assert "--metrics-port tells of Kafka" in done.err


@pytest.mark.parametrize("port", [-1, 65_536, "9400", True])
def test_what_is_no_port_is_named(port):
    with pytest.raises(cs.ConfigError, match="metrics_port is"):
        cs.Publisher("127.0.0.1:1", metrics_port=port)


def test_an_address_of_another_machine_is_named():
    with pytest.raises(cs.ConfigError, match=r"192\.0\.2\.1"):
        cs.Publisher("127.0.0.1:1", metrics_port=0, metrics_host="192.0.2.1")

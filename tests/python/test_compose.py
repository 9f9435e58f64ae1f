"""infra/docker-compose.yml without a container engine: pinned, guarded, and the same settings that the tests run."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "services" / "config"
COMPOSE = yaml.safe_load((ROOT / "infra" / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]

# What belongs to the place where a service stands: addresses, folders, memory.
PLACE = {
    "CLUSTER_ID",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG_DIRS",
    "KAFKA_LISTENERS",
    "KAFKA_ADVERTISED_LISTENERS",
    "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_ZOOKEEPER_CONNECT",
}
# The ZooKeeper image names its variables by hand.
ZOOKEEPER = {
    "tickTime": "ZOO_TICK_TIME",
    "maxClientCnxns": "ZOO_MAX_CLIENT_CNXNS",
    "admin.enableServer": "ZOO_ADMINSERVER_ENABLED",
    "4lw.commands.whitelist": "ZOO_4LW_COMMANDS_WHITELIST",
}


def properties(name: str) -> dict[str, str]:
    lines = [line for line in (CONFIG / name).read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.split("=", 1) for line in lines]
    settings = dict(pairs)
    assert len(settings) == len(pairs), f"{name} sets something twice"
    return settings


def variable(setting: str) -> str:
    return "KAFKA_" + setting.upper().replace("_", "__").replace("-", "___").replace(".", "_")


@pytest.mark.parametrize(
    ("service", "file", "named"),
    [
        ("kafka", "kraft.properties", variable),
        ("kafka-legacy", "kafka-zookeeper.properties", variable),
        ("zookeeper", "zookeeper.properties", ZOOKEEPER.__getitem__),
    ],
)
def test_settings_are_those_that_the_tests_run(service, file, named):
    expected = {named(setting): value for setting, value in properties(file).items()}
    assert len(expected) >= 4
    environment = SERVICES[service]["environment"]
    assert {name: value for name, value in environment.items() if name not in PLACE} == expected


def test_values_are_text():
    # `true` or `1` without quotes is YAML's idea of a value, not the broker's.
    values = [value for service in SERVICES.values() for value in service["environment"].values()]
    assert len(values) > 20
    assert all(isinstance(value, str) for value in values)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_image_is_pinned_to_a_full_version(service):
    assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+\.\d+", SERVICES[service]["image"])


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_health_is_checked_by_a_request(service):
    check = SERVICES[service]["healthcheck"]
    assert check["test"][0] == "CMD" and len(check["test"]) > 2
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_ports_are_open_to_this_machine_only(service):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


def test_only_kraft_starts_by_default():
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["kafka"]
    assert SERVICES["kafka-legacy"]["depends_on"]["zookeeper"]["condition"] == "service_healthy"


def test_the_broker_that_the_tests_run_is_the_one_in_compose():
    version = re.search(
        r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)", (CONFIG.parent / "pom-kraft.xml").read_text()
    )
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_named_volumes_are_declared():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])

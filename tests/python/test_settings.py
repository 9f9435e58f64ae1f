from __future__ import annotations

import pytest

from citystream import ConfigError
from citystream.settings import MASK, SETTINGS, Settings


def write(tmp_path, text):
    path = tmp_path / "citystream.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_flag_before_environment_before_file_before_default(tmp_path):
    path = write(tmp_path, "[city]\nseed = 1\nvehicles = 10\nduration = '1h'\n")
    settings = Settings({"CITYSTREAM_SEED": "2", "CITYSTREAM_VEHICLES": "20"}, path)
    assert settings.get("city.seed", 3) == 3
    assert settings.get("city.vehicles") == 20
    assert settings.get("city.duration") == "1h"
    assert settings.get("city.threads") == 0
    assert {v.key: v.source for v in settings if v.key.startswith("city.")} == {
        "city.seed": "CITYSTREAM_SEED",
        "city.vehicles": "CITYSTREAM_VEHICLES",
        "city.start": "default",
        "city.duration": str(path),
        "city.streams": "default",
        "city.threads": "default",
        "city.scenario": "default",
        "city.trace": "default",
        "city.compat": "default",
        "city.snapshots": "default",
        "city.snapshot_every": "default",
    }


def test_the_original_scripts_variables_count_after_our_own():
    theirs = {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092", "GPS_TOPIC": "fleet"}
    assert Settings(theirs).get("kafka.bootstrap_servers") == "broker:9092"
    assert Settings(theirs).topics({})["gps"] == "fleet"
    assert Settings({**theirs, "CITYSTREAM_GPS_TOPIC": "ours"}).topics({})["gps"] == "ours"
    assert Settings(theirs).topics({"gps": "flag"})["gps"] == "flag"


def test_no_two_settings_share_a_variable():
    names = [name for setting in SETTINGS.values() for name in setting.variables]
    assert len(names) > 20
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[city]\nvehicels = 5\n",
            r"citystream.toml has the unknown setting 'city.vehicels'. Did you mean 'city.vehicles'",
        ),
        ("vehicles = 5\n", r"unknown setting 'vehicles'. Did you mean 'city.vehicles'"),
        ("[zoo]\nx = 1\n", r"unknown setting 'zoo.x'. `citystream config` lists"),
        ("[city]\nvehicles = 'many'\n", r"city.vehicles = 'many' is not a whole number"),
        ("[city]\nvehicles = true\n", r"city.vehicles = True is not a whole number"),
        ("[faults]\nlate = '5%'\n", r"faults.late = '5%' is not a share"),
        ("[city\n", r"citystream.toml is no TOML: .*Correct it there"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        Settings({}, write(tmp_path, text))


def test_a_mistake_in_the_environment_is_named():
    with pytest.raises(ConfigError, match=r"CITYSTREAM_VEHICLES: city.vehicles = 'many' is not a whole number"):
        Settings({"CITYSTREAM_VEHICLES": "many"})


def test_a_file_that_is_named_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"prod.toml does not exist. Correct CITYSTREAM_CONFIG"):
        Settings({"CITYSTREAM_CONFIG": str(tmp_path / "prod.toml")})


def test_toml_dates_and_lists(tmp_path):
    settings = Settings({}, write(tmp_path, "[city]\nstart = 2026-06-01T00:00:00Z\nstreams = ['gps', 'weather']\n"))
    assert settings.get("city.start") == "2026-06-01T00:00:00+00:00"
    assert settings.get("city.streams") == ["gps", "weather"]
    assert Settings({"CITYSTREAM_STREAMS": "gps, weather"}).get("city.streams") == ["gps", "weather"]


def test_secrets_are_masked_but_used(tmp_path):
    path = write(tmp_path, "[kafka.security]\n'security.protocol' = 'SASL_SSL'\n'sasl.password' = 'hunter2'\n")
    settings = Settings({"CITYSTREAM_KAFKA_SASL_USERNAME": "me", "CITYSTREAM_KAFKA_SSL_KEY_PASSWORD": "sesame"}, path)
    assert settings.security({}) == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "hunter2",
        "sasl.username": "me",
        "ssl.key.password": "sesame",
    }
    shown = {v.key: v.shown for v in settings if v.key.startswith("kafka.security")}
    assert shown == {
        "kafka.security.security.protocol": "SASL_SSL",
        "kafka.security.sasl.password": MASK,
        "kafka.security.sasl.username": "me",
        "kafka.security.ssl.key.password": MASK,
    }


def test_short_names_of_security_keep_their_underscore():
    given = {
        "CITYSTREAM_KAFKA_KEY_PASSWORD": "sesame",
        "CITYSTREAM_KAFKA_USER": "me",
        "CITYSTREAM_KAFKA_SSL_KEY_PEM": "x",
    }
    assert Settings(given).security({}) == {"key_password": "sesame", "user": "me", "ssl.key.pem": "x"}


def test_without_security_there_is_none():
    assert Settings({}).security({}) is None


def test_names_of_fields_are_a_table_a_variable_or_flags(tmp_path):
    path = write(
        tmp_path, '[kafka]\nnames = "snake"\n[kafka.rename]\nmake = "brand"\n[kafka.rename.gps]\nspeed = "kmh"\n'
    )
    settings = Settings({}, path)
    assert settings.get("kafka.names") == "snake"
    assert settings.rename({}) == {"make": "brand", "gps.speed": "kmh"}
    assert settings.rename({"make": "maker"})["make"] == "maker"
    assert Settings({"CITYSTREAM_RENAME": "make=m, model=n"}, path).rename({}) == {
        "make": "m", "gps.speed": "kmh", "model": "n"
    }  # fmt: skip
    assert Settings({}, write(tmp_path, "")).rename({}) is None
    assert ("kafka.rename.make", "brand") in [(v.key, v.shown) for v in settings]
    with pytest.raises(ConfigError, match="no FIELD=NAME"):
        Settings({"CITYSTREAM_RENAME": "make"}, path)
    with pytest.raises(ConfigError, match=r"kafka\.rename\.make = 3"):
        Settings({}, write(tmp_path, "[kafka.rename]\nmake = 3\n"))


def test_the_login_of_the_schema_registry_is_masked(tmp_path):
    path = write(tmp_path, '[kafka]\nschema_registry = "http://registry:8081"\nschema_registry_user = "me"\n')
    settings = Settings({"CITYSTREAM_SCHEMA_REGISTRY_PASSWORD": "hunter2"}, path)
    registry = {"url": "http://registry:8081", "user": "me", "password": "hunter2"}
    assert settings.schema_registry(None) == registry
    assert settings.schema_registry("http://other")["url"] == "http://other"
    shown = {value.key: value.shown for value in settings}
    assert shown["kafka.schema_registry_password"] == MASK
    assert shown["kafka.schema_registry"] == "http://registry:8081"
    # Refused when it is used, and not shown until then.
    inside = Settings({"CITYSTREAM_SCHEMA_REGISTRY": "http://me:hunter2@registry"})
    assert {value.key: value.shown for value in inside}["kafka.schema_registry"] == MASK
    assert Settings({}, write(tmp_path, "")).schema_registry(None) is None

"""A lake on a real S3 server: the whole road, kills, refusals; and the measures of `lake init` against moto."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import boto3
import pyarrow as pa
import pytest
from cities import small
from deltalake import DeltaTable

import citystream as cs
from services.seaweedfs import BUCKET, READER_KEY, READER_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
FAULTS = cs.Faults(duplicate=0.02, corrupt=0.02)


@pytest.fixture
def address() -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}/lake"


@pytest.fixture(scope="module")
def road(s3) -> tuple[cs.Lake, cs.City]:
    """A refined lake that tests only read, and its city."""
    lake = cs.Lake(f"s3://{BUCKET}/road", storage_options=s3.storage_options)
    city = small(faults=cs.Faults(late=0.05, late_bound="10min", duplicate=0.02, corrupt=0.02))
    lake.ingest(city)
    lake.refine()
    return lake, city


def delta(lake, s3, name) -> pa.Table:
    """The table as another library reads it."""
    table = DeltaTable(f"{lake.path}/{name.replace('.', '/')}", storage_options=s3.storage_options)
    return pa.table(table.to_pyarrow_table())


def offsets_of(bronze: pa.Table) -> list[tuple]:
    """Where each record stood in its topic."""
    return list(zip(bronze["kafka_partition"].to_pylist(), bronze["kafka_offset"].to_pylist(), strict=True))


def rows(stream) -> list[dict]:
    return pa.table(stream).to_pylist()


class TestTheRoad:
    def test_each_event_is_in_silver_once(self, road, s3):
        lake, city = road
        for stream in STREAMS:
            sent = set(pa.table(city.events(stream))["id"].to_pylist())
            assert sorted(delta(lake, s3, f"silver.{stream}")["id"].to_pylist()) == sorted(sent)
            offsets = offsets_of(delta(lake, s3, f"bronze.{stream}"))
            assert len(set(offsets)) == len(offsets) >= len(sent) > 0

    def test_it_is_what_a_folder_would_hold(self, road, tmp_path):
        lake, city = road
        local = cs.Lake(tmp_path / "lake")
        local.ingest(city)
        local.refine()
        assert {t.name: t.rows for t in lake.tables()} == {t.name: t.rows for t in local.tables()}
        # Sums of floats differ in their last digits by the order of the rows.
        for query in (
            "select * exclude (ingested_at) from silver.gps order by all",
            "select road_id, window_start, probe_reports, round(speed_kmh, 6) from gold.road_5min order by all",
            "select stream, sum(received), sum(accepted) from gold.data_quality_hourly group by stream order by all",
        ):
            assert lake.query(query).fetchall() == local.query(query).fetchall(), query

    def test_check_and_a_second_run_find_nothing_to_do(self, road):
        lake, city = road
        assert lake.check() == []
        versions = {t.name: t.version for t in lake.tables()}
        assert lake.ingest(city).records == 0
        assert sum(lake.refine().silver.values()) == 0
        assert {t.name: t.version for t in lake.tables()} == versions

    def test_a_query_reads_a_table_twice_and_several_together(self, road):
        lake, _ = road
        (found,) = lake.query(
            "select count(*), count(distinct a.id) from silver.traffic a join silver.traffic b using (id) "
            "where a.event_date = b.event_date"
        ).fetchall()
        assert found[0] == found[1] == lake.table("silver.traffic").row_count
        assert lake.query("select count(*) from silver.gps where event_date < '2000-01-01'").fetchall() == [(0,)]

    def test_the_table_as_arrow_and_its_files(self, road):
        lake, _ = road
        table = lake.table("gold.road_5min")
        assert len(rows(table)) == table.row_count > 0
        assert all(file.startswith(f"{lake.path}/gold/road_5min/") for file in table.files)

    def test_somebody_s_tables_in_a_bucket_are_graded(self, road, s3, citystream):
        lake, city = road
        # A Delta table, a folder of tables and, below, a single file.
        tables = {"silver": f"{lake.path}/silver", "gold": {"road_5min": f"{lake.path}/gold/road_5min"}}
        report = cs.grade(**tables, against=city, storage_options=s3.storage_options)
        assert (report.score, report.ok) == (100, True)
        assert {grade.stream for grade in report.silver} == set(STREAMS)
        assert [grade.table for grade in report.gold] == ["road_5min"]
        file = lake.table("silver.weather").files[0]
        assert cs.grade(silver={"weather": file}, against=city, storage_options=s3.storage_options).ok
        flags = [f"--storage-option={key}={value}" for key, value in s3.storage_options.items()]
        assert citystream("grade", lake.path, *flags, "--json").json["ok"]
        ran = citystream("grade", "--seed=1", f"--silver=weather={lake.path}/nothing", *flags)
        assert (ran.status, "there is nothing at" in ran.err) == (1, True)

    def test_late_data_changes_gold(self, s3, address):
        lake = cs.Lake(address, storage_options=s3.storage_options)
        city = {"seed": 7, "vehicles": 60, "start": "2026-06-01T07:00:00Z"}
        counted = "select sum(received)::bigint from gold.data_quality_hourly"
        for duration in ("20min", "40min"):
            lake.ingest(cs.City(**city, duration=duration))
            lake.refine()
            received = sum(delta(lake, s3, f"bronze.{stream}").num_rows for stream in STREAMS)
            assert lake.query(counted).fetchall() == [(received,)]
        assert lake.check() == []


class TestKills:
    @pytest.mark.parametrize(
        ("point", "step"),
        [
            ("bronze_after_file:3", "ingest"),
            ("bronze_after_commit:2", "ingest"),
            ("silver_before_commit", "refine"),
            ("replace_after_files:3", "refine"),
        ],
    )
    def test_nothing_is_lost_or_doubled(self, s3, address, point, step, tmp_path):
        script = (
            "import sys, citystream as cs\n"
            "lake = cs.Lake(sys.argv[1])\n"
            "city = cs.City(seed=7, vehicles=60, start='2026-06-01T07:00:00Z', duration='30min',\n"
            "               faults=cs.Faults(duplicate=0.02, corrupt=0.02))\n"
            "lake.ingest(city)\n"
            "lake.refine()\n"
        )
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CITYSTREAM_"))}
        environment = {**clean, **s3.environment}

        def run(**more: str) -> int:
            command = [sys.executable, "-c", script, address]
            done = subprocess.run(command, check=False, env={**environment, **more}, timeout=200)
            return done.returncode

        assert run(CITYSTREAM_CRASH_AT=point) == -signal.SIGKILL, step
        assert run() == 0
        lake = cs.Lake(address, storage_options=s3.storage_options, create=False)
        assert lake.check() == []
        city = cs.City(seed=7, vehicles=60, start="2026-06-01T07:00:00Z", duration="30min", faults=FAULTS)
        expected = cs.Lake(tmp_path / "lake").ingest(city).by_stream
        for stream in STREAMS:
            offsets = offsets_of(delta(lake, s3, f"bronze.{stream}"))
            assert len(set(offsets)) == len(offsets) == expected.get(stream, 0), stream
            sent = set(pa.table(city.events(stream))["id"].to_pylist())
            assert sorted(delta(lake, s3, f"silver.{stream}")["id"].to_pylist()) == sorted(sent)


def test_two_writers_take_each_record_once(s3, address):
    city = cs.City(seed=7, vehicles=60, start="2026-06-01T07:00:00Z", duration="20min")
    cs.Lake(address, storage_options=s3.storage_options).core.ensure_tables()
    failures = []

    def ingest() -> None:
        try:
            cs.Lake(address, storage_options=s3.storage_options).ingest(city)
        except cs.ConflictError:
            pass
        except cs.CitystreamError as error:
            failures.append(error)

    threads = [threading.Thread(target=ingest) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    lake = cs.Lake(address, storage_options=s3.storage_options)
    lake.ingest(city)
    for stream in STREAMS:
        offsets = offsets_of(delta(lake, s3, f"bronze.{stream}"))
        assert len(set(offsets)) == len(offsets) == pa.table(city.events(stream)).num_rows


class TestRefusals:
    def test_a_reader_may_read_and_not_write(self, road, s3):
        lake, city = road
        reader = {**s3.storage_options, "aws_access_key_id": READER_KEY, "aws_secret_access_key": READER_SECRET}
        same = cs.Lake(lake.path, storage_options=reader, create=False)
        assert same.tables() == lake.tables()
        with pytest.raises(cs.StoreError, match=r"docs/s3\.md") as refused:
            cs.Lake(f"s3://{BUCKET}/other/lake", storage_options=reader).ingest(city)
        assert READER_SECRET not in str(refused.value)

    def test_wrong_keys_are_an_error_that_says_so(self, s3, address):
        wrong = {**s3.storage_options, "aws_secret_access_key": "hunter2-hunter2"}
        with pytest.raises(cs.StoreError, match="SignatureDoesNotMatch") as refused:
            cs.Lake(address, storage_options=wrong)
        assert "hunter2" not in str(refused.value)

    def test_a_missing_lake_is_named(self, s3, address):
        with pytest.raises(cs.TableError, match=f"there is no lake at {address}"):
            cs.Lake(address, storage_options=s3.storage_options, create=False)

    def test_options(self, s3):
        with pytest.raises(cs.ConfigError, match="Did you mean endpoint_url"):
            cs.Lake("s3://b/l", storage_options={"endpoint_ulr": "x"})
        plain = {name: value for name, value in s3.storage_options.items() if name != "aws_allow_http"}
        with pytest.raises(cs.ConfigError, match="allow_http"):
            cs.Lake("s3://b/l", storage_options=plain)

    def test_a_server_that_is_away(self):
        away = {
            "endpoint_url": "http://127.0.0.1:1", "allow_http": "true", "max_retries": "1",
            "access_key_id": "a", "secret_access_key": "b",
        }  # fmt: skip
        with pytest.raises(cs.StoreError, match="Check the endpoint and the network"):
            cs.Lake("s3://b/l", storage_options=away)

    def test_a_profile_goes_before_variables(self, tmp_path, monkeypatch, s3, address):
        """The variables name a wrong key; the profile's is right."""
        credentials = tmp_path / "credentials"
        keys = s3.storage_options
        credentials.write_text(
            f"[city]\naws_access_key_id = {keys['aws_access_key_id']}\n"
            f"aws_secret_access_key = {keys['aws_secret_access_key']}\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        options = {"profile": "city", "endpoint_url": s3.endpoint, "allow_http": "true"}
        assert cs.Lake(address, storage_options=options).path == address
        with pytest.raises(cs.StoreError, match="InvalidAccessKeyId"):
            cs.Lake(address, storage_options={"endpoint_url": s3.endpoint, "allow_http": "true"})


class TestCommands:
    def test_the_road_by_flags(self, s3, address, citystream):
        flags = [part for key, value in s3.storage_options.items() for part in ("--storage-option", f"{key}={value}")]
        made = citystream("lake", "init", address, "--json", *flags)
        assert made.status == 0, made.err
        assert made.json["lake"] == address
        assert len(made.json["tables"]) == 15
        outcomes = {measure["measure"]: measure["outcome"] for measure in made.json["bucket"]}
        assert outcomes["bucket"] == "held already"
        assert set(outcomes) == {"bucket", "public access", "encryption", "versioning", "multipart uploads"}
        assert set(outcomes.values()) <= {"done", "held already", "not supported by this server"}
        city = ("--vehicles", "40", "--duration", "20min")
        demo = citystream("demo", "--dir", address, "--json", *city, *flags)
        assert demo.status == 0, demo.err
        for command in (("refine", address), ("tables", address), ("lake", "check", address)):
            done = citystream(*command, *flags, "--json")
            assert done.status == 0, done.err
        counted = citystream("query", address, "select count(*) as n from bronze.gps", "--json", *flags)
        lake = cs.Lake(address, storage_options=s3.storage_options)
        assert counted.json["rows"] == [{"n": delta(lake, s3, "bronze.gps").num_rows}]

    def test_by_variables(self, s3, address, citystream):
        done = citystream("lake", "init", address, "--keep-bucket", "--json", **s3.environment)
        assert done.status == 0, done.err
        assert done.json["bucket"] == []

    def test_no_secret_in_a_wrong_flag(self, citystream):
        done = citystream("tables", "s3://b/l", "--storage-option", "hunter2-hunter2")
        assert done.status == 2
        assert "KEY=VALUE" in done.err and "hunter2" not in done.err

    def test_a_local_lake(self, citystream):
        done = citystream("lake", "init", "lake", "--json")
        assert done.status == 0, done.err
        assert len(done.json["tables"]) == 15 and done.json["bucket"] == []
        done = citystream("tables", "lake", "--storage-option", "region=x")
        assert done.status == 2 and "local folder" in done.err


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """AWS's calls without AWS: those for a bucket's settings, which SeaweedFS lacks in part."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


KEYS = {"access_key_id": "a", "secret_access_key": "b", "allow_http": "true", "region": "eu-west-1"}


class TestProtection:
    def options(self, moto) -> dict[str, str]:
        return {**KEYS, "endpoint_url": moto, "endpoint_url_sts": moto}

    def client(self, moto):
        keys = {f"aws_{name}": KEYS[name] for name in ("access_key_id", "secret_access_key")}
        return boto3.client("s3", endpoint_url=moto, region_name=KEYS["region"], **keys)

    def test_each_measure_is_taken_once(self, moto):
        options = self.options(moto)
        first = cs.Lake.protect("s3://new-bucket/lake", storage_options=options)
        assert {measure.outcome for measure in first} == {"done"}
        s3 = self.client(moto)
        block = s3.get_public_access_block(Bucket="new-bucket")["PublicAccessBlockConfiguration"]
        assert all(block.values()) and len(block) == 4
        (rule,) = s3.get_bucket_encryption(Bucket="new-bucket")["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert s3.get_bucket_versioning(Bucket="new-bucket")["Status"] == "Enabled"
        (rule,) = s3.get_bucket_lifecycle_configuration(Bucket="new-bucket")["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 3}
        assert s3.get_bucket_location(Bucket="new-bucket")["LocationConstraint"] == "eu-west-1"
        again = cs.Lake.protect("s3://new-bucket/lake", storage_options=options)
        # moto tells no client of ours that versions are kept.
        assert {m.outcome for m in again if m.measure != "versioning"} == {"held already"}, again

    def test_what_the_bucket_has_stays(self, moto):
        s3 = self.client(moto)
        s3.create_bucket(Bucket="had", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        rule = {"ID": "mine", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
        s3.put_bucket_lifecycle_configuration(Bucket="had", LifecycleConfiguration={"Rules": [rule]})
        by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "mine"}
        s3.put_bucket_encryption(
            Bucket="had",
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_key}]},
        )
        taken = {m.measure: m.outcome for m in cs.Lake.protect("s3://had/x", storage_options=self.options(moto))}
        assert (taken["bucket"], taken["encryption"], taken["versioning"]) == ("held already", "held already", "done")
        rules = s3.get_bucket_lifecycle_configuration(Bucket="had")["Rules"]
        assert [rule["ID"] for rule in rules] == ["mine", "citystream-abort-multipart"]
        assert rules[0]["Expiration"] == {"Days": 1}

    def test_a_key_of_ones_own_and_a_storage_class_are_used(self, moto):
        options = {**self.options(moto), "sse_kms_key_id": "city-key", "storage_class": "STANDARD_IA"}
        cs.Lake.protect("s3://keyed/lake", storage_options=options)
        cs.Lake("s3://keyed/lake", storage_options=options)
        found = self.client(moto).head_object(Bucket="keyed", Key="lake/citystream.json")
        assert (found["ServerSideEncryption"], found["StorageClass"]) == ("aws:kms", "STANDARD_IA")
        assert found["SSEKMSKeyId"].endswith("city-key")

    def test_a_role_is_taken_on(self, moto):
        cs.Lake.protect("s3://by-role/lake", storage_options=self.options(moto))
        role = {**self.options(moto), "role_arn": "arn:aws:iam::123456789012:role/city"}
        assert cs.Lake("s3://by-role/lake", storage_options=role).path == "s3://by-role/lake"
        away = {**role, "endpoint_url_sts": "http://127.0.0.1:1", "max_retries": "0"}
        with pytest.raises(cs.StoreError):
            cs.Lake("s3://by-role/lake", storage_options=away)

"""The grade: our own tables have all of it, and each of five broken pipelines is told by what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import citystream as cs
from citystream import _core, sql
from citystream.faults import BOUNDS, INSTANTS, NAMES, TEXTS
from citystream.given import delta_files
from citystream.grading import WRONG, city_of

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = ("vehicle", "gps", "traffic", "weather", "emergency")
# Each fault at a twentieth.
RATES = {name: 0.05 for name in NAMES if name not in (*BOUNDS, *INSTANTS, *TEXTS)}
# With an incident.
CITY: dict[str, Any] = {"seed": 6, "vehicles": 1_000, "start": "2026-06-01T06:40:00Z", "duration": "2h"}


@pytest.fixture(scope="module")
def city() -> cs.City:
    return cs.City(**CITY, faults=cs.Faults(**{**RATES, "retry_loop": 0.01}, late_bound="10min"))


@pytest.fixture(scope="module")
def lake(city: cs.City, tmp_path_factory: pytest.TempPathFactory) -> cs.Lake:
    lake = cs.Lake(tmp_path_factory.mktemp("grade") / "lake")
    lake.ingest(city)
    lake.refine()
    return lake


@pytest.fixture(scope="module")
def messages(city: cs.City, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The city's messages as files of lines, harmed bytes and all."""
    folder = tmp_path_factory.mktemp("grade") / "lines"
    city.core.write(to="ndjson", out=str(folder))
    return folder


class Pipeline:
    """A pipeline as somebody might write it with DuckDB: reads lines, keeps rows, adds up a gold table."""

    def __init__(self, folder: Path, stream: str) -> None:
        self.con = duckdb.connect()
        self.con.execute("SET TimeZone = 'UTC'")
        kinds = {f["name"]: f["kind"] for f in _core.stream_fields(stream)}
        types = {"text": "VARCHAR", "int": "INTEGER", "double": "DOUBLE", "time": "TIMESTAMPTZ", "point": "DOUBLE[]"}
        # A number that is sent as a text is none.
        value = "CASE WHEN json_type(json, '$.{0}') <> 'VARCHAR' THEN TRY_CAST(json ->> '$.{0}' AS {1}) END"
        text = "TRY_CAST(json ->> '$.{0}' AS {1})"
        columns = ", ".join(
            (text if kind in {"text", "time"} else value).format(name, types.get(kind, "INTEGER[]")) + f' AS "{name}"'
            for name, kind in kinds.items()
        )
        # A message that is no JSON, or none at all, is no row.
        lines = [
            line.decode()
            for line in (folder / f"{stream}_data.ndjson").read_bytes().split(b"\n")
            if line.startswith(b"{") and _sound(line)
        ]
        self.con.register("lines", pa.table({"n": range(len(lines)), "json": lines}))
        self.con.execute(f"CREATE TABLE sent AS SELECT n, {columns} FROM lines ORDER BY n")
        self.required = [f["name"] for f in _core.stream_fields(stream) if not f["null_when"]]

    @property
    def valid(self) -> str:
        """What a row must satisfy, as far as the faults break it."""
        present = " AND ".join(f'"{name}" IS NOT NULL' for name in self.required)
        return f"{present} AND speed >= 0 AND abs(location[1]) <= 90 AND timestamp <= sentAt + INTERVAL 5 MINUTE"

    def rows(self, where: str, *, once: bool = True) -> pa.Table:
        unique = "QUALIFY row_number() OVER (PARTITION BY id ORDER BY n) = 1" if once else ""
        return self.con.sql(f"SELECT * EXCLUDE n FROM sent WHERE {where} {unique}").to_arrow_table()


def _sound(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


@pytest.fixture(scope="module")
def pipeline(messages: Path) -> Pipeline:
    return Pipeline(messages, "gps")


def gps(city: cs.City, table: Any) -> cs.GradeReport:
    return cs.grade(silver={"gps": table}, against=city)


class TestOurOwn:
    def test_the_embedded_road_with_every_fault_has_all_of_it(self, city, lake):
        report = cs.grade(silver=lake, gold=lake, against=city)
        assert report.diagnoses == ()
        assert report.ok
        assert report.score == 100
        assert [grade.stream for grade in report.silver] == list(STREAMS)
        ours = {query.name.removeprefix("gold.") for query in sql.load() if query.name.startswith("gold.")}
        assert {grade.table for grade in report.gold} == ours & set(_core.graded_tables())
        assert len(report.gold) >= 5
        for table in report.gold:
            # Every column but those of the wall's clock is looked at.
            query = next(query for query in sql.load() if query.name == f"gold.{table.table}")
            compared = set(table.columns)
            left = {column.name for column in query.columns} - compared
            if table.table == "data_quality_hourly":
                # Percentiles don't add up where the tests run over the hour.
                left -= {"lateness_p50_s", "lateness_p95_s", "window_start", "window_end", "window_date"}
            assert left == set()
            assert table.expected == table.correct > 0, table
        assert sum(grade.verdicts["correct"] for grade in report.silver) > 10_000
        assert sum(grade.verdicts["rightly refused"] for grade in report.silver) > 1_000

    @pytest.mark.parametrize("fault", RATES)
    def test_each_fault_alone(self, tmp_path, fault):
        city = cs.City(
            seed=3, vehicles=200, start="2026-06-01T07:00Z", duration="40min", faults=cs.Faults(**{fault: 0.05})
        )
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city)
        lake.refine()
        report = cs.grade(silver=lake, gold=lake, against=city)
        assert (report.score, report.diagnoses) == (100, ())

    def test_rows_made_of_the_messages_by_somebody_else(self, city, pipeline):
        report = gps(city, pipeline.rows(pipeline.valid))
        assert (report.score, report.diagnoses) == (100, ())
        (grade,) = report.silver
        assert grade.verdicts["correct"] > 2_000
        assert {"speed_kmh", "lat", "lon", "event_time", "device_id"} <= set(grade.columns)

    def test_a_day_over_midnight_in_several_shards(self, tmp_path):
        # More than one shard: see SHARD_EVENTS in src/pipeline/grade.rs.
        city = cs.City(seed=3, vehicles=1_500, start="2026-06-01T21:00Z", duration="4h", faults=cs.Faults(late=0.05))
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city)
        lake.refine()
        stages: dict[str, int] = {}
        report = cs.grade(
            silver=lake, gold=lake, against=city, progress=lambda now: stages.__setitem__(now["stage"], now["done"])
        )
        assert (report.score, report.diagnoses) == (100, ())
        assert stages["grade"] > 5

    def test_incidents_of_a_large_city(self, tmp_path):
        city = cs.City(
            seed=5, vehicles=8_000, duration="1d", streams=["emergency"], faults=cs.Faults(late=0.1, drop=0.1)
        )
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city)
        lake.refine()
        report = cs.grade(silver={"emergency": lake.table("silver.emergency")}, gold=lake, against=city)
        assert (report.score, report.diagnoses) == (100, ())
        assert {table.table: table.correct for table in report.gold}["incident_response"] > 5

    def test_compat_has_all_of_it(self, tmp_path):
        city = cs.City(seed=3, vehicles=60, start="2026-06-01T07:00Z", duration="30min", compat=True)
        lake = cs.Lake(tmp_path / "lake")
        lake.ingest(city)
        lake.refine()
        report = cs.grade(silver=lake, gold=lake, against=city)
        assert (report.score, report.diagnoses) == (100, ())


class TestBrokenPipelines:
    """Five pipelines with one defect each; each is called by its name, and by no other's."""

    def test_without_deduplication(self, city, pipeline):
        report = gps(city, pipeline.rows(pipeline.valid, once=False))
        (words,) = report.diagnoses
        assert words.startswith("doubled: all ")
        assert "Copies are not removed by id" in words
        assert report.silver[0].verdicts["doubled"] > 50
        assert report.silver[0].by_fault["duplicate"]["doubled"] == report.silver[0].verdicts["doubled"]
        assert 50 < report.score < 99

    def test_that_drops_late_rows(self, city, pipeline):
        report = gps(city, pipeline.rows(f"{pipeline.valid} AND sentAt - timestamp < INTERVAL 60 SECOND"))
        (words,) = report.diagnoses
        assert words.startswith("wrongly dropped: ")
        assert "watermark" in words
        assert float(words.split("the least late of them by ")[1].split(" s")[0]) == pytest.approx(60, abs=5)
        assert report.silver[0].by_fault["late"]["wrongly dropped"] > 20
        assert report.silver[0].verdicts["missing"] == 0

    def test_that_keeps_corrupt_rows(self, city, pipeline):
        report = gps(city, pipeline.rows("id IS NOT NULL"))
        (words,) = report.diagnoses
        assert words.startswith("harmed but kept: ")
        assert "wrong_type" in words
        assert "missing_field" in words
        assert "out_of_range" in words
        assert report.silver[0].verdicts["harmed but kept"] > 100

    @pytest.mark.parametrize(("hours", "said"), [(2, "2 h too late"), (-5.5, "5 h 30 min too early")])
    def test_in_a_wrong_time_zone(self, city, lake, pipeline, hours, said):
        table = pipeline.rows(pipeline.valid)
        off = pa.scalar(int(hours * 3_600_000_000), pa.duration("us"))
        at = table.schema.get_field_index("timestamp")
        report = gps(city, table.set_column(at, "timestamp", pc.add(table["timestamp"], off)))
        (words,) = report.diagnoses
        assert words.startswith("wrong time zone: event_time is " + said)
        assert report.silver[0].verdicts["altered"] == table.num_rows
        # And in gold, whose windows are then others.
        gold = pa.table(lake.table("gold.road_5min"))
        for name in ("window_start", "window_end"):
            gold = gold.set_column(gold.schema.get_field_index(name), name, pc.add(gold[name], off))
        report = cs.grade(gold={"road_5min": gold}, against=city)
        assert report.diagnoses == (f"gold.road_5min: wrong time zone: its times are {said}",)

    def test_that_counts_twice_after_a_restart(self, city, lake):
        # It stopped at 07:50, went back to 07:20, and added to the gold rows that were there.
        gold = pa.table(lake.table("gold.camera_15min"))
        silver = lake.query(
            """
            SELECT camera_id, CAST(count(*) AS BIGINT) AS again, CAST(sum(vehicle_count) AS BIGINT) AS count_again,
                time_bucket(INTERVAL 15 MINUTE, event_time - INTERVAL 30 SECOND) AS window_start
            FROM silver.traffic WHERE event_time BETWEEN '2026-06-01T07:20:00Z' AND '2026-06-01T07:50:00Z' GROUP BY 1, 4
            """
        ).to_arrow_table()
        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'")
        con.register("gold", gold)
        con.register("silver", silver)
        twice = con.sql(
            """
            SELECT gold.* REPLACE (
                intervals + coalesce(again, 0) AS intervals, vehicle_count + coalesce(count_again, 0) AS vehicle_count
            ) FROM gold LEFT JOIN silver USING (camera_id, window_start)
            """
        ).to_arrow_table()
        report = cs.grade(silver=lake, gold={"camera_15min": twice}, against=city)
        (words,) = report.diagnoses
        assert words.startswith("gold.camera_15min: counts twice: ")
        assert "from 2026-06-01T07:15:00Z to 2026-06-01T07:45:00Z" in words
        assert all(not grade.wrong for grade in report.silver)
        assert 50 < report.score < 100

    def test_that_takes_a_stretch_in_twice(self, city, pipeline):
        table = pipeline.rows(pipeline.valid)
        again = pipeline.rows(
            f"{pipeline.valid} AND sentAt >= '2026-06-01T07:20:00Z' AND sentAt < '2026-06-01T07:40:00Z'"
        )
        report = gps(city, pa.concat_tables([table, again]))
        assert any(
            "events of gps that were sent once stand more than once, all of them sent between" in w
            for w in report.diagnoses
        )
        words = next(w for w in report.diagnoses if "sent once" in w)
        assert "2026-06-01T07:20:00Z and 2026-06-01T07:40:00Z" in words
        assert "restart" in words

    def test_that_loses_a_stretch(self, city, pipeline):
        where = f"{pipeline.valid} AND NOT (sentAt >= '2026-06-01T07:20:00Z' AND sentAt < '2026-06-01T07:40:00Z')"
        report = gps(city, pipeline.rows(where))
        words = next(w for w in report.diagnoses if w.startswith("missing: "))
        assert "sent between 2026-06-01T07:20:00Z and 2026-06-01T07:40:00Z. A stretch was lost" in words


class TestWhatIsGiven:
    def test_columns_that_are_called_otherwise(self, city, pipeline):
        table = pipeline.rows(pipeline.valid).select(["id", "speed"]).rename_columns(["key", "velocity"])
        report = cs.grade(silver={"gps": table}, against=city, columns={"key": "id", "velocity": "speed_kmh"})
        assert report.ok
        assert report.silver[0].columns == ("speed_kmh",)
        with pytest.raises(cs.ConfigError, match="has no column id; it has key, velocity"):
            cs.grade(silver={"gps": table}, against=city)

    def test_an_altered_column_is_named_with_an_example(self, city, pipeline):
        table = pipeline.rows(pipeline.valid)
        at = table.schema.get_field_index("speed")
        report = gps(city, table.set_column(at, "speed", pc.divide(table["speed"], 1.609344)))
        (words,) = report.diagnoses
        assert words.startswith("altered: speed_kmh of gps differs in ")
        assert " such as " in words
        # A vehicle that stands is at 0 mph too.
        assert 0 < report.silver[0].verdicts["altered"] < table.num_rows
        example = report.silver[0].examples[0]
        assert float(example["expected"]) == pytest.approx(1.609344 * float(example["found"]))

    def test_parquet_files_folders_and_delta_tables(self, city, lake, tmp_path):
        for stream in STREAMS:
            (tmp_path / "silver" / stream).mkdir(parents=True)
            table = pa.table(lake.table(f"silver.{stream}"))
            pq.write_table(table.slice(0, table.num_rows // 2), tmp_path / "silver" / stream / "a.parquet")
            pq.write_table(table.slice(table.num_rows // 2), tmp_path / "silver" / stream / "b.parquet")
        pq.write_table(pa.table(lake.table("gold.camera_15min")), tmp_path / "camera_15min.parquet")
        report = cs.grade(silver=tmp_path / "silver", gold=tmp_path / "camera_15min.parquet", against=city)
        assert (report.score, report.diagnoses) == (100, ())
        assert [grade.stream for grade in report.silver] == list(STREAMS)
        # The same as Delta tables, read without citystream's own reader.
        root = Path(lake.path)
        report = cs.grade(silver=root / "silver", gold=root / "gold", against=city)
        assert (report.score, report.diagnoses) == (100, ())
        assert len(report.gold) >= 5

    def test_one_table_of_all_streams(self, city, lake):
        ids = pa.concat_tables([pa.table(lake.table(f"silver.{stream}")).select(["id"]) for stream in STREAMS])
        report = cs.grade(silver=ids, against=city)
        assert report.ok
        assert [grade.stream for grade in report.silver] == list(STREAMS)
        strange = pa.concat_tables([ids, pa.table({"id": ["?"]})])
        report = cs.grade(silver=strange, against=city)
        assert (report.ok, report.strangers) == (False, 1)

    def test_another_city_is_not_taken_for_it(self, pipeline):
        other = cs.City(**{**CITY, "seed": 4, "duration": "20min"})
        report = gps(other, pipeline.rows(pipeline.valid))
        assert any("Is it the same city" in words for words in report.diagnoses)
        assert report.score == 0

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "nothing to grade"),
            ({"silver": {"gsp": pa.table({"id": ["x"]})}}, "Did you mean 'gps'"),
            ({"gold": {"road_5mins": pa.table({"id": ["x"]})}}, "Did you mean 'road_5min'"),
            ({"gold": pa.table({"id": ["x"]})}, "without a name"),
            ({"gold": {"road_5min": pa.table({"road_id": ["x"]})}}, "has no column window_start"),
            ({"silver": {"gps": 5}}, "int is no table"),
        ],
    )
    def test_what_cannot_be_graded_is_named(self, given, message):
        with pytest.raises(cs.ConfigError, match=message):
            cs.grade(**given, against=cs.City(vehicles=10, duration="10min"))

    def test_what_is_not_there_is_named(self, tmp_path):
        with pytest.raises(cs.StoreError, match="does not exist"):
            cs.grade(silver=tmp_path / "nothing.parquet", against=cs.City(vehicles=10))
        with pytest.raises(cs.StoreError, match="holds no Parquet file"):
            cs.grade(silver={"gps": tmp_path}, against=cs.City(vehicles=10))


class TestDeltaLog:
    def commit(self, table: Path, version: int, *actions: dict[str, Any]) -> None:
        (table / "_delta_log").mkdir(parents=True, exist_ok=True)
        text = "\n".join(json.dumps(action) for action in actions)
        (table / "_delta_log" / f"{version:020}.json").write_text(text)

    def test_the_newest_version_counts(self, tmp_path):
        schema = json.dumps({"type": "struct", "fields": [{"name": "id", "type": "string"}]})
        self.commit(tmp_path, 0, {"protocol": {"minReaderVersion": 1}}, {"metaData": {"schemaString": schema}})
        self.commit(tmp_path, 1, {"add": {"path": "a.parquet"}}, {"add": {"path": "b%20c.parquet"}})
        self.commit(tmp_path, 2, {"remove": {"path": "a.parquet"}}, {"commitInfo": {}})
        files, found = delta_files(tmp_path)
        assert files == [str(tmp_path / "b c.parquet")]
        assert found["fields"][0]["name"] == "id"

    def test_a_checkpoint_is_read_and_what_follows_it(self, tmp_path):
        import deltalake

        for n in range(3):
            deltalake.write_deltalake(tmp_path / "t", pa.table({"id": [str(n)]}), mode="append")
        table = deltalake.DeltaTable(tmp_path / "t")
        table.create_checkpoint()
        deltalake.write_deltalake(tmp_path / "t", pa.table({"id": ["3"]}), mode="append")
        for file in (tmp_path / "t" / "_delta_log").glob("0000000000000000000[01].json"):
            file.unlink()
        files, _ = delta_files(tmp_path / "t")
        assert sorted(files) == sorted(deltalake.DeltaTable(tmp_path / "t").file_uris())

    def test_what_it_cannot_read_is_refused_by_name(self, tmp_path):
        protocol = {"minReaderVersion": 3, "readerFeatures": ["deletionVectors", "timestampNtz"]}
        self.commit(tmp_path, 0, {"protocol": protocol})
        with pytest.raises(cs.TableError, match="needs deletionVectors"):
            delta_files(tmp_path)
        self.commit(tmp_path / "x", 0, {"protocol": {"minReaderVersion": 1}})
        self.commit(tmp_path / "x", 2, {"protocol": {"minReaderVersion": 1}})
        with pytest.raises(cs.TableError, match="lacks version 1"):
            delta_files(tmp_path / "x")


@pytest.fixture(scope="module")
def report(city: cs.City, pipeline: Pipeline, lake: cs.Lake) -> cs.GradeReport:
    """A report with much to say."""
    gold = pa.table(lake.table("gold.camera_15min")).slice(3)
    return cs.grade(
        silver={"gps": pipeline.rows("id IS NOT NULL", once=False)}, gold={"camera_15min": gold}, against=city
    )


class TestReport:
    def test_it_reads_well(self, report):
        text = repr(report)
        assert text.startswith("Grade ")
        assert " % against City(seed=6" in text
        assert "- doubled: " in text
        assert "- gold.camera_15min: 3 of " in text
        html = report._repr_html_()
        assert "<table>" in html
        assert "harmed but kept" in html

    def test_its_counts_add_up(self, report):
        (grade,) = report.silver
        assert sum(grade.rows_of.values()) == grade.rows
        assert sum(grade.verdicts.values()) == grade.events
        for verdict in WRONG:
            single = grade.by_fault["none"][verdict]
            assert single <= grade.verdicts[verdict] <= sum(tally[verdict] for tally in grade.by_fault.values())
        (table,) = report.gold
        assert table.correct + table.missing == table.expected
        assert table.rows == table.correct
        silver, gold = 1 - grade.wrong / grade.events, table.correct / table.expected
        assert report.score == pytest.approx(50 * (silver + gold))

    def test_json_and_junit_say_the_same(self, report):
        found = json.loads(report.to_json())
        assert found["ok"] is False
        assert found["silver"][0]["verdicts"] == report.silver[0].verdicts
        suites = ET.fromstring(report.junit())  # noqa: S314
        assert [suite.get("name") for suite in suites.findall("testsuite")] == ["silver.gps", "gold.camera_15min"]
        failed = {
            (case.get("classname"), case.find("failure").get("type"))
            for case in suites.iter("testcase")
            if case.find("failure") is not None
        }
        wanted = {("silver.gps", name) for name in WRONG if report.silver[0].verdicts[name]} | {
            ("gold.camera_15min", "missing")
        }
        assert failed == wanted
        assert int(suites.get("failures")) == len(failed)
        assert int(suites.get("tests")) == len(list(suites.iter("testcase"))) == 10
        said = [p.get("value") for p in suites.iter("property") if p.get("name") == "diagnosis"]
        assert said == list(report.diagnoses)

    def test_a_sound_one_has_no_failure(self, city, lake):
        suites = ET.fromstring(cs.grade(silver={"gps": lake.table("silver.gps")}, against=city).junit())  # noqa: S314
        assert suites.get("failures") == "0"
        assert len(list(suites.iter("testcase"))) == len(WRONG)


class TestCommandLine:
    def test_a_lake_says_which_city_it_has(self, citystream: Callable[..., Any], lake, city):
        assert repr(city_of(lake).core.options) == repr(city.core.options)
        done = citystream("grade", lake.path, "--json", "--junit", "grade.xml")
        assert done.status == 0, done.err
        assert done.json["score"] == 100
        assert done.json["ok"] is True
        assert ET.parse("grade.xml").getroot().get("failures") == "0"  # noqa: S314

    def test_tables_by_path_and_the_score_as_the_status(self, citystream, lake, tmp_path):
        table = pa.table(lake.table("silver.gps")).rename_columns(
            ["speed" if name == "speed_kmh" else name for name in lake.table("silver.gps").schema.names]
        )
        # Some of every kind are gone: neighbours in the file would be of one date, or late alike.
        pq.write_table(table.take([n for n in range(len(table)) if n % 500]), tmp_path / "fixes.parquet")
        given = ("grade", lake.path, "--silver", "gps=fixes.parquet", "--column", "speed=speed_kmh")
        done = citystream(*given)
        assert done.status == 1, done.err
        assert "missing: " in done.out
        assert "By fault" in done.out
        assert citystream(*given, "--min", "50", "--quiet").status == 0

    def test_a_city_that_is_named_is_taken(self, citystream, lake):
        done = citystream("grade", lake.path, "--seed", "4", "--vehicles", "50", "--duration", "20min", "--json")
        assert done.status == 1
        assert any("Is it the same city" in words for words in done.json["diagnoses"])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "nothing to grade"),
            (("--silver", "a", "--silver", "gps=b"), "names no table among several"),
            (("--silver", "a", "--column", "speed"), "--column speed=speed_kmh"),
        ],
    )
    def test_wrong_usage(self, citystream, arguments, message):
        done = citystream("grade", *arguments)
        assert done.status == 2
        assert message in done.err

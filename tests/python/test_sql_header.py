"""The header of a .sql file is a contract: it is read strictly, and a mistake names file and line."""

from __future__ import annotations

from datetime import timedelta

import pytest

from citystream import ConfigError, sql

GOOD = """\
-- gold.mine: what it is
-- grain:    one row for each road and window
-- key:      road_id, window_start
-- window:   5 minutes
-- sources:  silver.vehicle by event_time, dim.road
-- lookback: 60 seconds
-- columns:
--   road_id       text       -     the road
--   window_start  timestamp  -     start of the window
--   speed_kmh     double     km/h  mean speed
--   window_date   date       -     UTC date of window_start

select 1
"""


def read(tmp_path, text, name="mine.sql"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return sql.read(path)


def test_a_good_header(tmp_path):
    query = read(tmp_path, GOOD)
    assert query.name == "gold.mine"
    assert query.key == ("road_id", "window_start")
    assert query.window == timedelta(minutes=5)
    assert query.sources == (sql.Source("silver.vehicle", "event_time"), sql.Source("dim.road", None))
    assert query.lookback == timedelta(seconds=60)
    assert query.columns[2] == sql.Column("speed_kmh", "double", "km/h", "mean speed")
    assert query.columns[2].comment == "mean speed [km/h]"
    assert query.columns[0].comment == "the road"
    assert query.partitioned


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("-- gold.mine: what it is\n", "", 1, "starts without its title"),
        ("-- gold.mine: what it is\n", "\n-- gold.mine: what it is\n", 1, "starts without its title"),
        ("gold.mine:", "gold.other:", 1, "'gold.other' in a file called 'mine.sql'"),
        ("-- grain:", "-- grian:", 2, "can't be read"),
        ("-- grain:", "-- key:", 3, "has 'key' a second time"),
        ("-- lookback: 60 seconds\n", "", 10, "has no 'lookback'"),
        ("5 minutes", "5 minuets", 4, "'5 minuets'. Write `5 minutes`"),
        ("5 minutes", "7 minutes", 4, "A window must divide a day"),
        ("60 seconds", "a while", 6, "'a while'"),
        ("silver.vehicle by event_time", "silver.vehicle at event_time", 5, "'silver.vehicle at event_time'"),
        ("silver.vehicle by event_time", "silver.vehicle", 5, "no source with a time"),
        ("key:      road_id", "key:      roadid", 3, "has the key 'roadid'"),
        ("text       -", "varchar    -", 8, "has the type 'varchar'. Choose from boolean, text"),
        ("--   road_id       text       -     the road", "--   road_id       text", 8, "can't be read"),
        ("--   window_start  timestamp", "--   road_id       timestamp", 9, "lists 'road_id' a second time"),
        ("--   window_date   date       -     UTC date of window_start\n", "", 4, "no column 'window_date'"),
        ("window_date   date     ", "window_date   text     ", 4, "no column 'window_date'. Add it, of type date"),
        (
            "window_start  timestamp",
            "window_start  date     ",
            4,
            "no column 'window_start'. Add it, of type timestamp",
        ),
    ],
)
def test_a_broken_header_names_file_and_line(tmp_path, old, new, line, message):
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'mine.sql'}:{line}: the header ")
    assert message in str(caught.value)


def test_no_column_at_all(tmp_path):
    with pytest.raises(ConfigError, match=r"mine.sql:7: the header lists no column"):
        read(tmp_path, GOOD[: GOOD.index("--   road_id")])


def test_dimensions_come_before_what_reads_them():
    order = [query.name for query in sql.load()]
    assert len(order) == 13
    for query in sql.load():
        for source in query.sources:
            if source.table in order:
                assert order.index(source.table) < order.index(query.name)


def test_own_tables_may_read_gold(tmp_path):
    text = GOOD.replace("silver.vehicle by event_time", "gold.road_5min by window_start")
    (tmp_path / "mine.sql").write_text(text)
    order = [query.name for query in sql.load(tmp_path)]
    assert order.index("gold.road_5min") < order.index("gold.mine")


def test_a_name_that_is_taken(tmp_path):
    (tmp_path / "road_5min.sql").write_text(GOOD.replace("gold.mine", "gold.road_5min"))
    with pytest.raises(ConfigError, match=r"'gold.road_5min'. .*road_5min.sql already has that name"):
        sql.load(tmp_path)


def test_a_folder_without_tables(tmp_path):
    with pytest.raises(ConfigError, match=r"no .sql file in"):
        sql.load(tmp_path)


def test_a_table_of_another_tier(tmp_path):
    (tmp_path / "mine.sql").write_text(GOOD.replace("gold.mine", "silver.mine"))
    with pytest.raises(ConfigError, match=r"is called 'silver.mine'. Tables of this folder are called gold"):
        sql.load(tmp_path)


def test_a_circle(tmp_path):
    for name, other in (("a", "b"), ("b", "a")):
        text = GOOD.replace("gold.mine", f"gold.{name}").replace("silver.vehicle", f"gold.{other}")
        (tmp_path / f"{name}.sql").write_text(text)
    with pytest.raises(ConfigError, match="in a circle: gold"):
        sql.load(tmp_path)


def test_the_fingerprint_follows_the_text(tmp_path):
    before = read(tmp_path, GOOD).fingerprint
    assert read(tmp_path, GOOD).fingerprint == before
    assert read(tmp_path, GOOD + "-- changed\n").fingerprint != before

"""Spans of time beside plain sets of instants."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citystream.spans import DAY, Spans, floor_of, instant, micros, parse

PAIRS = st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 9)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


def instants(pairs):
    return {us for start, end in pairs for us in range(start, end)}


@given(PAIRS)
def test_a_union_is_that_of_its_instants(pairs):
    spans = Spans.of(pairs)
    assert instants(spans.parts) == instants(pairs)
    assert all(a[1] < b[0] for a, b in zip(spans.parts, spans.parts[1:], strict=False)), "disjoint, in order"
    if pairs and spans.parts:
        assert spans.hull == (min(instants(pairs)), max(instants(pairs)) + 1)


@given(PAIRS, st.integers(0, 5), st.integers(1, 7))
def test_they_grow(pairs, margin, length):
    there = instants(pairs)
    spans = Spans.of(pairs)
    assert instants(spans.widened(margin).parts) == {us + d for us in there for d in range(-margin, margin + 1)}
    cells = {us // length for us in there}
    assert instants(spans.aligned(length).parts) == {cell * length + n for cell in cells for n in range(length)}


@given(PAIRS, st.integers(-45, 45), st.integers(0, 9))
def test_what_they_meet_and_cover(pairs, first, length):
    spans, there = Spans.of(pairs), instants(pairs)
    assert spans.meets(first, first + length) == any(us in there for us in range(first, first + length + 1))
    assert spans.covers(first, first + length + 1) == all(us in there for us in range(first, first + length + 1))


def test_dates_and_days():
    noon = DAY // 2
    spans = Spans.of([(0, 1), (noon, noon + 2 * DAY), (5 * DAY, 6 * DAY)])
    assert [date.isoformat() for date in spans.dates()] == ["1970-01-01", "1970-01-02", "1970-01-03", "1970-01-06"]
    assert Spans.of(spans.cut(DAY)) == spans
    assert [*spans.cut(DAY)][1:4] == [(noon, DAY), (DAY, 2 * DAY), (2 * DAY, 2 * DAY + noon)]
    assert Spans.of_dates([dt.date(1970, 1, 2), dt.date(1970, 1, 3)]).parts == ((DAY, 3 * DAY),)
    assert Spans().hull == (0, 0)
    assert Spans().dates() == []


@pytest.mark.parametrize(
    ("text", "us"),
    [("1970-01-01T00:00:01Z", 1_000_000), ("1970-01-01T00:00:00.001Z", 1000), ("1970-01-01T00:00:00.000001Z", 1),
     ("1970-01-01T01:00:00.000+01:00", 0), ("1970-01-01 00:00:01", 1_000_000)],
)  # fmt: skip
def test_times_of_a_log(text, us):
    assert parse(text) == us
    assert micros(instant(us)) == us


@pytest.mark.parametrize("us", [-7, -6, -1, 0, 1, 5, 6, 13])
def test_the_floor_in_sql_is_the_floor(us):
    with duckdb.connect() as con:
        assert con.sql(f"select {floor_of(f'{us}::bigint', 6)}").fetchall() == [(us // 6 * 6,)]

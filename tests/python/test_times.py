from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citystream import ConfigError, times

JUNE = 1_780_272_000_000


@pytest.mark.parametrize(
    "value",
    [
        "2026-06-01T00:00:00Z",
        "2026-06-01T00:00Z",
        "2026-06-01",
        "2026-06-01T02:00:00+02:00",
        " 2026-06-01T00:00:00.000Z ",
        dt.datetime(2026, 6, 1, tzinfo=dt.timezone.utc),
        dt.datetime(2026, 6, 1),  # noqa: DTZ001
        dt.datetime(2026, 5, 31, 20, tzinfo=dt.timezone(dt.timedelta(hours=-4))),
    ],
)
def test_one_instant_many_ways(value):
    assert times.instant_ms(value) == JUNE


@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01", 1_780_272_000, None, dt.date(2026, 6, 1)])
def test_what_is_no_instant_is_named(value):
    with pytest.raises(ConfigError, match=r"start .* is no time.*2026-06-01T00:00:00Z"):
        times.instant_ms(value, "start")


@pytest.mark.parametrize(
    ("value", "ms"),
    [("90s", 90_000), ("5min", 300_000), ("1d", 86_400_000), ("1h30min", 5_400_000), ("1.5 h", 5_400_000),
     ("250ms", 250), ("1w", 604_800_000), (dt.timedelta(minutes=5), 300_000), ("0s", 0)],
)  # fmt: skip
def test_durations(value, ms):
    assert times.duration_ms(value) == ms


@pytest.mark.parametrize("value", ["5", "five minutes", "5m", "-5s", "", "5min!", 90, 1.5, None, dt.timedelta(-1)])
def test_what_is_no_duration_is_named(value):
    with pytest.raises(ConfigError, match="duration"):
        times.duration_ms(value)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_reads_back(ms):
    assert times.duration_ms(times.duration_text(ms)) == ms


@given(st.integers(min_value=-(10**12), max_value=10**13))
def test_an_instant_reads_back(ms):
    assert times.instant_ms(times.instant_text(ms)) == ms


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text):
    for read in (times.instant_ms, times.duration_ms):
        try:
            assert isinstance(read(text), int)
        except ConfigError:
            pass

"""`citystream realism`."""

from __future__ import annotations

import json
import subprocess
import sys

from citystream.sql import checks

# Weeks of weather instead of years: what the checks find is not the question here.
QUICK = """
from citystream import realism
from citystream.cli import main

realism.CLIMATE_DURATION, realism.LIGHT_DURATION = "14d", "2h"
main()
"""


def ran(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", QUICK, "realism", *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_city_that_misses_targets_ends_with_status_1():
    # Two hours have no peak hour of the day.
    done = ran("--vehicles", "300", "--start", "2026-06-01T07:00Z", "--duration", "2h", "--json")
    assert done.returncode == 1
    assert not done.stderr
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert list(found) == [check.name for check in checks.load()]
    for check in found.values():
        assert {"name", "kind", "target", "source", "measured", "passed", "note"} <= set(check)
    assert found["peak_hour"]["passed"] is False
    assert found["peak_hour"]["note"] == "not measurable"
    assert found["jam_wave_speed"]["passed"] is True


def test_a_part_of_a_city_is_refused():
    done = ran("--part", "0/2")
    assert done.returncode == 2
    assert "Give a whole city" in done.stderr

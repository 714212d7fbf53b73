"""One source cannot fill the log; what is left out is counted, and what others count is whole."""

from __future__ import annotations

import logging

import pytest

from appliance.core.log_flood import LIBRARIES, OURS, Flood


def line(name: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "x", 1, "no %s left", ("descriptor",), None)


@pytest.mark.parametrize(("name", "limits"), [("timeball.culprit", OURS), ("asyncio", LIBRARIES)])
def test_a_flood_is_cut_and_the_next_line_says_how_much(name, limits):
    now_s, (most, per_s) = [100.0], limits
    flood = Flood(lambda: now_s[0])
    passed = sum(flood.filter(line(name)) for _ in range(most + 5000))
    assert passed == most
    now_s[0] += 1.5 / per_s
    told = line(name)
    assert flood.filter(told)
    assert told.getMessage() == "no descriptor left (5,000 lines of it were left out)"
    assert not flood.filter(line(name))
    assert flood.filter(line("timeball.clock")), "others go on"


def test_who_failed_to_sign_in_is_always_told():
    flood = Flood(lambda: 0.0)
    assert all(flood.filter(line("timeball.login")) for _ in range(10_000))


def test_memory_is_bounded_and_a_clock_that_stands_still_does_no_harm():
    flood = Flood(lambda: 0.0)
    assert all(flood.filter(line(f"timeball.x{n}")) for n in range(5000))
    assert len(flood._known) <= 1000

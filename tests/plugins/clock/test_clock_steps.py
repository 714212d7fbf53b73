"""A step of the system clock is noticed, a slew is not, and precision is what was measured."""

from __future__ import annotations

import errno
import select
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.testing import FakeClock
from appliance_clock import own_source
from appliance_clock.config import ClockConfig, parse_address
from appliance_clock.precision import precision_of
from appliance_clock.steps import SetAlarm, StepWatch


async def test_a_step_is_seen_once_with_its_size():
    clock = FakeClock()
    watch = StepWatch(clock)
    await clock.advance(100)
    assert watch.step_s() is None
    clock.wall_offset_ns += 250_000_000
    assert watch.step_s() == pytest.approx(0.25)
    assert watch.step_s() is None
    clock.wall_offset_ns -= 3600 * 10**9
    assert watch.step_s() == pytest.approx(-3600)


def test_creeping_steps_add_up():
    clock = FakeClock()
    watch = StepWatch(clock)
    seen = []
    for _ in range(10):
        clock.wall_offset_ns += 400_000
        seen.append(watch.step_s())
    assert sum(step for step in seen if step) == pytest.approx(0.0036, abs=0.0005)


def test_the_alarm_is_quiet_while_nobody_sets_the_clock_and_leaves_no_descriptor():
    before = len(list(Path("/proc/self/fd").iterdir()))
    alarm = SetAlarm()
    assert select.select([alarm], [], [], 0) == ([], [], [])
    assert alarm.was_set() is False
    alarm.close()
    alarm.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_cancelled_timer_means_that_the_clock_was_set():
    def cancelled(fd, size):
        raise OSError(errno.ECANCELED, "cancelled")

    alarm = SetAlarm()
    try:
        assert alarm.was_set(read=cancelled) is True
        assert alarm.was_set() is False, "armed anew"
    finally:
        alarm.close()


@pytest.mark.parametrize(
    ("readings", "precision"),
    [
        ([0, 59, 120, 185], -24),
        ([0, 0, 1_000_000, 1_000_000], -9),
        ([0, 1], -29),
        ([5, 5, 5], -6),
        ([10, 4, 3], -6),
        ([], -6),
        ([0, 100, 40, 1_000_000_040], -23),
    ],
)
def test_precision_is_the_shortest_time_between_two_readings(readings, precision):
    assert precision_of(readings) == precision


@pytest.mark.parametrize(
    ("text", "expected"), [("127.0.0.1:323", ("127.0.0.1", 323)), ("[::1]:11323", ("::1", 11323))]
)
def test_a_command_port_on_loopback(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", "::1:323", "[127.0.0.1]:323", "127.0.0.1:0", "127.0.0.1:x", "192.0.2.1:323"]
)
def test_anything_else_is_refused_with_what_would_be_right(text):
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        parse_address(text)
    with pytest.raises(ValidationError, match="chrony_address"):
        ClockConfig(chrony_address=text)


def test_a_source_that_is_ourselves_is_named():
    found = own_source.loops(
        [
            ("192.0.2.9", "pool.example.org"),
            ("198.51.100.1", "198.51.100.1"),
            ("127.0.0.1", ""),
            ("GPS", ""),
            ("", "x.example"),
        ],
        is_ours={"198.51.100.1", "127.0.0.1"}.__contains__,
        is_our_name={"pool.example.org"}.__contains__,
    )
    assert len(found) == 2
    assert "pool.example.org" in found[0]
    assert "198.51.100.1" in found[1]


def test_own_addresses_are_recognised():
    assert own_source.has_address("127.0.0.1")
    assert not own_source.has_address("192.0.2.77")
    assert not own_source.has_address("2001:db8::77")

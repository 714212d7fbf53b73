"""When a member is due, and how a probe is spread over its interval."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from appliance_monitor.config import MonitorConfig
from appliance_monitor.pace import interval_s, pace_of
from appliance_monitor.schedule import Schedule
from appliance_monitor.standing import Standing

SECOND = 1_000_000_000
INSIDE = Standing("m", score=20, inside=True, last_ts=1.0)


def test_with_room_a_probe_is_as_configured():
    pace = pace_of("192.168.1.1", MonitorConfig())
    assert (pace.samples, pace.spacing_s, pace.timeout_s) == (3, 2.0, 3.0)


@given(st.floats(1, 60), st.integers(1, 8))
def test_a_silent_private_member_is_through_before_it_is_due_again(interval, samples):
    config = MonitorConfig(interval_s=interval, samples=samples)
    pace = pace_of("127.0.0.1", config)
    assert pace.longest_s() <= max(interval, samples * 0.2 + interval)


def test_two_misses_at_two_seconds_take_less_than_fifteen():
    """A silent member leaves after two probes without an answer: the contract's 15 s with its default samples."""
    config = MonitorConfig(interval_s=2)
    probe_s = pace_of("127.0.0.1", config).longest_s()
    assert 2 * (2.0 * 1.05) + probe_s < 15


@given(st.floats(1, 60))
def test_a_public_address_never_sees_requests_closer_than_the_guard_time(interval):
    config = MonitorConfig(interval_s=interval, sample_spacing_s=0.1)
    assert pace_of("192.0.2.1", config).spacing_s == 0.1 or pace_of("9.9.9.9", config).spacing_s >= 2.0
    assert interval_s("9.9.9.9", INSIDE, config) >= 60


def test_intervals_follow_the_state():
    config = MonitorConfig()
    assert interval_s("192.168.1.1", INSIDE, config) == 540
    assert interval_s("9.9.9.9", Standing("m", last_ts=1.0), config) == 60
    assert interval_s("192.168.1.1", Standing("m", last_ts=1.0), config) == 15
    assert interval_s("192.168.1.1", Standing("m", score=-95, last_ts=1.0), config) == 7200


def test_few_members_start_at_once_and_many_are_spread():
    schedule = Schedule(random.Random(1))
    for number in range(10_000):
        schedule.add(str(number), 0)
    taken = 0
    for second in (1, 100, 201):
        while schedule.take(second * SECOND):
            taken += 1
        assert abs(taken - min(10_000, second * 50)) <= 1


def test_a_removed_member_is_never_handed_out():
    schedule = Schedule(random.Random(1))
    schedule.add("a", 0)
    schedule.remove("a")
    assert schedule.take(10 * SECOND) is None
    schedule.again("a", 0, 1, 0)
    assert schedule.wait_s(0) is None


def test_a_member_is_not_handed_out_twice_and_comes_back_with_jitter():
    schedule = Schedule(random.Random(1))
    schedule.add("a", 0)
    assert schedule.take(SECOND) == "a"
    assert schedule.take(100 * SECOND) is None
    schedule.again("a", SECOND, 10, 2 * SECOND)
    assert schedule.take(int(10.4 * SECOND)) is None
    assert schedule.take(int(11.6 * SECOND)) == "a"
    schedule.again("a", SECOND, 10, 2 * SECOND)
    schedule.hasten("a", 3 * SECOND)
    assert schedule.take(3 * SECOND) == "a"


def test_a_shorter_interval_takes_over_those_who_would_be_due_much_later():
    schedule = Schedule(random.Random(1))
    for number in range(100):
        schedule.add(str(number), 0)
    while key := schedule.take(10 * SECOND):
        schedule.again(key, 10 * SECOND, 540, 10 * SECOND)
    for number in range(100):
        schedule.no_later(str(number), 20 * SECOND, 5)
    taken = [0, 0]
    for at, second in enumerate((22, 25)):
        while schedule.take(second * SECOND):
            taken[at] += 1
    assert sum(taken) == 100
    assert all(taken)


def test_members_that_settle_together_do_not_stay_together():
    schedule = Schedule(random.Random(1))
    for number in range(500):
        schedule.add(str(number), 0)
    for wanted_s in (15, 15, 540):
        together = [key for _ in range(500) if (key := schedule.take(100 * SECOND))]
        for key in together:
            schedule.again(key, 0, wanted_s, 0)
    due_s = [0] * 9
    for minute in range(9):
        while schedule.take((15 + 60 * (minute + 1)) * SECOND):
            due_s[minute] += 1
    assert sum(due_s) > 470
    assert all(30 < number < 90 for number in due_s)


@given(st.lists(st.floats(0.5, 7200), min_size=1, max_size=20), st.integers())
def test_no_wait_is_shorter_than_the_shorter_of_the_last_two_intervals_nor_longer_than_the_new_one(
    waits, seed
):
    schedule = Schedule(random.Random(seed))
    schedule.add("a", 0)
    now_ns, before_s = SECOND, waits[0]
    for wanted_s in waits:
        assert schedule.take(now_ns) == "a"
        schedule.again("a", now_ns, wanted_s, now_ns)
        wait_s = schedule.wait_s(now_ns)
        assert wait_s is not None
        assert min(before_s, wanted_s * 0.95) - 1e-6 <= wait_s <= wanted_s * 1.05 + 1e-6
        if wanted_s <= before_s:
            assert wait_s >= wanted_s * 0.95 - 1e-6
        now_ns, before_s = now_ns + int(wait_s * 1e9) + 1000, wanted_s


def test_who_is_being_probed_is_not_handed_out_a_second_time():
    schedule = Schedule(random.Random(1))
    schedule.add("a", 0)
    assert schedule.take(SECOND) == "a"
    schedule.hasten("a", SECOND)
    schedule.no_later("a", SECOND, 1)
    assert schedule.take(10 * SECOND) is None


@given(st.floats(1, 59))
def test_a_short_interval_stays_short_for_the_hopeless_and_their_return_is_seen(interval):
    config = MonitorConfig(interval_s=interval)
    assert interval_s("10.0.0.1", Standing("m", score=-99, last_ts=1.0, last_step=-5), config) == interval
    back = Standing("m", score=-99, last_ts=1.0, last_step=1.0)
    assert interval_s("10.0.0.1", back, config) == max(1.0, min(interval, 15) / 2)

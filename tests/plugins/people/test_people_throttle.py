"""Waiting after wrong passwords: longer each time, bounded, and not to be tricked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_people.throttle import FREE, MOST_S, Throttle, account_key, address_key

ADA, HERE = "account:ada", "address:192.0.2.1"


def failed(throttle, keys, times, now):
    """Fail as soon as each try is allowed; returns the waits."""
    waits = []
    for _ in range(times):
        wait_s = throttle.wait_s(keys, now)
        waits.append(wait_s)
        now += wait_s
        assert throttle.wait_s(keys, now) == 0
        throttle.charge(keys, now)
    return waits


def test_the_first_tries_are_free_and_then_each_waits_twice_as_long_up_to_a_bound():
    waits = failed(Throttle(), [ADA], 14, 1000.0)
    assert waits[:8] == [0, 0, 0, 1, 2, 4, 8, 16]
    assert max(waits) == MOST_S["account"]
    assert max(failed(Throttle(), [HERE], 40, 0.0)) == MOST_S["address"]


def test_nobody_is_locked_out_for_ever():
    throttle = Throttle()
    for i in range(10_000):
        throttle.charge([ADA], 1000.0 + i)
    assert throttle.wait_s([ADA], 11_000.0) <= MOST_S["account"]
    assert throttle.wait_s([ADA], 11_000.0 + MOST_S["account"]) == 0


def test_a_hundred_tries_at_one_moment_are_a_hundred_tries():
    throttle = Throttle()
    let_in = 0
    for _ in range(100):
        if throttle.wait_s([ADA, HERE], 5.0) == 0:
            throttle.charge([ADA, HERE], 5.0)
            let_in += 1
    assert let_in == FREE["account"]


def test_many_addresses_get_no_further_with_one_account_and_one_address_with_many_accounts():
    throttle = Throttle()
    let_in = sum(
        throttle.wait_s(keys := [ADA, f"address:192.0.2.{i}"], 5.0) == 0 and throttle.charge(keys, 5.0) == []
        for i in range(100)
    )
    assert let_in == FREE["account"]
    throttle = Throttle()
    let_in = sum(
        throttle.wait_s(keys := [f"account:u{i}", HERE], 5.0) == 0 and throttle.charge(keys, 5.0) == []
        for i in range(100)
    )
    assert let_in == FREE["address"]


def test_the_right_password_frees_the_account_but_buys_the_address_no_further_tries():
    throttle = Throttle()
    for i in range(FREE["address"] - 1):
        throttle.charge([f"account:u{i}", HERE], 1.0)
    for _ in range(5):  # somebody signs in with an own account between guesses at others'
        throttle.charge([ADA, HERE], 1.0)
        throttle.passed(ADA, HERE)
    throttle.charge(["account:victim", HERE], 1.0)
    assert throttle.wait_s([ADA], 1.0) == 0
    assert throttle.wait_s([HERE], 1.0) > 0


def test_a_clock_that_is_set_back_makes_nobody_wait_for_the_old_time():
    throttle = Throttle()
    failed(throttle, [ADA], 12, 2_000_000_000.0)
    assert throttle.wait_s([ADA], 0.0) <= MOST_S["account"]
    assert throttle.forget(ADA)
    assert throttle.wait_s([ADA], 0.0) == 0
    assert not throttle.forget(ADA)


def test_after_a_day_all_is_forgotten():
    throttle = Throttle()
    failed(throttle, [ADA], 12, 0.0)
    assert failed(throttle, [ADA], 4, 3 * 86400.0) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("remote", "key"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("::ffff:192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("fe80::1%eth0", "address:fe80::/64"),
        ("", "address:unknown"),
        ("nonsense", "address:unknown"),
    ],
)
def test_one_household_is_one_address(remote, key):
    assert address_key(remote) == key


@given(st.lists(st.tuples(st.text(max_size=20), st.floats(0, 1e9)), max_size=200))
def test_whatever_is_tried_the_wait_is_bounded(tries):
    throttle = Throttle()
    for name, now in tries:
        keys = [account_key(name), address_key(name)]
        assert 0 <= throttle.wait_s(keys, now) <= 900
        throttle.charge(keys, now)

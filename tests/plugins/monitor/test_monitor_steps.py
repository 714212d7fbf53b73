"""Steps: each line of the NTP Pool's table, its borders, and the extras."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.contrib import ScoreRule
from appliance.api.model import Sample, Step, Target
from appliance_monitor.samples import result_of
from appliance_monitor.steps import TABLE, in_order, judge, rules

TARGET = Target("192.0.2.1")


def good(offset_s=0.001, *, stratum=2, leap=0, rtt_s=0.01, **more):
    return Sample(offset_s=offset_s, rtt_s=rtt_s, stratum=stratum, leap=leap, **more)


def kiss(code, offset_s=None):
    return Sample(offset_s=offset_s, rtt_s=0.01, stratum=0, leap=3, refid=code.encode(), error=code)


def silent(error="timeout"):
    return Sample(error=error)


def step_of(*samples, profile="ntppool", extras=()):
    result = result_of(samples, ts=1.0, target=TARGET, member="m")
    return judge(result, in_order(rules(extras, profile), profile))


@pytest.mark.parametrize(
    ("offset_ms", "expected"),
    [
        (0, 1), (25, 1.000), (26, 0.9937), (30, 0.967), (40, 0.9003), (50, 0.8337), (75, 0.667), (90, 0.567), (100, 0.5003),
        (125, 0.4425), (150, 0.3848), (200, 0.2694), (300, 0.0386), (400, -0.1922), (500, -0.423), (600, -0.6538),
        (749, -0.9977), (750, -1.000), (750.1, -2), (2999, -2), (3000, -2), (3001, -4),
    ],
)  # fmt: skip
def test_the_step_of_an_offset(offset_ms, expected):
    for sign in (1, -1):
        assert step_of(good(sign * offset_ms / 1000)).step == pytest.approx(expected, abs=0.00006)


@pytest.mark.parametrize(
    ("offset_ms", "expected"),
    [(75, 1), (76, 0.696), (100, 0.6), (250, 0), (300, -0.2), (750, -2), (751, -2), (3001, -4)],
)
def test_the_step_of_an_offset_before_2025(offset_ms, expected):
    assert step_of(good(offset_ms / 1000), profile="legacy").step == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "rule", "step", "cap"),
    [
        ([silent()], "no_response", -5, None),
        ([silent("refused")] * 3, "no_response", -5, None),
        ([kiss("RATE")], "rate", -3.5, None),
        ([kiss("DENY", 0.001)], "denied", -10, -50),
        ([kiss("RSTR")], "denied", -10, -50),
        ([kiss("INIT", 0.001)], "error", -4, None),
        ([good(stratum=0)], "stratum_zero", -2, 5),
        ([good(stratum=0, leap=3, error="bad stratum 0 (refid 00000000)")], "error", -4, None),
        ([good(stratum=16, error="bad stratum 16")], "error", -4, None),
        ([good(stratum=11, error="bad stratum 11")], "error", -4, None),
        ([Sample(stratum=2, rtt_s=0.1)], "error", -4, None),
        ([good(3.5)], "offset_over_3s", -4, -20),
        ([good(3.5, stratum=9)], "offset_over_3s", -4, -20),
        ([good(0.001, stratum=8)], "stratum_8_up", -4, None),
        ([good(0.001, stratum=7)], "offset_ok", 1, None),
        ([good(1.0)], "offset_over_750ms", -2, None),
        ([good(0.2)], "offset_over_100ms", 0.2694, None),
        ([good(0.05)], "offset_over_25ms", 0.83365, None),
        ([good(0.0, leap=3)], "offset_ok", 1, None),  # the pool does not look at the leap indicator
        ([silent(), silent(), good(0.001)], "offset_ok", 1, None),  # one good sample of three is enough
    ],
)
def test_the_rule_that_fires(samples, rule, step, cap):
    found = step_of(*samples)
    assert (found.rule, found.cap) == (rule, cap)
    assert found.step == pytest.approx(step)
    assert found.why


@given(st.floats(0, 10))
def test_a_larger_offset_never_gives_a_better_step(offset_s):
    assert step_of(good(offset_s)).step >= step_of(good(offset_s + 0.001)).step
    assert step_of(good(offset_s)) == step_of(good(offset_s))


@given(
    st.builds(
        Sample,
        offset_s=st.one_of(st.none(), st.floats(allow_nan=False)),
        rtt_s=st.one_of(st.none(), st.floats(0, 3)),
        stratum=st.one_of(st.none(), st.integers(0, 255)),
        leap=st.one_of(st.none(), st.integers(0, 3)),
        error=st.one_of(st.none(), st.sampled_from(["RATE", "DENY", "RSTR", "X", "timeout"])),
    ),
    st.sampled_from(["ntppool", "legacy"]),
    st.sets(st.sampled_from(["leap", "root_distance", "loss"])),
)
def test_every_result_has_a_rule_within_the_range(sample, profile, extras):
    step = step_of(sample, sample, profile=profile, extras=extras)
    assert step.rule != "no_rule"
    assert -11 <= step.step <= 1
    assert math.isfinite(step.step)


def test_the_extras_are_off_by_default_and_each_does_its_work():
    far = good(root_delay_s=1.0, root_dispersion_s=1.2)
    assert step_of(good(leap=3), extras=["leap"]).step == -4
    assert step_of(far).rule == "offset_ok"
    assert step_of(far, extras=["root_distance"]).rule == "root_distance"
    lossy = step_of(silent(), good(0.05), good(0.05), extras=["loss"])
    assert lossy.rule == "loss"
    assert lossy.step == pytest.approx(0.83365 - 1 / 3)
    assert step_of(good(), good(), extras=["loss"]).rule == "offset_ok"
    assert step_of(silent(), extras=["loss"]).rule == "no_response"


def test_a_rule_without_profile_comes_before_all_others():
    mine = ScoreRule("mine", lambda result: Step("mine", 0.5), order=10_000)
    assert (
        judge(result_of([silent()], ts=1, target=TARGET), in_order([*rules(), mine], "ntppool")).rule
        == "mine"
    )


def test_a_profile_without_a_last_rule_says_so():
    assert judge(result_of([silent()], ts=1, target=TARGET), []).rule == "no_rule"


def test_rule_ids_are_unique_within_a_profile():
    for profile in ("ntppool", "legacy"):
        ids = [line.id for line in TABLE if profile in line.profiles]
        assert len(ids) == len(set(ids))
        assert ids[-1] == "offset_ok"

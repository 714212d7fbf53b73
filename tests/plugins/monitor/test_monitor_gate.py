"""Who is answered: entering, leaving, being kept, and the sentence that goes with each."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import Member, Sample, ScoredProbe, Step, Target
from appliance_monitor.gate import GatePolicy, decide, floor_of, kept, share, verdict
from appliance_monitor.samples import result_of
from appliance_monitor.score import advance
from appliance_monitor.standing import Standing, after, dumps, loads
from appliance_monitor.steps import in_order, judge, rules
from appliance_monitor.truth import untruth

POLICY = GatePolicy()
PLAIN = GatePolicy("ntppool")
MEMBER = Member("m", "192.0.2.1")
RULES = in_order(rules(), "ntppool")

GOOD = Sample(offset_s=0.001, rtt_s=0.01, stratum=2, leap=0)
SILENT = Sample(error="timeout")
OFF = replace(GOOD, offset_s=0.3)
FAR_OFF = replace(GOOD, offset_s=5.0)
UNSYNCHRONISED = replace(GOOD, leap=3)
STRATUM_0 = Sample(stratum=0, leap=3, offset_s=0.0, rtt_s=0.01, error="bad stratum 0")
RATE = Sample(stratum=0, leap=3, rtt_s=0.01, error="RATE")
SETTLED = Standing(
    "m", score=20.0, inside=True, was_inside=True, good=9, clean=9, answered_ts=1.0, last_ts=1.0
)


def probed(standing, *samples, policy=POLICY):
    """The standing after one probe for each sample."""
    for sample in samples:
        ts = (standing.last_ts or 0.0) + 2
        result = result_of([sample], ts=ts, target=Target(MEMBER.address), member="m")
        step = judge(result, RULES)
        scored = ScoredProbe(result, step, advance(standing.score_of("local"), step.step, step.cap))
        if not standing.latest:
            scored = replace(scored, score=advance(standing.score, step.step, step.cap))
        standing = decide(after(standing, scored, untruth(result, 0.1, step)), policy, ts)
    return standing


def shown(standing, policy=POLICY, *, member=MEMBER, keep=False):
    return verdict(member, standing, policy, keep=keep)


def test_a_new_member_enters_with_its_fourteenth_good_probe():
    standing = Standing("m")
    assert shown(standing).code == "new"
    for number in range(1, 15):
        assert not standing.inside
        standing = probed(standing, GOOD)
        if number < 14:
            assert f"{14 - number} more good probe" in shown(standing).reason
    assert standing.inside


def test_a_newcomer_whose_answers_lead_nowhere_is_no_newcomer_any_more():
    """As long as it is called new, people are told to wait."""
    stuck = Standing("m", score=6.0, last_ts=9.0, last_step=0.4, last_why="offset 80 ms")
    assert (shown(stuck).code, shown(replace(stuck, last_step=1.0)).code) == ("low_score", "new")
    assert "does not reach 10" in shown(stuck).reason
    assert "offset 80 ms" in shown(stuck).reason


def test_a_silent_member_leaves_after_two_probes_under_both_gates():
    for policy in (POLICY, PLAIN):
        once = probed(SETTLED, SILENT, policy=policy)
        assert once.inside
        assert shown(once, policy).failing
        twice = probed(once, SILENT, policy=policy)
        assert not twice.inside
        assert twice.score == pytest.approx(8.3)


def test_hysteresis_keeps_a_member_between_five_and_ten_and_the_plain_gate_does_not():
    low = replace(SETTLED, score=9.0)
    assert probed(low, RATE).inside  # 5.05
    assert not probed(replace(low, score=8.0), RATE).inside  # 4.1
    assert not probed(low, GOOD, policy=PLAIN).inside


def test_a_member_that_left_with_a_high_score_needs_two_true_answers():
    out = probed(SETTLED, OFF, OFF)
    assert not out.inside
    assert out.score > 17
    once = probed(out, GOOD)
    assert not once.inside
    assert probed(once, GOOD).inside


@pytest.mark.parametrize("policy", [POLICY, PLAIN])
def test_wrong_time_leaves_after_two_answers_whatever_the_score(policy):
    once = probed(SETTLED, OFF, policy=policy)
    assert once.inside
    assert shown(once, policy).truthful
    assert "+300 ms" in shown(once, policy).reason
    twice = shown(probed(once, OFF, policy=policy), policy)
    assert (twice.in_pool, twice.truthful, twice.code) == (False, False, "wrong_time")


def test_silence_between_two_wrong_answers_does_not_excuse_them():
    assert not probed(SETTLED, OFF, SILENT, OFF).inside


@pytest.mark.parametrize("policy", [POLICY, PLAIN])
@pytest.mark.parametrize("sample", [UNSYNCHRONISED, STRATUM_0])
def test_who_says_itself_that_it_is_not_synchronised_leaves_at_once(policy, sample):
    out = shown(probed(SETTLED, sample, policy=policy), policy)
    assert (out.in_pool, out.truthful, out.code) == (False, False, "unsynchronised")


@pytest.mark.parametrize("policy", [POLICY, PLAIN])
@pytest.mark.parametrize("sample", [OFF, UNSYNCHRONISED, STRATUM_0, RATE, SILENT, FAR_OFF])
def test_none_of_the_bad_ones_ever_enters(policy, sample):
    standing = Standing("m")
    for _ in range(300):
        standing = probed(standing, sample, policy=policy)
        assert not shown(standing, policy).in_pool


def test_a_kiss_code_says_nothing_about_the_time():
    assert shown(probed(SETTLED, RATE)).truthful
    init = Sample(stratum=0, leap=3, rtt_s=0.01, error="INIT")
    assert not shown(probed(SETTLED, init)).truthful


def test_slow_start_and_fading():
    entered = replace(SETTLED, good=0, score=10.3)
    assert share(entered, POLICY) == 0.25
    assert share(replace(entered, good=3), POLICY) == 0.5
    assert share(replace(entered, good=6), POLICY) == 1
    assert share(replace(SETTLED, score=7.5), POLICY) == pytest.approx(0.5)
    assert share(replace(SETTLED, score=5.0), POLICY) == pytest.approx(0.1)
    assert share(entered, replace(POLICY, slow_start=False)) == 1
    assert share(entered, PLAIN) == 1


def lost(name, *, answered_ts=100.0, **more):
    return replace(
        SETTLED, member=name, inside=False, misses=3, last_rule="no_response", last_step=-5.0, answered_ts=answered_ts, **more
    )  # fmt: skip


def test_of_three_good_ones_a_dead_one_is_not_kept_and_the_last_of_all_is():
    good = [replace(SETTLED, member=name) for name in "ab"]
    assert kept([*good, lost("c")], POLICY, 110.0) == frozenset()
    assert kept([lost("a", answered_ts=105.0), lost("b"), lost("c")], POLICY, 110.0) == {"a"}


def test_strangers_and_liars_are_never_kept():
    never = replace(lost("n"), was_inside=False)
    liar = replace(lost("l"), untrue=1)
    limited = replace(lost("r"), last_rule="rate", last_step=-3.5)
    stale = lost("s", answered_ts=-90_000.0)
    assert kept([never, liar, limited, stale], POLICY, 110.0) == frozenset()
    assert kept([lost("x")], PLAIN, 110.0) == frozenset()


def test_the_floor_counts_only_members_that_were_ever_good():
    """Four strangers beside three good ones must not raise the floor to hold a dead one in."""
    strangers = [replace(lost(f"n{n}"), was_inside=False) for n in range(4)]
    standings = [replace(SETTLED, member="a"), replace(SETTLED, member="b"), lost("c"), *strangers]
    assert kept(standings, POLICY, 110.0) == frozenset()


def test_who_answers_again_is_kept_before_who_is_silent():
    back = replace(lost("b"), misses=0, last_rule="offset_ok", last_step=1.0, answered_ts=50.0, score=-40.0)
    assert kept([lost("a", answered_ts=105.0), back], POLICY, 110.0) == {"b"}
    assert "coming back" in shown(back, keep=True).reason


STANDINGS = st.builds(
    Standing,
    member=st.text("abcdefgh", min_size=1, max_size=3),
    score=st.floats(-100, 20),
    inside=st.booleans(),
    was_inside=st.booleans(),
    misses=st.integers(0, 5),
    untrue=st.integers(0, 3),
    certain=st.booleans(),
    untrue_code=st.just("wrong_time"),
    untrue_why=st.just("its time is off"),
    clean=st.integers(0, 5),
    last_ts=st.one_of(st.none(), st.just(100.0)),
    answered_ts=st.one_of(st.none(), st.floats(0, 100)),
    last_rule=st.sampled_from(["offset_ok", "no_response", "rate", "error"]),
    last_step=st.sampled_from([1.0, -5.0, -3.5, -4.0]),
)


@given(
    st.lists(STANDINGS, max_size=12, unique_by=lambda s: s.member), st.one_of(st.none(), st.integers(0, 5))
)
def test_the_floor_is_filled_as_far_as_it_can_be_and_never_with_untruth(standings, min_keep):
    policy = replace(POLICY, min_keep=min_keep)
    found = kept(standings, policy, 100.0)
    by_name = {s.member: s for s in standings}
    grown = [s for s in standings if s.was_inside and s.untrue == 0]
    inside = sum(s.inside for s in grown)
    floor = floor_of(len(grown), policy)
    assert len(found) <= max(0, floor - inside)
    for name in found:
        assert by_name[name].was_inside
        assert by_name[name].untrue == 0
        assert not by_name[name].inside
    if min_keep is None and grown:
        assert floor == max(1, math.ceil(0.3 * len(grown)))


@given(STANDINGS, st.sampled_from([POLICY, PLAIN]), st.booleans())
def test_every_verdict_has_a_sentence_and_untruth_is_never_in(standing, policy, keep):
    standing = decide(standing, policy, 100.0)
    keep = keep and standing.untrue == 0
    found = shown(standing, policy, keep=keep)
    assert found.reason.startswith(("in", "out"))
    assert found.reason.startswith("in") == found.in_pool
    assert found.code
    assert 0 <= found.weight_factor <= 1
    assert (found.weight_factor > 0) == found.in_pool
    assert found.truthful or not found.in_pool


@pytest.mark.parametrize(
    ("change", "code"),
    [({"state": "paused"}, "paused"), ({"state": "unverified"}, "unverified"), ({"leaving": True}, "leaving"), ({"netspeed": 0}, "netspeed_zero")],
)  # fmt: skip
def test_somebodys_decision_comes_before_everything_else(change, code):
    found = shown(SETTLED, member=replace(MEMBER, **change), keep=True)
    assert (found.in_pool, found.code) == (False, code)


def test_a_rule_may_call_a_probe_untruthful_too():
    result = result_of([GOOD], ts=1.0, target=Target("192.0.2.1"), member="m")
    found = untruth(result, 0.1, Step("falseticker", -1, untruthful=True, why="three others disagree"))
    assert (found.code, found.certain) == ("falseticker", False)


def test_impossible_claims_are_untrue():
    def said(**fields):
        return untruth(result_of([replace(GOOD, **fields)], ts=1.0, target=Target("192.0.2.1")), 0.1)

    assert said(t2_ns=0, t3_ns=5_000_000_000).code == "implausible"
    assert said(root_delay_s=10.0, root_dispersion_s=12.0).code == "root_distance"
    assert said(t2_ns=0, t3_ns=1_000_000, root_delay_s=0.1, root_dispersion_s=0.1) is None


@given(STANDINGS)
def test_a_standing_survives_the_database(standing):
    standing = probed(standing, GOOD)
    assert loads(dumps(standing)) == standing


@given(
    st.one_of(
        st.text(),
        st.sampled_from(
            [
                "null",
                "[]",
                "{}",
                '{"member":"m","latest":[{}]}',
                '{"member":1}',
                '{"member":"m","score":null}',
            ]
        ),
    )
)
def test_a_damaged_standing_is_as_good_as_none(text):
    assert loads(text) is None or isinstance(loads(text), Standing)

"""Whose silence is it?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.api.model import ClockState, Sample, Target
from appliance_monitor import selfcheck
from appliance_monitor.samples import result_of
from appliance_monitor.silence import Held, Silence


def miss(member, started=0, until=100):
    result = result_of([Sample(error="timeout")], ts=1.0, target=Target("192.0.2.1"), member=member)
    return Held(result, started, until)


def names(results):
    return {result.member for result in results}


def test_a_silence_is_held_until_somebody_answers():
    silence = Silence()
    assert not silence.missed(miss("a"), 3)
    assert names(silence.heard(5)) == {"a"}
    assert silence.heard(6) == []


def test_an_answer_since_the_probe_began_is_proof_enough():
    silence = Silence()
    silence.heard(10)
    assert silence.missed(miss("a", started=5), 3)
    assert not silence.missed(miss("a", started=11), 3)


def test_with_one_or_two_members_their_silence_is_their_own():
    assert Silence().missed(miss("a"), 2)


def test_two_silent_of_many_are_scored_in_the_end_and_three_are_forgotten():
    silence = Silence()
    silence.missed(miss("a"), 5)
    silence.missed(miss("b"), 5)
    assert silence.settle(99, 5) == ([], 0)
    scored, forgotten = silence.settle(100, 5)
    assert (names(scored), forgotten) == ({"a", "b"}, 0)
    silence.missed(miss("a"), 5)
    silence.missed(miss("c"), 5)
    assert silence.settle(100, 5) == ([], 2)
    assert silence.suspicious(5)
    silence.heard(101)
    assert not silence.suspicious(5)


def test_members_that_are_gone_raise_no_suspicion():
    silence = Silence()
    for name in "abc":
        silence.missed(miss(name), 5)
    silence.only({"a", "b"})
    assert not silence.suspicious(5)
    assert {held.result.member for held in silence.held} == {"a", "b"}


@given(st.lists(st.one_of(st.sampled_from("abcde"), st.none()), max_size=60))
def test_every_silence_is_scored_held_or_forgotten_exactly_once(events):
    silence, missed, scored, forgotten = Silence(), 0, 0, 0
    for now, member in enumerate(events):
        if member is None:
            scored += len(silence.heard(now))
        else:
            missed += 1
            scored += silence.missed(miss(member, started=now, until=now + 5), 5)
        results, lost = silence.settle(now, 5)
        scored, forgotten = scored + len(results), forgotten + lost
    assert missed == scored + forgotten + len(silence.held)


def test_references_may_fail_as_far_as_the_pool_allows():
    allowed = {
        asked: max(n for n in range(asked + 1) if not selfcheck.references_fail(n, asked))
        for asked in range(3, 8)
    }
    assert allowed == {3: 1, 4: 1, 5: 2, 6: 2, 7: 3}
    assert not selfcheck.references_fail(0, 0)


def clock(leap=0, **fields):
    return ClockState(leap, 2, b"TEST", 0, 0.0, 0.0, 0.0, 0, **fields)


def test_a_clock_that_is_not_good_enough_cannot_judge():
    assert selfcheck.clock_trouble(clock(), 0) is None
    assert "not running" in selfcheck.clock_trouble(None, 0)
    assert "no source" in selfcheck.clock_trouble(ClockState.unsynchronised("no source"), 0)
    far = ClockState(0, 2, b"TEST", 0, 0.06, 0.0, 0.0, 0)
    assert "30.0 ms" in selfcheck.clock_trouble(far, 0)
    ageing = ClockState(0, 2, b"TEST", 0, 0.0, 0.0, 1e-3, 0)
    assert selfcheck.clock_trouble(ageing, 20_000_000_000) is None
    assert selfcheck.clock_trouble(ageing, 30_000_000_000) is not None
    assert selfcheck.clock_trouble(clock(source="local", max_distance_s=60.0), 0) is None
    vague = ClockState(0, 10, b"LOCL", 0, 0.2, 0.0, 0.0, 0, source="local")
    assert selfcheck.clock_trouble(vague, 0) is None

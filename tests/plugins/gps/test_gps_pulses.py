"""Which edges are the pulse of a second: clean lines, noisy ones, wrong polarity, wrong rate, and any edges at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance_gps.reading.pulses import PulseTrain

S = 1_000_000_000
MS = 1_000_000
US = 1_000


def played(
    train,
    seconds,
    *,
    width_ns=100 * MS,
    ppm=20.0,
    jitter_ns=0,
    start_ns=5 * S,
    skip=(),
    extra=(),
    inverted=False,
    seed=1,
):
    """Good pulses of a receiver, as numbers of their seconds."""
    chance = random.Random(seed)
    edges = []
    for n in range(seconds):
        at = start_ns + round(n * S * (1 + ppm * 1e-6)) + chance.randint(-jitter_ns, jitter_ns)
        if n not in skip:
            edges += [
                (at, "falling" if inverted else "rising"),
                (at + width_ns, "rising" if inverted else "falling"),
            ]
    edges += list(extra)
    good = []
    for at, edge in sorted(edges):
        train.watch(at)
        if train.edge(edge, at):
            good.append(round((at - start_ns) / S, 2))
    return good, train.state(start_ns + seconds * S)


def test_a_clean_pulse_is_followed_after_a_few_seconds() -> None:
    good, state = played(PulseTrain(), 60)
    assert good == list(range(int(good[0]), 60))
    assert good[0] <= 8
    assert (state.standing, state.leading, state.missed, state.glitches) == ("locked", "rising", 0, 0)
    assert state.width_s == pytest.approx(0.1, rel=1e-3)
    assert state.rate_ppm == pytest.approx(20, abs=0.5)
    assert state.jitter_s < 1e-6
    assert state.advice == ""


def test_an_inverted_pulse_is_understood_by_itself() -> None:
    good, state = played(PulseTrain(), 30, inverted=True)
    assert good == list(range(int(good[0]), 30))
    assert state.leading == "falling"


def test_the_wrong_edge_set_by_hand_is_told() -> None:
    """It would be a tenth of a second wrong, silently, for ever."""
    _, state = played(PulseTrain("rising"), 30, inverted=True)
    assert state.standing == "locked"
    assert 'edge = "falling"' in state.advice


def test_half_and_half_is_not_guessed() -> None:
    good, state = played(PulseTrain(), 30, width_ns=500 * MS)
    assert good == []
    assert state.standing == "searching"
    assert "half a second" in state.advice
    good, state = played(PulseTrain("rising"), 30, width_ns=500 * MS)
    assert good
    assert state.advice == ""


def test_missed_pulses_are_counted_and_bridged() -> None:
    good, state = played(PulseTrain(), 60, skip={20, 21, 40})
    assert state.missed == 3
    assert 22 in good
    assert 41 in good


def test_spikes_are_no_pulses_and_do_not_disturb_the_good_ones() -> None:
    chance = random.Random(7)
    spikes = []
    for _ in range(150):
        at = 5 * S + chance.randrange(20 * S, 58 * S)
        spikes += [(at, "rising"), (at + 50 * US, "falling")]
    good, state = played(PulseTrain("rising"), 60, extra=spikes)
    assert set(range(20, 60)) - {round(g) for g in good} == set()
    assert all(g == round(g) for g in good)
    assert state.glitches > 100
    assert "bad contact" in state.advice


def test_jitter_is_measured() -> None:
    _, state = played(PulseTrain(), 200, jitter_ns=5 * US)
    # uniform within +-5 us: 5 / sqrt(3)
    assert 1.5e-6 < state.jitter_s < 5e-6


@pytest.mark.parametrize("rate", [2, 5, 10])
def test_another_rate_is_told_and_not_followed(rate) -> None:
    train = PulseTrain("rising")
    good = []
    for n in range(30 * rate):
        at = 5 * S + n * S // rate
        good += [at] if train.edge("rising", at) else []
        train.edge("falling", at + 20 * MS)
    state = train.state(35 * S)
    assert good == [], "nobody can say which of them is the second"
    assert state.standing == "searching"
    assert "set the receiver to 1 Hz" in state.advice


def test_silence_is_told_with_its_length_and_starts_anew() -> None:
    train = PulseTrain()
    played(train, 30)
    train.watch(45 * S)
    state = train.state(47 * S)
    assert state.standing == "silent"
    assert state.age_s == pytest.approx(13, abs=0.1)
    assert "antenna" in state.advice
    train.watch(80 * S)
    good, state = played(train, 30, start_ns=100 * S + 300 * MS)
    assert good
    assert state.standing == "locked"


def test_a_second_phase_after_a_jump_is_found_again() -> None:
    """A receiver that restarts puts its pulse elsewhere."""
    train = PulseTrain()
    played(train, 30)
    good, state = played(train, 30, start_ns=36 * S + 400 * MS)
    assert good
    assert state.standing == "locked"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3 * S), st.sampled_from(["rising", "falling"])), max_size=120),
    st.sampled_from(["auto", "rising", "falling"]),
)
def test_any_edges_keep_the_rules(steps, polarity) -> None:
    """Good pulses stand whole seconds apart within a millisecond a second, none comes before four agree, and nothing breaks."""
    train = PulseTrain(polarity)
    at, good = S, []
    for step, edge in steps:
        at += step
        train.watch(at)
        if train.edge(edge, at):
            good.append(at)
    state = train.state(at)
    assert state.good == len(good)
    assert len(good) == 0 or len(steps) >= 4


@given(st.lists(st.integers(-10 * S, 10 * S), max_size=50))
def test_dates_that_go_back_do_no_harm(dates) -> None:
    train = PulseTrain("rising")
    for at in dates:
        train.edge("rising", at)
        train.watch(at)
    train.state(max(dates, default=0))

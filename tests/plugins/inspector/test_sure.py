"""What samples prove: an alarm by bad luck is as rare as it says, and what is certain needs no luck."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance_inspector.judging.sure import CHANCE, as_different, as_many, samples_needed

COUNTS = st.integers(1, 10_000_000)
RATES = st.integers(1, 1 << 16)


def at_least(samples: int, packets: int, every: int) -> float:
    """How likely one in `every` of `packets` are `samples` or more, term by term."""
    share = 1 / every
    terms = (
        math.lgamma(packets + 1) - math.lgamma(n + 1) - math.lgamma(packets - n + 1)
        + n * math.log(share) + (packets - n) * math.log1p(-share)
        for n in range(samples)
    )  # fmt: skip
    return 1 - math.fsum(map(math.exp, terms))


@pytest.mark.parametrize("every", [2, 10, 100, 4096])
@pytest.mark.parametrize("count", [2, 3, 20, 100, 3000, 60_000])
def test_so_many_samples_of_fewer_packets_are_rare_and_one_sample_less_is_not(count, every):
    needed = samples_needed(count, every)
    assert at_least(needed, count - 1, every) <= CHANCE * 1.02
    if (count - 1) / every < 400:
        assert at_least(needed - 1, count - 1, every) > CHANCE * 0.98


@given(COUNTS, RATES)
def test_no_rule_and_no_rate_is_too_odd(count, every):
    needed = samples_needed(count, every)
    assert 1 <= needed <= count
    assert as_many(count, needed, needed * every, needed * every * every)
    assert as_many(count, count, count, count), "what was seen is certain"
    if needed > 1:
        fewer = needed - 1
        assert not as_many(count, fewer, fewer * every, fewer * every * every)


@pytest.mark.parametrize("split", [(0, 49), (10, 39), (30, 19), (48, 1)])
def test_samples_of_two_rates_prove_as_little_as_they_do(split):
    """49 packets of which some are all seen, of the others one in ten: that there were 50 is told as seldom as it says."""
    dice, (all_seen, thinned), tries = random.Random(1), split, 4000
    mistaken = 0
    for _ in range(tries):
        few = sum(dice.randrange(10) == 0 for _ in range(thinned))
        samples, packets, squares = all_seen + few, all_seen + 10 * few, all_seen + 100 * few
        mistaken += bool(samples) and as_many(50, samples, packets, squares)
    assert mistaken / tries <= CHANCE * 1.5


@pytest.mark.parametrize("count", [2, 4, 20, 50, 300])
def test_fewer_values_than_asked_for_are_seldom_mistaken_for_more(count):
    dice, tries = random.Random(count), 3000
    for samples in (2, 4, count // 2 + 1, count, 2 * count):
        mistaken = 0
        for _ in range(tries):
            different = len({dice.randrange(count - 1) for _ in range(samples)})
            mistaken += as_different(count, samples, different)
        assert mistaken / tries <= CHANCE * 1.6


@given(st.integers(2, 10_000), st.integers(1, 5000), st.integers(1, 5000))
def test_values_seen_are_certain_and_repetitions_prove_nothing(count, samples, different):
    different = min(different, samples)
    told = as_different(count, samples, different)
    assert isinstance(told, bool)
    if different >= count:
        assert told
    if told and different < count:
        assert as_different(count, samples, min(samples, different + 1)), "one more is no less"
    assert not as_different(count, samples, 1) or count == 1


def test_many_samples_without_a_repetition_prove_many_values():
    assert not as_different(50, 8, 8)
    assert as_different(50, 26, 26)
    assert not as_different(50, 400, 49)

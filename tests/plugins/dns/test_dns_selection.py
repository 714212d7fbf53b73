"""Selection: exact shares, different members, few different answers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.dataplane.dns_snapshot import ONE
from appliance_dns.selection import Choice, Table, circle, inclusion, table
from appliance_dns.zone import place_of

weights_lists = st.one_of(
    st.lists(st.integers(1, 1_000_000), min_size=1, max_size=200),
    st.lists(st.sampled_from([1, 500, 1000, 1_000_000]), min_size=1, max_size=40),
    st.lists(st.just(1000), min_size=1, max_size=200),
)


def choices_of(weights: list[int], tiers: int = 1) -> list[Choice]:
    return [
        Choice(f"10.{i >> 4}.{i & 15}.1", w, tier=i % tiers, operator=f"op{i % 7}")
        for i, w in enumerate(weights)
    ]


def shuffle(address: str) -> int:
    return int.from_bytes(address.encode(), "big") * 2654435761 % 2**32


def lengths(drawn: Table) -> list[int]:
    return [after - cut for cut, after in itertools.pairwise([*drawn.cuts, ONE])]


@given(weights_lists, st.integers(1, 8), st.integers(1, 3))
@settings(max_examples=200)
def test_122_every_share_is_exact_in_whole_numbers(weights: list[int], most: int, tiers: int) -> None:
    """Summed over all answers, the length on the circle at which a choice is answered is its probability: equal integers."""
    choices = choices_of(weights, tiers)
    drawn = table(choices, most, shuffle)
    size = min(most, len(weights))
    assert drawn.size == size
    assert sum(drawn.probabilities) == size * ONE
    assert all(0 <= p <= ONE for p in drawn.probabilities)
    covered = [0] * len(choices)
    for members, length in zip(drawn.sets, lengths(drawn), strict=True):
        assert len(set(members)) == len(members) == size
        for i in members:
            covered[i] += length
    assert covered == list(drawn.probabilities)
    assert len(drawn.sets) <= len(choices)
    assert drawn.cuts[0] == 0
    assert list(drawn.cuts) == sorted(set(drawn.cuts))


@given(weights_lists, st.integers(1, 8))
def test_shares_are_proportional_up_to_the_cap(weights: list[int], most: int) -> None:
    """Whoever is below 1 stands to whoever else is below 1 as their weights do, to one part in 2^32."""
    size = min(most, len(weights))
    probabilities = inclusion(choices_of(weights), size)
    below = [i for i, p in enumerate(probabilities) if p < ONE]
    total = sum(weights[i] for i in below)
    places = size - (len(weights) - len(below))
    for i in below:
        assert abs(probabilities[i] - places * ONE * weights[i] / total) <= 1 + ONE * 1e-9
    capped = [weights[i] for i, p in enumerate(probabilities) if p == ONE]
    if capped and below:
        assert min(capped) >= max(weights[i] for i in below)


@given(weights_lists, st.integers(1, 8))
def test_names_are_symmetric(weights: list[int], most: int) -> None:
    """Every name sees the same answers over the same lengths: it only begins elsewhere on the circle."""
    drawn = table(choices_of(weights), most, shuffle)
    for label in ("", "0", "1", "2", "3"):
        offset, _turn = place_of(label)
        covered = [0] * len(weights)
        # Lengths of u for which the name's position lies in each interval, wrapping around.
        edges = sorted({0, ONE, *((cut - offset) % ONE for cut in drawn.cuts)})
        for begin, end in itertools.pairwise(edges):
            x = (begin + offset) % ONE
            index = max(i for i, cut in enumerate(drawn.cuts) if cut <= x)
            for i in drawn.sets[index]:
                covered[i] += end - begin
        assert covered == list(drawn.probabilities)


@given(weights_lists, st.integers(1, 8))
def test_each_member_is_first_as_often_as_it_is_anywhere(weights: list[int], most: int) -> None:
    """The first place goes round by r, so its share is p / size: sum over the starting places, in whole numbers."""
    drawn = table(choices_of(weights), most, shuffle)
    first = [0] * len(weights)
    for members, length in zip(drawn.sets, lengths(drawn), strict=True):
        for start in range(drawn.size):
            first[members[start]] += length
    assert first == list(drawn.probabilities)


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=12),
    st.lists(st.integers(1, 1000), max_size=12),
    st.integers(1, 8),
)
def test_a_lower_tier_is_served_first(own: list[int], above: list[int], most: int) -> None:
    choices = [Choice(f"10.0.{i}.1", w) for i, w in enumerate(own)]
    choices += [Choice(f"10.1.{i}.1", w, tier=1) for i, w in enumerate(above)]
    probabilities = inclusion(choices, min(most, len(choices)))
    if len(own) <= most:
        assert all(p == ONE for p in probabilities[: len(own)])
    else:
        assert not any(probabilities[len(own) :])


@given(st.integers(8, 60), st.integers(2, 4))
@example(16, 4)
def test_relatives_are_not_answered_together_while_there_is_room(count: int, most: int) -> None:
    """Two members of one /24, each below half: no answer holds both."""
    choices = [Choice(f"10.0.{i}.1", 1000) for i in range(count)]
    choices += [
        Choice("10.0.0.2", 1000),
        Choice("192.0.2.1", 1000, operator="x"),
        Choice("198.51.100.1", 1000, operator="x"),
    ]
    drawn = table(choices, most, shuffle)
    probabilities = drawn.probabilities
    pairs = [(0, count), (count + 1, count + 2)]
    for a, b in pairs:
        assert probabilities[a] + probabilities[b] <= ONE
        assert not any(a in members and b in members for members in drawn.sets)


def test_relatives_through_others_stand_side_by_side() -> None:
    choices = [Choice(f"10.9.{i}.1", 1) for i in range(20)]
    choices += [
        Choice("10.0.0.1", 1, operator="a"), Choice("10.0.0.2", 1, operator="b"), Choice("10.5.5.5", 1, operator="b"),
        Choice("2001:db8:1::1", 1), Choice("2001:db8:1:2::1", 1),
    ]  # fmt: skip
    order = circle(choices, shuffle)
    at = sorted(order.index(i) for i in (20, 21, 22))
    assert at[2] - at[0] == 2
    assert abs(order.index(23) - order.index(24)) == 1


@pytest.mark.parametrize(("count", "distinct"), [(4, 4), (6, 6), (8, 8), (16, 16), (40, 16)])
def test_the_four_names_show_as_many_members_as_there_can_be(count: int, distinct: int) -> None:
    drawn = table(choices_of([1000] * count), 4, shuffle)
    for step in range(64):
        u = step * ONE // 64
        seen: set[int] = set()
        for label in "0123":
            x = (u + place_of(label)[0]) % ONE
            seen.update(drawn.sets[max(i for i, cut in enumerate(drawn.cuts) if cut <= x)])
        assert len(seen) >= distinct - 1  # arcs are whole numbers: one may fall between two


def test_nobody_gives_an_empty_table() -> None:
    assert table([], 4, shuffle) == Table((), (), (), 0)

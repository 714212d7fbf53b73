"""Who is answered, and how often: capped systematic sampling on a circle, in whole numbers.

Each choice owns an arc whose length is its probability to be in an answer; `size` points, one unit apart, fall on the
circle, and whoever they hit is the answer. No arc is longer than a unit, so the points hit different choices, and the
probability of each is exactly its arc: nothing is approximate but the rounding of the arcs to 2^-32, and their sum is exact.

Where the points fall is the data plane's draw; what they hit can be written down in advance, because the answer changes
only at the ends of arcs: n choices give at most n different answers. (Systematic sampling with unequal probabilities:
Madow 1949.)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from appliance.dataplane.dns_snapshot import ONE
from appliance.wire.dns import address_rdata


@dataclass(frozen=True, slots=True)
class Choice:
    """An address that may be answered.

    Attributes:
        address: IPv4 or IPv6 text.
        weight: its share against others of the same tier, above 0.
        tier: 0 is chosen first; a higher tier only fills places that lower ones leave free.
        operator: an answer avoids holding two addresses of one operator, and two of one /24 or /48.
        ttl_s: an answer that holds it lives no longer than this.
    """

    address: str
    weight: int
    tier: int = 0
    operator: str = ""
    ttl_s: int = 150


@dataclass(frozen=True, slots=True)
class Table:
    """Every answer there can be.

    Attributes:
        probabilities: in units of 2^-32, one for each choice in the order they were given; they sum to size * 2^32.
        cuts: ascending, the first is 0: where the answer changes.
        sets: one per cut: indexes of the choices that are answered, in the circle's order.
        size: how many each answer holds.
    """

    probabilities: tuple[int, ...]
    cuts: tuple[int, ...]
    sets: tuple[tuple[int, ...], ...]
    size: int


def table(choices: Sequence[Choice], most: int, shuffle: Callable[[str], int]) -> Table:
    """Work out every answer of at most `most` choices.

    Args:
        choices: with different addresses.
        most: places in an answer, 1 to 8.
        shuffle: a number for an address that nobody can foresee: it orders the circle.
    """
    size = min(most, len(choices))
    probabilities = inclusion(choices, size)
    if not size:
        return Table((), (), (), 0)
    order = circle(choices, shuffle)
    ends = list(accumulate(probabilities[i] for i in order))
    cuts = sorted({end % ONE for end in ends})
    sets = tuple(tuple(order[bisect_right(ends, cut + place * ONE)] for place in range(size)) for cut in cuts)
    return Table(probabilities, tuple(cuts), sets, size)


def inclusion(choices: Sequence[Choice], size: int) -> tuple[int, ...]:
    """The probability of each choice to be among `size`, in units of 2^-32, at most 1 and proportional below that.

    Tiers come one after the other: while a tier has no more choices than places are left, all of it is in.
    """
    probabilities = [0] * len(choices)
    left = size
    for tier in sorted({choice.tier for choice in choices}):
        members = [i for i, choice in enumerate(choices) if choice.tier == tier]
        if left <= 0:
            break
        if len(members) <= left:
            for i in members:
                probabilities[i] = ONE
            left -= len(members)
            continue
        for i, probability in zip(
            members, _proportional([choices[i].weight for i in members], left), strict=True
        ):
            probabilities[i] = probability
        left = 0
    return tuple(probabilities)


def _proportional(weights: Sequence[int], places: int) -> list[int]:
    """Probabilities in proportion to weights, where whoever would get more than 1 gets 1; fewer places than weights."""
    probabilities = [0] * len(weights)
    heaviest_first = sorted(range(len(weights)), key=lambda i: -weights[i])
    total = sum(weights)
    capped = 0
    while places and places * weights[heaviest_first[capped]] >= total:
        i = heaviest_first[capped]
        probabilities[i] = ONE
        total -= weights[i]
        places -= 1
        capped += 1
    rest = heaviest_first[capped:]
    remainders = []
    for i in rest:
        probabilities[i], remainder = divmod(places * ONE * weights[i], total)
        remainders.append((remainder, -i, i))
    missing = places * ONE - sum(probabilities[i] for i in rest)
    for _, _, i in sorted(remainders, reverse=True)[:missing]:
        probabilities[i] += 1
    return probabilities


def circle(choices: Sequence[Choice], shuffle: Callable[[str], int]) -> list[int]:
    """The order of the arcs: shuffled, but relatives side by side.

    Points lie a unit apart. So neighbours whose arcs together are no longer than a unit are never hit together: those of
    one operator, one /24 or one /48 stand next to each other.
    """
    family = _families(choices)
    keys = [shuffle(choice.address) for choice in choices]
    place = dict.fromkeys(family, 0)
    for i, head in enumerate(family):
        place[head] ^= keys[i]
    return sorted(
        range(len(choices)),
        key=lambda i: (
            place[family[i]],
            family[i],
            choices[i].operator,
            _network(choices[i].address),
            keys[i],
            i,
        ),
    )


def _families(choices: Sequence[Choice]) -> list[int]:
    """For each choice the first one that it is related to, directly or through others."""
    head = list(range(len(choices)))

    def find(i: int) -> int:
        while head[i] != i:
            head[i] = head[head[i]]
            i = head[i]
        return i

    first: dict[bytes | str, int] = {}
    for i, choice in enumerate(choices):
        marks: list[bytes | str] = [_network(choice.address)]
        if choice.operator:
            marks.append(choice.operator)
        for mark in marks:
            known = first.setdefault(mark, i)
            a, b = find(known), find(i)
            head[max(a, b)] = min(a, b)
    return [find(i) for i in range(len(choices))]


def _network(address: str) -> bytes:
    """The /24 or /48 that an address lies in."""
    packed = address_rdata(address)
    return packed[: 6 if ":" in address else 3]

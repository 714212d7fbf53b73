# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""What a few samples prove about all packets: an alarm is given when the opposite is less likely than `CHANCE`.

Each sample stands for `every` packets. To multiply is not enough: one sample of a thousand packets looks like a thousand, and
three samples with three names look like three thousand names. So the question is turned around: had there been fewer packets,
or fewer names, than the rule asks for, how likely would so many samples, or so few repetitions among them, have been?
"""

from __future__ import annotations

import math
from functools import lru_cache

#: How likely an alarm by bad luck may be for somebody who stayed just below what a rule asks for.
CHANCE = 0.01
#: Where so many samples are to be expected, the normal distribution is close enough.
_MANY = 500
_QUANTILE = 2.326  # of the normal distribution, for CHANCE


@lru_cache(maxsize=4096)
def samples_needed(count: int, every: int) -> int:
    """How many samples, one in `every`, prove that there were at least `count` packets.

    The least k for which fewer than `count` packets give k samples with a chance of at most `CHANCE` (binomial).
    """
    fewer = count - 1
    if every <= 1 or fewer == 0:
        return count if every <= 1 else 1
    share = 1 / every
    if fewer * share > _MANY:
        return math.ceil(fewer * share + _QUANTILE * math.sqrt(fewer * share * (1 - share))) + 1
    likely = math.exp(fewer * math.log1p(-share))  # of none at all
    more, samples = 1 - likely, 1
    while more > CHANCE and samples <= fewer:
        likely *= (fewer - samples + 1) / samples * share / (1 - share)
        more -= likely
        samples += 1
    return samples


def as_many(count: int, samples: int, packets: int, squares: int) -> bool:
    """Whether there were at least `count` packets.

    Args:
        count: packets that are asked for.
        samples: how many were seen.
        packets: how many these stand for together.
        squares: the sum of the squares of how many each stands for: samples that stand for different numbers of packets prove
            as much as fewer samples that are all alike (Kish's effective size).
    """
    if samples >= count:
        return True
    every = round(squares / packets)
    return int(packets * packets / squares) >= samples_needed(count, every)


def as_different(count: int, samples: int, different: int) -> bool:
    """Whether at least `count` different values were among all packets, when `samples` of them had `different` ones.

    Had there been fewer, values would have come again: as often as balls fall into a box that has one already. Boxes of the
    same size see the fewest repetitions, so no other shares are as easily mistaken; their number is close to Poisson's.
    """
    if different >= count:
        return True
    fewer = count - 1
    again = samples - different
    expected = samples - fewer * -math.expm1(samples * math.log1p(-1 / fewer)) if fewer > 1 else samples - 1.0
    if expected <= again:
        return False
    likely = math.exp(-expected)
    at_most = likely
    for n in range(1, again + 1):
        likely *= expected / n
        at_most += likely
    return at_most <= CHANCE

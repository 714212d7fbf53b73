"""What clients would get with one more server: shares of the answers, as the name server draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance_web.views.standing import number


@dataclass(frozen=True, slots=True)
class Share:
    """How a server's part of the answers compares with its part of the weight.

    Attributes:
        chance: probability that one answer holds it.
        share: its part of all records that are given out.
        fair: its part of the weight of all that are answered.
        others: servers that are answered besides it.
    """

    chance: float
    share: float
    fair: float
    others: int


def inclusion(weights: Sequence[float], size: int) -> list[float]:
    """Probability of each to be among `size` drawn in proportion to weight; nobody can be in more than every answer.

    The same rule as the name server's: what is above 1 is given to the others in proportion.
    """
    if len(weights) <= size:
        return [1.0 if w > 0 else 0.0 for w in weights]
    chances = [0.0] * len(weights)
    certain: set[int] = set()
    while True:
        rest = [i for i, w in enumerate(weights) if i not in certain and w > 0]
        total, places = sum(weights[i] for i in rest), size - len(certain)
        over = {i for i in rest if weights[i] * places >= total} if total else set()
        if not over or places <= 0:
            for i in rest:
                chances[i] = weights[i] * max(places, 0) / total if total else 0.0
            break
        certain |= over
    for i in certain:
        chances[i] = 1.0
    return chances


def with_one_more(candidates: Any, netspeed: float, size: int, *, instead_of: str = "") -> Share:
    """The share of a server of that weight besides the ones that are answered now.

    Args:
        candidates: as `AnswerTable.explain` tells them.
        netspeed: its weight.
        size: addresses in an answer.
        instead_of: id of a candidate that it stands for already.
    """
    weights = [
        float(number(c.get("weight")) or 0)
        for c in candidates or ()
        if isinstance(c, Mapping) and c.get("in") and c.get("id") != instead_of
    ]
    chances = inclusion([*weights, netspeed], max(1, size))
    total, weight = sum(chances), sum(weights) + netspeed
    return Share(
        chance=chances[-1],
        share=chances[-1] / total if total else 0.0,
        fair=netspeed / weight if weight else 0.0,
        others=len(weights),
    )


def now(candidates: Any, member_id: str) -> Share | None:
    """A member's share of the answers as they are given now; None when it is in none."""
    rows = [c for c in candidates or () if isinstance(c, Mapping) and c.get("in")]
    mine = next((c for c in rows if c.get("id") == member_id), None)
    if mine is None:
        return None
    chances = sum(number(c.get("probability")) or 0.0 for c in rows)
    speeds = sum(number(c.get("netspeed")) or 0.0 for c in rows)
    chance = number(mine.get("probability")) or 0.0
    return Share(
        chance=chance,
        share=chance / chances if chances else 0.0,
        fair=(number(mine.get("netspeed")) or 0.0) / speeds if speeds else 0.0,
        others=len(rows) - 1,
    )

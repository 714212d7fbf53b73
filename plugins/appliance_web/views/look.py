"""What a single look at a member found: kept for a while, so that the page after the form can show it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.api.model import Member
from appliance_web.views.standing import Probe

#: Looks that are kept, and how long one is worth showing.
KEPT = 64
FRESH_S = 600.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look; every text comes from the network.

    Attributes:
        ts: epoch seconds.
        verdict: what it found, in words.
        why: what the score rules would make of it.
        facts: more figures, label and value.
        samples: each request and what came of it.
    """

    ts: float
    verdict: str
    why: str
    found: Probe
    warnings: Sequence[str]
    samples: Sequence[Probe]


class Looks:
    """The last look at each of some members."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Look] = OrderedDict()

    def keep(self, member_id: str, now: float, value: Any) -> None:
        """Take the answer of POST /api/v1/probe."""
        if not isinstance(value, Mapping):
            return
        self._kept.pop(member_id, None)
        self._kept[member_id] = Look(
            ts=now,
            verdict=str(value.get("verdict") or ""),
            why=str(value.get("why") or ""),
            found=Probe.read(value),
            warnings=[str(w) for w in value.get("warnings") or ()],
            samples=[Probe.read(s) for s in value.get("samples") or () if isinstance(s, Mapping)],
        )
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def fresh(self, member_id: str, now: float) -> Look | None:
        """The last look at a member, unless it is stale."""
        look = self._kept.get(member_id)
        return look if look is not None and now - look.ts < FRESH_S else None


def target(member: Member) -> str:
    """A member's address and port as the prober reads them."""
    return f"[{member.address}]:{member.port}" if member.family == 6 else f"{member.address}:{member.port}"

"""Every member as the answer table sees it: its weight, and in one sentence why it is in or out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from appliance.api.contrib import Candidate
from appliance.api.model import Member, Verdict

Reweigh = Callable[[Sequence[Candidate]], Sequence[Candidate]]


def candidates(members: Iterable[Member], verdicts: Mapping[str, Verdict]) -> list[Candidate]:
    """One candidate for each member, in the order of their ids."""
    return [candidate(member, verdicts.get(member.id)) for member in sorted(members, key=lambda m: m.id)]


def candidate(member: Member, verdict: Verdict | None) -> Candidate:
    """What a member weighs: its netspeed times what its verdict leaves of it, and at least 1 when it is in."""
    out = barred(member)
    if out:
        return Candidate(member, verdict, 0, out)
    if verdict is None:
        return Candidate(member, verdict, 0, "out: not probed yet")
    if not verdict.truthful:
        return Candidate(member, verdict, 0, verdict.reason or "out: its time is wrong")
    if not verdict.in_pool:
        return Candidate(member, verdict, 0, verdict.reason or "out: the monitor has not let it in")
    factor = min(1.0, max(0.0, verdict.weight_factor))
    weight = max(1, round(member.netspeed * factor))
    return Candidate(member, verdict, weight, verdict.reason or "in")


def barred(member: Member) -> str:
    """Why a member is not answered whatever the monitor says, or "".

    The monitor says the same in its verdicts; but a pause must be obeyed although the monitor is dead.
    """
    if member.state == "paused":
        return "out: paused by an operator; it is still watched"
    if member.state == "unverified":
        return "out: not verified yet; it is watched meanwhile"
    if member.leaving:
        return "out: its removal is scheduled; clients get time to go elsewhere"
    if member.netspeed <= 0:
        return "out: netspeed 0 says to watch it only"
    return ""


def reweighed(before: Sequence[Candidate], reweigh: Reweigh, source: str) -> list[Candidate]:
    """What a plugin makes of the candidates: it may change weights and reasons, but not bring anybody in who is out.

    A member with wrong time must not be answered because some plugin likes it.
    """
    after = {c.member.id: c for c in reweigh(tuple(before))}
    return [_merged(c, after.get(c.member.id), source) for c in before]


def _merged(before: Candidate, after: Candidate | None, source: str) -> Candidate:
    if before.weight == 0 or after == before:
        return before
    if after is None:
        return replace(before, weight=0, reason=f"out: left out by {source}")
    weight = max(0, int(after.weight))
    default = f"out: weighed 0 by {source}" if weight == 0 else f"{before.reason}; weighed by {source}"
    return replace(before, weight=weight, reason=default if after.reason == before.reason else after.reason)

"""Who is answered, and why: from scores, silence and untruth to a verdict with a sentence.

Two profiles. "ntppool" is the NTP Pool's rule and no more: answered while the score is at least 10. "timeball" adds

- hysteresis: enters at 10, leaves below 5, so that a member near the limit does not flap;
- early leaving: so many probes in a row without an answer, whatever the score;
- slow start: 25 %, 50 %, 100 % of its share; and less again while the score falls from 10 to 5;
- the keep-floor: the last truthful members stay although they lose packets.

In both, a member whose time is not to be believed is out, however few are left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from appliance.api.model import Member, Verdict
from appliance.core.figures import percent
from appliance_monitor.score import good_probes_until, steady
from appliance_monitor.standing import Standing
from appliance_monitor.wording import count

#: Untruthful answers in a row after which a member is out; one is enough when it says so itself.
UNTRUE_LIMIT = 2
#: Truthful answers in a row before a member enters.
CLEAN_LIMIT = 2
#: Good probes since entering, and the share that goes with them.
RAMP = ((3, 0.25), (6, 0.5))
#: The share of a member that is kept for lack of others, and the least that a falling score leaves.
LEAST = 0.1
KEEP_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The figures of the gate; their meaning stands in the configuration."""

    profile: Literal["timeball", "ntppool"] = "timeball"
    enter: float = 10.0
    leave: float = 5.0
    misses: int = 2
    slow_start: bool = True
    min_keep: int | None = None
    keep_for_s: float = 86_400.0

    @property
    def plain(self) -> bool:
        return self.profile == "ntppool"


def untruthful(standing: Standing) -> bool:
    """Whether its time is not to be believed now."""
    return standing.untrue >= UNTRUE_LIMIT or (standing.untrue > 0 and standing.certain)


def decide(standing: Standing, policy: GatePolicy, now: float) -> Standing:
    """Let the member in or out by its own merit; `now` in epoch seconds dates a change."""
    inside = _stays(standing, policy) if standing.inside else _enters(standing, policy)
    if inside == standing.inside:
        return standing
    if inside:
        return replace(standing, inside=True, was_inside=True, since=now, good=0)
    return replace(standing, inside=False, since=now, good=0)


def _enters(standing: Standing, policy: GatePolicy) -> bool:
    if standing.last_ts is None or standing.score < policy.enter or untruthful(standing):
        return False
    return policy.plain or (standing.untrue == 0 and standing.misses == 0 and standing.clean >= CLEAN_LIMIT)


def _stays(standing: Standing, policy: GatePolicy) -> bool:
    if untruthful(standing):
        return False
    if policy.plain:
        return standing.score >= policy.enter
    return standing.misses < policy.misses and standing.score >= policy.leave


def share(standing: Standing, policy: GatePolicy) -> float:
    """How much of its netspeed a member that is inside gets, 0..1."""
    if policy.plain:
        return 1.0
    ramp = next((part for below, part in RAMP if standing.good < below), 1.0) if policy.slow_start else 1.0
    if standing.score >= policy.enter:
        return ramp
    span = policy.enter - policy.leave
    fade = (standing.score - policy.leave) / span if span > 0 else 1.0
    return ramp * min(1.0, max(LEAST, fade))


def floor_of(grown: int, policy: GatePolicy) -> int:
    """How many of `grown` truthful members that were ever inside must stay."""
    if policy.plain or grown == 0:
        return 0
    return policy.min_keep if policy.min_keep is not None else max(1, math.ceil(KEEP_SHARE * grown))


def kept(standings: Iterable[Standing], policy: GatePolicy, now: float) -> frozenset[str]:
    """Members of one family that stay although their merit is gone, because too few others are left.

    Only those that were inside once, whose last answer was true and not long ago, and that merely lose packets or are on
    their way back; those who answered last come first. `standings` are those of the members that may be answered at all
    (not paused, not unverified, ...), `now` is in epoch seconds.
    """
    grown = [s for s in standings if s.was_inside and s.untrue == 0]
    missing = floor_of(len(grown), policy) - sum(1 for s in grown if s.inside)
    if missing <= 0:
        return frozenset()
    able = [
        s
        for s in grown
        if not s.inside
        and (s.last_rule == "no_response" or s.last_step > 0)
        and s.answered_ts is not None
        and now - s.answered_ts <= policy.keep_for_s
    ]
    able.sort(key=lambda s: (s.misses == 0, s.answered_ts or 0.0, s.score, s.member), reverse=True)
    return frozenset(s.member for s in able[:missing])


def barred(member: Member) -> tuple[str, str] | None:
    """Why a member is out by somebody's decision rather than by its behaviour: (code, reason), or None."""
    if member.state == "paused":
        return "paused", "out: paused by an operator; it is still watched"
    if member.state == "unverified":
        return "unverified", "out: not verified yet; it is watched meanwhile"
    if member.leaving:
        return "leaving", "out: its removal is scheduled; clients get time to go elsewhere"
    if member.netspeed <= 0:
        return "netspeed_zero", "out: netspeed 0 says to watch it only"
    return None


def verdict(member: Member, standing: Standing, policy: GatePolicy, *, keep: bool = False) -> Verdict:
    """Where the member stands, with the reason in a sentence; `keep` says that it is one of `kept`."""
    in_pool, code, reason, factor = _place(member, standing, policy, keep=keep)
    return Verdict(
        member=member.id,
        score=None if standing.last_ts is None else standing.score,
        in_pool=in_pool,
        reason=reason,
        code=code,
        weight_factor=factor,
        truthful=not untruthful(standing),
        failing=in_pool and _failing(standing, policy),
        last_ts=standing.last_ts,
        last_rule=standing.last_rule,
    )


def _failing(standing: Standing, policy: GatePolicy) -> bool:
    return standing.misses > 0 or standing.untrue > 0 or standing.score < policy.enter


def _place(
    member: Member, standing: Standing, policy: GatePolicy, *, keep: bool
) -> tuple[bool, str, str, float]:
    """(in_pool, code, reason, weight factor)."""
    if (bar := barred(member)) is not None:
        return False, *bar, 0.0
    if standing.inside:
        factor = share(standing, policy)
        return True, "ok", _why_in(standing, policy, factor), factor
    if keep:
        silent = (
            f"{count(standing.misses, 'probe')} in a row without an answer"
            if standing.misses
            else "it is coming back"
        )
        return True, "kept", f"in, though failing ({silent}): too few others are left", LEAST
    return False, *_why_out(standing, policy), 0.0


def _why_in(standing: Standing, policy: GatePolicy, factor: float) -> str:
    reason = f"in: score {standing.score:.1f}"
    if standing.untrue:
        return f"{reason}; but {standing.untrue_why}: out if the next probe says so too"
    if standing.misses:
        return f"{reason}; but {count(standing.misses, 'probe')} without an answer: {standing.last_why}"
    if standing.score < policy.enter:
        reason += f", falling: it leaves below {policy.leave:g} ({standing.last_why})"
    elif standing.last_why:
        reason += f", {standing.last_why}"
    if factor < 1:
        reason += (
            f"; {percent(factor)} of its share{' while it settles' if standing.score >= policy.enter else ''}"
        )
    return reason


def _why_out(standing: Standing, policy: GatePolicy) -> tuple[str, str]:
    """(code, reason) for a member that its own behaviour keeps out."""
    if standing.last_ts is None:
        return "new", "out: not probed yet"
    if untruthful(standing):
        return standing.untrue_code, f"out: {standing.untrue_why}"
    if standing.misses >= policy.misses and not policy.plain:
        return (
            "silent",
            f"out: {count(standing.misses, 'probe')} in a row without an answer ({standing.last_why})",
        )
    score = f"score {standing.score:.1f}"
    if standing.last_step <= 0:
        return "low_score", f"out: {score} is below {policy.enter:g}: {standing.last_why}"
    if standing.score < policy.enter and steady(standing.last_step) <= policy.enter:
        never = (
            f"does not reach {policy.enter:g} as long as its answers are like the last: {standing.last_why}"
        )
        return "low_score", f"out: {score}, which {never}"
    more = _probes_missing(standing, policy)
    if standing.was_inside:
        return "low_score", f"out: coming back, {score}, {more}"
    return "new", f"out: proving itself, {score}, {more}"


def _probes_missing(standing: Standing, policy: GatePolicy) -> str:
    """How long the way in still is when all goes on as in the last probe."""
    if standing.score >= policy.enter:
        return "one more true answer lets it in"
    if policy.enter >= steady(1.0):
        return f"below {policy.enter:g}"
    more = good_probes_until(standing.score, policy.enter)
    return f"{policy.enter:g} after {count(more, 'more good probe')}"

"""How steps add up to a score, and the scores of several monitors to one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: What remains of a score at each probe; a steady step settles at step / (1 - DECAY).
DECAY = 0.95
#: Where a new member begins (the pool's `setup_server`).
START = 0.0
#: The pool's limit: at or above it a server is answered.
POOL_SCORE = 10.0

MonitorState = Literal["active", "testing", "candidate"]


def advance(score: float, step: float, cap: float | None = None) -> float:
    """The score after a step: 0.95 x the old one plus the step, at most `cap`."""
    after = DECAY * score + step
    return after if cap is None else min(after, cap)


def steady(step: float) -> float:
    """Where a score settles when every probe gives `step`."""
    return step / (1 - DECAY)


def good_probes_until(score: float, goal: float) -> int:
    """How many probes of step +1 it takes from `score` to at least `goal` (which is below 20)."""
    if score >= goal:
        return 0
    # score_n = 20 - (20 - score) * 0.95^n; the guess from the logarithm is corrected by at most one.
    probes = max(1, math.ceil(math.log((20 - goal) / (20 - score)) / math.log(DECAY)) - 1)
    while 20 - (20 - score) * DECAY**probes < goal:
        probes += 1
    return probes


@dataclass(frozen=True, slots=True)
class MonitorScore:
    """The latest row of one monitor about one member.

    Attributes:
        ts: epoch seconds.
        rtt_s: None for a probe without an answer; sorts as 0, as in the pool.
        state: what the monitor counts for with this member.
    """

    monitor: str
    ts: float
    score: float
    step: float
    rtt_s: float | None = None
    state: MonitorState = "active"


def overall(latest: Iterable[MonitorScore], now: float) -> MonitorScore | None:
    """The row whose score is the member's overall score: the pool's "recentmedian".

    Active monitors of the last 20 minutes count; without any, active or testing ones of the last 45 minutes; without
    any, active, testing or candidate ones of the last 2 hours. (The pool drops the active ones in its last resort; that
    loses information for nothing, so we keep them.) Of one or two rows the oldest is taken, of more the lower median by score,
    then by round trip; nothing is averaged.

    Args:
        latest: the newest row of each monitor.
        now: the moment of the row that caused the question.
    """
    rows = sorted((row for row in latest if row.ts <= now), key=lambda row: row.ts)
    recent: list[MonitorScore] = []
    for lookback_s, states in (
        (1200, ("active",)),
        (2700, ("active", "testing")),
        (7200, ("active", "testing", "candidate")),
    ):
        recent = [row for row in rows if row.state in states and row.ts >= now - lookback_s]
        if recent:
            break
    if not recent:
        return None
    if len(recent) < 3:
        return recent[0]
    recent.sort(key=lambda row: (row.score, row.rtt_s or 0.0))
    return recent[(len(recent) - 1) // 2]

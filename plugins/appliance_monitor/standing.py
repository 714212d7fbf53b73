"""What the monitor remembers of a member from probe to probe: one frozen value, moved on by each probe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from operator import attrgetter
from typing import Any

from appliance.api.model import ScoredProbe
from appliance_monitor.score import START, MonitorScore, overall
from appliance_monitor.truth import Untruth


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's memory.

    Attributes:
        member: its id.
        score: overall score; `START` before the first probe.
        latest: newest row of each monitor.
        inside: whether it is answered by its own merit.
        was_inside: whether it ever was.
        since: epoch seconds when `inside` last changed.
        good: probes with a positive step since it entered.
        clean: truthful answers in a row.
        misses: probes in a row without any answer.
        untrue: untruthful answers in a row (silence in between changes nothing).
        certain: the last untruth was the member's own word.
        untrue_code, untrue_why: the last untruth.
        answered_ts: epoch seconds of the last truthful answer.
        last_ts: epoch seconds of the last probe, None before the first.
        last_rule, last_step, last_why: what the rules said of it.
    """

    member: str
    score: float = START
    latest: tuple[MonitorScore, ...] = ()
    inside: bool = False
    was_inside: bool = False
    since: float = 0.0
    good: int = 0
    clean: int = 0
    misses: int = 0
    untrue: int = 0
    certain: bool = False
    untrue_code: str = ""
    untrue_why: str = ""
    answered_ts: float | None = None
    last_ts: float | None = None
    last_rule: str = ""
    last_step: float = 0.0
    last_why: str = ""

    def score_of(self, monitor: str) -> float:
        """The member's score as that monitor has it: each keeps its own chain of steps."""
        return next((row.score for row in self.latest if row.monitor == monitor), START)


_NAMES = tuple(field.name for field in fields(Standing))
#: `asdict` copies every value deeply, which is felt with some dozens of members every few seconds.
_VALUES = attrgetter(*_NAMES)


def after(standing: Standing, scored: ScoredProbe, found: Untruth | None) -> Standing:
    """The memory after one more probe, with nothing decided yet about being answered."""
    probe, step = scored.probe, scored.step
    row = MonitorScore(probe.monitor, probe.ts, scored.score, step.step, probe.rtt_s)
    latest = (*(old for old in standing.latest if old.monitor != probe.monitor), row)
    picked = overall(latest, probe.ts) or row
    truthful = probe.responded and found is None
    moved = replace(
        standing,
        score=picked.score,
        latest=latest,
        good=standing.good + (step.step > 0),
        misses=0 if probe.responded else standing.misses + 1,
        last_ts=probe.ts,
        last_rule=step.rule,
        last_step=step.step,
        last_why=step.why,
    )
    if found is not None:
        return replace(
            moved,
            untrue=standing.untrue + 1,
            certain=found.certain,
            untrue_code=found.code,
            untrue_why=found.why,
            clean=0,
        )
    if truthful and probe.error is None:
        return replace(moved, untrue=0, certain=False, clean=standing.clean + 1, answered_ts=probe.ts)
    return replace(moved, clean=0)


def dumps(standing: Standing) -> str:
    """The memory as text for the database."""
    values = dict(zip(_NAMES, _VALUES(standing), strict=True))
    values["latest"] = [asdict(row) for row in standing.latest]
    return json.dumps(values, separators=(",", ":"))


def loads(text: str) -> Standing | None:
    """The memory that `dumps` wrote; None for text of another version or a damaged row, which is as good as none."""
    try:
        raw: dict[str, Any] = json.loads(text)
        known = {field.name for field in fields(Standing)}
        values = {key: value for key, value in raw.items() if key in known}
        values["latest"] = tuple(MonitorScore(**row) for row in raw.get("latest", ()))
        standing = Standing(**values)
        return (
            standing
            if isinstance(standing.score, (int, float)) and isinstance(standing.member, str)
            else None
        )
    except (ValueError, TypeError, AttributeError):
        return None

"""Where a member stands, in one word, one shape and one sentence; and where the whole pool stands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from appliance.api.model import Member, Verdict
from appliance.core import ordering
from appliance.core.beginning import beginning
from appliance_web import words

Shape = Literal["ok", "degraded", "failing", "none", "paused"]

#: Standing, with the shape it is drawn with; the order is from what needs a person most to what needs nobody.
SHAPES: Mapping[str, Shape] = {
    "wrong time": "failing",
    "out": "failing",
    "kept": "degraded",
    "failing": "degraded",
    "new": "none",
    "unverified": "none",
    "leaving": "paused",
    "watched only": "none",
    "paused": "paused",
    "in the pool": "ok",
}
NEEDS_ATTENTION = frozenset({"wrong time", "out", "kept", "failing"})
_URGENCY = {word: place for place, word in enumerate(SHAPES)}


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe as the score board tells it; None where there was nothing."""

    ts: float | None = None
    offset_s: float | None = None
    rtt_s: float | None = None
    stratum: int | None = None
    leap: int | None = None
    step: float | None = None
    score: float | None = None
    error: str = ""
    rule: str = ""
    why: str = ""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Probe:
        """From a row of `ScoreBoard.recent` or of the API; what is not there stays None."""
        stratum, leap = number(row.get("stratum")), number(row.get("leap"))
        return cls(
            ts=number(row.get("ts")),
            offset_s=number(row.get("offset_s")),
            rtt_s=number(row.get("rtt_s")),
            stratum=None if stratum is None else int(stratum),
            leap=None if leap is None else int(leap),
            step=number(row.get("step")),
            score=number(row.get("score")),
            error=str(row.get("error") or ""),
            rule=str(row.get("rule") or ""),
            why=str(row.get("why") or ""),
        )


def number(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    if type(value) is float and math.isfinite(value):
        return value  # the usual case, met thousands of times on a page
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def numbers(values: Iterable[Any]) -> list[float | None]:
    """The same of many."""
    return [v if v is None or (type(v) is float and math.isfinite(v)) else number(v) for v in values]


@dataclass(frozen=True, slots=True)
class Row:
    """A member as tables show it.

    Attributes:
        word: its standing, one of `SHAPES`.
        last: newest probe, all None before the first.
        called: its name, or else its place.
        urgency: small numbers need a person most.
        in_pool: whether it is answered.
    """

    member: Member
    verdict: Verdict | None
    word: str
    last: Probe
    # Kept, since a page sorts and counts hundreds of rows by them.
    called: str = field(init=False, repr=False, compare=False)
    urgency: int = field(init=False, repr=False, compare=False)
    in_pool: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "called", self.member.name or place(self.member))
        object.__setattr__(self, "urgency", _URGENCY[self.word])
        object.__setattr__(self, "in_pool", self.verdict is not None and self.verdict.in_pool)

    @property
    def shape(self) -> Shape:
        return SHAPES[self.word]

    @property
    def order(self) -> Any:
        """Where it stands among others of its kind: by name, or by address."""
        m = self.member
        return ordering.server(m.name, m.address, m.port)

    @property
    def place(self) -> str:
        """Address, with the port when it is not NTP's own."""
        return place(self.member)

    @property
    def score(self) -> float | None:
        return self.verdict.score if self.verdict else None

    @property
    def reason(self) -> str:
        if self.verdict:
            return words.said(words.bare(self.verdict.reason))
        return "not probed yet" if self.member.state == "active" else self.member.state


def place(member: Member) -> str:
    """Where a member is asked: address, and port when it is not 123."""
    if member.port == 123:
        return member.address
    return f"[{member.address}]:{member.port}" if member.family == 6 else f"{member.address}:{member.port}"


def standing(member: Member, verdict: Verdict | None) -> str:
    """The one word for a member; see `SHAPES`."""
    if member.state == "paused":
        return "paused"
    if member.leaving:
        return "leaving"
    if verdict is None or verdict.score is None or verdict.code == "new":
        return "new" if member.state == "active" else "unverified"
    if verdict.in_pool:
        if verdict.code == "kept":
            return "kept"
        return "failing" if verdict.failing else "in the pool"
    if not verdict.truthful:
        return "wrong time"
    if member.state == "unverified":
        return "unverified"
    return "watched only" if member.netspeed == 0 else "out"


def row(member: Member, verdict: Verdict | None, last: Mapping[str, Any] | None = None) -> Row:
    return Row(member, verdict, standing(member, verdict), Probe.read(last or {}))


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a page says on top.

    Attributes:
        shape: how it looks.
        text: the sentence.
        more: a second one with the detail, or "".
    """

    shape: Shape
    text: str
    more: str = ""


def is_beginning(rows: Iterable[Row]) -> bool:
    """Whether nobody of these is in because most are judged for the first time; see `appliance.core.beginning`."""
    return beginning(
        "ok" if r.in_pool else "new" if r.word == "new" else "out" if r.word in NEEDS_ATTENTION else "paused"
        for r in rows
    )


def pool_sentence(rows: Iterable[Row] | None, monitor: str, started: float | None = None) -> Sentence:
    """The pool in one sentence.

    Args:
        rows: all members, or None when the registry is not there.
        monitor: "ok", "stale" (no verdict for too long), "quiet" (none yet) or "missing".
        started: when the appliance started, epoch seconds: scores that are older were carried over.
    """
    if rows is None:
        return Sentence("failing", "The member registry is not running.", "See Plugins for the reason.")
    all_rows = list(rows)
    if not all_rows:
        return Sentence("none", "No servers yet.", "Add the first one: it is probed before it is accepted.")
    inside = sum(r.in_pool for r in all_rows)
    troubled = sum(r.word in NEEDS_ATTENTION for r in all_rows)
    waiting = sum(r.word in ("new", "unverified") for r in all_rows)
    resting = sum(r.word in ("paused", "leaving", "watched only") for r in all_rows)
    total = len(all_rows)
    if monitor in ("stale", "missing"):
        return Sentence(
            "failing",
            "Nobody is watching the servers." if monitor == "missing" else "The monitor has fallen silent.",
            f"The last answers stay: {inside} of {words.plural(total, 'server')} in the pool.",
        )
    then, more = _since_start(all_rows, started)
    if inside == total:
        who = "The one server is" if total == 1 else f"All {total} servers are"
        text = f"{who} in the pool{then}."
    else:
        one = total == 1 and not then
        text = (
            "The one server is not in the pool"
            if one
            else f"{inside} of {words.plural(total, 'server')} {_are(inside)} in the pool{then}"
        )
        parts = [f"{troubled} {'needs' if troubled == 1 else 'need'} attention"] if troubled else []
        parts += [f"{waiting} {_are(waiting)} new"] if waiting else []
        parts += [f"{resting} {_are(resting)} set aside"] if resting else []
        if one:
            text += (
                " yet: it is new" if waiting else ": it needs attention" if troubled else ": it is set aside"
            )
            parts = []
        text = "; ".join([text, *parts]) + "."
    if inside == 0 and waiting == total:
        return Sentence("none", text, "A new server needs a number of good probes before it is answered.")
    if is_beginning(all_rows):
        more = "The pool begins: a new server needs a number of good probes before it is answered."
        return Sentence("degraded" if troubled else "none", text, more)
    shape: Shape = "failing" if inside == 0 else "none" if then else "degraded" if troubled else "ok"
    return Sentence(shape, text, more)


def _since_start(rows: Sequence[Row], started: float | None) -> tuple[str, str]:
    """What has to be added while scores of before the restart are shown: to the first sentence, and a second one."""
    seen = [r.verdict.last_ts for r in rows if r.verdict is not None and r.verdict.last_ts is not None]
    old = sum(ts < started for ts in seen) if started is not None else 0
    if not old:
        return "", ""
    if old < len(seen):
        return "", f"{old} {'has' if old == 1 else 'have'} not been checked since the restart."
    return ", as before the restart", "Nobody has been checked since: the scores are those of then."


def member_sentence(r: Row, now: float) -> Sentence:
    """One member in one sentence."""
    heads = {
        "in the pool": "In the pool.",
        "failing": "In the pool, but on its way out.",
        "kept": "Kept in the pool for lack of others.",
        "wrong time": "Out: its time is wrong.",
        "out": "Out of the pool.",
        "new": "New: not in the pool yet.",
        "unverified": "Watched, not answered: nobody has vouched for it yet.",
        "paused": "Paused: watched, not answered.",
        "leaving": "Leaving: no longer answered, removed soon.",
        "watched only": "Watched only: its weight is 0, so it is never answered.",
    }
    more = r.reason[:1].upper() + r.reason[1:]
    if r.member.state == "paused" and r.member.paused_until:
        more = f"The pause ends by itself {words.ago(r.member.paused_until, now)}. {more}"
    return Sentence(r.shape, heads[r.word], more)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Those that need a person first, then by score, lowest first."""
    return sorted(rows, key=lambda r: (r.urgency, round(r.score, 1) if r.score is not None else 0.0, r.order))

"""The log: the latest probes of everybody, each with the rule that fired."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from appliance.api.model import Member
from appliance_web.views.standing import Probe, Sentence

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Question:
    """The filters of the address line; what it does not understand filters nothing."""

    member: str = ""
    rule: str = ""
    trouble: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Question:
        return cls(query.get("member", "")[:100], query.get("rule", "")[:60], query.get("trouble") == "1")

    @property
    def link(self) -> str:
        """The query string of this view."""
        chosen = {"member": self.member, "rule": self.rule, "trouble": "1" if self.trouble else ""}
        return urlencode({k: v for k, v in chosen.items() if v})

    @property
    def filtered(self) -> bool:
        return bool(self.member or self.rule or self.trouble)

    def passes(self, probe: Probe) -> bool:
        """Whether a probe is wanted; trouble is whatever cost points or brought no time."""
        if self.rule and probe.rule != self.rule:
            return False
        return not self.trouble or probe.offset_s is None or (probe.step is not None and probe.step < 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One probe of one member."""

    probe: Probe
    member: Member

    @property
    def called(self) -> str:
        return self.member.name or self.member.address

    @property
    def level(self) -> str:
        """Class of the line: "ok", "degraded" or "failing"."""
        if self.probe.offset_s is None:
            return "failing"
        return "degraded" if self.probe.step is not None and self.probe.step < 0 else "ok"


def lines(
    recents: Iterable[tuple[Member, Sequence[Mapping[str, Any]]]], asked: Question, limit: int = SHOWN
) -> list[Line]:
    """The newest `limit` probes that pass, newest first.

    Args:
        recents: members with their latest probes.
        asked: the filter.
        limit: at most so many.
    """
    wanted = (
        Line(probe, member)
        for member, rows in recents
        if not asked.member or asked.member == member.id
        for row in rows
        if asked.passes(probe := Probe.read(row))
    )
    return heapq.nlargest(limit, wanted, key=lambda line: line.probe.ts or 0.0)


def rules(recents: Iterable[tuple[Member, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """Rules that fired lately."""
    return sorted({str(row["rule"]) for _, rows in recents for row in rows if row.get("rule")})


def sentence(found: Sequence[Line], asked: Question, monitor: str) -> Sentence:
    """The page's head."""
    if monitor == "missing":
        return Sentence(
            "failing", "The monitor is not running.", "Nobody probes the servers; see Plugins for the reason."
        )
    if not found:
        return Sentence("none", "No probe fits." if asked.filtered else "Nothing has been probed yet.")
    lost = sum(line.level == "failing" for line in found)
    if not lost:
        return Sentence(
            "ok",
            f"The last {len(found)} probes all brought a time."
            if not asked.filtered
            else f"The last {len(found)} that fit.",
        )
    return Sentence("none", f"The last {len(found)} probes, {lost} of them without a time.")

"""The log: the latest probes of everybody, each with the rule that fired."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

from appliance.api.model import Member
from appliance_web import words
from appliance_web.views.standing import Probe, Sentence, number

#: Probes on one page, which stays below 1,500 elements with them.
SHOWN = 60


#: What can be shown, with its name in the form. A full step is +1; whoever earns less settles below the best score.
SHOWS: Mapping[str, str] = {
    "": "everything",
    "below": "below full marks (step under +1)",
    "cost": "only what took points (step below 0)",
    "lost": "only what brought no time",
}


@dataclass(frozen=True, slots=True)
class Question:
    """The filters of the address line; what it does not understand filters nothing.

    Attributes:
        member: id, address or name.
        rule: the rule that judged the probe.
        show: one of `SHOWS`.
        before: id of a row of the database: only older ones.
        follow: whether the page keeps itself fresh.
    """

    member: str = ""
    rule: str = ""
    show: str = ""
    before: int | None = None
    follow: bool = True

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Question:
        show, before = query.get("show", ""), query.get("before", "")
        if query.get("trouble") == "1":  # as links of earlier versions have it
            show = show or "cost"
        return cls(
            query.get("member", "")[:100],
            query.get("rule", "")[:60],
            show if show in SHOWS else "",
            int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None,
            query.get("follow", "") != "no",
        )

    @property
    def asked(self) -> dict[str, str]:
        """The filters for the API; the usual ones are left out."""
        chosen = {"member": self.member, "rule": self.rule, "show": self.show}
        return {k: v for k, v in chosen.items() if v}

    def link(self, **changes: str) -> str:
        """The query string of this view with some values replaced."""
        values = self.asked | ({} if self.follow else {"follow": "no"})
        return urlencode({k: v for k, v in (values | changes).items() if v})

    @property
    def filtered(self) -> bool:
        return bool(self.member or self.rule or self.show)

    def passes(self, probe: Probe) -> bool:
        """Whether a probe is wanted, as the database would say it."""
        if self.rule and probe.rule != self.rule:
            return False
        if not self.show or probe.offset_s is None:
            return True
        worth = {"cost": 0.0, "below": 1.0}.get(self.show)
        return worth is not None and probe.step is not None and probe.step < worth


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
        return "degraded" if self.probe.step is not None and self.probe.step < 1 else "ok"


@dataclass(frozen=True, slots=True)
class Tail:
    """Older rows out of the database.

    Attributes:
        before: id from which the next older page goes on, or None.
    """

    rows: Sequence[Line] = ()
    before: int | None = None


def tail(value: Any, members: Mapping[str, Member], known: Sequence[Line]) -> Tail:
    """From GET /api/v1/log: what is not among `known`; rows of members that are gone have nobody to link to."""
    rows = [r for r in value if isinstance(r, Mapping)] if isinstance(value, list) else []
    seen = {(line.member.id, line.probe.ts) for line in known}
    found = [
        Line(probe, members[r["member"]])
        for r in rows
        if r.get("member") in members and (r["member"], (probe := Probe.read(r)).ts) not in seen
    ]
    last = rows[-1].get("id") if len(rows) >= SHOWN else None
    return Tail(found, last if isinstance(last, int) else None)


def lines(
    recents: Iterable[tuple[Member, Iterable[Mapping[str, Any]]]], asked: Question, limit: int = SHOWN
) -> list[Line]:
    """The newest `limit` probes that pass, newest first.

    Args:
        recents: members with their latest probes, newest first; of a member no more are taken than are looked at.
        asked: the filter.
        limit: at most so many.
    """
    each = (
        _stamped(member, rows) for member, rows in recents if not asked.member or asked.member == member.id
    )
    # Of thousands of rows only those that are shown are put in order and read.
    found = heapq.merge(*each, key=itemgetter(0), reverse=True)
    passing = (Line(probe, m) for _, m, row in found if asked.passes(probe := Probe.read(row)))
    return list(islice(passing, limit))


def _stamped(
    member: Member, rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[float, Member, Mapping[str, Any]]]:
    for row in rows:
        yield number(row.get("ts")) or 0.0, member, row


def rules(recents: Iterable[tuple[Member, Iterable[Mapping[str, Any]]]]) -> list[str]:
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
    if asked.before is not None:
        return Sentence("none", f"{words.plural(len(found), 'older probe')}.")
    lost, cost = (sum(line.level == level for line in found) for level in ("failing", "degraded"))
    if asked.filtered:
        return Sentence(
            "none",
            f"The last {words.plural(len(found), 'probe')} that {'fit' if len(found) > 1 else 'fits'}.",
        )
    if not lost and not cost:
        only = len(found) == 1
        return Sentence(
            "ok",
            "The one probe earned full marks."
            if only
            else f"The last {len(found)} probes all earned full marks.",
        )
    parts = [f"{lost} brought no time"] if lost else []
    parts += [f"{cost} earned less than full marks"] if cost else []
    return Sentence("none", f"Of the last {words.plural(len(found), 'probe')}, {' and '.join(parts)}.")

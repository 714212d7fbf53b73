"""The DNS page: the zone, and one question with its answer and the reason for every candidate."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import share_bar
from appliance_web.views.standing import Sentence, Shape, number
from appliance_web.views.zone import Zone

#: Candidates on the page, which stays below 1,500 elements with them; the API has all of them.
SHOWN = 60
TYPES = ("A", "AAAA", "SOA", "NS", "TXT", "MX", "CAA")


@dataclass(frozen=True, slots=True)
class Question:
    """What the form asks; text as it was typed."""

    name: str
    rrtype: str
    client: str

    @classmethod
    def parse(cls, query: Mapping[str, str], default: str) -> Question:
        rrtype = query.get("type", "").strip().upper()[:12]
        return cls(
            query.get("name", default).strip()[:255], rrtype or "A", query.get("from", "").strip()[:64]
        )


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A member as the answer table weighs it."""

    member: str
    called: str
    place: str
    shape: Shape
    word: str
    weight: str
    chance: str
    bar: Markup
    score: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What would be answered, and why."""

    name: str
    rrtype: str
    client: str
    rcode: str
    ttl: str
    records: Sequence[str]
    candidates: Sequence[CandidateRow]
    note: str
    stale: bool
    more: int = 0

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if self.rcode != "NOERROR":
            return f"DNS refuses: {self.rcode}."
        if not self.records:
            return f"There is no {self.rrtype} record at {self.name}."
        return (
            f"{self.client} would be told {words.plural(len(self.records), 'record')}, good for {self.ttl}."
        )


def answer(value: Mapping[str, Any]) -> Answer:
    """From `AnswerTable.explain`."""
    candidates = sorted(value.get("candidates") or (), key=lambda c: (_ORDER[_word(c)], _called(c)))
    return Answer(
        name=str(value.get("name", "")).rstrip("."),
        rrtype=str(value.get("type", "")),
        client=str(value.get("client", "")),
        rcode=str(value.get("rcode", "")),
        ttl=f"{int(number(value.get('ttl')) or 0)} s",
        records=[str(r) for r in value.get("answer") or ()],
        candidates=[_candidate(c) for c in candidates[:SHOWN]],
        note=str(value.get("note") or ""),
        stale=bool(value.get("stale")),
        more=max(0, len(candidates) - SHOWN),
    )


_ORDER = {"answered now": 0, "may be answered": 1, "left out": 2}


def _word(c: Mapping[str, Any]) -> str:
    return "answered now" if c.get("in_answer") else "may be answered" if c.get("in") else "left out"


def _at(c: Mapping[str, Any]) -> str:
    address, port = str(c.get("address", "")), int(number(c.get("port")) or 123)
    return address if port == 123 else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _called(c: Mapping[str, Any]) -> str:
    return str(c.get("name") or _at(c))


def _candidate(c: Mapping[str, Any]) -> CandidateRow:
    chance = number(c.get("probability")) or 0.0
    return CandidateRow(
        member=str(c.get("id", "")),
        called=_called(c),
        place=_at(c),
        shape="ok" if c.get("in_answer") else "none" if c.get("in") else "failing",
        word=_word(c),
        weight=words.count(number(c.get("weight"))),
        chance=words.percent(chance),
        bar=share_bar(chance, f"in {words.percent(chance)} of the answers"),
        score=number(c.get("score")),
        reason=words.bare(str(c.get("reason", ""))),
    )


def sentence(found: Zone | None, *, running: bool) -> Sentence:
    """The page's verdict."""
    if not running:
        return Sentence(
            "failing",
            "DNS is not running.",
            "The plugin that answers the pool's names is not there; see Plugins for the reason.",
        )
    if found is None:
        return Sentence("none", "DNS has no answers yet.", "It waits for the first verdicts of the monitor.")
    more = f"Zone {found.name}" + (f", serial {found.serial}." if found.serial is not None else ".")
    if found.stale:
        return Sentence(
            "degraded",
            f"DNS answers {found.name} from old verdicts.",
            "The monitor is silent; the last answers stay, with a shorter time to live.",
        )
    return Sentence("ok", f"DNS answers {found.name}.", more)


def same(asked: Question, found: Zone | None) -> list[tuple[str, str]]:
    """The same question for a terminal; what a person typed is quoted for a shell."""
    name, rrtype = shlex.quote(asked.name or "NAME"), shlex.quote(asked.rrtype)
    client = f" --from {shlex.quote(asked.client)}" if asked.client else ""
    lines = [("CLI", f"timeball dns answer {name} --type {rrtype}{client}")]
    if found is not None:
        lines.append(("dig", f"dig @{found.host} -p {found.port} {name} {rrtype}"))
    return lines

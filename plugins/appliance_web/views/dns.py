"""The DNS page: the zone, and one question with its answer and the reason for every candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance.api.foreign import quoted
from appliance.core import ordering
from appliance.core.beginning import SET_ASIDE
from appliance_web import words
from appliance_web.charts import share_bar
from appliance_web.views.standing import Sentence, Shape, number
from appliance_web.views.zone import Bare, Standing, Zone

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
    candidates = sorted(value.get("candidates") or (), key=lambda c: (_ORDER[_word(c)], _place(c)))
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


def _place(c: Mapping[str, Any]) -> Any:
    """Where it stands among those of the same kind: by name, or by address."""
    return ordering.server(
        str(c.get("name") or ""), str(c.get("address", "")), int(number(c.get("port")) or 123)
    )


def _candidate(c: Mapping[str, Any]) -> CandidateRow:
    chance = number(c.get("probability")) or 0.0
    return CandidateRow(
        member=str(c.get("id", "")),
        called=_called(c),
        place=_at(c),
        shape="ok" if c.get("in_answer") else "none" if c.get("in") else _left_out(str(c.get("code"))),
        word=_word(c),
        weight=words.count(number(c.get("weight"))),
        chance=words.percent(chance),
        bar=share_bar(chance, f"in {words.percent(chance)} of the answers"),
        score=number(c.get("score")),
        reason=words.said(words.bare(str(c.get("reason", "")))),
    )


def _left_out(code: str) -> Shape:
    """How somebody is drawn who is left out: red is for those who have failed."""
    if code in ("new", "unknown", "unverified"):
        return "none"
    return "paused" if code in SET_ASIDE else "failing"


def sentence(found: Zone | None, *, running: bool, begins: bool = False) -> Sentence:
    """The page's verdict; `begins` when nobody is usable because most servers are judged for the first time."""
    if not running:
        return Sentence(
            "failing",
            "DNS is not running.",
            "The plugin that answers the pool's names is not there; see Plugins for the reason.",
        )
    if found is None:
        return Sentence("none", "DNS has no answers yet.", "It waits for the first verdicts of the monitor.")
    standing = found.standing
    if standing is not None and not standing.listening:
        return Sentence(
            "failing",
            f"Nobody is answered: DNS for {found.name} does not listen.",
            "What stands below is what it would answer; see Plugins for the reason.",
        )
    if standing is not None and not standing.members:
        return Sentence(
            "none",
            f"DNS answers {found.name}, but with no address: there are no servers yet.",
            "The first server is answered once its score is high enough.",
        )
    if standing is not None and not standing.usable:
        return _nobody(found.name, standing, begins=begins)
    if found.stale:
        return Sentence(
            "degraded",
            f"DNS answers {found.name} from old verdicts.",
            "The monitor is silent; the last answers stay, with a shorter time to live.",
        )
    serial = f"Serial {found.serial}." if found.serial is not None else ""
    if standing is None:
        return Sentence("none", f"What DNS answers for {found.name} is not known now.", serial)
    if standing.own == standing.stand_ins:
        return Sentence(
            "degraded",
            f"DNS has no usable server for {found.name} itself, only for zones below it.",
            "A server is answered at the names of the zones that it is in.",
        )
    if standing.bare:
        bare = standing.bare[0]
        return Sentence(
            "degraded", f"DNS answers {found.name} over {_FAMILY[10 - bare.family]} only.", _bare(bare)
        )
    said = f"{standing.usable} of {words.plural(standing.members, 'server')}"
    return Sentence("ok", f"DNS answers {found.name} with {said}.", serial)


_FAMILY = {4: "IPv4", 6: "IPv6"}


def _nobody(name: str, standing: Standing, *, begins: bool) -> Sentence:
    """None of the servers may be answered: what clients get, which is not the same under every setting."""
    total = standing.members
    who = "The one server is not usable" if total == 1 else f"None of the {total} servers is usable"
    more = "The question below tells the reason for every server."
    if kept := standing.stand_ins:
        source = "fallback address" if standing.on_empty == "fallback" else "server that was good last"
        many = "fallback addresses" if standing.on_empty == "fallback" else "servers that were good last"
        text = f"{who}: DNS gives {words.plural(kept, source, many)} instead."
        return Sentence("degraded", text, more)
    given = "replies SERVFAIL" if standing.on_empty == "servfail" else "gives no address"
    if begins:
        who = "The one server is" if total == 1 else f"The {total} servers are"
        more = f"{who} judged for the first time; the question below tells how far each of them is."
        return Sentence("none", f"DNS {given} for {name} yet: no server has proven itself so far.", more)
    return Sentence("failing", f"{who}: DNS {given} for {name}.", more)


def _bare(bare: Bare) -> str:
    return f"{_FAMILY[bare.family]}: {bare.said}."


def same(asked: Question, found: Zone | None) -> list[tuple[str, str]]:
    """The same question for a terminal; what a person typed is quoted for a shell."""
    name, rrtype = _argument(asked.name, "NAME"), _argument(asked.rrtype, "A")
    client = f" --from {quoted(asked.client)}" if asked.client else ""
    lines = [("CLI", f"timeball dns answer {name} --type {rrtype}{client}")]
    if found is not None:
        lines.append(("dig", f"dig @{found.host} -p {found.port} {name} {rrtype}"))
    return lines


def _argument(typed: str, instead: str) -> str:
    """One word for a shell; what `timeball` or `dig` would take for an option or a server is neither name nor type."""
    return instead if typed[:1] in ("", "-", "+", "@") and typed != "@" else quoted(typed)

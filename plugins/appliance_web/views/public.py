"""What everybody may know of the pool: its state, its zones, servers whose operators want to be named, and incidents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markupsafe import Markup

from appliance.core import ordering
from appliance_web import words
from appliance_web.charts import frame, strip
from appliance_web.journal import Entry
from appliance_web.views.standing import Row, Sentence, Shape, number
from appliance_web.zone_log import Count

#: The tag by which a server's operator says that it may be named in public.
LISTED = "public"
DAYS = 90
#: Events of one incident lie no farther apart.
_APART_S = 1800.0
INCIDENTS = 20
_SAID: Mapping[str, str] = {
    "ok": "in order",
    "degraded": "partly out",
    "failing": "out",
    "none": "nothing known",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A zone or a server with its last 90 days.

    Attributes:
        days: oldest first.
        more: what stands below the name.
    """

    name: str
    shape: Shape
    word: str
    days: Sequence[str]
    more: str = ""

    @property
    def strip(self) -> Markup:
        return strip(self.days, f"{self.name}, the last {len(self.days)} days: {told_days(self.days)}")

    @property
    def share(self) -> str:
        """Days in order, of those of which something is known."""
        known = [d for d in self.days if d != "none"]
        return (
            f"{words.percent(sum(d == 'ok' for d in known) / len(known))} of {words.plural(len(known), 'day')}"
            if known
            else "new"
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """Servers that left and came back around the same time."""

    began: float
    ended: float
    text: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Public:
    """Everything that is public, as of `ts`."""

    ts: float
    name: str
    said: Sentence
    members: int
    inside: int
    zones: Sequence[Named]
    servers: Sequence[Named]
    unlisted: int
    incidents: Sequence[Incident]


def told_days(days: Iterable[str]) -> str:
    """A strip in words."""
    counts: dict[str, int] = {}
    for day in days:
        counts[day] = counts.get(day, 0) + 1
    return ", ".join(f"{counts[key]} {said}" for key, said in _SAID.items() if key in counts)


def named(row: Row) -> bool:
    """Whether a server may be named."""
    return LISTED in row.member.tags


def sentence(said: Sentence, count: Count) -> Sentence:
    """The pool for those who use it, who can neither add a server nor attend to one.

    Args:
        said: the same for those who run it.
        count: of the whole pool.
    """
    if not count.members and said.shape == "none":
        return Sentence("none", "This pool is being set up.", "It has no servers yet.")
    if count.begins and said.shape in ("none", "degraded"):
        who = "Its server is" if count.members == 1 else f"Its {count.members} servers are"
        return Sentence(
            "none",
            "This pool is about to begin.",
            f"{who} judged for the first time, and answered after a number of good probes.",
        )
    return said


def zones(counts: Mapping[str, Count], days: Mapping[str, Sequence[str]], pool: str) -> list[Named]:
    """One line for each zone, the pool itself first."""
    found = []
    for zone, count in counts.items():
        shape: Shape = (
            "none"
            if not count.members or count.begins
            else "failing"
            if not count.inside
            else "degraded"
            if count.inside * 2 < count.expected
            else "ok"
        )
        name = pool if zone == "@" else f"{zone}.{pool}"
        word = (
            f"{count.inside} of {words.plural(count.members, 'server')} in" if count.members else "no servers"
        )
        found.append(Named(name, shape, word, _with_now(days.get(zone, ()), shape)))
    return found


def _with_now(days: Sequence[str], shape: Shape) -> list[str]:
    """Today is at least what is now: the first reading of a day may be minutes away."""
    return [*days[:-1], shape] if days and days[-1] == "none" else [*days]


def servers(rows: Iterable[Row], days: Mapping[str, Sequence[str]]) -> list[Named]:
    """Servers that may be named; name, address and standing, nothing else."""
    return [
        Named(
            row.called,
            row.shape,
            row.word,
            days.get(row.member.id, ()),
            row.place if row.called != row.place else "",
        )
        for row in sorted(rows, key=lambda r: r.order)
        if named(row)
    ]


def server_days(points: Iterable[Mapping[str, Any]], enter: float, now: float) -> list[str]:
    """A server's last 90 days (UTC) out of its history: the score held, fell below the line, or no time came all day."""
    first = int(now // 86400) - DAYS + 1
    cells = ["none"] * DAYS
    for point in points:
        ts, score = number(point.get("ts")), number(point.get("score"))
        at = int((ts or 0) // 86400) - first
        if ts is None or not point.get("n") or not 0 <= at < DAYS:
            continue
        lost = number(point.get("offset_s")) is None
        seen = "failing" if lost else "degraded" if score is not None and score < enter else "ok"
        cells[at] = max(cells[at], seen, key=("none", "ok", "degraded", "failing").index)
    return cells


def incidents(entries: Iterable[Entry], public: Mapping[str, str]) -> list[Incident]:
    """In and out events grouped by time, newest first; only servers in `public` (id to name) are named."""
    events = sorted((e for e in entries if e.kind == "verdict"), key=lambda e: e.ts)
    groups: list[list[Entry]] = []
    for event in events:
        if groups and event.ts - groups[-1][-1].ts <= _APART_S:
            groups[-1].append(event)
        else:
            groups.append([event])
    told = [_incident(group, public) for group in groups if any(e.level.value == "failing" for e in group)]
    return told[::-1][:INCIDENTS]


def _incident(group: Sequence[Entry], public: Mapping[str, str]) -> Incident:
    last = {e.member: e.level.value for e in group}
    left = {e.member for e in group if e.level.value == "failing"}
    back = {m for m in left if last[m] == "ok"}
    names = sorted((public[m] for m in left if m in public), key=ordering.address)
    who = f" ({', '.join(names)})" if names else ""
    text = f"{words.plural(len(left), 'server')} left the pool{who}"
    text += (
        ""
        if not back
        else "; it came back"
        if len(left) == 1
        else "; all came back"
        if back == left
        else f"; {len(back)} came back"
    )
    return Incident(group[0].ts, group[-1].ts, f"{text}.", "ok" if back == left else "degraded")


# -- what programs read ---------------------------------------------------------------------------------------------------


def as_json(found: Public) -> dict[str, Any]:
    """The same for programs."""

    def line(n: Named) -> dict[str, Any]:
        return {"name": n.name, "state": n.shape, "said": n.word, "days": list(n.days)}

    return {
        "name": found.name,
        "as_of": found.ts,
        "state": found.said.shape,
        "verdict": found.said.text,
        "servers_in_pool": found.inside,
        "servers": found.members,
        "zones": [line(z) for z in found.zones],
        "listed": [line(s) | {"address": s.more or s.name} for s in found.servers],
        "unlisted": found.unlisted,
        "incidents": [{"began": i.began, "ended": i.ended, "text": i.text} for i in found.incidents],
    }


def as_atom(found: Public, link: str) -> str:
    """Incidents as an Atom feed (RFC 4287).

    Args:
        found: what is public.
        link: address of the page, absolute or relative to the feed.
    """
    ident, link = f"tag:{words.printable(found.name)},2026:status", words.printable(link)
    href = f'"{escape(link)}"'
    updated = _rfc3339(max((i.ended for i in found.incidents), default=found.ts))
    entries = "".join(
        f"<entry><id>{_xml(ident)}/{i.began:.0f}</id><title>{_xml(i.text)}</title><updated>{_rfc3339(i.ended)}</updated>"
        f"<published>{_rfc3339(i.began)}</published><link href={href}/><content>{_xml(i.text)}</content></entry>\n"
        for i in found.incidents
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><id>{_xml(ident)}</id>'
        f"<title>{_xml(found.name)}: status</title><updated>{updated}</updated><author><name>{_xml(found.name)}</name></author>"
        f"<link href={href}/>\n{entries}</feed>\n"
    )


def _xml(text: str) -> str:
    """Escaped, and without what XML cannot hold."""
    return escape(words.printable(text), quote=False)


def _rfc3339(ts: float) -> str:
    return dt.datetime.fromtimestamp(ts, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_BADGE = {
    "ok": "#0b7052",
    "degraded": "#8f5200",
    "failing": "#b0203c",
    "none": "#566170",
    "paused": "#566170",
}
#: Width of a letter in a badge, a little wide: fonts differ.
_LETTER = 6.7


def badge(label: str, word: str, shape: Shape) -> str:
    """A badge as an SVG image of its own; a shape in it tells the state without colour."""
    label, word = words.printable(label)[:60], words.printable(word)[:40]
    left, right = len(label) * _LETTER + 14, len(word) * _LETTER + 30
    whole = left + right
    marks = {
        "ok": "M-4 0l3 3 5-6", "degraded": "M0-4v4M0 3v.5", "failing": "M-3-3l6 6M3-3l-6 6", "none": "M-3 0h6", "paused": "M-2-3v6M2-3v6",
    }  # fmt: skip
    content = frame.element("title", f"{label}: {word}")
    content += frame.element("rect", width=f"{whole:g}", height="22", rx="4", fill="#182230")
    content += frame.element(
        "path",
        d=f"M{left:g} 0h{right - 4:g}a4 4 0 0 1 4 4v14a4 4 0 0 1-4 4h-{right - 4:g}z",
        fill=_BADGE[shape],
    )
    content += frame.element(
        "path",
        d=marks[shape],
        transform=f"translate({left + 13:g} 11)",
        fill="none",
        stroke="#fff",
        stroke_width="2",
        stroke_linecap="round",
    )
    content += frame.element("text", label, x="7", y="15", fill="#fff")
    content += frame.element("text", word, x=f"{left + 23:g}", y="15", fill="#fff")
    return str(
        frame.element(
            "svg", content, xmlns="http://www.w3.org/2000/svg", width=f"{whole:g}", height="22", viewBox=f"0 0 {whole:g} 22", role="img",
            font_family="system-ui,Verdana,sans-serif", font_size="12",
        )
    )  # fmt: skip

"""The overview: tally, problems, and the cards that plugins contribute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from appliance.api import model
from appliance.api.contrib import Panel
from appliance.api.model import ClockState, Health, Level
from appliance_web import words
from appliance_web.charts import sparkline
from appliance_web.views.standing import NEEDS_ATTENTION, SHAPES, Row, Shape, worst_first

_MOST_FACTS = 10
_MOST_NAMED = 4
#: Where something can be done about what a plugin complains of.
_PLACES: Mapping[str, tuple[str, str]] = {
    "members": ("/members", "Servers"),
    "monitor": ("/log", "Log"),
    "dns": ("/dns", "Zones & DNS"),
    "ntp": ("/time", "Time"),
    "clock": ("/clock", "Clock"),
    "updates": ("/updates", "Updates"),
    "web": ("/tls", "TLS & trust"),
}
_MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of "what needs you".

    Attributes:
        link: page where something can be done about it, or "".
        place: what that page is called; "" when the text itself is the link.
    """

    shape: Shape
    source: str
    text: str
    remedy: str
    link: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A `Panel` as it is drawn; strings are hostile."""

    title: str
    link: str
    shape: Shape
    verdict: str = ""
    facts: Sequence[tuple[str, str]] = ()
    spark: Markup | str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Chip:
    """A state in a shape and a few words, such as the clock's in the head of every page."""

    shape: Shape
    text: str
    why: str = ""


def tally(rows: Iterable[Row]) -> list[tuple[str, Shape, int]]:
    """How many members have each standing, only those that occur, the best first."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.word] = counts.get(row.word, 0) + 1
    return [(word, SHAPES[word], counts[word]) for word in reversed(list(SHAPES)) if word in counts]


def health(box: Mapping[str, Any]) -> Health | None:
    """The health in the host's status, or None when it is not there."""
    value = box.get("health")
    if not isinstance(value, Mapping):
        return None
    found = tuple(
        model.Problem(str(p["source"]), Level(p["level"]), str(p["text"]), str(p["remedy"]))
        for p in value.get("problems", ())
    )
    return Health(Level(value["level"]), found, float(value.get("as_of") or 0))


def problems(health: Health | None) -> list[Problem]:
    """What is not right, the worst first."""
    if health is None:
        return []
    order = {Level.FAILING: 0, Level.DEGRADED: 1, Level.OK: 2}
    return [
        Problem(
            _shape(p.level),
            "" if p.text.lower().startswith(p.source) else p.source,
            p.text,
            p.remedy,
            *_PLACES.get(p.source, ("", "")),
        )
        for p in sorted(health.problems, key=lambda p: order[p.level])
    ]


def servers(rows: Iterable[Row]) -> list[Problem]:
    """The servers that need somebody, the most urgent first; many are named by their number alone."""
    rows = worst_first(list(rows))
    wanting = [row for row in rows if row.word in NEEDS_ATTENTION]
    named = wanting if len(wanting) <= _MOST_NAMED else wanting[: _MOST_NAMED - 1]
    found = [
        Problem(
            row.shape,
            row.called,
            f"{row.word}: {row.reason}",
            "",
            f"/members/{quote(row.member.id, safe='')}",
        )
        for row in named
    ]
    if rest := len(wanting) - len(named):
        text = f"{rest} more servers need attention"
        found.append(Problem(wanting[len(named)].shape, "", text, "", "/members?state=attention"))
    if waiting := [row for row in rows if row.word == "unverified"]:
        who, link = (
            (waiting[0].called, f"/members/{quote(waiting[0].member.id, safe='')}")
            if len(waiting) == 1
            else ("", "/members?state=new")
        )
        many = "it is" if who else f"{len(waiting)} servers are"
        found.append(Problem("none", who, f"{many} watched, not answered: nobody has vouched yet", "", link))
    return found


def health_chip(health: Health | None) -> Chip:
    """The box in a few words, for the foot of every page."""
    if health is None or health.as_of == 0:
        return Chip("none", "Not checked yet")
    if not health.problems:
        return Chip("ok", "The box is well")
    return Chip(_shape(health.level), f"{words.plural(len(health.problems), 'thing')} not right")


def clock_chip(state: ClockState | None, mono_ns: int) -> Chip:
    """The clock in a few words, for the head of every page."""
    if state is None:
        return Chip("failing", "no clock source", "The plugin that watches the clock is not running.")
    if not state.synchronised(mono_ns):
        return Chip("failing", "not synchronised", state.why)
    distance = words.seconds(state.distance_s(mono_ns))
    return Chip("ok", f"stratum {state.stratum}, ±{distance}", state.why)


def card(panel: Panel, data: Mapping[str, Any]) -> Card:
    """What a panel returned, taken with a grain of salt: it may be a stranger's plugin."""
    link = _inside(panel.link)
    if panel.kind == "table":
        columns = [str(c) for c in _list(data.get("columns"))][:8]
        rows = [
            [_cell(c) for c in _list(line)][: len(columns)] for line in _list(data.get("rows"))[:_MOST_ROWS]
        ]
        return Card(panel.title, link, "ok", columns=columns, rows=rows)
    level = str(data.get("level", "ok"))
    numbers = [float(v) if isinstance(v, (int, float)) else None for v in _list(data.get("spark"))][-60:]
    pairs = [pair for pair in _list(data.get("facts")) if isinstance(pair, (list, tuple)) and len(pair) == 2]
    return Card(
        panel.title, link, _shape(Level(level)) if level in set(Level) else "none",
        verdict=str(data.get("verdict", "")),
        facts=[_fact(str(label), value) for label, value in pairs[:_MOST_FACTS]],
        spark=sparkline(numbers, f"{panel.title}: lately") if numbers else Markup(""),
    )  # fmt: skip


def broken_card(panel: Panel, why: str) -> Card:
    return Card(panel.title, _inside(panel.link), "failing", verdict=why)


def _shape(level: Level) -> Shape:
    return "ok" if level is Level.OK else "degraded" if level is Level.DEGRADED else "failing"


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _inside(link: str) -> str:
    """A link to a page of ours, or none."""
    return link if link.startswith("/") and not link.startswith(("//", "/\\")) else ""


def _fact(label: str, value: Any) -> tuple[str, str]:
    # A serial is a name made of digits, not an amount.
    said = str(value) if label.lower() in ("serial", "port") else _cell(value)
    return label[:1].upper() + label[1:], said


def _cell(value: Any) -> str:
    if value is None:
        return words.DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return words.count(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)

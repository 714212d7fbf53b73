"""The DNS page's two experiments: many draws beside what chance expects, and what the world makes of the zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import frame
from appliance_web.views.standing import Shape, number

#: Addresses on the page; the API has all of them.
SHOWN = 40
MOST_DRAWS = 10_000
_LOOKS: Mapping[str, Shape] = {
    "ok": "ok",
    "differs": "degraded",
    "missing": "failing",
    "private": "none",
    "unknown": "none",
}


@dataclass(frozen=True, slots=True)
class DrawRow:
    """How often an address was drawn, beside how often it should be."""

    address: str
    called: str
    drawn: str
    expected: str
    bars: Markup


@dataclass(frozen=True, slots=True)
class Draws:
    """The simulation; `why` is set when there is none."""

    number: int
    verdict: str = ""
    rows: Sequence[DrawRow] = ()
    more: int = 0
    why: str = ""


def wanted(query: Mapping[str, str]) -> int:
    """How many draws the address line asks for; 0 for none."""
    text = query.get("draws", "")
    return min(int(text), MOST_DRAWS) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def draws(value: Any, asked: int, names: Mapping[str, str]) -> Draws:
    """From GET /api/v1/dns/simulation.

    Args:
        value: its answer; of a refusal the problem.
        asked: number of draws.
        names: what people call an address.
    """
    told: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    rows = [r for r in _list(told.get("addresses")) if isinstance(r, Mapping)]
    if not rows:
        return Draws(asked, why=str(told.get("detail") or "The simulation cannot be had now."))
    number_of = int(number(told.get("draws")) or asked)
    most = (
        max((max(number(r.get("drawn")) or 0, number(r.get("expected")) or 0) for r in rows), default=1) or 1
    )
    verdict = str(told.get("verdict", ""))
    return Draws(
        number_of,
        f"{verdict[:1].upper()}{verdict[1:]}." if verdict else "",
        [_row(r, most, names) for r in rows[:SHOWN]],
        max(0, len(rows) - SHOWN),
    )


def _row(row: Mapping[str, Any], most: float, names: Mapping[str, str]) -> DrawRow:
    address = str(row.get("address", ""))
    drawn, due = number(row.get("drawn")) or 0.0, number(row.get("expected")) or 0.0
    return DrawRow(
        address, names.get(address, ""), words.count(drawn), f"{due:,.1f}".replace(",", "\u202f"),
        against(drawn / most, due / most, f"drawn {drawn:.0f} times, expected {due:.1f}"),
    )  # fmt: skip


def against(share: float, due: float, title: str) -> Markup:
    """A bar for what is, with an upright mark where it should end."""
    held, mark = (min(max(v, 0.0), 1.0) * 100 for v in (share, due))
    content = frame.element("title", title)
    content += frame.element("rect", x="0", y="3", width="100%", height="8", class_="rail")
    content += frame.element("rect", x="0", y="3", width=f"{held:.2f}%", height="8", class_="fill")
    content += frame.element("line", x1=f"{mark:.2f}%", x2=f"{mark:.2f}%", y1="0", y2="14", class_="due")
    return frame.element("svg", content, class_="share due", width="100%", height="14", role="img")


@dataclass(frozen=True, slots=True)
class Delegated:
    """How the world gets to the zone.

    Attributes:
        parent: lines that the parent zone needs.
        forwarding: (program, lines) for a resolver of one's own.
        looked: whether somebody looked; then `shape` and `said` tell what was found.
    """

    parent: Sequence[str]
    forwarding: Sequence[tuple[str, str]]
    private: bool
    looked: bool = False
    shape: Shape = "none"
    said: str = ""
    ts: float | None = None


def delegated(value: Any) -> Delegated | None:
    """From GET /api/v1/dns/delegation; None when it cannot be had."""
    if not isinstance(value, Mapping):
        return None
    look = value.get("look")
    found: Mapping[str, Any] = look if isinstance(look, Mapping) else {}
    return Delegated(
        [str(line) for line in _list(value.get("parent"))],
        [
            (str(f.get("program")), str(f.get("lines")))
            for f in _list(value.get("forwarding"))
            if isinstance(f, Mapping)
        ],
        bool(value.get("private")),
        bool(found),
        _LOOKS.get(str(found.get("state")), "none"),
        str(found.get("said", "")),
        number(found.get("ts")),
    )


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()

"""What probe kinds of plugins found at a server, as its page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance_web.views.standing import Shape, number


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest finding of one kind; every text may be hostile.

    Attributes:
        shape: how it looks: "ok" or "degraded"; it says nothing about the score.
        word: "ok", or what was wrong.
        figure: what it measured, with its unit, or "".
    """

    title: str
    shape: Shape
    word: str
    figure: str
    text: str
    ts: float
    rtt_s: float | None


def rows(found: Any) -> list[Seen]:
    """From the answer of /api/v1/sightings/latest; nothing where that cannot be asked."""
    if not isinstance(found, list):
        return []
    made = [_row(one) for one in found if isinstance(one, Mapping)]
    return sorted(made, key=lambda seen: seen.title.lower())


def _row(one: Mapping[str, Any]) -> Seen:
    value, unit = number(one.get("value")), str(one.get("unit") or "")
    error = one.get("error")
    return Seen(
        title=str(one.get("title") or one.get("kind") or ""),
        shape="ok" if error is None else "degraded",
        word="ok" if error is None else str(error),
        figure="" if value is None else f"{value:,.6g} {unit}".rstrip(),
        text=str(one.get("text") or ""),
        ts=number(one.get("ts")) or 0.0,
        rtt_s=number(one.get("rtt_s")),
    )

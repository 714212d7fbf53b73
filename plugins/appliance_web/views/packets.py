"""Time requests as charts: a line for each outcome, and a small chart for each version and family, all on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts.lines import Curve, Spot, line_chart
from appliance_web.charts.scale import Span, nice
from appliance_web.packets import FAMILIES, OUTCOMES, VERSIONS
from appliance_web.views.member import Range
from appliance_web.views.standing import number
from appliance_web.views.traffic import rate

#: What became of a request, and how its line is drawn: told apart without colour too.
_OUTCOMES: Mapping[str, tuple[str, str, str]] = {
    "reply": ("answered", "", "solid"),
    "kiss": ("told off", "second", "dashed"),
    "ignore": ("silence", "third", "dotted"),
}
_SMALL = 56.0


@dataclass(frozen=True, slots=True)
class Small:
    """One of the small charts: what it is of, its rate in words, its part of all."""

    name: str
    said: str
    chart: Markup


@dataclass(frozen=True, slots=True)
class Packets:
    """The charts, and the same as a table.

    Attributes:
        legend: name of each line and how it is drawn.
        versions, families: the small charts.
        columns: names of the outcomes in `rows`.
        rows: time, and the rate of each outcome.
    """

    chart: Markup
    said: str
    legend: Sequence[tuple[str, str, str]]
    versions: Sequence[Small]
    families: Sequence[Small]
    columns: Sequence[str]
    rows: Sequence[tuple[float, Sequence[float | None]]]


def packets(value: Any, chosen: Range) -> Packets | None:
    """From GET /api/v1/traffic/packets; None when nothing was kept yet."""
    kinds = value.get("kinds") if isinstance(value, Mapping) else None
    spots = {what: _spots(rows) for what, rows in kinds.items()} if isinstance(kinds, Mapping) else {}
    spots = {what: found for what, found in spots.items() if any(s.value is not None for s in found)}
    outcomes = [what for what in OUTCOMES if what in spots]
    if not outcomes or not isinstance(value, Mapping):
        return None
    first = min(found[0].ts for found in spots.values())
    end = number(value.get("to_ts")) or max(found[-1].ts for found in spots.values())
    span = Span(min(max(end - chosen.length_s, first), end - 60), end)
    said = "; ".join(f"{_OUTCOMES[what][0]} {_average(spots[what])} a second" for what in outcomes)
    said = f"On average {said}."
    chart = line_chart(
        [Curve(_OUTCOMES[what][0], spots[what], _OUTCOMES[what][1]) for what in outcomes], span,
        title="Time requests a second by what became of them", summary=said, label=lambda v: f"{v:.6g}", ident="packets",
        floor=0.0, height=130.0,
    )  # fmt: skip
    return Packets(
        chart,
        said,
        [_OUTCOMES[what] for what in outcomes],
        _smalls(spots, VERSIONS, span),
        _smalls(spots, FAMILIES, span),
        [_OUTCOMES[what][0] for what in outcomes],
        _rows([spots[what] for what in outcomes]),
    )


_NAMES = {"other": "Other versions", "ipv4": "IPv4", "ipv6": "IPv6"} | {
    f"v{n}": f"NTP version {n}" for n in range(1, 6)
}


def _smalls(spots: Mapping[str, Sequence[Spot]], among: Sequence[str], span: Span) -> list[Small]:
    """A small chart for each kind that came, with one scale for all of them."""
    there = [what for what in among if what in spots]
    total = sum(_mean(spots[what]) for what in there)
    tops = [v for what in there for s in spots[what] for v in (s.value, s.high) if v is not None]
    top = nice(max(tops, default=0.0) or 1.0)
    found = []
    for what in there:
        share = _mean(spots[what]) / total if total else 0.0
        said = f"{_average(spots[what])} a second, {words.percent(share)}"
        chart = line_chart(
            [Curve(_NAMES[what], spots[what])], span, title=f"{_NAMES[what]}, requests a second", summary=f"{said}.",
            label=lambda v: f"{v:.6g}", ident=f"packets-{what}", floor=0.0, top=top, height=_SMALL,
        )  # fmt: skip
        found.append(Small(_NAMES[what], said, chart))
    return found


def _spots(rows: Any) -> list[Spot]:
    return [
        Spot(ts, number(p.get("per_s")), number(p.get("per_s_min")), number(p.get("per_s_max")))
        for p in rows or ()
        if isinstance(p, Mapping) and (ts := number(p.get("ts"))) is not None
    ]


def _mean(spots: Sequence[Spot]) -> float:
    known = [s.value for s in spots if s.value is not None]
    return sum(known) / len(known) if known else 0.0


def _average(spots: Sequence[Spot]) -> str:
    return rate(_mean(spots))


def _rows(columns: Sequence[Sequence[Spot]]) -> list[tuple[float, Sequence[float | None]]]:
    """One row for each time at which something is known, oldest first."""
    by_time = [{s.ts: s.value for s in spots} for spots in columns]
    times = sorted({s.ts for spots in columns for s in spots if s.value is not None})
    return [(ts, [column.get(ts) for column in by_time]) for ts in times]

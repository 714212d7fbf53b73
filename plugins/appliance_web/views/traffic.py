"""Queries a second as a chart and as a sparkline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import sparkline
from appliance_web.charts.lines import Curve, Spot, line_chart
from appliance_web.charts.scale import Linear, Span
from appliance_web.views.member import Range
from appliance_web.views.standing import number


@dataclass(frozen=True, slots=True)
class Line:
    """A chart with what it says in words."""

    chart: Markup
    said: str
    rows: Sequence[tuple[float, float | None]]


def line(value: Any, column: str, chosen: Range, title: str) -> Line | None:
    """From GET /api/v1/traffic; None when nothing was kept yet."""
    if not isinstance(value, Mapping):
        return None
    spots = [
        Spot(ts, number(p.get(column)), number(p.get(f"{column}_min")), number(p.get(f"{column}_max")))
        for p in value.get("points") or ()
        if isinstance(p, Mapping) and (ts := number(p.get("ts"))) is not None
    ]
    known = [s for s in spots if s.value is not None]
    if not known:
        return None
    end = number(value.get("to_ts")) or known[-1].ts
    span = Span(min(max(end - chosen.length_s, known[0].ts), end - 60), end)
    values = [s.value for s in known if s.value is not None]
    most = max((s.high for s in known if s.high is not None), default=max(values))
    said = f"{rate(sum(values) / len(values))} a second on average, at most {rate(most)}."
    chart = line_chart(
        [Curve(title, spots)], span, title=title, summary=said, label=lambda v: f"{v:.6g}", ident=f"traffic-{column}",
        floor=0.0, height=130.0,
    )  # fmt: skip
    return Line(chart, said, [(s.ts, s.value) for s in known])


def spark(value: Any, column: str, title: str) -> tuple[str, Markup]:
    """The rate now in words and the last quarter of an hour as a small line; a dash and nothing before the first."""
    latest = value.get("latest") if isinstance(value, Mapping) else None
    values = [number(v) for v in (latest.get(column) or ())] if isinstance(latest, Mapping) else []
    known = [v for v in values if v is not None]
    if not known:
        return words.DASH, Markup("")
    axis = Linear(0.0, max(*known, 1e-9) * 1.05, 16.0)
    return rate(known[-1]), sparkline(values, f"{title}: {rate(known[-1])} a second now", axis)


def rate(value: float) -> str:
    """A rate with about three digits."""
    return words.count(value) if value >= 100 else f"{value:.3g}"

"""What the charts of a member's page draw, and two of them: score and round trip over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import frame
from appliance_web.charts.pen import Pen
from appliance_web.charts.scale import (
    Linear,
    RootFromTop,
    Span,
    nice,
    score_floor,
)

SCORE_HEIGHT = 130.0
RTT_HEIGHT = 110.0
#: A hole in the data longer than this many times the usual distance between points breaks the line.
HOLE = 3.5


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where the scorer draws its lines. It is asked for them; none of them is written here.

    Attributes:
        good_s: up to this offset a probe earns the full step.
        limit_s: a server that stays at this offset settles at the score that is needed to be answered.
        enter_score: score from which a member is answered.
        top, bottom: range of the score.
    """

    good_s: float
    limit_s: float
    enter_score: float
    top: float = 20.0
    bottom: float = -100.0


class Point(NamedTuple):
    """One probe, or the summary of several.

    Attributes:
        ts: epoch seconds.
        offset_s, rtt_s: of the probe, or the mean; None when nothing valid came back.
        low_s, high_s: smallest and largest offset of a summary.
        p10_s, median_s, p90_s: of a summary the median, and where its lowest tenth ends and its highest begins; None of a single
            probe, and of a summary from before they were kept.
        score: after the probe (the lowest of a summary).
        error: why there is no offset.
        probes: how many are in it.
    """

    ts: float
    offset_s: float | None = None
    rtt_s: float | None = None
    score: float | None = None
    error: str | None = None
    low_s: float | None = None
    high_s: float | None = None
    probes: int = 1
    p10_s: float | None = None
    median_s: float | None = None
    p90_s: float | None = None

    @property
    def shown_s(self) -> float | None:
        """The offset to draw: the median where there is one."""
        return self.offset_s if self.median_s is None else self.median_s

    @property
    def span_s(self) -> tuple[float, float] | None:
        """Of a summary the span to draw: 10-90 %, and lowest to highest where that is all that is known."""
        if self.p10_s is not None and self.p90_s is not None:
            return self.p10_s, self.p90_s
        return None if self.low_s is None or self.high_s is None else (self.low_s, self.high_s)

    @property
    def old(self) -> bool:
        """A summary of offsets from before medians were kept."""
        return self.median_s is None and self.low_s is not None


def score_chart(
    points: Sequence[Point], span: Span, limits: Thresholds | None, ident: str = "score"
) -> Markup:
    """The score as a step line: it holds between probes."""
    height = SCORE_HEIGHT
    shown = [p for p in points if span.holds(p.ts) and p.score is not None]
    top, bottom = (limits.top, limits.bottom) if limits else (20.0, -100.0)
    bottom = score_floor((p.score for p in shown if p.score is not None), bottom)
    axis = RootFromTop(low=bottom, high=top + 1, height=height)
    parts = [frame.time_axis(span, height)]
    enter = limits.enter_score if limits else None
    if enter is not None:
        parts.insert(0, frame.band(0, axis.y(enter), "band-good"))
    for value in sorted({top, 0.0, -20.0, -50.0, bottom}, reverse=True):
        if bottom <= value <= top:
            parts.append(frame.rule(axis.y(value), "grid"))
            parts.append(frame.value_label(f"{value:g}".replace("-", "−"), axis.y(value)))
    if enter is not None:
        parts.append(frame.rule(axis.y(enter), "limit"))
        parts.append(frame.value_label(f"{enter:g}", axis.y(enter), "tick strong"))
    parts.append(
        frame.stretched(
            height, frame.path(_steps([(span.x(p.ts), axis.y(p.score or 0)) for p in shown]), "line score")
        )
    )
    if shown:
        low, final = min(p.score or 0 for p in shown), shown[-1].score
        summary = f"Score between {words.score(low)} and {words.score(max(p.score or 0 for p in shown))}; last {words.score(final)}."
    else:
        summary = "No scores in this time."
    return frame.figure(
        "score",
        title="Score over time",
        summary=summary,
        height=height + 28,
        content=frame.joined(parts),
        ident=ident,
    )


def _steps(places: Sequence[tuple[float, float]]) -> str:
    """Path commands of a line that holds each value until the next one; what stays the same is drawn in one go."""
    pen = Pen()
    for i, (x, y) in enumerate(places):
        if i == 0:
            pen.move(x, y)
        elif y != places[i - 1][1]:
            pen.across(x)
            pen.down(y)
        elif i == len(places) - 1:
            pen.across(x)
    return pen.commands


def rtt_chart(points: Sequence[Point], span: Span, ident: str = "rtt") -> Markup:
    """Round trip of the probes, from zero."""
    height = RTT_HEIGHT
    shown = [p for p in points if span.holds(p.ts)]
    values = [p.rtt_s for p in shown if p.rtt_s is not None]
    axis = Linear(0.0, nice(max(values, default=1e-3) or 1e-6), height)
    parts = [frame.time_axis(span, height)]
    for value in (0.0, axis.high / 2, axis.high):
        parts.append(frame.rule(axis.y(value), "grid"))
        parts.append(frame.value_label(axis_label(value).lstrip("+"), axis.y(value)))
    broken = holes([p.ts for p in shown])
    places: list[tuple[float, float] | None] = []
    for p in shown:
        if p.rtt_s is None or p.ts in broken:
            places.append(None)
        if p.rtt_s is not None:
            places.append((span.x(p.ts), axis.y(p.rtt_s)))
    line = frame.polyline(places)
    dots = frame.dots((place for place in places if place is not None), "dot rtt")
    parts.append(frame.stretched(height, frame.path(line, "line rtt") + dots))
    summary = (
        f"Round trip between {words.seconds(min(values))} and {words.seconds(max(values))}."
        if values
        else "No round trips in this time."
    )
    return frame.figure(
        "rtt",
        title="Round trip time",
        summary=summary,
        height=height + 28,
        content=frame.joined(parts),
        ident=ident,
    )


def classed(offset_s: float, limits: Thresholds | None) -> str:
    """Name the scorer's band: "good", "fair" or "bad"; everything is "good" while the scorer is unknown."""
    if limits is None or abs(offset_s) <= limits.good_s:
        return "good"
    return "fair" if abs(offset_s) <= limits.limit_s else "bad"


def axis_label(value_s: float) -> str:
    """Axis numbers without trailing zeros: "+25 ms", "0"."""
    if value_s == 0:
        return "0"
    size = abs(value_s)
    scaled, unit = (size, "s") if size >= 1 else (size * 1e3, "ms") if size >= 1e-3 else (size * 1e6, "µs")
    return f"{'−' if value_s < 0 else '+'}{scaled:.6g} {unit}"


def holes(times: Sequence[float]) -> set[float]:
    """Times before which nothing was measured for unusually long."""
    gaps = sorted(b - a for a, b in pairwise(times))
    if not gaps:
        return set()
    usual = gaps[len(gaps) // 2]
    return {b for a, b in pairwise(times) if b - a > HOLE * usual}

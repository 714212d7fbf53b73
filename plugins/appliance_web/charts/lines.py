"""Lines over time with the spread behind them, for any value: the clock's offset and frequency, queries a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from appliance_web.charts import frame
from appliance_web.charts.pen import Pen
from appliance_web.charts.scale import Linear, Span, nice

HEIGHT = 150.0
#: Below this height there is room for labels at the ends and in the middle alone.
_ROOM_FOR_FOUR = 90.0


@dataclass(frozen=True, slots=True)
class Spot:
    """One value, or the summary of several; `value` None breaks the line.

    Attributes:
        ts: epoch seconds.
        low, high: smallest and largest of a summary.
    """

    ts: float
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a moment."""

    ts: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: its name and the class that draws it ("", "second": dashes, so that it reads without colour)."""

    name: str
    spots: Sequence[Spot]
    class_: str = ""


def line_chart(
    curves: Sequence[Curve],
    span: Span,
    *,
    title: str,
    summary: str,
    label: Callable[[float], str],
    ident: str,
    height: float = HEIGHT,
    floor: float | None = None,
    top: float | None = None,
    centred: bool = False,
    marks: Iterable[Mark] = (),
) -> Markup:
    """Curves on one axis.

    Args:
        curves: oldest spot first.
        span: time axis.
        title: name of the chart.
        summary: what it shows, in words.
        label: writes a value beside the axis.
        ident: unique in the page.
        height: pixels of the plot.
        floor: the axis begins here whatever the values.
        top: the axis reaches at least here, so that several charts compare.
        centred: zero in the middle.
        marks: moments with a line of their own.
    """
    shown = [Curve(c.name, [s for s in c.spots if span.holds(s.ts)], c.class_) for c in curves]
    values = [v for c in shown for s in c.spots for v in (s.value, s.low, s.high) if v is not None]
    if top is not None:
        values.append(top)
    axis, ticks = _axis(values, height, floor=floor, centred=centred)
    parts = [frame.time_axis(span, height)]
    for value in ticks:
        parts.append(frame.rule(axis.y(value), "zero" if value == 0 else "grid"))
        parts.append(frame.value_label(label(value), axis.y(value)))
    drawn = Markup("")
    for mark in marks:
        if span.holds(mark.ts):
            line = frame.element("title", mark.text) + frame.path(
                f"M{span.x(mark.ts):g} 0V{height:g}", "mark-line"
            )
            drawn += frame.element("g", line)
    for curve in shown:
        drawn += frame.path(_spread(curve.spots, span, axis), f"spread-area {curve.class_}".strip())
        drawn += frame.path(_line(curve.spots, span, axis), f"line {curve.class_}".strip())
        drawn += frame.dots(
            ((span.x(s.ts), axis.y(s.value or 0.0)) for s in lonely(curve.spots)), "dot single"
        )
    parts.append(frame.stretched(height, drawn))
    return frame.figure(
        "lines", title=title, summary=summary, height=height + 28, content=frame.joined(parts), ident=ident
    )


def _axis(
    values: Sequence[float], height: float, *, floor: float | None, centred: bool
) -> tuple[Linear, list[float]]:
    """An axis that holds all values between round ends, and its ticks."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if floor is not None:
        low = floor
    if centred:
        high = max(abs(low), abs(high))
        low = -high
    if high - low < 1e-12:
        pad = abs(high) * 0.1 or 1e-6
        low, high = (low, high + pad) if floor is not None else (low - pad, high + pad)
    step = nice((high - low) / (4 if height >= _ROOM_FOR_FOUR else 2))
    first, last = _floor(low / step), -_floor(-high / step)
    return Linear(first * step, last * step, height), [i * step for i in range(first, last + 1)]


def _floor(value: float) -> int:
    return int(value // 1)


def _line(spots: Sequence[Spot], span: Span, axis: Linear) -> str:
    return frame.polyline(None if s.value is None else (span.x(s.ts), axis.y(s.value)) for s in spots)


def _spread(spots: Sequence[Spot], span: Span, axis: Linear) -> str:
    """One closed shape for each run of summaries."""
    pen = Pen()
    run: list[tuple[float, float, float]] = []
    for spot in [*spots, Spot(0.0, None)]:
        if spot.low is not None and spot.high is not None:
            run.append((span.x(spot.ts), axis.y(spot.high), axis.y(spot.low)))
            continue
        if len(run) > 1 and any(top != bottom for _, top, bottom in run):
            pen.band(run)
        run = []
    return pen.commands


def lonely(spots: Sequence[Spot]) -> list[Spot]:
    """Values without a neighbour, which no line would show."""
    around = [Spot(0.0, None), *spots, Spot(0.0, None)]
    return [
        here
        for (before, here), (_, after) in zip(pairwise(around[:-1]), pairwise(around[1:]), strict=True)
        if here.value is not None and before.value is None and after.value is None
    ]

"""A server's offsets over time: single probes, or medians with a band where many probes are one point."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import frame
from appliance_web.charts.frame import element
from appliance_web.charts.history import Point, Thresholds, axis_label, classed, holes
from appliance_web.charts.pen import Pen
from appliance_web.charts.scale import Arcsinh, Span, offset_axis, offset_ticks

OFFSET_HEIGHT = 220.0
#: Room below the offsets for the probes that brought no time.
LANE = 24.0


@dataclass(frozen=True, slots=True)
class Flag:
    """Something to mark in the chart; `kind` is one of the words of `_LETTERS`."""

    ts: float
    kind: str
    text: str


def letter(kind: str) -> str:
    """What stands on the line of a mark."""
    return _LETTERS.get(kind, "•")


_LETTERS = {"kiss": "K", "leap": "L", "stratum": "S", "in": "↑", "out": "↓"}


def offset_chart(
    points: Sequence[Point],
    span: Span,
    limits: Thresholds | None,
    ident: str = "offset",
    flags: Sequence[Flag] = (),
) -> Markup:
    """Offsets as dots on an arcsinh axis over the scorer's bands; probes without an offset stand in a lane below.

    Summaries are a line through their medians in a band of 10-90 %; those from before medians were kept are a broken line
    through their means in a paler band from lowest to highest.
    """
    height = OFFSET_HEIGHT
    shown = [p for p in points if span.holds(p.ts)]
    bands = (limits.good_s, limits.limit_s) if limits else ()
    axis = offset_axis(drawn_values(shown), bands, height)
    parts: list[Markup] = []
    if limits:
        parts += [
            frame.band(axis.y(limits.limit_s), axis.y(-limits.limit_s), "band-limit"),
            frame.band(axis.y(limits.good_s), axis.y(-limits.good_s), "band-good"),
        ]
        for value in (limits.good_s, -limits.good_s, limits.limit_s, -limits.limit_s):
            parts.append(frame.rule(axis.y(value), "limit"))
            parts.append(frame.value_label(axis_label(value), axis.y(value), "tick strong"))
    parts.append(frame.time_axis(span, height + LANE))
    for value in offset_ticks(axis, bands):
        parts.append(frame.rule(axis.y(value), "zero" if value == 0 else "grid"))
        parts.append(frame.value_label(axis_label(value), axis.y(value)))
    places = _places(shown, span, axis, limits)
    marks = _summaries(shown, places, axis)
    size = " small" if marks else ""  # or they would hide their band
    for name in ("good", "fair", "bad"):
        chosen = ((at.x, at.y) for at in places if at and at.name == name)
        marks += frame.dots(chosen, f"dot {name}{size}")
    lost = [p for p in shown if p.offset_s is None]
    marks += frame.path("".join(f"M{span.x(p.ts):g} {height + 12:g}v9" for p in lost), "lost")
    parts.append(frame.stretched(height + LANE, marks))
    parts.append(frame.value_label("no time", height + 17, "tick"))
    parts += [_flag(flag, span, height + LANE) for flag in flags if span.holds(flag.ts)]
    return frame.figure(
        "offset", title="Offset over time", summary=offset_summary(shown, limits), height=height + LANE + 28,
        content=frame.joined(parts), ident=ident,
    )  # fmt: skip


def drawn_values(points: Iterable[Point]) -> list[float]:
    """All offsets that are drawn, for the axis: what lies outside the band of a summary bends no picture."""
    return [v for p in points for v in (p.shown_s, *(p.span_s or ())) if v is not None]


def _flag(flag: Flag, span: Span, height: float) -> Markup:
    """A line through the chart with a letter on top; a pointer that rests on it is told what happened."""
    at = f"{span.x(flag.ts) / 10:g}%"
    content = element("title", flag.text)
    content += element("line", x1=at, x2=at, y1="0", y2=f"{height:g}")
    content += element("circle", cx=at, cy="8", r="8")
    content += element("text", letter(flag.kind), x=at, y="12", text_anchor="middle")
    return element("g", content, class_=f"flag {flag.kind}")


# -- many probes in one point ------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where the offset of a point is drawn, and the name of the scorer's band that it is in."""

    point: Point
    x: float
    y: float
    name: str


def _places(
    shown: Sequence[Point], span: Span, axis: Arcsinh, limits: Thresholds | None
) -> list[_Place | None]:
    values = [p.shown_s for p in shown]
    ys = iter(axis.ys(v for v in values if v is not None))
    return [
        None if v is None else _Place(p, span.x(p.ts), next(ys), classed(v, limits))
        for p, v in zip(shown, values, strict=True)
    ]


def _summaries(shown: Sequence[Point], places: Sequence[_Place | None], axis: Arcsinh) -> Markup:
    """Bands and lines below the dots; nothing where each point is one probe."""
    if not any(p.span_s for p in shown):
        return Markup("")
    drawn = Markup("")
    for run in _runs(shown, places):
        age = " old" if run[0].point.old else ""
        spans = [at.point.span_s or (at.point.shown_s or 0.0,) * 2 for at in run]
        tops, floors = axis.ys(high for _, high in spans), axis.ys(low for low, _ in spans)
        pen = Pen()
        if len(run) == 1:
            pen.move(run[0].x, tops[0])
            pen.down(floors[0])
            drawn += frame.path(pen.commands, "spread")
            continue
        pen.band([(at.x, top, floor) for at, top, floor in zip(run, tops, floors, strict=True)])
        drawn += frame.path(pen.commands, f"spread-area offsets{age}")
        drawn += frame.path(frame.polyline((at.x, at.y) for at in run), f"line middle{age}")
    return drawn


def _runs(shown: Sequence[Point], places: Sequence[_Place | None]) -> list[list[_Place]]:
    """Neighbours with an offset, cut at holes, and where old summaries meet new ones."""
    broken = holes([p.ts for p in shown])
    runs: list[list[_Place]] = []
    before: _Place | None = None
    for here in places:
        if here is not None:
            if before is None or here.point.ts in broken or here.point.old != before.point.old:
                runs.append([])
            runs[-1].append(here)
        before = here
    return runs


# -- in words ----------------------------------------------------------------------------------------------------------


def offset_legend(points: Sequence[Point]) -> str:
    """What a point of the chart is, in a sentence or two for below it; "" while there is none."""
    found = [p for p in points if p.offset_s is not None]
    if not found:
        return ""
    summaries = [p for p in found if p.span_s]
    old = [p for p in summaries if p.old]
    if not summaries:
        return "Each point is one probe."
    why = "their single probes were gone before medians were kept."
    if len(old) == len(summaries):
        return f"Each point is the mean of its probes, in the band from lowest to highest: {why}"
    text = "Each point is the median of its probes, in the band of 10–90 %: a tenth of them lies below it, a tenth above."
    return text + (f" The paler points are means, from lowest to highest: {why}" if old else "")


def offset_summary(shown: Sequence[Point], limits: Thresholds | None) -> str:
    """The chart in words."""
    if not shown:
        return "No probes in this time."
    lost = sum(p.probes for p in shown if p.offset_s is None)
    found = [p for p in shown if p.offset_s is not None]
    if not found:
        return f"{words.plural(lost, 'probe')}, none of which brought a time."
    wide = [p for p in found if p.span_s]
    ordered = sorted(v for p in found if (v := p.shown_s) is not None)
    probes = words.plural(sum(p.probes for p in shown), "probe")
    text = f"Median {words.offset(ordered[len(ordered) // 2])}, "
    if medians := [p for p in wide if not p.old]:
        low, high = (min(p.p10_s or 0.0 for p in medians), max(p.p90_s or 0.0 for p in medians))
        text += f"10–90 % of each point between {words.offset(low)} and {words.offset(high)}, single probes "
    ends = [v for p in found for v in (p.offset_s, p.low_s, p.high_s) if v is not None]
    text += f"from {words.offset(min(ends))} to {words.offset(max(ends))}, in {probes}"
    if limits:
        beyond = [p for p in found if abs(p.shown_s or 0.0) > limits.limit_s]
        number = f"{len(beyond)} of {words.plural(len(found), 'point')}" if wide else str(len(beyond))
        text += f"; {number} beyond {words.seconds(limits.limit_s)}"
    if old := sum(p.old for p in wide):
        text += f"; {words.plural(old, 'older point')} with a mean in place of the median"
    return text + (f"; {lost} without an answer." if lost else ".")

"""The three charts of a member's page: offset, score and round trip over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import frame
from appliance_web.charts.frame import element
from appliance_web.charts.scale import (
    Linear,
    RootFromTop,
    Span,
    nice,
    offset_axis,
    offset_ticks,
    score_floor,
)

OFFSET_HEIGHT = 220.0
SCORE_HEIGHT = 130.0
RTT_HEIGHT = 110.0
#: Room below the offsets for the probes that brought no time.
LANE = 24.0
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


@dataclass(frozen=True, slots=True)
class Point:
    """One probe, or the summary of several.

    Attributes:
        ts: epoch seconds.
        offset_s, rtt_s: of the probe, or the mean; None when nothing valid came back.
        low_s, high_s: smallest and largest offset of a summary.
        score: after the probe (the lowest of a summary).
        error: why there is no offset.
        count: probes in it.
    """

    ts: float
    offset_s: float | None = None
    rtt_s: float | None = None
    score: float | None = None
    error: str | None = None
    low_s: float | None = None
    high_s: float | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Flag:
    """Something to mark in the chart; `kind` is one of the words of `_LETTERS`."""

    ts: float
    kind: str
    text: str

    @property
    def letter(self) -> str:
        return _LETTERS.get(self.kind, "•")


_LETTERS = {"kiss": "K", "leap": "L", "stratum": "S", "in": "↑", "out": "↓"}


def offset_chart(
    points: Sequence[Point],
    span: Span,
    limits: Thresholds | None,
    ident: str = "offset",
    flags: Sequence[Flag] = (),
) -> Markup:
    """Offsets as dots on an arcsinh axis over the scorer's bands; probes without an offset stand in a lane below."""
    height = OFFSET_HEIGHT
    shown = [p for p in points if span.holds(p.ts)]
    values = [v for p in shown for v in (p.offset_s, p.low_s, p.high_s) if v is not None]
    bands = (limits.good_s, limits.limit_s) if limits else ()
    axis = offset_axis(values, bands, height)
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
    spread = [p for p in shown if p.low_s is not None and p.high_s is not None]
    marks = frame.path(
        "".join(f"M{span.x(p.ts):g} {axis.y(p.low_s or 0):g}V{axis.y(p.high_s or 0):g}" for p in spread),
        "spread",
    )
    for name in ("good", "fair", "bad"):
        chosen = [p for p in shown if p.offset_s is not None and classed(p.offset_s, limits) == name]
        marks += frame.dots(((span.x(p.ts), axis.y(p.offset_s or 0)) for p in chosen), f"dot {name}")
    lost = [p for p in shown if p.offset_s is None]
    marks += frame.path("".join(f"M{span.x(p.ts):g} {height + 12:g}v9" for p in lost), "lost")
    parts.append(frame.stretched(height + LANE, marks))
    parts.append(frame.value_label("no time", height + 17, "tick"))
    parts += [_flag(flag, span, height + LANE) for flag in flags if span.holds(flag.ts)]
    return frame.figure(
        "offset", title="Offset over time", summary=_offset_summary(shown, values, limits),
        height=height + LANE + 28, content=frame.joined(parts), ident=ident,
    )  # fmt: skip


def _flag(flag: Flag, span: Span, height: float) -> Markup:
    """A line through the chart with a letter on top; a pointer that rests on it is told what happened."""
    at = f"{span.x(flag.ts) / 10:g}%"
    content = element("title", flag.text)
    content += element("line", x1=at, x2=at, y1="0", y2=f"{height:g}")
    content += element("circle", cx=at, cy="8", r="8")
    content += element("text", flag.letter, x=at, y="12", text_anchor="middle")
    return element("g", content, class_=f"flag {flag.kind}")


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
    commands, last = "", None
    for p in shown:
        x, y = span.x(p.ts), axis.y(p.score or 0)
        commands += f"H{x:g}V{y:g}" if last is not None else f"M{x:g} {y:g}"
        last = p
    parts.append(frame.stretched(height, frame.path(commands, "line score")))
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
    holes = _holes([p.ts for p in shown])
    places: list[tuple[float, float] | None] = []
    for p in shown:
        places += [None] if p.ts in holes or p.rtt_s is None else []
        places += [(span.x(p.ts), axis.y(p.rtt_s))] if p.rtt_s is not None else []
    line = frame.polyline(places)
    dots = frame.dots(((span.x(p.ts), axis.y(p.rtt_s)) for p in shown if p.rtt_s is not None), "dot rtt")
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


def _holes(times: Sequence[float]) -> set[float]:
    """Times before which nothing was measured for unusually long."""
    gaps = sorted(b - a for a, b in pairwise(times))
    if not gaps:
        return set()
    usual = gaps[len(gaps) // 2]
    return {b for a, b in pairwise(times) if b - a > HOLE * usual}


def _offset_summary(shown: Sequence[Point], values: Sequence[float], limits: Thresholds | None) -> str:
    if not shown:
        return "No probes in this time."
    lost = sum(p.count for p in shown if p.offset_s is None)
    if not values:
        return f"{words.plural(lost, 'probe')}, none of which brought a time."
    middle = sorted(p.offset_s for p in shown if p.offset_s is not None)[
        sum(p.offset_s is not None for p in shown) // 2
    ]
    text = (
        f"Median {words.offset(middle)}, from {words.offset(min(values))} to {words.offset(max(values))}, "
        f"in {words.plural(sum(p.count for p in shown), 'probe')}"
    )
    if limits:
        beyond = sum(p.count for p in shown if p.offset_s is not None and abs(p.offset_s) > limits.limit_s)
        text += f"; {beyond} beyond {words.seconds(limits.limit_s)}"
    return text + (f"; {lost} without an answer." if lost else ".")

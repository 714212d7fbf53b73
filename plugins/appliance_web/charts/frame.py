"""The parts that every chart is made of: frame, axes, marks; all text is escaped by markupsafe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, cast

from markupsafe import Markup, escape

from appliance_web.charts.pen import Pen
from appliance_web.charts.scale import Span, Tick, time_ticks
from appliance_web.words import printable

#: Text that means the same to everybody: digits, paths, names of classes.
_INERT: Final = re.compile(r"[\w .,%#:+-]*", re.ASCII).fullmatch


def said(text: object) -> Markup:
    """Text of whoever it is, escaped, and without what a reader's screen would obey; markup of ours as it is."""
    return escape(text if isinstance(text, Markup) else printable(text))


def element(name: str, content: Markup | str = "", **attributes: object) -> Markup:
    """One SVG element; `class_` and `data_ts` style names become `class` and `data-ts`, None leaves an attribute out."""
    pairs = "".join(
        [
            f' {key.rstrip("_").replace("_", "-")}="{value if type(value) is str and _INERT(value) else said(value)}"'
            for key, value in attributes.items()
            if value is not None
        ]
    )
    return Markup(f"<{name}{pairs}>{said(content)}</{name}>")  # noqa: S704 - every part is escaped above


def joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def text(
    words: str, x_percent: float, y: float, *, anchor: str = "start", dx: float = 0, **more: object
) -> Markup:
    return element("text", words, x=f"{x_percent:g}%", y=f"{y:g}", dx=dx or None, text_anchor=anchor, **more)


def rule(y: float, class_: str) -> Markup:
    """A horizontal line over the whole width."""
    return element("line", x1="0", x2="100%", y1=f"{y:g}", y2=f"{y:g}", class_=class_)


def band(top: float, bottom: float, class_: str) -> Markup:
    """A horizontal band over the whole width."""
    return element(
        "rect", x="0", width="100%", y=f"{top:g}", height=f"{max(0.0, bottom - top):g}", class_=class_
    )


def stretched(height: float, content: Markup) -> Markup:
    """A layer 1000 wide that follows the chart's width; strokes in it keep their thickness."""
    return element(
        "svg", content, width="100%", height=f"{height:g}", viewBox=f"0 0 1000 {height:g}", preserveAspectRatio="none",
        class_="stretch",
    )  # fmt: skip


def path(commands: str, class_: str) -> Markup:
    """A path for `stretched`, or nothing when there is nothing to draw."""
    return (
        element("path", d=commands, class_=class_, vector_effect="non-scaling-stroke")
        if commands
        else Markup("")
    )


def dots(places: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Many marks in one element: lines of no length, whose caps (round or square, by class) stay undistorted."""
    pen = Pen()
    pen.dots(places)
    return path(pen.commands, class_)


def polyline(places: Iterable[tuple[float, float] | None]) -> str:
    """Path commands through `places`; None breaks the line."""
    pen = Pen()
    for there, run in groupby(places, key=lambda place: place is not None):
        if there:
            first, *rest = cast("Iterator[tuple[float, float]]", run)
            pen.move(*first)
            pen.lines(rest)
    return pen.commands


def time_axis(span: Span, height: float) -> Markup:
    """Ticks below the chart in UTC; a script may rewrite them to local time by their data-ts."""
    parts = []
    for number, tick in enumerate(reversed(time_ticks(span))):
        at = span.x(tick.ts) / 10
        parts.append(
            element("line", x1=f"{at:g}%", x2=f"{at:g}%", y1="0", y2=f"{height + 4:g}", class_="grid")
        )
        parts.append(
            text(
                tick.label,
                at,
                height + 18,
                anchor=_anchor(at),
                class_="tick odd" if number % 2 else "tick",
                data_ts=f"{tick.ts:.0f}",
            )
        )
    return joined(parts)


def _anchor(at_percent: float) -> str:
    """Labels near an edge lean inwards."""
    return "start" if at_percent < 3 else "end" if at_percent > 97 else "middle"


def value_label(words: str, y: float, class_: str = "tick") -> Markup:
    """A label left of the chart, in its padding."""
    return text(words, 0, y + 3.5, anchor="end", dx=-8, class_=class_)


def figure(kind: str, *, title: str, summary: str, height: float, content: Markup, ident: str) -> Markup:
    """The outer `<svg>` with its name and its content in words for those who cannot see it."""
    head = element("title", title, id=f"{ident}-t") + element("desc", summary, id=f"{ident}-d")
    return element(
        "svg", head + content, class_=f"chart {kind}", height=f"{height:g}", role="img",
        aria_labelledby=f"{ident}-t", aria_describedby=f"{ident}-d",
    )  # fmt: skip


__all__ = [
    "Tick", "band", "dots", "element", "figure", "joined", "path", "polyline", "rule", "stretched", "text", "time_axis",
    "value_label",
]  # fmt: skip

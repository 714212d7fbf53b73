"""Small marks for table rows and cards: sparkline, status strip, share bar."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import frame
from appliance_web.charts.history import Thresholds
from appliance_web.charts.scale import Linear, Vertical, offset_axis

WIDTH = 96.0
HEIGHT = 22.0
_ROW_HEIGHT = 32.0
#: Per cent of a dot plot's width that a label takes.
_LABEL_ROOM = 16.0
#: A status as the height it fills in a strip, so that it reads without colour: full, half, a stub, a hairline.
_STRIP_HEIGHT = {"ok": 1.0, "degraded": 0.62, "failing": 0.3, "none": 0.08}


def sparkline(
    values: Sequence[float | None], title: str, axis: Vertical | None = None, *, zero: float | None = None
) -> Markup:
    """The last values as a small line with a dot at the newest; None leaves a hole. Without `axis` it fits itself.

    `zero` draws a faint line at that value.
    """
    known = [v for v in values if v is not None]
    if not known:
        return Markup("")
    axis = axis or _fitting(known)
    spacing, place = (WIDTH - 8) / max(1, len(values) - 1), axis.y
    places = [None if v is None else (round(4 + i * spacing, 1), place(v) + 3) for i, v in enumerate(values)]
    base = "" if zero is None else f'<path d="M4 {place(zero) + 3:g}H{WIDTH - 4:g}" class="base"/>'
    last = places[-1]
    tip = "" if last is None else f'<circle cx="{last[0]:g}" cy="{last[1]:g}" r="2.2" class="tip"/>'
    # A table has a hundred of these: they are written in one piece, and the title alone needs escaping.
    return Markup(  # noqa: S704
        f'<svg class="spark" width="{WIDTH:g}" height="{HEIGHT:g}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img">'
        f'<title>{frame.said(title)}</title>{base}<path d="{frame.polyline(places)}" class="line"/>{tip}</svg>'
    )


def history(
    values: Sequence[float | None], cells: Sequence[str], title: str, axis: Vertical, *, zero: float
) -> Markup:
    """For a row of a table: a line of the latest values over a strip of statuses, one cell each, oldest first."""
    spacing, width = (WIDTH - 4) / max(1, len(values) - 1), WIDTH / max(1, len(cells))
    places = [None if v is None else (round(2 + i * spacing, 1), axis.y(v) + 2) for i, v in enumerate(values)]
    drawn = ""
    for status, share in _STRIP_HEIGHT.items():
        tall = round(9 * share, 1)
        commands = "".join(
            f"M{i * width:.1f} {_ROW_HEIGHT - tall:g}h{width * 0.8:.1f}v{tall:g}h-{width * 0.8:.1f}z"
            for i, cell in enumerate(cells)
            if cell == status
        )
        drawn += f'<path d="{commands}" class="{status}"/>' if commands else ""
    return Markup(  # noqa: S704 - written in one piece as the line above; the title alone needs escaping
        f'<svg class="spark strip" width="{WIDTH:g}" height="{_ROW_HEIGHT:g}" viewBox="0 0 {WIDTH:g} {_ROW_HEIGHT:g}" role="img">'
        f'<title>{frame.said(title)}</title><path d="M2 {axis.y(zero) + 2:g}H{WIDTH - 2:g}" class="base"/>'
        f'<path d="{frame.polyline(places)}" class="line"/>{drawn}</svg>'
    )


def _fitting(known: Sequence[float]) -> Linear:
    low, high = min(known), max(known)
    pad = (high - low) * 0.05 or abs(high) * 0.5 or 1.0
    return Linear(low - pad, high + pad, HEIGHT - 6)


def strip(cells: Sequence[str], title: str) -> Markup:
    """One column per time cell: "ok", "degraded", "failing" or "none"; one path per status, whatever their number."""
    if not cells:
        return Markup("")
    width = 1000 / len(cells)
    gap = min(3.0, width * 0.25)
    content = frame.element("title", title)
    for status, share in _STRIP_HEIGHT.items():
        tall = round((HEIGHT - 2) * share, 1)
        commands = "".join(
            f"M{i * width:.1f} {HEIGHT - tall:g}h{width - gap:.1f}v{tall:g}h-{width - gap:.1f}z"
            for i, cell in enumerate(cells)
            if cell == status
        )
        if commands:
            content += frame.element("path", d=commands, class_=status)
    return frame.element(
        "svg", content, class_="strip", width="100%", height=f"{HEIGHT:g}", viewBox=f"0 0 1000 {HEIGHT:g}",
        preserveAspectRatio="none", role="img",
    )  # fmt: skip


def dot_plot(offsets: Sequence[float], limits: Thresholds | None) -> Markup:
    """A few offsets side by side on one line, over the scorer's bands, zero in the middle."""
    if not offsets:
        return Markup("")
    bands = (limits.good_s, limits.limit_s) if limits else ()
    axis = offset_axis(offsets, bands, 1000.0)

    def across(value: float) -> float:
        return round((1000.0 - axis.y(value)) / 10, 1)  # the same axis, lying on its side

    parts = []
    if limits:
        for value, class_ in ((limits.limit_s, "band-limit"), (limits.good_s, "band-good")):
            left = across(-value)
            parts.append(
                frame.element(
                    "rect",
                    x=f"{left:g}%",
                    width=f"{across(value) - left:g}%",
                    y="0",
                    height="30",
                    class_=class_,
                )
            )
            for side in (-value, value):
                at, label = f"{across(side):g}%", words.offset(side)
                apart = abs(across(side) - across(limits.good_s if side > 0 else -limits.good_s))
                label = "" if 0 < apart < _LABEL_ROOM else label  # two labels would write over each other
                parts.append(frame.element("line", x1=at, x2=at, y1="0", y2="30", class_="limit"))
                parts.append(frame.element("text", label, x=at, y="44", text_anchor="middle", class_="tick"))
    parts.append(frame.element("line", x1="50%", x2="50%", y1="0", y2="30", class_="zero"))
    parts += [frame.element("circle", cx=f"{across(v):g}%", cy="15", r="4.5", class_="tip") for v in offsets]
    title = f"{words.plural(len(offsets), 'offset')} from {words.offset(min(offsets))} to {words.offset(max(offsets))}"
    content = frame.joined([frame.element("title", title), *parts])
    return frame.element("svg", content, class_="dots", width="100%", height="50", role="img")


@functools.lru_cache(maxsize=512)
def share_bar(share: float, title: str) -> Markup:
    """A bar for a share of 0 to 1 of the whole."""
    held = min(max(share, 0.0), 1.0)
    content = frame.element("title", title)
    content += frame.element("rect", x="0", y="0", width="100%", height="8", class_="rail")
    content += frame.element("rect", x="0", y="0", width=f"{held * 100:.2f}%", height="8", class_="fill")
    return frame.element("svg", content, class_="share", width="100%", height="8", role="img")

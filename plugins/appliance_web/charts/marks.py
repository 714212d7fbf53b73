"""Small marks for table rows and cards: sparkline, status strip, share bar."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from appliance_web.charts import frame
from appliance_web.charts.scale import Linear, Vertical

WIDTH = 96.0
HEIGHT = 22.0
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
        f'<title>{escape(title)}</title>{base}<path d="{frame.polyline(places)}" class="line"/>{tip}</svg>'
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


def share_bar(share: float, title: str) -> Markup:
    """A bar for a share of 0 to 1 of the whole."""
    held = min(max(share, 0.0), 1.0)
    content = frame.element("title", title)
    content += frame.element("rect", x="0", y="0", width="100%", height="8", class_="rail")
    content += frame.element("rect", x="0", y="0", width=f"{held * 100:.2f}%", height="8", class_="fill")
    return frame.element("svg", content, class_="share", width="100%", height="8", role="img")

"""How values read on pages: units and digits of `appliance.core.figures`, with a dash for what is not there."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from markupsafe import Markup, escape

from appliance.api.foreign import visible
from appliance.core import figures

DASH = "–"
_OUR_SPACES = "\u202f\u00a0"
_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def seconds(value_s: float | None, *, signed: bool = False) -> str:
    """A short time in the unit that suits it: "+0.41 ms", "12 µs", "1.25 s"; a dash for None."""
    if value_s is None or not math.isfinite(value_s):
        return DASH
    return figures.typeset(figures.seconds(value_s, signed=signed))


def offset(value_s: float | None) -> str:
    """An offset always shows its sign: positive is ahead of us."""
    return seconds(value_s, signed=True)


def duration(value_s: float | None) -> str:
    """A span of time in its largest fitting unit: "8 s", "9 min", "3 h", "12 d"."""
    if value_s is None or not math.isfinite(value_s):
        return DASH
    for size, unit in _SPANS:
        if abs(value_s) >= (100 if unit == "min" else size * 1.5):
            return f"{value_s / size:.0f} {unit}"
    return f"{value_s:.0f} s"


def ago(ts: float | None, now: float) -> str:
    """How long ago, or how far ahead: "just now", "9 min ago", "in 3 h"; "never" for None."""
    if ts is None:
        return "never"
    age = now - ts
    if abs(age) < 1.5:
        return "just now"
    return f"{duration(age)} ago" if age > 0 else f"in {duration(-age)}"


def score(value: float | None) -> str:
    """A score with one decimal, as the NTP Pool shows it."""
    return DASH if value is None else figures.typeset(figures.score(value))


def step(value: float | None) -> str:
    """A score step with its sign and at most three decimals."""
    return DASH if value is None else figures.typeset(figures.step(value))


def percent(share: float | None) -> str:
    """0.0612 is "6.1 %"; anything that is not zero shows at least "<0.1 %"."""
    return DASH if share is None else figures.percent(share)


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return DASH if value is None else f"{value:,.0f}".replace(",", "\u202f")


def size(value: float | None) -> str:
    """Bytes in the unit that suits them: "4.1 kB", "83.6 GB"."""
    if value is None:
        return DASH
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def plural(number: int, one: str, many: str = "") -> str:
    """A number and its noun: "1 server", "5 servers"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def moment(ts: float | None) -> str:
    """UTC, as people write it: "2026-03-14 09:26:53"."""
    return DASH if ts is None else _utc(ts).isoformat(" ", "seconds")[:19]


def iso(ts: float | None) -> str:
    """For `<time datetime>`: RFC 3339 in UTC."""
    return "" if ts is None else f"{_utc(ts).isoformat('T', 'seconds')[:19]}Z"


def _utc(ts: float) -> datetime:
    """`ts` as a date, held inside what a date can be: a hostile or broken number must not break a page."""
    return datetime.fromtimestamp(min(max(ts, -62_135_596_800.0), 253_402_300_799.0), UTC)


_LEAP = {0: "none", 1: "last minute has 61 s", 2: "last minute has 59 s", 3: "not synchronised"}


def leap(value: int | None) -> str:
    """The leap indicator in words (RFC 5905 figure 9)."""
    return DASH if value is None else _LEAP.get(value, str(value))


def bare(reason: str) -> str:
    """A reason without the "in: " or "out: " before it, for where the state stands beside it."""
    return reason.removeprefix("in: ").removeprefix("out: ")


def said(text: object) -> str:
    """What another part says, with its numbers as this page writes them."""
    return figures.typeset(str(text))


def ticks(text: str) -> Markup:
    """Text with `commands` in backticks, as markup; everything in it is escaped."""
    parts = printable(text).split("`")
    if len(parts) % 2 == 0:
        return escape(said("`".join(parts)))
    return Markup("").join(
        Markup("<code>{}</code>").format(p) if i % 2 else escape(said(p)) for i, p in enumerate(parts)
    )


def printable(text: object) -> str:
    """Text from the network with control bytes made visible; HTML escaping is the template's work."""
    return visible(text, keep=_OUR_SPACES)

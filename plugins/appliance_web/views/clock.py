"""The clock's page: is the time right, who says so, how it ran, and what would make it better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from appliance_web import words
from appliance_web.charts import frame, share_bar
from appliance_web.charts.lines import Curve, Mark, Spot, line_chart
from appliance_web.charts.scale import Span
from appliance_web.views.member import DEFAULT_RANGE, RANGES, Range
from appliance_web.views.standing import Sentence, Shape, number

#: State of a source, how it looks, and what it means.
_STATES: Mapping[str, tuple[Shape, str]] = {
    "selected": ("ok", "followed"),
    "selectable": ("ok", "agrees"),
    "not selected": ("ok", "agrees, in reserve"),
    "jittery": ("degraded", "jitters too much"),
    "falseticker": ("failing", "wrong time"),
    "not selectable": ("none", "not usable yet"),
}
_SOURCES = {
    "chrony": "chronyd disciplines the system clock and tells what it is worth",
    "kernel": "the kernel's word that some program disciplines the clock",
    "local": "nobody: the system clock is served as it is",
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source of chronyd; every text may be hostile.

    Attributes:
        reach: the last eight polls as dots, newest on the right.
    """

    called: str
    sub: str
    shape: Shape
    word: str
    stratum: str
    reach: Markup
    reached: str
    poll: str
    last: str
    offset: str
    margin: str
    jitter: str


def chosen_range(query: Mapping[str, str]) -> Range:
    return RANGES.get(query.get("range", ""), RANGES[DEFAULT_RANGE])


def sentence(clock: Any) -> Sentence:
    """The page's verdict."""
    if not isinstance(clock, Mapping):
        return Sentence(
            "failing",
            "Nobody watches the clock.",
            "The clock plugin is not running; see Plugins for the reason.",
        )
    why = str(clock.get("why", "")).rstrip(".")
    more = f"{why if why.startswith('chronyd') else why[:1].upper() + why[1:]}." if why else ""
    if not clock.get("synchronised"):
        return Sentence("failing", "The time is not to be trusted now, and replies say so.", more)
    right = words.seconds(number(clock.get("root_distance_s")))
    if clock.get("source") == "local":
        return Sentence(
            "degraded",
            "The system clock is served as it is; nobody vouches for it.",
            f"Replies say that it is right to {right}, at stratum {clock.get('stratum')}: that is what we claim, not what was measured.",
        )
    shape: Shape = "degraded" if clock.get("warnings") else "ok"
    return Sentence(shape, f"The time is right to {right}, at stratum {clock.get('stratum')}.", more)


def facts(clock: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """Label and value pairs, only those that say something."""
    chrony, kernel = _map(clock.get("chrony")), _map(clock.get("kernel"))
    tracking = _map(chrony.get("tracking"))
    synchronised = bool(clock.get("synchronised"))
    source = str(clock.get("source", ""))
    tai = number(kernel.get("tai_offset_s"))
    frequency = number(tracking.get("frequency_ppm")) if tracking else number(kernel.get("frequency_ppm"))
    skew = number(tracking.get("skew_ppm"))
    pairs: list[tuple[str, str | None]] = [
        ("Vouched for by", _SOURCES.get(source, source or "nobody")),
        ("Stratum", str(clock.get("stratum")) if synchronised else "16, not synchronised"),
        ("Reference", (str(clock.get("refid_text") or "") or None) if synchronised else None),
        (
            "Last correction",
            words.ago(number(clock.get("reference_ts")), now) if synchronised and tracking else None,
        ),
        ("Still to correct", words.offset(number(clock.get("correction_s"))) if synchronised else None),
        (
            "Offset of the last update",
            words.offset(number(tracking.get("last_offset_s"))) if tracking else None,
        ),
        ("Typical offset (RMS)", words.seconds(number(tracking.get("rms_offset_s"))) if tracking else None),
        ("The bare clock runs", None if frequency is None else pace(frequency, skew)),
        ("Leap second announced", words.leap(int(number(clock.get("leap")) or 0)) if synchronised else None),
        ("TAI − UTC", None if tai is None else f"{tai:.0f} s" if tai else "the kernel does not know it"),
    ]
    return [(label, value) for label, value in pairs if value]


def pace(ppm: float, skew_ppm: float | None = None) -> str:
    """A frequency error as a person reads it: fast or slow, and what that makes in a day."""
    day = words.seconds(abs(ppm) * 1e-6 * 86400)
    margin = "" if skew_ppm is None else f", known to ±{skew_ppm:.3g}"
    return f"{abs(ppm):.3f} ppm {'fast' if ppm >= 0 else 'slow'} ({day} a day){margin}"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the root distance, as a share of the limit."""

    label: str
    value: str
    bar: Markup


def distance(clock: Mapping[str, Any]) -> list[Part]:
    """What the root distance is made of, each part beside the limit; nothing while not synchronised."""
    limit, total = number(clock.get("max_distance_s")), number(clock.get("root_distance_s"))
    delay, dispersion = number(clock.get("root_delay_s")), number(clock.get("root_dispersion_s"))
    if not clock.get("synchronised") or None in (limit, total, delay, dispersion) or not total:
        return []
    parts = (
        ("Half the round trip to the reference clock", (delay or 0) / 2),
        ("Dispersion: jitter, and what piled up since the last update", dispersion or 0.0),
    )
    return [
        Part(
            label,
            f"{words.seconds(value)} ({words.percent(value / total)})",
            share_bar(value / total, f"{words.percent(value / total)} of the root distance"),
        )
        for label, value in parts
    ]


def sources(clock: Mapping[str, Any], now: float) -> list[SourceRow]:
    """Chronyd's sources, the one that is followed first."""
    rows = [s for s in _map(clock.get("chrony")).get("sources") or () if isinstance(s, Mapping)]
    rows = [s for s in rows if not s.get("idle")]  # waits for a receiver that is not there
    order = list(_STATES)
    rows.sort(key=lambda s: order.index(s["state"]) if s.get("state") in order else len(order))
    return [_source(row, now) for row in rows]


@dataclass(frozen=True, slots=True)
class Receiver:
    """A GPS receiver and its pulse; texts may be hostile."""

    shape: Shape
    verdict: str
    problems: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def receiver(value: Any) -> Receiver | None:
    """From GET /api/v1/gps; None when there is no such plugin, or no receiver is configured."""
    if not isinstance(value, Mapping) or not value.get("configured"):
        return None
    problems = tuple(str(text) for text in value.get("problems") or ())
    facts = tuple((str(row[0]), str(row[1])) for row in value.get("facts") or () if len(row) == 2)
    return Receiver("degraded" if problems else "ok", str(value.get("verdict", "")), problems, facts)


def _source(s: Mapping[str, Any], now: float) -> SourceRow:
    name, address = str(s.get("name") or ""), str(s.get("address") or "")
    reach = int(number(s.get("reach")) or 0) & 0xFF
    shape, word = _STATES.get(str(s.get("state")), ("none", str(s.get("state"))))
    if not reach:
        shape, word = "failing", "silent"
    poll, since = number(s.get("poll")), number(s.get("since_sample_s"))
    reference = s.get("mode") == "reference clock"
    return SourceRow(
        called=name or address or "no address yet",
        sub="reference clock" if reference else address if name and name != address else "",
        shape=shape,
        word=word,
        stratum=str(int(number(s.get("stratum")) or 0)) if reach else words.DASH,
        reach=reach_dots(reach),
        reached=f"{reach.bit_count()} of 8",
        poll=words.DASH if poll is None else words.duration(2.0 ** min(max(poll, -7), 24)),
        last=words.ago(now - since, now) if reach and since is not None else "never",
        # As chronyc shows it: positive when our clock is ahead of the source.
        offset=words.offset(number(s.get("offset_s"))) if reach else words.DASH,
        margin=words.seconds(number(s.get("error_s"))) if reach else words.DASH,
        jitter=words.seconds(number(s.get("deviation_s"))) if reach else words.DASH,
    )


def reach_dots(reach: int) -> Markup:
    """The reach register as eight dots, oldest on the left; full ones were answered."""
    answered = reach.bit_count()
    title = f"{answered} of the last 8 polls were answered"
    content = frame.element("title", title)
    for i in range(8):
        hit = bool(reach >> (7 - i) & 1)
        content += frame.element(
            "circle", cx=f"{6 + i * 11}", cy="6", r="3.5" if hit else "3", class_="hit" if hit else "miss"
        )
    return frame.element(
        "svg", content, class_="reach", width="90", height="12", viewBox="0 0 90 12", role="img"
    )


@dataclass(frozen=True, slots=True)
class Past:
    """The charts and what is beside them."""

    offset: Markup
    frequency: Markup
    offset_said: str
    frequency_said: str
    rows: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    unsynchronised: str = ""


def past(value: Any, chosen: Range) -> Past | None:
    """From GET /api/v1/clock/history; None when nothing was kept yet or it cannot be had."""
    if not isinstance(value, Mapping):
        return None
    rows = [r for r in value.get("points") or () if isinstance(r, Mapping)]
    known = [r for r in rows if r.get("n")]
    if not known:
        return None
    end = number(value.get("to_ts")) or 0.0
    start = max(end - chosen.length_s, number(known[0].get("ts")) or 0.0)
    span = Span(min(start, end - 60), end)
    steps = [s for s in value.get("steps") or () if isinstance(s, Mapping)]
    marks = [
        Mark(number(s.get("ts")) or 0.0, f"stepped by {words.offset(number(s.get('step_s')))}") for s in steps
    ]
    offsets, paces = _spots(rows, "offset", "s"), _spots(rows, "frequency", "ppm")
    offset_said, pace_said = _said(offsets, words.offset), _said(paces, _ppm)
    lost = 1 - sum((number(r.get("synchronised")) or 0) * r["n"] for r in known) / sum(r["n"] for r in known)
    return Past(
        _drawn(
            Curve("Offset", offsets), span, title="Offset of the clock over time", summary=offset_said,
            label=_short_seconds, ident="clock-offset", centred=True, marks=marks,
        ),
        _drawn(
            Curve("Frequency", paces), span, title="Frequency error of the bare clock over time", summary=pace_said,
            label=lambda v: f"{v:.6g}".replace("-", "−"), ident="clock-frequency", marks=marks,
        ),
        offset_said, pace_said, known, steps,
        f"Not synchronised for {words.percent(lost)} of this time." if lost > 0.0005 else "",
    )  # fmt: skip


def _drawn(curve: Curve, span: Span, **how: Any) -> Markup:
    """The chart, or nothing where nothing was measured: axes around nothing tell nothing."""
    return line_chart([curve], span, **how) if any(s.value is not None for s in curve.spots) else Markup("")


def _spots(rows: Sequence[Mapping[str, Any]], head: str, unit: str) -> list[Spot]:
    return [
        Spot(ts, number(r.get(f"{head}_{unit}")), number(r.get(f"{head}_min_{unit}")), number(r.get(f"{head}_max_{unit}")))
        for r in rows
        if (ts := number(r.get("ts"))) is not None
    ]  # fmt: skip


def _said(spots: Sequence[Spot], told: Any) -> str:
    values = sorted(s.value for s in spots if s.value is not None)
    if not values:
        return "Nobody measured it in this time."
    lows = [s.low for s in spots if s.low is not None] or values
    highs = [s.high for s in spots if s.high is not None] or values
    return f"Median {told(values[len(values) // 2])}, between {told(min(lows))} and {told(max(highs))}."


def _ppm(value: float | None) -> str:
    if value is None:
        return words.DASH
    text = f"{value:+.3f}" if abs(value) >= 0.1 else f"{value:+.2g}"
    return f"{text} ppm".replace("-", "−")


def _short_seconds(value_s: float) -> str:
    """Axis numbers without trailing zeros."""
    if value_s == 0:
        return "0"
    size = abs(value_s)
    scaled, unit = (
        (size, "s") if size >= 1 else (size * 1e3, "ms") if size >= 1e-3 else (size * 1e6, "µs") if size >= 1e-6 else (size * 1e9, "ns")
    )  # fmt: skip
    return f"{'−' if value_s < 0 else '+'}{scaled:.4g} {unit}"


def same(chosen: Range) -> list[tuple[str, str]]:
    """The same from elsewhere."""
    return [
        ("CLI", "timeball clock"),
        ("chrony", "chronyc tracking; chronyc -N sources -a; chronyc sourcestats"),
        ("API", "GET /api/v1/clock"),
        ("API", f"GET /api/v1/clock/history?range={chosen.key}"),
    ]


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

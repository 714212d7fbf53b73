"""From values to places, and which ticks to write beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Vertical(Protocol):
    """Maps a value to pixels from the top of a chart."""

    def y(self, value: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Linear:
    """Equal steps; values outside are held at the edge."""

    low: float
    high: float
    height: float

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _tenths(self.height * (1 - share))


@dataclass(frozen=True, slots=True)
class Arcsinh:
    """Symmetric around 0: linear below `knee`, logarithmic far above it, so microseconds and seconds share one axis."""

    limit: float
    knee: float
    height: float

    def y(self, value: float) -> float:
        return self.ys((value,))[0]

    def ys(self, values: Iterable[float]) -> list[float]:
        """The same of many."""
        half, knee, asinh = self.height / 2, self.knee, math.asinh
        most = asinh(self.limit / knee)
        shares = [asinh(value / knee) / most for value in values]
        return [_tenths(half * (1 - min(max(share, -1.0), 1.0))) for share in shares]


@dataclass(frozen=True, slots=True)
class RootFromTop:
    """Square root below `high`: the few points near the top, where scores live, get the room (as the NTP Pool draws it)."""

    low: float
    high: float
    height: float

    def y(self, value: float) -> float:
        held = min(max(value, self.low), self.high)
        return _tenths(self.height * math.sqrt((self.high - held) / (self.high - self.low)))


@dataclass(frozen=True, slots=True)
class Span:
    """The time axis, epoch seconds; `x` is in thousandths of the width."""

    start: float
    end: float

    def x(self, ts: float) -> float:
        return _tenths(1000 * (ts - self.start) / (self.end - self.start))

    def holds(self, ts: float) -> bool:
        return self.start <= ts <= self.end


def _tenths(place: float) -> float:
    """To the tenth of a pixel, in half the time that `round(place, 1)` takes to think of the last bit."""
    return round(10 * place) / 10


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis: where, and what to write."""

    ts: float
    label: str


def nice(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten at or above `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 2, 5, 10):
        if value <= factor * power * 1.0000001:
            return factor * power
    return 10 * power


def offset_axis(offsets: Sequence[float], bands: Sequence[float], height: float) -> Arcsinh:
    """An axis on which all offsets and all bands fit, with its knee where the middle of the data is."""
    sizes = sorted(abs(o) for o in offsets if o)
    middle = sizes[len(sizes) // 2] if sizes else 1e-3
    knee = min(max(nice(middle), 1e-5), 5e-3)
    limit = nice(max([*sizes[-1:], *(b * 1.3 for b in bands), knee * 10]))
    return Arcsinh(limit=limit, knee=knee, height=height)


def score_floor(scores: Iterable[float], bottom: float) -> float:
    """Where the axis of the score ends below: as far down as the scores go, in few steps, so that pages of servers compare."""
    lowest = min(scores, default=0.0)
    return next((floor for floor in (0.0, -20.0, -50.0) if lowest >= floor > bottom), bottom)


def offset_ticks(axis: Arcsinh, taken: Sequence[float], room: float = 13.0) -> list[float]:
    """0 and powers of ten on both sides, leaving out what would write over a neighbour or over a band in `taken`."""
    ticks = [0.0]
    places = [axis.y(0), *(axis.y(s * t) for t in taken for s in (1, -1) if t < axis.limit)]
    power = axis.limit
    exponents = range(math.floor(math.log10(axis.knee)), math.ceil(math.log10(axis.limit)) + 1)
    candidates = [power, *(10.0**e for e in reversed(exponents) if axis.knee <= 10.0**e < axis.limit)]
    for candidate in candidates:
        y = axis.y(candidate)
        if all(abs(y - place) >= room for place in places):
            ticks += [candidate, -candidate]
            places += [y, axis.y(-candidate)]
    return ticks


_STEPS = (
    1,
    5,
    10,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
    172800,
    604800,
    1209600,
)


def time_ticks(span: Span, most: int = 6) -> list[Tick]:
    """At most `most` ticks on round UTC times; months when the span is long."""
    length = span.end - span.start
    step = next((s for s in _STEPS if length / s <= most), None)
    if step is None:
        return _month_ticks(span, most)
    first = math.ceil(span.start / step) * step
    ticks = []
    for i in range(math.floor((span.end - first) / step) + 1):
        when = datetime.fromtimestamp(first + i * step, UTC)
        midnight = (when.hour, when.minute, when.second) == (0, 0, 0)
        pattern = "%-d %b" if step >= 86400 or midnight else "%H:%M" if step >= 60 else "%H:%M:%S"
        ticks.append(Tick(first + i * step, when.strftime(pattern)))
    return ticks


def _month_ticks(span: Span, most: int) -> list[Tick]:
    every = max(1, math.ceil((span.end - span.start) / 2_629_800 / most))
    day = datetime.fromtimestamp(span.start, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ticks = []
    while day.timestamp() <= span.end:
        if day.timestamp() >= span.start and (day.month - 1) % every == 0:
            ticks.append(Tick(day.timestamp(), day.strftime("%b %Y" if day.month == 1 else "%b")))
        day = (day + timedelta(days=32)).replace(day=1)
    return ticks

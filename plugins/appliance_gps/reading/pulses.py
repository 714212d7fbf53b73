"""Which edges on a line are the pulse of a second, and which are noise. Pure: edges in, pulses out.

A receiver's pulse comes once a second and is as exact as anything that we have; what is wrong with a line is coarse: nothing comes, the
other edge was meant, pulses are missing, a relay nearby adds some, the receiver was set to ten a second. So a pulse is believed
when it stands a whole number of seconds after others that did, on a clock that nobody slews or steps.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Literal

from appliance_gps.reading.gpio import Edge

SECOND_NS = 1_000_000_000
#: The crystal is off by 100 ppm at most, its interrupts are late by some 100 µs at most.
_SEARCH_NS = 1_000_000
_LOCKED_NS = 200_000
#: So many in a row, a second apart, and it is a pulse.
_CHAIN = 4
#: After so long without a good pulse one starts anew: the crystal's own error has grown past the window.
_LOST_AFTER_S = 30
#: Edges come, but none in place for so long: we follow the wrong ones.
_DOUBT_AFTER_S = 5
#: Edges out of place between the first four pulses: more, and nobody can say which of them are meant.
_MOST_STRAY = 2
_KEPT = 64
_RATE_WINDOW_NS = 5 * SECOND_NS

Polarity = Literal["auto", "rising", "falling"]
Standing = Literal["silent", "searching", "locked"]


@dataclass(frozen=True, slots=True)
class PulseState:
    """What is known of the line.

    Attributes:
        standing: "silent": no edge for `silent_s`; "searching": edges, but no pulse a second; "locked".
        leading: the edge that is taken for the second, or None when that is not decided.
        width_s: how long a pulse lasts.
        good, missed, glitches: since the start.
        jitter_s: RMS of what the last minute's pulses were off their mean rate; includes what our clock adds.
        rate_ppm: how fast our bare clock runs against the pulses.
        edges_per_s: lately.
        age_s: since the last good pulse; None before the first.
        advice: what is odd, for people; "" when nothing is.
    """

    standing: Standing
    leading: Edge | None
    width_s: float | None
    good: int
    missed: int
    glitches: int
    jitter_s: float | None
    rate_ppm: float | None
    edges_per_s: float
    age_s: float | None
    advice: str


class PulseTrain:
    """Follows the edges of one line."""

    def __init__(self, polarity: Polarity = "auto") -> None:
        """Start with nothing seen.

        Args:
            polarity: the edge that marks the second. "auto": the one that begins the shorter phase.
        """
        self._polarity = polarity
        self._last_edge: dict[Edge, int] = {}
        self._phases: dict[Edge, deque[int]] = {"rising": deque(maxlen=5), "falling": deque(maxlen=5)}
        self._recent: deque[int] = deque(maxlen=256)  # every edge, for the rate
        self._candidates: deque[int] = deque(maxlen=_CHAIN + _MOST_STRAY)
        self._last_good_ns: int | None = None
        self._period_ns = float(SECOND_NS)
        self._residuals: deque[float] = deque(maxlen=_KEPT)
        self._locked = False
        self._good = self._missed = self._glitches = 0
        self._watched_since_ns: int | None = None

    @property
    def leading(self) -> Edge | None:
        """The edge that is taken for the second."""
        if self._polarity != "auto":
            return self._polarity
        high, low = self._phase_ns("rising"), self._phase_ns("falling")
        if high is None or low is None or not 0.05 * SECOND_NS < high + low < 20 * SECOND_NS:
            return None
        # Nearly half and half: either may be meant, and to guess wrong would be half a second.
        if 0.8 < high / low < 1.25:
            return None
        return "rising" if high < low else "falling"

    def edge(self, edge: Edge, at_ns: int) -> bool:
        """Whether this edge is the pulse of a second.

        Args:
            edge: its direction.
            at_ns: on a clock that is neither slewed nor stepped (CLOCK_MONOTONIC_RAW).
        """
        self._recent.append(at_ns)
        other: Edge = "falling" if edge == "rising" else "rising"
        before = self._last_edge.get(other)
        if before is not None and at_ns > before:
            self._phases[other].append(at_ns - before)
        self._last_edge[edge] = at_ns
        if edge != self.leading:
            return False
        return self._in_place(at_ns) if self._locked else self._search(at_ns)

    def watch(self, now_ns: int) -> None:
        """Let time pass: what is silent for too long is not followed any more."""
        if self._watched_since_ns is None:
            self._watched_since_ns = now_ns
        if (
            self._locked
            and self._last_good_ns is not None
            and now_ns - self._last_good_ns > _LOST_AFTER_S * SECOND_NS
        ):
            self._lose()

    def state(self, now_ns: int) -> PulseState:
        """What is known as of `now_ns`."""
        recent = sum(1 for at_ns in self._recent if at_ns > now_ns - _RATE_WINDOW_NS)
        edges_per_s = recent / (_RATE_WINDOW_NS / SECOND_NS)
        silent = not recent
        leading = self.leading
        width = self._phase_ns(leading) if leading else None
        age_s = None if self._last_good_ns is None else max(0.0, (now_ns - self._last_good_ns) / 1e9)
        standing: Standing = "silent" if silent else "locked" if self._locked else "searching"
        return PulseState(
            standing=standing, leading=leading, width_s=None if width is None else width / 1e9, good=self._good,
            missed=self._missed, glitches=self._glitches, jitter_s=self._jitter_s(),
            rate_ppm=(self._period_ns / SECOND_NS - 1) * 1e6 if self._locked else None,
            edges_per_s=edges_per_s, age_s=age_s, advice=self._advice(standing, edges_per_s),
        )  # fmt: skip

    # -- parts --------------------------------------------------------------------------------------------------------

    def _search(self, at_ns: int) -> bool:
        self._candidates.append(at_ns)
        wanted, found = at_ns, 1
        for earlier in reversed(list(self._candidates)[:-1]):
            if abs(wanted - earlier - SECOND_NS) <= _SEARCH_NS:
                wanted, found = earlier, found + 1
            if found == _CHAIN:
                self._locked = True
                self._period_ns = (at_ns - wanted) / (_CHAIN - 1)
                self._residuals.clear()
                self._candidates.clear()
                self._good += 1
                self._last_good_ns = at_ns
                return True
        return False

    def _in_place(self, at_ns: int) -> bool:
        assert self._last_good_ns is not None
        elapsed = at_ns - self._last_good_ns
        seconds = round(elapsed / self._period_ns)
        off_ns = elapsed - seconds * self._period_ns
        if seconds < 1 or abs(off_ns) > _LOCKED_NS + 10_000 * seconds:
            self._glitches += 1
            if elapsed > _DOUBT_AFTER_S * SECOND_NS:
                self._lose()
            return False
        self._missed += seconds - 1
        self._good += 1
        self._residuals.append(off_ns)
        # A slow average: the crystal drifts with the temperature, an interrupt is late once.
        self._period_ns += off_ns / seconds / 16
        self._last_good_ns = at_ns
        return True

    def _lose(self) -> None:
        self._locked = False
        self._candidates.clear()
        self._residuals.clear()

    def _phase_ns(self, begins: Edge) -> float | None:
        """How long the phase after that edge lasts; None before it was seen three times."""
        phases = self._phases[begins]
        return median(phases) if len(phases) >= 3 else None

    def _jitter_s(self) -> float | None:
        if len(self._residuals) < 8:
            return None
        mean = sum(self._residuals) / len(self._residuals)
        # Each interval has the error of both its pulses, hence the half.
        variance = sum((r - mean) ** 2 for r in self._residuals) / len(self._residuals) / 2
        return math.sqrt(variance) / 1e9

    def _advice(self, standing: Standing, edges_per_s: float) -> str:
        if standing == "silent":
            return "no edge comes: is the pin the right one, the receiver powered, its antenna under the sky?"
        high, low = self._phase_ns("rising"), self._phase_ns("falling")
        if self._polarity != "auto" and high and low:
            phase, rest = (high, low) if self._polarity == "rising" else (low, high)
            other = "falling" if self._polarity == "rising" else "rising"
            if phase > 1.25 * rest:
                return (
                    f"the {self._polarity} edge begins the longer phase ({phase / 1e9:.2g} s of {(phase + rest) / 1e9:.2g} s): "
                    f'the second is likely marked by the other one; set edge = "{other}" or "auto"'
                )
        if standing == "locked":
            return (
                ""
                if edges_per_s <= 2.6
                else "more edges come than pulses, which are left out: look for a bad contact, or a loose wire"
            )
        if (
            high
            and low
            and self._polarity == "auto"
            and self.leading is None
            and 0.95e9 < high + low < 1.05e9
        ):
            return (
                'the pulse lasts half a second, so either edge may mark it: set edge = "rising" or "falling"'
            )
        if edges_per_s > 2.6:
            return f"{edges_per_s / 2:.3g} pulses come in a second where one is needed: set the receiver to 1 Hz, or look for a bad contact"
        return "pulses do not come a second apart yet"

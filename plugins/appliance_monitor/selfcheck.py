"""Are we fit to judge? A monitor with a wrong clock or a dead network blames everybody else.

What cannot be told moves no score. Pure: the service feeds it with what it sees and asks.
"""

from __future__ import annotations

from appliance.api.model import ClockState
from appliance.core.figures import seconds

#: Our own time must be better than the tightest line that the scorer draws.
TIGHTEST_S = 0.025
#: The operator's own word that the system clock is right; there is no better one to hold it against.
LOCAL = "local"


def clock_trouble(state: ClockState | None, mono_ns: int) -> str | None:
    """Why our clock cannot judge others now, or None."""
    if state is None:
        return "nobody knows what our clock is worth (the clock plugin is not running)"
    if not state.synchronised(mono_ns):
        return (
            f"our own clock is not synchronised: {state.why}"
            if state.why
            else "our own clock is not synchronised"
        )
    if state.source == LOCAL:
        return None
    distance_s = state.distance_s(mono_ns)
    if distance_s > TIGHTEST_S:
        return f"our own time may be wrong by {seconds(distance_s)}, more than the {TIGHTEST_S * 1e3:.0f} ms that scores turn on"
    return None


def references_fail(failed: int, asked: int) -> bool:
    """Whether too many reference hosts failed: the pool's rule, 1 of 3 or 4, 2 of 5 or 6 may fail."""
    return asked > 0 and failed > asked - (asked + 2) // 2

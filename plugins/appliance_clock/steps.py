"""Notices that the system clock was set: the kernel tells through a timer, and the clocks themselves show it.

Slewing moves CLOCK_REALTIME and CLOCK_MONOTONIC alike; only a step (somebody set the clock, a leap second, a suspend) moves
the one against the other.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

from appliance.core.clock import Clock

#: Smaller jumps are not told from the time that passes between reading two clocks on a busy machine.
SMALLEST_STEP_S = 0.001

_CLOCK_REALTIME = 0
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
_FAR_FUTURE_S = 0x7FFF_FFFF if ctypes.sizeof(ctypes.c_long) == 4 else 9_000_000_000
_READINGS = 5


class StepWatch:
    """Compares the two clocks from one look to the next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._difference_ns = self._look()[0]

    def step_s(self) -> float | None:
        """How far the system clock was stepped since the last call (positive: forward), or None when it was not."""
        difference_ns, margin_ns = self._look()
        step_s = (difference_ns - self._difference_ns) / 1e9
        if abs(step_s) < SMALLEST_STEP_S + margin_ns / 1e9:
            # Not moved on: a hundred creeping changes of half a millisecond must add up to a step.
            return None
        self._difference_ns = difference_ns
        return step_s

    def _look(self) -> tuple[int, int]:
        """Wall minus monotonic in ns, and how uncertain that is: the best of some readings."""
        looks = []
        for _ in range(_READINGS):
            before = self._clock.monotonic_ns()
            wall = self._clock.wall_ns()
            after = self._clock.monotonic_ns()
            looks.append((after - before, wall - (before + after) // 2))
        margin, difference = min(looks)
        return difference, margin


class SetAlarm:
    """A kernel timer that is cancelled when somebody sets the clock; `fileno` becomes readable then.

    Raises:
        OSError: the kernel has no such timer (the caller compares the clocks now and then instead).
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(_CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _os_error()
        try:
            self._arm()
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._fd

    def was_set(self, read: Callable[[int, int], bytes] = os.read) -> bool:
        """Whether the clock was set since the last call; arms the timer anew."""
        try:
            read(self._fd, 8)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            if error.errno != errno.ECANCELED:
                raise
        self._arm()
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _arm(self) -> None:
        spec = (ctypes.c_long * 4)(0, 0, _FAR_FUTURE_S, 0)  # struct itimerspec: no interval, one far moment
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        if self._libc.timerfd_settime(self._fd, flags, ctypes.byref(spec), None) != 0:
            raise _os_error()


def _os_error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))

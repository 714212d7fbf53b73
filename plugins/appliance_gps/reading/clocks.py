"""One instant on the three clocks that matter here."""

from __future__ import annotations

import time
from typing import NamedTuple


class Now(NamedTuple):
    """One instant, ns: CLOCK_MONOTONIC_RAW (nobody slews or steps it), CLOCK_MONOTONIC, the system clock."""

    raw_ns: int
    mono_ns: int
    system_ns: int


def clocks() -> Now:
    """Read the three close together: the best of three tries."""
    tries = []
    for _ in range(3):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        system = time.clock_gettime_ns(time.CLOCK_REALTIME)
        mono = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        tries.append((after - before, Now((before + after) // 2, mono, system)))
    return min(tries)[1]

"""How finely the clock can be read: the precision field of our replies is measured, not claimed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

_READS = 200
_FINEST, _COARSEST = -30, -6


def measure_precision(read_ns: Callable[[], int], reads: int = _READS) -> int:
    """Read the clock some times in a row and return log2 of its precision in seconds (RFC 5905 section 7.3)."""
    return precision_of([read_ns() for _ in range(reads)])


def precision_of(readings_ns: Sequence[int]) -> int:
    """Log2 of the precision in seconds that successive readings show: the shortest time between two that differ.

    That is the cost of one reading or the clock's resolution, whichever is larger, rounded up to a power of two. Steps
    back do not count.
    """
    steps = [after - before for before, after in itertools.pairwise(readings_ns) if after > before]
    if not steps:
        return _COARSEST
    return max(_FINEST, min(_COARSEST, math.ceil(math.log2(min(steps) / 1e9))))

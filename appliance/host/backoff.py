"""Every waiting time of the supervisor in one place, so that tests shrink them."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Deadlines and waits, all in seconds.

    Attributes:
        backoff_first_s, backoff_most_s: doubling from the first to the most, times a random 0.5..1.
        settled_s: after this long in RUNNING the backoff starts over.
        strikes: so many bugs within `strike_window_s` of failing mean FAILED.
        failed_retry_s: how long FAILED by strikes waits before another try.
        ready_s: STARTING longer than this is told as a warning.
        stop_s: a plugin that does not stop within this is abandoned.
    """

    backoff_first_s: float = 1.0
    backoff_most_s: float = 60.0
    settled_s: float = 60.0
    strikes: int = 5
    strike_window_s: float = 60.0
    failed_retry_s: float = 3600.0
    ready_s: float = 30.0
    stop_s: float = 3.0

    def wait_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait before try number `attempt` (1 is the first retry)."""
        doubled = self.backoff_first_s * 2.0 ** min(attempt - 1, 30)
        return min(self.backoff_most_s, doubled) * rng.uniform(0.5, 1.0)

"""How often one visitor may ask: token buckets, kept for the latest visitors only. Nothing in here does I/O."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

#: Visitors remembered. Whoever comes with more addresses than this is not stopped by counting addresses.
KEPT = 4096


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer to one request.

    Attributes:
        granted: whether it may be served.
        policy: name of the bucket.
        quota: requests a minute.
        remaining: that could follow at once.
        wait_s: whole seconds until the next one is granted (0: at once), for Retry-After.
    """

    granted: bool
    policy: str
    quota: int
    remaining: int
    wait_s: int

    def headers(self) -> dict[str, str]:
        """RateLimit header fields (draft-ietf-httpapi-ratelimit-headers), and Retry-After with a refusal."""
        found = {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w=60',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.wait_s}',
        }
        return found if self.granted else {**found, "Retry-After": str(self.wait_s)}


class Rates:
    """One bucket for each visitor: it holds a minute's quota at most and fills evenly."""

    def __init__(self, policy: str, per_minute: int, *, kept: int = KEPT) -> None:
        self.policy = policy
        self.per_minute = per_minute
        self._kept = kept
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, visitor: str, now_s: float) -> Allowance:
        """Take one request from the visitor's bucket; `now_s` is monotonic."""
        level, then_s = self._buckets.pop(visitor, (float(self.per_minute), now_s))
        per_s = self.per_minute / 60
        level = min(level + max(now_s - then_s, 0.0) * per_s, float(self.per_minute))
        granted = level >= 1
        level -= granted
        self._buckets[visitor] = (level, now_s)
        while len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
        wait_s = 0 if level >= 1 else max(math.ceil((1 - level) / per_s), 1)
        return Allowance(granted, self.policy, self.per_minute, int(level), wait_s)

    def __len__(self) -> int:
        return len(self._buckets)

"""What plugins contribute to the monitor: ways to look, and rules that judge. Import them from `appliance.api.contrib`."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from appliance.api.model import Member, ProbeResult, Sample, Step, Target


@dataclass(frozen=True, slots=True)
class ProbeKind:
    """A way to look at a target.

    The kind "ntp" is the monitor's own: it alone is scored. Whoever offers another kind of that name takes its place. Every other kind
    is scheduled beside it; what it finds is kept and shown, and moves a score only where a `ScoreRule` asks for it.

    Attributes:
        name: lower-case word, such as "ntp".
        sample: `async sample(target, timeout_s)` looks once; must not raise for what the network does (that is `Sample.error`).
        title: what pages call it; "" for the name.
        interval_s: how often each place is looked at; public addresses once a minute at most.
        timeout_s: how long one look may take.
        target: where at a member, or None to pass this one over. Without it: its address and NTP port.
        targets: places of its own, looked at in place of the members; asked every ten seconds.
        unit: of `Sample.value`.

    Raises:
        ValueError: it cannot be scheduled so.
    """

    name: str
    sample: Callable[[Target, float], Awaitable[Sample]]
    title: str = ""
    interval_s: float = 600.0
    timeout_s: float = 5.0
    target: Callable[[Member], Target | None] | None = None
    targets: Callable[[], Iterable[Target]] | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", self.name):
            raise ValueError(
                f"{self.name!r} cannot name a probe kind: lower-case letters, digits, - and _ only"
            )
        if not 1 <= self.interval_s < math.inf:
            raise ValueError(f"{self.name}: a kind looks every second at most, not every {self.interval_s} s")
        if not 0 < self.timeout_s <= 60:
            raise ValueError(f"{self.name}: a look takes up to 60 s, not {self.timeout_s} s")


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """Judges a probe. Rules are asked in order; the first that returns a Step decides.

    Attributes:
        name: what probes and pages call it.
        apply: a pure function; None leaves it to the next rule.
        order: small numbers first.
        profile: rules of one profile belong together ("ntppool"); "" adds to every profile, before its rules.
    """

    name: str
    apply: Callable[[ProbeResult], Step | None]
    order: int = 100
    profile: str = ""

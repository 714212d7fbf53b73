"""Counts that outlive a restart of the service, and rates made of them."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from appliance.dataplane.interface import Action, Mark, NtpServer, Reason, Remembered

Outcomes = Mapping[tuple[Reason, Action], int]

#: One sample a second: the panel's curve and the rates look back this far.
KEPT_SAMPLES = 61


@dataclass(frozen=True, slots=True)
class Sample:
    """Totals at one moment."""

    mono_ns: int
    received: int
    replied: int
    late: int


@dataclass(slots=True)
class Tally:
    """Everything that was ever counted, of the servers that are gone and of the one that runs."""

    server: NtpServer | None = None
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT_SAMPLES))
    _outcomes: Counter[tuple[Reason, Action]] = field(default_factory=Counter)
    _traffic: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    _marks: Counter[Mark] = field(default_factory=Counter)
    _limited: Remembered = field(default_factory=Remembered)

    def outcomes(self) -> Outcomes:
        """Packets by (reason, action)."""
        return self._outcomes + Counter(self.server.counters()) if self.server else self._outcomes

    def traffic(self) -> Mapping[tuple[int, int, int], int]:
        """Packets by (version, mode, family)."""
        return self._traffic + Counter(self.server.traffic()) if self.server else self._traffic

    def marks(self) -> Mapping[Mark, int]:
        """Packets by what else is counted of them."""
        return self._marks + Counter(self.server.marks()) if self.server else self._marks

    def remembered(self) -> Remembered:
        """Room and clients of the server that runs; what was counted, of all."""
        now = self.server.remembered() if self.server else Remembered()
        counted = (a + b for a, b in zip(self._limited[2:], now[2:], strict=True))
        return Remembered(now.known, now.room, *counted)

    def retire(self) -> None:
        """Keep the counts of a server that was closed."""
        self._outcomes, self._traffic = Counter(self.outcomes()), Counter(self.traffic())
        self._limited, self._marks = self.remembered(), Counter(self.marks())
        self.server = None

    def sample(self, mono_ns: int) -> None:
        """Remember the totals of this moment."""
        outcomes = self.outcomes()
        replied = sum(count for (_, action), count in outcomes.items() if action is Action.REPLY)
        late = outcomes.get((Reason.LATE, Action.IGNORE), 0)
        self.samples.append(Sample(mono_ns, sum(outcomes.values()), replied, late))

    def rate(self, name: Literal["received", "replied", "late"], over_s: float) -> float:
        """How much `name` ("received", "replied", "late") grew a second, over about the last `over_s` seconds."""
        if len(self.samples) < 2:
            return 0.0
        last = self.samples[-1]
        first = next(s for s in self.samples if last.mono_ns - s.mono_ns <= over_s * 1e9)
        if first is last:
            first = self.samples[-2]
        grown: int = getattr(last, name) - getattr(first, name)
        return grown / ((last.mono_ns - first.mono_ns) / 1e9)

    def curve(self) -> list[float]:
        """Replies a second, oldest first."""
        return [
            round((b.replied - a.replied) / ((b.mono_ns - a.mono_ns) / 1e9), 2)
            for a, b in itertools.pairwise(self.samples)
            if b.mono_ns > a.mono_ns
        ]

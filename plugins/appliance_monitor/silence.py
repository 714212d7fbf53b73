"""Whose silence is it? A probe that nobody answered is held back until somebody else's answer proves that our network works.

Pure bookkeeping: the service tells what came back and when, and is told what to score and what to forget.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from appliance.api.model import ProbeResult

#: With fewer members than this their common silence says nothing about us.
QUORUM = 3


@dataclass(frozen=True, slots=True)
class Held:
    """A silent probe that is not scored before we know that the silence is not ours.

    Attributes:
        started_ns, until_ns: monotonic time of its first request, and when waiting for proof ends.
    """

    result: ProbeResult
    started_ns: int
    until_ns: int


@dataclass(slots=True)
class Silence:
    """What is known about silent members and about the network.

    Attributes:
        answered_ns: monotonic moment of the last answer from anybody; a refusal is an answer of the network too.
        silent: members that have been silent since then.
        held: silent probes that wait for proof.
    """

    answered_ns: int = -(1 << 62)
    silent: set[str] = field(default_factory=set)
    held: list[Held] = field(default_factory=list)

    def heard(self, now_ns: int) -> list[ProbeResult]:
        """Somebody answered: the silences that were held back are their members' own, to be scored now."""
        self.answered_ns = now_ns
        self.silent.clear()
        proven, self.held = self.held, []
        return [held.result for held in proven]

    def missed(self, held: Held, members: int) -> bool:
        """A member did not answer; True when that can be scored at once, False when it is held back.

        Args:
            held: the probe.
            members: how many there are.
        """
        self.silent.add(held.result.member)
        if members < QUORUM or self.answered_ns >= held.started_ns:
            return True
        self.held.append(held)
        return False

    def settle(self, now_ns: int, members: int) -> tuple[list[ProbeResult], int]:
        """What waited long enough without proof: (results to score, how many are forgotten because we may be at fault)."""
        due = [held for held in self.held if held.until_ns <= now_ns]
        if not due:
            return [], 0
        self.held = [held for held in self.held if held.until_ns > now_ns]
        return ([], len(due)) if self.suspicious(members) else ([held.result for held in due], 0)

    def suspicious(self, members: int) -> bool:
        """Whether the silence is so common that it may be ours."""
        return members >= QUORUM and len(self.silent) >= QUORUM

    def only(self, members: Collection[str]) -> None:
        """Forget members that are gone."""
        self.silent.intersection_update(members)
        self.held = [held for held in self.held if held.result.member in members]

    def forget(self) -> None:
        """Begin anew, as after a restart: what is held back belongs to another time."""
        self.silent.clear()
        self.held.clear()

"""Refusals at the door for the audit trail: the first of its kind at once, the rest of a minute as a number.

Nobody must be able to fill the disk from outside: whatever is sent, the rows of a day are bounded. Nothing in here does I/O.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from appliance.api.actor import NOBODY, Actor
from appliance_people.throttle import address_key

MINUTE_S = 60.0
#: Kinds of refusal, each an address with a reason, that are listed by themselves: so many at once, and so many more each
#: minute. With two rows for each, and one for all others, a flood leaves no more than 3 rows a minute in the end.
AT_ONCE = 120
MORE_A_MINUTE = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """One request that was refused; the fields are those of `appliance.api.services.AuditWitness.refused`."""

    reason: str
    status: int
    address: str
    what: str
    request: str = ""
    actor: Actor = NOBODY

    @property
    def kind(self) -> tuple[str, str, str]:
        """What is counted together: a reason, an address (an IPv6 /64), and an account where one is known."""
        return self.reason, address_key(self.address), self.actor.account


@dataclass(frozen=True, slots=True)
class Line:
    """One row to be written.

    Attributes:
        refusal: the one that was seen; of several the first. None: those that are listed by their reasons only.
        more: how many of its kind followed within the minute.
        others: how many of any further kind there were, by reason.
    """

    refusal: Refusal | None
    more: int = 0
    others: dict[str, int] = field(default_factory=dict)


class Room:
    """So many rows at once, and so many more each minute."""

    def __init__(self, at_once: int, more_a_minute: float) -> None:
        self._most, self._per_s = float(at_once), more_a_minute / MINUTE_S
        self._left = self._most
        self._then_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Whether there is room for one more; `now_s` is monotonic."""
        if self._then_s is not None:
            self._left = min(self._left + max(now_s - self._then_s, 0.0) * self._per_s, self._most)
        self._then_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class TurnedAway:
    """Counts refusals, and says which rows are due."""

    def __init__(self) -> None:
        self._begun_s = float("-inf")
        self._room = Room(AT_ONCE, MORE_A_MINUTE)
        self._due: list[Line] = []
        self._first: dict[tuple[str, str, str], Refusal] = {}
        self._more: Counter[tuple[str, str, str]] = Counter()
        self._others: Counter[str] = Counter()

    def refused(self, refusal: Refusal, now_s: float) -> None:
        """Take one; `now_s` is monotonic."""
        self._turn(now_s)
        kind = refusal.kind
        if kind in self._first:
            self._more[kind] += 1
        elif self._room.take(now_s):
            self._first[kind] = refusal
            self._due.append(Line(refusal))
        else:
            self._others[refusal.reason] += 1

    def due(self, now_s: float, *, end: bool = False) -> list[Line]:
        """The rows that can be written now; `end`: also those whose minute is not over."""
        self._turn(now_s, over=end)
        lines, self._due = self._due, []
        return lines

    def _turn(self, now_s: float, *, over: bool = False) -> None:
        """Close the minute if it is over."""
        if not over and now_s - self._begun_s < MINUTE_S:
            return
        self._due += [Line(self._first[kind], more) for kind, more in self._more.items()]
        if self._others:
            self._due.append(Line(None, others=dict(self._others)))
        self._first, self._more, self._others = {}, Counter(), Counter()
        self._begun_s = now_s

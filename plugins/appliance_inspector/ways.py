"""The way to a member that has just left the pool, kept with the event that caused it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.api.context import RunContext
from appliance.api.errors import Conflict
from appliance.api.events import VerdictChanged
from appliance.api.model import Member
from appliance_inspector.traceroute import Hop, trace

MOST_WAYS = 50
#: A member that comes and goes is traced once in so long.
AGAIN_S = 600.0
_NOT_ITS_FAULT = frozenset({"paused", "leaving"})


@dataclass(frozen=True, slots=True)
class Way:
    """One trace.

    Attributes:
        at_s: epoch seconds.
        because: why the member left, in the monitor's words.
        problem: why there is no trace; empty when there is one.
    """

    member: str
    address: str
    at_s: float
    because: str
    hops: tuple[Hop, ...]
    problem: str = ""

    def shown(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "member": self.member, "address": self.address, "at": self.at_s, "because": self.because,
            "verdict": self.verdict(), "hops": [hop.shown() for hop in self.hops],
        }  # fmt: skip

    def verdict(self) -> str:
        """Where the way ends, in one sentence."""
        if self.problem:
            return f"no packet can be sent to it: {self.problem}"
        last = self.hops[-1]
        if last.kind == "answered":
            return f"it answers, after {len(self.hops) - 1} routers"
        if last.kind == "refused":
            return f"the machine is there after {len(self.hops) - 1} routers, and nothing listens on the port"
        if last.kind == "unreachable":
            return f"{last.address} knows no way to it"
        heard = [hop for hop in self.hops if hop.address]
        return (
            f"silence behind {heard[-1].address}, hop {heard[-1].ttl}"
            if heard
            else "silence from the first hop on"
        )


class Ways:
    """The latest traces; one at a time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._ways: deque[Way] = deque(maxlen=MOST_WAYS)
        self._busy = False

    def all(self) -> list[Way]:
        """The latest first."""
        return list(reversed(self._ways))

    async def follow(self, ctx: RunContext) -> None:
        """Trace the way to each member that leaves the pool by a fault."""
        with ctx.subscribe(VerdictChanged) as events:
            async for event in events:
                left = event.before is not None and event.before.in_pool and not event.after.in_pool
                if left and event.after.code not in _NOT_ITS_FAULT and self._due(event.member.address):
                    with contextlib.suppress(Conflict):  # a person traces just now
                        await self.trace(ctx, event.member, event.after.reason)

    def _due(self, address: str) -> bool:
        return all(way.address != address or self._now_s() - way.at_s >= AGAIN_S for way in self._ways)

    async def trace(self, ctx: RunContext, member: Member, because: str) -> Way:
        """Trace the way to a member now.

        Raises:
            Conflict: another trace is under way.
        """
        if self._busy:
            raise Conflict("a trace is under way: one at a time")
        self._busy = True
        hops: tuple[Hop, ...] = ()
        problem = ""
        try:
            hops = await ctx.to_thread(trace, member.address, member.port)
        except OSError as error:
            problem = error.strerror or str(error)
        finally:
            self._busy = False
        way = Way(member.id, member.address, self._now_s(), because, hops, problem)
        self._ways.append(way)
        return way

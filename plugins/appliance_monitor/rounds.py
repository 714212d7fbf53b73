"""Looks at the places of every probe kind but "ntp", each kind on rounds of its own: one that fails or hangs delays no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from appliance.api.contrib import ProbeKind
from appliance.api.model import Member, Sample, Sighting
from appliance.core.clock import Clock
from appliance.core.tasks import spawn
from appliance_monitor.places import Place, besides_ntp, fresh_s, interval_s, places
from appliance_monitor.schedule import Schedule
from appliance_monitor.sightings import Sightings

if TYPE_CHECKING:
    from appliance.api.context import RunContext

#: Looks of one kind at the same time.
AT_ONCE: Final = 64
#: A look that does not keep its own time limit is cut off this long after it.
GRACE_S: Final = 2.0
_TURN_S: Final = 0.25
#: Own places of kinds are asked for this often; new kinds and members are seen at the next turn.
_ASK_S: Final = 10.0
#: What failed so shortly before we noticed that our own network fails may be no fault of who was looked at.
_DOUBT_S: Final = 120.0


class _Round:
    """One kind's places and who is due."""

    def __init__(self, kind: ProbeKind, rng: random.Random) -> None:
        self.kind = kind
        self.schedule = Schedule(rng)
        self.places: dict[str, Place] = {}
        self.under_way = 0

    def follow(self, wanted: dict[str, Place], now_ns: int) -> None:
        for gone in self.places.keys() - wanted.keys():
            self.schedule.remove(gone)
        self.places = wanted
        for key in wanted:
            if key not in self.schedule:
                self.schedule.add(key, now_ns)


class Rounds:
    """All kinds' rounds.

    Attributes:
        seen: what was found.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        kinds: Callable[[], list[ProbeKind]],
        guard: Callable[[str], Awaitable[None]],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Nothing is looked at before `run`.

        Args:
            clock: for due times.
            rng: moves looks a little.
            kinds: every probe kind there is now.
            guard: waits until an address may be asked again.
            failed: told what failed with which exception, in the plugin that offers a kind.
        """
        self.seen = Sightings()
        self._clock = clock
        self._rng = rng
        self._kinds = kinds
        self._guard = guard
        self._failed = failed
        self._rounds: dict[str, _Round] = {}

    async def run(
        self,
        ctx: RunContext,
        members: Callable[[], Mapping[str, Member]],
        own_trouble: Callable[[], str],
        keep: Callable[[Sighting], None],
    ) -> None:
        """Look until cancelled.

        Args:
            ctx: of the run; looks are its children.
            members: who is in the registry now.
            own_trouble: why a failure would say nothing about others now, or "".
            keep: told of each sighting.
        """
        kinds: Mapping[str, ProbeKind] = {}
        table: Mapping[str, Member] | None = None
        asked_ns = self._clock.monotonic_ns()
        self._rounds = {}
        while True:
            now_ns = self._clock.monotonic_ns()
            known, kinds = kinds, besides_ntp(self._kinds())
            followed, table = table, members()
            if kinds != known or table is not followed or now_ns - asked_ns >= _ASK_S * 1e9:
                asked_ns = now_ns
                self._follow(kinds, table, now_ns)
            for turn in self._rounds.values():
                while turn.under_way < AT_ONCE and (key := turn.schedule.take(now_ns)):
                    turn.under_way += 1
                    ctx.spawn(f"look {turn.kind.name} {key}", self._look(turn, key, own_trouble, keep))
            await self._clock.sleep(_TURN_S)

    def kinds(self) -> list[ProbeKind]:
        """The kinds that are looked with."""
        return [turn.kind for turn in self._rounds.values()]

    def places(self) -> dict[str, int]:
        """How many places each kind looks at."""
        return {name: len(turn.places) for name, turn in self._rounds.items()}

    def of(self, member: str, now: float) -> tuple[Sighting, ...]:
        """What is known of a member and not old at `now` (epoch seconds), for score rules and pages."""
        return tuple(
            sighting
            for sighting in self.seen.at(member)
            if (turn := self._rounds.get(sighting.kind)) is not None
            and now - sighting.ts <= fresh_s(turn.kind, sighting.target.address)
        )

    def doubt(self, now: float) -> None:
        """Our own network may be at fault since a short while."""
        self.seen.doubt(now - _DOUBT_S)

    def _follow(self, kinds: Mapping[str, ProbeKind], members: Mapping[str, Member], now_ns: int) -> None:
        for gone in self._rounds.keys() - kinds.keys():
            del self._rounds[gone]
            self.seen.only(gone, ())
        for name, kind in kinds.items():
            turn = self._rounds.get(name)
            if turn is None or turn.kind != kind:
                turn = self._rounds[name] = _Round(kind, self._rng)
            turn.follow(places(kind, members, partial(self._failed, f"the probe kind {name}")), now_ns)
            self.seen.only(name, turn.places)

    async def _look(
        self, turn: _Round, key: str, own_trouble: Callable[[], str], keep: Callable[[Sighting], None]
    ) -> None:
        kind, place = turn.kind, turn.places.get(key)
        began_ns = self._clock.monotonic_ns()
        sample = None
        try:
            if place is not None:
                await self._guard(place.target.address)
                sample = await self._sample(kind, place)
        finally:
            turn.under_way -= 1
            if place is not None:
                again_s = interval_s(kind, place.target.address)
                turn.schedule.again(key, began_ns, again_s, self._clock.monotonic_ns())
        # Meanwhile the kind may have been taken away or loaded anew, and the member removed.
        there = self._rounds.get(kind.name) is turn and turn.places.get(key) == place
        if place is None or sample is None or not there:
            return
        if sample.error is not None and own_trouble():
            self.seen.counted[kind.name, "discarded"] += 1
            return
        sighting = Sighting(self._clock.wall_ns() / 1e9, kind.name, place.member, place.target, sample)
        self.seen.add(key, sighting)
        keep(sighting)

    async def _sample(self, kind: ProbeKind, place: Place) -> Sample | None:
        """One look, in a task of its own: one that does not let itself be cancelled is left alone, not waited for."""
        task = spawn(_awaited(kind, place), name=f"look:{kind.name}")
        try:
            done, _ = await asyncio.wait({task}, timeout=kind.timeout_s + GRACE_S)
        finally:
            task.cancel()
        if not done:
            return Sample(error="timeout")
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled() and isinstance(task.result(), Sample):
            return task.result()
        self.seen.counted[kind.name, "raised"] += 1
        wrong = error if isinstance(error, Exception) else TypeError("it did not return a Sample")
        self._failed(f"the probe kind {kind.name}", wrong)
        return None


async def _awaited(kind: ProbeKind, place: Place) -> Sample:
    return await kind.sample(place.target, kind.timeout_s)
